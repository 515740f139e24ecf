//! The suite of all providers on real files, and what is SQLite's own.

use std::fs;
use std::sync::{Arc, Mutex};

use ferromq_env::Clock;
use ferromq_lock::conformance::{Names, World};
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Timings};
use ferromq_model::Epoch;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::SqliteLock;

struct Folder {
    folder: TempDir,
    /// Has the database for itself as long as it is there.
    other: Mutex<Option<Connection>>,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), other: Mutex::new(None) }
    }

    fn lock(&self, name: &str, timings: Timings) -> Result<SqliteLock, LockError> {
        SqliteLock::new(&self.folder.path().join("jobs.db"), name, timings)
    }

    fn open(&self) -> Connection {
        Connection::open(self.folder.path().join("jobs.db")).unwrap()
    }
}

impl World for Folder {
    fn node(
        &self,
        name: &str,
        timings: Timings,
        _clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn LockProvider>, LockError> {
        Ok(Box::new(self.lock(name, timings)?))
    }

    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> =
            entries.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
        found.sort();
        found
    }

    fn names(&self) -> Names {
        Names::AtTheLook
    }

    fn cut_off(&self, cut: bool) -> bool {
        let mut other = self.other.lock().unwrap();
        if cut {
            let connection = self.open();
            connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
            *other = Some(connection);
        } else {
            *other = None;
        }
        true
    }
}

ferromq_lock::conformance_tests!(|| Some(Folder::new()));

fn granted(lock: &mut SqliteLock, why: Contention) -> Grant {
    lock.look().unwrap();
    match lock.try_acquire(Epoch::default(), why).unwrap() {
        Acquired::Granted(grant) => grant,
        Acquired::Held(sighting) => panic!("held: {sighting:?}"),
    }
}

#[test]
fn a_transaction_that_checks_the_epoch_fails_once_there_is_a_higher_one() {
    let folder = Folder::new();
    let (mut a, mut b) =
        (folder.lock("a", Timings::default()).unwrap(), folder.lock("b", Timings::default()).unwrap());
    let writes = |grant: Grant| {
        let (number, claim) = (grant.epoch.number.cast_signed(), grant.epoch.claim.0.cast_signed());
        // The statement of the README.
        let check = "UPDATE ferromq_lease SET number = number WHERE number = ?1 AND claim = ?2";
        folder.open().execute(check, [number, claim]).unwrap() == 1
    };
    let old = granted(&mut a, Contention::Vacant);
    assert!(writes(old));
    let new = granted(&mut b, Contention::OverSilence);
    assert!(!writes(old));
    assert!(writes(new));
}

#[test]
fn a_database_of_the_applications_own_keeps_its_ways() {
    let folder = Folder::new();
    let own = folder.open();
    own.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE jobs (x); INSERT INTO jobs VALUES (1)")
        .unwrap();
    let (mut a, mut b) =
        (folder.lock("a", Timings::default()).unwrap(), folder.lock("b", Timings::default()).unwrap());
    assert_eq!(b.look().unwrap(), None);
    let grant = granted(&mut a, Contention::Vacant);
    // A writer at work delays no heartbeat.
    own.execute_batch("BEGIN IMMEDIATE; INSERT INTO jobs VALUES (2)").unwrap();
    let before = b.look().unwrap().unwrap().beat;
    a.renew(&grant).unwrap();
    assert!(b.look().unwrap().unwrap().beat > before);
    own.execute_batch("COMMIT").unwrap();
    let mode: String = own.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn what_is_no_database_is_an_error_that_names_it() {
    let folder = Folder::new();
    fs::write(folder.folder.path().join("jobs.db"), "once upon a time ".repeat(200)).unwrap();
    let error = folder.lock("a", Timings::default()).unwrap().look().unwrap_err();
    assert!(error.to_string().contains("jobs.db") && error.to_string().contains("not a database"), "{error}");
    assert_eq!(error.kind(), ferromq_lock::ErrorKind::Storage);
}

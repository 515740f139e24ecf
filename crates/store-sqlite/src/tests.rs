//! The suite that every store passes, and what concerns SQLite alone.

use std::path::PathBuf;

use ferromq_model::{ClaimId, Epoch};
use ferromq_store::conformance::{Run, World};
use ferromq_store::{Follower, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{SqliteOptions, SqliteStore, schema};

struct SqliteWorld {
    folder: TempDir,
    leased: bool,
    life: u32,
    options: SqliteOptions,
}

impl SqliteWorld {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            leased: false,
            life: 0,
            options: SqliteOptions::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.life.to_string()).join("ferromq.db")
    }
}

impl World for SqliteWorld {
    fn open(&mut self) -> Result<Box<dyn Follower>, StoreError> {
        let store = SqliteStore::new(&self.path(), self.options);
        Ok(Box::new(if self.leased { store.leased() } else { store }))
    }

    fn seize(&mut self) -> bool {
        self.leased = true;
        true
    }

    /// What the system has of a killed process is the file and its log as they are now; the rest went with it.
    fn kill(&mut self) -> bool {
        let old = self.path();
        self.life += 1;
        let new = self.path();
        std::fs::create_dir_all(new.parent().unwrap()).unwrap();
        for suffix in ["", "-wal"] {
            let name = |path: &PathBuf| format!("{}{suffix}", path.display());
            if std::fs::exists(name(&old)).unwrap() {
                std::fs::copy(name(&old), name(&new)).unwrap();
            }
        }
        true
    }

    fn shrink(&mut self) -> bool {
        self.options.max_bytes = 4 << 20;
        true
    }

    fn bound(&self, live_bytes: u64) -> Option<u64> {
        Some(2 * live_bytes + (16 << 20))
    }
}

ferromq_store::conformance_tests!(on_real_disk SqliteWorld::new);

fn epoch(number: u64) -> Epoch {
    Epoch { number, claim: ClaimId(number) }
}

fn refusal(path: &std::path::Path) -> StoreError {
    match Box::new(SqliteStore::new(path, SqliteOptions::default())).claim(epoch(9)) {
        Ok(_) => panic!("it was claimed"),
        Err((_, error)) => error,
    }
}

#[test]
fn what_is_no_store_of_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    let notes = "not a database, but long enough to look at: ".repeat(40);
    std::fs::write(&text, &notes).unwrap();
    assert!(matches!(refusal(&text), StoreError::NotAStore { .. }), "{}", refusal(&text));
    assert_eq!(std::fs::read_to_string(&text).unwrap(), notes);

    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(refusal(&foreign), StoreError::NotAStore { .. }), "{}", refusal(&foreign));
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ferromq.db");
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    assert!(matches!(refusal(&path), StoreError::NewerFormat { found: 99, known: schema::VERSION, .. }));
}

#[test]
fn a_claim_by_another_connection_fences_the_writer() {
    let mut world = SqliteWorld::new();
    let mut run = Run::begin(&mut world);
    run.commit(Vec::new());
    let thief = Connection::open(world.path()).unwrap();
    thief.execute("UPDATE reign SET number = number + 1", []).unwrap();
    let error = run.backend.commit(&[], true).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert!(run.backend.commit(&[], true).is_err(), "for good");
}

#[test]
fn a_damaged_row_is_told_and_its_neighbours_are_served() {
    use ferromq_model::{Destination, DestinationId, Message, MessageId, ProducerId, Sequence};
    use ferromq_store::{Loaded, MessageRef, StoreOp};
    let mut world = SqliteWorld::new();
    let mut run = Run::begin(&mut world);
    let (id, destination) = (DestinationId(1), Destination::queue("q"));
    let producer = ProducerId::new("ID:x".into(), 1, 1);
    let put = |n: u64| StoreOp::PutMessage {
        destination: id,
        sequence: Sequence(n),
        message: Message::new(MessageId::new(producer.clone(), n as i64), Destination::queue("q")).into(),
        subscriptions: Vec::new(),
        dedup: true,
        exposed: false,
    };
    run.commit(vec![StoreOp::PutDestination { id, destination }, put(1), put(2)]);
    let other = Connection::open(world.path()).unwrap();
    other.execute("UPDATE messages SET body = x'00' WHERE sequence = 1", []).unwrap();
    let wanted = [1, 2].map(|n| MessageRef { destination: id, sequence: Sequence(n) });
    let loaded = run.reader.load(&wanted).unwrap();
    assert!(matches!(&loaded[0], Loaded::Damaged(reason) if reason.contains("message 1")), "{loaded:?}");
    assert!(matches!(loaded[1], Loaded::Message(_)));
}

#[test]
fn a_follower_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sub/ferromq.db");
    let mut store = SqliteStore::new(&path, SqliteOptions::default());
    store.follow(ferromq_store::Budget { bytes: 1 }).unwrap();
    assert_eq!(store.seen_epoch(), Epoch::default());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn single_writer_many_brokers_of_one_host_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ferromq.db");
    let store = || Box::new(SqliteStore::new(&path, SqliteOptions::default()).leased());
    let mut reigns = Vec::new();
    for number in 1..=5 {
        let mut standby = store();
        standby.follow(ferromq_store::Budget { bytes: 1 }).unwrap();
        assert_eq!(standby.seen_epoch().number, number - 1);
        let claimed = standby.claim(Epoch { number, claim: ClaimId(number) });
        reigns.push(claimed.map_err(|(_, error)| error).unwrap());
        // A claim with a number that was used is refused, whoever asks.
        let (_, error) = store().claim(Epoch { number, claim: ClaimId(99) }).err().unwrap();
        assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
        let (last, old) = reigns.split_last_mut().unwrap();
        assert!(last.backend.commit(&[], true).unwrap().is_some());
        for stale in old {
            assert!(
                stale.backend.commit(&[], true).is_err()
                    && stale.backend.maintain(ferromq_store::Budget { bytes: 1 }).is_err()
            );
        }
    }
    let metrics = reigns.first().unwrap().backend.metrics().unwrap();
    assert_eq!(metrics.fenced.load(std::sync::atomic::Ordering::Relaxed), 1);
}

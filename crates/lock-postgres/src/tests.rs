//! The suite of all providers on a real server, and what is PostgreSQL's own.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ferromq_env::Clock;
use ferromq_lock::conformance::{Names, World};
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Timings};
use ferromq_model::Epoch;
use ferromq_testkit::Postgres;

use crate::PostgresLock;

struct Database(Mutex<Postgres>);

impl Database {
    fn start_or_skip() -> Option<Self> {
        Postgres::start_or_skip().map(|server| Self(Mutex::new(server)))
    }

    fn server(&self) -> MutexGuard<'_, Postgres> {
        self.0.lock().unwrap()
    }
}

impl World for Database {
    fn node(
        &self,
        name: &str,
        timings: Timings,
        clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn LockProvider>, LockError> {
        let url = self.server().url();
        Ok(Box::new(PostgresLock::new(&url, "election", name, timings)?.clocked(clock)))
    }

    /// Every table that is not the server's own, and each row with the transaction that wrote it.
    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let server = self.server();
        let tables = server.sql("SELECT relid::regclass FROM pg_stat_user_tables ORDER BY 1");
        let rows = |table: &str| server.sql(&format!("SELECT xmin, t.* FROM {table} AS t")).into_bytes();
        tables.lines().map(|table| (table.to_owned(), rows(table))).collect()
    }

    fn names(&self) -> Names {
        Names::AtTheLook
    }

    fn restart(&self) -> bool {
        self.server().restart();
        true
    }

    /// Whatever its calendar shows from now on, the stamps of before are that much older or newer.
    fn step_calendar(&self, hours: i64) -> bool {
        self.server().sql(&format!("UPDATE election.lease SET renewed = renewed - interval '{hours} hours'"));
        true
    }

    fn cut_off(&self, cut: bool) -> bool {
        if cut {
            self.server().pause()
        } else {
            self.server().resume()
        }
        true
    }
}

ferromq_lock::conformance_tests!(Database::start_or_skip);

fn timings() -> Timings {
    Timings::default()
}

fn node(server: &Postgres, name: &str) -> PostgresLock {
    PostgresLock::new(&server.url(), "election", name, timings()).unwrap()
}

fn granted(outcome: Acquired) -> Grant {
    match outcome {
        Acquired::Granted(grant) => grant,
        Acquired::Held(sighting) => panic!("held: {sighting:?}"),
    }
}

fn acquire(lock: &mut PostgresLock, why: Contention) -> Acquired {
    lock.look().unwrap();
    lock.try_acquire(Epoch::default(), why).unwrap()
}

#[test]
fn a_holder_rides_out_a_restart_of_the_database_and_nobody_thinks_it_dead() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    let grant = granted(acquire(&mut a, Contention::Vacant));
    b.look().unwrap();
    server.restart();
    for _ in 0..20 {
        // The first call of each meets the session that is gone.
        let seen = b.look();
        assert!(seen.as_ref().is_ok_and(|seen| !seen.as_ref().unwrap().died) || seen.is_err(), "{seen:?}");
        sleep(Duration::from_millis(20));
    }
    let renewed = a.renew(&grant).or_else(|_| a.renew(&grant)).unwrap();
    assert_eq!(renewed.epoch, grant.epoch);
    sleep(timings().lease);
    assert!(!b.look().unwrap().unwrap().died, "its lock is back");
}

#[test]
fn a_holder_that_was_cut_off_is_not_thought_dead_when_the_server_notices_at_last() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    let grant = granted(acquire(&mut a, Contention::Vacant));
    // Given a session that the holder has lost, and the server not yet
    let cut_off = a.session.take();
    a.renew(&grant).unwrap();
    assert!(!b.look().unwrap().unwrap().died);
    // When its end is noticed, then the locks are those of the session after it.
    drop(cut_off);
    let until = Instant::now() + 3 * timings().lease;
    while Instant::now() < until {
        a.renew(&grant).unwrap();
        let seen = b.look().unwrap().unwrap();
        assert!(!seen.died, "it beats and is thought dead: {seen:?}");
        sleep(timings().renew_every / 2);
    }
    let mut twin = node(&server, "a");
    assert!(matches!(twin.look(), Err(LockError::NameTaken { .. })));
}

#[test]
fn a_database_that_stands_still_is_told_as_one() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let mut a = node(&server, "a");
    let grant = granted(acquire(&mut a, Contention::Vacant));
    server.pause();
    let error = a.renew(&grant).unwrap_err();
    server.resume();
    assert!(error.to_string().contains("did not answer"), "{error}");
}

#[test]
fn a_table_of_an_earlier_version_is_completed_by_the_next_claim_and_its_holder_is_left_alone() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    granted(acquire(&mut a, Contention::Vacant));
    server.sql("ALTER TABLE election.lease DROP COLUMN server_run");
    drop(a);
    for _ in 0..2 {
        let seen = b.look().unwrap().unwrap();
        assert!(seen.epoch.number == 1 && !seen.died, "nothing is known of the server's run: {seen:?}");
        sleep(timings().lease / 2);
    }
    let grant = granted(acquire(&mut b, Contention::OverSilence));
    assert_eq!(grant.epoch.number, 2);
    b.renew(&grant).unwrap();
    assert_eq!(server.sql("SELECT count(server_run) FROM election.lease"), "1");
}

//! Two nodes and a real server.

use std::thread::sleep;
use std::time::Duration;

use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Timings};
use ferromq_model::Epoch;
use ferromq_testkit::Postgres;

use crate::PostgresLock;

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
fn one_holds_it_and_the_others_see_who_and_that_it_lives() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    assert_eq!(a.look().unwrap(), None, "to look makes no table");
    let grant = granted(acquire(&mut a, Contention::Vacant));
    assert_eq!(grant.epoch.number, 1);
    let Acquired::Held(before) = acquire(&mut b, Contention::Vacant) else { panic!("two holders") };
    assert_eq!((before.epoch, before.owner.as_deref()), (grant.epoch, Some("a")));
    a.renew(&grant).unwrap();
    let after = b.look().unwrap().unwrap();
    assert!(after.beat > before.beat && !after.died && !after.released);
}

#[test]
fn who_lets_go_is_followed_at_once_and_epochs_rise_above_what_the_store_has_seen() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    let first = granted(acquire(&mut a, Contention::Vacant));
    a.release(first).unwrap();
    assert!(b.look().unwrap().unwrap().released);
    let seen = Epoch { number: 41, ..Epoch::default() };
    let second = granted(b.try_acquire(seen, Contention::Vacant).unwrap());
    assert_eq!(second.epoch.number, 42);
}

#[test]
fn a_holder_whose_session_is_gone_is_dead_after_a_moment() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    granted(acquire(&mut a, Contention::Vacant));
    drop(a);
    b.look().unwrap();
    sleep(timings().lease);
    assert!(b.look().unwrap().unwrap().died);
    assert_eq!(granted(acquire(&mut b, Contention::Vacant)).epoch.number, 2);
}

#[test]
fn a_silent_holder_is_superseded_and_finds_out_when_it_renews() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b) = (node(&server, "a"), node(&server, "b"));
    let old = granted(acquire(&mut a, Contention::Vacant));
    let new = granted(acquire(&mut b, Contention::OverSilence));
    let error = a.renew(&old).unwrap_err();
    assert!(matches!(error, LockError::Superseded { theirs, .. } if theirs == new.epoch), "{error}");
    b.renew(&new).unwrap();
}

#[test]
fn a_claim_supersedes_only_whom_the_claimant_saw() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut b, mut c) = (node(&server, "a"), node(&server, "b"), node(&server, "c"));
    granted(acquire(&mut a, Contention::Vacant));
    c.look().unwrap();
    granted(acquire(&mut b, Contention::OverSilence));
    let late = c.try_acquire(Epoch::default(), Contention::OverSilence).unwrap();
    assert!(matches!(late, Acquired::Held(sighting) if sighting.owner.as_deref() == Some("b")));
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
fn a_database_that_stands_still_is_an_error_within_a_fraction_of_the_lease() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let mut a = node(&server, "a");
    let grant = granted(acquire(&mut a, Contention::Vacant));
    server.pause();
    let error = a.renew(&grant).unwrap_err();
    server.resume();
    assert!(error.to_string().contains("did not answer"), "{error}");
    a.renew(&grant).or_else(|_| a.renew(&grant)).unwrap();
}

#[test]
fn a_second_node_of_the_same_name_is_refused_with_the_remedy() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let (mut a, mut twin) = (node(&server, "a"), node(&server, "a"));
    a.look().unwrap();
    let error = twin.look().unwrap_err();
    assert!(error.to_string().contains("give each a name of its own"), "{error}");
}

#[test]
fn of_many_who_contend_one_wins_each_epoch() {
    const NODES: usize = 5;
    const EACH: usize = 40;
    let Some(server) = Postgres::start_or_skip() else { return };
    let won: Vec<u64> = std::thread::scope(|scope| {
        let nodes: Vec<_> = (0..NODES)
            .map(|number| {
                let mut lock = node(&server, &format!("n{number}"));
                scope.spawn(move || {
                    let mut won = Vec::new();
                    for _ in 0..EACH {
                        lock.look().unwrap();
                        match lock.try_acquire(Epoch::default(), Contention::OverSilence).unwrap() {
                            Acquired::Granted(grant) => won.push(grant.epoch.number),
                            Acquired::Held(_) => {}
                        }
                    }
                    won
                })
            })
            .collect();
        nodes.into_iter().flat_map(|node| node.join().unwrap()).collect()
    });
    let mut sorted = won.clone();
    sorted.sort_unstable();
    let expected: Vec<u64> = (1..=won.len() as u64).collect();
    assert_eq!(sorted, expected, "each epoch once, without gaps");
}

//! Two versions of the program on one database.

use ferromq_model::{ClaimId, Epoch};
use ferromq_store::{Budget, Follower, StoreError};
use ferromq_testkit::Postgres;

use crate::{PostgresOptions, PostgresStore, finalize};

fn options(known_format: u32) -> PostgresOptions {
    PostgresOptions { alone: false, known_format, ..PostgresOptions::default() }
}

fn version(server: &Postgres, known_format: u32) -> Box<dyn Follower> {
    Box::new(PostgresStore::new(&server.url(), options(known_format)).unwrap())
}

/// Whether the reign had streams of links.
fn reign(mut store: Box<dyn Follower>) -> bool {
    store.follow(Budget { bytes: u64::MAX }).unwrap();
    let number = store.seen_epoch().number + 1;
    let claimed = store.claim(Epoch { number, claim: ClaimId(number * 7) });
    let claimed = claimed.map_err(|(_, error)| error).unwrap();
    claimed.backend.close().unwrap();
    claimed.recovered.streams.is_some()
}

#[test]
fn two_versions_share_a_database_until_it_is_finalized_and_claimed() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let none = finalize(&server.url(), options(2)).unwrap_err();
    assert!(matches!(none, StoreError::NotAStore { .. }), "{none}");
    // Given a store of the old version, a rolling upgrade and a way back
    for known in [1, 2, 1, 2] {
        assert!(!reign(version(&server, known)), "the first version has no streams of links");
    }
    let format = || server.sql("SELECT format FROM ferromq.meta");
    assert_eq!(format(), "1", "the new version writes what it found");
    // When the new one is said to be there to stay
    assert_eq!(finalize(&server.url(), options(1)).unwrap(), (1, 1), "the old one knows no more");
    assert_eq!(finalize(&server.url(), options(2)).unwrap(), (1, 2));
    let mut old = version(&server, 1);
    old.follow(Budget { bytes: u64::MAX }).unwrap();
    assert_eq!(format(), "1", "a master of the old version goes on");
    assert!(reign(version(&server, 2)));
    // Then the next claim raises the tables, and the old one is told so wherever it meets them.
    assert_eq!(format(), "2");
    let newer = |error: &StoreError| matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. });
    let refusal = old.follow(Budget { bytes: u64::MAX }).unwrap_err();
    assert!(newer(&refusal), "{refusal}");
    let claim = old.claim(Epoch { number: 99, claim: ClaimId(1) });
    assert!(claim.err().is_some_and(|(_, refusal)| newer(&refusal)));
    assert_eq!(finalize(&server.url(), options(2)).unwrap(), (2, 2), "saying it again changes nothing");
    reign(version(&server, 2));
}

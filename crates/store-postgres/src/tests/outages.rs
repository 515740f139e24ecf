//! The database goes away, and comes back; or comes back without what it had acknowledged.

use std::time::Duration;

use ferromq_model::{
    ClaimId, Destination, DestinationId, Epoch, Message, MessageId, ProducerId, Sequence, Text, Ticket,
};
use ferromq_store::{Budget, Claimed, Follower, StoreError, StoreOp, Sync, WriteBatch};
use ferromq_testkit::Postgres;

use crate::{PostgresOptions, PostgresStore};

fn options(patience: Duration) -> PostgresOptions {
    PostgresOptions { patience, alone: false, ..PostgresOptions::default() }
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, claim: ClaimId(number * 7) }
}

fn claimed(server: &Postgres, patience: Duration, number: u64) -> Result<Claimed, StoreError> {
    let store = PostgresStore::new(&server.url(), options(patience)).unwrap();
    Box::new(store).claim(epoch(number)).map_err(|(_, error)| error)
}

/// The unit of work of that ticket: the first makes the queue, each puts a message.
fn unit(number: u64, ticket: u64) -> WriteBatch {
    let queue = DestinationId(1);
    let producer = ProducerId::new(Text::from("test"), 1, 1);
    let id = MessageId::new(producer, i64::try_from(ticket).unwrap());
    let mut ops = Vec::new();
    if ticket == 1 {
        ops.push(StoreOp::PutDestination { id: queue, destination: Destination::queue("orders") });
    }
    ops.push(StoreOp::PutMessage {
        destination: queue,
        sequence: Sequence(ticket),
        message: Message::new(id, Destination::queue("orders")).into(),
        subscriptions: Vec::new(),
        dedup: true,
        exposed: false,
    });
    WriteBatch { epoch: epoch(number), ticket: Ticket(ticket), ops, sync: Sync::Required }
}

#[test]
fn a_restart_within_the_patience_is_a_slow_commit_and_nothing_is_applied_twice() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let mut claimed = claimed(&server, Duration::from_secs(20), 1).unwrap();
    claimed.backend.commit(&[unit(1, 1)], false).unwrap();
    server.kill();
    std::thread::scope(|scope| {
        scope.spawn(|| server.start());
        assert_eq!(claimed.backend.commit(&[unit(1, 2)], false).unwrap().unwrap().upto(), Ticket(2));
    });
    claimed.backend.commit(&[unit(1, 3)], false).unwrap();
    assert_eq!(server.sql("SELECT count(*), max(sequence) FROM ferromq.messages"), "3|3");
    assert_eq!(server.sql("SELECT messages FROM ferromq.destinations"), "3");
}

#[test]
fn a_database_at_an_earlier_unit_of_work_is_brought_on_from_there_and_only_then_answered_for() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let mut claimed = claimed(&server, Duration::from_secs(20), 1).unwrap();
    claimed.backend.commit(&[unit(1, 1)], false).unwrap();
    let lazy = WriteBatch { sync: Sync::Lazy, ..unit(1, 2) };
    assert!(claimed.backend.commit(&[lazy], false).unwrap().is_none());
    // Given one that forgot what nobody was answered for, and kept the session
    server.sql("DELETE FROM ferromq.messages WHERE sequence = 2; UPDATE ferromq.progress SET ticket = 1");
    server.sql("UPDATE ferromq.destinations SET messages = 1");
    // When the next unit of work is committed, then the forgotten one is there before it.
    assert_eq!(claimed.backend.commit(&[unit(1, 3)], false).unwrap().unwrap().upto(), Ticket(3));
    assert_eq!(
        server.sql("SELECT string_agg(sequence::text, ',' ORDER BY sequence) FROM ferromq.messages"),
        "1,2,3"
    );
    assert_eq!(server.sql("SELECT ticket FROM ferromq.progress"), "3");
}

#[test]
fn an_outage_beyond_the_patience_ends_the_reign_with_the_reason() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let mut claimed = claimed(&server, Duration::from_millis(700), 1).unwrap();
    claimed.backend.commit(&[unit(1, 1)], false).unwrap();
    server.pause();
    let error = claimed.backend.commit(&[unit(1, 2)], false).unwrap_err();
    server.resume();
    assert!(error.to_string().contains("did not answer"), "{error}");
    // Whether the second came through is open; the first is there, and whoever claims next says which.
    let next = self::claimed(&server, Duration::from_secs(20), 2).unwrap();
    assert!((1..=2).contains(&next.recovered.destinations.first().unwrap().messages));
    server.stop();
}

#[test]
fn a_superseded_writer_completes_nothing_even_after_a_restart_of_the_database() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let mut old = claimed(&server, Duration::from_secs(20), 1).unwrap();
    old.backend.commit(&[unit(1, 1)], false).unwrap();
    let mut new = claimed(&server, Duration::from_secs(20), 2).unwrap();
    server.restart();
    let error = old.backend.commit(&[unit(1, 2)], false).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { theirs, .. } if theirs == epoch(2)), "{error}");
    let mut own = unit(2, 1);
    own.ops = vec![StoreOp::RemoveMessage { destination: DestinationId(1), sequence: Sequence(1) }];
    new.backend.commit(&[own], false).unwrap();
    assert_eq!(server.sql("SELECT count(*) FROM ferromq.messages"), "0");
}

#[test]
fn a_database_that_forgot_a_commit_is_noticed_by_the_writer_and_by_a_standby() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let mut writer = claimed(&server, Duration::from_secs(20), 1).unwrap();
    let mut standby = PostgresStore::new(&server.url(), options(Duration::from_secs(20))).unwrap();
    for ticket in 1..=3 {
        writer.backend.commit(&[unit(1, ticket)], false).unwrap();
    }
    standby.follow(Budget { bytes: u64::MAX }).unwrap();
    // What a failover to a copy that lagged behind leaves.
    server.sql(
        "UPDATE ferromq.progress SET ticket = 1, commits = commits - 2; DELETE FROM ferromq.messages WHERE sequence > 1",
    );
    let error = standby.follow(Budget { bytes: u64::MAX }).unwrap_err();
    assert!(error.to_string().contains("forgot what it had acknowledged"), "{error}");
    let error = writer.backend.commit(&[unit(1, 4)], false).unwrap_err();
    assert!(error.to_string().contains("it lost what it had acknowledged"), "{error}");
}

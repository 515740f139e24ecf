//! Copies that a released client sets aside after a takeover, since its connection had the message before.

use std::time::Duration;

use ferromq_engine::*;
use ferromq_model::Destination;

use crate::bench::*;

const HAD_BEFORE: &str =
    "java.lang.Throwable: Suppressing duplicate delivery on connection, consumer ID:c-1:1:1:1";

/// Three messages that were with a client when its broker died, and that the next one has sent again.
fn taken_over(b: &mut Bench) -> (Client, LocalId, Vec<Got>) {
    let before = b.connect("c");
    b.consume(&before, "A");
    for text in ["m1", "m2", "m3"] {
        b.send(&before, "A", text);
    }
    b.take();
    b.crash();
    let c = b.reconnect("c");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 10);
    let got = b.take();
    assert_eq!(got.len(), 3);
    (c, consumer, got)
}

fn set_aside(b: &mut Bench, client: &Client, got: &Got) {
    poison(b, client, got, HAD_BEFORE);
}

fn poison(b: &mut Bench, client: &Client, got: &Got, cause: &str) {
    let Intent::Ack(mut request) = ack(AckKind::Poison, got, got, 1, None) else { unreachable!() };
    request.cause = Some(cause.into());
    b.do_it(client, Intent::Ack(request));
}

fn dead(b: &Bench) -> u64 {
    let letters = Destination::queue("ActiveMQ.DLQ");
    b.engine.view().destination(&letters).map_or(0, |found| found.held)
}

#[test]
fn what_is_acknowledged_after_all_is_consumed() {
    let mut b = Bench::new();
    let (c, _, got) = taken_over(&mut b);
    for got in &got {
        set_aside(&mut b, &c, got);
    }
    assert_eq!((b.held("A"), dead(&b)), (3, 0));
    b.ack_all(&c, &got);
    assert_eq!((b.held("A"), dead(&b)), (0, 0), "the application had the client's own copies");
}

#[test]
fn what_the_client_had_acknowledged_again_is_nothing_to_complain_of() {
    let mut b = Bench::new();
    let (c, _, got) = taken_over(&mut b);
    b.ack(&c, &got[0]);
    set_aside(&mut b, &c, &got[0]);
    assert_eq!((b.held("A"), dead(&b)), (2, 0));
}

#[test]
fn what_a_transaction_has_acknowledged_is_decided_by_its_end() {
    for (verb, held) in [(TransactionVerb::CommitOnePhase, 2), (TransactionVerb::Rollback, 3)] {
        let mut b = Bench::new();
        let (c, _, got) = taken_over(&mut b);
        let id = local_transaction(&c, 1);
        b.tell(&c, Intent::Transaction { id: Some(id.clone()), verb: TransactionVerb::Begin });
        b.tell(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(id)));
        set_aside(&mut b, &c, &got[0]);
        let answer = b.transaction(&c, 1, verb);
        assert!(matches!(answer, Effect::Done), "{answer:?}");
        assert_eq!((b.held("A"), dead(&b)), (held, 0), "{verb:?}");
    }
}

#[test]
fn what_lies_before_something_acknowledged_was_had_before() {
    let mut b = Bench::new();
    let (c, _, got) = taken_over(&mut b);
    set_aside(&mut b, &c, &got[0]);
    b.ack(&c, &got[1]);
    assert_eq!((b.held("A"), dead(&b)), (1, 1));
}

#[test]
fn what_nothing_comes_of_was_had_before() {
    let mut b = Bench::new();
    let (c, _, got) = taken_over(&mut b);
    set_aside(&mut b, &c, &got[0]);
    b.wait(Duration::from_secs(9));
    set_aside(&mut b, &c, &got[1]);
    b.wait(Duration::from_secs(9));
    assert_eq!(dead(&b), 0);
    b.wait(Duration::from_secs(1));
    assert_eq!((b.held("A"), dead(&b)), (1, 2));
}

#[test]
fn what_was_not_acknowledged_when_the_connection_breaks_goes_to_others() {
    let mut b = Bench::new();
    let (c, _, got) = taken_over(&mut b);
    set_aside(&mut b, &c, &got[0]);
    b.detach(&c);
    let other = b.connect("other");
    b.consume(&other, "A");
    let again = b.take();
    assert_eq!(again.iter().map(Got::text).collect::<Vec<_>>(), ["m1", "m2", "m3"]);
    assert!(again.iter().all(|got| got.delivery.redelivery_counter > 0));
    assert_eq!(dead(&b), 0);
}

#[test]
fn a_consumer_that_leaves_tells_how_far_its_application_came() {
    let mut b = Bench::new();
    let (c, consumer, got) = taken_over(&mut b);
    set_aside(&mut b, &c, &got[0]);
    set_aside(&mut b, &c, &got[1]);
    let last = i64::try_from(got[0].delivery.sequence.0).unwrap();
    b.close(&c, consumer, last);
    assert_eq!((b.held("A"), dead(&b)), (2, 1), "the second was in its buffer");
}

#[test]
fn one_that_counts_no_longer_makes_room() {
    let mut b = Bench::new();
    let (c, consumer, got) = taken_over(&mut b);
    b.do_it(&c, Intent::SetPrefetch { consumer, prefetch: 3 });
    b.send(&c, "A", "m4");
    assert!(b.take().is_empty());
    set_aside(&mut b, &c, &got[0]);
    assert_eq!(b.texts(), ["m4"]);
}

#[test]
fn another_poison_acknowledgement_and_one_without_a_takeover_condemn_at_once() {
    let mut b = Bench::new();
    let (c, _, got) = taken_over(&mut b);
    poison(&mut b, &c, &got[0], "java.lang.Throwable: exceeds redelivery policy limit");
    assert_eq!(dead(&b), 1);
    let plain = b.connect("plain");
    b.consume(&plain, "B");
    b.send(&plain, "B", "m");
    let got = b.take();
    set_aside(&mut b, &plain, &got[0]);
    assert_eq!(dead(&b), 2);
}

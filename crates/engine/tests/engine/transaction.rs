//! Local transactions: JMS 1.1 §4.4.7.

use ferromq_engine::*;

use crate::bench::*;
use TransactionVerb::{Begin, CommitOnePhase, Rollback};

fn begin(b: &mut Bench, c: &Client, number: i64) {
    assert!(matches!(b.transaction(c, number, Begin), Effect::Done));
}

#[test]
fn sends_are_invisible_until_the_commit_which_is_one_unit_of_work() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.consume(&c, "B");
    begin(&mut b, &c, 1);
    b.send_in(&c, 1, "A", "a");
    b.send_in(&c, 1, "B", "b");
    assert!(b.got.is_empty());
    assert_eq!(b.store.messages(), 0);
    b.auto = false;
    b.begin(&c, Intent::Transaction { id: Some(local_transaction(&c, 1)), verb: CommitOnePhase });
    assert_eq!(b.unsynced.len(), 1, "all or nothing");
    assert!(b.got.is_empty() && b.replies.is_empty());
    b.run();
    assert_eq!(b.texts(), ["a", "b"]);
    assert_eq!(b.replies.len(), 1);
}

#[test]
fn a_rollback_leaves_nothing() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    begin(&mut b, &c, 1);
    b.send_in(&c, 1, "A", "a");
    assert!(matches!(b.transaction(&c, 1, Rollback), Effect::Done));
    assert!(b.got.is_empty());
    assert_eq!(b.engine.view().broker.memory_bytes, 0);
    assert!(matches!(
        b.transaction(&c, 1, CommitOnePhase),
        Effect::Failed(Fault { kind: FaultKind::RolledBack, .. })
    ));
}

#[test]
fn acknowledgements_take_effect_with_the_commit() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.send(&c, "A", "m1");
    b.send(&c, "A", "m2");
    let got = b.take();
    begin(&mut b, &c, 1);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[1], 2, Some(local_transaction(&c, 1))));
    assert_eq!((b.held("A"), b.store.messages()), (2, 2));
    assert!(matches!(b.transaction(&c, 1, CommitOnePhase), Effect::Done));
    assert_eq!((b.held("A"), b.store.messages()), (0, 0));
}

#[test]
fn rolled_back_acknowledgements_leave_the_messages_with_their_consumer() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume(&c, "A");
    b.send(&c, "A", "m1");
    let got = b.take();
    begin(&mut b, &c, 1);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&c, 1))));
    assert!(matches!(b.transaction(&c, 1, Rollback), Effect::Done));
    assert!(b.got.is_empty(), "the client delivers it again by itself");
    assert_eq!(b.view_of("A").in_flight, 1);
    begin(&mut b, &c, 2);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&c, 2))));
    assert!(matches!(b.transaction(&c, 2, CommitOnePhase), Effect::Done));
    assert_eq!(b.held("A"), 0);
    b.close(&c, consumer, -1);
}

#[test]
fn a_lost_connection_rolls_back_and_others_get_the_messages() {
    let mut b = Bench::new();
    let (lost, c) = (b.connect("lost"), b.connect("c"));
    b.consume(&lost, "A");
    b.send(&c, "A", "m1");
    let got = b.take();
    begin(&mut b, &lost, 1);
    b.do_it(&lost, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&lost, 1))));
    b.send_in(&lost, 1, "B", "never");
    b.detach(&lost);
    b.consume(&c, "A");
    let again = b.take();
    assert_eq!((again[0].text().as_str(), again[0].delivery.redelivery_counter), ("m1", 1));
    assert_eq!(b.held("B"), 0);
}

#[test]
fn tens_of_thousands_of_uncommitted_messages_flow_through_a_small_window() {
    let mut b = Bench::policy(Policy { window: 64, ..Policy::default() });
    let c = b.connect("c");
    let count = 2_000;
    begin(&mut b, &c, 1);
    for n in 1..=count {
        b.send_in(&c, 1, "A", &format!("m{n}"));
    }
    assert!(matches!(b.transaction(&c, 1, CommitOnePhase), Effect::Done));
    b.consume_as(&c, "A", |f| f.prefetch = 10);
    begin(&mut b, &c, 2);
    let mut seen = 0;
    while !b.got.is_empty() {
        for got in b.take() {
            seen += 1;
            b.tell(&c, ack(AckKind::Individual, &got, &got, 1, Some(local_transaction(&c, 2))));
        }
    }
    assert_eq!(seen, count);
    assert_eq!(b.held("A"), count as u64);
    assert!(matches!(b.transaction(&c, 2, CommitOnePhase), Effect::Done));
    assert_eq!((b.held("A"), b.store.messages()), (0, 0));
}

#[test]
fn a_failed_send_dooms_the_transaction() {
    let mut b = Bench::new();
    let c = b.connect("c");
    begin(&mut b, &c, 1);
    b.send_in(&c, 1, "A", "good");
    b.send_in(&c, 1, "temp-queue://ID:gone:1", "bad");
    assert!(
        matches!(&b.notices[..], [(_, Notice::Failure(fault))] if fault.kind == FaultKind::DestinationGone)
    );
    let Effect::Failed(fault) = b.transaction(&c, 1, CommitOnePhase) else { panic!() };
    assert_eq!(fault.kind, FaultKind::RolledBack);
    assert_eq!(b.held("A"), 0);
}

#[test]
fn an_acknowledgement_that_fails_dooms_the_transaction_of_a_client_that_does_not_wait_for_its_answer() {
    for waits in [true, false] {
        let mut b = Bench::new();
        let c = b.connect("c");
        b.consume(&c, "A");
        b.send(&c, "A", "m1");
        b.send(&c, "A", "m2");
        let got = b.take();
        begin(&mut b, &c, 1);
        b.tell(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&c, 1))));
        // A range that ends before it begins.
        let wrong = ack(AckKind::Standard, &got[1], &got[0], 2, Some(local_transaction(&c, 1)));
        if waits {
            b.refused(&c, wrong);
            assert!(matches!(b.transaction(&c, 1, CommitOnePhase), Effect::Done));
            assert_eq!(b.held("A"), 1);
        } else {
            b.tell(&c, wrong);
            let Effect::Failed(fault) = b.transaction(&c, 1, CommitOnePhase) else { panic!() };
            assert_eq!(fault.kind, FaultKind::RolledBack);
            assert!(fault.text.contains("Unmatched acknowledge"), "{}", fault.text);
            assert_eq!(b.held("A"), 2);
        }
    }
}

#[test]
fn a_send_in_a_transaction_that_was_not_begun_is_refused() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let message = b.message(&c, "A", "m");
    let fault = b.refused(&c, send(message, Some(local_transaction(&c, 7))));
    assert!(fault.text.contains("has not been started"), "{}", fault.text);
}

#[test]
fn xa_says_that_it_is_not_there_yet() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let xid = ferromq_model::Xid { format: 1, global: "g".into(), branch: "b".into() };
    let id = Some(ferromq_model::TransactionId::Xa(xid));
    let fault = b.refused(&c, Intent::Transaction { id, verb: Begin });
    assert_eq!((fault.kind, fault.text.contains("not supported yet")), (FaultKind::Unsupported, true));
    let effect = b.ask(&c, Intent::Transaction { id: None, verb: TransactionVerb::Recover });
    assert!(matches!(effect, Effect::Transactions(list) if list.is_empty()));
}

#[test]
fn a_consumer_that_closes_inside_a_transaction_leaves_its_acknowledgements_to_it() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume(&c, "A");
    for n in 1..=3 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let got = b.take();
    begin(&mut b, &c, 1);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&c, 1))));
    begin(&mut b, &c, 2);
    b.do_it(&c, ack(AckKind::Individual, &got[1], &got[1], 1, Some(local_transaction(&c, 2))));
    b.close(&c, consumer, -1);
    assert!(matches!(b.transaction(&c, 1, CommitOnePhase), Effect::Done));
    assert!(matches!(b.transaction(&c, 2, Rollback), Effect::Done));
    b.consume(&c, "A");
    let again: Vec<_> = b.take().iter().map(|got| (got.text(), got.delivery.redelivery_counter)).collect();
    assert_eq!(again, [("m2".to_owned(), 1), ("m3".to_owned(), 0)]);
}

#[test]
fn a_poison_acknowledgement_can_not_be_transacted() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.send(&c, "A", "m");
    let got = b.take();
    begin(&mut b, &c, 1);
    let fault = b.refused(&c, ack(AckKind::Poison, &got[0], &got[0], 1, Some(local_transaction(&c, 1))));
    assert!(fault.text.starts_with("Poison ack cannot be transacted"), "{}", fault.text);
}

#[test]
fn what_is_sent_without_persistence_is_not_seen_before_the_commit_is_durable_either() {
    let mut b = Bench::new();
    let c = b.connect("c");
    for destination in ["A", "B", "topic://T"] {
        b.consume(&c, destination);
    }
    begin(&mut b, &c, 1);
    let id = Some(local_transaction(&c, 1));
    for (destination, persistent) in [("A", false), ("topic://T", true), ("topic://T", false), ("B", true)] {
        let mut message = b.message(&c, destination, destination);
        message.persistent = persistent;
        b.tell(&c, send(message, id.clone()));
    }
    b.auto = false;
    b.begin(&c, Intent::Transaction { id, verb: CommitOnePhase });
    assert!(b.got.is_empty(), "{:?}", b.texts());
    b.run();
    let mut texts = b.texts();
    texts.sort();
    assert_eq!(texts, ["A", "B", "topic://T", "topic://T"]);
}

#[test]
fn a_repeated_commit_is_answered_as_the_first_was_over_a_crash_too() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "A", "taken");
    b.consume(&c, "A");
    let got = b.take();
    begin(&mut b, &c, 1);
    b.send_in(&c, 1, "B", "m1");
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&c, 1))));
    assert!(matches!(b.transaction(&c, 1, CommitOnePhase), Effect::Done));
    assert!(matches!(b.transaction(&c, 1, CommitOnePhase), Effect::Done), "the same broker");
    begin(&mut b, &c, 2);
    b.send_in(&c, 2, "B", "never");

    b.crash();
    let again = Client { conn: b.connect("c").conn, id: c.id };
    assert!(matches!(b.transaction(&again, 1, CommitOnePhase), Effect::Done), "its successor");
    let Effect::Failed(fault) = b.transaction(&again, 2, CommitOnePhase) else {
        panic!("it was never committed")
    };
    assert_eq!(fault.kind, FaultKind::RolledBack);
    assert_eq!((b.held("A"), b.held("B")), (0, 1));
}

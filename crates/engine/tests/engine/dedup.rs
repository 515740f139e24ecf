//! Duplicate detection: a repetition is answered and dropped, and nothing else ever is.

use ferromq_engine::*;

use crate::bench::*;

#[test]
fn a_message_sent_again_is_answered_and_stored_once() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let message = b.message(&c, "A", "m");
    b.do_it(&c, send(message.clone(), None));
    b.do_it(&c, send(message, None));
    assert_eq!((b.held("A"), b.store.messages()), (1, 1));
    assert_eq!((b.engine.view().broker.duplicates, b.view_of("A").counters.duplicates), (1, 1));
}

#[test]
fn a_repetition_is_recognised_after_a_crash_though_it_was_consumed() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    let message = b.message(&c, "A", "m");
    b.do_it(&c, send(message.clone(), None));
    let got = b.take();
    b.ack(&c, &got[0]);
    b.crash();
    let again = b.connect("c");
    b.do_it(&again, send(message, None));
    assert_eq!(b.held("A"), 0);
}

#[test]
fn a_gap_that_is_filled_later_is_no_repetition() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let (first, second) = (b.message(&c, "A", "first"), b.message(&c, "A", "second"));
    b.do_it(&c, send(second, None));
    b.do_it(&c, send(first, None));
    assert_eq!(b.held("A"), 2);
}

#[test]
fn a_message_that_was_rolled_back_may_be_sent_again() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let message = b.message(&c, "A", "m");
    b.transaction(&c, 1, TransactionVerb::Begin);
    b.tell(&c, send(message.clone(), Some(local_transaction(&c, 1))));
    b.transaction(&c, 1, TransactionVerb::Rollback);
    b.do_it(&c, send(message, None));
    assert_eq!(b.held("A"), 1);
}

#[test]
fn a_forwarded_message_is_never_taken_for_a_repetition() {
    let mut b = Bench::new();
    let (c, bridge) = (b.connect("c"), b.connect("bridge"));
    let message = b.message(&c, "A", "m");
    b.do_it(&c, send(message.clone(), None));
    let forwarded = Intent::Send(SendRequest {
        producer: ferromq_model::ProducerId::new(bridge.id.clone(), 1, 9),
        message: std::sync::Arc::new(message),
        transaction: None,
        window_bytes: 0,
    });
    b.do_it(&bridge, forwarded);
    assert_eq!(b.held("A"), 2);
}

#[test]
fn thousands_of_producers_are_remembered() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let mut messages = Vec::new();
    for n in 0..500 {
        let mut message = b.message(&c, "A", "m");
        let producer = ferromq_model::ProducerId::new(c.id.clone(), 1, 1_000 + n);
        message.id = ferromq_model::MessageId::new(producer, 1);
        b.do_it(&c, send(message.clone(), None));
        messages.push(message);
    }
    for message in messages {
        b.do_it(&c, send(message, None));
    }
    assert_eq!(b.held("A"), 500);
}

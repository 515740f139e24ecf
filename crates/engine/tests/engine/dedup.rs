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
        position: None,
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

#[test]
fn a_repetition_is_not_answered_before_the_first_is_durable() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let message = b.message(&c, "A", "m");
    b.do_it(&c, send(message.clone(), None));
    let second = b.message(&c, "A", "m2");
    b.auto = false;
    b.begin(&c, send(second.clone(), None));
    b.detach(&c);
    let c = b.connect("c");
    let again = b.begin(&c, send(second, None));
    assert!(!b.replies.contains_key(&again), "the disk has not answered, and the broker may die");
    b.sync();
    assert!(matches!(b.replies[&again], Effect::Done));
    let known = b.begin(&c, send(message, None));
    assert!(matches!(b.replies[&known], Effect::Done), "nothing is under way any longer");
}

#[test]
fn a_repeated_commit_is_not_answered_before_the_first_is_durable() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let message = b.message(&c, "A", "m");
    let transaction = local_transaction(&c, 1);
    let verb = |verb| Intent::Transaction { id: Some(transaction.clone()), verb };
    b.auto = false;
    b.begin(&c, verb(TransactionVerb::Begin));
    b.tell(&c, send(message.clone(), Some(transaction.clone())));
    b.begin(&c, verb(TransactionVerb::CommitOnePhase));

    // One client replays the whole transaction, another one only asks again.
    b.detach(&c);
    let c = b.connect("c");
    let asked = b.begin(&c, verb(TransactionVerb::CommitOnePhase));
    b.begin(&c, verb(TransactionVerb::Begin));
    b.tell(&c, send(message, Some(transaction.clone())));
    let replayed = b.begin(&c, verb(TransactionVerb::CommitOnePhase));
    assert!(!b.replies.contains_key(&asked) && !b.replies.contains_key(&replayed));
    b.sync();
    assert!(matches!((&b.replies[&asked], &b.replies[&replayed]), (Effect::Done, Effect::Done)));
    assert_eq!((b.held("A"), b.store.messages()), (1, 1));
}

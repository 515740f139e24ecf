//! Acknowledgements that a client repeats to the next broker, since the one before died without an answer.

use ferromq_engine::*;

use crate::bench::*;

/// What `got` was, acknowledged by another consumer.
fn repeat(consumer: LocalId, first: &Got, last: &Got, count: u32) -> Intent {
    let as_if = |got: &Got| Got { consumer, ..got.clone() };
    ack(AckKind::Standard, &as_if(first), &as_if(last), count, None)
}

/// `count` messages that a consumer has when the broker dies.
fn dispatched(b: &mut Bench, count: usize) -> Vec<Got> {
    let c = b.connect("before");
    b.consume(&c, "A");
    for n in 1..=count {
        b.send(&c, "A", &format!("m{n}"));
    }
    b.take()
}

#[test]
fn one_that_was_done_before_the_broker_died_is_done() {
    let mut b = Bench::new();
    let got = dispatched(&mut b, 3);
    let c = Client { conn: got[0].conn, id: "ID:before-1".into() };
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, None));
    b.crash();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    b.do_it(&c, repeat(consumer, &got[0], &got[0], 1));
    assert_eq!(b.held("A"), 2, "nothing else was touched");
}

#[test]
fn one_that_was_not_done_is_done_now_and_the_message_does_not_come_again() {
    let mut b = Bench::new();
    let got = dispatched(&mut b, 3);
    b.crash();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    b.do_it(&c, repeat(consumer, &got[1], &got[1], 1));
    b.do_it(&c, Intent::SetPrefetch { consumer, prefetch: 10 });
    assert_eq!(b.texts(), ["m1", "m3"]);
    b.crash();
    assert_eq!(b.held("A"), 2, "its removal was durable before the answer");
}

#[test]
fn what_a_client_repeats_of_a_transaction_is_never_committed_without_its_acknowledgements() {
    let mut b = Bench::new();
    let got = dispatched(&mut b, 2);
    b.crash();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    let id = local_transaction(&c, 1);
    let begin = Intent::Transaction { id: Some(id.clone()), verb: TransactionVerb::Begin };
    b.tell(&c, begin);
    let mine = |got: &Got| Got { consumer, ..got.clone() };
    b.tell(&c, ack(AckKind::Standard, &mine(&got[0]), &mine(&got[1]), 2, Some(id)));
    let answer = b.transaction(&c, 1, TransactionVerb::CommitOnePhase);
    assert!(matches!(&answer, Effect::Failed(fault) if fault.kind == FaultKind::RolledBack), "{answer:?}");
    b.do_it(&c, Intent::SetPrefetch { consumer, prefetch: 10 });
    assert_eq!(b.texts(), ["m1", "m2"]);
}

#[test]
fn a_second_copy_of_what_a_consumer_committed_is_acknowledged_in_a_transaction_without_effect() {
    let mut b = Bench::new();
    dispatched(&mut b, 4);
    b.crash();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 10);
    let got = b.take();
    assert_eq!(got.len(), 4);
    let mut commit = |client: &Client, consumer: LocalId, number: i64, first: usize, last: usize| {
        let mine = |got: &Got| Got { consumer, ..got.clone() };
        let count = u32::try_from(last + 1 - first).unwrap();
        let id = local_transaction(client, number);
        b.tell(client, Intent::Transaction { id: Some(id.clone()), verb: TransactionVerb::Begin });
        b.tell(client, ack(AckKind::Standard, &mine(&got[first]), &mine(&got[last]), count, Some(id)));
        let answer = b.transaction(client, number, TransactionVerb::CommitOnePhase);
        (matches!(answer, Effect::Done), b.held("A"))
    };
    assert_eq!(commit(&c, consumer, 1, 0, 1), (true, 2));
    assert_eq!(commit(&c, consumer, 2, 0, 1), (true, 2), "once more");
    assert_eq!(commit(&c, consumer, 3, 1, 2), (false, 2), "half of it is still to be consumed");
    assert_eq!(commit(&c, consumer, 4, 3, 3), (true, 1));
    assert_eq!(commit(&c, consumer, 5, 1, 3), (false, 1), "what lies between is still to be consumed");
    assert_eq!(commit(&c, consumer, 6, 2, 2), (true, 0));
    assert_eq!(commit(&c, consumer, 7, 1, 3), (true, 0));
}

#[test]
fn one_whose_message_went_to_another_consumer_is_refused() {
    let mut b = Bench::new();
    let got = dispatched(&mut b, 3);
    b.crash();
    let other = b.connect("other");
    b.consume(&other, "A");
    let taken = b.take();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    let fault = b.refused(&c, repeat(consumer, &got[0], &got[0], 1));
    assert!(fault.text.contains("Unmatched acknowledge"), "{}", fault.text);
    b.ack_all(&other, &taken);
    let fault = b.refused(&c, repeat(consumer, &got[0], &got[0], 1));
    assert!(fault.text.contains("Unmatched acknowledge"), "the other one had it: {}", fault.text);
}

#[test]
fn a_range_is_done_if_its_ends_were_and_refused_if_they_wait() {
    let mut b = Bench::new();
    let got = dispatched(&mut b, 5);
    let c = Client { conn: got[0].conn, id: "ID:before-1".into() };
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[2], 3, None));
    b.crash();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    b.do_it(&c, repeat(consumer, &got[0], &got[2], 3));
    b.refused(&c, repeat(consumer, &got[3], &got[4], 2));
    assert_eq!(b.held("A"), 2);
}

#[test]
fn one_is_found_behind_pages_and_among_bodies_that_are_not_in_memory() {
    let mut b = Bench::policy(Policy { window: 16, ..Policy::default() });
    let got = dispatched(&mut b, 600);
    b.crash();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    b.auto = false;
    let tag = b.begin(&c, repeat(consumer, &got[599], &got[599], 1));
    assert!(!b.replies.contains_key(&tag), "the store is asked first");
    b.run();
    assert!(matches!(b.replies.get(&tag), Some(Effect::Done)), "{:?}", b.replies.get(&tag));
    assert_eq!(b.held("A"), 599);
}

#[test]
fn who_did_not_come_back_is_refused_as_ever() {
    let mut b = Bench::new();
    let got = dispatched(&mut b, 1);
    b.crash();
    let c = b.connect("stranger");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    b.refused(&c, repeat(consumer, &got[0], &got[0], 1));
    assert_eq!(b.held("A"), 1);
}

#[test]
fn a_durable_subscriber_repeats_as_others_do() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| f.subscription = Some("s".into()));
    for n in 1..=3 {
        b.send(&c, "topic://T", &format!("m{n}"));
    }
    let got = b.take();
    b.ack(&c, &got[0]);
    b.crash();
    let c = b.reconnect("c");
    let consumer = b.consume_as(&c, "topic://T", |f| {
        f.subscription = Some("s".into());
        f.prefetch = 0;
    });
    b.do_it(&c, repeat(consumer, &got[0], &got[0], 1));
    b.do_it(&c, repeat(consumer, &got[1], &got[1], 1));
    b.do_it(&c, Intent::SetPrefetch { consumer, prefetch: 10 });
    assert_eq!(b.texts(), ["m3"]);
}

#[test]
fn one_that_waits_for_the_store_goes_with_its_connection() {
    let mut b = Bench::new();
    let got = dispatched(&mut b, 1);
    b.crash();
    let c = b.reconnect("before");
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    b.auto = false;
    let tag = b.begin(&c, repeat(consumer, &got[0], &got[0], 1));
    b.detach(&c);
    b.run();
    assert!(!b.replies.contains_key(&tag));
    assert_eq!(b.held("A"), 1);
}

/// Acknowledgements that come while the store is still read, beside sends and other consumers.
#[test]
fn each_repeated_acknowledgement_is_answered_whatever_comes_between() {
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let mut below = |limit: u64| dice.below(limit);
        let mut b = Bench::new();
        let got = dispatched(&mut b, 30);
        let before = Client { conn: got[0].conn, id: "ID:before-1".into() };
        for got in &got {
            if below(3) == 0 {
                b.do_it(&before, ack(AckKind::Standard, got, got, 1, None));
            }
        }
        b.crash();
        let other = b.connect("other");
        let clients = [b.reconnect("c0"), b.reconnect("c1")];
        b.auto = false;
        let mut consumers = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..60 {
            match below(8) {
                0 if consumers.len() < 4 => {
                    let client = clients[usize::try_from(below(2)).unwrap()].clone();
                    let prefetch = [0, 1, 1000][usize::try_from(below(3)).unwrap()];
                    let consumer = b.consumer(&client, "A", |f| f.prefetch = prefetch);
                    b.tell(&client, Intent::AddConsumer(consumer.1));
                    consumers.push((client, consumer.0));
                }
                1 => {
                    let message = b.message(&other, "A", "new");
                    b.tell(&other, send(message, None));
                }
                2 | 3 if !consumers.is_empty() => {
                    let (client, consumer) =
                        consumers[usize::try_from(below(consumers.len() as u64)).unwrap()].clone();
                    let got = &got[usize::try_from(below(30)).unwrap()];
                    asked.push(b.begin(&client, repeat(consumer, got, got, 1)));
                }
                4 if !consumers.is_empty() => {
                    let (client, consumer) =
                        consumers[usize::try_from(below(consumers.len() as u64)).unwrap()].clone();
                    b.tell(&client, Intent::SetPrefetch { consumer, prefetch: 5 });
                }
                5 => b.sync_one(),
                _ => b.answer_load(),
            }
        }
        b.run();
        for tag in asked {
            assert!(b.replies.contains_key(&tag), "seed {seed}: no answer");
        }
    }
}

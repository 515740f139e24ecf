//! Topics without durable subscriptions.

use ferromq_engine::*;

use crate::bench::*;

#[test]
fn every_subscriber_gets_a_copy_and_latecomers_none() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "topic://T", "lost");
    let (first, second) = (b.consume(&c, "topic://T"), b.consume(&c, "topic://T"));
    b.send(&c, "topic://T", "m");
    assert_eq!(b.texts_of(&c, first), ["m"]);
    assert_eq!(b.texts_of(&c, second), ["m"]);
    assert_eq!(b.store.ops, 0, "nobody keeps it, so it is not stored");
}

#[test]
fn no_local_hides_the_messages_of_the_own_connection() {
    let mut b = Bench::new();
    let (c, d) = (b.connect("c"), b.connect("d"));
    b.consume_as(&c, "topic://T", |f| f.no_local = true);
    b.send(&c, "topic://T", "own");
    b.send(&d, "topic://T", "other");
    assert_eq!(b.texts(), ["other"]);
}

#[test]
fn a_subscriber_beyond_its_window_gets_the_rest_in_order_as_it_acknowledges() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| f.prefetch = 2);
    for n in 1..=5 {
        b.send_np(&c, "topic://T", &format!("m{n}"));
    }
    let got = b.take();
    assert_eq!(got.len(), 2);
    assert!(b.view_of("topic://T").memory_bytes > 0);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[1], 2, None));
    assert_eq!(b.texts(), ["m3", "m4"]);
    b.do_it(&c, ack(AckKind::Delivered, &got[0], &got[1], 1, None));
    assert_eq!(b.texts(), ["m5"]);
    assert_eq!(b.view_of("topic://T").memory_bytes, 0);
}

#[test]
fn a_slow_subscriber_loses_the_oldest_beyond_its_limit() {
    let mut b = Bench::policy(Policy { pending_limit: PendingLimit::Constant(3), ..Policy::default() });
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| f.prefetch = 1);
    for n in 1..=10 {
        b.send_np(&c, "topic://T", &format!("m{n}"));
    }
    let mut seen = Vec::new();
    while !b.got.is_empty() {
        for got in b.take() {
            seen.push(got.text());
            b.ack(&c, &got);
        }
    }
    assert_eq!(seen, ["m1", "m8", "m9", "m10"]);
    assert_eq!(b.view_of("topic://T").counters.discarded, 6);
}

#[test]
fn the_consumers_own_limit_beats_the_policy() {
    let mut b = Bench::policy(Policy { pending_limit: PendingLimit::Constant(3), ..Policy::default() });
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| {
        f.prefetch = 1;
        f.maximum_pending = 1;
    });
    for n in 1..=4 {
        b.send_np(&c, "topic://T", &format!("m{n}"));
    }
    assert_eq!(b.view_of("topic://T").counters.discarded, 2);
}

#[test]
fn selectors_and_wildcards_choose() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let by_type = b.consume_as(&c, "topic://T.1", |f| f.selector = Some("JMSType = 'x'".into()));
    let wild = b.consume(&c, "topic://T.>");
    b.send(&c, "topic://T.1", "plain");
    b.send_as(&c, "topic://T.1", "typed", |m| m.message_type = Some("x".into()));
    b.send(&c, "topic://T.2", "new topic");
    assert_eq!(b.texts_of(&c, by_type), ["typed"]);
    assert_eq!(b.texts_of(&c, wild), ["plain", "typed", "new topic"]);
}

#[test]
fn what_waits_for_a_subscriber_goes_with_it() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume_as(&c, "topic://T", |f| f.prefetch = 1);
    for n in 1..=3 {
        b.send_np(&c, "topic://T", &format!("m{n}"));
    }
    b.close(&c, consumer, -1);
    let view = b.view_of("topic://T");
    assert_eq!((view.held, view.memory_bytes, view.counters.discarded), (0, 0, 2));
}

#[test]
fn a_rolled_back_topic_acknowledgement_fills_the_window_again() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| f.prefetch = 1);
    b.transaction(&c, 1, TransactionVerb::Begin);
    b.send_np(&c, "topic://T", "m1");
    b.send_np(&c, "topic://T", "m2");
    let got = b.take();
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, Some(local_transaction(&c, 1))));
    assert_eq!(b.texts(), ["m2"], "uncommitted messages do not stall the flow");
    b.transaction(&c, 1, TransactionVerb::Rollback);
    b.send_np(&c, "topic://T", "m3");
    assert!(b.got.is_empty());
}

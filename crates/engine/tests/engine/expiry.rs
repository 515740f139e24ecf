//! Expiry: JMS 1.1 §4.8.

use std::time::Duration;

use ferromq_engine::*;

use crate::bench::*;

fn send_with_life(b: &mut Bench, c: &Client, text: &str, life_ms: i64) {
    let at = b.now.wall.0 + life_ms;
    b.send_as(c, "A", text, |m| m.expiration = at);
}

#[test]
fn a_message_that_is_too_old_on_arrival_becomes_a_dead_letter() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    send_with_life(&mut b, &c, "old", -1);
    assert!(b.got.is_empty());
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ")), (0, 1));
}

#[test]
fn a_message_that_ages_in_the_queue_is_not_delivered() {
    let mut b = Bench::new();
    let c = b.connect("c");
    send_with_life(&mut b, &c, "old", 1_000);
    b.send(&c, "A", "ageless");
    b.wait(Duration::from_secs(2));
    b.consume(&c, "A");
    assert_eq!(b.texts(), ["ageless"]);
    let view = b.view_of("A");
    assert_eq!((view.counters.dead_lettered, b.held("ActiveMQ.DLQ")), (1, 1));
}

#[test]
fn the_periodic_search_finds_them_without_any_consumer() {
    let mut b = Bench::new();
    let c = b.connect("c");
    send_with_life(&mut b, &c, "old", 1_000);
    send_with_life(&mut b, &c, "older", 45_000);
    b.wait(Duration::from_secs(30));
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ")), (1, 1));
    b.wait(Duration::from_secs(30));
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ")), (0, 2));
    assert_eq!(b.store.messages(), 2);
}

#[test]
fn expired_non_persistent_messages_are_just_gone() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let at = b.now.wall.0 + 5;
    b.send_as(&c, "A", "old", |m| {
        m.expiration = at;
        m.persistent = false;
    });
    b.wait(Duration::from_secs(31));
    let view = b.view_of("A");
    assert_eq!((view.held, view.counters.expired, view.memory_bytes), (0, 1, 0));
}

#[test]
fn a_consumer_may_find_a_message_expired_itself() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    send_with_life(&mut b, &c, "m", 1_000);
    let got = b.take();
    b.do_it(&c, ack(AckKind::Expired, &got[0], &got[0], 1, None));
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ")), (0, 1));
}

#[test]
fn an_expired_message_whose_body_is_in_the_store_alone_is_loaded_for_the_dead_letters() {
    let mut b = Bench::with(Settings {
        limits: Limits { body_cache_bytes: 0, ..Limits::default() },
        ..Settings::default()
    });
    let c = b.connect("c");
    send_with_life(&mut b, &c, "old", 1_000);
    b.wait(Duration::from_secs(30));
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ")), (0, 1));
    b.consume(&c, "ActiveMQ.DLQ");
    assert_eq!(b.texts(), ["old"]);
}

#[test]
fn topic_messages_that_age_while_they_wait_are_dropped() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| f.prefetch = 1);
    let at = b.now.wall.0 + 10;
    b.send_np(&c, "topic://T", "m1");
    b.send_as(&c, "topic://T", "old", |m| {
        m.expiration = at;
        m.persistent = false;
    });
    b.send_np(&c, "topic://T", "m3");
    let got = b.take();
    b.wait(Duration::from_millis(20));
    b.ack(&c, &got[0]);
    assert_eq!(b.texts(), ["m3"]);
    assert_eq!(b.view_of("topic://T").counters.expired, 1);
}

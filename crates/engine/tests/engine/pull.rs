//! Consumers with prefetch 0, which pull.

use std::time::Duration;

use ferromq_engine::*;

use crate::bench::*;

fn puller(b: &mut Bench, c: &Client, destination: &str) -> LocalId {
    b.consume_as(c, destination, |f| f.prefetch = 0)
}

fn pull(b: &mut Bench, c: &Client, consumer: LocalId, timeout: Option<u64>) {
    b.tell(c, Intent::Pull { consumer, timeout: timeout.map(Duration::from_millis) });
}

#[test]
fn nothing_comes_without_a_pull_and_one_message_with_each() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = puller(&mut b, &c, "A");
    b.send(&c, "A", "m1");
    b.send(&c, "A", "m2");
    assert!(b.got.is_empty());
    pull(&mut b, &c, consumer, None);
    assert_eq!(b.texts(), ["m1"]);
    pull(&mut b, &c, consumer, Some(0));
    assert_eq!(b.texts(), ["m2"]);
}

#[test]
fn a_pull_that_does_not_wait_is_answered_with_nothing() {
    for destination in ["A", "topic://T"] {
        let mut b = Bench::new();
        let c = b.connect("c");
        let consumer = puller(&mut b, &c, destination);
        pull(&mut b, &c, consumer, Some(0));
        assert_eq!(b.texts(), ["-"], "{destination}");
        b.send(&c, destination, "m");
        assert!(b.got.is_empty(), "{destination}: the pull is over");
    }
}

#[test]
fn a_pull_ends_when_its_time_is_over_and_not_before() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = puller(&mut b, &c, "A");
    pull(&mut b, &c, consumer, Some(500));
    b.wait(Duration::from_millis(499));
    assert!(b.got.is_empty());
    b.wait(Duration::from_millis(1));
    assert_eq!(b.texts(), ["-"]);
}

#[test]
fn a_message_answers_the_pull_that_waits_and_no_empty_answer_follows() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = puller(&mut b, &c, "A");
    pull(&mut b, &c, consumer, Some(500));
    b.send(&c, "A", "m");
    assert_eq!(b.texts(), ["m"]);
    b.wait(Duration::from_secs(1));
    assert!(b.got.is_empty());
}

#[test]
fn a_pull_that_does_not_wait_still_finds_what_lies_in_the_store() {
    let mut b = Bench::policy(Policy { window: 16, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=100 {
        b.send(&c, "A", &format!("m{n}"));
    }
    b.crash();
    let c = b.connect("c");
    let consumer = puller(&mut b, &c, "A");
    b.auto = false;
    pull(&mut b, &c, consumer, Some(0));
    assert!(b.got.is_empty());
    b.run();
    assert_eq!(b.texts(), ["m1"]);
}

#[test]
fn a_consumer_made_anew_with_prefetch_0_gets_its_window_back() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = puller(&mut b, &c, "A");
    b.send(&c, "A", "m");
    b.do_it(&c, Intent::SetPrefetch { consumer, prefetch: 10 });
    assert_eq!(b.texts(), ["m"]);
}

#[test]
fn a_client_that_pulls_often_with_long_waits_leaves_one_timer() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = puller(&mut b, &c, "A");
    for n in 1..=50 {
        pull(&mut b, &c, consumer, Some(10_000 + n));
        b.send(&c, "A", "m");
    }
    assert_eq!(b.take().len(), 50);
    b.wait(Duration::from_secs(11));
    assert_eq!(b.engine.next_deadline(), None);
    pull(&mut b, &c, consumer, Some(500));
    b.wait(Duration::from_millis(500));
    assert_eq!(b.texts(), ["-"]);
}

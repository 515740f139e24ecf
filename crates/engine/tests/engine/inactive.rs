//! Destinations that nobody uses.

use std::time::Duration;

use ferromq_engine::*;
use ferromq_model::Destination;

use crate::bench::*;

const PERIOD: Duration = Duration::from_secs(10);

fn bench() -> Bench {
    let policy = Policy { inactive_timeout: Some(Duration::from_secs(60)), ..Policy::default() };
    Bench::with(Settings { policies: Policies::new(policy), gc_period: PERIOD, ..Settings::default() })
}

fn pass(b: &mut Bench, seconds: u64) {
    for _ in 0..seconds / PERIOD.as_secs() {
        b.wait(PERIOD);
    }
}

fn exists(b: &Bench, name: &str) -> bool {
    b.engine.view().destination(&Destination::queue(name)).is_some()
}

#[test]
fn what_is_empty_and_unused_for_long_enough_is_removed_from_the_store_too() {
    let mut b = bench();
    let c = b.connect("c");
    b.send(&c, "used", "m");
    let used = b.consume(&c, "used");
    let got = b.take();
    b.ack_all(&c, &got);
    b.send(&c, "full", "m");
    b.send(&c, "gone", "m");
    let consumer = b.consume(&c, "gone");
    let got = b.take();
    b.ack_all(&c, &got);
    b.close(&c, consumer, -1);
    pass(&mut b, 60);
    assert!(exists(&b, "gone"), "not yet");
    pass(&mut b, 20);
    assert!(!exists(&b, "gone") && exists(&b, "full") && exists(&b, "used"));
    b.close(&c, used, -1);
    pass(&mut b, 80);
    assert!(!exists(&b, "used"));
    b.crash();
    assert!(exists(&b, "full") && !exists(&b, "gone"));
}

#[test]
fn a_send_is_a_use() {
    let mut b = bench();
    let c = b.connect("c");
    for _ in 0..5 {
        b.send(&c, "topic://T", "nobody listens");
        pass(&mut b, 40);
    }
    assert!(b.engine.view().destination(&Destination::topic("T")).is_some());
    pass(&mut b, 80);
    assert!(b.engine.view().destination(&Destination::topic("T")).is_none());
}

#[test]
fn without_a_policy_nothing_is_removed() {
    let mut b = Bench::with(Settings { gc_period: PERIOD, ..Settings::default() });
    let c = b.connect("c");
    let consumer = b.consume(&c, "A");
    b.close(&c, consumer, -1);
    pass(&mut b, 600);
    assert!(exists(&b, "A"));
}

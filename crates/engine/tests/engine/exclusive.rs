//! Exclusive consumers.

use ferromq_engine::*;

use crate::bench::*;

#[test]
fn an_exclusive_consumer_gets_everything_and_another_takes_over_in_order() {
    let mut b = Bench::new();
    let (gone, c) = (b.connect("gone"), b.connect("c"));
    b.consume_as(&gone, "A", |f| f.exclusive = true);
    let plain = b.consume(&c, "A");
    let next = b.consume_as(&c, "A", |f| f.exclusive = true);
    b.send(&c, "A", "m1");
    b.send(&c, "A", "m2");
    assert!(b.got.iter().all(|got| got.conn == gone.conn));
    b.take();
    b.detach(&gone);
    b.send(&c, "A", "m3");
    assert_eq!(b.texts_of(&c, next), ["m1", "m2", "m3"]);
    b.close(&c, next, -1);
    assert_eq!(
        b.texts_of(&c, plain),
        ["m1", "m2", "m3"],
        "without an exclusive one the others compete again"
    );
}

#[test]
fn the_higher_priority_is_the_exclusive_one() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "A", |f| f.exclusive = true);
    let strong = b.consume_as(&c, "A", |f| {
        f.exclusive = true;
        f.priority = 10;
    });
    b.send(&c, "A", "m");
    assert_eq!(b.texts_of(&c, strong), ["m"]);
}

#[test]
fn a_policy_makes_every_consumer_exclusive() {
    let mut b = Bench::policy(Policy { all_consumers_exclusive: true, ..Policy::default() });
    let c = b.connect("c");
    let first = b.consume(&c, "A");
    b.consume(&c, "A");
    for n in 1..=3 {
        b.send(&c, "A", &format!("m{n}"));
    }
    assert_eq!(b.texts_of(&c, first), ["m1", "m2", "m3"]);
}

#[test]
fn dispatch_waits_for_enough_consumers_or_long_enough() {
    use std::time::Duration;
    let policy = Policy {
        consumers_before_dispatch: 2,
        time_before_dispatch: Duration::from_secs(5),
        ..Policy::default()
    };
    let mut b = Bench::policy(policy);
    let c = b.connect("c");
    b.send(&c, "A", "m");
    b.send(&c, "B", "n");
    b.consume(&c, "A");
    assert!(b.got.is_empty());
    b.consume(&c, "A");
    assert_eq!(b.texts(), ["m"]);
    b.consume(&c, "B");
    b.wait(Duration::from_millis(4_999));
    assert!(b.got.is_empty());
    b.wait(Duration::from_millis(1));
    assert_eq!(b.texts(), ["n"]);
}

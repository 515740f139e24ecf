//! Browsers: JMS 1.1 §5.9.

use ferromq_engine::*;

use crate::bench::*;

fn browser(b: &mut Bench, c: &Client, queue: &str, prefetch: u32) -> LocalId {
    b.consume_as(c, queue, |f| {
        f.browser = true;
        f.prefetch = prefetch;
    })
}

#[test]
fn a_browser_sees_all_in_order_then_the_end_and_takes_nothing() {
    let mut b = Bench::new();
    let c = b.connect("c");
    for n in 1..=3 {
        b.send(&c, "A", &format!("m{n}"));
    }
    browser(&mut b, &c, "A", 500);
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["m1", "m2", "m3", "-"]);
    b.tell(&c, ack(AckKind::Standard, &got[0], &got[2], 3, None));
    assert!(b.notices.is_empty(), "acknowledgements of a browser are ignored");
    assert_eq!(b.held("A"), 3);
    b.consume(&c, "A");
    assert_eq!(b.take()[0].delivery.redelivery_counter, 0, "a look is no delivery");
}

#[test]
fn a_small_window_is_filled_again_by_acknowledgements() {
    let mut b = Bench::new();
    let c = b.connect("c");
    for n in 1..=5 {
        b.send(&c, "A", &format!("m{n}"));
    }
    browser(&mut b, &c, "A", 2);
    let got = b.take();
    assert_eq!(got.len(), 2);
    b.tell(&c, ack(AckKind::Standard, &got[0], &got[1], 2, None));
    b.tell(&c, ack(AckKind::Standard, &got[0], &got[1], 2, None));
    assert_eq!(b.texts(), ["m3", "m4", "m5", "-"]);
}

#[test]
fn messages_with_a_consumer_are_seen_and_new_ones_are_not() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "A", "held");
    b.consume_as(&c, "A", |f| f.prefetch = 1);
    b.send(&c, "A", "waits");
    b.take();
    let who = browser(&mut b, &c, "A", 1);
    b.send(&c, "A", "later");
    let mut seen = b.take();
    assert_eq!(seen.len(), 1);
    for _ in 0..3 {
        let last = seen.last().unwrap().clone();
        b.tell(&c, ack(AckKind::Standard, &last, &last, 1, None));
        seen.extend(b.take());
    }
    assert!(seen.iter().all(|got| got.consumer == who));
    assert_eq!(seen.iter().map(Got::text).collect::<Vec<_>>(), ["held", "waits", "-"]);
}

#[test]
fn a_backlog_in_the_store_is_browsed_whole() {
    let mut b = Bench::policy(Policy { window: 16, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=700 {
        b.send(&c, "A", &format!("m{n}"));
    }
    browser(&mut b, &c, "A", 100_000);
    let mut expected = named("m", 1..=700);
    expected.push("-".into());
    assert_eq!(b.texts(), expected);
    assert_eq!(b.view_of("A").in_flight, 0);
}

#[test]
fn a_selector_filters_the_look() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "A", "plain");
    b.send_as(&c, "A", "typed", |m| m.message_type = Some("x".into()));
    b.consume_as(&c, "A", |f| {
        f.browser = true;
        f.selector = Some("JMSType='x'".into());
    });
    assert_eq!(b.texts(), ["typed", "-"]);
}

#[test]
fn an_empty_queue_ends_at_once_and_a_topic_can_not_be_browsed() {
    let mut b = Bench::new();
    let c = b.connect("c");
    browser(&mut b, &c, "A", 500);
    assert_eq!(b.texts(), ["-"]);
    let (_, facts) = b.consumer(&c, "topic://T", |f| f.browser = true);
    assert_eq!(b.refused(&c, Intent::AddConsumer(facts)).kind, FaultKind::InvalidDestination);
}

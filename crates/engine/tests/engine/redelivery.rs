//! Redelivery: JMS 1.1 §4.4.11, and which messages count as redelivered when a consumer goes.

use ferromq_engine::*;

use crate::bench::*;

fn counters(got: &[Got]) -> Vec<(String, u32)> {
    got.iter().map(|got| (got.text(), got.delivery.redelivery_counter)).collect()
}

fn expected(list: &[(&str, u32)]) -> Vec<(String, u32)> {
    list.iter().map(|(text, count)| ((*text).to_owned(), *count)).collect()
}

/// A consumer holds m1 … m4 and goes with `last` (an index into them, or −1, −2); another comes.
fn close_with(last: impl Fn(&[Got]) -> i64) -> Vec<(String, u32)> {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume(&c, "A");
    for n in 1..=4 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let got = b.take();
    b.close(&c, consumer, last(&got));
    b.consume(&c, "A");
    counters(&b.take())
}

#[test]
fn messages_that_the_application_never_saw_keep_their_counter() {
    assert_eq!(close_with(|_| -1), expected(&[("m1", 0), ("m2", 0), ("m3", 0), ("m4", 0)]));
}

#[test]
fn messages_up_to_the_last_delivered_count_once_more() {
    let last = |got: &[Got]| got[1].delivery.sequence.0 as i64;
    assert_eq!(close_with(last), expected(&[("m1", 1), ("m2", 1), ("m3", 0), ("m4", 0)]));
}

#[test]
fn without_knowledge_all_count_once_more() {
    assert_eq!(close_with(|_| -2), expected(&[("m1", 1), ("m2", 1), ("m3", 1), ("m4", 1)]));
}

#[test]
fn a_last_delivered_message_that_was_acknowledged_still_tells_what_came_before() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let consumer = b.consume(&c, "A");
    for n in 1..=4 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let got = b.take();
    b.do_it(&c, ack(AckKind::Individual, &got[2], &got[2], 1, None));
    b.close(&c, consumer, got[2].delivery.sequence.0 as i64);
    b.consume(&c, "A");
    assert_eq!(counters(&b.take()), expected(&[("m1", 1), ("m2", 1), ("m4", 0)]));
}

#[test]
fn what_one_consumer_saw_of_its_queue_says_nothing_about_another_queue() {
    let mut b = Bench::new();
    let (leaving, c) = (b.connect("leaving"), b.connect("c"));
    b.consume(&leaving, "idle");
    b.consume(&leaving, "busy");
    b.send(&c, "idle", "never seen");
    b.send(&c, "busy", "seen");
    let got = b.take();
    assert_eq!(counters(&got), expected(&[("never seen", 0), ("seen", 0)]));
    // The client names the last message that any of its consumers saw.
    b.do_it(&leaving, Intent::Disconnect { last_delivered: got[1].delivery.sequence.0 as i64 });
    b.consume(&c, "idle");
    b.consume(&c, "busy");
    assert_eq!(counters(&b.take()), expected(&[("never seen", 0), ("seen", 1)]));
}

#[test]
fn a_lost_connection_gives_everything_back_in_its_place() {
    let mut b = Bench::new();
    let (lost, c) = (b.connect("lost"), b.connect("c"));
    b.consume_as(&lost, "A", |f| f.prefetch = 2);
    for n in 1..=4 {
        b.send(&c, "A", &format!("m{n}"));
    }
    b.take();
    b.detach(&lost);
    b.consume(&c, "A");
    assert_eq!(counters(&b.take()), expected(&[("m1", 1), ("m2", 1), ("m3", 0), ("m4", 0)]));
}

#[test]
fn returned_messages_go_to_another_consumer_that_waits() {
    let mut b = Bench::new();
    let (lost, c) = (b.connect("lost"), b.connect("c"));
    b.consume(&lost, "A");
    b.send(&c, "A", "m1");
    b.take();
    let waiting = b.consume(&c, "A");
    b.detach(&lost);
    assert_eq!(b.texts_of(&c, waiting), ["m1"]);
}

#[test]
fn closing_a_session_closes_its_consumers() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.send(&c, "A", "m1");
    let got = b.take();
    let last_delivered = got[0].delivery.sequence.0 as i64;
    b.do_it(&c, Intent::RemoveSession { session: 1, last_delivered });
    b.do_it(&c, Intent::AddSession { session: 1 });
    b.consume(&c, "A");
    assert_eq!(counters(&b.take()), expected(&[("m1", 1)]));
}

//! Acknowledgements of every kind, and what ActiveMQ says of those that match nothing.

use ferromq_engine::*;

use crate::bench::*;

fn three(b: &mut Bench, c: &Client) -> Vec<Got> {
    b.consume(c, "A");
    for n in 1..=3 {
        b.send(c, "A", &format!("m{n}"));
    }
    b.take()
}

#[test]
fn a_range_acknowledges_everything_between_its_ends() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let got = three(&mut b, &c);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[1], 2, None));
    assert_eq!(b.held("A"), 1);
}

#[test]
fn a_range_without_a_first_begins_at_the_oldest() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let got = three(&mut b, &c);
    let Intent::Ack(mut request) = ack(AckKind::Standard, &got[0], &got[2], 3, None) else { unreachable!() };
    request.first = None;
    b.do_it(&c, Intent::Ack(request));
    assert_eq!(b.held("A"), 0);
}

#[test]
fn an_individual_acknowledgement_takes_that_message_alone() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let got = three(&mut b, &c);
    b.do_it(&c, ack(AckKind::Individual, &got[1], &got[1], 1, None));
    assert_eq!(b.held("A"), 2);
    b.do_it(&c, ack(AckKind::Individual, &got[1], &got[1], 1, None));
    assert_eq!(b.held("A"), 2, "one that is unknown is ignored");
}

#[test]
fn what_matches_nothing_is_an_unmatched_acknowledge() {
    for (kind, count, words) in [
        (AckKind::Standard, 1, "Unmatched acknowledge"),
        (AckKind::Delivered, 1, "Could not correlate acknowledgment"),
        (AckKind::Expired, 1, "Could not correlate acknowledgment"),
        (AckKind::Redelivered, 1, "Could not correlate acknowledgment"),
        (AckKind::Poison, 1, "Could not correlate acknowledgment"),
    ] {
        let mut b = Bench::new();
        let c = b.connect("c");
        let got = three(&mut b, &c);
        b.ack(&c, &got[0]);
        let fault = b.refused(&c, ack(kind, &got[0], &got[0], count, None));
        assert!(fault.text.contains(words), "{kind:?}: {}", fault.text);
        assert_eq!(fault.kind, FaultKind::General);
        assert_eq!(b.held("A"), 2);
    }
}

#[test]
fn a_wrong_count_is_an_unmatched_acknowledge_told_as_a_failure() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let got = three(&mut b, &c);
    b.tell(&c, ack(AckKind::Standard, &got[0], &got[1], 3, None));
    let [(conn, Notice::Failure(fault))] = &b.notices[..] else { panic!("{:?}", b.notices) };
    assert_eq!(*conn, c.conn);
    assert!(
        fault.text.contains("Expected message count (3) differs from count in dispatched-list (2)"),
        "{}",
        fault.text
    );
    assert_eq!(b.held("A"), 3);
}

#[test]
fn an_acknowledgement_of_a_consumer_that_is_gone_is_ignored() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let got = three(&mut b, &c);
    b.close(&c, got[0].consumer, -1);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[0], 1, None));
    assert_eq!(b.held("A"), 3);
}

#[test]
fn an_acknowledgement_with_an_answer_waits_for_the_disk_and_one_without_does_not_sync() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let got = three(&mut b, &c);
    b.auto = false;
    b.tell(&c, ack(AckKind::Standard, &got[0], &got[0], 1, None));
    assert_eq!(b.unsynced.back().unwrap().sync, ferromq_store::Sync::Lazy);
    let tag = b.begin(&c, ack(AckKind::Standard, &got[1], &got[1], 1, None));
    assert_eq!(b.unsynced.back().unwrap().sync, ferromq_store::Sync::Required);
    assert!(!b.replies.contains_key(&tag));
    b.sync();
    assert!(b.replies.contains_key(&tag));
}

#[test]
fn individual_acknowledgements_in_any_order_empty_the_queue() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    for n in 0..200 {
        b.send(&c, "A", &n.to_string());
    }
    let got = b.take();
    for n in 0..200 {
        let got = &got[(n * 77) % 200];
        b.tell(&c, ack(AckKind::Individual, got, got, 1, None));
    }
    assert_eq!((b.held("A"), b.store.messages()), (0, 0));
}

#[test]
fn a_consumer_of_a_queue_and_a_topic_acknowledges_both() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "A,topic://T", |f| f.prefetch = 2);
    b.send(&c, "A", "a");
    b.send(&c, "topic://T", "t");
    let got = b.take();
    b.ack(&c, &got[1]);
    b.ack(&c, &got[0]);
    assert_eq!(b.held("A"), 0);
    b.send(&c, "topic://T", "t2");
    b.send(&c, "A", "a2");
    assert_eq!(b.texts(), ["t2", "a2"], "the whole window is free again");
}

#[test]
fn a_topic_consumer_may_acknowledge_whatever_it_likes() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "topic://T");
    b.send(&c, "topic://T", "t");
    let got = b.take();
    b.ack(&c, &got[0]);
    b.ack(&c, &got[0]);
    assert!(b.notices.is_empty());
}

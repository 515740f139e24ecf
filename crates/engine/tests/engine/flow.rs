//! Flow control: a blocked producer waits, is told, or is refused; nobody else notices.

use std::time::Duration;

use ferromq_engine::*;
use ferromq_store::Space;

use crate::bench::*;

const SMALL: u64 = 2_000;

fn small() -> Policy {
    Policy { memory_bytes: SMALL, ..Policy::default() }
}

fn send_np(b: &mut Bench, c: &Client, queue: &str, text: &str) -> u32 {
    let mut message = b.message(c, queue, text);
    message.persistent = false;
    b.begin(c, send(message, None))
}

/// Fills queue A; gives the tag of the first send that waits.
fn fill(b: &mut Bench, c: &Client) -> u32 {
    for n in 0..100 {
        let tag = send_np(b, c, "A", &format!("m{n}"));
        if b.replies.remove(&tag).is_none() {
            return tag;
        }
    }
    panic!("no limit");
}

#[test]
fn a_full_destination_holds_the_answer_and_serves_the_connection_on() {
    let mut b = Bench::policy(small());
    let c = b.connect("c");
    let waiting = fill(&mut b, &c);
    assert!(b.paused.is_empty());
    b.send_np(&c, "B", "another destination is open");
    assert_eq!(b.view_of("A").blocked_sends, 1);
    assert!(b.logs.iter().any(|log| log.text.contains("queue://A") && log.severity == Severity::Warn));
    b.consume_as(&c, "A", |f| f.prefetch = 1);
    let got = b.take();
    b.ack(&c, &got[0]);
    assert!(b.replies.contains_key(&waiting), "room lets it in");
    assert_eq!(b.view_of("A").blocked_sends, 0);
}

#[test]
fn waiting_sends_keep_their_order() {
    let mut b = Bench::policy(small());
    let c = b.connect("c");
    fill(&mut b, &c);
    let before = b.held("A");
    send_np(&mut b, &c, "A", "second");
    send_np(&mut b, &c, "A", "third");
    b.consume(&c, "A");
    let mut seen = Vec::new();
    while !b.got.is_empty() {
        for got in b.take() {
            seen.push(got.text());
            b.ack(&c, &got);
        }
    }
    assert_eq!(seen.len() as u64, before + 3);
    assert_eq!(seen[seen.len() - 2..], ["second", "third"]);
}

#[test]
fn a_producer_without_answer_and_window_is_not_read_from_until_there_is_room() {
    let mut b = Bench::policy(small());
    let (c, d) = (b.connect("c"), b.connect("d"));
    for n in 0..50 {
        let mut message = b.message(&c, "A", &n.to_string());
        message.persistent = false;
        b.tell(&c, send(message, None));
        if b.paused.contains(&c.conn) {
            break;
        }
    }
    assert!(b.paused.contains(&c.conn));
    b.consume(&d, "A");
    while !b.got.is_empty() {
        for got in b.take() {
            b.ack(&d, &got);
        }
    }
    assert!(b.paused.is_empty());
}

#[test]
fn a_full_queue_does_not_hold_up_the_others_of_a_link() {
    let mut b = Bench::policy(small());
    let (link, c) = (b.connect("link"), b.connect("c"));
    let forwarded = |b: &mut Bench, queue: &str| {
        let mut message = b.message(&link, queue, "m");
        message.persistent = false;
        message.extra_mut().broker_path = vec!["b0".into()];
        b.begin(&link, send(message, None))
    };
    // Given a bridge that has sent its whole window for a queue that is full
    let last = (0..1_100).map(|_| forwarded(&mut b, "A")).last().unwrap();
    assert!(!b.replies.contains_key(&last));
    // when it sends to another one, then that is read and answered.
    assert!(b.paused.is_empty());
    let other = forwarded(&mut b, "B");
    assert!(matches!(b.replies.get(&other), Some(Effect::Done)));
    // All that waits goes in when there is room.
    let consumer = b.consume(&c, "A");
    while !b.got.is_empty() {
        for got in b.take() {
            b.ack(&c, &got);
        }
    }
    assert!(b.replies.contains_key(&last));
    b.close(&c, consumer, -2);

    // A bridge that heeds no window at all is not read from.
    for _ in 0..10_000 {
        forwarded(&mut b, "A");
        if b.paused.contains(&link.conn) {
            return;
        }
    }
    panic!("no limit");
}

#[test]
fn a_producer_with_a_window_gets_it_back_when_its_message_is_accepted() {
    let mut b = Bench::policy(small());
    let c = b.connect("c");
    let windowed = |b: &mut Bench| {
        let mut message = b.message(&c, "A", "m");
        message.persistent = false;
        let Intent::Send(mut request) = send(message, None) else { unreachable!() };
        request.window_bytes = 1_024;
        b.tell(&c, Intent::Send(request));
    };
    let mut sent = 0;
    while b.notices.len() == sent {
        windowed(&mut b);
        sent += 1;
    }
    assert!(b.paused.is_empty());
    b.consume(&c, "A");
    let got = b.take();
    b.ack(&c, &got[0]);
    assert_eq!(b.notices.len(), sent);
    assert!(
        b.notices.iter().all(|(_, notice)| matches!(notice, Notice::ProducerWindow { bytes: 1_024, .. }))
    );
}

#[test]
fn fail_if_no_space_refuses_at_once_or_after_a_time() {
    let mut b = Bench::policy(Policy { no_space: Some(NoSpace::Fail), ..small() });
    let c = b.connect("c");
    let refused = loop {
        let tag = send_np(&mut b, &c, "A", "m");
        if let Some(Effect::Failed(fault)) = b.replies.remove(&tag) {
            break fault;
        }
    };
    assert_eq!(refused.kind, FaultKind::ResourceAllocation);
    assert!(
        refused.text.contains("Stopping producer (ID:c-1:1:1) to prevent flooding queue://A"),
        "{}",
        refused.text
    );

    let mut b =
        Bench::policy(Policy { no_space: Some(NoSpace::FailAfter(Duration::from_secs(3))), ..small() });
    let c = b.connect("c");
    let waiting = fill(&mut b, &c);
    b.wait(Duration::from_millis(2_999));
    assert!(!b.replies.contains_key(&waiting));
    b.wait(Duration::from_millis(1));
    assert!(matches!(b.replies.get(&waiting), Some(Effect::Failed(_))));
}

#[test]
fn a_full_disk_refuses_persistent_messages_and_recovers_by_itself() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.send(&c, "A", "kept");
    b.step(Input::Resources { space: Space { used: 1_000, free: 0, live: 1_000 } });
    let message = b.message(&c, "A", "m");
    let fault = b.refused(&c, send(message.clone(), None));
    assert_eq!(fault.kind, FaultKind::ResourceAllocation);
    assert!(fault.text.contains("Persistent store is Full"), "{}", fault.text);
    b.send_np(&c, "B", "needs no disk");
    b.consume(&c, "A");
    let got = b.take();
    b.ack(&c, &got[0]);
    assert_eq!(b.held("A"), 0, "consumers go on");
    b.step(Input::Resources { space: Space { used: 1_000, free: 1 << 20, live: 0 } });
    b.do_it(&c, send(message, None));
    assert_eq!(b.held("A"), 1);
}

#[test]
fn what_is_on_its_way_to_a_nearly_full_disk_counts() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.auto = false;
    let room = b.message(&c, "A", "m").charge() as u64 * 3 / 2;
    let nearly_full = || Input::Resources { space: Space { used: 1_000, free: room, live: 1_000 } };
    b.step(nearly_full());

    // The first goes to the store, which measures its room again before it has seen the message.
    let message = b.message(&c, "A", "fits");
    b.begin(&c, send(message, None));
    b.step(nearly_full());
    let message = b.message(&c, "A", "does not");
    assert_eq!(b.refused(&c, send(message, None)).kind, FaultKind::ResourceAllocation);

    // A measure that counts it, with room for one more, lets one more in.
    b.sync();
    b.step(nearly_full());
    let message = b.message(&c, "A", "fits again");
    let tag = b.begin(&c, send(message, None));
    b.sync();
    assert!(matches!(b.replies.get(&tag), Some(Effect::Done)), "{:?}", b.replies.get(&tag));
}

#[test]
fn the_store_limit_blocks_persistent_producers() {
    let mut b = Bench::with(Settings {
        limits: Limits { store_bytes: 2_000, ..Limits::default() },
        ..Settings::default()
    });
    let c = b.connect("c");
    let waiting = loop {
        let message = b.message(&c, "A", "m");
        let tag = b.begin(&c, send(message, None));
        if !b.replies.contains_key(&tag) {
            break tag;
        }
    };
    b.consume(&c, "A");
    for got in b.take() {
        b.ack(&c, &got);
    }
    assert!(b.replies.contains_key(&waiting));
}

#[test]
fn the_brokers_memory_limit_holds_for_slow_topic_consumers() {
    let mut b = Bench::with(Settings {
        limits: Limits { memory_bytes: 2_000, ..Limits::default() },
        ..Settings::default()
    });
    let c = b.connect("c");
    b.consume_as(&c, "topic://T", |f| f.prefetch = 1);
    let waiting = loop {
        let tag = send_np(&mut b, &c, "topic://T", "m");
        if !b.replies.contains_key(&tag) {
            break tag;
        }
    };
    while !b.got.is_empty() {
        for got in b.take() {
            b.ack(&c, &got);
        }
    }
    assert!(b.replies.contains_key(&waiting));
}

#[test]
fn sends_of_a_connection_that_is_gone_are_never_taken_in() {
    let mut b = Bench::policy(small());
    let (c, d) = (b.connect("c"), b.connect("d"));
    fill(&mut b, &c);
    let held = b.held("A");
    b.detach(&c);
    b.consume(&d, "A");
    for got in b.take() {
        b.ack(&d, &got);
    }
    assert_eq!(b.view_of("A").counters.enqueued, held);
}

#[test]
fn a_send_that_is_repeated_while_it_waits_is_taken_in_once() {
    let mut b = Bench::policy(small());
    let c = b.connect("c");
    fill(&mut b, &c);
    let waiting = b.held("A") + 1;
    let message = b.message(&c, "A", "twice");
    let tags = [b.begin(&c, send(message.clone(), None)), b.begin(&c, send(message, None))];
    b.consume(&c, "A");
    while !b.got.is_empty() {
        for got in b.take() {
            b.ack(&c, &got);
        }
    }
    assert_eq!(b.view_of("A").counters.enqueued, waiting + 1);
    assert!(tags.iter().all(|tag| b.replies.contains_key(tag)), "both are answered");
}

#[test]
fn the_log_names_who_waits_and_for_whom_again_and_again() {
    let mut b = Bench::policy(small());
    let c = b.connect("c");
    b.consume_as(&c, "A", |f| f.prefetch = 1);
    fill(&mut b, &c);
    b.logs.clear();
    b.wait(Duration::from_secs(30));
    b.wait(Duration::from_secs(30));
    assert_eq!(b.logs.len(), 2);
    assert!(
        b.logs[0].text.contains("ID:c-1:1:1")
            && b.logs[0].text.contains("consumer ID:c-1:1:1 (1 unacknowledged)"),
        "{}",
        b.logs[0].text
    );
}

#[test]
fn a_flush_waits_for_sends_that_wait() {
    let mut b = Bench::policy(small());
    let c = b.connect("c");
    fill(&mut b, &c);
    let flush = b.begin(&c, Intent::Flush);
    assert!(!b.replies.contains_key(&flush));
    b.consume(&c, "A");
    for got in b.take() {
        b.ack(&c, &got);
    }
    assert!(b.replies.contains_key(&flush));
}

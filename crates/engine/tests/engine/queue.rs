//! Queues: order, competition, windows, and messages that do not fit into memory.

use ferromq_engine::*;

use crate::bench::*;

#[test]
fn a_persistent_message_is_stored_before_it_is_answered_and_delivered() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.auto = false;
    let message = b.message(&c, "A", "m");
    let tag = b.begin(&c, send(message, None));
    assert!(b.replies.is_empty() && b.got.is_empty(), "nothing leaves before the disk has it");
    b.sync();
    assert!(matches!(b.replies.remove(&tag), Some(Effect::Done)));
    assert_eq!(b.texts(), ["m"]);
}

#[test]
fn a_non_persistent_message_never_waits_for_the_disk() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.auto = false;
    let mut message = b.message(&c, "A", "m");
    message.persistent = false;
    let tag = b.begin(&c, send(message, None));
    assert!(b.replies.contains_key(&tag));
    assert_eq!(b.texts(), ["m"]);
    assert!(b.unsynced.is_empty());
}

#[test]
fn a_non_persistent_message_does_not_overtake_a_persistent_one() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.auto = false;
    let first = b.message(&c, "A", "first");
    b.begin(&c, send(first, None));
    let mut second = b.message(&c, "A", "second");
    second.persistent = false;
    b.begin(&c, send(second, None));
    assert!(b.got.is_empty());
    b.sync();
    assert_eq!(b.texts(), ["first", "second"]);
}

#[test]
fn an_acknowledged_message_is_gone_and_the_rest_is_in_order() {
    let mut b = Bench::new();
    let c = b.connect("c");
    for n in 1..=3 {
        b.send(&c, "A", &format!("m{n}"));
    }
    b.consume(&c, "A");
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), named("m", 1..=3));
    b.ack(&c, &got[0]);
    assert_eq!((b.held("A"), b.store.messages()), (2, 2));
    b.ack_all(&c, &got[1..]);
    assert_eq!((b.held("A"), b.store.messages()), (0, 0));
}

#[test]
fn consumers_take_turns() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let first = b.consume(&c, "A");
    let second = b.consume(&c, "A");
    for n in 1..=6 {
        b.send(&c, "A", &format!("m{n}"));
    }
    assert_eq!(b.texts_of(&c, first), ["m1", "m3", "m5"]);
    assert_eq!(b.texts_of(&c, second), ["m2", "m4", "m6"]);
}

#[test]
fn a_backlog_is_shared_among_consumers_with_room() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let first = b.consume_as(&c, "A", |f| f.prefetch = 2);
    for n in 1..=10 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let second = b.consume_as(&c, "A", |f| f.prefetch = 3);
    assert_eq!(b.texts_of(&c, first), ["m1", "m2"]);
    assert_eq!(b.texts_of(&c, second), ["m3", "m4", "m5"]);
    assert_eq!(b.view_of("A").in_flight, 5);
}

#[test]
fn the_highest_consumer_priority_is_filled_first() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let low = b.consume(&c, "A");
    let high = b.consume_as(&c, "A", |f| {
        f.priority = 5;
        f.prefetch = 2;
    });
    for n in 1..=4 {
        b.send(&c, "A", &format!("m{n}"));
    }
    assert_eq!(b.texts_of(&c, high), ["m1", "m2"]);
    assert_eq!(b.texts_of(&c, low), ["m3", "m4"]);
}

#[test]
fn the_window_holds_back_until_an_acknowledgement() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "A", |f| f.prefetch = 1);
    for n in 1..=3 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let got = b.take();
    assert_eq!(got.len(), 1);
    b.ack(&c, &got[0]);
    assert_eq!(b.texts(), ["m2"]);
}

#[test]
fn a_delivered_acknowledgement_widens_the_window() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume_as(&c, "A", |f| f.prefetch = 2);
    for n in 1..=4 {
        b.send(&c, "A", &format!("m{n}"));
    }
    let got = b.take();
    b.do_it(&c, ack(AckKind::Delivered, &got[0], &got[1], 2, None));
    assert_eq!(b.texts(), ["m3", "m4"]);
    assert_eq!(b.held("A"), 4, "delivered is not consumed");
}

#[test]
fn a_congested_connection_gets_nothing_until_it_is_free() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "A");
    b.step(Input::Congested { conn: c.conn, full: true });
    b.send(&c, "A", "m");
    assert!(b.got.is_empty());
    b.step(Input::Congested { conn: c.conn, full: false });
    assert_eq!(b.texts(), ["m"]);
}

#[test]
fn a_backlog_beyond_the_window_is_paged_in_order() {
    let mut b = Bench::policy(Policy { window: 32, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=500 {
        b.send(&c, "A", &format!("m{n}"));
    }
    assert_eq!(b.held("A"), 500);
    b.consume_as(&c, "A", |f| f.prefetch = 7);
    let mut seen = Vec::new();
    while !b.got.is_empty() {
        for got in b.take() {
            seen.push(got.text());
            b.ack(&c, &got);
        }
    }
    assert_eq!(seen, named("m", 1..=500));
    assert_eq!((b.held("A"), b.store.messages()), (0, 0));
}

#[test]
fn paging_meets_sends_and_lazy_disks_without_loss_or_repetition() {
    let mut b = Bench::policy(Policy { window: 16, ..Policy::default() });
    let c = b.connect("c");
    b.consume_as(&c, "A", |f| f.prefetch = 5);
    b.auto = false;
    let mut seen = Vec::new();
    for n in 1..=400 {
        let message = b.message(&c, "A", &format!("m{n}"));
        b.begin(&c, send(message, None));
        match n % 7 {
            0 | 3 => b.sync(),
            2 | 5 => b.answer_load(),
            _ => {}
        }
        if n % 3 == 0 {
            for got in b.take() {
                seen.push(got.text());
                b.tell(&c, ack(AckKind::Standard, &got, &got, 1, None));
            }
        }
    }
    loop {
        b.run();
        let got = b.take();
        if got.is_empty() {
            break;
        }
        for got in got {
            seen.push(got.text());
            b.tell(&c, ack(AckKind::Standard, &got, &got, 1, None));
        }
    }
    assert_eq!(seen, named("m", 1..=400));
    assert_eq!((b.held("A"), b.store.messages()), (0, 0));
}

#[test]
fn bodies_beyond_the_cache_are_loaded_back() {
    let mut b = Bench::with(Settings {
        limits: Limits { body_cache_bytes: 4_000, ..Limits::default() },
        ..Settings::default()
    });
    let c = b.connect("c");
    for n in 1..=50 {
        b.send(&c, "A", &format!("m{n}"));
    }
    assert!(b.engine.view().broker.cache_bytes <= 4_000);
    b.consume(&c, "A");
    assert_eq!(b.texts(), named("m", 1..=50));
    assert!(b.loaded_bodies > 0);
}

#[test]
fn a_hundred_thousand_non_matching_messages_do_not_starve_a_selector() {
    let mut b = Bench::policy(Policy { window: 64, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=3_000 {
        b.send_as(&c, "A", &format!("m{n}"), |m| m.message_type = Some("dull".into()));
    }
    b.send_as(&c, "A", "wanted", |m| m.message_type = Some("bright".into()));
    b.consume_as(&c, "A", |f| f.selector = Some("JMSType = 'bright'".into()));
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["wanted"]);
    b.ack(&c, &got[0]);
    b.send_as(&c, "A", "later", |m| m.message_type = Some("bright".into()));
    assert_eq!(b.texts(), ["later"]);
    // Whoever takes everything still finds the first message first, though its reference had been let go.
    b.consume_as(&c, "A", |f| f.prefetch = 2);
    assert_eq!(b.texts(), ["m1", "m2"]);
}

#[test]
fn a_selector_sees_each_message_once_whatever_the_others_take() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let odd = b.consume_as(&c, "A", |f| f.selector = Some("n = 1".into()));
    let all = b.consume_as(&c, "A", |f| f.prefetch = 1);
    for n in 1..=4 {
        b.send_as(&c, "A", &format!("m{n}"), |m| m.properties = Some(format!("n=int:{}\n", n % 2).into()));
    }
    let everything = b.take();
    let texts = |who| everything.iter().filter(|g| g.consumer == who).map(Got::text).collect::<Vec<_>>();
    assert_eq!(texts(odd), ["m1", "m3"]);
    assert_eq!(texts(all), ["m2"]);
}

#[test]
fn a_bad_selector_is_refused() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let (_, facts) = b.consumer(&c, "A", |f| f.selector = Some("a = = b".into()));
    assert_eq!(b.refused(&c, Intent::AddConsumer(facts)).kind, FaultKind::InvalidSelector);
}

#[test]
fn prioritized_messages_come_by_priority_then_by_age() {
    let mut b = Bench::policy(Policy { prioritized_messages: true, window: 16, ..Policy::default() });
    let c = b.connect("c");
    for (n, priority) in [4, 9, 0, 9, 4].into_iter().enumerate() {
        b.send_as(&c, "A", &format!("m{n}"), |m| m.priority = priority);
    }
    b.consume(&c, "A");
    assert_eq!(b.texts(), ["m1", "m3", "m0", "m4", "m2"]);
}

#[test]
fn an_urgent_message_overtakes_a_backlog_in_the_store() {
    let mut b = Bench::policy(Policy { prioritized_messages: true, window: 16, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=100 {
        b.send(&c, "A", &format!("m{n}"));
    }
    b.send_as(&c, "A", "urgent", |m| m.priority = 9);
    b.consume_as(&c, "A", |f| f.prefetch = 1);
    let mut seen = Vec::new();
    while !b.got.is_empty() {
        for got in b.take() {
            seen.push(got.text());
            b.ack(&c, &got);
        }
    }
    assert_eq!(seen[0], "urgent");
    assert_eq!(seen[1..], named("m", 1..=100));
}

#[test]
fn a_policy_sets_the_window_and_the_client_is_told() {
    let prefetch = PrefetchPolicy { queue: Some(2), ..PrefetchPolicy::default() };
    let mut b = Bench::policy(Policy { prefetch, ..Policy::default() });
    let c = b.connect("c");
    let consumer = b.consume(&c, "A");
    assert!(
        matches!(b.notices[..], [(_, Notice::PrefetchSet { consumer: who, prefetch: 2 })] if who == consumer)
    );
    for n in 1..=3 {
        b.send(&c, "A", &format!("m{n}"));
    }
    assert_eq!(b.texts().len(), 2);
}

#[test]
fn an_idle_backlog_in_the_cache_does_not_send_a_busy_queue_to_the_disk() {
    let mut b = Bench::with(Settings {
        limits: Limits { body_cache_bytes: 4_000, ..Limits::default() },
        ..Settings::default()
    });
    let c = b.connect("c");
    for n in 1..=50 {
        b.send(&c, "idle", &format!("m{n}"));
    }
    b.consume(&c, "busy");
    for n in 1..=50 {
        b.send(&c, "busy", &format!("m{n}"));
    }
    assert_eq!(b.texts(), named("m", 1..=50));
    assert_eq!(b.loaded_bodies, 0);
    assert!(b.engine.view().broker.cache_bytes <= 4_000, "what was handed out is let go");
}

#[test]
fn durable_before_reply_a_goodbye_waits_for_what_its_connection_sent_without_waiting() {
    let mut b = Bench::new();
    let (c, other) = (b.connect("c"), b.connect("other"));
    b.auto = false;
    let message = b.message(&c, "A", "m");
    b.tell(&c, send(message, None));
    assert_eq!(
        b.unsynced.back().unwrap().sync,
        ferromq_store::Sync::Required,
        "the disk need not be waited for longer"
    );
    let goodbye = b.begin(&c, Intent::Disconnect { last_delivered: -1 });
    let others = b.begin(&other, Intent::Disconnect { last_delivered: -1 });
    assert!(!b.replies.contains_key(&goodbye), "its message is on its way to the disk");
    b.sync();
    assert!(b.replies.contains_key(&goodbye) && b.replies.contains_key(&others));

    b.auto = true;
    let quiet = b.connect("quiet");
    b.auto = false;
    let goodbye = b.begin(&quiet, Intent::Disconnect { last_delivered: -1 });
    assert!(b.replies.contains_key(&goodbye), "who has sent nothing waits for nothing");
}

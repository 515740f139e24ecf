//! Messages that are not persistent leave memory for the spool, and come back in order.

use std::time::Duration;

use ferromq_engine::*;
use ferromq_store::spool::SpoolOp;

use crate::bench::*;

/// Blocks of four messages; what is in memory alone leaves it as soon as a queue has a few.
fn spool() -> SpoolSettings {
    SpoolSettings { memory_bytes: 0, block_bytes: 10_000, block_messages: 4, unwritten_bytes: 1 << 20 }
}

fn bench(spool: SpoolSettings, policy: Policy) -> Bench {
    let policies = Policies::new(Policy { memory_bytes: 4_000, ..policy });
    Bench::with(Settings { spool: Some(spool), policies, ..Settings::default() })
}

fn fill(b: &mut Bench, c: &Client, queue: &str, count: usize) {
    for n in 1..=count {
        b.send_np(c, queue, &format!("m{n}"));
    }
}

/// Consumes and acknowledges until nothing more comes.
fn drain(b: &mut Bench, c: &Client) -> Vec<String> {
    let mut seen = Vec::new();
    while !b.got.is_empty() {
        for got in b.take() {
            seen.push(got.text());
            b.ack(c, &got);
        }
    }
    seen
}

#[test]
fn a_backlog_beyond_the_memory_limit_holds_up_nobody_and_comes_in_order() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 500);
    let view = b.view_of("A");
    assert_eq!((view.held, view.blocked_sends), (500, 0));
    assert!(view.memory_bytes < 8_000, "{} bytes in memory", view.memory_bytes);
    assert!(view.spool_bytes > 100_000 && b.spool.len() > 100);
    b.consume_as(&c, "A", |f| f.prefetch = 3);
    assert_eq!(drain(&mut b, &c), named("m", 1..=500));
    let view = b.view_of("A");
    assert_eq!((view.held, view.memory_bytes, view.spool_bytes), (0, 0, 0));
    assert!(b.spool.is_empty(), "what was taken back is not kept");
}

#[test]
fn a_queue_whose_consumers_keep_up_stays_in_memory_however_full_another_is() {
    let mut b = Bench::with(Settings { spool: Some(spool()), ..Settings::default() });
    let c = b.connect("c");
    fill(&mut b, &c, "idle", 200);
    assert!(b.view_of("idle").spool_bytes > 0);
    let writes = b.spool_writes;
    b.consume(&c, "busy");
    fill(&mut b, &c, "busy", 200);
    assert_eq!(drain(&mut b, &c), named("m", 1..=200));
    assert_eq!(b.spool_writes, writes);
}

#[test]
fn persistent_messages_between_them_keep_their_place() {
    let mut b = bench(spool(), Policy { window: 16, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=300 {
        let text = format!("m{n}");
        if n % 3 == 0 { b.send(&c, "A", &text) } else { b.send_np(&c, "A", &text) }
    }
    b.consume_as(&c, "A", |f| f.prefetch = 7);
    assert_eq!(drain(&mut b, &c), named("m", 1..=300));
}

#[test]
fn urgent_messages_come_first_though_all_are_in_the_spool() {
    let mut b = bench(spool(), Policy { prioritized_messages: true, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=200 {
        b.send_as(&c, "A", &format!("p{}-{n}", n % 4), |message| {
            message.persistent = false;
            message.priority = (n % 4) as u8;
        });
    }
    assert!(b.view_of("A").spool_bytes > 20_000);
    b.consume_as(&c, "A", |f| f.prefetch = 1);
    let of = |priority: usize| {
        (1..=200).filter(move |n| n % 4 == priority).map(move |n| format!("p{priority}-{n}"))
    };
    let expected: Vec<String> = of(3).chain(of(2)).chain(of(1)).chain(of(0)).collect();
    assert_eq!(drain(&mut b, &c), expected);
}

#[test]
fn a_selector_finds_the_last_of_a_backlog_in_little_memory_and_the_rest_is_still_there() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 600);
    b.send_as(&c, "A", "wanted", |message| {
        message.persistent = false;
        message.message_type = Some("x".into());
    });
    let picky = b.consume_as(&c, "A", |f| f.selector = Some("JMSType = 'x'".into()));
    assert_eq!(drain(&mut b, &c), ["wanted"]);
    let view = b.view_of("A");
    assert!(view.memory_bytes < 9 * 10_000, "{} bytes of what it passed", view.memory_bytes);
    b.send_as(&c, "A", "next", |message| {
        message.persistent = false;
        message.message_type = Some("x".into());
    });
    assert_eq!(drain(&mut b, &c), ["next"], "it need not begin anew");
    b.consume(&c, "A");
    let seen = drain(&mut b, &c);
    assert_eq!(seen, named("m", 1..=600));
    b.close(&c, picky, -1);
    assert!(b.spool.is_empty());
}

#[test]
fn what_is_given_back_comes_again_before_what_is_in_the_spool() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    let first = b.consume_as(&c, "A", |f| f.prefetch = 10);
    let got = b.take();
    assert_eq!(got.len(), 10);
    b.ack(&c, &got[0]);
    b.take();
    b.close(&c, first, -2);
    b.consume_as(&c, "A", |f| f.prefetch = 10);
    assert!(b.got.iter().take(9).all(|got| got.delivery.redelivery_counter > 0));
    assert_eq!(drain(&mut b, &c), named("m", 2..=100));
}

#[test]
fn expired_messages_leave_the_spool_without_any_consumer() {
    let mut b =
        bench(spool(), Policy { expire_messages_period: Duration::from_secs(1), ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=200 {
        let expiration = if n % 10 == 0 { 0 } else { b.now.wall.0 + 500 };
        b.send_as(&c, "A", &format!("m{n}"), |message| {
            message.persistent = false;
            message.expiration = expiration;
        });
    }
    for _ in 0..100 {
        b.wait(Duration::from_millis(30));
    }
    let view = b.view_of("A");
    assert_eq!((view.held, view.counters.expired), (20, 180));
    assert!(view.memory_bytes < 8_000, "the rest went back: {} bytes", view.memory_bytes);
    b.consume(&c, "A");
    let expected: Vec<String> = (1..=20).map(|n| format!("m{}", n * 10)).collect();
    assert_eq!(drain(&mut b, &c), expected);
}

#[test]
fn what_comes_out_of_the_spool_may_become_a_dead_letter() {
    let dead_letter = DeadLetterPolicy { process_non_persistent: true, ..DeadLetterPolicy::default() };
    let mut b = bench(spool(), Policy { dead_letter, ..Policy::default() });
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    b.consume_as(&c, "A", |f| f.prefetch = 5);
    while !b.got.is_empty() {
        for got in b.take() {
            b.do_it(&c, ack(AckKind::Poison, &got, &got, 1, None));
        }
    }
    assert_eq!((b.held("A"), b.held("ActiveMQ.DLQ")), (0, 100));
    b.consume(&c, "ActiveMQ.DLQ");
    assert_eq!(drain(&mut b, &c), named("m", 1..=100));
}

#[test]
fn a_transaction_stays_invisible_until_it_is_durable_though_a_part_of_it_is_spooled() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    b.transaction(&c, 1, TransactionVerb::Begin);
    for n in 101..=120 {
        let mut message = b.message(&c, "A", &format!("m{n}"));
        message.persistent = n == 110;
        b.tell(&c, send(message, Some(local_transaction(&c, 1))));
    }
    b.auto = false;
    let answer = b.begin(
        &c,
        Intent::Transaction { id: Some(local_transaction(&c, 1)), verb: TransactionVerb::CommitOnePhase },
    );
    let (_, facts) = b.consumer(&c, "A", |_| {});
    b.begin(&c, Intent::AddConsumer(facts));
    let mut seen = Vec::new();
    while !b.loads.is_empty() || !b.spooling.is_empty() {
        b.write_spool();
        b.answer_load();
    }
    seen.extend(b.texts());
    // What shares a block with it may wait, too.
    assert!((96..=100).contains(&seen.len()), "nothing of what is not durable: {seen:?}");
    assert!(!b.replies.contains_key(&answer));
    b.auto = true;
    b.run();
    seen.extend(b.texts());
    assert_eq!(seen, named("m", 1..=120));
}

#[test]
fn a_browser_sees_all_of_it_and_takes_nothing() {
    let mut b = bench(spool(), Policy { window: 16, ..Policy::default() });
    let c = b.connect("c");
    for n in 1..=200 {
        let text = format!("m{n}");
        if n % 5 == 0 { b.send(&c, "A", &text) } else { b.send_np(&c, "A", &text) }
    }
    let held = b.held("A");
    b.consume_as(&c, "A", |f| f.browser = true);
    let mut seen = b.texts();
    assert_eq!(seen.pop().as_deref(), Some("-"), "its end is told");
    seen.sort_by_key(|text| text[1..].parse::<u32>().unwrap());
    assert_eq!(seen, named("m", 1..=200));
    assert_eq!(b.held("A"), held);
    b.consume(&c, "A");
    assert_eq!(drain(&mut b, &c), named("m", 1..=200));
}

#[test]
fn a_browser_that_is_slow_sees_what_was_taken_out_of_the_spool_meanwhile() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    let browser = b.consume_as(&c, "A", |f| {
        f.browser = true;
        f.prefetch = 30;
    });
    let mut seen = b.texts_of(&c, browser);
    assert_eq!(seen, named("m", 1..=30));
    // A consumer takes blocks into memory, and a message comes that was not there.
    b.consume_as(&c, "A", |f| f.prefetch = 60);
    b.send_np(&c, "A", "late");
    b.do_it(&c, Intent::SetPrefetch { consumer: browser, prefetch: 1_000 });
    seen.extend(b.texts_of(&c, browser));
    assert_eq!(seen.pop().as_deref(), Some("-"));
    assert_eq!(seen, named("m", 1..=100));
}

#[test]
fn a_pull_that_does_not_wait_gets_what_is_in_the_spool() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 60);
    let consumer = b.consume_as(&c, "A", |f| f.prefetch = 0);
    for n in 1..=60 {
        b.do_it(&c, Intent::Pull { consumer, timeout: Some(Duration::ZERO) });
        let got = b.take();
        assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), [format!("m{n}")]);
        b.ack(&c, &got[0]);
    }
    b.do_it(&c, Intent::Pull { consumer, timeout: Some(Duration::ZERO) });
    assert_eq!(b.texts(), ["-"]);
}

#[test]
fn the_temp_limits_of_broker_and_destination_hold() {
    for (limit, own) in [(20_000, 0), (50 << 30, 20_000)] {
        let policies = Policies::new(Policy { memory_bytes: 4_000, temp_bytes: own, ..Policy::default() });
        let limits = Limits { temp_bytes: limit, ..Limits::default() };
        let mut b = Bench::with(Settings { spool: Some(spool()), policies, limits, ..Settings::default() });
        let c = b.connect("c");
        let mut sent = 0;
        let waiting = loop {
            sent += 1;
            let mut message = b.message(&c, "A", &format!("m{sent}"));
            message.persistent = false;
            let tag = b.begin(&c, send(message, None));
            if b.replies.remove(&tag).is_none() {
                break tag;
            }
        };
        assert!(sent > 50, "{sent}");
        let told = b.logs.iter().any(|log| {
            log.text.contains("Temp Usage limit (20000 bytes)")
                && log.text.contains("messages that nobody consumes")
        });
        assert!(told, "{:?}", b.logs);
        b.send(&c, "A2", "persistent messages are not concerned");
        b.consume(&c, "A");
        assert_eq!(drain(&mut b, &c), named("m", 1..=sent));
        assert!(b.replies.contains_key(&waiting));
    }
}

#[test]
fn producers_wait_for_a_spool_that_is_behind_and_are_not_refused() {
    let settings = SpoolSettings { unwritten_bytes: 8_000, ..spool() };
    let mut b = bench(settings, Policy { no_space: Some(NoSpace::Fail), ..Policy::default() });
    b.auto = false;
    let c = {
        b.auto = true;
        let c = b.connect("c");
        b.auto = false;
        c
    };
    let tags: Vec<u32> = (1..=300)
        .map(|n| {
            let mut message = b.message(&c, "A", &format!("m{n}"));
            message.persistent = false;
            b.begin(&c, send(message, None))
        })
        .collect();
    let answered = |b: &Bench| tags.iter().filter(|tag| b.replies.contains_key(tag)).count();
    assert!((20..200).contains(&answered(&b)), "{} were let in", answered(&b));
    assert!(b.view_of("A").memory_bytes < 20_000);
    assert!(b.logs.is_empty(), "a disk that needs a moment is no news: {:?}", b.logs);
    b.auto = true;
    b.run();
    assert_eq!(answered(&b), 300);
    assert!(b.replies.values().all(|effect| matches!(effect, Effect::Done)));
    b.consume(&c, "A");
    assert_eq!(drain(&mut b, &c), named("m", 1..=300));
}

#[test]
fn a_spool_that_cannot_be_written_loses_nothing_and_recovers_by_itself() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    b.spool_full = true;
    let mut sent = 100;
    let waiting = loop {
        sent += 1;
        let mut message = b.message(&c, "A", &format!("m{sent}"));
        message.persistent = false;
        let tag = b.begin(&c, send(message, None));
        if b.replies.remove(&tag).is_none() {
            break tag;
        }
    };
    assert!(sent < 150, "memory is the limit again, after {sent}");
    let told = |b: &Bench, text: &str| b.logs.iter().filter(|log| log.text.contains(text)).count();
    assert_eq!(told(&b, "the spool can't be written: no room"), 1);
    b.wait(Duration::from_secs(30));
    assert_eq!(told(&b, "the spool can't be written: no room"), 1, "once is enough");
    b.send(&c, "A2", "persistent messages are not concerned");
    b.spool_full = false;
    b.wait(Duration::from_secs(10));
    assert_eq!(told(&b, "the spool is written again"), 1);
    assert!(b.replies.contains_key(&waiting));
    b.consume(&c, "A");
    assert_eq!(drain(&mut b, &c), named("m", 1..=sent));
    assert_eq!(b.view_of("A").counters.discarded, 0);
}

#[test]
fn a_block_that_cannot_be_read_is_told_with_its_number_and_the_rest_is_delivered() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    let lost = *b.spool.keys().nth(3).unwrap();
    b.spool.remove(&lost);
    b.consume(&c, "A");
    let seen = drain(&mut b, &c);
    assert_eq!(seen.len(), 96);
    assert_eq!(b.view_of("A").counters.discarded, 4);
    let told = b.logs.iter().any(|log| {
        log.severity == Severity::Error
            && log.text.starts_with("4 messages of queue://A that are not persistent")
    });
    assert!(told, "{:?}", b.logs);
}

#[test]
fn a_removed_queue_frees_what_it_had_in_the_spool() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    b.auto = false;
    fill_waiting(&mut b, &c);
    b.auto = true;
    let destination = ferromq_model::Destination::queue("A");
    b.do_it(&c, Intent::RemoveDestination { destination, force: true });
    assert!(b.spool.is_empty());
    let broker = b.engine.view().broker;
    assert_eq!((broker.memory_bytes, broker.spool_bytes), (0, 0));
}

/// Some more, of which blocks are on their way to the spool.
fn fill_waiting(b: &mut Bench, c: &Client) {
    for n in 1..=20 {
        let mut message = b.message(c, "A", &format!("w{n}"));
        message.persistent = false;
        b.begin(c, send(message, None));
    }
    assert!(b.spooling.iter().any(|op| matches!(op, SpoolOp::Write { .. })));
}

#[test]
fn a_restart_loses_what_was_spooled_and_nothing_else() {
    let mut b = bench(spool(), Policy::default());
    let c = b.connect("c");
    fill(&mut b, &c, "A", 100);
    b.send(&c, "A", "kept");
    b.crash();
    let c = b.connect("d");
    b.consume(&c, "A");
    assert_eq!(drain(&mut b, &c), ["kept"]);
}

#[test]
fn persistent_messages_have_limits_of_their_destination_too() {
    let mut policies = Policies::new(Policy::default());
    policies.add(false, "small", Policy { store_bytes: 2_000, ..Policy::default() });
    policies.add(false, "low", Policy { store_high_water: 50, ..Policy::default() });
    let limits = Limits { store_bytes: 40_000, ..Limits::default() };
    let mut b = Bench::with(Settings { policies, limits, ..Settings::default() });
    let c = b.connect("c");
    let until_full = |b: &mut Bench, queue: &str| {
        (1..500).find_map(|n| {
            let message = b.message(&c, queue, "m");
            let tag = b.begin(&c, send(message, None));
            b.replies.remove(&tag).is_none().then_some((n, tag))
        })
    };
    let (sent, waiting) = until_full(&mut b, "small").unwrap();
    assert!((2..20).contains(&sent), "{sent}");
    assert!(b.logs.iter().any(|log| log.text.contains("Persistent store is Full, 100% of 2000")));
    let (low, _) = until_full(&mut b, "low").unwrap();
    let (other, _) = until_full(&mut b, "other").unwrap();
    assert!(low > 20 && other > 20, "half of the store, then the other half: {low}, {other}");
    b.consume_as(&c, "small", |f| f.prefetch = 1);
    drain(&mut b, &c);
    assert!(b.replies.contains_key(&waiting), "room in the store lets it in");
    assert_eq!(b.view_of("small").store_bytes, 0);
}

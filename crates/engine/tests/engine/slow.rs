//! Consumers that do not keep up are closed, if a policy says so.

use std::time::Duration;

use ferromq_engine::*;

use crate::bench::*;

const PERIOD: Duration = Duration::from_secs(10);

fn rule() -> AbortSlow {
    AbortSlow { most: Duration::from_secs(30), period: PERIOD, ..AbortSlow::default() }
}

fn bench(rule: AbortSlow) -> Bench {
    Bench::policy(Policy { slow_consumers: Some(rule), ..Policy::default() })
}

fn pass(b: &mut Bench, seconds: u64) {
    for _ in 0..seconds / PERIOD.as_secs() {
        b.wait(PERIOD);
    }
}

fn closed(b: &Bench) -> Vec<LocalId> {
    let closed = |notice: &(ConnId, Notice)| match notice.1 {
        Notice::ConsumerClosed { consumer } => Some(consumer),
        _ => None,
    };
    b.notices.iter().filter_map(closed).collect()
}

#[test]
fn a_consumer_with_a_full_window_and_a_backlog_is_told_to_go_and_others_get_its_messages() {
    for topic in [false, true] {
        let name = if topic { "topic://T" } else { "A" };
        let mut b = bench(rule());
        let c = b.connect("c");
        let slow = b.consume_as(&c, name, |facts| facts.prefetch = 1);
        for n in 1..=3 {
            b.send(&c, name, &format!("m{n}"));
        }
        pass(&mut b, 30);
        assert!(closed(&b).is_empty(), "{name}: not yet");
        pass(&mut b, 10);
        assert_eq!(closed(&b), [slow], "{name}");
        assert!(b.closed.is_empty());
        b.got.clear();
        b.close(&c, slow, -1);
        b.consume(&c, name);
        assert_eq!(b.texts(), if topic { vec![] } else { named("m", 1..=3) }, "{name}");
    }
}

#[test]
fn a_consumer_that_keeps_up_or_has_all_there_is_stays() {
    let mut b = bench(rule());
    let c = b.connect("c");
    b.consume_as(&c, "A", |facts| facts.prefetch = 1);
    b.send(&c, "A", "held for long, but nobody waits behind it");
    pass(&mut b, 100);
    b.send(&c, "A", "m1");
    for n in 2..=20 {
        b.send(&c, "A", &format!("m{n}"));
        let got = b.take();
        b.ack_all(&c, &got);
        b.wait(PERIOD);
    }
    assert!(closed(&b).is_empty());
}

#[test]
fn who_does_not_go_loses_its_connection() {
    for abort_connection in [false, true] {
        let mut b = bench(AbortSlow { abort_connection, ..rule() });
        let c = b.connect("c");
        b.consume_as(&c, "A", |facts| facts.prefetch = 1);
        b.send(&c, "A", "m1");
        b.send(&c, "A", "m2");
        pass(&mut b, 40);
        assert_eq!(b.closed.len(), usize::from(abort_connection));
        pass(&mut b, 10);
        assert!(b.closed.contains(&c.conn));
    }
}

#[test]
fn by_acknowledgement_it_is_the_age_of_the_last_one_that_counts() {
    let mut b = bench(AbortSlow { by_acknowledgement: true, ..rule() });
    let c = b.connect("c");
    let idle = b.consume(&c, "B");
    let holds = b.consume(&c, "A");
    b.send(&c, "A", "m1");
    pass(&mut b, 40);
    assert_eq!(closed(&b), [holds], "not {idle:?}, which holds nothing");
}

#[test]
fn bridges_are_left_alone_unless_asked_for() {
    for ignore_network in [true, false] {
        let mut b = bench(AbortSlow { ignore_network, ..rule() });
        let c = b.connect("c");
        b.consume_as(&c, "A", |facts| (facts.prefetch, facts.network) = (1, true));
        b.send(&c, "A", "m1");
        b.send(&c, "A", "m2");
        pass(&mut b, 40);
        assert_eq!(closed(&b).is_empty(), ignore_network);
    }
}

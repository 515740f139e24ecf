//! Keys of a policy that have no file of their own.

use std::time::Duration;

use ferromq_engine::*;

use crate::bench::*;

#[test]
fn without_flow_control_limits_are_ignored() {
    for producer_flow_control in [true, false] {
        let mut b = Bench::policy(Policy { memory_bytes: 2_000, producer_flow_control, ..Policy::default() });
        let c = b.connect("c");
        for n in 0..50 {
            let mut message = b.message(&c, "A", &format!("m{n}"));
            message.persistent = false;
            b.begin(&c, send(message, None));
        }
        assert_eq!(b.replies.len() == 50, !producer_flow_control);
    }
}

#[test]
fn a_policy_may_refuse_where_the_broker_waits() {
    let mut policies = Policies::new(Policy { memory_bytes: 1_000, ..Policy::default() });
    let refusing = Policy { memory_bytes: 1_000, no_space: Some(NoSpace::Fail), ..Policy::default() };
    policies.add(false, "strict", refusing);
    let mut b = Bench::with(Settings { policies, ..Settings::default() });
    let c = b.connect("c");
    for queue in ["lenient", "strict"] {
        let mut tags = Vec::new();
        for n in 0..20 {
            let mut message = b.message(&c, queue, &format!("m{n}"));
            message.persistent = false;
            tags.push(b.begin(&c, send(message, None)));
        }
        let last = b.replies.get(tags.last().unwrap());
        match queue {
            "strict" => assert!(matches!(last, Some(Effect::Failed(_)))),
            _ => assert!(last.is_none(), "it waits"),
        }
    }
}

#[test]
fn consumer_priority_counts_unless_the_policy_says_no() {
    for use_consumer_priority in [true, false] {
        let mut b = Bench::policy(Policy { use_consumer_priority, ..Policy::default() });
        let c = b.connect("c");
        let low = b.consume(&c, "A");
        let high = b.consume_as(&c, "A", |facts| facts.priority = 5);
        for n in 1..=4 {
            b.send(&c, "A", &format!("m{n}"));
        }
        let (low, high) = (b.texts_of(&c, low).len(), b.texts_of(&c, high).len());
        assert_eq!((low, high), if use_consumer_priority { (0, 4) } else { (2, 2) });
    }
}

#[test]
fn windows_of_the_policy_replace_what_consumers_ask_for_and_are_told() {
    let prefetch = PrefetchPolicy { queue: Some(1), browser: Some(2), topic: Some(3), durable: Some(4) };
    let mut b = Bench::policy(Policy { prefetch, ..Policy::default() });
    let c = b.connect("c");
    let mut windows = Vec::new();
    b.consume(&c, "A");
    b.consume_as(&c, "A", |facts| facts.browser = true);
    b.consume(&c, "topic://T");
    b.consume_as(&c, "topic://T", |facts| facts.subscription = Some("s".into()));
    for (_, notice) in &b.notices {
        if let Notice::PrefetchSet { prefetch, .. } = notice {
            windows.push(*prefetch);
        }
    }
    assert_eq!(windows, [1, 2, 3, 4]);
    b.consume_as(&c, "A", |facts| facts.prefetch = 0);
    assert_eq!(b.notices.len(), 4, "a pull stays a pull");
    for n in 1..=10 {
        b.send(&c, "topic://T", &format!("m{n}"));
    }
    let got = b.take().iter().filter(|got| got.delivery.message.is_some()).count();
    assert_eq!(got, 3 + 4);
}

#[test]
fn dead_letters_expire_themselves_if_the_policy_says_so() {
    let rules = DeadLetterPolicy { expiration_ms: 5_000, ..DeadLetterPolicy::default() };
    let mut b = Bench::policy(Policy { dead_letter: rules, ..Policy::default() });
    let c = b.connect("c");
    b.consume(&c, "A");
    b.send(&c, "A", "m");
    let got = b.take();
    b.do_it(&c, ack(AckKind::Poison, &got[0], &got[0], 1, None));
    assert_eq!(b.held("ActiveMQ.DLQ"), 1);
    b.wait(Duration::from_secs(40));
    assert_eq!(b.held("ActiveMQ.DLQ"), 0);
}

#[test]
fn individual_dead_letters_have_prefix_and_suffix_and_may_be_topics() {
    let target = DeadLetterTarget::Individual {
        queue_prefix: "dead.".into(),
        topic_prefix: "deadT.".into(),
        queue_suffix: ".q".into(),
        topic_suffix: ".t".into(),
        queue_for_queues: true,
        queue_for_topics: false,
    };
    let rules = DeadLetterPolicy { target, ..DeadLetterPolicy::default() };
    let mut b = Bench::policy(Policy { dead_letter: rules, ..Policy::default() });
    let c = b.connect("c");
    b.consume(&c, "A");
    b.consume_as(&c, "topic://T", |facts| facts.subscription = Some("s".into()));
    b.consume(&c, "topic://deadT.T.t");
    for name in ["A", "topic://T"] {
        b.send(&c, name, name);
        let got = b.take();
        b.do_it(&c, ack(AckKind::Poison, &got[0], &got[0], 1, None));
    }
    assert_eq!(b.held("dead.A.q"), 1);
    assert_eq!(b.texts(), ["topic://T"]);
}

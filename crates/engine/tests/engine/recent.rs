//! Retroactive consumers, and what a topic keeps for them.

use std::time::Duration;

use ferromq_engine::*;

use crate::bench::*;

fn retroactive(b: &mut Bench, c: &Client) -> Vec<String> {
    let consumer = b.consume_as(c, "topic://T", |facts| facts.retroactive = true);
    let texts = b.texts_of(c, consumer);
    b.close(c, consumer, -1);
    texts
}

fn with(recovery: Recovery) -> Bench {
    Bench::policy(Policy { recovery, ..Policy::default() })
}

#[test]
fn a_retroactive_consumer_gets_the_last_messages_by_number_size_or_age() {
    let mut b = with(Recovery::Count(2));
    let c = b.connect("c");
    let size = b.message(&c, "topic://T", "m1").charge() as u64;
    let mut of = |recovery| {
        b = with(recovery);
        let c = b.connect("c");
        for n in 1..=4 {
            b.send(&c, "topic://T", &format!("m{n}"));
            b.wait(Duration::from_secs(1));
        }
        retroactive(&mut b, &c)
    };
    assert_eq!(of(Recovery::Count(2)), ["m3", "m4"]);
    assert_eq!(of(Recovery::Count(1)), ["m4"], "the last image");
    assert_eq!(of(Recovery::Bytes(size * 3)), ["m2", "m3", "m4"]);
    assert_eq!(of(Recovery::Time(Duration::from_millis(2_500))), ["m3", "m4"]);
    assert_eq!(of(Recovery::Nothing), Vec::<String>::new());
}

#[test]
fn others_get_nothing_old_unless_the_policy_makes_them_retroactive() {
    for always_retroactive in [false, true] {
        let recovery = Recovery::Count(10);
        let mut b = Bench::policy(Policy { recovery, always_retroactive, ..Policy::default() });
        let c = b.connect("c");
        b.send_np(&c, "topic://T", "old");
        b.consume(&c, "topic://T");
        assert_eq!(b.texts(), if always_retroactive { vec!["old"] } else { vec![] });
    }
}

#[test]
fn the_past_comes_before_the_present_and_through_the_selector_and_the_window() {
    let mut b = with(Recovery::Count(10));
    let c = b.connect("c");
    for n in 1..=5 {
        b.send_as(&c, "topic://T", &format!("m{n}"), |message| message.priority = n);
    }
    b.consume_as(&c, "topic://T", |facts| {
        facts.retroactive = true;
        facts.selector = Some("JMSPriority > 2".into());
        facts.prefetch = 2;
    });
    b.send_as(&c, "topic://T", "now", |message| message.priority = 9);
    let got = b.take();
    assert_eq!(got.iter().map(Got::text).collect::<Vec<_>>(), ["m3", "m4"]);
    b.do_it(&c, ack(AckKind::Standard, &got[0], &got[1], 2, None));
    assert_eq!(b.texts(), ["m5", "now"]);
}

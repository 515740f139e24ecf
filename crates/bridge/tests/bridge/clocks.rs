//! Brokers whose clocks differ.

use std::sync::Arc;
use std::time::Duration;

use ferromq_bridge::{Bridge, Order, Settings, Side};
use ferromq_model::Instant;
use ferromq_openwire::{
    BrokerInfo, ConsumerInfo, Destination, Message, MessageDispatch, MessageKind, Response,
};

use super::played::{NOW, consumer, forwarded, hand_at, info, message, said, subscriptions};

/// What the local broker's clock shows at `NOW`.
const TODAY_MS: i64 = 1_800_000_000_000;

/// A bridge that is up, to a broker of ours or an ActiveMQ.
fn linked(settings: Settings, ours: bool) -> Bridge {
    let mut bridge = Bridge::new(settings, "1");
    let remote = BrokerInfo { network_properties: ours.then(|| "ferromqLinks=1\n".into()), ..info("there") };
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, remote.into(), NOW);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    said(&mut bridge);
    bridge
}

/// The remote broker, whose clock shows this, tells of a consumer; what the bridge says, and what it subscribes to.
fn told(bridge: &mut Bridge, shows_ms: i64, at: Instant) -> (Vec<Order>, ConsumerInfo) {
    let mut advisory = Message::new(MessageKind::Plain);
    advisory.broker_out_time = shows_ms;
    advisory.data_structure = Some(Arc::new(consumer(1, Destination::queue("q")).into()));
    let dispatch = MessageDispatch { message: Some(Arc::new(advisory)), ..Default::default() };
    bridge.handle(Side::Remote, dispatch.into(), at);
    let orders = said(bridge);
    let made = subscriptions(&orders).remove(0);
    (orders, made)
}

/// The local broker hands out a message that lives for a minute; its expiration over there, and what is said of clocks.
fn passed(bridge: &mut Bridge, to: &ConsumerInfo, sequence: i64, lives: i64) -> (i64, Vec<String>) {
    let at = NOW + Duration::from_secs(1);
    let mut sent = message(to, sequence);
    (sent.broker_out_time, sent.persistent) = (TODAY_MS + 1_000, true);
    sent.expiration = if lives > 0 { TODAY_MS + lives } else { 0 };
    let orders = hand_at(bridge, to, sent, at);
    let warnings = orders.iter().filter_map(|order| match order {
        Order::Warn(text) => Some(text.clone()),
        _ => None,
    });
    let warnings = warnings.collect();
    (forwarded(orders).first().unwrap().expiration, warnings)
}

#[test]
fn a_message_is_given_as_long_as_it_had_where_the_clock_is_ahead() {
    let minutes = 5 * 60_000;
    for (ours, ahead, given, said) in [
        (true, minutes, minutes, "300 s ahead of the local one's: messages that expire are given"),
        // Its clients may have clocks that are right.
        (true, -minutes, 0, "300 s behind the local one's: messages that expire live so much longer"),
        (false, minutes, 0, "timeStampingBrokerPlugin"),
        (false, -minutes, 0, "300 s behind"),
    ] {
        // Given: a remote broker whose clock is wrong
        let mut bridge = linked(Settings::default(), ours);
        let (_, to) = told(&mut bridge, TODAY_MS + ahead, NOW);
        // When: messages go over, then: the time is given, and that is told once
        let (expiration, warnings) = passed(&mut bridge, &to, 1, 60_000);
        assert_eq!(expiration, TODAY_MS + 60_000 + given, "{ours} {ahead}");
        assert!(warnings.len() == 1 && warnings[0].contains(said), "{warnings:?}");
        assert_eq!(passed(&mut bridge, &to, 2, 60_000), (TODAY_MS + 60_000 + given, Vec::new()));
        assert_eq!(passed(&mut bridge, &to, 3, 0).0, 0, "what does not expire still does not");
    }
}

#[test]
fn the_clock_of_a_peer_is_known_by_what_it_sends_over_a_duplex_bridge_as_well() {
    // Given: an ActiveMQ at the other end of a duplex bridge, which sends advisories as messages
    let mut settings = Settings::default();
    settings.duplex = true;
    let mut bridge = linked(settings, false);
    let mut advisory = Message::new(MessageKind::Plain);
    advisory.broker_out_time = TODAY_MS + 60_000;
    advisory.destination = Some(Destination::topic("ActiveMQ.Advisory.Consumer.Queue.q"));
    advisory.data_structure = Some(Arc::new(consumer(1, Destination::queue("q")).into()));
    bridge.handle(Side::Remote, advisory.into(), NOW);
    let to = subscriptions(&said(&mut bridge)).remove(0);
    // When: a message goes over, then: it is told how far the clocks differ
    let (_, warnings) = passed(&mut bridge, &to, 1, 60_000);
    assert!(warnings.iter().any(|text| text.contains("60 s ahead")), "{warnings:?}");
}

#[test]
fn what_was_on_its_way_for_long_makes_no_clock_wrong() {
    // Given: a remote broker of the same time, whose first advisory came late
    let mut bridge = linked(Settings::default(), true);
    let (_, to) = told(&mut bridge, TODAY_MS, NOW);
    let late = NOW + Duration::from_secs(30);
    let mut advisory = Message::new(MessageKind::Plain);
    advisory.broker_out_time = TODAY_MS + 1_000;
    let dispatch = MessageDispatch { message: Some(Arc::new(advisory)), ..Default::default() };
    bridge.handle(Side::Remote, dispatch.into(), late);
    // When: a message goes over, then: nothing is given and nothing said
    assert_eq!(passed(&mut bridge, &to, 1, 60_000), (TODAY_MS + 60_000, Vec::new()));
}

//! Several ways to one consumer, of which one is used.

use std::sync::Arc;

use ferromq_bridge::{Bridge, Order, Settings, Side};
use ferromq_openwire::{
    BrokerId, Command, ConsumerId, ConsumerInfo, Destination, Message, MessageDispatch, MessageKind,
    Response, SessionId,
};

use super::played::{NOW, consumer, dispatch, durable, info, removals, removed, said, subscriptions, tell};

/// The local broker hands an advisory to the bridge's own consumer.
fn tell_locally(bridge: &mut Bridge, listener: &ConsumerInfo, what: impl Into<Command>) -> Vec<Order> {
    let mut advisory = Message::new(MessageKind::Plain);
    advisory.data_structure = Some(Arc::new(what.into()));
    let dispatch = MessageDispatch {
        consumer_id: listener.consumer_id.clone(),
        message: Some(Arc::new(advisory)),
        ..Default::default()
    };
    bridge.handle(Side::Local, dispatch.into(), NOW);
    said(bridge)
}

/// A bridge that is up, and its subscription to the advisories of the local broker.
fn listening(settings: Settings) -> (Bridge, ConsumerInfo) {
    let mut bridge = Bridge::new(settings, "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    let listener = subscriptions(&said(&mut bridge)).remove(0);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    said(&mut bridge);
    (bridge, listener)
}

/// The subscription of another bridge to the same broker that stands for `origin`.
fn rival(number: i64, origin: &ConsumerInfo, priority: i8) -> ConsumerInfo {
    let id = ConsumerId::new(&SessionId::new("ID:other-bridge:1", 1), number);
    ConsumerInfo {
        consumer_id: Some(id),
        destination: origin.destination.clone(),
        network_subscription: true,
        network_consumer_path: Some(origin.consumer_id.iter().cloned().collect()),
        broker_path: Some([BrokerId::new("ID:there:1")].into()),
        priority,
        ..Default::default()
    }
}

/// The same, of a bridge to a broker from which `origin` is one broker further.
fn far_rival(number: i64, origin: &ConsumerInfo, priority: i8) -> ConsumerInfo {
    let path = ["ID:there:1", "ID:elsewhere:1"].map(BrokerId::new);
    ConsumerInfo { broker_path: Some(path.into()), ..rival(number, origin, priority) }
}

fn suppressing_queues() -> (Bridge, ConsumerInfo) {
    let mut settings = Settings::default();
    (settings.suppress_queues, settings.consumer_ttl) = (true, 5);
    listening(settings)
}

/// A subscription of the remote broker's own bridge, which stands for `origin` somewhere behind it.
fn stands_for(number: i64, origin: &ConsumerInfo) -> ConsumerInfo {
    ConsumerInfo {
        network_subscription: true,
        network_consumer_path: Some(origin.consumer_id.iter().cloned().collect()),
        broker_path: Some([BrokerId::new("ID:behind:1")].into()),
        ..consumer(number, origin.destination.clone().unwrap())
    }
}

#[test]
fn of_several_links_to_one_broker_a_topic_uses_one() {
    let (mut bridge, listener) = listening(Settings::default());
    let subscriber = consumer(1, Destination::topic("t"));
    // Another bridge has it already.
    tell_locally(&mut bridge, &listener, rival(1, &subscriber, -5));
    assert!(subscriptions(&tell(&mut bridge, subscriber.clone())).is_empty());
    assert_eq!(bridge.counts().suppressed, 1);
    // It goes: its place is taken, and given to nobody who comes later, for what was published until then is here.
    let orders = tell_locally(&mut bridge, &listener, removed(&rival(1, &subscriber, -5)));
    let own = subscriptions(&orders).remove(0);
    tell_locally(&mut bridge, &listener, own);
    let orders = tell_locally(&mut bridge, &listener, rival(2, &subscriber, 0));
    assert_eq!((removals(&orders), bridge.counts().suppressed), (0, 0));
    assert_eq!(removals(&tell(&mut bridge, removed(&subscriber))), 1);
}

#[test]
fn a_topic_is_left_to_no_bridge_that_leads_elsewhere() {
    let (mut bridge, listener) = listening(Settings::default());
    let subscriber = consumer(1, Destination::topic("t"));
    tell_locally(&mut bridge, &listener, far_rival(1, &subscriber, 0));
    assert_eq!(subscriptions(&tell(&mut bridge, subscriber)).len(), 1);
}

#[test]
fn of_several_ways_to_a_queue_the_best_one_is_used_if_that_is_asked_for() {
    let (mut bridge, listener) = suppressing_queues();
    let own = consumer(1, Destination::queue("q"));
    tell_locally(&mut bridge, &listener, far_rival(1, &own, -8));
    let made = subscriptions(&tell(&mut bridge, own.clone())).remove(0);
    assert_eq!(made.priority, -5, "this way is shorter");
    tell_locally(&mut bridge, &listener, made);
    let orders = tell_locally(&mut bridge, &listener, far_rival(2, &own, 0));
    assert_eq!((removals(&orders), bridge.counts().suppressed), (1, 1), "left to a stronger one");
    assert_eq!(removals(&tell(&mut bridge, removed(&own))), 0, "nothing is there to be removed");
    assert_eq!(bridge.counts().suppressed, 0);
}

#[test]
fn who_shares_a_subscription_that_is_left_to_rivals_has_a_way_of_its_own_if_they_do_not_stand_for_it() {
    for destination in [Destination::topic("t"), Destination::queue("q")] {
        let (mut bridge, listener) = suppressing_queues();
        let (first, second) = (consumer(1, destination.clone()), consumer(2, destination));
        tell_locally(&mut bridge, &listener, rival(1, &first, 0));
        assert!(subscriptions(&tell(&mut bridge, first.clone())).is_empty());
        let made = subscriptions(&tell(&mut bridge, second.clone()));
        let told = made.first().and_then(|info| info.network_consumer_path.clone());
        assert_eq!(told.as_deref().unwrap_or_default(), [second.consumer_id.clone().unwrap()]);
        assert_eq!(bridge.counts().suppressed, 0);
        // A rival for both
        tell_locally(&mut bridge, &listener, rival(2, &second, 0));
        assert_eq!(removals(&tell(&mut bridge, removed(&first))), 0, "it stands for the other still");
    }
}

#[test]
fn a_subscription_is_left_only_when_all_who_share_it_have_a_better_way() {
    let (mut bridge, listener) = suppressing_queues();
    let [first, second] = [1, 2].map(|number| consumer(number, Destination::queue("q")));
    let own = subscriptions(&tell(&mut bridge, first.clone())).remove(0);
    tell(&mut bridge, second.clone());
    tell_locally(&mut bridge, &listener, own);
    assert_eq!(removals(&tell_locally(&mut bridge, &listener, rival(1, &first, 0))), 0);
    assert_eq!(removals(&tell_locally(&mut bridge, &listener, rival(2, &second, 0))), 1);
    // One of the two is enough to take it back.
    let orders = tell_locally(&mut bridge, &listener, removed(&rival(2, &second, 0)));
    assert_eq!(subscriptions(&orders).len(), 1);
}

#[test]
fn what_others_rely_on_is_told_anew_when_it_is_no_longer_so() {
    let mut settings = Settings::default();
    (settings.suppress_queues, settings.consumer_ttl) = (true, 5);
    settings.conduit_network_queues = true;
    let (mut bridge, listener) = listening(settings);
    let origin = consumer(9, Destination::queue("q"));
    let behind = stands_for(1, &origin);
    let own = subscriptions(&tell(&mut bridge, behind.clone())).remove(0);
    assert!(
        own.network_consumer_path
            .as_deref()
            .unwrap_or_default()
            .contains(&origin.consumer_id.clone().unwrap())
    );
    tell_locally(&mut bridge, &listener, own);
    let direct = consumer(2, Destination::queue("q"));
    tell(&mut bridge, direct.clone());
    // The way behind the remote broker breaks: who left the origin to this bridge must hear of it.
    let orders = tell(&mut bridge, removed(&behind));
    let anew = subscriptions(&orders);
    assert_eq!((anew.len(), removals(&orders)), (1, 1));
    assert_eq!(anew[0].network_consumer_path.as_deref().unwrap_or_default(), [direct.consumer_id.unwrap()]);
}

#[test]
fn a_durable_subscription_that_is_there_is_left_to_nobody() {
    let (mut bridge, listener) = listening(Settings::default());
    let subscriber = durable(1, "ann", "a");
    let own = subscriptions(&tell(&mut bridge, subscriber.clone())).remove(0);
    assert!(own.subscription_name.is_some());
    let other = ConsumerInfo { subscription_name: Some("NC-DS_here_t".into()), ..rival(1, &subscriber, 0) };
    assert_eq!(removals(&tell_locally(&mut bridge, &listener, other)), 0);
}

#[test]
fn of_two_bridges_that_subscribe_at_once_the_one_that_the_broker_told_of_first_stays() {
    for (first, destination) in [
        (true, Destination::topic("t")),
        (false, Destination::topic("t")),
        (true, Destination::queue("q")),
        (false, Destination::queue("q")),
    ] {
        let subscriber = consumer(1, destination);
        let (mut bridge, listener) = suppressing_queues();
        let own = subscriptions(&tell(&mut bridge, subscriber.clone())).remove(0);
        let other = rival(1, &subscriber, own.priority);
        let (earlier, later) = if first { (own, other) } else { (other, own) };
        let mut orders = tell_locally(&mut bridge, &listener, earlier);
        orders.extend(tell_locally(&mut bridge, &listener, later));
        assert_eq!(removals(&orders), usize::from(!first));
    }
}

#[test]
fn queues_may_be_reached_by_several_ways_unless_that_is_suppressed() {
    let consumer = consumer(1, Destination::queue("q"));
    for (suppressed, made) in [(false, 1), (true, 0)] {
        let mut settings = Settings::default();
        settings.suppress_queues = suppressed;
        let (mut bridge, listener) = listening(settings);
        tell_locally(&mut bridge, &listener, rival(1, &consumer, -5));
        assert_eq!(subscriptions(&tell(&mut bridge, consumer.clone())).len(), made);
    }
}

#[test]
fn what_was_handed_out_before_a_place_was_left_to_another_way_is_not_sent_when_it_is_taken_again() {
    let mut settings = Settings::default();
    settings.suppress_queues = true;
    let (mut bridge, listener) = listening(settings);
    let consumer = consumer(1, Destination::queue("q"));
    let before = subscriptions(&tell(&mut bridge, consumer.clone())).remove(0);
    let other = rival(1, &consumer, 0);
    assert_eq!(removals(&tell_locally(&mut bridge, &listener, other.clone())), 1);
    let orders = tell_locally(&mut bridge, &listener, removed(&other));
    let again = subscriptions(&orders).remove(0);
    // The local broker said this before it read of the end of that subscription, and will hand the message out again.
    assert!(dispatch(&mut bridge, &before, 1).is_empty());
    assert_eq!(dispatch(&mut bridge, &again, 1).len(), 1);
    // The new one ends with its consumer.
    assert_eq!(bridge.counts().subscriptions, 1);
    tell(&mut bridge, removed(&consumer));
    assert_eq!(bridge.counts().subscriptions, 0);
}

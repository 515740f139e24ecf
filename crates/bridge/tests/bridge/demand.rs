//! What consumers of the remote broker want, and the subscriptions at the local one that stand for them.

use std::sync::Arc;

use ferromq_bridge::{Bridge, Order, Rule, Settings, Side};
use ferromq_openwire::{
    BrokerId, Command, ConsumerInfo, Destination, DestinationInfo, DestinationKind, Message, MessageDispatch,
    MessageKind,
};

use super::played::{
    NOW, consumer, durable, info, removals, removed, said, subscribed, subscriptions, tell, up,
};

#[test]
fn consumers_of_one_queue_are_one_subscription_for_each_selector() {
    let mut bridge = up(Settings::default());
    let queue = || Destination::queue("q");
    let plain = tell(&mut bridge, consumer(1, queue()));
    assert_eq!(subscriptions(&plain).len(), 1);
    assert!(subscriptions(&tell(&mut bridge, consumer(2, queue()))).is_empty(), "it stands for both");
    let red = ConsumerInfo { selector: Some("colour = 'red'".into()), ..consumer(3, queue()) };
    let selective = subscriptions(&tell(&mut bridge, red.clone()));
    assert_eq!(selective.first().and_then(|info| info.selector.clone()), red.selector);

    assert_eq!(removals(&tell(&mut bridge, removed(&consumer(1, queue())))), 0, "one is left");
    assert_eq!(removals(&tell(&mut bridge, removed(&consumer(2, queue())))), 1);
    assert_eq!(removals(&tell(&mut bridge, removed(&red))), 1);
}

#[test]
fn exclusive_consumers_of_a_queue_are_an_exclusive_subscription_of_their_own() {
    let mut bridge = up(Settings::default());
    let exclusive = |n| ConsumerInfo { exclusive: true, ..consumer(n, Destination::queue("q")) };
    let told = |made: &[ConsumerInfo]| made.iter().map(|info| info.exclusive).collect::<Vec<_>>();
    let plain = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q"))));
    assert_eq!(told(&plain), [false]);
    assert_eq!(told(&subscriptions(&tell(&mut bridge, exclusive(2)))), [true]);
    assert!(subscriptions(&tell(&mut bridge, exclusive(3))).is_empty(), "it stands for both");
    assert_eq!(removals(&tell(&mut bridge, removed(&exclusive(2)))), 0, "one is left");
    assert_eq!(removals(&tell(&mut bridge, removed(&exclusive(3)))), 1);
}

#[test]
fn subscribers_of_a_topic_are_one_subscription_whatever_they_select() {
    let mut bridge = up(Settings::default());
    let red =
        ConsumerInfo { selector: Some("colour = 'red'".into()), ..consumer(1, Destination::topic("t")) };
    let first = subscriptions(&tell(&mut bridge, red));
    assert_eq!(first.first().map(|info| info.selector.clone()), Some(None), "the remote broker selects");
    assert!(subscriptions(&tell(&mut bridge, consumer(2, Destination::topic("t")))).is_empty());
}

#[test]
fn who_is_nearer_is_served_first() {
    let settings = Settings::default();
    let mut far = settings.clone();
    far.consumer_ttl = 5;
    let mut bridge = up(far);
    for (hops, priority) in [(0, -5), (1, -8), (2, -9)] {
        let path: Arc<[BrokerId]> = (0..hops).map(|n| BrokerId::new(format!("ID:{n}"))).collect();
        let info = ConsumerInfo {
            broker_path: Some(path),
            ..consumer(hops, Destination::queue(format!("q{hops}")))
        };
        let made = subscriptions(&tell(&mut bridge, info));
        assert_eq!(made.first().map(|info| info.priority), Some(priority), "{hops} brokers further");
    }
}

#[test]
fn demand_that_came_too_far_or_came_round_or_is_excluded_is_none() {
    let mut settings = Settings::default();
    settings.consumer_ttl = 2;
    settings.excluded = vec![Rule::queue("secret.>")];
    let mut bridge = up(settings);
    let path = |names: &[&str]| -> Option<Arc<[BrokerId]>> {
        Some(names.iter().map(|name| BrokerId::new(format!("ID:{name}:1"))).collect())
    };
    let queue = || Destination::queue("q");
    let refused = [
        ConsumerInfo { broker_path: path(&["x", "y"]), ..consumer(1, queue()) },
        ConsumerInfo { broker_path: path(&["here"]), ..consumer(2, queue()) },
        ConsumerInfo { browser: true, ..consumer(3, queue()) },
        consumer(4, Destination::queue("secret.plan")),
    ];
    for info in refused {
        assert!(subscriptions(&tell(&mut bridge, info.clone())).is_empty(), "{info:?}");
    }
    let accepted = ConsumerInfo { broker_path: path(&["x"]), ..consumer(5, queue()) };
    assert_eq!(subscriptions(&tell(&mut bridge, accepted)).len(), 1);
}

#[test]
fn without_conduits_each_consumer_has_a_subscription_with_its_selector() {
    let mut settings = Settings::default();
    settings.conduit = false;
    let mut bridge = up(settings);
    let red =
        ConsumerInfo { selector: Some("colour = 'red'".into()), ..consumer(1, Destination::topic("t")) };
    let made = subscriptions(&tell(&mut bridge, red.clone()));
    assert_eq!(made.first().and_then(|info| info.selector.clone()), red.selector);
    assert_eq!(subscriptions(&tell(&mut bridge, consumer(2, Destination::topic("t")))).len(), 1);
}

#[test]
fn consumers_of_queues_that_are_bridges_themselves_are_merged_only_if_that_is_asked_for() {
    for (merged, second) in [(false, 1), (true, 0)] {
        let mut settings = Settings::default();
        settings.conduit_network_queues = merged;
        let mut bridge = up(settings);
        let far =
            |number| ConsumerInfo { network_subscription: true, ..consumer(number, Destination::queue("q")) };
        assert_eq!(subscriptions(&tell(&mut bridge, far(1))).len(), 1);
        assert_eq!(subscriptions(&tell(&mut bridge, far(2))).len(), second);
    }
}

#[test]
fn priorities_of_consumers_are_kept_where_local_ones_are_not_preferred() {
    let mut settings = Settings::default();
    settings.decrease_priority = false;
    let mut bridge = up(settings);
    let info = ConsumerInfo { priority: 3, ..consumer(1, Destination::queue("q")) };
    assert_eq!(subscriptions(&tell(&mut bridge, info)).first().unwrap().priority, 3);
    let mut settings = Settings::default();
    settings.priority_base = -20;
    let mut bridge = up(settings);
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q"))));
    assert_eq!(made.first().unwrap().priority, -20);
}

#[test]
fn a_consumer_of_what_a_virtual_topic_feeds_counts_for_the_topic_as_well() {
    let mut settings = Settings::default();
    settings.virtual_consumers = true;
    let mut bridge = Bridge::new(settings.clone(), "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    let listens = said(&mut bridge).into_iter().find_map(|order| match order {
        Order::Say(Side::Remote, Command::ConsumerInfo(info)) => info.destination,
        _ => None,
    });
    let topics = listens.unwrap().name.to_string();
    assert!(topics.contains("ActiveMQ.Advisory.VirtualDestination.Consumer.>"), "{topics}");

    let mut bridge = up(settings);
    let queue = consumer(1, Destination::queue("Consumer.a.VirtualTopic.t"));
    tell(&mut bridge, queue.clone());
    let fed = ConsumerInfo { destination: Some(Destination::topic("VirtualTopic.t")), ..queue.clone() };
    let topic = "ActiveMQ.Advisory.VirtualDestination.Consumer.Topic.VirtualTopic.t";
    let mut advise = |what: Command| {
        let mut advisory = Message::new(MessageKind::Plain);
        advisory.destination = Some(Destination::topic(topic));
        advisory.data_structure = Some(Arc::new(what));
        let dispatch = MessageDispatch { message: Some(Arc::new(advisory)), ..Default::default() };
        bridge.handle(Side::Remote, dispatch.into(), NOW);
        said(&mut bridge)
    };
    assert_eq!(subscriptions(&advise(fed.into())).len(), 1);
    assert_eq!(removals(&advise(removed(&queue).into())), 1, "of the topic alone");
    assert_eq!(removals(&tell(&mut bridge, removed(&queue))), 1, "of the queue alone");
}

#[test]
fn only_what_is_statically_included_crosses_a_static_bridge_and_exclusion_beats_inclusion() {
    let mut settings = Settings::default();
    settings.static_bridge = true;
    settings.statically_included = vec![Rule::queue("always"), Rule::queue("secret.plan")];
    settings.excluded = vec![Rule::queue("secret.>")];
    let mut bridge = Bridge::new(settings, "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    let orders = said(&mut bridge);
    let wanted: Vec<_> = subscriptions(&orders).into_iter().filter_map(|info| info.destination).collect();
    assert_eq!(wanted, [Destination::queue("always")]);
    let listens = |order: &Order| matches!(order, Order::Say(Side::Remote, Command::ConsumerInfo(_)));
    assert!(!orders.iter().any(listens), "no advisory is asked for");
}

#[test]
fn temporary_destinations_cross_only_if_they_are_bridged() {
    for bridged in [true, false] {
        let mut settings = Settings::default();
        settings.temp_destinations = bridged;
        let mut bridge = up(settings);
        let destination = Destination::new(DestinationKind::TempQueue, "ID:client:1:1");
        let info = DestinationInfo { destination: Some(destination.clone()), ..Default::default() };
        let orders = tell(&mut bridge, info);
        let made = |order: &Order| matches!(order, Order::Say(Side::Local, Command::DestinationInfo(_)));
        assert_eq!(orders.iter().any(made), bridged);
        assert_eq!(subscriptions(&tell(&mut bridge, consumer(1, destination))).is_empty(), !bridged);
    }
}

#[test]
fn temporary_destinations_go_as_far_as_demand_does() {
    for (ttl, path, crosses) in [(1, 0, true), (1, 1, false), (2, 1, true), (2, 2, false), (-1, 9, true)] {
        let mut settings = Settings::default();
        settings.consumer_ttl = ttl;
        let mut bridge = up(settings);
        let path: Vec<BrokerId> = (0..path).map(|number| BrokerId::new(format!("ID:{number}"))).collect();
        let made = |orders: Vec<Order>| {
            orders.into_iter().find_map(|order| match order {
                Order::Say(Side::Local, Command::DestinationInfo(info)) => info.broker_path,
                _ => None,
            })
        };
        for operation_type in [0, 1] {
            let info = DestinationInfo {
                destination: Some(Destination::new(DestinationKind::TempQueue, "ID:client:1:1")),
                broker_path: (!path.is_empty()).then(|| path.clone().into()),
                operation_type,
                ..Default::default()
            };
            let told = made(tell(&mut bridge, info));
            let grown = crosses.then(|| [&path[..], &[BrokerId::new("ID:there:1")]].concat().into());
            assert_eq!(told, grown, "TTL {ttl}, {} brokers", path.len());
        }
    }
}

#[test]
fn the_local_broker_is_told_what_a_consumer_of_many_destinations_leaves_out() {
    let mut settings = Settings::default();
    settings.excluded = vec![Rule::queue("W.secret"), Rule::topic("T.*")];
    settings.statically_included = vec![Rule::queue("S")];
    let said_of = |settings: Settings| {
        let mut bridge = Bridge::new(settings, "1");
        bridge.handle(Side::Local, super::played::info("here").into(), NOW);
        bridge.handle(Side::Remote, super::played::info("there").into(), NOW);
        let text = said(&mut bridge).into_iter().find_map(|order| match order {
            Order::Say(Side::Local, Command::BrokerInfo(info)) => info.network_properties,
            _ => None,
        });
        let text = text.unwrap().to_string();
        let rules = text.lines().filter(|line| line.contains("cluded=")).map(str::to_owned);
        rules.collect::<Vec<_>>()
    };
    let excluded = ["excluded=queue://W.secret", "excluded=topic://T.*"];
    assert_eq!(said_of(settings.clone()), excluded);
    settings.dynamically_included = vec![Rule::topic("D.>").durable()];
    assert_eq!(said_of(settings), [&excluded[..], &["included=topic://D.>", "included=queue://S"]].concat());
}

#[test]
fn consumers_of_a_statically_included_queue_are_told_of_besides() {
    let mut settings = Settings::default();
    settings.statically_included = vec![Rule::queue("q"), Rule::topic("t")];
    let mut bridge = up(settings);
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q"))));
    assert_eq!(
        made.iter()
            .map(|made| made.network_consumer_path.as_ref().map(|path| path.len()))
            .collect::<Vec<_>>(),
        [Some(1)]
    );
    let orders = tell(&mut bridge, removed(&consumer(1, Destination::queue("q"))));
    assert_eq!((removals(&orders), bridge.counts().subscriptions), (1, 2), "the fixed ones stay");
    assert!(
        subscriptions(&tell(&mut bridge, consumer(2, Destination::topic("t")))).is_empty(),
        "one copy goes over"
    );
}

#[test]
fn who_hears_of_a_subscription_learns_whose_client_it_is_for() {
    let mut bridge = up(Settings::default());
    let queue = ConsumerInfo { client_id: Some("app".into()), ..consumer(1, Destination::queue("q")) };
    assert_eq!(subscriptions(&tell(&mut bridge, queue))[0].client_id, Some("app".into()));
    // A durable one is the bridge's own.
    assert_eq!(subscriptions(&tell(&mut bridge, durable(2, "app", "s")))[0].client_id, None);
}

#[test]
fn windows_and_acknowledgements_of_advisories_are_as_asked_for() {
    let mut settings = Settings::default();
    (settings.prefetch, settings.advisory_prefetch, settings.advisory_ack_percentage) = (7, 4, 50);
    settings.dispatch_async = false;
    let mut bridge = up(settings);
    let made = subscribed(&mut bridge);
    assert_eq!((made.prefetch_size, made.dispatch_async), (7, false));
    let orders = tell(&mut bridge, consumer(2, Destination::queue("q")));
    let acks = orders.iter().filter_map(|order| match order {
        Order::Say(Side::Remote, Command::MessageAck(ack)) => Some(ack.message_count),
        _ => None,
    });
    assert_eq!(acks.collect::<Vec<_>>(), [2], "half of four");
}

#[test]
fn a_peer_that_never_stops_telling_of_consumers_is_listened_to_up_to_a_limit() {
    let mut settings = Settings::default();
    settings.most_consumers = 3;
    let mut bridge = up(settings);
    let mut warned = 0;
    for number in 0..10 {
        let orders = tell(&mut bridge, consumer(number, Destination::queue(format!("q{number}"))));
        // At the first, the second and the fourth that is one too many: a peer does not fill the log.
        warned += orders.iter().filter(|order| matches!(order, Order::Warn(_))).count();
    }
    assert_eq!((bridge.counts().consumers, bridge.counts().subscriptions, warned), (3, 3, 3));
}

//! The core of a bridge between two brokers that the tests play.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

mod played;

use std::sync::Arc;
use std::time::Duration;

use ferromq_bridge::{Bridge, Ending, Login, Order, Rule, Settings, Side};
use ferromq_openwire::{
    AckType, Body, BrokerId, BrokerInfo, BrokerSubscriptionInfo, Command, ConsumerId, ConsumerInfo,
    Destination, DestinationInfo, DestinationKind, ExceptionResponse, Limits, Message, MessageAck,
    MessageDispatch, MessageKind, ObjectId, RemoveInfo, RemoveSubscriptionInfo, Response, SessionId,
    Throwable, WireStr,
};

use played::{NOW, consumer, forwarded, hand, message, said, subscriptions, tell};

fn info(name: &str) -> BrokerInfo {
    let id = BrokerId::new(format!("ID:{name}:1"));
    BrokerInfo { broker_id: Some(id), broker_name: Some(name.into()), ..Default::default() }
}

/// A bridge that both brokers have let in, and what it said until then.
fn up(settings: Settings) -> Bridge {
    let mut bridge = Bridge::new(settings, "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    assert!(bridge.is_up());
    said(&mut bridge);
    bridge
}

fn removals(orders: &[Order]) -> usize {
    orders.iter().filter(|order| matches!(order, Order::Say(Side::Local, Command::RemoveInfo(_)))).count()
}

fn acks(orders: &[Order]) -> Vec<MessageAck> {
    let ack = |order: &Order| match order {
        Order::Say(Side::Local, Command::MessageAck(ack)) => Some(ack.clone()),
        _ => None,
    };
    orders.iter().filter_map(ack).collect()
}

/// The local broker hands a persistent message to a subscription; what goes to the remote one.
fn dispatch(bridge: &mut Bridge, to: &ConsumerInfo, sequence: i64) -> Vec<Arc<Message>> {
    let mut message = message(to, sequence);
    message.persistent = true;
    forwarded(hand(bridge, to, message))
}

fn removed(info: &ConsumerInfo) -> RemoveInfo {
    RemoveInfo { object_id: info.consumer_id.clone().map(ObjectId::Consumer), ..Default::default() }
}

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
fn a_message_is_acknowledged_when_the_other_broker_has_answered() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let sent = dispatch(&mut bridge, &made, 1);
    let sent = sent.first().unwrap();
    assert!(sent.response_required);
    assert_eq!(sent.broker_path.as_deref(), Some(&[BrokerId::new("ID:here:1")][..]));
    let answer = Response { correlation_id: sent.command_id, ..Default::default() };
    bridge.handle(Side::Remote, answer.into(), NOW);
    let acks = acks(&said(&mut bridge));
    assert_eq!(acks.first().map(|ack| ack.ack_type), Some(AckType::Individual as i8));
    assert_eq!(bridge.counts().forwarded, 1);
}

#[test]
fn a_refused_message_is_a_dead_letter_and_the_bridge_goes_on() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    let exception = Some(Arc::new(Throwable::new("java.lang.SecurityException", "not allowed")));
    let refusal = ExceptionResponse { correlation_id: command_id, exception, ..Default::default() };
    bridge.handle(Side::Remote, refusal.into(), NOW);
    let orders = said(&mut bridge);
    assert_eq!(acks(&orders).first().map(|ack| ack.ack_type), Some(AckType::Poison as i8));
    assert!(!orders.iter().any(|order| matches!(order, Order::End(_))));
    assert!(!dispatch(&mut bridge, &made, 2).is_empty());
}

#[test]
fn a_broker_without_room_is_asked_again_later() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    let exception = Some(Arc::new(Throwable::new("javax.jms.ResourceAllocationException", "full")));
    let refusal = ExceptionResponse { correlation_id: command_id, exception, ..Default::default() };
    bridge.handle(Side::Remote, refusal.into(), NOW);
    assert!(acks(&said(&mut bridge)).is_empty(), "it is still ours");
    let at = bridge.next_deadline().unwrap();
    bridge.tick(at);
    assert!(matches!(said(&mut bridge).as_slice(), [Order::Say(Side::Remote, Command::Message(_))]));
}

#[test]
fn a_subscription_ends_after_the_answers_to_what_is_under_way() {
    let mut bridge = up(Settings::default());
    let wanted = consumer(1, Destination::queue("q"));
    let made = subscriptions(&tell(&mut bridge, wanted.clone())).remove(0);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    assert_eq!(
        removals(&tell(&mut bridge, removed(&wanted))),
        0,
        "the broker would hand the message out again"
    );
    assert!(dispatch(&mut bridge, &made, 2).is_empty(), "nothing more leaves by it");

    let answer = Response { correlation_id: command_id, ..Default::default() };
    bridge.handle(Side::Remote, answer.into(), NOW);
    let orders = said(&mut bridge);
    let kinds: Vec<&str> = orders
        .iter()
        .map(|order| match order {
            Order::Say(Side::Local, command) => command.type_name(),
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["MessageAck", "RemoveInfo"]);
}

#[test]
fn a_broker_that_finds_itself_is_told_so() {
    let mut bridge = Bridge::new(Settings::default(), "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("here").into(), NOW);
    assert!(matches!(said(&mut bridge).as_slice(), [Order::End(Ending::Loop)]));
}

#[test]
fn wrong_credentials_end_the_attempt_with_the_reason() {
    let mut bridge = Bridge::new(Settings::default(), "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    said(&mut bridge);
    let exception = Some(Arc::new(Throwable::new("java.lang.SecurityException", "User name or password")));
    bridge.handle(Side::Remote, ExceptionResponse { exception, ..Default::default() }.into(), NOW);
    let ended = said(&mut bridge);
    assert!(matches!(ended.as_slice(), [Order::End(Ending::Refused(reason))] if reason.contains("password")));
}

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

fn durable(number: i64, client: &str, name: &str) -> ConsumerInfo {
    ConsumerInfo {
        client_id: Some(client.into()),
        subscription_name: Some(name.into()),
        ..consumer(number, Destination::topic("t"))
    }
}

fn given_up(client: &str, name: &str) -> RemoveSubscriptionInfo {
    RemoveSubscriptionInfo {
        client_id: Some(client.into()),
        subscription_name: Some(name.into()),
        ..Default::default()
    }
}

/// The durable subscriptions that were given up at the local broker, each as client id and name.
fn dropped(orders: &[Order]) -> Vec<(String, String)> {
    let text = |text: &Option<WireStr>| text.as_ref().map(ToString::to_string).unwrap_or_default();
    let dropped = |order: &Order| match order {
        Order::Say(Side::Local, Command::RemoveSubscriptionInfo(info)) => {
            Some((text(&info.client_id), text(&info.subscription_name)))
        }
        _ => None,
    };
    orders.iter().filter_map(dropped).collect()
}

fn own_durable() -> (String, String) {
    ("NC_there_inbound_here".to_owned(), "NC-DS_here_t".to_owned())
}

#[test]
fn a_durable_subscription_lasts_until_its_last_subscriber_gives_up() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, durable(1, "ann", "a")));
    let name = made.first().and_then(|info| info.subscription_name.clone());
    assert_eq!(name, Some("NC-DS_here_t".into()));
    assert!(subscriptions(&tell(&mut bridge, durable(2, "bob", "b"))).is_empty(), "it stands for both");
    for number in [1, 2] {
        let orders = tell(&mut bridge, removed(&consumer(number, Destination::topic("t"))));
        assert_eq!(removals(&orders), 0, "who is offline misses nothing");
    }
    assert!(dropped(&tell(&mut bridge, given_up("ann", "a"))).is_empty());
    assert_eq!(dropped(&tell(&mut bridge, given_up("bob", "b"))), [own_durable()]);
}

#[test]
fn a_durable_subscriber_turns_the_subscription_of_plain_ones_into_a_durable_one_and_back() {
    let mut bridge = up(Settings::default());
    tell(&mut bridge, consumer(1, Destination::topic("t")));
    let orders = tell(&mut bridge, durable(2, "ann", "a"));
    assert_eq!(removals(&orders), 1, "one copy of each message goes over the link");
    assert!(subscriptions(&orders).first().unwrap().subscription_name.is_some());
    tell(&mut bridge, removed(&consumer(2, Destination::topic("t"))));
    let orders = tell(&mut bridge, given_up("ann", "a"));
    assert_eq!(dropped(&orders), [own_durable()]);
    assert_eq!(subscriptions(&orders).first().unwrap().subscription_name, None);
}

#[test]
fn plain_subscribers_of_topics_that_are_forced_to_be_durable_are_until_the_last_one_leaves() {
    let mut settings = Settings::default();
    settings.dynamically_included = vec![Rule::topic("t").durable()];
    let mut bridge = up(settings);
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::topic("t"))));
    assert!(made.first().unwrap().subscription_name.is_some());
    let orders = tell(&mut bridge, removed(&consumer(1, Destination::topic("t"))));
    assert_eq!(dropped(&orders), [own_durable()]);
}

/// What a broker tells of its durable subscriptions.
fn list(infos: impl IntoIterator<Item = ConsumerInfo>) -> BrokerSubscriptionInfo {
    BrokerSubscriptionInfo { subscription_infos: Some(infos.into_iter().collect()), ..Default::default() }
}

/// The durable subscription that an earlier life of the bridge has left.
fn left_behind() -> ConsumerInfo {
    let (client, name) = own_durable();
    durable(77, &client, &name)
}

#[test]
fn durable_subscriptions_of_an_earlier_life_go_on_unless_they_are_to_wait() {
    for (dynamic_only, made) in [(false, 1), (true, 0)] {
        let mut settings = Settings::default();
        settings.dynamic_only = dynamic_only;
        let mut bridge = up(settings);
        bridge.handle(Side::Local, list([left_behind(), durable(78, "somebody", "else")]).into(), NOW);
        assert_eq!(subscriptions(&said(&mut bridge)).len(), made, "dynamicOnly={dynamic_only}");
    }
}

#[test]
fn what_was_subscribed_and_given_up_while_the_link_was_down_is_made_up_for() {
    for syncs in [true, false] {
        let mut settings = Settings::default();
        settings.sync_durables = syncs;
        let mut bridge = up(settings.clone());
        bridge.handle(Side::Local, list([left_behind()]).into(), NOW);
        said(&mut bridge);
        bridge.handle(Side::Remote, list([]).into(), NOW);
        let ended = if syncs { vec![own_durable()] } else { Vec::new() };
        assert_eq!(dropped(&said(&mut bridge)), ended, "given up over there, syncDurableSubs={syncs}");

        let mut bridge = up(settings);
        bridge.handle(Side::Local, list([]).into(), NOW);
        said(&mut bridge);
        // What belongs to the peer's bridge back here is no demand.
        let back = durable(2, "NC_here_inbound_there", "NC-DS_there_t");
        bridge.handle(Side::Remote, list([durable(1, "ann", "a"), back]).into(), NOW);
        let made = subscriptions(&said(&mut bridge));
        assert_eq!(made.len(), usize::from(syncs), "new over there, syncDurableSubs={syncs}");
        if syncs {
            assert_eq!(dropped(&tell(&mut bridge, given_up("ann", "a"))), [own_durable()]);
        }
    }
}

#[test]
fn a_duplex_bridge_tells_of_its_own_durable_subscriptions_once_the_peer_has() {
    let mut settings = Settings::default();
    (settings.sync_durables, settings.duplex) = (true, true);
    let mut bridge = Bridge::new(settings, "1");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    bridge.handle(Side::Local, Response::default().into(), NOW);
    bridge.handle(Side::Local, list([durable(1, "ann", "a")]).into(), NOW);
    let told = |orders: Vec<Order>| {
        let told =
            |order: &Order| matches!(order, Order::Say(Side::Remote, Command::BrokerSubscriptionInfo(_)));
        orders.iter().filter(|order| told(order)).count()
    };
    assert_eq!(told(said(&mut bridge)), 0, "an older broker would not understand it");
    bridge.handle(Side::Remote, list([]).into(), NOW);
    assert_eq!(told(said(&mut bridge)), 1);
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
fn bodies_travel_compressed_if_that_is_asked_for() {
    for compress in [false, true] {
        let mut settings = Settings::default();
        settings.compress = compress;
        let mut bridge = up(settings);
        let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
        let text = "the same again and again ".repeat(50);
        let mut message = message(&made, 1);
        message.set_text(&text).unwrap();
        let sent = forwarded(hand(&mut bridge, &made, message)).remove(0);
        assert_eq!(sent.compressed, compress);
        assert_eq!(sent.content.as_ref().unwrap().len() < text.len(), compress);
        assert_eq!(sent.body(&Limits::default()).unwrap(), Body::Text(text.as_str().into()));
    }
}

/// Advisories that the bridge itself sends to the local broker: the topics.
fn reports(orders: &[Order]) -> Vec<String> {
    let topic = |order: &Order| match order {
        Order::Say(Side::Local, Command::Message(message)) => {
            message.destination.as_ref().map(|topic| topic.name.to_string())
        }
        _ => None,
    };
    orders.iter().filter_map(topic).collect()
}

#[test]
fn a_refused_message_is_told_of_if_that_is_asked_for() {
    for told in [false, true] {
        let mut settings = Settings::default();
        settings.tell_failed = told;
        let mut bridge = up(settings);
        let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
        let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
        let exception = Some(Arc::new(Throwable::new("java.lang.SecurityException", "not allowed")));
        let refusal = ExceptionResponse { correlation_id: command_id, exception, ..Default::default() };
        bridge.handle(Side::Remote, refusal.into(), NOW);
        let expected: &[&str] = if told { &["ActiveMQ.Advisory.NetworkBridge.ForwardFailure"] } else { &[] };
        assert_eq!(reports(&said(&mut bridge)), expected);
    }
}

#[test]
fn the_local_broker_is_told_when_a_bridge_came_up_and_when_it_is_gone() {
    let mut bridge = Bridge::new(Settings::default(), "1").to("tcp://there:61616");
    bridge.handle(Side::Local, info("here").into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    assert_eq!(reports(&said(&mut bridge)), ["ActiveMQ.Advisory.NetworkBridge"]);
    bridge.lost(Side::Remote, "it closed the connection");
    assert_eq!(reports(&said(&mut bridge)), ["ActiveMQ.Advisory.NetworkBridge"]);
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
fn windows_and_acknowledgements_of_advisories_are_as_asked_for() {
    let mut settings = Settings::default();
    (settings.prefetch, settings.advisory_prefetch, settings.advisory_ack_percentage) = (7, 4, 50);
    settings.dispatch_async = false;
    let mut bridge = up(settings);
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    assert_eq!((made.prefetch_size, made.dispatch_async), (7, false));
    let orders = tell(&mut bridge, consumer(2, Destination::queue("q")));
    let acks = orders.iter().filter_map(|order| match order {
        Order::Say(Side::Remote, Command::MessageAck(ack)) => Some(ack.message_count),
        _ => None,
    });
    assert_eq!(acks.collect::<Vec<_>>(), [2], "half of four");
}

#[test]
fn messages_that_may_be_lost_wait_for_an_answer_only_if_that_is_asked_for() {
    for (asked, waits) in [(true, true), (false, false)] {
        let mut settings = Settings::default();
        settings.always_sync_send = asked;
        let mut bridge = up(settings);
        let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
        let orders = hand(&mut bridge, &made, message(&made, 1));
        assert_eq!(acks(&orders).is_empty(), waits);
    }
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
fn who_logs_in_where_and_under_which_names() {
    let mut settings = Settings::default();
    settings.name = "link".into();
    settings.client_id_token = "~".into();
    settings.destination_filter = Some("Queue.orders".into());
    let login = |user: &str| Some(Login { user: user.into(), password: "secret".into() });
    (settings.local_login, settings.remote_login) = (login("ann"), login("bob"));
    for names in [true, false] {
        settings.names_in_ids = names;
        let mut bridge = Bridge::new(settings.clone(), "1");
        bridge.handle(Side::Local, info("here").into(), NOW);
        bridge.handle(Side::Remote, info("there").into(), NOW);
        let text = |text: &Option<WireStr>| text.as_ref().map(ToString::to_string).unwrap_or_default();
        let orders = said(&mut bridge);
        let logins = orders.iter().filter_map(|order| match order {
            Order::Say(side, Command::ConnectionInfo(info)) => {
                let id = info.connection_id.as_ref().map(|id| text(&id.value)).unwrap_or_default();
                Some((*side, text(&info.client_id), text(&info.user_name), id))
            }
            _ => None,
        });
        let logins: Vec<_> = logins.collect();
        let id = if names { "here->there-1" } else { "ID:1" };
        let expected = [
            (Side::Local, "link~there~inbound~here".into(), "ann".into(), format!("{id}:1")),
            (Side::Remote, "link~here~outbound".into(), "bob".into(), format!("{id}:2")),
        ];
        assert_eq!(logins, expected);
        let listens = orders.iter().find_map(|order| match order {
            Order::Say(Side::Remote, Command::ConsumerInfo(info)) => info.destination.clone(),
            _ => None,
        });
        let topics = listens.unwrap().name.to_string();
        assert!(topics.starts_with("ActiveMQ.Advisory.Consumer.Queue.orders,"), "{topics}");
    }
}

#[test]
fn what_went_over_is_counted_for_each_destination_until_it_rests() {
    let mut settings = Settings::default();
    settings.forget_counters_after = Some(Duration::from_secs(60));
    let mut bridge = up(settings);
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let command_id = dispatch(&mut bridge, &made, 1).first().unwrap().command_id;
    assert_eq!(bridge.longest_wait(NOW + Duration::from_secs(3)), Duration::from_secs(3));
    let answer = Response { correlation_id: command_id, ..Default::default() };
    bridge.handle(Side::Remote, answer.into(), NOW + Duration::from_secs(5));
    assert_eq!(bridge.longest_wait(NOW + Duration::from_secs(9)), Duration::ZERO);
    let counted = bridge.destinations();
    assert_eq!(
        counted.first().map(|counts| (&*counts.destination, counts.forwarded)),
        Some(("queue://q", 1))
    );
    bridge.tick(NOW + Duration::from_secs(60));
    assert_eq!(bridge.destinations().len(), 1, "it was used 55 s ago");
    let at = bridge.next_deadline().unwrap();
    bridge.tick(at);
    assert!(bridge.destinations().is_empty());
}

#[test]
fn what_nobody_asked_a_peer_for_changes_nothing() {
    let mut bridge = up(Settings::default());
    let made = subscriptions(&tell(&mut bridge, consumer(1, Destination::queue("q")))).remove(0);
    let nonsense: Vec<Command> = vec![
        Response { correlation_id: 4_711, ..Default::default() }.into(),
        MessageAck::default().into(),
        consumer(9, Destination::queue("elsewhere")).into(),
        removed(&consumer(9, Destination::queue("elsewhere"))).into(),
        MessageDispatch::default().into(),
        BrokerSubscriptionInfo::default().into(),
        given_up("nobody", "nothing").into(),
        Message::new(MessageKind::Text).into(),
    ];
    for command in nonsense {
        bridge.handle(Side::Remote, command, NOW);
    }
    for strange in [Command::from(Message::new(MessageKind::Text)), ConsumerInfo::default().into()] {
        tell(&mut bridge, strange);
    }
    assert!(!said(&mut bridge).iter().any(|order| matches!(order, Order::End(_))));
    assert_eq!(bridge.counts().subscriptions, 1);
    assert_eq!(dispatch(&mut bridge, &made, 1).len(), 1, "messages go on");
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

//! Durable subscribers over there, and the durable subscriptions that stand for them.

use ferromq_bridge::{Bridge, Order, Rule, Settings, Side};
use ferromq_openwire::{
    BrokerInfo, BrokerSubscriptionInfo, Command, ConsumerInfo, Destination, Response, WireStr,
};

use super::played::{
    NOW, acks, consumer, durable, forwarded, given_up, hand, info, message, removals, removed, said,
    subscriptions, tell, up,
};

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
fn a_subscription_that_stands_for_several_durable_subscribers_has_the_selector_of_none() {
    for conduit in [true, false] {
        // Given: bridges that merge consumers, and bridges that do not
        let mut settings = Settings::default();
        settings.conduit = conduit;
        let mut bridge = up(settings);
        // When: two durable subscribers of one topic select different messages
        let select = |number, name: &str, selector: &str| ConsumerInfo {
            selector: Some(selector.into()),
            ..durable(number, name, name)
        };
        let made = subscriptions(&tell(&mut bridge, select(1, "ann", "colour = 'red'")));
        let more = subscriptions(&tell(&mut bridge, select(2, "bob", "colour = 'blue'")));
        // Then: the one subscription that stands for both takes what either wants
        assert_eq!((made.len(), more.len()), (1, 0), "conduit={conduit}");
        assert_eq!(made.first().unwrap().selector, None, "conduit={conduit}");
    }
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

/// What a bridge between brokers of ours is told at first: the local one keeps streams.
fn up_with_streams(settings: Settings) -> Bridge {
    let mut bridge = Bridge::new(settings, "1");
    let local = BrokerInfo { network_properties: Some("ferromqLinks=1\n".into()), ..info("here") };
    bridge.handle(Side::Local, local.into(), NOW);
    bridge.handle(Side::Remote, info("there").into(), NOW);
    for side in [Side::Local, Side::Remote] {
        bridge.handle(side, Response::default().into(), NOW);
    }
    said(&mut bridge);
    bridge
}

fn warnings(orders: &[Order]) -> Vec<&str> {
    let warnings = orders.iter().filter_map(|order| match order {
        Order::Warn(text) => Some(text.as_str()),
        _ => None,
    });
    warnings.collect()
}

#[test]
fn what_was_subscribed_to_before_the_local_broker_was_renamed_goes_on_under_its_old_name() {
    for dynamic_only in [false, true] {
        // Given: a durable subscription that the connector made while the broker was called "old"
        let old = ("NC_there_inbound_old".to_owned(), "NC-DS_old_t".to_owned());
        let mut settings = Settings::default();
        settings.dynamic_only = dynamic_only;
        let mut bridge = up_with_streams(settings);
        // When: the broker tells of it, and the subscriber over there comes back
        bridge.handle(Side::Local, list([durable(77, &old.0, &old.1)]).into(), NOW);
        let mut orders = said(&mut bridge);
        orders.extend(tell(&mut bridge, durable(1, "ann", "a")));
        // Then: what it has kept is fetched under the names that it has, and no second one is made
        let made = subscriptions(&orders);
        let names: Vec<_> = made.iter().map(|info| (&info.client_id, &info.subscription_name)).collect();
        assert_eq!(names, [(&Some(old.0.as_str().into()), &Some(old.1.as_str().into()))]);
        assert_eq!(warnings(&orders), [""; 0]);
        // When: the subscriber gives up, then: so does the bridge, by those names
        assert_eq!(dropped(&tell(&mut bridge, given_up("ann", "a"))), [old]);
    }
}

#[test]
fn what_nobody_fetches_since_a_broker_was_renamed_is_told_of() {
    let former = durable(77, "NC_before_inbound_here", "NC-DS_here_t");
    // Given: the remote broker had another name; then: it is told of once, unless another link may fetch it
    for only_link in [true, false] {
        let mut settings = Settings::default();
        settings.only_link = only_link;
        let mut bridge = up_with_streams(settings);
        bridge.handle(Side::Local, list([former.clone()]).into(), NOW);
        let orders = said(&mut bridge);
        assert_eq!(warnings(&orders).len(), usize::from(only_link));
        assert!(
            warnings(&orders)
                .iter()
                .all(|text| text.contains("NC-DS_here_t of client NC_before_inbound_here"))
        );
        assert!(subscriptions(&orders).is_empty(), "it may belong to another broker");
    }
    // Given: the local one had, and has subscribed to the topic anew since; then: both would send the same
    let mut bridge = up_with_streams(Settings::default());
    let old = durable(78, "NC_there_inbound_old", "NC-DS_old_t");
    bridge.handle(Side::Local, list([old, left_behind()]).into(), NOW);
    let orders = said(&mut bridge);
    assert_eq!(subscriptions(&orders).first().unwrap().subscription_name, Some("NC-DS_here_t".into()));
    assert_eq!((subscriptions(&orders).len(), warnings(&orders).len()), (1, 1));
    // Given: what looks similar and is not the connector's; then: nothing is said
    let mut bridge = up_with_streams(Settings::default());
    let others = [
        durable(79, "NC2_there_inbound_old", "NC-DS_old_t"),
        durable(80, "NC_there_inbound_old", "mine"),
        durable(81, "NC_there_outbound", "NC-DS_old_t"),
    ];
    bridge.handle(Side::Local, list(others).into(), NOW);
    assert!(said(&mut bridge).is_empty());
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
fn what_is_excluded_is_let_go_by_a_durable_subscription_of_many_topics() {
    let mut settings = Settings::default();
    settings.excluded = vec![Rule::topic("t.secret")];
    let mut bridge = up(settings);
    let all = ConsumerInfo { destination: Some(Destination::topic("t.>")), ..durable(1, "client", "s") };
    let made = subscriptions(&tell(&mut bridge, all)).remove(0);
    for (sequence, topic, goes) in [(1, "t.open", 1), (2, "t.secret", 0)] {
        let to = ConsumerInfo { destination: Some(Destination::topic(topic)), ..made.clone() };
        let orders = hand(&mut bridge, &to, message(&to, sequence));
        assert_eq!((acks(&orders).len(), forwarded(orders).len()), (1 - goes, goes), "{topic}");
    }
}

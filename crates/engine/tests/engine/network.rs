//! What goes over bridges, and back (`conditionalNetworkBridgeFilterFactory`), and what bridges are told.

use std::time::Duration;

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

/// The consumer of a bridge to the broker `peer`.
fn bridge_to(b: &mut Bench, peer: &'static str) -> (Client, LocalId) {
    bridge_as(b, peer, |_| {})
}

fn bridge_as(
    b: &mut Bench,
    peer: &'static str,
    change: impl FnOnce(&mut ConsumerFacts),
) -> (Client, LocalId) {
    let client = b.connect(&format!("bridge to {peer}"));
    let local = b.consume_as(&client, "A", |facts| {
        facts.network = true;
        facts.priority = -5;
        facts.broker_path = vec![peer.into()];
        facts.network_filter = Some(NetworkFilter {
            broker: peer.into(),
            message_ttl: 1,
            consumer_ttl: 1,
            max_hops: None,
            scope: None,
        });
        facts.network_path = vec![ConsumerId { session: 1, value: 1, connection: peer.into() }];
        change(facts);
    });
    (client, local)
}

/// A message that came from the broker `peer`.
fn send_from(b: &mut Bench, client: &Client, peer: &'static str, text: &str) {
    let arrival = b.now.wall.0;
    b.send_as(client, "A", text, |message| {
        message.broker_in_time = arrival;
        message.extra_mut().broker_path = vec![peer.into()];
    });
}

fn ruled(network: NetworkRule) -> Bench {
    Bench::policy(Policy { network, ..Policy::default() })
}

#[test]
fn a_message_goes_back_to_its_broker_when_nobody_here_wants_it() {
    let mut b = Bench::new();
    let (producer, c) = (b.connect("p"), b.connect("c"));
    let local = b.consume_as(&c, "A", |facts| facts.prefetch = 1);
    let (peer, back) = bridge_to(&mut b, "peer");
    for text in ["1", "2"] {
        send_from(&mut b, &producer, "peer", text);
    }
    assert_eq!(b.texts_of(&c, local), ["1"]);
    assert!(b.texts_of(&peer, back).is_empty(), "somebody here consumes");
    b.close(&c, local, -1);
    assert_eq!(b.texts_of(&peer, back), ["1", "2"]);
}

#[test]
fn an_exclusive_consumer_over_there_gets_everything_and_what_came_from_there_as_well() {
    let mut b = Bench::new();
    let (producer, c) = (b.connect("p"), b.connect("c"));
    let local = b.consume_as(&c, "A", |facts| facts.prefetch = 1);
    for text in ["1", "2"] {
        send_from(&mut b, &producer, "peer", text);
    }
    let (peer, back) = bridge_as(&mut b, "peer", |facts| facts.exclusive = true);
    b.send(&producer, "A", "3");
    assert_eq!(b.texts_of(&peer, back), ["2", "3"]);
    assert_eq!(b.texts_of(&c, local), ["1"], "what it has it keeps");
}

#[test]
fn of_exclusive_consumers_here_and_as_strong_ones_over_there_those_here_come_first() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let (peer, over) = bridge_as(&mut b, "peer", |facts| (facts.exclusive, facts.priority) = (true, 0));
    let local = b.consume_as(&c, "A", |facts| facts.exclusive = true);
    b.send(&c, "A", "1");
    assert_eq!(b.texts_of(&c, local), ["1"]);
    b.close(&c, local, -1);
    assert_eq!(b.texts_of(&peer, over), ["1"]);
}

#[test]
fn it_goes_back_only_after_the_delay_that_the_policy_asks_for() {
    let mut b = ruled(NetworkRule { back_after: Duration::from_millis(500), ..NetworkRule::default() });
    let producer = b.connect("p");
    let (peer, back) = bridge_to(&mut b, "peer");
    send_from(&mut b, &producer, "peer", "early");
    b.wait(Duration::from_millis(300));
    send_from(&mut b, &producer, "peer", "late");
    assert!(b.texts_of(&peer, back).is_empty());
    b.wait(Duration::from_millis(200));
    assert_eq!(b.texts_of(&peer, back), ["early"]);
    let at = b.engine.next_deadline().unwrap();
    assert_eq!(at, b.now.mono + Duration::from_millis(300));
    b.wait(Duration::from_millis(300));
    assert_eq!(b.texts_of(&peer, back), ["late"]);
}

#[test]
fn however_many_wait_to_go_back_the_queue_is_looked_at_once() {
    let mut b = ruled(NetworkRule { back_after: Duration::from_millis(300), ..NetworkRule::default() });
    let producer = b.connect("p");
    let (peer, back) = bridge_to(&mut b, "peer");
    let other = b.engine.next_deadline();
    let begun = b.now;
    for n in 0..50 {
        send_from(&mut b, &producer, "peer", &format!("m{n}"));
        b.now.mono = b.now.mono + Duration::from_micros(10);
    }
    b.now = begun;
    b.wait(Duration::from_millis(300));
    assert_eq!(b.texts_of(&peer, back).len(), 50);
    assert_eq!(b.engine.next_deadline(), other, "no timer is left of them");
}

#[test]
fn a_consumer_that_selects_something_else_keeps_it_here_unless_selectors_count() {
    for (selector_aware, goes_back) in [(false, 0), (true, 1)] {
        let mut b = ruled(NetworkRule { selector_aware, ..NetworkRule::default() });
        let (producer, c) = (b.connect("p"), b.connect("c"));
        b.consume_as(&c, "A", |facts| facts.selector = Some("JMSType = 'red'".into()));
        let (peer, back) = bridge_to(&mut b, "peer");
        send_from(&mut b, &producer, "peer", "blue");
        assert_eq!(b.texts_of(&peer, back).len(), goes_back, "selector_aware = {selector_aware}");
        b.send_as(&producer, "A", "red", |message| {
            message.message_type = Some("red".into());
            message.extra_mut().broker_path = vec!["peer".into()];
        });
        assert!(b.texts_of(&peer, back).is_empty(), "this one is wanted here");
    }
}

#[test]
fn a_bridge_with_a_rate_limit_gets_so_many_in_a_period_and_local_consumers_as_many_as_they_like() {
    let mut b = ruled(NetworkRule { rate: Some((2, Duration::from_secs(1))), ..NetworkRule::default() });
    let producer = b.connect("p");
    let (peer, out) = bridge_to(&mut b, "peer");
    for text in ["1", "2", "3", "4", "5"] {
        b.send(&producer, "A", text);
    }
    assert_eq!(b.texts_of(&peer, out), ["1", "2"]);
    b.wait(Duration::from_millis(999));
    assert!(b.texts_of(&peer, out).is_empty());
    b.wait(Duration::from_millis(1));
    assert_eq!(b.texts_of(&peer, out), ["3", "4"]);
    let c = b.connect("c");
    let local = b.consume(&c, "A");
    b.send(&producer, "A", "6");
    assert_eq!(b.texts_of(&c, local), ["5", "6"]);
}

fn advised(b: &mut Bench) -> Vec<(String, Advisory)> {
    let messages = b.take().into_iter().filter_map(|got| got.delivery.message);
    messages
        .filter_map(|message| {
            Some((message.destination.name.to_string(), message.extra.as_ref()?.advisory.clone()?))
        })
        .collect()
}

#[test]
fn bridges_hear_who_is_a_durable_subscriber_and_when_it_gives_up() {
    let mut b = Bench::new();
    let (watcher, c) = (b.connect("watcher"), b.connect("ann"));
    b.consume(&watcher, "topic://ActiveMQ.Advisory.Consumer.>");
    let consumer = b.consume_as(&c, "topic://T", |facts| facts.subscription = Some("s".into()));
    let told = advised(&mut b);
    assert!(
        matches!(&told[..], [(_, Advisory::ConsumerStarted(facts))] if facts.client_id == Some("ann".into()))
    );
    b.close(&c, consumer, -1);
    advised(&mut b);
    let name = SubscriptionName { client: "ann".into(), name: "s".into() };
    b.do_it(&c, Intent::Unsubscribe(name.clone()));
    let told = advised(&mut b);
    assert!(
        matches!(&told[..], [(topic, Advisory::SubscriptionRemoved(gone))]
            if topic == "ActiveMQ.Advisory.Consumer.Topic.T" && *gone == name),
        "{told:?}"
    );
}

#[test]
fn a_bridge_is_told_of_all_durable_subscriptions_whether_anybody_uses_them_or_not() {
    let mut b = Bench::new();
    let c = b.connect("ann");
    for (topic, name) in [("topic://T", "s"), ("topic://U", "t")] {
        let consumer = b.consume_as(&c, topic, |facts| facts.subscription = Some(name.into()));
        b.close(&c, consumer, -1);
    }
    let Effect::Durables(durables) = b.ask(&c, Intent::ListDurables) else { panic!("no list") };
    let mut names: Vec<String> = durables.iter().map(|durable| durable.name.name.to_string()).collect();
    names.sort();
    assert_eq!(names, ["s", "t"]);
}

#[test]
fn more_durable_subscriptions_than_a_list_takes_are_told_of_once_and_bridges_get_no_half_of_it() {
    let limits = Limits { listed_durables: 3, ..Limits::default() };
    let mut b = Bench::with(Settings { limits, ..Settings::default() });
    let c = b.connect("ann");
    let subscribe = |b: &mut Bench, name: &'static str| {
        let consumer = b.consume_as(&c, "topic://T", |facts| facts.subscription = Some(name.into()));
        b.close(&c, consumer, -1);
    };
    ["r", "s", "t"].into_iter().for_each(|name| subscribe(&mut b, name));
    assert!(matches!(b.ask(&c, Intent::ListDurables), Effect::Durables(all) if all.len() == 3));
    subscribe(&mut b, "u");
    for _ in 0..3 {
        assert!(matches!(b.ask(&c, Intent::ListDurables), Effect::Failed(_)));
    }
    let told: Vec<&str> = b.logs.iter().map(|event| event.text.as_str()).collect();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(told.starts_with("4 durable subscriptions") && told.contains("is not made up for"), "{told}");
    // Those who go make room for a list.
    b.do_it(&c, Intent::Unsubscribe(SubscriptionName { client: "ann".into(), name: "s".into() }));
    assert!(matches!(b.ask(&c, Intent::ListDurables), Effect::Durables(_)));
}

#[test]
fn consumers_of_what_is_fed_are_told_of_as_consumers_of_what_feeds_it_if_that_is_asked_for() {
    for asked in [false, true] {
        let composite = Composite {
            from: Destination::topic("all"),
            to: vec![Destination::queue("one")],
            forward_only: true,
        };
        let mut b = Bench::with(Settings {
            tell_fed_consumers: asked,
            composites: vec![composite],
            ..Settings::default()
        });
        let (watcher, c) = (b.connect("watcher"), b.connect("c"));
        let fed = b.consume(&c, "Consumer.a.VirtualTopic.orders");
        let prefix = "ActiveMQ.Advisory.VirtualDestination.Consumer";
        b.consume(&watcher, &format!("topic://{prefix}.>"));
        let mut told: Vec<String> = advised(&mut b).into_iter().map(|(topic, _)| topic).collect();
        b.consume(&c, "one");
        b.close(&c, fed, -1);
        told.extend(advised(&mut b).into_iter().map(|(topic, _)| topic));
        let expected = if asked {
            let (topic, all) = (format!("{prefix}.Topic.VirtualTopic.orders"), format!("{prefix}.Topic.all"));
            vec![topic.clone(), all, topic]
        } else {
            Vec::new()
        };
        assert_eq!(told, expected, "present already, come, gone");
    }
}

/// The same message over a link, to a virtual topic or, as it lies there, to a queue that it feeds.
fn send_virtual(b: &mut Bench, client: &Client, to: &str, number: i64, path: &[&str]) {
    let producer = ProducerId::new("ID:first-1".into(), 1, 1);
    b.send_as(client, to, &format!("m{number}"), |message| {
        message.id = MessageId::new(producer, number);
        let original = message.destination.kind.is_queue().then(|| Destination::topic("VirtualTopic.T"));
        let extra = message.extra_mut();
        extra.original_destination = original;
        extra.broker_path = path.iter().map(|broker| Text::from(*broker)).collect();
    });
}

const TOPIC: &str = "topic://VirtualTopic.T";
const FED: &str = "Consumer.a.VirtualTopic.T";

#[test]
fn a_queue_of_a_virtual_topic_takes_one_copy_over_links() {
    for ways in [[TOPIC, FED], [FED, TOPIC]] {
        let mut b = Bench::new();
        let (link, c) = (b.connect("link"), b.connect("c"));
        b.consume(&c, FED);
        b.consume(&c, TOPIC);
        for way in ways {
            send_virtual(&mut b, &link, way, 1, &["peer"]);
        }
        // Over another broker it is the same message as well, and the next one is another.
        send_virtual(&mut b, &link, FED, 1, &["peer", "other"]);
        send_virtual(&mut b, &link, FED, 2, &["peer"]);
        let got = b.take();
        let of = |name: &str| {
            let at = Destination::parse(name, DestinationKind::Queue);
            let here = |got: &&Got| got.delivery.message.as_ref().unwrap().destination == at;
            got.iter().filter(here).map(Got::text).collect::<Vec<_>>()
        };
        assert_eq!(of(FED), ["m1", "m2"], "{ways:?}");
        assert_eq!(of(TOPIC), ["m1"], "{ways:?}");
    }
}

#[test]
fn what_comes_back_to_a_queue_of_a_virtual_topic_is_no_second_copy() {
    let mut b = Bench::new();
    let (link, own) = (b.connect("link"), Settings::default().broker_id.to_string());
    for path in [&["peer"][..], &["peer", &own], &["peer", &own, "peer"]] {
        send_virtual(&mut b, &link, FED, 1, path);
    }
    assert_eq!(b.held(FED), 3);
}

/// A bridge was told of a temporary queue over these brokers.
fn told_of(name: &str, path: &[&'static str]) -> Intent {
    let destination = Destination::parse(name, DestinationKind::Queue);
    Intent::AddDestination { destination, broker_path: path.iter().map(|id| Text::from(*id)).collect() }
}

#[test]
fn a_temporary_destination_of_which_several_bridges_tell_ends_with_the_nearest() {
    // Given bridges to two brokers, of which one has the client and the other has heard of it
    let mut b = Bench::new();
    let (far, near, c) = (b.bridge("far"), b.bridge("near"), b.connect("c"));
    let name = "temp-queue://ID:elsewhere:1";
    b.consume(&c, "topic://ActiveMQ.Advisory.TempQueue");
    b.do_it(&far, told_of(name, &["client's", "other"]));
    b.do_it(&near, told_of(name, &["client's"]));
    // When the way round is lost, and whoever was on it says that it is gone
    let gone = Intent::RemoveDestination {
        destination: Destination::parse(name, DestinationKind::Queue),
        force: true,
    };
    b.do_it(&far, gone.clone());
    b.detach(&far);
    // Then replies find it,
    b.send_np(&c, name, "reply");
    // and others were told how far it had come, until its own broker says that it is gone
    let paths = |b: &mut Bench| -> Vec<usize> {
        let told =
            b.take().into_iter().filter_map(|got| got.delivery.message?.extra.clone()?.advisory.clone());
        told.map(|told| match told {
            Advisory::DestinationAdded { broker_path, .. } => broker_path.len(),
            Advisory::DestinationRemoved { broker_path, .. } => broker_path.len(),
            other => panic!("{other:?}"),
        })
        .collect()
    };
    assert_eq!(paths(&mut b), [2]);
    b.do_it(&near, gone);
    assert_eq!(paths(&mut b), [1]);
    let late = b.message(&c, name, "late");
    assert_eq!(b.refused(&c, send(late, None)).kind, FaultKind::DestinationGone);
}

#[test]
fn no_bridge_takes_a_temporary_destination_from_its_client() {
    let mut b = Bench::new();
    let (bridge, c) = (b.bridge("bridge"), b.connect("c"));
    let name = format!("temp-queue://{}:1", c.id);
    b.do_it(&c, told_of(&name, &["a client says so"]));
    b.do_it(&bridge, told_of(&name, &[]));
    b.do_it(&bridge, told_of(&name, &["other"]));
    b.detach(&bridge);
    b.consume(&c, &name);
    b.send_np(&c, &name, "reply");
    assert_eq!(b.texts(), ["reply"]);
}

#[test]
fn what_is_excluded_does_not_go_to_a_consumer_of_many_destinations() {
    // Given destinations that are there before the bridge, and a bridge that leaves some out of all that it subscribes to
    let mut b = Bench::new();
    let (c, bridge) = (b.connect("c"), b.bridge("bridge"));
    let names = |when: &str| {
        ["queue://W", "topic://W"]
            .map(|kind| [format!("{kind}.open.{when}"), format!("{kind}.secret.{when}")])
            .concat()
    };
    for name in names("before") {
        b.send(&c, &name, &name);
    }
    let secret = |kind| (kind, DestinationPattern::new("*.secret.>"));
    let scope = NetworkScope {
        excluded: vec![secret(DestinationKind::Queue), secret(DestinationKind::Topic)],
        included: Vec::new(),
    };
    let network = |facts: &mut ConsumerFacts| {
        facts.network = true;
        facts.broker_path = vec!["peer".into()];
        let scope = Some(scope.clone().into());
        facts.network_filter = Some(NetworkFilter {
            broker: "peer".into(),
            message_ttl: 1,
            consumer_ttl: 1,
            max_hops: None,
            scope,
        });
    };
    for pattern in ["queue://W.>", "topic://W.>"] {
        b.consume_as(&bridge, pattern, network);
    }
    // When more is sent, also to destinations that come into being by it
    for name in names("before").into_iter().chain(names("after")) {
        b.send(&c, &name, &name);
    }
    // Then what is left out lies here, for whoever consumes here.
    let got = b.texts();
    assert!(got.iter().all(|text| text.contains("open")), "{got:?}");
    assert_eq!(got.len(), 5);
    b.consume(&c, "queue://W.secret.before,queue://W.secret.after");
    assert_eq!(b.texts(), ["queue://W.secret.before", "queue://W.secret.before", "queue://W.secret.after"]);
}

#[test]
fn a_message_does_not_go_back_where_nobody_is_known_to_consume() {
    // What is statically included is forwarded whether somebody consumes it or not: that is no consumer to go back for.
    for consumers in [0, 1] {
        let mut b = Bench::new();
        let producer = b.connect("p");
        let (peer, back) = bridge_as(&mut b, "peer", |facts| facts.network_path.truncate(consumers));
        send_from(&mut b, &producer, "peer", "came");
        b.send(&producer, "A", "from here");
        let all = ["came", "from here"];
        assert_eq!(b.texts_of(&peer, back), all[1 - consumers..]);
    }
}

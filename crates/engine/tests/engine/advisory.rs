//! Advisory topics: what bridges and Java clients rely on.

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

fn advisories(b: &mut Bench) -> Vec<(String, Advisory)> {
    b.take()
        .iter()
        .map(|got| got.delivery.message.clone().unwrap())
        .filter_map(|m| Some((m.destination.name.to_string(), m.extra.as_ref()?.advisory.clone()?)))
        .collect()
}

fn topics(b: &mut Bench) -> Vec<String> {
    advisories(b).into_iter().map(|(topic, _)| topic).collect()
}

#[test]
fn consumers_are_told_with_their_number() {
    let mut b = Bench::new();
    let (watcher, c) = (b.connect("watcher"), b.connect("c"));
    b.consume(&watcher, "topic://ActiveMQ.Advisory.Consumer.>");
    let consumer = b.consume(&c, "A");
    let message = b.take()[0].delivery.message.clone().unwrap();
    assert_eq!(&*message.destination.name, "ActiveMQ.Advisory.Consumer.Queue.A");
    assert_eq!((message.message_type.clone(), message.priority), (Some("Advisory".into()), 0));
    let property = |name| Lines.property(Encoding::OpenWire, message.properties.as_ref().unwrap(), name);
    assert_eq!(property("consumerCount"), Some(Value::Int(1)));
    assert_eq!(property("originBrokerName"), Some(Value::String("localhost".into())));
    assert!(matches!(message.extra.as_ref().unwrap().advisory, Some(Advisory::ConsumerStarted(_))));
    b.close(&c, consumer, -1);
    assert!(
        matches!(&advisories(&mut b)[..], [(_, Advisory::ConsumerStopped(id, -1))] if id.value == consumer.value)
    );
}

#[test]
fn a_newcomer_is_told_what_is_there_already_and_nobody_else_is() {
    let mut b = Bench::new();
    let (first, c) = (b.connect("first"), b.connect("c"));
    b.consume(&c, "A");
    b.consume(&c, "topic://T");
    b.consume(&first, "topic://ActiveMQ.Advisory.Consumer.>");
    let mut told = topics(&mut b);
    told.sort();
    assert_eq!(told, ["ActiveMQ.Advisory.Consumer.Queue.A", "ActiveMQ.Advisory.Consumer.Topic.T"]);
    let second = b.connect("second");
    let newcomer = b.consume(&second, "topic://ActiveMQ.Advisory.Consumer.Queue.A");
    let got = b.take();
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].conn, got[0].consumer), (second.conn, newcomer));
}

#[test]
fn every_client_learns_of_temporary_destinations() {
    let mut b = Bench::new();
    let (c, owner) = (b.connect("c"), b.connect("owner"));
    b.consume(&c, "topic://ActiveMQ.Advisory.TempQueue,topic://ActiveMQ.Advisory.TempTopic");
    let name = format!("temp-queue://{}:1", owner.id);
    let destination = Destination::parse(&name, DestinationKind::Queue);
    b.do_it(&owner, Intent::AddDestination { destination: destination.clone(), broker_path: Vec::new() });
    let told = advisories(&mut b);
    assert!(
        matches!(&told[..], [(_, Advisory::DestinationAdded { destination: d, connection: Some(id), .. })]
        if *d == destination && *id == owner.id)
    );
    let late = b.connect("late");
    b.consume(&late, "topic://ActiveMQ.Advisory.TempQueue,topic://ActiveMQ.Advisory.TempTopic");
    assert_eq!(topics(&mut b), ["ActiveMQ.Advisory.TempQueue"]);
    b.detach(&owner);
    assert_eq!(topics(&mut b), ["ActiveMQ.Advisory.TempQueue"; 2]);
}

#[test]
fn connections_producers_queues_and_topics_are_told() {
    let mut b = Bench::new();
    let watcher = b.connect("watcher");
    for name in ["Connection", "Producer.>", "Queue", "Topic"] {
        b.consume(&watcher, &format!("topic://ActiveMQ.Advisory.{name}"));
    }
    b.take();
    let c = b.connect("c");
    let producer = std::sync::Arc::new(ProducerFacts {
        id: ProducerId::new(c.id.clone(), 1, 1),
        destination: Some(Destination::topic("T")),
        window: 0,
        broker_path: Vec::new(),
    });
    b.do_it(&c, Intent::AddProducer(producer));
    b.send(&c, "A", "m");
    b.detach(&c);
    assert_eq!(
        topics(&mut b),
        [
            "ActiveMQ.Advisory.Connection",
            "ActiveMQ.Advisory.Topic",
            "ActiveMQ.Advisory.Producer.Topic.T",
            "ActiveMQ.Advisory.Queue",
            "ActiveMQ.Advisory.Producer.Topic.T",
            "ActiveMQ.Advisory.Connection",
        ]
    );
}

#[test]
fn dead_and_expired_messages_are_told_without_their_bodies() {
    let mut b = Bench::new();
    let c = b.connect("c");
    for what in ["MessageDLQd", "Expired"] {
        b.consume(&c, &format!("topic://ActiveMQ.Advisory.{what}.Queue.A"));
    }
    b.send_as(&c, "A", "old", |m| m.expiration = 1);
    let told = advisories(&mut b);
    assert_eq!(told.len(), 2);
    for (_, advisory) in told {
        assert!(matches!(advisory, Advisory::Message(message) if message.body.is_none()));
    }
}

#[test]
fn what_is_off_by_default_is_told_when_asked_for() {
    let all = PolicyAdvisories {
        no_consumers: true,
        slow_consumers: true,
        fast_producers: true,
        full: true,
        delivered: true,
        consumed: true,
        discarded: true,
        include_body: false,
    };
    let mut b = Bench::policy(Policy {
        advisories: all,
        pending_limit: PendingLimit::Constant(1),
        ..Policy::default()
    });
    let (watcher, c) = (b.connect("watcher"), b.connect("c"));
    for what in [
        "NoConsumer.Queue.A",
        "MessageDelivered.>",
        "MessageConsumed.>",
        "MessageDiscarded.>",
        "SlowConsumer.>",
    ] {
        b.consume(&watcher, &format!("topic://ActiveMQ.Advisory.{what}"));
    }
    b.take();
    b.send(&c, "A", "m");
    let consumer = b.consume(&c, "A");
    let got: Vec<Got> = b.got.iter().filter(|got| got.consumer == consumer).cloned().collect();
    b.ack(&c, &got[0]);
    b.consume_as(&c, "topic://T", |f| f.prefetch = 1);
    for _ in 0..4 {
        b.send_np(&c, "topic://T", "t");
    }
    let mut told: Vec<String> = b
        .take()
        .iter()
        .filter(|got| got.conn == watcher.conn)
        .map(|got| got.delivery.message.as_ref().unwrap().destination.name.to_string())
        .collect();
    told.sort();
    told.dedup();
    assert_eq!(
        told,
        [
            "ActiveMQ.Advisory.MessageConsumed.Queue.A",
            "ActiveMQ.Advisory.MessageDelivered.Queue.A",
            "ActiveMQ.Advisory.MessageDelivered.Topic.T",
            "ActiveMQ.Advisory.MessageDiscarded.Topic.T",
            "ActiveMQ.Advisory.NoConsumer.Queue.A",
            "ActiveMQ.Advisory.SlowConsumer.Topic.T",
        ]
    );
}

#[test]
fn there_are_no_advisories_about_advisories_and_none_are_stored() {
    let mut b = Bench::new();
    let c = b.connect("c");
    b.consume(&c, "topic://ActiveMQ.Advisory.>");
    b.take();
    b.consume(&c, "topic://ActiveMQ.Advisory.Connection");
    assert!(topics(&mut b).iter().all(|topic| topic == "ActiveMQ.Advisory.Connection"));
    assert_eq!(b.store.ops, 0);
}

#[test]
fn without_advisories_nobody_is_told() {
    let mut b = Bench::with(Settings { advisories: false, ..Settings::default() });
    let c = b.connect("c");
    b.consume(&c, "topic://ActiveMQ.Advisory.>");
    b.consume(&c, "A");
    assert!(b.got.is_empty());
}

/// What a bridge says of itself at its own broker.
fn bridge_says(b: &mut Bench, bridge: &Client, started: bool) {
    b.send_as(bridge, "topic://ActiveMQ.Advisory.NetworkBridge", "", |message| {
        message.persistent = false;
        let started = [("started", Value::Bool(started))];
        message.properties = Some(Lines.with_properties(Encoding::OpenWire, None, &started));
        message.extra_mut().opaque = Some(bytes::Bytes::from_static(b"the broker over there"));
    });
}

#[test]
fn who_listens_later_is_told_of_the_bridges_that_are_up() {
    // Given two bridges of which one has ended, a message that came over one, and one that listened from the start
    let mut b = Bench::new();
    let (up, ended, first) = (b.bridge("up"), b.bridge("ended"), b.connect("first"));
    b.consume(&first, "topic://ActiveMQ.Advisory.NetworkBridge");
    bridge_says(&mut b, &up, true);
    bridge_says(&mut b, &ended, true);
    bridge_says(&mut b, &ended, false);
    bridge_says(&mut b, &first, true);
    let told = b.take();
    assert_eq!(told.len(), 4);
    // When others come, one of them by wildcard
    for name in ["topic://ActiveMQ.Advisory.NetworkBridge", "topic://ActiveMQ.Advisory.>"] {
        let late = b.connect(name);
        let newcomer = b.consume(&late, name);
        // Then it alone is told, as of the bridge that is up, by a message of its own
        let got: Vec<Got> = b
            .take()
            .into_iter()
            .filter(|got| {
                let message = got.delivery.message.as_ref().unwrap();
                &*message.destination.name == "ActiveMQ.Advisory.NetworkBridge"
            })
            .collect();
        assert_eq!(
            got.iter().map(|got| (got.conn, got.consumer)).collect::<Vec<_>>(),
            [(late.conn, newcomer)]
        );
        let (message, original) =
            (got[0].delivery.message.as_ref().unwrap(), told[0].delivery.message.as_ref().unwrap());
        assert_eq!((&message.properties, message.id == original.id), (&original.properties, false));
        assert_eq!(message.extra.as_ref().unwrap().opaque, original.extra.as_ref().unwrap().opaque);
    }
    // And of a bridge that is gone without a word nobody is told.
    b.detach(&up);
    let late = b.connect("late");
    b.consume(&late, "topic://ActiveMQ.Advisory.NetworkBridge");
    assert!(b.take().iter().all(|got| got.conn != late.conn));
}

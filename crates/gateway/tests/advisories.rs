//! Advisories: what the engine tells about the broker, as the structures that clients and bridges expect.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::sync::Arc;

use ferromq_engine::LocalId;
use ferromq_model::{
    Advisory, ConnectionFacts, ConsumerFacts, ConsumerId, Delivery, Destination, DestinationKind, Message,
    MessageId, ProducerFacts, ProducerId, Sequence, Text,
};
use ferromq_openwire::{BrokerId, Command, ObjectId};
use world::World;

mod world;

fn consumer() -> ConsumerId {
    ConsumerId { connection: Text::from("ID:c"), session: 1, value: 2 }
}

fn consumer_facts() -> ConsumerFacts {
    ConsumerFacts {
        id: consumer(),
        destination: Destination::queue("Q"),
        prefetch: 5,
        selector: Some(Text::from("a = 1")),
        subscription: None,
        client_id: Some(Text::from("client")),
        no_local: false,
        exclusive: true,
        retroactive: false,
        browser: false,
        priority: 3,
        maximum_pending: 0,
        dispatch_async: true,
        optimized_acknowledge: false,
        no_range_acks: false,
        network: true,
        broker_path: vec![Text::from("ID:b1")],
        network_path: vec![consumer()],
        network_filter: None,
    }
}

fn told(advisory: Advisory) -> Command {
    let broker = ProducerId::new(Text::from("ID:broker-1:1"), 0, 0);
    let mut message = Message::new(MessageId::new(broker, 9), Destination::topic("ActiveMQ.Advisory.X"));
    message.message_type = Some(Text::from("Advisory"));
    message.extra_mut().advisory = Some(advisory);
    message.extra_mut().target = Some(consumer());
    let mut world = World::plain();
    let delivery = Delivery {
        message: Some(Arc::new(message)),
        sequence: Sequence(1),
        redelivery_counter: 0,
        first_of_group: false,
        position: None,
    };
    world.session.deliver(world.now, LocalId { session: -1, value: 1 }, &delivery);
    let Command::MessageDispatch(dispatch) = world.answer() else { panic!("a dispatch") };
    assert_eq!(dispatch.consumer_id.unwrap().session_id, -1);
    let message = dispatch.message.unwrap();
    assert_eq!(message.jms_type, Some("Advisory".into()));
    assert_eq!(message.target_consumer_id.as_ref().unwrap().value, 2);
    message.data_structure.as_deref().cloned().unwrap()
}

#[test]
fn connections_are_told_without_their_passwords() {
    let facts = ConnectionFacts {
        connection: Text::from("ID:c"),
        client_id: Text::from("client"),
        user: Some(Text::from("ann")),
        remote: Text::from("tcp://10.0.0.1:5"),
        manageable: true,
        network: false,
        ..Default::default()
    };
    let Command::ConnectionInfo(info) = told(Advisory::ConnectionStarted(Arc::new(facts))) else { panic!() };
    assert_eq!(info.client_ip, Some("tcp://10.0.0.1:5".into()));
    assert_eq!((info.user_name, info.password), (Some("ann".into()), None));
    let Command::RemoveInfo(info) = told(Advisory::ConnectionStopped(Text::from("ID:c"))) else { panic!() };
    assert!(matches!(info.object_id, Some(ObjectId::Connection(id)) if id.to_string() == "ID:c"));
}

#[test]
fn consumers_are_told_with_what_a_bridge_needs() {
    let Command::ConsumerInfo(info) = told(Advisory::ConsumerStarted(Arc::new(consumer_facts()))) else {
        panic!()
    };
    assert_eq!((info.prefetch_size, info.priority), (5, 3));
    assert!(info.network_subscription && info.exclusive && info.dispatch_async);
    assert_eq!(info.destination.unwrap().to_string(), "queue://Q");
    assert_eq!(info.selector, Some("a = 1".into()));
    assert_eq!(info.broker_path.as_deref().map(<[_]>::len), Some(1));
    assert_eq!(info.network_consumer_path.as_deref().map(<[_]>::len), Some(1));
    let Command::RemoveInfo(info) = told(Advisory::ConsumerStopped(consumer(), -2)) else { panic!() };
    assert_eq!(info.last_delivered_sequence_id, -2);
    assert!(matches!(info.object_id, Some(ObjectId::Consumer(id)) if (id.session_id, id.value) == (1, 2)));
}

#[test]
fn producers_and_destinations_are_told() {
    let id = ProducerId::new(Text::from("ID:c"), 1, 4);
    let facts = ProducerFacts {
        id: id.clone(),
        destination: Some(Destination::queue("Q")),
        window: 7,
        broker_path: Vec::new(),
    };
    let Command::ProducerInfo(info) = told(Advisory::ProducerStarted(Arc::new(facts))) else { panic!() };
    assert_eq!(info.window_size, 7);
    let Command::RemoveInfo(info) = told(Advisory::ProducerStopped(id)) else { panic!() };
    assert!(matches!(info.object_id, Some(ObjectId::Producer(id)) if (id.session_id, id.value) == (1, 4)));

    let temporary = Destination::new(DestinationKind::TempQueue, "ID:c:1");
    let connection = Some(Text::from("ID:c"));
    let added = Advisory::DestinationAdded {
        destination: temporary.clone(),
        connection: connection.clone(),
        broker_path: vec!["ID:b".into()],
    };
    let Command::DestinationInfo(info) = told(added) else { panic!() };
    assert_eq!((info.operation_type, &*info.broker_path.unwrap()), (0, &[BrokerId::new("ID:b")][..]));
    assert_eq!(info.connection_id.unwrap().to_string(), "ID:c");
    let removed =
        Advisory::DestinationRemoved { destination: temporary, connection, broker_path: Vec::new() };
    let Command::DestinationInfo(info) = told(removed) else { panic!() };
    assert_eq!(
        (info.operation_type, info.destination.unwrap().to_string()),
        (1, "temp-queue://ID:c:1".into())
    );
}

#[test]
fn what_happened_to_a_message_is_told_with_the_message() {
    let id = MessageId::new(ProducerId::new(Text::from("ID:c"), 1, 1), 3);
    let mut message = Message::new(id, Destination::queue("Q"));
    message.body = Some(vec![1, 2, 3].into());
    let Command::Message(message) = told(Advisory::Message(Arc::new(message))) else { panic!() };
    assert_eq!(message.content.as_deref(), Some(&[1, 2, 3][..]));
    assert_eq!(message.message_id.as_ref().unwrap().producer_sequence_id, 3);
}

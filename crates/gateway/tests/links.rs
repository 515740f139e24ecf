//! What brokers of this kind say to each other about the streams of links.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ferromq_engine::{Effect, Intent, LocalId, StreamReport, Tag};
use ferromq_gateway::{BrokerIdentity, SessionSettings};
use ferromq_model::{Delivery, Destination as Place, DestinationKind, Sequence, StreamPosition};
use ferromq_openwire::{
    BrokerId, BrokerInfo, Command, ConsumerId, ConsumerInfo, ControlCommand, Destination, Message, MessageId,
    MessageKind, NetworkBridgeFilter, ProducerId, ProducerInfo, SessionId, WireFormatOptions,
};
use world::{CONNECTION, World, connection_info};

mod world;

/// What a link says to its broker, and a bridge of the peer's; `bridge`: it said that it is one.
fn peer(bridge: bool) -> World {
    let mut world = World::greeted(SessionSettings::default(), WireFormatOptions::default());
    world.tell(BrokerInfo { network_connection: bridge, ..Default::default() });
    let id = world.request(connection_info());
    world.wanted();
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    world.answers();
    world
}

fn control(text: &str) -> ControlCommand {
    ControlCommand { command: Some(text.into()), ..Default::default() }
}

fn message() -> Message {
    let producer = ProducerId::new(&SessionId::new(CONNECTION, 1), 2);
    let mut message = Message::new(MessageKind::Text);
    message.message_id = Some(MessageId::new(producer.clone(), 1));
    message.producer_id = Some(producer);
    message.destination = Some(Destination::queue("orders"));
    message
}

/// Opens the producer of the message.
fn produce(world: &mut World) {
    world.request(ProducerInfo { producer_id: message().producer_id, ..Default::default() });
    assert!(matches!(world.wanted(), (_, Intent::AddProducer(_))));
}

/// The position that the engine is told of a message with this number.
fn position_of(world: &mut World, number: i64) -> Option<StreamPosition> {
    let mut message = message();
    message.message_id.as_mut().unwrap().broker_sequence_id = number;
    produce(world);
    world.request(message);
    let (_, Intent::Send(send)) = world.wanted() else { panic!("a send") };
    send.position
}

#[test]
fn a_broker_that_keeps_streams_says_so_where_nobody_else_looks() {
    for links in [true, false] {
        let mut settings = SessionSettings::default();
        settings.broker = BrokerIdentity { links, ..BrokerIdentity::default() };
        let mut world = World::new(settings, WireFormatOptions::default());
        let greeting = WireFormatOptions::default().to_info().unwrap();
        world.feed_command(&greeting.into());
        let answers = world.answers();
        let Some(Command::BrokerInfo(info)) = answers.get(1) else { panic!("{answers:?}") };
        let said = info.network_properties.as_ref().map(ToString::to_string);
        assert_eq!(said.as_deref(), links.then_some("ferromqLinks=1\nferromqTurnsBack=1\n"));
    }
}

#[test]
fn a_stream_is_opened_and_its_report_comes_back_to_the_other_end() {
    let mut receiver = peer(true);
    assert_eq!(position_of(&mut receiver, 1 << 62 | 5), None, "nothing was opened yet");
    let id = receiver.request(control("ferromq-link open\nID:a>ID:b/nc"));
    let (tag, intent) = receiver.wanted();
    assert!(
        matches!(intent, Intent::OpenStream { stream: name, takes_back: false } if name.to_str() == "ID:a>ID:b/nc")
    );
    let report = StreamReport {
        highest: 9,
        taken: BTreeMap::from([(7, u64::MAX), (9, 3)]),
        ..StreamReport::default()
    };
    receiver.session.reply(receiver.now, tag.unwrap(), Effect::Stream(report.clone()));
    let Command::DataResponse(answer) = receiver.answer() else { panic!("an answer with data") };
    assert_eq!(answer.correlation_id, id);
    let Some(Command::ControlCommand(data)) = answer.data.as_deref().cloned() else { panic!("a report") };

    let mut sender = peer(true);
    sender.request(control(&format!("ferromq-link begin\nID:a>ID:b/nc\n{}", data.command.unwrap())));
    let (_, Intent::BeginLink { stream, report: told }) = sender.wanted() else {
        panic!("a link that begins")
    };
    assert_eq!((stream, told), ("ID:a>ID:b/nc".into(), report));

    // A position goes out as the number of a message, and comes in as it went out.
    let consumer = LocalId { session: 1, value: 3 };
    let mut request = peer(true);
    produce(&mut request);
    request.request(message());
    let (_, Intent::Send(send)) = request.wanted() else { panic!("a send") };
    let delivery = Delivery {
        message: Some(send.message),
        sequence: Sequence(70),
        position: Some(StreamPosition(10)),
        redelivery_counter: 0,
        first_of_group: false,
    };
    sender.session.deliver(sender.now, consumer, &delivery);
    let Command::MessageDispatch(dispatch) = sender.answers().remove(0) else { panic!("a delivery") };
    let number = dispatch.message.unwrap().message_id.as_ref().unwrap().broker_sequence_id;
    assert_eq!(position_of(&mut receiver, number), Some(StreamPosition(10)));
    assert_eq!(position_of(&mut receiver, 70), None, "a place in a broker's order is no position");
}

#[test]
fn who_is_no_bridge_has_no_streams_and_nonsense_is_refused() {
    let mut client = peer(false);
    client.request(control("ferromq-link open\nID:a>ID:b/nc"));
    assert!(matches!(client.answer(), Command::Response(_)) && client.inputs.is_empty());
    assert_eq!(position_of(&mut client, 1 << 62 | 5), None);
    let mut bridge = peer(true);
    bridge.request(control("ferromq-link begin\nID:a>ID:b/nc\nnonsense"));
    assert!(matches!(bridge.answer(), Command::ExceptionResponse(_)) && bridge.inputs.is_empty());
    bridge.request(control("shutdown"));
    assert!(matches!(bridge.answer(), Command::Response(_)) && bridge.inputs.is_empty());
}

#[test]
fn a_link_says_what_its_subscriptions_leave_out() {
    let subscribed = |bridge: bool, properties: &str| {
        let mut world = peer(bridge);
        world.tell(BrokerInfo {
            network_connection: bridge,
            network_properties: Some(properties.into()),
            ..Default::default()
        });
        let filter =
            NetworkBridgeFilter { network_broker_id: Some(BrokerId::new("ID:b")), ..Default::default() };
        world.request(ConsumerInfo {
            consumer_id: Some(ConsumerId::new(&SessionId::new(CONNECTION, 1), 1)),
            destination: Some(Destination::queue("W.>")),
            additional_predicate: Some(Arc::new(filter.into())),
            ..Default::default()
        });
        let (_, Intent::AddConsumer(facts)) = world.wanted() else { panic!("a consumer") };
        facts.network_filter.clone().unwrap()
    };
    let text = "maxHops=7\nexcluded=queue://W.secret\nincluded=queue://W.>\nincluded=topic://T\n";
    let filter = subscribed(true, text);
    assert_eq!(filter.max_hops, Some(7));
    let scope = filter.scope.unwrap();
    let permits = |name: &str| scope.permits(&Place::parse(name, DestinationKind::Queue));
    let names = ["W.secret", "W.open", "topic://W.secret", "topic://T", "temp-queue://ID:c:1"];
    assert_eq!(names.map(permits), [false, true, false, true, true]);
    // Who is no bridge, or leaves nothing out, has no such rules.
    assert!(subscribed(false, text).scope.is_none() && subscribed(true, "maxHops=7\n").scope.is_none());
}

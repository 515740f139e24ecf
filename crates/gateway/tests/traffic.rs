//! Messages, acknowledgements, deliveries and everything else between a connected client and the engine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{
    AckKind, Effect, Fault, FaultKind, Intent, LocalId, Notice, SendRequest, Tag, TransactionVerb,
};
use ferromq_gateway::SessionSettings;
use ferromq_model::{Delivery, Destination as Place, Sequence, Text, Xid};
use ferromq_openwire::{
    BrokerId, Command, ConnectionId, ConsumerControl, ConsumerId, ConsumerInfo, ControlCommand, Destination,
    DestinationInfo, FlushCommand, LocalTransactionId, Message, MessageAck, MessageDispatch, MessageId,
    MessageKind, MessagePull, ObjectId, ProducerAck, ProducerId, ProducerInfo, RemoveInfo,
    RemoveSubscriptionInfo, SessionId, SessionInfo, Throwable, TransactionId, TransactionInfo,
    WireFormatOptions, WireStr, XaTransactionId,
};
use world::{CONNECTION, World, exception, names};

mod world;

fn session_id() -> SessionId {
    SessionId::new(CONNECTION, 1)
}

fn consumer_id() -> ConsumerId {
    ConsumerId::new(&session_id(), 3)
}

const CONSUMER: LocalId = LocalId { session: 1, value: 3 };

fn producer_id() -> ProducerId {
    ProducerId::new(&session_id(), 2)
}

fn message_id(n: i64) -> MessageId {
    MessageId::new(producer_id(), n)
}

fn local(value: i64) -> TransactionId {
    TransactionId::Local(LocalTransactionId { value, connection_id: Some(ConnectionId::new(CONNECTION)) })
}

fn message(kind: MessageKind) -> Message {
    Message {
        producer_id: Some(producer_id()),
        destination: Some(Destination::queue("orders")),
        message_id: Some(message_id(1)),
        priority: 4,
        ..Message::new(kind)
    }
}

/// Everything that a sender may set.
fn full(kind: MessageKind) -> Message {
    let mut message = message(kind);
    message.original_destination = Some(Destination::topic("VirtualTopic.orders"));
    message.original_transaction_id = Some(TransactionId::Xa(XaTransactionId {
        format_id: 5,
        global_transaction_id: Some(vec![1, 2].into()),
        branch_qualifier: Some(vec![3].into()),
    }));
    message.group_id = Some("größe\0".into());
    message.group_sequence = 9;
    message.correlation_id = Some("c-1".into());
    message.persistent = true;
    message.expiration = 1_800_000_000_000;
    message.priority = 9;
    message.reply_to = Some(Destination::new(ferromq_openwire::DestinationKind::TempQueue, "ID:x:1"));
    message.timestamp = 1_700_000_000_000;
    message.jms_type = Some("T".into());
    message.content = Some(vec![7; 300].into());
    message.marshalled_properties = Some(vec![0, 0, 0, 0].into());
    message.data_structure =
        Some(Arc::new(SessionInfo { session_id: Some(session_id()), ..Default::default() }.into()));
    message.target_consumer_id = Some(consumer_id());
    message.compressed = true;
    message.arrival = 17;
    message.user_id = Some("ann".into());
    message.received_by_df_bridge = true;
    message.droppable = true;
    message.broker_path = Some([ferromq_openwire::BrokerId::new("ID:b1")].into());
    message.cluster = Some([ferromq_openwire::BrokerId::new("ID:b2")].into());
    message
}

/// Opens the producer of all messages here.
fn produce(world: &mut World) {
    let id = world.request(ProducerInfo { producer_id: Some(producer_id()), ..Default::default() });
    assert!(matches!(world.wanted(), (_, Intent::AddProducer(_))));
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    world.answer();
}

fn sent(world: &mut World, message: Message) -> SendRequest {
    produce(world);
    world.request(message);
    let (Some(_), Intent::Send(send)) = world.wanted() else { panic!("a send") };
    send
}

/// Hands a sent message to a consumer; what arrives there.
fn delivered(world: &mut World, send: &SendRequest, redelivery_counter: u32) -> MessageDispatch {
    let delivery = Delivery {
        message: Some(Arc::clone(&send.message)),
        sequence: Sequence(42),
        redelivery_counter,
        first_of_group: true,
        position: None,
    };
    world.session.deliver(world.now, CONSUMER, &delivery);
    let Command::MessageDispatch(dispatch) = world.answer() else { panic!("a dispatch") };
    dispatch
}

#[test]
fn a_message_reaches_its_consumer_with_every_field_in_every_version() {
    for version in 1..=12 {
        for (tight_encoding, cache) in [(true, true), (false, false), (true, false), (false, true)] {
            let options = WireFormatOptions { version, tight_encoding, cache, ..Default::default() };
            let mut world = World::connected(SessionSettings::default(), options);
            let kinds = [
                MessageKind::Plain,
                MessageKind::Bytes,
                MessageKind::Map,
                MessageKind::Object,
                MessageKind::Stream,
                MessageKind::Text,
            ];
            for kind in kinds {
                let original = full(kind);
                let send = sent(&mut world, original.clone());
                let dispatch = delivered(&mut world, &send, 3);
                assert_eq!(dispatch.consumer_id, Some(consumer_id()));
                assert_eq!(dispatch.destination, original.destination);
                assert_eq!(dispatch.redelivery_counter, 3);
                let got = dispatch.message.unwrap();
                let mut expected = original;
                expected.redelivery_counter = 3;
                let since = |first: i32| version >= first;
                expected.droppable = since(2);
                expected.cluster = expected.cluster.filter(|_| since(3));
                expected.broker_in_time = if since(3) { world.now.wall.0 } else { 0 };
                expected.broker_out_time = expected.broker_in_time;
                expected.jmsx_group_first_for_consumer = since(10);
                expected.message_id.as_mut().unwrap().broker_sequence_id = 42;
                assert_eq!(*got, expected, "version {version}, tight {tight_encoding}, cache {cache}");
            }
        }
    }
}

#[test]
fn a_blob_message_keeps_its_address() {
    let mut world = World::plain();
    let mut blob = message(MessageKind::Blob);
    blob.blob = Some(Arc::new(ferromq_openwire::Blob {
        remote_blob_url: Some("http://x/y".into()),
        mime_type: Some("text/plain".into()),
        deleted_by_broker: true,
    }));
    let send = sent(&mut world, blob.clone());
    assert_eq!(delivered(&mut world, &send, 0).message.unwrap().blob, blob.blob);
}

#[test]
fn a_message_is_stamped_and_can_be_marked_with_its_users_name() {
    let mut settings = SessionSettings::default();
    settings.populate_user_id = true;
    let mut world = World::greeted(settings, WireFormatOptions::default());
    let mut info = world::connection_info();
    info.user_name = Some("ann".into());
    let id = world.request(info);
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Done);
    world.answers();
    world.inputs.clear();
    let mut forged = message(MessageKind::Text);
    forged.user_id = Some("root".into());
    let send = sent(&mut world, forged);
    assert_eq!(send.message.broker_in_time, world.now.wall.0);
    assert_eq!(send.message.extra.as_ref().unwrap().user_id.as_ref().unwrap().to_str(), "ann");
}

#[test]
fn a_small_body_does_not_keep_a_large_frame() {
    let mut world = World::plain();
    let mut long = message(MessageKind::Text);
    long.correlation_id = Some("x".repeat(20_000).into());
    long.content = Some(vec![1; 10].into());
    let send = sent(&mut world, long);
    assert_eq!(send.message.body.as_deref(), Some(&[1; 10][..]));
}

#[test]
fn composite_and_wildcard_names_pass_and_options_are_cut_off() {
    let mut world = World::plain();
    for (name, expected) in
        [("A,topic://B", "A,topic://B"), ("A.>", "A.>"), ("A?consumer.prefetchSize=1", "A"), (" A ", "A")]
    {
        let mut named = message(MessageKind::Text);
        named.destination = Some(Destination { name: WireStr::from(name), ..Destination::queue("x") });
        assert_eq!(sent(&mut world, named).message.destination, Place::queue(expected), "{name:?}");
    }
}

#[test]
fn messages_without_what_they_need_are_refused_and_the_connection_goes_on() {
    let mut world = World::plain();
    produce(&mut world);
    let without: [fn(&mut Message); 5] = [
        |m| m.producer_id = None,
        |m| m.producer_id = Some(ProducerId::new(&session_id(), 9)),
        |m| m.destination = None,
        |m| m.message_id = None,
        |m| m.message_id.as_mut().unwrap().producer_id = None,
    ];
    for strip in without {
        let mut broken = message(MessageKind::Text);
        strip(&mut broken);
        world.request(broken.clone());
        assert!(matches!(world.answer(), Command::ExceptionResponse(_)));
        world.tell(broken);
        assert!(matches!(world.answer(), Command::ConnectionError(_)));
    }
    assert!(!world.session.is_finished() && world.inputs.is_empty());
}

#[test]
fn only_messages_that_nobody_answers_are_charged_to_a_window() {
    let mut world = World::plain();
    world.request(ProducerInfo {
        producer_id: Some(producer_id()),
        window_size: 5_000,
        ..Default::default()
    });
    assert!(matches!(world.wanted(), (_, Intent::AddProducer(facts)) if facts.window == 5_000));
    let mut large = message(MessageKind::Bytes);
    large.content = Some(vec![0; 3_000].into());
    world.tell(large.clone());
    let (None, Intent::Send(send)) = world.wanted() else { panic!("a send") };
    assert_eq!(send.window_bytes, 4_024);
    assert_eq!(sent(&mut world, large.clone()).window_bytes, 0);

    let notice = Notice::ProducerWindow { producer: send.producer.clone(), bytes: send.window_bytes };
    world.session.notify(world.now, notice);
    let ack = ProducerAck { producer_id: Some(producer_id()), size: 4_024, ..Default::default() };
    assert_eq!(world.answer(), ack.into());

    world.request(RemoveInfo { object_id: Some(ObjectId::Producer(producer_id())), ..Default::default() });
    assert!(matches!(world.wanted(), (_, Intent::RemoveProducer(LocalId { session: 1, value: 2 }))));
    // Nobody is open for it any more.
    world.tell(large);
    let (_, text) = exception(&world.answer());
    assert_eq!(text, "Cannot send message to queue://orders with invalid (null) producer state");
    assert!(world.inputs.is_empty());
}

#[test]
fn a_failure_that_nobody_waits_for_is_a_connection_error() {
    let mut world = World::plain();
    let fault = Fault { kind: FaultKind::DestinationGone, text: "temp-queue://ID:gone:1".into() };
    world.session.notify(world.now, Notice::Failure(fault));
    let (class, text) = exception(&world.answer());
    assert_eq!(class, "org.apache.activemq.DestinationDoesNotExistException");
    assert_eq!(text, "temp-queue://ID:gone:1");
}

#[test]
fn acknowledgements_of_every_kind_are_passed_on() {
    let kinds = [
        (0, AckKind::Delivered),
        (1, AckKind::Poison),
        (2, AckKind::Standard),
        (3, AckKind::Redelivered),
        (4, AckKind::Individual),
        (5, AckKind::Unmatched),
        (6, AckKind::Expired),
    ];
    let mut world = World::plain();
    for (ack_type, kind) in kinds {
        world.tell(MessageAck {
            destination: Some(Destination::queue("orders")),
            transaction_id: Some(local(8)),
            consumer_id: Some(consumer_id()),
            ack_type,
            first_message_id: Some(message_id(1)),
            last_message_id: Some(message_id(5)),
            message_count: 5,
            poison_cause: Some(Arc::new(Throwable::new("a.B", "too often"))),
            ..Default::default()
        });
        let (None, Intent::Ack(ack)) = world.wanted() else { panic!("an ack") };
        assert_eq!((ack.kind, ack.consumer, ack.count), (kind, CONSUMER, 5));
        assert_eq!(ack.first.as_ref().map(|id| id.sequence), Some(1));
        assert_eq!(ack.last.as_ref().map(|id| id.sequence), Some(5));
        assert!(matches!(&ack.transaction, Some(ferromq_model::TransactionId::Local(id)) if id.value == 8));
        assert_eq!(ack.cause.as_ref().unwrap().to_str(), "a.B: too often");
    }
    world.request(MessageAck { consumer_id: Some(consumer_id()), ack_type: 7, ..Default::default() });
    assert!(exception(&world.answer()).1.contains("ackType 7"));
}

#[test]
fn transactions_have_all_their_verbs() {
    let verbs = [
        TransactionVerb::Begin,
        TransactionVerb::Prepare,
        TransactionVerb::CommitOnePhase,
        TransactionVerb::CommitTwoPhase,
        TransactionVerb::Rollback,
        TransactionVerb::Recover,
        TransactionVerb::Forget,
        TransactionVerb::End,
    ];
    let info = |kind, transaction_id| TransactionInfo {
        connection_id: Some(ConnectionId::new(CONNECTION)),
        transaction_id,
        kind,
        ..Default::default()
    };
    let mut world = World::plain();
    for (kind, expected) in (0i8..).zip(verbs) {
        world.request(info(kind, Some(local(1))));
        let (_, Intent::Transaction { id: Some(_), verb }) = world.wanted() else { panic!("a transaction") };
        assert_eq!(verb, expected);
    }
    world.request(info(5, None));
    assert!(matches!(world.wanted().1, Intent::Transaction { id: None, verb: TransactionVerb::Recover }));
    for bad in [info(0, None), info(8, Some(local(1)))] {
        world.request(bad);
        assert!(matches!(world.answer(), Command::ExceptionResponse(_)));
    }
}

#[test]
fn answers_of_transactions_have_their_own_classes() {
    let mut world = World::plain();
    world.session.reply(world.now, Tag(11), Effect::Count(3));
    assert!(matches!(world.answer(), Command::IntegerResponse(r) if (r.correlation_id, r.result) == (11, 3)));
    let xid = Xid { format: 1, global: vec![1].into(), branch: vec![2].into() };
    world.session.reply(world.now, Tag(12), Effect::Transactions(vec![xid]));
    let Command::DataArrayResponse(response) = world.answer() else { panic!("an array") };
    assert!(matches!(&response.data.unwrap()[..], [Command::XaTransactionId(id)] if id.format_id == 1));
    world.session.reply(world.now, Tag(13), Effect::Transactions(Vec::new()));
    assert!(matches!(world.answer(), Command::DataArrayResponse(r) if r.data.as_deref() == Some(&[])));
}

#[test]
fn consumers_come_with_what_they_asked_for() {
    let mut world = World::plain();
    world.request(ConsumerInfo {
        consumer_id: Some(consumer_id()),
        destination: Some(Destination::topic("A.>")),
        prefetch_size: 17,
        selector: Some("a = 1".into()),
        subscription_name: Some("sub".into()),
        no_local: true,
        exclusive: true,
        retroactive: true,
        browser: true,
        priority: -5,
        maximum_pending_message_limit: 9,
        network_subscription: true,
        no_range_acks: true,
        ..Default::default()
    });
    let (_, Intent::AddConsumer(facts)) = world.wanted() else { panic!("a consumer") };
    assert_eq!(facts.destination, Place::topic("A.>"));
    assert_eq!((facts.prefetch, facts.priority, facts.maximum_pending), (17, -5, 9));
    assert_eq!(facts.selector.as_ref().unwrap().to_str(), "a = 1");
    assert_eq!(facts.subscription.as_ref().unwrap().to_str(), "sub");
    assert!(facts.no_local && facts.exclusive && facts.retroactive && facts.browser && facts.network);

    let remove = RemoveInfo {
        object_id: Some(ObjectId::Consumer(consumer_id())),
        last_delivered_sequence_id: 42,
        ..Default::default()
    };
    world.tell(remove);
    assert!(matches!(
        world.wanted(),
        (None, Intent::RemoveConsumer { consumer: CONSUMER, last_delivered: 42 })
    ));
}

#[test]
fn pulls_wait_as_long_as_they_say() {
    let mut world = World::plain();
    for (wire, expected) in [
        (0, None),
        (250, Some(Duration::from_millis(250))),
        (-1, Some(Duration::ZERO)),
        (i64::MIN, Some(Duration::ZERO)),
    ] {
        world.tell(MessagePull { consumer_id: Some(consumer_id()), timeout: wire, ..Default::default() });
        let (None, Intent::Pull { consumer: CONSUMER, timeout }) = world.wanted() else { panic!("a pull") };
        assert_eq!(timeout, expected);
    }
}

#[test]
fn the_end_of_a_browse_is_a_dispatch_of_nothing() {
    let mut world = World::plain();
    let send = sent(&mut world, message(MessageKind::Text));
    delivered(&mut world, &send, 2);
    let end = Delivery {
        message: None,
        sequence: Sequence(0),
        redelivery_counter: 0,
        first_of_group: false,
        position: None,
    };
    world.session.deliver(world.now, CONSUMER, &end);
    assert_eq!(
        world.answer(),
        MessageDispatch { consumer_id: Some(consumer_id()), ..Default::default() }.into()
    );
}

#[test]
fn many_deliveries_make_one_piece_of_output() {
    let mut world = World::plain();
    let send = sent(&mut world, full(MessageKind::Text));
    for n in 0..1_000 {
        let message = Some(Arc::clone(&send.message));
        let delivery = Delivery {
            message,
            sequence: Sequence(n),
            redelivery_counter: 0,
            first_of_group: false,
            position: None,
        };
        world.session.deliver(world.now, CONSUMER, &delivery);
    }
    let answers = world.answers();
    assert_eq!(answers.len(), 1_000);
    assert!(answers.iter().all(|answer| matches!(answer, Command::MessageDispatch(_))));
}

#[test]
fn consumers_are_controlled_both_ways() {
    let mut world = World::plain();
    world.tell(ConsumerControl { consumer_id: Some(consumer_id()), prefetch: 1_000, ..Default::default() });
    assert!(matches!(world.wanted(), (None, Intent::SetPrefetch { consumer: CONSUMER, prefetch: 1_000 })));
    world.session.notify(world.now, Notice::ConsumerClosed { consumer: CONSUMER });
    assert!(
        matches!(world.answer(), Command::ConsumerControl(c) if c.close && c.consumer_id == Some(consumer_id()))
    );
    world.session.notify(world.now, Notice::PrefetchSet { consumer: CONSUMER, prefetch: 5 });
    assert!(matches!(world.answer(), Command::ConsumerControl(c) if !c.close && c.prefetch == 5));
}

#[test]
fn destinations_and_subscriptions_are_made_and_dropped() {
    let mut world = World::plain();
    let info = |operation_type, timeout| DestinationInfo {
        connection_id: Some(ConnectionId::new(CONNECTION)),
        destination: Some(Destination::queue("Q")),
        operation_type,
        timeout,
        ..Default::default()
    };
    let path = Some([BrokerId::new("ID:b")].into());
    world.request(DestinationInfo { broker_path: path, ..info(0, 0) });
    assert!(
        matches!(world.wanted().1, Intent::AddDestination { broker_path, .. } if broker_path == [Text::from("ID:b")])
    );
    world.request(info(1, 0));
    assert!(matches!(world.wanted().1, Intent::RemoveDestination { force: false, .. }));
    world.request(info(1, -1));
    assert!(matches!(world.wanted().1, Intent::RemoveDestination { force: true, .. }));
    world.request(info(2, 0));
    assert!(matches!(world.answer(), Command::ExceptionResponse(_)));
    world.request(RemoveSubscriptionInfo {
        connection_id: Some(ConnectionId::new(CONNECTION)),
        subscription_name: Some("nope".into()),
        client_id: Some("client".into()),
        ..Default::default()
    });
    assert!(matches!(world.wanted().1, Intent::Unsubscribe(name) if name.to_string() == "client:nope"));
}

#[test]
fn commands_without_an_effect_are_answered_if_asked() {
    let mut world = World::plain();
    world.request(ControlCommand { command: Some("shutdown".into()), ..Default::default() });
    world.request(ProducerAck::default());
    world.request(ferromq_openwire::MessageDispatchNotification::default());
    world.request(ferromq_openwire::BrokerInfo::default());
    world.request(ferromq_openwire::ConnectionError::default());
    assert_eq!(names(&world.answers()), ["Response"; 5]);
    world.tell(FlushCommand::default());
    world.tell(ferromq_openwire::Response::default());
    assert!(world.answers().is_empty() && world.inputs.is_empty());
    world.request(FlushCommand::default());
    assert!(matches!(world.wanted(), (Some(_), Intent::Flush)));
}

#[test]
fn a_bridge_that_compares_durable_subscriptions_is_told_of_them_once() {
    let mut world = World::plain();
    world.tell(ferromq_openwire::BrokerInfo {
        network_connection: true,
        network_properties: Some("name=nc\nsyncDurableSubs=true\n".into()),
        ..Default::default()
    });
    let (Some(tag), Intent::ListDurables) = world.wanted() else { panic!("nobody is asked") };
    let name = ferromq_model::SubscriptionName { client: "ann".into(), name: "s".into() };
    let durable = ferromq_engine::SubscriptionRecord {
        id: ferromq_model::SubscriptionId(3),
        name,
        topic: ferromq_model::Destination::topic("T"),
        selector: None,
        no_local: false,
    };
    world.session.reply(world.now, tag, Effect::Durables(vec![durable]));
    let Command::BrokerSubscriptionInfo(info) = world.answer() else { panic!("another answer") };
    let infos = info.subscription_infos.unwrap();
    let told = infos.first().unwrap();
    assert_eq!(
        (told.client_id.clone(), told.subscription_name.clone()),
        (Some("ann".into()), Some("s".into()))
    );
    assert_eq!(told.destination, Some(Destination::topic("T")));
    // It tells of its own, and need not be told again.
    world.tell(ferromq_openwire::BrokerSubscriptionInfo::default());
    assert!(world.answers().is_empty() && world.inputs.is_empty());
}

#[test]
fn more_than_allowed_is_refused_without_harm_to_what_is_there() {
    let mut settings = SessionSettings::default();
    settings.limits.sessions = 2;
    settings.limits.consumers = 1;
    settings.limits.producers = 1;
    let mut world = World::connected(settings, WireFormatOptions::default());
    let session = |n| SessionInfo { session_id: Some(SessionId::new(CONNECTION, n)), ..Default::default() };
    for n in [1, 2, 1] {
        world.request(session(n));
        assert!(matches!(world.wanted().1, Intent::AddSession { session } if session == n));
    }
    world.request(session(3));
    assert_eq!(exception(&world.answer()).0, "javax.jms.ResourceAllocationException");
    world.request(RemoveInfo { object_id: Some(SessionId::new(CONNECTION, 2).into()), ..Default::default() });
    assert!(matches!(world.wanted().1, Intent::RemoveSession { session: 2, .. }));
    world.request(session(3));
    world.wanted();

    let consumer = |n| ConsumerInfo {
        consumer_id: Some(ConsumerId::new(&session_id(), n)),
        destination: Some(Destination::queue("Q")),
        ..Default::default()
    };
    let id = world.request(consumer(1));
    world.wanted();
    world.request(consumer(2));
    assert_eq!(exception(&world.answer()).0, "javax.jms.ResourceAllocationException");
    let fault = Fault { kind: FaultKind::InvalidSelector, text: "no".into() };
    world.session.reply(world.now, Tag(id.cast_unsigned()), Effect::Failed(fault));
    world.answers();
    world.request(consumer(2));
    assert!(matches!(world.wanted().1, Intent::AddConsumer(_)), "a consumer that failed does not count");
}

#[test]
fn a_peer_that_asks_faster_than_it_is_answered_is_read_no_further() {
    let mut settings = SessionSettings::default();
    settings.limits.requests_in_flight = 3;
    let mut world = World::connected(settings, WireFormatOptions::default());
    produce(&mut world);
    let first = world.request(message(MessageKind::Text));
    for _ in 1..10 {
        world.request(message(MessageKind::Text));
    }
    assert_eq!(world.inputs.len(), 3);
    world.session.reply(world.now, Tag(first.cast_unsigned()), Effect::Done);
    world.poll();
    assert_eq!(world.inputs.len(), 4);
}

#[test]
fn a_paused_session_decodes_nothing() {
    let mut world = World::plain();
    produce(&mut world);
    world.session.pause(world.now);
    world.request(message(MessageKind::Text));
    assert!(world.inputs.is_empty());
    world.session.resume(world.now);
    world.poll();
    assert_eq!(world.inputs.len(), 1);
}

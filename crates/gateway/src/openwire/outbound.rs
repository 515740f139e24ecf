//! What the engine has for a peer, as commands of the wire.

use std::sync::Arc;

use ferromq_engine::{Effect, Fault, FaultKind, SubscriptionRecord};
use ferromq_model::{Advisory, BodyKind, ConsumerFacts, Delivery, Extra, Message, Now};
use ferromq_openwire as wire;
use ferromq_openwire::{Command, MessageKind, ObjectId, Throwable, WireFormat, WireStr};

use super::names::{Names, wire_brokers, wire_str, wire_xid};
use super::streams;

/// The longest text of an exception, in characters; a string of the tight encoding ends at 32,766 bytes.
const FAULT_TEXT_CHARS: usize = 4_096;

/// By this in its `BrokerInfo` a broker tells that its links have streams, and turn back what finds no room.
const LINKS: &str = "ferromqLinks=1\nferromqTurnsBack=1\n";

/// An answer to the command `correlation_id`.
pub(super) fn response(correlation_id: i32, effect: Effect) -> Command {
    match effect {
        Effect::Done | Effect::Durables(_) | Effect::Forgotten(_) | Effect::Dropped(_) => {
            wire::Response { correlation_id, ..Default::default() }.into()
        }
        Effect::Count(result) => {
            wire::IntegerResponse { correlation_id, result, ..Default::default() }.into()
        }
        Effect::Stream(report) => wire::DataResponse {
            correlation_id,
            data: Some(Arc::new(streams::data(&report))),
            ..Default::default()
        }
        .into(),
        Effect::Transactions(xids) => {
            let data = xids.iter().map(|xid| Command::XaTransactionId(wire_xid(xid))).collect();
            wire::DataArrayResponse { correlation_id, data: Some(data), ..Default::default() }.into()
        }
        Effect::Failed(fault) => wire::ExceptionResponse {
            correlation_id,
            exception: Some(Arc::new(throwable(&fault))),
            ..Default::default()
        }
        .into(),
    }
}

/// A failure of something that nobody waits for.
pub(super) fn connection_error(fault: &Fault) -> Command {
    wire::ConnectionError { exception: Some(Arc::new(throwable(fault))), ..Default::default() }.into()
}

/// The exception that a Java client raises for a fault.
fn throwable(fault: &Fault) -> Throwable {
    let class = match fault.kind {
        FaultKind::InvalidClientId => "javax.jms.InvalidClientIDException",
        FaultKind::Security => "java.lang.SecurityException",
        FaultKind::InvalidSelector => "javax.jms.InvalidSelectorException",
        FaultKind::InvalidDestination => "javax.jms.InvalidDestinationException",
        FaultKind::DestinationGone => "org.apache.activemq.DestinationDoesNotExistException",
        FaultKind::ResourceAllocation => "javax.jms.ResourceAllocationException",
        FaultKind::IllegalState => "java.lang.IllegalStateException",
        FaultKind::RolledBack => "javax.jms.TransactionRolledBackException",
        _ => "javax.jms.JMSException",
    };
    match fault.text.char_indices().nth(FAULT_TEXT_CHARS) {
        Some((end, _)) => Throwable::new(class, fault.text.get(..end).unwrap_or_default()),
        None => Throwable::new(class, fault.text.as_str()),
    }
}

/// Fills `dispatch`, whose parts are used again if nobody else holds them.
pub(super) fn fill_dispatch(
    names: &mut Names,
    dispatch: &mut wire::MessageDispatch,
    consumer: wire::ConsumerId,
    delivery: &Delivery,
    now: Now,
) {
    dispatch.consumer_id = Some(consumer);
    let Some(message) = &delivery.message else {
        dispatch.destination = None;
        dispatch.message = None;
        dispatch.redelivery_counter = 0;
        return;
    };
    let counter = i32::try_from(delivery.redelivery_counter).unwrap_or(i32::MAX);
    let mut out = dispatch.message.take().unwrap_or_default();
    if Arc::get_mut(&mut out).is_none() {
        out = Arc::default();
    }
    if let Some(out) = Arc::get_mut(&mut out) {
        fill_message(names, out, message);
        if let Some(id) = &mut out.message_id {
            id.broker_sequence_id = match delivery.position {
                Some(position) => streams::on_the_wire(position),
                None => i64::try_from(delivery.sequence.0).unwrap_or(i64::MAX),
            };
        }
        out.redelivery_counter = counter;
        out.broker_out_time = now.wall.0;
        out.jmsx_group_first_for_consumer = delivery.first_of_group;
    }
    dispatch.destination.clone_from(&out.destination);
    dispatch.message = Some(out);
    dispatch.redelivery_counter = counter;
}

/// Sets every field of `out` from `message`.
fn fill_message(names: &mut Names, out: &mut wire::Message, message: &Message) {
    let plain = Extra::default();
    let extra = message.extra.as_deref().unwrap_or(&plain);
    let producer = names.wire_producer(&message.id.producer);
    *out = wire::Message {
        command_id: 0,
        response_required: false,
        kind: message_kind(message.body_kind),
        blob: extra.blob.as_ref().map(|(url, mime, deleted)| {
            Arc::new(wire::Blob {
                remote_blob_url: url.as_ref().map(wire_str),
                mime_type: mime.as_ref().map(wire_str),
                deleted_by_broker: *deleted,
            })
        }),
        producer_id: Some(producer),
        destination: Some(names.wire_destination(&message.destination)),
        transaction_id: extra.transaction.as_ref().map(|id| names.wire_transaction(id)),
        original_destination: extra.original_destination.as_ref().map(|name| names.wire_destination(name)),
        message_id: Some(names.wire_message_id(&message.id, 0)),
        original_transaction_id: extra.original_transaction.as_ref().map(|id| names.wire_transaction(id)),
        group_id: message.group_id.as_ref().map(wire_str),
        group_sequence: message.group_sequence,
        correlation_id: message.correlation_id.as_ref().map(wire_str),
        persistent: message.persistent,
        expiration: message.expiration,
        priority: i8::try_from(message.priority).unwrap_or(9),
        reply_to: message.reply_to.as_ref().map(|to| names.wire_destination(to)),
        timestamp: message.timestamp,
        jms_type: message.message_type.as_ref().map(wire_str),
        content: message.body.clone(),
        marshalled_properties: message.properties.clone(),
        data_structure: data_structure(names, extra),
        target_consumer_id: extra.target.as_ref().map(|id| names.wire_consumer(id)),
        compressed: message.compressed,
        redelivery_counter: i32::try_from(message.redelivery_counter).unwrap_or(i32::MAX),
        broker_path: wire_brokers(&extra.broker_path),
        arrival: extra.arrival,
        user_id: extra.user_id.as_ref().map(wire_str),
        received_by_df_bridge: extra.received_by_bridge,
        droppable: extra.droppable,
        cluster: wire_brokers(&extra.cluster),
        broker_in_time: message.broker_in_time,
        broker_out_time: 0,
        jmsx_group_first_for_consumer: false,
    };
}

const fn message_kind(kind: BodyKind) -> MessageKind {
    match kind {
        BodyKind::Plain => MessageKind::Plain,
        BodyKind::Bytes => MessageKind::Bytes,
        BodyKind::Map => MessageKind::Map,
        BodyKind::Object => MessageKind::Object,
        BodyKind::Stream => MessageKind::Stream,
        BodyKind::Text => MessageKind::Text,
        BodyKind::Blob => MessageKind::Blob,
    }
}

fn data_structure(names: &mut Names, extra: &Extra) -> Option<Arc<Command>> {
    if let Some(advisory) = &extra.advisory {
        return Some(Arc::new(advisory_command(names, advisory)));
    }
    let image = extra.opaque.as_ref()?;
    // It was made by this crate; if a store gave back something else, the message goes without it.
    WireFormat::loose(12, wire::Limits::default()).decode(image.clone()).ok().map(Arc::new)
}

/// What an advisory is about, as ActiveMQ's clients and bridges expect it (OpenWire, advisory messages).
fn advisory_command(names: &mut Names, advisory: &Advisory) -> Command {
    match advisory {
        Advisory::ConnectionStarted(facts) => wire::ConnectionInfo {
            connection_id: Some(wire::ConnectionId { value: Some(names.wire_connection(&facts.connection)) }),
            client_id: Some(wire_str(&facts.client_id)),
            user_name: facts.user.as_ref().map(wire_str),
            manageable: facts.manageable,
            client_master: true,
            fault_tolerant: facts.fault_tolerant,
            failover_reconnect: facts.reconnected,
            client_ip: Some(wire_str(&facts.remote)),
            ..Default::default()
        }
        .into(),
        Advisory::ConnectionStopped(connection) => {
            let id = wire::ConnectionId { value: Some(names.wire_connection(connection)) };
            removal(ObjectId::Connection(id), -1)
        }
        Advisory::ConsumerStarted(facts) => consumer_info(names, facts).into(),
        Advisory::ConsumerStopped(consumer, last_delivered) => {
            removal(ObjectId::Consumer(names.wire_consumer(consumer)), *last_delivered)
        }
        Advisory::SubscriptionRemoved(name) => wire::RemoveSubscriptionInfo {
            client_id: Some(wire_str(&name.client)),
            subscription_name: Some(wire_str(&name.name)),
            ..Default::default()
        }
        .into(),
        Advisory::ProducerStarted(facts) => wire::ProducerInfo {
            producer_id: Some(names.wire_producer(&facts.id)),
            destination: facts.destination.as_ref().map(|name| names.wire_destination(name)),
            broker_path: wire_brokers(&facts.broker_path),
            window_size: i32::try_from(facts.window).unwrap_or(i32::MAX),
            ..Default::default()
        }
        .into(),
        Advisory::ProducerStopped(producer) => removal(ObjectId::Producer(names.wire_producer(producer)), -1),
        Advisory::DestinationAdded { destination, connection, broker_path } => {
            destination_info(names, destination, connection.as_ref(), broker_path, 0)
        }
        Advisory::DestinationRemoved { destination, connection, broker_path } => {
            destination_info(names, destination, connection.as_ref(), broker_path, 1)
        }
        Advisory::Message(message) => {
            let mut out = wire::Message::default();
            fill_message(names, &mut out, message);
            out.into()
        }
    }
}

fn removal(object: ObjectId, last_delivered_sequence_id: i64) -> Command {
    wire::RemoveInfo { object_id: Some(object), last_delivered_sequence_id, ..Default::default() }.into()
}

fn destination_info(
    names: &mut Names,
    destination: &ferromq_model::Destination,
    connection: Option<&ferromq_model::Text>,
    broker_path: &[ferromq_model::Text],
    operation_type: i8,
) -> Command {
    wire::DestinationInfo {
        connection_id: connection.map(|id| wire::ConnectionId { value: Some(names.wire_connection(id)) }),
        destination: Some(names.wire_destination(destination)),
        operation_type,
        broker_path: wire_brokers(broker_path),
        ..Default::default()
    }
    .into()
}

fn consumer_info(names: &mut Names, facts: &ConsumerFacts) -> wire::ConsumerInfo {
    wire::ConsumerInfo {
        consumer_id: Some(names.wire_consumer(&facts.id)),
        browser: facts.browser,
        destination: Some(names.wire_destination(&facts.destination)),
        prefetch_size: i32::try_from(facts.prefetch).unwrap_or(i32::MAX),
        maximum_pending_message_limit: facts.maximum_pending,
        dispatch_async: facts.dispatch_async,
        selector: facts.selector.as_ref().map(wire_str),
        client_id: facts.client_id.as_ref().map(wire_str),
        subscription_name: facts.subscription.as_ref().map(wire_str),
        no_local: facts.no_local,
        exclusive: facts.exclusive,
        retroactive: facts.retroactive,
        priority: facts.priority,
        broker_path: wire_brokers(&facts.broker_path),
        network_subscription: facts.network,
        optimized_acknowledge: facts.optimized_acknowledge,
        no_range_acks: facts.no_range_acks,
        network_consumer_path: (!facts.network_path.is_empty())
            .then(|| facts.network_path.iter().map(|id| names.wire_consumer(id)).collect()),
        ..Default::default()
    }
}

/// What a bridge is told of the durable subscriptions here, to compare them with its own (OpenWire 12).
pub(super) fn subscription_info(
    names: &mut Names,
    broker: &crate::BrokerIdentity,
    durables: &[SubscriptionRecord],
) -> Command {
    let session = wire::SessionId::new(format!("{}-durables", broker.id).as_str(), 1);
    let infos = durables.iter().map(|durable| wire::ConsumerInfo {
        consumer_id: Some(wire::ConsumerId::new(&session, i64::try_from(durable.id.0).unwrap_or(0))),
        destination: Some(names.wire_destination(&durable.topic)),
        prefetch_size: 100,
        dispatch_async: true,
        selector: durable.selector.as_ref().map(wire_str),
        client_id: Some(wire_str(&durable.name.client)),
        subscription_name: Some(wire_str(&durable.name.name)),
        no_local: durable.no_local,
        ..Default::default()
    });
    let infos = infos.collect();
    let info = wire::BrokerSubscriptionInfo {
        broker_id: Some(wire::BrokerId { value: Some(wire_str(&broker.id)) }),
        broker_name: Some(wire_str(&broker.name)),
        subscription_infos: Some(infos),
        ..Default::default()
    };
    info.into()
}

/// The broker introduces itself.
pub(super) fn broker_info(broker: &crate::BrokerIdentity) -> Command {
    wire::BrokerInfo {
        broker_id: Some(wire::BrokerId { value: Some(wire_str(&broker.id)) }),
        broker_url: Some(wire_str(&broker.url)),
        broker_name: Some(wire_str(&broker.name)),
        // A property that ActiveMQ reads past.
        network_properties: broker.links.then(|| WireStr::from(LINKS)),
        ..Default::default()
    }
    .into()
}

/// What a manageable client is told after its login: the brokers it may go to.
pub(super) fn connection_control(connected_brokers: WireStr, rebalance: bool) -> Command {
    wire::ConnectionControl {
        rebalance_connection: rebalance,
        connected_brokers: Some(connected_brokers),
        reconnect_to: Some(WireStr::default()),
        ..Default::default()
    }
    .into()
}

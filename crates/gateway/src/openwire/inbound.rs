//! Commands of the wire as the engine's requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferromq_engine::{AckKind, AckRequest, Fault, FaultKind, LocalId, SendRequest, TransactionVerb};
use ferromq_model::{
    BodyKind, ConsumerFacts, Destination, DestinationKind, DestinationPattern, Encoding, Extra, Message,
    NetworkFilter, NetworkScope, Now, ProducerFacts, StreamPosition, Text, TransactionId,
};
use ferromq_openwire as wire;
use ferromq_openwire::{AckType, Command, MessageKind, TransactionType, WireFormat};

use super::names::{Names, brokers, text};

/// What ActiveMQ takes every message to weigh besides body and properties.
const MESSAGE_OVERHEAD_BYTES: usize = 1_024;

/// Bytes of a frame besides body and properties that a message may keep alive.
const TOLERATED_WASTE_BYTES: usize = 256;

pub(super) fn fault(kind: FaultKind, text: impl Into<String>) -> Fault {
    Fault { kind, text: text.into() }
}

fn missing(command: &str, field: &str) -> Fault {
    fault(FaultKind::Protocol, format!("{command} without {field}"))
}

fn too_long_xid() -> Fault {
    fault(FaultKind::Protocol, "an XID has parts of at most 64 bytes")
}

/// What the window of a producer is charged for a message (OpenWire, flow control).
pub(super) fn window_bytes(message: &wire::Message) -> u32 {
    u32::try_from(MESSAGE_OVERHEAD_BYTES.saturating_add(message.payload_len())).unwrap_or(u32::MAX)
}

/// Turns a message that came in a frame of `frame_bytes` into one for the engine.
pub(super) fn send(
    names: &mut Names,
    sent: Arc<wire::Message>,
    frame_bytes: usize,
    user_id: Option<&Text>,
    window_bytes: u32,
    position: Option<StreamPosition>,
    now: Now,
) -> Result<SendRequest, Fault> {
    let mut sent = Arc::unwrap_or_clone(sent);
    let waste = frame_bytes.saturating_sub(sent.payload_len());
    if waste > TOLERATED_WASTE_BYTES && waste > frame_bytes / 4 {
        sent.detach();
    }
    let wire_id = sent.message_id.as_ref().ok_or_else(|| missing("a message", "messageId"))?;
    let id = names.message_id(wire_id).ok_or_else(|| missing("messageId", "producerId"))?;
    let producer = sent.producer_id.as_ref().ok_or_else(|| missing("a message", "producerId"))?;
    let producer = names.producer(producer);
    let destination =
        names.destination(sent.destination.as_ref().ok_or_else(|| missing("a message", "destination"))?);
    let transaction = transaction(names, sent.transaction_id.as_ref())?;
    let extra = extra(names, &sent, transaction.as_ref(), user_id)?;
    let message = Message {
        destination,
        persistent: sent.persistent,
        priority: u8::try_from(sent.priority).unwrap_or(0).min(9),
        expiration: sent.expiration,
        timestamp: sent.timestamp,
        correlation_id: sent.correlation_id.as_ref().map(text),
        reply_to: sent.reply_to.as_ref().map(|to| names.destination(to)),
        message_type: sent.jms_type.as_ref().map(text),
        group_id: sent.group_id.as_ref().map(text),
        group_sequence: sent.group_sequence,
        redelivery_counter: u32::try_from(sent.redelivery_counter).unwrap_or(0),
        encoding: Encoding::OpenWire,
        body_kind: body_kind(sent.kind),
        compressed: sent.compressed,
        body: sent.content,
        properties: sent.marshalled_properties,
        broker_in_time: now.wall.0,
        extra,
        id,
    };
    Ok(SendRequest { producer, message: Arc::new(message), transaction, window_bytes, position })
}

fn extra(
    names: &mut Names,
    sent: &wire::Message,
    transaction: Option<&TransactionId>,
    user_id: Option<&Text>,
) -> Result<Option<Box<Extra>>, Fault> {
    let plain = transaction.is_none()
        && user_id.is_none()
        && sent.user_id.is_none()
        && sent.original_destination.is_none()
        && sent.original_transaction_id.is_none()
        && sent.data_structure.is_none()
        && sent.target_consumer_id.is_none()
        && sent.broker_path.is_none()
        && sent.cluster.is_none()
        && sent.blob.is_none()
        && sent.arrival == 0
        && !sent.droppable
        && !sent.received_by_df_bridge;
    if plain {
        return Ok(None);
    }
    Ok(Some(Box::new(Extra {
        original_destination: sent.original_destination.as_ref().map(|name| names.destination(name)),
        transaction: transaction.cloned(),
        original_transaction: self::transaction(names, sent.original_transaction_id.as_ref())?,
        user_id: user_id.cloned().or_else(|| sent.user_id.as_ref().map(text)),
        broker_path: brokers(sent.broker_path.as_deref()),
        cluster: brokers(sent.cluster.as_deref()),
        arrival: sent.arrival,
        droppable: sent.droppable,
        received_by_bridge: sent.received_by_df_bridge,
        target: sent.target_consumer_id.as_ref().map(|id| names.consumer(id)),
        advisory: None,
        opaque: sent.data_structure.as_deref().map(image).transpose()?,
        blob: sent.blob.as_ref().map(|blob| {
            (
                blob.remote_blob_url.as_ref().map(text),
                blob.mime_type.as_ref().map(text),
                blob.deleted_by_broker,
            )
        }),
    })))
}

/// The form in which a structure that nobody here reads is kept: loose, uncached, version 12.
fn image(structure: &Command) -> Result<Bytes, Fault> {
    let mut frame = Vec::new();
    WireFormat::loose(12, wire::Limits::default())
        .encode(structure, &mut frame)
        .map_err(|error| fault(FaultKind::Protocol, format!("dataStructure: {error}")))?;
    Ok(Bytes::from(frame).split_off(4))
}

const fn body_kind(kind: MessageKind) -> BodyKind {
    match kind {
        MessageKind::Plain => BodyKind::Plain,
        MessageKind::Bytes => BodyKind::Bytes,
        MessageKind::Map => BodyKind::Map,
        MessageKind::Object => BodyKind::Object,
        MessageKind::Stream => BodyKind::Stream,
        MessageKind::Text => BodyKind::Text,
        MessageKind::Blob => BodyKind::Blob,
    }
}

pub(super) fn transaction(
    names: &mut Names,
    id: Option<&wire::TransactionId>,
) -> Result<Option<TransactionId>, Fault> {
    id.map(|id| names.transaction(id).ok_or_else(too_long_xid)).transpose()
}

pub(super) fn ack(names: &mut Names, ack: &wire::MessageAck) -> Result<AckRequest, Fault> {
    let consumer = ack.consumer_id.as_ref().ok_or_else(|| missing("MessageAck", "consumerId"))?;
    let kind = match AckType::from_wire(ack.ack_type) {
        Some(AckType::Delivered) => AckKind::Delivered,
        Some(AckType::Poison) => AckKind::Poison,
        Some(AckType::Standard) => AckKind::Standard,
        Some(AckType::Redelivered) => AckKind::Redelivered,
        Some(AckType::Individual) => AckKind::Individual,
        Some(AckType::Unmatched) => AckKind::Unmatched,
        Some(AckType::Expired) => AckKind::Expired,
        _ => return Err(fault(FaultKind::Protocol, format!("ackType {} is unknown", ack.ack_type))),
    };
    let cause = ack.poison_cause.as_ref().map(|cause| {
        let part =
            |text: &Option<wire::WireStr>| text.as_ref().map_or(String::new(), |t| t.to_str().into_owned());
        match &cause.message {
            Some(_) => Text::from(format!("{}: {}", part(&cause.class), part(&cause.message))),
            None => Text::from(part(&cause.class)),
        }
    });
    Ok(AckRequest {
        consumer: LocalId { session: consumer.session_id, value: consumer.value },
        kind,
        first: ack.first_message_id.as_ref().and_then(|id| names.message_id(id)),
        last: ack.last_message_id.as_ref().and_then(|id| names.message_id(id)),
        count: u32::try_from(ack.message_count).unwrap_or(0),
        transaction: transaction(names, ack.transaction_id.as_ref())?,
        cause,
    })
}

pub(super) fn consumer_facts(
    names: &mut Names,
    info: &wire::ConsumerInfo,
    bounds: &Bounds,
) -> Result<ConsumerFacts, Fault> {
    let id = info.consumer_id.as_ref().ok_or_else(|| missing("ConsumerInfo", "consumerId"))?;
    let destination = info.destination.as_ref().ok_or_else(|| missing("ConsumerInfo", "destination"))?;
    Ok(ConsumerFacts {
        id: names.consumer(id),
        destination: names.destination(destination),
        prefetch: u32::try_from(info.prefetch_size).unwrap_or(0),
        selector: info.selector.as_ref().filter(|selector| !selector.is_empty()).map(text),
        subscription: info.subscription_name.as_ref().map(text),
        client_id: info.client_id.as_ref().map(text),
        no_local: info.no_local,
        exclusive: info.exclusive,
        retroactive: info.retroactive,
        browser: info.browser,
        priority: info.priority,
        maximum_pending: info.maximum_pending_message_limit,
        dispatch_async: info.dispatch_async,
        optimized_acknowledge: info.optimized_acknowledge,
        no_range_acks: info.no_range_acks,
        network: info.network_subscription,
        broker_path: brokers(info.broker_path.as_deref()),
        network_path: info
            .network_consumer_path
            .as_deref()
            .unwrap_or_default()
            .iter()
            .map(|id| names.consumer(id))
            .collect(),
        network_filter: info
            .additional_predicate
            .as_deref()
            .and_then(|predicate| network_filter(predicate, bounds)),
    })
}

/// A predicate of another kind is for nobody here (OpenWire, `ConsumerInfo.additionalPredicate`).
fn network_filter(predicate: &Command, bounds: &Bounds) -> Option<NetworkFilter> {
    let Command::NetworkBridgeFilter(filter) = predicate else { return None };
    let broker = filter.network_broker_id.as_ref()?.value.as_ref()?;
    // Up to version 9 there was one number for both.
    let ttl = |value: i32| if value == 0 { filter.network_ttl } else { value };
    Some(NetworkFilter {
        broker: text(broker),
        message_ttl: ttl(filter.message_ttl),
        consumer_ttl: ttl(filter.consumer_ttl),
        max_hops: bounds.max_hops,
        scope: bounds.scope.clone(),
    })
}

/// What a bridge of this kind says of itself besides what the wire has a place for.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// How many brokers a message may have passed that goes over because nobody else can consume it.
    max_hops: Option<u32>,
    scope: Option<Arc<NetworkScope>>,
}

/// More destinations than any connector has reason to name.
const MOST_RULES: usize = 10_000;

pub(super) fn bounds(info: &wire::BrokerInfo) -> Bounds {
    let Some(text) = info.network_properties.as_ref().filter(|_| info.network_connection) else {
        return Bounds::default();
    };
    let text = text.to_str();
    let said = |key: &'static str| text.lines().filter_map(move |line| line.strip_prefix(key));
    let rules = |key| -> Vec<_> {
        let rule = |name| {
            let Destination { kind, name } = Destination::parse(name, DestinationKind::Queue);
            (kind, DestinationPattern::new(&name))
        };
        said(key).map(rule).take(MOST_RULES).collect()
    };
    let scope = NetworkScope { excluded: rules("excluded="), included: rules("included=") };
    Bounds {
        max_hops: said("maxHops=").find_map(|hops| hops.trim_end().parse().ok()),
        scope: (scope != NetworkScope::default()).then(|| Arc::new(scope)),
    }
}

pub(super) fn producer_facts(names: &mut Names, info: &wire::ProducerInfo) -> Result<ProducerFacts, Fault> {
    let id = info.producer_id.as_ref().ok_or_else(|| missing("ProducerInfo", "producerId"))?;
    Ok(ProducerFacts {
        id: names.producer(id),
        destination: info.destination.as_ref().map(|name| names.destination(name)),
        window: u32::try_from(info.window_size).unwrap_or(0),
        broker_path: brokers(info.broker_path.as_deref()),
    })
}

pub(super) fn verb(kind: i8) -> Result<TransactionVerb, Fault> {
    Ok(match TransactionType::from_wire(kind) {
        Some(TransactionType::Begin) => TransactionVerb::Begin,
        Some(TransactionType::Prepare) => TransactionVerb::Prepare,
        Some(TransactionType::CommitOnePhase) => TransactionVerb::CommitOnePhase,
        Some(TransactionType::CommitTwoPhase) => TransactionVerb::CommitTwoPhase,
        Some(TransactionType::Rollback) => TransactionVerb::Rollback,
        Some(TransactionType::Recover) => TransactionVerb::Recover,
        Some(TransactionType::Forget) => TransactionVerb::Forget,
        Some(TransactionType::End) => TransactionVerb::End,
        _ => return Err(fault(FaultKind::Protocol, format!("transaction type {kind} is unknown"))),
    })
}

/// A pull waits without limit at 0 and not at all below (OpenWire, `MessagePull`).
pub(super) fn pull_timeout(ms: i64) -> Option<Duration> {
    match ms {
        0 => None,
        _ => Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
    }
}

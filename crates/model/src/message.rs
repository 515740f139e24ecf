//! [`Message`]: what a producer sent, unchanged until the last consumer has it.

use std::mem::size_of;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Advisory, ConsumerId, Destination, MessageId, Sequence, StreamPosition, Text, TransactionId};

/// The encoding of a message's properties and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// ActiveMQ's primitive maps and bodies.
    OpenWire,
}

/// Which of the JMS message types the body is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// No body (`Message`).
    Plain,
    /// `BytesMessage`.
    Bytes,
    /// `MapMessage`.
    Map,
    /// `ObjectMessage`; never deserialised.
    Object,
    /// `StreamMessage`.
    Stream,
    /// `TextMessage`.
    Text,
    /// A reference to a body elsewhere.
    Blob,
}

/// A message as it was sent, shared as `Arc<Message>`.
#[derive(Clone, Debug)]
pub struct Message {
    /// JMSMessageID.
    pub id: MessageId,
    /// Where it lies; for a composite send, the member.
    pub destination: Destination,
    /// JMSDeliveryMode.
    pub persistent: bool,
    /// JMSPriority, 0 to 9.
    pub priority: u8,
    /// Milliseconds since 1970, 0 for never.
    pub expiration: i64,
    /// JMSTimestamp, milliseconds since 1970.
    pub timestamp: i64,
    /// JMSCorrelationID.
    pub correlation_id: Option<Text>,
    /// JMSReplyTo.
    pub reply_to: Option<Destination>,
    /// JMSType.
    pub message_type: Option<Text>,
    /// JMSXGroupID.
    pub group_id: Option<Text>,
    /// JMSXGroupSeq.
    pub group_sequence: i32,
    /// Redeliveries that the sender already counted (0 for a fresh message).
    pub redelivery_counter: u32,
    /// How to read `properties` and `body`.
    pub encoding: Encoding,
    /// The type of the body.
    pub body_kind: BodyKind,
    /// Whether the body is deflated.
    pub compressed: bool,
    /// The encoded body, `None` if there is none.
    pub body: Option<Bytes>,
    /// The encoded properties, `None` if none was set.
    pub properties: Option<Bytes>,
    /// When the broker received it, milliseconds since 1970.
    pub broker_in_time: i64,
    /// What few messages have.
    pub extra: Option<Box<Extra>>,
}

/// The header fields that few messages have.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Where it was sent before it was rerouted (composite, virtual topic, dead letter).
    pub original_destination: Option<Destination>,
    /// The transaction in which it was sent.
    pub transaction: Option<TransactionId>,
    /// The transaction in which it was sent before it was rerouted or forwarded.
    pub original_transaction: Option<TransactionId>,
    /// JMSXUserID.
    pub user_id: Option<Text>,
    /// Ids of the brokers it came through.
    pub broker_path: Vec<Text>,
    /// Ids of the brokers that hold it in a cluster.
    pub cluster: Vec<Text>,
    /// When it arrived, as the sender has it.
    pub arrival: i64,
    /// It may be dropped to make room.
    pub droppable: bool,
    /// It came over a bridge that forwards by demand.
    pub received_by_bridge: bool,
    /// The only consumer that may see it (an advisory replayed for a newcomer).
    pub target: Option<ConsumerId>,
    /// What an advisory tells.
    pub advisory: Option<Advisory>,
    /// A payload of the message's own encoding that FerroMQ forwards without reading.
    pub opaque: Option<Bytes>,
    /// Where the body of a blob message is kept.
    pub blob: Option<(Option<Text>, Option<Text>, bool)>,
}

impl Message {
    /// A message without body, properties and options, to be filled by struct update.
    pub fn new(id: MessageId, destination: Destination) -> Self {
        Self {
            id,
            destination,
            persistent: false,
            priority: 4,
            expiration: 0,
            timestamp: 0,
            correlation_id: None,
            reply_to: None,
            message_type: None,
            group_id: None,
            group_sequence: 0,
            redelivery_counter: 0,
            encoding: Encoding::OpenWire,
            body_kind: BodyKind::Plain,
            compressed: false,
            body: None,
            properties: None,
            broker_in_time: 0,
            extra: None,
        }
    }

    /// What the message is charged against memory limits, in bytes: its allocation, not what ActiveMQ estimates.
    pub fn charge(&self) -> usize {
        let bytes = |b: &Option<Bytes>| b.as_ref().map_or(0, Bytes::len);
        size_of::<Self>()
            + bytes(&self.body)
            + bytes(&self.properties)
            + self.extra.as_ref().map_or(0, |extra| size_of::<Extra>() + bytes(&extra.opaque))
    }

    /// Whether it has expired at `wall_ms`.
    pub const fn is_expired(&self, wall_ms: i64) -> bool {
        self.expiration > 0 && self.expiration <= wall_ms
    }

    /// The rare fields, made when first asked for.
    pub fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}

/// One delivery of a message to one consumer, or the end of a browse or of a pull that found nothing.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What is delivered; `None` ends a browse, or answers a pull with nothing.
    pub message: Option<Arc<Message>>,
    /// The message's place in the store's order.
    pub sequence: Sequence,
    /// Its position in the stream of the link that it is handed to.
    pub position: Option<StreamPosition>,
    /// How often it may have been delivered before; above 0 means JMSRedelivered.
    pub redelivery_counter: u32,
    /// Whether it is the first of its group for this consumer (JMSXGroupFirstForConsumer).
    pub first_of_group: bool,
}

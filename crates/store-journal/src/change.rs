//! [`Change`]: what a record does to the index, and the payloads of all records.

use ferromq_journal::Kind;
use ferromq_model::{
    Destination, DestinationId, Message, ProducerId, Sequence, StreamId, StreamPosition, SubscriptionId,
    SubscriptionName,
};
use ferromq_store::{Passage, StoreOp, StreamOp, StreamRecord, SubscriptionRecord};

use crate::message;
use crate::wire::{Reader, put_destination, put_i64, put_producer, put_signed, put_text, put_u32, put_u64};

pub(crate) const PUT_DESTINATION: Kind = Kind(16);
pub(crate) const DROP_DESTINATION: Kind = Kind(17);
pub(crate) const PUT_SUBSCRIPTION: Kind = Kind(18);
pub(crate) const DROP_SUBSCRIPTION: Kind = Kind(19);
pub(crate) const PUT_MESSAGE: Kind = Kind(20);
pub(crate) const REMOVE_MESSAGE: Kind = Kind(21);
pub(crate) const ACK_DURABLE: Kind = Kind(22);
pub(crate) const EXPOSE_QUEUE: Kind = Kind(23);
pub(crate) const EXPOSE_SUBSCRIPTION: Kind = Kind(24);
pub(crate) const DEDUP: Kind = Kind(25);
pub(crate) const PUT_STREAM: Kind = Kind(26);
pub(crate) const DROP_STREAM: Kind = Kind(27);
pub(crate) const PLACE: Kind = Kind(28);
pub(crate) const SETTLE: Kind = Kind(29);

const COUNTED: u8 = 1;
const EXPOSED: u8 = 2;

/// What a record does to the index. Bodies are not needed for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    PutDestination { id: DestinationId, destination: Destination },
    DropDestination { id: DestinationId },
    PutSubscription(SubscriptionRecord),
    DropSubscription { id: SubscriptionId },
    PutMessage(MessageHead),
    RemoveMessage { destination: DestinationId, sequence: Sequence, segment: u32 },
    AckDurable { subscription: SubscriptionId, destination: DestinationId, sequence: Sequence, segment: u32 },
    ExposeQueue { destination: DestinationId, upto: Sequence },
    ExposeSubscription { subscription: SubscriptionId, upto: Sequence },
    Dedup { producer: ProducerId, sequence: i64 },
    Stream(StreamOp),
}

/// What stands in front of a stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageHead {
    pub(crate) destination: DestinationId,
    pub(crate) sequence: Sequence,
    pub(crate) expiration: i64,
    pub(crate) charge: u32,
    pub(crate) priority: u8,
    pub(crate) exposed: bool,
    /// It counts in this window.
    pub(crate) dedup: Option<(ProducerId, i64)>,
    pub(crate) subscriptions: Vec<SubscriptionId>,
}

/// Encodes an operation and says what it does. `segment` is where the message lies that it removes.
pub(crate) fn encode(op: &StoreOp, segment: u32, out: &mut Vec<u8>) -> Change {
    match op {
        StoreOp::PutDestination { id, destination } => {
            put_u64(out, id.0);
            put_destination(out, destination);
            Change::PutDestination { id: *id, destination: destination.clone() }
        }
        StoreOp::DropDestination { id } => {
            put_u64(out, id.0);
            Change::DropDestination { id: *id }
        }
        StoreOp::PutSubscription(record) => {
            put_subscription(out, record);
            Change::PutSubscription(record.clone())
        }
        StoreOp::DropSubscription { id } => {
            put_u64(out, id.0);
            Change::DropSubscription { id: *id }
        }
        StoreOp::PutMessage { destination, sequence, message, subscriptions, dedup, exposed } => {
            let head = MessageHead {
                destination: *destination,
                sequence: *sequence,
                expiration: message.expiration,
                charge: u32::try_from(message.charge()).unwrap_or(u32::MAX),
                priority: message.priority,
                exposed: *exposed,
                dedup: dedup.then(|| (message.id.producer.clone(), message.id.sequence)),
                subscriptions: subscriptions.clone(),
            };
            put_head(out, &head);
            message::encode(message, out);
            Change::PutMessage(head)
        }
        StoreOp::RemoveMessage { destination, sequence } => {
            let change = Change::RemoveMessage { destination: *destination, sequence: *sequence, segment };
            put_removal(out, &change);
            change
        }
        StoreOp::AckDurable { subscription, destination, sequence } => {
            let change = Change::AckDurable {
                subscription: *subscription,
                destination: *destination,
                sequence: *sequence,
                segment,
            };
            put_removal(out, &change);
            change
        }
        StoreOp::ExposeQueue { destination, upto } => {
            put_u64(out, destination.0);
            put_u64(out, upto.0);
            Change::ExposeQueue { destination: *destination, upto: *upto }
        }
        StoreOp::ExposeSubscription { subscription, upto } => {
            put_u64(out, subscription.0);
            put_u64(out, upto.0);
            Change::ExposeSubscription { subscription: *subscription, upto: *upto }
        }
        StoreOp::Dedup { producer, sequence } => {
            put_producer(out, producer);
            put_signed(out, *sequence);
            Change::Dedup { producer: producer.clone(), sequence: *sequence }
        }
        StoreOp::Stream(op) => {
            put_stream_op(out, op);
            Change::Stream(op.clone())
        }
    }
}

/// The kind of the record for an operation.
pub(crate) const fn kind(op: &StoreOp) -> Kind {
    match op {
        StoreOp::PutDestination { .. } => PUT_DESTINATION,
        StoreOp::DropDestination { .. } => DROP_DESTINATION,
        StoreOp::PutSubscription(_) => PUT_SUBSCRIPTION,
        StoreOp::DropSubscription { .. } => DROP_SUBSCRIPTION,
        StoreOp::PutMessage { .. } => PUT_MESSAGE,
        StoreOp::RemoveMessage { .. } => REMOVE_MESSAGE,
        StoreOp::AckDurable { .. } => ACK_DURABLE,
        StoreOp::ExposeQueue { .. } => EXPOSE_QUEUE,
        StoreOp::ExposeSubscription { .. } => EXPOSE_SUBSCRIPTION,
        StoreOp::Dedup { .. } => DEDUP,
        StoreOp::Stream(StreamOp::Put(_)) => PUT_STREAM,
        StoreOp::Stream(StreamOp::Drop { .. }) => DROP_STREAM,
        StoreOp::Stream(StreamOp::Place { .. }) => PLACE,
        StoreOp::Stream(StreamOp::Settle { .. }) => SETTLE,
    }
}

/// Appends what stands in front of a message.
pub(crate) fn put_head(out: &mut Vec<u8>, head: &MessageHead) {
    put_u64(out, head.destination.0);
    put_u64(out, head.sequence.0);
    put_i64(out, head.expiration);
    put_u32(out, head.charge);
    out.push(head.priority);
    let counted = if head.dedup.is_some() { COUNTED } else { 0 };
    let exposed = if head.exposed { EXPOSED } else { 0 };
    out.extend_from_slice(&[counted | exposed, 0, 0]);
    put_u32(out, u32::try_from(head.subscriptions.len()).unwrap_or(u32::MAX));
    head.subscriptions.iter().for_each(|id| put_u64(out, id.0));
}

/// Appends the payload of a removal or a durable acknowledgement.
pub(crate) fn put_removal(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::RemoveMessage { destination, sequence, segment } => {
            put_u64(out, destination.0);
            put_u64(out, sequence.0);
            put_u32(out, *segment);
        }
        Change::AckDurable { subscription, destination, sequence, segment } => {
            put_u64(out, destination.0);
            put_u64(out, sequence.0);
            put_u32(out, *segment);
            put_u64(out, subscription.0);
        }
        _ => {}
    }
}

/// Reads the payload of a record; `None` if it is not what its kind says.
pub(crate) fn decode(kind: Kind, payload: &[u8]) -> Option<Change> {
    let mut reader = Reader::copying(payload);
    let reader = &mut reader;
    Some(match kind {
        PUT_DESTINATION => {
            Change::PutDestination { id: destination_id(reader)?, destination: reader.destination(None)? }
        }
        DROP_DESTINATION => Change::DropDestination { id: destination_id(reader)? },
        PUT_SUBSCRIPTION => Change::PutSubscription(subscription(reader)?),
        DROP_SUBSCRIPTION => Change::DropSubscription { id: subscription_id(reader)? },
        PUT_MESSAGE => {
            let (mut head, counted) = read_head(reader)?;
            if counted {
                let id = message::decode_id(payload.get(reader.position()..)?)?;
                head.dedup = Some((id.producer, id.sequence));
            }
            Change::PutMessage(head)
        }
        REMOVE_MESSAGE => Change::RemoveMessage {
            destination: destination_id(reader)?,
            sequence: sequence(reader)?,
            segment: reader.u32()?,
        },
        ACK_DURABLE => {
            let destination = destination_id(reader)?;
            let sequence = sequence(reader)?;
            let segment = reader.u32()?;
            Change::AckDurable { subscription: subscription_id(reader)?, destination, sequence, segment }
        }
        EXPOSE_QUEUE => Change::ExposeQueue { destination: destination_id(reader)?, upto: sequence(reader)? },
        EXPOSE_SUBSCRIPTION => {
            Change::ExposeSubscription { subscription: subscription_id(reader)?, upto: sequence(reader)? }
        }
        DEDUP => Change::Dedup { producer: reader.producer()?, sequence: reader.signed()? },
        PUT_STREAM => Change::Stream(StreamOp::Put(stream(reader)?)),
        DROP_STREAM => Change::Stream(StreamOp::Drop { id: StreamId(reader.u64()?) }),
        PLACE => {
            let stream = StreamId(reader.u64()?);
            let (position, passage) = passage(reader)?;
            Change::Stream(StreamOp::Place { stream, position, passage })
        }
        SETTLE => Change::Stream(StreamOp::Settle {
            stream: StreamId(reader.u64()?),
            from: StreamPosition(reader.u64()?),
            upto: StreamPosition(reader.u64()?),
        }),
        _ => return None,
    })
}

/// What stands in front of a message, and where the message begins. The window is left out.
pub(crate) fn decode_head(payload: &[u8]) -> Option<(MessageHead, usize)> {
    let mut reader = Reader::copying(payload);
    let (head, _) = read_head(&mut reader)?;
    Some((head, reader.position()))
}

fn read_head(reader: &mut Reader<'_>) -> Option<(MessageHead, bool)> {
    let destination = destination_id(reader)?;
    let sequence = sequence(reader)?;
    let expiration = reader.i64()?;
    let charge = reader.u32()?;
    let priority = reader.u8()?;
    let flags = reader.u8()?;
    reader.u16()?;
    let count = reader.u32()? as usize;
    if count > reader.remaining() / 8 {
        return None;
    }
    let subscriptions = (0..count).map(|_| subscription_id(reader)).collect::<Option<_>>()?;
    let exposed = flags & EXPOSED != 0;
    let head = MessageHead {
        destination,
        sequence,
        expiration,
        charge,
        priority,
        exposed,
        dedup: None,
        subscriptions,
    };
    Some((head, flags & COUNTED != 0))
}

fn destination_id(reader: &mut Reader<'_>) -> Option<DestinationId> {
    reader.u64().map(DestinationId)
}

fn subscription_id(reader: &mut Reader<'_>) -> Option<SubscriptionId> {
    reader.u64().map(SubscriptionId)
}

fn sequence(reader: &mut Reader<'_>) -> Option<Sequence> {
    reader.u64().map(Sequence)
}

/// Appends a subscription, for a record or a snapshot.
pub(crate) fn put_subscription(out: &mut Vec<u8>, record: &SubscriptionRecord) {
    put_u64(out, record.id.0);
    put_text(out, &record.name.client);
    put_text(out, &record.name.name);
    put_destination(out, &record.topic);
    out.push(u8::from(record.no_local) | u8::from(record.selector.is_some()) << 1);
    if let Some(selector) = &record.selector {
        put_text(out, selector);
    }
}

/// Reads what [`put_subscription`] wrote.
pub(crate) fn subscription(reader: &mut Reader<'_>) -> Option<SubscriptionRecord> {
    let id = subscription_id(reader)?;
    let name = SubscriptionName { client: reader.text()?, name: reader.text()? };
    let topic = reader.destination(None)?;
    let flags = reader.u8()?;
    let selector = reader.option(flags & 2 != 0, Reader::text)?;
    Some(SubscriptionRecord { id, name, topic, selector, no_local: flags & 1 != 0 })
}

fn put_stream_op(out: &mut Vec<u8>, op: &StreamOp) {
    match op {
        StreamOp::Put(record) => put_stream(out, record),
        StreamOp::Drop { id } => put_u64(out, id.0),
        StreamOp::Place { stream, position, passage } => {
            put_u64(out, stream.0);
            put_passage(out, *position, passage);
        }
        StreamOp::Settle { stream, from, upto } => {
            [stream.0, from.0, upto.0].into_iter().for_each(|number| put_u64(out, number));
        }
    }
}

/// Appends a stream, for a record or a snapshot.
pub(crate) fn put_stream(out: &mut Vec<u8>, record: &StreamRecord) {
    put_u64(out, record.id.0);
    put_u64(out, record.reserved.0);
    put_text(out, &record.name);
}

/// Reads what [`put_stream`] wrote.
pub(crate) fn stream(reader: &mut Reader<'_>) -> Option<StreamRecord> {
    let (id, reserved) = (StreamId(reader.u64()?), StreamPosition(reader.u64()?));
    Some(StreamRecord { id, reserved, name: reader.text()? })
}

/// Bytes of a position and its passage.
pub(crate) const PASSAGE_BYTES: usize = 40;

/// Appends a position of a stream, for a record or a snapshot.
pub(crate) fn put_passage(out: &mut Vec<u8>, position: StreamPosition, passage: &Passage) {
    let Passage { destination, sequence, subscription, message } = passage;
    [position.0, destination.0, sequence.0, subscription.0, *message]
        .into_iter()
        .for_each(|number| put_u64(out, number));
}

/// Reads what [`put_passage`] wrote.
pub(crate) fn passage(reader: &mut Reader<'_>) -> Option<(StreamPosition, Passage)> {
    let position = StreamPosition(reader.u64()?);
    let (destination, sequence) = (destination_id(reader)?, sequence(reader)?);
    let subscription = subscription_id(reader)?;
    Some((position, Passage { destination, sequence, subscription, message: reader.u64()? }))
}

/// Reads the message of a record, sharing the record's bytes.
pub(crate) fn decode_message(
    payload: &bytes::Bytes,
    known: Option<&Destination>,
) -> Option<(MessageHead, Message)> {
    let (head, at) = decode_head(payload)?;
    Some((head, message::decode(&payload.slice(at..), known)?))
}

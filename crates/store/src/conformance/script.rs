//! Short words for operations, so that checks read as scripts.

use std::sync::Arc;

use bytes::Bytes;
use ferromq_model::{
    BodyKind, Destination, DestinationId, Message, MessageId, ProducerId, Sequence, StreamId, StreamPosition,
    SubscriptionId, SubscriptionName,
};

use crate::{Passage, StoreOp, StreamOp, StreamRecord, SubscriptionRecord};

pub(super) const QUEUE: DestinationId = DestinationId(1);
pub(super) const TOPIC: DestinationId = DestinationId(2);
pub(super) const STREAM: StreamId = StreamId(1);
pub(super) const ONE: SubscriptionId = SubscriptionId(1);
pub(super) const TWO: SubscriptionId = SubscriptionId(2);

/// The stream of a link with so many positions reserved.
pub(super) fn stream(id: StreamId, reserved: u64) -> StoreOp {
    let name = format!("from a over {} to b", id.0).as_str().into();
    StoreOp::Stream(StreamOp::Put(StreamRecord { id, name, reserved: StreamPosition(reserved) }))
}

/// The message at a place of the queue has a position.
pub(super) const fn place(stream: StreamId, position: u64, sequence: u64) -> StoreOp {
    let passage = Passage {
        destination: QUEUE,
        sequence: Sequence(sequence),
        subscription: SubscriptionId(0),
        message: sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    };
    StoreOp::Stream(StreamOp::Place { stream, position: StreamPosition(position), passage })
}

pub(super) const fn settle(stream: StreamId, from: u64, upto: u64) -> StoreOp {
    StoreOp::Stream(StreamOp::Settle { stream, from: StreamPosition(from), upto: StreamPosition(upto) })
}

pub(super) const fn drop_stream(id: StreamId) -> StoreOp {
    StoreOp::Stream(StreamOp::Drop { id })
}

/// A queue, a topic and two subscriptions to it.
pub(super) fn house() -> Vec<StoreOp> {
    vec![
        StoreOp::PutDestination { id: QUEUE, destination: Destination::queue("orders") },
        StoreOp::PutDestination { id: TOPIC, destination: Destination::topic("prices") },
        StoreOp::PutSubscription(record(ONE, "one")),
        StoreOp::PutSubscription(record(TWO, "two")),
    ]
}

pub(super) fn record(id: SubscriptionId, name: &str) -> SubscriptionRecord {
    SubscriptionRecord {
        id,
        name: SubscriptionName { client: "client".into(), name: name.into() },
        topic: Destination::topic("prices"),
        selector: None,
        no_local: false,
    }
}

pub(super) fn producer(value: i64) -> ProducerId {
    ProducerId::new("ID:host-40000-1700000000000-1:1".into(), 1, value)
}

/// A persistent text message number `sequence` of producer `value`, with a body that depends on both.
pub(super) fn message(destination: &Destination, value: i64, sequence: i64, body_bytes: usize) -> Message {
    let body: Bytes = (0..body_bytes)
        .map(|at| (at as u8).wrapping_mul(7) ^ (sequence as u8).wrapping_mul(13) ^ value as u8)
        .collect();
    Message {
        persistent: true,
        priority: (sequence % 10) as u8,
        timestamp: 1_700_000_000_000_i64.wrapping_add(sequence),
        body_kind: BodyKind::Text,
        body: Some(body),
        ..Message::new(MessageId::new(producer(value), sequence), destination.clone())
    }
}

/// A message in the queue; its place is its producer's sequence as well.
pub(super) fn put(sequence: u64, body_bytes: usize) -> StoreOp {
    put_in(QUEUE, "orders", sequence, body_bytes)
}

pub(super) fn put_in(destination: DestinationId, name: &str, sequence: u64, body_bytes: usize) -> StoreOp {
    StoreOp::PutMessage {
        destination,
        sequence: Sequence(sequence),
        message: Arc::new(message(&Destination::queue(name), 1, sequence as i64, body_bytes)),
        subscriptions: Vec::new(),
        dedup: true,
        exposed: false,
    }
}

/// A message in the topic, for these subscriptions.
pub(super) fn publish(sequence: u64, subscriptions: &[SubscriptionId]) -> StoreOp {
    StoreOp::PutMessage {
        destination: TOPIC,
        sequence: Sequence(sequence),
        message: Arc::new(message(&Destination::topic("prices"), 2, sequence as i64, 100)),
        subscriptions: subscriptions.to_vec(),
        dedup: true,
        exposed: false,
    }
}

pub(super) const fn remove(sequence: u64) -> StoreOp {
    StoreOp::RemoveMessage { destination: QUEUE, sequence: Sequence(sequence) }
}

pub(super) const fn ack(subscription: SubscriptionId, sequence: u64) -> StoreOp {
    StoreOp::AckDurable { subscription, destination: TOPIC, sequence: Sequence(sequence) }
}

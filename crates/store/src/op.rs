//! What changes in a store, and the unit in which it changes.

use std::sync::Arc;

use ferromq_model::{
    Destination, DestinationId, Epoch, Message, ProducerId, Sequence, StreamId, StreamPosition,
    SubscriptionId, SubscriptionName, Text, Ticket,
};

/// One change. A [`WriteBatch`] of them is all or nothing.
///
/// What would store something under an id that is unknown, used up or out of order is refused as
/// [`StoreError::Bug`](crate::StoreError::Bug). What takes something away that is not there (any longer), or marks
/// it, changes nothing.
#[derive(Clone, Debug)]
pub enum StoreOp {
    /// A destination that has an id from now on.
    PutDestination {
        /// Its id, never used before.
        id: DestinationId,
        /// Its kind and name.
        destination: Destination,
    },
    /// A destination and all that is in it are gone, for every subscription that waits for some of it.
    DropDestination {
        /// Its id.
        id: DestinationId,
    },
    /// A durable subscription, new or changed (same id: selector or topic changed, pending messages stay as they
    /// are).
    PutSubscription(SubscriptionRecord),
    /// A durable subscription is gone and holds no message any longer.
    DropSubscription {
        /// Its id.
        id: SubscriptionId,
    },
    /// A message in a queue, or in a topic for the named subscriptions.
    PutMessage {
        /// Where it lies.
        destination: DestinationId,
        /// Its place, from 1; higher than any before in this store.
        sequence: Sequence,
        /// What it is.
        message: Arc<Message>,
        /// The durable subscriptions that it waits for. Empty for a queue; a topic message without any is not
        /// stored at all, though its place and its producer's window are.
        subscriptions: Vec<SubscriptionId>,
        /// Whether it counts in its producer's window: sent by a client, not moved, copied or forwarded.
        dedup: bool,
        /// Whether a consumer may see it as soon as it is durable; raises the destination's exposed mark to
        /// `sequence`.
        exposed: bool,
    },
    /// A message of a queue is gone (acknowledged, expired, moved, purged).
    RemoveMessage {
        /// Where it lay.
        destination: DestinationId,
        /// Its place.
        sequence: Sequence,
    },
    /// A durable subscription needs a message no longer; with the last one the message is gone.
    AckDurable {
        /// Which subscription.
        subscription: SubscriptionId,
        /// The topic.
        destination: DestinationId,
        /// The message's place.
        sequence: Sequence,
    },
    /// Messages of a queue up to this place may have been delivered, so after a crash they are flagged.
    ExposeQueue {
        /// The queue.
        destination: DestinationId,
        /// The highest place that may have been delivered.
        upto: Sequence,
    },
    /// As [`StoreOp::ExposeQueue`] for a durable subscription.
    ExposeSubscription {
        /// The subscription.
        subscription: SubscriptionId,
        /// The highest place that may have been delivered.
        upto: Sequence,
    },
    /// A producer's message was accepted and left no message behind (nobody to keep it for); counts in its window.
    Dedup {
        /// Who sent it.
        producer: ProducerId,
        /// The producer's sequence.
        sequence: i64,
    },
    /// A stream of a link changes.
    Stream(StreamOp),
}

/// What changes of the streams of links. Only a store in whose [`Recovered`](crate::Recovered) there are streams is
/// asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOp {
    /// A stream, new or with more positions reserved; the reserved ones never become fewer.
    Put(StreamRecord),
    /// A stream is gone with all its positions.
    Drop {
        /// Its id.
        id: StreamId,
    },
    /// A message has a position in a stream: at the sender it may be at the other end from now on, at the receiver it
    /// was taken in, in this unit of work.
    Place {
        /// The stream.
        stream: StreamId,
        /// The position; what was there before is replaced.
        position: StreamPosition,
        /// Which message.
        passage: Passage,
    },
    /// Positions that nobody asks about any longer.
    Settle {
        /// The stream.
        stream: StreamId,
        /// The first one.
        from: StreamPosition,
        /// The last one.
        upto: StreamPosition,
    },
}

/// A stream as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its id.
    pub id: StreamId,
    /// From which store by which link to which broker.
    pub name: Text,
    /// The sender gives no position above this one; 0 at the receiver.
    pub reserved: StreamPosition,
}

/// What has a position in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// At the sender: where the message lies. 0 at the receiver.
    pub destination: DestinationId,
    /// At the sender: its place. At the receiver 1 if the message lay in the sender's store, else 0.
    pub sequence: Sequence,
    /// At the sender: the durable subscription that it was taken from; 0 for a queue.
    pub subscription: SubscriptionId,
    /// A hash of the message's id, by which both ends know that they mean the same one.
    pub message: u64,
}

/// A durable subscription as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Its id.
    pub id: SubscriptionId,
    /// Client id and name.
    pub name: SubscriptionName,
    /// The topic or pattern it was made for.
    pub topic: Destination,
    /// Its selector.
    pub selector: Option<Text>,
    /// It wants no message that its own client sent.
    pub no_local: bool,
}

/// Whether the unit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Its ticket completes only after a sync and a fence check.
    Required,
    /// It is written at once and becomes durable with the next sync, which the driver makes within a bound.
    Lazy,
}

/// A unit of work: all of it or nothing of it.
#[derive(Clone, Debug)]
pub struct WriteBatch {
    /// The reign that writes; a store that has seen a higher one refuses.
    pub epoch: Epoch,
    /// Rises by one with each batch of an epoch, from 1.
    pub ticket: Ticket,
    /// What changes, in this order.
    pub ops: Vec<StoreOp>,
    /// Whether somebody waits for it.
    pub sync: Sync,
}

impl WriteBatch {
    /// What every backend asserts of the next batch: its own epoch, and the ticket after `last`.
    ///
    /// # Errors
    /// [`StoreError::Bug`](crate::StoreError::Bug).
    pub fn check_order(&self, epoch: Epoch, last: Ticket) -> Result<(), crate::StoreError> {
        if self.epoch != epoch {
            return Err(crate::StoreError::Bug(format!("a batch of epoch {} in epoch {epoch}", self.epoch)));
        }
        if self.ticket.0 != last.0 + 1 {
            return Err(crate::StoreError::Bug(format!("ticket {} after ticket {}", self.ticket.0, last.0)));
        }
        Ok(())
    }

    /// About how many bytes it keeps in memory, and will write.
    pub fn charge(&self) -> usize {
        let messages = self.ops.iter().map(|op| match op {
            StoreOp::PutMessage { message, subscriptions, .. } => message.charge() + subscriptions.len() * 8,
            _ => 0,
        });
        self.ops.len() * size_of::<StoreOp>() + messages.sum::<usize>()
    }
}

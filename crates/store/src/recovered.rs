//! What a new master finds in its store.

use std::collections::BTreeMap;

use ferromq_model::{
    Destination, DestinationId, Epoch, ProducerId, Sequence, StreamPosition, SubscriptionId,
};

use crate::{Passage, StreamRecord, SubscriptionRecord};

/// The state of a store at the moment it was claimed: counts and positions; messages are paged in on demand.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The reign that the claim began.
    pub epoch: Epoch,
    /// The next free place; 1 in an empty store, and never a place that was used before, even if nothing is left of
    /// it.
    pub next_sequence: Sequence,
    /// The next free id of a destination, from 1.
    pub next_destination: DestinationId,
    /// The next free id of a subscription, from 1.
    pub next_subscription: SubscriptionId,
    /// Every destination, by id.
    pub destinations: Vec<DestinationState>,
    /// Every durable subscription, by id.
    pub subscriptions: Vec<SubscriptionState>,
    /// The windows of stored sequences, least recently used first.
    pub producers: Vec<ProducerWindow>,
    /// The streams of links, by id; `None` if the store is written in a format that has none.
    pub streams: Option<Vec<StreamState>>,
    /// What was damaged and is not served.
    pub quarantined: Vec<Quarantined>,
    /// What a store is called that is not in the folder of its broker: the same for all nodes that share it.
    pub store: Option<String>,
}

/// A destination and what it holds.
#[derive(Clone, Debug)]
pub struct DestinationState {
    /// Its id.
    pub id: DestinationId,
    /// Its kind and name.
    pub destination: Destination,
    /// Messages in it.
    pub messages: u64,
    /// Bytes charged for them ([`ferromq_model::Message::charge`]).
    pub bytes: u64,
    /// Places up to here may have been delivered.
    pub exposed: Sequence,
}

/// A durable subscription and what waits for it.
#[derive(Clone, Debug)]
pub struct SubscriptionState {
    /// The subscription.
    pub record: SubscriptionRecord,
    /// Messages that wait for it.
    pub messages: u64,
    /// Places up to here may have been delivered to it.
    pub exposed: Sequence,
}

/// A stream of a link, and the positions in it that are not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The stream.
    pub record: StreamRecord,
    /// What has a position in it.
    pub positions: BTreeMap<StreamPosition, Passage>,
}

impl StreamState {
    /// A stream without positions.
    pub const fn new(record: StreamRecord) -> Self {
        Self { record, positions: BTreeMap::new() }
    }
}

/// Which sequences of a producer are stored: everything below the window counts as unknown.
#[derive(Clone, Debug)]
pub struct ProducerWindow {
    /// Who.
    pub producer: ProducerId,
    /// The highest stored sequence.
    pub highest: i64,
    /// Bit `i` of the whole (word `i / 64`, bit `i % 64`) tells whether `highest − i` is stored.
    pub bits: Vec<u64>,
}

/// A record that can't be served.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Where it belongs, if that could be read.
    pub destination: Option<Destination>,
    /// Its place, if that could be read.
    pub sequence: Option<Sequence>,
    /// The message id, if that could be read.
    pub message_id: Option<String>,
    /// File and offset, and what is wrong.
    pub reason: String,
}

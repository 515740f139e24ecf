//! [`Contents`]: what the operations mean, in the plainest words.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use ferromq_model::{Destination, DestinationId, Epoch, Message, MessageId, Sequence, SubscriptionId};

use crate::{
    DestinationState, IndexEntry, Loaded, MessageRef, PageRequest, ProducerWindows, Recovered, StoreError,
    StoreOp, Streams, SubscriptionRecord, SubscriptionState, WriteBatch,
};

/// The contents of a store, changed batch by batch.
#[derive(Clone, Debug)]
pub struct Contents {
    destinations: BTreeMap<DestinationId, Place>,
    subscriptions: BTreeMap<SubscriptionId, Waiting>,
    producers: ProducerWindows,
    streams: Streams,
    next_sequence: Sequence,
    next_destination: DestinationId,
    next_subscription: SubscriptionId,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Place {
    destination: Destination,
    messages: BTreeMap<Sequence, Stored>,
    bytes: u64,
    exposed: Sequence,
}

#[derive(Clone, Debug)]
struct Stored {
    message: Arc<Message>,
    waiting: BTreeSet<SubscriptionId>,
}

#[derive(Clone, Debug)]
struct Waiting {
    record: SubscriptionRecord,
    messages: BTreeSet<(DestinationId, Sequence)>,
    exposed: Sequence,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            destinations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            producers: ProducerWindows::new(),
            streams: Streams::default(),
            next_sequence: Sequence(1),
            next_destination: DestinationId(1),
            next_subscription: SubscriptionId(1),
            bytes: 0,
        }
    }
}

impl Contents {
    /// Bytes charged for all messages.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Applies a batch, or nothing of it.
    ///
    /// # Errors
    /// [`StoreError::Bug`] as the operations of [`StoreOp`] say.
    pub fn apply(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        self.check(batch)?;
        for op in &batch.ops {
            self.apply_op(op);
        }
        Ok(())
    }

    /// What must hold before a batch: ids are fresh or known, places rise.
    fn check(&self, batch: &WriteBatch) -> Result<(), StoreError> {
        let mut next_sequence = self.next_sequence;
        let mut next_destination = self.next_destination;
        let mut next_subscription = self.next_subscription;
        let mut made = BTreeMap::new();
        let mut subscribed = BTreeSet::new();
        // What the batch itself drops is unknown to the rest of it.
        let mut dropped = BTreeSet::new();
        let mut unsubscribed = BTreeSet::new();
        self.streams.check(&batch.ops)?;
        for op in &batch.ops {
            match op {
                StoreOp::DropDestination { id } => {
                    dropped.insert(*id);
                }
                StoreOp::DropSubscription { id } => {
                    unsubscribed.insert(*id);
                }
                StoreOp::PutDestination { id, destination } => {
                    if *id < next_destination {
                        return Err(bug(format!("destination id {} of {destination} was used before", id.0)));
                    }
                    next_destination = DestinationId(id.0 + 1);
                    made.insert(*id, destination.kind);
                }
                StoreOp::PutSubscription(record) => {
                    let known =
                        self.subscriptions.contains_key(&record.id) || subscribed.contains(&record.id);
                    let known = known && !unsubscribed.contains(&record.id);
                    if !known && record.id < next_subscription {
                        return Err(bug(format!("subscription id {} was used before", record.id.0)));
                    }
                    next_subscription = next_subscription.max(SubscriptionId(record.id.0 + 1));
                    subscribed.insert(record.id);
                }
                StoreOp::PutMessage { destination, sequence, message, subscriptions, .. } => {
                    let place = self.destinations.get(destination).map(|place| place.destination.kind);
                    let kind = place.or_else(|| made.get(destination).copied());
                    let Some(kind) = kind.filter(|_| !dropped.contains(destination)) else {
                        return Err(bug(format!(
                            "{} goes to unknown destination {}",
                            message.id, destination.0
                        )));
                    };
                    if *sequence < next_sequence {
                        return Err(bug(format!("{} has the used place {}", message.id, sequence.0)));
                    }
                    next_sequence = Sequence(sequence.0 + 1);
                    if kind.is_queue() && !subscriptions.is_empty() {
                        return Err(bug(format!("{} waits for subscriptions of a queue", message.id)));
                    }
                    let unknown = subscriptions.iter().find(|id| {
                        let known = self.subscriptions.contains_key(id) || subscribed.contains(*id);
                        !known || unsubscribed.contains(*id)
                    });
                    if let Some(id) = unknown {
                        return Err(bug(format!("{} waits for unknown subscription {}", message.id, id.0)));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn apply_op(&mut self, op: &StoreOp) {
        match op {
            StoreOp::PutDestination { id, destination } => {
                self.next_destination = self.next_destination.max(DestinationId(id.0 + 1));
                let place = Place {
                    destination: destination.clone(),
                    messages: BTreeMap::new(),
                    bytes: 0,
                    exposed: Sequence(0),
                };
                self.destinations.insert(*id, place);
            }
            StoreOp::DropDestination { id } => self.drop_destination(*id),
            StoreOp::PutSubscription(record) => {
                self.next_subscription = self.next_subscription.max(SubscriptionId(record.id.0 + 1));
                self.subscriptions
                    .entry(record.id)
                    .and_modify(|waiting| waiting.record = record.clone())
                    .or_insert_with(|| Waiting {
                        record: record.clone(),
                        messages: BTreeSet::new(),
                        exposed: Sequence(0),
                    });
            }
            StoreOp::DropSubscription { id } => {
                let Some(waiting) = self.subscriptions.remove(id) else { return };
                for (destination, sequence) in waiting.messages {
                    self.release(*id, destination, sequence);
                }
            }
            StoreOp::PutMessage { destination, sequence, message, subscriptions, dedup, exposed } => {
                self.next_sequence = self.next_sequence.max(Sequence(sequence.0 + 1));
                if *dedup {
                    self.count(&message.id);
                }
                self.put(*destination, *sequence, message, subscriptions, *exposed);
            }
            StoreOp::RemoveMessage { destination, sequence } => self.remove(*destination, *sequence),
            StoreOp::AckDurable { subscription, destination, sequence } => {
                let waited = self
                    .subscriptions
                    .get_mut(subscription)
                    .is_some_and(|waiting| waiting.messages.remove(&(*destination, *sequence)));
                if waited {
                    self.release(*subscription, *destination, *sequence);
                }
            }
            StoreOp::ExposeQueue { destination, upto } => {
                if let Some(place) = self.destinations.get_mut(destination) {
                    place.exposed = place.exposed.max(*upto);
                }
            }
            StoreOp::ExposeSubscription { subscription, upto } => {
                if let Some(waiting) = self.subscriptions.get_mut(subscription) {
                    waiting.exposed = waiting.exposed.max(*upto);
                }
            }
            StoreOp::Dedup { producer, sequence } => self.producers.record(producer, *sequence),
            StoreOp::Stream(op) => self.streams.apply(op),
        }
    }

    fn count(&mut self, id: &MessageId) {
        self.producers.record(&id.producer, id.sequence);
    }

    fn put(
        &mut self,
        destination: DestinationId,
        sequence: Sequence,
        message: &Arc<Message>,
        subscriptions: &[SubscriptionId],
        exposed: bool,
    ) {
        let Some(place) = self.destinations.get_mut(&destination) else { return };
        if exposed {
            place.exposed = place.exposed.max(sequence);
        }
        if subscriptions.is_empty() && !place.destination.kind.is_queue() {
            return;
        }
        let charge = message.charge() as u64;
        place.bytes += charge;
        self.bytes += charge;
        let waiting: BTreeSet<SubscriptionId> = subscriptions.iter().copied().collect();
        for id in &waiting {
            if let Some(subscription) = self.subscriptions.get_mut(id) {
                subscription.messages.insert((destination, sequence));
            }
        }
        place.messages.insert(sequence, Stored { message: Arc::clone(message), waiting });
    }

    fn remove(&mut self, destination: DestinationId, sequence: Sequence) {
        let Some(place) = self.destinations.get_mut(&destination) else { return };
        let Some(stored) = place.messages.remove(&sequence) else { return };
        let charge = stored.message.charge() as u64;
        place.bytes -= charge;
        self.bytes -= charge;
        for id in stored.waiting {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.messages.remove(&(destination, sequence));
            }
        }
    }

    /// A subscription needs a message no longer; the last one takes it away.
    fn release(&mut self, subscription: SubscriptionId, destination: DestinationId, sequence: Sequence) {
        let stored =
            self.destinations.get_mut(&destination).and_then(|place| place.messages.get_mut(&sequence));
        let Some(stored) = stored else { return };
        stored.waiting.remove(&subscription);
        if stored.waiting.is_empty() {
            self.remove(destination, sequence);
        }
    }

    fn drop_destination(&mut self, id: DestinationId) {
        let Some(place) = self.destinations.remove(&id) else { return };
        self.bytes -= place.bytes;
        for (sequence, stored) in place.messages {
            for subscription in stored.waiting {
                if let Some(waiting) = self.subscriptions.get_mut(&subscription) {
                    waiting.messages.remove(&(id, sequence));
                }
            }
        }
    }

    /// What a claim under `epoch` finds.
    pub fn recovered(&self, epoch: Epoch) -> Recovered {
        Recovered {
            epoch,
            next_sequence: self.next_sequence,
            next_destination: self.next_destination,
            next_subscription: self.next_subscription,
            destinations: self
                .destinations
                .iter()
                .map(|(id, place)| DestinationState {
                    id: *id,
                    destination: place.destination.clone(),
                    messages: place.messages.len() as u64,
                    bytes: place.bytes,
                    exposed: place.exposed,
                })
                .collect(),
            subscriptions: self
                .subscriptions
                .values()
                .map(|waiting| SubscriptionState {
                    record: waiting.record.clone(),
                    messages: waiting.messages.len() as u64,
                    exposed: waiting.exposed,
                })
                .collect(),
            producers: self.producers.iter().cloned().collect(),
            streams: Some(self.streams.recovered()),
            quarantined: Vec::new(),
            store: None,
        }
    }

    /// Loads one message.
    pub fn load(&self, wanted: MessageRef) -> Loaded {
        let stored =
            self.destinations.get(&wanted.destination).and_then(|place| place.messages.get(&wanted.sequence));
        stored.map_or(Loaded::Gone, |stored| Loaded::Message(Arc::clone(&stored.message)))
    }

    /// Loads a part of an index.
    pub fn page(&self, wanted: PageRequest) -> Vec<IndexEntry> {
        match wanted {
            PageRequest::Queue { destination, after, limit } => {
                let Some(place) = self.destinations.get(&destination) else { return Vec::new() };
                place
                    .messages
                    .range((Bound::Excluded(after), Bound::Unbounded))
                    .take(limit)
                    .map(|(sequence, stored)| entry(*sequence, &stored.message))
                    .collect()
            }
            PageRequest::Subscription { subscription, destination, after, limit } => {
                let (Some(waiting), Some(place)) =
                    (self.subscriptions.get(&subscription), self.destinations.get(&destination))
                else {
                    return Vec::new();
                };
                waiting
                    .messages
                    .range((
                        Bound::Excluded((destination, after)),
                        Bound::Included((destination, Sequence(u64::MAX))),
                    ))
                    .filter_map(|(_, sequence)| {
                        place.messages.get(sequence).map(|stored| entry(*sequence, &stored.message))
                    })
                    .take(limit)
                    .collect()
            }
        }
    }
}

fn entry(sequence: Sequence, message: &Message) -> IndexEntry {
    IndexEntry {
        sequence,
        expiration: message.expiration,
        charge: u32::try_from(message.charge()).unwrap_or(u32::MAX),
        priority: message.priority,
    }
}

const fn bug(text: String) -> StoreError {
    StoreError::Bug(text)
}

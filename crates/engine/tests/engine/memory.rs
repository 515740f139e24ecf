//! A store that keeps everything in maps, and insists on what stores may rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ferromq_model::*;
use ferromq_store::*;

#[derive(Clone, Default, Debug)]
struct StoredPlace {
    destination: Option<Destination>,
    exposed: Sequence,
    messages: BTreeMap<Sequence, (Arc<Message>, BTreeSet<SubscriptionId>)>,
}

/// A store that keeps everything in maps.
#[derive(Clone, Default, Debug)]
pub struct Memory {
    places: BTreeMap<DestinationId, StoredPlace>,
    subscriptions: BTreeMap<SubscriptionId, (SubscriptionRecord, Sequence)>,
    producers: BTreeMap<ProducerId, BTreeSet<i64>>,
    streams: Streams,
    highest: [u64; 3],
    pub ops: usize,
}

impl Memory {
    pub fn apply(&mut self, op: StoreOp) {
        self.ops += 1;
        match op {
            StoreOp::PutDestination { id, destination } => {
                self.highest[1] = self.highest[1].max(id.0);
                assert!(
                    self.places
                        .insert(id, StoredPlace { destination: Some(destination), ..Default::default() })
                        .is_none()
                );
            }
            StoreOp::DropDestination { id } => {
                assert!(self.places.remove(&id).is_some(), "{id:?} dropped twice")
            }
            StoreOp::PutSubscription(record) => {
                self.highest[2] = self.highest[2].max(record.id.0);
                self.subscriptions.insert(record.id, (record, Sequence(0)));
            }
            StoreOp::DropSubscription { id } => {
                assert!(self.subscriptions.remove(&id).is_some());
                for place in self.places.values_mut() {
                    place.messages.retain(|_, (_, waiting)| !waiting.remove(&id) || !waiting.is_empty());
                }
            }
            StoreOp::PutMessage { destination, sequence, message, subscriptions, dedup, exposed } => {
                assert!(sequence.0 > self.highest[0], "sequences rise");
                self.highest[0] = sequence.0;
                if dedup {
                    self.producers
                        .entry(message.id.producer.clone())
                        .or_default()
                        .insert(message.id.sequence);
                }
                let place = self.places.get_mut(&destination).expect("a destination before its messages");
                if exposed {
                    place.exposed = place.exposed.max(sequence);
                }
                assert_eq!(place.destination.as_ref().unwrap().kind.is_queue(), subscriptions.is_empty());
                place.messages.insert(sequence, (message, subscriptions.into_iter().collect()));
            }
            StoreOp::RemoveMessage { destination, sequence } => {
                let place = self.places.get_mut(&destination).unwrap();
                assert!(place.messages.remove(&sequence).is_some(), "{sequence:?} removed twice");
            }
            StoreOp::AckDurable { subscription, destination, sequence } => {
                let place = self.places.get_mut(&destination).unwrap();
                let (_, waiting) = place.messages.get_mut(&sequence).expect("acknowledged twice");
                assert!(waiting.remove(&subscription), "acknowledged twice");
                if waiting.is_empty() {
                    place.messages.remove(&sequence);
                }
            }
            StoreOp::ExposeQueue { destination, upto } => {
                let place = self.places.get_mut(&destination).unwrap();
                place.exposed = place.exposed.max(upto);
            }
            StoreOp::ExposeSubscription { subscription, upto } => {
                let mark = &mut self.subscriptions.get_mut(&subscription).unwrap().1;
                *mark = (*mark).max(upto);
            }
            StoreOp::Stream(op) => {
                self.streams.check(&[StoreOp::Stream(op.clone())]).unwrap();
                self.streams.apply(&op);
            }
            StoreOp::Dedup { producer, sequence } => {
                self.producers.entry(producer).or_default().insert(sequence);
            }
        }
    }

    pub fn load(&self, refs: &[MessageRef]) -> Vec<Loaded> {
        refs.iter()
            .map(|r| {
                match self.places.get(&r.destination).and_then(|place| place.messages.get(&r.sequence)) {
                    Some((message, _)) => Loaded::Message(Arc::clone(message)),
                    None => Loaded::Gone,
                }
            })
            .collect()
    }

    pub fn page(&self, request: PageRequest) -> Vec<IndexEntry> {
        let (destination, subscription, after, limit) = match request {
            PageRequest::Queue { destination, after, limit } => (destination, None, after, limit),
            PageRequest::Subscription { subscription, destination, after, limit } => {
                (destination, Some(subscription), after, limit)
            }
        };
        let Some(place) = self.places.get(&destination) else { return Vec::new() };
        place
            .messages
            .range(Sequence(after.0 + 1)..)
            .filter(|(_, (_, waiting))| subscription.is_none_or(|s| waiting.contains(&s)))
            .take(limit)
            .map(|(sequence, (message, _))| IndexEntry {
                sequence: *sequence,
                expiration: message.expiration,
                charge: message.charge() as u32,
                priority: message.priority,
            })
            .collect()
    }

    pub fn recovered(&self) -> Recovered {
        Recovered {
            epoch: Epoch { number: 2, claim: ClaimId(2) },
            streams: Some(self.streams.recovered()),
            next_sequence: Sequence(self.highest[0] + 1),
            next_destination: DestinationId(self.highest[1] + 1),
            next_subscription: SubscriptionId(self.highest[2] + 1),
            destinations: self
                .places
                .iter()
                .map(|(id, place)| DestinationState {
                    id: *id,
                    destination: place.destination.clone().unwrap(),
                    messages: place.messages.len() as u64,
                    bytes: place.messages.values().map(|(m, _)| m.charge() as u64).sum(),
                    exposed: place.exposed,
                })
                .collect(),
            subscriptions: self
                .subscriptions
                .iter()
                .map(|(id, (record, exposed))| SubscriptionState {
                    record: record.clone(),
                    messages: self
                        .places
                        .values()
                        .flat_map(|place| place.messages.values())
                        .filter(|(_, waiting)| waiting.contains(id))
                        .count() as u64,
                    exposed: *exposed,
                })
                .collect(),
            producers: self
                .producers
                .iter()
                .map(|(producer, sent)| {
                    let highest = *sent.last().unwrap();
                    let mut bits = vec![0u64; 32];
                    for n in sent.iter().filter(|n| highest - **n < 2048) {
                        bits[((highest - n) / 64) as usize] |= 1 << ((highest - n) % 64);
                    }
                    ProducerWindow { producer: producer.clone(), highest, bits }
                })
                .collect(),
            quarantined: Vec::new(),
            store: None,
        }
    }

    /// Messages in the store, over all destinations.
    pub fn messages(&self) -> usize {
        self.places.values().map(|place| place.messages.len()).sum()
    }
}

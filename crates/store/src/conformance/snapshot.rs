//! [`Snapshot`]: everything a store shows, in a form that can be compared and printed.

use std::collections::BTreeMap;

use ferromq_model::{DestinationId, Message, ProducerId, Sequence, SubscriptionId};

use crate::{
    IndexEntry, Loaded, MessageRef, PageRequest, ProducerWindow, Recovered, StoreReader, StreamState,
    SubscriptionRecord,
};

/// Everything that a store shows, but for the next free ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    destinations: BTreeMap<DestinationId, DestinationFacts>,
    subscriptions: BTreeMap<SubscriptionId, SubscriptionFacts>,
    producers: BTreeMap<ProducerId, (i64, Vec<i64>)>,
    streams: Option<Vec<StreamState>>,
    quarantined: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct DestinationFacts {
    name: String,
    messages: u64,
    bytes: u64,
    exposed: Sequence,
    queue: Vec<(IndexEntry, String)>,
}

#[derive(Clone, Debug, PartialEq)]
struct SubscriptionFacts {
    record: SubscriptionRecord,
    messages: u64,
    exposed: Sequence,
    waiting: BTreeMap<DestinationId, Vec<(IndexEntry, String)>>,
}

/// What a message says, short enough to be printed: long bodies by length and checksum.
pub(super) fn describe(message: &Message) -> String {
    let short = |bytes: &Option<bytes::Bytes>| {
        bytes.as_ref().map(|bytes| {
            if bytes.len() <= 32 {
                return format!("{bytes:?}");
            }
            let sum =
                bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            format!("{} bytes, sum {sum:x}", bytes.len())
        })
    };
    let header = Message { body: None, properties: None, ..message.clone() };
    let text = message.id.text.as_ref();
    format!(
        "id {:?} text {text:?} properties {:?} body {:?} of {header:?}",
        (&message.id.producer, message.id.sequence),
        short(&message.properties),
        short(&message.body)
    )
}

impl Snapshot {
    /// Reads a store from end to end.
    pub fn take(recovered: &Recovered, reader: &mut dyn StoreReader) -> Self {
        let destinations: BTreeMap<_, _> = recovered
            .destinations
            .iter()
            .map(|state| {
                let request = |after| PageRequest::Queue { destination: state.id, after, limit: 100 };
                let is_queue = state.destination.kind.is_queue();
                let queue = if is_queue { read_all(reader, state.id, request) } else { Vec::new() };
                let facts = DestinationFacts {
                    name: state.destination.to_string(),
                    messages: state.messages,
                    bytes: state.bytes,
                    exposed: state.exposed,
                    queue,
                };
                (state.id, facts)
            })
            .collect();
        let subscriptions = recovered
            .subscriptions
            .iter()
            .map(|state| {
                let waiting = recovered
                    .destinations
                    .iter()
                    .map(|destination| {
                        let request = |after| PageRequest::Subscription {
                            subscription: state.record.id,
                            destination: destination.id,
                            after,
                            limit: 100,
                        };
                        (destination.id, read_all(reader, destination.id, request))
                    })
                    .filter(|(_, messages)| !messages.is_empty())
                    .collect();
                let facts = SubscriptionFacts {
                    record: state.record.clone(),
                    messages: state.messages,
                    exposed: state.exposed,
                    waiting,
                };
                (state.record.id, facts)
            })
            .collect();
        let window = |window: &ProducerWindow| {
            (window.producer.clone(), (window.highest, window.stored().collect::<Vec<i64>>()))
        };
        Self {
            destinations,
            subscriptions,
            producers: recovered.producers.iter().map(window).collect(),
            streams: recovered.streams.clone(),
            quarantined: recovered.quarantined.iter().map(|entry| entry.reason.clone()).collect(),
        }
    }

    /// How many messages it has, over all queues and subscriptions.
    pub fn messages(&self) -> usize {
        self.destinations.values().map(|facts| facts.queue.len()).sum::<usize>()
            + self
                .subscriptions
                .values()
                .flat_map(|facts| facts.waiting.values())
                .map(Vec::len)
                .sum::<usize>()
    }
}

/// Pages through an index and loads every message of it.
fn read_all(
    reader: &mut dyn StoreReader,
    destination: DestinationId,
    request: impl Fn(Sequence) -> PageRequest,
) -> Vec<(IndexEntry, String)> {
    let mut all = Vec::new();
    let mut after = Sequence(0);
    loop {
        let page = reader.page(request(after)).unwrap();
        let Some(last) = page.last() else { return all };
        assert!(page.iter().is_sorted_by(|a, b| a.sequence < b.sequence), "a page out of order: {page:?}");
        assert!(page.first().is_some_and(|first| first.sequence > after), "a page goes back: {page:?}");
        after = last.sequence;
        let wanted: Vec<MessageRef> =
            page.iter().map(|entry| MessageRef { destination, sequence: entry.sequence }).collect();
        let loaded = reader.load(&wanted).unwrap();
        assert_eq!(loaded.len(), wanted.len(), "an answer for each reference");
        for (entry, loaded) in page.iter().zip(loaded) {
            let Loaded::Message(message) = loaded else {
                panic!("{entry:?} is in the index, and loading it gives {loaded:?}");
            };
            assert_eq!(entry.charge as usize, message.charge(), "of {}", message.id);
            assert_eq!((entry.expiration, entry.priority), (message.expiration, message.priority));
            all.push((*entry, describe(&message)));
        }
    }
}

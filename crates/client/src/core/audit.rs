//! [`Audit`]: what the application has acknowledged, for the broker may have been lost together with the acknowledgement.
//!
//! Invariant: what the application has acknowledged is not given to it again by the next broker; what it only took is.

use std::collections::VecDeque;
use std::time::Duration;

use ferromq_model::{Instant, Now};
use ferromq_openwire::{AckType, Destination, MessageAck, ProducerId};
use rustc_hash::FxHashSet;

use super::Core;
use super::consumer::Entry;

/// Acknowledgements that a lost connection may have swallowed; older ones have long arrived.
const AUDIT: usize = 8192;

/// How long after a reconnection a message that was acknowledged before it may come again.
const SUSPICION: Duration = Duration::from_secs(60);

/// Of one connection, over all its transports.
#[derive(Default)]
pub(super) struct Audit {
    acknowledged: VecDeque<Mark>,
    /// Those that may come again from the broker that we have now.
    suspects: FxHashSet<Mark>,
    until: Instant,
}

/// A message where it was consumed: from a queue by anybody of this connection, from a topic by one consumer.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Mark {
    consumer: Option<i64>,
    destination: Option<Destination>,
    producer: Option<ProducerId>,
    sequence: i64,
}

impl Mark {
    fn new(consumer: Option<i64>, entry: &Entry) -> Option<Self> {
        let id = entry.message.message_id.as_ref()?;
        Some(Self {
            consumer,
            destination: entry.destination.clone(),
            producer: id.producer_id.clone(),
            sequence: id.producer_sequence_id,
        })
    }
}

impl Audit {
    /// An acknowledgement is on its way, which the broker may never see. `topic` is the consumer, if it is one of a topic.
    pub fn acknowledged(&mut self, topic: Option<i64>, entry: &Entry) {
        if self.acknowledged.len() >= AUDIT {
            self.acknowledged.pop_front();
        }
        self.acknowledged.extend(Mark::new(topic, entry));
    }

    /// There is another transport.
    pub fn suspect(&mut self, now: Instant) {
        self.suspects.extend(self.acknowledged.iter().cloned());
        self.until = now + SUSPICION;
    }

    /// Whether a message that came was acknowledged over an earlier transport; of each that is said once.
    fn recognises(&mut self, topic: Option<i64>, entry: &Entry, now: Instant) -> bool {
        if self.suspects.is_empty() {
            return false;
        }
        if now >= self.until {
            self.suspects.clear();
        }
        Mark::new(topic, entry).is_some_and(|mark| self.suspects.remove(&mark))
    }
}

impl<T> Core<T> {
    /// Looks at a message that came: nothing if the application has it already.
    pub(super) fn screen(&mut self, key: i64, entry: Entry, now: Now) -> Option<Entry> {
        let Some(recovery) = &mut self.recovery else { return Some(entry) };
        let consumer = self.consumers.get_mut(&key)?;
        let topic = consumer.is_topic().then_some(key);
        if !recovery.audit.recognises(topic, &entry, now.mono) {
            return self.hold_expected(key, entry, now);
        }
        // The acknowledgement was lost, not the message.
        let ack = MessageAck {
            destination: entry.destination.clone(),
            consumer_id: Some(consumer.id.clone()),
            ack_type: AckType::Standard as i8,
            first_message_id: entry.id(),
            last_message_id: entry.id(),
            message_count: 1,
            ..MessageAck::default()
        };
        recovery.audit.acknowledged(topic, &entry);
        self.tell(ack);
        None
    }
}

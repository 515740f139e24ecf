//! [`Recent`]: what went by on a topic, kept for consumers that ask for the past (`consumer.retroactive`).

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{Instant, Message, ProducerId, Sequence, Text, Ticket};

use crate::Recovery;
use crate::consumer::{ConsumerKey, Pending};
use crate::engine::Engine;
use crate::outbox::Held;
use crate::place::PlaceKey;

/// Whatever the policy asks for, one topic keeps no more.
const MOST_BYTES: u64 = 64 << 20;

#[derive(Debug)]
struct Kept {
    at: Instant,
    sequence: Sequence,
    ticket: Ticket,
    message: Arc<Message>,
    sender: Text,
}

/// The last messages of a topic, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    kept: VecDeque<Kept>,
    bytes: u64,
}

impl Recent {
    fn keep(&mut self, kept: Kept, rule: Recovery) {
        self.bytes += kept.message.charge() as u64;
        let now = kept.at;
        self.kept.push_back(kept);
        self.trim(now, rule);
    }

    fn trim(&mut self, now: Instant, rule: Recovery) {
        while let Some(oldest) = self.kept.front() {
            let beyond = match rule {
                Recovery::Nothing => true,
                Recovery::Count(count) => self.kept.len() > count,
                Recovery::Bytes(bytes) => self.bytes > bytes,
                Recovery::Time(time) => now.since(oldest.at) > time,
            };
            if !beyond && self.bytes <= MOST_BYTES {
                return;
            }
            self.bytes = self.bytes.saturating_sub(oldest.message.charge() as u64);
            self.kept.pop_front();
        }
    }
}

impl Engine {
    /// Keeps a message that goes by, if the policy of its topic asks for it.
    pub(crate) fn keep_recent(
        &mut self,
        place: PlaceKey,
        sequence: Sequence,
        ticket: Ticket,
        message: &Arc<Message>,
        sender: &ProducerId,
    ) {
        let at = self.now.mono;
        let Some(site) = self.places.get_mut(place) else { return };
        let rule = site.policy.recovery;
        if rule == Recovery::Nothing || site.destination.is_advisory() {
            return;
        }
        let Some(topic) = site.topic_mut() else { return };
        let kept =
            Kept { at, sequence, ticket, message: Arc::clone(message), sender: sender.connection.clone() };
        topic.recent.keep(kept, rule);
    }

    /// Lets a retroactive consumer that has just come have what its topic kept.
    pub(crate) fn give_recent(&mut self, key: ConsumerKey, place: PlaceKey) {
        let (now, durable) = (self.now.mono, self.outbox.durable());
        let Some(site) = self.places.arena.get_mut(place) else { return };
        let (rule, always) = (site.policy.recovery, site.policy.always_retroactive);
        let Some(topic) = site.topic_mut() else { return };
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        if rule == Recovery::Nothing || !(consumer.facts.retroactive || always) {
            return;
        }
        topic.recent.trim(now, rule);
        let (mut count, mut bytes, mut waits) = (0, 0, false);
        for kept in &topic.recent.kept {
            let own = consumer.facts.no_local && kept.sender == consumer.facts.id.connection;
            if own
                || consumer
                    .filter
                    .as_ref()
                    .is_some_and(|filter| !filter.matches(&kept.message, 0, &*self.codec))
            {
                continue;
            }
            count += 1;
            bytes += kept.message.charge() as u64;
            waits |= kept.ticket > durable;
            consumer.pending.push_back(Pending {
                place,
                sequence: kept.sequence,
                ticket: kept.ticket,
                message: Arc::clone(&kept.message),
            });
        }
        site.counters.enqueued += count;
        site.topic_pending += count;
        site.memory_bytes += bytes;
        self.flow.memory_bytes += bytes;
        if waits {
            self.outbox.hold_for_issued(Held::WakeConsumer(key));
        }
    }
}

//! [`Groups`]: which consumer owns which message group (JMSXGroupID).

use ferromq_model::{Message, Text};
use rustc_hash::FxHashMap;

use crate::consumer::ConsumerKey;

/// What a message's group means for one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The message has no group, or the consumer owns it already.
    Free,
    /// The group has no owner; the consumer would get it.
    First,
    /// Somebody else's.
    Taken,
}

#[derive(Debug)]
struct Group {
    owner: ConsumerKey,
    used: u64,
}

/// The groups of one queue; bounded, the least recently used group loses its owner.
#[derive(Debug)]
pub(crate) struct Groups {
    limit: usize,
    clock: u64,
    owners: FxHashMap<Text, Group>,
    owned: FxHashMap<ConsumerKey, usize>,
}

impl Groups {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), clock: 0, owners: FxHashMap::default(), owned: FxHashMap::default() }
    }

    /// How many groups a consumer owns.
    pub(crate) fn owned(&self, consumer: ConsumerKey) -> usize {
        self.owned.get(&consumer).copied().unwrap_or(0)
    }

    pub(crate) fn claim(&self, message: &Message, consumer: ConsumerKey) -> Claim {
        let Some(group) = &message.group_id else { return Claim::Free };
        // A first message begins the group anew, whoever had it.
        match self.owners.get(group) {
            _ if message.group_sequence == 1 => Claim::First,
            None => Claim::First,
            Some(found) if found.owner == consumer => Claim::Free,
            Some(_) => Claim::Taken,
        }
    }

    /// Notes that `consumer` gets `message`; says whether it is its first of that group, and whether a group lost
    /// its owner, so that others may look again.
    pub(crate) fn assign(&mut self, message: &Message, consumer: ConsumerKey) -> (bool, bool) {
        let Some(group) = &message.group_id else { return (false, false) };
        let first = self.claim(message, consumer) == Claim::First;
        self.clock += 1;
        let mut freed = false;
        if first {
            let group = group.detached();
            let old = self.owners.insert(group, Group { owner: consumer, used: self.clock });
            *self.owned.entry(consumer).or_default() += 1;
            if let Some(old) = old {
                self.release(old.owner);
            }
            if self.owners.len() > self.limit {
                freed = self.evict();
            }
        } else if let Some(found) = self.owners.get_mut(group) {
            found.used = self.clock;
        }
        if message.group_sequence < 0 && !first {
            if let Some(closed) = self.owners.remove(group) {
                self.release(closed.owner);
            }
            freed = true;
        }
        (first, freed)
    }

    fn evict(&mut self) -> bool {
        let oldest = self.owners.iter().min_by_key(|(_, group)| group.used).map(|(id, _)| id.clone());
        let Some(group) = oldest.and_then(|id| self.owners.remove(&id)) else { return false };
        self.release(group.owner);
        true
    }

    fn release(&mut self, consumer: ConsumerKey) {
        if let Some(count) = self.owned.get_mut(&consumer) {
            *count = count.saturating_sub(1);
        }
    }

    /// A consumer is gone; whether it had owned anything.
    pub(crate) fn disown(&mut self, consumer: ConsumerKey) -> bool {
        if self.owned.remove(&consumer).is_none() {
            return false;
        }
        let before = self.owners.len();
        self.owners.retain(|_, group| group.owner != consumer);
        self.owners.len() != before
    }
}

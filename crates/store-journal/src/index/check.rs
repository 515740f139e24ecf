//! What must hold before a batch: ids are fresh or known, places rise.

use std::collections::{BTreeMap, BTreeSet};

use ferromq_model::{DestinationId, Sequence, SubscriptionId};
use ferromq_store::{StoreError, StoreOp};

use super::Index;

impl Index {
    /// Refuses a batch that would store something under an id that is unknown, used up or out of order.
    pub(crate) fn check(&self, ops: &[StoreOp]) -> Result<(), StoreError> {
        let mut next_sequence = self.next_sequence;
        let mut next_destination = self.next_destination;
        let mut next_subscription = self.next_subscription;
        let mut made = BTreeMap::new();
        let mut subscribed = BTreeSet::new();
        // What the batch itself drops is unknown to the rest of it.
        let mut dropped = BTreeSet::new();
        let mut unsubscribed = BTreeSet::new();
        self.streams.check(ops)?;
        for op in ops {
            match op {
                StoreOp::DropDestination { id } => {
                    dropped.insert(*id);
                }
                StoreOp::DropSubscription { id } => {
                    unsubscribed.insert(*id);
                }
                StoreOp::PutDestination { id, destination } => {
                    if *id < next_destination {
                        return bug(format!("destination id {} of {destination} was used before", id.0));
                    }
                    next_destination = DestinationId(id.0 + 1);
                    made.insert(*id, destination.kind);
                }
                StoreOp::PutSubscription(record) => {
                    let id = record.id;
                    let known = self.subscriptions.contains_key(&id) || subscribed.contains(&id);
                    let known = known && !unsubscribed.contains(&id);
                    if !known && id < next_subscription {
                        return bug(format!("subscription id {} was used before", id.0));
                    }
                    next_subscription = next_subscription.max(SubscriptionId(id.0 + 1));
                    subscribed.insert(id);
                }
                StoreOp::PutMessage { destination, sequence, message, subscriptions, .. } => {
                    let found = self.destinations.get(destination).map(|found| found.destination.kind);
                    let kind = found.or_else(|| made.get(destination).copied());
                    let Some(kind) = kind.filter(|_| !dropped.contains(destination)) else {
                        return bug(format!("{} goes to unknown destination {}", message.id, destination.0));
                    };
                    if *sequence < next_sequence {
                        return bug(format!("{} has the used place {}", message.id, sequence.0));
                    }
                    next_sequence = Sequence(sequence.0 + 1);
                    if kind.is_queue() && !subscriptions.is_empty() {
                        return bug(format!("{} waits for subscriptions of a queue", message.id));
                    }
                    let is_known = |id: &SubscriptionId| {
                        (self.subscriptions.contains_key(id) || subscribed.contains(id))
                            && !unsubscribed.contains(id)
                    };
                    if let Some(id) = subscriptions.iter().find(|id| !is_known(id)) {
                        return bug(format!("{} waits for unknown subscription {}", message.id, id.0));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn bug(reason: String) -> Result<(), StoreError> {
    Err(StoreError::Bug(reason))
}

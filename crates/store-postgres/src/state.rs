//! [`State`]: what the writer keeps in mind: which ids exist, which come next, and the producers' windows.

use std::collections::{BTreeMap, BTreeSet};

use ferromq_model::{DestinationId, Sequence, StreamId, SubscriptionId};
use ferromq_store::{ProducerWindows, StoreError, StoreOp, StreamOp};

#[derive(Debug)]
pub(crate) struct State {
    /// Whether it is a queue.
    pub(crate) destinations: BTreeMap<DestinationId, bool>,
    pub(crate) subscriptions: BTreeSet<SubscriptionId>,
    pub(crate) producers: ProducerWindows,
    /// `None` in tables of a version that has none.
    pub(crate) streams: Option<BTreeSet<StreamId>>,
    pub(crate) next_sequence: Sequence,
    pub(crate) next_destination: DestinationId,
    pub(crate) next_subscription: SubscriptionId,
    /// Counts on, so that the order of use survives.
    pub(crate) producer_uses: i64,
}

impl State {
    /// Checks an operation and takes note of it; `false` if it changes nothing.
    pub(crate) fn admit(&mut self, op: &StoreOp) -> Result<bool, StoreError> {
        let known = |state: &Self, id: &DestinationId, sequence: &Sequence| {
            state.destinations.contains_key(id) && *sequence < state.next_sequence
        };
        Ok(match op {
            StoreOp::PutDestination { id, destination } => {
                if *id < self.next_destination {
                    return wrong(format!("destination id {} of {destination} was used before", id.0));
                }
                self.next_destination = DestinationId(id.0 + 1);
                self.destinations.insert(*id, destination.kind.is_queue());
                true
            }
            StoreOp::PutSubscription(record) => {
                if record.id < self.next_subscription && !self.subscriptions.contains(&record.id) {
                    return wrong(format!("subscription id {} was used before", record.id.0));
                }
                self.next_subscription = self.next_subscription.max(SubscriptionId(record.id.0 + 1));
                self.subscriptions.insert(record.id);
                true
            }
            StoreOp::PutMessage { .. } => {
                self.check_message(op)?;
                true
            }
            StoreOp::Dedup { producer, sequence } => {
                self.producers.record(producer, *sequence);
                true
            }
            StoreOp::DropDestination { id } => self.destinations.remove(id).is_some(),
            StoreOp::DropSubscription { id } => self.subscriptions.remove(id),
            // A place that is not used yet may be used later in the same transaction.
            StoreOp::RemoveMessage { destination, sequence } => known(self, destination, sequence),
            StoreOp::AckDurable { subscription, destination, sequence } => {
                self.subscriptions.contains(subscription)
                    && self.destinations.get(destination) == Some(&false)
                    && known(self, destination, sequence)
            }
            StoreOp::ExposeQueue { destination, .. } => self.destinations.contains_key(destination),
            StoreOp::ExposeSubscription { subscription, .. } => self.subscriptions.contains(subscription),
            StoreOp::Stream(op) => return self.admit_stream(op),
        })
    }

    fn admit_stream(&mut self, op: &StreamOp) -> Result<bool, StoreError> {
        let Some(streams) = &mut self.streams else {
            return wrong("a stream in tables of a version that has none".to_owned());
        };
        Ok(match op {
            StreamOp::Put(record) => {
                streams.insert(record.id);
                true
            }
            StreamOp::Drop { id } => streams.remove(id),
            StreamOp::Place { stream, position, .. } if !streams.contains(stream) => {
                return wrong(format!("position {} of unknown stream {}", position.0, stream.0));
            }
            StreamOp::Place { .. } => true,
            StreamOp::Settle { stream, .. } => streams.contains(stream),
        })
    }

    fn check_message(&mut self, op: &StoreOp) -> Result<(), StoreError> {
        let StoreOp::PutMessage { destination, sequence, message, subscriptions, dedup, .. } = op else {
            return Ok(());
        };
        let Some(is_queue) = self.destinations.get(destination) else {
            return wrong(format!("{} goes to unknown destination {}", message.id, destination.0));
        };
        if *sequence < self.next_sequence {
            return wrong(format!("{} has the used place {}", message.id, sequence.0));
        }
        if *is_queue && !subscriptions.is_empty() {
            return wrong(format!("{} waits for subscriptions of a queue", message.id));
        }
        if let Some(id) = subscriptions.iter().find(|id| !self.subscriptions.contains(id)) {
            return wrong(format!("{} waits for unknown subscription {}", message.id, id.0));
        }
        self.next_sequence = Sequence(sequence.0 + 1);
        if *dedup {
            self.producers.record(&message.id.producer, message.id.sequence);
        }
        Ok(())
    }
}

fn wrong<T>(text: String) -> Result<T, StoreError> {
    Err(StoreError::Bug(text))
}

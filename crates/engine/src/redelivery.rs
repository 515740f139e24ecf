//! Redelivery: what a consumer held goes back to its place when the consumer goes.

use crate::consumer::{Consumer, Dispatched, Origin, Stage};
use crate::engine::Engine;
use crate::window::{Place, State, sequence_of};
use crate::{ConnId, LocalId};

/// No message was handed to the application.
const NOTHING_DELIVERED: i64 = -1;
/// It is not known which messages were handed to the application.
pub(crate) const UNKNOWN: i64 = -2;

impl Engine {
    /// Gives back everything that a leaving consumer holds, except what an open transaction has acknowledged: that
    /// is returned, to be kept by the transaction.
    ///
    /// Messages up to `last_delivered` were seen by the application, so their counter rises, and those of them that the
    /// client had set aside are not given to anybody else.
    pub(crate) fn give_back_all(
        &mut self,
        consumer: &mut Consumer,
        last_delivered: i64,
    ) -> Vec<(i64, Dispatched)> {
        let held = std::mem::take(&mut consumer.dispatched);
        let aside = consumer.aside.take();
        consumer.outstanding = 0;
        let end = held
            .iter()
            .position(|dispatched| i64::try_from(sequence_of(dispatched.at).0) == Ok(last_delivered));
        let mut kept = Vec::new();
        for (index, dispatched) in held.into_iter().enumerate() {
            if let Stage::InTransaction(transaction) = dispatched.stage {
                kept.push((transaction, dispatched));
                continue;
            }
            let seen = match (last_delivered, end) {
                (UNKNOWN, _) => true,
                (NOTHING_DELIVERED, _) => false,
                (_, Some(end)) => index <= end,
                // The last one was acknowledged meanwhile; what came before it has been seen as well.
                (last, None) => {
                    i64::try_from(sequence_of(dispatched.at).0).is_ok_and(|sequence| sequence <= last)
                }
            };
            match &aside {
                Some(aside) if dispatched.stage == Stage::Aside && seen && last_delivered != UNKNOWN => {
                    self.condemn(dispatched.origin, dispatched.at, aside.cause());
                }
                _ => self.give_back(&dispatched, seen),
            }
        }
        kept
    }

    /// What the last message that any of several consumers saw tells of one of them, as ActiveMQ takes it: how far it
    /// came if it holds that message, and nothing if it does not.
    pub(crate) fn last_of_one(&self, conn: ConnId, consumer: LocalId, last_of_all: i64) -> i64 {
        let key = self.connections.get(&conn).and_then(|connection| connection.consumers.get(&consumer));
        let held = key.and_then(|key| self.consumers.get(*key)).is_some_and(|consumer| {
            let mut held = consumer.dispatched.iter();
            held.any(|dispatched| i64::try_from(sequence_of(dispatched.at).0) == Ok(last_of_all))
        });
        if held { last_of_all } else { last_of_all.min(NOTHING_DELIVERED) }
    }

    /// Puts one message back in its place.
    pub(crate) fn give_back(&mut self, dispatched: &Dispatched, seen: bool) {
        let origin = dispatched.origin;
        if self.is_in_doubt(origin, dispatched.at) {
            return;
        }
        let Some(window) = self.window_mut(origin) else { return };
        let index = window.index_from(dispatched.at);
        let Some(entry) = window.at_mut(index) else { return };
        if entry.place != dispatched.at || entry.state != State::InFlight {
            return;
        }
        entry.counter = entry.counter.saturating_add(u32::from(seen));
        window.set_state(index, State::Ready);
        self.ready_again(origin, dispatched.at);
    }

    /// A message is there again for whoever consumes.
    pub(crate) fn ready_again(&mut self, origin: Origin, at: Place) {
        match origin.durable {
            Some(durable) => {
                if let Some(consumer) = self.durables.get(durable).and_then(|durable| durable.consumer) {
                    self.wake_consumer(consumer);
                }
            }
            None => {
                if let Some(queue) = self.places.get_mut(origin.place).and_then(|site| site.queue_mut()) {
                    queue.look_again(at);
                }
                self.wake_place(origin.place);
            }
        }
    }
}

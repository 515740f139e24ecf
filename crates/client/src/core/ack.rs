//! Acknowledgement of every mode, the window of prefetched messages, and messages that come back.

use ferromq_model::Now;
use ferromq_openwire::{AckType, MessageAck, TransactionId};

use super::consumer::{Consumer, LAZY_ACK};
use super::{AckMode, ConsumerKey, Core, Event, SessionKey, some_time};
use crate::error::Error;

impl<T> Core<T> {
    /// The application took so many more messages of a consumer.
    pub fn consumed(&mut self, consumer: ConsumerKey, count: usize, now: Now) {
        let Some(state) = self.consumers.get_mut(&consumer.0) else { return };
        let count = count.min(state.entries.len() - state.handed);
        if count == 0 {
            return;
        }
        state.handed += count;
        if let Some(entry) = state.entries.get(state.handed - 1) {
            state.last_delivered = entry.message.message_id.as_ref().map_or(-2, |id| id.broker_sequence_id);
        }
        match state.mode {
            AckMode::Auto => self.acknowledge_handed(consumer.0, None, false),
            AckMode::DupsOk => {
                if state.handed >= state.half_window() {
                    self.acknowledge_handed(consumer.0, None, false);
                } else {
                    state.ack_due.get_or_insert(now.mono + LAZY_ACK);
                }
            }
            AckMode::Client | AckMode::Individual => self.extend_window(consumer.0, None),
            AckMode::Transacted => {
                let transaction = self.transaction(state_session(&self.consumers, consumer.0));
                self.extend_window(consumer.0, transaction);
            }
        }
    }

    /// Acknowledges a message that the application took; in mode [`AckMode::Client`] all before it as well.
    pub fn acknowledge(&mut self, consumer: ConsumerKey, sequence: u64) {
        let Some(state) = self.consumers.get_mut(&consumer.0) else { return };
        let handed = state.entries.iter().take(state.handed);
        let found = handed.enumerate().find(|(_, entry)| entry.sequence == sequence).map(|(at, _)| at);
        // What was acknowledged before, or came back, needs nothing.
        let Some(at) = found else { return };
        match state.mode {
            AckMode::Client => self.acknowledge_first(consumer.0, at + 1, None, false),
            AckMode::Individual => {
                let ack = state
                    .ack(AckType::Individual, at, at)
                    .map(|ack| MessageAck { first_message_id: None, ..ack });
                let topic = state.is_topic().then_some(consumer.0);
                if let (Some(entry), Some(recovery)) = (state.entries.remove(at), &mut self.recovery) {
                    recovery.audit.acknowledged(topic, &entry);
                }
                state.handed -= 1;
                if at < state.extended {
                    state.extended -= 1;
                }
                if let Some(ack) = ack {
                    self.tell(ack);
                }
            }
            _ => {}
        }
    }

    /// Takes back what the application has not acknowledged, and gives it again (JMS 1.1 §4.4.11 `recover`).
    pub fn recover(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        let Some(token) = self.ready(token) else { return };
        let transacted = self.sessions.get(&session.0).is_some_and(|state| state.mode == AckMode::Transacted);
        if transacted {
            return self.refuse(token, Error::Usage("a transacted session is rolled back, not recovered"));
        }
        for key in self.consumers_of(session.0) {
            self.give_back(key, now);
        }
        self.answer(token, Ok(()));
    }

    /// One acknowledgement for everything that the application took.
    pub(super) fn acknowledge_handed(&mut self, key: i64, transaction: Option<&TransactionId>, keep: bool) {
        let Some(state) = self.consumers.get(&key) else { return };
        match (transaction, keep) {
            // A rollback tells the broker what was taken, and then gives it back.
            (Some(_), false) => {
                let ack = state.handed.checked_sub(1).and_then(|last| state.ack(AckType::Standard, 0, last));
                if let Some(ack) = ack {
                    self.tell(MessageAck { transaction_id: transaction.cloned(), ..ack });
                }
            }
            _ => self.acknowledge_first(key, state.handed, transaction, keep),
        }
    }

    fn acknowledge_first(&mut self, key: i64, count: usize, transaction: Option<&TransactionId>, keep: bool) {
        let Some(state) = self.consumers.get_mut(&key) else { return };
        let Some(last) = count.checked_sub(1) else { return };
        // Others may lie between those that were brought again.
        let (each, all) = match std::mem::take(&mut state.scattered) {
            true => ((0..count).filter_map(|at| state.ack(AckType::Individual, at, at)).collect(), None),
            false => (Vec::new(), state.ack(AckType::Standard, 0, last)),
        };
        let topic = state.is_topic().then_some(key);
        let taken = state.entries.drain(..count);
        match (&mut self.recovery, keep) {
            (_, true) => state.committing.extend(taken),
            (Some(recovery), false) => taken.for_each(|entry| recovery.audit.acknowledged(topic, &entry)),
            (None, false) => drop(taken),
        }
        state.handed -= count;
        state.extended = state.extended.saturating_sub(count);
        state.ack_due = None;
        for ack in each.into_iter().chain(all) {
            self.tell(MessageAck { transaction_id: transaction.cloned(), ..ack });
        }
    }

    /// Tells the broker that messages were delivered, so that it sends more while they wait to be acknowledged.
    fn extend_window(&mut self, key: i64, transaction: Option<TransactionId>) {
        let Some(state) = self.consumers.get_mut(&key) else { return };
        if state.window == 0 || state.handed - state.extended < state.half_window() {
            return;
        }
        let ack = state.ack(AckType::Delivered, state.extended, state.handed - 1);
        state.extended = state.handed;
        if let Some(ack) = ack {
            self.tell(MessageAck { transaction_id: transaction, ..ack });
        }
    }

    /// Gives messages that the application took to it again, except those that came back too often.
    pub(super) fn give_back(&mut self, key: i64, now: Now) {
        let policy = self.options.redelivery;
        let Some(state) = self.consumers.get_mut(&key) else { return };
        if state.handed == 0 {
            return;
        }
        let handed = state.handed;
        for entry in state.entries.iter_mut().take(handed) {
            entry.counter += 1;
        }
        let mut acks = Vec::new();
        let hopeless = |counter: i32| policy.maximum >= 0 && counter > policy.maximum;
        // From the end, so that the places of those before stay what they are.
        for at in (0..handed).rev() {
            if state.entries.get(at).is_some_and(|entry| hopeless(entry.counter)) {
                acks.extend(state.ack(AckType::Poison, at, at));
                state.entries.remove(at);
                state.handed -= 1;
            }
        }
        acks.reverse();
        // The first time the broker hears nothing, as with Java.
        let again = state.entries.iter().take(state.handed).any(|entry| entry.counter > 1);
        if let Some(last) = state.handed.checked_sub(1).filter(|_| again) {
            acks.extend(state.ack(AckType::Redelivered, 0, last));
        }
        let deliveries: Vec<_> =
            state.entries.iter().take(state.handed).map(super::consumer::Entry::delivery).collect();
        state.handed = 0;
        state.extended = 0;
        if !deliveries.is_empty() && !state.closing {
            let pause = some_time(policy.delay).map(|delay| now.mono + delay);
            state.paused_until = pause;
            let consumer = ConsumerKey(key);
            self.events.push_back(Event::Returned { consumer, deliveries });
            if pause.is_none() {
                self.events.push_back(Event::Resumed { consumer });
            }
        }
        for ack in acks {
            self.tell(ack);
        }
    }

    pub(super) fn tick_consumers(&mut self, now: Now) {
        let due = |consumer: &Consumer| consumer.deadline().is_some_and(|at| now.mono >= at);
        let keys: Vec<_> = self.consumers.iter().filter(|(_, c)| due(c)).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(state) = self.consumers.get_mut(&key) else { continue };
            if state.paused_until.is_some_and(|at| now.mono >= at) {
                state.paused_until = None;
                self.events.push_back(Event::Resumed { consumer: ConsumerKey(key) });
            }
            if state.ack_due.is_some_and(|at| now.mono >= at) {
                state.ack_due = None;
                self.acknowledge_handed(key, None, false);
            }
        }
    }
}

fn state_session(consumers: &std::collections::BTreeMap<i64, Consumer>, key: i64) -> i64 {
    consumers.get(&key).map_or(0, |consumer| consumer.session)
}

//! Sessions and producers as the planner keeps them, and local transactions (OpenWire `TransactionInfo`).

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::Now;
use ferromq_openwire::{
    Destination, LocalTransactionId, Message, ProducerId, ProducerInfo, SessionId, TransactionId,
    TransactionInfo, TransactionType,
};

use super::pending::{Redo, What};
use super::{AckMode, Core, SessionKey};
use crate::error::{Error, Result};

pub(super) struct Session {
    pub id: SessionId,
    pub mode: AckMode,
    /// Begun with the first message that is sent or taken.
    pub transaction: Option<TransactionId>,
    /// A message of the transaction could not be sent: it must not commit.
    pub broken: Option<Error>,
    /// What was sent in the transaction, to be sent again to another broker; nothing if it is too much to be kept.
    pub sends: Option<Vec<Arc<Message>>>,
    pub send_bytes: usize,
}

impl Session {
    pub fn new(id: SessionId, mode: AckMode) -> Self {
        Self { id, mode, transaction: None, broken: None, sends: Some(Vec::new()), send_bytes: 0 }
    }
}

pub(super) struct Producer {
    pub id: ProducerId,
    pub session: i64,
    pub destination: Option<Destination>,
    pub sequence: i64,
    pub window: u32,
    /// What each one-way message took of the window, oldest first.
    pub charged: VecDeque<u32>,
}

impl Producer {
    pub fn info(&self) -> ProducerInfo {
        ProducerInfo {
            producer_id: Some(self.id.clone()),
            destination: self.destination.clone(),
            window_size: i32::try_from(self.window).unwrap_or(i32::MAX),
            ..ProducerInfo::default()
        }
    }
}

impl<T> Core<T> {
    /// The transaction of a session, begun if need be; nothing if the session has none.
    pub(super) fn transaction(&mut self, session: i64) -> Option<TransactionId> {
        let state = self.sessions.get(&session)?;
        if state.mode != AckMode::Transacted || state.transaction.is_some() {
            return state.transaction.clone();
        }
        self.last_transaction += 1;
        let id = LocalTransactionId { value: self.last_transaction, connection_id: Some(self.id()) };
        let id = TransactionId::from(id);
        self.tell(self.transaction_info(&id, TransactionType::Begin));
        let state = self.sessions.get_mut(&session)?;
        state.transaction = Some(id.clone());
        Some(id)
    }

    pub(super) fn transaction_info(&self, id: &TransactionId, kind: TransactionType) -> TransactionInfo {
        TransactionInfo {
            connection_id: Some(self.id()),
            transaction_id: Some(id.clone()),
            kind: kind as i8,
            ..TransactionInfo::default()
        }
    }

    /// Commits what was sent and taken in a session since its last commit.
    pub fn commit(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        let Some(token) = self.ready(token) else { return };
        let Some(state) = self.sessions.get_mut(&session.0) else {
            return self.refuse(token, Error::Usage("the session is closed"));
        };
        if let Some(error) = state.broken.take() {
            // Half a transaction must not become visible.
            self.undo(session, None, now);
            return self.refuse(token, error);
        }
        if let Some(error) = self.not_brought_again(session.0) {
            self.undo(session, None, now);
            return self.refuse(token, error);
        }
        let Some(state) = self.sessions.get_mut(&session.0) else { return };
        let Some(id) = state.transaction.take() else { return self.answer(token, Ok(())) };
        let sends = state.sends.replace(Vec::new());
        state.send_bytes = 0;
        for key in self.consumers_of(session.0) {
            self.acknowledge_handed(key, Some(&id), true);
        }
        let info = self.transaction_info(&id, TransactionType::CommitOnePhase);
        let acks = self
            .consumers_of(session.0)
            .iter()
            .any(|key| self.consumers.get(key).is_some_and(|consumer| !consumer.committing.is_empty()));
        let redo = self.recovery.is_some().then(|| Redo { id, sends, acks, repeated: false });
        self.request(info, What::Commit { session: session.0, redo }, token);
        self.finish_closing(session.0);
    }

    /// Undoes what was sent and taken in a session since its last commit; what was taken comes again.
    pub fn rollback(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        let Some(token) = self.ready(token) else { return };
        match self.sessions.get_mut(&session.0) {
            Some(state) => {
                state.broken = None;
                state.sends = Some(Vec::new());
                state.send_bytes = 0;
            }
            None => return self.refuse(token, Error::Usage("the session is closed")),
        }
        self.undo(session, token, now);
    }

    fn undo(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        let transaction = self.sessions.get_mut(&session.0).and_then(|state| {
            state.sends = Some(Vec::new());
            state.send_bytes = 0;
            state.transaction.take()
        });
        let consumers = self.consumers_of(session.0);
        match transaction {
            None => self.answer(token, Ok(())),
            Some(id) => {
                for key in &consumers {
                    self.acknowledge_handed(*key, Some(&id), false);
                }
                let info = self.transaction_info(&id, TransactionType::Rollback);
                self.request(info, What::Rollback, token);
            }
        }
        for key in consumers {
            if let Some(consumer) = self.consumers.get_mut(&key) {
                consumer.expected.clear();
                consumer.scattered = false;
            }
            self.give_back(key, now);
        }
        self.finish_closing(session.0);
    }

    /// The broker answered a commit.
    pub(super) fn committed(&mut self, session: i64, result: &Result<()>, now: Now) {
        for key in self.consumers_of(session) {
            let Some(consumer) = self.consumers.get_mut(&key) else { continue };
            let entries = std::mem::take(&mut consumer.committing);
            if result.is_err() {
                // The broker rolled back: what was taken comes again, before what was taken since.
                let count = entries.len();
                consumer.entries = entries.into_iter().chain(consumer.entries.drain(..)).collect();
                consumer.handed += count;
                consumer.extended += count;
                self.give_back(key, now);
            }
        }
    }

    pub(super) fn consumers_of(&self, session: i64) -> Vec<i64> {
        self.consumers.iter().filter(|(_, c)| c.session == session).map(|(key, _)| *key).collect()
    }

    /// Consumers that were closed within the transaction leave with it.
    fn finish_closing(&mut self, session: i64) {
        for key in self.consumers_of(session) {
            if self.consumers.get(&key).is_some_and(|consumer| consumer.closing) {
                self.remove_consumer(key);
            }
        }
    }
}

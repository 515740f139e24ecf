//! Sessions and producers as the planner keeps them, and local transactions (OpenWire `TransactionInfo`).

use std::collections::VecDeque;

use ferromq_model::Now;
use ferromq_openwire::{
    Destination, LocalTransactionId, ProducerId, SessionId, TransactionId, TransactionInfo, TransactionType,
};

use super::pending::What;
use super::{AckMode, Core, SessionKey};
use crate::error::{Error, Result};

pub(super) struct Session {
    pub id: SessionId,
    pub mode: AckMode,
    /// Begun with the first message that is sent or taken.
    pub transaction: Option<TransactionId>,
    /// A message of the transaction could not be sent: it must not commit.
    pub broken: Option<Error>,
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

    fn transaction_info(&self, id: &TransactionId, kind: TransactionType) -> TransactionInfo {
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
        let Some(id) = state.transaction.take() else { return self.answer(token, Ok(())) };
        for key in self.consumers_of(session.0) {
            self.acknowledge_handed(key, Some(&id), true);
        }
        let info = self.transaction_info(&id, TransactionType::CommitOnePhase);
        self.request(info, What::Commit { session: session.0 }, token);
        self.finish_closing(session.0);
    }

    /// Undoes what was sent and taken in a session since its last commit; what was taken comes again.
    pub fn rollback(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        let Some(token) = self.ready(token) else { return };
        match self.sessions.get_mut(&session.0) {
            Some(state) => state.broken = None,
            None => return self.refuse(token, Error::Usage("the session is closed")),
        }
        self.undo(session, token, now);
    }

    fn undo(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        let transaction = self.sessions.get_mut(&session.0).and_then(|state| state.transaction.take());
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

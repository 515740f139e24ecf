//! Sessions and producers as the planner keeps them, and local transactions (OpenWire `TransactionInfo`).

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{Instant, Now};
use ferromq_openwire::{
    Destination, LocalTransactionId, Message, ProducerId, ProducerInfo, SessionId, TransactionId,
    TransactionInfo, TransactionType,
};

use super::pending::{Redo, What};
use super::{AckMode, Core, Phase, SessionKey};
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
    /// Producers that were closed since the transaction began.
    pub closed_producers: Vec<ProducerInfo>,
}

/// Producers that are kept for one transaction; a message of another is sent again without its producer.
const CLOSED_PRODUCERS: usize = 1_024;

impl Session {
    pub fn new(id: SessionId, mode: AckMode) -> Self {
        Self {
            id,
            mode,
            transaction: None,
            broken: None,
            sends: Some(Vec::new()),
            send_bytes: 0,
            closed_producers: Vec::new(),
        }
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

    /// Commits what was sent and taken in a session since its last commit. If the broker was lost meanwhile, and what was
    /// taken has not all come again, it waits for that as long as the options say.
    pub fn commit(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        let wait = self.options.redelivery_wait;
        let waits = self.phase == Phase::Open && !wait.is_zero() && !self.late.contains_key(&session.0);
        let sound = self.sessions.get(&session.0).is_some_and(|state| state.broken.is_none());
        if waits && sound && self.not_brought_again(session.0).is_some() {
            self.late.insert(session.0, (now.mono + wait, token));
        } else {
            self.commit_now(session, token, now);
        }
    }

    /// A commit need not wait any longer if everything has come again.
    pub(super) fn brought(&mut self, session: i64, now: Now) {
        if self.late.contains_key(&session) && self.not_brought_again(session).is_none() {
            self.end_wait(session, now);
        }
    }

    /// Commits that have waited for long enough; they fail.
    pub(super) fn end_waits(&mut self, now: Now) {
        if self.phase != Phase::Open {
            return;
        }
        let over = |until: Instant| now.mono >= until;
        let over: Vec<i64> =
            self.late.iter().filter(|(_, (until, _))| over(*until)).map(|(session, _)| *session).collect();
        for session in over {
            self.end_wait(session, now);
        }
    }

    fn end_wait(&mut self, session: i64, now: Now) {
        if let Some((_, token)) = self.late.remove(&session) {
            self.commit_now(SessionKey(session), token, now);
        }
    }

    fn commit_now(&mut self, session: SessionKey, token: Option<T>, now: Now) {
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
        state.closed_producers.clear();
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

    /// A producer that is closed within a transaction may have sent something in it.
    pub(super) fn keep_closed(&mut self, producer: &Producer) {
        let kept = self.options.failover.as_ref().is_some_and(|policy| policy.track_closed_producers);
        let Some(state) = self.sessions.get_mut(&producer.session) else { return };
        if kept && state.transaction.is_some() && state.closed_producers.len() < CLOSED_PRODUCERS {
            state.closed_producers.push(producer.info());
        }
    }

    /// Undoes what was sent and taken in a session since its last commit; what was taken comes again.
    pub fn rollback(&mut self, session: SessionKey, token: Option<T>, now: Now) {
        if let Some((_, waiting)) = self.late.remove(&session.0) {
            self.refuse(waiting, Error::Usage("the session was rolled back before its commit"));
        }
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
            state.closed_producers.clear();
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

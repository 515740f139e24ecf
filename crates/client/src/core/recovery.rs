//! What is kept for the time when a broker is lost, and how another one is told everything (OpenWire v12,
//! `ConnectionInfo.failoverReconnect`).
//!
//! Told again, in this order: the connection, its temporary destinations, each session with its producers and its
//! consumers (with prefetch 0, so that nothing comes before all is in place), open transactions; when the broker has
//! answered all of that, the requests whose answers were lost, under their old numbers and message ids, the commits
//! in flight, and at last the consumers' own prefetch.
//!
//! Invariant: a request is answered once, by whichever broker answers it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ferromq_model::Now;
use ferromq_openwire::{
    ConsumerControl, Destination, Message, MessageId, ObjectId, SessionInfo, TransactionInfo, TransactionType,
};

use super::audit::Audit;
use super::consumer::{Consumer, Entry};
use super::pending::{Redo, What};
use super::{AckMode, ConsumerKey, Core, Event, Numbered, Phase, ProducerKey};
use crate::error::{Error, Result};
use crate::failover::{Address, FailoverPolicy};
use crate::link::Link;

/// Bytes of messages of one transaction that are kept to be sent again.
const TRANSACTION_BYTES: usize = 64 << 20;

/// What outlives a transport besides sessions, producers and consumers.
pub(super) struct Recovery<T> {
    pub was_open: bool,
    pub temporaries: Vec<Destination>,
    /// Requests whose answers were lost, oldest first.
    limbo: Vec<(i32, What, Option<T>)>,
    pub audit: Audit,
    /// One-way messages (`trackMessages`).
    tracked: VecDeque<Arc<Message>>,
    tracked_bytes: usize,
    most_tracked_bytes: usize,
}

impl<T> Recovery<T> {
    pub fn new(policy: &FailoverPolicy) -> Self {
        Self {
            was_open: false,
            temporaries: Vec::new(),
            limbo: Vec::new(),
            audit: Audit::default(),
            tracked: VecDeque::new(),
            tracked_bytes: 0,
            most_tracked_bytes: policy.track_bytes,
        }
    }

    /// Everybody who waits for a broker.
    pub fn waiting(self) -> Vec<T> {
        self.limbo.into_iter().filter_map(|(_, _, token)| token).collect()
    }

    fn track(&mut self, message: Arc<Message>) {
        if self.most_tracked_bytes == 0 {
            return;
        }
        self.tracked_bytes += message.payload_len();
        self.tracked.push_back(message);
        while self.tracked_bytes > self.most_tracked_bytes {
            let Some(oldest) = self.tracked.pop_front() else { break };
            self.tracked_bytes -= oldest.payload_len();
        }
    }
}

impl<T> Core<T> {
    /// Gives the connection a transport, fresh or greeted already, after [`Event::Suspended`] or at the beginning.
    pub(crate) fn attach(&mut self, link: Link, address: &Address, now: Now) {
        if self.phase != Phase::Away {
            return;
        }
        self.interrupt(now);
        self.name = Arc::clone(&address.uri);
        self.login_deadline = Some(now.mono + address.connect_timeout);
        self.link = link;
        self.phase = Phase::Greeting;
        if self.link.is_greeted() {
            self.greeted();
        }
    }

    /// Gives the connection a transport that has exchanged nothing yet.
    ///
    /// # Errors
    /// The options of the address make no greeting.
    pub fn reattach(&mut self, address: &Address, now: Now) -> Result<()> {
        let link = Link::new(address.wire_format.clone(), address.limits.clone())
            .map_err(|source| Error::Encode { destination: address.uri.to_string(), source })?;
        self.attach(link, address, now);
        Ok(())
    }

    /// Ends a connection for which there is no broker.
    pub fn give_up(&mut self, error: Error) {
        if self.phase != Phase::Closed {
            self.finish(error);
        }
    }

    /// Ends a transport that works, because another broker is to be preferred.
    pub fn leave(&mut self, reason: &str) {
        if self.phase == Phase::Open {
            self.lost(reason);
        }
    }

    /// Answers those who wait for a send that no broker has taken yet, and forgets the messages. Those that were
    /// under way when the broker was lost may have been taken.
    pub fn abandon_sends(&mut self, error: &Error) {
        let Some(recovery) = self.recovery.as_mut().filter(|_| self.phase == Phase::Away) else { return };
        let limbo = std::mem::take(&mut recovery.limbo);
        let (sends, others) = limbo.into_iter().partition(|(_, what, _)| matches!(what, What::Send(..)));
        recovery.limbo = others;
        let sends: Vec<_> = sends;
        for (_, _, token) in sends {
            self.answer(token, Err(error.clone()));
        }
    }

    pub(super) fn suspend(&mut self, error: Error) {
        if self.phase == Phase::Away {
            return;
        }
        self.phase = Phase::Away;
        self.login_deadline = None;
        self.link = Link::severed();
        let pending = self.pending.drain_all();
        if let Some(recovery) = &mut self.recovery {
            recovery.limbo.extend(pending);
        }
        self.events.push_back(Event::Suspended(error));
    }

    /// What lies here unacknowledged will be dispatched again, by this broker or another.
    fn interrupt(&mut self, now: Now) {
        let keys: Vec<i64> = self.consumers.keys().copied().collect();
        for key in keys {
            let Some(consumer) = self.consumers.get_mut(&key) else { continue };
            if consumer.browser {
                let error = Error::Closed {
                    uri: Arc::clone(&self.name),
                    reason: Arc::from("a browse does not survive the loss of its broker; begin it again"),
                };
                self.consumers.remove(&key);
                self.events.push_back(Event::ConsumerClosed { consumer: ConsumerKey(key), error });
                continue;
            }
            let taken = std::mem::take(&mut consumer.entries).into_iter().take(consumer.handed);
            if consumer.mode == AckMode::Transacted {
                let ids: Vec<_> = taken.filter_map(|entry| entry.id()).collect();
                consumer.expected.extend(ids);
            }
            (consumer.handed, consumer.extended, consumer.ack_due) = (0, 0, None);
        }
        // A consumer that was closed within its transaction cannot be brought anything.
        let closing: Vec<i64> =
            self.consumers.iter().filter(|(_, consumer)| consumer.closing).map(|(key, _)| *key).collect();
        for key in closing {
            if let Some(consumer) = self.consumers.remove(&key)
                && !consumer.expected.is_empty()
            {
                self.doom(consumer.session, "a message that was taken in it went back to its queue");
            }
        }
        for (key, producer) in &mut self.producers {
            for bytes in producer.charged.drain(..) {
                self.events.push_back(Event::Room { producer: ProducerKey(*key), bytes });
            }
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.audit.suspect(now.mono);
        }
    }

    fn doom(&mut self, session: i64, reason: &str) {
        let error = Error::RolledBack { uri: Arc::clone(&self.name), reason: reason.to_owned() };
        if let Some(session) = self.sessions.get_mut(&session) {
            session.broken.get_or_insert(error);
        }
    }

    /// The broker took us: at once, or after it was told everything of before.
    pub(super) fn logged_in(&mut self) {
        match &mut self.recovery {
            Some(recovery) if recovery.was_open => self.restore(),
            recovery => {
                if let Some(recovery) = recovery {
                    recovery.was_open = true;
                }
                self.phase = Phase::Open;
                self.login_deadline = None;
                self.events.push_back(Event::Opened);
            }
        }
    }

    fn restore(&mut self) {
        self.phase = Phase::Restoring;
        let Some(recovery) = &mut self.recovery else { return };
        let temporaries = recovery.temporaries.clone();
        let mut openers: BTreeMap<i64, Option<T>> = BTreeMap::new();
        let mut creators: Vec<(Destination, Option<T>)> = Vec::new();
        let mut undone = Vec::new();
        for (number, what, token) in std::mem::take(&mut recovery.limbo) {
            match what {
                What::Login | What::Close => {}
                What::Producer { key, .. } | What::Consumer { key, .. } => {
                    if token.is_some() {
                        openers.insert(key, token);
                    }
                }
                What::AddTemporary(destination) if token.is_some() => creators.push((destination, token)),
                What::AddTemporary(_) => {}
                // The broker forgot both together with the connection.
                What::Rollback | What::RemoveTemporary(_) => undone.push(token),
                What::Send(..) | What::Commit { .. } | What::Unsubscribe(_) => {
                    recovery.limbo.push((number, what, token));
                }
            }
        }
        for token in undone {
            self.answer(token, Ok(()));
        }
        for destination in temporaries {
            let at = creators.iter().position(|(wanted, _)| *wanted == destination);
            let token = at.and_then(|at| creators.swap_remove(at).1);
            let info = self.destination_info(&destination, 0);
            self.request(info, What::AddTemporary(destination), token);
        }
        for (_, token) in creators {
            self.answer(token, Ok(()));
        }
        let sessions: Vec<_> =
            self.sessions.iter().map(|(key, session)| (*key, session.id.clone())).collect();
        for (session, id) in sessions {
            self.tell(SessionInfo { session_id: Some(id), ..SessionInfo::default() });
            self.restore_session(session, &mut openers);
        }
        for (_, token) in openers {
            self.answer(token, Err(Error::Usage("the session was closed")));
        }
        self.restored_if_all_is_answered();
    }

    fn restore_session(&mut self, session: i64, openers: &mut BTreeMap<i64, Option<T>>) {
        let producers: Vec<_> = self
            .producers
            .iter()
            .filter(|(_, producer)| producer.session == session)
            .map(|(key, producer)| (*key, producer.info()))
            .collect();
        for (key, info) in producers {
            let what = What::Producer { key, destination: info.destination.clone() };
            self.request(info, what, openers.remove(&key).flatten());
        }
        for key in self.consumers_of(session) {
            let Some(consumer) = self.consumers.get(&key) else { continue };
            let destination = consumer.destination.clone();
            let info = consumer.spec.info(&consumer.id, 0, &self.client_id);
            self.request(info, What::Consumer { key, destination }, openers.remove(&key).flatten());
        }
        let Some(state) = self.sessions.get(&session) else { return };
        let Some(id) = state.transaction.clone() else { return };
        let (sends, closed) = (state.sends.clone(), state.closed_producers.clone());
        for info in &closed {
            self.tell(info.clone());
        }
        match sends {
            Some(sends) => self.replay(self.transaction_info(&id, TransactionType::Begin), &sends),
            None => {
                self.doom(session, "it sent more than is kept for another broker; commit in smaller steps")
            }
        }
        for id in closed.into_iter().filter_map(|info| info.producer_id) {
            self.remove(ObjectId::Producer(id), -2);
        }
    }

    /// Begins a transaction again, with everything that was sent in it under its old ids.
    fn replay(&mut self, begin: TransactionInfo, sends: &[Arc<Message>]) {
        self.tell(begin);
        for message in sends {
            self.push_again(message);
        }
    }

    fn push_again(&mut self, message: &Arc<Message>) {
        // It was encoded before; a broker that agreed on a smaller frame says so itself.
        if let Err(source) = self.link.push(&Arc::clone(message).into()) {
            let destination = super::shown(message.destination.as_ref());
            self.events.push_back(Event::Failed(Error::Encode { destination, source }));
        }
    }

    pub(super) fn restored_if_all_is_answered(&mut self) {
        if self.phase != Phase::Restoring || self.pending.len() > 0 {
            return;
        }
        self.phase = Phase::Open;
        self.login_deadline = None;
        let Some(recovery) = &mut self.recovery else { return };
        let limbo = std::mem::take(&mut recovery.limbo);
        let tracked: Vec<_> = recovery.tracked.iter().cloned().collect();
        for (number, what, token) in limbo {
            self.ask_again(number, what, token);
        }
        for message in &tracked {
            self.push_again(message);
        }
        let keys: Vec<i64> = self.consumers.keys().copied().collect();
        for key in keys {
            self.open_window(key);
        }
        self.events.push_back(Event::Opened);
    }

    /// Gives a consumer its own prefetch, or asks again for the message that it waits for.
    fn open_window(&mut self, key: i64) {
        let Some(consumer) = self.consumers.get(&key) else { return };
        if consumer.window > 0 {
            let control = ConsumerControl {
                consumer_id: Some(consumer.id.clone()),
                destination: Some(consumer.destination.clone()),
                prefetch: i32::try_from(consumer.window).unwrap_or(i32::MAX),
                ..ConsumerControl::default()
            };
            self.tell(control);
        } else if let Some(timeout_ms) = consumer.pulling {
            self.pull(ConsumerKey(key), timeout_ms);
        }
    }

    fn ask_again(&mut self, number: i32, what: What, token: Option<T>) {
        match what {
            What::Send(destination, Some(message)) => {
                self.push_again(&message);
                self.pending.insert(number, What::Send(destination, Some(message)), token);
            }
            What::Commit { session, redo: Some(redo) } => self.commit_again(number, session, redo, token),
            What::Unsubscribe(name) => {
                let info = self.unsubscription(&name);
                self.request(info, What::Unsubscribe(name), token);
            }
            _ => self.answer(token, Ok(())),
        }
    }

    /// A broker of ours knows how the commit ended. ActiveMQ does not, and its own client does not ask either.
    fn commit_again(&mut self, number: i32, session: i64, redo: Redo, token: Option<T>) {
        for key in self.consumers_of(session) {
            if let Some(consumer) = self.consumers.get_mut(&key) {
                // If they were not committed, the broker brings them again.
                consumer.committing.clear();
            }
        }
        if !self.link.is_provided_by("FerroMQ") {
            let uri = Arc::clone(&self.name);
            return self.refuse(token, Error::InDoubt { uri });
        }
        let mut info = self.transaction_info(&redo.id, TransactionType::CommitOnePhase);
        info.number(number, true);
        match self.link.push(&info.into()) {
            Ok(()) => {
                let what = What::Commit { session, redo: Some(Redo { repeated: true, ..redo }) };
                self.pending.insert(number, what, token);
            }
            Err(source) => self.refuse(token, Error::Encode { destination: "a commit".into(), source }),
        }
    }

    /// The answer to a repeated commit: done, or undone; and what was only sent is sent again, for the message ids
    /// keep it from counting twice.
    pub(super) fn answered_again(&mut self, session: i64, redo: &Redo, token: Option<T>, result: Result<()>) {
        let uri = Arc::clone(&self.name);
        match (result, &redo.sends) {
            (Ok(()), _) => self.answer(token, Ok(())),
            (Err(_), Some(sends)) if !redo.acks => {
                self.replay(self.transaction_info(&redo.id, TransactionType::Begin), sends);
                let info = self.transaction_info(&redo.id, TransactionType::CommitOnePhase);
                let redo = Redo { repeated: false, ..redo.clone() };
                self.request(info, What::Commit { session, redo: Some(redo) }, token);
            }
            (Err(error), _) if is_rolled_back(&error) => {
                self.refuse(token, Error::RolledBack { uri, reason: error.to_string() });
            }
            (Err(_), _) => self.refuse(token, Error::InDoubt { uri }),
        }
    }

    /// Keeps what goes one way, as far as another broker may need it.
    pub(super) fn remember_one_way(&mut self, session: i64, message: Option<Arc<Message>>) {
        let Some(message) = message else { return };
        let Some(state) = self.sessions.get_mut(&session).filter(|s| s.transaction.is_some()) else {
            if let Some(recovery) = &mut self.recovery {
                recovery.track(message);
            }
            return;
        };
        state.send_bytes += message.payload_len();
        match &mut state.sends {
            Some(sends) if state.send_bytes <= TRANSACTION_BYTES => sends.push(message),
            sends => *sends = None,
        }
    }

    /// Why a transaction must not commit: a message taken in it may have gone to somebody else meanwhile.
    pub(super) fn not_brought_again(&self, session: i64) -> Option<Error> {
        let missing: usize =
            self.consumers.values().filter(|c| c.session == session).map(|c| c.expected.len()).sum();
        (missing > 0).then(|| Error::RolledBack {
            uri: Arc::clone(&self.name),
            reason: format!(
                "{missing} messages that were taken in it before the connection was lost did not come again"
            ),
        })
    }

    /// A message that the application took in the open transaction counts as taken again.
    pub(super) fn hold_expected(&mut self, key: i64, entry: Entry, now: Now) -> Option<Entry> {
        let consumer = self.consumers.get_mut(&key)?;
        if consumer.expected.is_empty() {
            return Some(entry);
        }
        let same = |id: &MessageId| {
            entry.message.message_id.as_ref().is_some_and(|found| {
                found.producer_id == id.producer_id && found.producer_sequence_id == id.producer_sequence_id
            })
        };
        let Some(at) = consumer.expected.iter().position(same) else { return Some(entry) };
        consumer.expected.remove(at);
        consumer.hold(entry);
        let session = consumer.session;
        self.brought(session, now);
        None
    }

    /// Without a broker nobody need be told that a session ends.
    pub(super) fn forget_session(&mut self, session: i64) {
        if self.recovery.is_some() {
            self.sessions.remove(&session);
            self.producers.retain(|_, producer| producer.session != session);
            self.consumers.retain(|_, consumer| consumer.session != session);
        }
    }
}

impl Consumer {
    /// Puts a message among those that the application has.
    fn hold(&mut self, entry: Entry) {
        self.entries.insert(self.handed, entry);
        self.handed += 1;
        self.extended += 1;
        self.scattered = true;
    }
}

fn is_rolled_back(error: &Error) -> bool {
    error.class() == Some(ferromq_openwire::ExceptionClass::TransactionRolledBack.name())
}

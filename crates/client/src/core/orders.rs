//! What the application wants.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::Now;
use ferromq_openwire::{
    ConsumerId, Destination, DestinationInfo, DestinationKind, Message, MessageId, MessagePull, ObjectId,
    ProducerId, RemoveInfo, RemoveSubscriptionInfo, SessionId, SessionInfo, WireStr,
};

use super::consumer::{Consumer, ConsumerSpec};
use super::pending::What;
use super::session::{Producer, Session};
use super::{AckMode, ConsumerKey, Core, Event, Phase, ProducerKey, SessionKey};
use crate::error::Error;

/// What a broker charges for a message besides its content (OpenWire `ProducerAck`).
const MESSAGE_OVERHEAD: usize = 1024;

impl<T> Core<T> {
    /// Opens a session; the broker does not answer. Nothing if the connection is not open.
    pub fn open_session(&mut self, mode: AckMode) -> Option<SessionKey> {
        if self.phase != Phase::Open {
            return None;
        }
        let key = self.next_key();
        let id = SessionId::new(self.connection_id.clone(), key);
        self.tell(SessionInfo { session_id: Some(id.clone()), ..SessionInfo::default() });
        self.sessions.insert(key, Session::new(id, mode));
        Some(SessionKey(key))
    }

    /// Closes a session with its producers and consumers; an open transaction is rolled back.
    pub fn close_session(&mut self, session: SessionKey, now: Now) {
        if self.phase != Phase::Open {
            // Nothing is told to anybody, and nothing will be restored.
            self.forget_session(session.0);
            return;
        }
        for key in self.consumers_of(session.0) {
            self.close_consumer(ConsumerKey(key));
        }
        self.rollback_quietly(session, now);
        let producers: Vec<_> =
            self.producers.iter().filter(|(_, p)| p.session == session.0).map(|(key, _)| *key).collect();
        for key in producers {
            self.close_producer(ProducerKey(key));
        }
        if let Some(state) = self.sessions.remove(&session.0) {
            self.remove(ObjectId::Session(state.id), -2);
        }
    }

    fn rollback_quietly(&mut self, session: SessionKey, now: Now) {
        if self.sessions.get(&session.0).is_some_and(|state| state.transaction.is_some()) {
            self.rollback(session, None, now);
        }
    }

    /// Opens a producer, for one destination or for any. With a window, at most so many bytes of one-way messages
    /// are under way; [`Event::Room`] says when they are not any more.
    pub fn open_producer(
        &mut self,
        session: SessionKey,
        destination: Option<Destination>,
        window: u32,
        token: Option<T>,
    ) -> ProducerKey {
        let key = self.next_key();
        let Some(token) = self.ready(token) else { return ProducerKey(key) };
        let Some(owner) = self.sessions.get(&session.0) else {
            self.refuse(token, Error::Usage("the session is closed"));
            return ProducerKey(key);
        };
        let id = ProducerId::new(&owner.id, key);
        let producer = Producer {
            id,
            session: session.0,
            destination: destination.clone(),
            sequence: 0,
            window,
            charged: VecDeque::new(),
        };
        let info = producer.info();
        self.producers.insert(key, producer);
        self.request(info, What::Producer { key, destination }, token);
        ProducerKey(key)
    }

    /// What a one-way message takes of the window of its producer.
    pub fn charge(message: &Message) -> u32 {
        u32::try_from(MESSAGE_OVERHEAD + message.payload_len()).unwrap_or(u32::MAX)
    }

    /// Sends a message. With a token the broker answers; without one, and in a transaction, it goes one way.
    ///
    /// Identity and transaction are set here; everything else is the application's.
    pub fn send(&mut self, producer: ProducerKey, mut message: Arc<Message>, token: Option<T>) {
        let Some(token) = self.ready(token) else { return };
        let Some(session) = self.producers.get(&producer.0).map(|producer| producer.session) else {
            return self.refuse(token, Error::Usage("the producer is closed"));
        };
        let transaction = self.transaction(session);
        let number = self.next_command();
        let Some(state) = self.producers.get_mut(&producer.0) else { return };
        let respond = token.is_some() && transaction.is_none();
        state.sequence += 1;
        let fields = Arc::make_mut(&mut message);
        fields.command_id = number;
        fields.response_required = respond;
        fields.message_id = Some(MessageId::new(state.id.clone(), state.sequence));
        fields.producer_id = Some(state.id.clone());
        fields.transaction_id = transaction;
        if fields.destination.is_none() {
            fields.destination.clone_from(&state.destination);
        }
        let Some(destination) = fields.destination.clone() else {
            return self.refuse(token, Error::Usage("an anonymous producer needs a destination"));
        };
        let charge = (!respond && state.window > 0).then(|| Self::charge(&message));
        let kept = self.recovery.is_some().then(|| Arc::clone(&message));
        match self.link.push(&message.into()) {
            Err(source) => {
                let error = Error::Encode { destination: destination.to_string(), source };
                // Nobody waits for messages of a transaction: the commit has to tell.
                let owner = self.sessions.get_mut(&session).filter(|s| s.mode == AckMode::Transacted);
                if let Some(owner) = owner {
                    owner.broken.get_or_insert_with(|| error.clone());
                }
                if let Some(bytes) = charge {
                    self.events.push_back(Event::Room { producer, bytes });
                }
                self.refuse(token, error);
            }
            Ok(()) => {
                if let (Some(bytes), Some(state)) = (charge, self.producers.get_mut(&producer.0)) {
                    state.charged.push_back(bytes);
                }
                match respond {
                    true => self.pending.insert(number, What::Send(destination, kept), token),
                    false => {
                        self.remember_one_way(session, kept);
                        self.answer(token, Ok(()));
                    }
                }
            }
        }
    }

    /// Closes a producer; the broker does not answer.
    pub fn close_producer(&mut self, producer: ProducerKey) {
        if let Some(state) = self.producers.remove(&producer.0) {
            self.keep_closed(&state);
            self.remove(ObjectId::Producer(state.id), -2);
        }
    }

    /// Opens a consumer. Messages may come before the answer.
    pub fn open_consumer(
        &mut self,
        session: SessionKey,
        spec: &ConsumerSpec,
        token: Option<T>,
    ) -> ConsumerKey {
        let key = self.next_key();
        let Some(token) = self.ready(token) else { return ConsumerKey(key) };
        let Some(owner) = self.sessions.get(&session.0) else {
            self.refuse(token, Error::Usage("the session is closed"));
            return ConsumerKey(key);
        };
        let id = ConsumerId::new(&owner.id, key);
        let window = spec.window(&self.options.prefetch);
        let info = spec.info(&id, window, &self.client_id);
        let mode = if spec.browser { AckMode::Auto } else { owner.mode };
        let consumer = Consumer {
            id,
            session: session.0,
            mode,
            destination: spec.destination.clone(),
            spec: spec.clone(),
            window,
            browser: spec.browser,
            pulling: None,
            expected: Vec::new(),
            scattered: false,
            entries: VecDeque::new(),
            handed: 0,
            extended: 0,
            committing: Vec::new(),
            closing: false,
            paused_until: None,
            ack_due: None,
            last_sequence: 0,
            last_delivered: -1,
        };
        self.consumers.insert(key, consumer);
        self.request(info, What::Consumer { key, destination: spec.destination.clone() }, token);
        ConsumerKey(key)
    }

    /// Whether a consumer has to ask for each message.
    pub fn pulls(&self, consumer: ConsumerKey) -> bool {
        self.consumers.get(&consumer.0).is_some_and(|state| state.window == 0)
    }

    /// Asks for one message: waits so many ms, 0 for ever, -1 not at all (OpenWire `MessagePull`).
    pub fn pull(&mut self, consumer: ConsumerKey, timeout_ms: i64) {
        let Some(state) = self.consumers.get_mut(&consumer.0) else { return };
        state.pulling = Some(timeout_ms);
        let pull = MessagePull {
            consumer_id: Some(state.id.clone()),
            destination: Some(state.destination.clone()),
            timeout: timeout_ms,
            ..MessagePull::default()
        };
        self.tell(pull);
    }

    /// Closes a consumer. What it took within an open transaction stays part of that.
    pub fn close_consumer(&mut self, consumer: ConsumerKey) {
        let Some(state) = self.consumers.get_mut(&consumer.0) else { return };
        if state.mode == AckMode::Transacted && state.handed > 0 {
            state.closing = true;
            return;
        }
        if state.mode == AckMode::DupsOk {
            self.acknowledge_handed(consumer.0, None, false);
        }
        self.remove_consumer(consumer.0);
    }

    pub(super) fn remove_consumer(&mut self, key: i64) {
        if let Some(state) = self.consumers.remove(&key) {
            self.remove(ObjectId::Consumer(state.id), state.last_delivered);
        }
    }

    pub(super) fn remove(&mut self, object: ObjectId, last_delivered_sequence_id: i64) {
        self.tell(RemoveInfo {
            object_id: Some(object),
            last_delivered_sequence_id,
            ..RemoveInfo::default()
        });
    }

    /// Creates a temporary destination that lives as long as this connection.
    pub fn add_temporary(&mut self, topic: bool, token: Option<T>) -> Destination {
        self.last_temporary += 1;
        let kind = if topic { DestinationKind::TempTopic } else { DestinationKind::TempQueue };
        let destination = Destination::new(kind, format!("{}:{}", self.connection_id, self.last_temporary));
        if let Some(token) = self.ready(token) {
            let info = self.destination_info(&destination, 0);
            if let Some(recovery) = &mut self.recovery {
                recovery.temporaries.push(destination.clone());
            }
            self.request(info, What::AddTemporary(destination.clone()), token);
        }
        destination
    }

    /// Deletes a temporary destination of this connection.
    pub fn remove_temporary(&mut self, destination: &Destination, token: Option<T>) {
        let Some(token) = self.ready(token) else { return };
        let info = self.destination_info(destination, 1);
        if let Some(recovery) = &mut self.recovery {
            recovery.temporaries.retain(|known| known != destination);
        }
        self.request(info, What::RemoveTemporary(destination.clone()), token);
    }

    pub(super) fn destination_info(&self, destination: &Destination, operation_type: i8) -> DestinationInfo {
        DestinationInfo {
            connection_id: Some(self.id()),
            destination: Some(destination.clone()),
            operation_type,
            ..DestinationInfo::default()
        }
    }

    /// Ends a durable subscription that has no consumer now.
    pub fn unsubscribe(&mut self, name: &str, token: Option<T>) {
        let Some(token) = self.ready(token) else { return };
        let info = self.unsubscription(name);
        self.request(info, What::Unsubscribe(name.to_owned()), token);
    }

    pub(super) fn unsubscription(&self, name: &str) -> RemoveSubscriptionInfo {
        RemoveSubscriptionInfo {
            connection_id: Some(self.id()),
            subscription_name: Some(WireStr::from(name)),
            client_id: Some(self.client_id.clone()),
            ..RemoveSubscriptionInfo::default()
        }
    }

    /// Closes the connection: the broker forgets everything of it, then the transport may end.
    pub fn close(&mut self, token: Option<T>) {
        match self.phase {
            Phase::Open => {
                let lazy: Vec<_> = self
                    .consumers
                    .iter()
                    .filter(|(_, consumer)| consumer.mode == AckMode::DupsOk)
                    .map(|(key, _)| *key)
                    .collect();
                for key in lazy {
                    self.acknowledge_handed(key, None, false);
                }
                self.phase = Phase::Closing;
                let info =
                    RemoveInfo { object_id: Some(ObjectId::Connection(self.id())), ..RemoveInfo::default() };
                self.request(RemoveInfo { last_delivered_sequence_id: -2, ..info }, What::Close, token);
            }
            Phase::Closed | Phase::Closing => self.answer(token, Ok(())),
            Phase::Away | Phase::Greeting | Phase::Login | Phase::Restoring => {
                self.answer(token, Ok(()));
                self.finish(self.closed("the application closed it"));
            }
        }
    }
}

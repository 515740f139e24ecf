//! What each command of a peer means.

use std::sync::Arc;

use ferromq_engine::{Fault, FaultKind, Intent, LocalId, Tag, TransactionVerb};
use ferromq_model::{ConnectionFacts, Now, SubscriptionName, Text};
use ferromq_openwire as wire;
use ferromq_openwire::{Command, ObjectId, WireStr};

use super::inbound::{self, fault};
use super::names::{brokers, text};
use super::outbound;
use super::session::{Awaited, Phase, Session};
use super::streams;
use crate::{Credentials, LoginQuestion, LoginRefused, PeerBroker, SessionError};

/// A command's number, if its sender waits for an answer.
type Request = Option<i32>;

fn request(command_id: i32, response_required: bool) -> Request {
    response_required.then_some(command_id)
}

fn tag(request: Request) -> Option<Tag> {
    request.map(|id| Tag(id.cast_unsigned()))
}

/// What a peer at the other end of a duplex bridge says to our half of it: answers, and what it tells of its consumers.
fn is_for_mirror(command: &Command) -> bool {
    match command {
        Command::Response(_)
        | Command::ExceptionResponse(_)
        | Command::DataResponse(_)
        | Command::DataArrayResponse(_)
        | Command::IntegerResponse(_)
        | Command::BrokerSubscriptionInfo(_)
        | Command::MessageDispatch(_) => true,
        Command::Message(message) => {
            message.data_structure.is_some()
                && message
                    .destination
                    .as_ref()
                    .is_some_and(|to| to.name.to_str().starts_with("ActiveMQ.Advisory."))
        }
        _ => false,
    }
}

impl Session {
    /// Takes a decoded command after the greeting.
    pub(super) fn take(&mut self, command: Command, frame_bytes: usize, now: Now) {
        match command {
            command if self.has_mirror && is_for_mirror(&command) => self.put_aside(command),
            Command::Message(message) => self.take_message(message, frame_bytes, now),
            Command::MessageAck(ack) => {
                let request = request(ack.command_id, ack.response_required);
                let owner = ack.consumer_id.as_ref().and_then(|id| id.connection_id.as_ref()).cloned();
                let intent = inbound::ack(&mut self.names, &ack).map(|ack| Intent::Ack(Box::new(ack)));
                self.ask("MessageAck", request, owner.as_ref(), intent, now);
            }
            Command::KeepAliveInfo(info) => {
                if info.response_required {
                    self.say(
                        &wire::KeepAliveInfo { command_id: info.command_id, ..Default::default() }.into(),
                    );
                }
            }
            Command::ConnectionInfo(info) => self.take_connection(info, now),
            Command::ShutdownInfo(info) => {
                self.answer(request(info.command_id, info.response_required));
                self.finish();
            }
            Command::BrokerInfo(info) => {
                self.answer(request(info.command_id, info.response_required));
                self.peer.network = info.network_connection;
                if info.network_connection && info.broker_name.is_some() {
                    let (name, url) = (info.broker_name.as_ref(), info.broker_url.as_ref());
                    let (name, url) = (name.map(text).unwrap_or_default(), url.map(text).unwrap_or_default());
                    self.peer.broker = Some(PeerBroker { name, url });
                }
                let properties = info.network_properties.as_ref().map(wire::WireStr::to_str);
                let compares = properties
                    .is_some_and(|text| text.lines().any(|line| line.trim_end() == "syncDurableSubs=true"));
                if info.network_connection && compares {
                    self.wants_durables();
                }
                self.peer.bounds = inbound::bounds(&info);
                if info.network_connection && info.duplex_connection && !self.has_mirror {
                    self.has_mirror = true;
                    self.put_aside(Command::BrokerInfo(info));
                }
            }
            Command::BrokerSubscriptionInfo(info) => {
                self.answer(request(info.command_id, info.response_required));
                self.wants_durables();
            }
            Command::ConnectionControl(control) => {
                self.peer.fault_tolerant |= control.fault_tolerant;
                self.answer(request(control.command_id, control.response_required));
            }
            Command::ControlCommand(info) => self.take_control(&info, now),
            Command::ConnectionError(error) => {
                self.answer(request(error.command_id, error.response_required))
            }
            Command::ProducerAck(ack) => self.answer(request(ack.command_id, ack.response_required)),
            Command::MessageDispatchNotification(info) => {
                self.answer(request(info.command_id, info.response_required));
            }
            // Answers to what nobody asked; a late one must not hurt.
            Command::Response(_)
            | Command::ExceptionResponse(_)
            | Command::DataResponse(_)
            | Command::DataArrayResponse(_)
            | Command::IntegerResponse(_) => {}
            command => self.take_state(command, now),
        }
    }

    /// Commands that open, close or move something.
    fn take_state(&mut self, command: Command, now: Now) {
        match command {
            Command::SessionInfo(info) => {
                let request = request(info.command_id, info.response_required);
                let Some(id) = info.session_id else {
                    return self.malformed("SessionInfo without sessionId");
                };
                if self.admit("SessionInfo", request, id.connection_id.as_ref(), now) {
                    let room = self.registry.add_session(id.value, &self.settings.limits);
                    self.pass(request, room.map(|()| Intent::AddSession { session: id.value }));
                }
            }
            Command::ConsumerInfo(info) => self.take_consumer(&info, now),
            Command::ProducerInfo(info) => self.take_producer(&info, now),
            Command::RemoveInfo(info) => self.take_removal(info, now),
            Command::TransactionInfo(info) => {
                let request = request(info.command_id, info.response_required);
                let owner = info.connection_id.as_ref().and_then(|id| id.value.clone());
                let id = inbound::transaction(&mut self.names, info.transaction_id.as_ref());
                let intent = inbound::verb(info.kind).and_then(|verb| match id? {
                    None if verb != TransactionVerb::Recover => {
                        Err(fault(FaultKind::Protocol, "TransactionInfo without transactionId"))
                    }
                    id => Ok(Intent::Transaction { id, verb }),
                });
                self.ask("TransactionInfo", request, owner.as_ref(), intent, now);
            }
            Command::DestinationInfo(info) => {
                let request = request(info.command_id, info.response_required);
                let owner = info.connection_id.as_ref().and_then(|id| id.value.clone());
                let destination = info.destination.as_ref().map(|name| self.names.destination(name));
                let refused = |text: String| Err(fault(FaultKind::Protocol, text));
                let intent = match (info.operation_type, destination) {
                    (_, None) => refused("DestinationInfo without destination".to_owned()),
                    (0, Some(destination)) => {
                        let broker_path = brokers(info.broker_path.as_deref());
                        Ok(Intent::AddDestination { destination, broker_path })
                    }
                    (1, Some(destination)) => {
                        Ok(Intent::RemoveDestination { destination, force: info.timeout != 0 })
                    }
                    (other, _) => refused(format!("operationType {other} is unknown")),
                };
                self.ask("DestinationInfo", request, owner.as_ref(), intent, now);
            }
            Command::RemoveSubscriptionInfo(info) => {
                let request = request(info.command_id, info.response_required);
                let owner = info.connection_id.as_ref().and_then(|id| id.value.clone());
                let client = info.client_id.as_ref().map_or_else(|| self.peer.client_id.clone(), text);
                let name = info.subscription_name.as_ref().map(text).unwrap_or_default();
                let intent = Ok(Intent::Unsubscribe(SubscriptionName { client, name }));
                self.ask("RemoveSubscriptionInfo", request, owner.as_ref(), intent, now);
            }
            Command::MessagePull(pull) => {
                let request = request(pull.command_id, pull.response_required);
                let Some(id) = pull.consumer_id else {
                    return self.malformed("MessagePull without consumerId");
                };
                let consumer = LocalId { session: id.session_id, value: id.value };
                let intent = Intent::Pull { consumer, timeout: inbound::pull_timeout(pull.timeout) };
                self.ask("MessagePull", request, id.connection_id.as_ref(), Ok(intent), now);
            }
            Command::ConsumerControl(control) => {
                let request = request(control.command_id, control.response_required);
                let Some(id) = control.consumer_id else {
                    return self.malformed("ConsumerControl without consumerId");
                };
                let consumer = LocalId { session: id.session_id, value: id.value };
                let prefetch = u32::try_from(control.prefetch).unwrap_or(0);
                let intent = Intent::SetPrefetch { consumer, prefetch };
                self.ask("ConsumerControl", request, id.connection_id.as_ref(), Ok(intent), now);
            }
            Command::FlushCommand(info) => {
                let request = request(info.command_id, info.response_required);
                if request.is_some() {
                    self.ask("FlushCommand", request, None, Ok(Intent::Flush), now);
                }
            }
            command => self.malformed(&format!("{} has no place here", command.type_name())),
        }
    }

    /// Only of a bridge, and about its link; whatever else is controlled by such commands is not controlled here.
    fn take_control(&mut self, info: &wire::ControlCommand, now: Now) {
        let request = request(info.command_id, info.response_required);
        let text = info.command.as_ref().filter(|_| self.peer.network).map(ToString::to_string);
        let Some(intent) = text.as_deref().and_then(streams::intent) else { return self.answer(request) };
        self.sends_stream |= matches!(intent, Ok(Intent::OpenStream { .. }));
        self.ask("a link's stream", request, None, intent, now);
    }

    fn take_message(&mut self, message: Arc<wire::Message>, frame_bytes: usize, now: Now) {
        let request = request(message.command_id, message.response_required);
        let owner = message.producer_id.as_ref().and_then(|id| id.connection_id.as_ref());
        if !self.admit("a message", request, owner, now) {
            return;
        }
        let producer =
            message.producer_id.as_ref().map(|id| LocalId { session: id.session_id, value: id.value });
        let Some(window) = producer.and_then(|producer| self.registry.window(producer)) else {
            let to = message.destination.as_ref().map(ToString::to_string).unwrap_or_default();
            let text = format!("Cannot send message to {to} with invalid (null) producer state");
            return self.fail_request(request, fault(FaultKind::Protocol, text));
        };
        let charged = window > 0 && request.is_none() && self.version() >= 3;
        let window = if charged { inbound::window_bytes(&message) } else { 0 };
        let position = streams::position(message.message_id.as_ref()).filter(|_| self.sends_stream);
        let user = self.peer.user.as_ref().filter(|_| self.settings.populate_user_id);
        let intent = inbound::send(&mut self.names, message, frame_bytes, user, window, position, now)
            .map(Intent::Send);
        self.pass(request, intent);
    }

    /// Whether the connection may have wishes at all; if not, the peer is told. `owner` is the connection that the
    /// command names, if it names one.
    fn admit(&mut self, what: &str, request: Request, owner: Option<&WireStr>, now: Now) -> bool {
        match self.phase {
            Phase::Connected | Phase::Connecting => {}
            // The last acknowledgements of a client may come behind its goodbye.
            Phase::Departed if request.is_none() => return false,
            Phase::Departed => {
                let text = format!("{what} after the connection was removed");
                self.fail_request(request, fault(FaultKind::IllegalState, text));
                return false;
            }
            _ => {
                self.too_early(what, request, now);
                return false;
            }
        }
        if owner.is_some() && owner != self.peer.connection.as_ref() {
            let owner = owner.map(ToString::to_string).unwrap_or_default();
            let text = format!("{what} names a connection that had not been registered: {owner}");
            self.fail_request(request, fault(FaultKind::IllegalState, text));
            return false;
        }
        true
    }

    /// Passes a wish on to the engine, or says why it is none.
    fn pass(&mut self, request: Request, intent: Result<Intent, Fault>) {
        match intent {
            Ok(intent) => self.want(tag(request), intent),
            Err(fault) => self.fail_request(request, fault),
        }
    }

    fn ask(
        &mut self,
        what: &str,
        request: Request,
        owner: Option<&WireStr>,
        intent: Result<Intent, Fault>,
        now: Now,
    ) {
        if self.admit(what, request, owner, now) {
            self.pass(request, intent);
        }
    }

    fn too_early(&mut self, what: &str, request: Request, now: Now) {
        let text = format!("{what} before ConnectionInfo: a connection is registered first");
        let error = SessionError::WrongOrder(text.clone());
        self.refuse(request, fault(FaultKind::IllegalState, text), error, now);
    }

    fn malformed(&mut self, text: &str) {
        self.say(&outbound::connection_error(&fault(FaultKind::Protocol, text)));
        self.fail(SessionError::Malformed(text.to_owned()));
    }

    /// Answers what needs no engine.
    fn answer(&mut self, request: Request) {
        if let Some(correlation_id) = request {
            self.say(&wire::Response { correlation_id, ..Default::default() }.into());
        }
    }

    fn take_connection(&mut self, info: wire::ConnectionInfo, now: Now) {
        let request = request(info.command_id, info.response_required);
        let Some(connection) = info.connection_id.as_ref().and_then(|id| id.value.as_ref()) else {
            return self.malformed("ConnectionInfo without connectionId");
        };
        match self.phase {
            Phase::Connected | Phase::Connecting if self.peer.connection.as_ref() == Some(connection) => {
                return self.answer(request);
            }
            Phase::Connected | Phase::Connecting => {
                let text = "a second ConnectionInfo on one transport";
                let error = SessionError::WrongOrder(text.to_owned());
                return self.refuse(request, fault(FaultKind::IllegalState, text), error, now);
            }
            _ => {}
        }
        let user = info.user_name.as_ref().map(WireStr::to_str);
        let password = info.password.as_ref().map(WireStr::to_str);
        let remote = self.remote.to_str();
        let credentials =
            Credentials { user: user.as_deref(), password: password.as_deref(), remote: &remote };
        match self.settings.login.quick(credentials) {
            Some(decision) => self.enter(info, decision, now),
            None => {
                let question = LoginQuestion::new(Arc::clone(&self.settings.login), credentials);
                self.check_login(info, question);
            }
        }
    }

    /// Whoever may come in, or not, is passed on to the engine, or not.
    pub(super) fn enter(&mut self, info: wire::ConnectionInfo, decision: Result<(), LoginRefused>, now: Now) {
        let request = request(info.command_id, info.response_required);
        if let Err(refused) = decision {
            let error = SessionError::LoginRefused(refused.text.clone());
            return self.refuse(request, fault(FaultKind::Security, refused.text), error, now);
        }
        let Some(connection) = info.connection_id.and_then(|id| id.value) else { return };
        let facts = ConnectionFacts {
            connection: self.names.connection(Some(&connection)),
            client_id: info.client_id.as_ref().map(text).unwrap_or_default(),
            user: info.user_name.as_ref().map(text),
            remote: self.remote.clone(),
            fault_tolerant: info.fault_tolerant || self.peer.fault_tolerant,
            reconnected: info.failover_reconnect,
            manageable: info.manageable,
            network: self.peer.network,
        };
        self.peer.connection = Some(connection);
        self.peer.client_id = facts.client_id.clone();
        self.peer.user = facts.user.clone().filter(|user: &Text| !user.is_empty());
        self.peer.manageable = facts.manageable;
        self.peer.fault_tolerant = facts.fault_tolerant;
        self.peer.reconnected = facts.reconnected;
        self.phase = Phase::Connecting;
        // The engine's answer is needed even if the peer does not ask for one.
        let tag = Tag(info.command_id.cast_unsigned());
        self.awaited.push((tag, Awaited::Connect { answer: request.is_some() }));
        self.want(Some(tag), Intent::Connect(Arc::new(facts)));
    }

    fn take_consumer(&mut self, info: &wire::ConsumerInfo, now: Now) {
        let request = request(info.command_id, info.response_required);
        let owner = info.consumer_id.as_ref().and_then(|id| id.connection_id.as_ref());
        if !self.admit("ConsumerInfo", request, owner, now) {
            return;
        }
        let intent = inbound::consumer_facts(&mut self.names, info, &self.peer.bounds).and_then(|facts| {
            let id = LocalId { session: facts.id.session, value: facts.id.value };
            self.registry.add_consumer(id, &self.settings.limits)?;
            if let Some(tag) = tag(request) {
                self.awaited.push((tag, Awaited::Consumer(id)));
            }
            Ok(Intent::AddConsumer(Arc::new(facts)))
        });
        self.pass(request, intent);
    }

    fn take_producer(&mut self, info: &wire::ProducerInfo, now: Now) {
        let request = request(info.command_id, info.response_required);
        let owner = info.producer_id.as_ref().and_then(|id| id.connection_id.as_ref());
        if !self.admit("ProducerInfo", request, owner, now) {
            return;
        }
        let intent = inbound::producer_facts(&mut self.names, info).and_then(|facts| {
            let id = LocalId { session: facts.id.session, value: facts.id.value };
            self.registry.add_producer(id, facts.window, &self.settings.limits)?;
            if let Some(tag) = tag(request) {
                self.awaited.push((tag, Awaited::Producer(id)));
            }
            Ok(Intent::AddProducer(Arc::new(facts)))
        });
        self.pass(request, intent);
    }

    fn take_removal(&mut self, info: wire::RemoveInfo, now: Now) {
        let request = request(info.command_id, info.response_required);
        let last_delivered = if self.version() >= 5 { info.last_delivered_sequence_id } else { -2 };
        match info.object_id {
            Some(ObjectId::Connection(id)) => {
                if self.admit("RemoveInfo", request, id.value.as_ref(), now) {
                    self.pass(request, Ok(Intent::Disconnect { last_delivered }));
                    self.phase = Phase::Departed;
                }
            }
            Some(ObjectId::Session(id)) => {
                if self.admit("RemoveInfo", request, id.connection_id.as_ref(), now) {
                    self.registry.remove_session(id.value);
                    self.pass(request, Ok(Intent::RemoveSession { session: id.value, last_delivered }));
                }
            }
            Some(ObjectId::Consumer(id)) => {
                if self.admit("RemoveInfo", request, id.connection_id.as_ref(), now) {
                    let consumer = LocalId { session: id.session_id, value: id.value };
                    self.registry.remove_consumer(consumer);
                    self.pass(request, Ok(Intent::RemoveConsumer { consumer, last_delivered }));
                }
            }
            Some(ObjectId::Producer(id)) => {
                if self.admit("RemoveInfo", request, id.connection_id.as_ref(), now) {
                    let producer = LocalId { session: id.session_id, value: id.value };
                    self.registry.remove_producer(producer);
                    self.pass(request, Ok(Intent::RemoveProducer(producer)));
                }
            }
            other => {
                let text = format!(
                    "RemoveInfo of {}",
                    if other.is_some() { "something unknown" } else { "nothing" }
                );
                self.fail_request(request, fault(FaultKind::Protocol, text));
            }
        }
    }
}

//! One OpenWire connection without its socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ferromq_engine::{ConnId, Effect, Fault, FaultKind, Input, Intent, LocalId, Notice, Tag};
use ferromq_model::{Delivery, Instant, Now, Text};
use ferromq_openwire as wire;
use ferromq_openwire::{
    Command, ErrorKind, Framer, Limits, Throwable, WireFormat, WireFormatOptions, WireStr,
};

use super::inbound::{Bounds, fault};
use super::monitor::{Due, Monitor};
use super::names::Names;
use super::outbound;
use super::registry::Registry;
use super::streams;
use crate::cluster::News;
use crate::{LoginQuestion, LoginRefused, PeerBroker, SessionError, SessionSettings};

/// Clients that are told to spread are told so one after the other.
const MOVE_EVERY: Duration = Duration::from_millis(20);
/// The last of them waits no longer.
const MOVED_WITHIN: Duration = Duration::from_secs(10);
/// How long a client that is to move is let finish what it has asked for.
const PATIENCE_TO_MOVE: Duration = Duration::from_secs(2);
/// What a peer says to the broker's half of its duplex bridge before it may: its `BrokerInfo`, and what is pipelined.
const MOST_ASIDE_BEFORE_LOGIN: usize = 64;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The peer's greeting is awaited.
    Greeting,
    /// Greeted; nobody has logged in (a client that keeps a spare connection stays here).
    Anonymous,
    /// Whether the login is right is being found out; nothing more is read meanwhile.
    Checking,
    /// The engine has been asked to take the connection.
    Connecting,
    /// Everything may come.
    Connected,
    /// The client ended its connection and is about to end the transport.
    Departed,
    /// Refused; the transport stays a little so that the peer reads why.
    Lingering(Instant),
    /// Write what is left, close.
    Finished,
}

/// Replies that mean more than their frame.
#[derive(Clone, Debug)]
pub(super) enum Awaited {
    Connect { answer: bool },
    Consumer(LocalId),
    Producer(LocalId),
    Durables,
}

/// What no peer numbers a request with: the question for durable subscriptions is our own.
const DURABLES: Tag = Tag(u32::MAX);

/// Whether a bridge is told of the durable subscriptions here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Durables {
    #[default]
    Unasked,
    /// It wants to know, and has not logged in.
    Wanted,
    /// It is told, once.
    Told,
}

/// Who the peer says it is.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) connection: Option<WireStr>,
    pub(super) client_id: Text,
    pub(super) user: Option<Text>,
    pub(super) manageable: bool,
    pub(super) fault_tolerant: bool,
    /// It said that it is a bridge.
    pub(super) network: bool,
    /// It was connected to a broker before.
    pub(super) reconnected: bool,
    /// The broker whose bridge it is, until that was asked for.
    pub(super) broker: Option<PeerBroker>,
    pub(super) bounds: Bounds,
}

/// Somebody whose login takes long to check.
#[derive(Debug)]
pub(super) struct Applicant {
    pub(super) info: wire::ConnectionInfo,
    /// Until the driver has taken it.
    pub(super) question: Option<LoginQuestion>,
}

/// One peer's connection: bytes ⇄ engine.
///
/// A driver loop appends what it reads to [`Session::read_buffer`] and calls [`Session::received`], posts what
/// [`Session::poll_input`] yields to the engine until it yields nothing, hands over what the engine says (`deliver`,
/// `reply`, `notify`, `close`, `pause`, `resume`) and polls again after that, writes what [`Session::transmit`]
/// gives, sleeps no longer than [`Session::next_deadline`] and then polls and calls [`Session::tick`]. While it does
/// not read for reasons of its own (a full mailbox), it does not poll either, and the peer's silence is excused. A
/// [`Session::login_question`] is decided elsewhere and answered by [`Session::login_decided`]. When [`Session::is_finished`],
/// it writes the rest and closes the socket; when the socket ends first it calls [`Session::lost`]. Either way it
/// then polls and posts the last inputs (`Detach`).
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) conn: ConnId,
    pub(super) remote: Text,
    pub(super) phase: Phase,
    pub(super) peer: Peer,
    pub(super) names: Names,
    pub(super) registry: Registry,
    pub(super) awaited: Vec<(Tag, Awaited)>,
    pub(super) requests_in_flight: usize,
    /// The login that is being found out about.
    pub(super) applicant: Option<Applicant>,
    /// The peer wants a bridge back over this connection.
    pub(super) has_mirror: bool,
    /// It sends the stream of a link: its messages have positions.
    pub(super) sends_stream: bool,
    /// For that bridge, not for the engine.
    pub(super) aside: VecDeque<Command>,
    /// What of the changes among brokers the peer knows.
    brokers_news: News,
    /// When the peer is told to move to another broker.
    brokers_due: Option<Instant>,
    /// When it is told even though answers are still to come.
    brokers_late: Instant,
    durables: Durables,
    inputs: VecDeque<Input>,
    options: WireFormatOptions,
    format: WireFormat,
    framer: Framer,
    /// Bytes in the framer when they were last counted.
    buffered: usize,
    monitor: Monitor,
    paused: bool,
    attached: bool,
    out: Vec<u8>,
    /// Used again for each delivery.
    dispatch: Command,
    failure: Option<SessionError>,
}

impl Session {
    /// A connection that was just accepted from `remote` (`tcp://127.0.0.1:4711`).
    pub fn new(settings: Arc<SessionSettings>, conn: ConnId, remote: Text, now: Now) -> Self {
        let limits = Limits { frame_bytes: settings.max_frame_size, ..Limits::default() };
        let options = wire_options(&settings);
        let mut session = Self {
            phase: Phase::Greeting,
            peer: Peer::default(),
            names: Names::new(settings.limits.remembered_names),
            registry: Registry::default(),
            awaited: Vec::new(),
            requests_in_flight: 0,
            applicant: None,
            has_mirror: false,
            sends_stream: false,
            aside: VecDeque::new(),
            brokers_news: News::default(),
            brokers_due: None,
            brokers_late: Instant(0),
            durables: Durables::default(),
            inputs: VecDeque::new(),
            framer: Framer::new(limits.greeting_bytes),
            buffered: 0,
            format: WireFormat::new(limits),
            monitor: Monitor::new(&settings, now.mono),
            paused: false,
            attached: false,
            out: Vec::new(),
            dispatch: wire::MessageDispatch::default().into(),
            failure: None,
            options,
            settings,
            conn,
            remote,
        };
        match session.options.to_info() {
            Ok(info) => session.say(&info.into()),
            Err(error) => session.fail(SessionError::Unsendable(error.to_string())),
        }
        session
    }

    /// Where the driver appends what it reads; follow with [`Session::received`].
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        self.framer.buffer()
    }

    /// Bytes were appended to the read buffer.
    pub fn received(&mut self, _now: Now) {
        let buffered = self.framer.buffered();
        self.monitor.heard(buffered.saturating_sub(self.buffered));
        self.buffered = buffered;
    }

    /// The next thing for the engine: decodes at most as many frames as it takes to find one.
    pub fn poll_input(&mut self, now: Now) -> Option<Input> {
        loop {
            if let Some(input) = self.inputs.pop_front() {
                return Some(input);
            }
            if !self.is_listening() {
                return None;
            }
            self.monitor.asked();
            let next = self.framer.next_frame();
            self.buffered = self.framer.buffered();
            match next {
                Ok(Some(frame)) => {
                    self.monitor.frame_done();
                    self.take_frame(frame, now);
                }
                Ok(None) => {
                    self.monitor.partial(self.buffered > 0, now.mono);
                    return None;
                }
                Err(error) => self.fail_malformed(&error),
            }
        }
    }

    fn is_listening(&self) -> bool {
        !self.paused
            && !matches!(self.phase, Phase::Checking | Phase::Lingering(_) | Phase::Finished)
            && self.requests_in_flight < self.settings.limits.requests_in_flight
    }

    fn take_frame(&mut self, frame: Bytes, now: Now) {
        let frame_bytes = frame.len();
        match self.format.decode(frame) {
            Ok(Command::WireFormatInfo(info)) if self.phase == Phase::Greeting => self.greet(&info, now),
            Ok(command) if self.phase == Phase::Greeting => {
                self.fail(SessionError::NotOpenWire { found: command.type_name().to_owned() });
            }
            Ok(command) => self.take(command, frame_bytes, now),
            Err(error) => self.fail_malformed(&error),
        }
    }

    fn greet(&mut self, info: &wire::WireFormatInfo, now: Now) {
        let agreed = match self.format.renegotiate(&self.options, info) {
            Ok(agreed) => agreed.keep_alive,
            Err(error) => return self.fail_malformed(&error),
        };
        self.framer.set_limit(self.format.max_frame_size());
        self.monitor.greeted(agreed, now.mono);
        self.phase = Phase::Anonymous;
        self.attached = true;
        self.inputs.push_back(Input::Attach { conn: self.conn });
        self.say(&outbound::broker_info(&self.settings.broker));
    }

    /// The next command for the broker's half of a duplex bridge. The first is the peer's `BrokerInfo`, and asks for
    /// one; after that, what the peer says to it. There is none for an ordinary client.
    /// Nothing of it is told before the engine has let the peer in.
    pub fn poll_aside(&mut self) -> Option<Command> {
        if self.phase == Phase::Connected { self.aside.pop_front() } else { None }
    }

    /// Keeps a command for the broker's half of a duplex bridge; before the login only a few.
    pub(super) fn put_aside(&mut self, command: Command) {
        if self.phase != Phase::Connected && self.aside.len() >= MOST_ASIDE_BEFORE_LOGIN {
            let text = "a bridge speaks before it has logged in";
            return self.fail(SessionError::WrongOrder(text.to_owned()));
        }
        self.aside.push_back(command);
    }

    /// A bridge compares durable subscriptions with ours; it is told of them once, when it has logged in.
    pub(super) fn wants_durables(&mut self) {
        if self.durables == Durables::Told || self.version() < 12 {
            return;
        }
        self.durables = Durables::Wanted;
        if self.phase == Phase::Connected {
            self.durables = Durables::Told;
            self.awaited.push((DURABLES, Awaited::Durables));
            self.want(Some(DURABLES), Intent::ListDurables);
        }
    }

    /// Encodes what the broker's half of a duplex bridge has to say.
    pub fn say_aside(&mut self, command: &Command) {
        if self.is_silent() || self.phase == Phase::Greeting {
            return;
        }
        match (self.format.encode(command, &mut self.out), command) {
            (Ok(()), _) => self.monitor.said(),
            // One message that the peer can't be told of is no reason to leave it: it counts as refused.
            (Err(error), Command::Message(message)) if error.kind() == ErrorKind::Caller => {
                let refusal = wire::ExceptionResponse {
                    correlation_id: message.command_id,
                    exception: Some(Arc::new(Throwable::new("javax.jms.JMSException", error.to_string()))),
                    ..Default::default()
                };
                self.put_aside(refusal.into());
            }
            (Err(error), _) => self.unsendable(command, &error),
        }
    }

    /// The broker's half of a duplex bridge has ended, and so does the connection.
    pub fn end_aside(&mut self) {
        self.fail(SessionError::Closed("the bridge back over this connection has ended".to_owned()));
    }

    /// Something for the engine, answered with `tag`'s reply if the peer waits for one.
    pub(super) fn want(&mut self, tag: Option<Tag>, intent: Intent) {
        if tag.is_some() {
            self.requests_in_flight += 1;
        }
        self.inputs.push_back(Input::Intent { conn: self.conn, tag, intent });
    }

    /// Encodes a command into the output. What the peer's side of the protocol cannot carry ends the connection, as
    /// it does in ActiveMQ: to leave it out would be a lie.
    pub(super) fn say(&mut self, command: &Command) {
        match self.format.encode(command, &mut self.out) {
            Ok(()) => self.monitor.said(),
            Err(error) => self.unsendable(command, &error),
        }
    }

    fn unsendable(&mut self, command: &Command, error: &wire::Error) {
        let text = format!("{}: {error}", command.type_name());
        self.fail(SessionError::Unsendable(text));
    }

    /// Encodes a delivery into the output.
    pub fn deliver(&mut self, now: Now, consumer: LocalId, delivery: &Delivery) {
        if self.is_silent() {
            return;
        }
        let id = wire::ConsumerId {
            connection_id: self.peer.connection.clone(),
            session_id: consumer.session,
            value: consumer.value,
        };
        let mut command = std::mem::take(&mut self.dispatch);
        if let Command::MessageDispatch(dispatch) = &mut command {
            outbound::fill_dispatch(&mut self.names, dispatch, id, delivery, now);
        }
        self.say(&command);
        if let Command::MessageDispatch(dispatch) = &mut command
            && let Some(message) = dispatch.message.as_mut().and_then(Arc::get_mut)
        {
            // Only the shell is kept for the next delivery, not a body.
            message.content = None;
            message.marshalled_properties = None;
        }
        self.dispatch = command;
    }

    /// Encodes an answer.
    pub fn reply(&mut self, now: Now, tag: Tag, effect: Effect) {
        self.requests_in_flight = self.requests_in_flight.saturating_sub(1);
        if self.is_silent() {
            return;
        }
        let correlation_id = tag.0.cast_signed();
        let place = self.awaited.iter().position(|(awaited, _)| *awaited == tag);
        match place.map(|place| self.awaited.swap_remove(place).1) {
            Some(Awaited::Connect { answer }) => {
                return self.connected(answer.then_some(correlation_id), effect, now);
            }
            Some(Awaited::Durables) => return self.tell_durables(&effect),
            Some(Awaited::Consumer(id)) if matches!(effect, Effect::Failed(_)) => {
                self.registry.remove_consumer(id)
            }
            Some(Awaited::Producer(id)) if matches!(effect, Effect::Failed(_)) => {
                self.registry.remove_producer(id)
            }
            _ => {}
        }
        self.say(&outbound::response(correlation_id, effect));
    }

    /// A bridge that is told of nothing compares nothing.
    fn tell_durables(&mut self, effect: &Effect) {
        let Effect::Durables(durables) = effect else { return };
        let told = outbound::subscription_info(&mut self.names, &self.settings.broker, durables);
        self.say(&told);
    }

    /// The engine has taken the connection, or not.
    fn connected(&mut self, correlation_id: Option<i32>, effect: Effect, now: Now) {
        if let Effect::Failed(fault) = effect {
            let error = SessionError::Refused(fault.text.clone());
            return self.refuse(correlation_id, fault, error, now);
        }
        if self.phase == Phase::Connecting {
            self.phase = Phase::Connected;
        }
        if let Some(correlation_id) = correlation_id {
            self.say(&outbound::response(correlation_id, effect));
        }
        self.brokers_news = self.settings.cluster.as_ref().map(|cluster| cluster.news()).unwrap_or_default();
        if self.peer.manageable {
            // Who comes back has just moved.
            self.tell_brokers(!self.peer.reconnected);
        }
        if self.durables == Durables::Wanted {
            self.wants_durables();
        }
    }

    fn tell_brokers(&mut self, may_move: bool) {
        let (brokers, rebalance) = match &self.settings.cluster {
            Some(cluster) => {
                let (brokers, news) = cluster.next();
                self.brokers_news = news;
                (WireStr::from(brokers), cluster.rebalances() && may_move)
            }
            None => (WireStr::default(), false),
        };
        self.say(&outbound::connection_control(brokers, rebalance));
    }

    /// Other brokers have come or gone: a client that can follow is told (`ConnectionControl`, OpenWire 6 on), and at once,
    /// for it may need them in the next moment. Where clients are to spread and a broker has come, each waits for its turn
    /// to move, the connection's `place` among all, so that they do not move at once.
    pub fn brokers_changed(&mut self, now: Now, place: u32) {
        let Some(cluster) = &self.settings.cluster else { return };
        let follows = self.peer.fault_tolerant && !self.peer.network && self.version() >= 6;
        let (known, news) = (self.brokers_news, cluster.news());
        if self.phase != Phase::Connected || !follows || news.changes == known.changes {
            return;
        }
        let spreads = cluster.rebalances() && news.arrivals != known.arrivals;
        if !spreads && self.brokers_due.is_none() {
            return self.tell_brokers(false);
        }
        // Released clients move only for a list that is not the one they have: now they get the one without this broker,
        // and the whole one when it is their turn.
        let (others, news) = cluster.others();
        self.brokers_news = news;
        if !others.is_empty() {
            self.say(&outbound::connection_control(WireStr::from(others), false));
        }
        // Who waits for its turn already does not wait longer because there is more to tell.
        if self.brokers_due.is_none() {
            let due = now.mono + (MOVE_EVERY * place).min(MOVED_WITHIN);
            self.brokers_due = Some(due);
            self.brokers_late = due + PATIENCE_TO_MOVE;
        }
    }

    /// The broker that is linked to this one by this connection; once, and again when it introduces itself anew. Nothing
    /// before the engine has let it in.
    pub fn poll_peer(&mut self) -> Option<PeerBroker> {
        if self.phase == Phase::Connected { self.peer.broker.take() } else { None }
    }

    /// Says no to a whole connection, and gives the peer time to read it.
    pub(super) fn refuse(
        &mut self,
        correlation_id: Option<i32>,
        fault: Fault,
        error: SessionError,
        now: Now,
    ) {
        self.fail_request(correlation_id, fault);
        self.failure.get_or_insert(error);
        if self.phase != Phase::Finished {
            self.phase = Phase::Lingering(now.mono + self.settings.linger);
        }
        self.detach();
    }

    /// Tells the peer that a command failed; the connection goes on.
    pub(super) fn fail_request(&mut self, correlation_id: Option<i32>, fault: Fault) {
        match correlation_id {
            Some(correlation_id) => self.say(&outbound::response(correlation_id, Effect::Failed(fault))),
            None => self.say(&outbound::connection_error(&fault)),
        }
    }

    /// Encodes what the peer did not ask for.
    pub fn notify(&mut self, _now: Now, notice: Notice) {
        if self.is_silent() {
            return;
        }
        let command = match notice {
            Notice::ProducerWindow { producer, bytes } => wire::ProducerAck {
                producer_id: Some(self.names.wire_producer(&producer)),
                size: i32::try_from(bytes).unwrap_or(i32::MAX),
                ..Default::default()
            }
            .into(),
            Notice::Failure(fault) => outbound::connection_error(&fault),
            Notice::ConsumerClosed { consumer } => self.consumer_control(consumer, true, 0),
            Notice::PrefetchSet { consumer, prefetch } => {
                self.consumer_control(consumer, false, i32::try_from(prefetch).unwrap_or(i32::MAX))
            }
            Notice::TriedAgain { destination } => streams::again(&destination),
        };
        self.say(&command);
    }

    fn consumer_control(&self, consumer: LocalId, close: bool, prefetch: i32) -> Command {
        wire::ConsumerControl {
            consumer_id: Some(wire::ConsumerId {
                connection_id: self.peer.connection.clone(),
                session_id: consumer.session,
                value: consumer.value,
            }),
            close,
            prefetch,
            ..Default::default()
        }
        .into()
    }

    /// The engine wants the connection closed after what is on the way.
    pub fn close(&mut self, _now: Now, reason: &Fault) {
        if self.phase == Phase::Finished {
            return;
        }
        if self.phase != Phase::Greeting {
            self.say(&outbound::connection_error(reason));
        }
        self.fail(SessionError::Closed(reason.text.clone()));
    }

    /// The broker stops: says so to the peer and finishes.
    pub fn shutdown(&mut self, _now: Now) {
        if self.phase == Phase::Finished {
            return;
        }
        if self.phase != Phase::Greeting {
            self.say(&wire::ShutdownInfo::default().into());
        }
        self.finish();
    }

    /// A login that takes long, to be decided outside of the threads that serve connections; once for each.
    pub fn login_question(&mut self) -> Option<LoginQuestion> {
        self.applicant.as_mut()?.question.take()
    }

    /// Whether nothing is read because a login is being decided.
    pub fn awaits_login(&self) -> bool {
        self.phase == Phase::Checking
    }

    /// The answer to [`Session::login_question`]; poll for inputs after it.
    pub fn login_decided(&mut self, now: Now, decision: Result<(), LoginRefused>) {
        let Some(applicant) = self.applicant.take() else { return };
        if self.phase != Phase::Checking {
            return;
        }
        self.phase = Phase::Anonymous;
        self.monitor.resume(now.mono);
        self.enter(applicant.info, decision, now);
    }

    /// Nothing is read until the answer; the peer's silence is not held against it.
    pub(super) fn check_login(&mut self, info: wire::ConnectionInfo, question: LoginQuestion) {
        self.applicant = Some(Applicant { info, question: Some(question) });
        self.phase = Phase::Checking;
        self.monitor.pause();
    }

    /// The driver reads no more until [`Session::resume`]; silence is not held against the peer.
    pub fn pause(&mut self, _now: Now) {
        self.paused = true;
        self.monitor.pause();
    }

    /// The driver reads again.
    pub fn resume(&mut self, now: Now) {
        self.paused = false;
        self.monitor.resume(now.mono);
    }

    /// The socket has ended or failed.
    pub fn lost(&mut self) {
        self.finish();
    }

    /// Moves the encoded output behind what is in `out` (by swapping if `out` is empty); whether there was any.
    pub fn transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let any = !self.out.is_empty();
        if out.is_empty() {
            std::mem::swap(&mut self.out, out);
        } else {
            out.append(&mut self.out);
        }
        any
    }

    /// Bytes encoded and not yet taken by [`Session::transmit`].
    pub fn pending_bytes(&self) -> usize {
        self.out.len()
    }

    /// When to call [`Session::tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Finished => None,
            Phase::Lingering(until) => Some(until),
            _ => [self.monitor.next_deadline(), self.brokers_due].into_iter().flatten().min(),
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        if self.phase == Phase::Connected && self.brokers_due.is_some_and(|due| now.mono >= due) {
            if self.requests_in_flight > 0 && now.mono < self.brokers_late {
                // A commit whose answer is lost by a move would be in doubt for its application.
                self.brokers_due = Some(now.mono + MOVE_EVERY);
            } else {
                self.brokers_due = None;
                self.tell_brokers(true);
            }
        }
        match self.phase {
            Phase::Finished => {}
            Phase::Lingering(until) if now.mono >= until => self.finish(),
            Phase::Lingering(_) => {}
            _ => match self.monitor.tick(now.mono, self.out.is_empty()) {
                Some(Due::KeepAlive) => {
                    self.say(&wire::KeepAliveInfo::default().into());
                    self.monitor.kept_alive();
                }
                Some(Due::Fail(error)) => self.fail(error),
                None => {}
            },
        }
    }

    fn is_silent(&self) -> bool {
        matches!(self.phase, Phase::Lingering(_) | Phase::Finished)
    }

    fn fail_malformed(&mut self, error: &wire::Error) {
        if self.phase == Phase::Greeting {
            return self.fail(SessionError::NotOpenWire { found: error.to_string() });
        }
        let text = format!("the broker cannot read what came from {}: {error}", self.remote);
        self.say(&outbound::connection_error(&fault(FaultKind::Protocol, text)));
        self.fail(SessionError::Malformed(error.to_string()));
    }

    /// Ends the connection for a reason.
    pub(super) fn fail(&mut self, error: SessionError) {
        self.failure.get_or_insert(error);
        self.finish();
    }

    /// Ends the connection.
    pub(super) fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.detach();
    }

    fn detach(&mut self) {
        if std::mem::take(&mut self.attached) {
            self.inputs.push_back(Input::Detach { conn: self.conn });
        }
    }

    /// Whether nothing more is read or said: write what is left, close the socket, post the last inputs.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// Why the connection ended, if not by the peer's wish.
    pub fn failure(&self) -> Option<&SessionError> {
        self.failure.as_ref()
    }

    /// Whether the peers agreed to set `TCP_NODELAY`; `None` before the greeting.
    pub fn tcp_no_delay(&self) -> Option<bool> {
        (self.phase != Phase::Greeting).then(|| self.format.negotiated().tcp_no_delay)
    }

    /// The protocol's version; `None` before the greeting.
    pub(super) fn version(&self) -> u8 {
        self.format.negotiated().version
    }

    /// Where the peer is: `tcp://127.0.0.1:4711`.
    pub const fn remote(&self) -> &Text {
        &self.remote
    }

    /// For the log: the peer's client id, user and address as far as they are known.
    pub fn describe(&self) -> String {
        match (self.peer.connection.is_some(), &self.peer.user) {
            (false, _) => self.remote.to_string(),
            (true, None) => format!("{} (client id {})", self.remote, self.peer.client_id),
            (true, Some(user)) => format!("{} (client id {}, user {user})", self.remote, self.peer.client_id),
        }
    }
}

/// What a broker's greeting offers.
fn wire_options(settings: &SessionSettings) -> WireFormatOptions {
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    WireFormatOptions {
        version: i32::from(settings.version.clamp(1, 12)),
        stack_trace: settings.stack_trace,
        max_frame_size_enabled: settings.max_frame_size_enabled,
        tight_encoding: settings.tight_encoding,
        cache: settings.cache,
        // Less than 101 slots hang Java senders.
        cache_size: i32::try_from(settings.cache_size.clamp(101, 16_383)).unwrap_or(1_024),
        tcp_no_delay: settings.tcp_no_delay,
        max_frame_size: i64::try_from(settings.max_frame_size).unwrap_or(i64::MAX),
        max_inactivity_ms: millis(settings.max_inactivity),
        max_inactivity_initial_delay_ms: millis(settings.max_inactivity_initial_delay),
        ..WireFormatOptions::default()
    }
}

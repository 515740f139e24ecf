//! [`Bridge`]: the state machine between two brokers.

mod advisory;
mod durables;
mod report;
pub(crate) mod stream;
mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::{
    BrokerId, BrokerInfo, Command, ConnectionId, ConnectionInfo, ConsumerId, ConsumerInfo, Destination,
    Message, MessageDispatch, MessageId, NetworkBridgeFilter, ProducerId, ProducerInfo, SessionId,
    SessionInfo, Throwable, WireStr,
};

use crate::demand::Demand;
use crate::forward::grown;
use crate::ledger::{DestinationCounts, Ledger};
use crate::rivals::{Rivals, Wish};
use crate::{Settings, properties};

/// How long a subscription may wait for answers before it is ended (as in ActiveMQ).
const MOST_CLOSING: Duration = Duration::from_secs(30);

/// Which connection a command came from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The bridge's own, to the local broker.
    Local,
    /// The connection to the remote broker.
    Remote,
    /// Of a duplex bridge: to the local broker on behalf of the remote one.
    Inbound,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are commands, and none of them stays")]
pub enum Order {
    /// Send a command.
    Say(Side, Command),
    /// The bridge has come up.
    Up,
    /// Something for the operator's log.
    Warn(String),
    /// The bridge is over: close all connections.
    End(Ending),
}

/// Why a bridge is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The other end is this broker itself. Another try would find the same.
    Loop,
    /// A broker did not let the bridge in; the text says which, and why.
    Refused(String),
    /// A broker has ended the connection, or broken the protocol.
    Lost(String),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loop => f.write_str(
                "the other end is this broker itself, or a broker of the same name; name another one, and give each \
                 broker a name of its own",
            ),
            Self::Refused(text) | Self::Lost(text) => f.write_str(text),
        }
    }
}

/// What a bridge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the remote broker answered for.
    pub forwarded: u64,
    /// Messages that it refused for good; dead letters here.
    pub refused: u64,
    /// Messages under way.
    pub in_flight: u64,
    /// Messages that came from the remote broker over a duplex bridge.
    pub received: u64,
    /// Remote consumers that are known.
    pub consumers: u64,
    /// Local subscriptions that stand for them.
    pub subscriptions: u64,
    /// Subscriptions that are left to another way to the same consumers.
    pub suppressed: u64,
}

/// The broker at one end.
#[derive(Clone, Debug)]
struct Broker {
    id: BrokerId,
    name: String,
    /// Where clients find it, if it says so.
    url: Option<WireStr>,
    keeps_streams: bool,
}

/// A message whose answer is awaited, or that is to be tried again.
#[derive(Debug)]
struct Flight {
    subscription: i64,
    id: MessageId,
    destination: Destination,
    message: Arc<Message>,
    /// When it was handed to the bridge.
    since: Instant,
}

/// A subscription that is to be ended.
#[derive(Debug)]
struct Closing {
    /// It ends no later than this.
    until: Instant,
    /// Its durable name, if that is given up then.
    durable: Option<String>,
    /// It is there; one that was left to rivals is not.
    made: bool,
}

/// A bridge between two brokers; see the [crate].
#[derive(Debug)]
pub struct Bridge {
    settings: Settings,
    /// Part of ids: unique among all bridges at all times.
    seed: String,
    /// It is the other half of a peer's duplex bridge.
    mirror: bool,
    local: Option<Broker>,
    remote: Option<Broker>,
    local_ready: bool,
    remote_ready: bool,
    over: bool,
    stream: stream::Stream,
    local_session: SessionId,
    producer: ProducerId,
    advisories: ConsumerId,
    /// Advisories that were not acknowledged yet, of the remote broker and of the local one.
    unacknowledged: [u32; 2],
    /// The subscription by which the local broker tells of other bridges.
    local_advisories: Option<i64>,
    /// The client id at the local broker.
    local_client: String,
    /// What stands in advisories as the other end's address.
    remote_address: String,
    next_command: i32,
    demand: Demand,
    rivals: Rivals,
    durables: durables::Lists,
    ledger: Ledger,
    reported: i64,
    /// Remote consumers that came when the limit was reached.
    beyond: u64,
    flights: BTreeMap<i32, Flight>,
    /// Subscriptions that nobody needs any longer: ended when the last message of theirs that is under way was
    /// answered for, for the broker would hand out again what it was not told of.
    closing: BTreeMap<i64, Closing>,
    /// Messages that a broker had no room for, and when to try again.
    waiting: VecDeque<(Instant, Flight)>,
    counts: Counts,
    now: Instant,
    orders: VecDeque<Order>,
}

impl Bridge {
    /// A bridge that introduces itself to the remote broker. `seed` makes its ids unique: no other bridge of any
    /// process may ever use the same.
    pub fn new(settings: Settings, seed: &str) -> Self {
        Self {
            settings,
            seed: seed.to_owned(),
            mirror: false,
            local: None,
            remote: None,
            local_ready: false,
            remote_ready: false,
            over: false,
            stream: stream::Stream::None,
            local_session: SessionId::default(),
            producer: ProducerId::default(),
            advisories: ConsumerId::default(),
            unacknowledged: [0; 2],
            local_advisories: None,
            local_client: String::new(),
            remote_address: String::new(),
            next_command: 0,
            demand: Demand::default(),
            rivals: Rivals::default(),
            durables: durables::Lists::default(),
            ledger: Ledger::default(),
            reported: 0,
            beyond: 0,
            flights: BTreeMap::new(),
            closing: BTreeMap::new(),
            waiting: VecDeque::new(),
            counts: Counts::default(),
            now: Instant::default(),
            orders: VecDeque::new(),
        }
    }

    /// The other half of a peer's duplex bridge, over the connection on which `asked` came.
    pub fn mirror(asked: &BrokerInfo, seed: &str) -> Self {
        let text = asked.network_properties.as_ref().map(WireStr::to_str).unwrap_or_default();
        Self { mirror: true, ..Self::new(properties::read(&text), seed) }
    }

    /// Names the address of the other end, for the advisories about the bridge.
    #[must_use]
    pub fn to(mut self, address: &str) -> Self {
        address.clone_into(&mut self.remote_address);
        self
    }

    /// What it was told.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The name of the remote broker, once it has introduced itself.
    pub fn remote_name(&self) -> Option<&str> {
        self.remote.as_ref().map(|broker| broker.name.as_str())
    }

    /// The id of the remote broker, once it has introduced itself.
    pub fn remote_id(&self) -> Option<String> {
        self.remote.as_ref().map(|broker| broker.id.to_string())
    }

    /// Whether both brokers have let it in.
    pub fn is_up(&self) -> bool {
        self.local_ready && self.remote_ready && self.stream_settled()
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Counts {
            in_flight: count(self.flights.len() + self.waiting.len()),
            consumers: count(self.demand.consumers()),
            subscriptions: count(self.demand.subscriptions()),
            suppressed: count(self.rivals.left()),
            ..self.counts
        }
    }

    /// How long the message that has waited longest for its answer has waited by `now`.
    pub fn longest_wait(&self, now: Instant) -> Duration {
        let flights = self.flights.values().next().into_iter();
        let oldest = flights.chain(self.waiting.front().map(|(_, flight)| flight)).map(|flight| flight.since);
        oldest.min().map_or(Duration::ZERO, |since| now.since(since))
    }

    /// What went over it for each destination.
    pub fn destinations(&self) -> Vec<DestinationCounts> {
        self.ledger.counts()
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// When to call [`Bridge::tick`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        let closing = self.closing.values().map(|closing| closing.until).min();
        let forgetting = self.ledger.next_deadline(&self.settings);
        self.waiting.front().map(|(at, _)| *at).into_iter().chain(closing).chain(forgetting).min()
    }

    /// Time has passed: what had to wait is tried again.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        self.ledger.forget(&self.settings, now);
        while let Some((_, flight)) = self.waiting.pop_front_if(|(at, _)| *at <= now) {
            self.launch(flight);
        }
        let late = self.closing.iter().filter(|(_, closing)| closing.until <= now);
        let late: Vec<i64> = late.map(|(number, _)| *number).collect();
        for number in late {
            let open = self.flights.values().filter(|flight| flight.subscription == number).count();
            if self.has_stream() && open > 0 {
                // Both brokers know better what became of them.
                let text = format!("{open} messages whose consumer over there is gone were not answered for");
                return self.end(Ending::Lost(text));
            }
            let text = format!(
                "{open} messages whose consumer over there is gone were not answered for; they may come twice"
            );
            self.orders.push_back(Order::Warn(text));
            self.unsubscribe(number);
        }
    }

    /// A command came.
    pub fn handle(&mut self, side: Side, command: Command, now: Instant) {
        self.now = now;
        if self.over {
            return;
        }
        match (side, command) {
            (_, Command::ShutdownInfo(_)) => {
                self.end(Ending::Lost(format!("{} is stopping", self.name(side))))
            }
            (_, Command::ConnectionError(error)) => {
                let text = text_of(error.exception.as_deref());
                self.connection_failed(side, &text);
            }
            (Side::Inbound, command) => self.answer_remote(command),
            (Side::Local, Command::BrokerInfo(info)) => {
                self.local = broker(&info);
                self.introduce();
            }
            (Side::Local, Command::Response(response)) => self.local_answered(response.correlation_id, None),
            (Side::Local, Command::ExceptionResponse(response)) => {
                self.local_answered(response.correlation_id, response.exception.as_deref());
            }
            (Side::Local, Command::MessageDispatch(dispatch)) => self.dispatched(dispatch),
            (Side::Local, Command::BrokerSubscriptionInfo(info)) => self.list_local(info),
            (Side::Local, _) => {}
            (Side::Remote, Command::BrokerInfo(info)) => {
                self.remote = broker(&info);
                self.introduce();
            }
            (Side::Remote, Command::Response(response)) => {
                self.remote_answered(response.correlation_id, None)
            }
            (Side::Remote, Command::ExceptionResponse(response)) => {
                self.remote_answered(response.correlation_id, response.exception.as_deref());
            }
            (Side::Remote, Command::DataResponse(response)) if self.stream_reported(&response) => {}
            (Side::Remote, Command::MessageDispatch(dispatch)) => self.advised(&dispatch),
            (Side::Remote, Command::BrokerSubscriptionInfo(info)) => self.list_remote(info),
            (Side::Remote, command) => self.take_remote(command),
        }
    }

    /// A connection is gone.
    pub fn lost(&mut self, side: Side, reason: &str) {
        let text = format!("{}: {reason}", self.name(side));
        self.end(Ending::Lost(text));
    }

    fn name(&self, side: Side) -> &'static str {
        match side {
            Side::Local | Side::Inbound => "the local broker",
            Side::Remote => "the remote broker",
        }
    }

    fn connection_failed(&mut self, side: Side, text: &str) {
        let text = format!("{} says: {text}", self.name(side));
        let ending = if self.is_up() { Ending::Lost(text) } else { Ending::Refused(text) };
        self.end(ending);
    }

    fn end(&mut self, ending: Ending) {
        if !std::mem::replace(&mut self.over, true) {
            if self.is_up() {
                self.tell_bridge(false);
            }
            self.orders.push_back(Order::End(ending));
        }
    }

    fn say(&mut self, side: Side, command: impl Into<Command>) {
        self.orders.push_back(Order::Say(side, command.into()));
    }

    fn command_id(&mut self) -> i32 {
        self.next_command = self.next_command.checked_add(1).unwrap_or(1);
        self.next_command
    }

    /// Logs in at both brokers, once both are known.
    fn introduce(&mut self) {
        let (Some(local), Some(remote)) = (self.local.clone(), self.remote.clone()) else { return };
        if self.producer.connection_id.is_some() {
            return;
        }
        if local.id == remote.id || local.name == remote.name {
            return self.end(Ending::Loop);
        }
        let with_stream = self.wants_stream(&local, &remote);
        let ids = if self.settings.names_in_ids {
            format!("{}->{}-{}", local.name, remote.name, self.seed)
        } else {
            format!("ID:{}", self.seed)
        };
        self.log_in_locally(&format!("{ids}:1"), &local, &remote);
        if with_stream && self.settings.duplex && !self.mirror {
            // So that the other half may speak of its own stream.
            self.say(Side::Inbound, BrokerInfo { network_connection: true, ..Default::default() });
        }
        self.log_in_remotely(&format!("{ids}:2"), &local);
        if with_stream {
            self.open_stream(&local, &remote);
        } else {
            self.subscribe_statically();
            self.listen_remotely();
        }
        if self.remote_ready {
            self.came_up();
        }
    }

    fn log_in_locally(&mut self, connection: &str, local: &Broker, remote: &Broker) {
        let token = &self.settings.client_id_token;
        let client = [&*self.settings.name, &remote.name, "inbound", &local.name].join(token);
        let command_id = self.command_id();
        let login = self.settings.local_login.clone();
        self.local_client.clone_from(&client);
        let mut properties = format!("maxHops={}\n", self.settings.max_hops);
        if !self.settings.static_bridge {
            // Asks for the durable subscriptions, as a bridge asks at the other end.
            properties.push_str("syncDurableSubs=true\ndynamicallyIncludedDestinations=[topic\\://>]\n");
        }
        // The local broker tells its clients where the remote one is.
        let info = BrokerInfo {
            broker_name: Some(WireStr::from(remote.name.as_str())),
            broker_url: remote.url.clone(),
            network_connection: true,
            network_properties: Some(WireStr::from(properties)),
            ..Default::default()
        };
        self.say(Side::Local, info);
        self.say(
            Side::Local,
            ConnectionInfo {
                command_id,
                response_required: true,
                connection_id: Some(ConnectionId::new(connection)),
                client_id: Some(WireStr::from(client)),
                user_name: login.as_ref().map(|login| WireStr::from(login.user.as_str())),
                password: login.as_ref().map(|login| WireStr::from(login.password.as_str())),
                client_master: true,
                ..Default::default()
            },
        );
        self.local_session = SessionId::new(connection, 1);
        self.say(
            Side::Local,
            SessionInfo { session_id: Some(self.local_session.clone()), ..Default::default() },
        );
        self.listen_locally();
    }

    fn subscribe_statically(&mut self) {
        for rule in self.settings.statically_included.clone() {
            let destination = rule.destination();
            if self.settings.permits(&destination) {
                let number = self.demand.fix(destination.clone(), rule.selector());
                let info =
                    ConsumerInfo { selector: rule.selector().map(WireStr::from), ..Default::default() };
                self.subscribe(number, Wish { destination, info, durable: None });
            }
        }
    }

    fn log_in_remotely(&mut self, connection: &str, local: &Broker) {
        let duplex = self.settings.duplex && !self.mirror;
        if !self.mirror {
            let info = BrokerInfo {
                command_id: self.command_id(),
                broker_id: Some(local.id.clone()),
                broker_name: Some(WireStr::from(local.name.as_str())),
                broker_url: local.url.clone(),
                network_connection: true,
                duplex_connection: duplex,
                network_properties: Some(WireStr::from(properties::write(
                    &self.settings,
                    local.keeps_streams,
                ))),
                ..Default::default()
            };
            self.say(Side::Remote, info);
        }
        let token = &self.settings.client_id_token;
        let client = [&*self.settings.name, &local.name, "outbound"].join(token);
        // ActiveMQ passes the commands of a duplex bridge on to itself, and then nobody answers.
        let answered = !duplex && !self.mirror;
        let login = self.settings.remote_login.clone();
        let command_id = self.command_id();
        self.say(
            Side::Remote,
            ConnectionInfo {
                command_id,
                response_required: answered,
                connection_id: Some(ConnectionId::new(connection)),
                client_id: Some(WireStr::from(client)),
                user_name: login.as_ref().map(|login| WireStr::from(login.user.as_str())),
                password: login.as_ref().map(|login| WireStr::from(login.password.as_str())),
                client_master: true,
                ..Default::default()
            },
        );
        let session = SessionId::new(connection, 1);
        self.producer = ProducerId::new(&session, 1);
        self.advisories = ConsumerId::new(&session, 1);
        let command_id = self.command_id();
        self.say(Side::Remote, SessionInfo { command_id, session_id: Some(session), ..Default::default() });
        let (command_id, producer_id) = (self.command_id(), Some(self.producer.clone()));
        self.say(Side::Remote, ProducerInfo { command_id, producer_id, ..Default::default() });
        if !answered {
            self.remote_ready = true;
        }
    }

    fn listen_remotely(&mut self) {
        if !self.settings.static_bridge {
            let info = ConsumerInfo {
                command_id: self.command_id(),
                consumer_id: Some(self.advisories.clone()),
                destination: Some(Destination::topic(self.settings.advisory_topics())),
                prefetch_size: i32::try_from(self.advisory_prefetch()).unwrap_or(i32::MAX),
                dispatch_async: true,
                ..Default::default()
            };
            self.say(Side::Remote, info);
        }
    }

    fn advisory_prefetch(&self) -> u32 {
        match self.settings.advisory_prefetch {
            0 => self.settings.prefetch.max(1),
            prefetch => prefetch,
        }
    }

    fn came_up(&mut self) {
        if self.is_up() {
            self.orders.push_back(Order::Up);
            self.tell_bridge(true);
        }
    }

    fn local_answered(&mut self, request: i32, refusal: Option<&Throwable>) {
        if self.stream_answered(Side::Local, request, refusal) {
            return;
        }
        match refusal {
            // Only the login is asked about before the bridge is up.
            None if !self.local_ready => {
                self.local_ready = true;
                self.came_up();
            }
            None => {}
            Some(reason) if !self.local_ready => {
                let text = format!("the local broker does not let the bridge in: {}", text_of(Some(reason)));
                self.end(Ending::Refused(text));
            }
            Some(reason) => {
                let text = format!(
                    "the local broker refused a subscription, or the end of one: {}",
                    text_of(Some(reason))
                );
                self.orders.push_back(Order::Warn(text));
            }
        }
    }

    /// Subscribes at the local broker for what is wanted over there.
    fn subscribe(&mut self, number: i64, wish: Wish) {
        let Some(target) = self.remote.as_ref().map(|broker| broker.id.clone()) else { return };
        let Wish { destination, info: remote, durable } = wish;
        let path = grown(remote.broker_path.as_deref(), &target);
        let topic = matches!(
            destination.kind,
            ferromq_openwire::DestinationKind::Topic | ferromq_openwire::DestinationKind::TempTopic
        );
        let fixed = self.demand.subscription(number).is_some_and(|found| found.fixed);
        let command_id = self.command_id();
        let known = remote.network_consumer_path.as_deref().unwrap_or_default().iter();
        let network_path = known.chain(&remote.consumer_id).cloned().collect();
        let info = ConsumerInfo {
            command_id,
            response_required: true,
            consumer_id: Some(ConsumerId::new(&self.local_session, number)),
            priority: self.priority(remote.priority, path.len()),
            // One copy goes over the link whoever wants it, and the remote broker selects.
            selector: remote.selector.filter(|_| !topic || fixed || !self.settings.conduit),
            subscription_name: durable.map(WireStr::from),
            destination: Some(destination),
            prefetch_size: i32::try_from(self.settings.prefetch.max(1)).unwrap_or(i32::MAX),
            dispatch_async: self.settings.dispatch_async,
            network_subscription: true,
            broker_path: Some(path),
            network_consumer_path: Some(network_path),
            additional_predicate: Some(Arc::new(
                NetworkBridgeFilter {
                    network_broker_id: Some(target),
                    message_ttl: self.settings.message_ttl,
                    consumer_ttl: self.settings.consumer_ttl,
                    ..Default::default()
                }
                .into(),
            )),
            ..Default::default()
        };
        self.say(Side::Local, info);
    }

    /// One broker away −5, two −8, three −9: who is nearer is served first (`decreaseNetworkConsumerPriority`).
    fn priority(&self, own: i8, hops: usize) -> i8 {
        if !self.settings.decrease_priority {
            return own;
        }
        let far = if hops > 1 { i8::try_from(hops + 1).unwrap_or(i8::MAX) } else { 0 };
        self.settings.priority_base.saturating_sub(far)
    }

    fn dispatch_ack(&self, dispatch: &MessageDispatch) -> Option<Flight> {
        let message = dispatch.message.clone()?;
        Some(Flight {
            subscription: dispatch.consumer_id.as_ref()?.value,
            id: message.message_id.clone()?,
            destination: dispatch.destination.clone().or_else(|| message.destination.clone())?,
            message,
            since: self.now,
        })
    }
}

fn broker(info: &BrokerInfo) -> Option<Broker> {
    Some(Broker {
        id: info.broker_id.clone()?,
        name: info.broker_name.as_ref().map(ToString::to_string).unwrap_or_default(),
        url: info.broker_url.clone(),
        keeps_streams: properties::has(info.network_properties.as_ref(), stream::KEEPS_STREAMS),
    })
}

fn text_of(reason: Option<&Throwable>) -> String {
    reason.map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

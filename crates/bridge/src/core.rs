//! [`Bridge`]: the state machine between two brokers.

mod advisory;
mod clocks;
mod copies;
mod durables;
mod login;
mod order;
mod report;
pub(crate) mod stream;
mod subscription;
mod traffic;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::{
    BrokerId, BrokerInfo, Command, ConsumerId, ProducerId, SessionId, Throwable, WireStr,
};

use self::login::broker;
pub use self::order::{Counts, Ending, Order, Side};
use self::subscription::Closing;
use self::traffic::Flight;
use crate::demand::Demand;
use crate::ledger::{DestinationCounts, Ledger};
use crate::rivals::Rivals;
use crate::{Settings, properties};

/// With so much under way to the remote broker no more is taken from the local one.
const MOST_IN_FLIGHT_BYTES: usize = 256 << 20;

/// The broker at one end.
#[derive(Clone, Debug)]
struct Broker {
    id: BrokerId,
    name: String,
    /// Where clients find it, if it says so.
    url: Option<WireStr>,
    keeps_streams: bool,
    turns_back: bool,
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
    unacknowledged: advisory::Unacknowledged,
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
    copies: copies::Copies,
    clocks: clocks::Clocks,
    ledger: Ledger,
    reported: i64,
    /// Remote consumers that came when the limit was reached.
    beyond: u64,
    flights: BTreeMap<i32, Flight>,
    /// The bodies of those, and of those that wait.
    in_flight_bytes: usize,
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
            unacknowledged: advisory::Unacknowledged::default(),
            local_advisories: None,
            local_client: String::new(),
            remote_address: String::new(),
            next_command: 0,
            demand: Demand::default(),
            rivals: Rivals::default(),
            durables: durables::Lists::default(),
            copies: copies::Copies::default(),
            clocks: clocks::Clocks::default(),
            ledger: Ledger::default(),
            reported: 0,
            beyond: 0,
            flights: BTreeMap::new(),
            in_flight_bytes: 0,
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

    /// Whether as much is under way as may be: what the local broker hands out is to wait.
    pub fn is_full(&self) -> bool {
        self.in_flight_bytes >= MOST_IN_FLIGHT_BYTES
    }

    /// How long the message that has waited longest for its answer has waited by `now`.
    pub fn longest_wait(&self, now: Instant) -> Duration {
        // One that was sent again has a later number than those that came after it.
        let flights = self.flights.values().chain(self.waiting.iter().map(|(_, flight)| flight));
        flights.map(|flight| flight.since).min().map_or(Duration::ZERO, |since| now.since(since))
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
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(flight.bytes());
            self.launch(flight);
        }
        self.end_late(now);
    }

    /// A command came.
    pub fn handle(&mut self, side: Side, command: Command, now: Instant) {
        self.now = now;
        if self.over {
            return;
        }
        match (side, command) {
            (_, Command::ShutdownInfo(_)) => self.end(Ending::Lost(format!("{} is stopping", side.broker()))),
            (_, Command::ConnectionError(error)) => {
                let text = text_of(error.exception.as_deref());
                self.connection_failed(side, &text);
            }
            (Side::Inbound, command) => self.answer_remote(command),
            (Side::Local, Command::BrokerInfo(info)) => {
                self.local = self.local.take().or_else(|| broker(&info));
                self.introduce();
            }
            (Side::Local, Command::Response(response)) => self.local_answered(response.correlation_id, None),
            (Side::Local, Command::ExceptionResponse(response)) => {
                self.local_answered(response.correlation_id, response.exception.as_deref());
            }
            (Side::Local, Command::MessageDispatch(dispatch)) => self.dispatched(dispatch),
            (Side::Local, Command::BrokerSubscriptionInfo(info)) => self.list_local(info),
            (Side::Local, Command::ControlCommand(command)) => self.tried_again(command),
            (Side::Local, _) => {}
            (Side::Remote, Command::BrokerInfo(info)) => {
                self.remote = self.remote.take().or_else(|| broker(&info));
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
        let text = format!("{}: {reason}", side.broker());
        self.end(Ending::Lost(text));
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
}

fn text_of(reason: Option<&Throwable>) -> String {
    reason.map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

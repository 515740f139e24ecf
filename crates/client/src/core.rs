//! The planner: what the application wants and what the broker sends, turned into bytes and events, without IO.
//!
//! Whoever drives it appends what it reads to [`Core::read_buffer`] and calls [`Core::received`], writes
//! [`Core::output`], calls the orders (`send`, `open_consumer`, …) and takes [`Core::next_event`]. Time is an
//! argument; [`Core::next_deadline`] says when [`Core::tick`] is due.
//!
//! `T` is whatever the driver wants to have back when an answer comes: a channel, or a number in tests.
//!
//! Invariant: every token given to an order comes back in exactly one [`Event::Answered`], also when the connection
//! ends.
//! Invariant: what is kept for a consumer is bounded by its window; a broker that ignores it is cut off.

mod ack;
mod audit;
mod consumer;
mod inbound;
mod orders;
mod pending;
mod recovery;
mod session;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ferromq_model::{Instant, Now};
use ferromq_openwire::{
    Command, ConnectionControl, ConnectionId, ConnectionInfo, Destination, Error as WireError, WireStr,
};

use self::consumer::Consumer;
pub use self::consumer::ConsumerSpec;
use self::pending::{Pending, What};
use self::recovery::Recovery;
use self::session::{Producer, Session};
use crate::error::{Error, Result};
use crate::link::{Link, Vital};
use crate::message::Delivery;
use crate::settings::ConnectOptions;

/// A session of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub(crate) i64);

/// A consumer of this connection; unique over all its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerKey(pub(crate) i64);

/// A producer of this connection; unique over all its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerKey(pub(crate) i64);

/// When messages count as consumed (JMS 1.1 §4.4.11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckMode {
    /// As soon as the application has taken a message.
    #[default]
    Auto,
    /// When the application says so: everything taken up to that message.
    Client,
    /// When the application says so: that message alone (an extension of ActiveMQ).
    Individual,
    /// Some time after the application has taken it, many at once.
    DupsOk,
    /// When the transaction of the session commits.
    Transacted,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<T> {
    /// The broker took us; orders may be given.
    Opened,
    /// The answer to an order.
    Answered {
        /// What was given with the order.
        token: T,
        /// What the broker said.
        result: Result<()>,
    },
    /// A message for a consumer.
    Delivered {
        /// Whose.
        consumer: ConsumerKey,
        /// The message.
        delivery: Delivery,
    },
    /// Messages come back after a rollback, before all others of that consumer, which pauses.
    Returned {
        /// Whose.
        consumer: ConsumerKey,
        /// The messages in their old order.
        deliveries: Vec<Delivery>,
    },
    /// The pause of a consumer is over.
    Resumed {
        /// Which.
        consumer: ConsumerKey,
    },
    /// A browser has seen everything, or a pull found nothing.
    Drained {
        /// Which.
        consumer: ConsumerKey,
    },
    /// The broker closed a consumer.
    ConsumerClosed {
        /// Which.
        consumer: ConsumerKey,
        /// Why.
        error: Error,
    },
    /// A one-way message was taken off the window of its producer.
    Room {
        /// Which.
        producer: ProducerKey,
        /// How much the message had taken.
        bytes: u32,
    },
    /// A failure that belongs to no request.
    Failed(Error),
    /// The transport is lost and another is wanted, to be attached. Before that, say with [`Core::consumed`] what
    /// the application took; what it did not take will come again.
    Suspended(Error),
    /// The broker says which other brokers there are, or where to go.
    Advised(Box<ConnectionControl>),
    /// The connection is over; nothing happens any more.
    Closed(Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Without a transport, and waiting for one.
    Away,
    /// Waiting for the broker's greeting.
    Greeting,
    /// Waiting for the answer to `ConnectionInfo`.
    Login,
    /// Everything of before is told to another broker.
    Restoring,
    Open,
    Closing,
    Closed,
}

/// How much may wait to be written before orders have to wait.
const HIGH_WATER: usize = 256 << 10;

/// One connection to one broker; see the head of this file.
pub struct Core<T> {
    link: Link,
    options: ConnectOptions,
    name: Arc<str>,
    connection_id: WireStr,
    client_id: WireStr,
    phase: Phase,
    login_deadline: Option<Instant>,
    last_command: i32,
    last_key: i64,
    last_transaction: i64,
    last_temporary: i64,
    pending: Pending<T>,
    sessions: BTreeMap<i64, Session>,
    producers: BTreeMap<i64, Producer>,
    consumers: BTreeMap<i64, Consumer>,
    events: VecDeque<Event<T>>,
    /// What another broker will need to know; nothing without a failover policy.
    recovery: Option<Recovery<T>>,
    /// Commits of sessions that wait for messages to come again, and until when.
    late: BTreeMap<i64, (Instant, Option<T>)>,
}

impl<T> Core<T> {
    /// A connection whose greeting waits to be written; with a failover policy, one that waits for a transport
    /// to be attached. The connection id has to be unique in the world, such as
    /// `ID:host-4711-1795460772787-1:1`.
    ///
    /// # Errors
    /// The options make no greeting.
    pub fn new(options: ConnectOptions, connection_id: impl Into<WireStr>, now: Now) -> Result<Self> {
        let name: Arc<str> = Arc::from(options.uri.as_str());
        let connection_id = connection_id.into();
        let client_id = options.client_id.as_ref().map_or_else(|| connection_id.clone(), WireStr::from);
        let recovery = options.failover.as_ref().map(Recovery::new);
        let link = match recovery {
            Some(_) => Link::severed(),
            None => Link::new(options.wire_format.clone(), options.limits.clone())
                .map_err(|source| Error::Encode { destination: name.to_string(), source })?,
        };
        let away = recovery.is_some();
        Ok(Self {
            link,
            login_deadline: (!away).then(|| now.mono + options.connect_timeout),
            options,
            name,
            connection_id,
            client_id,
            phase: if away { Phase::Away } else { Phase::Greeting },
            last_command: 0,
            last_key: 0,
            last_transaction: 0,
            last_temporary: 0,
            pending: Pending::default(),
            sessions: BTreeMap::new(),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            events: VecDeque::new(),
            recovery,
            late: BTreeMap::new(),
        })
    }

    /// Where the transport appends what it reads.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        self.link.read_buffer()
    }

    /// Handles what the transport has read.
    pub fn received(&mut self, now: Now) {
        self.link.heard();
        while !matches!(self.phase, Phase::Closed | Phase::Away) {
            match self.link.next_command(now.mono) {
                Ok(Some(command)) => self.handle(command, now),
                Ok(None) => return,
                Err(source) => return self.fail_protocol(source.to_string()),
            }
        }
    }

    /// What waits to be written.
    pub fn output(&self) -> &[u8] {
        self.link.output()
    }

    /// The transport took so many bytes of the output.
    pub fn written(&mut self, bytes: usize) {
        self.link.written(bytes);
    }

    /// Whether so much is under way that new orders have to wait. Acknowledgements need not.
    pub fn is_congested(&self) -> bool {
        self.output().len() >= HIGH_WATER || self.pending.len() >= self.options.max_in_flight
    }

    /// Whether orders have to wait because there is no broker to give them to.
    pub fn is_away(&self) -> bool {
        self.recovery.is_some()
            && matches!(self.phase, Phase::Away | Phase::Greeting | Phase::Login | Phase::Restoring)
    }

    /// Whether a transport is wanted, to be attached.
    pub fn is_detached(&self) -> bool {
        self.phase == Phase::Away
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// What happened next.
    pub fn next_event(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }

    /// The name under which the broker introduced itself.
    pub fn broker_name(&self) -> Option<&WireStr> {
        self.link.broker_name()
    }

    /// The options in force.
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }

    /// When [`Core::tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let consumers = self.consumers.values().filter_map(Consumer::deadline).min();
        let late = self.late.values().map(|(until, _)| *until).min().filter(|_| self.phase == Phase::Open);
        [self.login_deadline, self.link.next_deadline(), consumers, late].into_iter().flatten().min()
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Now) {
        if matches!(self.phase, Phase::Closed | Phase::Away) {
            return;
        }
        if self.login_deadline.is_some_and(|deadline| now.mono >= deadline) {
            let (uri, after) = (Arc::clone(&self.name), self.options.connect_timeout);
            return self.end(Error::Timeout { uri, what: "log in".into(), after });
        }
        if let Vital::Silent(time) = self.link.tick(now.mono) {
            return self.lost(&format!("it was silent for more than {time:?}"));
        }
        self.tick_consumers(now);
        self.end_waits(now);
    }

    /// The transport ended.
    pub fn lost(&mut self, reason: &str) {
        if !matches!(self.phase, Phase::Closed | Phase::Away) {
            self.end(self.closed(reason));
        }
    }

    fn closed(&self, reason: &str) -> Error {
        Error::Closed { uri: Arc::clone(&self.name), reason: Arc::from(reason) }
    }

    fn fail_protocol(&mut self, reason: String) {
        self.end(Error::Protocol { uri: Arc::clone(&self.name), reason });
    }

    /// The transport is of no use any more: another one is wanted, or nothing comes after this.
    fn end(&mut self, error: Error) {
        if self.recovery.is_some() && !matches!(self.phase, Phase::Closing | Phase::Closed) {
            return self.suspend(error);
        }
        self.finish(error);
    }

    /// Nothing comes after this: everybody who waits is told.
    fn finish(&mut self, error: Error) {
        self.phase = Phase::Closed;
        // Whoever fails over asks no next broker to end what ended with the last one.
        let gone = self.recovery.is_some();
        let limbo = self.recovery.take().map(Recovery::waiting).unwrap_or_default();
        let late = std::mem::take(&mut self.late).into_values().filter_map(|(_, token)| token);
        for token in limbo.into_iter().chain(late) {
            self.events.push_back(Event::Answered { token, result: Err(error.clone()) });
        }
        self.login_deadline = None;
        for (_, what, token) in self.pending.drain_all() {
            let result = if gone && matches!(what, What::Close) { Ok(()) } else { Err(error.clone()) };
            self.events.extend(token.map(|token| Event::Answered { token, result }));
        }
        for (key, _) in std::mem::take(&mut self.consumers) {
            self.events.push_back(Event::ConsumerClosed { consumer: ConsumerKey(key), error: error.clone() });
        }
        self.sessions.clear();
        self.producers.clear();
        self.events.push_back(Event::Closed(error));
    }

    fn greeted(&mut self) {
        let text = |value: &Option<String>| value.as_ref().map(WireStr::from);
        let info = ConnectionInfo {
            connection_id: Some(self.id()),
            client_id: Some(self.client_id.clone()),
            user_name: text(&self.options.user),
            password: text(&self.options.password),
            manageable: true,
            client_master: true,
            fault_tolerant: self.recovery.is_some(),
            failover_reconnect: self.recovery.as_ref().is_some_and(|recovery| recovery.was_open),
            ..ConnectionInfo::default()
        };
        self.phase = Phase::Login;
        if self.recovery.is_some() {
            self.tell(ConnectionControl { fault_tolerant: true, ..ConnectionControl::default() });
        }
        self.request(info, What::Login, None);
    }

    fn id(&self) -> ConnectionId {
        ConnectionId { value: Some(self.connection_id.clone()) }
    }

    fn next_key(&mut self) -> i64 {
        self.last_key += 1;
        self.last_key
    }

    fn next_command(&mut self) -> i32 {
        // Java wraps as well; 0 stands for commands that nobody numbers.
        self.last_command = self.last_command.checked_add(1).unwrap_or(1);
        self.last_command
    }

    /// Sends a command that is answered, and remembers who waits for it.
    fn request<C: Numbered>(&mut self, mut command: C, what: What, token: Option<T>) {
        let number = self.next_command();
        command.number(number, true);
        match self.link.push(&command.into()) {
            Ok(()) => self.pending.insert(number, what, token),
            Err(source) => self.refuse(token, Error::Encode { destination: what.to_string(), source }),
        }
    }

    /// Sends a command that nobody waits for.
    fn one_way<C: Numbered>(&mut self, mut command: C) -> Result<(), WireError> {
        let number = self.next_command();
        command.number(number, false);
        self.link.push(&command.into())
    }

    /// Like `one_way`, for commands made of nothing that could be too long by itself.
    fn tell<C: Numbered>(&mut self, command: C) {
        if let Err(source) = self.one_way(command) {
            let destination = self.name.to_string();
            self.events.push_back(Event::Failed(Error::Encode { destination, source }));
        }
    }

    fn answer(&mut self, token: Option<T>, result: Result<()>) {
        if let Some(token) = token {
            self.events.push_back(Event::Answered { token, result });
        }
    }

    /// Tells whoever waits, or if nobody does, the connection's listener.
    fn refuse(&mut self, token: Option<T>, error: Error) {
        match token {
            Some(token) => self.events.push_back(Event::Answered { token, result: Err(error) }),
            None => self.events.push_back(Event::Failed(error)),
        }
    }

    /// Gives the token back if orders cannot be taken now.
    fn ready(&mut self, token: Option<T>) -> Option<Option<T>> {
        if self.phase == Phase::Open {
            return Some(token);
        }
        let error = self.closed("it is not open");
        self.refuse(token, error);
        None
    }
}

/// Commands that begin with a number and whether an answer is wanted.
trait Numbered: Into<Command> {
    fn number(&mut self, id: i32, respond: bool);
}

macro_rules! numbered {
    ($($name:ident),*) => {
        $( impl Numbered for ferromq_openwire::$name {
            fn number(&mut self, id: i32, respond: bool) {
                self.command_id = id;
                self.response_required = respond;
            }
        } )*
    };
}

numbered!(
    ConnectionControl,
    ConsumerControl,
    ConnectionInfo,
    ConsumerInfo,
    DestinationInfo,
    MessageAck,
    MessagePull,
    ProducerInfo,
    RemoveInfo,
    RemoveSubscriptionInfo,
    SessionInfo,
    ShutdownInfo,
    TransactionInfo
);

/// A duration, or nothing if it is none.
fn some_time(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

/// For texts: `queue://orders`, or the anonymous one.
fn shown(destination: Option<&Destination>) -> String {
    destination.map_or_else(|| "no destination".to_owned(), ToString::to_string)
}

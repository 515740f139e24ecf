//! [`View`]: what an administrator, a test or a metric may see of the engine; a copy, made when asked for.

use ferromq_model::{ConnectionFacts, ConsumerFacts, Destination, SubscriptionName};

use crate::ConnId;

/// A picture of the engine at one moment.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Every destination, by kind and name.
    pub destinations: Vec<DestinationView>,
    /// Every durable subscription, by name.
    pub durables: Vec<DurableView>,
    /// Every connection, by number.
    pub connections: Vec<ConnectionView>,
    /// Every consumer, by connection and id.
    pub consumers: Vec<ConsumerView>,
    /// The whole broker.
    pub broker: BrokerView,
}

impl View {
    /// The view of one destination.
    pub fn destination(&self, destination: &Destination) -> Option<&DestinationView> {
        self.destinations.iter().find(|view| view.destination == *destination)
    }
}

/// Counters of one destination since the engine began. For a queue
/// `recovered + enqueued = acknowledged + expired + dead_lettered + discarded + held`; for a topic the same holds
/// of the copies made for its subscribers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Found in the store at the start.
    pub recovered: u64,
    /// Accepted, for a topic copies made for subscribers.
    pub enqueued: u64,
    /// Handed to consumers, repetitions included.
    pub dispatched: u64,
    /// Consumed.
    pub acknowledged: u64,
    /// Gone by age, and not kept as dead letters.
    pub expired: u64,
    /// Moved to a dead letter queue.
    pub dead_lettered: u64,
    /// Dropped by a named rule: slow consumer, discarding strategy, removal of destination or subscription.
    pub discarded: u64,
    /// Repetitions recognised and dropped.
    pub duplicates: u64,
}

/// One destination.
#[derive(Clone, Debug)]
pub struct DestinationView {
    /// Which.
    pub destination: Destination,
    /// What happened.
    pub counters: Counters,
    /// Messages held now, in memory, in the store, or with consumers.
    pub held: u64,
    /// Of those, handed to consumers and not acknowledged.
    pub in_flight: u64,
    /// Messages sent here, counted once whatever the number of subscribers.
    pub sent: u64,
    /// Bytes charged in memory.
    pub memory_bytes: u64,
    /// Bytes charged in the store.
    pub store_bytes: u64,
    /// Bytes charged for what waits in the spool, or is on its way there.
    pub spool_bytes: u64,
    /// Consumers, browsers not counted.
    pub consumers: usize,
    /// Registered producers.
    pub producers: usize,
    /// Sends that wait for room.
    pub blocked_sends: usize,
}

/// One durable subscription.
#[derive(Clone, Debug)]
pub struct DurableView {
    /// Client id and name.
    pub name: SubscriptionName,
    /// The topic or pattern.
    pub topic: Destination,
    /// Its selector.
    pub selector: Option<String>,
    /// Whether a consumer is there.
    pub active: bool,
    /// Messages that wait, those with the consumer included.
    pub held: u64,
}

/// The stream of messages to another broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// `sender>receiver/connector`, the first two by the ids of their stores.
    pub name: String,
    /// Whether a link has it. If none has, what is under way is held: it may have arrived over there.
    pub linked: bool,
    /// Messages that have a position and are not known to have arrived.
    pub under_way: u64,
    /// Destinations for which the other end has no room, sorted; of very many the first ones.
    pub without_room: Vec<String>,
}

/// A stream of either direction, as operators see it who may forget it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// `sender>receiver/connector`, the first two by the ids of their stores.
    pub name: String,
    /// The messages come from the other broker.
    pub incoming: bool,
    /// Whether a link has it.
    pub linked: bool,
    /// Of a stream to another broker: messages that are not known to have arrived; of one from there: positions that
    /// are remembered.
    pub positions: u64,
    /// How long ago a link had it; `None` if none has since this broker became the master.
    pub heard: Option<std::time::Duration>,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnectionView {
    /// Its number.
    pub conn: ConnId,
    /// Who it is, once it said so.
    pub facts: Option<std::sync::Arc<ConnectionFacts>>,
    /// Its sessions.
    pub sessions: usize,
    /// Its consumers.
    pub consumers: usize,
    /// Its producers.
    pub producers: usize,
    /// Its open transactions.
    pub transactions: usize,
    /// Whether its way out is full.
    pub congested: bool,
    /// Whether it is not read from, since a producer has to wait.
    pub paused: bool,
}

/// One consumer.
#[derive(Clone, Debug)]
pub struct ConsumerView {
    /// Its connection.
    pub conn: ConnId,
    /// What it asked for.
    pub facts: std::sync::Arc<ConsumerFacts>,
    /// Messages handed to it and not acknowledged.
    pub unacknowledged: usize,
    /// Messages that wait in memory for it alone (topics).
    pub pending: usize,
    /// Messages handed to it in all.
    pub dispatched: u64,
    /// Its window.
    pub prefetch: u32,
}

/// The whole broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerView {
    /// Bytes of messages that exist in memory alone.
    pub memory_bytes: u64,
    /// Bytes of bodies that could be loaded again.
    pub cache_bytes: u64,
    /// Bytes of live persistent messages, as the engine counts them.
    pub store_bytes: u64,
    /// Bytes of non-persistent messages in the spool, or on their way there.
    pub spool_bytes: u64,
    /// Sends that wait for room.
    pub blocked_sends: usize,
    /// Repetitions recognised and dropped.
    pub duplicates: u64,
    /// Producers remembered for that.
    pub remembered_producers: usize,
}

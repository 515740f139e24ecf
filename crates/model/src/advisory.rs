//! What the broker tells about itself on the `ActiveMQ.Advisory.` topics.

use std::sync::Arc;

use crate::{
    ConsumerId, Destination, DestinationKind, DestinationPattern, Message, ProducerId, SubscriptionName, Text,
};

/// The payload of an advisory message; a gateway renders it in its protocol.
#[derive(Clone, Debug)]
pub enum Advisory {
    /// A client has connected.
    ConnectionStarted(Arc<ConnectionFacts>),
    /// A client has gone; its connection id.
    ConnectionStopped(Text),
    /// A consumer has come.
    ConsumerStarted(Arc<ConsumerFacts>),
    /// A consumer has gone; the last sequence it was handed, −2 if unknown.
    ConsumerStopped(ConsumerId, i64),
    /// A durable subscription was given up.
    SubscriptionRemoved(SubscriptionName),
    /// A producer has come.
    ProducerStarted(Arc<ProducerFacts>),
    /// A producer has gone.
    ProducerStopped(ProducerId),
    /// A destination was made.
    DestinationAdded {
        /// Which.
        destination: Destination,
        /// By whom, for a temporary one.
        connection: Option<Text>,
        /// Ids of the brokers that a temporary one was told of over.
        broker_path: Vec<Text>,
    },
    /// A destination was removed.
    DestinationRemoved {
        /// Which.
        destination: Destination,
        /// By whom, for a temporary one.
        connection: Option<Text>,
        /// Ids of the brokers that a temporary one was told of over.
        broker_path: Vec<Text>,
    },
    /// Something happened to a message (expired, dead-lettered, delivered, …).
    Message(Arc<Message>),
}

/// A connection as others may know it: never its password.
#[derive(Clone, Debug, Default)]
pub struct ConnectionFacts {
    /// The id that its sessions, consumers and producers carry.
    pub connection: Text,
    /// JMS client id.
    pub client_id: Text,
    /// Who logged in.
    pub user: Option<Text>,
    /// The peer's address, `tcp://127.0.0.1:4711`.
    pub remote: Text,
    /// Whether the client reconnects by itself (`failover:`).
    pub fault_tolerant: bool,
    /// Whether this connection continues an earlier one.
    pub reconnected: bool,
    /// Whether the client wants to be told of other brokers.
    pub manageable: bool,
    /// It is a bridge of another broker.
    pub network: bool,
}

/// A consumer as others may know it, and as its client asked for it.
#[derive(Clone, Debug)]
pub struct ConsumerFacts {
    /// Its id.
    pub id: ConsumerId,
    /// What it reads; may be composite or have wildcards.
    pub destination: Destination,
    /// How many unacknowledged messages it takes at once; 0 means it pulls.
    pub prefetch: u32,
    /// Its selector as text.
    pub selector: Option<Text>,
    /// The durable subscription it activates.
    pub subscription: Option<Text>,
    /// The client id it names itself (later protocol versions).
    pub client_id: Option<Text>,
    /// It wants no message that its own connection sent.
    pub no_local: bool,
    /// It wants to be the only one.
    pub exclusive: bool,
    /// It wants earlier messages of the topic.
    pub retroactive: bool,
    /// It looks and takes nothing.
    pub browser: bool,
    /// Higher is served first, −128 to 127.
    pub priority: i8,
    /// The limit of messages kept for a slow topic consumer, 0 for the policy's.
    pub maximum_pending: i32,
    /// Whether deliveries may be handed to another thread.
    pub dispatch_async: bool,
    /// It acknowledges in ranges, late.
    pub optimized_acknowledge: bool,
    /// It never acknowledges ranges.
    pub no_range_acks: bool,
    /// It stands for consumers on another broker.
    pub network: bool,
    /// Ids of the brokers that its demand came through.
    pub broker_path: Vec<Text>,
    /// The consumers on other brokers that it stands for.
    pub network_path: Vec<ConsumerId>,
    /// Which messages may not go to the broker that it stands for.
    pub network_filter: Option<NetworkFilter>,
}

/// What keeps a message from going in circles between brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFilter {
    /// The id of the broker at the other end; what came through it does not go back.
    pub broker: Text,
    /// How many brokers a message may pass, −1 for any number.
    pub message_ttl: i32,
    /// How many brokers a subscription may pass, −1 for any number.
    pub consumer_ttl: i32,
    /// How many brokers a message may have passed that goes over because nobody else can consume it; `None` for as many
    /// as the broker allows.
    pub max_hops: Option<u32>,
    /// What a consumer of many destinations is left out of; `None` for nothing.
    pub scope: Option<Arc<NetworkScope>>,
}

/// Destinations of which messages may go over a bridge (`excludedDestinations`, `dynamicallyIncludedDestinations`,
/// `staticallyIncludedDestinations`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkScope {
    /// Of these none.
    pub excluded: Vec<(DestinationKind, DestinationPattern)>,
    /// If there are any, of these alone.
    pub included: Vec<(DestinationKind, DestinationPattern)>,
}

impl NetworkScope {
    /// Whether messages of a destination may go over; those of a temporary one always.
    pub fn permits(&self, destination: &Destination) -> bool {
        let covered = |rules: &[(DestinationKind, DestinationPattern)]| {
            rules
                .iter()
                .any(|(kind, pattern)| *kind == destination.kind && pattern.matches(&destination.name))
        };
        destination.kind.is_temporary()
            || !covered(&self.excluded) && (self.included.is_empty() || covered(&self.included))
    }
}

/// A producer as others may know it.
#[derive(Clone, Debug)]
pub struct ProducerFacts {
    /// Its id.
    pub id: ProducerId,
    /// Where it sends; `None` if each message says.
    pub destination: Option<Destination>,
    /// Bytes it may send without an acknowledgement, 0 for no window.
    pub window: u32,
    /// Ids of the brokers it came through.
    pub broker_path: Vec<Text>,
}

//! Names and counters, one type for each, so that swapped arguments do not compile.

use std::fmt;
use std::sync::Arc;

use crate::Text;

/// A place in the order of everything the store ever held: rises by one with each stored message, over all
/// destinations, and is the `brokerSequenceId` that clients see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// The number of a unit of work handed to the store; completions are told as "up to ticket n".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A destination in the store. Never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId(pub u64);

/// A durable subscription in the store. Never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

/// A stream of messages over a link to or from another broker, in the store. Never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A place in a stream: rises by one with each message that the link is given, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPosition(pub u64);

/// Who produces: the client's connection id, session and producer number. Shared, so a clone is a count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(Arc<ProducerKey>);

/// The parts of a [`ProducerId`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerKey {
    /// The connection id of the client, `ID:host-port-millis-n:m`.
    pub connection: Text,
    /// The session within the connection.
    pub session: i64,
    /// The producer within the session.
    pub value: i64,
}

impl ProducerId {
    /// A producer of `session` of `connection`.
    pub fn new(connection: Text, session: i64, value: i64) -> Self {
        Self(Arc::new(ProducerKey { connection, session, value }))
    }
}

impl std::ops::Deref for ProducerId {
    type Target = ProducerKey;
    fn deref(&self) -> &ProducerKey {
        &self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.connection, self.session, self.value)
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who consumes: connection id, session and consumer number, as they stand on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId {
    /// The connection id of the client.
    pub connection: Text,
    /// The session within the connection; −1 for the connection's own advisory consumer.
    pub session: i64,
    /// The consumer within the session.
    pub value: i64,
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.connection, self.session, self.value)
    }
}

/// The JMSMessageID: its producer and a sequence of that producer's.
///
/// Two ids are equal if producer and sequence are; the text is a foreign name for the same message.
#[derive(Clone)]
pub struct MessageId {
    /// Who sent it first.
    pub producer: ProducerId,
    /// From 1 for each producer.
    pub sequence: i64,
    /// The id as another protocol or provider wrote it.
    pub text: Option<Text>,
}

impl MessageId {
    /// The id of message number `sequence` of `producer`.
    pub const fn new(producer: ProducerId, sequence: i64) -> Self {
        Self { producer, sequence, text: None }
    }
}

impl PartialEq for MessageId {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence && self.producer == other.producer
    }
}

impl Eq for MessageId {}

impl std::hash::Hash for MessageId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.sequence.hash(state);
        self.producer.hash(state);
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => f.write_str(&text.to_str()),
            None => write!(f, "{}:{}", self.producer, self.sequence),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A transaction local to one connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTransactionId {
    /// The connection id of the client.
    pub connection: Text,
    /// Counted by the connection.
    pub value: i64,
}

/// A branch of a distributed transaction (X/Open XA), at most 64 bytes each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xid {
    /// Who formed the id.
    pub format: i32,
    /// The global transaction.
    pub global: bytes::Bytes,
    /// The branch of it.
    pub branch: bytes::Bytes,
}

/// The transaction that a send or an acknowledgement belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionId {
    /// Begun by one connection and ended with it.
    Local(LocalTransactionId),
    /// Survives its connection once it is prepared.
    Xa(Xid),
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(id) => write!(f, "TX:{}:{}", id.connection, id.value),
            Self::Xa(xid) => {
                write!(f, "XID:[{},globalId={:x},branchId={:x}]", xid.format, xid.global, xid.branch)
            }
        }
    }
}

/// What identifies a durable subscription for its user (JMS 1.1 §6.11.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionName {
    /// The client id of the connection.
    pub client: Text,
    /// The name that the client gave.
    pub name: Text,
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.client, self.name)
    }
}

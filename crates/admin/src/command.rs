//! [`Command`]: what an operator may ask of a node, with the way back for the answer.

use std::time::Duration;

use ferromq_model::Epoch;
use tokio::sync::oneshot;

/// The way back.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// Something to do for the role machine. Who asked was entitled to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Drain, sync, release the lease and become a standby; answered when the lease is released.
    Switchover {
        /// The longest that connections may drain; `None` for the node's own bound.
        drain: Option<Duration>,
        /// The epoch that was given up.
        reply: Reply<Switched>,
    },
    /// Claim the next epoch although the present claim looks held; answered when the epoch is won.
    ForceClaim {
        /// What the operator was shown: another epoch since then is a reason to refuse.
        seen: Epoch,
        /// The epoch that was won.
        reply: Reply<Epoch>,
    },
    /// What each destination holds; a busy engine may leave it unanswered.
    Destinations {
        /// One for each destination.
        reply: oneshot::Sender<Vec<DestinationCount>>,
    },
    /// The streams to and from other brokers; a busy engine may leave it unanswered.
    AllStreams {
        /// One for each stream.
        reply: oneshot::Sender<Vec<StreamEntry>>,
    },
    /// Forget the stream of a link that is not up; answered when that is durable.
    ForgetStream {
        /// Its name.
        name: String,
        /// How many messages that were held are free again.
        reply: Reply<u64>,
    },
    /// Every durable subscription; a busy engine may leave it unanswered.
    Subscriptions {
        /// One for each.
        reply: oneshot::Sender<Vec<SubscriptionEntry>>,
    },
    /// End a durable subscription that nobody uses; answered when that is durable.
    EndSubscription {
        /// Its client id.
        client: String,
        /// Its name.
        name: String,
        /// How many messages that it kept are dropped.
        reply: Reply<u64>,
    },
    /// What is under way to other brokers; a busy engine may leave it unanswered.
    Streams {
        /// One for each stream.
        reply: oneshot::Sender<Vec<StreamCount>>,
    },
}

/// A switchover that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The epoch that was given up.
    pub epoch: Epoch,
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The node is in a role that has no use for it.
    #[error("{0}")]
    Role(String),
    /// It was begun and failed; the text says what holds now.
    #[error("{0}")]
    Failed(String),
}

/// What is wrong with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The wrong node was asked, or at the wrong time.
    Caller,
    /// Store or lock service.
    Storage,
}

impl Refusal {
    /// The kind of the refusal.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Role(_) => ErrorKind::Caller,
            Self::Failed(_) => ErrorKind::Storage,
        }
    }
}

/// The counts of one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationCount {
    /// `queue://orders`
    pub name: String,
    /// Messages held now.
    pub held: u64,
    /// Of those, with consumers.
    pub in_flight: u64,
    /// Accepted since the engine began.
    pub enqueued: u64,
    /// Consumed since the engine began.
    pub acknowledged: u64,
    /// Consumers now.
    pub consumers: u64,
}

/// The stream of messages to another broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamCount {
    /// `sender>receiver/connector`, the first two by the ids of their stores.
    pub name: String,
    /// Whether a link has it.
    pub linked: bool,
    /// Messages that are not known to have arrived over there.
    pub under_way: u64,
    /// Destinations for which the other broker has no room.
    pub without_room: Vec<String>,
}

/// A durable subscription, as one who may end it sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionEntry {
    /// The client id.
    pub client: String,
    /// The name that the client gave it.
    pub name: String,
    /// The topic or pattern: `topic://orders.>`.
    pub topic: String,
    /// Its selector, if it has one.
    pub selector: Option<String>,
    /// Whether its subscriber is connected.
    pub active: bool,
    /// Messages that it keeps.
    pub held: u64,
}

/// A stream to or from another broker, as one who may forget it sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// How long ago a link had it; `None` if none has since this node became the master.
    pub heard: Option<Duration>,
}

impl StreamCount {
    /// Messages that nobody here gets until a link says what became of them.
    pub const fn held(&self) -> u64 {
        if self.linked { 0 } else { self.under_way }
    }
}

//! The traits that every store implements.

use std::sync::Arc;

use ferromq_model::{DestinationId, Epoch, Message, Sequence, SubscriptionId, Ticket};

use crate::{Recovered, StoreError, StoreMetrics, WriteBatch};

/// How much work a call may do before it returns.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes read or written at most (a single record may exceed it).
    pub bytes: u64,
}

/// How far a follower has read. It rises with what was written; a follower that had to start over from a checkpoint
/// may be further back than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// A store that is read and not written: what a standby has.
pub trait Follower: Send {
    /// Reads on, within the budget; writes no shared byte.
    ///
    /// # Errors
    /// The store can't be read, or is not one.
    fn follow(&mut self, budget: Budget) -> Result<Position, StoreError>;

    /// Becomes the writer under `epoch`; the follower comes back if that fails, to go on following.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Fenced`], or the store failed.
    #[allow(clippy::type_complexity, reason = "the follower must survive a failed claim")]
    fn claim(self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)>;

    /// The highest epoch that the store has seen, as far as it was followed.
    fn seen_epoch(&self) -> Epoch;

    /// Which store it is, the same in every copy of it; `None` if there is none yet, or it has no id.
    fn store_id(&self) -> Option<String> {
        None
    }

    /// Bytes that were written and not read yet, at most, as of the last look; `None` if that can't be told.
    fn lag(&self) -> Option<u64> {
        None
    }
}

/// A store under one writer.
pub struct Claimed {
    /// For the driver's thread.
    pub backend: Box<dyn StoreBackend>,
    /// For the loading thread.
    pub reader: Box<dyn StoreReader>,
    /// What is in it.
    pub recovered: Recovered,
}

/// Proof that everything up to a ticket is synced and that no higher epoch existed after the sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    upto: Ticket,
}

impl Durable {
    /// Only for backends, after the sync and the fence check.
    pub const fn after_sync_and_fence_check(upto: Ticket) -> Self {
        Self { upto }
    }

    /// The last ticket that is covered.
    pub const fn upto(self) -> Ticket {
        self.upto
    }
}

/// What a call of [`StoreBackend::maintain`] left to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Maintenance {
    /// Whether another call soon would find work.
    pub more: bool,
    /// Room, measured now.
    pub space: Space,
}

/// Room in a store, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// What the store occupies.
    pub used: u64,
    /// What new messages may still take before they are refused.
    pub free: u64,
    /// What is live of the occupied bytes.
    pub live: u64,
}

/// The one writer of a store; blocking, on the driver's thread.
pub trait StoreBackend: Send {
    /// Appends the batches in order. If any is [`crate::Sync::Required`], or `force_sync`, all that was ever
    /// committed is synced and the fence is checked, and the answer covers the last ticket; otherwise the bytes are
    /// handed to the system and `None` comes back.
    ///
    /// # Errors
    /// Any error is final: the broker steps down. Running out of room is no error here: the engine stops
    /// accepting messages when [`Space::free`] falls to zero, long before the reserve for acknowledgements,
    /// reclaim and shutdown is used up.
    fn commit(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<Option<Durable>, StoreError>;

    /// Reclaims space, writes checkpoints and measures room, within the budget.
    ///
    /// # Errors
    /// Final, as for `commit`.
    fn maintain(&mut self, budget: Budget) -> Result<Maintenance, StoreError>;

    /// What it counts while it works, for whoever shows it; `None` if it counts nothing.
    fn metrics(&self) -> Option<Arc<StoreMetrics>> {
        None
    }

    /// Syncs, writes a checkpoint and lets go of the store.
    ///
    /// # Errors
    /// What was committed with a sync is safe even so.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Which message to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageRef {
    /// Where it lies.
    pub destination: DestinationId,
    /// Its place.
    pub sequence: Sequence,
}

/// What the index knows of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its place.
    pub sequence: Sequence,
    /// Milliseconds since 1970, 0 for never.
    pub expiration: i64,
    /// What it is charged when loaded.
    pub charge: u32,
    /// JMSPriority.
    pub priority: u8,
}

/// Which part of an index to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageRequest {
    /// Messages of a queue after a place, in order.
    Queue {
        /// The queue.
        destination: DestinationId,
        /// Exclusive.
        after: Sequence,
        /// At most so many.
        limit: usize,
    },
    /// Messages that wait for a durable subscription after a place, in order.
    Subscription {
        /// The subscription.
        subscription: SubscriptionId,
        /// The topic they lie in; a subscription by pattern asks for each.
        destination: DestinationId,
        /// Exclusive.
        after: Sequence,
        /// At most so many.
        limit: usize,
    },
}

/// The outcome of loading one message.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// Here it is.
    Message(Arc<Message>),
    /// It is not (any longer) in the store.
    Gone,
    /// It is damaged and quarantined; the reason names the place.
    Damaged(String),
}

/// Reads a store while it is written; blocking, on a thread of its own. Sees everything that was committed,
/// synced or not.
pub trait StoreReader: Send {
    /// Loads messages; the answer has one entry for each reference, in order.
    ///
    /// # Errors
    /// The medium failed as a whole; a damaged record is an entry, not an error.
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError>;

    /// Loads a part of an index; fewer entries than asked for means the end.
    ///
    /// # Errors
    /// The medium failed.
    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError>;
}

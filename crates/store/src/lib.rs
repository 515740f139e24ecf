//! The contract between the engine and whatever keeps its messages.
//!
//! The engine hands over units of work ([`WriteBatch`]) with rising tickets; a [`StoreBackend`] makes a group of
//! them durable with one sync and one look whether it is still the master ([`Durable`]); a [`StoreReader`] loads
//! messages and pages of the index while a commit is under way.
//!
//! * [`StoreOp`], [`WriteBatch`]: what changes, all or nothing per batch.
//! * [`Follower`], [`Claimed`]: opening a store; a standby follows, a master claims.
//! * [`StoreBackend`], [`StoreReader`]: writing and reading.
//! * [`MemoryStore`]: no durability, for `--store memory` and as the reference; `conformance` (a feature): what every store
//!   must pass; [`driver`]: the threads that gather, commit, complete and load.
//! * [`StoreMetrics`]: how long syncs and fence checks take.
//! * [`header`]: a message as bytes, for stores that keep rows in a database.
//! * [`spool`]: where messages that are not persistent wait when memory is short; no store, and nothing is kept over a restart.
//! * [`Streams`]: the positions of messages on links, as every store keeps them in memory.
//! * [`Recovered`]: what a new master finds: counts and positions, never the messages themselves.
//!
//! Invariants: a batch is never half visible after a crash; batches become durable in the order of their
//! tickets; a [`Durable`] is made by backends alone, after the sync *and* the fence check.

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod driver;
mod error;
pub mod header;
pub mod memory;
mod metrics;
mod op;
mod recovered;
pub mod spool;
mod streams;
mod window;

pub use backend::{
    Budget, Claimed, Durable, Follower, IndexEntry, Loaded, Maintenance, MessageRef, PageRequest, Position,
    Space, StoreBackend, StoreReader,
};
pub use error::{ErrorKind, StoreError};
pub use memory::MemoryStore;
pub use metrics::{BUCKETS, Histogram, StoreMetrics};
pub use op::{Passage, StoreOp, StreamOp, StreamRecord, SubscriptionRecord, Sync, WriteBatch};
pub use recovered::{
    DestinationState, ProducerWindow, Quarantined, Recovered, StreamState, SubscriptionState,
};
pub use streams::Streams;
pub use window::ProducerWindows;

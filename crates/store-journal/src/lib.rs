//! FerroMQ's default message store: a journal, and an index that finds every message in it.
//!
//! A commit is one write and one sync, whatever it holds; the index lives in pages, of which memory keeps those
//! that are in use; checkpoints of it make a start short and are never needed for safety. It is no broker: it knows
//! nothing of consumers, transactions or time to live.
//!
//! * [`open`]: the store in a folder, to be followed or claimed.
//! * [`inspect`]: looks at a store, running or not, and changes nothing.
//! * [`backup`]: copies a store while a broker runs on it.
//! * [`mark`], [`finalize`]: which store it is, and in what format it is written.
//! * [`Options`], [`FsyncPolicy`]: what may be chosen, and what each choice may lose.
//!
//! Invariants: nothing is reported durable before it is synced and no higher claim exists (unless an option says
//! otherwise, and what it may lose); a message is freed with its last acknowledgement and never comes back; disk
//! used stays below twice the live bytes and a fixed overhead; damage is reported and never served.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use ferromq_env::simulated::{SimClock, SimDisk};
//! use ferromq_model::{ClaimId, Epoch};
//! use ferromq_store_journal::{Options, open};
//!
//! let disk = Arc::new(SimDisk::new());
//! let follower = open(disk, Arc::new(SimClock::default()), Path::new("/data"), Options::default())?;
//! let epoch = Epoch { number: follower.seen_epoch().number + 1, claim: ClaimId(4711) };
//! let claimed = follower.claim(epoch).map_err(|(_, error)| error)?;
//! assert!(claimed.recovered.destinations.is_empty());
//! claimed.backend.close()?;
//! # Ok::<(), ferromq_store::StoreError>(())
//! ```

mod backend;
mod backup;
mod change;
mod checkpoint;
mod claim;
mod failure;
mod follower;
mod index;
pub mod inspect;
mod marker;
mod message;
mod options;
mod reader;
mod reclaim;
mod recovery;
mod replay;
mod shared;
mod warm;
mod wire;

pub use backup::{Backup, backup};
pub use follower::open;
pub use marker::{Mark, StoreId, finalize, mark};
pub use options::{FsyncPolicy, Options};

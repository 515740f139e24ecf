//! Who is master: claims with rising epochs, leases, and the judgement when a silent holder has lost its turn.
//!
//! Three mechanisms have three jobs. The lock of the operating system hints at once that a holder died; the lease
//! says that one is paused or cut off; only the epoch makes it safe, because what is written checks it. Whoever uses
//! this crate for something else than a store of messages must therefore carry the epoch to whatever it protects.
//!
//! * [`LockProvider`]: what can be asked of a place where claims are made; blocking.
//! * [`file::FileLock`]: claims in a folder that all share. [`file::Claims`] is their format.
//! * [`Guarded`]: claims that only the holder of another lock makes.
//! * [`Lease`]: how long a holder may still act. [`Watch`]: what a standby makes of what it sees. Both are without
//!   threads, clocks and files.
//! * [`Timings`]: everything that follows from the one setting, `takeover_after`.
//! * [`NameLock`]: one node for each name, standbys included, without a byte.
//! * `conformance`, behind the feature of that name: what every provider must pass.
//!
//! Invariants: an epoch is made once, by the exclusive creation of its file; a later holder's epoch is higher; a
//! lease counts from before its renewal was asked for; looking changes nothing that is shared.
//!
//! ```
//! use std::{path::Path, sync::Arc, time::Duration};
//! use ferromq_env::simulated::{SeededEntropy, SimDisk};
//! use ferromq_lock::{Acquired, Contention, LockProvider, Timings, file::FileLock};
//! use ferromq_model::Epoch;
//!
//! let timings = Timings::from_takeover_after(Duration::from_secs(2))?;
//! let entropy = Box::new(SeededEntropy::new(1));
//! let mut lock = FileLock::new(Arc::new(SimDisk::new()), entropy, Path::new("/shared"), "node-a", timings)?;
//! let Acquired::Granted(grant) = lock.try_acquire(Epoch::default(), Contention::Vacant)? else {
//!     return Ok(());
//! };
//! // Everything that is written now carries `grant.epoch`; the lease is renewed as long as it goes on.
//! let renewed = lock.renew(&grant)?;
//! lock.release(renewed)?;
//! # Ok::<(), ferromq_lock::LockError>(())
//! ```

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod file;
mod guarded;
mod lease;
mod names;
mod provider;
mod timings;

pub use error::{ErrorKind, LockError};
pub use guarded::Guarded;
pub use lease::{Lease, Verdict, Watch};
pub use names::NameLock;
pub use provider::{Acquired, Contention, Grant, LockProvider, Sighting};
pub use timings::Timings;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

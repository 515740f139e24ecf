//! A lock provider in a SQLite file, for processes of one machine: a row with an epoch.
//!
//! The row says who claimed last and under which epoch; a transaction moves it. Heartbeats stand in a file beside the
//! database: a sign of life reads the row, for which it waits while somebody commits at most, and never for a whole
//! transaction of SQLite's one writer. In the same file the holder locks a place of its epoch, and each node one of its
//! name: the end of a process is noticed at once, and a second node of one name is refused.
//!
//! It is nothing for several machines: SQLite's locks are not to be trusted on network file systems. And it makes nothing
//! safe by itself: what the leader writes must check the epoch, best in the transaction that writes (see the README).
//!
//! Main type: [`SqliteLock`].
//!
//! Invariants:
//! * An epoch is won by one transaction, above everything that the row and the caller have seen.
//! * A claim over silence supersedes only the holder that the claimant saw last.
//! * A database that is locked by somebody else is an error within half a lease.
//! * To look changes no byte, unless a process died in the middle of a claim: SQLite takes that one back then.
//!
//! ```
//! use ferromq_lock::{Acquired, Contention, LockProvider, Timings};
//! use ferromq_lock_sqlite::SqliteLock;
//! use ferromq_model::Epoch;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("jobs.db");
//! let mut a = SqliteLock::new(&path, "node-a", Timings::default())?;
//! let mut b = SqliteLock::new(&path, "node-b", Timings::default())?;
//! let won = a.try_acquire(Epoch::default(), Contention::Vacant)?;
//! assert!(matches!(won, Acquired::Granted(grant) if grant.epoch.number == 1));
//! assert_eq!(b.look()?.and_then(|seen| seen.owner).as_deref(), Some("node-a"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beside;
mod lease;
mod row;
#[cfg(test)]
mod tests;

pub use lease::SqliteLock;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

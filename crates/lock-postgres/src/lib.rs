//! A lock provider on PostgreSQL: a lease row with an epoch, for processes that share a database.
//!
//! The row says who claimed last, under which epoch, and carries a heartbeat. The holder also keeps an advisory lock of
//! the server on its session: if that is gone and stays gone, its process died, and nobody has to wait for the lease.
//! Another advisory lock, on the node's name, keeps two nodes of one name apart.
//!
//! It makes nothing safe by itself: what the leader writes must carry the epoch, and be refused once a higher one is there
//! (see `ferromq-store-postgres`). Times are judged by the caller, on its own monotonic clock; the
//! database's clock only stamps the row, for people.
//!
//! Main type: [`PostgresLock`].
//!
//! Invariants:
//! * An epoch is won by one update of one row, above everything that the row and the caller have seen.
//! * A claim supersedes only the holder that the claimant saw last.
//! * A renewal ends within half a lease, and any other call within two seconds or a lease, whatever the server or the
//!   network does.
//! * To look changes no row.
//!
//! ```no_run
//! use ferromq_lock::{LockProvider, Timings};
//! use ferromq_lock_postgres::PostgresLock;
//!
//! let mut lock = PostgresLock::new("postgres://me@127.0.0.1/jobs", "election", "node-a", Timings::default())?;
//! match lock.look()? {
//!     Some(seen) => println!("epoch {} belongs to {:?}", seen.epoch.number, seen.owner),
//!     None => println!("nobody ever claimed it"),
//! }
//! # Ok::<(), ferromq_lock::LockError>(())
//! ```

mod lease;
mod row;
#[cfg(test)]
mod tests;

pub use lease::PostgresLock;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

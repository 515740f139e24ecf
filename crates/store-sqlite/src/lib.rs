//! A message store in one SQLite file, for those who want to look into it with everyday tools.
//!
//! Write-ahead log with a sync for each group of batches; the epoch is read in the very transaction that writes. It
//! belongs to one machine: to one broker, whose lock file lies beside it, or to several of which a lease says who
//! writes ([`SqliteStore::leased`]).
//!
//! * [`SqliteStore`]: opens a file; a [`Follower`](ferromq_store::Follower).
//! * [`SqliteOptions`]: how large it may become.
//!
//! Invariants: a group of batches is one transaction; counts in the tables are changed in the transaction that
//! changes what they count; a row whose checksum is wrong is told as damaged and never served.
//!
//! ```
//! use ferromq_store::Follower;
//! use ferromq_store_sqlite::{SqliteOptions, SqliteStore};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("ferromq.db");
//! use ferromq_model::{ClaimId, Epoch};
//! let store = Box::new(SqliteStore::new(&path, SqliteOptions::default()));
//! let epoch = Epoch { number: store.seen_epoch().number + 1, claim: ClaimId(7) };
//! let claimed = store.claim(epoch).map_err(|(_, error)| error)?;
//! assert!(claimed.recovered.destinations.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backend;
mod error;
mod follower;
mod reader;
mod schema;
mod state;
#[cfg(test)]
mod tests;
mod write;

pub use follower::{SqliteOptions, SqliteStore, store_id};

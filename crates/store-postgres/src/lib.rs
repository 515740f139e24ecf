//! A message store in PostgreSQL, for brokers that share a database.
//!
//! Each group of batches is one transaction in one round trip. Its first statement locks the row of the epoch against a
//! claim and moves the row of progress on from the ticket before; so a superseded broker commits nothing, and whoever
//! does not know whether a commit came through reads it there. No extension is needed; the statements are listed in
//! `docs/HA.md`.
//!
//! * [`PostgresStore`]: the follower, and how it becomes the writer.
//! * [`PostgresOptions`]: schema, name, room, how long an outage is waited for.
//! * [`HighWater`]: how far a database was seen, so that one that forgot a commit is noticed; [`Memory`]: what a node
//!   knows of that from before it began.
//!
//! Invariants: no transaction of the writer commits once a higher epoch was claimed; a batch is applied once, however
//! often it is sent; an outage within the patience shows as a slow commit, a longer one as an error; a follower
//! changes nothing.
//!
//! Not here: who may claim. That is a lock's to say; without one, a lock of the database on the writer's session keeps
//! a second broker out ([`PostgresOptions::alone`]).
//!
//! ```no_run
//! use ferromq_model::{ClaimId, Epoch};
//! use ferromq_store::{Budget, Follower};
//! use ferromq_store_postgres::{PostgresOptions, PostgresStore};
//! let mut store = PostgresStore::new("postgres://broker@127.0.0.1/mq", PostgresOptions::default())?;
//! store.follow(Budget { bytes: u64::MAX })?;
//! let epoch = Epoch { number: store.seen_epoch().number + 1, claim: ClaimId(0x1234) };
//! let claimed = Box::new(store).claim(epoch).map_err(|(_follower, error)| error)?;
//! println!("{} destinations", claimed.recovered.destinations.len());
//! # Ok::<(), ferromq_store::StoreError>(())
//! ```

mod backend;
mod error;
mod follower;
mod high_water;
mod options;
mod orphans;
mod reader;
mod recover;
mod schema;
mod state;
#[cfg(test)]
mod tests;
mod unit;
mod writer;

pub use follower::PostgresStore;
pub use high_water::{HighWater, Memory};
pub use options::PostgresOptions;
pub use schema::finalize;

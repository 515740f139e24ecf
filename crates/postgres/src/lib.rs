//! A session on PostgreSQL as a store or a lock wants it: blocking, with a deadline on everything, and refused where
//! the server would not keep what it acknowledges.
//!
//! It is no pool, no query builder and no mapper of rows; the statements belong to those who use it.
//!
//! * [`Target`]: where the server is and how the way to it is protected, from a `postgres://` URL.
//! * [`Session`]: one connection on a runtime of its own; [`Session::run`] ends in time whatever the server does.
//! * [`pipeline`]: several statements in one round trip.
//! * [`refuse_pooler`]: two sessions find out together whether something lends them other sessions in turn.
//! * [`PgError`]: what went wrong, by what to do about it.
//!
//! Invariants: a call returns within the time it was given, even if the server stands still while its machine's kernel
//! takes the bytes; a session that missed its time is closed and never used again; no password is in any text.
//!
//! ```no_run
//! use std::time::Duration;
//! use ferromq_postgres::{Access, Session, Target};
//! let target = Target::parse("postgres://broker@127.0.0.1/mq?sslmode=verify-full")?;
//! let within = Duration::from_secs(2);
//! let mut session = Session::open(&target, "example", Access::Write, within)?;
//! let row = session.run(within, async |client| client.query_one("SELECT 6 * 7", &[]).await)?;
//! assert_eq!(row.get::<_, i32>(0), 42);
//! # Ok::<(), ferromq_postgres::PgError>(())
//! ```

mod error;
mod pooler;
mod session;
mod target;
#[cfg(test)]
mod tests;
mod tls;

pub use error::{PgError, PgErrorKind};
pub use pooler::refuse_pooler;
pub use session::{Access, Server, Session, Statement, pipeline};
pub use target::Target;
pub use tokio_postgres;

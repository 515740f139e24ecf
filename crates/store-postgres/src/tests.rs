//! The suite that every store passes, and what concerns PostgreSQL alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ferromq_store::conformance::World;
use ferromq_store::{Follower, MemoryStore, StoreError};
use ferromq_testkit::Postgres;

use crate::{PostgresOptions, PostgresStore};

mod orphans;
mod outages;
mod versions;

/// A schema of its own on the shared server; without PostgreSQL, a store that needs none, so that the checks pass as
/// skipped.
struct PostgresWorld {
    server: Option<Arc<Postgres>>,
    substitute: MemoryStore,
    options: PostgresOptions,
}

/// A name that no other test has.
fn schema() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl PostgresWorld {
    fn new() -> Self {
        let options = PostgresOptions { schema: schema(), ..PostgresOptions::default() };
        Self { server: Postgres::shared_or_skip(), substitute: MemoryStore::default(), options }
    }
}

impl World for PostgresWorld {
    fn open(&mut self) -> Result<Box<dyn Follower>, StoreError> {
        let Some(server) = &self.server else { return Ok(Box::new(self.substitute.clone())) };
        Ok(Box::new(PostgresStore::new(&server.url(), self.options.clone())?))
    }

    /// The server ends the session of a killed process as soon as it sees the connection's end; the next claim must not
    /// depend on that moment.
    fn kill(&mut self) -> bool {
        let Some(server) = &self.server else { return false };
        server.sql(&format!(
            "SELECT pg_terminate_backend(backend, 5000) FROM {}.epoch WHERE backend <> 0",
            self.options.schema
        ));
        true
    }

    fn shrink(&mut self) -> bool {
        self.options.max_bytes = 4 << 20;
        self.server.is_some()
    }
}

ferromq_store::conformance_tests!(on_real_disk PostgresWorld::new);

//! The writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ferromq_env::{Disk, DiskFile, SystemDisk};
use ferromq_model::{ClaimId, Epoch, Ticket};
use ferromq_store::{
    Budget, Durable, Maintenance, Space, StoreBackend, StoreError, StoreMetrics, Sync, WriteBatch,
};
use rusqlite::{Connection, TransactionBehavior};

use crate::error::{database, uint};
use crate::state::State;
use crate::{SqliteOptions, write};

/// The log is copied into the file when it has grown to this.
const CHECKPOINT_AT: u64 = 4 << 20;
/// Readers can keep the log from being begun anew; when it has grown to this they are waited for.
const CHECKPOINT_HARD_AT: u64 = 64 << 20;

pub(crate) struct Backend {
    pub(crate) connection: Connection,
    pub(crate) state: State,
    pub(crate) path: PathBuf,
    pub(crate) options: SqliteOptions,
    pub(crate) epoch: Epoch,
    pub(crate) last: Ticket,
    /// What the setting `synchronous` is now.
    pub(crate) syncs: bool,
    /// An error was told; nothing is tried again.
    pub(crate) failed: bool,
    /// The size of the log that was copied last.
    pub(crate) checkpointed: u64,
    pub(crate) metrics: Arc<StoreMetrics>,
    /// Held until the end, unless a lease decides.
    pub(crate) lock: Option<Arc<dyn DiskFile>>,
}

impl Backend {
    fn usable(&self) -> Result<(), StoreError> {
        if !self.failed {
            return Ok(());
        }
        let reason = "an earlier error was final; restart the broker".to_owned();
        Err(StoreError::Database { store: self.path.display().to_string(), reason })
    }

    fn wrong(&self, error: &rusqlite::Error) -> StoreError {
        database(&self.path, error)
    }

    fn transact(&mut self, batches: &[WriteBatch], sync: bool) -> Result<(), StoreError> {
        if self.syncs != sync {
            // Without it a commit goes to the log and no further; the next one with it syncs all of the log.
            let value = if sync { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", value).map_err(|e| self.wrong(&e))?;
            self.syncs = sync;
        }
        let Self { connection, state, path, epoch, last, metrics, .. } = self;
        let wrong = |error: rusqlite::Error| database(path, &error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        // The look at the epoch and the writes are one transaction, and a claim is another: either the claim came
        // first and is seen here, or it will see what is written here.
        check_epoch(&transaction, path, *epoch, metrics)?;
        for batch in batches {
            batch.check_order(*epoch, *last)?;
            for op in &batch.ops {
                state.check(op)?;
                write::apply(&transaction, state, op).map_err(wrong)?;
            }
            *last = batch.ticket;
        }
        state.write(&transaction).map_err(wrong)?;
        let begun = Instant::now();
        let committed = transaction.commit().map_err(wrong);
        if sync {
            metrics.sync.record(nanos(begun));
        }
        committed
    }

    /// Forgets producers of long ago, unless somebody else is the writer by now.
    fn forget_producers(&mut self) -> Result<bool, StoreError> {
        let Self { connection, state, path, epoch, metrics, .. } = self;
        let wrong = |error: rusqlite::Error| database(path, &error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        check_epoch(&transaction, path, *epoch, metrics)?;
        let more = state.forget_producers(&transaction, 1000).map_err(wrong)?;
        transaction.commit().map_err(wrong)?;
        Ok(more)
    }

    fn log_bytes(&self) -> u64 {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        std::fs::metadata(name).map_or(0, |found| found.len())
    }

    fn pragma(&self, name: &str) -> Result<u64, StoreError> {
        self.connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map(uint)
            .map_err(|error| self.wrong(&error))
    }

    fn checkpoint(&self, mode: &str) -> Result<(), StoreError> {
        self.connection
            .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
            .map_err(|error| self.wrong(&error))
    }

    fn space(&self) -> Result<Space, StoreError> {
        let page = self.pragma("page_size")?;
        let pages = self.pragma("page_count")?;
        let unused = self.pragma("freelist_count")? * page;
        let file = pages * page;
        let live = file.saturating_sub(unused);
        let used = file + self.log_bytes();
        let reserve = self.options.reserve();
        let by_limit = self.options.max_bytes.saturating_sub(live);
        let disk = SystemDisk
            .free_bytes(&self.path)
            .map_err(|source| crate::error::io("ask for free space at", &self.path, source))?;
        let free = by_limit.min(disk.saturating_add(unused)).saturating_sub(reserve);
        Ok(Space { used, free, live })
    }

    fn maintenance(&mut self, budget: Budget) -> Result<Maintenance, StoreError> {
        let mut more = false;
        if budget.bytes > 0 {
            let log = self.log_bytes();
            if log >= CHECKPOINT_HARD_AT {
                self.checkpoint("TRUNCATE")?;
            } else if log >= CHECKPOINT_AT && log != self.checkpointed {
                // The log keeps its size and is begun anew by the next commit, so a size that stands is done.
                self.checkpoint("PASSIVE")?;
            }
            self.checkpointed = self.log_bytes();
            more |= self.forget_producers()?;
            more |= self.shrink(budget)?;
        }
        Ok(Maintenance { more, space: self.space()? })
    }

    /// Gives pages back to the file system when more than half of the file is unused.
    fn shrink(&self, budget: Budget) -> Result<bool, StoreError> {
        let (pages, unused) = (self.pragma("page_count")?, self.pragma("freelist_count")?);
        let page = self.pragma("page_size")?.max(1);
        if unused * 2 <= pages || unused * page < CHECKPOINT_AT {
            return Ok(false);
        }
        let turn = (budget.bytes / page).clamp(16, unused);
        self.connection
            .execute_batch(&format!("PRAGMA incremental_vacuum({turn})"))
            .map_err(|error| self.wrong(&error))?;
        Ok(true)
    }

    fn guard<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.failed |= outcome.is_err();
        outcome
    }
}

fn nanos(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Within the transaction that writes: a claim is another one, and SQLite has one writer at a time.
fn check_epoch(
    transaction: &Connection,
    path: &Path,
    ours: Epoch,
    metrics: &StoreMetrics,
) -> Result<(), StoreError> {
    let begun = Instant::now();
    let theirs = stored_epoch(transaction).map_err(|error| database(path, &error))?;
    metrics.fence.record(nanos(begun));
    if theirs == ours {
        return Ok(());
    }
    metrics.fenced.fetch_add(1, Ordering::Relaxed);
    Err(StoreError::Fenced { store: path.display().to_string(), ours, theirs })
}

/// The next free place: how far the store has come.
pub(crate) fn next_sequence(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT next_sequence FROM reign")?.query_row([], |row| row.get(0).map(uint))
}

pub(crate) fn stored_epoch(connection: &Connection) -> rusqlite::Result<Epoch> {
    connection.prepare_cached("SELECT number, claim FROM reign")?.query_row([], |row| {
        Ok(Epoch { number: uint(row.get(0)?), claim: ClaimId(row.get::<_, i64>(1)?.cast_unsigned()) })
    })
}

impl StoreBackend for Backend {
    fn metrics(&self) -> Option<Arc<StoreMetrics>> {
        Some(self.metrics.clone())
    }

    fn commit(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<Option<Durable>, StoreError> {
        self.usable()?;
        let sync = force_sync || batches.iter().any(|batch| batch.sync == Sync::Required);
        if batches.is_empty() && !sync {
            return Ok(None);
        }
        let outcome = self.transact(batches, sync);
        self.guard(outcome)?;
        Ok(sync.then(|| Durable::after_sync_and_fence_check(self.last)))
    }

    fn maintain(&mut self, budget: Budget) -> Result<Maintenance, StoreError> {
        self.usable()?;
        let outcome = self.maintenance(budget);
        self.guard(outcome)
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.usable()?;
        self.transact(&[], true)?;
        self.checkpoint("TRUNCATE")?;
        let Self { connection, path, lock, .. } = *self;
        let closed = connection.close().map_err(|(_, error)| database(&path, &error));
        drop(lock);
        closed
    }
}

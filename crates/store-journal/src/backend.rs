//! [`JournalBackend`]: the one writer of a store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferromq_env::Clock;
use ferromq_journal::{Kind, Position, Writer};
use ferromq_model::{Epoch, Instant, Ticket};
use ferromq_store::{
    Budget, Durable, Maintenance, StoreBackend, StoreError, StoreMetrics, StoreOp, Sync, WriteBatch,
};

use crate::change;
use crate::checkpoint::Checkpoints;
use crate::claim::Claim;
use crate::failure;
use crate::index::{Index, SegmentUse};
use crate::options::{FsyncPolicy, Options};
use crate::shared::Shared;

/// The one writer of a store.
pub(crate) struct JournalBackend {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Writer,
    pub(crate) claim: Claim,
    pub(crate) options: Options,
    pub(crate) epoch: Epoch,
    /// The segment that begins with this epoch's seal.
    pub(crate) sealed_in: u32,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) reclaim: crate::reclaim::Reclaim,
    /// Bytes of journal since the last checkpoint.
    pub(crate) appended: u64,
    clock: Arc<dyn Clock>,
    last: Ticket,
    last_sync: Instant,
    /// Up to where a mark in the journal proves that it was synced.
    marked: Position,
    /// Where the journal ended when maintenance was here last.
    seen: Position,
    /// The store's format has streams.
    pub(crate) streams: bool,
    /// New messages are being refused for want of room.
    pub(crate) full: bool,
    failed: bool,
    metrics: Arc<StoreMetrics>,
}

/// The segment that holds what the operation removes, 0 if none does.
fn segment_of(index: &mut Index, op: &StoreOp) -> Result<u32, StoreError> {
    let (StoreOp::RemoveMessage { destination, sequence }
    | StoreOp::AckDurable { destination, sequence, .. }) = op
    else {
        return Ok(0);
    };
    Ok(index.locate(*destination, *sequence)?.map_or(0, |entry| entry.position().segment))
}

impl JournalBackend {
    #[allow(clippy::too_many_arguments, reason = "called once, by recovery")]
    pub(crate) fn new(
        shared: Arc<Shared>,
        writer: Writer,
        claim: Claim,
        clock: Arc<dyn Clock>,
        options: Options,
        epoch: Epoch,
        sealed_in: u32,
        checkpoints: Checkpoints,
    ) -> Result<Self, StoreError> {
        let last_sync = clock.now().mono;
        let position = writer.position();
        Ok(Self {
            shared,
            writer,
            claim,
            options,
            epoch,
            sealed_in,
            checkpoints,
            reclaim: crate::reclaim::Reclaim::default(),
            appended: 0,
            clock,
            last: Ticket(0),
            last_sync,
            marked: position,
            seen: position,
            streams: true,
            full: true,
            failed: false,
            metrics: Arc::default(),
        })
    }

    /// Any error ends this writer: nothing is retried, and nobody is told that something became safe.
    pub(crate) fn finally<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.failed {
            return Err(StoreError::Io {
                action: "write",
                path: self.shared.journal.display().to_string(),
                source: std::io::Error::other("an earlier error was final"),
            });
        }
        let outcome = work(self);
        self.failed = outcome.is_err();
        outcome
    }

    fn append(&mut self, batches: &[WriteBatch]) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let _writing = shared.writing();
        {
            let mut index = shared.index();
            for batch in batches {
                batch.check_order(self.epoch, self.last)?;
                self.encode(&mut index, batch)?;
                self.last = batch.ticket;
            }
        }
        self.flush()
    }

    fn encode(&mut self, index: &mut Index, batch: &WriteBatch) -> Result<(), StoreError> {
        let Some((last, _)) = batch.ops.split_last() else { return Ok(()) };
        index.check(&batch.ops)?;
        if !self.streams && batch.ops.iter().any(|op| matches!(op, StoreOp::Stream(_))) {
            return Err(StoreError::Bug(String::from("a stream in a store whose format has none")));
        }
        self.writer.begin(batch.ticket.0);
        for op in &batch.ops {
            let segment = segment_of(index, op)?;
            let is_last = std::ptr::eq(op, last);
            let mut made = None;
            let encode = |out: &mut Vec<u8>| made = Some(change::encode(op, segment, out));
            let placed = self.writer.record(change::kind(op), is_last, encode).map_err(failure::journal)?;
            self.begin_segments(index);
            if let Some(change) = made {
                index.apply(&change, placed, false)?;
            }
            self.appended += u64::from(placed.size);
        }
        Ok(())
    }

    /// Tells the index about segments that the writer will begin.
    pub(crate) fn begin_segments(&mut self, index: &mut Index) {
        for roll in self.writer.take_rolled() {
            index.usage.end_segment(roll.from, roll.end);
            index.usage.add_segment(roll.to, SegmentUse::new(self.epoch, u64::from(roll.capacity), 0));
        }
    }

    /// Hands what was encoded to the system.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        self.writer.flush().map_err(failure::journal)?;
        self.shared.index().written = self.writer.position();
        Ok(())
    }

    /// Makes everything safe, and looks whether this is still the master.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        let unsynced = self.writer.is_unsynced();
        let before = self.clock.now().mono;
        self.writer.sync().map_err(failure::journal)?;
        self.last_sync = self.clock.now().mono;
        if unsynced {
            self.metrics.sync.record(nanos(self.last_sync.since(before)));
        }
        self.fence()
    }

    /// Looks whether this is still the master. Only the shared store can tell, whatever a clock or a lock says.
    pub(crate) fn fence(&self) -> Result<(), StoreError> {
        let before = self.clock.now().mono;
        let outcome = self.claim.check();
        self.metrics.fence.record(nanos(self.clock.now().mono.since(before)));
        if matches!(outcome, Err(StoreError::Fenced { .. })) {
            self.metrics.fenced.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    fn make_durable(&mut self) -> Result<Durable, StoreError> {
        match self.options.fsync {
            FsyncPolicy::Always => self.sync()?,
            FsyncPolicy::Periodic(_) if !self.is_sync_due() => self.fence()?,
            FsyncPolicy::Periodic(_) => self.sync()?,
            FsyncPolicy::Never => self.fence()?,
        }
        Ok(Durable::after_sync_and_fence_check(self.last))
    }

    fn is_sync_due(&self) -> bool {
        match self.options.fsync {
            FsyncPolicy::Periodic(every) => self.clock.now().mono.since(self.last_sync) >= every,
            _ => false,
        }
    }

    /// While nothing else is written, proves by a mark that the last batch was synced.
    fn mark_when_idle(&mut self) -> Result<(), StoreError> {
        let position = self.writer.position();
        let idle = position == self.seen && !self.writer.is_unsynced();
        if idle && position != self.marked {
            self.write_mark()?;
        }
        self.seen = self.writer.position();
        Ok(())
    }

    fn write_mark(&mut self) -> Result<(), StoreError> {
        self.writer.begin(0);
        self.writer.record(Kind::MARK, true, |_| ()).map_err(failure::journal)?;
        self.flush()?;
        self.marked = self.writer.position();
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl StoreBackend for JournalBackend {
    fn metrics(&self) -> Option<Arc<StoreMetrics>> {
        Some(self.metrics.clone())
    }

    fn commit(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<Option<Durable>, StoreError> {
        self.finally(|this| {
            this.append(batches)?;
            let required = batches.iter().any(|batch| batch.sync == Sync::Required);
            if required || force_sync { this.make_durable().map(Some) } else { Ok(None) }
        })
    }

    fn maintain(&mut self, budget: Budget) -> Result<Maintenance, StoreError> {
        self.finally(|this| {
            if this.is_sync_due() && this.writer.is_unsynced() {
                this.sync()?;
            }
            this.mark_when_idle()?;
            this.upkeep(budget)
        })
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.finally(|this| {
            this.sync()?;
            this.write_checkpoint()?;
            this.write_mark()?;
            this.sync()
        })
    }
}

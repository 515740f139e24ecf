//! [`Driver`]: the thread that owns the writer of a store.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use ferromq_model::Ticket;

use crate::{Budget, Space, StoreBackend, StoreError, Sync, WriteBatch};

/// What the driver tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum DriverEvent {
    /// Everything up to this ticket is durable.
    Persisted {
        /// The last durable ticket.
        upto: Ticket,
    },
    /// Room in the store changed.
    Space(Space),
    /// The store failed; the last event. Nothing that was not told as persisted will ever be.
    Failed(StoreError),
}

/// Bounds and rhythm of a driver.
#[derive(Clone, Copy, Debug)]
pub struct DriverSettings {
    /// Batches that may wait before a submitter has to.
    pub waiting_batches: usize,
    /// Batches in one group at most.
    pub group_batches: usize,
    /// Bytes in one group at most; a single batch may be larger.
    pub group_bytes: usize,
    /// A lazy batch is synced after this time at the latest.
    pub lazy_within: Duration,
    /// After so many bytes written, maintenance gets a turn though others wait.
    pub maintain_after_bytes: usize,
    /// How much one turn of maintenance may read and write; while the store is busy at least twice what was written
    /// since the last turn, so that reclaim keeps up.
    pub maintain_bytes: u64,
    /// How often an idle store is looked at (room on the disk changes by others' doing).
    pub look_every: Duration,
}

impl Default for DriverSettings {
    fn default() -> Self {
        Self {
            waiting_batches: 8192,
            group_batches: 4096,
            group_bytes: 8 << 20,
            lazy_within: Duration::from_millis(50),
            maintain_after_bytes: 4 << 20,
            maintain_bytes: 1 << 20,
            look_every: Duration::from_secs(1),
        }
    }
}

/// The driver is gone; the batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's driver has stopped")]
pub struct Stopped;

/// Why a batch was not taken at once.
#[derive(Debug)]
pub enum SubmitError {
    /// As many wait as may; here is the batch back.
    Full(WriteBatch),
    /// The driver is gone.
    Stopped,
}

enum Command {
    Batch(WriteBatch),
    Close,
}

/// The thread that owns a [`StoreBackend`].
#[derive(Debug)]
pub struct Driver {
    commands: SyncSender<Command>,
    abandoned: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), StoreError>>,
}

/// Hands batches to a driver; clones hand to the same one.
#[derive(Clone, Debug)]
pub struct DriverHandle {
    commands: SyncSender<Command>,
}

impl DriverHandle {
    /// Hands a batch over, in the order of the tickets; waits while too many are waiting. Never to be called from
    /// the event callback, nor by anyone whom the callback waits for.
    ///
    /// # Errors
    /// The driver has failed or was closed.
    pub fn submit(&self, batch: WriteBatch) -> Result<(), Stopped> {
        self.commands.send(Command::Batch(batch)).map_err(|_| Stopped)
    }

    /// Hands a batch over if there is room for it.
    ///
    /// # Errors
    /// No room, or no driver.
    pub fn try_submit(&self, batch: WriteBatch) -> Result<(), SubmitError> {
        match self.commands.try_send(Command::Batch(batch)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Command::Batch(batch))) => Err(SubmitError::Full(batch)),
            Err(TrySendError::Full(Command::Close) | TrySendError::Disconnected(_)) => {
                Err(SubmitError::Stopped)
            }
        }
    }
}

impl Driver {
    /// Starts the thread. Events are told on it, in order; the callback must not wait for a submitter.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        backend: Box<dyn StoreBackend>,
        settings: DriverSettings,
        on_event: impl FnMut(DriverEvent) + Send + 'static,
    ) -> io::Result<Self> {
        let (commands, waiting) = sync_channel(settings.waiting_batches.max(1));
        let abandoned = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&abandoned);
        let thread = Builder::new().name("store".to_owned()).spawn(move || {
            let mut work = Work {
                backend,
                settings,
                on_event,
                abandoned: seen,
                lazy_since: None,
                written: 0,
                more_maintenance: true,
                looked: Instant::now(),
                space: None,
            };
            match work.run(&waiting) {
                Ok(()) if work.is_abandoned() => Ok(()),
                Ok(()) => work.backend.close(),
                Err(error) => {
                    tracing::error!(%error, "the store failed; this broker can't go on as master");
                    // Submitters learn it before anybody hears of the failure, so none can hang on it.
                    drop(waiting);
                    (work.on_event)(DriverEvent::Failed(error));
                    Ok(())
                }
            }
        })?;
        Ok(Self { commands, abandoned, thread })
    }

    /// For those who hand batches over.
    pub fn handle(&self) -> DriverHandle {
        DriverHandle { commands: self.commands.clone() }
    }

    /// For those who may have to end it at once.
    pub fn cutoff(&self) -> Cutoff {
        Cutoff { commands: self.commands.clone(), abandoned: Arc::clone(&self.abandoned) }
    }

    /// Commits and syncs all that was handed over before, tells of it, closes the store and ends the thread. After a
    /// failure, which was told, there is nothing left to do.
    ///
    /// # Errors
    /// The store could not be closed in an orderly way; what was told as persisted is safe.
    pub fn close(self) -> Result<(), StoreError> {
        // A driver that failed has no ears any longer; its end is awaited all the same.
        let _ = self.commands.send(Command::Close);
        drop(self.commands);
        self.thread.join().unwrap_or_else(|_| Err(StoreError::Bug("the store's driver panicked".to_owned())))
    }
}

/// The way to end a driver as a broker does that is no longer the master.
#[derive(Clone, Debug)]
pub struct Cutoff {
    commands: SyncSender<Command>,
    abandoned: Arc<AtomicBool>,
}

impl Cutoff {
    /// The driver lets go of the store without writing another byte: what waits is dropped, nothing is synced, and the
    /// store is not closed in order. Does not wait; a commit that is under way ends on its own, and its fence check
    /// says to whom it belongs.
    pub fn cut(&self) {
        self.abandoned.store(true, Ordering::Release);
        // It only wakes a thread that sleeps; one that is busy looks by itself.
        let _ = self.commands.try_send(Command::Close);
    }
}

struct Work<F> {
    backend: Box<dyn StoreBackend>,
    settings: DriverSettings,
    on_event: F,
    abandoned: Arc<AtomicBool>,
    /// When the oldest lazy batch that no sync has covered was written.
    lazy_since: Option<Instant>,
    /// Bytes written since the last turn of maintenance.
    written: usize,
    more_maintenance: bool,
    looked: Instant,
    space: Option<Space>,
}

/// What came in.
enum Arrival {
    Group(Vec<WriteBatch>),
    /// The time that was to be waited is over.
    Nothing,
    /// The last group, and then the end.
    End(Vec<WriteBatch>),
}

impl<F: FnMut(DriverEvent)> Work<F> {
    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    fn run(&mut self, waiting: &Receiver<Command>) -> Result<(), StoreError> {
        self.maintain(0)?;
        loop {
            let arrival = self.gather(waiting);
            if self.is_abandoned() {
                return Ok(());
            }
            let idle = matches!(arrival, Arrival::Nothing);
            match arrival {
                Arrival::Group(group) => self.commit(&group, false)?,
                Arrival::End(group) => return self.commit(&group, true),
                Arrival::Nothing => {}
            }
            if self.lazy_since.is_some_and(|since| since.elapsed() >= self.settings.lazy_within) {
                self.commit(&[], true)?;
            }
            self.maintain_if_due(idle)?;
        }
    }

    /// Waits for the first batch as long as nothing else is due, then takes what is there.
    fn gather(&self, waiting: &Receiver<Command>) -> Arrival {
        let first = match self.patience() {
            Duration::ZERO => match waiting.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) => return Arrival::Nothing,
                Err(TryRecvError::Disconnected) => return Arrival::End(Vec::new()),
            },
            patience => match waiting.recv_timeout(patience) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => return Arrival::Nothing,
                Err(RecvTimeoutError::Disconnected) => return Arrival::End(Vec::new()),
            },
        };
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            let Command::Batch(batch) = command else { return Arrival::End(group) };
            bytes += batch.charge();
            group.push(batch);
            let room = group.len() < self.settings.group_batches && bytes < self.settings.group_bytes;
            next = if room { waiting.try_recv().ok() } else { None };
        }
        Arrival::Group(group)
    }

    /// How long the thread may sleep.
    fn patience(&self) -> Duration {
        if self.more_maintenance {
            return Duration::ZERO;
        }
        let look = self.settings.look_every.saturating_sub(self.looked.elapsed());
        let lazy = self.lazy_since.map(|since| self.settings.lazy_within.saturating_sub(since.elapsed()));
        lazy.map_or(look, |lazy| lazy.min(look))
    }

    fn commit(&mut self, group: &[WriteBatch], force_sync: bool) -> Result<(), StoreError> {
        self.written += group.iter().map(WriteBatch::charge).sum::<usize>();
        match self.backend.commit(group, force_sync)? {
            Some(durable) => {
                self.lazy_since = None;
                (self.on_event)(DriverEvent::Persisted { upto: durable.upto() });
            }
            None if group.iter().any(|batch| batch.sync == Sync::Required) => {
                return Err(StoreError::Bug("a backend answered a required batch without a sync".to_owned()));
            }
            None if !group.is_empty() => {
                self.lazy_since.get_or_insert_with(Instant::now);
            }
            None => {}
        }
        Ok(())
    }

    fn maintain_if_due(&mut self, idle: bool) -> Result<(), StoreError> {
        let behind = self.written >= self.settings.maintain_after_bytes;
        let long_ago = self.looked.elapsed() >= self.settings.look_every;
        if behind || long_ago || (idle && self.more_maintenance) {
            let twice = (self.written as u64).saturating_mul(2);
            self.maintain(self.settings.maintain_bytes.max(twice))?;
        }
        Ok(())
    }

    fn maintain(&mut self, bytes: u64) -> Result<(), StoreError> {
        let outcome = self.backend.maintain(Budget { bytes })?;
        self.written = 0;
        self.more_maintenance = outcome.more;
        self.looked = Instant::now();
        if self.space != Some(outcome.space) {
            self.space = Some(outcome.space);
            (self.on_event)(DriverEvent::Space(outcome.space));
        }
        Ok(())
    }
}

//! [`Storage`]: the store that was chosen, with its two threads.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;

use ferromq_engine::{Input, LoadContent, LoadId, LoadRequest};
use ferromq_env::{Disk, SystemClock, SystemDisk, SystemEntropy};
use ferromq_lock::file::{Claims, FileLock};
use ferromq_lock::{Guarded, LockError, LockProvider, Timings};
use ferromq_lock_postgres::PostgresLock;
use ferromq_model::{Epoch, Ticket};
use ferromq_net::{Letter, Mailbox};
use ferromq_store::driver::{
    Cutoff, Driver, DriverEvent, DriverHandle, DriverSettings, Found, Loader, LoaderHandle, SubmitError,
    Wanted,
};
use ferromq_store::spool::{SpoolEnding, SpoolOp};
use ferromq_store::{
    Budget, Claimed, Follower, MemoryStore, Recovered, StoreError, StoreMetrics, WriteBatch,
};
use ferromq_store_journal::FsyncPolicy;
use ferromq_store_postgres::{PostgresOptions, PostgresStore};
use ferromq_store_sqlite::{SqliteOptions, SqliteStore};

use crate::failure::Failure;
use crate::memory::DatabaseMemory;
use crate::role;
use crate::spool::{self, Spooling};
use crate::{Broken, Database, Settings, StartError, StoreChoice};

/// What follows from so many units of work is seen to by the store's own thread, if nobody else is at it.
const FEW_UNITS: u64 = 4;

/// Requests to load that may wait; the engine keeps fewer on the way.
const WAITING_LOADS: usize = 4_096;

/// The file of a SQLite store in the broker's folder.
pub(crate) const DATABASE: &str = "ferromq.db";

/// The way to the store's threads.
pub(crate) struct Storage {
    driver: Driver,
    batches: DriverHandle,
    loader: Loader<LoadId>,
    loads: LoaderHandle<LoadId>,
    metrics: Option<Arc<StoreMetrics>>,
    spool: Option<Spooling>,
}

/// Claims the store for `epoch` and starts its threads, and those of a spool for the run of this name; what they have to
/// say goes to the engine.
pub(crate) fn open(
    settings: &Settings,
    follower: Box<dyn Follower>,
    epoch: Epoch,
    run: &str,
    engine: &Mailbox<Letter>,
    failure: &Failure,
) -> Result<(Storage, Recovered), StartError> {
    let Claimed { backend, reader, recovered } =
        follower.claim(epoch).map_err(|(_, error)| understood(error, settings))?;
    // A journal does so itself.
    if settings.store == StoreChoice::Sqlite
        && let Err(error) = tidy_claims(settings, epoch)
    {
        tracing::warn!(%error, "claims of long ago could not be removed; the next takeover tries again");
    }
    let metrics = backend.metrics();
    let driver = Driver::start(backend, DriverSettings::default(), {
        let (engine, failure) = (engine.clone(), failure.clone());
        let guard = failure.guard("store");
        let mut durable = Ticket::default();
        move |event| {
            // It lives, and unwinds, with the thread.
            let _ = &guard;
            match event {
                DriverEvent::Persisted { upto } => {
                    let before = std::mem::replace(&mut durable, upto);
                    let told = Letter::Input(Input::Persisted { upto });
                    // What follows from a large group is much, and the next group waits for this thread.
                    if upto.0.saturating_sub(before.0) <= FEW_UNITS {
                        engine.bring(told)
                    } else {
                        engine.post(told)
                    }
                }
                DriverEvent::Space(space) => engine.post(Letter::Input(Input::Resources { space })),
                DriverEvent::Failed(error) => {
                    failure.report(format!("the store failed, the broker stops: {error}"));
                }
                _ => {}
            }
        }
    })
    .map_err(StartError::Thread)?;
    let loader = Loader::start(reader, WAITING_LOADS, {
        let (engine, failure) = (engine.clone(), failure.clone());
        move |load, found| {
            let content = match found {
                Ok(Found::Messages(messages)) => LoadContent::Bodies(messages),
                Ok(Found::Page(entries)) => LoadContent::Page(entries),
                Err(error) => {
                    failure.report(format!("the store can't be read, the broker stops: {error}"));
                    LoadContent::Failed
                }
            };
            engine.post(Letter::Input(Input::Loaded { load, content }));
        }
    })
    .map_err(StartError::Thread)?;
    let (batches, loads) = (driver.handle(), loader.handle());
    // Not before the claim: a standby touches nothing in the folder.
    let spool = spool::open(settings, run, engine, failure);
    Ok((Storage { driver, batches, loader, loads, metrics, spool }, recovered))
}

/// The chosen store in the broker's folder, not claimed yet.
pub(crate) fn follower(
    settings: &Settings,
    memory: &Arc<DatabaseMemory>,
) -> Result<Box<dyn Follower>, StartError> {
    let folder = &settings.data;
    if settings.store == StoreChoice::Memory {
        return Ok(Box::new(MemoryStore::new(settings.engine.limits.store_bytes)));
    }
    if settings.store == StoreChoice::Postgres {
        return postgres(settings, memory);
    }
    let unusable = |source| StartError::Folder { action: "use", path: folder.clone(), source };
    SystemDisk.create_dir_all(folder).map_err(unusable)?;
    let (journal, database) = (folder.join("journal"), folder.join(DATABASE));
    if settings.store == StoreChoice::Sqlite {
        if journal.exists() {
            return Err(StartError::OtherStore { path: folder.clone(), there: "a journal", kind: "journal" });
        }
        let max_bytes = settings.journal.max_bytes.unwrap_or(settings.engine.limits.store_bytes);
        return Ok(Box::new(SqliteStore::new(&database, SqliteOptions { max_bytes }).leased()));
    }
    if database.exists() {
        return Err(StartError::OtherStore { path: folder.clone(), there: "a database", kind: "sqlite" });
    }
    let mut options = settings.journal.clone();
    options.owner = crate::role::owner(settings.node_name());
    warn_of_loss(options.fsync);
    ferromq_store_journal::open(Arc::new(SystemDisk), Arc::new(SystemClock), folder, options)
        .map_err(|error| understood(error, settings))
}

/// Removes claims in the folder that `epoch` has left far behind. Only once the store is claimed for it.
fn tidy_claims(settings: &Settings, epoch: Epoch) -> Result<(), LockError> {
    let claims = Claims::new(Arc::new(SystemDisk), &settings.data);
    claims.adopt(epoch)?.map_or(Ok(()), |claim| claim.tidy())
}

/// The lease decides who claims, and ends a reign whose database stays away; the store waits as long.
fn postgres(settings: &Settings, memory: &Arc<DatabaseMemory>) -> Result<Box<dyn Follower>, StartError> {
    let Database { url, schema } = database(settings)?;
    let options = PostgresOptions {
        schema: schema.clone(),
        owner: settings.node_name().to_owned(),
        max_bytes: settings.journal.max_bytes.unwrap_or(u64::MAX),
        patience: timings(settings)?.lease,
        alone: false,
        ..PostgresOptions::default()
    };
    PostgresStore::new(url, options)
        .map(|store| -> Box<dyn Follower> { Box::new(store.remembering(Arc::clone(memory) as _)) })
        .map_err(|error| understood(error, settings))
}

fn database(settings: &Settings) -> Result<&Database, StartError> {
    settings.database.as_ref().ok_or_else(|| {
        StartError::Store(StoreError::NotAStore {
            store: "PostgreSQL".to_owned(),
            reason: "no database is named; say --store postgres://user@host/database, or set store.url"
                .to_owned(),
        })
    })
}

/// What follows from how long a silent master keeps its role.
pub(crate) fn timings(settings: &Settings) -> Result<Timings, StartError> {
    Timings::from_takeover_after(settings.takeover_after)
        .map_err(|error| StartError::Timings(error.to_string()))
}

/// Where it is decided who is master, and the times that follow from the one setting: the claims of the store, made only
/// by who holds the lock beside it if there is one.
pub(crate) fn lock(settings: &Settings) -> Result<(Box<dyn LockProvider>, Timings), StartError> {
    let (timings, owner) = (timings(settings)?, role::owner(settings.node_name()));
    let claims = claims(settings, owner.clone(), timings)?;
    let Some(guard) = &settings.guard else { return Ok((claims, timings)) };
    let guard = guard.provider(settings.node_name(), owner, timings);
    let guard = guard.map_err(|error| StartError::Lock(error.to_string()))?;
    Ok((Box::new(Guarded::new(guard, claims)), timings))
}

/// Where the chosen store's claims are made.
fn claims(settings: &Settings, owner: String, timings: Timings) -> Result<Box<dyn LockProvider>, StartError> {
    let provider: Box<dyn LockProvider> = if settings.store == StoreChoice::Postgres {
        let Database { url, schema } = database(settings)?;
        let lock = PostgresLock::new(url, &format!("{schema}_lock"), settings.node_name(), timings);
        Box::new(lock.map_err(|error| understood_claim(error, settings))?.signed(owner))
    } else {
        let (disk, entropy) = (Arc::new(SystemDisk), Box::new(SystemEntropy));
        let lock = FileLock::new(disk, entropy, &settings.data, settings.node_name(), timings);
        Box::new(lock.map_err(|error| understood_claim(error, settings))?.signed(owner))
    };
    Ok(provider)
}

/// What may be lost is said once at the start, not found out after a power cut.
fn warn_of_loss(fsync: FsyncPolicy) {
    match fsync {
        FsyncPolicy::Always => {}
        FsyncPolicy::Periodic(interval) => tracing::warn!(
            interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            "store.sync is periodic: a power cut may lose what was acknowledged within the interval; \
             'always' loses nothing"
        ),
        FsyncPolicy::Never => tracing::warn!(
            "store.sync is never: a power cut may lose minutes of what was acknowledged; 'always' loses nothing"
        ),
    }
}

/// The epoch before ours is only known once the store was looked at; what there is to read is read later.
pub(crate) fn look(
    mut follower: Box<dyn Follower>,
    settings: &Settings,
) -> Result<Box<dyn Follower>, StartError> {
    follower.follow(Budget { bytes: 1 }).map_err(|error| understood(error, settings))?;
    let Some(wanted) = settings.store_id.clone() else { return Ok(follower) };
    let place = settings.store_shown();
    match follower.store_id() {
        Some(found) if found.eq_ignore_ascii_case(&wanted) => Ok(follower),
        Some(found) => Err(StartError::AnotherStore { place, found, wanted }),
        None => Err(StartError::NoSuchStore { place, wanted }),
    }
}

/// Which store it is, now that there is one.
pub(crate) fn id(settings: &Settings, memory: &DatabaseMemory) -> Option<String> {
    match settings.store {
        StoreChoice::Journal => {
            Some(ferromq_store_journal::mark(&SystemDisk, &settings.data).ok()??.id?.to_string())
        }
        StoreChoice::Sqlite => ferromq_store_sqlite::store_id(&settings.data.join(DATABASE)).ok()?,
        StoreChoice::Postgres => memory.store(),
        StoreChoice::Memory => None,
    }
}

/// The claim on a folder could not be made or seen.
pub(crate) fn understood_claim(error: LockError, settings: &Settings) -> StartError {
    if let (LockError::NameTaken { .. }, Some(same)) = (&error, namesake(settings)) {
        return same;
    }
    let error = match error {
        LockError::Guard(error) => return StartError::Lock(error.to_string()),
        LockError::Held { place, holder } => StoreError::InUse { store: place, holder },
        LockError::NameTaken { place, name } => StoreError::InUse {
            store: place,
            holder: format!("another node that is called {name}, too; give each a name of its own"),
        },
        LockError::Superseded { place, ours, theirs } => StoreError::Fenced { store: place, ours, theirs },
        LockError::Io { action, path, source } => StoreError::Io { action, path, source },
        other => StoreError::Bug(other.to_string()),
    };
    understood(error, settings)
}

/// The master of a shared folder, if it is the one that has this node's name.
fn namesake(settings: &Settings) -> Option<StartError> {
    if settings.store == StoreChoice::Postgres {
        return None;
    }
    let claims = Claims::new(Arc::new(SystemDisk), &settings.data);
    let (epoch, owner) = claims.highest().ok()?;
    let owner = owner?;
    let same = role::name_of(&owner) == settings.node_name() && !claims.has_died(epoch.number).ok()?;
    same.then(|| StartError::SameName { path: settings.data.clone(), owner, epoch: epoch.number })
}

/// A folder that nobody may write is not a disk that fails.
fn understood(error: StoreError, settings: &Settings) -> StartError {
    match error {
        StoreError::Io { action, source, .. }
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            StartError::Folder { action, path: settings.data.clone(), source }
        }
        error => StartError::Store(error),
    }
}

impl Storage {
    /// Hands over units of work, in order. May wait if the disk is far behind; the store's threads never wait for
    /// the engine, so this ends.
    pub(crate) fn persist(&self, batches: &mut VecDeque<WriteBatch>) {
        for batch in batches.drain(..) {
            // A driver that has stopped has reported why; the broker is about to end.
            let _ = self.batches.submit(batch);
        }
    }

    /// The same as far as that goes without waiting; the rest stays in `batches`. Returns whether all were handed over.
    pub(crate) fn try_persist(&self, batches: &mut VecDeque<WriteBatch>) -> bool {
        while let Some(batch) = batches.pop_front() {
            if let Err(SubmitError::Full(batch)) = self.batches.try_submit(batch) {
                batches.push_front(batch);
                return false;
            }
        }
        true
    }

    /// Asks for messages or a part of an index.
    pub(crate) fn load(&self, load: LoadId, request: LoadRequest) {
        let wanted = match request {
            LoadRequest::Bodies(messages) => Wanted::Messages(messages),
            LoadRequest::Page(page) => Wanted::Page(page),
            LoadRequest::Block(block) => {
                if let Some(spool) = &self.spool {
                    spool.read(load, block);
                }
                return;
            }
        };
        let _ = self.loads.request(load, wanted);
    }

    /// Whether there is a spool.
    pub(crate) const fn spools(&self) -> bool {
        self.spool.is_some()
    }

    /// Changes the spool.
    pub(crate) fn spool(&self, op: SpoolOp) {
        if let Some(spool) = &self.spool {
            spool.submit(op);
        }
    }

    /// For whoever may have to end it at once.
    pub(crate) fn cutoff(&self) -> Cutoff {
        self.driver.cutoff()
    }

    /// What the store counts.
    pub(crate) fn metrics(&self) -> Option<Arc<StoreMetrics>> {
        self.metrics.clone()
    }

    /// Syncs what was handed over and lets go of the store. A spool may be long in removing what is in it: who has time
    /// waits for that when others may have the store.
    pub(crate) fn close(self) -> (Result<(), Broken>, Option<SpoolEnding>) {
        drop((self.batches, self.loads));
        let spool = self.spool.map(Spooling::end);
        self.loader.close();
        let closed = self.driver.close();
        (closed.map_err(|error| Broken::Storage(format!("the store could not be closed: {error}"))), spool)
    }
}

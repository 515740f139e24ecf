//! [`SqliteStore`]: a file that may be there, before it is claimed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode, SystemDisk};
use ferromq_model::{Epoch, Ticket};
use ferromq_store::{Budget, Claimed, Follower, Position, StoreError};
use rusqlite::{TransactionBehavior, params};

use crate::backend::{Backend, next_sequence, stored_epoch};
use crate::error::{database, int, io};
use crate::reader::Reader;
use crate::schema::{identify, identity, open_to_read, open_to_write};
use crate::state::{State, execute};

/// Settings of a store.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Bytes that messages may take before new ones are refused; a part is kept for acknowledgements.
    pub max_bytes: u64,
}

impl Default for SqliteOptions {
    /// No limit but the disk's.
    fn default() -> Self {
        Self { max_bytes: u64::MAX }
    }
}

impl SqliteOptions {
    /// What stays free for acknowledgements and reclaim.
    pub(crate) const fn reserve(self) -> u64 {
        let eighth = self.max_bytes / 8;
        if eighth < 16 << 20 { eighth } else { 16 << 20 }
    }
}

/// Which store the file at `path` is, the same in every copy of it; `None` if there is none, or none with an id.
///
/// # Errors
/// The file is no store of ours, or of a newer format, or can't be read.
pub fn store_id(path: &Path) -> Result<Option<String>, StoreError> {
    let mut store = SqliteStore::new(path, SqliteOptions::default());
    store.follow(Budget { bytes: 0 })?;
    Ok(store.store_id())
}

/// A store in an SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    path: PathBuf,
    options: SqliteOptions,
    seen: Epoch,
    id: Option<u64>,
    leased: bool,
}

impl SqliteStore {
    /// The store at `path`; nothing is opened or made yet.
    pub fn new(path: &Path, options: SqliteOptions) -> Self {
        Self { path: path.to_owned(), options, seen: Epoch::default(), id: None, leased: false }
    }

    /// For several brokers on one host, of which a lease says who claims: a claim does not ask whether the holder of
    /// the epoch before lives, and that holder's next transaction finds the higher epoch.
    #[must_use]
    pub fn leased(self) -> Self {
        Self { leased: true, ..self }
    }

    fn try_claim(&mut self, epoch: Epoch) -> Result<Claimed, StoreError> {
        let lock = if self.leased { None } else { Some(self.lock()?) };
        self.make_folder()?;
        let mut connection = open_to_write(&self.path)?;
        let wrong = |error: rusqlite::Error| database(&self.path, &error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrong)?;
        self.seen = stored_epoch(&transaction).map_err(wrong)?;
        if epoch.number <= self.seen.number {
            let store = self.path.display().to_string();
            return Err(StoreError::Fenced { store, ours: epoch, theirs: self.seen });
        }
        let values = params![int(epoch.number), epoch.claim.0.cast_signed()];
        execute(&transaction, "UPDATE reign SET number = ?1, claim = ?2", values).map_err(wrong)?;
        identify(&transaction, epoch.claim.0).map_err(wrong)?;
        transaction.commit().map_err(wrong)?;
        // The names of the file and its log are safe before anything is acknowledged.
        let folder = self.path.parent().unwrap_or(Path::new(""));
        SystemDisk.sync_dir(folder).map_err(|source| io("sync", folder, source))?;

        let state = State::load(&connection).map_err(wrong)?;
        let recovered = state.recovered(epoch);
        let reader = open_to_read(&self.path)?.ok_or_else(|| {
            StoreError::Bug(format!("{} is empty although it was claimed", self.path.display()))
        })?;
        let backend = Backend {
            connection,
            state,
            path: self.path.clone(),
            options: self.options,
            epoch,
            last: Ticket(0),
            syncs: true,
            failed: false,
            checkpointed: 0,
            metrics: Arc::default(),
            lock,
        };
        Ok(Claimed {
            backend: Box::new(backend),
            reader: Box::new(Reader { connection: reader, path: self.path.clone() }),
            recovered,
        })
    }

    fn make_folder(&self) -> Result<(), StoreError> {
        match self.path.parent() {
            Some(folder) => SystemDisk.create_dir_all(folder).map_err(|source| io("create", folder, source)),
            None => Ok(()),
        }
    }

    /// SQLite's own locks come and go with transactions; this one says whose the file is as long as he lives.
    fn lock(&self) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        let name = PathBuf::from(name);
        self.make_folder()?;
        let file =
            SystemDisk.open(&name, OpenMode::CreateOrKeep).map_err(|source| io("open", &name, source))?;
        if file.try_lock().map_err(|source| io("lock", &name, source))? {
            let text = format!("process {}", std::process::id());
            let noted = file.set_len(0).and_then(|()| file.write_at(text.as_bytes(), 0));
            noted.map_err(|source| io("write", &name, source))?;
            return Ok(file);
        }
        let mut text = [0; 64];
        let read = file.read_at(&mut text, 0).unwrap_or(0);
        let holder = String::from_utf8_lossy(text.get(..read).unwrap_or_default()).into_owned();
        Err(StoreError::InUse { store: self.path.display().to_string(), holder })
    }
}

impl Follower for SqliteStore {
    fn follow(&mut self, _budget: Budget) -> Result<Position, StoreError> {
        let Some(connection) = open_to_read(&self.path)? else { return Ok(Position(0)) };
        let wrong = |error| database(&self.path, &error);
        let (seen, next) =
            (stored_epoch(&connection).map_err(wrong)?, next_sequence(&connection).map_err(wrong)?);
        self.seen = self.seen.max(seen);
        self.id = identity(&connection).map_err(wrong)?;
        Ok(Position(next))
    }

    fn claim(mut self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)> {
        match self.try_claim(epoch) {
            Ok(claimed) => Ok(claimed),
            Err(error) => Err((self, error)),
        }
    }

    fn seen_epoch(&self) -> Epoch {
        self.seen
    }

    fn store_id(&self) -> Option<String> {
        self.id.map(|id| format!("{id:016x}"))
    }

    /// Everything is in the file, and a claim reads counts only.
    fn lag(&self) -> Option<u64> {
        Some(0)
    }
}

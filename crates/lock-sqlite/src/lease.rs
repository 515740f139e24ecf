//! [`SqliteLock`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, Entropy, SystemDisk, SystemEntropy};
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, NameLock, Sighting, Timings};
use ferromq_model::{ClaimId, Epoch};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::beside::{Alive, Beside};
use crate::row::{self, Lease};

/// Claims in a database file that the processes of one machine share.
pub struct SqliteLock {
    path: PathBuf,
    owner: String,
    timings: Timings,
    entropy: Box<dyn Entropy>,
    beside: Beside,
    name: NameLock,
    connection: Option<Connection>,
    held: Option<Alive>,
    /// Whom the last look showed.
    seen: Option<Epoch>,
}

impl SqliteLock {
    /// A provider in the database at `path`, for the node of that name, which no other may have. Nothing is opened or made
    /// yet.
    ///
    /// # Errors
    /// [`LockError::Timings`].
    pub fn new(path: &Path, node: &str, timings: Timings) -> Result<Self, LockError> {
        timings.check()?;
        let mut beside = path.as_os_str().to_owned();
        beside.push("-lease");
        let (beside, disk) = (PathBuf::from(beside), Arc::new(SystemDisk));
        Ok(Self {
            path: path.to_owned(),
            owner: node.to_owned(),
            timings,
            entropy: Box::new(SystemEntropy),
            name: NameLock::new(Arc::clone(&disk) as Arc<dyn Disk>, &beside, node),
            beside: Beside::new(disk, &beside),
            connection: None,
            held: None,
            seen: None,
        })
    }

    /// What others read about this node when it holds the lease; its name if nothing is said.
    #[must_use]
    pub fn signed(mut self, owner: String) -> Self {
        self.owner = owner;
        self
    }

    fn failed(&self, action: &'static str) -> impl Fn(rusqlite::Error) -> LockError + use<> {
        let path = self.path.display().to_string();
        move |error| LockError::Io { action, path: path.clone(), source: io::Error::other(error.to_string()) }
    }

    fn io(&self, action: &'static str) -> impl Fn(io::Error) -> LockError + use<> {
        let path = format!("{}-lease", self.path.display());
        move |source| LockError::Io { action, path: path.clone(), source }
    }

    /// `None` if there is no database and none is to be made.
    fn connect(&mut self, make: bool) -> Result<Option<&mut Connection>, LockError> {
        if self.connection.is_none() {
            if !make && !self.path.exists() {
                return Ok(None);
            }
            let failed = self.failed("open");
            let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            if make {
                flags |= OpenFlags::SQLITE_OPEN_CREATE;
            }
            let connection = Connection::open_with_flags(&self.path, flags).map_err(&failed)?;
            // A holder has to have a try left before its lease ends.
            connection.busy_timeout(self.timings.lease / 2).map_err(&failed)?;
            connection.pragma_update(None, "synchronous", "EXTRA").map_err(&failed)?;
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut())
    }

    fn read(&mut self) -> Result<Option<Lease>, LockError> {
        let failed = self.failed("read");
        match self.connect(false)? {
            Some(connection) => row::read(connection).map_err(failed),
            None => Ok(None),
        }
    }

    fn sighting(&self, lease: &Lease) -> Result<Sighting, LockError> {
        let (beat, gone) = self.beside.look(lease.epoch).map_err(self.io("look at"))?;
        let ours = self.held.as_ref().is_some_and(|held| held.epoch() == lease.epoch);
        Ok(Sighting {
            epoch: lease.epoch,
            owner: Some(lease.owner.clone()),
            beat,
            released: lease.released,
            died: gone && !ours,
        })
    }

    /// The claim itself, over exactly what was seen; `None` if another one was faster.
    fn claim(&mut self, over: Option<&Lease>, at_least: Epoch) -> Result<Option<Alive>, LockError> {
        let highest = over.map_or(Epoch::default(), |lease| lease.epoch);
        let number = at_least.number.max(highest.number).saturating_add(1);
        let epoch = Epoch { number, claim: ClaimId(self.entropy.next_u64()) };
        let (failed, io) = (self.failed("claim the lease in"), self.io("use"));
        self.connect(true)?;
        let Some(connection) = self.connection.as_mut() else {
            return Err(LockError::Bug("no connection".to_owned()));
        };
        let transaction = Transaction::new(connection, TransactionBehavior::Immediate).map_err(&failed)?;
        if row::read(&transaction).map_err(&failed)?.as_ref() != over {
            return Ok(None);
        }
        // It lives before the row says so, or somebody might think it dead.
        let Some(alive) = self.beside.live(epoch).map_err(io)? else { return Ok(None) };
        row::claim(&transaction, epoch, &self.owner).map_err(&failed)?;
        transaction.commit().map_err(&failed)?;
        Ok(Some(alive))
    }
}

impl LockProvider for SqliteLock {
    fn look(&mut self) -> Result<Option<Sighting>, LockError> {
        self.name.take()?;
        let lease = self.read()?;
        self.seen = lease.as_ref().map(|lease| lease.epoch);
        lease.map(|lease| self.sighting(&lease)).transpose()
    }

    fn try_acquire(&mut self, at_least: Epoch, why: Contention) -> Result<Acquired, LockError> {
        self.held = None;
        self.name.take()?;
        let current = self.read()?;
        if let Some(lease) = &current {
            let sighting = self.sighting(lease)?;
            // The silence was that of the holder that was looked at. Of another one nothing is known.
            let silent = why == Contention::OverSilence && self.seen.is_none_or(|seen| seen == lease.epoch);
            if !sighting.released && !sighting.died && !silent {
                return Ok(Acquired::Held(sighting));
            }
        }
        if let Some(alive) = self.claim(current.as_ref(), at_least)? {
            let epoch = alive.epoch();
            self.held = Some(alive);
            // A standby of this name that was faster finds out itself; the claim is ours.
            let _ = self.name.make();
            return Ok(Acquired::Granted(Grant { epoch, lasts: self.timings.lease }));
        }
        match self.look()? {
            Some(sighting) => Ok(Acquired::Held(sighting)),
            None => Err(LockError::Bug("the row of the lease vanished".to_owned())),
        }
    }

    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError> {
        if self.held.as_ref().is_none_or(|held| held.epoch() != grant.epoch) {
            return Err(LockError::Bug(format!("epoch {} is not held here", grant.epoch)));
        }
        let theirs = self.read()?.map_or(Epoch::default(), |lease| lease.epoch);
        if theirs != grant.epoch {
            let place = self.path.display().to_string();
            return Err(LockError::Superseded { place, ours: grant.epoch, theirs });
        }
        let io = self.io("write");
        if let Some(held) = &mut self.held {
            held.beat().map_err(io)?;
        }
        Ok(Grant { epoch: grant.epoch, lasts: self.timings.lease })
    }

    fn release(&mut self, grant: Grant) -> Result<(), LockError> {
        let Some(held) = self.held.take_if(|held| held.epoch() == grant.epoch) else { return Ok(()) };
        let failed = self.failed("release the lease in");
        let released = match self.connect(false)? {
            Some(connection) => row::release(connection, grant.epoch).map_err(failed),
            None => Ok(()),
        };
        drop(held);
        released
    }
}

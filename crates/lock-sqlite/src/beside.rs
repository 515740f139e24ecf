//! [`Beside`]: the file beside the database, with heartbeats and with locks that end with a process.
//!
//! | place | what |
//! |---|---|
//! | bytes *n* mod 4,096 × 512 | heartbeat of epoch *n*: number, claim, count, little endian |
//! | locks below 2⁶² | the names of nodes, see `NameLock` |
//! | lock 2⁶² + *n* | the holder of epoch *n* lives |

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::Epoch;

/// As many holders in a row write nowhere near each other.
const SLOTS: u64 = 4_096;
const SLOT_BYTES: u64 = 512;
const BEAT_BYTES: usize = 24;
const HOLDERS: u64 = 1 << 62;

/// The file beside a database.
pub(crate) struct Beside {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

/// What the holder of an epoch has open.
pub(crate) struct Alive {
    file: Arc<dyn DiskFile>,
    epoch: Epoch,
    beat: u64,
}

const fn slot(epoch: Epoch) -> u64 {
    epoch.number % SLOTS * SLOT_BYTES
}

const fn holder(epoch: Epoch) -> u64 {
    HOLDERS + epoch.number % HOLDERS
}

impl Beside {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self { disk, path: path.to_owned() }
    }

    fn open(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        match self.disk.open(&self.path, OpenMode::Write) {
            Ok(file) => Ok(Some(file)),
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The count of a holder's heartbeats, and whether its process is gone. What another one wrote in the slot is none.
    pub(crate) fn look(&self, epoch: Epoch) -> io::Result<(u64, bool)> {
        let Some(file) = self.open()? else { return Ok((0, true)) };
        let mut bytes = [0; BEAT_BYTES];
        file.read_at(&mut bytes, slot(epoch))?;
        let [number, claim, beat] = words(&bytes);
        let beat = if number == epoch.number && claim == epoch.claim.0 { beat } else { 0 };
        // Taken and given back at once. Who finds it taken by another one that looks, sees the end at its next look.
        Ok((beat, file.try_lock_at(holder(epoch))?))
    }

    /// For a claim that is about to be made; `None` if somebody else is making it.
    pub(crate) fn live(&self, epoch: Epoch) -> io::Result<Option<Alive>> {
        let file = self.disk.open(&self.path, OpenMode::CreateOrKeep)?;
        if !file.try_lock_at(holder(epoch))? {
            return Ok(None);
        }
        let mut alive = Alive { file, epoch, beat: 0 };
        alive.beat()?;
        Ok(Some(alive))
    }
}

impl Alive {
    /// A sign of life. Processes of one machine see it without a sync.
    pub(crate) fn beat(&mut self) -> io::Result<()> {
        self.beat += 1;
        let words = [self.epoch.number, self.epoch.claim.0, self.beat];
        let mut bytes = [0; BEAT_BYTES];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        self.file.write_at(&bytes, slot(self.epoch))
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

fn words(bytes: &[u8; BEAT_BYTES]) -> [u64; 3] {
    let mut words = [0; 3];
    for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = from.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

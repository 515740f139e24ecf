//! [`Gate`]: stands before every operation that one thread of a node does on the shared disk, and stops the thread there
//! when the world wants it so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferromq_env::simulated::SeededEntropy;
use ferromq_env::{CacheBypass, Disk, DiskFile, OpenMode};

use super::NodeBug;
use super::worker::Stand;

/// Why a thread stopped before an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The operation that the world chose for a fault.
    Chosen,
    /// The disk does not answer for now.
    Stalled,
    /// The disk takes its time.
    Slow(Duration),
}

/// What a stopped thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoOn {
    Try,
    Fail,
}

/// What the world says about one thread's operations.
#[derive(Debug)]
pub(super) struct Rules {
    /// Stops before the n-th operation from now.
    pub(super) stop_at: Option<u64>,
    pub(super) stalled: bool,
    pub(super) failing: bool,
    /// A bug to plant.
    pub(super) bug: Option<NodeBug>,
    /// The epoch of this process; what the planted bugs hide is above it.
    pub(super) epoch: u64,
    /// The count of operations at the last look whether a higher claim exists.
    pub(super) claim_look: u64,
    dice: SeededEntropy,
}

/// The gate of one thread.
pub(super) struct Gate {
    rules: Mutex<Rules>,
    /// Operations of all threads of all nodes, so that each has its place in one order.
    ops: Arc<AtomicU64>,
    /// How the thread tells that it stopped, and how it is told to go on.
    halted: Mutex<Sender<Stand>>,
    go_on: Mutex<Receiver<GoOn>>,
}

impl Gate {
    pub(super) fn new(
        ops: Arc<AtomicU64>,
        halted: Sender<Stand>,
        go_on: Receiver<GoOn>,
        bug: Option<NodeBug>,
        dice: SeededEntropy,
    ) -> Self {
        let rules =
            Rules { stop_at: None, stalled: false, failing: false, bug, epoch: 0, claim_look: 0, dice };
        Self { rules: Mutex::new(rules), ops, halted: Mutex::new(halted), go_on: Mutex::new(go_on) }
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before each operation.
    pub(super) fn pass(&self) -> io::Result<()> {
        let halt = {
            let mut rules = self.rules();
            if rules.failing {
                return Err(io::Error::other("the storage can't be reached"));
            }
            match rules.stop_at {
                Some(0) => {
                    rules.stop_at = None;
                    Some(Halt::Chosen)
                }
                left => {
                    rules.stop_at = left.map(|left| left - 1);
                    if rules.stalled {
                        Some(Halt::Stalled)
                    } else if rules.dice.chance(1, 60) {
                        Some(Halt::Slow(Duration::from_micros(5 + rules.dice.below(600))))
                    } else {
                        None
                    }
                }
            }
        };
        if let Some(halt) = halt {
            self.halt(halt)?;
            // What was resumed may find the disk stalled, or another fault, as it is now.
            while self.rules().stalled {
                self.halt(Halt::Stalled)?;
            }
            if self.rules().failing {
                return Err(io::Error::other("the storage can't be reached"));
            }
        }
        self.ops.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn halt(&self, halt: Halt) -> io::Result<()> {
        let gone = || io::Error::other("the process was killed");
        self.halted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(Stand::Halted(halt))
            .map_err(|_| gone())?;
        match self.go_on.lock().unwrap_or_else(PoisonError::into_inner).recv() {
            Ok(GoOn::Try) => Ok(()),
            Ok(GoOn::Fail) | Err(_) => Err(gone()),
        }
    }
}

/// A disk behind a gate.
#[derive(Clone)]
pub(super) struct GatedDisk {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) gate: Arc<Gate>,
}

/// The number of a claim, if the path is one.
fn claim_number(path: &Path) -> Option<u64> {
    (path.parent()?.file_name()? == "claims").then(|| path.file_name()?.to_str()?.parse().ok())?
}

impl Disk for GatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.gate.pass()?;
        let (mut mode, mut shares, mut slow) = (mode, false, None);
        let claim = claim_number(path);
        if let Some(number) = claim {
            let mut rules = self.gate.rules();
            if mode == OpenMode::Read
                && rules.bug == Some(NodeBug::FenceUnchecked)
                && rules.epoch > 0
                && number > rules.epoch
            {
                return Err(io::ErrorKind::NotFound.into());
            }
            if mode == OpenMode::CreateNew && rules.bug == Some(NodeBug::SharedClaim) {
                (mode, shares) = (OpenMode::CreateOrKeep, true);
            }
            // Two have to stand between their look and their claim for this bug to matter, and seldom do by themselves.
            if mode == OpenMode::Write && rules.bug == Some(NodeBug::SharedClaim) && rules.dice.chance(1, 2) {
                slow = Some(Duration::from_millis(5 + rules.dice.below(40)));
            }
        }
        if let Some(slow) = slow {
            self.gate.halt(Halt::Slow(slow))?;
        }
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(GatedFile { file, gate: Arc::clone(&self.gate), claim, shares }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.gate.pass()?;
        self.disk.list(folder)
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.create_dir_all(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.gate.pass()?;
        self.disk.sync_dir(folder)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.gate.pass()?;
        self.disk.free_bytes(path)
    }

    fn is_coherent(&self, path: &Path) -> bool {
        self.disk.is_coherent(path)
    }
}

struct GatedFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
    /// The number of the claim that it is.
    claim: Option<u64>,
    /// The planted bug: a claim that others may make as well.
    shares: bool,
}

impl GatedFile {
    /// Whether this is the look of a master whether its claim was marked; and the planted bug that sees no mark.
    fn looks_at_fence(&self, offset: u64) -> bool {
        let mut rules = self.gate.rules();
        let own = offset > 0 && rules.epoch > 0 && self.claim == Some(rules.epoch);
        if own {
            rules.claim_look = self.gate.ops.load(Ordering::SeqCst);
        }
        own && rules.bug == Some(NodeBug::FenceUnchecked)
    }
}

impl DiskFile for GatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.gate.pass()?;
        if self.looks_at_fence(offset) {
            return Ok(0);
        }
        self.file.read_at(buffer, offset)
    }

    fn read_past_cache(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.gate.pass()?;
        if self.looks_at_fence(offset) {
            return Ok(0);
        }
        self.file.read_past_cache(buffer, offset)
    }

    fn cache_bypass(&self) -> CacheBypass {
        self.file.cache_bypass()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.gate.pass()?;
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass()?;
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.gate.pass()?;
        self.file.len()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.gate.pass()?;
        self.file.allocate(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.gate.pass()?;
        self.file.set_len(bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.gate.pass()?;
        Ok(self.file.try_lock()? || self.shares)
    }

    fn try_lock_at(&self, place: u64) -> io::Result<bool> {
        self.gate.pass()?;
        Ok(self.file.try_lock_at(place)? || self.shares)
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        self.file.is_named(path)
    }
}

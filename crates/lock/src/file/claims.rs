//! [`Claims`]: the numbered files by which an epoch is won, one after the other, without gaps.
//!
//! The file of an epoch is made exclusively, never renamed and never rewritten; the lock on it is a hint that its
//! owner lives. A claim that exists ends the epochs below it, whatever their owners believe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::{ClaimId, Epoch};

use crate::LockError;

/// Claims below the present one that are kept, so that a paused owner of one of them finds its successor.
const KEPT: u64 = 64;

/// How many numbers may be skipped by one claim.
const MAX_SKIP: u64 = 1024;

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LockError {
    let path = path.display().to_string();
    move |source| LockError::Io { action, path, source }
}

/// The folder of claims below a folder that all share.
#[derive(Clone)]
pub struct Claims {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// An epoch that was won, for as long as no higher claim exists.
pub struct Claim {
    claims: Claims,
    epoch: Epoch,
    /// Holds the lock; nothing does if the claim was made by somebody else in this process.
    _file: Option<Arc<dyn DiskFile>>,
}

impl Claims {
    /// The claims in `store`.
    pub fn new(disk: Arc<dyn Disk>, store: &Path) -> Self {
        Self { disk, folder: store.join("claims") }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}"))
    }

    fn place(&self) -> String {
        self.folder.parent().unwrap_or(&self.folder).display().to_string()
    }

    fn numbers(&self) -> Result<Vec<u64>, LockError> {
        let names = match self.disk.list(&self.folder) {
            Ok(names) => names,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io("list", &self.folder)(error)),
        };
        let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u64>().ok();
        let mut numbers: Vec<_> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The highest epoch that was claimed, and by whom.
    ///
    /// # Errors
    /// The folder or the claim can't be read.
    pub fn highest(&self) -> Result<(Epoch, Option<String>), LockError> {
        let Some(number) = self.numbers()?.last().copied() else { return Ok((Epoch::default(), None)) };
        let (claim, owner) = self.read(number)?;
        Ok((Epoch { number, claim }, owner))
    }

    fn read(&self, number: u64) -> Result<(ClaimId, Option<String>), LockError> {
        let path = self.path(number);
        let file = self.disk.open(&path, OpenMode::Read).map_err(io("open", &path))?;
        let mut bytes = vec![0; 4096];
        let got = file.read_at(&mut bytes, 0).map_err(io("read", &path))?;
        let text = String::from_utf8_lossy(bytes.get(..got).unwrap_or_default()).into_owned();
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let claim = line("claim ").and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
        Ok((ClaimId(claim), line("owner ")))
    }

    /// The claim id of an epoch, if its claim can be read.
    pub fn id_of(&self, number: u64) -> Option<ClaimId> {
        self.read(number).ok().map(|(claim, _)| claim)
    }

    fn in_use(&self, number: u64) -> LockError {
        let owner = self.read(number).ok().and_then(|(_, owner)| owner);
        let holder = owner.unwrap_or_else(|| String::from("another process"));
        LockError::Held { place: self.place(), holder: format!("{holder} (epoch {number})") }
    }

    /// The claim of an epoch that was won already, with the same id, by a provider of this process that holds it.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn adopt(&self, epoch: Epoch) -> Result<Option<Claim>, LockError> {
        let (highest, _) = self.highest()?;
        // Without a living holder it is the claim of an earlier run, whoever asks.
        let held = highest == epoch && epoch.number > 0 && !self.has_died(epoch.number)?;
        Ok(held.then(|| Claim { claims: self.clone(), epoch, _file: None }))
    }

    /// Whether the lock on the claim of an epoch can be had, which its owner holds while it lives. Taken and given
    /// back at once; no byte changes.
    ///
    /// # Errors
    /// The claim can't be opened.
    pub fn has_died(&self, number: u64) -> Result<bool, LockError> {
        let path = self.path(number);
        match self.disk.open(&path, OpenMode::Write) {
            Ok(file) => file.try_lock().map_err(io("lock", &path)),
            // Removed by a successor, which is another way to be no longer there.
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(io("open", &path)(error)),
        }
    }

    /// Wins `epoch`, unless a claim as high exists or, without `over_silence`, the owner of the highest one lives.
    ///
    /// # Errors
    /// [`LockError::Held`], [`LockError::Superseded`], or a file can't be used.
    pub fn claim(&self, epoch: Epoch, owner: &str, over_silence: bool) -> Result<Claim, LockError> {
        self.disk.create_dir_all(&self.folder).map_err(io("make", &self.folder))?;
        let highest = self.numbers()?.last().copied().unwrap_or(0);
        // Held until the new claim is safe, so that of two claimants one waits outside.
        let mut _old = None;
        if highest > 0 {
            let path = self.path(highest);
            let file = self.disk.open(&path, OpenMode::Write).map_err(io("open", &path))?;
            let vacant = file.try_lock().map_err(io("lock", &path))?;
            if !vacant && !over_silence {
                return Err(self.in_use(highest));
            }
            _old = Some(file);
        }
        if epoch.number <= highest {
            let theirs = Epoch { number: highest, claim: self.read(highest)?.0 };
            return Err(LockError::Superseded { place: self.place(), ours: epoch, theirs });
        }
        if epoch.number - highest > MAX_SKIP {
            return Err(LockError::Bug(format!("epoch {} was claimed right after {highest}", epoch.number)));
        }
        let mut held = None;
        for number in highest + 1..=epoch.number {
            held = Some(self.make(number, epoch, owner)?);
        }
        let Some(file) = held else { return Err(LockError::Bug(String::from("no claim was made"))) };
        self.disk.sync_dir(&self.folder).map_err(io("sync", &self.folder))?;
        Ok(Claim { claims: self.clone(), epoch, _file: Some(file) })
    }

    fn make(&self, number: u64, epoch: Epoch, owner: &str) -> Result<Arc<dyn DiskFile>, LockError> {
        let path = self.path(number);
        let file = match self.disk.open(&path, OpenMode::CreateNew) {
            Ok(file) => file,
            Err(taken) if taken.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(self.in_use(number));
            }
            Err(error) => return Err(io("create", &path)(error)),
        };
        if !file.try_lock().map_err(io("lock", &path))? {
            return Err(self.in_use(number));
        }
        let owner = owner.replace(['\n', '\r'], " ");
        let text = format!("ferromq claim 1\nepoch {number}\nclaim {:016x}\nowner {owner}\n", epoch.claim.0);
        file.write_at(text.as_bytes(), 0).map_err(io("write", &path))?;
        file.sync().map_err(io("sync", &path))?;
        Ok(file)
    }
}

impl Claim {
    /// The epoch that was won.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Fails if a higher claim exists.
    ///
    /// # Errors
    /// [`LockError::Superseded`], or the folder can't be read.
    pub fn check(&self) -> Result<(), LockError> {
        // The successor first: claims are removed from below, so if it came and went, ours went before it.
        let next = self.claims.path(self.epoch.number + 1);
        let superseded = match self.claims.disk.open(&next, OpenMode::Read) {
            Ok(_) => true,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                let own = self.claims.path(self.epoch.number);
                match self.claims.disk.open(&own, OpenMode::Read) {
                    Ok(_) => false,
                    Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => true,
                    Err(error) => return Err(io("open", &own)(error)),
                }
            }
            Err(error) => return Err(io("open", &next)(error)),
        };
        if superseded {
            let (theirs, _) = self.claims.highest()?;
            return Err(LockError::Superseded { place: self.claims.place(), ours: self.epoch, theirs });
        }
        Ok(())
    }

    /// Removes claims of long ago, lowest first. Only once the own epoch is sealed.
    ///
    /// # Errors
    /// A file can't be removed.
    pub fn tidy(&self) -> Result<(), LockError> {
        for number in self.claims.numbers()? {
            if number + KEPT < self.epoch.number {
                let path = self.claims.path(number);
                match self.claims.disk.remove(&path) {
                    // Whoever was here before may have removed it just now.
                    Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {}
                    outcome => outcome.map_err(io("remove", &path))?,
                }
            }
        }
        Ok(())
    }
}

//! [`Claims`]: the numbered files by which an epoch is won, one after the other, without gaps.
//!
//! The file of an epoch is made exclusively, never renamed and never rewritten; the lock on it is a hint that its
//! owner lives. A claim that exists ends the epochs below it, whatever their owners believe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::{ClaimId, Epoch};
use ferromq_store::StoreError;

use crate::failure;

/// Claims below the present one that are kept, so that a paused owner of one of them finds its successor.
const KEPT: u64 = 64;

/// How many numbers may be skipped by one claim.
const MAX_SKIP: u64 = 1024;

/// The folder of claims.
#[derive(Clone)]
pub(crate) struct Claims {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// An epoch that was won, for as long as no higher claim exists.
pub(crate) struct Claim {
    claims: Claims,
    epoch: Epoch,
    /// Holds the lock.
    _file: Arc<dyn DiskFile>,
}

impl Claims {
    pub(crate) fn new(disk: Arc<dyn Disk>, store: &Path) -> Self {
        Self { disk, folder: store.join("claims") }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}"))
    }

    fn store(&self) -> String {
        self.folder.parent().unwrap_or(&self.folder).display().to_string()
    }

    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let names = match self.disk.list(&self.folder) {
            Ok(names) => names,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failure::io("list", &self.folder)(error)),
        };
        let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u64>().ok();
        let mut numbers: Vec<_> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The highest epoch that was claimed, and by whom.
    pub(crate) fn highest(&self) -> Result<(Epoch, Option<String>), StoreError> {
        let Some(number) = self.numbers()?.last().copied() else { return Ok((Epoch::default(), None)) };
        let (claim, owner) = self.read(number)?;
        Ok((Epoch { number, claim }, owner))
    }

    fn read(&self, number: u64) -> Result<(ClaimId, Option<String>), StoreError> {
        let path = self.path(number);
        let file = self.disk.open(&path, OpenMode::Read).map_err(failure::io("open", &path))?;
        let mut bytes = vec![0; 4096];
        let got = file.read_at(&mut bytes, 0).map_err(failure::io("read", &path))?;
        let text = String::from_utf8_lossy(bytes.get(..got).unwrap_or_default()).into_owned();
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let claim = line("claim ").and_then(|hex| u64::from_str_radix(&hex, 16).ok()).unwrap_or(0);
        Ok((ClaimId(claim), line("owner ")))
    }

    /// The claim id of an epoch, if its claim can be read.
    pub(crate) fn id_of(&self, number: u64) -> Option<ClaimId> {
        self.read(number).ok().map(|(claim, _)| claim)
    }

    fn in_use(&self, number: u64) -> StoreError {
        let owner = self.read(number).ok().and_then(|(_, owner)| owner);
        let holder = owner.unwrap_or_else(|| String::from("another process"));
        StoreError::InUse { store: self.store(), holder: format!("{holder} (epoch {number})") }
    }

    /// Wins `epoch`, unless the owner of the highest claim lives or a claim as high exists.
    pub(crate) fn claim(&self, epoch: Epoch, owner: &str) -> Result<Claim, StoreError> {
        self.disk.create_dir_all(&self.folder).map_err(failure::io("make", &self.folder))?;
        let highest = self.numbers()?.last().copied().unwrap_or(0);
        // Held until the new claim is safe, so that of two claimants one waits outside.
        let mut _old = None;
        if highest > 0 {
            let path = self.path(highest);
            let file = self.disk.open(&path, OpenMode::Write).map_err(failure::io("open", &path))?;
            if !file.try_lock().map_err(failure::io("lock", &path))? {
                return Err(self.in_use(highest));
            }
            _old = Some(file);
        }
        if epoch.number <= highest {
            let theirs = Epoch { number: highest, claim: self.read(highest)?.0 };
            return Err(StoreError::Fenced { store: self.store(), ours: epoch, theirs });
        }
        if epoch.number - highest > MAX_SKIP {
            return Err(StoreError::Bug(format!("epoch {} was claimed right after {highest}", epoch.number)));
        }
        let mut held = None;
        for number in highest + 1..=epoch.number {
            held = Some(self.make(number, epoch, owner)?);
        }
        let Some(file) = held else { return Err(StoreError::Bug(String::from("no claim was made"))) };
        self.disk.sync_dir(&self.folder).map_err(failure::io("sync", &self.folder))?;
        Ok(Claim { claims: self.clone(), epoch, _file: file })
    }

    fn make(&self, number: u64, epoch: Epoch, owner: &str) -> Result<Arc<dyn DiskFile>, StoreError> {
        let path = self.path(number);
        let file = match self.disk.open(&path, OpenMode::CreateNew) {
            Ok(file) => file,
            Err(taken) if taken.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(self.in_use(number));
            }
            Err(error) => return Err(failure::io("create", &path)(error)),
        };
        if !file.try_lock().map_err(failure::io("lock", &path))? {
            return Err(self.in_use(number));
        }
        let owner = owner.replace(['\n', '\r'], " ");
        let text = format!("ferromq claim 1\nepoch {number}\nclaim {:016x}\nowner {owner}\n", epoch.claim.0);
        file.write_at(text.as_bytes(), 0).map_err(failure::io("write", &path))?;
        file.sync().map_err(failure::io("sync", &path))?;
        Ok(file)
    }
}

impl Claim {
    /// The epoch that was won.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Fails if a higher claim exists.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        // The successor first: claims are removed from below, so if it came and went, ours went before it.
        let next = self.claims.path(self.epoch.number + 1);
        let superseded = match self.claims.disk.open(&next, OpenMode::Read) {
            Ok(_) => true,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                let own = self.claims.path(self.epoch.number);
                match self.claims.disk.open(&own, OpenMode::Read) {
                    Ok(_) => false,
                    Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => true,
                    Err(error) => return Err(failure::io("open", &own)(error)),
                }
            }
            Err(error) => return Err(failure::io("open", &next)(error)),
        };
        if superseded {
            let (theirs, _) = self.claims.highest()?;
            return Err(StoreError::Fenced { store: self.claims.store(), ours: self.epoch, theirs });
        }
        Ok(())
    }

    /// Removes claims of long ago, lowest first. Only once the own epoch is sealed.
    pub(crate) fn tidy(&self) -> Result<(), StoreError> {
        for number in self.claims.numbers()? {
            if number + KEPT < self.epoch.number {
                let path = self.claims.path(number);
                failure::removed(self.claims.disk.remove(&path), &path)?;
            }
        }
        Ok(())
    }
}

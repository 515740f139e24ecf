//! [`FileLock`]: the provider on a shared folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, Entropy, OpenMode};
use ferromq_model::{ClaimId, Epoch};

use super::{Claim, Claims, Fence};
use crate::{Acquired, Contention, Grant, LockError, LockProvider, NameLock, Sighting, Timings};

/// A heartbeat: the number that moves, and whether its writer let go; both little endian. As long as a block, so
/// that it can be read past the cache.
const BEAT_BYTES: usize = 512;

/// Claims in a folder that all share.
pub struct FileLock {
    disk: Arc<dyn Disk>,
    entropy: Box<dyn Entropy>,
    claims: Claims,
    heartbeats: PathBuf,
    name: NameLock,
    owner: String,
    timings: Timings,
    fence: Fence,
    held: Option<Held>,
    /// The epoch that the last look found.
    seen: Option<Epoch>,
}

/// What the holder has open.
struct Held {
    claim: Claim,
    heartbeat: Arc<dyn DiskFile>,
    path: PathBuf,
    beat: u64,
}

impl FileLock {
    /// A provider on the folder `shared`, for the node of that name, which no other may have.
    ///
    /// # Errors
    /// [`LockError::Timings`].
    pub fn new(
        disk: Arc<dyn Disk>,
        entropy: Box<dyn Entropy>,
        shared: &Path,
        node: &str,
        timings: Timings,
    ) -> Result<Self, LockError> {
        timings.check()?;
        let heartbeats = shared.join("heartbeats");
        // A name that is looked for in vain may be remembered as absent by a network file system, also when this node
        // wants to follow it.
        let fence = if disk.is_coherent(shared) { Fence::MarkOrName } else { Fence::Mark };
        Ok(Self {
            claims: Claims::new(Arc::clone(&disk), shared),
            fence,
            name: NameLock::new(Arc::clone(&disk), &heartbeats.join("names"), node),
            disk,
            entropy,
            heartbeats,
            owner: node.to_owned(),
            timings,
            held: None,
            seen: None,
        })
    }

    /// What others read about this node when it holds the claim; its name if nothing is said.
    #[must_use]
    pub fn signed(mut self, owner: String) -> Self {
        self.owner = owner;
        self
    }

    fn heartbeat_path(&self, number: u64) -> PathBuf {
        self.heartbeats.join(format!("{number:010}"))
    }

    /// The number and the last word of a holder; a heartbeat that is not there yet stands still at zero.
    fn read_beat(&self, number: u64) -> Result<(u64, bool), LockError> {
        let path = self.heartbeat_path(number);
        let io = |action, source| LockError::Io { action, path: path.display().to_string(), source };
        let file = match self.disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok((0, false)),
            Err(error) => return Err(io("open", error)),
        };
        let mut bytes = [0; BEAT_BYTES];
        let read = if self.disk.is_coherent(&path) {
            file.read_at(&mut bytes, 0)
        } else {
            file.read_past_cache(&mut bytes, 0)
        };
        read.map_err(|error| io("read", error))?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.iter_mut().zip(bytes.iter().skip(at)).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(word)
        };
        Ok((word(0), word(8) == 1))
    }

    fn write_beat(&self, held: &Held, released: bool) -> Result<(), LockError> {
        let io = |action, source| LockError::Io { action, path: held.path.display().to_string(), source };
        let mut bytes = [0; BEAT_BYTES];
        let words = held.beat.to_le_bytes().into_iter().chain(u64::from(released).to_le_bytes());
        bytes.iter_mut().zip(words).for_each(|(to, from)| *to = from);
        held.heartbeat.write_at(&bytes, 0).map_err(|error| io("write", error))?;
        // Other machines see what reached the storage; processes of this one see the page as it is.
        if self.disk.is_coherent(&held.path) {
            return Ok(());
        }
        held.heartbeat.sync().map_err(|error| io("sync", error))
    }

    fn sighting(&self) -> Result<Option<Sighting>, LockError> {
        let (epoch, owner) = self.claims.highest()?;
        if epoch.number == 0 {
            return Ok(None);
        }
        let (beat, released) = self.read_beat(epoch.number)?;
        let ours = self.held.as_ref().is_some_and(|held| held.claim.epoch() == epoch);
        let died = !ours && self.claims.has_died(epoch.number)?;
        Ok(Some(Sighting { epoch, owner, beat, released, died }))
    }

    /// Removes heartbeats whose claims are gone; they decide nothing.
    fn tidy(&self, number: u64) {
        const KEPT: u64 = 64;
        for path in self.disk.list(&self.heartbeats).unwrap_or_default() {
            let old =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u64>().ok());
            if old.is_some_and(|old| old + KEPT < number) {
                let _ = self.disk.remove(&path);
            }
        }
    }
}

impl LockProvider for FileLock {
    fn look(&mut self) -> Result<Option<Sighting>, LockError> {
        self.name.take()?;
        let sighting = self.sighting()?;
        self.seen = sighting.as_ref().map(|sighting| sighting.epoch);
        Ok(sighting)
    }

    fn try_acquire(&mut self, at_least: Epoch, why: Contention) -> Result<Acquired, LockError> {
        self.held = None;
        self.name.take()?;
        let (highest, _) = self.claims.highest()?;
        // The silence was that of the holder that was looked at. If another one has it meanwhile, nothing is known of it.
        if why == Contention::OverSilence
            && self.seen.is_some_and(|seen| seen != highest)
            && let Some(sighting) = self.sighting()?
        {
            return Ok(Acquired::Held(sighting));
        }
        let number = at_least.number.max(highest.number).saturating_add(1);
        let epoch = Epoch { number, claim: ClaimId(self.entropy.next_u64()) };
        let path = self.heartbeat_path(number);
        let io = |action, source| LockError::Io { action, path: path.display().to_string(), source };
        let mut heartbeat = None;
        // Before the claim is seen, so that nobody looks for it in vain, and remembers that.
        let before = || {
            self.disk.create_dir_all(&self.heartbeats).map_err(|error| io("make the folder of", error))?;
            // Without it nobody could tell a twin from this node: then no claim is made either.
            self.name.make()?;
            let made = self.disk.open(&path, OpenMode::CreateOrKeep).map_err(|error| io("create", error))?;
            heartbeat = Some(made);
            Ok(())
        };
        let claim = match self.claims.claim_leased(epoch, &self.owner, why, before) {
            Ok(claim) => claim.fenced_by(self.fence),
            Err(late @ (LockError::Held { .. } | LockError::Superseded { .. })) => {
                return match self.sighting()? {
                    Some(sighting) => Ok(Acquired::Held(sighting)),
                    None => Err(late),
                };
            }
            Err(error) => return Err(error),
        };
        let Some(heartbeat) = heartbeat else {
            return Err(LockError::Bug(String::from("no heartbeat was made")));
        };
        let held = Held { claim, heartbeat, path, beat: 1 };
        self.write_beat(&held, false)?;
        self.held = Some(held);
        self.tidy(number);
        Ok(Acquired::Granted(Grant { epoch, lasts: self.timings.lease }))
    }

    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError> {
        let Some(mut held) = self.held.take() else {
            return Err(LockError::Bug(format!("epoch {} is not held here", grant.epoch)));
        };
        // Superseded or not, the claim stays open: giving up the lock is for `release`.
        let renewed = held.claim.check().and_then(|()| {
            held.beat += 1;
            self.write_beat(&held, false)
        });
        self.held = Some(held);
        renewed.map(|()| Grant { epoch: grant.epoch, lasts: self.timings.lease })
    }

    fn release(&mut self, grant: Grant) -> Result<(), LockError> {
        match self.held.take() {
            Some(mut held) if held.claim.epoch() == grant.epoch => {
                held.beat += 1;
                self.write_beat(&held, true)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use ferromq_env::SystemDisk;
    use ferromq_env::simulated::{Fault, FaultError, OpKind, SeededEntropy, SimDisk};

    use super::*;

    fn node(folder: &Path, name: &str, seed: u64) -> FileLock {
        let entropy = Box::new(SeededEntropy::new(seed));
        FileLock::new(Arc::new(SystemDisk), entropy, folder, name, Timings::default()).unwrap()
    }

    fn granted(outcome: Acquired) -> Grant {
        match outcome {
            Acquired::Granted(grant) => grant,
            Acquired::Held(sighting) => panic!("held by {sighting:?}"),
        }
    }

    #[test]
    fn standby_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut a = node(folder.path(), "a", 1);
        granted(a.try_acquire(Epoch::default(), Contention::Vacant).unwrap());
        let before = snapshot(folder.path());
        for seed in 0..200 {
            let mut standby = node(folder.path(), &format!("standby {seed}"), seed);
            for _ in 0..3 {
                standby.look().unwrap();
            }
            assert!(matches!(
                standby.try_acquire(Epoch::default(), Contention::Vacant).unwrap(),
                Acquired::Held(_)
            ));
        }
        assert_eq!(snapshot(folder.path()), before);
    }

    #[test]
    fn nobody_claims_who_can_not_lock_its_name() {
        for (kind, error) in [
            (OpKind::Lock, FaultError::Eio),
            (OpKind::Create, FaultError::Enospc),
            (OpKind::Create, FaultError::Eio),
        ] {
            let disk = SimDisk::new();
            let shared = Path::new("/shared");
            // Made beforehand, so that the names are what is made, and locked, first.
            disk.create_dir_all(&shared.join("claims")).unwrap();
            disk.create_dir_all(&shared.join("heartbeats")).unwrap();
            let (seen, entropy) = (Arc::new(disk.clone()), Box::new(SeededEntropy::new(1)));
            let mut a = FileLock::new(seen, entropy, shared, "a", Timings::default()).unwrap();
            disk.plan(Fault::once(kind, 1, error));
            let refused = a.try_acquire(Epoch::default(), Contention::Vacant).unwrap_err();
            assert!(refused.to_string().contains("/shared/heartbeats/names"), "{refused}");
            assert_eq!(refused.kind(), crate::ErrorKind::Storage);
            assert_eq!(a.look().unwrap(), None);
            // It is tried again, and no number was lost.
            assert_eq!(granted(a.try_acquire(Epoch::default(), Contention::Vacant).unwrap()).epoch.number, 1);
        }
    }

    /// Names and contents of all files.
    fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push((path.clone(), std::fs::read(path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

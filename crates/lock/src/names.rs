//! [`NameLock`]: one node for each name, standbys included, though a standby writes nothing.
//!
//! A lock of the operating system is no byte. So a node locks a *place* in a file that whoever held the claim first has
//! made: the place is the node's name, hashed to 62 bits. Two names that share a place are as unlikely as
//! nodes² / 2⁶³ (for a hundred nodes one in 10¹⁵); the later of the two is refused as if it had the other's name, and the
//! remedy is the same: another name.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};

use crate::LockError;

/// The lock on a node's name, once it can be had.
pub struct NameLock {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    name: String,
    state: State,
}

enum State {
    /// There was no file yet.
    Open,
    /// It lives as long as the handle.
    Held { _handle: Arc<dyn DiskFile> },
    /// This file system has no such locks; then names are compared when claims are made.
    Impossible,
}

impl NameLock {
    /// Of `name`, in the file at `path`; nothing is opened yet.
    pub fn new(disk: Arc<dyn Disk>, path: &Path, name: &str) -> Self {
        Self { disk, path: path.to_owned(), name: name.to_owned(), state: State::Open }
    }

    /// Takes the lock if it is not held yet and somebody has made the file. Changes no byte.
    ///
    /// # Errors
    /// [`LockError::NameTaken`], or the file can't be opened or locked. A file system without such locks is no error.
    pub fn take(&mut self) -> Result<(), LockError> {
        match self.state {
            State::Open => self.open(OpenMode::Write),
            State::Held { .. } | State::Impossible => Ok(()),
        }
    }

    /// As [`NameLock::take`], and makes the file; for the holder of the claim.
    ///
    /// # Errors
    /// As [`NameLock::take`].
    pub fn make(&mut self) -> Result<(), LockError> {
        match self.state {
            State::Open => self.open(OpenMode::CreateOrKeep),
            State::Held { .. } | State::Impossible => Ok(()),
        }
    }

    fn open(&mut self, mode: OpenMode) -> Result<(), LockError> {
        let file = match self.disk.open(&self.path, mode) {
            Ok(file) => file,
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                return Err(LockError::Io { action: "open", path: self.path.display().to_string(), source });
            }
        };
        match file.try_lock_at(place(&self.name)) {
            Ok(true) => self.state = State::Held { _handle: file },
            Ok(false) => {
                let place = self.path.parent().unwrap_or(&self.path).display().to_string();
                return Err(LockError::NameTaken { place, name: self.name.clone() });
            }
            Err(missing) if missing.kind() == ErrorKind::Unsupported => self.state = State::Impossible,
            // Not a file system without such locks, but one that fails: whether there is a twin is not known.
            Err(source) => {
                let path = self.path.display().to_string();
                return Err(LockError::Io { action: "lock the name of this node in", path, source });
            }
        }
        Ok(())
    }
}

/// Where a name is locked, the same in every version: FNV-1a, mixed so that like names are far apart, below 2⁶².
fn place(name: &str) -> u64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) >> 2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ferromq_env::simulated::{Fault, FaultError, OpKind, SimDisk};

    use super::*;

    #[test]
    fn places_are_the_same_in_every_version_and_apart() {
        assert_eq!(place("node-a"), 0x1477_a705_6e6b_48cc);
        let places: BTreeSet<u64> = (0..10_000).map(|number| place(&format!("broker-{number}"))).collect();
        assert_eq!(places.len(), 10_000);
        assert!(places.iter().all(|place| *place < 1 << 62));
    }

    #[test]
    fn a_lock_that_fails_is_no_file_system_without_locks() {
        let disk = SimDisk::new();
        let node = |name| NameLock::new(Arc::new(disk.another_process()), Path::new("/names"), name);
        let (mut a, mut twin) = (node("a"), node("a"));
        a.make().unwrap();
        for error in [FaultError::Eio, FaultError::Enospc] {
            disk.plan(Fault::once(OpKind::Lock, 1, error));
            let refused = twin.take().unwrap_err();
            assert!(refused.to_string().starts_with("lock the name of this node in /names: "), "{refused}");
            assert_eq!(refused.kind(), crate::ErrorKind::Storage);
        }
        // It is tried again, and so the twin is found out.
        assert!(matches!(twin.take(), Err(LockError::NameTaken { .. })));
    }

    #[test]
    fn of_two_of_one_name_the_second_is_refused_with_the_remedy() {
        let disk = SimDisk::new();
        let path = Path::new("/names");
        let node = |name| NameLock::new(Arc::new(disk.another_process()), path, name);
        let (mut a, mut twin, mut b) = (node("a"), node("a"), node("b"));
        // Given no file, nobody is refused, and nothing is made.
        a.take().unwrap();
        twin.take().unwrap();
        assert!(disk.open(path, OpenMode::Read).is_err());
        a.make().unwrap();
        b.take().unwrap();
        let refused = twin.take().unwrap_err();
        assert!(refused.to_string().contains("give each a name of its own"), "{refused}");
        assert_eq!(refused.kind(), crate::ErrorKind::Caller);
        drop(a);
        twin.take().unwrap();
    }
}

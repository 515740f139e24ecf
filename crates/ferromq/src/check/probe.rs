//! Trying out a folder: everything that a store and a lock need of a file system, in a folder of the check's own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::contest::{self, CLAIM, LOCK, Outcomes};
use super::facts::Probe;

/// Syncs that are measured.
const SYNCS: usize = 20;

/// The folder of this check; removed with it, whatever happens.
struct Ground {
    path: PathBuf,
}

impl Ground {
    fn make(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".ferromq-check-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    fn leave(self) -> io::Result<()> {
        let path = self.path.clone();
        std::mem::forget(self);
        fs::remove_dir_all(path)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Tries everything in `folder`, which exists; `challenge` lets a second process try to take what is held.
pub(super) fn probe(folder: &Path, challenge: impl Fn(&Path) -> io::Result<Outcomes>) -> Probe {
    let mut found = Probe::default();
    let ground = match Ground::make(folder) {
        Ok(ground) => ground,
        Err(error) => return Probe { denied: Some(error.to_string()), ..found },
    };
    contested(&ground.path, challenge, &mut found);
    found.rename = renamed(&ground.path).err().map(|error| error.to_string());
    match synced(&ground.path) {
        Ok(mut micros) => {
            micros.sort_unstable();
            found.sync_p50_micros = micros.get(micros.len() / 2).copied().unwrap_or(0);
            found.sync_max_micros = micros.last().copied().unwrap_or(0);
        }
        Err(error) => found.sync = Some(error.to_string()),
    }
    found.read = read_back(&ground.path).err().map(|error| error.to_string());
    found.left_behind = ground.leave().err().map(|error| error.to_string());
    found
}

fn contested(ground: &Path, challenge: impl Fn(&Path) -> io::Result<Outcomes>, found: &mut Probe) {
    let outcome: io::Result<_> = (|| {
        File::create(ground.join(LOCK))?;
        File::create(ground.join(CLAIM))?;
        let held = contest::try_lock(&ground.join(LOCK))?
            .ok_or_else(|| io::Error::other("a lock that nobody has could not be had"))?;
        let while_held = challenge(ground)?;
        drop(held);
        Ok((while_held, challenge(ground)?))
    })();
    match outcome {
        Ok((while_held, afterwards)) => {
            found.shares_lock = while_held.lock;
            found.shares_creation = while_held.creation || afterwards.creation;
            if !afterwards.lock {
                found.broken_lock = Some("a lock that was released could not be had".to_owned());
            }
        }
        Err(error) => found.broken_lock = Some(error.to_string()),
    }
}

fn renamed(ground: &Path) -> io::Result<()> {
    let (new, old) = (ground.join("new"), ground.join("old"));
    fs::write(&old, "old")?;
    fs::write(&new, "new")?;
    fs::rename(&new, &old)?;
    File::open(ground)?.sync_all()?;
    if fs::read(&old)? != b"new" || new.exists() {
        return Err(io::Error::other("a file that was renamed over another is not in its place"));
    }
    Ok(())
}

/// How long appending and syncing 4 KiB takes, in microseconds.
fn synced(ground: &Path) -> io::Result<Vec<u64>> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(ground.join("sync"))?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0x5a; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        took.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(took)
}

fn read_back(ground: &Path) -> io::Result<()> {
    let bytes = fs::read(ground.join("sync"))?;
    if bytes.len() != SYNCS * 4096 || bytes.iter().any(|byte| *byte != 0x5a) {
        return Err(io::Error::other("what was written and synced is not what is read"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fair(ground: &Path) -> io::Result<Outcomes> {
        // The same system call from the same process: flock tells two open files apart.
        let lock = contest::try_lock(&ground.join(LOCK))?.is_some();
        Ok(Outcomes { lock, creation: false })
    }

    #[test]
    fn a_good_folder_passes_and_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let found = probe(folder.path(), fair);
        let measured = Probe {
            sync_p50_micros: found.sync_p50_micros,
            sync_max_micros: found.sync_max_micros,
            ..Probe::default()
        };
        assert_eq!(found, measured);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn locks_and_creations_that_do_not_exclude_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let found = probe(folder.path(), |_| Ok(Outcomes { lock: true, creation: true }));
        assert!(found.shares_lock && found.shares_creation);
        let found = probe(folder.path(), |_| Ok(Outcomes { lock: false, creation: false }));
        assert!(!found.shares_lock && found.broken_lock.is_some());
        let found = probe(folder.path(), |_| Err(io::ErrorKind::Unsupported.into()));
        assert!(found.broken_lock.is_some());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        assert!(probe(Path::new("/nowhere/at/all"), fair).denied.is_some());
    }
}

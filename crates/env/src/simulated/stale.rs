//! [`StaleDisk`]: a network file system as one machine sees it, whose caches answer with what was true a while ago.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferromq_model::Instant;

use crate::{CacheBypass, Clock, Disk, DiskFile, OpenMode};

const PAGE: usize = 4096;

/// What caches may answer, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staleness {
    /// No answer is older than this.
    pub lasts: Duration,
    /// Names too, absent ones included, and lists; else only bytes and lengths.
    pub names: bool,
}

/// A disk with the caches of one machine before it. Clones share them.
///
/// What this machine changes itself it sees at once; what others change it may see late: pages and lengths that were
/// read before, and, if [`Staleness::names`] says so, names that were found or missing. Worse than NFS, opening a file
/// again brings nothing up to date. [`DiskFile::read_past_cache`], exclusive creation and locks are answered by the
/// storage.
#[derive(Clone)]
pub struct StaleDisk {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    staleness: Staleness,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    /// A page as it was, shorter than a page at the end of the file.
    pages: BTreeMap<(PathBuf, u64), (Instant, Vec<u8>)>,
    lengths: BTreeMap<PathBuf, (Instant, u64)>,
    missing: BTreeMap<PathBuf, Instant>,
    lists: BTreeMap<PathBuf, (Instant, Vec<PathBuf>)>,
}

impl Cache {
    fn forget(&mut self, path: &Path) {
        let first = (path.to_owned(), 0);
        let last = (path.to_owned(), u64::MAX);
        let pages: Vec<_> = self.pages.range(first..=last).map(|(key, _)| key.clone()).collect();
        pages.iter().for_each(|page| drop(self.pages.remove(page)));
        self.lengths.remove(path);
    }

    fn forget_name(&mut self, path: &Path) {
        self.forget(path);
        self.missing.remove(path);
        if let Some(folder) = path.parent() {
            self.lists.remove(folder);
        }
    }
}

impl StaleDisk {
    /// A machine that has read nothing yet.
    pub fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, staleness: Staleness) -> Self {
        Self { disk, clock, staleness, cache: Arc::default() }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, since: Instant) -> bool {
        self.clock.now().mono.since(since) < self.staleness.lasts
    }
}

impl Disk for StaleDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let looks_up = self.staleness.names && matches!(mode, OpenMode::Read | OpenMode::Write);
        if looks_up && self.cache().missing.get(path).is_some_and(|since| self.is_fresh(*since)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let opened = self.disk.open(path, mode);
        match &opened {
            Err(missing) if looks_up && missing.kind() == io::ErrorKind::NotFound => {
                self.cache().missing.insert(path.to_owned(), self.clock.now().mono);
            }
            Ok(_) if matches!(mode, OpenMode::CreateNew | OpenMode::CreateOrKeep) => {
                self.cache().forget_name(path);
            }
            _ => {}
        }
        Ok(Arc::new(StaleFile { file: opened?, disk: self.clone(), path: path.to_owned() }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        if self.staleness.names
            && let Some((since, names)) = self.cache().lists.get(folder)
            && self.is_fresh(*since)
        {
            return Ok(names.clone());
        }
        let names = self.disk.list(folder)?;
        self.cache().lists.insert(folder.to_owned(), (self.clock.now().mono, names.clone()));
        Ok(names)
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.cache().forget_name(folder);
        self.disk.create_dir_all(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.cache().forget_name(path);
        self.disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut cache = self.cache();
        cache.forget_name(from);
        cache.forget_name(to);
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }

    fn is_coherent(&self, _path: &Path) -> bool {
        false
    }
}

struct StaleFile {
    file: Arc<dyn DiskFile>,
    disk: StaleDisk,
    path: PathBuf,
}

impl StaleFile {
    fn changed<T>(&self, change: io::Result<T>) -> io::Result<T> {
        self.disk.cache().forget(&self.path);
        change
    }

    fn page(&self, number: u64) -> io::Result<Vec<u8>> {
        let key = (self.path.clone(), number);
        if let Some((since, bytes)) = self.disk.cache().pages.get(&key)
            && self.disk.is_fresh(*since)
        {
            return Ok(bytes.clone());
        }
        let mut bytes = vec![0; PAGE];
        let got = self.file.read_at(&mut bytes, number * PAGE as u64)?;
        bytes.truncate(got);
        self.disk.cache().pages.insert(key, (self.disk.clock.now().mono, bytes.clone()));
        Ok(bytes)
    }
}

impl DiskFile for StaleFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let page = self.page(at / PAGE as u64)?;
            let Some(there) = page.get((at % PAGE as u64) as usize..).filter(|there| !there.is_empty())
            else {
                break;
            };
            let step = there.len().min(buffer.len() - done);
            buffer[done..done + step].copy_from_slice(&there[..step]);
            done += step;
        }
        Ok(done)
    }

    fn read_past_cache(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_past_cache(buffer, offset)
    }

    fn cache_bypass(&self) -> CacheBypass {
        self.file.cache_bypass()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.changed(self.file.write_at(bytes, offset))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        if let Some((since, len)) = self.disk.cache().lengths.get(&self.path)
            && self.disk.is_fresh(*since)
        {
            return Ok(*len);
        }
        let len = self.file.len()?;
        self.disk.cache().lengths.insert(self.path.clone(), (self.disk.clock.now().mono, len));
        Ok(len)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.changed(self.file.allocate(bytes))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.changed(self.file.set_len(bytes))
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }

    fn try_lock_at(&self, place: u64) -> io::Result<bool> {
        self.file.try_lock_at(place)
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        self.file.is_named(path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SimClock, SimDisk};
    use super::*;

    #[test]
    fn another_machine_sees_bytes_and_names_late_and_its_own_at_once() {
        let (shared, clock) = (SimDisk::new(), SimClock::default());
        let staleness = Staleness { lasts: Duration::from_secs(3), names: true };
        let machine = || {
            let disk = Arc::new(shared.another_process());
            StaleDisk::new(disk, Arc::new(clock.clone()), staleness)
        };
        let (a, b) = (machine(), machine());
        let path = Path::new("/log");
        let read = |disk: &StaleDisk| {
            let mut byte = [0];
            disk.open(path, OpenMode::Read)?.read_at(&mut byte, 0).map(|_| byte[0])
        };
        // Given a machine that looked for a file before another made it
        assert!(read(&b).is_err());
        let file = a.open(path, OpenMode::CreateNew).unwrap();
        file.write_at(&[1], 0).unwrap();
        // Then it is missing there until the caches are old enough, and so is a change of its bytes.
        assert!(read(&b).is_err());
        assert!(b.open(path, OpenMode::CreateNew).is_err(), "the storage answers an exclusive creation");
        clock.advance(Duration::from_secs(3));
        assert_eq!(read(&b).unwrap(), 1);
        file.write_at(&[2], 0).unwrap();
        assert_eq!((read(&a).unwrap(), read(&b).unwrap()), (2, 1));
        let mut byte = [0];
        b.open(path, OpenMode::Read).unwrap().read_past_cache(&mut byte, 0).unwrap();
        assert_eq!(byte, [2]);
        clock.advance(Duration::from_secs(3));
        assert_eq!(read(&b).unwrap(), 2);
    }
}

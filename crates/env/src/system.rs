//! [`SystemDisk`]: the file system of this machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_WRLCK, SEEK_SET, flock};
use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate, statfs, statvfs};
use rustix::io::Errno;

use crate::{CacheBypass, Disk, DiskFile, OpenMode};

/// What `O_DIRECT` wants places, lengths and memory to be multiples of; larger than any common sector.
const DIRECT_BYTES: usize = 4096;

/// Threads that sync files at the same time.
const SYNCS_AT_ONCE: usize = 32;

/// File systems of one machine, by the number that `statfs` gives (linux/magic.h): ext, XFS, Btrfs, tmpfs, ramfs,
/// overlay, F2FS, ZFS, bcachefs, squashfs. Every other one may be shared by machines.
const LOCAL: [u32; 10] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0x8584_58f6,
    0x794c_7630,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x7371_7368,
];

/// The file system of this machine. POSIX; written for Linux.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl SystemDisk {
    /// All bytes of the file system that holds `path`, used or not; `path` itself need not be there yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = statvfs(existing(path))?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }
}

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
            OpenMode::CreateOrKeep => options.write(true).create(true).truncate(false),
        };
        Ok(Arc::new(SystemFile { file: options.open(path)?, direct: OnceLock::new() }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut names =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        let parent = parent(folder);
        self.create_dir_all(parent)?;
        match std::fs::create_dir(folder) {
            Ok(()) => self.sync_dir(parent),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        File::open(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?.sync_all()
    }

    /// Some at a time: file systems share what a sync costs among those that ask together.
    fn sync_files(&self, files: &[Arc<dyn DiskFile>]) -> io::Result<()> {
        let share = files.len().div_ceil(SYNCS_AT_ONCE).max(1);
        std::thread::scope(|scope| {
            let sync = |part: &[Arc<dyn DiskFile>]| part.iter().try_for_each(|file| file.sync());
            let mut parts = files.chunks(share);
            let own = parts.next().unwrap_or_default();
            let others: Vec<_> = parts
                .map(|part| std::thread::Builder::new().spawn_scoped(scope, move || sync(part)))
                .collect();
            let mut outcome = sync(own);
            for other in others {
                let synced = other.and_then(|other| {
                    other
                        .join()
                        .unwrap_or_else(|_| Err(io::Error::other("the thread of a sync ended by a bug")))
                });
                outcome = outcome.and(synced);
            }
            outcome
        })
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = statvfs(existing(path))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn is_coherent(&self, path: &Path) -> bool {
        let there = existing(path);
        // The type is signed or not, long or short, as the platform pleases; the lower half is the number.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the lower half is meant")]
        statfs(there).is_ok_and(|found| LOCAL.contains(&(found.f_type as u32)))
    }
}

/// The folder that is there, on the way to one that may not be yet.
fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    if there.as_os_str().is_empty() { Path::new(".") } else { there }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The part of `memory` with `bytes` bytes that begins where `O_DIRECT` wants it.
fn aligned(memory: &mut [u8], bytes: usize) -> Option<&mut [u8]> {
    let from = memory.as_ptr().align_offset(DIRECT_BYTES);
    memory.get_mut(from..from.checked_add(bytes)?)
}

struct SystemFile {
    file: File,
    /// The same file for reads past the cache, once one was asked for; `None` if the file system has no such thing.
    direct: OnceLock<Option<File>>,
}

impl SystemFile {
    fn direct(&self) -> Option<&File> {
        let open = || {
            // By descriptor: no name is looked up, and a file that was unlinked meanwhile is still the same one.
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
            let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
            // Some accept the flag and refuse the read.
            let mut probe = vec![0; 2 * DIRECT_BYTES];
            let aligned = aligned(&mut probe, DIRECT_BYTES)?;
            file.read_at(aligned, 0).is_ok().then_some(file)
        };
        self.direct.get_or_init(open).as_ref()
    }

    /// For file systems that can't reserve: writing zeros takes the space just as well.
    fn extend_with_zeros(&self, bytes: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = self.len()?;
        while at < bytes {
            let step = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
            self.file.write_all_at(&ZEROS[..step], at)?;
            at += step as u64;
        }
        Ok(())
    }
}

impl DiskFile for SystemFile {
    fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut total = 0;
        while !buffer.is_empty() {
            match self.file.read_at(buffer, offset) {
                Ok(0) => break,
                Ok(count) => {
                    total += count;
                    offset += count as u64;
                    buffer = &mut buffer[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    fn read_past_cache(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(direct) = self.direct() else {
            // Dirty pages stay, and they are what was written; clean ones go.
            fadvise(&self.file, 0, None, Advice::DontNeed)?;
            return self.read_at(buffer, offset);
        };
        let skip = (offset % DIRECT_BYTES as u64) as usize;
        let wanted = (skip + buffer.len()).next_multiple_of(DIRECT_BYTES);
        let mut memory = vec![0; wanted + DIRECT_BYTES];
        let Some(memory) = aligned(&mut memory, wanted) else { return self.read_at(buffer, offset) };
        let (start, mut got) = (offset - skip as u64, 0);
        while let Some(rest) = memory.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match direct.read_at(rest, start + got as u64) {
                Ok(0) => break,
                Ok(count) => {
                    got += count;
                    // Less than a sector more: the end of the file.
                    if count % DIRECT_BYTES != 0 {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let found = memory.get(skip..got).unwrap_or_default();
        let count = found.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), found.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn cache_bypass(&self) -> CacheBypass {
        if self.direct().is_some() { CacheBypass::Direct } else { CacheBypass::Advised }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if bytes <= self.len()? {
            return Ok(());
        }
        loop {
            return match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) => Ok(()),
                Err(Errno::INTR) => continue,
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.extend_with_zeros(bytes),
                Err(errno) => Err(errno.into()),
            };
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn try_lock_at(&self, place: u64) -> io::Result<bool> {
        let start = i64::try_from(place).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let lock =
            flock { l_type: F_WRLCK as _, l_whence: SEEK_SET as _, l_start: start, l_len: 1, l_pid: 0 };
        // Of the open file, not of the process: who opens and closes it a second time loses nothing.
        match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(true),
            // The second by SMB.
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
            Err(errno) if has_no_such_locks(errno) => Err(io::Error::new(io::ErrorKind::Unsupported, errno)),
            Err(errno) => Err(errno.into()),
        }
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        match std::fs::metadata(path) {
            Ok(there) => {
                let own = self.file.metadata()?;
                Ok((there.dev(), there.ino()) == (own.dev(), own.ino()))
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// No lock daemon, no such operation of this file system, or a system that does not know these locks.
const fn has_no_such_locks(errno: nix::errno::Errno) -> bool {
    use nix::errno::Errno::{EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP};
    matches!(errno, ENOLCK | ENOSYS | EOPNOTSUPP | EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_files_that_are_synced_together_none_may_fail() {
        let folder = tempfile::tempdir().unwrap();
        let file = |number: usize| {
            let file = SystemDisk.open(&folder.path().join(number.to_string()), OpenMode::CreateNew).unwrap();
            file.write_at(b"a", 0).unwrap();
            file
        };
        let mut files: Vec<_> = (0..SYNCS_AT_ONCE * 2 + 1).map(file).collect();
        SystemDisk.sync_files(&[]).unwrap();
        SystemDisk.sync_files(&files).unwrap();
        // Nothing can be synced there.
        let null = SystemDisk.open(Path::new("/dev/null"), OpenMode::Write).unwrap();
        for place in [0, SYNCS_AT_ONCE, files.len() - 1] {
            let file = std::mem::replace(&mut files[place], Arc::clone(&null));
            assert_eq!(SystemDisk.sync_files(&files).unwrap_err().raw_os_error(), Some(22));
            files[place] = file;
        }
    }

    #[test]
    fn a_file_keeps_what_is_written_at_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let nested = folder.path().join("a/b");
        SystemDisk.create_dir_all(&nested).unwrap();
        SystemDisk.create_dir_all(&nested).unwrap();
        let path = nested.join("log");

        let file = SystemDisk.open(&path, OpenMode::CreateNew).unwrap();
        file.allocate(8192).unwrap();
        file.allocate(10).unwrap();
        file.write_at(b"hello", 4096).unwrap();
        file.sync().unwrap();
        SystemDisk.sync_dir(&nested).unwrap();

        let mut bytes = vec![1; 9000];
        assert_eq!(file.read_at(&mut bytes, 4095).unwrap(), 4097);
        assert_eq!(&bytes[..7], b"\0hello\0");
        assert_eq!(SystemDisk.list(&nested).unwrap(), std::slice::from_ref(&path));
        assert_eq!(
            SystemDisk.open(&path, OpenMode::CreateNew).err().unwrap().kind(),
            io::ErrorKind::AlreadyExists
        );
        let free = SystemDisk.free_bytes(&nested.join("not/there/yet")).unwrap();
        assert!(0 < free && free <= SystemDisk.total_bytes(&nested.join("not/there/yet")).unwrap());
    }

    #[test]
    fn reads_past_the_cache_show_the_same_bytes_at_any_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = SystemDisk.open(&path, OpenMode::CreateNew).unwrap();
        let bytes: Vec<u8> = (0..20_000u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        file.write_at(&bytes, 0).unwrap();
        for (from, length) in [(0, 20_000), (1, 4095), (4095, 2), (8192, 4096), (19_990, 100), (30_000, 5)] {
            let mut found = vec![0; length];
            let got = file.read_past_cache(&mut found, from as u64).unwrap();
            assert_eq!(&found[..got], bytes.get(from..(from + length).min(20_000)).unwrap_or_default());
        }
        // Also what was written after the first such read, and of a file that has lost its name.
        SystemDisk.remove(&path).unwrap();
        file.write_at(b"new", 5000).unwrap();
        let mut found = [0; 3];
        file.read_past_cache(&mut found, 5000).unwrap();
        assert_eq!(&found, b"new");
        assert!(matches!(file.cache_bypass(), CacheBypass::Direct | CacheBypass::Advised));
    }

    #[test]
    fn a_folder_of_this_machine_is_coherent() {
        let folder = tempfile::tempdir().unwrap();
        assert!(SystemDisk.is_coherent(folder.path()));
        assert!(
            !SystemDisk.is_coherent(Path::new("/proc/self")),
            "what is not known to be local is not trusted"
        );
    }

    #[test]
    fn only_one_handle_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = SystemDisk.open(&path, OpenMode::CreateOrKeep).unwrap();
        let second = SystemDisk.open(&path, OpenMode::CreateOrKeep).unwrap();
        assert!(first.try_lock().unwrap());
        assert!(!second.try_lock().unwrap());
        drop(first);
        assert!(second.try_lock().unwrap());
    }

    #[test]
    fn only_one_handle_has_the_lock_of_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let open = || SystemDisk.open(&path, OpenMode::CreateOrKeep).unwrap();
        let (first, second) = (open(), open());
        assert!(first.try_lock_at(7).unwrap() && first.try_lock_at(u64::MAX >> 2).unwrap());
        assert!(first.try_lock_at(7).unwrap(), "it has it already");
        assert!(!second.try_lock_at(7).unwrap());
        assert!(second.try_lock_at(8).unwrap(), "its neighbour is another place");
        drop(open());
        assert!(!second.try_lock_at(7).unwrap(), "who opens and closes the file takes nothing away");
        drop(first);
        assert!(second.try_lock_at(7).unwrap());
        assert!(second.is_empty().unwrap(), "locks are no bytes");
        assert!(second.try_lock_at(u64::MAX).is_err());
        assert!(second.is_named(&path).unwrap());
        // Who may not write may not lock so: an error, and no file system without locks.
        let reader = SystemDisk.open(&path, OpenMode::Read).unwrap();
        assert_ne!(reader.try_lock_at(9).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn a_file_opened_to_read_refuses_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        SystemDisk.open(&path, OpenMode::CreateNew).unwrap().write_at(b"x", 0).unwrap();
        let file = SystemDisk.open(&path, OpenMode::Read).unwrap();
        assert!(file.write_at(b"y", 0).is_err());
        SystemDisk.rename(&path, &folder.path().join("other")).unwrap();
        SystemDisk.remove(&folder.path().join("other")).unwrap();
        assert_eq!(SystemDisk.remove(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

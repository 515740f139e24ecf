//! [`SystemDisk`]: the file system of this machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::{Disk, DiskFile, OpenMode};

/// The file system of this machine. POSIX; written for Linux.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

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
        Ok(Arc::new(SystemFile { file: options.open(path)? }))
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

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
        let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
        let stat = statvfs(there)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

struct SystemFile {
    file: File,
}

impl SystemFile {
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(SystemDisk.free_bytes(&nested.join("not/there/yet")).unwrap() > 0);
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

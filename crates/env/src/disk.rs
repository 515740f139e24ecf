//! What a store may ask of a file system.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; writing is refused.
    Read,
    /// It must exist.
    Write,
    /// It must not exist (`O_CREAT | O_EXCL`).
    CreateNew,
    /// It is made if it does not exist, and kept if it does.
    CreateOrKeep,
}

/// A file system, or a simulated one.
pub trait Disk: Send + Sync {
    /// Opens or makes a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, `PermissionDenied`, `StorageFull` and what else the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// `NotFound` if there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes a folder and those above it; existing ones are fine. The names of those it made are safe on return,
    /// so nobody has to sync parents that he does not own.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, folder: &Path) -> io::Result<()>;

    /// Unlinks a file.
    ///
    /// # Errors
    /// `NotFound` if it is gone already.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what stands there. Only for files of one writer (checkpoints of an
    /// epoch); never for claims.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder safe.
    ///
    /// # Errors
    /// An error is final: what was made or removed since the last success is unknown.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;

    /// Makes what was written to all of these files safe, as [`DiskFile::sync`] does for one.
    ///
    /// # Errors
    /// As for [`DiskFile::sync`], of any of them.
    fn sync_files(&self, files: &[Arc<dyn DiskFile>]) -> io::Result<()> {
        files.iter().try_for_each(|file| file.sync())
    }

    /// Bytes that may still be written below `path`.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Whether what other machines write below `path` is seen at once by ordinary reads: true of a disk of this
    /// machine, false of a network file system, whose client keeps pages, attributes and names for some time.
    fn is_coherent(&self, _path: &Path) -> bool {
        true
    }
}

/// How a file is read so that no cache of this machine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheBypass {
    /// `O_DIRECT`: the storage answers.
    Direct,
    /// The file system has no `O_DIRECT`: clean pages are dropped (`POSIX_FADV_DONTNEED`) before an ordinary read,
    /// which is a hint and no promise.
    Advised,
}

/// An open file; positions are given with each call, so readers and one writer share it.
pub trait DiskFile: Send + Sync {
    /// Reads until `buffer` is full or the file ends; returns how much.
    ///
    /// # Errors
    /// What the system says, `EIO` for damage.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`DiskFile::read_at`], answered by the storage and not by a cache of this machine.
    ///
    /// # Errors
    /// As for [`DiskFile::read_at`].
    fn read_past_cache(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }

    /// How [`DiskFile::read_past_cache`] does that here.
    fn cache_bypass(&self) -> CacheBypass {
        CacheBypass::Direct
    }

    /// Writes all of `bytes`. An error leaves any part of them written.
    ///
    /// # Errors
    /// `StorageFull`, or what the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written safe (`fdatasync`).
    ///
    /// # Errors
    /// An error is final; a second try that succeeds proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is no byte in the file.
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reserves space up to `bytes` and makes the file that long; the new part reads as zeros. A longer file stays
    /// as it is.
    ///
    /// # Errors
    /// `StorageFull` if there is no room.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts or extends the file. Only for a file that no one else reads.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Takes the exclusive lock of this file without waiting; it ends with the last handle. `false` if somebody
    /// else, in this process or another, has it.
    ///
    /// # Errors
    /// What the system says.
    fn try_lock(&self) -> io::Result<bool>;

    /// Takes the exclusive lock of one place in this file without waiting, whether or not there is a byte; it ends with
    /// the handle, which must be open to write. `false` if another handle, in this process or another, has it. A file is
    /// locked by places or as a whole, never both: network file systems make one of the other.
    ///
    /// # Errors
    /// `Unsupported` where the file system has no such locks, and what the system says.
    fn try_lock_at(&self, place: u64) -> io::Result<bool>;

    /// Whether this is the file that `path` leads to now: nobody unlinked or renamed it, or put another one in its place.
    ///
    /// # Errors
    /// What the system says; that nothing is there is no error.
    fn is_named(&self, path: &Path) -> io::Result<bool>;
}

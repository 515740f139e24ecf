//! [`Shared`]: the index, seen by the writer and by readers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_journal::segment_path;
use ferromq_model::Epoch;
use ferromq_store::StoreError;

use crate::failure;
use crate::index::Index;

/// Segments kept open.
const OPEN_FILES: usize = 64;

/// What the writing and the reading side have in common. The lock is held for short spans; bodies are read and
/// written outside of it.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    /// The folder of segments.
    pub(crate) journal: PathBuf,
    index: Mutex<Index>,
    /// Open segments. What is unlinked is closed as well, or its room would not come back.
    files: Mutex<BTreeMap<u32, Arc<dyn DiskFile>>>,
    /// Held while records are in the index already and not yet in their file.
    writing: Mutex<()>,
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, journal: PathBuf, index: Index) -> Self {
        Self { disk, journal, index: Mutex::new(index), files: Mutex::default(), writing: Mutex::new(()) }
    }

    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        // A panic elsewhere has ended the broker already; what a reader shows until then was true.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of a segment; `None` if it was reclaimed meanwhile.
    pub(crate) fn file(&self, epoch: Epoch, id: u32) -> Result<Option<Arc<dyn DiskFile>>, StoreError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(&id) {
            return Ok(Some(file.clone()));
        }
        let path = segment_path(&self.journal, epoch.number, id);
        match self.disk.open(&path, OpenMode::Read) {
            Ok(file) => {
                if files.len() >= OPEN_FILES {
                    files.pop_first();
                }
                files.insert(id, file.clone());
                Ok(Some(file))
            }
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure::io("open", &path)(error)),
        }
    }

    /// The segment is about to be unlinked.
    pub(crate) fn close_file(&self, id: u32) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Taken by the writer from the first change of the index until the records are written; readers of records
    /// that new wait for it.
    pub(crate) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Errors of disk and journal, told as errors of a store.

use std::io;
use std::path::Path;

use ferromq_journal::JournalError;
use ferromq_store::StoreError;

pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}

pub(crate) fn journal(error: JournalError) -> StoreError {
    match error {
        JournalError::Io { action, path, source } => StoreError::Io { action, path, source },
        JournalError::NewerFormat { path, found, known } => {
            StoreError::NewerFormat { store: path, found, known }
        }
        other => StoreError::Bug(other.to_string()),
    }
}

/// Whoever was here before may have removed it just now.
pub(crate) fn removed(outcome: io::Result<()>, path: &Path) -> Result<(), StoreError> {
    match outcome {
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(self::io("remove", path)),
    }
}

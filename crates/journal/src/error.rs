//! What can go wrong with a journal, by culprit.

use std::io;
use std::path::Path;

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was to be written can't be: too large.
    Caller,
    /// The medium failed; nothing is known about what was not synced before.
    Storage,
    /// The journal is of a newer format.
    Refused,
}

/// An error of a journal. The text names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Reading, writing or syncing failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file was written by a newer version.
    #[error("{path} has journal format {found}, this program knows up to {known}")]
    NewerFormat {
        /// The file.
        path: String,
        /// Its format number.
        found: u32,
        /// The highest that is known here.
        known: u32,
    },
    /// A record does not fit any segment.
    #[error("a record of {bytes} bytes is larger than the {limit} that a segment can take")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl JournalError {
    /// Who is to blame, and so what to do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Storage,
            Self::NewerFormat { .. } => ErrorKind::Refused,
            Self::TooLarge { .. } => ErrorKind::Caller,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}

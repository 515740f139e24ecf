//! What can go wrong in a store, by culprit.

/// What a caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operation can't be done as asked; nothing was changed.
    Caller,
    /// There is no room; try again later, acknowledgements still pass.
    Resource,
    /// The medium failed or a higher epoch exists: step down.
    Storage,
    /// The store is held by somebody else, of a newer format, older than it was, or not a store.
    Refused,
    /// The program is wrong: halt.
    Bug,
}

/// An error of a store. The text names file or table, destination and message, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store.
    #[error("{store} is in use by {holder}; stop that broker, or choose another folder with --data")]
    InUse {
        /// Folder or database.
        store: String,
        /// Who, as far as it can be told.
        holder: String,
    },
    /// The store was written by a newer version.
    #[error(
        "{store} has format {found}, this program knows up to {known}; run the newer version, or restore a backup"
    )]
    NewerFormat {
        /// Folder or database.
        store: String,
        /// Its format number.
        found: u32,
        /// The highest that is known here.
        known: u32,
    },
    /// Something stands there that is no store.
    #[error("{store} is not a FerroMQ store: {reason}")]
    NotAStore {
        /// Folder or database.
        store: String,
        /// What was found.
        reason: String,
    },
    /// No room for new messages; the reserve for acknowledgements is not touched.
    #[error(
        "{store} is full: {free_bytes} bytes free, {needed_bytes} needed; make room or let consumers drain"
    )]
    Full {
        /// Folder or database.
        store: String,
        /// Room left.
        free_bytes: u64,
        /// Room asked for.
        needed_bytes: u64,
    },
    /// A higher epoch exists.
    #[error("{store}: epoch {ours} was superseded by {theirs}; this broker is no longer the master")]
    Fenced {
        /// Folder or database.
        store: String,
        /// The epoch of this writer.
        ours: ferromq_model::Epoch,
        /// The epoch that was found.
        theirs: ferromq_model::Epoch,
    },
    /// Reading, writing or syncing failed; final for a sync.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A stored record is damaged.
    #[error("{place}: {reason}")]
    Damaged {
        /// File and offset.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A database said no.
    #[error("{store}: {reason}")]
    Database {
        /// Which database.
        store: String,
        /// What it said.
        reason: String,
    },
    /// Files are gone that hold what is needed.
    #[error(
        "{store} has lost files: {reason}; put them back from where they went. If they are lost for good, restore a backup, or remove the folder {expendable} in it: then it goes on with what is left"
    )]
    Incomplete {
        /// The folder.
        store: String,
        /// Which, and what was in them.
        reason: String,
        /// What says that there was more.
        expendable: &'static str,
    },
    /// A database shows less than was seen of it before.
    #[error(
        "{store}: {reason}; restore the database that has it, or, if that is lost for good and what came after may be lost with it, forget what is remembered in {remembered} on every machine that had seen more"
    )]
    Forgetful {
        /// Which database.
        store: String,
        /// What it showed before, and what it shows now.
        reason: String,
        /// Where this node keeps what it saw.
        remembered: String,
    },
    /// The engine asked for something that can't be.
    #[error("internal: {0}")]
    Bug(String),
}

impl StoreError {
    /// Who is to blame, and so what to do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. }
            | Self::NewerFormat { .. }
            | Self::NotAStore { .. }
            | Self::Incomplete { .. }
            | Self::Forgetful { .. } => ErrorKind::Refused,
            Self::Full { .. } => ErrorKind::Resource,
            Self::Fenced { .. } | Self::Io { .. } | Self::Damaged { .. } | Self::Database { .. } => {
                ErrorKind::Storage
            }
            Self::Bug(_) => ErrorKind::Bug,
        }
    }
}

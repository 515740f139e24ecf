//! [`StartError`]: why a broker did not start.

use std::io;
use std::path::PathBuf;

use ferromq_auth::AuthError;
use ferromq_net::{AddressError, ListenError};
use ferromq_store::StoreError;

/// Whose turn it is to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings can't be had like this.
    Caller,
    /// Something else has what is needed: a port, a folder.
    Resource,
    /// The folder can't be used.
    Refused,
    /// Reading or writing failed.
    Storage,
    /// The program is wrong.
    Bug,
}

/// Why a broker did not start; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Everybody on the network could come in.
    #[error(
        "nobody has to log in, so listening on {url} would let everybody in; add users to the configuration, listen on 127.0.0.1, or say --open-to-network"
    )]
    OpenDoor {
        /// The listener.
        url: String,
    },
    /// An address to listen on makes no sense.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A user can't be used as configured.
    #[error(transparent)]
    Users(#[from] AuthError),
    /// A port can't be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The folder can't be made or written.
    #[error("{action} {path}: {source}; choose another folder with --data, or change its permissions")]
    Folder {
        /// What was attempted.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder holds the messages of another kind of store, which would seem to be gone.
    #[error(
        "{path} holds {there}, its messages would not be seen; say --store {kind}, or choose another folder with --data"
    )]
    OtherStore {
        /// The folder.
        path: PathBuf,
        /// What stands there.
        there: &'static str,
        /// What to ask for.
        kind: &'static str,
    },
    /// Another broker of the same name holds the store: by mistake, or this is its second start.
    #[error(
        "{path} is in use by {owner} (epoch {epoch}), which has the same name; stop it, choose another folder with --data, or give this broker a name of its own with --name to make it a standby"
    )]
    SameName {
        /// The folder.
        path: PathBuf,
        /// Who holds it.
        owner: String,
        /// Its epoch.
        epoch: u64,
    },
    /// The folder holds less than was seen of this store: a copy of it that was put back.
    #[error(
        "{path} is an older copy of its store, or one that went another way: it shows epoch {found}, and this machine has seen epoch {known}; put the newer one back, or, if that is lost for good and what came after the copy may be lost with it, remove {witness} on every machine that had it"
    )]
    OlderCopy {
        /// The folder.
        path: PathBuf,
        /// The epoch that it shows.
        found: u64,
        /// The epoch that was seen before.
        known: u64,
        /// Where this is remembered.
        witness: PathBuf,
    },
    /// Another store is there than the one that was asked for.
    #[error(
        "{place} is the store {found}, and {wanted} is wanted (store.id): use the store of this node's own cluster, or change store.id"
    )]
    AnotherStore {
        /// Folder or database.
        place: String,
        /// Its id.
        found: String,
        /// The id that was asked for.
        wanted: String,
    },
    /// No store is there, and one was asked for.
    #[error(
        "{place}: there is no store yet, and {wanted} is wanted (store.id): is the share mounted, or the database restored? A new store is made where store.id is not set"
    )]
    NoSuchStore {
        /// Folder or database.
        place: String,
        /// The id that was asked for.
        wanted: String,
    },
    /// The lock beside the store can't be used.
    #[error(
        "the lock beside the store (lock.uri) can't be used: {0}; is the service up, and the address right?"
    )]
    Lock(String),
    /// Times that can't work.
    #[error("{0}")]
    Timings(String),
    /// A network connector that makes no sense.
    #[error("network connector {name}: {reason}")]
    Network {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An `updateClusterFilter` that is no list of regular expressions.
    #[error("updateClusterFilter: '{pattern}' is no regular expression for names of brokers: {reason}")]
    Filter {
        /// The expression.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// No thread can be had.
    #[error("a thread can't be started: {0}; raise the limit of processes (ulimit -u)")]
    Thread(io::Error),
}

impl StartError {
    /// The storage is there, and did not answer in time.
    pub(crate) fn is_of_slow_storage(&self) -> bool {
        matches!(self, Self::Store(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::TimedOut)
    }

    /// Whoever won the claim and finds this may find the store as it should be the next time, or another master.
    pub(crate) fn is_passing(&self) -> bool {
        let passes = matches!(self, Self::Store(StoreError::Fenced { .. } | StoreError::Database { .. }));
        passes || self.is_of_slow_storage()
    }

    /// Whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OpenDoor { .. } | Self::Address(_) | Self::Users(_) | Self::Timings(_) => ErrorKind::Caller,
            Self::Network { .. } | Self::Filter { .. } => ErrorKind::Caller,
            Self::Listen(ListenError::Unresolved { .. }) => ErrorKind::Caller,
            Self::Listen(_) | Self::Thread(_) | Self::Lock(_) => ErrorKind::Resource,
            Self::Folder { .. }
            | Self::OtherStore { .. }
            | Self::SameName { .. }
            | Self::OlderCopy { .. }
            | Self::AnotherStore { .. }
            | Self::NoSuchStore { .. } => ErrorKind::Refused,
            Self::Store(error) => match error.kind() {
                ferromq_store::ErrorKind::Refused => ErrorKind::Refused,
                ferromq_store::ErrorKind::Bug => ErrorKind::Bug,
                _ => ErrorKind::Storage,
            },
        }
    }
}

/// Why a broker had to stop by itself. What was acknowledged is safe.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// The store failed, or can't be used any longer.
    #[error("{0}")]
    Storage(String),
    /// The program is wrong: to go on would be wrong as well.
    #[error("{0}")]
    Bug(String),
}

impl Broken {
    /// Whose turn it is to do something about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(_) => ErrorKind::Storage,
            Self::Bug(_) => ErrorKind::Bug,
        }
    }
}

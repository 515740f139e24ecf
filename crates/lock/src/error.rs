//! [`LockError`]: what can go wrong with a claim, by culprit.

use std::io;

use ferromq_model::Epoch;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings can't be had like this.
    Caller,
    /// Somebody else holds it, or was faster: follow.
    Held,
    /// A higher epoch exists, or may: step down.
    Superseded,
    /// The place of the claims can't be used: step down, and try again later.
    Storage,
    /// The program is wrong: halt.
    Bug,
}

/// An error of a lock provider. The text names the place and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds the claim.
    #[error("{place} is held by {holder}")]
    Held {
        /// Where claims are made.
        place: String,
        /// Who, as far as it can be told.
        holder: String,
    },
    /// A higher claim exists.
    #[error("{place}: epoch {ours} was superseded by {theirs}")]
    Superseded {
        /// Where claims are made.
        place: String,
        /// The epoch of this holder.
        ours: Epoch,
        /// The epoch that was found.
        theirs: Epoch,
    },
    /// The claim of this holder is not where others look for it.
    #[error(
        "{path}: the claim of epoch {ours} is gone, or another file stands in its place, and others may claim as if it had \
         never been; leave the folder of the claims alone"
    )]
    Unclaimed {
        /// Where it was.
        path: String,
        /// The epoch of this holder.
        ours: Epoch,
    },
    /// A file can't be used.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another node of the same name runs.
    #[error(
        "{place}: another node that is called {name}, too, is at work, or its end was not noticed yet; \
         give each a name of its own"
    )]
    NameTaken {
        /// Where claims are made.
        place: String,
        /// The name of both.
        name: String,
    },
    /// The lock before the claims can't be used, see [`crate::Guarded`].
    #[error(
        "{0}; without this lock a master steps down when its lease ends, and nobody takes over: bring it back, or \
         correct its address"
    )]
    Guard(Box<LockError>),
    /// Times that contradict each other.
    #[error("{0}")]
    Timings(String),
    /// The caller asked for something that can't be.
    #[error("internal: {0}")]
    Bug(String),
}

impl LockError {
    /// Who is to blame, and so what to do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Held { .. } => ErrorKind::Held,
            Self::Superseded { .. } | Self::Unclaimed { .. } => ErrorKind::Superseded,
            Self::Io { .. } | Self::Guard(_) => ErrorKind::Storage,
            Self::Timings(_) | Self::NameTaken { .. } => ErrorKind::Caller,
            Self::Bug(_) => ErrorKind::Bug,
        }
    }
}

//! [`Fault`]: which operation fails, and how.

use std::io;

use rustix::io::Errno;

/// The operations of a disk, as faults and counters tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKind {
    /// Opening a file that exists.
    Open,
    /// Making a file or a folder.
    Create,
    /// Listing a folder.
    List,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Making bytes safe.
    Sync,
    /// Making the bytes of several files safe with one wait: only counted, for each of them is [`OpKind::Sync`] as well.
    SyncFiles,
    /// Making names safe.
    SyncDir,
    /// Unlinking.
    Remove,
    /// Renaming.
    Rename,
    /// Reserving space.
    Allocate,
    /// Cutting or extending.
    SetLen,
    /// Locking.
    Lock,
    /// In a fault: any of them. Never counted by itself.
    Any,
}

impl OpKind {
    /// Whether it changes what a crash may leave, so that it makes sense to stop at it.
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::List | Self::Read | Self::Lock)
    }
}

/// What a failing operation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// `EIO`.
    Eio,
    /// `ENOSPC`.
    Enospc,
}

impl From<FaultError> for io::Error {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Eio => Errno::IO.into(),
            FaultError::Enospc => Errno::NOSPC.into(),
        }
    }
}

/// A planned failure.
///
/// A failing write leaves a part of its bytes; a failing sync makes some of what was written safe and gives up the
/// rest for ever, as Linux does, so that a second sync which succeeds proves nothing.
#[derive(Clone, Debug)]
pub struct Fault {
    on: OpKind,
    /// How many matching operations still pass.
    pass: u64,
    error: FaultError,
    for_good: bool,
    path_part: Option<String>,
}

impl Fault {
    /// The `nth` operation of this kind from now (1 is the next) fails; those after it work again.
    pub const fn once(on: OpKind, nth: u64, error: FaultError) -> Self {
        Self { on, pass: nth.saturating_sub(1), error, for_good: false, path_part: None }
    }

    /// The `nth` operation of this kind from now and all after it fail.
    pub fn for_good(on: OpKind, nth: u64, error: FaultError) -> Self {
        Self { for_good: true, ..Self::once(on, nth, error) }
    }

    /// Only operations on paths that contain `part` count.
    #[must_use]
    pub fn at(self, part: &str) -> Self {
        Self { path_part: Some(part.to_owned()), ..self }
    }

    /// Whether this operation fails, and whether the fault is used up with it.
    pub(super) fn strike(&mut self, kind: OpKind, path: &str) -> Option<(FaultError, bool)> {
        let matches = (self.on == OpKind::Any || self.on == kind)
            && self.path_part.as_ref().is_none_or(|part| path.contains(part.as_str()));
        if !matches {
            return None;
        }
        if self.pass > 0 {
            self.pass -= 1;
            return None;
        }
        Some((self.error, !self.for_good))
    }
}

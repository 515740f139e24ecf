//! The claims of `ferromq-lock`, with their errors told as errors of a store.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ferromq_env::Disk;
use ferromq_lock::{LockError, file};
use ferromq_model::{ClaimId, Epoch};
use ferromq_store::StoreError;

/// The claims on a store.
pub(crate) struct Claims(file::Claims);

/// An epoch that was won, for as long as no higher claim exists.
pub(crate) struct Claim(file::Claim);

impl Claims {
    pub(crate) fn new(disk: Arc<dyn Disk>, store: &Path) -> Self {
        Self(file::Claims::new(disk, store))
    }

    /// The highest epoch that was claimed, and by whom.
    pub(crate) fn highest(&self) -> Result<(Epoch, Option<String>), StoreError> {
        self.0.highest().map_err(told)
    }

    /// The claim id of an epoch, if its claim can be read.
    pub(crate) fn id_of(&self, number: u64) -> Option<ClaimId> {
        self.0.id_of(number)
    }

    /// Whoever keeps a lease has made the claim already; a store that stands alone makes it itself.
    pub(crate) fn claim(&self, epoch: Epoch, owner: &str) -> Result<Claim, StoreError> {
        let claim = match self.0.adopt(epoch).map_err(told)? {
            Some(claim) => claim,
            None => self.0.claim(epoch, owner, false).map_err(told)?,
        };
        Ok(Claim(claim))
    }
}

impl Claim {
    /// The epoch that was won.
    pub(crate) const fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    /// As a store of this format has to be watched: programs that know only format 1 make claims without marks.
    pub(crate) fn in_format(self, format: u32) -> Self {
        let fence = if format >= 2 { file::Fence::Mark } else { file::Fence::MarkOrName };
        Self(self.0.fenced_by(fence))
    }

    /// Fails if a higher claim exists.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.0.check().map_err(told)
    }

    /// Removes claims of long ago, lowest first. Only once the own epoch is sealed.
    pub(crate) fn tidy(&self) -> Result<(), StoreError> {
        self.0.tidy().map_err(told)
    }
}

fn told(error: LockError) -> StoreError {
    match error {
        LockError::Held { place, holder } => StoreError::InUse { store: place, holder },
        LockError::Superseded { place, ours, theirs } => StoreError::Fenced { store: place, ours, theirs },
        LockError::Io { action, path, source } => StoreError::Io { action, path, source },
        LockError::Unclaimed { path, ours } => {
            let reason = format!("the claim of epoch {ours} is gone, or another file stands in its place");
            let source = io::Error::new(io::ErrorKind::NotFound, reason);
            StoreError::Io { action: "find the own claim at", path, source }
        }
        other => StoreError::Bug(other.to_string()),
    }
}

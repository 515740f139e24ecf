//! [`MemoryStore`]: the store's traits over [`Contents`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferromq_model::{Epoch, Ticket};

use super::Contents;
use crate::{
    Budget, Claimed, Durable, Follower, IndexEntry, Loaded, Maintenance, MessageRef, PageRequest, Position,
    Space, StoreBackend, StoreError, StoreReader, WriteBatch,
};

const NAME: &str = "memory store";

/// A store that ends with the last clone of it: a claim that was closed, or dropped, can be followed by another.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    contents: Contents,
    epoch: Epoch,
    claimed: bool,
    max_bytes: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl MemoryStore {
    /// An empty store in which messages may be charged `max_bytes` together before the engine is told that no room
    /// is left.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                contents: Contents::default(),
                epoch: Epoch::default(),
                claimed: false,
                max_bytes,
            })),
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Follower for MemoryStore {
    fn follow(&mut self, _budget: Budget) -> Result<Position, StoreError> {
        Ok(Position(0))
    }

    fn claim(self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)> {
        let mut shared = lock(&self.shared);
        let refusal = if shared.claimed {
            Some(StoreError::InUse { store: NAME.to_owned(), holder: "this process".to_owned() })
        } else if epoch.number <= shared.epoch.number {
            Some(StoreError::Fenced { store: NAME.to_owned(), ours: epoch, theirs: shared.epoch })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            drop(shared);
            return Err((self, refusal));
        }
        shared.claimed = true;
        shared.epoch = epoch;
        let recovered = shared.contents.recovered(epoch);
        drop(shared);
        Ok(Claimed {
            backend: Box::new(Backend { shared: Arc::clone(&self.shared), epoch, last: Ticket(0) }),
            reader: Box::new(Reader { shared: self.shared }),
            recovered,
        })
    }

    fn seen_epoch(&self) -> Epoch {
        lock(&self.shared).epoch
    }
}

struct Backend {
    shared: Arc<Mutex<Shared>>,
    epoch: Epoch,
    last: Ticket,
}

impl StoreBackend for Backend {
    fn commit(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<Option<Durable>, StoreError> {
        let mut shared = lock(&self.shared);
        let mut wanted = force_sync;
        for batch in batches {
            batch.check_order(self.epoch, self.last)?;
            shared.contents.apply(batch)?;
            self.last = batch.ticket;
            wanted |= batch.sync == crate::Sync::Required;
        }
        Ok(wanted.then(|| Durable::after_sync_and_fence_check(self.last)))
    }

    fn maintain(&mut self, _budget: Budget) -> Result<Maintenance, StoreError> {
        let shared = lock(&self.shared);
        let used = shared.contents.bytes();
        let space = Space { used, free: shared.max_bytes.saturating_sub(used), live: used };
        Ok(Maintenance { more: false, space })
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        lock(&self.shared).claimed = false;
    }
}

struct Reader {
    shared: Arc<Mutex<Shared>>,
}

impl StoreReader for Reader {
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        let shared = lock(&self.shared);
        Ok(wanted.iter().map(|wanted| shared.contents.load(*wanted)).collect())
    }

    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(lock(&self.shared).contents.page(wanted))
    }
}

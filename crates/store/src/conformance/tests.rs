//! The memory store passes the suite, as far as it can be shaken.

use super::World;
use crate::{Follower, MemoryStore, StoreError};

struct MemoryWorld {
    store: MemoryStore,
}

impl World for MemoryWorld {
    fn open(&mut self) -> Result<Box<dyn Follower>, StoreError> {
        Ok(Box::new(self.store.clone()))
    }

    fn shrink(&mut self) -> bool {
        self.store = MemoryStore::new(1 << 20);
        true
    }

    fn bound(&self, live_bytes: u64) -> Option<u64> {
        Some(live_bytes)
    }
}

crate::conformance_tests!(on_real_disk || MemoryWorld { store: MemoryStore::default() });

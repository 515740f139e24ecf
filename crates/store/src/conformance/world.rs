//! [`World`]: where a store lives during a check, and what can happen to it there.

use std::sync::Arc;

use ferromq_env::Disk;
use ferromq_env::simulated::SimDisk;

use crate::{Follower, StoreError};

/// Makes a world with nothing in it.
pub type Worlds<'a> = &'a dyn Fn() -> Box<dyn World>;

/// Where a store lives.
pub trait World {
    /// A follower of this world's one store, as a process that starts would open it.
    ///
    /// # Errors
    /// As the store says.
    fn open(&mut self) -> Result<Box<dyn Follower>, StoreError>;

    /// Ends the process that has the store, as `kill -9` does: what it wrote to the system stays. `false` if that
    /// can't be done here. Called before the parts of the store are dropped.
    fn kill(&mut self) -> bool {
        false
    }

    /// The disk that the next [`World::open`] uses, if it is a simulated one.
    fn disk(&mut self) -> Option<&mut SimDisk> {
        None
    }

    /// From now on the next claim is made over the head of a holder who lives and does not know yet, as after a lease
    /// that ran out. `false` if that can't be done here.
    fn seize(&mut self) -> bool {
        false
    }

    /// Leaves the store so little room that some megabytes fill it. `false` if that can't be done here. Called
    /// before the first opening.
    fn shrink(&mut self) -> bool {
        false
    }

    /// How many bytes the store may occupy when so many are live, after all maintenance; `None` if it promises
    /// nothing.
    fn bound(&self, _live_bytes: u64) -> Option<u64> {
        None
    }
}

/// A world on a simulated disk.
pub struct SimWorld<F> {
    disk: SimDisk,
    opener: F,
    small_bytes: u64,
    overhead_bytes: Option<u64>,
    fenced: bool,
}

impl<F> SimWorld<F>
where
    F: Fn(Arc<dyn Disk>) -> Result<Box<dyn Follower>, StoreError>,
{
    /// An empty disk, and how a store on it is opened.
    pub fn new(opener: F) -> Self {
        Self { disk: SimDisk::new(), opener, small_bytes: 16 << 20, overhead_bytes: None, fenced: false }
    }

    /// What [`World::shrink`] leaves of the disk; 16 MiB if nothing else is said.
    #[must_use]
    pub fn small(self, bytes: u64) -> Self {
        Self { small_bytes: bytes, ..self }
    }

    /// The store is fenced by epochs, not only by the lock of a file.
    #[must_use]
    pub fn fenced(self) -> Self {
        Self { fenced: true, ..self }
    }

    /// The store promises to occupy at most twice the live bytes and these.
    #[must_use]
    pub fn overhead(self, bytes: u64) -> Self {
        Self { overhead_bytes: Some(bytes), ..self }
    }
}

impl<F> World for SimWorld<F>
where
    F: Fn(Arc<dyn Disk>) -> Result<Box<dyn Follower>, StoreError>,
{
    fn open(&mut self) -> Result<Box<dyn Follower>, StoreError> {
        (self.opener)(Arc::new(self.disk.clone()))
    }

    fn kill(&mut self) -> bool {
        self.disk = self.disk.kill();
        true
    }

    fn disk(&mut self) -> Option<&mut SimDisk> {
        Some(&mut self.disk)
    }

    fn seize(&mut self) -> bool {
        if self.fenced {
            self.disk.forget_locks();
        }
        self.fenced
    }

    fn shrink(&mut self) -> bool {
        self.disk.set_capacity(Some(self.small_bytes));
        true
    }

    fn bound(&self, live_bytes: u64) -> Option<u64> {
        self.overhead_bytes.map(|overhead| 2 * live_bytes + overhead)
    }
}

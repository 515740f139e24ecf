//! [`Meters`]: what is counted over the life of a process, and [`Gauges`]: what is asked for when somebody looks.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::LinkView;

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bounds, rising, and how many took no longer than the bound and longer than the one before.
    pub buckets: Vec<(Duration, u64)>,
    /// All of them together.
    pub sum: Duration,
}

/// What the parts of a broker know at the moment; cheap to ask, from any thread.
pub trait Gauges: Debug + Send + Sync {
    /// Connections of clients.
    fn connections(&self) -> u64;

    /// How long syncs of the store take.
    fn sync(&self) -> Distribution;

    /// How long the question for a higher epoch takes, after the sync.
    fn fence(&self) -> Distribution;

    /// Batches that were refused since a higher epoch existed.
    fn fence_failures(&self) -> u64;

    /// Links to other brokers that are wanted; none on a node that is not the master.
    fn links(&self) -> Vec<LinkView> {
        Vec::new()
    }
}

/// What is counted over the life of the process, whatever its role.
#[derive(Debug, Default)]
pub struct Meters {
    /// Takeovers of this process.
    pub takeovers: AtomicU64,
    /// Times it lost the mastership without having been asked to give it up.
    pub step_downs: AtomicU64,
    gauges: Option<Arc<dyn Gauges>>,
}

impl Meters {
    /// Meters with something to look at.
    pub fn new(gauges: Arc<dyn Gauges>) -> Self {
        Self { gauges: Some(gauges), ..Self::default() }
    }

    /// What to look at, if there is something.
    pub fn gauges(&self) -> Option<&dyn Gauges> {
        self.gauges.as_deref()
    }
}

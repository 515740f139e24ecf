//! The monotonic clock of the machine, as the core counts it.

use std::time::{Duration, Instant as StdInstant};

use ferromq_model::Instant;

/// Counts from the start of the link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: StdInstant,
}

impl Clock {
    pub fn new() -> Self {
        Self { origin: StdInstant::now() }
    }

    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + Duration::from_nanos(at.0))
    }
}

//! The clocks of the machine, read by the driver and when a message is stamped.

use std::time::{Duration, Instant as StdInstant, SystemTime, UNIX_EPOCH};

use ferromq_model::{Instant, Now, WallTime};

/// Both clocks; the monotonic one counts from the start of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    origin: StdInstant,
}

impl Clock {
    pub fn new() -> Self {
        Self { origin: StdInstant::now() }
    }

    pub fn now(&self) -> Now {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { mono: Instant(nanos), wall: wall() }
    }

    /// A deadline of the planner as tokio has it.
    pub fn deadline(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + Duration::from_nanos(at.0))
    }
}

/// Milliseconds since 1970, as JMS timestamps have it.
pub(super) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

//! [`SimClock`]: stands still until somebody moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ferromq_model::{Instant, Now, WallTime};

use crate::Clock;

/// A clock that is moved by hand; clones show the same time.
#[derive(Clone, Debug)]
pub struct SimClock {
    mono_ns: Arc<AtomicU64>,
    /// What the calendar shows beyond the monotonic clock.
    wall_offset_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// A clock whose calendar shows `wall`, at the origin of the monotonic one.
    pub fn new(wall: WallTime) -> Self {
        Self { mono_ns: Arc::default(), wall_offset_ms: Arc::new(AtomicI64::new(wall.0)) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.mono_ns.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Makes the calendar alone jump, as an administrator or a time service does.
    pub fn jump_wall(&self, by_ms: i64) {
        self.wall_offset_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Default for SimClock {
    /// Begins in 2024, so that times look like times.
    fn default() -> Self {
        Self::new(WallTime(1_704_067_200_000))
    }
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        let mono = self.mono_ns.load(Ordering::SeqCst);
        let wall = self.wall_offset_ms.load(Ordering::SeqCst).saturating_add_unsigned(mono / 1_000_000);
        Now { mono: Instant(mono), wall: WallTime(wall) }
    }
}

//! Reading the two clocks.

use ferromq_model::{Instant, Now, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Both clocks at once.
    fn now(&self) -> Now;
}

/// `CLOCK_BOOTTIME`, which runs through suspend, and `CLOCK_REALTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let mono = clock_gettime(ClockId::Boottime);
        let wall = clock_gettime(ClockId::Realtime);
        let nanos =
            |t: rustix::time::Timespec| t.tv_sec.unsigned_abs() * 1_000_000_000 + t.tv_nsec.unsigned_abs();
        Now { mono: Instant(nanos(mono)), wall: WallTime((nanos(wall) / 1_000_000).cast_signed()) }
    }
}

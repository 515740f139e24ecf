//! [`Meters`]: counters and histograms that any thread may move, and nobody waits for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: 1-2-5 from 1 µs to 10 s. What takes longer is counted in all.
pub const BOUNDS_MICROS: [u64; 22] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_MICROS.len()],
    count: AtomicU64,
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Counts one more.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| bound.saturating_mul(1_000) < nanos);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The sum of all that was counted.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed))
    }

    /// For each bound how many took no longer; the last is at most [`Histogram::count`].
    pub fn cumulated(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        BOUNDS_MICROS.iter().zip(&self.buckets).map(move |(micros, bucket)| {
            sum += bucket.load(Ordering::Relaxed);
            (Duration::from_micros(*micros), sum)
        })
    }
}

/// What is counted over the life of the process, whatever its role.
#[derive(Debug, Default)]
pub struct Meters {
    /// Takeovers of this process.
    pub takeovers: AtomicU64,
    /// Times it lost the mastership without having been asked to give it up.
    pub step_downs: AtomicU64,
    /// Batches that were refused since a higher epoch existed.
    pub fence_failures: AtomicU64,
    /// Connections of clients now.
    pub connections: AtomicU64,
    /// How long syncs of the store take.
    pub sync: Histogram,
    /// How long the question for a higher epoch takes, after the sync.
    pub fence: Histogram,
    /// How long renewals of the lease take.
    pub renewal: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for micros in [1, 2, 3, 20_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = histogram.cumulated().map(|(_, count)| count).collect();
        assert_eq!((counts[0], counts[1], counts[2], counts[21]), (1, 2, 3, 3));
        assert_eq!((histogram.count(), histogram.sum()), (4, Duration::from_micros(20_000_006)));
    }
}

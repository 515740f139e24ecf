//! [`StoreMetrics`]: how long syncs and fence checks take, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of a [`Histogram`]: the last one takes everything from about nine minutes on.
pub const BUCKETS: usize = 40;

/// Durations by powers of two: bucket `n` counts what took less than 2ⁿ nanoseconds and not less than half of that.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), sum_ns: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, ns: u64) {
        let place = (u64::BITS - ns.leading_zeros()) as usize;
        if let Some(bucket) = self.buckets.get(place.min(BUCKETS - 1)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// The upper border of each bucket in nanoseconds, and how many durations it has.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(place, count)| (1 << place, count.load(Ordering::Relaxed)))
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets().map(|(_, count)| count).sum()
    }

    /// All of them together, in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }
}

/// What a store counts while it is written.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// Making bytes safe.
    pub sync: Histogram,
    /// Asking the shared store whether a higher epoch exists.
    pub fence: Histogram,
    /// Fence checks that found one.
    pub fenced: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_between_the_powers_of_two() {
        let histogram = Histogram::default();
        for ns in [0, 1, 1023, 1024, u64::MAX / 2] {
            histogram.record(ns);
        }
        let filled: Vec<_> = histogram.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(1, 1), (2, 1), (1024, 1), (2048, 1), (1 << 39, 1)]);
        assert_eq!(histogram.count(), 5);
    }
}

//! Latencies, kept one by one so that quantiles are exact.

/// Values of one task; more than 4 million are not kept.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    nanos: Vec<u64>,
}

const MOST: usize = 1 << 22;

impl Recorder {
    /// Keeps a latency.
    pub fn add(&mut self, nanos: u64) {
        if self.nanos.len() < MOST {
            self.nanos.push(nanos);
        }
    }

    /// All values of several tasks, sorted.
    pub fn join(all: impl IntoIterator<Item = Self>) -> Sorted {
        let mut nanos: Vec<u64> = all.into_iter().flat_map(|one| one.nanos).collect();
        nanos.sort_unstable();
        Sorted { nanos }
    }
}

/// Sorted latencies.
#[derive(Debug)]
pub(super) struct Sorted {
    nanos: Vec<u64>,
}

impl Sorted {
    /// A quantile in ms; 0 without values.
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let at = ((self.nanos.len() as f64 * q) as usize).min(self.nanos.len().saturating_sub(1));
        self.nanos.get(at).map_or(0.0, |nanos| *nanos as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let mut odd = Recorder::default();
        let mut even = Recorder::default();
        (1..=100).for_each(|n| if n % 2 == 0 { even.add(n * 1_000_000) } else { odd.add(n * 1_000_000) });
        let all = Recorder::join([odd, even]);
        assert_eq!((all.quantile_ms(0.5), all.quantile_ms(0.99)), (51.0, 100.0));
        assert_eq!(Recorder::join([]).quantile_ms(0.5), 0.0);
    }
}

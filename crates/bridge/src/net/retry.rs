//! [`Retry`]: when a link that is down is tried again.

use std::time::Duration;

/// When to try again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retry {
    /// `initialReconnectDelay`.
    pub initial: Duration,
    /// `maxReconnectDelay`.
    pub most: Duration,
    /// `useExponentialBackOff`, `backOffMultiplier`: by what the wait grows, 1 for not at all.
    pub factor: f64,
    /// `maxReconnectAttempts`: `None` for no limit.
    pub attempts: Option<u32>,
    /// `minConnectTime`: a link that was up for less counts as an attempt that failed.
    pub least_life: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            most: Duration::from_secs(30),
            factor: 2.0,
            attempts: None,
            least_life: Duration::from_secs(5),
        }
    }
}

impl Retry {
    /// The wait after so many failures in a row, 1 for the first. It never falls, however many there are.
    pub fn wait(&self, failures: u32) -> Duration {
        let grown =
            self.initial.as_secs_f64() * self.factor.powf(f64::from(failures.saturating_sub(1).min(64)));
        Duration::try_from_secs_f64(grown).unwrap_or(self.most).min(self.most)
    }
}

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

/// However short a wait is asked for: a peer that refuses at once must not be asked without a pause.
const LEAST: Duration = Duration::from_millis(10);

impl Retry {
    /// The wait after so many failures in a row, 1 for the first. It never falls, however many there are.
    pub fn wait(&self, failures: u32) -> Duration {
        let grown = self.initial.max(LEAST).as_secs_f64()
            * self.factor.powf(f64::from(failures.saturating_sub(1).min(64)));
        Duration::try_from_secs_f64(grown).unwrap_or(self.most).min(self.most).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_of_nothing_is_one_all_the_same_and_grows() {
        let none = Retry { initial: Duration::ZERO, ..Retry::default() };
        assert_eq!([1, 2, 3].map(|failures| none.wait(failures)), [10, 20, 40].map(Duration::from_millis));
        let never = Retry { most: Duration::ZERO, ..none };
        assert_eq!([1, 64].map(|failures| never.wait(failures)), [LEAST; 2]);
    }
}

//! [`Grumbles`]: how many lines of one kind may stand in the log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ferromq_model::Instant;

/// Lines in each period.
const LINES: u32 = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// Bounds what strangers can make a broker write: so many lines in each period, and with the next one the number of those
/// that were left out.
#[derive(Debug, Default)]
pub(crate) struct Grumbles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Instant,
    said: u32,
    left_out: u64,
}

impl Grumbles {
    /// Whether a line may be written now; if so, how many were left out before it.
    pub(crate) fn one_more(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(state.since) >= PERIOD {
            *state = State { since: now, said: 0, left_out: state.left_out };
        }
        if state.said >= LINES {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.said += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_some_lines_in_each_period_and_a_count() {
        let grumbles = Grumbles::default();
        let start = Instant(1_000_000_000_000);
        let said = (0..10_000).filter_map(|_| grumbles.one_more(start)).collect::<Vec<_>>();
        assert_eq!(said, vec![0; 20]);
        let later = start + PERIOD;
        assert_eq!(grumbles.one_more(later), Some(9_980), "the next period begins with what was left out");
        assert_eq!(grumbles.one_more(later), Some(0));
    }
}

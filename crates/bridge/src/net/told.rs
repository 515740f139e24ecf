//! [`Told`]: which failures of a link get a line in the log.

/// So many changes of the reason are told between two lines that come in any case: reasons that take turns must not fill
/// the log.
const MOST_CHANGES: u32 = 8;

/// What the log has of failures in a row.
#[derive(Debug, Default)]
pub(super) struct Told {
    reason: String,
    changes: u32,
}

impl Told {
    /// Whether this failure is told, the first, second or whichever in a row: the end of a link that was up, and another
    /// reason than the last, at once; a reason that stays at the 1st, 2nd, 4th, 8th time and so on.
    pub(super) fn tells(&mut self, failures: u32, was_up: bool, reason: &str) -> bool {
        if was_up || failures <= 1 || failures.is_power_of_two() {
            self.changes = 0;
        } else if self.reason == reason || self.changes >= MOST_CHANGES {
            return false;
        } else {
            self.changes += 1;
        }
        reason.clone_into(&mut self.reason);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these failures in a row are told.
    fn told<'a>(reasons: impl IntoIterator<Item = &'a str>) -> Vec<u32> {
        let mut told = Told::default();
        let failures = (1..).zip(reasons);
        failures
            .filter(|(number, reason)| told.tells(*number, false, reason))
            .map(|(number, _)| number)
            .collect()
    }

    #[test]
    fn a_reason_that_stays_is_told_ever_more_seldom() {
        assert_eq!(told(["refused"; 20]), [1, 2, 4, 8, 16]);
    }

    #[test]
    fn another_reason_is_told_at_once_and_so_is_the_way_back() {
        let reasons = ["refused"; 9].into_iter().chain(["wrong password"; 3]).chain(["refused"; 3]);
        assert_eq!(told(reasons), [1, 2, 4, 8, 10, 13]);
    }

    #[test]
    fn the_end_of_a_link_is_told_and_not_told_again_as_another_reason() {
        let mut told = Told::default();
        let tells = [(4, false, "refused"), (5, true, "reset"), (6, false, "reset"), (7, false, "refused")]
            .map(|(failures, was_up, reason)| told.tells(failures, was_up, reason));
        assert_eq!(tells, [true, true, false, true]);
    }

    #[test]
    fn reasons_that_take_turns_do_not_fill_the_log() {
        // Given: two brokers at one address, each with a reason of its own
        let turns = ["refused", "wrong password"].into_iter().cycle().take(1_000);
        // When: a thousand attempts fail
        let lines = told(turns).len();
        // Then: no more is told than a few changes for each doubling
        assert!(lines <= 10 * (1 + MOST_CHANGES as usize), "{lines}");
    }
}

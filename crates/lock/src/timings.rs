//! [`Timings`]: what follows from `takeover_after`.

use std::time::Duration;

use crate::LockError;

/// Everything that follows from how long a silent master keeps its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How long a holder may act without a renewal: seven tenths of the whole.
    pub lease: Duration,
    /// How often it renews: four times a lease.
    pub renew_every: Duration,
    /// How long a standby sees no sign of life before it claims, on its own clock: 1.1 leases, which covers clocks
    /// that drift apart by a tenth.
    pub silence: Duration,
    /// How often a standby looks.
    pub look_every: Duration,
}

impl Timings {
    /// The shortest time that leaves a lease room for the pauses of an ordinary machine.
    pub const SHORTEST: Duration = Duration::from_millis(200);
    /// Longer than anybody wants to wait.
    pub const LONGEST: Duration = Duration::from_secs(600);

    /// Derives them.
    ///
    /// # Errors
    /// [`LockError::Timings`] below 200 ms or above ten minutes.
    pub fn from_takeover_after(takeover_after: Duration) -> Result<Self, LockError> {
        if takeover_after < Self::SHORTEST || takeover_after > Self::LONGEST {
            return Err(LockError::Timings(format!(
                "takeover_after is {takeover_after:?}; choose {:?} to {:?}, 2s is the default",
                Self::SHORTEST,
                Self::LONGEST
            )));
        }
        let lease = takeover_after * 7 / 10;
        Ok(Self {
            lease,
            renew_every: lease / 4,
            silence: lease * 11 / 10,
            look_every: (takeover_after / 50).clamp(Duration::from_millis(5), Duration::from_millis(20)),
        })
    }
}

impl Timings {
    /// Refuses times of which a claim could be made while its holder still acts, or could never be kept. Every provider
    /// asks this when it is made.
    ///
    /// # Errors
    /// [`LockError::Timings`], with what contradicts what.
    pub fn check(&self) -> Result<(), LockError> {
        let Self { lease, renew_every, silence, look_every } = *self;
        let refuse = |what: &str, times: [Duration; 2], remedy: &str| {
            Err(LockError::Timings(format!("{what}: {:?} and {:?}; {remedy}", times[0], times[1])))
        };
        if renew_every.is_zero() || look_every.is_zero() {
            return refuse("renew_every and look_every can't be 0", [renew_every, look_every], "take more");
        }
        if renew_every * 2 > lease {
            let remedy = "renew at least twice as often as it lasts";
            return refuse("one missed renewal would end the lease", [renew_every, lease], remedy);
        }
        if silence < lease * 11 / 10 {
            let remedy = "wait for 1.1 leases or more, for clocks drift apart";
            return refuse("a standby would claim while the holder may act", [silence, lease], remedy);
        }
        if look_every * 2 > silence {
            let remedy = "look at least twice within the silence";
            return refuse("a standby would look too seldom to see silence", [look_every, silence], remedy);
        }
        Ok(())
    }
}

impl Default for Timings {
    fn default() -> Self {
        let lease = Duration::from_millis(1_400);
        Self {
            lease,
            renew_every: lease / 4,
            silence: lease * 11 / 10,
            look_every: Duration::from_millis(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_that_of_two_seconds() {
        let two = Timings::from_takeover_after(Duration::from_secs(2)).unwrap();
        assert_eq!(two, Timings::default());
    }

    #[test]
    fn a_standby_waits_longer_than_a_lease_and_less_than_takeover_after() {
        for millis in [200, 500, 2_000, 30_000] {
            let whole = Duration::from_millis(millis);
            let timings = Timings::from_takeover_after(whole).unwrap();
            assert!(timings.renew_every * 2 < timings.lease);
            assert!(timings.lease < timings.silence);
            assert!(timings.silence + timings.look_every < whole);
        }
    }

    #[test]
    fn times_that_contradict_each_other_are_refused_with_the_remedy() {
        for millis in [200, 500, 2_000, 600_000] {
            Timings::from_takeover_after(Duration::from_millis(millis)).unwrap().check().unwrap();
        }
        let good = Timings::default();
        for (bad, remedy) in [
            (Timings { renew_every: good.lease, ..good }, "twice as often"),
            (Timings { silence: good.lease, ..good }, "1.1 leases"),
            (Timings { look_every: good.silence, ..good }, "look at least twice"),
            (Timings { look_every: Duration::ZERO, ..good }, "take more"),
        ] {
            let refused = bad.check().unwrap_err();
            assert!(refused.to_string().contains(remedy), "{refused}");
            assert_eq!(refused.kind(), crate::ErrorKind::Caller);
        }
    }

    #[test]
    fn what_can_not_work_is_refused_with_the_remedy() {
        let refused = Timings::from_takeover_after(Duration::from_millis(50)).unwrap_err();
        assert!(refused.to_string().contains("choose 200ms to 600s"), "{refused}");
    }
}

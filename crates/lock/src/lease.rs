//! [`Lease`] and [`Watch`]: the two sides of a claim, on virtual time as well as on real.

use std::time::Duration;

use ferromq_model::{Epoch, Instant};

use crate::{Contention, Sighting, Timings};

/// How long a holder may still act. Counts on a monotonic clock that runs through suspend.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    until: Instant,
    next_renewal: Instant,
    renew_every: Duration,
}

impl Lease {
    /// A lease that was asked for at `asked` and lasts so long from then.
    pub fn new(asked: Instant, lasts: Duration, timings: &Timings) -> Self {
        Self {
            until: asked + lasts,
            next_renewal: asked + timings.renew_every,
            renew_every: timings.renew_every,
        }
    }

    /// A renewal that was asked for at `asked` was granted, and the answer is here now. `false` if the lease is over
    /// meanwhile: a standby may have begun to claim, so no answer brings it back.
    #[must_use]
    pub fn renewed(&mut self, asked: Instant, now: Instant, lasts: Duration) -> bool {
        if !self.is_valid(now) {
            return false;
        }
        // An answer that comes late never shortens what a later one granted.
        self.until = self.until.max(asked + lasts);
        self.next_renewal = asked + self.renew_every;
        true
    }

    /// A renewal that was asked for at `asked` failed for a reason that may pass: soon again.
    pub fn missed(&mut self, asked: Instant) {
        self.next_renewal = asked + self.renew_every / 4;
    }

    /// The end, unless it is renewed.
    pub const fn until(&self) -> Instant {
        self.until
    }

    /// When to renew next.
    pub const fn next_renewal(&self) -> Instant {
        self.next_renewal
    }

    /// Whether the holder may act.
    pub fn is_valid(&self, now: Instant) -> bool {
        now < self.until
    }
}

/// What a standby is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The holder lives.
    Follow,
    /// It has been silent for half the time that it may be.
    Suspect,
    /// It is time to claim.
    Claim(Contention),
}

/// What a standby makes of what it sees, on its own clock alone.
#[derive(Clone, Debug)]
pub struct Watch {
    silence: Duration,
    /// The claim, the number that moves, and since when it stands still.
    still: Option<(Epoch, u64, Instant)>,
}

impl Watch {
    /// A standby that has seen nothing yet.
    pub const fn new(timings: &Timings) -> Self {
        Self { silence: timings.silence, still: None }
    }

    /// Judges what was seen at `now`.
    pub fn judge(&mut self, now: Instant, seen: Option<&Sighting>) -> Verdict {
        self.judge_look(now, now, seen)
    }

    /// Judges what a look saw that began at `asked` and ended at `answered`. Who was stopped in between has seen
    /// nothing newer than the beginning, and nothing older than the end: stillness counts from the end of the first look
    /// to the beginning of the last.
    pub fn judge_look(&mut self, asked: Instant, answered: Instant, seen: Option<&Sighting>) -> Verdict {
        let Some(seen) = seen else { return Verdict::Claim(Contention::Vacant) };
        if seen.released || seen.died {
            return Verdict::Claim(Contention::Vacant);
        }
        let since = match self.still {
            Some((epoch, beat, since)) if epoch == seen.epoch && beat == seen.beat => since,
            _ => {
                self.still = Some((seen.epoch, seen.beat, answered));
                answered
            }
        };
        let still = asked.since(since);
        if still >= self.silence {
            Verdict::Claim(Contention::OverSilence)
        } else if still >= self.silence / 2 {
            Verdict::Suspect
        } else {
            Verdict::Follow
        }
    }

    /// Forgets what was seen: nothing could be seen for a while, which says nothing about the holder.
    pub fn forget(&mut self) {
        self.still = None;
    }
}

#[cfg(test)]
mod tests {
    use ferromq_model::ClaimId;

    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant(millis * 1_000_000)
    }

    fn seen(number: u64, beat: u64) -> Sighting {
        let epoch = Epoch { number, claim: ClaimId(9) };
        Sighting { epoch, owner: None, beat, released: false, died: false }
    }

    #[test]
    fn a_lease_counts_from_before_it_was_asked_for() {
        let timings = Timings::default();
        let mut lease = Lease::new(at(1_000), timings.lease, &timings);
        assert!(lease.is_valid(at(2_399)));
        assert!(!lease.is_valid(at(2_400)));
        assert!(lease.renewed(at(2_000), at(2_100), timings.lease));
        assert_eq!(lease.until(), at(3_400));
        assert!(lease.renewed(at(1_500), at(2_200), timings.lease));
        assert_eq!(lease.until(), at(3_400), "a late answer does not shorten it");
    }

    #[test]
    fn a_lease_that_ran_out_is_brought_back_by_no_answer() {
        let timings = Timings::default();
        let mut lease = Lease::new(at(0), timings.lease, &timings);
        assert!(!lease.renewed(at(1_300), at(1_400), timings.lease));
        assert_eq!(lease.until(), at(1_400));
    }

    #[test]
    fn a_missed_renewal_is_tried_again_before_the_lease_ends() {
        let timings = Timings::default();
        let mut lease = Lease::new(at(0), timings.lease, &timings);
        lease.missed(lease.next_renewal());
        assert!(lease.next_renewal() < lease.until());
        assert_eq!(lease.until(), at(1_400), "nothing was granted");
    }

    #[test]
    fn a_holder_that_beats_is_followed_for_ever() {
        let mut watch = Watch::new(&Timings::default());
        for beat in 0..1_000 {
            assert_eq!(watch.judge(at(beat * 350), Some(&seen(3, beat))), Verdict::Follow);
        }
    }

    #[test]
    fn a_silent_holder_is_suspected_and_then_claimed_over() {
        let mut watch = Watch::new(&Timings::default());
        assert_eq!(watch.judge(at(0), Some(&seen(3, 7))), Verdict::Follow);
        assert_eq!(watch.judge(at(770), Some(&seen(3, 7))), Verdict::Suspect);
        assert_eq!(watch.judge(at(1_539), Some(&seen(3, 7))), Verdict::Suspect);
        assert_eq!(watch.judge(at(1_540), Some(&seen(3, 7))), Verdict::Claim(Contention::OverSilence));
    }

    #[test]
    fn a_standby_that_was_stopped_in_a_look_claims_nothing_for_it() {
        let mut watch = Watch::new(&Timings::default());
        watch.judge(at(0), Some(&seen(3, 7)));
        assert_eq!(watch.judge_look(at(20), at(60_000), Some(&seen(3, 7))), Verdict::Follow);
        assert_eq!(watch.judge_look(at(60_020), at(90_000), Some(&seen(3, 99))), Verdict::Follow);
        assert_eq!(watch.judge(at(90_020), Some(&seen(3, 99))), Verdict::Follow);
    }

    #[test]
    fn a_third_node_that_claims_starts_the_wait_anew() {
        let mut watch = Watch::new(&Timings::default());
        watch.judge(at(0), Some(&seen(3, 7)));
        assert_eq!(watch.judge(at(1_500), Some(&seen(4, 7))), Verdict::Follow);
        assert_eq!(watch.judge(at(3_000), Some(&seen(4, 7))), Verdict::Suspect);
    }

    #[test]
    fn nobody_waits_for_a_holder_that_died_or_let_go() {
        let mut watch = Watch::new(&Timings::default());
        assert_eq!(watch.judge(at(0), None), Verdict::Claim(Contention::Vacant));
        let died = Sighting { died: true, ..seen(3, 7) };
        assert_eq!(watch.judge(at(0), Some(&died)), Verdict::Claim(Contention::Vacant));
        let released = Sighting { released: true, ..seen(3, 7) };
        assert_eq!(watch.judge(at(0), Some(&released)), Verdict::Claim(Contention::Vacant));
    }

    #[test]
    fn what_could_not_be_seen_is_no_silence() {
        let mut watch = Watch::new(&Timings::default());
        watch.judge(at(0), Some(&seen(3, 7)));
        watch.forget();
        assert_eq!(watch.judge(at(60_000), Some(&seen(3, 7))), Verdict::Follow);
    }
}

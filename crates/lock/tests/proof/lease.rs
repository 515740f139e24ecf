//! The lease: [`Lease`] and [`Watch`] themselves, with a storage that answers whenever it likes and parties that stand
//! still at any point. Time is a number that anybody sees alike; drift is what the silence is longer for.

use std::time::Duration;

use ferromq_lock::{Contention, Lease, Sighting, Timings, Verdict, Watch};
use ferromq_model::{ClaimId, Epoch, Instant};
use stateright::{Model, Property};

use super::{holds, is_violated};

/// One step that is not as in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A renewal counts from its answer.
    FromTheAnswer,
    /// A look counts as if it had seen what was true at its end.
    LookIsItsEnd,
    /// A suspicion is enough.
    Impatient,
    /// An answer that comes after the end makes the lease valid again.
    LateAnswerRevives,
}

/// The model and how far it goes.
#[derive(Clone, Debug)]
pub struct Leases {
    ends: u64,
    mutation: Option<Mutation>,
}

const TIMINGS: Timings = Timings {
    lease: Duration::from_nanos(3),
    renew_every: Duration::from_nanos(1),
    silence: Duration::from_nanos(4),
    look_every: Duration::from_nanos(1),
};

/// What is under way between a party and the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    None,
    Asked {
        at: u64,
    },
    /// With the beat that a look has seen; of no interest for a renewal.
    Done {
        at: u64,
        beat: u64,
    },
}

/// The holder, the storage, a standby.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    now: u64,
    beat: u64,
    claimed: bool,
    until: u64,
    over: bool,
    /// When a renewal is due.
    due: u64,
    renewal: Call,
    look: Call,
    /// The beat that stands still, and since when.
    still: Option<(u64, u64)>,
}

/// A step, named as in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Tick,
    Renew,
    WriteBeat,
    Renewed,
    Look,
    ReadBeat,
    Judge,
}

const fn at(now: u64) -> Instant {
    Instant(now)
}

const fn seen(beat: u64) -> Sighting {
    let epoch = Epoch { number: 1, claim: ClaimId(1) };
    Sighting { epoch, owner: None, beat, released: false, died: false }
}

impl Leases {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn renewed(&self, state: &mut State) -> Option<()> {
        let Call::Done { at: asked, .. } = state.renewal else { return None };
        state.renewal = Call::None;
        let asked = if self.is(Mutation::FromTheAnswer) { state.now } else { asked };
        let answered = if self.is(Mutation::LateAnswerRevives) { 0 } else { state.now };
        let mut lease = Lease::new(at(state.until), Duration::ZERO, &TIMINGS);
        // Who lost it does not ask again, in this reign.
        state.over = !lease.renewed(at(asked), at(answered), TIMINGS.lease);
        state.until = lease.until().0;
        Some(())
    }

    fn judge(&self, state: &mut State) -> Option<()> {
        let Call::Done { at: asked, beat } = state.look else { return None };
        state.look = Call::None;
        let mut watch = Watch::new(&TIMINGS);
        if let Some((beat, since)) = state.still {
            watch.judge(at(since), Some(&seen(beat)));
        }
        let asked = if self.is(Mutation::LookIsItsEnd) { state.now } else { asked };
        let verdict = watch.judge_look(at(asked), at(state.now), Some(&seen(beat)));
        if state.still.is_none_or(|(still, _)| still != beat) {
            state.still = Some((beat, state.now));
        }
        state.claimed = match verdict {
            Verdict::Claim(Contention::OverSilence) => true,
            Verdict::Suspect => self.is(Mutation::Impatient),
            _ => false,
        };
        Some(())
    }
}

impl Model for Leases {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            beat: 1,
            claimed: false,
            until: 3,
            over: false,
            due: 1,
            renewal: Call::None,
            look: Call::None,
            still: None,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.now < self.ends {
            steps.push(Step::Tick);
        }
        match state.renewal {
            Call::None if (state.due..state.until).contains(&state.now) && !state.over => {
                steps.push(Step::Renew);
            }
            Call::None => {}
            Call::Asked { .. } => steps.push(Step::WriteBeat),
            Call::Done { .. } => steps.push(Step::Renewed),
        }
        match state.look {
            Call::None if !state.claimed => steps.push(Step::Look),
            Call::None => {}
            Call::Asked { .. } => steps.push(Step::ReadBeat),
            Call::Done { .. } => steps.push(Step::Judge),
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        match step {
            Step::Tick => next.now += 1,
            Step::Renew => {
                next.renewal = Call::Asked { at: state.now };
                next.due = state.now + 1;
            }
            Step::WriteBeat => {
                let Call::Asked { at } = state.renewal else { return None };
                // A renewal after the claim finds it, and is refused.
                next.renewal = if state.claimed { Call::None } else { Call::Done { at, beat: 0 } };
                next.beat += u64::from(!state.claimed);
            }
            Step::Renewed => self.renewed(&mut next)?,
            Step::Look => next.look = Call::Asked { at: state.now },
            Step::ReadBeat => {
                let Call::Asked { at } = state.look else { return None };
                next.look = Call::Done { at, beat: state.beat };
            }
            Step::Judge => self.judge(&mut next)?,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one at a time", |_, state: &State| !state.claimed || state.now >= state.until),
            Property::sometimes("a silent holder is claimed over", |_, state: &State| state.claimed),
            Property::sometimes("a holder that renews goes on", |_, state: &State| {
                !state.claimed && state.until > 9
            }),
        ]
    }
}

const fn leases(mutation: Option<Mutation>) -> Leases {
    Leases { ends: 10, mutation }
}

#[test]
fn a_standby_claims_over_silence_only_when_the_lease_is_over() {
    holds("lease", leases(None));
}

#[test]
fn a_lease_that_counts_from_the_answer_outlasts_the_silence() {
    is_violated("FromTheAnswer", leases(Some(Mutation::FromTheAnswer)), "one at a time");
}

#[test]
fn a_look_that_counts_as_its_end_takes_an_old_beat_for_silence() {
    is_violated("LookIsItsEnd", leases(Some(Mutation::LookIsItsEnd)), "one at a time");
}

#[test]
fn a_lease_that_a_late_answer_brings_back_meets_the_next_one() {
    is_violated("LateAnswerRevives", leases(Some(Mutation::LateAnswerRevives)), "one at a time");
}

#[test]
fn a_suspicion_is_no_silence() {
    is_violated("Impatient", leases(Some(Mutation::Impatient)), "one at a time");
}

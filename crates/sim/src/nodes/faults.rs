//! What goes wrong, and when; drawn from the seed.

use std::time::Duration;

use ferromq_env::simulated::SeededEntropy;

use super::{Conditions, Mishaps};

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// It stands still and wakes up again.
    Pause(Duration),
    /// It is killed and starts again.
    Kill { back_after: Duration },
    /// Its disk does not answer for a time.
    Stall { store: bool, lease: bool, lasts: Duration },
    /// The next renewal is answered so late, and then its disk stalls.
    LateAnswer { late: Duration },
    /// It stands still between the next answer of its store to a commit and what follows from that.
    Standstill(Duration),
    /// The database is started anew.
    Restart,
    /// The answer to the next commit of the database is lost.
    LoseAnswer,
}

/// A planned fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// At once, or before the n-th operation of the store or of the lease from then on.
    Node { blow: Blow, at_op: Option<(bool, u64)>, master: bool },
    /// The disk refuses everything for a time.
    Refusal { lasts: Duration },
    /// The calendar of a node jumps.
    WallStep { by_ms: i64 },
    /// The calendars of all nodes jump.
    WallSteps { by_ms: i64 },
    /// The storage forgets who holds which lock.
    LocksForgotten,
    /// A client's connection breaks.
    Cut,
    /// All nodes lose power.
    PowerLoss,
    /// The master hands over in order.
    Switchover,
    /// The database goes back by so many commits.
    FallBack { commits: usize },
}

fn millis(dice: &mut SeededEntropy, from: u64, below: u64) -> Duration {
    Duration::from_micros(1_000 * from + dice.below(1_000 * (below - from)))
}

/// The faults of a run, with their times from its beginning.
pub(super) fn draw(
    dice: &mut SeededEntropy,
    until: Duration,
    conditions: Conditions,
) -> Vec<(Duration, Fault)> {
    let end = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
    let mut faults = match conditions.mishaps {
        Mishaps::LateAnswers | Mishaps::Standstills | Mishaps::Calendars | Mishaps::Forgetfulness => {
            Vec::new()
        }
        _ => ordinary(dice, end),
    };
    let on_master = |blow, at_op| Fault::Node { blow, at_op, master: true };
    match conditions.mishaps {
        Mishaps::Ordinary => {}
        Mishaps::PowerLoss => {
            for _ in 0..1 + dice.below(2) {
                faults.push((millis(dice, 300, end), Fault::PowerLoss));
            }
        }
        Mishaps::Switchovers => {
            for _ in 0..2 + dice.below(3) {
                faults.push((millis(dice, 300, end), Fault::Switchover));
            }
        }
        Mishaps::LateAnswers => {
            for at in [300, 2_600] {
                let late = millis(dice, 150, 240);
                faults.push((millis(dice, at, at + 400), on_master(Blow::LateAnswer { late }, None)));
            }
        }
        Mishaps::Standstills => {
            for at in [300, 2_600] {
                let lasts = millis(dice, 700, 1_500);
                faults.push((millis(dice, at, at + 400), on_master(Blow::Standstill(lasts), None)));
            }
        }
        Mishaps::Calendars => {
            for at in [300, 3_100] {
                let jump = millis(dice, at, at + 200);
                faults.push((jump, Fault::WallSteps { by_ms: an_hour(dice) }));
                // So long that a standby which does not take over in time is missed.
                let stands_still = Blow::Pause(millis(dice, 2_200, 2_500));
                faults.push((jump + millis(dice, 20, 80), on_master(stands_still, None)));
            }
        }
        Mishaps::Forgetfulness => {
            let commits = 20 + usize::try_from(dice.below(40)).unwrap_or(0);
            faults.push((millis(dice, 1_000, end), Fault::FallBack { commits }));
        }
    }
    if conditions.database && conditions.mishaps != Mishaps::Forgetfulness {
        for _ in 0..2 + dice.below(4) {
            let blow = if dice.chance(1, 2) { Blow::Restart } else { Blow::LoseAnswer };
            faults.push((millis(dice, 150, end), on_master(blow, Some((true, dice.below(40))))));
        }
    }
    faults
}

fn ordinary(dice: &mut SeededEntropy, end: u64) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    for _ in 0..3 + dice.below(5) {
        let fault = match dice.below(16) {
            0..=7 => {
                // Most outlast a lease.
                let lasts = if dice.chance(1, 4) { millis(dice, 5, 400) } else { millis(dice, 400, 2_500) };
                node(dice, Blow::Pause(lasts))
            }
            8..=10 => {
                let back_after = millis(dice, 10, 1_200);
                node(dice, Blow::Kill { back_after })
            }
            11 | 12 => {
                let lasts = millis(dice, 20, 1_500);
                let both = dice.chance(1, 2);
                let store = both || dice.chance(1, 2);
                node(dice, Blow::Stall { store, lease: both || !store, lasts })
            }
            13 => Fault::Refusal { lasts: millis(dice, 20, 1_000) },
            14 if dice.chance(1, 2) => Fault::LocksForgotten,
            14 => Fault::Cut,
            _ => Fault::WallStep { by_ms: an_hour(dice) },
        };
        faults.push((millis(dice, 150, end), fault));
    }
    faults
}

/// Forwards or back, in milliseconds.
fn an_hour(dice: &mut SeededEntropy) -> i64 {
    if dice.chance(1, 2) { 3_600_000 } else { -3_600_000 }
}

fn node(dice: &mut SeededEntropy, blow: Blow) -> Fault {
    let in_store = dice.chance(4, 5);
    let at_op = dice.chance(5, 6).then(|| (in_store, dice.below(if in_store { 60 } else { 12 })));
    Fault::Node { blow, at_op, master: dice.chance(5, 6) }
}

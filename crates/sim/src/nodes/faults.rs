//! What goes wrong, and when; drawn from the seed.

use std::time::Duration;

use ferromq_env::simulated::SeededEntropy;

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// It stands still and wakes up again.
    Pause(Duration),
    /// It is killed and starts again.
    Kill { back_after: Duration },
    /// Its disk does not answer for a time.
    Stall { store: bool, lease: bool, lasts: Duration },
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
    /// The storage forgets who holds which lock.
    LocksForgotten,
    /// A client's connection breaks.
    Cut,
}

fn millis(dice: &mut SeededEntropy, from: u64, below: u64) -> Duration {
    Duration::from_micros(1_000 * from + dice.below(1_000 * (below - from)))
}

/// The faults of a run, with their times from its beginning.
pub(super) fn draw(dice: &mut SeededEntropy, until: Duration) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    let end = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
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
            _ => Fault::WallStep { by_ms: if dice.chance(1, 2) { 3_600_000 } else { -3_600_000 } },
        };
        faults.push((millis(dice, 150, end), fault));
    }
    faults
}

fn node(dice: &mut SeededEntropy, blow: Blow) -> Fault {
    let in_store = dice.chance(4, 5);
    let at_op = dice.chance(5, 6).then(|| (in_store, dice.below(if in_store { 60 } else { 12 })));
    Fault::Node { blow, at_op, master: dice.chance(5, 6) }
}

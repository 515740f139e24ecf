//! A few hundred seeds without a violation, every planted bug found, and a run that repeats itself.

use ferromq_sim::{Planted, run};

/// Seeds that once failed; they are run first and for ever.
const KEPT: &[u64] = &[];

#[test]
fn invariants_hold_over_many_seeds() {
    for seed in KEPT.iter().copied().chain(0..300) {
        let report = run(seed, None);
        assert_eq!(report.violations, [], "seed {seed}: {report:?}");
        assert!(report.delivered > 0, "seed {seed} delivered nothing, so it shows nothing");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 14, 159] {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Planted::ALL {
        let found = (0..200).find(|seed| !run(*seed, Some(bug)).violations.is_empty());
        assert!(found.is_some(), "{bug:?} was not found in 200 seeds");
    }
}

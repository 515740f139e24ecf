//! Two and three nodes on one folder: no violation over many seeds, every planted bug found, and runs that repeat.

use std::time::Duration;

use ferromq_sim::nodes::{Conditions, NodeBug, run};

#[test]
fn one_master_at_a_time_and_nothing_lost_over_many_seeds() {
    let (mut pauses, mut reigns) = (0, 0);
    for seed in 0..40 {
        let report = run(seed, Conditions::default());
        assert_eq!(report.violations, [], "seed {seed}: {report:?}");
        pauses += report.pauses;
        reigns += report.reigns;
    }
    assert!(pauses > 30 && reigns > 60, "{pauses} pauses and {reigns} reigns show little");
}

#[test]
fn bytes_and_lengths_from_old_caches_mislead_nobody() {
    let conditions = Conditions { stale: Some(Duration::from_secs(3)), ..Conditions::default() };
    for seed in 0..20 {
        let report = run(seed, conditions);
        assert_eq!(report.violations, [], "seed {seed}: {report:?}");
    }
}

#[test]
fn names_from_old_caches_mislead_nobody() {
    let conditions =
        Conditions { stale: Some(Duration::from_secs(3)), stale_names: true, ..Conditions::default() };
    for seed in 0..20 {
        let report = run(seed, conditions);
        assert_eq!(report.violations, [], "seed {seed}: {report:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 14] {
        assert_eq!(run(seed, Conditions::default()), run(seed, Conditions::default()));
    }
}

/// Of the bugs in [`NodeBug`] those that a bounded run finds; seeds that were enough.
const FOUND: [(NodeBug, u64); 8] = [
    (NodeBug::FenceUnchecked, 20),
    (NodeBug::RefusalIgnored, 20),
    (NodeBug::WallClock, 20),
    (NodeBug::Impatient, 20),
    (NodeBug::Timid, 20),
    (NodeBug::NeverStepsDown, 20),
    (NodeBug::LeaseUnchecked, 120),
    (NodeBug::SharedClaim, 100),
];

#[test]
fn planted_bugs_are_found() {
    for (bug, seeds) in FOUND {
        let planted = Conditions { bug: Some(bug), ..Conditions::default() };
        let found = (0..seeds).find(|seed| !run(*seed, planted).violations.is_empty());
        assert!(found.is_some(), "{bug:?} was not found in {seeds} seeds");
    }
}

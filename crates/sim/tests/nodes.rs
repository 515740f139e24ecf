//! Two and three nodes on one folder: no violation over many seeds, every planted bug found, and runs that repeat.

use std::ops::Range;
use std::time::Duration;

use ferromq_sim::nodes::{Conditions, Mishaps, NodeBug, NodesReport, run};

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

/// Runs seeds, none of which may break a promise, and adds up what `count` says of them.
fn hold(seeds: u64, conditions: Conditions, count: impl Fn(&NodesReport) -> u64) -> u64 {
    let mut sum = 0;
    for seed in 0..seeds {
        let report = run(seed, conditions);
        assert_eq!(report.violations, [], "seed {seed}: {report:?}");
        sum += count(&report);
    }
    sum
}

#[test]
fn bytes_and_lengths_from_old_caches_mislead_nobody() {
    let conditions = Conditions { stale: Some(Duration::from_secs(3)), ..Conditions::default() };
    hold(20, conditions, |_| 0);
}

#[test]
fn names_from_old_caches_mislead_nobody() {
    let conditions =
        Conditions { stale: Some(Duration::from_secs(3)), stale_names: true, ..Conditions::default() };
    hold(20, conditions, |_| 0);
}

#[test]
fn nodes_on_one_database_lose_nothing_whatever_befalls_it_and_them() {
    let conditions = Conditions { database: true, ..Conditions::default() };
    let reigns = hold(30, conditions, |report| report.reigns);
    assert!(reigns > 45, "{reigns} reigns show little");
}

#[test]
fn power_that_goes_for_all_nodes_takes_nothing_that_was_answered() {
    let conditions = Conditions { mishaps: Mishaps::PowerLoss, ..Conditions::default() };
    let losses = hold(20, conditions, |report| report.power_losses);
    assert!(losses > 20, "{losses} power failures show little");
}

#[test]
fn a_master_that_hands_over_in_order_loses_nothing() {
    for database in [false, true] {
        let conditions = Conditions { mishaps: Mishaps::Switchovers, database, ..Conditions::default() };
        let handed_over = hold(12, conditions, |report| report.switchovers);
        assert!(handed_over > 12, "{handed_over} switchovers show little");
    }
}

#[test]
fn an_answer_to_a_renewal_that_comes_late_makes_no_two_masters() {
    let conditions = Conditions { mishaps: Mishaps::LateAnswers, ..Conditions::default() };
    hold(15, conditions, |_| 0);
}

#[test]
fn a_master_that_stands_still_with_an_answer_in_hand_passes_nothing_on_after_its_lease() {
    let conditions = Conditions { mishaps: Mishaps::Standstills, ..Conditions::default() };
    let pauses = hold(15, conditions, |report| report.pauses);
    assert!(pauses > 15, "{pauses} pauses show little");
}

#[test]
fn calendars_that_jump_decide_nothing() {
    let conditions = Conditions { mishaps: Mishaps::Calendars, ..Conditions::default() };
    let pauses = hold(15, conditions, |report| report.pauses);
    assert!(pauses > 15, "{pauses} pauses show little");
}

#[test]
fn a_database_that_forgets_is_noticed_by_every_node_that_runs() {
    let conditions = Conditions { database: true, mishaps: Mishaps::Forgetfulness, ..Conditions::default() };
    let noticed = hold(10, conditions, |report| report.noticed);
    assert!(noticed > 10, "{noticed} nodes of ten runs noticed");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 14] {
        assert_eq!(run(seed, Conditions::default()), run(seed, Conditions::default()));
    }
}

/// Every bug in [`NodeBug`], where it shows, and seeds that are enough.
fn planted() -> [(NodeBug, Conditions, Range<u64>); 11] {
    let folder = Conditions::default();
    let late = Conditions { mishaps: Mishaps::LateAnswers, ..folder };
    let standstills = Conditions { mishaps: Mishaps::Standstills, ..folder };
    let calendars = Conditions { mishaps: Mishaps::Calendars, ..folder };
    let database = Conditions { database: true, ..folder };
    [
        (NodeBug::FenceUnchecked, folder, 0..20),
        (NodeBug::RefusalIgnored, folder, 0..20),
        (NodeBug::WallClock, calendars, 0..20),
        (NodeBug::Impatient, folder, 0..20),
        (NodeBug::Timid, folder, 0..20),
        (NodeBug::NeverStepsDown, folder, 0..20),
        (NodeBug::LeaseUnchecked, standstills, 0..20),
        (NodeBug::SharedClaim, folder, 0..20),
        (NodeBug::LeaseFromAnswer, late, 0..20),
        (NodeBug::EpochReadPlainly, database, 0..20),
        (NodeBug::CommitAssumed, database, 0..20),
    ]
}

#[test]
fn planted_bugs_are_found() {
    let planted = planted();
    assert!(NodeBug::ALL.iter().all(|bug| planted.iter().any(|(planted, ..)| planted == bug)));
    for (bug, conditions, seeds) in planted {
        let conditions = Conditions { bug: Some(bug), ..conditions };
        let found = seeds.clone().find(|seed| !run(*seed, conditions).violations.is_empty());
        println!("{bug:?}: seed {found:?}");
        assert!(found.is_some(), "{bug:?} was not found in the seeds {seeds:?}");
    }
}

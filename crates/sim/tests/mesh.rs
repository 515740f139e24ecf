//! Many meshes of brokers without a violation, every planted bug found, and a run that repeats itself.

use ferromq_sim::mesh::{LinkBug, run};

/// Seeds that once failed; they are run first and for ever.
const KEPT: &[u64] = &[];

#[test]
fn messages_go_over_links_exactly_once_whoever_dies() {
    let (mut sent, mut crashes) = (0, 0);
    for seed in KEPT.iter().copied().chain(0..120) {
        let report = run(seed, None);
        assert_eq!(report.violations, [], "seed {seed}: {report:?}");
        assert!(report.delivered > 0, "seed {seed} delivered nothing, so it shows nothing");
        sent += report.sent;
        crashes += report.crashes;
    }
    println!("{sent} messages, {crashes} crashes");
}

#[test]
fn the_same_seed_gives_the_same_mesh() {
    for seed in [3, 14, 159] {
        assert_eq!(run(seed, None), run(seed, None));
    }
}

#[test]
fn every_planted_bug_of_a_link_is_found() {
    for bug in LinkBug::ALL {
        let found = (0..200).find(|seed| !run(*seed, Some(bug)).violations.is_empty());
        assert!(found.is_some(), "{bug:?} was not found in 200 seeds");
        println!("{bug:?}: seed {found:?}");
    }
}

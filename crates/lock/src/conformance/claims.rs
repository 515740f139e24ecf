//! Who may have it, and what the others see.

use ferromq_env::SystemClock;

use super::Worlds;
use super::node::{Node, timings};
use crate::{Contention, ErrorKind, Timings};

use std::sync::Arc;

/// Mutual exclusion, and a sign of life with each renewal.
pub fn one_holds_it_and_the_others_see_who(world: Worlds<'_>) {
    let (mut a, mut b) = (Node::new(world, "a", timings(10_000)), Node::new(world, "b", timings(10_000)));
    assert_eq!(a.look(), None, "nobody ever claimed it");
    let mut reign = a.reign();
    assert_eq!(reign.grant.epoch.number, 1);

    let before = b.claim(Contention::Vacant).err().expect("two holders");
    assert_eq!((before.epoch, before.owner.as_deref()), (reign.grant.epoch, Some("a")));
    assert!(!before.died && !before.released, "{before:?}");
    a.renew(&mut reign);
    let after = b.see();
    assert!(after.beat > before.beat, "a renewal is seen: {before:?}, {after:?}");
    assert!(!after.died && !after.released, "{after:?}");
    assert!(b.claim(Contention::Vacant).is_err(), "two holders");
    let own = a.see();
    assert!(own.epoch == reign.grant.epoch && !own.died, "a holder sees itself alive: {own:?}");

    // What somebody else holds can't be renewed.
    assert!(b.try_renew(&mut reign.clone()).is_err());
    a.renew(&mut reign);
}

/// Monotone epochs, over releases, forced claims, nodes that come again, and stores that are ahead.
pub fn epochs_rise_above_everything_that_was_seen(world: Worlds<'_>) {
    let (mut a, mut b) = (Node::new(world, "a", timings(10_000)), Node::new(world, "b", timings(10_000)));
    let first = a.reign();
    a.release(first);
    b.look();
    let second = b.claim_above(41, Contention::Vacant).unwrap();
    assert_eq!(second.grant.epoch.number, 42);
    a.look();
    let third = a.claim(Contention::OverSilence).unwrap();
    assert!(third.grant.epoch.number > 42, "{:?}", third.grant);
    a.release(third);
    drop((a, b));

    let mut c = Node::new(world, "c", timings(10_000));
    let fourth = c.reign();
    assert!(fourth.grant.epoch.number > third.grant.epoch.number);
    let claims = [first, second, third, fourth].map(|reign| reign.grant.epoch.claim);
    assert!(claims.iter().all(|id| claims.iter().filter(|other| *other == id).count() == 1), "{claims:?}");
}

/// Nobody waits for a holder that let go in order.
pub fn a_released_claim_is_followed_at_once(world: Worlds<'_>) {
    let (mut a, mut b) = (Node::new(world, "a", timings(10_000)), Node::new(world, "b", timings(10_000)));
    let first = a.reign();
    b.look();
    a.release(first);
    assert!(b.see().released);
    let second = b.claim(Contention::Vacant).expect("nobody has it");
    assert!(second.grant.epoch > first.grant.epoch);
    assert!(!b.see().released);
    assert!(a.try_renew(&mut first.clone()).is_err(), "what was released is not renewed");
}

/// The silence of one holder is not held against the next one.
pub fn a_claim_supersedes_only_whom_the_claimant_saw(world: Worlds<'_>) {
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| Node::new(world, name, timings(10_000)));
    a.reign();
    c.look();
    b.look();
    let new = b.claim(Contention::OverSilence).unwrap();
    let late = c.claim(Contention::OverSilence).err().expect("b was never silent");
    assert_eq!(late.epoch, new.grant.epoch);
    c.look();
    let newest = c.claim(Contention::OverSilence).expect("c has seen b");
    assert!(newest.grant.epoch > new.grant.epoch);
}

/// Standbys come, look, try and go, and leave nothing behind.
pub fn looking_changes_nothing(world: Worlds<'_>) {
    let mut before = world.contents();
    let mut first = Node::new(world, "s", timings(10_000));
    assert_eq!(first.look(), None);
    assert_eq!(world.contents(), before, "a place that nobody claimed");
    drop(first);

    let mut a = Node::new(world, "a", timings(10_000));
    let mut reign = a.reign();
    before = world.contents();
    for number in 0..30 {
        let mut standby = Node::new(world, &format!("s{number}"), timings(10_000));
        for _ in 0..3 {
            standby.look();
        }
        assert!(standby.claim(Contention::Vacant).is_err());
    }
    assert_eq!(world.contents(), before);
    a.renew(&mut reign);
    assert_ne!(world.contents(), before, "this look can see a change");
}

/// A provider is not made with times of which two could hold the claim at once.
pub fn contradictory_timings_are_refused(world: Worlds<'_>) {
    let good = timings(2_000);
    for bad in [
        Timings { silence: good.lease, ..good },
        Timings { renew_every: good.lease, ..good },
        Timings { look_every: good.silence, ..good },
    ] {
        match world.node("a", bad, Arc::new(SystemClock)) {
            Ok(_) => panic!("{bad:?} is taken"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Caller, "{error}"),
        }
    }
}

//! Leases that end, calendars that jump, calls that take long.

use std::time::Duration;

use super::Worlds;
use super::node::{Node, Reign, timings, until_ok};
use crate::{Contention, LockError, Verdict};

/// The holder renews, the standby looks, in turn; so a machine that stands still for a moment changes nothing.
fn take_turns(a: &mut Node<'_>, reign: &mut Reign, b: &mut Node<'_>, rounds: u32, pause: Duration) {
    for round in 0..rounds {
        a.renew(reign);
        let verdict = b.judge();
        assert_eq!(verdict, Verdict::Follow, "round {round}");
        a.world.pass(pause);
    }
}

/// Renewal: over three leases nobody thinks of claiming.
pub fn a_holder_that_renews_keeps_it(world: Worlds<'_>) {
    let times = timings(1_000);
    let (mut a, mut b) = (Node::new(world, "a", times), Node::new(world, "b", times));
    let mut reign = a.reign();
    take_turns(&mut a, &mut reign, &mut b, 12, times.renew_every);
    assert_eq!(b.see().epoch, reign.grant.epoch);
}

/// A pause and the loss that follows from it: whoever takes over does so after the lease of the paused one has ended, and
/// what that one does late changes nothing.
pub fn a_paused_holder_is_superseded_and_finds_out(world: Worlds<'_>) {
    let times = timings(1_000);
    let (mut a, mut b) = (Node::new(world, "a", times), Node::new(world, "b", times));
    let mut old = a.reign();
    a.renew(&mut old);
    let (_, won) = b.take_over();
    let mut new = won.expect("there is no third node");
    assert!(!old.lease.is_valid(b.now()), "two leases at once");
    assert!(new.grant.epoch.number > old.grant.epoch.number);

    let error = a.try_renew(&mut old).unwrap_err();
    assert!(matches!(error, LockError::Superseded { theirs, .. } if theirs == new.grant.epoch), "{error}");
    a.release(old);
    b.renew(&mut new);
    let seen = a.see();
    assert!(seen.epoch == new.grant.epoch && !seen.released && !seen.died, "{seen:?}");
    assert!(a.claim(Contention::Vacant).is_err(), "the new one lives");
}

/// The end of a process, noticed at once where that is possible.
pub fn a_holder_that_died_is_replaced(world: Worlds<'_>) {
    let times = timings(if world.notices_death() { 8_000 } else { 1_000 });
    let (mut a, mut b) = (Node::new(world, "a", times), Node::new(world, "b", times));
    let mut old = a.reign();
    a.renew(&mut old);
    assert_eq!(b.judge(), Verdict::Follow);
    drop(a);
    let (why, won) = b.take_over();
    if world.notices_death() {
        assert_eq!(why, Contention::Vacant, "it was waited for");
    }
    assert!(won.unwrap().grant.epoch.number > old.grant.epoch.number);
}

/// Wall clocks decide nothing: those of the holder, of the standby and of the service may jump by an hour either way.
pub fn calendars_may_jump(world: Worlds<'_>) {
    let times = timings(4_000);
    let (mut a, mut b) = (Node::new(world, "a", times), Node::new(world, "b", times));
    let mut reign = a.reign();
    for hours in [1, -1] {
        take_turns(&mut a, &mut reign, &mut b, 2, Duration::ZERO);
        a.calendar.step(hours);
        take_turns(&mut a, &mut reign, &mut b, 2, Duration::ZERO);
        b.calendar.step(hours);
        take_turns(&mut a, &mut reign, &mut b, 2, Duration::ZERO);
        if !world.step_calendar(hours) {
            continue;
        }
        take_turns(&mut a, &mut reign, &mut b, 2, Duration::ZERO);
        // What was written by the other calendar meets a service that began by this one, while the holder is away.
        world.step_calendar(-hours);
        if world.restart() {
            let until = world.clock().now().mono + times.renew_every * 3 / 2;
            while world.clock().now().mono < until {
                if let Ok(seen) = b.try_look() {
                    assert!(!seen.unwrap().died, "it lives, and comes back");
                }
                world.pass(times.look_every);
            }
            until_ok(world, || a.try_renew(&mut reign));
            until_ok(world, || b.try_look());
            b.forget();
        }
    }
    a.calendar.step(-1);
    b.calendar.step(1);
    let (_, won) = b.take_over();
    assert!(!reign.lease.is_valid(b.now()), "two leases at once");
    assert!(won.unwrap().grant.epoch.number > reign.grant.epoch.number);
}

/// Slow calls: a lease counts from before it was asked for, a look says nothing newer than its beginning.
pub fn latency_shortens_a_lease_and_breaks_nothing(world: Worlds<'_>) {
    let times = timings(1_000);
    let (mut a, mut b) = (Node::new(world, "a", times), Node::new(world, "b", times));
    for node in [&mut a, &mut b] {
        node.latency = times.renew_every / 8;
    }
    a.look();
    let before = a.now();
    let mut old = a.claim(Contention::Vacant).unwrap();
    assert!(old.lease.until() <= a.now() + (times.lease - times.renew_every / 4));
    assert!(old.lease.until() >= before, "it counts from the question");
    take_turns(&mut a, &mut old, &mut b, 8, times.renew_every / 4);
    let (_, won) = b.take_over();
    assert!(!old.lease.is_valid(b.now()), "two leases at once");
    assert!(won.unwrap().grant.epoch.number > old.grant.epoch.number);
}

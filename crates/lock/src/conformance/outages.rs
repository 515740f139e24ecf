//! Services that restart, or do not answer.

use super::Worlds;
use super::node::{Node, timings, until_ok};
use crate::{ErrorKind, Verdict};

/// The service forgets nothing that matters, and nobody is thought dead because it was away.
pub fn a_restart_of_the_service_is_ridden_out(world: Worlds<'_>) {
    // A lease that a restart fits into, on a machine that has other things to do.
    let times = timings(60_000);
    let (mut a, mut b) = (Node::new(world, "a", times), Node::new(world, "b", times));
    let mut reign = a.reign();
    assert_eq!(b.judge(), Verdict::Follow);
    if !world.restart() {
        return;
    }
    let seen = until_ok(world, || b.try_look()).expect("the claim is still there");
    assert!(seen.epoch == reign.grant.epoch && !seen.died && !seen.released, "{seen:?}");
    until_ok(world, || a.try_renew(&mut reign));
    let after = b.see();
    assert!(after.beat > seen.beat && !after.died, "{seen:?}, {after:?}");
    a.release(reign);
    let second = b.reign();
    assert!(second.grant.epoch.number > reign.grant.epoch.number);
}

/// Nothing hangs: whoever holds it gets an error while the lease still lasts, and may go on once there are answers.
pub fn a_place_that_can_not_be_reached_is_an_error_in_time(world: Worlds<'_>) {
    let times = timings(6_000);
    let (mut a, mut b) = (Node::new(world, "a", times), Node::new(world, "b", times));
    let mut reign = a.reign();
    assert_eq!(b.judge(), Verdict::Follow);
    if !world.cut_off(true) {
        return;
    }
    let before = a.now();
    let error = a.try_renew(&mut reign).unwrap_err();
    let took = a.now().since(before);
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    assert!(took < times.lease, "a renewal that was not answered took {took:?}");
    let error = b.try_look().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    b.forget();
    world.cut_off(false);
    until_ok(world, || a.try_renew(&mut reign));
    until_ok(world, || b.try_look());
    assert_eq!(b.judge(), Verdict::Follow, "what was not seen is no silence");
}

//! Two nodes of one name.

use std::sync::Arc;

use super::node::{Node, timings, until_ok};
use super::{Names, World, Worlds};
use crate::{Contention, LockError};

/// By mistake more often than not; the second one is told what to do.
pub fn two_nodes_of_one_name_are_refused(world: Worlds<'_>) {
    let times = timings(2_000);
    let mut a = Node::new(world, "a", times);
    let mut reign = a.reign();
    match world.names() {
        Names::AtTheLook => standbys_are_refused(world),
        Names::AtTheClaim => {
            let mut twin = Node::new(world, "a", times);
            twin.look();
            a.renew(&mut reign);
            let refused = twin.try_claim(0, Contention::Vacant).unwrap_err();
            assert!(matches!(refused, LockError::NameTaken { .. }), "{refused}");
            assert!(refused.to_string().contains("give each a name of its own"), "{refused}");
        }
    }
    until_ok(world, || a.try_renew(&mut reign));
    // The node itself comes again after it was killed, and takes over as everybody would.
    drop(a);
    let mut again = Node::new(world, "a", times);
    until_ok(world, || again.try_look());
    let (_, won) = again.take_over();
    assert!(won.unwrap().grant.epoch.number > reign.grant.epoch.number);
}

fn standbys_are_refused(world: &dyn World) {
    let times = timings(2_000);
    let mut standby = Node::new(world, "s", times);
    standby.look();
    let other = Node::new(world, "t", times).try_look().unwrap();
    assert!(other.is_some(), "another name is no twin");
    for name in ["s", "a"] {
        let mut twin = world.node(name, times, Arc::new(ferromq_env::SystemClock)).unwrap();
        let refused = twin.look().unwrap_err();
        assert!(matches!(refused, LockError::NameTaken { .. }), "{refused}");
        assert!(refused.to_string().contains("give each a name of its own"), "{refused}");
    }
    standby.look();
    drop(standby);
    let mut again = Node::new(world, "s", times);
    until_ok(world, || again.try_look());
}

//! The proof of the fence, as models that are explored whole: every order of every step of every node, pauses of any
//! length included, since a node that is not stepped stands still.
//!
//! * [`file`]: claims, marks, seals, copies and checkpoints in a folder that all share.
//! * [`database`]: the epoch's row, and transactions that lock it.
//! * [`lease`]: when a holder may act, and when a standby may claim over its silence.
//! * [`link`]: numbers that a link gives to messages, over a takeover of the sender.
//!
//! A model of what the code does must show no violation, and must reach what it is about. The same model with one step
//! changed (a [`file::Mutation`], say) must show one: else the step would be for nothing, or the model blind for it.
//! `cargo test -p ferromq-lock --test proof -- --nocapture` prints the states explored and the way to each violation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

mod database;
mod file;
mod lease;
mod link;

use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model};

/// No more states than this belong into a test that is run all the time.
const BOUND: usize = 4_000_000;

/// Explores everything: each *always* holds, and each *sometimes* is reached.
fn holds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let checker = model.checker().threads(2).target_state_count(BOUND).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(checker.state_count() < BOUND, "{name}: not explored to the end");
    println!("{name}: {states} states, no violation");
}

/// A short way to a violation of `property`.
fn is_violated<M>(name: &str, model: M, property: &'static str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let only = HasDiscoveries::AnyOf([property].into());
    let checker = model.checker().target_state_count(BOUND).finish_when(only).spawn_bfs().join();
    let path = checker.discovery(property);
    let Some(path) = path else {
        panic!("{name}: {property} holds all the same, so the step is for nothing")
    };
    let steps = path.into_actions();
    println!("{name}: *{property}* is violated after {} steps: {steps:?}", steps.len());
}

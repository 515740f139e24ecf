//! What every lock provider must pass: checks that are given a [`World`] and panic with what is wrong. A provider's tests
//! are one line:
//!
//! ```ignore
//! ferromq_lock::conformance_tests!(|| MyWorld::start_or_skip());
//! ```
//!
//! The closure gives a world for each check, or `None` where what it needs is not installed, having said so.
//!
//! A check judges what it sees as a node does, with [`Lease`](crate::Lease) and [`Watch`](crate::Watch) on the world's
//! clock. Where that is the real one nothing depends on how fast the machine is: a holder and a standby take turns, and
//! what takes time is waited for up to [`PATIENCE`]. What a world can't do (restart, be cut off) is passed over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "checks panic with what is wrong"
)]

mod claims;
mod contention;
mod node;
mod outages;
mod silence;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
mod twins;
mod world;

pub use claims::{
    a_claim_supersedes_only_whom_the_claimant_saw, a_released_claim_is_followed_at_once,
    contradictory_timings_are_refused, epochs_rise_above_everything_that_was_seen, looking_changes_nothing,
    one_holds_it_and_the_others_see_who,
};
pub use contention::a_thousand_acquisitions_in_contention;
pub use outages::{
    a_place_that_can_not_be_reached_is_an_error_in_time, a_restart_of_the_service_is_ridden_out,
};
pub use silence::{
    a_holder_that_died_is_replaced, a_holder_that_renews_keeps_it,
    a_paused_holder_is_superseded_and_finds_out, calendars_may_jump,
    latency_shortens_a_lease_and_breaks_nothing,
};
#[cfg(test)]
pub(crate) use tests::contents;
pub use twins::two_nodes_of_one_name_are_refused;
pub use world::{Names, World, Worlds};

/// How long anything may take that takes no time on an idle machine.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Makes a test of each check, in worlds made by the given closure.
#[macro_export]
macro_rules! conformance_tests {
    ($world:expr) => {
        $crate::conformance_tests!(@each $world;
            one_holds_it_and_the_others_see_who,
            epochs_rise_above_everything_that_was_seen,
            a_released_claim_is_followed_at_once,
            a_claim_supersedes_only_whom_the_claimant_saw,
            looking_changes_nothing,
            contradictory_timings_are_refused,
            a_holder_that_renews_keeps_it,
            a_paused_holder_is_superseded_and_finds_out,
            a_holder_that_died_is_replaced,
            calendars_may_jump,
            latency_shortens_a_lease_and_breaks_nothing,
            a_restart_of_the_service_is_ridden_out,
            a_place_that_can_not_be_reached_is_an_error_in_time,
            two_nodes_of_one_name_are_refused,
            a_thousand_acquisitions_in_contention,
        );
    };
    (@each $world:expr; $($check:ident,)*) => { $(
        #[test]
        fn $check() {
            let world = $world;
            if let Some(world) = world() {
                $crate::conformance::$check(&world);
            }
        }
    )* };
}

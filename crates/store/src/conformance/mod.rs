//! What every store must pass, crash points included: checks that are given a [`World`] and panic with what is
//! wrong. A store's tests are one line:
//!
//! ```ignore
//! ferromq_store::conformance_tests!(|| SimWorld::new(|disk| open(disk, "/store")));
//! ```
//!
//! The reference is [`Contents`](crate::memory::Contents): after a reopening a store must show exactly what that
//! shows; after a crash, what it showed after some batch between the last one acknowledged and the last one handed
//! over. Checks that need a crash or a small disk pass without a word in a world that has none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "checks panic with what is wrong"
)]

mod content;
mod crashes;
mod faults;
mod load;
mod order;
mod run;
mod script;
mod snapshot;
mod streams;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy;
mod world;

pub use content::{
    acknowledged_durable_messages_go_with_the_last_subscription, destinations_come_and_go,
    every_field_of_a_message_comes_back, exposed_marks_only_rise, ids_and_places_are_never_used_twice,
    pages_end_where_they_should, producer_windows_survive, queues_keep_their_messages_in_order,
    removing_what_is_not_there_changes_nothing, subscriptions_can_change,
    topics_without_takers_store_nothing,
};
pub use crashes::{
    a_killed_process_loses_nothing_it_wrote, crash_at_every_point_of_three_operations,
    crash_at_every_point_of_two_operations, crashes_at_random, many_crashes_at_random,
};
pub use faults::{
    a_failed_operation_loses_nothing_acknowledged, a_failed_sync_is_final,
    a_full_store_takes_acknowledgements, space_is_reclaimed,
};
pub use load::{
    a_hundred_thousand_messages, big_messages, many_destinations, many_producers, reading_while_writing,
};
pub use order::{
    a_batch_is_all_or_nothing, a_lower_epoch_cannot_claim, a_superseded_writer_completes_nothing,
    lazy_batches_are_covered_by_the_next_sync, tickets_and_epochs_are_checked, two_cannot_have_one_store,
    unknown_ids_are_refused,
};
pub use run::Run;
pub use snapshot::Snapshot;
pub use streams::{positions_of_streams_survive, settled_positions_take_no_room};
pub use world::{SimWorld, World, Worlds};

/// Makes a test of each check, in worlds made by the given closure; with `on_real_disk` those that need a
/// [simulated disk](SimWorld) are left out.
#[macro_export]
macro_rules! conformance_tests {
    (on_real_disk $world:expr) => {
        $crate::conformance_tests!(@each $world;
            queues_keep_their_messages_in_order,
            every_field_of_a_message_comes_back,
            acknowledged_durable_messages_go_with_the_last_subscription,
            subscriptions_can_change,
            topics_without_takers_store_nothing,
            destinations_come_and_go,
            exposed_marks_only_rise,
            ids_and_places_are_never_used_twice,
            pages_end_where_they_should,
            producer_windows_survive,
            positions_of_streams_survive,
            settled_positions_take_no_room,
            removing_what_is_not_there_changes_nothing,
            unknown_ids_are_refused,
            a_batch_is_all_or_nothing,
            tickets_and_epochs_are_checked,
            lazy_batches_are_covered_by_the_next_sync,
            a_lower_epoch_cannot_claim,
            two_cannot_have_one_store,
            a_superseded_writer_completes_nothing,
            big_messages,
            a_hundred_thousand_messages,
            many_destinations,
            many_producers,
            reading_while_writing,
            a_killed_process_loses_nothing_it_wrote,
            a_full_store_takes_acknowledgements,
            space_is_reclaimed,
        );
    };
    ($world:expr) => {
        $crate::conformance_tests!(on_real_disk $world);
        $crate::conformance_tests!(@each $world;
            crash_at_every_point_of_two_operations,
            crashes_at_random,
            a_failed_sync_is_final,
            a_failed_operation_loses_nothing_acknowledged,
        );
        $crate::conformance_tests!(@long $world;
            crash_at_every_point_of_three_operations,
            many_crashes_at_random,
        );
    };
    (@each $world:expr; $($check:ident,)*) => { $(
        #[test]
        fn $check() {
            let world = $world;
            $crate::conformance::$check(&|| Box::new(world()));
        }
    )* };
    (@long $world:expr; $($check:ident,)*) => { $(
        #[test]
        #[ignore = "takes minutes"]
        fn $check() {
            let world = $world;
            $crate::conformance::$check(&|| Box::new(world()));
        }
    )* };
}

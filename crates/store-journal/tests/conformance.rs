//! What every store must pass, in small segments so that rotation, checkpoints and reclaim take part.

use std::sync::Arc;

use ferromq_env::simulated::SimClock;
use ferromq_store::conformance::SimWorld;
use ferromq_store_journal::{Options, open};

/// Sizes at which a few hundred messages fill several segments.
fn small() -> Options {
    Options {
        segment_bytes: 64 << 10,
        reserve_bytes: 512 << 10,
        checkpoint_bytes: 128 << 10,
        cache_bytes: 32 << 10,
        slack_bytes: 512 << 10,
        ..Options::default()
    }
}

ferromq_store::conformance_tests!(|| {
    SimWorld::new(|disk| open(disk, Arc::new(SimClock::default()), "/store".as_ref(), small()))
        .small(4 << 20)
        .overhead(1 << 20)
        .fenced()
});

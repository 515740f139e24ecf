//! The two threads of a store: [`Driver`] commits, [`Loader`] reads.
//!
//! The driver takes what waits, commits it with one sync, and tells up to which ticket everything is durable. While
//! a sync is under way the next group gathers, so the slower the disk, the larger the groups; a batch that finds the
//! disk idle is committed at once.
//!
//! Invariant: after [`DriverEvent::Failed`] nothing completes any more.

mod commit;
mod load;
#[cfg(test)]
mod tests;

pub use commit::{Cutoff, Driver, DriverEvent, DriverHandle, DriverSettings, Stopped, SubmitError};
pub use load::{Found, Loader, LoaderHandle, Wanted};

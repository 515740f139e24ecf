//! Claims in a folder that all share: [`Claims`], and [`FileLock`], the provider on top of them.
//!
//! The claim of epoch *n* is the file `claims/n`, made exclusively; its maker holds the lock of the operating system
//! on it, and whoever makes a higher one marks it. Beside it, `heartbeats/n` is written in place by the holder alone.

mod claims;
mod lock;
mod marks;

pub use claims::{Claim, Claims, Fence};
pub use lock::FileLock;

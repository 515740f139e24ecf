//! Time, disk and entropy as arguments: the traits, the real ones, and deterministic ones for simulations.
//!
//! Nothing below the shell reads a clock, opens a file or rolls dice by itself; it is given one of these.
//!
//! * [`Clock`], [`Disk`], [`DiskFile`], [`Entropy`]: what a storage engine needs of the world.
//!
//! Invariant: `Disk` promises no more than POSIX does: bytes are safe after [`DiskFile::sync`], a name after
//! [`Disk::sync_dir`] of its folder, and a failed sync says nothing about what was written before.

mod clock;
mod disk;
mod entropy;

pub use clock::{Clock, SystemClock};
pub use disk::{Disk, DiskFile, OpenMode};
pub use entropy::{Entropy, SystemEntropy};

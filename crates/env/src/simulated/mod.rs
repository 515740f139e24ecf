//! A world in memory: a disk that crashes, tears, forgets and runs full on request; a clock that stands until it is
//! moved; dice that roll the same every time.
//!
//! * [`SimDisk`]: files and names with a safe and an unsafe state; [`SimDisk::crash`] picks what survives.
//! * [`Fault`]: makes the n-th operation of a kind fail, once or for good.
//! * [`StaleDisk`]: a network file system, whose caches answer with what was true a while ago.
//! * [`SimClock`], [`SeededEntropy`]: time and chance as the test wants them.
//!
//! Invariant: the same calls with the same seeds give the same bytes, whatever the machine.

mod clock;
mod crash;
mod disk;
mod entropy;
mod fault;
mod sparse;
mod stale;
#[cfg(test)]
mod tests;
mod world;

pub use clock::SimClock;
pub use crash::Crash;
pub use disk::SimDisk;
pub use entropy::SeededEntropy;
pub use fault::{Fault, FaultError, OpKind};
pub use stale::{StaleDisk, Staleness};

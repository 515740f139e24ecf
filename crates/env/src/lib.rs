//! Time, disk and entropy as arguments: the traits, the real ones, and deterministic ones for simulations.
//!
//! Nothing below the shell reads a clock, opens a file or rolls dice by itself; it is given one of these. The crate
//! is no file-system abstraction for everybody: it has what a log-structured store needs, and no more.
//!
//! * [`Clock`], [`Disk`], [`DiskFile`], [`Entropy`]: what a storage engine needs of the world.
//! * [`SystemClock`], [`SystemDisk`], [`SystemEntropy`]: the world.
//! * [`simulated`]: a world in memory that crashes, tears, forgets and runs full on request.
//!
//! Invariant: `Disk` promises no more than POSIX does: bytes are safe after [`DiskFile::sync`], a name after
//! [`Disk::sync_dir`] of its folder, and a failed sync says nothing about what was written before.
//!
//! ```
//! use ferromq_env::simulated::{Crash, SimDisk};
//! use ferromq_env::{Disk, OpenMode};
//! use std::path::Path;
//!
//! let disk = SimDisk::new();
//! let file = disk.open(Path::new("/log"), OpenMode::CreateNew)?;
//! file.write_at(b"synced", 0)?;
//! file.sync()?;
//! disk.sync_dir(Path::new("/"))?;
//! file.write_at(b"hardly", 0)?;
//!
//! let disk = disk.crash(Crash::LoseUnsynced);
//! let mut bytes = [0; 6];
//! disk.open(Path::new("/log"), OpenMode::Read)?.read_at(&mut bytes, 0)?;
//! assert_eq!(&bytes, b"synced");
//! # Ok::<(), std::io::Error>(())
//! ```

mod clock;
mod disk;
mod entropy;
pub mod simulated;
mod system;

pub use clock::{Clock, SystemClock};
pub use disk::{CacheBypass, Disk, DiskFile, OpenMode};
pub use entropy::{Entropy, SystemEntropy};
pub use system::SystemDisk;

//! [`MemoryStore`]: keeps everything in memory and nothing beyond the process. It is what `--store memory` means,
//! and the reference that other stores are compared with.

mod contents;
mod store;

pub use contents::Contents;
pub use store::MemoryStore;

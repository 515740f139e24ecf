//! The spool: where messages that are not persistent wait when memory is short.
//!
//! The engine hands over blocks of messages ([`SpoolOp`]) and asks for them again by their number; [`Spool`] keeps them in files
//! of its own, [`SpoolDriver`] is the thread that does so while the engine goes on.
//!
//! A spool belongs to one process. Its files carry the name of the run and stand behind a lock that ends with the process; they
//! are never synced, never read by a standby, and removed at the end, or by the next run after a crash.
//!
//! Invariant: an error costs messages that are not persistent and nothing else: a block that can't be written stays
//! with the engine, a block that can't be read is told to be lost, and the store beside it is never asked.
//! Invariant: files take at most twice what is live in them, and two segments.

mod block;
mod driver;
mod files;
mod segment;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ferromq_model::{Message, Sequence};

pub use driver::{SpoolDriver, SpoolEnding, SpoolEvent, SpoolHandle};
pub use files::{Spool, SpoolOptions};

/// The number of a block, chosen by the engine and never used twice in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub u64);

/// One message in a block, and what the engine has to know of it beside.
#[derive(Clone, Debug)]
pub struct Spooled {
    /// Its place in its queue.
    pub sequence: Sequence,
    /// Redeliveries so far.
    pub counter: u32,
    /// What it is charged in memory.
    pub charge: u32,
    /// The message.
    pub message: Arc<Message>,
}

/// A change of the spool; carried out in order.
#[derive(Clone, Debug)]
pub enum SpoolOp {
    /// Keep a block.
    Write {
        /// Its number.
        block: BlockId,
        /// What is in it; the engine has them, too, until it hears that they are written.
        messages: Arc<Vec<Spooled>>,
    },
    /// A block is not needed any longer, written or not.
    Free {
        /// Its number.
        block: BlockId,
    },
}

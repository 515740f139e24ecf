//! [`Letter`]: what arrives in the engine's mailbox.

use std::sync::Arc;

use ferromq_engine::{ConnId, Input};

use crate::Outbox;

/// Something for the engine's thread: an input for the engine, or news about the way back to a connection.
#[derive(Debug)]
pub enum Letter {
    /// A connection exists; this is the way to it. Comes before every input that names it.
    Plug(ConnId, Arc<Outbox>),
    /// A connection is gone; comes after every input that names it.
    Unplug(ConnId),
    /// The way out of a congested connection is free again.
    Relieved(ConnId),
    /// Something happened.
    Input(Input),
    /// The thread ends when everything before this letter is done.
    Stop,
}

//! [`Letter`]: what arrives in the engine's mailbox.

use std::fmt;
use std::sync::Arc;

use ferromq_engine::{ConnId, Engine, Input};

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
    /// Other brokers have come or gone: sessions tell their clients.
    Brokers,
    /// Somebody wants to look at the engine.
    Look(Look),
    /// The thread ends when everything before this letter is done.
    Stop,
}

/// What is looked at in the engine, on the engine's thread: it is handed over, and nothing waits.
pub struct Look(pub Box<dyn FnOnce(&Engine) + Send>);

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

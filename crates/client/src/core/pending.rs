//! Requests that wait for their answers.

use std::fmt;
use std::sync::Arc;

use ferromq_openwire::{Destination, Message, TransactionId};
use rustc_hash::FxHashMap;

/// What was asked, for errors, and for what is to be done with the answer.
#[derive(Clone, Debug)]
pub(super) enum What {
    Login,
    Producer {
        key: i64,
        destination: Option<Destination>,
    },
    Consumer {
        key: i64,
        destination: Destination,
    },
    /// With the message, if it may have to be sent again.
    Send(Destination, Option<Arc<Message>>),
    Commit {
        session: i64,
        redo: Option<Redo>,
    },
    Rollback,
    AddTemporary(Destination),
    RemoveTemporary(Destination),
    Unsubscribe(String),
    Close,
}

/// A commit as it has to be repeated when its answer was lost.
#[derive(Clone, Debug)]
pub(super) struct Redo {
    pub id: TransactionId,
    /// What was sent in it; nothing if that was too much to be kept.
    pub sends: Option<Vec<Arc<Message>>>,
    /// Whether something was acknowledged in it.
    pub acks: bool,
    /// Asked again of another broker.
    pub repeated: bool,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login => f.write_str("log in"),
            Self::Producer { destination, .. } => {
                write!(f, "open a producer for {}", super::shown(destination.as_ref()))
            }
            Self::Consumer { destination, .. } => write!(f, "open a consumer of {destination}"),
            Self::Send(destination, _) => write!(f, "take a message for {destination}"),
            Self::Commit { .. } => f.write_str("commit a transaction"),
            Self::Rollback => f.write_str("roll a transaction back"),
            Self::AddTemporary(destination) => write!(f, "create {destination}"),
            Self::RemoveTemporary(destination) => write!(f, "delete {destination}"),
            Self::Unsubscribe(name) => write!(f, "end the subscription {name}"),
            Self::Close => f.write_str("close the connection"),
        }
    }
}

/// By number of the command.
pub(super) struct Pending<T> {
    waiting: FxHashMap<i32, (What, Option<T>)>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { waiting: FxHashMap::default() }
    }
}

impl<T> Pending<T> {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn insert(&mut self, number: i32, what: What, token: Option<T>) {
        self.waiting.insert(number, (what, token));
    }

    pub fn take(&mut self, number: i32) -> Option<(What, Option<T>)> {
        self.waiting.remove(&number)
    }

    /// Everything that waits, oldest first.
    pub fn drain_all(&mut self) -> Vec<(i32, What, Option<T>)> {
        let mut all: Vec<_> =
            self.waiting.drain().map(|(number, (what, token))| (number, what, token)).collect();
        all.sort_unstable_by_key(|(number, ..)| *number);
        all
    }
}

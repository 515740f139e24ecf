//! [`Connection`]: one peer and what it registered.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferromq_model::{ConnectionFacts, Destination, Message, ProducerFacts, ProducerId, Ticket};
use rustc_hash::FxHashMap;

use crate::consumer::ConsumerKey;
use crate::dedup::Slot;
use crate::links::Turned;
use crate::place::PlaceKey;
use crate::transaction::Transaction;
use crate::{LocalId, Tag};

/// Where a producer's last message went, valid while no destination came or went.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) to: Destination,
    pub(crate) place: PlaceKey,
    pub(crate) generation: u64,
}

/// A producer of a connection.
#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: ProducerId,
    /// What it said about itself; `None` for one that was never registered (a bridge).
    pub(crate) facts: Option<Arc<ProducerFacts>>,
    pub(crate) route: Option<Route>,
    pub(crate) slot: Slot,
}

#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Who it is; `None` before it said so, and after it was refused.
    pub(crate) facts: Option<Arc<ConnectionFacts>>,
    /// Sessions with their consumers and producers, in order of registration.
    pub(crate) sessions: BTreeMap<i64, Session>,
    pub(crate) consumers: FxHashMap<LocalId, ConsumerKey>,
    pub(crate) producers: FxHashMap<LocalId, Producer>,
    pub(crate) transactions: BTreeMap<i64, Transaction>,
    pub(crate) congested: bool,
    /// Sends of this connection that wait for room, and those of them for which it is not read from.
    pub(crate) parked: usize,
    pub(crate) paused: usize,
    /// What those that wait take.
    pub(crate) parked_bytes: u64,
    pub(crate) flushes: Vec<Tag>,
    /// The unit of work of the last message that it sent, if that was stored.
    pub(crate) stored: Ticket,
    /// The stream that it is the local end of.
    pub(crate) link: Option<usize>,
    /// The stream that it sends.
    pub(crate) stream: Option<usize>,
    /// The sender of that stream takes back what finds no room here.
    pub(crate) takes_back: bool,
    /// Destinations of which its messages are turned back.
    pub(crate) turned: FxHashMap<Destination, Turned>,
    /// What the bridge at its other end has told of itself.
    pub(crate) bridge: Option<Arc<Message>>,
}

#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) consumers: Vec<LocalId>,
    pub(crate) producers: Vec<LocalId>,
}

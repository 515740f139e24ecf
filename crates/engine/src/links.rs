//! [`Links`]: the streams of messages to and from other brokers, by which a message goes over a link exactly once.
//!
//! A message that a link is given has a position in the link's stream. Position, place and message id are durable
//! here before the message leaves, and while it is not known what became of it over there nobody else gets it. The
//! receiver stores position and message in one unit of work. Nothing is sent twice: when a link comes up again, the
//! receiver says which positions it has, as far as they are durable, and takes no more from the connection before.
//! What it has is gone here; what it has not is free again, and its position is never used for another message.
//!
//! Streams belong to stores, not to processes: both ends find theirs after a takeover.
//!
//! Invariant: no two messages ever have one position of a stream.
//! Invariant: a position that is known with another message is an error, never an acknowledgement.

mod doubt;
mod forget;
mod receiver;
mod sender;
mod throttle;
mod turning;

use ferromq_model::{Instant, MessageId, StreamId, Text};
use ferromq_store::{Recovered, StoreOp, StreamOp, StreamRecord, StreamState};
use rustc_hash::FxHashMap;

use crate::consumer::Origin;
use crate::engine::Engine;
use crate::window::Place;
use crate::{ConnId, Fault};

pub(crate) use receiver::{Incoming, Seen};
pub(crate) use sender::{Candidate, Given, Outgoing};
pub(crate) use turning::Turned;

/// Positions between the oldest that is not settled and the next one, at most: what the receiver can be asked about.
pub(crate) const SPAN: u64 = 1_024;
/// Streams of one direction.
const MOST_STREAMS: usize = 1_024;
/// The stream that stands for this store itself; its name is the broker's id.
pub(crate) const OWN: StreamId = StreamId(0);

#[derive(Debug, Default)]
pub(crate) struct Links {
    /// The store keeps streams.
    pub(crate) kept: bool,
    /// The id that the store has had since it was made.
    pub(crate) own: Option<Text>,
    next: u64,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) incoming: Vec<Incoming>,
    /// Which messages in memory have a position.
    pub(crate) given: FxHashMap<(Origin, Place), Given>,
    /// What a consumer gives back now was never sent.
    pub(crate) letting_go: bool,
}

impl Links {
    /// A connection is gone; what is under way on it is in doubt.
    pub(crate) fn lost(&mut self, conn: ConnId, now: Instant) {
        for stream in self.outgoing.iter_mut().filter(|stream| stream.conn == Some(conn)) {
            // The next connection finds out by itself.
            stream.throttles.clear();
        }
        let outgoing = self.outgoing.iter_mut().map(|stream| (&mut stream.conn, &mut stream.heard));
        let incoming = self.incoming.iter_mut().map(|stream| (&mut stream.conn, &mut stream.heard));
        for (held, heard) in outgoing.chain(incoming).filter(|(held, _)| **held == Some(conn)) {
            (*held, *heard) = (None, Some(now));
        }
    }
}

impl Engine {
    /// Takes over the streams that the store keeps.
    pub(crate) fn recover_links(&mut self, streams: Option<Vec<StreamState>>) {
        let Some(streams) = streams else { return };
        self.links.kept = true;
        for state in streams {
            self.links.next = self.links.next.max(state.record.id.0 + 1);
            if state.record.id == OWN {
                self.links.own = Some(state.record.name);
            } else if state.record.reserved.0 > 0 {
                self.recover_outgoing(state);
            } else {
                self.links.incoming.push(Incoming::recovered(state));
            }
        }
    }

    /// A new stream. With the first one the store remembers the broker's id, which is part of every stream's name.
    fn new_stream(&mut self) -> StreamId {
        if self.links.own.is_none() {
            let (name, reserved) = (self.settings.broker_id.clone(), ferromq_model::StreamPosition(0));
            let record = StreamRecord { id: OWN, name: name.clone(), reserved };
            self.outbox.op(StoreOp::Stream(StreamOp::Put(record)));
            self.links.own = Some(name);
        }
        let id = StreamId(self.links.next.max(1));
        self.links.next = id.0 + 1;
        id
    }

    fn no_streams(&self) -> Fault {
        let text = "this store is written in a format that has no streams of links; say `ferromq store finalize` when no \
                    older version needs it any longer, or set exactly_once = false for the connector";
        crate::engine::fault(crate::FaultKind::Unsupported, text)
    }
}

/// The broker's id that the store keeps since its first link.
pub fn own_id(recovered: &Recovered) -> Option<Text> {
    let own = recovered.streams.as_ref()?.iter().find(|stream| stream.record.id == OWN)?;
    Some(own.record.name.clone())
}

/// A hash of a message's id, the same at both ends (FNV-1a over its parts).
pub(crate) fn fingerprint(id: &MessageId) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(id.producer.connection.bytes());
    for number in [id.producer.session, id.producer.value, id.sequence] {
        add(&number.to_le_bytes());
    }
    if let Some(text) = &id.text {
        add(text.bytes());
    }
    hash
}

/// Puts a stream into a free place, or behind all of them; says which it is.
fn put<T>(streams: &mut Vec<T>, vacant: Option<usize>, stream: T) -> usize {
    let at = vacant.unwrap_or(streams.len());
    match streams.get_mut(at) {
        Some(place) => *place = stream,
        None => streams.push(stream),
    }
    at
}

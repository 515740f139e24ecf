//! [`Incoming`]: a stream that another broker sends.

use std::collections::BTreeMap;

use ferromq_model::{DestinationKind, Instant, Message, Sequence, StreamId, StreamPosition, Text};
use ferromq_store::{Passage, StoreOp, StreamOp, StreamRecord, StreamState};

use super::{MOST_STREAMS, OWN, SPAN, fingerprint};
use crate::engine::{Engine, fault};
use crate::{ConnId, Effect, Fault, FaultKind, SendRequest, Severity, StreamReport, Tag};

/// Positions that nobody can ask about are dropped by so many at once.
const AT_ONCE: u64 = 256;

#[derive(Debug)]
pub(crate) struct Incoming {
    /// [`OWN`] for a place that is free, because its stream is forgotten.
    pub(super) id: StreamId,
    pub(super) name: Text,
    /// From whom it is taken now.
    pub(crate) conn: Option<ConnId>,
    /// When a link had it last.
    pub(super) heard: Option<Instant>,
    highest: u64,
    pub(super) taken: BTreeMap<u64, Taken>,
}

/// What was taken at a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// The hash of the message's id.
    message: u64,
    /// It lay in the sender's store.
    stored: bool,
}

/// What the store keeps of that.
impl From<Taken> for Passage {
    fn from(taken: Taken) -> Self {
        Self { message: taken.message, sequence: Sequence(u64::from(taken.stored)), ..Self::default() }
    }
}

impl From<Passage> for Taken {
    fn from(passage: Passage) -> Self {
        Self { message: passage.message, stored: passage.sequence != Sequence(0) }
    }
}

/// What a position says about the message that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    /// The same message was taken.
    Before,
    /// Another message was taken, or it is too old to be known.
    Wrong,
}

impl Incoming {
    pub(super) fn recovered(state: StreamState) -> Self {
        let taken: BTreeMap<u64, Taken> =
            state.positions.into_iter().map(|(position, passage)| (position.0, passage.into())).collect();
        Self {
            id: state.record.id,
            name: state.record.name,
            conn: None,
            heard: None,
            highest: taken.last_key_value().map_or(0, |(position, _)| *position),
            taken,
        }
    }

    fn seen(&self, position: u64, message: u64) -> Seen {
        match self.taken.get(&position) {
            Some(known) if known.message == message => Seen::Before,
            Some(_) => Seen::Wrong,
            None if position + SPAN <= self.highest => Seen::Wrong,
            None => Seen::New,
        }
    }

    fn report(&self) -> StreamReport {
        let oldest = (self.highest + 1).saturating_sub(SPAN);
        let taken = self.taken.range(oldest..);
        StreamReport {
            highest: self.highest,
            stored: taken.clone().rfind(|(_, taken)| taken.stored).map_or(0, |(position, _)| *position),
            taken: taken.map(|(position, taken)| (*position, taken.message)).collect(),
        }
    }
}

impl Engine {
    /// A broker is about to send a stream, and is told what of it is here. Whoever sent it before sends no more.
    pub(crate) fn open_stream(&mut self, conn: ConnId, tag: Option<Tag>, name: &Text, takes_back: bool) {
        match self.find_incoming(name) {
            Err(fault) => self.outbox.fail(conn, tag, fault),
            Ok(index) => {
                let before = self.links.incoming.get(index).and_then(|stream| stream.conn);
                if let Some(before) = before.filter(|before| *before != conn) {
                    self.take_over(before, &format!("the link of stream {name} has come up again"));
                }
                let Some(stream) = self.links.incoming.get_mut(index) else { return };
                stream.conn = Some(conn);
                let report = stream.report();
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.stream = Some(index);
                    connection.takes_back = takes_back;
                }
                // What is told is durable, and so is what was taken from the connection before.
                self.outbox.reply_after(self.outbox.issued(), conn, tag, Effect::Stream(report));
            }
        }
    }

    fn find_incoming(&mut self, name: &Text) -> Result<usize, Fault> {
        if !self.links.kept {
            return Err(self.no_streams());
        }
        if let Some(index) =
            self.links.incoming.iter().position(|stream| stream.id != OWN && stream.name == *name)
        {
            return Ok(index);
        }
        let vacant = self.links.incoming.iter().position(|stream| stream.id == OWN);
        if vacant.is_none() && self.links.incoming.len() >= MOST_STREAMS {
            let text = format!(
                "more than {MOST_STREAMS} brokers and connectors have sent messages here; `ferromq streams` lists them, and \
                 `ferromq streams forget` forgets one that is gone for good"
            );
            return Err(fault(FaultKind::ResourceAllocation, text));
        }
        let id = self.new_stream();
        let record = StreamRecord { id, name: name.clone(), reserved: StreamPosition(0) };
        self.outbox.op(StoreOp::Stream(StreamOp::Put(record)));
        let (name, taken) = (name.clone(), BTreeMap::new());
        let stream = Incoming { id, name, conn: None, heard: None, highest: 0, taken };
        Ok(super::put(&mut self.links.incoming, vacant, stream))
    }

    fn incoming(&self, conn: ConnId) -> Option<&Incoming> {
        let index = self.connections.get(&conn)?.stream?;
        self.links.incoming.get(index).filter(|stream| stream.conn == Some(conn))
    }

    /// What is known of the position that a message came with.
    pub(crate) fn seen(&mut self, conn: ConnId, position: StreamPosition, request: &SendRequest) -> Seen {
        let message = fingerprint(&request.message.id);
        self.incoming(conn).map_or(Seen::Wrong, |stream| stream.seen(position.0, message))
    }

    /// The sender is not who it says, or its store is not what it was: it is told by the end of the connection.
    pub(crate) fn refuse_stream(&mut self, conn: ConnId, request: &SendRequest) {
        let text = self.wrong_position(conn, request);
        self.outbox.log(Severity::Error, text.clone());
        self.take_over(conn, &text);
    }

    /// What is wrong with a message's position.
    pub(crate) fn wrong_position(&mut self, conn: ConnId, request: &SendRequest) -> String {
        let name = self.incoming(conn).map(|stream| stream.name.to_string()).unwrap_or_default();
        format!(
            "position {} of stream {name} was taken with another message than {}, or is too old; is the store of the \
             sender a copy?",
            request.position.unwrap_or_default().0,
            request.message.id
        )
    }

    /// Notes that a message is taken, in the unit of work that stores it.
    pub(crate) fn take_position(&mut self, conn: ConnId, position: StreamPosition, message: &Message) {
        let Some(index) = self.connections.get(&conn).and_then(|connection| connection.stream) else {
            return;
        };
        self.leave_line(conn, &message.destination);
        let Some(stream) = self.links.incoming.get_mut(index) else { return };
        // Of a topic it depends on the subscription over there.
        let stored = message.persistent && message.destination.kind == DestinationKind::Queue;
        let taken = Taken { message: fingerprint(&message.id), stored };
        stream.taken.insert(position.0, taken);
        stream.highest = stream.highest.max(position.0);
        let passage = Passage::from(taken);
        self.outbox.op(StoreOp::Stream(StreamOp::Place { stream: stream.id, position, passage }));
        let oldest = (stream.highest + 1).saturating_sub(SPAN);
        if let Some((first, _)) = stream.taken.first_key_value()
            && *first + AT_ONCE <= oldest
        {
            let from = StreamPosition(*first);
            stream.taken = stream.taken.split_off(&oldest);
            let upto = StreamPosition(oldest.saturating_sub(1));
            self.outbox.op(StoreOp::Stream(StreamOp::Settle { stream: stream.id, from, upto }));
        }
    }
}

//! Streams to and from brokers that are gone for good: operators list them, and forget them.

use ferromq_model::{StreamId, Text};
use ferromq_store::{StoreOp, StreamOp};

use super::OWN;
use super::sender::Flight;
use crate::engine::{Engine, fault};
use crate::{ConnId, Effect, Fault, FaultKind, Severity, StreamEntry, Tag};

impl Engine {
    /// The streams to other brokers, and those from them.
    pub fn all_streams(&self) -> Vec<StreamEntry> {
        let now = self.now.mono;
        let entry =
            |name: &Text, incoming, linked, positions: usize, heard: Option<ferromq_model::Instant>| {
                let heard = if linked { Some(now) } else { heard };
                StreamEntry {
                    name: name.to_string(),
                    incoming,
                    linked,
                    positions: positions as u64,
                    heard: heard.map(|heard| now.since(heard)),
                }
            };
        let outgoing = self.links.outgoing.iter().filter(|stream| stream.id != OWN);
        let incoming = self.links.incoming.iter().filter(|stream| stream.id != OWN);
        outgoing
            .map(|stream| {
                entry(&stream.name, false, stream.conn.is_some(), stream.flights.len(), stream.heard)
            })
            .chain(incoming.map(|stream| {
                entry(&stream.name, true, stream.conn.is_some(), stream.taken.len(), stream.heard)
            }))
            .collect()
    }

    /// Forgets a stream that no link has.
    pub(crate) fn forget_stream(&mut self, conn: ConnId, tag: Option<Tag>, name: &Text) {
        match self.forget(name) {
            Ok(freed) => self.outbox.reply(conn, tag, Effect::Forgotten(freed)),
            Err(fault) => self.outbox.fail(conn, tag, fault),
        }
    }

    fn forget(&mut self, name: &Text) -> Result<u64, Fault> {
        let (mut freed, id) = (0, self.find_idle(name)?);
        if let Some(link) = self.links.outgoing.iter().position(|stream| stream.id == id) {
            let Some(stream) = self.links.outgoing.get(link) else { return Ok(0) };
            let held: Vec<(u64, Flight)> = stream.flights.iter().map(|(at, flight)| (*at, *flight)).collect();
            freed = held.len() as u64;
            for (position, flight) in held {
                self.decide(link, position, flight, false);
            }
            if let Some(stream) = self.links.outgoing.get_mut(link) {
                (stream.id, stream.name) = (OWN, Text::default());
            }
        }
        if let Some(stream) = self.links.incoming.iter_mut().find(|stream| stream.id == id) {
            (stream.id, stream.name) = (OWN, Text::default());
            stream.taken.clear();
        }
        self.outbox.op(StoreOp::Stream(StreamOp::Drop { id }));
        self.outbox.log(
            Severity::Warn,
            format!("stream {name} is forgotten, as was ordered; {freed} messages that were held are delivered here again"),
        );
        Ok(freed)
    }

    fn find_idle(&self, name: &Text) -> Result<StreamId, Fault> {
        let outgoing = self.links.outgoing.iter().map(|stream| (stream.id, &stream.name, stream.conn));
        let incoming = self.links.incoming.iter().map(|stream| (stream.id, &stream.name, stream.conn));
        match outgoing.chain(incoming).find(|(id, known, _)| *id != OWN && *known == name) {
            None => {
                let text = format!("there is no stream {name}; `ferromq streams` lists those that there are");
                Err(fault(FaultKind::InvalidDestination, text))
            }
            Some((_, _, Some(_))) => {
                let text = format!(
                    "the link of stream {name} is up; take its connector away first, or stop the other broker"
                );
                Err(fault(FaultKind::IllegalState, text))
            }
            Some((id, _, None)) => Ok(id),
        }
    }
}

//! [`Outgoing`]: a stream that goes to another broker.

use std::collections::BTreeMap;

use ferromq_model::{
    DestinationId, Instant, Message, Sequence, StreamId, StreamPosition, SubscriptionId, Text, Ticket,
};
use ferromq_store::{Passage, StoreOp, StreamOp, StreamRecord};
use rustc_hash::FxHashMap;

use super::throttle::Throttle;
use super::{MOST_STREAMS, OWN, SPAN, fingerprint};
use crate::consumer::{ConsumerKey, Origin};
use crate::engine::{Engine, fault};
use crate::outbox::{Held, Outbox};
use crate::place::{PlaceKey, Site};
use crate::window::Place;
use crate::{ConnId, Fault, FaultKind, Notice, Output, StreamView};

/// Positions that are reserved at once: those of messages in memory alone are not in the store, and must not come
/// again after a restart.
const RESERVED_AT_ONCE: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Outgoing {
    /// [`OWN`] for a place that is free, because its stream is forgotten.
    pub(super) id: StreamId,
    pub(crate) name: Text,
    pub(crate) conn: Option<ConnId>,
    /// When a link had it last.
    pub(super) heard: Option<Instant>,
    /// The lowest position that was not given yet.
    pub(super) next: u64,
    /// Positions up to here may be given; those behind are reserved when the ticket is durable.
    usable: u64,
    reserving: Option<(Ticket, u64)>,
    /// What was given and is not settled.
    pub(crate) flights: BTreeMap<u64, Flight>,
    /// What the last message that was handed out waited for.
    last: Ticket,
    /// No position could be given lately.
    full: bool,
    /// Places of which the other end turned something back.
    pub(super) throttles: FxHashMap<PlaceKey, Throttle>,
    /// The highest position that the store has or had; `None` if that is not known, of a store of an older version.
    pub(super) stored: Option<u64>,
    /// A position that stays in the store without a message, to tell how far this store had come.
    mark: Option<u64>,
}

/// A message with a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// `None` if what it lay in is gone.
    pub(super) origin: Option<Origin>,
    pub(super) passage: Passage,
    /// The position is in the store.
    pub(super) stored: bool,
}

/// The position of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) link: usize,
    pub(crate) position: u64,
}

/// What follows when a position is settled.
struct Settled {
    /// Whose consumers may go on, because the stream was full.
    has_room: Option<ConnId>,
    /// The place that its message lay in, if that is sent carefully.
    throttled: Option<PlaceKey>,
}

impl Outgoing {
    fn new(id: StreamId, name: Text) -> Self {
        Self {
            id,
            name,
            conn: None,
            heard: None,
            next: 1,
            usable: 0,
            reserving: None,
            flights: BTreeMap::new(),
            last: Ticket(0),
            full: false,
            throttles: FxHashMap::default(),
            stored: Some(0),
            mark: None,
        }
    }

    /// As the store kept it: `flights` are in doubt, and positions up to those that were reserved may have been given.
    pub(super) fn recovered(
        record: StreamRecord,
        flights: BTreeMap<u64, Flight>,
        stored: Option<u64>,
        mark: Option<u64>,
    ) -> Self {
        let reserved = record.reserved.0;
        Self {
            next: reserved + 1,
            usable: reserved,
            flights,
            stored,
            mark,
            ..Self::new(record.id, record.name)
        }
    }

    /// Reserves further positions before they are needed; who waits for them is woken when they are durable.
    pub(super) fn reserve_ahead(&mut self, link: usize, outbox: &mut Outbox) {
        if self.reserving.is_none() && self.next + RESERVED_AT_ONCE / 2 > self.usable {
            self.reserve(link, outbox);
        }
    }

    fn reserve(&mut self, link: usize, outbox: &mut Outbox) {
        let upto = self.next + RESERVED_AT_ONCE;
        let (id, name, reserved) = (self.id, self.name.clone(), StreamPosition(upto));
        outbox.op(StoreOp::Stream(StreamOp::Put(StreamRecord { id, name, reserved })));
        if (self.stored, self.mark) == (Some(0), None) {
            self.leave_mark(0, outbox);
        }
        outbox.hold(Held::WakeLink(link));
        self.reserving = Some((outbox.ticket(), upto));
    }

    /// Notes how far this store has come, when no message of so high a position is left to tell.
    fn leave_mark(&mut self, position: u64, outbox: &mut Outbox) {
        outbox.op(place(self.id, position, MARK));
        self.mark = Some(position);
    }

    /// A message that is in the store has a position, in this input's unit of work.
    fn store(&mut self, position: u64, passage: Passage, outbox: &mut Outbox) {
        outbox.op(place(self.id, position, passage));
        if let Some(mark) = self.mark.take() {
            outbox.op(settle(self.id, mark));
        }
        self.stored = Some(position);
    }

    /// Nobody will ask about a position that is in the store.
    fn unstore(&mut self, position: u64, outbox: &mut Outbox) {
        if self.stored == Some(position) {
            self.leave_mark(position, outbox);
        } else {
            outbox.op(settle(self.id, position));
        }
    }

    /// The next position, if one may be given now.
    fn take(&mut self, link: usize, outbox: &mut Outbox) -> Option<u64> {
        if let Some((_, upto)) = self.reserving.filter(|(ticket, _)| *ticket <= outbox.durable()) {
            (self.usable, self.reserving) = (upto, None);
        }
        self.reserve_ahead(link, outbox);
        let oldest = self.flights.first_key_value().map_or(self.next, |(oldest, _)| *oldest);
        if self.next > self.usable || self.next - oldest >= SPAN {
            self.full = true;
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// What stands at a position whose message is gone, and which is the highest that the store has had: by it a copy of a
/// store is told from the one that went on.
pub(super) const MARK: Passage = Passage {
    destination: DestinationId(0),
    sequence: Sequence(0),
    subscription: SubscriptionId(0),
    message: 0,
};

pub(super) fn place(stream: StreamId, position: u64, passage: Passage) -> StoreOp {
    StoreOp::Stream(StreamOp::Place { stream, position: StreamPosition(position), passage })
}

fn settle(stream: StreamId, position: u64) -> StoreOp {
    let position = StreamPosition(position);
    StoreOp::Stream(StreamOp::Settle { stream, from: position, upto: position })
}

/// What is to have a position, and where it lies.
pub(crate) struct Candidate<'a> {
    pub(crate) origin: Origin,
    pub(crate) at: Place,
    pub(crate) message: &'a Message,
    pub(crate) destination: Option<DestinationId>,
    pub(crate) sequence: Sequence,
    pub(crate) subscription: Option<SubscriptionId>,
    pub(crate) stored: bool,
}

impl super::Links {
    /// Gives a message the next position of a link, in this input's unit of work.
    pub(crate) fn give(
        &mut self,
        link: usize,
        candidate: Candidate<'_>,
        outbox: &mut Outbox,
    ) -> Option<StreamPosition> {
        let stream = self.outgoing.get_mut(link)?;
        let position = stream.take(link, outbox)?;
        if let Some(throttle) = stream.throttles.get_mut(&candidate.origin.place) {
            throttle.given();
            if std::mem::take(&mut throttle.untold)
                && let Some(conn) = stream.conn
            {
                let destination = candidate.message.destination.clone();
                outbox.notify(conn, Notice::TriedAgain { destination });
            }
        }
        let Candidate { origin, at, message, destination, sequence, subscription, stored } = candidate;
        let passage = Passage {
            destination: destination.unwrap_or_default(),
            sequence,
            subscription: subscription.unwrap_or_default(),
            message: fingerprint(&message.id),
        };
        let stored = stored && destination.is_some();
        if stored {
            stream.store(position, passage, outbox);
            stream.last = outbox.ticket();
        }
        stream.flights.insert(position, Flight { origin: Some(origin), passage, stored });
        self.given.insert((origin, at), Given { link, position });
        Some(StreamPosition(position))
    }

    /// Hands a message to a link when its position is durable, and not before those that were handed out before it.
    pub(crate) fn deliver(&mut self, link: usize, output: Output, outbox: &mut Outbox) {
        let Some(stream) = self.outgoing.get_mut(link) else { return outbox.send(output) };
        if stream.last > outbox.durable() {
            // It may wait for longer than its own position needs, and so do those behind it.
            stream.last = if outbox.has_ops() { outbox.ticket() } else { outbox.issued() };
            outbox.hold_for_issued(Held::Output(output));
        } else {
            outbox.send(output);
        }
    }

    /// A message with a position has left its place.
    fn settle(&mut self, given: Given, outbox: &mut Outbox) -> Option<Settled> {
        let stream = self.outgoing.get_mut(given.link)?;
        let flight = stream.flights.remove(&given.position)?;
        if flight.stored {
            stream.unstore(given.position, outbox);
        }
        let place = flight.origin.map(|origin| origin.place);
        Some(Settled {
            has_room: if std::mem::take(&mut stream.full) { stream.conn } else { None },
            throttled: place.filter(|place| stream.throttles.contains_key(place)),
        })
    }
}

impl Engine {
    /// The stream of that name, a new one if there is none.
    pub(super) fn find_outgoing(&mut self, name: &Text) -> Result<usize, Fault> {
        if let Some(link) =
            self.links.outgoing.iter().position(|stream| stream.id != OWN && stream.name == *name)
        {
            return Ok(link);
        }
        let vacant = self.links.outgoing.iter().position(|stream| stream.id == OWN);
        if vacant.is_none() && self.links.outgoing.len() >= MOST_STREAMS {
            let text = format!(
                "there have been links to more than {MOST_STREAMS} other brokers; `ferromq streams` lists them, and \
                 `ferromq streams forget` forgets one that is gone for good"
            );
            return Err(fault(FaultKind::ResourceAllocation, text));
        }
        let stream = Outgoing::new(self.new_stream(), name.clone());
        Ok(super::put(&mut self.links.outgoing, vacant, stream))
    }

    /// What this input has stored for links alone gets its positions in the same unit of work, so that one sync does for
    /// both; says whether there was such a thing.
    pub(crate) fn hurry_links(&mut self) -> bool {
        if self.links.outgoing.is_empty() || !self.outbox.has_ops() {
            return false;
        }
        let linked = |place: &PlaceKey| {
            let queue = self.places.get(*place).and_then(Site::queue);
            queue.is_some_and(|queue| queue.serves_links_alone(&self.consumers))
        };
        let places: Vec<PlaceKey> = self.outbox.waking().filter(linked).collect();
        for place in &places {
            self.wake_place(*place);
        }
        !places.is_empty()
    }

    /// The streams to other brokers, in the order in which they began.
    pub fn streams(&self) -> Vec<StreamView> {
        let view = |stream: &Outgoing| StreamView {
            name: stream.name.to_string(),
            linked: stream.conn.is_some(),
            under_way: stream.flights.len() as u64,
            without_room: self.without_room(stream),
        };
        self.links.outgoing.iter().filter(|stream| stream.id != OWN).map(view).collect()
    }

    /// A message that has a position left its place, or was never sent.
    pub(super) fn forget_position(&mut self, given: Given) {
        let Some(settled) = self.links.settle(given, &mut self.outbox) else { return };
        if let Some(place) = settled.throttled {
            self.throttled_settled(given.link, place);
        }
        if let Some(conn) = settled.has_room {
            self.link_has_room(conn);
        }
    }

    /// A message has left its place: if it had a position, that is settled.
    pub(crate) fn position_settled(&mut self, origin: Origin, at: Place) {
        if !self.links.given.is_empty()
            && let Some(given) = self.links.given.remove(&(origin, at))
        {
            self.forget_position(given);
        }
    }

    /// Positions that were reserved are durable.
    pub(crate) fn positions_reserved(&mut self, link: usize) {
        let Some(stream) = self.links.outgoing.get_mut(link) else { return };
        if std::mem::take(&mut stream.full)
            && let Some(conn) = stream.conn
        {
            self.link_has_room(conn);
        }
    }

    /// The stream of a link can take more.
    fn link_has_room(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let mut consumers: Vec<ConsumerKey> = connection.consumers.values().copied().collect();
        consumers.sort_unstable();
        for key in consumers {
            let Some(consumer) = self.consumers.get_mut(key) else { continue };
            if std::mem::take(&mut consumer.link_full) {
                self.wake_consumer(key);
            }
        }
    }
}

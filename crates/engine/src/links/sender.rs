//! [`Outgoing`]: a stream that goes to another broker.

use std::collections::BTreeMap;

use ferromq_model::{
    DestinationId, Instant, Message, Sequence, StreamId, StreamPosition, SubscriptionId, Text, Ticket,
};
use ferromq_store::{Passage, StoreOp, StreamOp, StreamRecord, StreamState};

use super::{MOST_STREAMS, OWN, SPAN, fingerprint};
use crate::ack::Outcome;
use crate::consumer::{ConsumerKey, Origin};
use crate::engine::{Engine, fault};
use crate::outbox::{Held, Outbox};
use crate::place::{PlaceKey, Site};
use crate::window::{Place, State};
use crate::{ConnId, Fault, FaultKind, Output, Severity, StreamReport, StreamView};

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
    next: u64,
    /// Positions up to here may be given; those behind are reserved when the ticket is durable.
    usable: u64,
    reserving: Option<(Ticket, u64)>,
    /// What was given and is not settled.
    pub(crate) flights: BTreeMap<u64, Flight>,
    /// What the last message that was handed out waited for.
    last: Ticket,
    /// No position could be given lately.
    full: bool,
    /// The highest position that the store has or had; `None` if that is not known, of a store of an older version.
    stored: Option<u64>,
    /// A position that stays in the store without a message, to tell how far this store had come.
    mark: Option<u64>,
}

/// A message with a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// `None` if what it lay in is gone.
    origin: Option<Origin>,
    passage: Passage,
    /// The position is in the store.
    stored: bool,
}

/// The position of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) link: usize,
    pub(crate) position: u64,
}

impl Outgoing {
    /// Reserves further positions; who waits for them is woken when they are durable.
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
        if self.reserving.is_none() && self.next + RESERVED_AT_ONCE / 2 > self.usable {
            self.reserve(link, outbox);
        }
        let oldest = self.flights.first_key_value().map_or(self.next, |(oldest, _)| *oldest);
        if self.next > self.usable || self.next - oldest >= SPAN {
            self.full = true;
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// What an operator can do about stores that don't fit.
const ANEW: &str = "to begin anew, give the connector another name, or let both brokers forget the stream (`ferromq streams \
                    forget`)";

/// What stands at a position whose message is gone, and which is the highest that the store has had: by it a copy of a
/// store is told from the one that went on.
const MARK: Passage = Passage {
    destination: DestinationId(0),
    sequence: Sequence(0),
    subscription: SubscriptionId(0),
    message: 0,
};

fn place(stream: StreamId, position: u64, passage: Passage) -> StoreOp {
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

    /// A message with a position has left its place. The answer is whose consumers may go on.
    fn settle(&mut self, given: Given, outbox: &mut Outbox) -> Option<ConnId> {
        let stream = self.outgoing.get_mut(given.link)?;
        let flight = stream.flights.remove(&given.position)?;
        if flight.stored {
            stream.unstore(given.position, outbox);
        }
        std::mem::take(&mut stream.full).then_some(stream.conn)?
    }
}

impl Engine {
    pub(super) fn recover_outgoing(&mut self, state: StreamState) {
        let stored = state.positions.keys().next_back().map(|position| position.0);
        let (marks, mut held): (Vec<_>, Vec<_>) =
            state.positions.into_iter().partition(|(_, passage)| *passage == MARK);
        let mut mark = marks.last().map(|(position, _)| position.0);
        if self.is_given_up(&state.record.name) && !held.is_empty() {
            mark = self.give_up(&state.record, &std::mem::take(&mut held));
        }
        let mut flights = BTreeMap::new();
        for (position, passage) in held {
            let origin = self.find_origin(&passage);
            if let Some(window) = origin.and_then(|origin| self.window_mut(origin)) {
                window.pin(passage.sequence);
            }
            flights.insert(position.0, Flight { origin, passage, stored: true });
        }
        let reserved = state.record.reserved.0;
        self.links.outgoing.push(Outgoing {
            id: state.record.id,
            name: state.record.name,
            conn: None,
            heard: None,
            next: reserved + 1,
            usable: reserved,
            reserving: None,
            flights,
            last: Ticket(0),
            full: false,
            stored,
            mark,
        });
    }

    /// Nobody will ask what became of these any longer. The stream stays, so that no position of it is given again if
    /// the connector comes back; the answer is where a mark stands now.
    fn give_up(&mut self, stream: &StreamRecord, held: &[(StreamPosition, Passage)]) -> Option<u64> {
        let ((first, _), (last, _)) = (held.first()?, held.last()?);
        let text = format!(
            "the connector of stream {} is gone: {} messages that were held, because they may have arrived over there, \
             are delivered here again",
            stream.name,
            held.len()
        );
        self.outbox.log(Severity::Warn, text);
        self.outbox.op(StoreOp::Stream(StreamOp::Settle { stream: stream.id, from: *first, upto: *last }));
        self.outbox.op(place(stream.id, last.0, MARK));
        Some(last.0)
    }

    /// Whether a stream belongs to a connector that was taken away: `sender>receiver/connector`. What a peer's duplex
    /// connector asked for (`~`) is the peer's to give up.
    fn is_given_up(&self, stream: &Text) -> bool {
        let name = stream.to_str();
        match (&self.settings.connectors, name.split_once('/')) {
            (Some(connectors), Some((_, connector))) if !connector.ends_with('~') => {
                !connectors.iter().any(|known| known == connector)
            }
            _ => false,
        }
    }

    fn find_origin(&self, passage: &Passage) -> Option<Origin> {
        let (place, _) = self.places.arena.iter().find(|(_, site)| site.id == Some(passage.destination))?;
        if passage.subscription == SubscriptionId(0) {
            return Some(Origin { place, durable: None });
        }
        let found = self.durables.iter().find(|(_, found)| found.record.id == passage.subscription);
        found.map(|(durable, _)| Origin { place, durable: Some(durable) })
    }

    /// The local end of a link is up, and says what the remote broker has of the stream: what was in doubt is decided.
    pub(crate) fn begin_link(
        &mut self,
        conn: ConnId,
        name: &Text,
        report: &StreamReport,
    ) -> Result<(), Fault> {
        if !self.links.kept {
            return Err(self.no_streams());
        }
        let link = self.find_outgoing(name)?;
        let before = self.links.outgoing.get(link).and_then(|stream| stream.conn);
        if let Some(before) = before.filter(|before| *before != conn) {
            self.take_over(before, &format!("the link of stream {name} has come up again"));
        }
        self.check_report(link, report)?;
        let Some(stream) = self.links.outgoing.get_mut(link) else { return Ok(()) };
        stream.conn = Some(conn);
        let doubts: Vec<(u64, Flight)> = stream.flights.iter().map(|(at, flight)| (*at, *flight)).collect();
        if stream.next + RESERVED_AT_ONCE / 2 > stream.usable && stream.reserving.is_none() {
            stream.reserve(link, &mut self.outbox);
        }
        let (mut arrived, mut freed) = (0, 0);
        for (position, flight) in doubts {
            if report.taken.contains_key(&position) {
                arrived += 1;
                self.decide(link, position, flight, true);
            } else {
                freed += 1;
                self.decide(link, position, flight, false);
            }
        }
        if arrived + freed > 0 {
            let text = format!(
                "stream {name}: of the messages that were under way when the link was lost, {arrived} had arrived and \
                 {freed} had not"
            );
            self.outbox.log(Severity::Info, text);
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.link = Some(link);
        }
        Ok(())
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
        };
        self.links.outgoing.iter().filter(|stream| stream.id != OWN).map(view).collect()
    }

    fn find_outgoing(&mut self, name: &Text) -> Result<usize, Fault> {
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
        let stream = Outgoing {
            id: self.new_stream(),
            name: name.clone(),
            conn: None,
            heard: None,
            next: 1,
            usable: 0,
            reserving: None,
            flights: BTreeMap::new(),
            last: Ticket(0),
            full: false,
            stored: Some(0),
            mark: None,
        };
        Ok(super::put(&mut self.links.outgoing, vacant, stream))
    }

    /// Whether what the remote broker has can be what this store has sent.
    fn check_report(&self, link: usize, report: &StreamReport) -> Result<(), Fault> {
        let Some(stream) = self.links.outgoing.get(link) else { return Ok(()) };
        let name = &stream.name;
        if report.highest >= stream.next {
            let text = format!(
                "the remote broker has position {} of stream {name}, and this store gave none above {}: it is older than \
                 the one that sent them, or a copy; {ANEW}",
                report.highest,
                stream.next - 1
            );
            return Err(fault(FaultKind::IllegalState, text));
        }
        if let Some(stored) = stream.stored.filter(|stored| report.stored > *stored) {
            let text = format!(
                "the remote broker has a message that was stored here at position {} of stream {name}, and this store knows \
                 of none above {stored}: it is older than the one that sent it, or a copy; {ANEW}",
                report.stored
            );
            return Err(fault(FaultKind::IllegalState, text));
        }
        for (position, flight) in &stream.flights {
            let taken = report.taken.get(position);
            if taken.is_some_and(|message| *message != flight.passage.message)
                || taken.is_none() && position + SPAN <= report.highest
            {
                let text = format!(
                    "position {position} of stream {name} is known to the remote broker with another message: one of the \
                     stores is a copy; {ANEW}"
                );
                return Err(fault(FaultKind::IllegalState, text));
            }
        }
        Ok(())
    }

    /// What was in doubt has arrived, and is gone here, or has not, and is free again.
    pub(super) fn decide(&mut self, link: usize, position: u64, flight: Flight, arrived: bool) {
        let given = Given { link, position };
        let sequence = flight.passage.sequence;
        let found = flight.origin.and_then(|origin| {
            let window = self.window_mut(origin)?;
            window.unpin(sequence);
            Some((origin, window.find(sequence)))
        });
        match found {
            Some((origin, Some(at))) => {
                self.links.given.insert((origin, at), given);
                if arrived {
                    self.retire(origin, at, Outcome::Acknowledged);
                } else {
                    self.free(origin, at);
                }
            }
            Some((origin, None)) if arrived => {
                self.retire_unseen(origin, &flight.passage);
                self.forget_position(given);
            }
            _ => self.forget_position(given),
        }
    }

    /// A message that is in the store alone has arrived over there.
    fn retire_unseen(&mut self, origin: Origin, passage: &Passage) {
        let ticket = self.outbox.ticket();
        let Passage { destination, sequence, .. } = *passage;
        let Some(window) = self.window_mut(origin) else { return };
        let counted = window.strike(sequence, ticket);
        if counted {
            self.discharge(origin.place);
        }
        self.outbox.op(match origin.durable {
            None => StoreOp::RemoveMessage { destination, sequence },
            Some(_) => StoreOp::AckDurable { subscription: passage.subscription, destination, sequence },
        });
    }

    /// One message less in a place, of which it is not known what it was charged: as much as the average one.
    fn discharge(&mut self, place: PlaceKey) {
        let Some(site) = self.places.get(place) else { return };
        let charge = site.store_bytes / (self.held(place, site) + 1);
        self.flow.unstored(charge);
        if let Some(site) = self.places.get_mut(place) {
            site.counters.acknowledged += 1;
            site.store_bytes -= charge;
        }
    }

    /// A message that has a position left its place, or was never sent.
    fn forget_position(&mut self, given: Given) {
        if let Some(conn) = self.links.settle(given, &mut self.outbox) {
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

    /// Whether a message that is given back must wait, because it may be at the other end of its link.
    pub(crate) fn is_in_doubt(&mut self, origin: Origin, at: Place) -> bool {
        if self.links.given.is_empty() || !self.links.given.contains_key(&(origin, at)) {
            return false;
        }
        if self.links.letting_go {
            self.position_settled(origin, at);
            return false;
        }
        true
    }

    /// A message that was not sent after all is for whoever wants it.
    fn free(&mut self, origin: Origin, at: Place) {
        self.position_settled(origin, at);
        let Some(window) = self.window_mut(origin) else { return };
        let index = window.index_from(at);
        if let Some(entry) = window.get_mut(at).filter(|entry| entry.state == State::InFlight) {
            // Later ones may have gone before it, and whoever gets it should know.
            entry.counter = entry.counter.max(1);
            window.set_state(index, State::Ready);
            self.ready_again(origin, at);
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

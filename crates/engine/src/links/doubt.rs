//! What was under way when a link was lost: in doubt until the remote broker says which positions it has.

use std::collections::BTreeMap;

use ferromq_model::{StreamPosition, SubscriptionId, Text};
use ferromq_store::{Passage, StoreOp, StreamOp, StreamRecord, StreamState};

use super::SPAN;
use super::sender::{Flight, Given, MARK, Outgoing, place};
use crate::ack::Outcome;
use crate::consumer::Origin;
use crate::engine::{Engine, fault};
use crate::place::PlaceKey;
use crate::window::{Place, State};
use crate::{ConnId, Fault, FaultKind, Severity, StreamReport};

/// What an operator can do about stores that don't fit.
const ANEW: &str = "to begin anew, give the connector another name, or let both brokers forget the stream (`ferromq streams \
                    forget`)";

impl Engine {
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
        let Some(stream) = self.links.outgoing.get_mut(link) else { return Ok(()) };
        stream.check(report)?;
        stream.conn = Some(conn);
        let doubts: Vec<(u64, Flight)> = stream.flights.iter().map(|(at, flight)| (*at, *flight)).collect();
        stream.reserve_ahead(link, &mut self.outbox);
        let (mut arrived, mut freed) = (0, 0);
        for (position, flight) in doubts {
            let has_arrived = report.taken.contains_key(&position);
            if has_arrived {
                arrived += 1
            } else {
                freed += 1
            }
            self.decide(link, position, flight, has_arrived);
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

    /// Takes over a stream that the store keeps; what has a position may be at the other end.
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
        self.links.outgoing.push(Outgoing::recovered(state.record, flights, stored, mark));
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
}

impl Outgoing {
    /// Whether what the remote broker has can be what this store has sent.
    fn check(&self, report: &StreamReport) -> Result<(), Fault> {
        let name = &self.name;
        if report.highest >= self.next {
            let text = format!(
                "the remote broker has position {} of stream {name}, and this store gave none above {}: it is older than \
                 the one that sent them, or a copy; {ANEW}",
                report.highest,
                self.next - 1
            );
            return Err(fault(FaultKind::IllegalState, text));
        }
        if let Some(stored) = self.stored.filter(|stored| report.stored > *stored) {
            let text = format!(
                "the remote broker has a message that was stored here at position {} of stream {name}, and this store knows \
                 of none above {stored}: it is older than the one that sent it, or a copy; {ANEW}",
                report.stored
            );
            return Err(fault(FaultKind::IllegalState, text));
        }
        for (position, flight) in &self.flights {
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
}

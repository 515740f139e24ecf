//! Connections, sessions and producers come and go.

use std::sync::Arc;

use ferromq_model::{Advisory, ConnectionFacts, ProducerFacts, Text};

use crate::dedup::Slot;
use crate::engine::{Engine, Timer, fault};
use crate::redelivery::UNKNOWN;
use crate::registry::{Connection, Producer};
use crate::{ConnId, Fault, FaultKind, LocalId, Output, Severity};

/// What a connection's own session, which is never announced, is numbered.
const OWN_SESSION: i64 = -1;
/// Sessions, consumers and producers of one connection, each.
const MOST_OF_A_KIND: usize = 100_000;

impl Engine {
    /// A peer says who it is.
    pub(crate) fn connect(&mut self, conn: ConnId, facts: Arc<ConnectionFacts>) -> Result<(), Fault> {
        if self.connections.get(&conn).is_some_and(|connection| connection.facts.is_some()) {
            return Ok(());
        }
        if facts.client_id.is_empty() {
            return self.refuse(
                conn,
                fault(FaultKind::InvalidClientId, "No clientID specified for connection request"),
            );
        }
        if let Some(old) = self.connection_ids.get(&facts.connection).copied() {
            self.take_over(old, &format!("connection {} came again from {}", facts.connection, facts.remote));
        }
        if let Some(old) = self.clients.get(&facts.client_id).copied() {
            // A bridge that comes again takes the place of its half-open predecessor.
            let both_bridges = facts.network
                && self
                    .connections
                    .get(&old)
                    .and_then(|connection| connection.facts.as_ref())
                    .is_some_and(|old| old.network);
            if !self.settings.allow_link_stealing && !both_bridges {
                let remote = self
                    .connections
                    .get(&old)
                    .and_then(|connection| connection.facts.as_ref())
                    .map_or_else(String::new, |facts| facts.remote.to_string());
                let text = format!(
                    "Broker: {} - Client: {} already connected from {remote}",
                    self.settings.broker_name, facts.client_id
                );
                return self.refuse(conn, fault(FaultKind::InvalidClientId, text));
            }
            self.take_over(old, &format!("client {} connected anew from {}", facts.client_id, facts.remote));
        }
        self.clients.insert(facts.client_id.clone(), conn);
        self.connection_ids.insert(facts.connection.clone(), conn);
        let connection = self.connections.entry(conn).or_default();
        connection.facts = Some(Arc::clone(&facts));
        connection.sessions.entry(OWN_SESSION).or_default();
        self.tell("ActiveMQ.Advisory.Connection", Some(Advisory::ConnectionStarted(facts)), &[], None);
        Ok(())
    }

    /// A refused peer is given time to read why.
    fn refuse(&mut self, conn: ConnId, why: Fault) -> Result<(), Fault> {
        self.timers.insert((self.now.mono + self.settings.refused_linger, Timer::Refused(conn)));
        Err(why)
    }

    pub(crate) fn close_refused(&mut self, conn: ConnId) {
        if self.connections.get(&conn).is_some_and(|connection| connection.facts.is_none()) {
            self.outbox.send(Output::Close {
                conn,
                reason: fault(FaultKind::InvalidClientId, "the connection was refused"),
            });
        }
    }

    pub(crate) fn take_over(&mut self, old: ConnId, why: &str) {
        self.outbox.log(Severity::Info, why.to_owned());
        self.end(old, UNKNOWN);
        self.connections.insert(old, Connection::default());
        self.outbox.send(Output::Close { conn: old, reason: fault(FaultKind::General, why) });
    }

    /// A connection is gone.
    pub(crate) fn detach(&mut self, conn: ConnId) {
        self.end(conn, UNKNOWN);
        self.connections.remove(&conn);
        self.outbox.forget(conn);
    }

    /// A connection ends in an orderly way.
    pub(crate) fn disconnect(&mut self, conn: ConnId, last_delivered: i64) {
        self.end(conn, last_delivered);
        self.connections.insert(conn, Connection::default());
    }

    /// Ends everything that belongs to a connection, whose consumers have seen messages up to `last_delivered`.
    fn end(&mut self, conn: ConnId, last_delivered: i64) {
        let Some(facts) = self.connections.get(&conn).and_then(|connection| connection.facts.clone()) else {
            return;
        };
        self.links.lost(conn, self.now.mono);
        self.drop_parked(conn);
        self.burying.retain(|(waiting, _), _| *waiting != conn);
        self.repeats.forget(conn);
        self.rollback_all(conn);
        let sessions: Vec<i64> = self
            .connections
            .get(&conn)
            .map(|connection| connection.sessions.keys().copied().collect())
            .unwrap_or_default();
        for session in sessions {
            let _ = self.remove_session(conn, session, last_delivered);
        }
        self.drop_temporary(&facts.connection);
        self.clients.remove(&facts.client_id);
        self.connection_ids.remove(&facts.connection);
        let gone = Advisory::ConnectionStopped(facts.connection.clone());
        self.tell("ActiveMQ.Advisory.Connection", Some(gone), &[], None);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.facts = None;
        }
    }

    pub(crate) fn add_session(&mut self, conn: ConnId, session: i64) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        if connection.sessions.len() >= MOST_OF_A_KIND {
            return Err(fault(FaultKind::ResourceAllocation, format!("more than {MOST_OF_A_KIND} sessions")));
        }
        connection.sessions.entry(session).or_default();
        Ok(())
    }

    pub(crate) fn remove_session(
        &mut self,
        conn: ConnId,
        session: i64,
        last_delivered: i64,
    ) -> Result<(), Fault> {
        let Some(found) =
            self.connections.get(&conn).and_then(|connection| connection.sessions.get(&session))
        else {
            let name = self.session_name(conn, session);
            return Err(fault(
                FaultKind::IllegalState,
                format!("Cannot remove session that had not been registered: {name}"),
            ));
        };
        let (consumers, producers) = (found.consumers.clone(), found.producers.clone());
        for consumer in consumers {
            let last = self.last_of_one(conn, consumer, last_delivered);
            let _ = self.remove_consumer(conn, consumer, last);
        }
        for producer in producers {
            let _ = self.remove_producer(conn, producer);
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.sessions.remove(&session);
        }
        Ok(())
    }

    /// The id of a session as clients know it.
    pub(crate) fn session_name(&self, conn: ConnId, session: i64) -> String {
        format!("{}:{session}", self.connection_name(conn))
    }

    fn connection_name(&self, conn: ConnId) -> Text {
        self.connections
            .get(&conn)
            .and_then(|connection| connection.facts.as_ref())
            .map(|facts| facts.connection.clone())
            .unwrap_or_default()
    }

    pub(crate) fn add_producer(&mut self, conn: ConnId, facts: Arc<ProducerFacts>) -> Result<(), Fault> {
        let local = LocalId { session: facts.id.session, value: facts.id.value };
        let name = self.session_name(conn, local.session);
        let broker = self.settings.broker_name.clone();
        let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
        if connection.producers.get(&local).is_some_and(|known| known.facts.is_some()) {
            return Ok(());
        }
        let full = connection.producers.len() >= MOST_OF_A_KIND;
        let Some(session) = connection.sessions.get_mut(&local.session) else {
            return Err(fault(
                FaultKind::IllegalState,
                format!("{broker} Cannot add a producer to a session that had not been registered: {name}"),
            ));
        };
        if full {
            return Err(fault(
                FaultKind::ResourceAllocation,
                format!("more than {MOST_OF_A_KIND} producers"),
            ));
        }
        session.producers.push(local);
        let producer = Producer {
            id: facts.id.clone(),
            facts: Some(Arc::clone(&facts)),
            route: None,
            slot: Slot::default(),
        };
        connection.producers.insert(local, producer);
        if let Some(destination) = &facts.destination {
            for member in destination.members() {
                if member.is_advisory() || member.is_pattern() {
                    continue;
                }
                let place = match self.place(conn, &member) {
                    Ok(place) => place,
                    Err(gone) => {
                        self.forget_producer(conn, local);
                        return Err(gone);
                    }
                };
                if let Some(site) = self.places.get_mut(place) {
                    site.producers += 1;
                }
            }
        }
        let destination = facts.destination.clone();
        self.tell_producer(destination.as_ref(), &Advisory::ProducerStarted(facts), None);
        Ok(())
    }

    fn forget_producer(&mut self, conn: ConnId, local: LocalId) -> Option<Producer> {
        let connection = self.connections.get_mut(&conn)?;
        if let Some(session) = connection.sessions.get_mut(&local.session) {
            session.producers.retain(|known| *known != local);
        }
        connection.producers.remove(&local)
    }

    pub(crate) fn remove_producer(&mut self, conn: ConnId, local: LocalId) -> Result<(), Fault> {
        let name = self.session_name(conn, local.session);
        let Some(facts) = self.forget_producer(conn, local).and_then(|producer| producer.facts) else {
            return Err(fault(
                FaultKind::IllegalState,
                format!("Cannot remove a producer that had not been registered: {name}:{}", local.value),
            ));
        };
        for member in facts.destination.iter().flat_map(ferromq_model::Destination::members) {
            if let Some(site) = self.places.find(&member).and_then(|place| self.places.get_mut(place)) {
                site.producers = site.producers.saturating_sub(1);
            }
        }
        let stopped = Advisory::ProducerStopped(facts.id.clone());
        self.tell_producer(facts.destination.as_ref(), &stopped, None);
        Ok(())
    }
}

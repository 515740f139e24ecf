//! What the receiver of a stream turns back: a message that finds no room waits a moment, and goes back to its sender then,
//! so that one full destination holds up nothing else of its link.
//!
//! What is turned back was not taken and never will be at that position. Of its destination nothing more is taken from the
//! connection until the sender says that it has everything back, so the order stays as it was. Its place in the line of
//! those who wait for room is kept meanwhile.

use std::collections::VecDeque;

use ferromq_model::{Destination, Instant};

use crate::engine::{Engine, Timer};
use crate::flow::Parked;
use crate::place::PlaceKey;
use crate::{ConnId, Fault, SendRequest, Tag};

/// A destination of which nothing more is taken from a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turned {
    /// Since when its messages wait for room.
    since: Instant,
    /// The sender has everything back and tries again.
    resumed: bool,
}

impl Engine {
    /// Whether a message belongs to a stream whose sender takes back what is turned back, and hears of it.
    pub(crate) fn may_turn_back(&self, conn: ConnId, tag: Option<Tag>, request: &SendRequest) -> bool {
        tag.is_some()
            && request.position.is_some()
            && self.connections.get(&conn).is_some_and(|connection| connection.takes_back)
    }

    /// Whether a message goes back unseen, because one before it did.
    pub(crate) fn turns_away(&self, conn: ConnId, tag: Option<Tag>, request: &SendRequest) -> bool {
        self.may_turn_back(conn, tag, request)
            && self
                .connections
                .get(&conn)
                .and_then(|connection| connection.turned.get(&request.message.destination))
                .is_some_and(|turned| !turned.resumed)
    }

    /// Refuses a message for want of room. One of a link goes back to its sender, and so do those that follow it.
    pub(crate) fn turn_back(&mut self, conn: ConnId, tag: Option<Tag>, request: &SendRequest, why: Fault) {
        if self.may_turn_back(conn, tag, request) {
            self.remember_turned(conn, &request.message.destination, self.now.mono);
        }
        self.outbox.fail(conn, tag, why);
    }

    /// The sender has back what was turned back, and tries again.
    pub(crate) fn resume_sender(&mut self, conn: ConnId, destination: &Destination) {
        let turned = self.connections.get_mut(&conn).and_then(|link| link.turned.get_mut(destination));
        if let Some(turned) = turned {
            turned.resumed = true;
        }
    }

    /// Lets a message of a link wait for room, where its sender had come to in the line.
    pub(crate) fn park_for_link(
        &mut self,
        conn: ConnId,
        tag: Option<Tag>,
        key: PlaceKey,
        request: SendRequest,
    ) {
        let now = self.now.mono;
        let since = self.leave_line(conn, &request.message.destination).unwrap_or(now);
        let until = now + self.settings.link_patience;
        self.timers.insert((until, Timer::Parked(key)));
        let parked = Parked { conn, tag, request, since, until: Some(until), paused: false };
        let Some(site) = self.places.get_mut(key) else { return };
        let at = site.parked.partition_point(|other| other.since <= since);
        site.parked.insert(at, parked);
    }

    /// Turns back what has waited for room long enough, and what came behind it over the same link.
    pub(crate) fn turn_back_late(&mut self, key: PlaceKey) {
        let now = self.now.mono;
        while let Some(site) = self.places.get_mut(key)
            && let Some(late) =
                site.parked.iter().find(|parked| parked.until.is_some_and(|until| until <= now))
        {
            let (conn, destination) = (late.conn, late.request.message.destination.clone());
            let goes = |parked: &Parked| {
                parked.conn == conn
                    && parked.until.is_some()
                    && parked.request.message.destination == destination
            };
            let (back, rest): (VecDeque<_>, _) = std::mem::take(&mut site.parked).into_iter().partition(goes);
            site.parked = rest;
            self.remember_turned(conn, &destination, back.front().map_or(now, |first| first.since));
            for parked in back {
                self.unparked(&parked);
                let full = self.full_now(key, &parked.request.message);
                let refusal = self.refusal(key, full, &parked.request);
                self.outbox.fail(conn, parked.tag, refusal);
            }
        }
    }

    fn remember_turned(&mut self, conn: ConnId, destination: &Destination, since: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let turned = Turned { since, resumed: false };
        connection.turned.entry(destination.clone()).or_insert(turned).resumed = false;
    }

    /// Since when messages to a destination have waited, if this is the first one since they were turned back.
    pub(super) fn leave_line(&mut self, conn: ConnId, destination: &Destination) -> Option<Instant> {
        let connection = self.connections.get_mut(&conn)?;
        let since = connection.turned.get(destination).filter(|turned| turned.resumed)?.since;
        connection.turned.remove(destination);
        Some(since)
    }
}

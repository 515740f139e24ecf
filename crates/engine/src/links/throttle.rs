//! [`Throttle`]: what the sender of a stream takes back because there is no room for it over there, and how carefully it
//! tries again, so that one full destination holds up nothing else of the link.
//!
//! Nothing of the destination follows until all that was under way is answered for, so the order stays as it was. After a
//! pause one message is sent, and with each that is taken one more may be under way: up to half of what was too much
//! quickly, above that slowly.

use std::time::Duration;

use ferromq_model::{DestinationKind, Instant, StreamPosition};

use super::SPAN;
use super::sender::{Flight, Outgoing};
use crate::consumer::{ConsumerKey, Dispatched, Role};
use crate::engine::{Engine, Timer, fault};
use crate::place::PlaceKey;
use crate::window::sequence_of;
use crate::{ConnId, Fault, FaultKind, LocalId, Severity};

/// How long a destination that is full over there is left alone.
const PAUSE: Duration = Duration::from_millis(500);
/// Above half of what was too much the window grows by one for so many that are taken.
const TAKEN_FOR_ONE: u64 = 16;

/// Destinations without room that operators are told of.
const MOST_NAMES: usize = 100;

/// A destination for which the other end had no room.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Messages of it that have a position.
    under_way: u64,
    /// So many may have one: none until all that were turned back are here again and the pause is over.
    window: u64,
    /// Up to here the window grows quickly.
    knee: u64,
    /// Messages that were taken since it grew last.
    taken: u64,
    /// When it is tried again.
    again: Option<Instant>,
    /// The other end has to be told that what follows is a new attempt.
    pub(super) untold: bool,
}

impl Throttle {
    const fn new(under_way: u64) -> Self {
        Self { under_way, window: SPAN, knee: SPAN, taken: 0, again: None, untold: false }
    }

    const fn has_room(&self) -> bool {
        self.under_way < self.window
    }

    pub(super) const fn given(&mut self) {
        self.under_way += 1;
    }

    /// No more, until all that is under way is answered for.
    fn stop(&mut self) {
        if self.window > 0 {
            (self.knee, self.window, self.taken) = ((self.window / 2).max(1), 0, 0);
        }
    }

    /// Time to try it with one message.
    const fn resume(&mut self) {
        (self.again, self.window, self.untold) = (None, 1, true);
    }

    /// One message was taken over there.
    const fn widen(&mut self) {
        self.taken += 1;
        if self.window < self.knee || self.taken >= TAKEN_FOR_ONE {
            (self.window, self.taken) = (self.window + 1, 0);
        }
    }
}

impl Outgoing {
    /// Messages of a place that have a position.
    fn under_way(&self, place: PlaceKey) -> u64 {
        let of_place = |flight: &&Flight| flight.origin.is_some_and(|origin| origin.place == place);
        self.flights.values().filter(of_place).count() as u64
    }
}

impl super::Links {
    /// Whether a message of this place may be given to a link now.
    pub(crate) fn may_give(&self, link: usize, place: PlaceKey) -> bool {
        self.outgoing.get(link).and_then(|stream| stream.throttles.get(&place)).is_none_or(Throttle::has_room)
    }

    /// Whether the counts of what is sent carefully are true.
    pub(crate) fn balance(&self) -> Result<(), String> {
        for stream in &self.outgoing {
            for (place, throttle) in &stream.throttles {
                let under_way = stream.under_way(*place);
                if under_way != throttle.under_way {
                    return Err(format!(
                        "{under_way} of {place:?} are under way in {}: {throttle:?}",
                        stream.name
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Engine {
    /// A message of a link found no room over there: it is here again, as if it had never been sent.
    pub(crate) fn take_back(
        &mut self,
        conn: ConnId,
        local: LocalId,
        position: StreamPosition,
    ) -> Result<(), Fault> {
        let connection = self.connections.get(&conn);
        let link = connection.and_then(|connection| connection.link);
        let consumer = connection.and_then(|connection| connection.consumers.get(&local).copied());
        let stream = link.and_then(|link| Some((link, self.links.outgoing.get_mut(link)?)));
        let Some((link, stream)) = stream else {
            return Err(fault(
                FaultKind::IllegalState,
                "nothing comes back to what is not the end of a link",
            ));
        };
        let Some(flight) = stream.flights.get(&position.0).copied() else {
            // Its place is gone, or its consumer was: it is here already.
            return Ok(());
        };
        let held = |dispatched: &Dispatched| {
            Some(dispatched.origin) == flight.origin && sequence_of(dispatched.at) == flight.passage.sequence
        };
        let Some(dispatched) = consumer.and_then(|key| self.release(key, held)) else {
            return Err(fault(FaultKind::IllegalState, "this consumer does not hold what comes back"));
        };
        self.hold_back(link, dispatched.origin.place);
        // It was answered for: nothing of it is in doubt.
        self.links.letting_go = true;
        self.give_back(&dispatched, false);
        self.links.letting_go = false;
        Ok(())
    }

    /// Gives a link nothing more of a place until all that is under way was answered for.
    fn hold_back(&mut self, link: usize, place: PlaceKey) {
        let Some(stream) = self.links.outgoing.get_mut(link) else { return };
        if let Some(throttle) = stream.throttles.get_mut(&place) {
            return throttle.stop();
        }
        let mut throttle = Throttle::new(stream.under_way(place));
        throttle.stop();
        stream.throttles.insert(place, throttle);
        let so = "; its messages wait here, and are offered to it again and again";
        self.tell_over_there(link, place, Severity::Warn, "has no room for", so);
    }

    /// Destinations for which the other end of a stream has no room.
    pub(super) fn without_room(&self, stream: &Outgoing) -> Vec<String> {
        let places = stream.throttles.keys().filter_map(|place| self.places.get(*place));
        let mut names: Vec<String> = places.map(|site| site.destination.to_string()).collect();
        names.sort_unstable();
        names.truncate(MOST_NAMES);
        names
    }

    /// A consumer holds something no longer.
    fn release(&mut self, key: ConsumerKey, is: impl Fn(&Dispatched) -> bool) -> Option<Dispatched> {
        let consumer = self.consumers.get_mut(key)?;
        let index = consumer.dispatched.iter().position(is)?;
        let released = consumer.take(index);
        self.wake_consumer(key);
        released
    }

    /// A message of a place that is sent carefully is under way no longer.
    pub(super) fn throttled_settled(&mut self, link: usize, place: PlaceKey) {
        let now = self.now.mono;
        let Some(stream) = self.links.outgoing.get_mut(link) else { return };
        let Some(throttle) = stream.throttles.get_mut(&place) else { return };
        throttle.under_way = throttle.under_way.saturating_sub(1);
        if throttle.window > 0 {
            throttle.widen();
            if throttle.window >= SPAN {
                stream.throttles.remove(&place);
                self.tell_over_there(link, place, Severity::Info, "has room again for", "");
            }
            self.wake_link_at(link, place);
        } else if throttle.under_way == 0 && throttle.again.is_none() {
            throttle.again = Some(now + PAUSE);
            self.timers.insert((now + PAUSE, Timer::Again(link, place)));
        }
    }

    /// A destination that was full over there is tried again.
    pub(crate) fn try_again(&mut self, link: usize, place: PlaceKey) {
        let now = self.now.mono;
        let Some(stream) = self.links.outgoing.get_mut(link) else { return };
        if let Some(throttle) = stream.throttles.get_mut(&place)
            && throttle.again.is_some_and(|again| again <= now)
        {
            throttle.resume();
            if self.places.get(place).is_none() {
                stream.throttles.remove(&place);
            }
            self.wake_link_at(link, place);
        }
    }

    /// Lets a link look at a place again.
    fn wake_link_at(&mut self, link: usize, place: PlaceKey) {
        let Some(site) = self.places.get(place) else { return };
        if site.destination.kind == DestinationKind::Queue {
            return self.wake_place(place);
        }
        let conn = self.links.outgoing.get(link).and_then(|stream| stream.conn);
        let Some(connection) = conn.and_then(|conn| self.connections.get(&conn)) else { return };
        let mut consumers: Vec<ConsumerKey> = connection.consumers.values().copied().collect();
        consumers.sort_unstable();
        for key in consumers {
            if self.consumers.get(key).is_some_and(|consumer| matches!(consumer.role, Role::Durable(_))) {
                self.wake_consumer(key);
            }
        }
    }

    fn tell_over_there(&mut self, link: usize, place: PlaceKey, severity: Severity, what: &str, so: &str) {
        let Some(stream) = self.links.outgoing.get(link) else { return };
        let Some(site) = self.places.get(place) else { return };
        let (stream, destination) = (&stream.name, &site.destination);
        let text = format!("the broker at the other end of stream {stream} {what} {destination}{so}");
        self.outbox.log(severity, text);
    }
}

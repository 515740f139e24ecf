//! Expiry (JMS 1.1 §4.8): on arrival, before dispatch, when a consumer finds it, and by a periodic search.

use std::sync::Arc;

use ferromq_model::Message;

use crate::consumer::Origin;
use crate::dead_letter::Cause;
use crate::engine::{Engine, Timer};
use crate::place::{Body, PlaceKey};
use crate::window::{Place, State, Window};

impl Engine {
    /// A message in a window is too old.
    pub(crate) fn expire(&mut self, origin: Origin, place: Place) {
        let expiration =
            self.window_mut(origin).and_then(|window| window.get(place)).map_or(0, |entry| entry.expiration);
        self.condemn(origin, place, Cause::Expired(expiration));
    }

    /// A message was too old when it came: it is not kept, except among the dead letters.
    pub(crate) fn expire_on_arrival(&mut self, place: PlaceKey, message: &Arc<Message>) {
        let Some(site) = self.places.get_mut(place) else { return };
        site.sent += 1;
        site.counters.enqueued += 1;
        let moved = self.dead_letter(place, message, &Cause::Expired(message.expiration));
        if let Some(site) = self.places.get_mut(place) {
            if moved {
                site.counters.dead_lettered += 1;
            } else {
                site.counters.expired += 1;
            }
        }
        self.tell_about_message("Expired", place, message);
    }

    /// A message that waited for a topic consumer is too old. Others may have got it, so it is no dead letter.
    pub(crate) fn expired_for_topic(&mut self, place: PlaceKey, message: &Arc<Message>) {
        if let Some(site) = self.places.get_mut(place) {
            site.counters.expired += 1;
        }
        self.tell_about_message("Expired", place, message);
    }

    /// Time to search a destination for messages that are too old.
    pub(crate) fn sweep(&mut self, key: PlaceKey) {
        let left = self.search_expired(key);
        let Some(site) = self.places.get_mut(key) else { return };
        let period = site.policy.expire_messages_period;
        site.sweep_armed = left && !period.is_zero();
        if site.sweep_armed {
            self.timers.insert((self.now.mono + period, Timer::Sweep(key)));
        }
    }

    /// Searches a destination for messages that are too old; says whether others may become so.
    pub(crate) fn search_expired(&mut self, key: PlaceKey) -> bool {
        let (wall, durable) = (self.now.wall.0, self.outbox.durable());
        let Some(site) = self.places.arena.get_mut(key) else { return false };
        let mut expired: Vec<(Origin, Place)> = Vec::new();
        let mut left = 0;
        let mut search = |window: &mut Window, origin: Origin| {
            if window.expiring == 0 {
                return;
            }
            for index in 0..window.len() {
                let Some(entry) = window.at(index) else { break };
                let old = entry.expiration > 0 && entry.expiration <= wall && entry.ticket <= durable;
                if entry.state == State::Ready && old {
                    expired.push((origin, entry.place));
                    window.set_state(index, State::Dying);
                }
            }
            left += window.expiring;
        };
        match &mut site.body {
            Body::Queue(queue) => search(&mut queue.window, Origin { place: key, durable: None }),
            Body::Topic(topic) => {
                for durable in &topic.durables {
                    if let Some(window) =
                        self.durables.get_mut(*durable).and_then(|found| found.window_mut(key))
                    {
                        search(window, Origin { place: key, durable: Some(*durable) });
                    }
                }
            }
        }
        let mut left = left > expired.len();
        let mut block = None;
        if let Some(queue) = site.queue() {
            left |= queue.backlog.expiring > 0;
            block = queue.backlog.expired(wall);
        }
        for (origin, place) in expired {
            self.expire(origin, place);
        }
        // One after the other, so that what is searched takes little room.
        if let Some(block) = block {
            self.fetch_block(key, block);
        }
        left
    }
}

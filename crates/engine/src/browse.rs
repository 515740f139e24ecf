//! [`Browse`]: a look through queues that takes nothing and disturbs nobody (JMS 1.1 §5.9).
//!
//! The snapshot is the references in memory when the browser came to the queue, then what the store holds behind
//! them, up to the place that was next then. Messages that were consumed meanwhile are passed over.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{Delivery, Message, Sequence};
use ferromq_store::spool::Spooled;
use ferromq_store::{IndexEntry, Loaded, MessageRef, PageRequest};

use crate::backlog::{BlockKey, Keep};
use crate::consumer::{Consumer, ConsumerKey, Origin, Role};
use crate::engine::Engine;
use crate::load::Purpose;
use crate::place::PlaceKey;
use crate::window::{Place, State, sequence_of};
use crate::{LoadRequest, Output};

const PAGE: usize = 200;

#[derive(Debug, Default)]
pub(crate) struct Browse {
    /// Queues still to be looked through.
    places: VecDeque<PlaceKey>,
    current: Option<Look>,
    /// Loaded, and waiting for room.
    loaded: VecDeque<(Sequence, u32, Arc<Message>)>,
    waiting: bool,
    done: bool,
}

/// One queue.
#[derive(Debug)]
struct Look {
    place: PlaceKey,
    memory: VecDeque<Place>,
    /// What waits in the spool, and in memory from here on, is looked at piece by piece, since the one becomes the other.
    walk: Option<Place>,
    /// What was in the window of stored messages when the look began; those behind come from the store.
    seen: Sequence,
    /// Look in the store behind this place, if there is more.
    after: Option<Sequence>,
    /// What came later is not part of the snapshot.
    until: Sequence,
}

impl Browse {
    /// Adds a queue to look through.
    pub(crate) fn add(&mut self, place: PlaceKey) {
        if !self.done {
            self.places.push_back(place);
        }
    }
}

impl Engine {
    /// Shows a browser as much as it has room for.
    pub(crate) fn browse(&mut self, key: ConsumerKey) {
        loop {
            let Some(consumer) = self.consumers.get_mut(key) else { return };
            let room = consumer.has_room() || consumer.prefetch == 0 && !consumer.congested;
            let Role::Browser(browse) = &mut consumer.role else { return };
            if browse.done || !room {
                return;
            }
            if let Some((sequence, counter, message)) = browse.loaded.pop_front() {
                self.show(key, sequence, counter, message);
                continue;
            }
            if browse.waiting {
                return;
            }
            let Some(look) = &mut browse.current else {
                match browse.places.pop_front() {
                    Some(place) => {
                        let look = self.look(place);
                        if let Some(Role::Browser(browse)) =
                            self.consumers.get_mut(key).map(|found| &mut found.role)
                        {
                            browse.current = look;
                        }
                    }
                    None => {
                        browse.done = true;
                        self.outbox.send(Output::Deliver {
                            conn: consumer.conn,
                            consumer: consumer.local,
                            delivery: Delivery {
                                message: None,
                                sequence: Sequence(0),
                                redelivery_counter: 0,
                                first_of_group: false,
                                position: None,
                            },
                        });
                    }
                }
                continue;
            };
            let origin = Origin { place: look.place, durable: None };
            if let Some(place) = look.memory.pop_front() {
                self.browse_memory(key, origin, place);
                continue;
            }
            if let Some(from) = look.walk {
                self.walk(key, origin.place, from);
                continue;
            }
            let (place, after) = (look.place, look.after);
            let destination = self.places.get(place).and_then(|site| site.id);
            match (after, destination) {
                (Some(after), Some(destination)) => {
                    browse.waiting = true;
                    let request = PageRequest::Queue { destination, after, limit: PAGE };
                    self.load(Purpose::BrowsePage { consumer: key, asked: PAGE }, LoadRequest::Page(request));
                }
                _ => browse.current = None,
            }
        }
    }

    /// The snapshot of one queue.
    fn look(&self, place: PlaceKey) -> Option<Look> {
        let durable = self.outbox.durable();
        let queue = self.places.get(place)?.queue()?;
        let window = &queue.window;
        let spooled = !queue.backlog.is_empty();
        let memory = window
            .iter()
            .filter(|entry| !spooled && entry.ticket <= durable && entry.state != State::Dying)
            .map(|entry| entry.place)
            .collect();
        Some(Look {
            place,
            memory,
            walk: spooled.then_some(0),
            seen: window.behind().unwrap_or(Sequence(u64::MAX)),
            after: window.behind(),
            until: Sequence(self.next_sequence),
        })
    }

    /// Goes on through a queue of which a part is in the spool: a piece of its window, or a block, which may have to be
    /// read first.
    fn walk(&mut self, key: ConsumerKey, place: PlaceKey, from: Place) {
        let durable = self.outbox.durable();
        let Some(Role::Browser(browse)) = self.consumers.get_mut(key).map(|found| &mut found.role) else {
            return;
        };
        let Some(look) = &mut browse.current else { return };
        let Some(queue) = self.places.get(place).and_then(|site| site.queue()) else {
            look.walk = None;
            return;
        };
        let block = queue.backlog.needed(from);
        let before = block.map_or(Place::MAX, |(first, _)| first);
        let mut next = None;
        for entry in queue.window.iter_from(from).take_while(|entry| entry.place < before) {
            if look.memory.len() == PAGE {
                next = Some(entry.place);
                break;
            }
            let known = entry.sequence() < look.until && (!entry.stored || entry.sequence() <= look.seen);
            if known && entry.ticket <= durable && entry.state != State::Dying {
                look.memory.push_back(entry.place);
            }
        }
        // The piece is shown before the block that follows it.
        look.walk = next.or(block.map(|(first, _)| first.max(from)));
        let Some(block) = block.filter(|_| look.memory.is_empty()) else { return };
        let Some(found) = queue.backlog.get(block) else { return };
        let last = found.last;
        let messages = match &found.keep {
            Keep::Disk => {
                browse.waiting = true;
                let purpose = Purpose::BrowseBlock { consumer: key, block };
                return self.load(purpose, LoadRequest::Block(block.1));
            }
            // What waits for its commit is not there yet.
            _ if found.ticket > durable => Vec::new(),
            Keep::Open(messages) => messages.clone(),
            Keep::Memory(messages) => Vec::clone(messages),
        };
        self.show_block(key, place, messages, last);
    }

    /// A block was read for a browser.
    pub(crate) fn browse_block(
        &mut self,
        key: ConsumerKey,
        block: BlockKey,
        found: Result<Vec<Spooled>, String>,
    ) {
        let Some(Role::Browser(browse)) = self.consumers.get_mut(key).map(|found| &mut found.role) else {
            return;
        };
        browse.waiting = false;
        let Some(place) = browse.current.as_ref().map(|look| look.place) else { return };
        if let Some(queue) = self.places.get(place).and_then(|site| site.queue()) {
            // A block that can't be read is told of when it is to be consumed.
            let messages = found.unwrap_or_default();
            let behind = messages
                .last()
                .map(|last| queue.window.place_of(last.sequence, last.message.priority))
                .or(queue.backlog.get(block).map(|block| block.last));
            if let Some(last) = behind {
                self.show_block(key, place, messages, last);
            }
        }
        self.browse(key);
    }

    /// Has the messages of a block shown, and goes on behind it.
    fn show_block(&mut self, key: ConsumerKey, place: PlaceKey, messages: Vec<Spooled>, last: Place) {
        let Some(queue) = self.places.get(place).and_then(|site| site.queue()) else { return };
        let Some(Role::Browser(browse)) = self.consumers.get_mut(key).map(|found| &mut found.role) else {
            return;
        };
        let Some(look) = &mut browse.current else { return };
        let from = look.walk.unwrap_or_default();
        for spooled in messages {
            let at = queue.window.place_of(spooled.sequence, spooled.message.priority);
            if at >= from && spooled.sequence < look.until {
                browse.loaded.push_back((spooled.sequence, spooled.counter, spooled.message));
            }
        }
        look.walk = Some(last.max(from) + 1);
    }

    /// Shows a message that was in memory when the look began, loading it with those behind it if need be.
    fn browse_memory(&mut self, key: ConsumerKey, origin: Origin, place: Place) {
        let Some(entry) = self.window_mut(origin).and_then(|window| window.get(place)) else { return };
        let (sequence, counter, body) = (entry.sequence(), entry.counter, entry.body.clone());
        if let Some(message) = body {
            return self.show(key, sequence, counter, message);
        }
        let Some(Role::Browser(browse)) = self.consumers.get_mut(key).map(|found| &mut found.role) else {
            return;
        };
        let Some(look) = &mut browse.current else { return };
        let mut sequences = vec![sequence];
        while sequences.len() < PAGE
            && let Some(next) = look.memory.front()
        {
            let absent = match origin.durable {
                Some(_) => None,
                None => self.places.get(origin.place).and_then(|site| site.queue()),
            }
            .and_then(|queue| queue.window.get(*next))
            .is_some_and(|entry| entry.body.is_none());
            if !absent {
                break;
            }
            sequences.push(sequence_of(*next));
            look.memory.pop_front();
        }
        self.load_for_browser(key, sequences);
    }

    fn load_for_browser(&mut self, key: ConsumerKey, sequences: Vec<Sequence>) {
        let Some(Role::Browser(browse)) = self.consumers.get_mut(key).map(|found| &mut found.role) else {
            return;
        };
        let Some(place) = browse.current.as_ref().map(|look| look.place) else { return };
        let Some(destination) = self.places.get(place).and_then(|site| site.id) else { return };
        browse.waiting = true;
        let refs = sequences.iter().map(|sequence| MessageRef { destination, sequence: *sequence }).collect();
        self.load(Purpose::BrowseBodies { consumer: key, sequences }, LoadRequest::Bodies(refs));
    }

    pub(crate) fn browse_page(&mut self, key: ConsumerKey, asked: usize, page: &[IndexEntry]) {
        let Some(Role::Browser(browse)) = self.consumers.get_mut(key).map(|found| &mut found.role) else {
            return;
        };
        browse.waiting = false;
        let Some(look) = &mut browse.current else { return };
        let sequences: Vec<Sequence> =
            page.iter().map(|entry| entry.sequence).filter(|sequence| *sequence < look.until).collect();
        let more = page.len() >= asked && sequences.len() == page.len();
        look.after = if more { page.last().map(|entry| entry.sequence) } else { None };
        if !sequences.is_empty() {
            self.load_for_browser(key, sequences);
        }
        self.browse(key);
    }

    pub(crate) fn browse_bodies(&mut self, key: ConsumerKey, sequences: &[Sequence], bodies: Vec<Loaded>) {
        let Some(Role::Browser(browse)) = self.consumers.get_mut(key).map(|found| &mut found.role) else {
            return;
        };
        browse.waiting = false;
        for (sequence, loaded) in sequences.iter().zip(bodies) {
            if let Loaded::Message(message) = loaded {
                browse.loaded.push_back((*sequence, message.redelivery_counter, message));
            }
        }
        self.browse(key);
    }

    fn show(&mut self, key: ConsumerKey, sequence: Sequence, redelivery_counter: u32, message: Arc<Message>) {
        let wall = self.now.wall.0;
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let wanted = consumer
            .filter
            .as_ref()
            .is_none_or(|filter| filter.matches(&message, redelivery_counter, &*self.codec));
        if !wanted || message.is_expired(wall) {
            return;
        }
        count_shown(consumer);
        self.outbox.send(Output::Deliver {
            conn: consumer.conn,
            consumer: consumer.local,
            delivery: Delivery {
                message: Some(message),
                sequence,
                redelivery_counter,
                first_of_group: false,
                position: None,
            },
        });
    }
}

fn count_shown(consumer: &mut Consumer) {
    consumer.outstanding += 1;
    consumer.topic_unacknowledged += 1;
    consumer.dispatched_total += 1;
    consumer.pulls.pop_front();
}

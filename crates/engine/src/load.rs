//! What was asked of the store, and what becomes of the answer.

use std::sync::Arc;

use ferromq_model::{Message, Sequence};
use ferromq_store::Loaded;
use rustc_hash::FxHashMap;

use crate::backlog::BlockKey;
use crate::consumer::{ConsumerKey, Origin};
use crate::dead_letter::Cause;
use crate::durable::DurableKey;
use crate::engine::Engine;
use crate::place::PlaceKey;
use crate::window::{Place, sequence_of};
use crate::{ConnId, LoadContent, LoadId, LoadRequest, Output, Severity, Tag};

/// Why something is loaded.
#[derive(Debug)]
pub(crate) enum Purpose {
    QueuePage {
        place: PlaceKey,
        asked: usize,
    },
    DurablePage {
        durable: DurableKey,
        place: PlaceKey,
        asked: usize,
    },
    /// To dispatch them.
    Bodies {
        origin: Origin,
        places: Vec<Place>,
    },
    /// To move one to the dead letters; somebody may wait for that.
    DeadLetter {
        answer: Option<(ConnId, Tag)>,
        origin: Origin,
        place: Place,
        cause: Cause,
    },
    /// To take it into the window of its queue.
    Block {
        place: PlaceKey,
        block: BlockKey,
    },
    /// To be shown, while it stays where it is.
    BrowseBlock {
        consumer: ConsumerKey,
        block: BlockKey,
    },
    BrowsePage {
        consumer: ConsumerKey,
        asked: usize,
    },
    BrowseBodies {
        consumer: ConsumerKey,
        sequences: Vec<Sequence>,
    },
}

/// Requests on the way.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    next: u64,
    waiting: FxHashMap<LoadId, Purpose>,
}

impl Engine {
    pub(crate) fn load(&mut self, purpose: Purpose, request: LoadRequest) {
        self.loads.next += 1;
        let load = LoadId(self.loads.next);
        self.loads.waiting.insert(load, purpose);
        self.outbox.send(Output::Load { load, request });
    }

    pub(crate) fn loaded(&mut self, load: LoadId, content: LoadContent) {
        self.take_loaded(load, content);
        self.look_at_repeats();
    }

    fn take_loaded(&mut self, load: LoadId, content: LoadContent) {
        let Some(purpose) = self.loads.waiting.remove(&load) else { return };
        match (purpose, content) {
            (Purpose::QueuePage { place, asked }, LoadContent::Page(page)) => {
                let Some(queue) = self.places.get_mut(place).and_then(|site| site.queue_mut()) else {
                    return;
                };
                let before = queue.window.expiring;
                queue.window.page(asked, &page);
                if let Some(first) = page.first() {
                    let from = if page.iter().any(|entry| entry.priority > first.priority) {
                        0
                    } else {
                        first.sequence.0
                    };
                    let from =
                        if from == 0 { 0 } else { queue.window.place_of(first.sequence, first.priority) };
                    queue.look_again(from);
                }
                let expiring = queue.window.expiring > before;
                if expiring {
                    self.arm_sweep(place, 1);
                }
                let waits = self
                    .places
                    .get(place)
                    .and_then(|site| site.queue())
                    .is_some_and(|queue| queue.window.page_waits);
                self.wake_place(place);
                // Nothing more was visible: look again when what was stored since is durable.
                if waits
                    && self.outbox.hold_for_issued(crate::outbox::Held::WakePlace(place))
                    && let Some(queue) = self.places.get_mut(place).and_then(|site| site.queue_mut())
                {
                    queue.window.page_waits = true;
                }
            }
            (Purpose::DurablePage { durable, place, asked }, LoadContent::Page(page)) => {
                let Some(found) = self.durables.get_mut(durable) else { return };
                if let Some(window) = found.window_mut(place) {
                    let held = window.held;
                    window.page(asked, &page);
                    // Only now it is known how a subscription by pattern is spread over its topics.
                    if let Some(site) = self.places.arena.get_mut(place) {
                        site.counters.recovered =
                            (site.counters.recovered + window.held).saturating_sub(held);
                    }
                    if window.page_waits {
                        window.page_waits =
                            self.outbox.hold_for_issued(crate::outbox::Held::WakeDurable(durable));
                    }
                    if window.expiring > 0 {
                        self.arm_sweep(place, 1);
                    }
                }
                self.dispatch_durable(durable);
            }
            (Purpose::Bodies { origin, places }, LoadContent::Bodies(bodies)) => {
                self.take_bodies(origin, &places, bodies);
                match origin.durable {
                    Some(durable) => self.dispatch_durable(durable),
                    None => self.wake_place(origin.place),
                }
            }
            (Purpose::DeadLetter { origin, place, cause, answer }, LoadContent::Bodies(bodies)) => {
                match bodies.into_iter().next() {
                    Some(Loaded::Message(message)) => self.bury(origin, place, &message, cause),
                    other => self.lose(origin, place, other),
                }
                self.buried(answer);
            }
            (Purpose::Block { place, block }, LoadContent::Block(found)) => {
                self.block_read(place, block, found)
            }
            (Purpose::BrowseBlock { consumer, block }, LoadContent::Block(found)) => {
                self.browse_block(consumer, block, found);
            }
            (Purpose::BrowsePage { consumer, asked }, LoadContent::Page(page)) => {
                self.browse_page(consumer, asked, &page);
            }
            (Purpose::BrowseBodies { consumer, sequences }, LoadContent::Bodies(bodies)) => {
                self.browse_bodies(consumer, &sequences, bodies);
            }
            (_, LoadContent::Failed) => {
                self.outbox.log(Severity::Error, "the store can't be read; deliveries from it stop".into());
            }
            _ => {
                self.outbox.log(Severity::Error, format!("load {} was answered with something else", load.0))
            }
        }
    }

    fn take_bodies(&mut self, origin: Origin, places: &[Place], bodies: Vec<Loaded>) {
        let mut cached = 0;
        let mut lost = Vec::new();
        let Some(window) = self.window_mut(origin) else { return };
        window.loading = false;
        for (place, loaded) in places.iter().zip(bodies) {
            match loaded {
                Loaded::Message(message) => {
                    if let Some(entry) = window.get_mut(*place)
                        && entry.body.is_none()
                    {
                        entry.body = Some(message);
                        cached += u64::from(entry.charge);
                    }
                }
                other => lost.push((*place, other)),
            }
        }
        self.flow.cache_bytes += cached;
        for (place, loaded) in lost {
            if self.window_mut(origin).is_some_and(|window| window.get(place).is_some()) {
                self.lose(origin, place, Some(loaded));
            }
        }
    }

    /// A message can't be read: it is not served, and the operator is told.
    fn lose(&mut self, origin: Origin, place: Place, loaded: Option<Loaded>) {
        let name = self.places.get(origin.place).map(|site| site.destination.to_string()).unwrap_or_default();
        let sequence = sequence_of(place).0;
        let text = match loaded {
            Some(Loaded::Damaged(reason)) => {
                format!("message {sequence} of {name} is damaged and not served: {reason}")
            }
            _ => format!("message {sequence} of {name} is not in the store any longer"),
        };
        self.outbox.log(Severity::Error, text);
        let ticket = ferromq_model::Ticket(0);
        let durable = self.outbox.durable();
        let removed = self.window_mut(origin).and_then(|window| window.remove(place, ticket, durable));
        if let (Some(entry), Some(site)) = (removed, self.places.get_mut(origin.place)) {
            site.counters.discarded += 1;
            site.store_bytes = site.store_bytes.saturating_sub(u64::from(entry.charge));
            self.flow.unstored(u64::from(entry.charge));
        }
        self.position_settled(origin, place);
    }

    /// The body of a message in a window, if it is in memory.
    pub(crate) fn body(&mut self, origin: Origin, place: Place) -> Option<Arc<Message>> {
        self.window_mut(origin)?.get(place)?.body.clone()
    }
}

//! Dispatch: which message goes to which consumer, and when it must wait.

use std::sync::Arc;

use ferromq_model::{Delivery, Ticket};
use ferromq_store::{MessageRef, StoreOp};

use crate::consumer::{Consumer, ConsumerKey, Dispatched, Origin, Role, Stage};
use crate::durable::Share;
use crate::engine::{Engine, Timer};
use crate::filter::Loneliness;
use crate::flow::Flow;
use crate::groups::Claim;
use crate::links::Candidate;
use crate::load::Purpose;
use crate::outbox::Held;
use crate::place::{Body, PlaceKey};
use crate::queue::{Attachment, Queue};
use crate::window::{Place, State, Window};
use crate::{LoadRequest, Output, Settings};

/// How many bodies, and how many bytes of them, are loaded at once.
const BODIES_AT_ONCE: usize = 256;
const BODY_BYTES_AT_ONCE: u64 = 4 << 20;

impl Engine {
    /// Hands out what a queue has for its consumers.
    pub(crate) fn dispatch_queue(&mut self, key: PlaceKey) {
        let durable = self.outbox.durable();
        let (mono, wall) = (self.now.mono, self.now.wall.0);
        let Some(site) = self.places.arena.get_mut(key) else { return };
        let Body::Queue(queue) = &mut site.body else { return };
        queue.dirty = false;
        if queue.attached.is_empty() {
            return;
        }
        if let Some(opens) = queue.opens {
            if mono < opens && queue.attached.len() < site.policy.consumers_before_dispatch.max(1) {
                return;
            }
            queue.opens = None;
        }
        if let (Some(upto), Some(destination)) = (queue.window.unexposed(durable), site.id) {
            self.outbox.op(StoreOp::ExposeQueue { destination, upto });
            queue.window.expose(upto, self.outbox.ticket());
            self.outbox.hold(Held::WakePlace(key));
        }
        // What a link gets waits for its position in any case, which is durable no sooner than the message.
        let by_links = queue.serves_links_alone(&self.consumers);
        let given = if by_links { self.outbox.ticket() } else { durable };
        let mut open = std::mem::take(&mut self.open);
        open.clear();
        let rule = site.policy.network;
        let rate = |attachment: &Attachment| rule.rate.filter(|_| attachment.network);
        let has_room = |attachment: &Attachment| {
            let may = |consumer: &Consumer| {
                consumer.has_room() && consumer.link.is_none_or(|link| self.links.may_give(link, key))
            };
            rate(attachment).is_none_or(|rate| !attachment.period.is_spent(rate, mono))
                && self.consumers.get(attachment.consumer).is_some_and(may)
        };
        let more = queue.open_attachments(has_room, &mut open);
        if open.is_empty() {
            queue.stalled = true;
            self.open = open;
            return;
        }
        let alone = queue.serves_bridges_alone();
        let may_go_back = alone || (rule.selector_aware && queue.serves_bridges());
        let back_after = i64::try_from(rule.back_after.as_millis()).unwrap_or(i64::MAX);
        // The first moment at which a message that has to stay for now may go back.
        let mut back_at: Option<i64> = None;
        let from = lowest(queue, &open);
        if queue.window.rewind(from) {
            queue.look_again(from);
        }
        // What waits in the spool comes before what lies behind it in memory.
        let wanted = queue.backlog.needed(from);
        let bar = wanted.map_or(Place::MAX, |(first, _)| first);
        let mut at = queue.window.start(from);
        let mut expired: Vec<Place> = Vec::new();
        let mut stop = None;
        let mut bodies_missing = false;
        let mut freed_group = false;
        while let Some(entry) = queue.window.at(at) {
            if entry.state != State::Ready {
                at += 1;
                continue;
            }
            let (place, counter, sequence) = (entry.place, entry.counter, entry.sequence());
            if more && !queue.grouped && entry.body.as_ref().is_some_and(|body| body.group_id.is_some()) {
                // Its owner may be among those who were not asked.
                queue.grouped = true;
                stop = Some(place);
                break;
            }
            if place >= bar {
                break;
            }
            if !queue.window.may_leave(entry, if entry.stored { given } else { durable }) {
                stop = Some(place);
                break;
            }
            if entry.expiration > 0 && entry.expiration <= wall {
                expired.push(place);
                queue.window.set_state(at, State::Dying);
                at += 1;
                continue;
            }
            let Some(message) = &entry.body else {
                stop = Some(place);
                bodies_missing = true;
                break;
            };
            let filter_of =
                |consumer| self.consumers.get(consumer).and_then(|consumer| consumer.filter.as_ref());
            let mut lonely = Loneliness::default();
            if may_go_back && message.extra.as_ref().is_some_and(|extra| !extra.broker_path.is_empty()) {
                let due = message.broker_in_time.saturating_add(back_after);
                let local = |attachment: &&Attachment| !attachment.network;
                let wanted = !alone
                    && queue.attached.iter().filter(local).any(|attachment| {
                        filter_of(attachment.consumer)
                            .is_none_or(|filter| filter.matches(message, counter, &*self.codec))
                    });
                if due > wall {
                    back_at = Some(back_at.map_or(due, |at| at.min(due)));
                } else if !wanted {
                    lonely.hops = self.settings.orphan_hops;
                }
            }
            let chosen = choose(
                queue,
                &open,
                place,
                |consumer| {
                    filter_of(consumer)
                        .is_none_or(|filter| filter.matches_lonely(message, counter, &*self.codec, lonely))
                },
                message,
            );
            let Some(slot) = chosen else {
                // A body that was loaded to be looked at need not stay.
                drop_body(&mut queue.window, at, &mut self.flow, &self.settings);
                at += 1;
                continue;
            };
            // One that came redelivered, over a link, stays so when its reference was paged in.
            let counter = counter.max(message.redelivery_counter);
            let message = Arc::clone(message);
            let Some(attachment) = open.get(slot).and_then(|index| queue.attached.get_mut(*index)) else {
                break;
            };
            let Some(consumer) = self.consumers.get_mut(attachment.consumer) else { break };
            if consumer.link.is_some_and(|link| !self.links.may_give(link, key)) {
                open.remove(slot);
                if open.is_empty() {
                    break;
                }
                continue;
            }
            let mut position = None;
            if let Some(link) = consumer.link {
                let candidate = Candidate {
                    origin: Origin { place: key, durable: None },
                    at: place,
                    message: &message,
                    destination: site.id,
                    sequence,
                    subscription: None,
                    stored: entry.stored,
                };
                position = self.links.give(link, candidate, &mut self.outbox);
                if position.is_none() {
                    consumer.link_full = true;
                    open.remove(slot);
                    if open.is_empty() {
                        break;
                    }
                    continue;
                }
            }
            let (first, freed) = queue.groups.assign(&message, attachment.consumer);
            freed_group |= freed;
            attachment.scan = place + 1;
            let next_period = rate(attachment).and_then(|rate| attachment.period.count(rate, mono));
            if let Some(at) = next_period {
                self.timers.insert((at, Timer::Open(key)));
            }
            queue.turn = open.get(slot).map_or(0, |index| index + 1);
            queue.window.set_state(at, State::InFlight);
            consumer.dispatched.push_back(Dispatched {
                producer: message.id.producer.clone(),
                number: message.id.sequence,
                origin: Origin { place: key, durable: None },
                at: place,
                stage: Stage::Outstanding,
            });
            consumer.count();
            site.counters.dispatched += 1;
            let output = Output::Deliver {
                conn: consumer.conn,
                consumer: consumer.local,
                delivery: Delivery {
                    message: Some(message),
                    sequence,
                    position,
                    redelivery_counter: counter,
                    first_of_group: first,
                },
            };
            match consumer.link {
                Some(link) => self.links.deliver(link, output, &mut self.outbox),
                None => self.outbox.send(output),
            }
            drop_body(&mut queue.window, at, &mut self.flow, &self.settings);
            at += 1;
            if !consumer.has_room() || next_period.is_some() {
                open.remove(slot);
                if open.is_empty() {
                    break;
                }
            }
        }
        if let Some(at) = back_at {
            let wait = std::time::Duration::from_millis(u64::try_from(at - wall).unwrap_or(0));
            let at = mono + wait;
            if queue.back.is_none_or(|armed| at < armed) {
                if let Some(armed) = queue.back.replace(at) {
                    self.timers.remove(&(armed, Timer::Back(key)));
                }
                self.timers.insert((at, Timer::Back(key)));
            }
        }
        let wanted = if open.is_empty() || stop.is_some() { None } else { wanted };
        let stop = stop.or(wanted.map(|(first, _)| first));
        let hungry = !open.is_empty() && stop.is_none_or(|place| queue.window.is_beyond_seen(place));
        let stop = stop.unwrap_or_else(|| queue.window.end());
        for index in &open {
            if let Some(attachment) = queue.attached.get_mut(*index) {
                attachment.scan = attachment.scan.max(stop);
            }
        }
        queue.stalled = open.is_empty() && !more;
        let again = more && queue.window.ready() > 0 && (open.is_empty() || queue.grouped);
        self.open = open;
        if hungry && !queue.window.at_end() {
            self.flow.cache_bytes = self.flow.cache_bytes.saturating_sub(queue.window.release());
        }
        if bodies_missing || lacks_bodies_ahead(&queue.window, at) {
            let wanted = missing_bodies(&mut queue.window, at, durable);
            self.load_bodies(Origin { place: key, durable: None }, wanted);
        }
        self.page_queue(key, hungry);
        for place in expired {
            self.expire(Origin { place: key, durable: None }, place);
        }
        if let Some(block) = wanted {
            self.fetch_next(key, block, stop);
        }
        if freed_group && let Some(queue) = self.places.get_mut(key).and_then(|site| site.queue_mut()) {
            queue.look_again(0);
            self.wake_place(key);
        }
        if again {
            self.wake_place(key);
        }
        if self.pulled {
            self.answer_idle_pulls(key);
        }
    }

    /// Asks for more references, if the queue's window runs low.
    pub(crate) fn page_queue(&mut self, key: PlaceKey, hungry: bool) {
        let durable = self.outbox.durable();
        let Some(site) = self.places.get_mut(key) else { return };
        let Some(destination) = site.id else { return };
        let Some(queue) = site.queue_mut() else { return };
        if let Some((after, limit)) = queue.window.wants_page(hungry, durable) {
            let request = ferromq_store::PageRequest::Queue { destination, after, limit };
            self.load(Purpose::QueuePage { place: key, asked: limit }, LoadRequest::Page(request));
        }
    }

    pub(crate) fn load_bodies(&mut self, origin: Origin, wanted: Vec<Place>) {
        let Some(destination) = self.places.get(origin.place).and_then(|site| site.id) else { return };
        if wanted.is_empty() {
            return;
        }
        let refs = wanted
            .iter()
            .map(|place| MessageRef { destination, sequence: crate::window::sequence_of(*place) })
            .collect();
        self.load(Purpose::Bodies { origin, places: wanted }, LoadRequest::Bodies(refs));
    }

    /// Hands out what waits for one consumer alone.
    pub(crate) fn dispatch_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        consumer.dirty = false;
        match consumer.role {
            Role::Durable(durable) => {
                if let Some(durable) = self.durables.get_mut(durable) {
                    for share in &mut durable.shares {
                        share.window.page_waits = false;
                    }
                }
                self.dispatch_durable(durable);
            }
            Role::Browser(_) => self.browse(key),
            Role::Plain => self.dispatch_pending(key),
        }
    }

    /// Hands topic messages to a consumer that was full when they came.
    fn dispatch_pending(&mut self, key: ConsumerKey) {
        let durable = self.outbox.durable();
        let wall = self.now.wall.0;
        let mut expired = Vec::new();
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        while let Some(pending) = consumer.pending.front()
            && pending.ticket <= durable
            && consumer.has_room()
        {
            let Some(pending) = consumer.pending.pop_front() else { break };
            let charge = pending.message.charge() as u64;
            if let Some(site) = self.places.arena.get_mut(pending.place) {
                site.topic_pending = site.topic_pending.saturating_sub(1);
                site.memory_bytes = site.memory_bytes.saturating_sub(charge);
                if !pending.message.is_expired(wall) {
                    site.counters.dispatched += 1;
                    site.counters.acknowledged += 1;
                }
            }
            self.flow.free_memory(charge);
            if pending.message.is_expired(wall) {
                expired.push(pending);
                continue;
            }
            consumer.count();
            consumer.topic_unacknowledged += 1;
            self.outbox.send(Output::Deliver {
                conn: consumer.conn,
                consumer: consumer.local,
                delivery: Delivery {
                    redelivery_counter: pending.message.redelivery_counter,
                    message: Some(pending.message),
                    sequence: pending.sequence,
                    first_of_group: false,
                    position: None,
                },
            });
        }
        if consumer.pending.is_empty() {
            consumer.slow = false;
        }
        for pending in expired {
            self.expired_for_topic(pending.place, &pending.message);
        }
        self.answer_idle_pulls_of(key);
    }

    /// Hands out what waits for a durable subscription, if its consumer is there.
    pub(crate) fn dispatch_durable(&mut self, key: crate::durable::DurableKey) {
        let durable_upto = self.outbox.durable();
        let wall = self.now.wall.0;
        let Some(durable) = self.durables.get_mut(key) else { return };
        let Some(consumer_key) = durable.consumer else { return };
        let Some(consumer) = self.consumers.get_mut(consumer_key) else { return };
        for share in &mut durable.shares {
            if let Some(upto) = share.window.unexposed(durable_upto) {
                self.outbox.op(StoreOp::ExposeSubscription { subscription: durable.record.id, upto });
                share.window.expose(upto, self.outbox.ticket());
                self.outbox.hold(Held::WakeDurable(key));
            }
        }
        let mut expired: Vec<(PlaceKey, Place)> = Vec::new();
        let mut loads: Vec<(PlaceKey, Vec<Place>)> = Vec::new();
        // The topic whose next messages are in the store alone.
        let mut hungry = None;
        while consumer.has_room() {
            // The oldest message of all topics that the subscription covers.
            let may_go =
                |share: &&mut Share| consumer.link.is_none_or(|link| self.links.may_give(link, share.place));
            let next = durable
                .shares
                .iter_mut()
                .filter(may_go)
                .filter_map(|share| {
                    let mut at = share.window.start(0);
                    while share.window.at(at).is_some_and(|entry| entry.state != State::Ready) {
                        at += 1;
                    }
                    let place = share.window.at(at)?.place;
                    Some((place, at, share))
                })
                .min_by_key(|(place, ..)| crate::window::sequence_of(*place));
            let Some((place, at, share)) = next else { break };
            let Some(entry) = share.window.at(at) else { break };
            if !share.window.may_leave(entry, durable_upto) {
                hungry = share.window.is_beyond_seen(place).then_some(share.place);
                break;
            }
            if entry.expiration > 0 && entry.expiration <= wall {
                expired.push((share.place, place));
                share.window.set_state(at, State::Dying);
                continue;
            }
            let Some(message) = entry.body.clone() else {
                loads.push((share.place, missing_bodies(&mut share.window, at, durable_upto)));
                break;
            };
            let (counter, sequence) = (entry.counter.max(message.redelivery_counter), entry.sequence());
            let mut position = None;
            if let Some(link) = consumer.link {
                let candidate = Candidate {
                    origin: Origin { place: share.place, durable: Some(key) },
                    at: place,
                    message: &message,
                    destination: self.places.arena.get(share.place).and_then(|site| site.id),
                    sequence,
                    subscription: Some(durable.record.id),
                    stored: entry.stored,
                };
                position = self.links.give(link, candidate, &mut self.outbox);
                if position.is_none() {
                    consumer.link_full = true;
                    break;
                }
            }
            share.window.set_state(at, State::InFlight);
            consumer.dispatched.push_back(Dispatched {
                producer: message.id.producer.clone(),
                number: message.id.sequence,
                origin: Origin { place: share.place, durable: Some(key) },
                at: place,
                stage: Stage::Outstanding,
            });
            consumer.count();
            if let Some(site) = self.places.arena.get_mut(share.place) {
                site.counters.dispatched += 1;
            }
            let output = Output::Deliver {
                conn: consumer.conn,
                consumer: consumer.local,
                delivery: Delivery {
                    message: Some(message),
                    sequence,
                    position,
                    redelivery_counter: counter,
                    first_of_group: false,
                },
            };
            match consumer.link {
                Some(link) => self.links.deliver(link, output, &mut self.outbox),
                None => self.outbox.send(output),
            }
            drop_body(&mut share.window, at, &mut self.flow, &self.settings);
        }
        for (place, wanted) in loads {
            self.load_bodies(Origin { place, durable: Some(key) }, wanted);
        }
        self.page_durable(key, hungry);
        for (place, at) in expired {
            self.expire(Origin { place, durable: Some(key) }, at);
        }
        self.answer_idle_pulls_of(consumer_key);
    }

    /// Asks for more references of a durable subscription whose window runs low.
    fn page_durable(&mut self, key: crate::durable::DurableKey, hungry: Option<PlaceKey>) {
        let upto = self.outbox.durable();
        let Some(durable) = self.durables.get_mut(key) else { return };
        let subscription = durable.record.id;
        let mut pages = Vec::new();
        for share in &mut durable.shares {
            let Some(destination) = self.places.arena.get(share.place).and_then(|site| site.id) else {
                continue;
            };
            if let Some((after, limit)) = share.window.wants_page(hungry == Some(share.place), upto) {
                let request =
                    ferromq_store::PageRequest::Subscription { subscription, destination, after, limit };
                pages
                    .push((Purpose::DurablePage { durable: key, place: share.place, asked: limit }, request));
            }
        }
        for (purpose, request) in pages {
            self.load(purpose, LoadRequest::Page(request));
        }
    }

    /// The window that keeps what a consumer holds.
    pub(crate) fn window_mut(&mut self, origin: Origin) -> Option<&mut Window> {
        match origin.durable {
            Some(durable) => self.durables.get_mut(durable)?.window_mut(origin.place),
            None => Some(&mut self.places.get_mut(origin.place)?.queue_mut()?.window),
        }
    }
}

fn lowest(queue: &Queue, open: &[usize]) -> Place {
    open.iter()
        .filter_map(|index| queue.attached.get(*index))
        .map(|attachment| attachment.scan)
        .min()
        .unwrap_or(0)
}

/// The slot (in `open`) of the consumer that gets the message at `place`: highest priority first, then in turn; the
/// owner of its group, or the consumer with the fewest groups.
fn choose(
    queue: &Queue,
    open: &[usize],
    place: Place,
    wants: impl Fn(ConsumerKey) -> bool,
    message: &ferromq_model::Message,
) -> Option<usize> {
    let priority_of =
        |slot: usize| open.get(slot).and_then(|index| queue.attached.get(*index)).map(|a| a.priority);
    let mut start = 0;
    while start < open.len() {
        let priority = priority_of(start);
        let mut end = start + 1;
        while end < open.len() && priority_of(end) == priority {
            end += 1;
        }
        let pivot = (start..end)
            .find(|slot| open.get(*slot).is_some_and(|index| *index >= queue.turn))
            .unwrap_or(start);
        let mut fewest: Option<(usize, usize)> = None;
        for slot in (pivot..end).chain(start..pivot) {
            let Some(attachment) = open.get(slot).and_then(|index| queue.attached.get(*index)) else {
                continue;
            };
            if attachment.scan > place || !wants(attachment.consumer) {
                continue;
            }
            match queue.groups.claim(message, attachment.consumer) {
                Claim::Free => return Some(slot),
                Claim::Taken => {}
                Claim::First => {
                    let owned = queue.groups.owned(attachment.consumer);
                    if fewest.is_none_or(|(least, _)| owned < least) {
                        fewest = Some((owned, slot));
                    }
                }
            }
        }
        if let Some((_, slot)) = fewest {
            return Some(slot);
        }
        start = end;
    }
    None
}

/// Lets go of a body that can be loaded again, if too many are in memory.
fn drop_body(window: &mut Window, at: usize, flow: &mut Flow, settings: &Settings) {
    if flow.cache_bytes <= settings.limits.body_cache_bytes {
        return;
    }
    if let Some(entry) = window.at_mut(at)
        && entry.stored
        && entry.body.take().is_some()
    {
        flow.cache_bytes = flow.cache_bytes.saturating_sub(u64::from(entry.charge));
    }
}

/// Whether bodies should be fetched before dispatch runs into their absence.
fn lacks_bodies_ahead(window: &Window, at: usize) -> bool {
    !window.loading
        && window
            .at(at + BODIES_AT_ONCE / 4)
            .is_some_and(|entry| entry.state == State::Ready && entry.body.is_none())
}

/// The next ready references without a body; notes that they are being loaded. Only what is durable is sure to be
/// found by the store's reader.
fn missing_bodies(window: &mut Window, at: usize, durable: Ticket) -> Vec<Place> {
    if window.loading {
        return Vec::new();
    }
    let mut wanted = Vec::new();
    let mut bytes = 0;
    let mut index = at;
    while let Some(entry) = window.at(index)
        && wanted.len() < BODIES_AT_ONCE
        && bytes < BODY_BYTES_AT_ONCE
        && index < at + 8 * BODIES_AT_ONCE
    {
        if entry.state == State::Ready && entry.body.is_none() && entry.ticket <= durable {
            wanted.push(entry.place);
            bytes += u64::from(entry.charge);
        }
        index += 1;
    }
    window.loading = !wanted.is_empty();
    wanted
}

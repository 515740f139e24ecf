//! The engine counts itself: [`Engine::view`] and [`Engine::check_invariants`].

use std::collections::BTreeMap;

use crate::durable::{Durable, DurableKey};
use crate::engine::Engine;
use crate::place::{Body, PlaceKey, Site};
use crate::window::{Entry, State, Window};
use crate::{BrokerView, ConnectionView, ConsumerView, Counters, DestinationView, DurableView, View};

impl Engine {
    /// Every durable subscription, by name.
    pub fn all_subscriptions(&self) -> Vec<DurableView> {
        let durables = self.durable_names.values().filter_map(|key| self.durables.get(*key));
        let view = |durable: &Durable| DurableView {
            name: durable.record.name.clone(),
            topic: durable.record.topic.clone(),
            selector: durable.record.selector.as_ref().map(ToString::to_string),
            active: durable.consumer.is_some(),
            held: durable.held(),
        };
        durables.map(view).collect()
    }

    /// A picture of everything, for administrators and tests.
    pub fn view(&self) -> View {
        let mut destinations: Vec<DestinationView> =
            self.places.arena.iter().map(|(key, site)| self.view_of(key, site)).collect();
        destinations.sort_by(|a, b| a.destination.cmp(&b.destination));
        let durables = self.all_subscriptions();
        let mut connections: Vec<ConnectionView> = self
            .connections
            .iter()
            .map(|(conn, connection)| ConnectionView {
                conn: *conn,
                facts: connection.facts.clone(),
                sessions: connection.sessions.len(),
                consumers: connection.consumers.len(),
                producers: connection.producers.len(),
                transactions: connection.transactions.len(),
                congested: connection.congested,
                paused: connection.paused > 0,
            })
            .collect();
        connections.sort_by_key(|view| view.conn);
        let mut consumers: Vec<ConsumerView> = self
            .consumers
            .iter()
            .map(|(_, consumer)| ConsumerView {
                conn: consumer.conn,
                facts: std::sync::Arc::clone(&consumer.facts),
                unacknowledged: consumer.dispatched.len() + consumer.topic_unacknowledged as usize,
                pending: consumer.pending.len(),
                dispatched: consumer.dispatched_total,
                prefetch: consumer.prefetch,
            })
            .collect();
        consumers.sort_by(|a, b| (a.conn, &a.facts.id).cmp(&(b.conn, &b.facts.id)));
        let blocked_sends = destinations.iter().map(|view| view.blocked_sends).sum();
        View {
            destinations,
            durables,
            connections,
            consumers,
            broker: BrokerView {
                memory_bytes: self.flow.memory_bytes,
                cache_bytes: self.flow.cache_bytes,
                store_bytes: self.flow.store_bytes,
                spool_bytes: self.spool.bytes,
                blocked_sends,
                duplicates: self.duplicates,
                remembered_producers: self.dedup.producers(),
            },
        }
    }

    fn view_of(&self, key: PlaceKey, site: &Site) -> DestinationView {
        let in_flight = self
            .windows(key, site)
            .map(|window| window.iter().filter(|entry| entry.state != State::Ready).count() as u64);
        DestinationView {
            destination: site.destination.clone(),
            counters: site.counters,
            held: self.held(key, site),
            in_flight: in_flight.sum(),
            sent: site.sent,
            memory_bytes: site.memory_bytes,
            store_bytes: site.store_bytes,
            spool_bytes: site.queue().map_or(0, |queue| queue.backlog.bytes),
            consumers: site.consumers()
                + site.topic().map_or(0, |topic| {
                    let active =
                        |key| self.durables.get(key).is_some_and(|durable| durable.consumer.is_some());
                    topic.durables.iter().filter(|key| active(**key)).count()
                }),
            producers: site.producers,
            blocked_sends: site.parked.len(),
        }
    }

    /// The windows of a place: its own, or those of its durable subscriptions.
    fn windows<'a>(&'a self, key: PlaceKey, site: &'a Site) -> impl Iterator<Item = &'a Window> {
        let (own, durables) = match &site.body {
            Body::Queue(queue) => (Some(&queue.window), [].as_slice()),
            Body::Topic(topic) => (None, topic.durables.as_slice()),
        };
        own.into_iter()
            .chain(durables.iter().filter_map(move |durable| self.durables.get(*durable)?.window(key)))
    }

    /// Messages held in a place, for a topic the copies of all its subscribers.
    pub(crate) fn held(&self, key: PlaceKey, site: &Site) -> u64 {
        let spooled = site.queue().map_or(0, |queue| queue.backlog.count);
        site.topic_pending + spooled + self.windows(key, site).map(|window| window.held).sum::<u64>()
    }

    /// Whether the books balance; for tests and simulation, costs as much as there is state.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let mut memory = 0;
        let mut cache = 0;
        let mut temp = 0;
        let mut spooled = 0;
        for (key, site) in self.places.arena.iter() {
            let name = &site.destination;
            conserved(&site.counters, self.held(key, site)).map_err(|why| format!("{name}: {why}"))?;
            let mut own_memory = 0;
            for window in self.windows(key, site) {
                window.check().map_err(|why| format!("{name}: {why}"))?;
                for entry in window.iter() {
                    let charge = u64::from(entry.charge);
                    match (entry.stored, entry.body.is_some()) {
                        (false, _) => own_memory += charge,
                        (true, true) => cache += charge,
                        (true, false) => {}
                    }
                }
            }
            if let Some(queue) = site.queue() {
                queue.backlog.check().map_err(|why| format!("{name}: {why}"))?;
                own_memory += queue.backlog.memory_bytes;
                spooled += queue.backlog.bytes;
            }
            temp += if site.queue().is_some() { own_memory } else { 0 };
            for consumer in self.consumers.iter().map(|(_, consumer)| consumer) {
                own_memory += consumer
                    .pending
                    .iter()
                    .filter(|pending| pending.place == key)
                    .map(|pending| pending.message.charge() as u64)
                    .sum::<u64>();
            }
            if own_memory != site.memory_bytes {
                return Err(format!("{name}: {own_memory} bytes in memory, {} charged", site.memory_bytes));
            }
            memory += own_memory;
        }
        for connection in self.connections.values() {
            memory += connection.transactions.values().map(|open| open.send_bytes() as u64).sum::<u64>();
        }
        for (what, counted, charged) in [
            ("in memory", memory, self.flow.memory_bytes),
            ("of queues in memory", temp, self.flow.temp_bytes),
            ("cached", cache, self.flow.cache_bytes),
            ("of backlogs", spooled, self.spool.bytes),
        ] {
            if counted != charged {
                return Err(format!("{counted} bytes {what}, {charged} charged"));
            }
        }
        self.spool.check()?;
        self.check_consumers()
    }

    /// Each message in flight has exactly one holder.
    fn check_consumers(&self) -> Result<(), String> {
        let mut holders: BTreeMap<(PlaceKey, Option<DurableKey>, u64), u32> = BTreeMap::new();
        for (_, consumer) in self.consumers.iter() {
            for held in &consumer.dispatched {
                *holders.entry((held.origin.place, held.origin.durable, held.at)).or_default() += 1;
            }
            let counted = consumer
                .dispatched
                .iter()
                .filter(|held| held.stage == crate::consumer::Stage::Outstanding)
                .count() as u32
                + consumer.topic_unacknowledged.saturating_sub(consumer.topic_delivered);
            if counted != consumer.outstanding {
                return Err(format!(
                    "consumer {}: {counted} outstanding, counted {}",
                    consumer.facts.id, consumer.outstanding
                ));
            }
        }
        for connection in self.connections.values() {
            for held in connection.transactions.values().flat_map(|open| &open.orphans) {
                *holders.entry((held.origin.place, held.origin.durable, held.at)).or_default() += 1;
            }
        }
        let window_of = |place: PlaceKey, durable: Option<DurableKey>| match durable {
            Some(durable) => self.durables.get(durable).and_then(|found| found.window(place)),
            None => self.places.get(place).and_then(Site::queue).map(|queue| &queue.window),
        };
        // What may be at the other end of a link is held by nobody here.
        for (origin, at) in self.links.given.keys() {
            let entry = window_of(origin.place, origin.durable).and_then(|window| window.get(*at));
            if entry.is_none() {
                return Err(format!(
                    "message {at} of {:?} is gone, and has a position in a link",
                    origin.place
                ));
            }
            if entry.is_some_and(|entry| entry.state == State::InFlight) {
                holders.entry((origin.place, origin.durable, *at)).or_insert(1);
            }
        }
        self.links.balance()?;
        for ((place, durable, at), count) in &holders {
            let window = window_of(*place, *durable);
            let state = window.and_then(|window| window.get(*at)).map(|entry| entry.state);
            if *count != 1 || state != Some(State::InFlight) {
                return Err(format!("message {at} of {place:?} has {count} holders and is {state:?}"));
            }
        }
        let in_flight: usize = self
            .places
            .arena
            .iter()
            .flat_map(|(key, site)| self.windows(key, site))
            .map(|window| {
                let held =
                    |entry: &&Entry| entry.state == State::InFlight && !window.is_pinned(entry.sequence());
                window.iter().filter(held).count()
            })
            .sum();
        if in_flight != holders.len() {
            return Err(format!("{in_flight} messages in flight, {} held by somebody", holders.len()));
        }
        Ok(())
    }
}

/// *conservation*: what came in is somewhere.
fn conserved(counters: &Counters, held: u64) -> Result<(), String> {
    let came = counters.recovered + counters.enqueued;
    let went = counters.acknowledged + counters.expired + counters.dead_lettered + counters.discarded;
    if came == went + held {
        Ok(())
    } else {
        Err(format!("{came} came, {went} went, {held} held: {counters:?}"))
    }
}

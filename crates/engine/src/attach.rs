//! Consumers and durable subscriptions come and go.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{
    Advisory, ConsumerFacts, Destination, DestinationKind, DestinationPattern, SubscriptionName,
};

use crate::browse::Browse;
use crate::consumer::{Consumer, ConsumerKey, Role};
use crate::engine::{Engine, Timer, fault};
use crate::filter::Filter;
use crate::outbox::Outbox;
use crate::place::{Body, PlaceKey};
use crate::queue::{Attachment, Period};
use crate::{ConnId, Fault, FaultKind, LocalId, Notice};

impl Engine {
    /// A client consumes.
    pub(crate) fn add_consumer(&mut self, conn: ConnId, facts: Arc<ConsumerFacts>) -> Result<(), Fault> {
        let local = LocalId { session: facts.id.session, value: facts.id.value };
        let session = self.session_name(conn, local.session);
        let Some(connection) = self.connections.get(&conn) else { return Ok(()) };
        if connection.consumers.contains_key(&local) {
            return Ok(());
        }
        if !connection.sessions.contains_key(&local.session) {
            return Err(fault(
                FaultKind::IllegalState,
                format!(
                    "{} Cannot add a consumer to a session that had not been registered: {session}",
                    self.settings.broker_name
                ),
            ));
        }
        let (congested, link) = (connection.congested, connection.link);
        let client = facts
            .client_id
            .clone()
            .filter(|client| !client.is_empty())
            .or_else(|| connection.facts.as_ref().map(|facts| facts.client_id.clone()))
            .unwrap_or_default();
        // Whoever hears of a durable subscriber can tell it from others by its client id.
        let facts = if facts.subscription.is_some() && facts.client_id.is_none() {
            Arc::new(ConsumerFacts { client_id: Some(client.clone()), ..(*facts).clone() })
        } else {
            facts
        };
        let filter = Filter::of(&facts)?;
        let members = facts.destination.members();
        if members.is_empty() || members.iter().any(|member| member.name.trim().is_empty()) {
            return Err(fault(FaultKind::InvalidDestination, "a consumer needs a destination"));
        }
        let mut places = Vec::new();
        let mut patterns = Vec::new();
        for member in &members {
            if member.is_pattern() {
                patterns.push((member.kind, DestinationPattern::new(&member.name)));
            } else {
                let place = self.place(conn, member)?;
                self.may_consume(conn, &facts, place)?;
                places.push(place);
            }
        }
        if facts.browser && members.iter().any(|member| !member.kind.is_queue()) {
            return Err(fault(
                FaultKind::InvalidDestination,
                format!("{} is no queue, it can't be browsed", facts.destination),
            ));
        }
        let role = match &facts.subscription {
            Some(name) if !facts.browser && facts.destination.kind == DestinationKind::Topic => {
                let name = SubscriptionName { client, name: name.clone() };
                Role::Durable(self.activate(&facts, name)?)
            }
            _ if facts.browser => Role::Browser(Browse::default()),
            _ => Role::Plain,
        };
        let durable = match &role {
            Role::Durable(durable) => Some(*durable),
            _ => None,
        };
        let key = self.consumers.insert(Consumer {
            conn,
            local,
            facts: Arc::clone(&facts),
            filter,
            role,
            places: Vec::new(),
            patterns,
            prefetch: facts.prefetch,
            dispatched: VecDeque::new(),
            outstanding: 0,
            topic_unacknowledged: 0,
            topic_delivered: 0,
            pulls: VecDeque::new(),
            pull_timer: None,
            pending: VecDeque::new(),
            pending_limit: None,
            congested,
            dispatched_total: 0,
            hint: 0,
            most_unacknowledged: self.settings.consumer_unacknowledged,
            slow: false,
            acknowledged_at: self.now.mono,
            slow_since: None,
            aborted: false,
            link,
            aside: None,
            link_full: false,
            dirty: false,
        });
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.consumers.insert(local, key);
            if let Some(session) = connection.sessions.get_mut(&local.session) {
                session.consumers.push(local);
            }
        }
        if let Some(durable) = durable {
            self.begin_durable(durable, key, &facts);
        } else {
            for place in places {
                self.attach_to(key, place);
            }
            self.attach_by_pattern(key);
        }
        let advisory = Advisory::ConsumerStarted(Arc::clone(&facts));
        self.tell_consumer(&facts.destination, &advisory, None);
        self.replay(key);
        self.wake_consumer(key);
        Ok(())
    }

    /// Only the connection that made a temporary destination may consume from it (JMS 1.1 §4.4.3), and bridges.
    fn may_consume(&self, conn: ConnId, facts: &ConsumerFacts, place: PlaceKey) -> Result<(), Fault> {
        let Some(site) = self.places.get(place) else { return Ok(()) };
        let own = self.connections.get(&conn).and_then(|connection| connection.facts.as_ref());
        match &site.owner {
            Some(owner) if !facts.network && own.is_none_or(|own| own.connection != owner.connection) => {
                Err(fault(
                    FaultKind::InvalidDestination,
                    format!(
                        "Cannot subscribe to {} from another connection than the one that created it",
                        site.destination
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    fn attach_by_pattern(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get(key) else { return };
        if consumer.patterns.is_empty() {
            return;
        }
        let topics =
            self.places.arena.iter().filter(|(_, site)| site.destination.kind == DestinationKind::Topic);
        let fed: Vec<Destination> = topics
            .flat_map(|(_, site)| {
                let members = consumer.facts.destination.members();
                members.into_iter().flat_map(|member| self.fed_queues(&member, &site.destination.name))
            })
            .collect();
        for queue in fed {
            if self.places.find(&queue).is_none() {
                self.make_place(&queue, None);
            }
        }
        let Some(consumer) = self.consumers.get(key) else { return };
        let matching: Vec<PlaceKey> = self
            .places
            .arena
            .iter()
            .filter(|(_, site)| consumer.wants_by_pattern(&site.destination))
            .map(|(place, _)| place)
            .collect();
        for place in matching {
            self.attach_to(key, place);
        }
        self.places.wanted.push(key);
    }

    /// Attaches a consumer to a queue or topic.
    pub(crate) fn attach_to(&mut self, key: ConsumerKey, place: PlaceKey) {
        let now = self.now.mono;
        let limit = self.consumers.get(key).and_then(|consumer| self.pending_limit(consumer, place));
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        if consumer.places.contains(&place) {
            return;
        }
        let Some(site) = self.places.arena.get_mut(place) else { return };
        consumer.places.push(place);
        let browser = consumer.is_browser();
        let wanted = match &site.body {
            Body::Queue(_) if browser => site.policy.prefetch.browser,
            Body::Queue(_) => site.policy.prefetch.queue,
            Body::Topic(_) => site.policy.prefetch.topic,
        };
        if let Some(prefetch) = wanted {
            set_prefetch(consumer, prefetch, &mut self.outbox);
        }
        let policy = Arc::clone(&site.policy);
        match &mut site.body {
            Body::Queue(queue) if browser => {
                queue.browsers.push(key);
                if let Role::Browser(browse) = &mut consumer.role {
                    browse.add(place);
                }
            }
            Body::Queue(queue) => {
                let first = queue.attached.is_empty();
                queue.attach(Attachment {
                    consumer: key,
                    priority: if policy.use_consumer_priority { consumer.facts.priority } else { 0 },
                    exclusive: consumer.facts.exclusive || policy.all_consumers_exclusive,
                    selective: consumer.filter.is_some(),
                    network: consumer.facts.network,
                    scan: 0,
                    period: Period::default(),
                });
                if first && policy.consumers_before_dispatch > 0 && !policy.time_before_dispatch.is_zero() {
                    let opens = now + policy.time_before_dispatch;
                    queue.opens = Some(opens);
                    self.timers.insert((opens, Timer::Open(place)));
                }
                self.wake_place(place);
            }
            Body::Topic(topic) => {
                consumer.pending_limit = match (consumer.pending_limit, limit) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                topic.consumers.push(key);
            }
        }
        self.arm_slow(place);
        self.give_recent(key, place);
    }

    /// A client consumes no longer.
    pub(crate) fn remove_consumer(
        &mut self,
        conn: ConnId,
        local: LocalId,
        last_delivered: i64,
    ) -> Result<(), Fault> {
        let name = self.session_name(conn, local.session);
        let unknown = || {
            fault(
                FaultKind::IllegalState,
                format!("Cannot remove a consumer that had not been registered: {name}:{}", local.value),
            )
        };
        let connection = self.connections.get_mut(&conn).ok_or_else(unknown)?;
        let key = connection.consumers.remove(&local).ok_or_else(unknown)?;
        if let Some(session) = connection.sessions.get_mut(&local.session) {
            session.consumers.retain(|known| *known != local);
        }
        self.end_consumer(key, last_delivered);
        Ok(())
    }

    /// Takes a consumer out of everything and puts back what it held.
    fn end_consumer(&mut self, key: ConsumerKey, last_delivered: i64) {
        let Some(mut consumer) = self.consumers.remove(key) else { return };
        for place in consumer.places.clone() {
            self.detach_from(key, place);
        }
        self.places.wanted.retain(|wanted| *wanted != key);
        if let Role::Durable(durable) = consumer.role
            && let Some(durable) = self.durables.get_mut(durable)
        {
            durable.consumer = None;
        }
        let kept = self.give_back_all(&mut consumer, last_delivered);
        if let Some(connection) = self.connections.get_mut(&consumer.conn) {
            for (transaction, dispatched) in kept {
                if let Some(transaction) = connection.transactions.get_mut(&transaction) {
                    transaction.orphans.push(dispatched);
                }
            }
        }
        for pending in std::mem::take(&mut consumer.pending) {
            let charge = pending.message.charge() as u64;
            self.flow.free_memory(charge);
            if let Some(site) = self.places.get_mut(pending.place) {
                site.topic_pending = site.topic_pending.saturating_sub(1);
                site.memory_bytes = site.memory_bytes.saturating_sub(charge);
                site.counters.discarded += 1;
            }
        }
        let stopped = Advisory::ConsumerStopped(consumer.facts.id.clone(), last_delivered);
        self.tell_consumer(&consumer.facts.destination, &stopped, None);
    }

    fn detach_from(&mut self, key: ConsumerKey, place: PlaceKey) {
        let Some(site) = self.places.get_mut(place) else { return };
        match &mut site.body {
            Body::Queue(queue) => {
                queue.detach(key);
                self.wake_place(place);
            }
            Body::Topic(topic) => topic.consumers.retain(|other| *other != key),
        }
    }

    /// A destination that a consumer reads from goes away; the consumer stays.
    pub(crate) fn leave_place(&mut self, key: ConsumerKey, place: PlaceKey) {
        self.detach_from(key, place);
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        consumer.places.retain(|other| *other != place);
        let before = consumer.dispatched.len();
        let (mut outstanding, mut freed_room) = (0, false);
        consumer.dispatched.retain(|dispatched| {
            let stays = dispatched.origin.place != place;
            outstanding += u32::from(!stays && dispatched.stage == crate::consumer::Stage::Outstanding);
            stays
        });
        if before != consumer.dispatched.len() {
            consumer.outstanding = consumer.outstanding.saturating_sub(outstanding);
            freed_room = outstanding > 0;
        }
        let (mut freed, mut count) = (0, 0);
        consumer.pending.retain(|pending| {
            let stays = pending.place != place;
            if !stays {
                freed += pending.message.charge() as u64;
                count += 1;
            }
            stays
        });
        self.flow.free_memory(freed);
        if let Some(site) = self.places.get_mut(place) {
            site.counters.discarded += count;
            site.topic_pending = site.topic_pending.saturating_sub(count);
        }
        if freed_room {
            // Its other destinations may have been waiting for that room.
            self.wake_consumer(key);
        }
    }
}

/// A policy sets a consumer's window, which its client must know to ask for more in time; a pull stays a pull.
pub(crate) fn set_prefetch(consumer: &mut Consumer, prefetch: u32, outbox: &mut Outbox) {
    if consumer.prefetch == 0 || consumer.prefetch == prefetch {
        return;
    }
    consumer.prefetch = prefetch;
    outbox.notify(consumer.conn, Notice::PrefetchSet { consumer: consumer.local, prefetch });
}

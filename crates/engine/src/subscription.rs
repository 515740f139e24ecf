//! Durable subscriptions: made, changed, activated and given up (JMS 1.1 §6.11.1).

use std::sync::Arc;

use ferromq_model::{Advisory, ConsumerFacts, DestinationPattern, SubscriptionId, SubscriptionName};
use ferromq_store::{StoreOp, SubscriptionRecord};

use crate::attach::set_prefetch;
use crate::consumer::{ConsumerKey, Origin};
use crate::durable::{Durable, DurableKey, Share};
use crate::engine::{Engine, fault};
use crate::filter::Filter;
use crate::place::{Body, PlaceKey};
use crate::window::Window;
use crate::{ConnId, Effect, Fault, FaultKind, Severity, Tag};

impl Engine {
    /// All durable subscriptions, or that there are too many to be told of.
    pub(crate) fn list_durables(&mut self, conn: ConnId, tag: Option<Tag>) {
        let (count, most) = (self.durable_names.len(), self.settings.limits.listed_durables);
        if count > most {
            let text = format!(
                "{count} durable subscriptions are more than the {most} that one list takes, so links are \
                 told of none: what was subscribed to or given up while a link was down is not made up for \
                 (syncDurableSubs), and what a link gathered for absent subscribers waits until they come; drop the \
                 subscriptions that nobody uses"
            );
            if !std::mem::replace(&mut self.told_of_durables, true) {
                self.outbox.log(Severity::Warn, text.clone());
            }
            return self.outbox.fail(conn, tag, fault(FaultKind::ResourceAllocation, text));
        }
        let durables = self.durables.iter().map(|(_, durable)| durable.record.clone()).collect();
        self.outbox.reply_again(conn, tag, Effect::Durables(durables));
    }

    /// Finds or makes the durable subscription that a consumer names; a changed one begins anew.
    pub(crate) fn activate(
        &mut self,
        facts: &Arc<ConsumerFacts>,
        name: SubscriptionName,
    ) -> Result<DurableKey, Fault> {
        if name.client.is_empty() {
            return Err(fault(FaultKind::InvalidClientId, "a durable subscriber needs a client id"));
        }
        if let Some(key) = self.durable_names.get(&name).copied() {
            let Some(durable) = self.durables.get(key) else {
                return Err(fault(FaultKind::General, "no such subscription"));
            };
            if durable.consumer.is_some() {
                return Err(fault(
                    FaultKind::General,
                    format!(
                        "Durable consumer is in use for client: {} and subscriptionName: {}",
                        name.client, name.name
                    ),
                ));
            }
            let record = &durable.record;
            let same = record.topic == facts.destination
                && record.selector == facts.selector
                && record.no_local == facts.no_local;
            if same {
                return Ok(key);
            }
            self.drop_durable(key);
        }
        let record = SubscriptionRecord {
            id: SubscriptionId(self.next_subscription),
            name,
            topic: facts.destination.clone(),
            selector: facts.selector.clone(),
            no_local: facts.no_local,
        };
        self.next_subscription += 1;
        self.outbox.op(StoreOp::PutSubscription(record.clone()));
        self.outbox.require();
        self.insert_durable(record)
    }

    /// Adds a durable subscription and connects it with the topics it covers.
    pub(crate) fn insert_durable(&mut self, record: SubscriptionRecord) -> Result<DurableKey, Fault> {
        let filter = Filter::parse(record.selector.as_ref())?;
        let (name, members) = (record.name.clone(), record.topic.members());
        let key = self.durables.insert(Durable {
            record,
            filter,
            shares: Vec::new(),
            consumer: None,
            connection: None,
        });
        self.durable_names.insert(name, key);
        for member in members {
            if member.is_pattern() {
                let pattern = DestinationPattern::new(&member.name);
                let matching: Vec<PlaceKey> = self
                    .places
                    .arena
                    .iter()
                    .filter(|(_, site)| {
                        site.destination.kind == member.kind && pattern.matches(&site.destination.name)
                    })
                    .map(|(place, _)| place)
                    .collect();
                for place in matching {
                    self.subscribe_durable(key, place);
                }
                self.places.wanted_durables.push((pattern, key));
            } else {
                let place = match self.places.find(&member) {
                    Some(place) => place,
                    None => self.make_place(&member, None),
                };
                self.subscribe_durable(key, place);
            }
        }
        Ok(key)
    }

    /// Connects a durable subscription with one topic.
    pub(crate) fn subscribe_durable(&mut self, key: DurableKey, place: PlaceKey) {
        let Some(site) = self.places.arena.get_mut(place) else { return };
        let policy = Arc::clone(&site.policy);
        let Body::Topic(topic) = &mut site.body else { return };
        let Some(durable) = self.durables.get_mut(key) else { return };
        if topic.durables.contains(&key) {
            return;
        }
        topic.durables.push(key);
        if durable.window(place).is_none() {
            durable
                .shares
                .push(Share { place, window: Window::new(policy.prioritized_messages, policy.window) });
        }
    }

    pub(crate) fn begin_durable(
        &mut self,
        durable: DurableKey,
        consumer: ConsumerKey,
        facts: &ConsumerFacts,
    ) {
        let Some(found) = self.durables.get_mut(durable) else { return };
        found.consumer = Some(consumer);
        found.connection = Some(facts.id.connection.clone());
        let first = found.shares.first().map(|share| share.place);
        let prefetch = first.and_then(|place| self.policy(place)).and_then(|policy| policy.prefetch.durable);
        if let (Some(prefetch), Some(consumer)) = (prefetch, self.consumers.get_mut(consumer)) {
            set_prefetch(consumer, prefetch, &mut self.outbox);
        }
        if let Some(place) = first {
            self.arm_slow(place);
        }
    }

    /// Drops what a durable subscription keeps of one topic.
    pub(crate) fn drop_share(&mut self, key: DurableKey, place: PlaceKey) {
        let Some(durable) = self.durables.get(key) else { return };
        let Some(window) = durable.window(place) else { return };
        let consumer = durable.consumer;
        let held = window.held;
        let all = self.places.get(place).map_or(0, |site| self.held(place, site));
        let entries: Vec<_> = window.iter().map(|entry| entry.place).collect();
        let origin = Origin { place, durable: Some(key) };
        let in_memory = entries.len() as u64;
        for at in entries {
            // The store forgets them with the subscription, so there is no operation for each.
            self.forget_entry(origin, at);
        }
        if let Some(site) = self.places.get_mut(place) {
            site.counters.discarded += held.saturating_sub(in_memory);
            // How much of it was this subscription's is known of what was in memory alone.
            let share = u128::from(site.store_bytes) * u128::from(held) / u128::from(all.max(held).max(1));
            site.store_bytes -= u64::try_from(share).unwrap_or(site.store_bytes);
            if let Some(topic) = site.topic_mut() {
                topic.durables.retain(|other| *other != key);
            }
        }
        if let Some(durable) = self.durables.get_mut(key) {
            durable.shares.retain(|share| share.place != place);
        }
        if let Some(consumer) = consumer {
            self.leave_place(consumer, place);
        }
    }

    /// Takes an entry out of memory and of the books, not of the store.
    fn forget_entry(&mut self, origin: Origin, at: crate::window::Place) {
        let ticket = ferromq_model::Ticket(0);
        let Some(entry) = self.window_mut(origin).and_then(|window| window.remove(at, ticket, ticket)) else {
            return;
        };
        self.position_settled(origin, at);
        let charge = u64::from(entry.charge);
        if let Some(site) = self.places.get_mut(origin.place) {
            site.counters.discarded += 1;
            if !entry.stored {
                site.memory_bytes = site.memory_bytes.saturating_sub(charge);
            }
        }
        if entry.stored {
            self.flow.unstored(charge);
            if entry.body.is_some() {
                self.flow.cache_bytes = self.flow.cache_bytes.saturating_sub(charge);
            }
        } else {
            self.flow.free_memory(charge);
        }
    }

    /// Ends a durable subscription with all that waits for it.
    pub(crate) fn drop_durable(&mut self, key: DurableKey) {
        let Some(durable) = self.durables.get(key) else { return };
        let places: Vec<PlaceKey> = durable.shares.iter().map(|share| share.place).collect();
        for place in places {
            self.drop_share(key, place);
        }
        let Some(durable) = self.durables.remove(key) else { return };
        self.durable_names.remove(&durable.record.name);
        self.places.wanted_durables.retain(|(_, other)| *other != key);
        self.outbox.op(StoreOp::DropSubscription { id: durable.record.id });
        self.outbox.require();
    }

    /// An operator ends a durable subscription that nobody uses.
    pub(crate) fn end_subscription(&mut self, conn: ConnId, tag: Option<Tag>, name: &SubscriptionName) {
        let key = self.durable_names.get(name);
        let held = key.and_then(|key| self.durables.get(*key)).map_or(0, Durable::held);
        if let Err(fault) = self.unsubscribe(name) {
            return self.outbox.fail(conn, tag, fault);
        }
        self.outbox.log(
            Severity::Warn,
            format!("durable subscription {} of client {} is ended, as was ordered; {held} messages that it kept are dropped", name.name, name.client),
        );
        self.outbox.reply(conn, tag, Effect::Dropped(held));
    }

    /// A client gives a durable subscription up.
    pub(crate) fn unsubscribe(&mut self, name: &SubscriptionName) -> Result<(), Fault> {
        let Some(key) = self.durable_names.get(name).copied() else {
            return Err(fault(
                FaultKind::InvalidDestination,
                format!(
                    "No durable subscription exists for clientID: {} and subscriptionName: {}",
                    name.client, name.name
                ),
            ));
        };
        if self.durables.get(key).is_some_and(|durable| durable.consumer.is_some()) {
            return Err(fault(FaultKind::General, format!("Durable consumer is in use: {name}")));
        }
        let topic = self.durables.get(key).map(|durable| durable.record.topic.clone());
        self.drop_durable(key);
        if let Some(topic) = topic {
            // Bridges keep messages for a durable subscriber until they hear this.
            self.tell_consumer(&topic, &Advisory::SubscriptionRemoved(name.clone()), None);
        }
        Ok(())
    }
}

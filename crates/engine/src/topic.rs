//! Topics: a copy for every subscriber, and for every queue that a virtual topic feeds.

use std::sync::Arc;

use ferromq_model::{Delivery, Message, ProducerId, SubscriptionId};
use ferromq_store::StoreOp;

use crate::consumer::{Consumer, ConsumerKey, Pending};
use crate::durable::DurableKey;
use crate::engine::Engine;
use crate::outbox::Held;
use crate::place::{Body, PlaceKey};
use crate::window::{Entry, State};
use crate::{Output, PendingLimit};

impl Engine {
    /// Gives a message to every subscriber of a topic.
    pub(crate) fn put_topic(
        &mut self,
        key: PlaceKey,
        message: &Arc<Message>,
        sender: &ProducerId,
        dedup: bool,
    ) {
        let sequence = self.take_sequence();
        self.put_durables(key, message, sender, sequence, dedup);
        self.feed_queues(key, message, sender);
        let ticket = self.pending_ticket_for(message);
        self.keep_recent(key, sequence, ticket, message, sender);
        let target = message.extra.as_ref().and_then(|extra| extra.target.as_ref());
        let mut index = 0;
        // By index, since the subscribers stay where they are while messages are handed out.
        while let Some(consumer_key) = self.subscriber(key, index) {
            index += 1;
            let Some(consumer) = self.consumers.get_mut(consumer_key) else { continue };
            if target.is_some_and(|target| *target != consumer.facts.id)
                || consumer.facts.no_local && sender.connection == consumer.facts.id.connection
                || consumer.filter.as_ref().is_some_and(|filter| !filter.matches(message, 0, &*self.codec))
            {
                continue;
            }
            if let Some(site) = self.places.get_mut(key) {
                site.counters.enqueued += 1;
            }
            let at_once =
                consumer.pending.is_empty() && ticket <= self.outbox.durable() && consumer.has_room();
            if at_once {
                consumer.count();
                consumer.topic_unacknowledged += 1;
                self.outbox.send(Output::Deliver {
                    conn: consumer.conn,
                    consumer: consumer.local,
                    delivery: Delivery {
                        message: Some(Arc::clone(message)),
                        sequence,
                        redelivery_counter: message.redelivery_counter,
                        first_of_group: false,
                        position: None,
                    },
                });
                if let Some(site) = self.places.get_mut(key) {
                    site.counters.dispatched += 1;
                    site.counters.acknowledged += 1;
                }
                continue;
            }
            consumer.pending.push_back(Pending {
                place: key,
                sequence,
                ticket,
                message: Arc::clone(message),
            });
            let waits_for_disk = ticket > self.outbox.durable();
            let charge = message.charge() as u64;
            self.flow.memory_bytes += charge;
            if let Some(site) = self.places.get_mut(key) {
                site.topic_pending += 1;
                site.memory_bytes += charge;
            }
            if waits_for_disk {
                self.outbox.hold(Held::WakeConsumer(consumer_key));
            } else {
                self.keep_up(consumer_key);
            }
        }
    }

    fn subscriber(&self, key: PlaceKey, index: usize) -> Option<ConsumerKey> {
        self.places.get(key)?.topic()?.consumers.get(index).copied()
    }

    /// A stored message waits for its unit of work, one that nobody keeps does not.
    fn pending_ticket_for(&self, message: &Message) -> ferromq_model::Ticket {
        if (message.persistent || self.commit_barrier) && self.outbox.has_ops() {
            self.outbox.ticket()
        } else {
            ferromq_model::Ticket(0)
        }
    }

    /// Drops the oldest messages of a subscriber that is beyond its limit, and tells about it.
    fn keep_up(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let newly_slow = !consumer.slow && consumer.pending.len() > 1;
        consumer.slow |= newly_slow;
        let mut dropped = Vec::new();
        if let Some(limit) = consumer.pending_limit {
            while consumer.pending.len() > limit {
                let Some(pending) = consumer.pending.pop_front() else { break };
                dropped.push(pending);
            }
        }
        let place = consumer.pending.back().or(dropped.last()).map(|pending| pending.place);
        if newly_slow && let Some(place) = place {
            self.tell_slow_consumer(key, place);
        }
        for pending in dropped {
            let charge = pending.message.charge() as u64;
            self.flow.free_memory(charge);
            let mut tell = false;
            if let Some(site) = self.places.get_mut(pending.place) {
                site.topic_pending = site.topic_pending.saturating_sub(1);
                site.memory_bytes = site.memory_bytes.saturating_sub(charge);
                site.counters.discarded += 1;
                tell = site.policy.advisories.discarded;
            }
            if tell {
                self.tell_discarded(key, pending.place, &pending.message);
            }
        }
    }

    /// Keeps a message for the durable subscriptions that want it.
    fn put_durables(
        &mut self,
        key: PlaceKey,
        message: &Arc<Message>,
        sender: &ProducerId,
        sequence: ferromq_model::Sequence,
        dedup: bool,
    ) {
        let Some(site) = self.places.arena.get_mut(key) else { return };
        let can_store = site.can_store();
        let Body::Topic(topic) = &mut site.body else { return };
        if topic.durables.is_empty() {
            return;
        }
        let wanting: Vec<DurableKey> = topic
            .durables
            .iter()
            .copied()
            .filter(|durable| {
                self.durables.get(*durable).is_some_and(|durable| {
                    let local = durable.record.no_local
                        && durable.connection.as_ref().is_some_and(|own| *own == sender.connection);
                    !local
                        && durable
                            .filter
                            .as_ref()
                            .is_none_or(|filter| filter.matches(message, 0, &*self.codec))
                })
            })
            .collect();
        if wanting.is_empty() {
            return;
        }
        let stored = message.persistent && can_store;
        let charge = u32::try_from(message.charge()).unwrap_or(u32::MAX);
        let ticket = if stored { self.outbox.ticket() } else { ferromq_model::Ticket(0) };
        if stored {
            let destination = *site.id.get_or_insert_with(|| {
                crate::topology::allot(&mut self.next_destination, &site.destination, &mut self.outbox)
            });
            let subscriptions: Vec<SubscriptionId> = wanting
                .iter()
                .filter_map(|durable| self.durables.get(*durable))
                .map(|durable| durable.record.id)
                .collect();
            self.outbox.op(StoreOp::PutMessage {
                destination,
                sequence,
                message: Arc::clone(message),
                subscriptions,
                dedup,
                exposed: false,
            });
            self.outbox.require();
            self.flow.stored(self.outbox.ticket(), u64::from(charge));
        }
        let policy = Arc::clone(&site.policy);
        site.counters.enqueued += wanting.len() as u64;
        if stored {
            site.store_bytes += u64::from(charge) * wanting.len() as u64;
        }
        for durable_key in wanting {
            let Some(durable) = self.durables.get_mut(durable_key) else { continue };
            let active = durable.consumer;
            let subscription = durable.record.id;
            if durable.window(key).is_none() {
                durable.shares.push(crate::durable::Share {
                    place: key,
                    window: crate::window::Window::new(policy.prioritized_messages, policy.window),
                });
            }
            let Some(window) = durable.window_mut(key) else { continue };
            let admitted = !stored || window.admits(message.priority);
            let exposed = stored && admitted && active.is_some();
            let mut entry = Entry {
                place: window.place_of(sequence, message.priority),
                ticket,
                body: None,
                expiration: message.expiration,
                charge,
                counter: message.redelivery_counter,
                state: State::Ready,
                stored,
                exposed,
            };
            if !stored {
                entry.body = Some(Arc::clone(message));
                let waits = self.commit_barrier && self.outbox.has_ops();
                if waits {
                    entry.ticket = self.outbox.ticket();
                }
                window.put_volatile(entry);
                self.flow.memory_bytes += u64::from(charge);
                if let Some(site) = self.places.arena.get_mut(key) {
                    site.memory_bytes += u64::from(charge);
                }
                match active {
                    _ if waits => self.outbox.hold(Held::WakeDurable(durable_key)),
                    Some(consumer) => self.wake_consumer(consumer),
                    None => {}
                }
                continue;
            }
            let soon = active.and_then(|key| self.consumers.get(key)).is_some_and(Consumer::has_room);
            if admitted && self.flow.may_cache(u64::from(charge), soon, &self.settings.limits) {
                entry.body = Some(Arc::clone(message));
                self.flow.cache_bytes += u64::from(charge);
            }
            window.put(sequence, ticket, admitted.then_some(entry));
            if exposed {
                self.outbox.op(StoreOp::ExposeSubscription { subscription, upto: sequence });
            }
            // Whoever consumes when it is durable may be another one than now.
            if active.is_some() {
                self.outbox.hold(Held::WakeDurable(durable_key));
            }
        }
        self.arm_sweep(key, message.expiration);
    }

    /// Copies a message into the queues that a virtual topic feeds, unless a copy lies there already.
    fn feed_queues(&mut self, key: PlaceKey, message: &Arc<Message>, sender: &ProducerId) {
        let feeds = match self.places.get(key).and_then(|site| site.topic()) {
            Some(topic) if !topic.feeds.is_empty() => topic.feeds.clone(),
            _ => return,
        };
        for queue in feeds {
            if let Some(copy) = self.rerouted(message, queue)
                && !self.lies_there(&copy.destination, message)
            {
                self.publish(queue, &copy, sender, false);
            }
        }
    }

    /// How many messages may wait for a subscriber of a topic, beyond its window.
    pub(crate) fn pending_limit(&self, consumer: &Consumer, place: PlaceKey) -> Option<usize> {
        if consumer.facts.maximum_pending > 0 {
            return usize::try_from(consumer.facts.maximum_pending).ok();
        }
        match self.places.get(place)?.policy.pending_limit {
            PendingLimit::Unlimited => None,
            PendingLimit::Constant(limit) => Some(limit as usize),
            PendingLimit::PrefetchRate(rate) => Some((f64::from(consumer.prefetch) * rate).max(0.0) as usize),
        }
    }
}

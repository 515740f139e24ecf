//! [`Herald`]: what the broker tells about itself on `ActiveMQ.Advisory.` topics, when somebody listens.
//!
//! Advisories are never stored, and there are none about advisories.

use std::sync::Arc;

use ferromq_model::{
    Advisory, ConsumerFacts, ConsumerId, Destination, DestinationKind, Encoding, Epoch, Message, MessageId,
    ProducerId, Text, Value,
};

use crate::consumer::ConsumerKey;
use crate::engine::Engine;
use crate::flow::Full;
use crate::place::{Body, PlaceKey};
use crate::topology::origin;
use crate::{ConnId, Settings, Severity};

/// Where bridges tell that they came up, or ended.
const BRIDGES: &str = "ActiveMQ.Advisory.NetworkBridge";

#[derive(Debug)]
pub(crate) struct Herald {
    /// Who sends advisories.
    pub(crate) producer: ProducerId,
    next: i64,
}

impl Herald {
    /// Its messages are counted from 1 in each epoch, and must not be taken for those of the last.
    pub(crate) fn new(settings: &Settings, epoch: Epoch) -> Self {
        let run = Text::from(format!("{}-{}", settings.broker_id, epoch.number));
        Self { producer: ProducerId::new(run, 0, 0), next: 0 }
    }
}

/// `Queue.X` or `Topic.X`, the end of an advisory topic's name; temporary ones count as what they are like.
fn suffix(destination: &Destination) -> String {
    let kind = if destination.kind.is_queue() { "Queue" } else { "Topic" };
    format!("{kind}.{}", destination.name)
}

impl Engine {
    /// The advisory topic of this name, if anybody listens to it.
    fn audience(&mut self, topic: &str) -> Option<PlaceKey> {
        if !self.settings.advisories {
            return None;
        }
        let destination = Destination::topic(topic);
        let key = match self.places.find(&destination) {
            Some(key) => key,
            None => {
                let wanted = self.places.wanted.iter().any(|consumer| {
                    self.consumers
                        .get(*consumer)
                        .is_some_and(|consumer| consumer.wants_by_pattern(&destination))
                });
                if !wanted {
                    return None;
                }
                self.make_place(&destination, None)
            }
        };
        let listened = self
            .places
            .get(key)
            .and_then(|site| site.topic())
            .is_some_and(|topic| !topic.consumers.is_empty() || !topic.durables.is_empty());
        listened.then_some(key)
    }

    /// Tells something on an advisory topic, to all who listen or to one newcomer.
    pub(crate) fn tell(
        &mut self,
        topic: &str,
        advisory: Option<Advisory>,
        properties: &[(&str, Value)],
        target: Option<&ConsumerId>,
    ) {
        let Some(place) = self.audience(topic) else { return };
        self.herald.next += 1;
        let id = MessageId::new(self.herald.producer.clone(), self.herald.next);
        let mut message = Message::new(id, Destination::topic(topic));
        message.message_type = Some(Text::from_static("Advisory"));
        // As ActiveMQ's are, which set none.
        message.priority = 0;
        message.timestamp = self.now.wall.0;
        message.broker_in_time = self.now.wall.0;
        let mut entries: Vec<(&str, Value)> = vec![
            ("originBrokerId", Value::String(self.settings.broker_id.clone())),
            ("originBrokerName", Value::String(self.settings.broker_name.clone())),
            ("originBrokerURL", Value::String(self.settings.broker_url.clone())),
        ];
        entries.extend_from_slice(properties);
        message.properties = Some(self.codec.with_properties(Encoding::OpenWire, None, &entries));
        let extra = message.extra_mut();
        extra.advisory = advisory;
        extra.target = target.cloned();
        let sender = self.herald.producer.clone();
        self.publish(place, &Arc::new(message), &sender, false);
    }

    /// How many consumers a destination has, as ActiveMQ counts them: with browsers, and with durable subscriptions
    /// whose subscriber is away.
    fn consumer_count(&self, destination: &Destination) -> i32 {
        let site = self.places.find(destination).and_then(|key| self.places.get(key));
        let count = site.map_or(0, |site| {
            let others = match &site.body {
                Body::Queue(queue) => queue.browsers.len(),
                Body::Topic(topic) => topic.durables.len(),
            };
            site.consumers() + others
        });
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    /// Tells that a consumer came or went.
    pub(crate) fn tell_consumer(
        &mut self,
        destination: &Destination,
        advisory: &Advisory,
        target: Option<&ConsumerId>,
    ) {
        for member in destination.members() {
            if member.is_advisory() {
                continue;
            }
            let count = Value::Int(self.consumer_count(&member));
            let topic = format!("ActiveMQ.Advisory.Consumer.{}", suffix(&member));
            self.tell(&topic, Some(advisory.clone()), &[("consumerCount", count)], target);
            if self.settings.tell_fed_consumers {
                self.tell_fed_consumer(&member, advisory, target);
            }
        }
    }

    /// Tells that a consumer of what a destination feeds came or went, as a consumer of that destination: bridges of
    /// other brokers forward by that.
    fn tell_fed_consumer(
        &mut self,
        destination: &Destination,
        advisory: &Advisory,
        target: Option<&ConsumerId>,
    ) {
        for source in self.feeding(destination) {
            let advisory = match advisory {
                Advisory::ConsumerStarted(facts) => Advisory::ConsumerStarted(Arc::new(ConsumerFacts {
                    destination: source.clone(),
                    // What it selects from its own queue is not all that the queue is owed.
                    selector: None,
                    ..(**facts).clone()
                })),
                stopped => stopped.clone(),
            };
            let topic = format!("ActiveMQ.Advisory.VirtualDestination.Consumer.{}", suffix(&source));
            self.tell(&topic, Some(advisory), &[], target);
        }
    }

    /// The virtual topics and composite destinations that feed a destination.
    fn feeding(&self, destination: &Destination) -> Vec<Destination> {
        let rules =
            self.settings.virtual_topics.iter().filter(|_| destination.kind == DestinationKind::Queue);
        let topics = rules.filter_map(|rule| rule.feeding(&destination.name)).map(Destination::topic);
        let composites = self.settings.composites.iter().filter_map(|composite| {
            let fed = !composite.from.is_pattern() && composite.to.contains(destination);
            fed.then(|| composite.from.clone())
        });
        topics.chain(composites).collect()
    }

    /// Tells that a producer came or went.
    pub(crate) fn tell_producer(
        &mut self,
        destination: Option<&Destination>,
        advisory: &Advisory,
        target: Option<&ConsumerId>,
    ) {
        let Some(destination) = destination else { return };
        for member in destination.members() {
            if member.is_advisory() {
                continue;
            }
            let count = self
                .places
                .find(&member)
                .and_then(|key| self.places.get(key))
                .map_or(0, |site| site.producers);
            let count = Value::Int(i32::try_from(count).unwrap_or(i32::MAX));
            let topic = format!("ActiveMQ.Advisory.Producer.{}", suffix(&member));
            self.tell(&topic, Some(advisory.clone()), &[("producerCount", count)], target);
        }
    }

    /// Tells a newcomer on an advisory topic what exists already.
    pub(crate) fn replay(&mut self, newcomer: ConsumerKey) {
        let Some(consumer) = self.consumers.get(newcomer) else { return };
        let members = consumer.facts.destination.members();
        let target = consumer.facts.id.clone();
        if !self.settings.advisories || !members.iter().any(Destination::is_advisory) {
            return;
        }
        let wants = |topic: &str| {
            members.iter().any(|member| ferromq_model::DestinationPattern::new(&member.name).matches(topic))
        };
        if wants("ActiveMQ.Advisory.Connection") {
            let mut present: Vec<_> =
                self.connections.iter().map(|(conn, found)| (*conn, found.facts.clone())).collect();
            present.sort_unstable_by_key(|(conn, _)| *conn);
            for facts in present.into_iter().filter_map(|(_, facts)| facts) {
                self.tell(
                    "ActiveMQ.Advisory.Connection",
                    Some(Advisory::ConnectionStarted(facts)),
                    &[],
                    Some(&target),
                );
            }
        }
        if wants(BRIDGES) {
            self.replay_bridges(&target);
        }
        for (kind, topic) in [
            (DestinationKind::Queue, "ActiveMQ.Advisory.Queue"),
            (DestinationKind::Topic, "ActiveMQ.Advisory.Topic"),
            (DestinationKind::TempQueue, "ActiveMQ.Advisory.TempQueue"),
            (DestinationKind::TempTopic, "ActiveMQ.Advisory.TempTopic"),
        ] {
            if !wants(topic) {
                continue;
            }
            let present: Vec<_> = self
                .places
                .arena
                .iter()
                .filter(|(_, site)| site.destination.kind == kind && !site.destination.is_advisory())
                .map(|(_, site)| (site.destination.clone(), site.owner.clone()))
                .collect();
            for (destination, owner) in present {
                let (connection, broker_path) = origin(owner.as_ref());
                let advisory = Advisory::DestinationAdded { destination, connection, broker_path };
                self.tell(topic, Some(advisory), &[], Some(&target));
            }
        }
        if members.iter().any(|member| may_cover(&member.name, "Producer")) {
            let mut present: Vec<_> = self
                .connections
                .values()
                .flat_map(|connection| connection.producers.values())
                .filter_map(|producer| producer.facts.clone())
                .collect();
            present.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            for facts in present {
                let destination = facts.destination.clone();
                self.tell_producer(destination.as_ref(), &Advisory::ProducerStarted(facts), Some(&target));
            }
        }
        let consumers = |member: &Destination| {
            may_cover(&member.name, "Consumer") || may_cover(&member.name, "VirtualDestination")
        };
        if members.iter().any(consumers) {
            let mut present: Vec<_> =
                self.consumers.iter().map(|(_, consumer)| Arc::clone(&consumer.facts)).collect();
            present.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            for facts in present.into_iter().filter(|facts| facts.id != target) {
                let destination = facts.destination.clone();
                self.tell_consumer(&destination, &Advisory::ConsumerStarted(facts), Some(&target));
            }
        }
    }

    /// Keeps what a bridge of this broker has told of itself, as long as that is so.
    pub(crate) fn note_bridge(&mut self, conn: ConnId, message: &Arc<Message>) {
        let own = message
            .extra
            .as_ref()
            .is_some_and(|extra| extra.opaque.is_some() && extra.broker_path.is_empty());
        if !own || *message.destination.name != *BRIDGES {
            return;
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.facts.as_ref().is_some_and(|facts| facts.network) {
            let properties = message.properties.as_ref();
            let started = properties.and_then(|raw| self.codec.property(message.encoding, raw, "started"));
            connection.bridge = matches!(started, Some(Value::Bool(true))).then(|| Arc::clone(message));
        }
    }

    /// Tells a newcomer which bridges are up.
    fn replay_bridges(&mut self, target: &ConsumerId) {
        let bridges =
            self.connections.iter().filter_map(|(conn, found)| Some((*conn, found.bridge.clone()?)));
        let mut present: Vec<(ConnId, Arc<Message>)> = bridges.collect();
        present.sort_unstable_by_key(|(conn, _)| *conn);
        for (_, told) in present {
            let Some(place) = self.audience(BRIDGES) else { return };
            self.herald.next += 1;
            let sender = self.herald.producer.clone();
            let mut message = Message::clone(&told);
            message.id = MessageId::new(sender.clone(), self.herald.next);
            message.extra_mut().target = Some(target.clone());
            self.publish(place, &Arc::new(message), &sender, false);
        }
    }

    /// Tells that something happened to a message.
    pub(crate) fn tell_about_message(&mut self, what: &str, place: PlaceKey, message: &Arc<Message>) {
        let Some(site) = self.places.get(place) else { return };
        if site.destination.is_advisory() || !self.settings.advisories {
            return;
        }
        let (destination, with_body) = (site.destination.clone(), site.policy.advisories.include_body);
        let topic = format!("ActiveMQ.Advisory.{what}.{}", suffix(&destination));
        if self.audience(&topic).is_none() {
            return;
        }
        let payload = if with_body {
            Arc::clone(message)
        } else {
            Arc::new(Message { body: None, ..(**message).clone() })
        };
        // Misspelt by ActiveMQ, and so known to its clients.
        let id = Value::String(Text::from(message.id.to_string()));
        let name = Value::String(Text::from(destination.to_string()));
        let properties = [("orignalMessageId", id), ("orignalDestination", name)];
        self.tell(&topic, Some(Advisory::Message(payload)), &properties, None);
    }

    pub(crate) fn tell_consumed(&mut self, consumer: ConsumerKey, place: PlaceKey, message: &Arc<Message>) {
        let _ = consumer;
        self.tell_about_message("MessageConsumed", place, message);
    }

    /// Tells that a message was dropped for a slow consumer.
    pub(crate) fn tell_discarded(&mut self, consumer: ConsumerKey, place: PlaceKey, message: &Arc<Message>) {
        let Some(id) = self.consumers.get(consumer).map(|consumer| consumer.facts.id.to_string()) else {
            return;
        };
        let Some(site) = self.places.get(place) else { return };
        let topic = format!("ActiveMQ.Advisory.MessageDiscarded.{}", suffix(&site.destination));
        let properties = [
            ("consumerId", Value::String(Text::from(id))),
            ("discardedCount", Value::Int(i32::try_from(site.counters.discarded).unwrap_or(i32::MAX))),
            ("orignalMessageId", Value::String(Text::from(message.id.to_string()))),
        ];
        let payload = Arc::new(Message { body: None, ..(**message).clone() });
        self.tell(&topic, Some(Advisory::Message(payload)), &properties, None);
    }

    /// Tells that a message found nobody: the message itself goes to the advisory topic.
    pub(crate) fn tell_no_consumers(&mut self, place: PlaceKey, message: &Arc<Message>) {
        let Some(site) = self.places.get(place) else { return };
        if site.destination.is_advisory() {
            return;
        }
        let topic = format!("ActiveMQ.Advisory.NoConsumer.{}", suffix(&site.destination));
        let Some(to) = self.audience(&topic) else { return };
        if let Some(copy) = self.rerouted(message, to) {
            let sender = self.herald.producer.clone();
            self.publish(to, &copy, &sender, false);
        }
    }

    /// Tells that a consumer does not keep up.
    pub(crate) fn tell_slow_consumer(&mut self, consumer: ConsumerKey, place: PlaceKey) {
        let Some(facts) = self.consumers.get(consumer).map(|consumer| Arc::clone(&consumer.facts)) else {
            return;
        };
        let Some(site) = self.places.get(place) else { return };
        if site.destination.is_advisory() {
            return;
        }
        let topic = format!("ActiveMQ.Advisory.SlowConsumer.{}", suffix(&site.destination));
        if site.policy.advisories.slow_consumers {
            let id = Value::String(Text::from(facts.id.to_string()));
            self.tell(&topic, Some(Advisory::ConsumerStarted(facts)), &[("consumerId", id)], None);
        }
    }

    /// Tells that a limit was reached, once until it is left, and that a producer is too fast.
    pub(crate) fn tell_full(&mut self, place: PlaceKey, full: Full, producer: &ProducerId) {
        let Some(site) = self.places.get_mut(place) else { return };
        if std::mem::replace(&mut site.reported_full, true) || site.destination.is_advisory() {
            return;
        }
        let (advisories, name) = (site.policy.advisories, suffix(&site.destination));
        let usage = match full {
            Full::Store(_) | Full::Disk => "store",
            Full::Temp(_) => "temp",
            Full::Memory(_) | Full::Behind | Full::Unwritten => "memory",
        };
        if advisories.full {
            let properties = [("usageName", Value::String(Text::from_static(usage)))];
            self.tell(&format!("ActiveMQ.Advisory.FULL.{name}"), None, &properties, None);
        }
        if advisories.fast_producers {
            let facts = self
                .connections
                .values()
                .flat_map(|connection| connection.producers.values())
                .find(|known| known.id == *producer)
                .and_then(|known| known.facts.clone());
            let id = Value::String(Text::from(producer.to_string()));
            let topic = format!("ActiveMQ.Advisory.FastProducer.{name}");
            self.tell(&topic, facts.map(Advisory::ProducerStarted), &[("producerId", id)], None);
        }
        self.outbox.log(Severity::Debug, format!("{name}: {usage} limit reached by producer {producer}"));
    }
}

/// Whether a (wildcard) name may cover topics `ActiveMQ.Advisory.<what>.…`.
fn may_cover(name: &str, what: &str) -> bool {
    let mut elements = name.split('.');
    for expected in ["ActiveMQ", "Advisory", what] {
        match elements.next() {
            Some(">") => return true,
            Some("*") => {}
            Some(element) if element == expected => {}
            _ => return false,
        }
    }
    true
}

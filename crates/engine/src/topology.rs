//! Destinations come and go: by use, by command, with the connection they belong to.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{Advisory, Destination, DestinationId, DestinationKind, DestinationPattern, Text};
use ferromq_store::StoreOp;

use crate::consumer::{ConsumerKey, Origin};
use crate::engine::{Engine, Timer, fault};
use crate::outbox::Outbox;
use crate::place::{Body, Owner, PlaceKey, Site, Topic};
use crate::queue::Queue;
use crate::window::{State, Window};
use crate::{ConnId, Fault, FaultKind, VirtualTopic};

/// Gives a destination its id in the store.
pub(crate) fn allot(next: &mut u64, destination: &Destination, outbox: &mut Outbox) -> DestinationId {
    let id = DestinationId(*next);
    *next += 1;
    outbox.op(StoreOp::PutDestination { id, destination: destination.clone() });
    id
}

impl Engine {
    /// The destination of a send; it is made if it may be.
    pub(crate) fn place_for_send(
        &mut self,
        conn: ConnId,
        destination: &Destination,
    ) -> Result<PlaceKey, Fault> {
        self.place(conn, destination)
    }

    /// The destination of this name; a queue or topic comes into being, a temporary one must exist.
    pub(crate) fn place(&mut self, _conn: ConnId, destination: &Destination) -> Result<PlaceKey, Fault> {
        if let Some(key) = self.places.find(destination) {
            return Ok(key);
        }
        if destination.name.trim().is_empty() {
            return Err(fault(FaultKind::InvalidDestination, "a destination needs a name"));
        }
        if destination.kind.is_temporary() {
            return Err(fault(FaultKind::DestinationGone, destination.to_string()));
        }
        Ok(self.make_place(destination, None))
    }

    /// Makes a destination, attaches everybody who waited for it, and tells about it.
    pub(crate) fn make_place(&mut self, destination: &Destination, owner: Option<Owner>) -> PlaceKey {
        let policy = self.settings.policies.of(destination);
        let body = if destination.kind.is_queue() {
            let window = Window::new(policy.prioritized_messages, policy.window);
            Body::Queue(Box::new(Queue::new(window, policy.message_groups)))
        } else {
            Body::Topic(Topic::default())
        };
        let mut site = Site::new(destination.clone(), policy, body);
        site.owner.clone_from(&owner);
        // From now on it is fed, also by whoever sends before anybody comes back to it after a restart.
        if self.is_fed(destination) {
            site.id = Some(allot(&mut self.next_destination, destination, &mut self.outbox));
        }
        let key = self.places.insert(site);
        self.wire_virtual_topic(key, destination);
        self.attach_waiting(key, destination);
        self.make_fed_queues(destination);
        if !destination.is_advisory() {
            self.tell_destination(destination, owner.as_ref(), true);
        }
        key
    }

    /// Attaches consumers and durable subscriptions by pattern to a new destination.
    pub(crate) fn attach_waiting(&mut self, key: PlaceKey, destination: &Destination) {
        let wanting: Vec<ConsumerKey> = self
            .places
            .wanted
            .iter()
            .copied()
            .filter(|consumer| {
                self.consumers.get(*consumer).is_some_and(|consumer| consumer.wants_by_pattern(destination))
            })
            .collect();
        for consumer in wanting {
            self.attach_to(consumer, key);
        }
        if destination.kind == DestinationKind::Topic {
            let durables: Vec<_> = self
                .places
                .wanted_durables
                .iter()
                .filter(|(pattern, _)| pattern.matches(&destination.name))
                .map(|(_, durable)| *durable)
                .collect();
            for durable in durables {
                self.subscribe_durable(durable, key);
            }
        }
    }

    /// Makes the queues that consumers by pattern want behind a new virtual topic.
    fn make_fed_queues(&mut self, topic: &Destination) {
        if topic.kind != DestinationKind::Topic {
            return;
        }
        let wanted: Vec<Destination> = self
            .places
            .wanted
            .iter()
            .filter_map(|consumer| self.consumers.get(*consumer))
            .flat_map(|consumer| consumer.facts.destination.members())
            .flat_map(|member| self.fed_queues(&member, &topic.name))
            .collect();
        for queue in wanted {
            if self.places.find(&queue).is_none() {
                self.make_place(&queue, None);
            }
        }
    }

    /// The queues behind a virtual topic that a queue pattern names: `Consumer.A.VirtualTopic.>` names
    /// `Consumer.A.VirtualTopic.x`. A pattern that leaves open whose queue it is names none.
    pub(crate) fn fed_queues(&self, pattern: &Destination, topic: &str) -> Vec<Destination> {
        if pattern.kind != DestinationKind::Queue || !pattern.is_pattern() {
            return Vec::new();
        }
        let of_rule = |rule: &VirtualTopic| {
            let depth = rule.prefix.split('.').filter(|element| !element.is_empty()).count();
            let owner: Vec<&str> = pattern.name.split('.').take(depth).collect();
            if owner.len() < depth || owner.iter().any(|element| matches!(*element, "*" | ">")) {
                return None;
            }
            let queue = format!("{}.{topic}", owner.join("."));
            let fits = DestinationPattern::new(&rule.topics).matches(topic)
                && DestinationPattern::new(&format!("{}>", rule.prefix)).matches(&queue)
                && DestinationPattern::new(&pattern.name).matches(&queue);
            fits.then(|| Destination::queue(&queue))
        };
        self.settings.virtual_topics.iter().filter_map(of_rule).collect()
    }

    /// Whether a virtual topic puts its messages into a queue.
    fn is_fed(&self, destination: &Destination) -> bool {
        let rules = &self.settings.virtual_topics;
        destination.kind == DestinationKind::Queue
            && rules.iter().any(|rule| rule.feeding(&destination.name).is_some())
    }

    /// Connects a virtual topic with the queues it feeds, whichever of the two is new.
    pub(crate) fn wire_virtual_topic(&mut self, key: PlaceKey, destination: &Destination) {
        let mut links: Vec<(PlaceKey, PlaceKey)> = Vec::new();
        for rule in &self.settings.virtual_topics {
            match destination.kind {
                DestinationKind::Queue => {
                    let topic = rule.feeding(&destination.name).map(Destination::topic);
                    if let Some(topic) = topic.and_then(|topic| self.places.find(&topic)) {
                        links.push((topic, key));
                    }
                }
                DestinationKind::Topic
                    if DestinationPattern::new(&rule.topics).matches(&destination.name) =>
                {
                    for (queue, site) in self.places.arena.iter() {
                        if site.destination.kind == DestinationKind::Queue
                            && site.destination.name.ends_with(&*destination.name)
                            && rule.feeding(&site.destination.name) == Some(&*destination.name)
                        {
                            links.push((key, queue));
                        }
                    }
                }
                _ => {}
            }
        }
        for (topic, queue) in links {
            if let Some(topic) = self.places.get_mut(topic).and_then(Site::topic_mut)
                && !topic.feeds.contains(&queue)
            {
                topic.feeds.push(queue);
            }
        }
    }

    /// A client makes a destination; a temporary one belongs to the connection whose id its name carries.
    pub(crate) fn add_destination(
        &mut self,
        conn: ConnId,
        destination: &Destination,
        broker_path: Vec<Text>,
    ) -> Result<(), Fault> {
        let facts = self.connections.get(&conn).and_then(|connection| connection.facts.as_ref());
        let owner = facts.map(|facts| Owner {
            connection: facts.connection.clone(),
            path: if facts.network { broker_path } else { Vec::new() },
        });
        for member in destination.members() {
            if member.name.trim().is_empty() {
                return Err(fault(FaultKind::InvalidDestination, "a destination needs a name"));
            }
            let owner = owner.clone().filter(|_| member.kind.is_temporary());
            match (self.places.find(&member), owner) {
                (None, owner) => drop(self.make_place(&member, owner)),
                (Some(place), Some(owner)) => self.pass_on(place, owner),
                (Some(_), None) => {}
            }
        }
        Ok(())
    }

    /// A bridge was told of a temporary destination that another one has: it is whose way to the client is shorter, for it
    /// ends with that one.
    fn pass_on(&mut self, place: PlaceKey, to: Owner) {
        let Some(site) = self.places.get_mut(place) else { return };
        let is_nearer = |known: &Owner| !to.path.is_empty() && to.path.len() < known.path.len();
        if site.owner.as_ref().is_some_and(is_nearer) {
            site.owner = Some(to);
        }
    }

    /// A client removes a destination.
    pub(crate) fn remove_destination(
        &mut self,
        conn: ConnId,
        destination: &Destination,
        force: bool,
    ) -> Result<(), Fault> {
        for member in destination.members() {
            let Some(key) = self.places.find(&member) else { continue };
            let Some(site) = self.places.get(key) else { continue };
            if let Some(Owner { connection: owner, .. }) = &site.owner {
                let facts = self.connections.get(&conn).and_then(|connection| connection.facts.as_ref());
                match facts {
                    Some(facts) if facts.connection == *owner => {}
                    // It was told of over several bridges, and the owner is told as well.
                    Some(facts) if facts.network => continue,
                    _ => {
                        return Err(fault(
                            FaultKind::InvalidDestination,
                            format!(
                                "{member} belongs to connection {owner}; only that connection may remove it"
                            ),
                        ));
                    }
                }
            }
            let subscribed = match &site.body {
                Body::Queue(queue) => !queue.attached.is_empty(),
                Body::Topic(topic) => !topic.consumers.is_empty() || !topic.durables.is_empty(),
            };
            if subscribed && !force {
                return Err(fault(
                    FaultKind::General,
                    format!("Destination still has an active subscription: {member}"),
                ));
            }
            self.drop_place(key);
        }
        Ok(())
    }

    /// Ends a destination with all that is in it.
    pub(crate) fn drop_place(&mut self, key: PlaceKey) {
        let Some(site) = self.places.get_mut(key) else { return };
        let parked: VecDeque<_> = std::mem::take(&mut site.parked);
        let durables = site.topic().map(|topic| topic.durables.clone()).unwrap_or_default();
        for durable in durables {
            let patterned = self.durables.get(durable).is_some_and(|durable| durable.shares.len() > 1);
            self.drop_share(durable, key);
            if !patterned {
                self.drop_durable(durable);
            }
        }
        let consumers: Vec<ConsumerKey> = match self.places.get(key).map(|site| &site.body) {
            Some(Body::Queue(queue)) => queue
                .attached
                .iter()
                .map(|attachment| attachment.consumer)
                .chain(queue.browsers.iter().copied())
                .collect(),
            Some(Body::Topic(topic)) => topic.consumers.clone(),
            None => Vec::new(),
        };
        for consumer in consumers {
            self.leave_place(consumer, key);
        }
        let Some(site) = self.places.remove(key) else { return };
        if let Body::Queue(queue) = &site.body {
            for entry in queue.window.iter() {
                self.position_settled(Origin { place: key, durable: None }, entry.place);
                if entry.stored {
                    self.flow.unstored(u64::from(entry.charge));
                    if entry.body.is_some() {
                        self.flow.cache_bytes = self.flow.cache_bytes.saturating_sub(u64::from(entry.charge));
                    }
                } else {
                    self.flow.free_temp(u64::from(entry.charge));
                    self.flow.free_memory(u64::from(entry.charge));
                }
                debug_assert!(entry.state != State::Removed);
            }
            let in_memory = self.drop_backlog(&queue.backlog);
            self.flow.free_temp(in_memory);
            self.flow.free_memory(in_memory);
        }
        if let Some(id) = site.id {
            self.outbox.op(StoreOp::DropDestination { id });
            self.outbox.require();
        }
        let fed = site.destination.kind == DestinationKind::Queue && !self.settings.virtual_topics.is_empty();
        for topic in if fed { self.places.arena.keys() } else { Vec::new() } {
            if let Some(topic) = self.places.get_mut(topic).and_then(Site::topic_mut) {
                topic.feeds.retain(|queue| *queue != key);
            }
        }
        for parked in parked {
            self.unparked(&parked);
            self.outbox.fail(
                parked.conn,
                parked.tag,
                fault(FaultKind::DestinationGone, site.destination.to_string()),
            );
        }
        if !site.destination.is_advisory() {
            self.tell_destination(&site.destination, site.owner.as_ref(), false);
        }
    }

    /// Looks for expired messages at the latest one period from now.
    pub(crate) fn arm_sweep(&mut self, key: PlaceKey, expiration: i64) {
        if expiration <= 0 {
            return;
        }
        let Some(site) = self.places.get_mut(key) else { return };
        let period = site.policy.expire_messages_period;
        if !site.sweep_armed && !period.is_zero() {
            site.sweep_armed = true;
            self.timers.insert((self.now.mono + period, Timer::Sweep(key)));
        }
    }

    /// The temporary destinations of a connection end with it.
    pub(crate) fn drop_temporary(&mut self, connection: &Text) {
        let owned: Vec<PlaceKey> = self
            .places
            .arena
            .iter()
            .filter(|(_, site)| site.owner.as_ref().is_some_and(|owner| owner.connection == *connection))
            .map(|(key, _)| key)
            .collect();
        for key in owned {
            self.drop_place(key);
        }
    }

    /// Tells that a destination came or went.
    fn tell_destination(&mut self, destination: &Destination, owner: Option<&Owner>, added: bool) {
        let destination = destination.clone();
        let (connection, broker_path) = origin(owner);
        let topic = match destination.kind {
            DestinationKind::Queue => "ActiveMQ.Advisory.Queue",
            DestinationKind::Topic => "ActiveMQ.Advisory.Topic",
            DestinationKind::TempQueue => "ActiveMQ.Advisory.TempQueue",
            DestinationKind::TempTopic => "ActiveMQ.Advisory.TempTopic",
        };
        let advisory = if added {
            Advisory::DestinationAdded { destination, connection, broker_path }
        } else {
            Advisory::DestinationRemoved { destination, connection, broker_path }
        };
        self.tell(topic, Some(advisory), &[], None);
    }

    /// The policy of a place.
    pub(crate) fn policy(&self, key: PlaceKey) -> Option<Arc<crate::Policy>> {
        self.places.get(key).map(|site| Arc::clone(&site.policy))
    }
}

/// What an advisory tells of whose a destination is.
pub(crate) fn origin(owner: Option<&Owner>) -> (Option<Text>, Vec<Text>) {
    (owner.map(|owner| owner.connection.clone()), owner.map(|owner| owner.path.clone()).unwrap_or_default())
}

//! A message comes in: where it goes, whether it was there before, whether there is room.

use std::sync::Arc;

use ferromq_model::{Destination, DestinationPattern, Message, ProducerId, Text};
use ferromq_store::StoreOp;

use crate::engine::{Engine, fault};
use crate::flow::Full;
use crate::links::Seen;
use crate::outbox::Held;
use crate::place::{Body, PlaceKey};
use crate::registry::{Producer, Route};
use crate::window::{Entry, State};
use crate::{ConnId, Effect, Fault, FaultKind, LocalId, Notice, SendRequest, Tag};

/// Where a message goes.
#[derive(Debug)]
pub(crate) enum Target {
    One(PlaceKey),
    Many(Vec<PlaceKey>),
}

impl Target {
    pub(crate) fn places(&self) -> &[PlaceKey] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }
}

impl Engine {
    /// A client sends.
    pub(crate) fn send(&mut self, conn: ConnId, tag: Option<Tag>, request: SendRequest) {
        if let Some(transaction) = request.transaction.clone() {
            return match self.send_in_transaction(conn, &transaction, request) {
                Ok(window) => {
                    self.grant(conn, window);
                    self.outbox.reply(conn, tag, Effect::Done);
                }
                Err(fault) => self.outbox.fail(conn, tag, fault),
            };
        }
        let target = match self.target(conn, &request.producer, &request.message.destination) {
            Ok(target) => target,
            Err(fault) => return self.outbox.fail(conn, tag, fault),
        };
        match self.known(conn, &request) {
            Seen::New => {}
            Seen::Before => return self.accepted_before(conn, tag, &request),
            Seen::Wrong => return self.refuse_stream(conn, &request),
        }
        if self.turns_away(conn, tag, &request)
            && let Some(place) = target.places().first()
        {
            let why = self.refusal(*place, Full::Behind, &request);
            return self.turn_back(conn, tag, &request, why);
        }
        for place in target.places() {
            let Err(full) = self.room(*place, &request.message) else { continue };
            return self.no_room(conn, tag, *place, request, full);
        }
        self.take_in(conn, &request, &target);
        self.accepted(conn, tag, &request);
    }

    /// Whether a message was taken before.
    pub(crate) fn known(&mut self, conn: ConnId, request: &SendRequest) -> Seen {
        match request.position {
            Some(position) => self.seen(conn, position, request),
            None if self.is_repeated(conn, request) => Seen::Before,
            None => Seen::New,
        }
    }

    /// Tells the producer that its message was taken.
    pub(crate) fn accepted(&mut self, conn: ConnId, tag: Option<Tag>, request: &SendRequest) {
        if request.window_bytes > 0 {
            self.grant(conn, (request.producer.clone(), request.window_bytes));
        }
        if request.position.is_some() && !request.message.persistent {
            // Its position rides with the next sync: nobody waits for the disk because of what is lost with the memory.
            if let Some(tag) = tag {
                self.outbox.send(crate::Output::Reply { conn, tag, effect: Effect::Done });
            }
            return;
        }
        self.outbox.reply(conn, tag, Effect::Done);
    }

    /// Tells the producer that its message had been taken before, though perhaps it is not durable yet.
    pub(crate) fn accepted_before(&mut self, conn: ConnId, tag: Option<Tag>, request: &SendRequest) {
        self.grant(conn, (request.producer.clone(), request.window_bytes));
        self.outbox.reply_again(conn, tag, Effect::Done);
    }

    fn grant(&mut self, conn: ConnId, (producer, bytes): (ProducerId, u32)) {
        if bytes == 0 {
            return;
        }
        let notice = Notice::ProducerWindow { producer, bytes };
        if self.outbox.has_ops() {
            self.outbox.hold(Held::Output(crate::Output::Notify { conn, notice }));
        } else {
            self.outbox.notify(conn, notice);
        }
    }

    /// Where a producer's message goes; destinations come into being here.
    pub(crate) fn target(
        &mut self,
        conn: ConnId,
        producer: &ProducerId,
        destination: &Destination,
    ) -> Result<Target, Fault> {
        let local = LocalId { session: producer.session, value: producer.value };
        let generation = self.places.generation;
        if let Some(known) =
            self.connections.get(&conn).and_then(|connection| connection.producers.get(&local))
            && let Some(route) = &known.route
            && route.generation == generation
            && route.to == *destination
        {
            return Ok(Target::One(route.place));
        }
        if destination.is_composite() {
            let mut places = Vec::new();
            for member in destination.members() {
                let place = self.place_for_send(conn, &member)?;
                match self.forwarded(conn, place, &member)? {
                    Some(forwarded) => places.extend(forwarded),
                    None => places.push(place),
                }
            }
            if places.is_empty() {
                return Err(fault(FaultKind::InvalidDestination, format!("{destination} has no members")));
            }
            return Ok(Target::Many(places));
        }
        let place = self.place_for_send(conn, destination)?;
        if let Some(places) = self.forwarded(conn, place, destination)? {
            return Ok(Target::Many(places));
        }
        let generation = self.places.generation;
        if let Some(connection) = self.connections.get_mut(&conn) {
            let producer = connection.producers.entry(local).or_insert_with(|| Producer {
                id: producer.clone(),
                facts: None,
                route: None,
                slot: crate::dedup::Slot::default(),
            });
            producer.route = Some(Route { to: destination.clone(), place, generation });
        }
        Ok(Target::One(place))
    }

    /// Where a destination hands on what is sent to it, itself included if it keeps it; `None` for one that does not.
    fn forwarded(
        &mut self,
        conn: ConnId,
        place: PlaceKey,
        destination: &Destination,
    ) -> Result<Option<Vec<PlaceKey>>, Fault> {
        let rules = &self.settings;
        if rules.composites.is_empty() && rules.mirror_prefix.is_none() {
            return Ok(None);
        }
        let covers = |from: &Destination| {
            from.kind == destination.kind && DestinationPattern::new(&from.name).matches(&destination.name)
        };
        let (mut to, mut keeps) = (Vec::new(), true);
        for rule in rules.composites.iter().filter(|rule| covers(&rule.from)) {
            to.extend(rule.to.iter().filter(|to| *to != destination).cloned());
            keeps &= !rule.forward_only;
        }
        if let Some(prefix) = &rules.mirror_prefix
            && destination.kind.is_queue()
        {
            to.push(Destination::topic(&format!("{prefix}{}", destination.name)));
        }
        if to.is_empty() {
            return Ok(None);
        }
        let mut places = if keeps { vec![place] } else { Vec::new() };
        for to in to {
            places.push(self.place_for_send(conn, &to)?);
        }
        Ok(Some(places))
    }

    /// Whether a client sends again what it sent before (after a reconnect).
    pub(crate) fn is_repeated(&mut self, conn: ConnId, request: &SendRequest) -> bool {
        let Some((producer, sequence)) = identity(request) else { return false };
        let slot = self.slot(conn, &request.producer);
        let repeated = self.dedup.knows(&producer, sequence, slot);
        if repeated {
            self.count_duplicate(&request.message.destination);
        }
        repeated
    }

    pub(crate) fn count_duplicate(&mut self, destination: &Destination) {
        self.duplicates += 1;
        if let Some(site) = self.places.find(destination).and_then(|key| self.places.get_mut(key)) {
            site.counters.duplicates += 1;
        }
    }

    fn slot(&self, conn: ConnId, producer: &ProducerId) -> crate::dedup::Slot {
        let local = LocalId { session: producer.session, value: producer.value };
        self.connections
            .get(&conn)
            .and_then(|connection| connection.producers.get(&local))
            .map_or_else(Default::default, |producer| producer.slot)
    }

    /// Takes a message in; there is room for it and it was not there before.
    pub(crate) fn take_in(&mut self, conn: ConnId, request: &SendRequest, target: &Target) {
        let dedup = from_client(request) && request.position.is_none();
        let mut copy = false;
        if let Some(position) = request.position {
            self.take_position(conn, position, &request.message);
            // Another link was faster with it.
            copy = self.is_repeated(conn, request);
        }
        let message = &request.message;
        copy = copy || self.is_fed_elsewhere(message) && self.lies_there(&message.destination, message);
        if !copy {
            self.note_taken(conn, request, dedup);
            self.note_bridge(conn, message);
            self.publish_to(target, request, dedup);
        }
        if self.outbox.has_ops()
            && let Some(connection) = self.connections.get_mut(&conn)
        {
            connection.stored = self.outbox.ticket();
        }
    }

    /// Notes under its producer and sequence that a message is here.
    fn note_taken(&mut self, conn: ConnId, request: &SendRequest, dedup: bool) {
        let Some((producer, sequence)) = identity(request) else { return };
        let slot = self.slot(conn, &request.producer);
        let slot = self.dedup.mark(&producer, sequence, slot);
        if !dedup && request.message.persistent {
            // In the unit of work that stores the message: both are there after a crash, or neither.
            self.outbox.op(StoreOp::Dedup { producer, sequence });
        }
        let local = LocalId { session: request.producer.session, value: request.producer.value };
        if let Some(producer) =
            self.connections.get_mut(&conn).and_then(|connection| connection.producers.get_mut(&local))
        {
            producer.slot = slot;
        }
    }

    fn publish_to(&mut self, target: &Target, request: &SendRequest, dedup: bool) {
        match target {
            Target::One(place) => self.publish(*place, &request.message, &request.producer, dedup),
            Target::Many(places) => {
                for (index, place) in places.iter().enumerate() {
                    if let Some(message) = self.rerouted(&request.message, *place) {
                        self.publish(*place, &message, &request.producer, dedup && index == 0);
                    }
                }
            }
        }
    }

    /// A copy of a message as it lies in another destination than the one it was sent to.
    pub(crate) fn rerouted(&self, message: &Message, place: PlaceKey) -> Option<Arc<Message>> {
        let destination = self.places.get(place)?.destination.clone();
        if destination == message.destination {
            return Some(Arc::new(message.clone()));
        }
        let mut copy = message.clone();
        let sent_to = std::mem::replace(&mut copy.destination, destination);
        let extra = copy.extra_mut();
        extra.original_destination.get_or_insert(sent_to);
        Some(Arc::new(copy))
    }

    /// Puts a message into a destination.
    pub(crate) fn publish(
        &mut self,
        place: PlaceKey,
        message: &Arc<Message>,
        sender: &ProducerId,
        dedup: bool,
    ) {
        if message.expiration > 0 && message.is_expired(self.now.wall.0) {
            return self.expire_on_arrival(place, message);
        }
        let Some(site) = self.places.arena.get_mut(place) else { return };
        site.sent += 1;
        match site.body {
            Body::Queue(_) => self.put_queue(place, message, dedup),
            Body::Topic(_) => self.put_topic(place, message, sender, dedup),
        }
        let advisories = match self.places.get(place) {
            Some(site) if self.settings.advisories => site.policy.advisories,
            _ => return,
        };
        if advisories.delivered {
            self.tell_about_message("MessageDelivered", place, message);
        }
        if advisories.no_consumers
            && self.places.get(place).is_some_and(|site| {
                site.consumers() == 0 && site.topic().is_none_or(|topic| topic.durables.is_empty())
            })
        {
            self.tell_no_consumers(place, message);
        }
    }

    fn put_queue(&mut self, key: PlaceKey, message: &Arc<Message>, dedup: bool) {
        let sequence = self.take_sequence();
        let Some(site) = self.places.arena.get_mut(key) else { return };
        let stored = message.persistent && site.can_store();
        if stored && site.id.is_none() {
            site.id =
                Some(crate::topology::allot(&mut self.next_destination, &site.destination, &mut self.outbox));
        }
        let (id, prioritized) = (site.id, site.policy.prioritized_messages);
        let spools = !stored && self.spools(key);
        let Some(site) = self.places.arena.get_mut(key) else { return };
        site.counters.enqueued += 1;
        let Body::Queue(queue) = &mut site.body else { return };
        let charge = message.charge();
        let attached = !queue.attached.is_empty();
        let mut entry = Entry {
            place: queue.window.place_of(sequence, message.priority),
            ticket: ferromq_model::Ticket(0),
            body: None,
            expiration: message.expiration,
            charge: u32::try_from(charge).unwrap_or(u32::MAX),
            counter: message.redelivery_counter,
            state: State::Ready,
            stored,
            exposed: false,
        };
        if prioritized {
            queue.look_again(entry.place);
        }
        if let Some(destination) = id
            && stored
        {
            let admitted = queue.window.admits(message.priority);
            let ticket = self.outbox.ticket();
            entry.ticket = ticket;
            entry.exposed = attached && admitted;
            self.outbox.op(StoreOp::PutMessage {
                destination,
                sequence,
                message: Arc::clone(message),
                subscriptions: Vec::new(),
                dedup,
                exposed: entry.exposed,
            });
            self.outbox.require();
            if attached {
                self.outbox.hold(Held::WakePlace(key));
            }
            self.flow.stored(self.outbox.ticket(), u64::from(entry.charge));
            site.store_bytes += u64::from(entry.charge);
            let soon = attached && !queue.stalled;
            if admitted && self.flow.may_cache(u64::from(entry.charge), soon, &self.settings.limits) {
                entry.body = Some(Arc::clone(message));
                self.flow.cache_bytes += u64::from(entry.charge);
            }
            queue.window.put(sequence, ticket, admitted.then_some(entry));
        } else {
            let waits = self.commit_barrier && self.outbox.has_ops();
            if waits {
                entry.ticket = self.outbox.ticket();
            }
            let idle = queue.stalled || queue.backlog.loading.is_some();
            if spools {
                self.put_backlog(key, entry.place, entry.ticket, sequence, message, entry.charge);
            } else {
                entry.body = Some(Arc::clone(message));
                site.memory_bytes += u64::from(entry.charge);
                self.flow.memory_bytes += u64::from(entry.charge);
                self.flow.temp_bytes += u64::from(entry.charge);
                queue.window.put_volatile(entry);
            }
            if attached && waits {
                self.outbox.hold(Held::WakePlace(key));
            } else if attached && !idle {
                self.wake_place(key);
            }
        }
        self.arm_sweep(key, message.expiration);
    }
}

/// Under which producer and sequence a message is known if it comes again; `None` for what can't be told apart.
fn identity(request: &SendRequest) -> Option<(ProducerId, i64)> {
    let message = &request.message;
    let path = message.extra.as_ref().map_or(&[][..], |extra| &extra.broker_path);
    match path.last() {
        None => from_client(request).then(|| (message.id.producer.clone(), message.id.sequence)),
        Some(_) if !message.destination.kind.is_queue() => {
            Some((fanned_producer(&message.destination, &message.id.producer), message.id.sequence))
        }
        // Its position tells.
        Some(_) if request.position.is_some() => None,
        Some(sender) => {
            let link = link_producer(sender, path.len(), &message.destination, &message.id.producer);
            Some((link, message.id.sequence))
        }
    }
}

/// The stream of a link that a forwarded message belongs to. Sender, brokers passed, destination and message id are
/// durable at the sender before the message leaves, whoever of a pair sends it; the same message on another journey
/// (back, and here once more) has passed more brokers, and so is another one.
fn link_producer(sender: &Text, hops: usize, destination: &Destination, first: &ProducerId) -> ProducerId {
    let stream = format!("link:{sender}:{hops}:{destination}:{}", first.connection);
    ProducerId::new(Text::from(stream), first.session, first.value)
}

/// A message of a topic has the same subscribers here over whatever links it comes, so one copy is enough: the way that
/// it took is no part of who it is.
fn fanned_producer(topic: &Destination, first: &ProducerId) -> ProducerId {
    let stream = format!("links:{topic}:{}", first.connection);
    ProducerId::new(Text::from(stream), first.session, first.value)
}

/// Whether a message comes from the client that made it: only then its id alone tells a repetition.
fn from_client(request: &SendRequest) -> bool {
    request.producer == request.message.id.producer
        && request.message.extra.as_ref().is_none_or(|extra| extra.broker_path.is_empty())
}

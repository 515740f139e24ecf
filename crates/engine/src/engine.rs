//! [`Engine`]: the one owner of all broker state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ferromq_model::{Epoch, Instant, Now, PropertyCodec, Sequence, SubscriptionName, Text};
use rustc_hash::FxHashMap;

use crate::advisory::Herald;
use crate::arena::Arena;
use crate::consumer::{Consumer, ConsumerKey};
use crate::dead_letter::Burials;
use crate::dedup::Dedup;
use crate::durable::{Durable, DurableKey};
use crate::flow::Flow;
use crate::links::Links;
use crate::load::Loads;
use crate::outbox::{Held, Outbox};
use crate::place::{Body, PlaceKey, Places};
use crate::registry::Connection;
use crate::repeat::Repeats;
use crate::spool::Spool;
use crate::window::Place;
use crate::{ConnId, Fault, FaultKind, Input, Intent, Output, Settings, Tag};

/// Where the engine puts what is to be done, in order.
pub type Outputs = Vec<Output>;

/// What is to be looked at again when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A consumer's pull has waited long enough.
    Pull(ConsumerKey),
    /// A queue may begin to dispatch, or a bridge may take more of it.
    Open(PlaceKey),
    /// A message of a queue may go back to the broker that it came from.
    Back(PlaceKey),
    /// Nothing may have come of what a client has set aside.
    Aside(ConsumerKey),
    /// Search a destination for expired messages.
    Sweep(PlaceKey),
    /// Sends have waited long enough for room.
    Parked(PlaceKey),
    /// The log should name again who waits for room.
    Naming(PlaceKey),
    /// A refused connection has had time to read why.
    Refused(ConnId),
    /// Look for consumers of a destination that do not keep up.
    Slow(PlaceKey),
    /// Look for destinations that nobody uses.
    Inactive,
    /// Look for expired messages among those that came out of the spool, between two places.
    Expired(PlaceKey, Place, Place),
    /// Try a spool again that could not be written.
    Spool,
    /// Try a link again with a place that was full at its other end.
    Again(usize, PlaceKey),
}

/// What may have something to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Place(PlaceKey),
    Consumer(ConsumerKey),
}

/// All queues, topics, subscriptions, consumers, producers and transactions of one broker.
#[derive(Debug)]
pub struct Engine {
    pub(crate) settings: Settings,
    pub(crate) codec: Arc<dyn PropertyCodec>,
    pub(crate) now: Now,
    pub(crate) outbox: Outbox,
    pub(crate) connections: FxHashMap<ConnId, Connection>,
    pub(crate) clients: FxHashMap<Text, ConnId>,
    pub(crate) connection_ids: FxHashMap<Text, ConnId>,
    pub(crate) consumers: Arena<Consumer>,
    pub(crate) places: Places,
    pub(crate) durables: Arena<Durable>,
    pub(crate) durable_names: BTreeMap<SubscriptionName, DurableKey>,
    pub(crate) dedup: Dedup,
    /// Which messages of virtual topics lie in which queues, of those that came over links.
    pub(crate) fed: Dedup,
    pub(crate) flow: Flow,
    pub(crate) spool: Spool,
    pub(crate) loads: Loads,
    pub(crate) herald: Herald,
    pub(crate) timers: BTreeSet<(Instant, Timer)>,
    pub(crate) dirty: Vec<Wake>,
    /// Attachments with room, while a queue is dispatched.
    pub(crate) open: Vec<usize>,
    pub(crate) next_sequence: u64,
    pub(crate) next_destination: u64,
    pub(crate) next_subscription: u64,
    pub(crate) duplicates: u64,
    /// Some consumer has pulled.
    pub(crate) pulled: bool,
    pub(crate) burials: Burials,
    /// The acknowledgement that is being handled, and those that are answered when so many bodies were loaded.
    pub(crate) answering: Option<(ConnId, Tag)>,
    pub(crate) burying: FxHashMap<(ConnId, Tag), usize>,
    pub(crate) repeats: Repeats,
    pub(crate) links: Links,
    /// The first sequence that was free when this engine began.
    pub(crate) recovered_next: u64,
    /// Whatever is sent now belongs to a commit, and waits for its unit of work.
    pub(crate) commit_barrier: bool,
    pub(crate) inactive_armed: bool,
    /// It was told that there are too many durable subscriptions for a list.
    pub(crate) told_of_durables: bool,
}

impl Engine {
    /// An engine without destinations, whose units of work carry `epoch`.
    pub fn new(settings: Settings, codec: Arc<dyn PropertyCodec>, epoch: Epoch) -> Self {
        Self {
            dedup: Dedup::new(settings.dedup),
            fed: Dedup::new(settings.dedup),
            herald: Herald::new(&settings, epoch),
            settings,
            codec,
            now: Now::default(),
            outbox: Outbox::new(epoch),
            connections: FxHashMap::default(),
            clients: FxHashMap::default(),
            connection_ids: FxHashMap::default(),
            consumers: Arena::default(),
            places: Places::default(),
            durables: Arena::default(),
            durable_names: BTreeMap::new(),
            flow: Flow::default(),
            spool: Spool::default(),
            loads: Loads::default(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            open: Vec::new(),
            next_sequence: 1,
            next_destination: 1,
            next_subscription: 1,
            duplicates: 0,
            pulled: false,
            burials: Burials::default(),
            answering: None,
            burying: FxHashMap::default(),
            repeats: Repeats::default(),
            links: Links::default(),
            recovered_next: 0,
            commit_barrier: false,
            inactive_armed: false,
            told_of_durables: false,
        }
    }

    /// Lets something happen, and says what is to be done about it.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outputs) {
        self.now = now;
        self.outbox.swap(out);
        self.arm_inactive();
        match input {
            Input::Attach { conn } => {
                self.connections.entry(conn).or_default();
            }
            Input::Detach { conn } => self.detach(conn),
            Input::Intent { conn, tag, intent } => self.intend(conn, tag, intent),
            Input::Persisted { upto } => self.persisted(upto),
            Input::Loaded { load, content } => self.loaded(load, content),
            Input::Spooled { block, done } => self.spooled(block, done),
            Input::Resources { space } => self.measured(space),
            Input::Congested { conn, full } => self.congested(conn, full),
        }
        self.settle();
        if self.hurry_links() {
            self.settle();
        }
        self.outbox.seal();
        self.outbox.swap(out);
    }

    /// Lets time pass: to be called at [`Engine::next_deadline`], or at any time.
    pub fn tick(&mut self, now: Now, out: &mut Outputs) {
        self.now = now;
        self.outbox.swap(out);
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= now.mono
        {
            self.timers.pop_first();
            match timer {
                Timer::Pull(consumer) => self.end_pulls(consumer),
                Timer::Open(place) => self.wake_place(place),
                Timer::Back(place) => {
                    if let Some(queue) = self.places.get_mut(place).and_then(|site| site.queue_mut()) {
                        queue.back = None;
                        queue.look_again(0);
                    }
                    self.wake_place(place);
                }
                Timer::Aside(consumer) => self.aside_too_long(consumer),
                Timer::Sweep(place) => self.sweep(place),
                Timer::Parked(place) => self.parked_too_long(place),
                Timer::Naming(place) => self.name_again(place),
                Timer::Refused(conn) => self.close_refused(conn),
                Timer::Slow(place) => self.look_for_slow(place),
                Timer::Inactive => self.look_for_inactive(),
                Timer::Expired(place, first, last) => self.look_at_taken(place, first, last),
                Timer::Spool => self.try_spool(),
                Timer::Again(link, place) => self.try_again(link, place),
            }
        }
        self.settle();
        self.outbox.seal();
        self.outbox.swap(out);
    }

    /// When [`Engine::tick`] is needed next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn intend(&mut self, conn: ConnId, tag: Option<Tag>, intent: Intent) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let open_to_all =
            matches!(intent, Intent::Connect(_) | Intent::ForgetStream(_) | Intent::EndSubscription(_));
        if connection.facts.is_none() && !open_to_all {
            return self.outbox.fail(
                conn,
                tag,
                fault(FaultKind::IllegalState, "not connected: a connection begins with its id"),
            );
        }
        let done = match intent {
            Intent::Send(request) => return self.send(conn, tag, request),
            Intent::Ack(request) => {
                self.answering = tag.map(|tag| (conn, tag));
                let done = self.acknowledge(conn, &request);
                if self.answering.take().is_some_and(|answer| self.answers_later(answer)) {
                    return;
                }
                if let (None, Some(id), Err(refused)) = (tag, &request.transaction, &done) {
                    self.doom(conn, id, refused);
                }
                done
            }
            Intent::Connect(facts) => self.connect(conn, facts),
            Intent::Disconnect { last_delivered } => {
                // Who says goodbye in peace has sent what it sent, answered or not.
                let sent =
                    self.connections.get(&conn).map(|connection| connection.stored).unwrap_or_default();
                self.disconnect(conn, last_delivered);
                return self.outbox.reply_after(sent, conn, tag, crate::Effect::Done);
            }
            Intent::AddSession { session } => self.add_session(conn, session),
            Intent::RemoveSession { session, last_delivered } => {
                self.remove_session(conn, session, last_delivered)
            }
            Intent::AddProducer(facts) => self.add_producer(conn, facts),
            Intent::RemoveProducer(local) => self.remove_producer(conn, local),
            Intent::AddConsumer(facts) => self.add_consumer(conn, facts),
            Intent::RemoveConsumer { consumer, last_delivered } => {
                // A link that lives has had an answer for all that it sent.
                self.links.letting_go = connection.link.is_some();
                let done = self.remove_consumer(conn, consumer, last_delivered);
                self.links.letting_go = false;
                done
            }
            Intent::Pull { consumer, timeout } => self.pull(conn, consumer, timeout),
            Intent::SetPrefetch { consumer, prefetch } => self.set_prefetch(conn, consumer, prefetch),
            Intent::Transaction { id, verb } => return self.transaction(conn, tag, id, verb),
            Intent::AddDestination { destination, broker_path } => {
                self.add_destination(conn, &destination, broker_path)
            }
            Intent::RemoveDestination { destination, force } => {
                self.remove_destination(conn, &destination, force)
            }
            Intent::Unsubscribe(name) => self.unsubscribe(&name),
            Intent::ListDurables => return self.list_durables(conn, tag),
            Intent::OpenStream { stream, takes_back } => {
                return self.open_stream(conn, tag, &stream, takes_back);
            }
            Intent::BeginLink { stream, report } => self.begin_link(conn, &stream, &report),
            Intent::TakeBack { consumer, position } => self.take_back(conn, consumer, position),
            Intent::Resume(destination) => {
                self.resume_sender(conn, &destination);
                Ok(())
            }
            Intent::ForgetStream(stream) => return self.forget_stream(conn, tag, &stream),
            Intent::EndSubscription(name) => return self.end_subscription(conn, tag, &name),
            Intent::Flush => return self.flush(conn, tag),
        };
        match done {
            Ok(()) => self.outbox.reply(conn, tag, crate::Effect::Done),
            Err(fault) => self.outbox.fail(conn, tag, fault),
        }
    }

    fn persisted(&mut self, upto: ferromq_model::Ticket) {
        self.outbox.persisted(upto);
        self.flow.durable(upto);
        while let Some(held) = self.outbox.released() {
            match held {
                Held::Output(output) => self.outbox.send(output),
                Held::WakePlace(place) => self.wake_place(place),
                Held::WakeConsumer(consumer) => self.wake_consumer(consumer),
                Held::WakeDurable(durable) => {
                    if let Some(consumer) = self.durables.get(durable).and_then(|found| found.consumer) {
                        self.wake_consumer(consumer);
                    }
                }
                Held::WakeLink(link) => self.positions_reserved(link),
            }
        }
    }

    fn congested(&mut self, conn: ConnId, full: bool) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.congested = full;
        let mut consumers: Vec<ConsumerKey> = connection.consumers.values().copied().collect();
        consumers.sort_unstable();
        for key in consumers {
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.congested = full;
            }
            if !full {
                self.wake_consumer(key);
            }
        }
    }

    /// Hands out what can be handed out, and lets waiting sends in where room has come.
    fn settle(&mut self) {
        loop {
            let mut next = 0;
            while let Some(wake) = self.dirty.get(next).copied() {
                next += 1;
                match wake {
                    Wake::Place(place) => self.dispatch_queue(place),
                    Wake::Consumer(consumer) => self.dispatch_consumer(consumer),
                }
            }
            self.dirty.clear();
            if !self.admit_parked() && self.dirty.is_empty() {
                return;
            }
        }
    }

    /// Looks at a queue again, for there may be something to hand out.
    pub(crate) fn wake_place(&mut self, place: PlaceKey) {
        if let Some(site) = self.places.get_mut(place)
            && let Body::Queue(queue) = &mut site.body
        {
            queue.window.page_waits = false;
            queue.stalled = false;
            if !queue.dirty {
                queue.dirty = true;
                self.dirty.push(Wake::Place(place));
            }
        }
    }

    /// Looks at a consumer again, and at the queues it is attached to, for it may have room.
    pub(crate) fn wake_consumer(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        if !consumer.dirty {
            consumer.dirty = true;
            self.dirty.push(Wake::Consumer(key));
        }
        if consumer.is_browser() {
            return;
        }
        for place in &consumer.places {
            if let Some(site) = self.places.arena.get_mut(*place)
                && let Body::Queue(queue) = &mut site.body
            {
                queue.stalled = false;
                if !queue.dirty && (queue.window.held > 0 || !queue.backlog.is_empty()) {
                    queue.dirty = true;
                    self.dirty.push(Wake::Place(*place));
                }
            }
        }
    }

    pub(crate) const fn take_sequence(&mut self) -> Sequence {
        let sequence = Sequence(self.next_sequence);
        self.next_sequence += 1;
        sequence
    }
}

/// A fault in few words.
pub(crate) fn fault(kind: FaultKind, text: impl Into<String>) -> Fault {
    Fault { kind, text: text.into() }
}

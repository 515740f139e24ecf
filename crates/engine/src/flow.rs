//! Flow control: what messages are charged, and who waits when a limit is reached.
//!
//! Consumers and acknowledgements are never held back. A producer that has to wait is parked at the destination it
//! sends to; its connection is served on, unless it has neither a reply nor a window to wait for.

use std::collections::VecDeque;

use ferromq_model::{Instant, Message, Ticket};
use ferromq_store::Space;

use crate::engine::{Engine, Timer, fault};
use crate::links::Seen;
use crate::place::{Body, PlaceKey};
use crate::{ConnId, Fault, FaultKind, Limits, NoSpace, Output, SendRequest, Severity, Tag};

/// So many sends of one connection may wait before it is not read from, whatever it waits for.
const MOST_PARKED: usize = 256;
/// The same of a link: a bridge has a window for each queue, and one that is full must not hold up the others.
const MOST_PARKED_OF_LINK: usize = 8_192;
const MOST_PARKED_BYTES_OF_LINK: u64 = 64 << 20;

/// What is charged, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// Messages in memory alone.
    pub(crate) memory_bytes: u64,
    /// Of those, messages in queues, and such as are on their way to the spool.
    pub(crate) temp_bytes: u64,
    /// Bodies that could be loaded again.
    pub(crate) cache_bytes: u64,
    /// Stored messages, as far as the engine counts them.
    pub(crate) store_bytes: u64,
    /// What the store measured last, and what was stored since.
    space: Option<Space>,
    since: u64,
    /// Stored messages under tickets that are not durable yet, oldest first: a measure may have been taken before the
    /// store saw them, and on a disk that is nearly full whole segments may be on their way.
    under_way: VecDeque<(Ticket, u64)>,
    /// Where sends wait, in the order in which they began.
    blocked: Vec<PlaceKey>,
    freed: bool,
}

impl Flow {
    /// A message goes to the store under this ticket.
    pub(crate) fn stored(&mut self, ticket: Ticket, bytes: u64) {
        self.store_bytes += bytes;
        self.since += bytes;
        match self.under_way.back_mut() {
            Some((last, sum)) if *last == ticket => *sum += bytes,
            _ => self.under_way.push_back((ticket, bytes)),
        }
    }

    /// A message was in the store before this engine.
    pub(crate) fn found(&mut self, bytes: u64) {
        self.store_bytes += bytes;
    }

    /// Everything up to this ticket is in the store; a measure from now on has counted it.
    pub(crate) fn durable(&mut self, upto: Ticket) {
        while self.under_way.front().is_some_and(|(ticket, _)| *ticket <= upto) {
            self.under_way.pop_front();
        }
    }

    pub(crate) fn unstored(&mut self, bytes: u64) {
        self.store_bytes = self.store_bytes.saturating_sub(bytes);
        self.freed = true;
    }

    /// There may be room for those who wait.
    pub(crate) const fn freed(&mut self) {
        self.freed = true;
    }

    pub(crate) fn free_memory(&mut self, bytes: u64) {
        self.memory_bytes = self.memory_bytes.saturating_sub(bytes);
        self.freed = true;
    }

    pub(crate) fn free_temp(&mut self, bytes: u64) {
        self.temp_bytes = self.temp_bytes.saturating_sub(bytes);
    }

    /// Whether a body may stay in memory though it could be loaded again. Backlogs of idle queues fill the cache; what
    /// is about to be handed out gets as much again, so that it need not be read back at once.
    pub(crate) const fn may_cache(&self, bytes: u64, soon: bool, limits: &Limits) -> bool {
        let most = if soon { limits.body_cache_bytes.saturating_mul(2) } else { limits.body_cache_bytes };
        self.cache_bytes + bytes <= most
    }

    fn store_used(&self) -> u64 {
        self.space.map_or(self.store_bytes, |space| space.used + self.since)
    }

    fn disk_free(&self) -> u64 {
        self.space.map_or(u64::MAX, |space| space.free.saturating_sub(self.since))
    }
}

/// A send that waits for room.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) conn: ConnId,
    pub(crate) tag: Option<Tag>,
    pub(crate) request: SendRequest,
    /// Those who wait longer are let in first.
    pub(crate) since: Instant,
    /// When it is turned back, if it came over a link whose sender takes it back.
    pub(crate) until: Option<Instant>,
    /// The connection is not read from because of it.
    pub(crate) paused: bool,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The destination's own, or the broker's, for messages in memory.
    Memory(u64),
    /// The destination's own, or the broker's, for non-persistent messages in queues.
    Temp(u64),
    /// The destination's own, or the broker's, for persistent messages.
    Store(u64),
    /// Too much is on its way to the spool: its disk is slower than the producers.
    Unwritten,
    /// The medium itself.
    Disk,
    /// Others wait already.
    Behind,
}

impl Engine {
    /// Whether a message may go into a destination now.
    pub(crate) fn room(&self, key: PlaceKey, message: &Message) -> Result<(), Full> {
        let Some(site) = self.places.get(key) else { return Ok(()) };
        let stored = message.persistent
            && site.can_store()
            && site.topic().is_none_or(|topic| !topic.durables.is_empty() || !topic.feeds.is_empty());
        if stored && self.flow.disk_free() < message.charge() as u64 {
            return Err(Full::Disk);
        }
        if !site.policy.producer_flow_control || site.destination.is_advisory() {
            return Ok(());
        }
        if !site.parked.is_empty() {
            return Err(Full::Behind);
        }
        self.room_now(key, stored)
    }

    fn room_now(&self, key: PlaceKey, stored: bool) -> Result<(), Full> {
        let Some(site) = self.places.get(key) else { return Ok(()) };
        let limits = &self.settings.limits;
        if stored {
            let own = site.policy.store_bytes;
            if own > 0 && site.store_bytes >= own {
                return Err(Full::Store(own));
            }
            let all = limits.store_bytes / 100 * u64::from(site.policy.store_high_water.min(100));
            let all = if site.policy.store_high_water >= 100 { limits.store_bytes } else { all };
            return if self.flow.store_used() >= all { Err(Full::Store(all)) } else { Ok(()) };
        }
        if self.can_spool() && site.queue().is_some() {
            // Memory holds nobody up: what finds it full goes to the spool.
            return if self.spools(key) { self.spool_room(key) } else { Ok(()) };
        }
        let own = site.policy.memory_bytes;
        if own > 0 && site.memory_bytes >= own {
            return Err(Full::Memory(own));
        }
        // A message that is handed on at once takes no room, so a full broker does not stop fast consumers.
        let keeps = match &site.body {
            Body::Queue(_) => true,
            Body::Topic(topic) => {
                !topic.consumers.is_empty() || !topic.durables.is_empty() || !topic.feeds.is_empty()
            }
        };
        if keeps && self.flow.memory_bytes >= limits.memory_bytes {
            return Err(Full::Memory(limits.memory_bytes));
        }
        if keeps && site.queue().is_some() && self.flow.temp_bytes >= limits.temp_bytes {
            return Err(Full::Temp(limits.temp_bytes));
        }
        Ok(())
    }

    /// Refuses a send for which there is no room, or lets it wait.
    pub(crate) fn no_room(
        &mut self,
        conn: ConnId,
        tag: Option<Tag>,
        key: PlaceKey,
        request: SendRequest,
        full: Full,
    ) {
        let Some(policy) = self.policy(key) else { return };
        let mode = policy.no_space.unwrap_or(self.settings.no_space);
        let passing = matches!(full, Full::Behind | Full::Unwritten);
        if !passing {
            self.tell_full(key, full, &request.producer);
        }
        let refusal = self.refusal(key, full, &request);
        if full == Full::Disk || mode == NoSpace::Fail && !passing {
            self.name_blocked(key, &refusal.text);
            return self.turn_back(conn, tag, &request, refusal);
        }
        let now = self.now.mono;
        let of_link = self.may_turn_back(conn, tag, &request);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.parked += 1;
        connection.parked_bytes += request.message.charge() as u64;
        let too_many = if is_forwarded(&request) {
            connection.parked > MOST_PARKED_OF_LINK || connection.parked_bytes > MOST_PARKED_BYTES_OF_LINK
        } else {
            connection.parked > MOST_PARKED
        };
        if too_many && of_link {
            connection.parked -= 1;
            connection.parked_bytes -= request.message.charge() as u64;
            return self.turn_back(conn, tag, &request, refusal);
        }
        // A peer that heeds neither answers nor windows must not fill the memory with what waits.
        let paused = tag.is_none() && request.window_bytes == 0 || too_many;
        if paused {
            connection.paused += 1;
            if connection.paused == 1 {
                self.outbox.send(Output::Pause(conn));
            }
        }
        if of_link {
            self.park_for_link(conn, tag, key, request);
        } else if let Some(site) = self.places.get_mut(key) {
            site.parked.push_back(Parked { conn, tag, request, since: now, until: None, paused });
        }
        if !self.flow.blocked.contains(&key) {
            self.flow.blocked.push(key);
            // A disk that needs a moment is no news.
            if full != Full::Unwritten {
                self.name_blocked(key, &refusal.text);
            }
            self.arm_naming(key);
        }
        if let NoSpace::FailAfter(wait) = mode
            && !of_link
        {
            self.timers.insert((now + wait, Timer::Parked(key)));
        }
    }

    /// Names who is stopped and by whom, at most once in the warning interval.
    fn name_blocked(&mut self, key: PlaceKey, text: &str) {
        let (now, pause) = (self.now.mono, self.settings.blocked_producer_warning);
        let Some(site) = self.places.get_mut(key) else { return };
        if site.named.is_some_and(|last| now.since(last) < pause) {
            return;
        }
        site.named = Some(now);
        let holders = self.holders(key);
        self.outbox.log(Severity::Warn, format!("{text} It is held by {holders}."));
    }

    fn arm_naming(&mut self, key: PlaceKey) {
        let (now, pause) = (self.now.mono, self.settings.blocked_producer_warning);
        let Some(site) = self.places.get_mut(key) else { return };
        if !pause.is_zero() && !std::mem::replace(&mut site.naming_armed, true) {
            self.timers.insert((now + pause, Timer::Naming(key)));
        }
    }

    /// Time to name again those who still wait.
    pub(crate) fn name_again(&mut self, key: PlaceKey) {
        let now = self.now.mono;
        let Some(site) = self.places.get_mut(key) else { return };
        site.naming_armed = false;
        let Some(first) = site.parked.front() else { return };
        let (waits, since, producer) = (site.parked.len(), first.since, first.request.producer.clone());
        if now.since(since) >= self.settings.blocked_producer_warning {
            let text = format!(
                "{waits} sends to {} wait for room, the first of producer {producer} for {} s.",
                site.destination,
                now.since(since).as_secs(),
            );
            site.named = None;
            self.name_blocked(key, &text);
        }
        self.arm_naming(key);
    }

    /// Time to refuse sends that waited too long.
    pub(crate) fn parked_too_long(&mut self, key: PlaceKey) {
        self.turn_back_late(key);
        let now = self.now.mono;
        let Some(policy) = self.policy(key) else { return };
        let mode = policy.no_space.unwrap_or(self.settings.no_space);
        if let NoSpace::FailAfter(wait) = mode {
            while let Some(site) = self.places.get_mut(key)
                && let Some(first) = site.parked.iter().position(|parked| parked.until.is_none())
                && site.parked.get(first).is_some_and(|parked| parked.since + wait <= now)
                && let Some(parked) = site.parked.remove(first)
            {
                self.unparked(&parked);
                let full = self.full_now(key, &parked.request.message);
                let refusal = self.refusal(key, full, &parked.request);
                self.outbox.fail(parked.conn, parked.tag, refusal);
            }
        }
    }

    /// Why a message has to wait now.
    pub(crate) fn full_now(&self, key: PlaceKey, message: &Message) -> Full {
        self.room_now(key, self.is_stored(key, message)).err().unwrap_or(Full::Behind)
    }

    fn is_stored(&self, key: PlaceKey, message: &Message) -> bool {
        self.places.get(key).is_some_and(|site| {
            message.persistent
                && site.can_store()
                && site.topic().is_none_or(|topic| !topic.durables.is_empty() || !topic.feeds.is_empty())
        })
    }

    /// Who keeps the messages that take the room.
    fn holders(&self, key: PlaceKey) -> String {
        let Some(site) = self.places.get(key) else { return String::new() };
        let consumers: Vec<String> = match &site.body {
            Body::Queue(queue) => {
                queue.attached.iter().map(|attachment| attachment.consumer).collect::<Vec<_>>()
            }
            Body::Topic(topic) => topic.consumers.clone(),
        }
        .iter()
        .filter_map(|consumer| self.consumers.get(*consumer))
        .filter(|consumer| !consumer.has_room() || !consumer.pending.is_empty())
        .take(5)
        .map(|consumer| format!("consumer {} ({} unacknowledged)", consumer.facts.id, consumer.outstanding))
        .collect();
        if consumers.is_empty() {
            format!("{} messages that nobody consumes", self.held(key, site))
        } else {
            consumers.join(", ")
        }
    }

    pub(crate) fn refusal(&self, key: PlaceKey, full: Full, request: &SendRequest) -> Fault {
        let name = self.places.get(key).map(|site| site.destination.to_string()).unwrap_or_default();
        let who = &request.producer;
        let (what, remedy) = match full {
            Full::Memory(limit) => (
                format!("Usage Manager Memory Limit ({limit} bytes) reached"),
                "let consumers catch up, or raise the memory limit of the broker or the destination's policy",
            ),
            Full::Temp(limit) => (
                format!("Usage Manager Temp Usage limit ({limit} bytes) reached"),
                "let consumers catch up, or raise the temp limit",
            ),
            Full::Store(limit) => (
                format!("Persistent store is Full, 100% of {limit}"),
                "let consumers catch up, or raise the store limit",
            ),
            Full::Disk => (
                "Persistent store is Full: no room left on its disk".to_owned(),
                "let consumers drain it, or make room",
            ),
            Full::Unwritten => (
                "The spool is written more slowly than messages come".to_owned(),
                "let consumers catch up, or give the spool a faster disk",
            ),
            Full::Behind => ("Other sends wait for room".to_owned(), "let consumers catch up"),
        };
        fault(
            FaultKind::ResourceAllocation,
            format!("{what}. Stopping producer ({who}) to prevent flooding {name}; {remedy}."),
        )
    }

    /// Lets waiting sends in, as far as there is room; says whether any went.
    pub(crate) fn admit_parked(&mut self) -> bool {
        if !std::mem::take(&mut self.flow.freed) || self.flow.blocked.is_empty() {
            return false;
        }
        let mut any = false;
        for key in std::mem::take(&mut self.flow.blocked) {
            while let Some(site) = self.places.get(key)
                && let Some(parked) = site.parked.front()
                && self.room_now(key, self.is_stored(key, &parked.request.message)).is_ok()
            {
                let Some(parked) = self.places.get_mut(key).and_then(|site| site.parked.pop_front()) else {
                    break;
                };
                any = true;
                self.unparked(&parked);
                match self.target(parked.conn, &parked.request.producer, &parked.request.message.destination)
                {
                    // Its like may have been taken in while it waited.
                    Ok(target) => match self.known(parked.conn, &parked.request) {
                        Seen::New => {
                            self.take_in(parked.conn, &parked.request, &target);
                            self.accepted(parked.conn, parked.tag, &parked.request);
                        }
                        Seen::Before => self.accepted_before(parked.conn, parked.tag, &parked.request),
                        Seen::Wrong => {
                            let text = self.wrong_position(parked.conn, &parked.request);
                            self.outbox.fail(parked.conn, parked.tag, fault(FaultKind::General, text));
                        }
                    },
                    Err(fault) => self.outbox.fail(parked.conn, parked.tag, fault),
                }
                self.answer_flushes(parked.conn);
            }
            if let Some(site) = self.places.get_mut(key) {
                if site.parked.is_empty() {
                    site.reported_full = false;
                } else {
                    self.flow.blocked.push(key);
                }
            }
        }
        any
    }

    /// One send of a connection waits no longer.
    pub(crate) fn unparked(&mut self, parked: &Parked) {
        let conn = parked.conn;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.parked = connection.parked.saturating_sub(1);
        let bytes = parked.request.message.charge() as u64;
        connection.parked_bytes = connection.parked_bytes.saturating_sub(bytes);
        if parked.paused {
            connection.paused = connection.paused.saturating_sub(1);
            if connection.paused == 0 {
                self.outbox.send(Output::Resume(conn));
            }
        }
    }

    /// The sends of a connection that is gone wait no longer, they were never accepted.
    pub(crate) fn drop_parked(&mut self, conn: ConnId) {
        for key in self.flow.blocked.clone() {
            if let Some(site) = self.places.get_mut(key) {
                site.parked.retain(|parked| parked.conn != conn);
            }
        }
        self.flow.freed = true;
    }

    /// The store measured its room.
    pub(crate) fn measured(&mut self, space: Space) {
        let was_full = self.flow.space.is_some_and(|space| space.free == 0);
        self.flow.space = Some(space);
        self.flow.since = self.flow.under_way.iter().map(|(_, bytes)| bytes).sum();
        self.flow.freed = true;
        if was_full != (space.free == 0) {
            let text = if space.free == 0 {
                format!(
                    "the store is full ({} bytes used): persistent messages are refused until consumers drain it or room is made",
                    space.used
                )
            } else {
                format!("the store has room again ({} bytes): persistent messages are accepted", space.free)
            };
            self.outbox.log(Severity::Warn, text);
        }
    }

    /// Answered when everything before it has been answered.
    pub(crate) fn flush(&mut self, conn: ConnId, tag: Option<Tag>) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.parked > 0
        {
            connection.flushes.extend(tag);
            return;
        }
        let sent = self.connections.get(&conn).map(|connection| connection.stored).unwrap_or_default();
        self.outbox.reply_after(sent, conn, tag, crate::Effect::Done);
    }

    fn answer_flushes(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.parked == 0
        {
            for tag in std::mem::take(&mut connection.flushes) {
                self.outbox.reply_last(conn, Some(tag), crate::Effect::Done);
            }
        }
    }
}

/// Whether a message comes over a link.
fn is_forwarded(request: &SendRequest) -> bool {
    request.message.extra.as_ref().is_some_and(|extra| !extra.broker_path.is_empty())
}

//! Acknowledgements that a client repeats because its broker died before it answered them.
//!
//! Nothing is dispatched to the client's consumers yet when it repeats one, so ActiveMQ refuses it ("Unmatched
//! acknowledge"), and a client within `receive()` never sees a message that is consumed already. Here the
//! acknowledgement is looked up in what the store held when this engine began: what is gone was acknowledged by the
//! broker before, what waits is acknowledged now. What another consumer has, or had since, is refused.
//!
//! Released clients also give an application twice what it had not committed when the broker died: their own copy, and the
//! one that the next broker sends. Both are acknowledged, each in a transaction of its own. The second one finds that
//! the same consumer has consumed the message, and that nothing is left to do. Anything else fails its transaction.
//!
//! Invariant: a message is never removed by a repeated acknowledgement unless its own id was named.

use ferromq_model::MessageId;
use ferromq_store::PageRequest;
use rustc_hash::FxHashMap;

use crate::ack::standard_range;
use crate::consumer::{ConsumerKey, Dispatched, Origin, Role, Stage};
use crate::engine::Engine;
use crate::load::Purpose;
use crate::window::{Place, State};
use crate::{AckKind, AckRequest, ConnId, Effect, Fault, LoadRequest, Tag};

/// Acknowledgements that wait for bodies at one time; a client has one on the way for each session.
const MOST_WAITING: usize = 4096;
/// Messages of the time before whose ids are remembered once they are consumed.
const MOST_CONSUMED: usize = 16_384;
/// Places of a window that are looked at for one acknowledgement.
const MOST_LOOKED_AT: usize = 16_384;
/// Bodies that are asked for at once.
const BODIES_AT_ONCE: usize = 256;

/// An acknowledgement that is answered when more bodies are in memory.
#[derive(Debug)]
struct Repeat {
    conn: ConnId,
    tag: Tag,
    consumer: ConsumerKey,
    ack: AckRequest,
    refusal: Fault,
}

/// What is known of the time before this engine began.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    waiting: Vec<Repeat>,
    /// Messages that may have been dispatched before, and were consumed since, with who consumed them.
    consumed: FxHashMap<MessageId, ConsumerKey>,
    /// There were too many to remember.
    forgot: bool,
}

impl Repeats {
    /// Notes a message that an engine before this one may have dispatched, and that is consumed now.
    pub(crate) fn consumed(&mut self, by: ConsumerKey, dispatched: &Dispatched) {
        if self.consumed.len() == MOST_CONSUMED {
            self.forgot = true;
            return;
        }
        self.consumed.insert(MessageId::new(dispatched.producer.clone(), dispatched.number), by);
    }

    /// A connection has gone, and waits for nothing any longer.
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.waiting.retain(|repeat| repeat.conn != conn);
    }
}

/// Where a message is that a client says it has had.
enum Whereabouts {
    /// It is not in the store.
    Gone,
    /// It waits to be dispatched.
    Ready(Origin, Place),
    /// Somebody else has it or had it, or it can't be known.
    Elsewhere,
    /// That is known when what is on its way from the store has come.
    Coming,
}

/// What becomes of a repeated acknowledgement.
enum Verdict {
    Done,
    Refused,
    Later,
}

impl Engine {
    /// An acknowledgement fits nothing that was dispatched: whether it is one that a client repeats after a takeover.
    pub(crate) fn repeated(
        &mut self,
        conn: ConnId,
        consumer: ConsumerKey,
        ack: &AckRequest,
        refusal: Fault,
    ) -> Result<(), Fault> {
        let reconnected = self
            .connections
            .get(&conn)
            .and_then(|connection| connection.facts.as_ref())
            .is_some_and(|facts| facts.reconnected);
        if !reconnected || ack.kind != AckKind::Standard {
            return Err(refusal);
        }
        if ack.transaction.is_some() {
            return if self.has_consumed(consumer, ack) { Ok(()) } else { Err(refusal) };
        }
        match self.judge(consumer, ack) {
            Verdict::Done => Ok(()),
            Verdict::Refused => Err(refusal),
            Verdict::Later => {
                let Some((_, tag)) = self.answering.filter(|_| self.repeats.waiting.len() < MOST_WAITING)
                else {
                    return Err(refusal);
                };
                self.repeats.waiting.push(Repeat { conn, tag, consumer, ack: ack.clone(), refusal });
                Ok(())
            }
        }
    }

    /// Whether the answer to this is given later.
    pub(crate) fn answers_later(&self, answer: (ConnId, Tag)) -> bool {
        self.burying.contains_key(&answer)
            || self.repeats.waiting.iter().any(|repeat| (repeat.conn, repeat.tag) == answer)
    }

    /// Something was loaded: answers what can be answered now.
    pub(crate) fn look_at_repeats(&mut self) {
        if self.repeats.waiting.is_empty() {
            return;
        }
        for repeat in std::mem::take(&mut self.repeats.waiting) {
            match self.judge(repeat.consumer, &repeat.ack) {
                Verdict::Done => self.outbox.reply(repeat.conn, Some(repeat.tag), Effect::Done),
                Verdict::Refused => self.outbox.fail(repeat.conn, Some(repeat.tag), repeat.refusal),
                Verdict::Later => self.repeats.waiting.push(repeat),
            }
        }
    }

    /// Whether a consumer has consumed every message that it acknowledges, as far as the ends of a range say which these are:
    /// those of one producer, one after the other.
    fn has_consumed(&self, key: ConsumerKey, ack: &AckRequest) -> bool {
        let Some(last) = &ack.last else { return false };
        let first = ack.first.as_ref().unwrap_or(last);
        let numbers = first.sequence..=last.sequence;
        let follows = last.sequence.checked_sub(first.sequence) == Some(i64::from(ack.count) - 1);
        let consumed =
            |number| self.repeats.consumed.get(&MessageId::new(first.producer.clone(), number)) == Some(&key);
        follows && first.producer == last.producer && numbers.into_iter().all(consumed)
    }

    fn judge(&mut self, key: ConsumerKey, ack: &AckRequest) -> Verdict {
        let Some(consumer) = self.consumers.get_mut(key) else { return Verdict::Done };
        // It may have been dispatched in the meantime.
        if let Ok((first, last)) = standard_range(consumer, ack) {
            self.acknowledge_range(key, first, last);
            return Verdict::Done;
        }
        let Some(last) = &ack.last else { return Verdict::Refused };
        let first = ack.first.as_ref().unwrap_or(last);
        match (self.whereabouts(key, first), first == last) {
            (Whereabouts::Coming, _) => Verdict::Later,
            (Whereabouts::Ready(origin, at), true) => {
                let (producer, number) = (last.producer.clone(), last.sequence);
                let held = Dispatched { producer, number, origin, at, stage: Stage::Delivered };
                self.consumed(key, held);
                Verdict::Done
            }
            (Whereabouts::Gone, true) => Verdict::Done,
            // A range was removed as one: its ends tell of all of it.
            (Whereabouts::Gone, false) => match self.whereabouts(key, last) {
                Whereabouts::Gone => Verdict::Done,
                Whereabouts::Coming => Verdict::Later,
                _ => Verdict::Refused,
            },
            _ => Verdict::Refused,
        }
    }

    /// The windows from which a consumer is served.
    fn origins(&self, key: ConsumerKey) -> Vec<Origin> {
        let Some(consumer) = self.consumers.get(key) else { return Vec::new() };
        match consumer.role {
            Role::Durable(durable) => self
                .durables
                .get(durable)
                .map(|found| {
                    let origin = |place| Origin { place, durable: Some(durable) };
                    found.shares.iter().map(|share| origin(share.place)).collect()
                })
                .unwrap_or_default(),
            Role::Plain => {
                consumer.places.iter().map(|place| Origin { place: *place, durable: None }).collect()
            }
            Role::Browser(_) => Vec::new(),
        }
    }

    fn whereabouts(&mut self, key: ConsumerKey, id: &MessageId) -> Whereabouts {
        if self.repeats.forgot || self.repeats.consumed.contains_key(id) {
            return Whereabouts::Elsewhere;
        }
        let mut coming = false;
        for origin in self.origins(key) {
            if self.is_dispatched(origin, id) {
                return Whereabouts::Elsewhere;
            }
            let Some(window) = self.window_mut(origin) else { continue };
            let mark = window.recovered_mark();
            let mut missing = Vec::new();
            let mut looked_at = 0;
            for entry in window.iter().filter(|entry| entry.stored && entry.sequence() <= mark) {
                looked_at += 1;
                match &entry.body {
                    _ if entry.state != State::Ready => {}
                    Some(body) if body.id == *id => return Whereabouts::Ready(origin, entry.place),
                    Some(_) => {}
                    None => missing.push(entry.place),
                }
            }
            if looked_at > MOST_LOOKED_AT || window.has_released() {
                return Whereabouts::Elsewhere;
            }
            if window.is_complete_to(mark) && missing.is_empty() {
                continue;
            }
            coming = true;
            if !self.ask_for(origin, missing) {
                return Whereabouts::Elsewhere;
            }
        }
        if coming { Whereabouts::Coming } else { Whereabouts::Gone }
    }

    /// Whether any consumer of a window has a message.
    fn is_dispatched(&mut self, origin: Origin, id: &MessageId) -> bool {
        let consumers: Vec<ConsumerKey> = match origin.durable {
            Some(durable) => {
                self.durables.get(durable).and_then(|found| found.consumer).into_iter().collect()
            }
            None => match self.places.get_mut(origin.place).and_then(|site| site.queue_mut()) {
                Some(queue) => queue.attached.iter().map(|attachment| attachment.consumer).collect(),
                None => Vec::new(),
            },
        };
        consumers.into_iter().any(|key| {
            self.consumers.get(key).is_some_and(|one| one.dispatched.iter().any(|held| held.is(id)))
        })
    }

    /// Sees to it that references or bodies come; says whether they do.
    fn ask_for(&mut self, origin: Origin, mut missing: Vec<Place>) -> bool {
        let durable_upto = self.outbox.durable();
        let Some(destination) = self.places.get(origin.place).and_then(|site| site.id) else { return false };
        let Some(window) = self.window_mut(origin) else { return false };
        if !missing.is_empty() {
            if !window.loading {
                missing.truncate(BODIES_AT_ONCE);
                window.loading = true;
                self.load_bodies(origin, missing);
            }
            return true;
        }
        if window.is_paging() {
            return true;
        }
        let Some((after, limit)) = window.wants_page(true, durable_upto) else { return false };
        match origin.durable {
            None => {
                let purpose = Purpose::QueuePage { place: origin.place, asked: limit };
                self.load(purpose, LoadRequest::Page(PageRequest::Queue { destination, after, limit }));
            }
            Some(durable) => {
                let Some(subscription) = self.durables.get(durable).map(|found| found.record.id) else {
                    return false;
                };
                let purpose = Purpose::DurablePage { durable, place: origin.place, asked: limit };
                let request = PageRequest::Subscription { subscription, destination, after, limit };
                self.load(purpose, LoadRequest::Page(request));
            }
        }
        true
    }
}

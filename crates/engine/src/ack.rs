//! Acknowledgements: which of the messages that a consumer holds are meant, and what becomes of them.

use ferromq_model::TransactionId;
use ferromq_store::StoreOp;

use crate::consumer::{Consumer, ConsumerKey, Dispatched, Origin, Role, Stage};
use crate::dead_letter::Cause;
use crate::engine::{Engine, fault};
use crate::window::{Entry, Place, sequence_of};
use crate::{AckKind, AckRequest, ConnId, Fault, FaultKind};

/// Why a message leaves its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged,
    Expired,
    DeadLettered,
    Discarded,
}

impl Engine {
    /// A client acknowledges, or says something about, messages that it holds.
    pub(crate) fn acknowledge(&mut self, conn: ConnId, ack: &AckRequest) -> Result<(), Fault> {
        let known =
            self.connections.get(&conn).and_then(|connection| connection.consumers.get(&ack.consumer));
        // An acknowledgement may cross the removal of its consumer.
        let Some(key) = known.copied() else { return Ok(()) };
        let transaction = match &ack.transaction {
            Some(id) => Some(self.open_transaction(conn, id)?),
            None => None,
        };
        let Some(consumer) = self.consumers.get_mut(key) else { return Ok(()) };
        consumer.acknowledged_at = self.now.mono;
        let had_room = consumer.has_room();
        if consumer.is_browser() {
            consumer.count_topic_ack(ack.count.max(1));
        } else if self.only_counts(key, ack) {
            self.acknowledge_topic(key, ack, conn, transaction);
        } else {
            self.acknowledge_held(key, ack, conn, transaction)?;
        }
        if ack.kind == AckKind::Delivered || !had_room {
            self.room_changed(key, had_room);
        }
        Ok(())
    }

    /// Whether an acknowledgement is about messages of a topic, which are counted and not listed.
    fn only_counts(&mut self, key: ConsumerKey, ack: &AckRequest) -> bool {
        let Some(consumer) = self.consumers.get_mut(key) else { return false };
        if !consumer.dispatched.is_empty() {
            return consumer.topic_unacknowledged > 0
                && ack.last.as_ref().is_some_and(|id| consumer.find(id).is_none());
        }
        consumer.topic_unacknowledged > 0
            || consumer.durable().is_none()
                && !consumer.places.is_empty()
                && consumer
                    .places
                    .iter()
                    .all(|place| self.places.arena.get(*place).is_some_and(|site| site.queue().is_none()))
    }

    fn room_changed(&mut self, key: ConsumerKey, had_room: bool) {
        if !had_room && self.consumers.get(key).is_some_and(Consumer::has_room) {
            self.wake_consumer(key);
        }
    }

    /// Non-durable topic consumers only count.
    fn acknowledge_topic(
        &mut self,
        key: ConsumerKey,
        ack: &AckRequest,
        conn: ConnId,
        transaction: Option<i64>,
    ) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        match (ack.kind, transaction) {
            (AckKind::Redelivered, _) => {}
            (AckKind::Delivered, _) => consumer.widen_topic(ack.count),
            (_, Some(transaction)) => {
                consumer.count_topic_ack(ack.count);
                if let Some(transaction) = self
                    .connections
                    .get_mut(&conn)
                    .and_then(|connection| connection.transactions.get_mut(&transaction))
                {
                    transaction.count_topic_ack(key, ack.count);
                }
            }
            (_, None) => consumer.count_topic_ack(ack.count),
        }
    }

    fn acknowledge_held(
        &mut self,
        key: ConsumerKey,
        ack: &AckRequest,
        conn: ConnId,
        transaction: Option<i64>,
    ) -> Result<(), Fault> {
        let Some(consumer) = self.consumers.get_mut(key) else { return Ok(()) };
        match ack.kind {
            AckKind::Standard => {
                let (first, last) = match standard_range(consumer, ack) {
                    Ok(range) => range,
                    Err(refusal) => return self.repeated(conn, key, ack, refusal),
                };
                let gone = self.condemn_aside(key, first);
                let (first, last) = (first - gone, last - gone);
                match transaction {
                    Some(transaction) => self.acknowledge_later(key, conn, transaction, first, last),
                    None => self.acknowledge_range(key, first, last),
                }
            }
            AckKind::Individual => {
                let Some(index) = ack.last.as_ref().and_then(|id| consumer.find(id)) else { return Ok(()) };
                match transaction {
                    Some(transaction) => self.acknowledge_later(key, conn, transaction, index, index),
                    None => self.acknowledge_range(key, index, index),
                }
            }
            AckKind::Unmatched => {
                if let Some(index) = ack.last.as_ref().and_then(|id| consumer.find(id)) {
                    self.acknowledge_range(key, index, index);
                }
            }
            AckKind::Delivered => {
                let last = correlated(consumer, ack)?;
                for index in (0..=last).rev() {
                    match consumer.dispatched.get(index).map(|dispatched| dispatched.stage) {
                        Some(Stage::Outstanding) => consumer.set_stage(index, Stage::Delivered),
                        // What lies before was said to be delivered by an earlier one.
                        Some(Stage::Delivered) if index + (ack.count as usize) <= last => break,
                        _ => {}
                    }
                }
            }
            AckKind::Redelivered => {
                correlated(consumer, ack)?;
            }
            AckKind::Poison => {
                if ack.transaction.is_some() {
                    return Err(fault(
                        FaultKind::General,
                        format!("Poison ack cannot be transacted: {}", show(ack)),
                    ));
                }
                let last = correlated(consumer, ack);
                if self.sets_aside(conn, ack) {
                    self.set_aside(key, ack, last.ok());
                    return Ok(());
                }
                let last = last?;
                let Some(consumer) = self.consumers.get_mut(key) else { return Ok(()) };
                let first = first_of(consumer, ack, last);
                let cause = Cause::Poison(ack.cause.clone());
                for dispatched in self.take_range(key, first, last) {
                    self.condemn(dispatched.origin, dispatched.at, cause.clone());
                }
            }
            AckKind::Expired => {
                let last = correlated(consumer, ack)?;
                let first = first_of(consumer, ack, last);
                for dispatched in self.take_range(key, first, last) {
                    self.expire(dispatched.origin, dispatched.at);
                }
            }
        }
        Ok(())
    }

    fn take_range(&mut self, key: ConsumerKey, first: usize, last: usize) -> Vec<Dispatched> {
        let Some(consumer) = self.consumers.get_mut(key) else { return Vec::new() };
        (first..=last).filter_map(|_| consumer.take(first)).collect()
    }

    pub(crate) fn acknowledge_range(&mut self, key: ConsumerKey, first: usize, last: usize) {
        for _ in first..=last {
            let Some(dispatched) = self.consumers.get_mut(key).and_then(|consumer| consumer.take(first))
            else {
                break;
            };
            self.consumed(key, dispatched);
        }
    }

    /// A message was consumed: it leaves its destination.
    pub(crate) fn consumed(&mut self, key: ConsumerKey, dispatched: Dispatched) {
        if sequence_of(dispatched.at).0 < self.recovered_next
            && self
                .window_mut(dispatched.origin)
                .is_some_and(|w| sequence_of(dispatched.at) <= w.recovered_mark())
        {
            self.repeats.consumed(key, &dispatched);
        }
        let Some(entry) = self.retire(dispatched.origin, dispatched.at, Outcome::Acknowledged) else {
            return;
        };
        if self.settings.advisories
            && self.places.get(dispatched.origin.place).is_some_and(|site| site.policy.advisories.consumed)
            && let Some(message) = entry.body
        {
            self.tell_consumed(key, dispatched.origin.place, &message);
        }
    }

    /// Keeps acknowledgements for the end of a transaction; the messages no longer count against the window.
    fn acknowledge_later(
        &mut self,
        key: ConsumerKey,
        conn: ConnId,
        transaction: i64,
        first: usize,
        last: usize,
    ) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let mut count = 0;
        for index in first..=last {
            if consumer
                .dispatched
                .get(index)
                .is_some_and(|held| !matches!(held.stage, Stage::InTransaction(_)))
            {
                consumer.set_stage(index, Stage::InTransaction(transaction));
                count += 1;
            }
        }
        if let Some(transaction) = self
            .connections
            .get_mut(&conn)
            .and_then(|connection| connection.transactions.get_mut(&transaction))
        {
            transaction.count_ack(key, count);
        }
    }

    /// Takes a message out of its destination and, if it is there, out of the store.
    pub(crate) fn retire(&mut self, origin: Origin, place: Place, outcome: Outcome) -> Option<Entry> {
        let (ticket, durable) = (self.outbox.ticket(), self.outbox.durable());
        let site = self.places.arena.get_mut(origin.place)?;
        let (entry, subscription) = match origin.durable {
            None => (site.queue_mut()?.window.remove(place, ticket, durable)?, None),
            Some(key) => {
                let found = self.durables.get_mut(key)?;
                let subscription = found.record.id;
                (found.window_mut(origin.place)?.remove(place, ticket, durable)?, Some(subscription))
            }
        };
        match outcome {
            Outcome::Acknowledged => site.counters.acknowledged += 1,
            Outcome::Expired => site.counters.expired += 1,
            Outcome::DeadLettered => site.counters.dead_lettered += 1,
            Outcome::Discarded => site.counters.discarded += 1,
        }
        let charge = u64::from(entry.charge);
        if !entry.stored {
            site.memory_bytes = site.memory_bytes.saturating_sub(charge);
            if subscription.is_none() {
                self.flow.free_temp(charge);
            }
            self.flow.free_memory(charge);
            self.position_settled(origin, place);
            return Some(entry);
        }
        if entry.body.is_some() {
            self.flow.cache_bytes = self.flow.cache_bytes.saturating_sub(charge);
        }
        site.store_bytes = site.store_bytes.saturating_sub(charge);
        self.flow.unstored(charge);
        if let Some(destination) = site.id {
            let sequence = sequence_of(place);
            self.outbox.op(match subscription {
                None => StoreOp::RemoveMessage { destination, sequence },
                Some(subscription) => StoreOp::AckDurable { subscription, destination, sequence },
            });
        }
        self.position_settled(origin, place);
        if subscription.is_none() {
            self.refill(origin.place);
        }
        Some(entry)
    }

    /// Looks for more when a queue's window ran low through acknowledgements.
    fn refill(&mut self, place: crate::place::PlaceKey) {
        if let Some(queue) = self.places.get_mut(place).and_then(|site| site.queue_mut())
            && !queue.window.at_end()
            && !queue.attached.is_empty()
            && !queue.window.is_paging()
            && queue.window.ready() == 0
        {
            self.wake_place(place);
        }
    }

    /// The number of an open transaction of this connection.
    pub(crate) fn open_transaction(&self, conn: ConnId, id: &TransactionId) -> Result<i64, Fault> {
        match id {
            TransactionId::Xa(_) => Err(crate::transaction::no_xa()),
            TransactionId::Local(local) => {
                let open = self
                    .connections
                    .get(&conn)
                    .is_some_and(|connection| connection.transactions.contains_key(&local.value));
                if open {
                    Ok(local.value)
                } else {
                    Err(fault(FaultKind::General, format!("Transaction '{id}' has not been started.")))
                }
            }
        }
    }
}

/// The range that a STANDARD acknowledgement means: what ActiveMQ demands of one (OpenWire v12, MessageAck).
pub(crate) fn standard_range(consumer: &mut Consumer, ack: &AckRequest) -> Result<(usize, usize), Fault> {
    let unmatched =
        |why: String| fault(FaultKind::General, format!("Unmatched acknowledge: {}; {why}", show(ack)));
    let first = match &ack.first {
        None => 0,
        Some(id) => consumer
            .dispatched
            .front()
            .is_some_and(|front| front.is(id))
            .then_some(0)
            .or_else(|| consumer.find(id))
            .ok_or_else(|| {
                unmatched(format!("Could not find Message-ID {id} in dispatched-list (start of ack)"))
            })?,
    };
    let last = match &ack.last {
        None => consumer
            .dispatched
            .len()
            .checked_sub(1)
            .ok_or_else(|| unmatched("nothing was dispatched".into()))?,
        Some(id) if ack.first.as_ref() == Some(id) => first,
        Some(id) => consumer.find(id).filter(|last| *last >= first).ok_or_else(|| {
            unmatched(format!("Could not find Message-ID {id} in dispatched-list (end of ack)"))
        })?,
    };
    let found = last - first + 1;
    if ack.transaction.is_none() && found as u64 != u64::from(ack.count) {
        return Err(unmatched(format!(
            "Expected message count ({}) differs from count in dispatched-list ({found})",
            ack.count
        )));
    }
    Ok((first, last))
}

fn correlated(consumer: &mut Consumer, ack: &AckRequest) -> Result<usize, Fault> {
    ack.last.as_ref().and_then(|id| consumer.find(id)).ok_or_else(|| {
        fault(
            FaultKind::General,
            format!("Could not correlate acknowledgment with dispatched message: {}", show(ack)),
        )
    })
}

/// Where a range begins whose end was found: at its named first message, or as far back as its count says.
pub(crate) fn first_of(consumer: &mut Consumer, ack: &AckRequest, last: usize) -> usize {
    match &ack.first {
        Some(id) if ack.last.as_ref() == Some(id) => last,
        Some(id) => consumer.find(id).filter(|first| *first <= last).unwrap_or(last),
        None => (last + 1).saturating_sub((ack.count as usize).max(1)),
    }
}

fn show(ack: &AckRequest) -> String {
    let id =
        |id: &Option<ferromq_model::MessageId>| id.as_ref().map_or("none".to_owned(), ToString::to_string);
    format!(
        "MessageAck {{ type: {:?}, consumer: {}:{}, first: {}, last: {}, count: {} }}",
        ack.kind,
        ack.consumer.session,
        ack.consumer.value,
        id(&ack.first),
        id(&ack.last),
        ack.count
    )
}

impl Consumer {
    /// Whether it takes messages of a durable subscription.
    pub(crate) const fn durable(&self) -> Option<crate::durable::DurableKey> {
        match self.role {
            Role::Durable(durable) => Some(durable),
            _ => None,
        }
    }
}

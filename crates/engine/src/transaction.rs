//! Local transactions: sends and acknowledgements kept aside until the end, then done as one unit of work.

use ferromq_model::{DestinationKind, LocalTransactionId, ProducerId, TransactionId};
use ferromq_store::StoreOp;

use crate::consumer::{ConsumerKey, Dispatched, Stage};
use crate::dedup::Slot;
use crate::engine::{Engine, fault};
use crate::{ConnId, Effect, Fault, FaultKind, SendRequest, Tag, TransactionVerb};

/// One open transaction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    sends: Vec<SendRequest>,
    send_bytes: usize,
    /// Consumers with acknowledgements in it, and how many.
    acks: Vec<(ConsumerKey, usize)>,
    ack_count: usize,
    topic_acks: Vec<(ConsumerKey, u32)>,
    /// Acknowledged messages whose consumer is gone.
    pub(crate) orphans: Vec<Dispatched>,
    /// Why it can't be committed any more.
    doomed: Option<String>,
}

impl Transaction {
    pub(crate) fn count_ack(&mut self, consumer: ConsumerKey, count: usize) {
        self.ack_count += count;
        match self.acks.iter_mut().find(|(known, _)| *known == consumer) {
            Some((_, known)) => *known += count,
            None => self.acks.push((consumer, count)),
        }
    }

    pub(crate) fn count_topic_ack(&mut self, consumer: ConsumerKey, count: u32) {
        match self.topic_acks.iter_mut().find(|(known, _)| *known == consumer) {
            Some((_, known)) => *known = known.saturating_add(count),
            None => self.topic_acks.push((consumer, count)),
        }
    }
}

/// Under what name the committed transactions of a connection are remembered: a producer that no client can have, since
/// sessions of clients count from −1.
fn outcomes(id: &LocalTransactionId) -> ProducerId {
    ProducerId::new(id.connection.clone(), i64::MIN, 0)
}

/// XA is refused in words that name the way out.
pub(crate) fn no_xa() -> Fault {
    fault(FaultKind::Unsupported, "XA transactions are not supported yet; use local transactions")
}

impl Engine {
    /// A client begins or ends a transaction.
    pub(crate) fn transaction(
        &mut self,
        conn: ConnId,
        tag: Option<Tag>,
        id: Option<TransactionId>,
        verb: TransactionVerb,
    ) {
        let mut again = false;
        let done = match (id, verb) {
            (None, TransactionVerb::Recover) => {
                return self.outbox.reply(conn, tag, Effect::Transactions(Vec::new()));
            }
            (None, _) => Err(fault(FaultKind::Protocol, "a transaction command needs a transaction id")),
            (Some(TransactionId::Xa(_)), TransactionVerb::Recover) => {
                return self.outbox.reply(conn, tag, Effect::Transactions(Vec::new()));
            }
            (Some(TransactionId::Xa(_)), _) => Err(no_xa()),
            (Some(TransactionId::Local(local)), verb) => {
                let id = TransactionId::Local(local.clone());
                let connection = self.connections.get_mut(&conn);
                let open =
                    connection.as_ref().is_some_and(|found| found.transactions.contains_key(&local.value));
                match verb {
                    TransactionVerb::Begin => {
                        if let Some(connection) = connection {
                            connection.transactions.entry(local.value).or_default();
                        }
                        Ok(())
                    }
                    TransactionVerb::CommitOnePhase | TransactionVerb::CommitTwoPhase if open => {
                        self.commit(conn, local.value, &id).map(|known| again = known)
                    }
                    TransactionVerb::CommitOnePhase | TransactionVerb::CommitTwoPhase => {
                        again = true;
                        self.repeat_commit(&local)
                    }
                    TransactionVerb::Rollback if open => {
                        self.rollback(conn, local.value);
                        Ok(())
                    }
                    TransactionVerb::Rollback => Err(fault(
                        FaultKind::IllegalState,
                        format!("Cannot rollback a transaction that had not been started: {id}"),
                    )),
                    TransactionVerb::Prepare => {
                        Err(fault(FaultKind::General, format!("Cannot prepare a local transaction: {id}")))
                    }
                    _ => Ok(()),
                }
            }
        };
        match done {
            Ok(()) if again => self.outbox.reply_again(conn, tag, Effect::Done),
            Ok(()) => self.outbox.reply(conn, tag, Effect::Done),
            Err(fault) => self.outbox.fail(conn, tag, fault),
        }
    }

    /// Keeps a send for the commit. A failure dooms the transaction, for a client does not wait for the answer.
    pub(crate) fn send_in_transaction(
        &mut self,
        conn: ConnId,
        id: &TransactionId,
        request: SendRequest,
    ) -> Result<(ProducerId, u32), Fault> {
        let number = self.open_transaction(conn, id)?;
        let target = self.target(conn, &request.producer, &request.message.destination);
        let (most, most_bytes) = (self.settings.transaction_entries, self.settings.transaction_bytes);
        let Some(transaction) =
            self.connections.get_mut(&conn).and_then(|connection| connection.transactions.get_mut(&number))
        else {
            return Err(fault(FaultKind::General, format!("Transaction '{id}' has not been started.")));
        };
        let charge = request.message.charge();
        let refused = match target {
            Err(fault) => Some(fault),
            Ok(_) if transaction.sends.len() >= most || transaction.send_bytes + charge > most_bytes => {
                Some(fault(
                    FaultKind::ResourceAllocation,
                    format!(
                        "{id} holds {} messages already; commit in smaller steps",
                        transaction.sends.len()
                    ),
                ))
            }
            Ok(_) => None,
        };
        if let Some(refused) = refused {
            transaction.doomed.get_or_insert_with(|| refused.text.clone());
            return Err(refused);
        }
        transaction.send_bytes += charge;
        let window = (request.producer.clone(), request.window_bytes);
        transaction.sends.push(request);
        self.flow.memory_bytes += charge as u64;
        Ok(window)
    }

    /// An acknowledgement failed, and its client does not wait for the answer: it hears of it when it commits, as in
    /// ActiveMQ. Else it would take for consumed what comes again: after a takeover clients repeat what they had said
    /// in a transaction, and acknowledge what the new broker has not dispatched yet.
    pub(crate) fn doom(&mut self, conn: ConnId, id: &TransactionId, refused: &Fault) {
        let Ok(number) = self.open_transaction(conn, id) else { return };
        let connection = self.connections.get_mut(&conn);
        if let Some(transaction) = connection.and_then(|found| found.transactions.get_mut(&number)) {
            transaction.doomed.get_or_insert_with(|| refused.text.clone());
        }
    }

    /// A commit that was heard before, perhaps by a broker that is gone, is answered as it was then.
    fn repeat_commit(&self, id: &LocalTransactionId) -> Result<(), Fault> {
        if self.dedup.knows(&outcomes(id), id.value, Slot::default()) {
            return Ok(());
        }
        let id = TransactionId::Local(id.clone());
        Err(fault(
            FaultKind::RolledBack,
            format!("{id} is not known here, nothing of it was done; do its work again in a new transaction"),
        ))
    }

    /// Remembers in the unit of work of a commit that there was one. Outcomes are kept like the sequences of a
    /// producer: a window for each connection, bounded, stored with what they are about.
    fn note_commit(&mut self, id: &TransactionId) {
        let TransactionId::Local(local) = id else { return };
        let producer = outcomes(local);
        self.dedup.mark(&producer, local.value, Slot::default());
        if self.outbox.has_ops() {
            self.outbox.op(StoreOp::Dedup { producer, sequence: local.value });
        }
    }

    fn take_transaction(&mut self, conn: ConnId, number: i64) -> Option<Transaction> {
        let transaction = self.connections.get_mut(&conn)?.transactions.remove(&number)?;
        self.flow.free_memory(transaction.send_bytes as u64);
        Some(transaction)
    }

    /// Does all of a transaction; the answer is whether some of it had been done before.
    fn commit(&mut self, conn: ConnId, number: i64, id: &TransactionId) -> Result<bool, Fault> {
        let Some(transaction) = self.take_transaction(conn, number) else { return Ok(false) };
        let refused = match &transaction.doomed {
            Some(why) => Some(fault(
                FaultKind::RolledBack,
                format!("Transaction {id} has been marked as rollback only: {why}"),
            )),
            None => self.commit_refused(conn, &transaction, id),
        };
        if let Some(refused) = refused {
            self.undo(number, transaction);
            return Err(refused);
        }
        let mut woken = Vec::new();
        for (key, mut count) in transaction.acks {
            let Some(consumer) = self.consumers.get_mut(key) else { continue };
            let mut consumed = Vec::with_capacity(count);
            let mut index = 0;
            // The oldest are acknowledged first nearly always, so this seldom looks further than `count`.
            while count > 0 && index < consumer.dispatched.len() {
                if consumer
                    .dispatched
                    .get(index)
                    .is_some_and(|held| held.stage == Stage::InTransaction(number))
                {
                    consumed.extend(consumer.take(index));
                    count -= 1;
                } else {
                    index += 1;
                }
            }
            consumer.hint = 0;
            for dispatched in consumed {
                self.consumed(key, dispatched);
            }
            woken.push(key);
        }
        for orphan in transaction.orphans {
            self.retire(orphan.origin, orphan.at, crate::ack::Outcome::Acknowledged);
        }
        self.raise_barrier(&transaction.sends);
        let mut again = false;
        for request in &transaction.sends {
            if self.is_repeated(conn, request) {
                again = true;
                continue;
            }
            match self.target(conn, &request.producer, &request.message.destination) {
                Ok(target) => self.take_in(conn, request, &target),
                Err(gone) => self.outbox.log(
                    crate::Severity::Warn,
                    format!(
                        "{id}: message {} has no destination any longer: {}",
                        request.message.id, gone.text
                    ),
                ),
            }
        }
        self.commit_barrier = false;
        self.note_commit(id);
        for consumer in woken {
            self.wake_consumer(consumer);
        }
        self.outbox_requires_if_any();
        Ok(again)
    }

    /// Nothing of a transaction may be seen before all of it is durable, not even what would not wait by itself.
    fn raise_barrier(&mut self, sends: &[SendRequest]) {
        let lasting = |request: &&SendRequest| request.message.persistent;
        if !self.outbox.has_ops() {
            let hasty = sends.iter().any(|request| {
                !request.message.persistent || request.message.destination.kind != DestinationKind::Queue
            }) || !self.settings.composites.is_empty()
                || self.settings.mirror_prefix.is_some();
            let Some(first) = sends.iter().find(lasting) else { return };
            if !hasty || sends.len() < 2 {
                return;
            }
            // The unit of work must be there before anything waits for it.
            let (producer, sequence) = (first.message.id.producer.clone(), first.message.id.sequence);
            self.outbox.op(StoreOp::Dedup { producer, sequence });
        }
        self.commit_barrier = true;
    }

    fn outbox_requires_if_any(&mut self) {
        if self.outbox.has_ops() {
            self.outbox.require();
        }
    }

    /// Why a commit must fail for lack of room: then all of it fails.
    fn commit_refused(
        &mut self,
        conn: ConnId,
        transaction: &Transaction,
        id: &TransactionId,
    ) -> Option<Fault> {
        for request in &transaction.sends {
            if !request.message.persistent {
                continue;
            }
            let target = self.target(conn, &request.producer, &request.message.destination).ok()?;
            for place in target.places() {
                if let Err(full @ (crate::flow::Full::Disk | crate::flow::Full::Store(_))) =
                    self.room(*place, &request.message)
                {
                    return Some(fault(
                        FaultKind::ResourceAllocation,
                        format!(
                            "{id} was rolled back: the persistent store is full ({full:?}); let consumers drain it, or make room"
                        ),
                    ));
                }
            }
        }
        None
    }

    /// Ends a transaction as if it had not been.
    pub(crate) fn rollback(&mut self, conn: ConnId, number: i64) {
        if let Some(transaction) = self.take_transaction(conn, number) {
            self.undo(number, transaction);
        }
    }

    /// Acknowledged messages stay with their consumer, which delivers them again by itself.
    fn undo(&mut self, number: i64, transaction: Transaction) {
        for (key, mut count) in transaction.acks {
            let Some(consumer) = self.consumers.get_mut(key) else { continue };
            for index in 0..consumer.dispatched.len() {
                if count == 0 {
                    break;
                }
                if consumer
                    .dispatched
                    .get(index)
                    .is_some_and(|held| held.stage == Stage::InTransaction(number))
                {
                    consumer.set_stage(index, Stage::Outstanding);
                    count -= 1;
                }
            }
        }
        for (key, count) in transaction.topic_acks {
            if let Some(consumer) = self.consumers.get_mut(key) {
                consumer.topic_unacknowledged = consumer.topic_unacknowledged.saturating_add(count);
                consumer.outstanding = consumer.outstanding.saturating_add(count);
            }
        }
        for orphan in transaction.orphans {
            self.give_back(&orphan, true);
        }
        drop(transaction.sends);
    }

    /// Everything that a connection had begun ends.
    pub(crate) fn rollback_all(&mut self, conn: ConnId) {
        let open: Vec<i64> = self
            .connections
            .get(&conn)
            .map(|connection| connection.transactions.keys().copied().collect())
            .unwrap_or_default();
        for number in open {
            self.rollback(conn, number);
        }
    }
}

impl Transaction {
    /// Bytes of the messages that it will send.
    pub(crate) const fn send_bytes(&self) -> usize {
        self.send_bytes
    }
}

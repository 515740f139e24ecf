//! Workload clients: producers that retry what was not answered, consumers that acknowledge in every mode.
//!
//! They behave as a `failover:` client does: ids survive a reconnect, an unanswered send is sent again under the
//! same message id, an unanswered commit is left unknown.

use std::collections::{BTreeMap, VecDeque};

use ferromq_env::simulated::SeededEntropy;
use ferromq_openwire::{
    AckType, Body, Command, ConnectionId, ConnectionInfo, ConsumerId, ConsumerInfo, Destination, Error,
    Limits, LocalTransactionId, Message, MessageAck, MessageDispatch, MessageId, MessageKind, ProducerId,
    ProducerInfo, SessionId, SessionInfo, TransactionId, TransactionInfo, TransactionType, WireFormatOptions,
};

use crate::oracle::{Channel, Oracle, Parcel, Work};
use crate::wire::Wire;

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Producer(Producing),
    Consumer(Consuming),
}

/// A producer's task.
#[derive(Clone, Debug)]
pub(crate) struct Producing {
    pub(crate) channels: Vec<Channel>,
    /// Messages to send in all.
    pub(crate) messages: u32,
    /// Messages in a transaction; 0 for none.
    pub(crate) batch: u32,
    pub(crate) body_bytes: usize,
    pub(crate) persistent: bool,
}

/// A consumer's task.
#[derive(Clone, Debug)]
pub(crate) struct Consuming {
    pub(crate) channel: Channel,
    /// The durable subscription, if the destination is a topic.
    pub(crate) durable: Option<String>,
    pub(crate) prefetch: i32,
    pub(crate) mode: AckMode,
}

/// How a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckMode {
    /// Each message, and waits for the answer.
    Answered,
    /// Each message, without an answer, as stock clients do.
    Silent,
    /// So many in a transaction.
    Transacted(usize),
}

/// What an answer is awaited for.
#[derive(Clone, Debug)]
enum Awaited {
    Setup,
    Send(Parcel),
    Commit(Work),
    Ack(Parcel),
    ConsumerCommit(Work, Vec<Parcel>),
}

/// One client process: it lives through all its connections.
pub(crate) struct Client {
    pub(crate) number: u32,
    destination: Destination,
    role: Role,
    options: WireFormatOptions,
    wire: Option<Wire>,
    introduced: bool,
    ready: bool,
    awaited: BTreeMap<i32, Awaited>,
    /// Sends that were not answered before the connection broke.
    retry: VecDeque<Parcel>,
    sent: u32,
    /// Sends of the transaction that is open.
    in_batch: u32,
    works: u32,
    /// Deliveries that are not acknowledged, in a transacted consumer.
    held: Vec<(MessageId, Parcel)>,
    /// Tells connections apart: order is promised to a consumer as long as it lives.
    incarnation: u32,
}

impl Client {
    pub(crate) fn new(number: u32, destination: Destination, role: Role, options: WireFormatOptions) -> Self {
        Self {
            number,
            destination,
            role,
            options,
            wire: None,
            introduced: false,
            ready: false,
            awaited: BTreeMap::new(),
            retry: VecDeque::new(),
            sent: 0,
            in_batch: 0,
            works: 0,
            held: Vec::new(),
            incarnation: 0,
        }
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether it is connected and waits for an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.wire.is_some() && !(self.ready && self.awaited.is_empty())
    }

    pub(crate) const fn is_consumer(&self) -> bool {
        matches!(self.role, Role::Consumer(_))
    }

    /// Whether everything that was to be sent has been sent and answered.
    pub(crate) fn is_done(&self) -> bool {
        match &self.role {
            Role::Producer(task) => {
                self.sent >= task.messages
                    && self.retry.is_empty()
                    && self.in_batch == 0
                    && self.awaited.is_empty()
            }
            Role::Consumer(_) => true,
        }
    }

    /// A connection is open.
    pub(crate) fn connected(&mut self) -> Result<(), Error> {
        self.wire = Some(Wire::open(self.options.clone())?);
        self.introduced = false;
        self.ready = false;
        self.incarnation += 1;
        Ok(())
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, oracle: &mut Oracle) {
        self.wire = None;
        self.ready = false;
        for (_, awaited) in std::mem::take(&mut self.awaited) {
            if let Awaited::Send(parcel) = awaited {
                self.retry.push_back(parcel);
            }
        }
        if self.in_batch > 0 {
            // Never to be committed: the broker must have forgotten it.
            oracle.work_ended(self.work(), false, &[]);
            self.in_batch = 0;
            self.works += 1;
        }
        self.held.clear();
    }

    /// What is to be sent.
    pub(crate) fn take_out(&mut self) -> Vec<u8> {
        self.wire.as_mut().map(Wire::take_out).unwrap_or_default()
    }

    /// Bytes have arrived.
    pub(crate) fn received(
        &mut self,
        bytes: &[u8],
        oracle: &mut Oracle,
        dice: &mut SeededEntropy,
    ) -> Result<(), Error> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        for command in wire.receive(bytes)? {
            match command {
                Command::Response(answer) => self.answered(answer.correlation_id, true, oracle),
                Command::ExceptionResponse(answer) => self.answered(answer.correlation_id, false, oracle),
                Command::MessageDispatch(dispatch) => self.dispatched(&dispatch, oracle, dice)?,
                _ => {}
            }
        }
        if self.wire.as_ref().is_some_and(Wire::is_greeted) && !self.introduced {
            self.introduce()?;
        }
        Ok(())
    }

    fn connection_id(&self) -> ConnectionId {
        ConnectionId::new(format!("ID:sim-{}:1", self.number))
    }

    fn session_id(&self) -> SessionId {
        SessionId::new(format!("ID:sim-{}:1", self.number), 1)
    }

    fn consumer_id(&self) -> ConsumerId {
        ConsumerId::new(&self.session_id(), 1)
    }

    fn producer_id(&self) -> ProducerId {
        ProducerId::new(&self.session_id(), 1)
    }

    fn work(&self) -> Work {
        Work(self.number * 10_000 + self.works)
    }

    fn transaction_id(&self) -> TransactionId {
        LocalTransactionId { value: i64::from(self.works) + 1, connection_id: Some(self.connection_id()) }
            .into()
    }

    fn introduce(&mut self) -> Result<(), Error> {
        self.introduced = true;
        let (connection, session) = (self.connection_id(), self.session_id());
        let reconnected = self.incarnation > 1;
        let (producer, consumer) = (self.producer_id(), self.consumer_id());
        let destination = self.destination.clone();
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let id = wire.next_id();
        self.awaited.insert(id, Awaited::Setup);
        wire.send(ConnectionInfo {
            command_id: id,
            response_required: true,
            connection_id: Some(connection),
            client_id: Some(format!("sim-{}", self.number).into()),
            fault_tolerant: true,
            failover_reconnect: reconnected,
            client_master: true,
            ..ConnectionInfo::default()
        })?;
        let id = wire.next_id();
        wire.send(SessionInfo { command_id: id, session_id: Some(session), ..SessionInfo::default() })?;
        let id = wire.next_id();
        self.awaited.insert(id, Awaited::Setup);
        match &self.role {
            Role::Producer(_) => wire.send(ProducerInfo {
                command_id: id,
                response_required: true,
                producer_id: Some(producer),
                destination: Some(destination),
                ..ProducerInfo::default()
            }),
            Role::Consumer(task) => wire.send(ConsumerInfo {
                command_id: id,
                response_required: true,
                consumer_id: Some(consumer),
                destination: Some(destination),
                prefetch_size: task.prefetch,
                subscription_name: task.durable.as_deref().map(Into::into),
                dispatch_async: true,
                ..ConsumerInfo::default()
            }),
        }
    }

    fn answered(&mut self, correlation: i32, done: bool, oracle: &mut Oracle) {
        let Some(awaited) = self.awaited.remove(&correlation) else { return };
        match awaited {
            Awaited::Setup => {
                self.ready = self.introduced && !self.awaited.values().any(|a| matches!(a, Awaited::Setup));
                if !done {
                    oracle.accuse("progress", format!("client {} was refused", self.number));
                }
            }
            Awaited::Send(parcel) => oracle.send_answered(parcel, done),
            Awaited::Commit(work) => oracle.work_ended(work, done, &[]),
            Awaited::Ack(parcel) => {
                if let (true, Role::Consumer(task)) = (done, &self.role) {
                    oracle.consumed(task.channel, parcel);
                }
            }
            Awaited::ConsumerCommit(work, parcels) => {
                if let Role::Consumer(task) = &self.role {
                    let consumed: Vec<_> = parcels.into_iter().map(|parcel| (task.channel, parcel)).collect();
                    oracle.work_ended(work, done, &consumed);
                }
            }
        }
    }

    /// A moment in which the client may do something; whether it did.
    pub(crate) fn act(&mut self, oracle: &mut Oracle, dice: &mut SeededEntropy) -> Result<bool, Error> {
        let Role::Producer(task) = self.role.clone() else { return Ok(false) };
        if !self.ready || !self.awaited.is_empty() {
            return Ok(false);
        }
        if let Some(parcel) = self.retry.pop_front() {
            self.send(parcel, &task, None)?;
            return Ok(true);
        }
        if task.batch == 0 {
            if self.sent >= task.messages {
                return Ok(false);
            }
            let parcel = self.next_parcel();
            oracle.sending(parcel, &task.channels, task.persistent, None);
            self.send(parcel, &task, None)?;
            return Ok(true);
        }
        self.act_in_transaction(&task, oracle, dice)
    }

    fn act_in_transaction(
        &mut self,
        task: &Producing,
        oracle: &mut Oracle,
        dice: &mut SeededEntropy,
    ) -> Result<bool, Error> {
        if self.in_batch == 0 {
            if self.sent >= task.messages {
                return Ok(false);
            }
            self.transaction(TransactionType::Begin, None)?;
        }
        if self.in_batch < task.batch {
            let parcel = self.next_parcel();
            self.in_batch += 1;
            oracle.sending(parcel, &task.channels, true, Some(self.work()));
            let transaction = self.transaction_id();
            self.send(parcel, task, Some(transaction))?;
            return Ok(true);
        }
        if dice.chance(1, 5) {
            oracle.work_ended(self.work(), false, &[]);
            self.transaction(TransactionType::Rollback, Some(Awaited::Setup))?;
        } else {
            oracle.committing(self.work());
            let work = self.work();
            self.transaction(TransactionType::CommitOnePhase, Some(Awaited::Commit(work)))?;
        }
        self.in_batch = 0;
        self.works += 1;
        Ok(true)
    }

    fn next_parcel(&mut self) -> Parcel {
        self.sent += 1;
        Parcel { producer: self.number, number: self.sent }
    }

    fn send(
        &mut self,
        parcel: Parcel,
        task: &Producing,
        transaction: Option<TransactionId>,
    ) -> Result<(), Error> {
        let mut message = Message::new(MessageKind::Text);
        message.set_text(&format!("{parcel} {}", "x".repeat(task.body_bytes)))?;
        message.producer_id = Some(self.producer_id());
        message.message_id = Some(MessageId::new(self.producer_id(), i64::from(parcel.number)));
        message.destination = Some(self.destination.clone());
        message.persistent = task.persistent;
        message.priority = 4;
        message.response_required = transaction.is_none();
        message.transaction_id = transaction;
        let Some(wire) = &mut self.wire else { return Ok(()) };
        message.command_id = wire.next_id();
        if message.response_required {
            self.awaited.insert(message.command_id, Awaited::Send(parcel));
        }
        wire.send(message)
    }

    fn transaction(&mut self, kind: TransactionType, awaited: Option<Awaited>) -> Result<(), Error> {
        let (connection, transaction) = (self.connection_id(), self.transaction_id());
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let id = wire.next_id();
        let response_required = awaited.is_some();
        if let Some(awaited) = awaited {
            self.awaited.insert(id, awaited);
        }
        wire.send(TransactionInfo {
            command_id: id,
            response_required,
            connection_id: Some(connection),
            transaction_id: Some(transaction),
            kind: kind as i8,
        })
    }

    fn dispatched(
        &mut self,
        dispatch: &MessageDispatch,
        oracle: &mut Oracle,
        dice: &mut SeededEntropy,
    ) -> Result<(), Error> {
        let Role::Consumer(task) = self.role.clone() else { return Ok(()) };
        let Some(message) = &dispatch.message else { return Ok(()) };
        let text = match message.body(&Limits::default())? {
            Body::Text(text) => text.to_str().into_owned(),
            other => format!("{other:?}"),
        };
        let Some(parcel) = text.split(' ').next().and_then(Parcel::parse) else {
            oracle.accuse("no-invention", format!("a message with the body {text:?} was delivered"));
            return Ok(());
        };
        let Some(id) = message.message_id.clone() else {
            oracle.accuse("no-invention", format!("{parcel} was delivered without its id"));
            return Ok(());
        };
        let consumer = self.number * 10_000 + self.incarnation;
        oracle.delivered(consumer, task.channel, parcel, dispatch.redelivery_counter > 0);
        match task.mode {
            AckMode::Answered => self.ack(&id, &id, 1, Some(Awaited::Ack(parcel)), None),
            AckMode::Silent => self.ack(&id, &id, 1, None, None),
            AckMode::Transacted(batch) => {
                self.held.push((id, parcel));
                if self.held.len() >= batch { self.end_consumer_transaction(oracle, dice) } else { Ok(()) }
            }
        }
    }

    /// Commits what was received, or rolls back, keeps it and commits it later, as a client that redelivers does.
    fn end_consumer_transaction(
        &mut self,
        oracle: &mut Oracle,
        dice: &mut SeededEntropy,
    ) -> Result<(), Error> {
        let (Some((first, _)), Some((last, _))) = (self.held.first().cloned(), self.held.last().cloned())
        else {
            return Ok(());
        };
        let count = i32::try_from(self.held.len()).unwrap_or(i32::MAX);
        self.transaction(TransactionType::Begin, None)?;
        let transaction = self.transaction_id();
        self.ack(&first, &last, count, None, Some(transaction))?;
        let work = self.work();
        if dice.chance(1, 5) {
            self.transaction(TransactionType::Rollback, None)?;
        } else {
            let parcels = self.held.drain(..).map(|(_, parcel)| parcel).collect();
            oracle.committing(work);
            self.transaction(TransactionType::CommitOnePhase, Some(Awaited::ConsumerCommit(work, parcels)))?;
        }
        self.works += 1;
        Ok(())
    }

    /// Acknowledges what is held although the transaction is not full: the queue may be empty.
    pub(crate) fn flush(&mut self, oracle: &mut Oracle, dice: &mut SeededEntropy) -> Result<(), Error> {
        if self.ready && !self.held.is_empty() { self.end_consumer_transaction(oracle, dice) } else { Ok(()) }
    }

    fn ack(
        &mut self,
        first: &MessageId,
        last: &MessageId,
        count: i32,
        awaited: Option<Awaited>,
        transaction: Option<TransactionId>,
    ) -> Result<(), Error> {
        let (consumer, destination) = (self.consumer_id(), self.destination.clone());
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let id = wire.next_id();
        let response_required = awaited.is_some();
        if let Some(awaited) = awaited {
            self.awaited.insert(id, awaited);
        }
        wire.send(MessageAck {
            command_id: id,
            response_required,
            destination: Some(destination),
            transaction_id: transaction,
            consumer_id: Some(consumer),
            ack_type: AckType::Standard as i8,
            first_message_id: Some(first.clone()),
            last_message_id: Some(last.clone()),
            message_count: count,
            poison_cause: None,
        })
    }
}

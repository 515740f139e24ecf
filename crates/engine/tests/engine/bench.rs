//! The test bench: an engine, a store in memory, and clients that say one thing after another.
//!
//! Every step checks the books, and that no message that is being stored leaves before it is durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferromq_engine::*;
use ferromq_model::*;
use ferromq_store::spool::{BlockId, SpoolOp, Spooled};
use ferromq_store::*;

use crate::memory::Memory;

/// Properties as lines `name=type:value`.
#[derive(Debug)]
pub struct Lines;

impl PropertyCodec for Lines {
    fn property(&self, _: Encoding, raw: &Bytes, name: &str) -> Option<Value> {
        let text = std::str::from_utf8(raw).ok()?;
        let (kind, value) = text
            .lines()
            .find_map(|line| line.split_once('=').filter(|(n, _)| *n == name))?
            .1
            .split_once(':')?;
        Some(match kind {
            "bool" => Value::Bool(value.parse().ok()?),
            "int" => Value::Int(value.parse().ok()?),
            "long" => Value::Long(value.parse().ok()?),
            _ => Value::String(Text::from(value)),
        })
    }

    fn with_properties(&self, _: Encoding, raw: Option<&Bytes>, entries: &[(&str, Value)]) -> Bytes {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        for line in raw.and_then(|raw| std::str::from_utf8(raw).ok()).unwrap_or("").lines() {
            if let Some((name, value)) = line.split_once('=') {
                lines.insert(name.into(), value.into());
            }
        }
        for (name, value) in entries {
            let value = match value {
                Value::Bool(truth) => format!("bool:{truth}"),
                Value::Int(n) => format!("int:{n}"),
                Value::Long(n) => format!("long:{n}"),
                Value::String(text) => format!("string:{text}"),
                other => format!("other:{other:?}"),
            };
            lines.insert((*name).into(), value);
        }
        Bytes::from(lines.iter().map(|(n, v)| format!("{n}={v}\n")).collect::<String>())
    }
}

/// What a consumer was handed.
#[derive(Clone, Debug)]
pub struct Got {
    pub conn: ConnId,
    pub consumer: LocalId,
    pub delivery: Delivery,
}

impl Got {
    pub fn text(&self) -> String {
        match &self.delivery.message {
            None => "-".into(),
            Some(message) => {
                String::from_utf8_lossy(message.body.as_deref().unwrap_or_default()).into_owned()
            }
        }
    }
}

/// A client of the broker.
#[derive(Clone, Debug)]
pub struct Client {
    pub conn: ConnId,
    pub id: Text,
}

pub struct Bench {
    pub engine: Engine,
    pub store: Memory,
    pub now: Now,
    /// Whether units of work become durable, and loads are answered, at once.
    pub auto: bool,
    pub unsynced: VecDeque<WriteBatch>,
    pub loads: VecDeque<(LoadId, LoadRequest)>,
    /// What was handed to the spool and not answered, and what is in it.
    pub spooling: VecDeque<SpoolOp>,
    pub spool: BTreeMap<BlockId, Arc<Vec<Spooled>>>,
    /// Whether the spool can be written, and read.
    pub spool_full: bool,
    pub spool_damaged: bool,
    pub spool_writes: usize,
    pub got: Vec<Got>,
    pub replies: BTreeMap<u32, Effect>,
    pub notices: Vec<(ConnId, Notice)>,
    pub closed: Vec<ConnId>,
    pub paused: BTreeSet<ConnId>,
    pub logs: Vec<LogEvent>,
    pub loaded_bodies: usize,
    settings: Settings,
    next_conn: u64,
    next_tag: u32,
    next_id: i64,
    sent: BTreeMap<ProducerId, i64>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        Self {
            engine: Engine::new(settings.clone(), Arc::new(Lines), Epoch { number: 1, claim: ClaimId(1) }),
            store: Memory::default(),
            now: Now { mono: Instant(1_000_000), wall: WallTime(1_000_000) },
            auto: true,
            unsynced: VecDeque::new(),
            loads: VecDeque::new(),
            spooling: VecDeque::new(),
            spool: BTreeMap::new(),
            spool_full: false,
            spool_damaged: false,
            spool_writes: 0,
            got: Vec::new(),
            replies: BTreeMap::new(),
            notices: Vec::new(),
            closed: Vec::new(),
            paused: BTreeSet::new(),
            logs: Vec::new(),
            loaded_bodies: 0,
            settings,
            next_conn: 0,
            next_tag: 0,
            next_id: 0,
            sent: BTreeMap::new(),
        }
    }

    /// `policy` for every destination.
    pub fn policy(policy: Policy) -> Self {
        Self::with(Settings { policies: Policies::new(policy), ..Settings::default() })
    }

    /// kill -9, then a new engine on what the store has.
    pub fn crash(&mut self) {
        self.unsynced.clear();
        self.loads.clear();
        self.spooling.clear();
        self.spool.clear();
        self.engine =
            Engine::new(self.settings.clone(), Arc::new(Lines), Epoch { number: 2, claim: ClaimId(2) });
        let mut out = Vec::new();
        self.engine.recover(self.store.recovered(), &mut out);
        self.carry_out(out);
        self.run();
    }

    pub fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.engine.handle(self.now, input, &mut out);
        self.carry_out(out);
        if self.auto {
            self.run();
        }
        self.check();
    }

    pub fn check(&self) {
        if let Err(why) = self.engine.check_invariants() {
            panic!("the books don't balance: {why}");
        }
    }

    fn carry_out(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Deliver { conn, consumer, delivery } => {
                    let unsynced = self.unsynced.iter().flat_map(|batch| &batch.ops).any(
                        |op| matches!(op, StoreOp::PutMessage { sequence, .. } if *sequence == delivery.sequence),
                    );
                    assert!(!unsynced, "{:?} was delivered before it was durable", delivery.sequence);
                    self.got.push(Got { conn, consumer, delivery });
                }
                Output::Reply { tag, effect, .. } => {
                    assert!(self.replies.insert(tag.0, effect).is_none(), "{tag:?} was answered twice");
                }
                Output::Notify { conn, notice } => self.notices.push((conn, notice)),
                Output::Persist(batch) => self.unsynced.push_back(batch),
                Output::Spool(op) => self.spooling.push_back(op),
                Output::Load { load, request } => self.loads.push_back((load, request)),
                Output::Pause(conn) => assert!(self.paused.insert(conn)),
                Output::Resume(conn) => assert!(self.paused.remove(&conn)),
                Output::Close { conn, .. } => self.closed.push(conn),
                Output::Log(event) => self.logs.push(event),
            }
        }
    }

    /// Makes everything durable and answers every load, until all is quiet.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            if !self.unsynced.is_empty() {
                self.sync();
            } else if !self.loads.is_empty() {
                self.answer_load();
            } else if !self.spooling.is_empty() {
                self.write_spool();
            } else {
                return;
            }
        }
        panic!("no end of work");
    }

    /// Makes everything that was handed out durable.
    pub fn sync(&mut self) {
        let Some(upto) = self.unsynced.back().map(|batch| batch.ticket) else { return };
        for batch in std::mem::take(&mut self.unsynced) {
            for op in batch.ops {
                self.store.apply(op);
            }
        }
        let mut out = Vec::new();
        self.engine.handle(self.now, Input::Persisted { upto }, &mut out);
        self.carry_out(out);
        self.check();
    }

    /// Makes the oldest unit of work durable, alone.
    pub fn sync_one(&mut self) {
        let Some(batch) = self.unsynced.pop_front() else { return };
        for op in batch.ops {
            self.store.apply(op);
        }
        let mut out = Vec::new();
        self.engine.handle(self.now, Input::Persisted { upto: batch.ticket }, &mut out);
        self.carry_out(out);
        self.check();
    }

    pub fn answer_load(&mut self) {
        let Some((load, request)) = self.loads.pop_front() else { return };
        let content = match request {
            LoadRequest::Bodies(refs) => {
                self.loaded_bodies += refs.len();
                LoadContent::Bodies(self.store.load(&refs))
            }
            LoadRequest::Page(page) => LoadContent::Page(self.store.page(page)),
            LoadRequest::Block(_) if self.spool_damaged => LoadContent::Block(Err("damaged".into())),
            LoadRequest::Block(block) => LoadContent::Block(
                self.spool.get(&block).map(|block| Vec::clone(block)).ok_or_else(|| "not there".into()),
            ),
        };
        let mut out = Vec::new();
        self.engine.handle(self.now, Input::Loaded { load, content }, &mut out);
        self.carry_out(out);
        self.check();
    }

    pub fn spools(&self) -> bool {
        self.settings.spool.is_some()
    }

    /// Carries out the next change of the spool.
    pub fn write_spool(&mut self) {
        let (block, done) = match self.spooling.pop_front() {
            None => return,
            Some(SpoolOp::Free { block }) => {
                self.spool.remove(&block);
                return;
            }
            Some(SpoolOp::Write { block, .. }) if self.spool_full => (block, Err("no room".to_owned())),
            Some(SpoolOp::Write { block, messages }) => {
                assert!(self.spool.insert(block, messages).is_none(), "{block:?} was written twice");
                self.spool_writes += 1;
                (block, Ok(()))
            }
        };
        let mut out = Vec::new();
        self.engine.handle(self.now, Input::Spooled { block, done }, &mut out);
        self.carry_out(out);
        self.check();
    }

    /// Lets time pass.
    pub fn wait(&mut self, by: Duration) {
        self.now.mono = self.now.mono + by;
        self.now.wall.0 += by.as_millis() as i64;
        let mut out = Vec::new();
        self.engine.tick(self.now, &mut out);
        self.carry_out(out);
        if self.auto {
            self.run();
        }
        self.check();
    }

    /// Asks something and gives the answer.
    pub fn ask(&mut self, client: &Client, intent: Intent) -> Effect {
        let tag = self.begin(client, intent);
        self.replies.remove(&tag).unwrap_or_else(|| panic!("no answer"))
    }

    /// Asks something; the answer comes into `replies` under the tag.
    pub fn begin(&mut self, client: &Client, intent: Intent) -> u32 {
        self.next_tag += 1;
        let tag = self.next_tag;
        self.step(Input::Intent { conn: client.conn, tag: Some(Tag(tag)), intent });
        tag
    }

    /// Says something that has no answer.
    pub fn tell(&mut self, client: &Client, intent: Intent) {
        self.step(Input::Intent { conn: client.conn, tag: None, intent });
    }

    pub fn do_it(&mut self, client: &Client, intent: Intent) {
        let effect = self.ask(client, intent);
        assert!(matches!(effect, Effect::Done), "{effect:?}");
    }

    pub fn refused(&mut self, client: &Client, intent: Intent) -> Fault {
        match self.ask(client, intent) {
            Effect::Failed(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    /// A client with session 1; its client id is `name`.
    pub fn connect(&mut self, name: &str) -> Client {
        let client = self.attach(name);
        self.do_it(&client, Intent::Connect(facts(&client, name)));
        self.do_it(&client, Intent::AddSession { session: 1 });
        client
    }

    /// A bridge of another broker, or to one.
    pub fn bridge(&mut self, name: &str) -> Client {
        let client = self.attach(name);
        let mut told = (*facts(&client, name)).clone();
        told.network = true;
        self.do_it(&client, Intent::Connect(Arc::new(told)));
        self.do_it(&client, Intent::AddSession { session: 1 });
        client
    }

    /// A client that comes back after a takeover.
    pub fn reconnect(&mut self, name: &str) -> Client {
        let client = self.attach(name);
        let mut told = (*facts(&client, name)).clone();
        told.reconnected = true;
        self.do_it(&client, Intent::Connect(Arc::new(told)));
        self.do_it(&client, Intent::AddSession { session: 1 });
        client
    }

    /// A client of its own for whoever needs one.
    pub fn engine_client(&mut self) -> Client {
        let name = format!("extra{}", self.next_conn);
        self.connect(&name)
    }

    /// A client that has not said who it is.
    pub fn attach(&mut self, name: &str) -> Client {
        self.next_conn += 1;
        let client =
            Client { conn: ConnId(self.next_conn), id: Text::from(format!("ID:{name}-{}", self.next_conn)) };
        self.step(Input::Attach { conn: client.conn });
        client
    }

    pub fn detach(&mut self, client: &Client) {
        self.step(Input::Detach { conn: client.conn });
    }

    /// A consumer of prefetch 1000.
    pub fn consume(&mut self, client: &Client, destination: &str) -> LocalId {
        self.consume_as(client, destination, |_| {})
    }

    pub fn consume_as(
        &mut self,
        client: &Client,
        destination: &str,
        change: impl FnOnce(&mut ConsumerFacts),
    ) -> LocalId {
        let (local, facts) = self.consumer(client, destination, change);
        self.do_it(client, Intent::AddConsumer(facts));
        local
    }

    pub fn consumer(
        &mut self,
        client: &Client,
        destination: &str,
        change: impl FnOnce(&mut ConsumerFacts),
    ) -> (LocalId, Arc<ConsumerFacts>) {
        self.next_id += 1;
        let local = LocalId { session: 1, value: self.next_id };
        let mut facts = ConsumerFacts {
            id: ConsumerId { connection: client.id.clone(), session: 1, value: local.value },
            destination: Destination::parse(destination, DestinationKind::Queue),
            prefetch: 1000,
            selector: None,
            subscription: None,
            client_id: None,
            no_local: false,
            exclusive: false,
            retroactive: false,
            browser: false,
            priority: 0,
            maximum_pending: 0,
            dispatch_async: true,
            optimized_acknowledge: false,
            no_range_acks: false,
            network: false,
            broker_path: Vec::new(),
            network_path: Vec::new(),
            network_filter: None,
        };
        change(&mut facts);
        (local, Arc::new(facts))
    }

    pub fn close(&mut self, client: &Client, consumer: LocalId, last_delivered: i64) {
        self.do_it(client, Intent::RemoveConsumer { consumer, last_delivered });
    }

    pub fn message(&mut self, client: &Client, destination: &str, text: &str) -> Message {
        let producer = ProducerId::new(client.id.clone(), 1, 1);
        let sequence = self.sent.entry(producer.clone()).or_default();
        *sequence += 1;
        let mut message = Message::new(
            MessageId::new(producer, *sequence),
            Destination::parse(destination, DestinationKind::Queue),
        );
        message.persistent = true;
        message.body_kind = BodyKind::Text;
        message.body = Some(Bytes::copy_from_slice(text.as_bytes()));
        message
    }

    /// Sends a persistent message and waits for the answer.
    pub fn send(&mut self, client: &Client, destination: &str, text: &str) {
        self.send_as(client, destination, text, |_| {});
    }

    pub fn send_as(
        &mut self,
        client: &Client,
        destination: &str,
        text: &str,
        change: impl FnOnce(&mut Message),
    ) {
        let mut message = self.message(client, destination, text);
        change(&mut message);
        self.do_it(client, send(message, None));
    }

    /// Sends a non-persistent message.
    pub fn send_np(&mut self, client: &Client, destination: &str, text: &str) {
        self.send_as(client, destination, text, |message| message.persistent = false);
    }

    /// Sends within a transaction, without an answer.
    pub fn send_in(&mut self, client: &Client, transaction: i64, destination: &str, text: &str) {
        let message = self.message(client, destination, text);
        self.tell(client, send(message, Some(local_transaction(client, transaction))));
    }

    /// What was delivered since the last call, as texts.
    pub fn texts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.got).iter().map(Got::text).collect()
    }

    pub fn take(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.got)
    }

    /// What was delivered to one consumer since the last call.
    pub fn texts_of(&mut self, client: &Client, consumer: LocalId) -> Vec<String> {
        let mut mine = Vec::new();
        self.got.retain(|got| {
            let hit = got.conn == client.conn && got.consumer == consumer;
            if hit {
                mine.push(got.text());
            }
            !hit
        });
        mine
    }

    /// Acknowledges one delivery.
    pub fn ack(&mut self, client: &Client, got: &Got) {
        self.do_it(client, ack(AckKind::Standard, got, got, 1, None));
    }

    pub fn ack_all(&mut self, client: &Client, got: &[Got]) {
        for got in got {
            self.ack(client, got);
        }
    }

    pub fn transaction(&mut self, client: &Client, number: i64, verb: TransactionVerb) -> Effect {
        self.ask(client, Intent::Transaction { id: Some(local_transaction(client, number)), verb })
    }

    pub fn view_of(&self, destination: &str) -> DestinationView {
        let destination = Destination::parse(destination, DestinationKind::Queue);
        self.engine.view().destination(&destination).cloned().unwrap_or_else(|| panic!("no {destination}"))
    }

    pub fn held(&self, destination: &str) -> u64 {
        self.view_of(destination).held
    }
}

pub fn facts(client: &Client, name: &str) -> Arc<ConnectionFacts> {
    Arc::new(ConnectionFacts {
        connection: client.id.clone(),
        client_id: Text::from(name),
        remote: Text::from(format!("tcp://127.0.0.1:{}", 40_000 + client.conn.0)),
        ..ConnectionFacts::default()
    })
}

pub fn send(message: Message, transaction: Option<TransactionId>) -> Intent {
    Intent::Send(SendRequest {
        producer: message.id.producer.clone(),
        message: Arc::new(message),
        transaction,
        window_bytes: 0,
        position: None,
    })
}

pub fn ack(kind: AckKind, first: &Got, last: &Got, count: u32, transaction: Option<TransactionId>) -> Intent {
    let id = |got: &Got| got.delivery.message.as_ref().map(|message| message.id.clone());
    Intent::Ack(Box::new(AckRequest {
        consumer: last.consumer,
        kind,
        first: id(first),
        last: id(last),
        count,
        transaction,
        cause: None,
    }))
}

pub fn local_transaction(client: &Client, value: i64) -> TransactionId {
    TransactionId::Local(LocalTransactionId { connection: client.id.clone(), value })
}

/// `prefix1 … prefixN`.
pub fn named(prefix: &str, range: std::ops::RangeInclusive<usize>) -> Vec<String> {
    range.map(|n| format!("{prefix}{n}")).collect()
}

/// A number after another (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }
}

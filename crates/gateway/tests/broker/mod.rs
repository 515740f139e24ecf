//! A whole broker in memory: the real engine, a memory store that answers at once, and a session for each peer, on a
//! clock that the test moves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{ConnId, Engine, Input, LoadContent, LoadRequest, Output, Settings};
use ferromq_gateway::openwire::OpenWireProperties;
use ferromq_gateway::{Session, SessionSettings};
use ferromq_model::{ClaimId, Epoch, Instant, Now, Text, WallTime};
use ferromq_store::{Follower, MemoryStore, StoreBackend, StoreReader};

pub struct Broker {
    engine: Engine,
    backend: Box<dyn StoreBackend>,
    reader: Box<dyn StoreReader>,
    settings: Arc<SessionSettings>,
    pub sessions: BTreeMap<u64, Session>,
    pub now: Now,
}

impl Broker {
    pub fn new(engine: Settings, sessions: SessionSettings, wall: WallTime) -> Self {
        let epoch = Epoch { number: 1, claim: ClaimId(1) };
        let Ok(claimed) = Box::new(MemoryStore::default()).claim(epoch) else { panic!("a free store") };
        let mut broker = Self {
            engine: Engine::new(engine, Arc::new(OpenWireProperties), epoch),
            backend: claimed.backend,
            reader: claimed.reader,
            settings: Arc::new(sessions),
            sessions: BTreeMap::new(),
            now: Now { mono: Instant(1_000_000_000), wall },
        };
        let mut out = Vec::new();
        broker.engine.recover(claimed.recovered, &mut out);
        broker.carry_out(out);
        broker
    }

    pub fn accept(&mut self, conn: u64) {
        let remote = Text::from(format!("tcp://127.0.0.1:{conn}"));
        let session = Session::new(Arc::clone(&self.settings), ConnId(conn), remote, self.now);
        self.sessions.insert(conn, session);
    }

    pub fn feed(&mut self, conn: u64, bytes: &[u8]) {
        let session = self.sessions.get_mut(&conn).expect("an accepted connection");
        session.read_buffer().extend_from_slice(bytes);
        session.received(self.now);
        self.run();
    }

    pub fn lose(&mut self, conn: u64) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.lost();
        }
        self.run();
    }

    /// Everything that sessions have for the engine, and all that follows from it.
    fn run(&mut self) {
        loop {
            let now = self.now;
            let inputs: Vec<Input> = self.sessions.values_mut().filter_map(|s| s.poll_input(now)).collect();
            if inputs.is_empty() {
                return;
            }
            for input in inputs {
                let mut out = Vec::new();
                self.engine.handle(now, input, &mut out);
                self.carry_out(out);
            }
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut outputs: VecDeque<Output> = outputs.into();
        while let Some(output) = outputs.pop_front() {
            let Some(input) = self.carry_out_one(output) else { continue };
            let mut out = Vec::new();
            self.engine.handle(self.now, input, &mut out);
            outputs.extend(out);
        }
    }

    /// Does what the engine says; what comes back from a store, comes back at once.
    fn carry_out_one(&mut self, output: Output) -> Option<Input> {
        let now = self.now;
        let sessions = &mut self.sessions;
        match output {
            Output::Deliver { conn, consumer, delivery } => {
                sessions.get_mut(&conn.0)?.deliver(now, consumer, &delivery)
            }
            Output::Reply { conn, tag, effect } => sessions.get_mut(&conn.0)?.reply(now, tag, effect),
            Output::Notify { conn, notice } => sessions.get_mut(&conn.0)?.notify(now, notice),
            Output::Pause(conn) => sessions.get_mut(&conn.0)?.pause(now),
            Output::Resume(conn) => sessions.get_mut(&conn.0)?.resume(now),
            Output::Close { conn, reason } => sessions.get_mut(&conn.0)?.close(now, &reason),
            Output::Log(_) => {}
            Output::Persist(batch) => {
                let durable = self.backend.commit(&[batch], true).unwrap().unwrap();
                return Some(Input::Persisted { upto: durable.upto() });
            }
            Output::Spool(_) => unreachable!("there is no spool"),
            Output::Load { load, request } => {
                let content = match request {
                    LoadRequest::Bodies(wanted) => LoadContent::Bodies(self.reader.load(&wanted).unwrap()),
                    LoadRequest::Page(wanted) => LoadContent::Page(self.reader.page(wanted).unwrap()),
                    LoadRequest::Block(_) => unreachable!("there is no spool"),
                };
                return Some(Input::Loaded { load, content });
            }
        }
        None
    }

    /// Time passes, with every deadline on the way.
    pub fn pass(&mut self, span: Duration) {
        let start = self.now;
        let end = start.mono + span;
        loop {
            let sessions = self.sessions.values().filter_map(Session::next_deadline);
            let next = sessions.chain(self.engine.next_deadline()).min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.set_time(start, at.max(self.now.mono));
            self.run();
            let now = self.now;
            for session in self.sessions.values_mut() {
                session.tick(now);
            }
            let mut out = Vec::new();
            self.engine.tick(now, &mut out);
            self.carry_out(out);
            self.run();
        }
        self.set_time(start, end);
        self.engine.check_invariants().unwrap();
    }

    fn set_time(&mut self, start: Now, mono: Instant) {
        let passed = i64::try_from(mono.since(start.mono).as_millis()).unwrap();
        self.now = Now { mono, wall: WallTime(start.wall.0 + passed) };
    }
}

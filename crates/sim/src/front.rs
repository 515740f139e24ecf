//! [`Front`]: the real engine and its sessions, without a store: what they want written, read and sent is taken out.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferromq_engine::{ConnId, Engine, Input, LoadId, LoadRequest, Output, Settings};
use ferromq_gateway::openwire::OpenWireProperties;
use ferromq_gateway::{BrokerIdentity, Session, SessionSettings};
use ferromq_model::{Epoch, Now, Text};
use ferromq_store::spool::SpoolOp;
use ferromq_store::{Recovered, WriteBatch};

use crate::saboteur::Saboteur;

/// What goes to peers.
pub(crate) enum ToPeer {
    /// Bytes.
    Send { conn: ConnId, bytes: Vec<u8> },
    /// The connection is closed.
    Close { conn: ConnId },
}

/// How a broker calls itself.
#[derive(Clone, Default)]
pub(crate) struct Identity(BrokerIdentity);

impl Identity {
    /// One of a mesh, whose links have streams.
    pub(crate) fn numbered(number: usize) -> Self {
        let (name, id) = (format!("b{number}"), format!("ID:b{number}-1-1-0:1"));
        let (name, id) = (Text::from(name), Text::from(id));
        Self(BrokerIdentity { name, id, links: true, ..BrokerIdentity::default() })
    }
}

/// An engine and its sessions.
pub(crate) struct Front {
    engine: Engine,
    sessions: BTreeMap<ConnId, Session>,
    settings: Arc<SessionSettings>,
    pub(crate) persists: Vec<WriteBatch>,
    pub(crate) loads: Vec<(LoadId, LoadRequest)>,
    pub(crate) spools: Vec<SpoolOp>,
    pub(crate) to_peers: Vec<ToPeer>,
}

impl Front {
    /// An engine that begins with what a store found.
    pub(crate) fn new(
        identity: &Identity,
        settings: Settings,
        epoch: Epoch,
        recovered: Recovered,
        now: Now,
        saboteur: &mut Saboteur,
    ) -> Self {
        let BrokerIdentity { id, name, .. } = identity.0.clone();
        let settings = Settings { broker_id: id, broker_name: name, ..settings };
        let mut session = SessionSettings::default();
        session.broker = identity.0.clone();
        let mut engine = Engine::new(settings, Arc::new(OpenWireProperties), epoch);
        let mut out = Vec::new();
        engine.recover(saboteur.recovered(recovered), &mut out);
        let mut front = Self {
            engine,
            sessions: BTreeMap::new(),
            settings: Arc::new(session),
            persists: Vec::new(),
            loads: Vec::new(),
            spools: Vec::new(),
            to_peers: Vec::new(),
        };
        front.carry_out(now, out, saboteur);
        front
    }

    /// A peer has connected.
    pub(crate) fn accept(&mut self, conn: ConnId, now: Now) {
        let remote = Text::from(format!("tcp://10.0.0.{}:4711", conn.0));
        self.sessions.insert(conn, Session::new(Arc::clone(&self.settings), conn, remote, now));
        self.transmit(conn);
    }

    /// Bytes from a peer.
    pub(crate) fn receive(&mut self, conn: ConnId, bytes: &[u8], now: Now, saboteur: &mut Saboteur) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.read_buffer().extend_from_slice(bytes);
        session.received(now);
        self.drain(conn, now, saboteur);
    }

    /// A peer is gone.
    pub(crate) fn hang_up(&mut self, conn: ConnId, now: Now, saboteur: &mut Saboteur) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.lost();
        self.drain(conn, now, saboteur);
        self.sessions.remove(&conn);
    }

    /// Posts everything that a session has for the engine.
    fn drain(&mut self, conn: ConnId, now: Now, saboteur: &mut Saboteur) {
        while let Some(input) = self.sessions.get_mut(&conn).and_then(|session| session.poll_input(now)) {
            self.handle(saboteur.input(input), now, saboteur);
        }
        self.transmit(conn);
        if self.sessions.get(&conn).is_some_and(Session::is_finished) {
            self.sessions.remove(&conn);
            self.to_peers.push(ToPeer::Close { conn });
        }
    }

    pub(crate) fn handle(&mut self, input: Input, now: Now, saboteur: &mut Saboteur) {
        let mut out = Vec::new();
        self.engine.handle(now, input, &mut out);
        self.carry_out(now, out, saboteur);
    }

    fn carry_out(&mut self, now: Now, out: Vec<Output>, saboteur: &mut Saboteur) {
        let mut touched = Vec::new();
        for output in saboteur.outputs(out) {
            match output {
                Output::Deliver { conn, consumer, delivery } => {
                    self.with(conn, &mut touched, |session| session.deliver(now, consumer, &delivery));
                }
                Output::Reply { conn, tag, effect } => {
                    self.with(conn, &mut touched, |session| session.reply(now, tag, effect));
                }
                Output::Notify { conn, notice } => {
                    self.with(conn, &mut touched, |session| session.notify(now, notice))
                }
                Output::Close { conn, reason } => {
                    self.with(conn, &mut touched, |session| session.close(now, &reason))
                }
                Output::Pause(conn) => self.with(conn, &mut touched, |session| session.pause(now)),
                Output::Resume(conn) => self.with(conn, &mut touched, |session| session.resume(now)),
                Output::Persist(batch) => self.persists.push(saboteur.batch(batch)),
                Output::Load { load, request } => self.loads.push((load, request)),
                Output::Spool(op) => self.spools.push(op),
                Output::Log(_) => {}
            }
        }
        for conn in touched {
            self.drain(conn, now, saboteur);
        }
    }

    fn with(&mut self, conn: ConnId, touched: &mut Vec<ConnId>, act: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            act(session);
            if !touched.contains(&conn) {
                touched.push(conn);
            }
        }
    }

    fn transmit(&mut self, conn: ConnId) {
        let mut bytes = Vec::new();
        if self.sessions.get_mut(&conn).is_some_and(|session| session.transmit(&mut bytes))
            && !bytes.is_empty()
        {
            self.to_peers.push(ToPeer::Send { conn, bytes });
        }
    }

    /// Lets time pass for the engine and the sessions.
    pub(crate) fn tick(&mut self, now: Now, saboteur: &mut Saboteur) {
        let mut out = Vec::new();
        self.engine.tick(now, &mut out);
        self.carry_out(now, out, saboteur);
        let due: Vec<ConnId> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.next_deadline().is_some_and(|at| at <= now.mono))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in due {
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.tick(now);
            }
            self.drain(conn, now, saboteur);
        }
    }

    /// Whether the engine's books balance.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.engine.check_invariants()
    }
}

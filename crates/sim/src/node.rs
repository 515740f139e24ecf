//! [`Node`]: one broker process: the real engine, sessions and journal on a simulated disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{ConnId, Engine, Input, LoadContent, LoadId, LoadRequest, Output, Settings};
use ferromq_env::simulated::{SeededEntropy, SimClock, SimDisk};
use ferromq_gateway::openwire::OpenWireProperties;
use ferromq_gateway::{Session, SessionSettings};
use ferromq_model::{ClaimId, Epoch, Instant, Now, Text, Ticket};
use ferromq_store::{Budget, Claimed, StoreBackend, StoreError, StoreReader, Sync, WriteBatch};
use ferromq_store_journal::{Options, open};

use crate::saboteur::Saboteur;

/// Where the store lies on the simulated disk.
const FOLDER: &str = "/data";

/// Reading that a standby does at once; a simulated store is far smaller.
const FOLLOW: Budget = Budget { bytes: 1 << 30 };

/// What a maintenance step may move.
const MAINTENANCE: Budget = Budget { bytes: 1 << 20 };

/// How long lazily written batches may wait for a sync.
const LAZY_SYNC: Duration = Duration::from_millis(50);

/// Sizes so small that a run rotates, checkpoints and reclaims many times.
fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        checkpoint_bytes: 32 << 10,
        slack_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        ..Options::default()
    }
}

/// What the world has to arrange for the node.
pub(crate) enum Errand {
    /// Call [`Node::commit`] about then.
    Commit { at: Instant, force: bool },
    /// Call [`Node::load`] about then.
    Load { at: Instant, load: LoadId, request: LoadRequest },
    /// Bytes for a peer.
    Send { conn: ConnId, bytes: Vec<u8> },
    /// The connection is closed.
    Close { conn: ConnId },
}

/// A running broker. Dropping it is `kill -9`, as far as the process is concerned.
pub(crate) struct Node {
    engine: Engine,
    sessions: BTreeMap<ConnId, Session>,
    settings: Arc<SessionSettings>,
    backend: Box<dyn StoreBackend>,
    reader: Box<dyn StoreReader>,
    gathered: Vec<WriteBatch>,
    commit_planned: bool,
    lazy_planned: bool,
    pub(crate) errands: Vec<Errand>,
    commits: u64,
}

impl Node {
    /// Starts on what the disk holds, under the next epoch.
    pub(crate) fn start(
        disk: &SimDisk,
        now: Now,
        dice: &mut SeededEntropy,
        saboteur: &mut Saboteur,
    ) -> Result<Self, StoreError> {
        let mut follower =
            open(Arc::new(disk.clone()), Arc::new(SimClock::default()), Path::new(FOLDER), options())?;
        follower.follow(FOLLOW)?;
        let seen = follower.seen_epoch();
        let epoch = Epoch { number: seen.number + 1, claim: ClaimId(dice.below(u64::MAX)) };
        let Claimed { backend, reader, recovered } = follower.claim(epoch).map_err(|(_, error)| error)?;
        let mut engine = Engine::new(Settings::default(), Arc::new(OpenWireProperties), epoch);
        let mut out = Vec::new();
        engine.recover(saboteur.recovered(recovered), &mut out);
        let mut node = Self {
            engine,
            sessions: BTreeMap::new(),
            settings: Arc::new(SessionSettings::default()),
            backend,
            reader,
            gathered: Vec::new(),
            commit_planned: false,
            lazy_planned: false,
            errands: Vec::new(),
            commits: 0,
        };
        node.carry_out(now, out, dice, saboteur);
        Ok(node)
    }

    /// A peer has connected.
    pub(crate) fn accept(&mut self, conn: ConnId, now: Now) {
        let remote = Text::from(format!("tcp://10.0.0.{}:4711", conn.0));
        self.sessions.insert(conn, Session::new(Arc::clone(&self.settings), conn, remote, now));
        self.transmit(conn);
    }

    /// Bytes from a peer.
    pub(crate) fn receive(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        now: Now,
        dice: &mut SeededEntropy,
        saboteur: &mut Saboteur,
    ) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.read_buffer().extend_from_slice(bytes);
        session.received(now);
        self.drain(conn, now, dice, saboteur);
    }

    /// A peer is gone.
    pub(crate) fn hang_up(
        &mut self,
        conn: ConnId,
        now: Now,
        dice: &mut SeededEntropy,
        saboteur: &mut Saboteur,
    ) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.lost();
        self.drain(conn, now, dice, saboteur);
        self.sessions.remove(&conn);
    }

    /// Posts everything that a session has for the engine.
    fn drain(&mut self, conn: ConnId, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        while let Some(input) = self.sessions.get_mut(&conn).and_then(|session| session.poll_input(now)) {
            self.handle(saboteur.input(input), now, dice, saboteur);
        }
        self.transmit(conn);
        if self.sessions.get(&conn).is_some_and(Session::is_finished) {
            self.sessions.remove(&conn);
            self.errands.push(Errand::Close { conn });
        }
    }

    fn handle(&mut self, input: Input, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        let mut out = Vec::new();
        self.engine.handle(now, input, &mut out);
        self.carry_out(now, out, dice, saboteur);
    }

    fn carry_out(&mut self, now: Now, out: Vec<Output>, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
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
                Output::Persist(batch) => self.gather(batch, now, dice, saboteur),
                Output::Load { load, request } => {
                    let at = now.mono + Duration::from_micros(10 + dice.below(300));
                    self.errands.push(Errand::Load { at, load, request });
                }
                Output::Log(_) => {}
            }
        }
        for conn in touched {
            self.drain(conn, now, dice, saboteur);
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
            self.errands.push(Errand::Send { conn, bytes });
        }
    }

    fn gather(&mut self, batch: WriteBatch, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        let (ticket, required) = (batch.ticket, batch.sync == Sync::Required);
        self.gathered.push(saboteur.batch(batch));
        if !std::mem::replace(&mut self.commit_planned, true) {
            let at = now.mono + Duration::from_micros(20 + dice.below(500));
            self.errands.push(Errand::Commit { at, force: false });
        }
        if !required && !std::mem::replace(&mut self.lazy_planned, true) {
            self.errands.push(Errand::Commit { at: now.mono + LAZY_SYNC, force: true });
        }
        if saboteur.answers_before_sync() {
            self.handle(Input::Persisted { upto: ticket }, now, dice, saboteur);
        }
    }

    /// Writes and syncs what was gathered.
    pub(crate) fn commit(
        &mut self,
        force: bool,
        now: Now,
        dice: &mut SeededEntropy,
        saboteur: &mut Saboteur,
    ) -> Result<(), StoreError> {
        if force {
            self.lazy_planned = false;
        } else {
            self.commit_planned = false;
        }
        let batches = std::mem::take(&mut self.gathered);
        let last = batches.last().map(|batch| batch.ticket);
        let durable = self.backend.commit(&saboteur.unsynced(batches), force)?;
        let upto: Option<Ticket> =
            durable.map(ferromq_store::Durable::upto).or_else(|| saboteur.forged(last));
        if let Some(upto) = upto {
            self.handle(Input::Persisted { upto }, now, dice, saboteur);
        }
        self.commits += 1;
        if self.commits.is_multiple_of(8) {
            let done = self.backend.maintain(MAINTENANCE)?;
            self.handle(Input::Resources { space: done.space }, now, dice, saboteur);
        }
        Ok(())
    }

    /// Power fails while the gathered batches are on their way: some of them are written, none is answered.
    pub(crate) fn commit_interrupted(&mut self, saboteur: &mut Saboteur) {
        let batches = saboteur.interrupted(std::mem::take(&mut self.gathered));
        // The disk is about to fail anyway; what it says does not matter.
        let _ = self.backend.commit(&batches, false);
    }

    /// Answers a request to load.
    pub(crate) fn load(
        &mut self,
        load: LoadId,
        request: &LoadRequest,
        now: Now,
        dice: &mut SeededEntropy,
        saboteur: &mut Saboteur,
    ) -> Result<(), StoreError> {
        let content = match request {
            LoadRequest::Bodies(wanted) => LoadContent::Bodies(self.reader.load(wanted)?),
            LoadRequest::Page(wanted) => LoadContent::Page(self.reader.page(*wanted)?),
        };
        self.handle(Input::Loaded { load, content }, now, dice, saboteur);
        Ok(())
    }

    /// Lets time pass for the engine and the sessions.
    pub(crate) fn tick(&mut self, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        let mut out = Vec::new();
        self.engine.tick(now, &mut out);
        self.carry_out(now, out, dice, saboteur);
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
            self.drain(conn, now, dice, saboteur);
        }
    }

    /// Whether the engine's books balance.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.engine.check_invariants()
    }
}

//! [`Node`]: one broker process: the real engine, sessions and journal on a simulated disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{
    ConnId, Input, LoadContent, LoadId, LoadRequest, Policies, Policy, Settings, SpoolSettings,
};
use ferromq_env::simulated::{Fault, FaultError, OpKind, SeededEntropy, SimClock, SimDisk};
use ferromq_model::{ClaimId, Epoch, Instant, Now, Ticket};
use ferromq_store::spool::{Spool, SpoolOp, SpoolOptions};
use ferromq_store::{Budget, Claimed, StoreBackend, StoreError, StoreReader, Sync, WriteBatch};
use ferromq_store_journal::{Options, open};

use crate::front::{Front, Identity, ToPeer};
use crate::saboteur::Saboteur;

/// Where the store lies on the simulated disk.
pub(crate) const FOLDER: &str = "/data";

/// Reading that a standby does at once; a simulated store is far smaller.
pub(crate) const FOLLOW: Budget = Budget { bytes: 1 << 30 };

/// What a maintenance step may move.
pub(crate) const MAINTENANCE: Budget = Budget { bytes: 1 << 20 };

/// How long lazily written batches may wait for a sync.
pub(crate) const LAZY_SYNC: Duration = Duration::from_millis(50);

/// Sizes so small that a run rotates, checkpoints and reclaims many times.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        checkpoint_bytes: 32 << 10,
        slack_bytes: 64 << 10,
        reserve_bytes: 64 << 10,
        ..Options::default()
    }
}

/// Where the spool lies.
const SPOOL: &str = "/spool";

/// Queues whose messages are not persistent, and which have so little memory that most of them are spooled.
pub(crate) const VOLATILE: &str = "V";

/// The queue in which there is room for few messages, so that links turn some of them back.
pub(crate) const NARROW: &str = "N";

fn settings() -> Settings {
    let mut policies = Policies::default();
    policies.add(false, VOLATILE, Policy { memory_bytes: 3_000, ..Policy::default() });
    policies.add(false, NARROW, Policy { store_bytes: 1_000, ..Policy::default() });
    let spool =
        SpoolSettings { memory_bytes: 0, block_bytes: 4_000, block_messages: 3, unwritten_bytes: 12_000 };
    let link_patience = std::time::Duration::from_millis(3);
    Settings { policies, spool: Some(spool), link_patience, ..Settings::default() }
}

/// What the world has to arrange for the node.
pub(crate) enum Errand {
    /// Call [`Node::commit`] about then.
    Commit { at: Instant, force: bool },
    /// Call [`Node::load`] about then.
    Load { at: Instant, load: LoadId, request: LoadRequest },
    /// Call [`Node::spool`] about then.
    Spool { at: Instant, op: SpoolOp },
    /// Something for a peer.
    Peer(ToPeer),
}

/// A running broker. Dropping it is `kill -9`, as far as the process is concerned.
pub(crate) struct Node {
    front: Front,
    backend: Box<dyn StoreBackend>,
    reader: Box<dyn StoreReader>,
    disk: SimDisk,
    spool: Option<Spool>,
    /// When the last change of the spool is carried out: they keep their order.
    spooled: Instant,
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
        Self::start_as(Identity::default(), disk, now, dice, saboteur)
    }

    /// The same for one of several brokers.
    pub(crate) fn start_as(
        identity: Identity,
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
        let run = format!("run-{}", epoch.number);
        let sizes = SpoolOptions { segment_bytes: 6_000, leave_free_bytes: 0 };
        let spool = Spool::open(Arc::new(disk.clone()), Path::new(SPOOL), &run, sizes)?;
        let mut node = Self {
            front: Front::new(&identity, settings(), epoch, recovered, now, saboteur),
            backend,
            reader,
            disk: disk.clone(),
            spool: Some(spool),
            spooled: now.mono,
            gathered: Vec::new(),
            commit_planned: false,
            lazy_planned: false,
            errands: Vec::new(),
            commits: 0,
        };
        node.collect(now, dice, saboteur);
        Ok(node)
    }

    /// A peer has connected.
    pub(crate) fn accept(
        &mut self,
        conn: ConnId,
        now: Now,
        dice: &mut SeededEntropy,
        saboteur: &mut Saboteur,
    ) {
        self.front.accept(conn, now);
        self.collect(now, dice, saboteur);
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
        self.front.receive(conn, bytes, now, saboteur);
        self.collect(now, dice, saboteur);
    }

    /// A peer is gone.
    pub(crate) fn hang_up(
        &mut self,
        conn: ConnId,
        now: Now,
        dice: &mut SeededEntropy,
        saboteur: &mut Saboteur,
    ) {
        self.front.hang_up(conn, now, saboteur);
        self.collect(now, dice, saboteur);
    }

    fn handle(&mut self, input: Input, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        self.front.handle(input, now, saboteur);
        self.collect(now, dice, saboteur);
    }

    /// Takes out what the engine and its sessions want.
    fn collect(&mut self, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        for (load, request) in std::mem::take(&mut self.front.loads) {
            let at = now.mono + Duration::from_micros(10 + dice.below(300));
            self.errands.push(Errand::Load { at, load, request });
        }
        for op in std::mem::take(&mut self.front.spools) {
            self.spooled = self.spooled.max(now.mono + Duration::from_micros(10 + dice.below(900)));
            self.errands.push(Errand::Spool { at: self.spooled, op });
        }
        self.errands.extend(self.front.to_peers.drain(..).map(Errand::Peer));
        for batch in std::mem::take(&mut self.front.persists) {
            self.gather(batch, now, dice, saboteur);
        }
    }

    fn gather(&mut self, batch: WriteBatch, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        let (ticket, required) = (batch.ticket, batch.sync == Sync::Required);
        self.gathered.push(batch);
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
            LoadRequest::Block(block) => LoadContent::Block(match &self.spool {
                Some(spool) => spool.read(*block).map_err(|error| error.to_string()),
                None => Err("there is no spool".to_owned()),
            }),
        };
        self.handle(Input::Loaded { load, content }, now, dice, saboteur);
        Ok(())
    }

    /// Changes the spool; some writes find no room.
    pub(crate) fn spool(&mut self, op: SpoolOp, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        let Some(spool) = &mut self.spool else { return };
        match op {
            SpoolOp::Write { block, messages } => {
                if dice.chance(1, 60) {
                    self.disk.plan(Fault::once(OpKind::Write, 1, FaultError::Enospc).at(SPOOL));
                }
                let done = spool.write(block, &messages).map_err(|error| error.to_string());
                self.handle(Input::Spooled { block, done }, now, dice, saboteur);
            }
            SpoolOp::Free { block } => {
                spool.free(block);
                while spool.reclaim() {}
            }
        }
    }

    /// Lets time pass for the engine and the sessions.
    pub(crate) fn tick(&mut self, now: Now, dice: &mut SeededEntropy, saboteur: &mut Saboteur) {
        self.front.tick(now, saboteur);
        self.collect(now, dice, saboteur);
    }

    /// Whether the engine's books balance.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.front.check()
    }
}

/// Its process removes nothing when it is killed.
impl Drop for Node {
    fn drop(&mut self) {
        if let Some(spool) = self.spool.take() {
            spool.abandon();
        }
    }
}

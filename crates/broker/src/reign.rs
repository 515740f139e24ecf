//! [`Reign`]: engine, store and connections of a broker for as long as it is the master.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ferromq_engine::Engine;
use ferromq_env::Clock;
use ferromq_gateway::SessionSettings;
use ferromq_gateway::openwire::OpenWireProperties;
use ferromq_model::Epoch;
use ferromq_net::{
    Census, Letter, ListenAddress, Look, Mailbox, Plug, Reception, Seat, Spread, drain, mailbox,
};
use ferromq_store::driver::Cutoff;
use ferromq_store::spool::SpoolEnding;
use ferromq_store::{Follower, StoreMetrics};
use tokio::net::TcpStream;

use crate::bridges::{Bridges, LinksView, MirrorDesk};
use crate::cluster::ClusterDesk;
use crate::engine_thread::{EngineRoom, EngineThread};
use crate::failure::{FailureWatch, Reported, failure};
use crate::firsts::Firsts;
use crate::lease::LeaseView;
use crate::neighbours::Neighbours;
use crate::storage::{self, Storage};
use crate::{Broken, Settings, StartError};

/// So much may wait for the engine before drivers stop reading from their sockets.
const MAILBOX_BYTES: usize = 16 * 1024 * 1024;

/// What connections may take beyond the time for draining, to say their last words, and no longer than that time was.
const GRACE: Duration = Duration::from_secs(1);

/// Serves connections of one reign.
pub(crate) struct Counter {
    reception: Reception,
    /// One for each listener.
    sessions: Vec<Arc<SessionSettings>>,
}

impl Counter {
    pub(crate) fn welcome(&self, port: usize, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        if let Some(session) = self.sessions.get(port) {
            self.reception.welcome(session, stream, peer, seat);
        }
    }
}

/// Engine, store and connections of a broker that is the master.
pub(crate) struct Reign {
    plug: Plug,
    mailbox: Mailbox<Letter>,
    reception: Reception,
    engine: JoinHandle<Option<Storage>>,
    failed: FailureWatch,
    cutoff: Cutoff,
    metrics: Option<Arc<StoreMetrics>>,
    cluster: Arc<ClusterDesk>,
    bridges: Bridges,
    neighbours: Neighbours,
}

/// What a reign is made of.
pub(crate) struct Throne<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where it listens.
    pub(crate) urls: Vec<String>,
    pub(crate) lease: LeaseView,
    pub(crate) firsts: Firsts,
    /// Where connections live.
    pub(crate) lanes: Spread,
}

impl Reign {
    /// Claims the store for `epoch` and starts everything. Blocks; to be called within a runtime.
    pub(crate) fn begin(
        throne: Throne<'_>,
        follower: Box<dyn Follower>,
        epoch: Epoch,
    ) -> Result<(Self, Counter), StartError> {
        let Throne { settings, clock, urls, lease, firsts, lanes } = throne;
        let (mailbox, inbox) = mailbox(MAILBOX_BYTES);
        let (failure, failed) = failure();
        let (plug, drain) = drain();
        let mut identity = settings.identity(clock.now(), &urls);
        let run = identity.id.to_string();
        let (storage, recovered) =
            storage::open(settings, follower, epoch, run.trim_start_matches("ID:"), &mailbox, &failure)?;
        let (cutoff, metrics) = (storage.cutoff(), storage.metrics());
        settings.keep_id(&mut identity, recovered.store.as_deref());
        // A store that more than one node can have keeps the id itself, once it is known to others.
        if let Some(id) = ferromq_engine::own_id(&recovered) {
            identity.id = id;
        }
        // What a memory held is gone with it, and so is what it knew of streams.
        identity.links = recovered.streams.is_some() && settings.store != crate::StoreChoice::Memory;
        let mut engine_settings = settings.engine.clone();
        engine_settings.spool = storage.spools().then_some(settings.spooling);
        engine_settings.broker_id = identity.id.clone();
        engine_settings.broker_name = identity.name.clone();
        engine_settings.broker_url = identity.url.clone();
        let connectors = settings.network.iter().map(|connector| connector.settings.name.clone());
        engine_settings.connectors = Some(connectors.collect());
        let mut engine = Engine::new(engine_settings, Arc::new(OpenWireProperties), recovered.epoch);
        let mut outputs = Vec::new();
        engine.recover(recovered, &mut outputs);
        let published = settings.published(&urls);
        let desk = Arc::new(ClusterDesk::new(mailbox.clone(), &settings.clients, &published));
        let clusters: Vec<_> = (0..settings.listen.len()).map(|listener| desk.cluster(listener)).collect();
        let mirrors = MirrorDesk::default();
        let reception = Reception::new(mailbox.clone(), Arc::clone(&clock), drain)
            .over(lanes.clone())
            .with_mirrors(mirrors.host(run.replace("ID:", "")))
            .with_peers(desk.host());
        let room = EngineRoom::new(engine, outputs, storage, clock, lease, failure).telling(firsts);
        let engine = spawn(EngineThread::new(room, &mailbox, inbox))?;
        let session = |(listener, (address, cluster)): (usize, (&ListenAddress, _))| {
            let mut session = settings.session(address, identity.clone());
            session.cluster = cluster;
            settings.most.get(listener).copied().unwrap_or_default().limit(&mut session.limits);
            Arc::new(session)
        };
        let sessions = settings.listen.iter().zip(clusters).enumerate().map(session).collect();
        let counter = Counter { reception: reception.clone(), sessions };
        let inside = settings.session(&ListenAddress::loopback(0), identity);
        let seed = run.replace("ID:", "");
        let bridges = Bridges::begin(&settings.network, mirrors, reception.clone(), inside, &seed, &lanes);
        let neighbours =
            Neighbours::begin(&settings.network, &settings.told, &published, bridges.door(), &seed, &lanes);
        let reign = Self {
            plug,
            mailbox,
            reception,
            engine,
            failed,
            cutoff,
            metrics,
            cluster: desk,
            bridges,
            neighbours,
        };
        Ok((reign, counter))
    }

    /// How far its links to other brokers are.
    pub(crate) fn links(&self) -> Vec<ferromq_bridge::LinkStatus> {
        self.links_view().status()
    }

    /// The same, for whoever looks while this reigns.
    pub(crate) fn links_view(&self) -> LinksView {
        self.bridges.view(self.neighbours.links())
    }

    /// What the store counts.
    pub(crate) fn metrics(&self) -> Option<Arc<StoreMetrics>> {
        self.metrics.clone()
    }

    /// Shows the engine to `look`, on the engine's thread.
    pub(crate) fn look(&self, look: impl FnOnce(&Engine) + Send + 'static) {
        self.mailbox.post(Letter::Look(Look(Box::new(look))));
    }

    /// The way to ask the engine for something.
    pub(crate) fn reception(&self) -> Reception {
        self.reception.clone()
    }

    /// Waits for the first failure.
    pub(crate) async fn failed(&mut self) -> Reported {
        self.failed.failed().await
    }

    /// Ends at once, as a broker does that is no longer the master: connections are closed, nothing more is written, and
    /// nobody is waited for. Threads that the disk holds up end when it lets them go; what they wrote is not completed,
    /// and belongs to an epoch that is over.
    pub(crate) fn abandon(self) {
        self.cutoff.cut();
        self.cluster.close();
        self.plug.pull(Duration::ZERO);
        self.mailbox.post(Letter::Stop);
    }

    /// Ends in order: connections have `patience` to finish, what was handed to the store is synced. The spool may still
    /// be removing its files. A store that is not closed when `hangs` ends is left behind.
    pub(crate) async fn end(
        self,
        patience: Duration,
        census: &Census,
        hurry: impl Future<Output = ()>,
        hangs: impl Future<Output = ()>,
    ) -> (Result<(), Broken>, Option<SpoolEnding>) {
        self.cluster.close();
        tokio::join!(self.neighbours.stop(), self.bridges.stop());
        self.plug.pull(patience);
        tokio::select! {
            () = census.empty() => {}
            () = tokio::time::sleep(patience + GRACE.min(patience)) => {
                tracing::warn!(connections = census.present(), "some connections did not end in time");
            }
            () = hurry => tracing::warn!(connections = census.present(), "not waiting for connections"),
        }
        self.mailbox.post(Letter::Stop);
        let closed = tokio::task::spawn_blocking(move || match self.engine.join() {
            Ok(Some(storage)) => storage.close(),
            Ok(None) | Err(_) => (Err(Broken::Bug("the engine's thread ended by a bug".to_owned())), None),
        });
        let (closed, spool) = tokio::select! {
            biased;
            closed = closed => closed.unwrap_or_else(|error| (Err(Broken::Bug(error.to_string())), None)),
            () = hangs => {
                self.cutoff.cut();
                let reason = "closing the store hangs: the storage does not answer, and the lease is over; a standby takes over";
                (Err(Broken::Storage(reason.to_owned())), None)
            }
        };
        match self.failed.so_far() {
            Some(reported) => (Err(reported.into()), spool),
            None => (closed, spool),
        }
    }
}

fn spawn(engine: EngineThread) -> Result<JoinHandle<Option<Storage>>, StartError> {
    thread::Builder::new().name("engine".into()).spawn(move || engine.run()).map_err(StartError::Thread)
}

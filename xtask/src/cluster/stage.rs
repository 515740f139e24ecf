//! [`Stage`]: a cluster under load on which a scenario is played, and what was found out about it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::Signal;

use super::load::{Gap, Load};
use super::node::{Micros, Node, Role, free_port, micros};
use super::proxy::Proxy;
use crate::interop::Tally;
use crate::peers::FerroBroker;

/// Where the nodes keep their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// A folder that all share.
    File,
    /// A PostgreSQL that is started for the run.
    Postgres,
}

impl StoreKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            StoreKind::File => "file",
            StoreKind::Postgres => "postgres",
        }
    }
}

/// What decides beside the store who may claim it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LockKind {
    /// An etcd that is started for the run.
    Etcd,
    /// A PostgreSQL that is started for the run.
    Postgres,
}

impl LockKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            LockKind::Etcd => "etcd",
            LockKind::Postgres => "postgres",
        }
    }

    /// Why it can't be had here.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            LockKind::Etcd => ferromq_testkit::Etcd::find().err(),
            LockKind::Postgres => ferromq_testkit::Postgres::find().err().map(|missing| missing.to_string()),
        }
    }
}

/// The service of a lock beside the store; ends when dropped.
pub(crate) enum LockService {
    Etcd(ferromq_testkit::Etcd),
    Postgres(ferromq_testkit::Postgres),
}

impl LockService {
    fn start(kind: LockKind) -> Result<Self> {
        Ok(match kind {
            LockKind::Etcd => Self::Etcd(ferromq_testkit::Etcd::start_or_skip().context("no etcd here")?),
            LockKind::Postgres => {
                let server = ferromq_testkit::Postgres::start_with(&[]);
                Self::Postgres(server.context("PostgreSQL can't be started here")?)
            }
        })
    }

    fn uri(&self) -> String {
        match self {
            Self::Etcd(server) => format!("etcd://127.0.0.1:{}/cluster", server.port()),
            Self::Postgres(server) => server.url(),
        }
    }
}

/// How long anything may take that must happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What nodes are called.
pub(crate) const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Of `ferromq run` for a node that shares a folder, or a database.
pub(crate) fn arguments(
    name: &str,
    port: u16,
    takeover_after: &str,
    data: &Path,
    database: Option<&str>,
) -> Vec<String> {
    let listen = format!("tcp://127.0.0.1:{port}");
    let data = data.display().to_string();
    let mut words =
        vec!["run", "--name", name, "--takeover-after", takeover_after, "--listen", &listen, "--data", &data];
    words.extend(database.iter().flat_map(|url| ["--store", url]));
    words.into_iter().map(str::to_owned).collect()
}

/// A shared store, with what keeps it alive.
pub(crate) enum Shared {
    /// A folder.
    Folder(PathBuf),
    /// A server, behind a relay for each node.
    Database { server: ferromq_testkit::Postgres, relays: Vec<Proxy> },
}

/// How to set up a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) store: StoreKind,
    /// A lock beside the store.
    pub(crate) lock: Option<LockKind>,
    pub(crate) takeover_after: String,
    /// For logs, states and folders; emptied first.
    pub(crate) folder: PathBuf,
    /// Of every node, beside its own.
    pub(crate) environment: Vec<(String, String)>,
    /// Further arguments of `ferromq run`.
    pub(crate) arguments: Vec<String>,
    /// A folder for the shared store that exists already.
    pub(crate) data: Option<PathBuf>,
    /// Whether clients come through a relay for each node, which can be cut.
    pub(crate) relayed: bool,
    /// Whether nodes reach a database without a relay that can be cut, and takes its time.
    pub(crate) direct: bool,
}

/// A cluster: nodes that are not started yet, and what they share.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) shared: Shared,
    /// Kept for as long as the nodes need it.
    pub(crate) _lock: Option<LockService>,
    /// Between clients and nodes, if they are relayed.
    pub(crate) fronts: Vec<Proxy>,
}

impl Cluster {
    /// Prepares folders, ports and the store.
    pub(crate) fn prepare(plan: &Plan) -> Result<Cluster> {
        let binary = FerroBroker::binary();
        if !binary.is_file() {
            bail!("{} does not exist; build it with: cargo build --release -p ferromq", binary.display());
        }
        let _ = fs::remove_dir_all(&plan.folder);
        fs::create_dir_all(&plan.folder)?;
        let shared = match plan.store {
            StoreKind::File => {
                let data = plan.data.clone().unwrap_or_else(|| plan.folder.join("shared"));
                fs::create_dir_all(&data)?;
                Shared::Folder(data)
            }
            StoreKind::Postgres => {
                let server =
                    ferromq_testkit::Postgres::start_with(&[]).context("PostgreSQL can't be started here")?;
                let relay = |_| Proxy::to(server.port());
                let relayed = if plan.direct { 0 } else { plan.nodes };
                let relays = (0..relayed).map(relay).collect::<Result<_>>()?;
                Shared::Database { server, relays }
            }
        };
        let lock = plan.lock.map(LockService::start).transpose()?;
        let mut nodes = Vec::new();
        for (index, name) in NAMES.iter().take(plan.nodes).enumerate() {
            let port = free_port()?;
            let (data, url) = match &shared {
                Shared::Folder(data) => (data.clone(), None),
                Shared::Database { server, relays } => {
                    let relay = relays.get(index).map_or(server.port(), Proxy::port);
                    let own = format!(":{}/", server.port());
                    let url = server.url().replace(&own, &format!(":{relay}/"));
                    // Own state only; what must survive is in the database.
                    (plan.folder.join(format!("{name}-data")), Some(url))
                }
            };
            let mut arguments = arguments(name, port, &plan.takeover_after, &data, url.as_deref());
            arguments.extend(lock.iter().flat_map(|lock| ["--lock".to_owned(), lock.uri()]));
            arguments.extend(plan.arguments.iter().cloned());
            let mut environment = plan.environment.clone();
            let state = plan.folder.join(format!("{name}-state"));
            environment.push(("XDG_STATE_HOME".to_owned(), state.display().to_string()));
            nodes.push(Node::new(name, port, binary.clone(), arguments, environment, &plan.folder));
        }
        let relay = |node: &Node| Proxy::to(node.port);
        let fronts = if plan.relayed { nodes.iter().map(relay).collect::<Result<_>>()? } else { Vec::new() };
        Ok(Cluster { nodes, shared, _lock: lock, fronts })
    }

    /// The `failover:` URI of a client, with options.
    pub(crate) fn failover_url(&self, options: &str) -> String {
        let urls: Vec<String> = if self.fronts.is_empty() {
            self.nodes.iter().map(Node::url).collect()
        } else {
            self.fronts.iter().map(|front| format!("tcp://127.0.0.1:{}", front.port())).collect()
        };
        format!("failover:({})?{options}", urls.join(","))
    }

    /// The one active node.
    pub(crate) fn master(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.role() == Role::Active)
    }

    /// Waits until a node other than `not` is active.
    pub(crate) fn wait_for_master(&self, not: Option<usize>, limit: Duration) -> Result<usize> {
        let until = Instant::now() + limit;
        loop {
            let found = self.nodes.iter().enumerate().find(|(index, node)| {
                Some(*index) != not && node.role() == Role::Active && node.pid().is_some()
            });
            if let Some((index, _)) = found {
                return Ok(index);
            }
            if Instant::now() > until {
                let roles: Vec<String> =
                    self.nodes.iter().map(|node| format!("{} {}", node.name, node.role().name())).collect();
                bail!("no master within {limit:?}: {}", roles.join(", "));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until a node has a role.
    pub(crate) fn wait_for_role(&self, index: usize, role: Role, limit: Duration) -> Result<()> {
        let node = self.nodes.get(index).context("no such node")?;
        let until = Instant::now() + limit;
        while node.role() != role {
            if Instant::now() > until {
                bail!(
                    "{} is {} and not {} after {limit:?}; its log is {}",
                    node.name,
                    node.role().name(),
                    role.name(),
                    node.log().display()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// A cluster under load, on which a scenario is played.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) load: Load,
    pub(crate) tally: Tally,
    /// What was done, and when.
    pub(crate) marks: Vec<(Micros, String)>,
    /// From a fault to the first send that was answered after it.
    pub(crate) outages: Vec<(String, Gap, Micros)>,
    pub(crate) random: Random,
}

impl Stage {
    fn node(&mut self, index: usize) -> Result<&mut Node> {
        self.cluster.nodes.get_mut(index).context("no such node")
    }

    /// A statement that holds or not.
    pub(crate) fn state(&mut self, what: &str, holds: bool) {
        self.tally.state(what, holds);
    }

    /// Something is done to the cluster.
    pub(crate) fn mark(&mut self, what: impl Into<String>) -> Micros {
        let at = micros();
        self.marks.push((at, what.into()));
        at
    }

    /// The one active node.
    pub(crate) fn master(&self) -> Result<usize> {
        self.cluster.wait_for_master(None, PATIENCE)
    }

    /// Lets the load run.
    pub(crate) fn run_for(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, index: usize) -> Result<Micros> {
        let name = self.node(index)?.name.clone();
        let at = self.mark(format!("kill -9 {name}"));
        self.node(index)?.kill()?;
        Ok(at)
    }

    /// SIGTERM.
    pub(crate) fn stop(&mut self, index: usize) -> Result<Micros> {
        let name = self.node(index)?.name.clone();
        let at = self.mark(format!("stop {name}"));
        self.node(index)?.stop()?;
        Ok(at)
    }

    /// Starts it (again).
    pub(crate) fn start(&mut self, index: usize) -> Result<()> {
        let name = self.node(index)?.name.clone();
        self.mark(format!("start {name}"));
        self.node(index)?.start(false)
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self, index: usize) -> Result<Micros> {
        let name = self.node(index)?.name.clone();
        let at = self.mark(format!("pause {name}"));
        self.node(index)?.signal(Signal::STOP)?;
        Ok(at)
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self, index: usize) -> Result<()> {
        let name = self.node(index)?.name.clone();
        self.mark(format!("resume {name}"));
        self.node(index)?.signal(Signal::CONT)
    }

    /// After a fault at `since`: sends are answered again, on every lane; the outage goes into the report.
    pub(crate) fn recovers(&mut self, what: &str, since: Micros) -> Result<()> {
        let progress = self.load.progress(PATIENCE);
        if let Err(error) = &progress {
            println!("   {error:#}");
        }
        match self.load.longest_pause_after(since) {
            Some(gap) => {
                let (answer, pause) = (gap.first.saturating_sub(since), gap.first.saturating_sub(gap.last));
                println!(
                    "   {what}: first answer {} ms after it, a pause of {} ms",
                    answer / 1000,
                    pause / 1000
                );
                self.outages.push((what.to_owned(), gap, since));
            }
            // Too short a pause to be one: the steady producer went on within 25 ms.
            None => println!("   {what}: no pause of the steady producer"),
        }
        self.state(&format!("{what}: every lane goes on"), progress.is_ok());
        Ok(())
    }

    /// The end of each scenario: everything was delivered as promised, and there is one master.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let masters = self.cluster.nodes.iter().filter(|node| node.role() == Role::Active).count();
        self.state("exactly one node is active at the end", masters == 1);
        let (lines, tally) = self.load.finish()?;
        for line in lines {
            println!("{line}");
        }
        self.tally.add(tally);
        Ok(())
    }
}

/// A small generator: moments need spread, not quality.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to.saturating_sub(from) + 1))
    }
}

/// The folder for everything a cluster leaves behind.
pub(crate) fn home() -> PathBuf {
    crate::workspace::root().join("target").join("cluster")
}

/// A path, as short as it can be told from the work tree.
pub(crate) fn shown(path: &Path) -> String {
    let root = crate::workspace::root();
    let root = root.canonicalize().unwrap_or(root);
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.strip_prefix(&root).unwrap_or(&whole).display().to_string()
}

//! `cargo xtask cluster`: a master, its standbys and a load of stock clients as real processes, to see what happens.
//!
//! `up` starts nodes that stay; `status`, `kill`, `start`, `pause`, `resume`, `partition`, `heal` and `down` act on them.
//! `run` plays a scenario of the one list that the tests use as well, with a load of a released Java client, and ends
//! with a table, a timeline as a picture and a line `N passed, M failed, K skipped`.

pub(crate) mod keeper;
mod load;
pub(crate) mod net;
mod node;
mod proxy;
mod report;
mod scenarios;
mod stage;
mod up;
mod upgrade;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rustix::process::Signal;

use keeper::{How, Side};
pub(crate) use load::{Load, LoadOptions};
use net::{Between, NetScenario};
pub(crate) use node::{Micros, Node, Role, free_port, micros};
use scenarios::{Need, Scenario};
pub(crate) use stage::{Cluster, LockKind, PATIENCE, Plan, Random, Shared, StoreKind};
use stage::{Stage, home, shown};

use crate::interop::Tally;
use crate::peers::{Java, Line};

/// What the clients of every scenario say: quick to come back, patient with sends, and not with a broker that is silent
/// (a paused one keeps its connections).
pub(crate) const QUICK: &str = "useExponentialBackOff=false&initialReconnectDelay=10&timeout=60000\
    &nested.wireFormat.maxInactivityDuration=2000&nested.wireFormat.maxInactivityDurationInitalDelay=2000";

/// So many of the exceptions that clients had are told after a failure.
const SHOWN_EVENTS: usize = 30;

/// Options of `cargo xtask cluster`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask cluster up                                two nodes on a shared folder, which stay
  cargo xtask cluster up --nodes 3 --store postgres     three on a PostgreSQL of their own
  cargo xtask cluster status                            who is master, who is cut off
  cargo xtask cluster kill a                            kill -9; `start a` brings it back
  cargo xtask cluster pause b                           SIGSTOP; `resume b` lets it go on
  cargo xtask cluster partition a                       its clients lose it, silently; `heal a` mends it
  cargo xtask cluster partition a --from storage --how reset
  cargo xtask cluster down                              the end
  cargo xtask cluster list                              the scenarios
  cargo xtask cluster run kill --store file --seed 7
  cargo xtask cluster run kill --store file --lock etcd
  cargo xtask cluster run everyday --lines all
  cargo xtask cluster run net-cut --between ferromq-activemq")]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Starts nodes on a shared store; they stay until `down`
    Up {
        /// How many
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
        nodes: u8,
        /// Where they keep their messages
        #[arg(long, value_enum, default_value = "file")]
        store: StoreKind,
        /// How long a silent master keeps its role
        #[arg(long, default_value = "500ms")]
        takeover_after: String,
    },
    /// Tells each node's role
    Status,
    /// kill -9 of a node
    Kill { node: String },
    /// Starts a node again
    Start { node: String },
    /// SIGSTOP of a node
    Pause { node: String },
    /// SIGCONT of a node
    Resume { node: String },
    /// Cuts a node off, from its clients or from its database
    Partition {
        node: String,
        /// What it loses
        #[arg(long, value_enum, default_value = "clients")]
        from: Side,
        /// How it loses it
        #[arg(long, value_enum, default_value = "silent")]
        how: How,
    },
    /// Ends every cut of a node, or of all
    Heal { node: Option<String> },
    /// Stops all nodes in order and forgets them
    Down,
    /// Lists the scenarios
    List,
    /// Plays a scenario, or `all`, `networks`, or `everyday` (the short ones)
    Run {
        /// Its name
        scenario: String,
        /// Decides every moment; printed, so that a run can be repeated
        #[arg(long)]
        seed: Option<u64>,
        /// Where the nodes keep their messages; without it, every store of the scenario
        #[arg(long, value_enum)]
        store: Option<StoreKind>,
        /// What decides beside the store who may claim it; without it, the store alone. Not of scenarios of networks
        #[arg(long, value_enum)]
        lock: Option<LockKind>,
        /// Of scenarios of networks: who is linked to whom; without it, everybody of the scenario
        #[arg(long, value_enum)]
        between: Option<Between>,
        /// The lines of the released client, separated by commas, or `all`
        #[arg(long, default_value = "5.19")]
        lines: String,
        /// How long a silent master keeps its role; without it 500ms on a folder alone, 2s with a database or a lock
        #[arg(long)]
        takeover_after: Option<String>,
    },
}

/// Runs the verb.
///
/// # Errors
/// A statement does not hold, or something could not be started.
pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.verb {
        Verb::Up { nodes, store, takeover_after } => up::start(usize::from(*nodes), *store, takeover_after),
        Verb::Status => up::status(),
        Verb::Kill { node } => up::act(node, |node| node.kill().map(|_| ())),
        Verb::Start { node } => up::act(node, |node| node.start(true)),
        Verb::Pause { node } => up::act(node, |node| node.signal(Signal::STOP)),
        Verb::Resume { node } => up::act(node, |node| node.signal(Signal::CONT)),
        Verb::Partition { node, from, how } => up::partition(node, *from, *how),
        Verb::Heal { node } => up::heal(node.as_deref()),
        Verb::Down => up::down(),
        Verb::List => {
            for scenario in scenarios::all() {
                let stores: Vec<_> = scenario.stores.iter().map(|store| store.name()).collect();
                println!("{:<18} {} ({})", scenario.name, scenario.about, stores.join(", "));
            }
            for scenario in net::all() {
                let between: Vec<_> = scenario.between.iter().map(|between| between.name()).collect();
                println!("{:<18} {} ({})", scenario.name, scenario.about, between.join(", "));
            }
            Ok(())
        }
        Verb::Run { scenario, seed, store, lock, between, lines, takeover_after } => {
            let seed = seed.unwrap_or_else(|| micros() % 1_000_000);
            let lines = if lines == "all" {
                Line::ALL.to_vec()
            } else {
                lines.split(',').map(|line| line.trim().parse()).collect::<Result<_>>()?
            };
            Orders {
                seed,
                store: *store,
                lock: *lock,
                between: *between,
                lines,
                takeover_after: takeover_after.as_deref(),
            }
            .play(scenario)
        }
    }
}

/// What `run` was told beside the scenario.
struct Orders<'a> {
    seed: u64,
    store: Option<StoreKind>,
    lock: Option<LockKind>,
    between: Option<Between>,
    lines: Vec<Line>,
    takeover_after: Option<&'a str>,
}

/// Whether there is a scenario of this name.
pub(crate) fn is_scenario(name: &str) -> bool {
    scenarios::all().iter().any(|scenario| scenario.name == name)
        || net::all().iter().any(|scenario| scenario.name == name)
}

/// Whether a scenario is meant by this name.
fn is_meant(wanted: &str, name: &str, everyday: bool) -> bool {
    match wanted {
        "all" => true,
        "networks" => name.starts_with("net-"),
        "everyday" => everyday,
        wanted => wanted == name,
    }
}

impl Orders<'_> {
    fn play(&self, wanted: &str) -> Result<()> {
        let clusters: Vec<Scenario> = scenarios::all()
            .into_iter()
            .filter(|scenario| is_meant(wanted, scenario.name, scenario.everyday))
            .collect();
        let networks: Vec<NetScenario> = net::all()
            .into_iter()
            .filter(|scenario| is_meant(wanted, scenario.name, scenario.everyday))
            .collect();
        if clusters.is_empty() && networks.is_empty() {
            let (clusters, networks) = (scenarios::all(), net::all());
            let known = clusters.iter().map(|scenario| scenario.name);
            let near =
                ferromq_uri::nearest(wanted, known.chain(networks.iter().map(|scenario| scenario.name)));
            let hint = near.map(|near| format!(", but {near:?}")).unwrap_or_default();
            bail!("there is no scenario {wanted:?}{hint}; `cargo xtask cluster list` names them");
        }
        let java = match Java::find() {
            Ok(java) => java,
            Err(missing) => {
                println!("skip cluster: {missing:#}");
                println!("0 passed, 0 failed, 1 skipped");
                return Ok(());
            }
        };
        let mut total = Tally::default();
        for scenario in &clusters {
            self.play_cluster(&java, scenario, &mut total);
        }
        for scenario in &networks {
            self.play_network(&java, scenario, &mut total);
        }
        println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
        if total.failed > 0 {
            bail!("{} statements about the cluster do not hold, seed {}", total.failed, self.seed);
        }
        if total == Tally::default() {
            bail!("nothing was run: no chosen scenario is played on that store, or between those brokers");
        }
        Ok(())
    }

    fn play_cluster(&self, java: &Java, scenario: &Scenario, total: &mut Tally) {
        for &store in scenario.stores.iter().filter(|store| self.store.is_none_or(|only| only == **store)) {
            if let Some(missing) = missing(scenario, store).or_else(|| self.lock?.missing()) {
                println!("skip cluster-{}-{}: {missing}", scenario.name, store.name());
                total.skipped += 1;
                continue;
            }
            for &line in &self.lines {
                let place = match self.lock {
                    Some(lock) => format!("{} with a lock in {}", store.name(), lock.name()),
                    None => store.name().to_owned(),
                };
                let what = format!("{} on {place}, client {line}, seed {}", scenario.name, self.seed);
                println!("\n== {what}: {}", scenario.about);
                let quick = store == StoreKind::File && self.lock.is_none();
                let usual = if quick { "500ms" } else { "2s" };
                let takeover_after = self.takeover_after.unwrap_or(usual);
                add(total, &what, play(java, scenario, (store, self.lock), line, self.seed, takeover_after));
            }
        }
    }

    fn play_network(&self, java: &Java, scenario: &NetScenario, total: &mut Tally) {
        for &store in scenario.stores.iter().filter(|store| self.store.is_none_or(|only| only == **store)) {
            if store == StoreKind::Postgres
                && let Err(missing) = ferromq_testkit::Postgres::find()
            {
                println!("skip cluster-{}-postgres: {missing}", scenario.name);
                total.skipped += 1;
                continue;
            }
            let wanted = |between: &&Between| self.between.is_none_or(|only| only == **between);
            for &between in scenario.between.iter().filter(wanted) {
                for &line in &self.lines {
                    let on =
                        if scenario.stores.len() > 1 { format!(", {}", store.name()) } else { String::new() };
                    let what = format!(
                        "{} between {}{on}, client {line}, seed {}",
                        scenario.name,
                        between.name(),
                        self.seed
                    );
                    println!("\n== {what}: {}", scenario.about);
                    add(total, &what, net::play(java, scenario, between, store, line, self.seed));
                }
            }
        }
    }
}

fn add(total: &mut Tally, what: &str, played: Result<Tally>) {
    match played {
        Ok(tally) => total.add(tally),
        Err(error) => {
            println!("FAIL cluster: {what}: {error:#}");
            total.failed += 1;
        }
    }
}

/// Why a scenario can't be played here.
fn missing(scenario: &Scenario, store: StoreKind) -> Option<String> {
    if store == StoreKind::Postgres
        && let Err(missing) = ferromq_testkit::Postgres::find()
    {
        return Some(missing.to_string());
    }
    match scenario.needs {
        Need::Nothing | Need::NextVersion => None,
        Need::SmallDisk if rustix::process::geteuid().is_root() => None,
        Need::SmallDisk => Some(String::from("only root may mount a small file system")),
        Need::FalseClock if false_clock().is_some() => None,
        Need::FalseClock => {
            Some(String::from("no libfaketime; install it with: apt-get install libfaketime"))
        }
    }
}

fn false_clock() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];
    folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1")).find(|path| path.is_file())
}

/// What processes with a false clock read their offset from.
pub(crate) fn false_clock_file() -> PathBuf {
    home().join("false-clock")
}

fn play(
    java: &Java,
    scenario: &Scenario,
    (store, lock): (StoreKind, Option<LockKind>),
    line: Line,
    seed: u64,
    takeover_after: &str,
) -> Result<Tally> {
    let beside = lock.map(|lock| format!("-{}-lock", lock.name())).unwrap_or_default();
    let place = format!("{}{beside}", store.name());
    let name = format!("{}-{place}-{line}", scenario.name);
    let folder = home().join("run").join(&name);
    let mut plan = Plan {
        nodes: scenario.nodes,
        store,
        lock,
        takeover_after: takeover_after.to_owned(),
        folder: folder.clone(),
        environment: Vec::new(),
        arguments: Vec::new(),
        data: None,
        relayed: scenario.relayed,
        direct: false,
    };
    let _mounted = prepare(scenario, &mut plan)?;
    let mut cluster = Cluster::prepare(&plan)?;
    for node in &mut cluster.nodes {
        node.start(false)?;
    }
    cluster.wait_for_master(None, PATIENCE)?;
    let url = cluster.failover_url(QUICK);
    let log = folder.join("client.log");
    let bystanders = scenario.bystanders;
    let load = LoadOptions { line, url: &url, against: "ferromq", bystanders, log: &log };
    let load = Load::start(java, &load)?;
    let mut stage = Stage {
        cluster,
        load,
        tally: Tally::default(),
        marks: Vec::new(),
        outages: Vec::new(),
        random: Random(seed),
    };
    let played = (scenario.play)(&mut stage).and_then(|()| stage.finish());
    report::table(&stage);
    let title = format!("{} on {place}, client {line}, seed {seed}", scenario.name);
    let (ticks, _, events) = stage.load.history();
    let timeline = report::Timeline {
        title: &title,
        about: scenario.about,
        ticks: &ticks,
        nodes: stage.cluster.nodes.iter().collect(),
        marks: &stage.marks,
        events: &events,
    };
    let picture = report::timeline(&timeline, &home().join("report"), &format!("{name}-{seed}"))?;
    println!("timeline: {}", shown(&picture));
    if played.is_err() || stage.tally.failed > 0 {
        let events = stage.load.history().2;
        let left_out = SHOWN_EVENTS..events.len().saturating_sub(SHOWN_EVENTS).max(SHOWN_EVENTS);
        for (index, (at, what)) in events.iter().enumerate() {
            if index == left_out.start && !left_out.is_empty() {
                println!("{} events are left out", left_out.len());
            }
            if !left_out.contains(&index) {
                println!("{} ms: {what}", at / 1000);
            }
        }
        println!("outputs and logs are kept in {}", shown(&folder));
    }
    let tally = stage.tally;
    played.map(|()| tally)
}

/// A mounted file system; unmounted when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn prepare(scenario: &Scenario, plan: &mut Plan) -> Result<Option<Mounted>> {
    match scenario.needs {
        Need::Nothing => Ok(None),
        Need::NextVersion => upgrade::build().map(|()| None),
        Need::FalseClock => {
            let library = false_clock().context("no libfaketime")?;
            fs::create_dir_all(home())?;
            fs::write(false_clock_file(), "+0s")?;
            for (name, value) in [
                ("LD_PRELOAD", library.display().to_string()),
                ("FAKETIME_TIMESTAMP_FILE", false_clock_file().display().to_string()),
                ("FAKETIME_NO_CACHE", "1".to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ] {
                plan.environment.push((name.to_owned(), value));
            }
            Ok(None)
        }
        Need::SmallDisk => {
            let mount = home().join("small-disk");
            let _ = Command::new("umount").arg("-l").arg(&mount).stderr(std::process::Stdio::null()).status();
            fs::create_dir_all(&mount)?;
            let status = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=400m", "tmpfs"])
                .arg(&mount)
                .status()
                .context("can't run mount")?;
            if !status.success() {
                bail!("can't mount a small file system at {}", mount.display());
            }
            plan.data = Some(mount.join("shared"));
            Ok(Some(Mounted(mount)))
        }
    }
}

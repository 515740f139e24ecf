//! `cargo xtask cluster`: a master, its standbys and a load of stock clients as real processes, to see what happens.
//!
//! `up` starts nodes that stay; `status`, `kill`, `pause`, `resume` and `down` act on them. `run` plays a scenario of
//! the one list that the tests use as well, with a load of a released Java client, and ends with a table, a timeline
//! as a picture and a line `N passed, M failed, K skipped`.

mod load;
mod node;
mod proxy;
mod report;
mod scenarios;
mod stage;
mod upgrade;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use rustix::process::Signal;
use serde_json::{Value, json};

pub(crate) use load::{Load, LoadOptions};
pub(crate) use node::{Node, micros};
use scenarios::{Need, Scenario};
pub(crate) use stage::{Cluster, PATIENCE, Plan, StoreKind};
use stage::{Random, Shared, Stage, home, shown};

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
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Starts nodes on a shared folder; they stay until `down`
    Up {
        /// How many
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=8))]
        nodes: u8,
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
    /// Stops all nodes in order and forgets them
    Down,
    /// Lists the scenarios
    List,
    /// Plays a scenario, or `all`, or `everyday` (the short ones)
    Run {
        /// Its name
        scenario: String,
        /// Decides every moment; printed, so that a run can be repeated
        #[arg(long)]
        seed: Option<u64>,
        /// Where the nodes keep their messages; without it, every store of the scenario
        #[arg(long, value_enum)]
        store: Option<StoreKind>,
        /// The lines of the released client, separated by commas, or `all`
        #[arg(long, default_value = "5.19")]
        lines: String,
        /// How long a silent master keeps its role; without it 500ms on a folder, 2s on a database
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
        Verb::Up { nodes, takeover_after } => up(usize::from(*nodes), takeover_after),
        Verb::Status => status(),
        Verb::Kill { node } => act(node, |node| node.kill().map(|_| ())),
        Verb::Start { node } => act(node, |node| node.start(true)),
        Verb::Pause { node } => act(node, |node| node.signal(Signal::STOP)),
        Verb::Resume { node } => act(node, |node| node.signal(Signal::CONT)),
        Verb::Down => down(),
        Verb::List => {
            for scenario in scenarios::all() {
                let stores: Vec<_> = scenario.stores.iter().map(|store| store.name()).collect();
                println!("{:<18} {} ({})", scenario.name, scenario.about, stores.join(", "));
            }
            Ok(())
        }
        Verb::Run { scenario, seed, store, lines, takeover_after } => {
            let chosen = chosen(scenario)?;
            let seed = seed.unwrap_or_else(|| micros() % 1_000_000);
            let lines = if lines == "all" {
                Line::ALL.to_vec()
            } else {
                lines.split(',').map(|line| line.trim().parse()).collect::<Result<_>>()?
            };
            play_all(&chosen, seed, *store, &lines, takeover_after.as_deref())
        }
    }
}

fn chosen(name: &str) -> Result<Vec<Scenario>> {
    let mut all = scenarios::all();
    match name {
        "all" => {}
        "everyday" => all.retain(|scenario| scenario.everyday),
        name => {
            all.retain(|scenario| scenario.name == name);
            if all.is_empty() {
                bail!("there is no scenario {name:?}; `cargo xtask cluster list` names them");
            }
        }
    }
    Ok(all)
}

fn play_all(
    chosen: &[Scenario],
    seed: u64,
    only: Option<StoreKind>,
    lines: &[Line],
    takeover_after: Option<&str>,
) -> Result<()> {
    let mut total = Tally::default();
    let java = match Java::find() {
        Ok(java) => java,
        Err(missing) => {
            println!("skip cluster: {missing:#}");
            println!("0 passed, 0 failed, 1 skipped");
            return Ok(());
        }
    };
    for scenario in chosen {
        for &store in scenario.stores.iter().filter(|store| only.is_none_or(|only| only == **store)) {
            if let Some(missing) = missing(scenario, store) {
                println!("skip cluster-{}-{}: {missing}", scenario.name, store.name());
                total.skipped += 1;
                continue;
            }
            for &line in lines {
                println!(
                    "\n== {} on {}, client {line}, seed {seed}: {}",
                    scenario.name,
                    store.name(),
                    scenario.about
                );
                let usual = if store == StoreKind::File { "500ms" } else { "2s" };
                match play(&java, scenario, store, line, seed, takeover_after.unwrap_or(usual)) {
                    Ok(tally) => total.add(tally),
                    Err(error) => {
                        println!(
                            "FAIL cluster: {} on {}, client {line}, seed {seed}: {error:#}",
                            scenario.name,
                            store.name()
                        );
                        total.failed += 1;
                    }
                }
            }
        }
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if total.failed > 0 {
        bail!("{} statements about the cluster do not hold, seed {seed}", total.failed);
    }
    Ok(())
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
    store: StoreKind,
    line: Line,
    seed: u64,
    takeover_after: &str,
) -> Result<Tally> {
    let name = format!("{}-{}-{line}", scenario.name, store.name());
    let folder = home().join("run").join(&name);
    let mut plan = Plan {
        nodes: scenario.nodes,
        store,
        takeover_after: takeover_after.to_owned(),
        folder: folder.clone(),
        environment: Vec::new(),
        arguments: Vec::new(),
        data: None,
        relayed: scenario.relayed,
    };
    let _mounted = prepare(scenario, &mut plan)?;
    let mut cluster = Cluster::prepare(&plan)?;
    for node in &mut cluster.nodes {
        node.start(false)?;
    }
    cluster.wait_for_master(None, PATIENCE)?;
    let url = cluster.failover_url(QUICK);
    let load = LoadOptions { line, url: &url, against: "ferromq", bystanders: scenario.bystanders };
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
    let title =
        format!("{} on {}, client {line}, seed {seed}: {}", scenario.name, store.name(), scenario.about);
    let picture = report::timeline(&stage, &title, &home().join("report"), &format!("{name}-{seed}"))?;
    println!("timeline: {}", shown(&picture));
    if played.is_err() || stage.tally.failed > 0 {
        for (at, what) in stage.load.history().2.iter().take(SHOWN_EVENTS) {
            println!("{} ms: {what}", at / 1000);
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

fn state_file() -> PathBuf {
    home().join("up.json")
}

fn up(nodes: usize, takeover_after: &str) -> Result<()> {
    if state_file().exists() {
        bail!("a cluster is up already; `cargo xtask cluster down` ends it");
    }
    let folder = home().join("up");
    let plan = Plan {
        nodes,
        store: StoreKind::File,
        takeover_after: takeover_after.to_owned(),
        folder: folder.clone(),
        environment: Vec::new(),
        arguments: Vec::new(),
        data: None,
        relayed: false,
    };
    let mut cluster = Cluster::prepare(&plan)?;
    for node in &mut cluster.nodes {
        node.start(true)?;
    }
    save(&cluster, takeover_after)?;
    std::thread::sleep(Duration::from_millis(700));
    status()?;
    println!(
        "\ntry it:  target/release/ferromq send --url '{}' queue://hello hello",
        cluster.failover_url("")
    );
    println!("         cargo xtask cluster kill a && cargo xtask cluster status");
    Ok(())
}

fn save(cluster: &Cluster, takeover_after: &str) -> Result<()> {
    let nodes: Vec<Value> = cluster
        .nodes
        .iter()
        .map(|node| json!({ "name": node.name, "port": node.port, "pid": node.pid() }))
        .collect();
    let text = serde_json::to_string_pretty(&json!({ "takeover_after": takeover_after, "nodes": nodes }))?;
    fs::write(state_file(), text).context("can't write down what was started")
}

/// The nodes that `up` started, as they were written down.
fn saved() -> Result<(Cluster, String)> {
    let text =
        fs::read_to_string(state_file()).context("no cluster is up; `cargo xtask cluster up` starts one")?;
    let state: Value = serde_json::from_str(&text)?;
    let takeover_after = state["takeover_after"].as_str().unwrap_or("500ms").to_owned();
    let folder = home().join("up");
    let data = folder.join("shared");
    let mut nodes = Vec::new();
    for entry in state["nodes"].as_array().into_iter().flatten() {
        let name = entry["name"].as_str().unwrap_or_default();
        let port = entry["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("a port")?;
        let arguments = ["run", "--name", name, "--takeover-after", &takeover_after, "--listen"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("tcp://127.0.0.1:{port}"), "--data".to_owned(), data.display().to_string()])
            .collect();
        let state = ("XDG_STATE_HOME".to_owned(), folder.join(format!("{name}-state")).display().to_string());
        let binary = crate::peers::FerroBroker::binary();
        let mut node = Node::new(name, port, binary, arguments, vec![state], &folder);
        if let Some(pid) = entry["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()) {
            node.adopt(pid);
        }
        nodes.push(node);
    }
    Ok((Cluster { nodes, shared: Shared::Folder(data), fronts: Vec::new() }, takeover_after))
}

fn status() -> Result<()> {
    let (cluster, _) = saved()?;
    for node in &cluster.nodes {
        let told = if node.is_alive() { node.told() } else { String::from("down") };
        println!("{:<3} {:<24} {told}", node.name, node.url());
    }
    Ok(())
}

fn act(name: &str, what: impl FnOnce(&mut Node) -> Result<()>) -> Result<()> {
    let (mut cluster, takeover_after) = saved()?;
    let node = cluster.nodes.iter_mut().find(|node| node.name == name);
    what(node.with_context(|| format!("there is no node {name:?}"))?)?;
    save(&cluster, &takeover_after)
}

fn down() -> Result<()> {
    let (mut cluster, _) = saved()?;
    for node in &mut cluster.nodes {
        if node.is_alive() {
            let _ = node.signal(Signal::CONT);
            node.stop()?;
        }
    }
    fs::remove_file(state_file()).context("can't forget the cluster")
}

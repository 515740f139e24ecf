//! Two brokers on one store, of either kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::rows::Kind;
use crate::bench::process;
use crate::bench::target::Tools;
use crate::cluster::{Cluster, Node, PATIENCE, Plan, Role, Shared, StoreKind, free_port};
use crate::peers::{RealBroker, RealOptions};

/// A node is at rest when it takes less than a tenth of a core over so long.
const REST: Duration = Duration::from_millis(300);
/// A JVM takes its time to start; and a standby to read a large store for the first time.
const REST_LIMIT: Duration = Duration::from_secs(30);
/// The real one says nothing before it has the lock, and looks for it every ten seconds.
const THEIR_PATIENCE: Duration = Duration::from_secs(60);

/// A pair that is up: one of them serves.
pub(super) struct Duo {
    pub(super) cluster: Cluster,
    kind: Kind,
    folder: PathBuf,
}

impl Duo {
    pub(super) fn start(tools: &Tools, kind: Kind, name: &str) -> Result<Duo> {
        let folder = tools.scratch().join(format!("ha-{name}"));
        let cluster = match kind {
            Kind::Ours(store) => ours(&folder, store)?,
            Kind::KahaDb(poll) => theirs(tools, &folder, poll, None)?,
            Kind::Lease(poll, keep_alive) => theirs(tools, &folder, Some(poll), Some(keep_alive))?,
        };
        let mut duo = Duo { cluster, kind, folder };
        for index in 0..2 {
            duo.node(index)?.start(false)?;
            if index == 0 {
                duo.cluster.wait_for_master(None, duo.patience())?;
            }
        }
        duo.standby_ready(1)?;
        Ok(duo)
    }

    pub(super) fn patience(&self) -> Duration {
        if self.kind.is_ours() { PATIENCE } else { THEIR_PATIENCE }
    }

    pub(super) fn node(&mut self, index: usize) -> Result<&mut Node> {
        self.cluster.nodes.get_mut(index).context("no such node")
    }

    /// Waits until a standby has said so, as far as it says anything, and does nothing any longer.
    pub(super) fn standby_ready(&self, index: usize) -> Result<()> {
        if self.kind.is_ours() {
            self.cluster.wait_for_role(index, Role::Standby, PATIENCE)?;
        }
        let pid = self.cluster.nodes.get(index).and_then(Node::pid).context("it does not run")?;
        let until = Instant::now() + REST_LIMIT;
        while Instant::now() < until {
            let before = process::cpu_us(pid)?;
            std::thread::sleep(REST);
            if u128::from(process::cpu_us(pid)? - before) * 10 < REST.as_micros() {
                return Ok(());
            }
        }
        println!("   the standby is still busy after {REST_LIMIT:?}; it goes on all the same");
        Ok(())
    }

    /// `ferromq status` of a node, as JSON.
    pub(super) fn status(&self, index: usize) -> Option<serde_json::Value> {
        let url = self.cluster.nodes.get(index)?.url();
        let output = Command::new(crate::peers::FerroBroker::binary())
            .args(["status", &url, "--json"])
            .output()
            .ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }
}

impl Drop for Duo {
    fn drop(&mut self) {
        for node in &mut self.cluster.nodes {
            // One that is down already is as good.
            let _ = node.kill();
        }
        // Logs stay; messages take too much room.
        let _ = fs::remove_dir_all(self.folder.join("shared"));
    }
}

fn ours(folder: &Path, store: StoreKind) -> Result<Cluster> {
    Cluster::prepare(&Plan {
        nodes: 2,
        store,
        lock: None,
        takeover_after: "500ms".to_owned(),
        folder: folder.to_owned(),
        environment: Vec::new(),
        arguments: Vec::new(),
        data: None,
        relayed: false,
        direct: true,
    })
}

fn theirs(tools: &Tools, folder: &Path, poll: Option<u32>, lease: Option<u32>) -> Result<Cluster> {
    let _ = fs::remove_dir_all(folder);
    let data = folder.join("shared");
    fs::create_dir_all(&data)?;
    let shared = match lease {
        None => Shared::Folder(data.clone()),
        Some(_) => {
            let server =
                ferromq_testkit::Postgres::start_with(&[]).context("PostgreSQL can't be started here")?;
            Shared::Database { server, relays: Vec::new() }
        }
    };
    let mut nodes = Vec::new();
    for name in ["a", "b"] {
        let port = free_port()?;
        // Names differ with a lease, for they are its holders; a file lock has no names.
        let mut arguments = vec![format!("--name={}", if lease.is_some() { name } else { "activemq" })];
        arguments.extend(poll.map(|millis| format!("--lockPoll={millis}")));
        arguments.extend(lease.map(|millis| format!("--keepAlive={millis}")));
        let database = match &shared {
            Shared::Database { server, .. } => {
                Some(format!("jdbc:postgresql://127.0.0.1:{}/postgres", server.port()))
            }
            Shared::Folder(_) => None,
        };
        let options = RealOptions { database, arguments, ..RealOptions::default() };
        let command =
            RealBroker::command(tools.java(), &options, &data.display().to_string(), &port.to_string())?;
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let program = PathBuf::from(command.get_program());
        nodes.push(Node::new(name, port, program, words, Vec::new(), folder));
    }
    Ok(Cluster { nodes, shared, _lock: None, fronts: Vec::new() })
}

/// The release of the PostgreSQL that rows with a database use.
pub(super) fn database_version() -> Option<String> {
    let programs = ferromq_testkit::Postgres::find().ok()?;
    let output = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().replace("postgres (PostgreSQL)", "PostgreSQL"))
}

//! A cluster that stays up between calls: what each verb does to it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::keeper::{self, How, Kept, Side};
use super::node::{Node, free_port};
use super::stage::{NAMES, StoreKind, arguments, home};
use crate::peers::FerroBroker;

/// As it was written down.
struct Up {
    takeover_after: String,
    store: StoreKind,
    nodes: Vec<Node>,
    kept: Kept,
}

fn folder() -> PathBuf {
    home().join("up")
}

fn state_file() -> PathBuf {
    home().join("up.json")
}

/// `cluster up`.
pub(super) fn start(nodes: usize, store: StoreKind, takeover_after: &str) -> Result<()> {
    if state_file().exists() {
        bail!("a cluster is up already; `cargo xtask cluster down` ends it");
    }
    let binary = FerroBroker::binary();
    if !binary.is_file() {
        bail!("{} does not exist; build it with: cargo build --release -p ferromq", binary.display());
    }
    let _ = fs::remove_dir_all(folder());
    fs::create_dir_all(folder())?;
    let mut ports = Vec::new();
    for name in NAMES.iter().take(nodes) {
        ports.push(((*name).to_owned(), free_port()?));
    }
    let kept = Kept::start(&folder(), &ports, store == StoreKind::Postgres)?;
    let takeover_after = takeover_after.to_owned();
    let mut up = Up { takeover_after, store, nodes: Vec::new(), kept };
    for (name, port) in &ports {
        up.nodes.push(node(name, *port, store, &up.takeover_after, &up.kept));
    }
    // Written down before anything may fail, so that `down` ends whatever was started.
    up.save()?;
    for index in 0..up.nodes.len() {
        if let Some(node) = up.nodes.get_mut(index) {
            node.start(true)?;
        }
        up.save()?;
    }
    std::thread::sleep(Duration::from_millis(700));
    status()?;
    let fronts: Vec<String> = up.nodes.iter().map(|node| up.front(node)).collect();
    println!(
        "\ntry it:  target/release/ferromq send --url 'failover:({})' queue://hello hello",
        fronts.join(",")
    );
    println!("         cargo xtask cluster kill a && cargo xtask cluster status");
    Ok(())
}

fn node(name: &str, port: u16, store: StoreKind, takeover_after: &str, kept: &Kept) -> Node {
    let own = folder().join(format!("{name}-data"));
    let data = if store == StoreKind::File { folder().join("shared") } else { own };
    let arguments = arguments(name, port, takeover_after, &data, kept.database(name).as_deref());
    let state = ("XDG_STATE_HOME".to_owned(), folder().join(format!("{name}-state")).display().to_string());
    Node::new(name, port, FerroBroker::binary(), arguments, vec![state], &folder())
}

impl Up {
    fn save(&self) -> Result<()> {
        let nodes: Vec<Value> = self
            .nodes
            .iter()
            .map(|node| json!({ "name": node.name, "port": node.port, "pid": node.pid() }))
            .collect();
        let state =
            json!({ "takeover_after": self.takeover_after, "store": self.store.name(), "nodes": nodes });
        fs::write(state_file(), serde_json::to_string_pretty(&state)?)
            .context("can't write down what was started")
    }

    fn read() -> Result<Up> {
        let text = fs::read_to_string(state_file())
            .context("no cluster is up; `cargo xtask cluster up` starts one")?;
        let state: Value = serde_json::from_str(&text)?;
        let takeover_after = state["takeover_after"].as_str().unwrap_or("500ms").to_owned();
        let store = if state["store"] == "postgres" { StoreKind::Postgres } else { StoreKind::File };
        let kept = Kept::read(&folder()).context("the keeper of its relays")?;
        let mut nodes = Vec::new();
        for entry in state["nodes"].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().unwrap_or_default();
            let port = entry["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("a port")?;
            let mut node = node(name, port, store, &takeover_after, &kept);
            if let Some(pid) = entry["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()) {
                node.adopt(pid);
            }
            nodes.push(node);
        }
        Ok(Up { takeover_after, store, nodes, kept })
    }

    /// Where clients reach a node, by its relay.
    fn front(&self, node: &Node) -> String {
        self.kept.front(&node.name).map_or_else(|| node.url(), |port| format!("tcp://127.0.0.1:{port}"))
    }

    fn names(&self, name: &str) -> Result<()> {
        if self.nodes.iter().any(|node| node.name == name) {
            return Ok(());
        }
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        bail!("there is no node {name:?}, only {}", names.join(", "))
    }
}

/// `cluster status`.
pub(super) fn status() -> Result<()> {
    let up = Up::read()?;
    let cuts = keeper::cuts(&folder());
    for node in &up.nodes {
        let told = if node.is_alive() { node.told() } else { String::from("down") };
        let cut: Vec<String> = ["clients", "storage"]
            .iter()
            .filter_map(|side| Some(format!("{side} cut off ({})", cuts[&node.name][*side].as_str()?)))
            .collect();
        let cut = if cut.is_empty() { String::new() } else { format!("; {}", cut.join(", ")) };
        println!("{:<3} {:<24} {told}{cut}", node.name, up.front(node));
    }
    Ok(())
}

/// Does something to one node.
pub(super) fn act(name: &str, what: impl FnOnce(&mut Node) -> Result<()>) -> Result<()> {
    let mut up = Up::read()?;
    up.names(name)?;
    if let Some(node) = up.nodes.iter_mut().find(|node| node.name == name) {
        what(node)?;
    }
    up.save()
}

/// `cluster partition`.
pub(super) fn partition(name: &str, side: Side, how: How) -> Result<()> {
    let up = Up::read()?;
    up.names(name)?;
    if side != Side::Clients && up.store == StoreKind::File {
        bail!(
            "a shared folder can't be cut off; `cargo xtask cluster up --store postgres` starts nodes that can lose their database"
        );
    }
    keeper::cut(&folder(), name, side, Some(how))?;
    status()
}

/// `cluster heal`, of one node or of all.
pub(super) fn heal(name: Option<&str>) -> Result<()> {
    let up = Up::read()?;
    if let Some(name) = name {
        up.names(name)?;
    }
    for node in up.nodes.iter().filter(|node| name.is_none_or(|name| node.name == name)) {
        keeper::cut(&folder(), &node.name, Side::All, None)?;
    }
    status()
}

/// `cluster down`.
pub(super) fn down() -> Result<()> {
    let mut up = Up::read()?;
    // Whoever is cut off can't end in order.
    heal(None)?;
    for node in &mut up.nodes {
        if node.is_alive() {
            let _ = node.signal(Signal::CONT);
            node.stop()?;
        }
    }
    keeper::end(&folder(), up.kept.pid)?;
    fs::remove_file(state_file()).context("can't forget the cluster")
}

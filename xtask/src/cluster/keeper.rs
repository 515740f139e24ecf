//! The keeper of a cluster that stays up: a process of its own that holds what must outlive `cluster up`, the relays
//! that can be cut and the database, and does what a file says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::proxy::Proxy;
use super::stage::PATIENCE;

/// How often it looks what is to be done.
const LOOK: Duration = Duration::from_millis(20);

/// What a node can be cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Its clients.
    Clients,
    /// Its database.
    Storage,
    /// Both.
    All,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum How {
    /// Nothing passes and nobody is told.
    Silent,
    /// Connections are closed at once, new ones too.
    Reset,
}

/// What the hidden verb is told.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// For what it tells and is told
    folder: PathBuf,
    /// NAME=PORT of each node
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<String>,
    /// Whether it starts a database
    #[arg(long)]
    database: bool,
}

/// What the keeper says when it is ready.
pub(super) struct Kept {
    pub(super) pid: u32,
    state: Value,
}

impl Kept {
    /// Starts a keeper for these nodes.
    pub(super) fn start(folder: &Path, nodes: &[(String, u16)], database: bool) -> Result<Kept> {
        use std::os::unix::process::CommandExt;
        let words: Vec<String> = nodes.iter().map(|(name, port)| format!("{name}={port}")).collect();
        let log = fs::File::create(folder.join("keeper.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("cluster-keeper").arg(folder).args(["--nodes", &words.join(",")]);
        if database {
            command.arg("--database");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("can't start the keeper of the relays")?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Ok(kept) = Kept::read(folder) {
                return Ok(kept);
            }
            if child.try_wait()?.is_some() || Instant::now() > until {
                bail!("the keeper of the relays did not start: {}", folder.join("keeper.log").display());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// One that was started before.
    pub(super) fn read(folder: &Path) -> Result<Kept> {
        let state: Value = serde_json::from_str(&fs::read_to_string(folder.join("keeper.json"))?)?;
        let pid = state["pid"].as_u64().and_then(|pid| pid.try_into().ok()).context("its process")?;
        Ok(Kept { pid, state })
    }

    /// Where clients reach a node.
    pub(super) fn front(&self, node: &str) -> Option<u16> {
        self.state["nodes"][node]["front"].as_u64().and_then(|port| port.try_into().ok())
    }

    /// Where a node reaches the database.
    pub(super) fn database(&self, node: &str) -> Option<String> {
        self.state["nodes"][node]["database"].as_str().map(str::to_owned)
    }
}

/// What is cut at the moment, as JSON: node, then side, then how.
pub(super) fn cuts(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("cuts.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_else(|_| json!({}))
}

/// Writes down what is to be cut; returns when the keeper had the time to do it.
pub(super) fn cut(folder: &Path, node: &str, side: Side, how: Option<How>) -> Result<()> {
    let mut cuts = cuts(folder);
    let word = how.map(|how| if how == How::Silent { "silent" } else { "reset" });
    for (name, ours) in [("clients", Side::Clients), ("storage", Side::Storage)] {
        if side == ours || side == Side::All {
            cuts[node][name] = json!(word);
        }
    }
    write_whole(&folder.join("cuts.json"), &cuts)?;
    std::thread::sleep(LOOK * 3);
    Ok(())
}

/// Tells the keeper to end; returns when it has.
pub(super) fn end(folder: &Path, pid: u32) -> Result<()> {
    fs::write(folder.join("end"), "")?;
    let until = Instant::now() + PATIENCE;
    while Path::new("/proc").join(pid.to_string()).exists() {
        if Instant::now() > until {
            bail!("the keeper of the relays, process {pid}, does not end");
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn write_whole(path: &Path, value: &Value) -> Result<()> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, value.to_string())?;
    fs::rename(&unfinished, path)?;
    Ok(())
}

/// The hidden verb: holds relays and database until it is told to end.
pub(crate) fn run(args: &Args) -> Result<()> {
    let server = match args.database {
        true => Some(ferromq_testkit::Postgres::start_with(&[]).context("PostgreSQL can't be started here")?),
        false => None,
    };
    let mut relays = Vec::new();
    let mut nodes = json!({});
    for word in &args.nodes {
        let (name, port) = word.split_once('=').with_context(|| format!("{word:?} is no NAME=PORT"))?;
        let front = Proxy::to(port.parse()?)?;
        nodes[name]["front"] = json!(front.port());
        let mut database = None;
        if let Some(server) = &server {
            let relay = Proxy::to(server.port())?;
            let url = server.url().replace(&format!(":{}/", server.port()), &format!(":{}/", relay.port()));
            nodes[name]["database"] = json!(url);
            database = Some(relay);
        }
        relays.push((name.to_owned(), front, database));
    }
    let ready = json!({ "pid": std::process::id(), "nodes": nodes });
    write_whole(&args.folder.join("keeper.json"), &ready)?;
    while !args.folder.join("end").exists() {
        let cuts = cuts(&args.folder);
        for (name, front, database) in &relays {
            obey(front, cuts[name]["clients"].as_str());
            if let Some(database) = database {
                obey(database, cuts[name]["storage"].as_str());
            }
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn obey(relay: &Proxy, cut: Option<&str>) {
    match cut {
        Some("silent") => relay.silence(),
        Some(_) => relay.reset(),
        None => relay.heal(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_written_down_and_forgotten() {
        let folder = std::env::temp_dir().join(format!("xtask-keeper-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        cut(&folder, "a", Side::All, Some(How::Reset)).unwrap();
        cut(&folder, "a", Side::Storage, None).unwrap();
        let cuts = cuts(&folder);
        assert_eq!(cuts["a"], json!({ "clients": "reset", "storage": null }));
        assert_eq!(cuts["b"]["clients"].as_str(), None);
        fs::remove_dir_all(folder).unwrap();
    }
}

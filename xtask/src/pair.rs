//! The released Java clients before a master and its standby: what a planned switchover does to applications, and how
//! long a client takes that comes to the standby first. Part of `cargo xtask interop`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::interop::{Tally, follow, show};
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line, work_dir};

/// There and back again.
const SWITCHOVERS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(10);

/// Two nodes on one folder.
struct Pair {
    nodes: [Broker; 2],
    data: PathBuf,
}

impl Pair {
    fn start(arguments: &[String]) -> Result<Self> {
        let data = work_dir().join("run").join(format!("pair-{}", std::process::id()));
        let start = |name: &str| {
            FerroBroker::start(&FerroOptions {
                name: name.to_owned(),
                data: Some(data.clone()),
                arguments: arguments.to_vec(),
                ..FerroOptions::default()
            })
        };
        Ok(Self { nodes: [start("a")?, start("b")?], data: data.clone() })
    }

    fn failover(&self, first: usize) -> String {
        let [a, b] = &self.nodes;
        let (one, other) = if first == 0 { (a, b) } else { (b, a) };
        format!("failover:({},{})", one.url(), other.url())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill_hard();
        }
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// Runs both programs with one client line.
///
/// # Errors
/// A node or the Java program could not be started, or ended early.
pub(crate) fn run(java: &Java, line: Line, quiet: bool, arguments: &[String]) -> Result<Tally> {
    let pair = Pair::start(arguments)?;
    let mut tally = wrong_first(java, line, quiet, &pair)?;
    tally.add(switchovers(java, line, quiet, &pair)?);
    Ok(tally)
}

fn program(java: &Java, line: Line, name: &str) -> Result<Command> {
    let mut command = java.command(&java.programs(line)?);
    command.arg("-Xmx512M").arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off").arg(name);
    Ok(command)
}

fn wrong_first(java: &Java, line: Line, quiet: bool, pair: &Pair) -> Result<Tally> {
    let mut command = program(java, line, "interop.WrongFirst")?;
    command.arg(format!("--url={}?randomize=false", pair.failover(1)));
    follow(command, quiet)
}

fn switchovers(java: &Java, line: Line, quiet: bool, pair: &Pair) -> Result<Tally> {
    let mut command = program(java, line, "interop.Switchover")?;
    command.arg(format!("--url={}", pair.failover(0)));
    let mut child =
        command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().context("cannot run java")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let mut master = 0;
    let mut done = 0;
    let tally = show(stdout, quiet, |text| {
        if text != "ready" {
            return Ok(());
        }
        let order = if done < SWITCHOVERS {
            std::thread::sleep(Duration::from_millis(300));
            let node = pair.nodes.get(master).context("two nodes")?;
            switch_over(node.url())?;
            master = 1 - master;
            done += 1;
            "switched\n"
        } else {
            "stop\n"
        };
        stdin.write_all(order.as_bytes()).and_then(|()| stdin.flush()).context("the Java program has ended")
    });
    let status = child.wait();
    tally?.with_context(|| {
        format!("the switchover program ended with {status:?} before it had printed its sums")
    })
}

/// `ferromq switchover`, as soon as the node is the master.
fn switch_over(node: &str) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let output = ferromq(&FerroBroker::binary(), &["switchover", node])?;
        match output.status.success() {
            true => return Ok(()),
            false if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            false => bail!("no switchover: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

fn ferromq(binary: &Path, arguments: &[&str]) -> Result<std::process::Output> {
    Command::new(binary).args(arguments).output().context("cannot run ferromq")
}

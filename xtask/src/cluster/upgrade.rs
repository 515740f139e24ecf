//! Two versions beside each other: ours, and one that was built to know a format that is one higher.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};

use super::node::Role;
use super::stage::{PATIENCE, Shared, Stage, home};
use crate::peers::FerroBroker;
use crate::workspace::{cargo, run};

/// Where the next version is kept.
fn next_version() -> PathBuf {
    home().join("ferromq-next-format")
}

/// Builds the next version, and puts ours back in its place.
pub(crate) fn build() -> Result<()> {
    let build = ["build", "--release", "--package", "ferromq"];
    run(cargo().args(build).args(["--features", "next-format"]))?;
    std::fs::create_dir_all(home())?;
    std::fs::copy(FerroBroker::binary(), next_version()).context("can't keep the next version")?;
    run(cargo().args(build))
}

/// A rolling upgrade, the way back, and the step after which there is none, under load.
pub(crate) fn upgrade(stage: &mut Stage) -> Result<()> {
    let (ours, next) = (FerroBroker::binary(), next_version());
    let found = format(stage)?;
    roll_to(stage, &next, "the next version")?;
    stage.state("the next version writes the format that it found", format(stage)? == found);
    roll_to(stage, &ours, "the version before again")?;
    roll_to(stage, &next, "the next version for good")?;

    let store = match &stage.cluster.shared {
        Shared::Folder(folder) => folder.display().to_string(),
        Shared::Database { server, .. } => server.url(),
    };
    let finalized = Command::new(&next).args(["store", "finalize", &store]).output();
    let finalized = finalized.context("can't run ferromq store finalize")?;
    stage.mark("finalize");
    stage.state("finalize allows the new format", finalized.status.success());
    // From the next start of a master on it is written.
    let master = stage.master()?;
    let at = stage.stop(master)?;
    stage.cluster.wait_for_master(Some(master), PATIENCE)?;
    stage.recovers("a takeover after finalize", at)?;
    stage.state("the store has the new format", format(stage)? == found + 1);
    let mut before = Command::new(&ours);
    before.args(["run", "--name", "before", "--listen", "tcp://127.0.0.1:0"]);
    match &stage.cluster.shared {
        Shared::Folder(folder) => before.arg("--data").arg(folder),
        Shared::Database { server, .. } => before.args(["--store", &server.url()]),
    };
    let refused = before.output().context("can't start the version before")?;
    print!("{}", String::from_utf8_lossy(&refused.stderr));
    stage.state("the version before is refused with exit code 73 and the remedy", refuses(&refused, found));
    stage.start(master)?;
    let back = stage.cluster.wait_for_role(master, Role::Standby, PATIENCE);
    stage.state("the next version follows", back.is_ok());
    Ok(())
}

/// Each node in turn is stopped and started as that version, the standby first.
fn roll_to(stage: &mut Stage, version: &Path, what: &str) -> Result<()> {
    let master = stage.master()?;
    for node in (0..stage.cluster.nodes.len()).filter(|node| *node != master).chain([master]) {
        let at = stage.stop(node)?;
        if node == master {
            stage.cluster.wait_for_master(Some(node), PATIENCE)?;
            stage.recovers(&format!("{what} takes over"), at)?;
        }
        stage.cluster.nodes.get_mut(node).context("no such node")?.becomes_version(version);
        stage.start(node)?;
        let back = stage.cluster.wait_for_role(node, Role::Standby, PATIENCE);
        stage.state(&format!("a node comes back as {what}, and follows"), back.is_ok());
        let time = stage.random.millis(300, 1_000);
        stage.run_for(time);
    }
    Ok(())
}

fn refuses(output: &Output, known: u32) -> bool {
    let told = format!("format {}, this program knows up to {known}; run the newer version", known + 1);
    output.status.code() == Some(73) && String::from_utf8_lossy(&output.stderr).contains(&told)
}

/// What the store says of itself.
fn format(stage: &Stage) -> Result<u32> {
    let text = match &stage.cluster.shared {
        Shared::Folder(folder) => std::fs::read_to_string(folder.join("format")).context("no format")?,
        Shared::Database { server, .. } => server.sql("SELECT format FROM ferromq.meta"),
    };
    let number = text.lines().next().map(|line| line.trim_start_matches("ferromq-store "));
    number.and_then(|number| number.parse().ok()).with_context(|| format!("its format is {text:?}"))
}

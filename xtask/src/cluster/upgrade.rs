//! Two versions beside each other: ours, and one that was built to know a format that is one higher.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

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
    let Shared::Folder(folder) = &stage.cluster.shared else { bail!("not on a folder") };
    let folder = folder.clone();
    let (ours, next) = (FerroBroker::binary(), next_version());
    roll_to(stage, &next, "the next version")?;
    stage.state("the next version writes the format that it found", format(&folder)? == 2);
    roll_to(stage, &ours, "the version before again")?;
    roll_to(stage, &next, "the next version for good")?;

    let finalized = verb(&next, "finalize", &folder)?;
    stage.mark("finalize");
    stage.state("finalize raises the format", finalized.status.success() && format(&folder)? == 3);
    stage.state("the version before can't look into it", refuses(&verb(&ours, "ls", &folder)?));
    // From the next start of a master on it is written in the new format.
    let master = stage.master()?;
    let at = stage.stop(master)?;
    stage.cluster.wait_for_master(Some(master), PATIENCE)?;
    stage.recovers("a takeover after finalize", at)?;
    let started = Command::new(&ours)
        .args(["run", "--name", "before", "--listen", "tcp://127.0.0.1:0", "--data"])
        .arg(&folder)
        .output()
        .context("can't start the version before")?;
    print!("{}", String::from_utf8_lossy(&started.stderr));
    stage.state("the version before is refused with exit code 73 and the remedy", refuses(&started));
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

fn verb(program: &Path, verb: &str, folder: &Path) -> Result<Output> {
    let output = Command::new(program).args(["store", verb]).arg(folder).output();
    output.with_context(|| format!("can't run {} store {verb}", program.display()))
}

fn refuses(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.code() == Some(73)
        && said.contains("format 3, this program knows up to 2; run the newer version")
}

/// What the folder says of itself.
fn format(folder: &Path) -> Result<u32> {
    let text = std::fs::read_to_string(folder.join("format")).context("no format")?;
    let number = text.lines().next().and_then(|line| line.strip_prefix("ferromq-store "));
    number.and_then(|number| number.parse().ok()).with_context(|| format!("the file `format` says {text:?}"))
}

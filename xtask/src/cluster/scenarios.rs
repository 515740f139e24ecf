//! The scenarios: one list, for `cargo xtask cluster run` and for the tests.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::node::Role;
use super::stage::{PATIENCE, Shared, Stage, StoreKind};
use crate::peers::FerroBroker;

/// Something that happens to a cluster under load.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What happens, and what must come of it.
    pub(crate) about: &'static str,
    pub(crate) stores: &'static [StoreKind],
    pub(crate) nodes: usize,
    pub(crate) bystanders: u32,
    /// Whether clients come through relays that can be cut.
    pub(crate) relayed: bool,
    /// What the machine must have.
    pub(crate) needs: Need,
    /// Whether `run everyday` plays it.
    pub(crate) everyday: bool,
    pub(crate) play: fn(&mut Stage) -> Result<()>,
}

/// What the machine must have for a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing special.
    Nothing,
    /// To mount a small file system for the shared folder.
    SmallDisk,
    /// The program once more, built for the next format.
    NextVersion,
    /// The library that gives a process a false wall clock.
    FalseClock,
}

const BOTH: &[StoreKind] = &[StoreKind::File, StoreKind::Postgres];
const FILE: &[StoreKind] = &[StoreKind::File];
const DATABASE: &[StoreKind] = &[StoreKind::Postgres];

const fn on(stores: &'static [StoreKind], name: &'static str, about: &'static str) -> Scenario {
    Scenario {
        name,
        about,
        stores,
        nodes: 2,
        bystanders: 0,
        relayed: false,
        needs: Need::Nothing,
        everyday: false,
        play: |_| Ok(()),
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            everyday: true,
            play: kill,
            ..on(
                BOTH,
                "kill",
                "kill -9 of the master; the standby serves, the old master comes back as standby",
            )
        },
        Scenario {
            play: stop,
            ..on(BOTH, "stop", "an orderly stop of the master; no application sees an exception")
        },
        Scenario {
            everyday: true,
            play: pause,
            ..on(
                BOTH,
                "pause",
                "SIGSTOP of the master past its lease, then SIGCONT: it finds itself superseded",
            )
        },
        Scenario { play: kills, ..on(BOTH, "kills", "twenty masters in a row are killed") },
        Scenario {
            nodes: 3,
            play: kill_in_recovery,
            ..on(
                BOTH,
                "kill-in-recovery",
                "the next master is killed while it takes over; a third one serves",
            )
        },
        Scenario {
            play: switchover,
            ..on(BOTH, "switchover", "`ferromq switchover`; no application sees an exception")
        },
        Scenario {
            nodes: 3,
            play: rolling,
            ..on(BOTH, "rolling", "each node is stopped and started in turn, under load")
        },
        Scenario {
            needs: Need::NextVersion,
            play: super::upgrade::upgrade,
            ..on(
                BOTH,
                "upgrade",
                "to the next version and back, node by node, under load; finalize, and the version before is refused",
            )
        },
        Scenario {
            nodes: 3,
            play: any_order,
            ..on(BOTH, "any-order", "all down, then started in another order")
        },
        Scenario {
            bystanders: 50,
            play: kill,
            ..on(BOTH, "reconnect", "kill -9 of the master with fifty more clients, which come all at once")
        },
        Scenario {
            relayed: true,
            play: partition,
            ..on(
                BOTH,
                "partition",
                "clients and master lose each other, the storage stays: no takeover, no loss, on it goes when healed",
            )
        },
        Scenario {
            needs: Need::SmallDisk,
            play: disk_full,
            ..on(
                FILE,
                "disk-full",
                "the shared disk runs full: nobody loses anything, and it goes on by itself",
            )
        },
        Scenario {
            needs: Need::FalseClock,
            play: clock_jump,
            ..on(BOTH, "clock-jump", "wall clocks of both nodes jump by an hour: nothing happens")
        },
        Scenario {
            everyday: true,
            play: database_restart,
            ..on(
                DATABASE,
                "database-restart",
                "the database is restarted: the master rides it out, or the roles change",
            )
        },
        Scenario {
            play: database_cut,
            ..on(
                DATABASE,
                "database-cut",
                "the master alone loses the database: the standby takes over, the old one steps down",
            )
        },
    ]
}

fn other_than(stage: &Stage, index: usize) -> Result<usize> {
    stage.cluster.wait_for_master(Some(index), PATIENCE)
}

fn settle(stage: &mut Stage) {
    let time = stage.random.millis(800, 1_600);
    stage.run_for(time);
}

fn kill(stage: &mut Stage) -> Result<()> {
    let master = stage.master()?;
    settle(stage);
    let at = stage.kill(master)?;
    other_than(stage, master)?;
    stage.recovers("kill -9 of the master", at)?;
    stage.start(master)?;
    let back = stage.cluster.wait_for_role(master, Role::Standby, PATIENCE);
    stage.state("the killed master comes back as standby", back.is_ok());
    settle(stage);
    Ok(())
}

fn stop(stage: &mut Stage) -> Result<()> {
    let master = stage.master()?;
    settle(stage);
    let at = stage.stop(master)?;
    other_than(stage, master)?;
    stage.recovers("an orderly stop of the master", at)?;
    no_exceptions(stage, "an orderly stop");
    stage.start(master)?;
    settle(stage);
    Ok(())
}

/// Of commits that threw there is a line, and no demand: whether a consumer works off what it has while its connection is
/// drained depends on the machine.
fn no_exceptions(stage: &mut Stage, what: &str) {
    let (seen, commits) = (stage.load.exceptions(), stage.load.commits_that_threw());
    for text in seen.iter().chain(&commits) {
        println!("   {text}");
    }
    println!("   {what}: {} exceptions, and {} commits that threw", seen.len(), commits.len());
    stage.state(&format!("{what}: no exception reached an application"), seen.is_empty());
}

fn pause(stage: &mut Stage) -> Result<()> {
    let master = stage.master()?;
    settle(stage);
    let at = stage.pause(master)?;
    let next = other_than(stage, master)?;
    stage.recovers("SIGSTOP of the master", at)?;
    let rest = stage.random.millis(100, 3_000);
    stage.run_for(rest);
    stage.resume(master)?;
    let back = stage.cluster.wait_for_role(master, Role::Standby, PATIENCE);
    stage.state("the resumed master steps down into standby by itself", back.is_ok());
    stage.state("its successor stays master", stage.cluster.master() == Some(next));
    settle(stage);
    Ok(())
}

fn kills(stage: &mut Stage) -> Result<()> {
    for kill in 1..=20 {
        let master = stage.master()?;
        let time = stage.random.millis(100, 1_000);
        stage.run_for(time);
        let at = stage.kill(master)?;
        other_than(stage, master)?;
        stage.recovers(&format!("kill {kill}"), at)?;
        stage.start(master)?;
        stage.cluster.wait_for_role(master, Role::Standby, PATIENCE)?;
    }
    Ok(())
}

fn kill_in_recovery(stage: &mut Stage) -> Result<()> {
    for _ in 0..5 {
        let first = stage.master()?;
        settle(stage);
        stage.kill(first)?;
        // The moment at which the next one is in the middle of it is a matter of luck, so there are several.
        let delay = stage.random.millis(0, 120);
        stage.run_for(delay);
        let second = (0..stage.cluster.nodes.len())
            .find(|index| *index != first && stage.cluster.nodes[*index].role() == Role::Active)
            .unwrap_or_else(|| (first + 1) % stage.cluster.nodes.len());
        let at = stage.kill(second)?;
        stage.cluster.wait_for_master(None, PATIENCE)?;
        stage.recovers("a kill of the master and of its successor", at)?;
        stage.start(first)?;
        stage.start(second)?;
        for node in [first, second] {
            stage.cluster.wait_for_role(node, Role::Standby, PATIENCE)?;
        }
    }
    Ok(())
}

fn switchover(stage: &mut Stage) -> Result<()> {
    let master = stage.master()?;
    settle(stage);
    let at = stage.mark("switchover");
    let url = stage.cluster.nodes[master].url();
    let output = std::process::Command::new(FerroBroker::binary())
        .args(["switchover", &url])
        .output()
        .context("can't run ferromq switchover")?;
    if !output.status.success() {
        bail!("ferromq switchover failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    other_than(stage, master)?;
    stage.recovers("a switchover", at)?;
    no_exceptions(stage, "a switchover");
    let back = stage.cluster.wait_for_role(master, Role::Standby, PATIENCE);
    stage.state("the old master is a standby", back.is_ok());
    settle(stage);
    Ok(())
}

fn rolling(stage: &mut Stage) -> Result<()> {
    for node in 0..stage.cluster.nodes.len() {
        settle(stage);
        let was_master = stage.cluster.master() == Some(node);
        let at = stage.stop(node)?;
        if was_master {
            other_than(stage, node)?;
            stage.recovers("the stop of the master", at)?;
        }
        stage.start(node)?;
        let back = stage.cluster.wait_for_role(node, Role::Standby, PATIENCE);
        stage.state("the node comes back as standby", back.is_ok());
    }
    no_exceptions(stage, "a rolling restart");
    Ok(())
}

fn any_order(stage: &mut Stage) -> Result<()> {
    let count = stage.cluster.nodes.len();
    for _ in 0..3 {
        settle(stage);
        let at = stage.mark("all down");
        for node in 0..count {
            stage.kill(node)?;
        }
        let first = usize::try_from(stage.random.below(count as u64)).unwrap_or(0);
        for step in 0..count {
            stage.start((first + count - step) % count)?;
        }
        stage.cluster.wait_for_master(None, PATIENCE)?;
        stage.recovers("all down, and started in another order", at)?;
        let roles = |role| stage.cluster.nodes.iter().filter(|node| node.role() == role).count();
        let until = std::time::Instant::now() + PATIENCE;
        while roles(Role::Standby) != count - 1 && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (active, standby) = (roles(Role::Active), roles(Role::Standby));
        stage.state("one master, the others standbys", (active, standby) == (1, count - 1));
    }
    Ok(())
}

/// The master keeps its lease: who can reach the storage is no worse a master for what its clients can't reach.
fn partition(stage: &mut Stage) -> Result<()> {
    for how in ["silent", "reset"] {
        let master = stage.master()?;
        settle(stage);
        stage.mark(format!("clients lose the master ({how})"));
        {
            let front = stage.cluster.fronts.get(master).context("no relay")?;
            if how == "silent" { front.silence() } else { front.reset() }
        }
        let cut = stage.random.millis(3_000, 5_000);
        stage.run_for(cut);
        stage.state("the master is the same while it is cut off", stage.cluster.master() == Some(master));
        let at = stage.mark("healed");
        stage.cluster.fronts.get(master).context("no relay")?.heal();
        stage.recovers(&format!("clients and master meet again ({how})"), at)?;
        stage.state("the master is the same when healed", stage.cluster.master() == Some(master));
    }
    Ok(())
}

/// Takes all but a MiB of a file system. The brokers go on writing, so what was free a moment ago may be gone.
fn occupy(file: &std::fs::File, path: &Path) -> Result<()> {
    for _ in 0..100 {
        let room = rustix::fs::statvfs(path)?;
        let taken = file.metadata()?.len();
        let free = (room.f_bavail * room.f_frsize).saturating_sub(1 << 20);
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), taken, free.max(1)) {
            Err(rustix::io::Errno::NOSPC) => {}
            done => return Ok(done?),
        }
    }
    bail!("can't fill {}: its room changes all the time", path.display())
}

fn disk_full(stage: &mut Stage) -> Result<()> {
    let Shared::Folder(folder) = &stage.cluster.shared else { bail!("not on a folder") };
    let filler = folder.parent().unwrap_or(folder).join("filler");
    settle(stage);
    stage.mark("the disk is filled");
    let file = std::fs::File::create(&filler)?;
    occupy(&file, &filler)?;
    stage.run_for(Duration::from_secs(8));
    let at = stage.mark("there is room again");
    std::fs::remove_file(&filler)?;
    drop(file);
    stage.recovers("a full disk", at)?;
    Ok(())
}

fn clock_jump(stage: &mut Stage) -> Result<()> {
    let file = super::false_clock_file();
    settle(stage);
    let before = stage.cluster.master();
    for offset in ["+3600s", "-3600s", "+0s"] {
        let at = stage.mark(format!("clocks at {offset}"));
        std::fs::write(&file, offset)?;
        stage.run_for(Duration::from_secs(3));
        stage.recovers(&format!("wall clocks at {offset}"), at)?;
    }
    stage.state("the master is the same", stage.cluster.master() == before);
    Ok(())
}

fn database_restart(stage: &mut Stage) -> Result<()> {
    for _ in 0..2 {
        settle(stage);
        let at = stage.mark("the database is restarted");
        let Shared::Database { server, .. } = &mut stage.cluster.shared else { bail!("not on a database") };
        server.restart();
        stage.cluster.wait_for_master(None, PATIENCE)?;
        stage.recovers("a restart of the database", at)?;
    }
    Ok(())
}

fn database_cut(stage: &mut Stage) -> Result<()> {
    for how in ["silent", "reset"] {
        let master = stage.master()?;
        settle(stage);
        let at = stage.mark(format!("the master loses the database ({how})"));
        {
            let Shared::Database { relays, .. } = &stage.cluster.shared else { bail!("not on a database") };
            let relay = relays.get(master).context("no relay")?;
            if how == "silent" { relay.silence() } else { relay.reset() }
        }
        let next = other_than(stage, master)?;
        stage.recovers(&format!("the master lost the database ({how})"), at)?;
        let down = stage.cluster.nodes[master].role() != Role::Active;
        stage.state("the old master is not active any longer", down);
        stage.mark("the database is back");
        {
            let Shared::Database { relays, .. } = &stage.cluster.shared else { bail!("not on a database") };
            relays.get(master).context("no relay")?.heal();
        }
        let back = stage.cluster.wait_for_role(master, Role::Standby, PATIENCE);
        stage.state("it is a standby once the database is back", back.is_ok());
        stage.state("its successor stays master", stage.cluster.master() == Some(next));
    }
    Ok(())
}

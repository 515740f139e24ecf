//! `cargo xtask test`: all tests, with what they need set up on the way.

use std::process::Command;

use anyhow::bail;
use ferromq_testkit::{Etcd, Postgres};

use crate::suite::{self, Tally};
use crate::workspace::{cargo, run as run_command};
use crate::{peers, sim};

#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// The long suites whole instead of a fixed subset: every client line, 50 kills, thousands of seeds
    #[arg(long)]
    pub full: bool,
    /// A suite that can't run here is a failure, unless `.ci/allowed-skips` names it
    #[arg(long)]
    pub no_skips: bool,
}

/// The suites beside `cargo test`: their verbs, for everyday and in full.
const SUITES: &[(&[&str], &[&str])] = &[
    (&["vectors", "tests/data/openwire/vectors"], &["vectors", "tests/data/openwire/vectors"]),
    (&["sim", "--seeds", "500"], &["sim", "--seeds", "20000"]),
    (&["sim", "--nodes", "--seeds", "100"], &["sim", "--nodes", "--seeds", "2000", "--pauses", "10000"]),
    (
        &["interop", "--quiet", "--no-pair", "--no-network"],
        &["interop", "--quiet", "--no-network", "--against", "both"],
    ),
    (
        &["interop", "--quiet", "--only", "network,spread", "--lines", "5.19"],
        &["interop", "--quiet", "--only", "network,spread"],
    ),
    (&["client"], &["client", "--against", "both"]),
    (&["kills", "--times", "20"], &["kills", "--times", "50"]),
    (
        &["cluster", "run", "kill", "--store", "file", "--seed", "1"],
        &["cluster", "run", "all", "--lines", "all"],
    ),
];

/// Tests at a time for each processor: most of them wait for other processes, or for time to pass.
const AT_A_TIME: usize = 3;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let missing = services();
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--quiet", "--no-fail-fast"]);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        tests.env("RUST_TEST_THREADS", (processors * AT_A_TIME).to_string());
    }
    run_command(&mut tests)?;
    if args.full {
        // Every sequence of three operations, cut at every change of the disk, and thousands of random longer ones.
        println!("\nThe long half of the store's conformance, which the everyday subset leaves out:");
        run_command(cargo().args([
            "test",
            "--release",
            "--package",
            "ferromq-store-journal",
            "--",
            "--ignored",
        ]))?;
    } else {
        println!(
            "\nLeft to --full: the ignored tests of ferromq-store-journal (three operations cut anywhere, 2,000 seeds)"
        );
    }
    // What real clients talk to is what users run. The simulator is built along: alone it would choose other features of
    // what both need, and build that anew.
    run_command(cargo().args(["build", "--release"]).args(sim::PACKAGES))?;
    let mut all = Tally::default();
    all.skipped.extend(missing);
    for (everyday, full) in SUITES {
        all.add(suite::run(if args.full { full } else { everyday })?);
    }
    println!("\nSuites beside `cargo test` ({}):", if args.full { "in full" } else { "the everyday subset" });
    for skip in &all.skipped {
        println!("skip {skip}");
    }
    println!("{} passed, {} failed, {} skipped", all.passed, all.failed, all.skipped.len());
    judge(&all, args.no_skips)
}

/// An error if anything failed, or was skipped where that is not allowed.
pub fn judge(tally: &Tally, no_skips: bool) -> anyhow::Result<()> {
    let refused = if no_skips { refused_skips(tally)? } else { Vec::new() };
    if tally.failed > 0 || !refused.is_empty() {
        bail!("{} failed; skips that are not allowed here: {refused:?}", tally.failed);
    }
    Ok(())
}

/// The services that tests start, each installed where that may be done; else the skips to be counted.
fn services() -> Vec<String> {
    let postgres = service("postgres", "postgresql", || Postgres::find().err());
    let etcd = service("etcd", "etcd-server", || Etcd::find().err());
    postgres.into_iter().chain(etcd).collect()
}

fn service(name: &str, package: &str, missing: impl Fn() -> Option<String>) -> Option<String> {
    let reason = missing()?;
    println!("{reason}");
    if !peers::may_install() {
        return Some(format!("{name}: {reason}"));
    }
    let install = format!("apt-get update && apt-get install -y --no-install-recommends {package}");
    println!("\n$ {install}");
    // What comes of it is seen by looking again.
    let _ = Command::new("sh").args(["-c", &install]).status();
    missing().map(|reason| format!("{name}: {reason}"))
}

/// The skips that no line of `.ci/allowed-skips` names.
fn refused_skips(tally: &Tally) -> anyhow::Result<Vec<&str>> {
    let file = std::fs::read_to_string(crate::workspace::root().join(".ci/allowed-skips"))?;
    let allowed: Vec<_> =
        file.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    Ok(tally
        .skipped
        .iter()
        .map(String::as_str)
        .filter(|skip| !allowed.iter().any(|name| skip.split(':').next() == Some(*name)))
        .collect())
}

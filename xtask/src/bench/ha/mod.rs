//! `cargo xtask bench ha`: kill -9 of the master to the first answered send on the next one, FerroMQ beside the real
//! ActiveMQ in one run, with the same client; what a shared database costs in throughput; what the fence costs.
//! Whatever goes wrong in a row is that row's result, and each row is bounded in time.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;

use self::rows::{ROWS, Row};
use self::stores::Throughput;
use self::trial::Takeovers;
use super::ceiling::Ceilings;
use super::target::Tools;

mod duo;
mod probe;
mod rows;
mod stores;
mod table;
mod trial;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask bench ha                         the whole run, which writes docs/BENCHMARKS-HA.md
  cargo xtask bench ha --rows file --kills 5   a look at the rows whose names contain \"file\", kept in target/
  cargo xtask bench ha --alone                 without ActiveMQ

Rows: file, file-backlog, postgres, postgres-backlog, activemq-…, stores, fence.")]
pub struct Args {
    /// Rows to run, by name or part of a name, separated by commas; all if none is given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    rows: Vec<String>,
    /// Kills of each row of FerroMQ
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    kills: u32,
    /// Kills of each row of ActiveMQ, which needs longer for each
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    their_kills: u32,
    /// Messages of 1 KiB in the store in the rows of FerroMQ with a backlog
    #[arg(long, default_value_t = 1_000_000)]
    backlog: u32,
    /// Messages of 1 KiB in the store in the row of ActiveMQ with a backlog
    #[arg(long, default_value_t = 100_000)]
    their_backlog: u32,
    /// Seconds after which a row begins no further kill
    #[arg(long, default_value_t = 120)]
    row_seconds: u64,
    /// Seconds that throughput is measured, after two of load
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Only FerroMQ
    #[arg(long)]
    alone: bool,
    /// Decides the moments of the kills
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What profiles showed; kept beside the program so that a run does not wipe it out.
const NOTES: &str = include_str!("notes.md");

/// Everything of a run.
#[derive(Debug, Default)]
struct Report {
    takeovers: Vec<(&'static Row, Takeovers)>,
    throughput: Vec<Throughput>,
    failed: Vec<(String, String)>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let wanted =
        |name: &str| args.rows.is_empty() || args.rows.iter().any(|part| name.contains(part.as_str()));
    let tools = Tools::prepare(!args.alone)?;
    let ceilings = Ceilings::measure(&tools)?;
    let machine = super::machine()?;
    println!("{machine}; {ceilings}");
    let mut report = Report::default();
    for row in ROWS.iter().filter(|row| wanted(row.name) && (row.kind.is_ours() || !args.alone)) {
        let plan = trial::Plan {
            kills: if row.kind.is_ours() { args.kills } else { args.their_kills },
            backlog: match (row.backlog, row.kind.is_ours()) {
                (false, _) => 0,
                (true, true) => args.backlog,
                (true, false) => args.their_backlog,
            },
            limit: Duration::from_secs(args.row_seconds),
            seed: args.seed,
        };
        println!("\n-- {}: {}", row.name, row.about);
        match trial::run(&tools, row, &plan) {
            Ok(takeovers) => report.takeovers.push((row, takeovers)),
            Err(error) => report.fail(row.name, &error),
        }
    }
    for stored in stores::ROWS.iter().filter(|row| wanted(row.name)) {
        println!("\n-- {}", stored.name);
        match stores::run(&tools, stored, args.seconds) {
            Ok(measured) => report.throughput.extend(measured),
            Err(error) => report.fail(stored.name, &error),
        }
    }
    let mut text = String::from("# Takeovers beside ActiveMQ\n\n");
    writeln!(
        text,
        "Made by `cargo xtask {}`, which writes this page. {machine}; {ceilings}.\n\n{}{}",
        super::command_line(),
        tools.versions()?,
        duo::database_version().map_or_else(String::new, |version| format!(" {version}."))
    )?;
    text.push_str(&table::render(&report));
    text.push_str(NOTES);
    println!("\n{text}");
    let root = crate::workspace::root();
    let whole = args.rows.is_empty() && !args.alone;
    let kept = root.join(if whole { "docs/BENCHMARKS-HA.md" } else { "target/bench-ha.md" });
    std::fs::write(&kept, &text).with_context(|| format!("cannot write {}", kept.display()))?;
    println!("kept in {}", kept.display());
    let cut_short = report.takeovers.iter().filter(|(_, takeovers)| takeovers.failed.is_some()).count();
    let failed = report.failed.len() + cut_short;
    println!("{} measured, {failed} failed", report.takeovers.len() + report.throughput.len());
    anyhow::ensure!(failed == 0, "some rows have no result, or not all of it; the page names them");
    Ok(())
}

impl Report {
    fn fail(&mut self, row: &str, error: &anyhow::Error) {
        println!("   FAILED: {error:#}");
        self.failed.push((row.to_owned(), format!("{error:#}")));
    }
}

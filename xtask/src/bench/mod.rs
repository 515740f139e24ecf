//! `cargo xtask bench`: FerroMQ beside the real ActiveMQ, in turn, in one run, on one machine, with the same
//! durability and the same clients; ratios, never a verdict by absolute numbers. Whatever goes wrong in a row is
//! that row's result: the run goes on, and each row is bounded in time.

use std::fmt::Write as _;

use anyhow::Context;

use self::ceiling::Ceilings;
use self::load::{Client, Job, Outcome, Subject};
use self::rows::{ROWS, Row};
use self::target::{Flavour, Target};

mod ceiling;
mod ha;
mod load;
mod network;
mod process;
mod rows;
pub mod sink;
mod table;
mod target;

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Rows to run, by name or part of a name, separated by commas; all if none is given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    rows: Vec<String>,
    /// Seconds that each row is measured
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// Seconds of load before that
    #[arg(long, default_value_t = 3)]
    warmup: u32,
    /// Messages of the backlog rows
    #[arg(long, default_value_t = 200_000)]
    messages: u32,
    /// Connections of the idle row
    #[arg(long, default_value_t = 2_000)]
    connections: u32,
    /// A quarter of the time, and of the backlog: for a look, not for claims
    #[arg(long)]
    quick: bool,
    /// Only FerroMQ: for profiling, not for claims
    #[arg(long)]
    alone: bool,
    /// Only the stock Java client
    #[arg(long)]
    java_only: bool,
}

/// Measurements with a page of their own.
#[derive(clap::Subcommand, Debug)]
enum Other {
    /// From kill -9 of the master to the first answered send on the next one; what a shared database costs; the fence
    Ha(ha::Args),
    /// Two linked brokers: what is forwarded, how much later it arrives, how soon a link is back, what demand costs
    Network(network::Args),
}

/// What profiles showed; kept beside the program so that a run does not wipe it out.
const NOTES: &str = include_str!("notes.md");

/// One row for one broker and one client.
#[derive(Debug)]
pub struct Measured {
    pub row: &'static Row,
    pub flavour: Flavour,
    pub client: Client,
    pub outcome: Outcome,
}

/// What kept a row from having a result.
#[derive(Debug)]
pub struct Failed {
    pub row: &'static str,
    pub flavour: Flavour,
    pub client: Client,
    pub reason: String,
}

/// Everything of a run.
#[derive(Debug)]
pub struct Report {
    pub all: Vec<Measured>,
    pub failed: Vec<Failed>,
    pub ceilings: Ceilings,
    /// The same measured again beside each row and client; a disk is another one from minute to minute.
    pub beside: Vec<(&'static str, Client, Ceilings)>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.other {
        Some(Other::Ha(args)) => ha::run(args),
        Some(Other::Network(args)) => network::run(args),
        None => compare(args),
    }
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let rows: Vec<&'static Row> = ROWS
        .iter()
        .filter(|row| {
            args.rows.is_empty() || args.rows.iter().any(|wanted| row.name.contains(wanted.as_str()))
        })
        .collect();
    anyhow::ensure!(!rows.is_empty(), "no row is called like {:?}; there are: {}", args.rows, rows::names());
    let tools = target::Tools::prepare(!args.alone)?;
    let mut report = Report {
        all: Vec::new(),
        failed: Vec::new(),
        ceilings: Ceilings::measure(&tools)?,
        beside: Vec::new(),
    };
    println!("{}; {}", machine()?, report.ceilings);
    for row in rows {
        for client in [Client::Java, Client::Rust] {
            if client == Client::Java || !args.java_only {
                measure_row(args, &tools, row, client, &mut report);
            }
        }
    }
    let text = format!("{}{}{NOTES}", heading(&report, &tools)?, table::render(&report));
    println!("\n{text}");
    let root = crate::workspace::root();
    let kept = if is_whole(args) { root.join("docs/BENCHMARKS.md") } else { root.join("target/bench.md") };
    std::fs::write(&kept, &text).with_context(|| format!("cannot write {}", kept.display()))?;
    println!("kept in {}", kept.display());
    println!("{} measured, {} failed", report.all.len(), report.failed.len());
    anyhow::ensure!(report.failed.is_empty(), "some rows have no result; the table names them");
    Ok(())
}

/// Whether this run is one to be quoted.
fn is_whole(args: &Args) -> bool {
    args.rows.is_empty() && !args.quick && !args.alone && !args.java_only
}

fn measure_row(args: &Args, tools: &target::Tools, row: &'static Row, client: Client, report: &mut Report) {
    let before = Ceilings::measure(tools);
    for flavour in row.flavours(args.alone) {
        let what = format!("  {:<13} {:<5} {:<22}", row.name, client.name(), flavour.name());
        match measure(args, tools, row, flavour, client) {
            Ok(outcome) => {
                println!("{what} {}", outcome.brief());
                report.all.push(Measured { row, flavour, client, outcome });
            }
            Err(error) => {
                let reason = format!("{error:#}");
                println!("{what} FAILED: {reason}");
                report.failed.push(Failed { row: row.name, flavour, client, reason });
            }
        }
    }
    // The faster of the two is nearer to what the disk can do.
    let both = [before, Ceilings::measure(tools)].into_iter().flatten();
    let best = both.min_by(|one, other| one.sync_us.total_cmp(&other.sync_us));
    report.beside.extend(best.map(|ceilings| (row.name, client, ceilings)));
}

/// A fresh broker on a fresh folder for each measurement, so that no row pays for another's garbage.
fn measure(
    args: &Args,
    tools: &target::Tools,
    row: &'static Row,
    flavour: Flavour,
    client: Client,
) -> anyhow::Result<Outcome> {
    let part = if args.quick { 4 } else { 1 };
    let mut target = Target::start(tools, flavour)?;
    let mut outcome =
        Outcome { start_ms: target.start_ms(), rest_rss_kib: target.rest_rss_kib()?, ..Outcome::default() };
    for workload in row.workloads {
        let job = Job {
            client,
            workload,
            seconds: (args.seconds / part).max(2),
            warmup: (args.warmup / part).max(1),
            messages: args.messages / part,
            connections: args.connections / part,
        };
        let subject = Subject { url: target.url(), consume: None, pid: target.pid(), meter: &mut || {} };
        load::run(tools, subject, job, &mut outcome)?;
        if matches!(*workload, "backlog-fill" | "spool-fill") && flavour != Flavour::Sink {
            outcome.disk_bytes = target.disk_bytes()?;
            outcome.peak_rss_kib = target.peak_rss_kib()?;
            // What is not persistent would be gone.
            if *workload == "backlog-fill" {
                outcome.restart_ms = target.restart(tools)?;
            }
        }
    }
    outcome.peak_rss_kib = outcome.peak_rss_kib.max(target.peak_rss_kib()?);
    target.stop();
    Ok(outcome)
}

/// What was compared, on what, and how to do it again.
fn heading(report: &Report, tools: &target::Tools) -> anyhow::Result<String> {
    let mut text = String::from("# FerroMQ beside ActiveMQ\n\n");
    writeln!(
        text,
        "Made by `cargo xtask bench`, which writes this page. {}; {}.\n\n{}",
        machine()?,
        report.ceilings,
        tools.versions()?
    )?;
    Ok(text)
}

/// By nearest rank; `values` need no order.
fn quantile(values: impl IntoIterator<Item = f64>, q: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied()
}

/// How this run was asked for, behind `cargo xtask`.
fn command_line() -> String {
    std::env::args().skip(1).collect::<Vec<_>>().join(" ")
}

fn machine() -> anyhow::Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown", |l| l.trim_start_matches([' ', '\t', ':']));
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "Machine: {} × {model}, Linux {}, load average {}",
        std::thread::available_parallelism()?,
        kernel.trim(),
        load.split(' ').next().unwrap_or("?")
    ))
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(quantile(values, 0.5), Some(2.0));
        assert_eq!(quantile(values, 0.99), Some(4.0));
        assert_eq!(quantile([], 0.5), None);
    }
}

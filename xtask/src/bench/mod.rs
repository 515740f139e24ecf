//! `cargo xtask bench`: FerroMQ beside the real ActiveMQ, in turn, in one run, on one machine, with the same
//! durability and the same clients; ratios, never a verdict by absolute numbers.

use std::fmt::Write as _;

use anyhow::Context;

use self::ceiling::Ceilings;
use self::load::{Client, Outcome};
use self::rows::{ROWS, Row};
use self::target::{Flavour, Target};

mod ceiling;
mod load;
mod process;
mod rows;
mod table;
mod target;

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Rows to run, by name or part of a name; all if none is given
    rows: Vec<String>,
    /// Seconds that each row is measured
    #[arg(long, default_value_t = 8)]
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
    /// Only FerroMQ: for profiling, not for claims
    #[arg(long)]
    alone: bool,
    /// Only the stock Java client
    #[arg(long)]
    java_only: bool,
}

/// One row for one broker and one client.
#[derive(Debug)]
pub struct Measured {
    pub row: &'static Row,
    pub flavour: Flavour,
    pub client: Client,
    pub outcome: Outcome,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let rows: Vec<&'static Row> = ROWS
        .iter()
        .filter(|row| {
            args.rows.is_empty() || args.rows.iter().any(|wanted| row.name.contains(wanted.as_str()))
        })
        .collect();
    anyhow::ensure!(!rows.is_empty(), "no row is called like {:?}; there are: {}", args.rows, rows::names());
    let tools = target::Tools::prepare(!args.alone)?;
    println!("{}", machine()?);
    let ceilings = Ceilings::measure(&tools)?;
    println!("{ceilings}");
    let mut all = Vec::new();
    for row in rows {
        for flavour in row.flavours(args.alone) {
            for client in [Client::Java, Client::Rust] {
                if client == Client::Rust && (args.java_only || !row.rust_client) {
                    continue;
                }
                let outcome = measure(args, &tools, row, flavour, client).with_context(|| {
                    format!("row {} on {} with the {} client", row.name, flavour.name(), client.name())
                })?;
                println!(
                    "  {:<18} {:<16} {:<5} {}",
                    row.name,
                    flavour.name(),
                    client.name(),
                    outcome.brief()
                );
                all.push(Measured { row, flavour, client, outcome });
            }
        }
    }
    let mut report = String::new();
    writeln!(report, "{}\n{ceilings}", machine()?)?;
    report.push_str(&table::render(&all, &ceilings));
    println!("\n{report}");
    let path = crate::workspace::root().join("target/bench/report.md");
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    std::fs::write(&path, &report)?;
    println!("kept in target/bench/report.md");
    Ok(())
}

/// A fresh broker on a fresh folder for each measurement, so that no row pays for another's garbage.
fn measure(
    args: &Args,
    tools: &target::Tools,
    row: &'static Row,
    flavour: Flavour,
    client: Client,
) -> anyhow::Result<Outcome> {
    let mut target = Target::start(tools, flavour)?;
    let mut outcome =
        Outcome { start_ms: target.start_ms(), rest_rss_kib: target.rest_rss_kib()?, ..Outcome::default() };
    for workload in row.workloads {
        let options = [
            ("seconds", args.seconds),
            ("warmup", args.warmup),
            ("messages", args.messages),
            ("connections", args.connections),
        ];
        load::run(tools, client, &target, workload, &options, &mut outcome)?;
        if *workload == "backlog-fill" {
            outcome.disk_bytes = target.disk_bytes()?;
            outcome.restart_ms = target.restart(tools)?;
        }
    }
    outcome.peak_rss_kib = target.peak_rss_kib()?;
    target.stop()?;
    Ok(outcome)
}

fn machine() -> anyhow::Result<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("unknown", |l| l.trim_start_matches([' ', '\t', ':']));
    let load = std::fs::read_to_string("/proc/loadavg")?;
    Ok(format!(
        "machine: {} × {model}; load average at start {}",
        std::thread::available_parallelism()?,
        load.split(' ').next().unwrap_or("?")
    ))
}

//! `cargo xtask bench network`: two linked brokers of FerroMQ beside two of the real ActiveMQ in one run, with the same
//! client: what is forwarded, how much later it arrives, how soon a link that was cut carries messages again, and what
//! demand that changes all the time costs the neighbour.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::ceiling::Ceilings;
use super::load::{self, Client, Job, Outcome, Subject};
use super::process;
use super::target::{Flavour, Target, Tools};
use crate::cluster::net::{Kind, LinkSpec, Net, NetLoad, SiteSpec};
use crate::peers::Line;

mod latency;
mod least;
mod table;

use latency::{Latency, ROUNDS};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  cargo xtask bench network                   the whole run, which writes docs/BENCHMARKS-NETWORK.md
  cargo xtask bench network --rows restored   one row, kept in target/

Rows: forwarded-16, forwarded-1, latency, restored, demand.")]
pub struct Args {
    /// Rows to run, by name or part of a name, separated by commas; all if none is given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    rows: Vec<String>,
    /// Seconds that each row is measured
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Seconds of load before that
    #[arg(long, default_value_t = 4)]
    warmup: u32,
    /// How often the link is cut
    #[arg(long, default_value_t = 10)]
    cuts: u32,
    /// Only FerroMQ: for profiling, not for claims
    #[arg(long)]
    alone: bool,
}

impl Args {
    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| row.contains(part.as_str()))
    }
}

/// What profiles showed; kept beside the program so that a run does not wipe it out.
const NOTES: &str = include_str!("notes.md");

/// Consumers that come and go in a second: each is two changes of demand.
const CHURN: u32 = 500;

/// What is measured on one pair.
#[derive(Debug, Default)]
struct Figures {
    /// With 16 producers, and with one.
    forwarded: Vec<Forwarded>,
    latency: Latency,
    /// From the healed link to the first message over it, in milliseconds.
    restored_ms: Vec<f64>,
    /// Of a core, of the neighbour and of the broker where the consumers are, and changes a second.
    demand: Option<Demand>,
    failed: Vec<(String, String)>,
}

/// What producers send as fast as they are answered.
#[derive(Debug)]
struct Forwarded {
    row: &'static str,
    /// Received at the broker that they were sent to.
    local: Outcome,
    /// Received over the link.
    linked: Outcome,
    /// Of the latter.
    cpu: Cpu,
}

/// What one producer's messages take at least: each is flushed twice, one after the other, and sent twice.
#[derive(Clone, Copy, Debug)]
struct Bound {
    /// Writing and syncing 4 KiB, mean.
    flush_us: f64,
    /// A persistent message of the stock client to a peer that does nothing but answer, mean.
    send_us: f64,
}

impl Bound {
    fn measure(args: &Args, tools: &Tools, ceilings: Ceilings) -> Result<Self> {
        let sink = Target::start(tools, Flavour::Sink)?;
        let subject = Subject { url: sink.url(), consume: None, pid: sink.pid(), meter: &mut || {} };
        let job = Job {
            client: Client::Java,
            workload: "send-1",
            seconds: args.seconds,
            warmup: args.warmup,
            messages: 0,
            connections: 0,
        };
        let mut outcome = Outcome::default();
        load::run(tools, subject, job, &mut outcome)?;
        sink.stop();
        Ok(Self { flush_us: ceilings.flush_us, send_us: 1e6 / outcome.per_second })
    }

    fn or_faster(self, other: Self) -> Self {
        Self { flush_us: self.flush_us.min(other.flush_us), send_us: self.send_us.min(other.send_us) }
    }

    fn per_second(self) -> f64 {
        1e6 / (2.0 * (self.flush_us + self.send_us))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "writing and syncing 4 KiB {:.0} µs, a persistent message of the Java client to a peer that only answers {:.0} µs, both on average",
            self.flush_us, self.send_us
        )
    }
}

/// CPU of both brokers in µs a message.
#[derive(Clone, Copy, Debug, Default)]
struct Cpu {
    here_us: f64,
    there_us: f64,
}

#[derive(Clone, Copy, Debug)]
struct Demand {
    neighbour: f64,
    own: f64,
    changes_per_second: f64,
}

pub fn run(args: &Args) -> Result<()> {
    let tools = Tools::prepare(!args.alone)?;
    let ceilings = Ceilings::measure(&tools)?;
    let machine = super::machine()?;
    let before = process::Processors::read()?;
    let bound = Bound::measure(args, &tools, ceilings)?;
    let least = least::Least::measure(tools.scratch(), args.seconds)?;
    println!("{machine}; {ceilings}; {bound}; {least}");
    let mut all = Vec::new();
    let kinds: &[Kind] = if args.alone { &[Kind::Ours] } else { &[Kind::Ours, Kind::Theirs] };
    for &kind in kinds {
        println!("\n-- two of {}", table::name(kind));
        all.push((kind, measure_all(args, &tools, kind)));
    }
    if args.wants("latency") {
        println!("\n-- latency, in turn");
        latency::measure(args, &tools, &mut all);
    }
    // The faster of the two is nearer to what disk and client can do.
    let bound = bound.or_faster(Bound::measure(args, &tools, Ceilings::measure(&tools)?)?);
    let stolen = process::Processors::read()?.stolen_since(before) * 100.0;
    let mut text = String::from("# Networks beside ActiveMQ\n\n");
    writeln!(
        text,
        "Made by `cargo xtask {}`, which writes this page. {machine}, {stolen:.1} % of the processors taken away by their host; {ceilings}; {bound}; {least}.\n\n{}",
        super::command_line(),
        tools.versions()?
    )?;
    text.push_str(&table::render(&all, bound));
    text.push_str(NOTES);
    println!("\n{text}");
    let whole = args.rows.is_empty() && !args.alone;
    let kept = if whole { "docs/BENCHMARKS-NETWORK.md" } else { "target/bench-network.md" };
    let kept = crate::workspace::root().join(kept);
    std::fs::write(&kept, &text).with_context(|| format!("cannot write {}", kept.display()))?;
    println!("kept in {}", kept.display());
    let failed: usize = all.iter().map(|(_, figures)| figures.failed.len()).sum();
    anyhow::ensure!(failed == 0, "{failed} rows have no result; the page names them");
    Ok(())
}

fn measure_all(args: &Args, tools: &Tools, kind: Kind) -> Figures {
    let mut figures = Figures::default();
    for (row, workload) in [("forwarded-16", "pq-16x16-1q"), ("forwarded-1", "pq-1x1")] {
        if args.wants(row) {
            match Forwarded::measure(args, tools, kind, row, workload) {
                Ok(forwarded) => figures.forwarded.push(forwarded),
                Err(error) => figures.fail(row, &error),
            }
        }
    }
    if args.wants("restored") {
        match restored(args, tools, kind) {
            Ok(millis) => {
                println!("  restored      {millis:.0?} ms");
                figures.restored_ms = millis;
            }
            Err(error) => figures.fail("restored", &error),
        }
    }
    if args.wants("demand") {
        match demand(args, tools, kind) {
            Ok(demand) => {
                println!("  demand        {demand:?}");
                figures.demand = Some(demand);
            }
            Err(error) => figures.fail("demand", &error),
        }
    }
    figures
}

impl Forwarded {
    /// Each on fresh brokers.
    fn measure(
        args: &Args,
        tools: &Tools,
        kind: Kind,
        row: &'static str,
        workload: &'static str,
    ) -> Result<Self> {
        let run = |over_link| {
            Two::start(tools, kind, false).and_then(|two| forwarded(args, tools, &two, workload, over_link))
        };
        let (linked, cpu) = run(true)?;
        println!("  {row:<13} {}", linked.brief());
        let (local, _) = run(false)?;
        println!("  in one broker {}", local.brief());
        Ok(Self { row, local, linked, cpu })
    }
}

impl Figures {
    fn fail(&mut self, row: &str, error: &anyhow::Error) {
        println!("  {row} FAILED: {error:#}");
        self.failed.push((row.to_owned(), format!("{error:#}")));
    }
}

/// Two brokers, a with a connector to b, on fresh stores; the folder goes with them.
struct Two {
    net: Option<Net>,
    folder: PathBuf,
}

impl Two {
    fn start(tools: &Tools, kind: Kind, cuttable: bool) -> Result<Two> {
        let sites = [SiteSpec::single("a", kind), SiteSpec::single("b", kind)];
        let link = LinkSpec::new(0, 1, &[]);
        Self::start_in("network", tools, &sites, if cuttable { link.cuttable() } else { link })
    }

    fn start_in(folder: &str, tools: &Tools, sites: &[SiteSpec], link: LinkSpec) -> Result<Two> {
        let folder = tools.scratch().join(folder);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let net = Net::start(tools.java(), Line::V6, &folder, sites, &[link])?;
        Ok(Two { net: Some(net), folder })
    }

    fn net(&self) -> Result<&Net> {
        self.net.as_ref().context("it has ended")
    }

    fn url(&self, site: usize) -> Result<String> {
        let site = self.net()?.sites.get(site).context("no such broker")?;
        Ok(site.nodes.first().context("no node")?.url())
    }

    fn pid(&self, site: usize) -> Result<u32> {
        let site = self.net()?.sites.get(site).context("no such broker")?;
        site.nodes.first().and_then(|node| node.pid()).context("it does not run")
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        if let Some(net) = self.net.take() {
            drop(net.end());
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn forwarded(
    args: &Args,
    tools: &Tools,
    two: &Two,
    workload: &'static str,
    over_link: bool,
) -> Result<(Outcome, Cpu)> {
    let (here, there) = (two.pid(0)?, two.pid(1)?);
    let mut looks: Vec<u64> = Vec::new();
    let mut outcome = Outcome::default();
    let mut meter = || looks.extend(process::cpu_us(there));
    let subject = Subject {
        url: two.url(0)?,
        consume: if over_link { Some(two.url(1)?) } else { None },
        pid: here,
        meter: &mut meter,
    };
    let job = Job {
        client: Client::Java,
        workload,
        seconds: args.seconds,
        warmup: args.warmup,
        messages: 0,
        connections: 0,
    };
    load::run(tools, subject, job, &mut outcome)?;
    let messages = outcome.per_second * f64::from(args.seconds);
    let there_us = match looks.as_slice() {
        [before, after] => (after - before) as f64 / messages.max(1.0),
        _ => f64::NAN,
    };
    let here_us = outcome.broker_cpu_us;
    Ok((outcome, Cpu { here_us, there_us }))
}

fn restored(args: &Args, tools: &Tools, kind: Kind) -> Result<Vec<f64>> {
    let two = Two::start(tools, kind, true)?;
    let mut clients = NetLoad::start(tools.java(), Line::V5_19)?;
    clients.order(&["connect", "a", &two.url(0)?])?;
    clients.order(&["connect", "b", &two.url(1)?])?;
    clients.order(&["consume", "c", "b", "queue://restored", "", ""])?;
    clients.order(&["produce", "p", "a", "queue://restored", "200"])?;
    clients.order(&["arrived", "p", "c", "100", "60000"])?;
    let mut all = Vec::new();
    for cut in 0..args.cuts {
        let relay = two.net()?.relay(0)?;
        relay.reset();
        std::thread::sleep(Duration::from_millis(500 + u64::from(cut % 5) * 100));
        let before = clients.account("p", "c")?.received;
        let healed = Instant::now();
        two.net()?.relay(0)?.heal();
        clients.order(&["arrived", "p", "c", &(before + 1).to_string(), "60000"])?;
        all.push(healed.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(500));
    }
    clients.order(&["halt", "p"])?;
    Ok(all)
}

fn demand(args: &Args, tools: &Tools, kind: Kind) -> Result<Demand> {
    let two = Two::start(tools, kind, false)?;
    let mut clients = NetLoad::start(tools.java(), Line::V5_19)?;
    clients.order(&["connect", "a", &two.url(0)?])?;
    clients.order(&["connect", "b", &two.url(1)?])?;
    // The link is up when something went over it.
    clients.order(&["consume", "c", "b", "queue://first", "", ""])?;
    clients.order(&["burst", "p", "a", "queue://first", "1"])?;
    clients.order(&["arrived", "p", "c", "1", "60000"])?;
    let churn = |clients: &mut NetLoad, seconds: u32| -> Result<f64> {
        let done = clients.order(&[
            "churn",
            "b",
            "queue://churn.",
            "100",
            &CHURN.to_string(),
            &(seconds * 1_000).to_string(),
        ])?;
        Ok(done.parse()?)
    };
    churn(&mut clients, args.warmup)?;
    let (a, b) = (two.pid(0)?, two.pid(1)?);
    let before = (process::cpu_us(a)?, process::cpu_us(b)?);
    let began = Instant::now();
    let done = churn(&mut clients, args.seconds)?;
    let seconds = began.elapsed().as_secs_f64();
    let share = |now: u64, before: u64| (now - before) as f64 / 1e6 / seconds;
    Ok(Demand {
        neighbour: share(process::cpu_us(a)?, before.0),
        own: share(process::cpu_us(b)?, before.1),
        changes_per_second: done * 2.0 / seconds,
    })
}

//! `cargo xtask interop`: the conformance programs, run by the released Java clients against FerroMQ and, by the same
//! command, against the real ActiveMQ. The expectations are what the real one does.
//!
//! Ends with `N passed, M failed, K skipped`. What cannot run on this machine is counted as skipped, with the command
//! that would make it run.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use ferromq_uri::nearest;

use crate::network;
use crate::pair;
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line, RealBroker, RealOptions, work_dir};
use crate::spool;
use crate::spread;

/// Which broker the clients talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Against {
    /// Our own binary.
    Ferromq,
    /// The real ActiveMQ.
    Activemq,
    /// One after the other.
    Both,
}

/// Options of `cargo xtask interop`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The broker to start.
    #[arg(long, value_enum, default_value = "ferromq")]
    against: Against,
    /// Client lines, separated by commas: 5.16, 5.19, 6, or all.
    #[arg(long, default_value = "all")]
    lines: String,
    /// Areas or single checks, separated by commas; `restart`, `spool`, `pair`, `network` and `spread` start brokers of their own.
    #[arg(long)]
    only: Option<String>,
    /// A broker that runs already; none is started then.
    #[arg(long)]
    url: Option<String>,
    /// How many checks run at a time.
    #[arg(long, default_value_t = 4)]
    parallel: u32,
    /// Leave the switchovers of `pair` out: they count commits that are in doubt, which an otherwise busy machine adds to
    #[arg(long)]
    no_pair: bool,
    /// Leave `network` and `spread` out: links to a real ActiveMQ, for which some 36 more brokers start for each line, and a
    /// hundred clients that move over a network
    #[arg(long)]
    no_network: bool,
    /// Print only failures and sums.
    #[arg(long)]
    quiet: bool,
    /// Further arguments of `ferromq run`, as `-- --store=sqlite`.
    #[arg(last = true)]
    broker_arguments: Vec<String>,
}

impl Options {
    /// The checks over a restart, or of a master and its standby, need brokers of our own.
    fn wants(&self, what: &str) -> bool {
        let of_it = |name: &str| name.split_once('.').map_or(name, |(area, _)| area) == what;
        let wanted = self.only.as_deref().is_none_or(|only| only.split(',').any(of_it));
        wanted && self.url.is_none()
    }

    /// Whether anything else is wanted.
    fn wants_areas(&self) -> bool {
        let own = |name: &str| OWN_BROKERS.contains(&name.split_once('.').map_or(name, |(area, _)| area));
        self.only.as_deref().is_none_or(|only| !only.split(',').all(own))
    }

    /// Refuses a name that no check and no area has: a run of nothing must not look like one that passed.
    fn check_only(&self, java: &Java, line: Line) -> Result<()> {
        let Some(only) = &self.only else { return Ok(()) };
        let mut list = java.command(&java.programs(line)?);
        let output = list.args(["interop.Conformance", "--list=true"]).output().context("cannot run java")?;
        let listed = String::from_utf8_lossy(&output.stdout);
        let unknown = unknown_names(only, listed.lines());
        if !unknown.is_empty() {
            bail!("--only: {}", unknown.join("; "));
        }
        Ok(())
    }
}

/// What of `only` names neither an area nor a check, each with what comes nearest.
fn unknown_names<'l>(only: &str, checks: impl Iterator<Item = &'l str>) -> Vec<String> {
    let mut known: Vec<&str> = OWN_BROKERS.to_vec();
    for check in checks {
        known.push(check);
        known.extend(check.split_once('.').map(|(area, _)| area).filter(|area| known.last() != Some(area)));
    }
    known.sort_unstable();
    known.dedup();
    only.split(',')
        .filter(|wanted| !known.contains(wanted))
        .map(|wanted| {
            let parts = known.iter().filter(|name| !wanted.is_empty() && name.contains(wanted));
            let mut near: Vec<&str> = parts.copied().take(5).collect();
            if near.is_empty() {
                near.extend(nearest(wanted, known.iter().copied()));
            }
            if near.is_empty() {
                let areas: Vec<&str> = known.iter().copied().filter(|name| !name.contains('.')).collect();
                format!("nothing is called {wanted:?}; the areas are {}", areas.join(", "))
            } else {
                format!("nothing is called {wanted:?}; there is {}", near.join(", "))
            }
        })
        .collect()
}

/// Areas that are played with brokers of their own.
const OWN_BROKERS: [&str; 5] = ["restart", "spool", "pair", "network", "spread"];

/// What came of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Counts and tells whether a statement about a cluster holds.
    pub(crate) fn state(&mut self, what: &str, holds: bool) {
        if holds {
            self.passed += 1;
            println!("ok cluster: {what}");
        } else {
            self.failed += 1;
            println!("FAIL cluster: not so: {what}");
        }
    }

    /// Reads `1 passed, 2 failed, 3 skipped`.
    pub(crate) fn parse(line: &str) -> Option<Tally> {
        let mut tally = Tally::default();
        for part in line.split(", ") {
            let (number, word) = part.split_once(' ')?;
            let number = number.parse().ok()?;
            match word {
                "passed" => tally.passed = number,
                "failed" => tally.failed = number,
                "skipped" => tally.skipped = number,
                _ => return None,
            }
        }
        Some(tally)
    }
}

/// Runs the suite.
///
/// # Errors
/// When any check failed, or a broker could not be started.
pub(crate) fn run(options: &Options) -> Result<()> {
    let lines = parse_lines(&options.lines)?;
    let mut total = Tally::default();
    match Java::find() {
        Ok(java) => {
            for &line in &lines {
                options.check_only(&java, line)?;
            }
            for target in targets(options.against) {
                for &line in &lines {
                    let mut tally = Tally::default();
                    if options.wants_areas() {
                        tally.add(run_line(&java, target, line, options)?);
                    }
                    if options.wants("restart") {
                        tally.add(run_restart(&java, target, line, options, "kill")?);
                        tally.add(run_restart(&java, target, line, options, "stop")?);
                    }
                    if options.wants("spool") {
                        tally.add(spool::run(&java, target, line, options.only.as_deref(), options.quiet)?);
                    }
                    if options.no_pair {
                        println!("left out: pair (cargo xtask interop --only pair)");
                    } else if target == Target::Ferromq && options.wants("pair") {
                        tally.add(pair::run(&java, line, options.quiet, &options.broker_arguments)?);
                    }
                    if options.no_network {
                        println!("left out: network, spread (cargo xtask interop --only network,spread)");
                    } else if target == Target::Ferromq {
                        if options.wants("network") {
                            tally.add(network::run(&java, line, options.quiet)?);
                        }
                        if options.wants("spread") {
                            tally.add(spread::run(&java, line, options.quiet, |_, _| {})?);
                        }
                    }
                    println!(
                        "== client {line} against {}: {} passed, {} failed, {} skipped",
                        target.name(),
                        tally.passed,
                        tally.failed,
                        tally.skipped
                    );
                    total.add(tally);
                }
            }
        }
        Err(missing) => {
            println!("skip interop: {missing:#}");
            total.skipped += 1;
        }
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if total.failed > 0 {
        bail!("{} interop checks failed", total.failed);
    }
    if total == Tally::default() {
        bail!("nothing was run: what was asked for is not played against this broker, or was left out");
    }
    Ok(())
}

/// One broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Our own binary.
    Ferromq,
    /// The real ActiveMQ.
    Activemq,
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Ferromq => "ferromq",
            Target::Activemq => "activemq",
        }
    }
}

fn targets(against: Against) -> Vec<Target> {
    match against {
        Against::Ferromq => vec![Target::Ferromq],
        Against::Activemq => vec![Target::Activemq],
        Against::Both => vec![Target::Activemq, Target::Ferromq],
    }
}

fn parse_lines(text: &str) -> Result<Vec<Line>> {
    if text == "all" {
        return Ok(Line::ALL.to_vec());
    }
    text.split(',').map(|name| name.trim().parse()).collect()
}

fn run_line(java: &Java, target: Target, line: Line, options: &Options) -> Result<Tally> {
    let programs = java.programs(line)?;
    let mut broker = None;
    let url = match &options.url {
        Some(url) => url.clone(),
        None => broker.insert(start_on(java, target, line, options, None, 0)?).url().to_owned(),
    };
    let mut command = java.command(&programs);
    command
        .arg("-Xmx512M")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
        .arg("interop.Conformance")
        .arg(format!("--url={url}"))
        .arg(format!("--line={line}"))
        .arg(format!("--against={}", target.name()))
        .arg(format!("--parallel={}", options.parallel));
    if let Some(only) = &options.only {
        command.arg(format!("--only={only}"));
    }
    let tally = follow(command, options.quiet)?;
    if let Some(mut broker) = broker {
        broker.stop()?;
    }
    Ok(tally)
}

fn start_on(
    java: &Java,
    target: Target,
    line: Line,
    options: &Options,
    data: Option<PathBuf>,
    port: u16,
) -> Result<Broker> {
    match target {
        Target::Ferromq => {
            let arguments = options.broker_arguments.clone();
            FerroBroker::start(&FerroOptions { data, port, arguments, ..FerroOptions::default() })
        }
        Target::Activemq => RealBroker::start(
            java,
            &RealOptions { line: line.broker(), data, port, ..RealOptions::default() },
        ),
    }
}

/// One Java program over two lives of a broker: it prepares everything, the broker is killed or stopped and started
/// again on its port and data, and the program verifies what must be there.
fn run_restart(java: &Java, target: Target, line: Line, options: &Options, how: &str) -> Result<Tally> {
    let programs = java.programs(line)?;
    let data = work_dir().join("run").join(format!("restart-{}-{how}-{line}", std::process::id()));
    let mut broker = start_on(java, target, line, options, Some(data.clone()), 0)?;
    let port = broker.port();
    let mut command = java.command(&programs);
    command
        .arg("-Xmx512M")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
        .arg("interop.Restart")
        .arg(format!("--url={}", broker.url()))
        .arg(format!("--line={line}"))
        .arg(format!("--against={}", target.name()))
        .arg(format!("--how={how}"));
    let mut child =
        command.stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().context("cannot run java")?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let tally = show(stdout, options.quiet, |text| {
        if text != "prepared" {
            return Ok(());
        }
        if how == "kill" {
            broker.kill_hard();
        } else {
            broker.stop()?;
        }
        broker = start_on(java, target, line, options, Some(data.clone()), port)?;
        stdin.write_all(b"restarted\n").and_then(|()| stdin.flush()).context("the Java program has ended")
    });
    let status = child.wait();
    drop(broker);
    let _ = std::fs::remove_dir_all(&data);
    tally?.with_context(|| {
        format!("the restart checks ended with {status:?} before they had printed their sums")
    })
}

/// Runs a Java program, shows what it prints as it comes, and reads its closing line.
pub(crate) fn follow(mut command: Command, quiet: bool) -> Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().context("cannot run java")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let tally = show(stdout, quiet, |_| Ok(()))?;
    let status = child.wait()?;
    tally.with_context(|| format!("the Java program ended with {status} before it had printed its sums"))
}

/// Shows what a Java program prints, hands each line to `each`, and reads the closing line.
pub(crate) fn show(
    stdout: impl std::io::Read,
    quiet: bool,
    mut each: impl FnMut(&str) -> Result<()>,
) -> Result<Option<Tally>> {
    let mut tally = None;
    for text in BufReader::new(stdout).lines() {
        let text = text?;
        if let Some(sum) = Tally::parse(&text) {
            tally = Some(sum);
        } else if !quiet || text.starts_with("FAIL") {
            println!("{text}");
        }
        each(&text)?;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::{Tally, parse_lines, unknown_names};

    #[test]
    fn a_name_that_nothing_has_is_refused_with_what_comes_near() {
        let checks = ["queue.order is kept", "queue.a backlog", "topic.fan-out"];
        let unknown = |only| unknown_names(only, checks.iter().copied());
        assert!(unknown("queue,topic.fan-out,restart").is_empty());
        assert_eq!(
            unknown("queu"),
            ["nothing is called \"queu\"; there is queue, queue.a backlog, queue.order is kept"]
        );
        assert_eq!(unknown("tpoic,queue"), ["nothing is called \"tpoic\"; there is topic"]);
        assert_eq!(
            unknown("")[0],
            "nothing is called \"\"; the areas are network, pair, queue, restart, spool, spread, topic"
        );
    }

    #[test]
    fn the_closing_line_is_read() {
        let tally = Tally::parse("12 passed, 3 failed, 4 skipped").unwrap();
        assert_eq!(tally, Tally { passed: 12, failed: 3, skipped: 4 });
        assert_eq!(Tally::parse("ok queue.order"), None);
        assert_eq!(Tally::parse("FAIL x: 3 failed, 4 passed"), None);
    }

    #[test]
    fn lines_are_chosen_by_name() {
        assert_eq!(parse_lines("all").unwrap().len(), 3);
        assert_eq!(parse_lines("5.16, 6").unwrap().len(), 2);
        assert!(parse_lines("7").is_err());
    }
}

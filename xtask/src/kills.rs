//! `cargo xtask kills`: kill -9 of the broker under load, again and again, on one data folder.
//!
//! A Java program keeps a load going through the released client and knows of every message whether its send and its
//! acknowledgement were answered. After the last kill it drains the broker and says whether anything that was answered
//! is lost, came twice, came again without being flagged, or came as a torn transaction.
//!
//! Prints its seed, a line for each kill, and ends with `N passed, M failed`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::interop::{Tally, Target};
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line, RealBroker, RealOptions};

/// How long the load may take to get going again after a restart.
const PROGRESS_LIMIT: Duration = Duration::from_secs(30);
const DRAIN_LIMIT: Duration = Duration::from_secs(180);

/// Options of `cargo xtask kills`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many times the broker is killed.
    #[arg(long, default_value_t = 50)]
    times: u32,
    /// Decides when it is killed; printed, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
    /// The broker that is killed; the real ActiveMQ serves to try the test itself.
    #[arg(long, value_enum, default_value = "ferromq")]
    against: Target,
    /// The client line.
    #[arg(long, default_value = "5.19")]
    line: String,
    /// Further arguments of the broker, as `--store=sqlite`.
    #[arg(last = true)]
    broker_arguments: Vec<String>,
}

/// Runs the test.
///
/// # Errors
/// When anything was lost or repeated, or a broker did not come back.
pub(crate) fn run(options: &Options) -> Result<()> {
    let line: Line = options.line.parse()?;
    let java = match Java::find() {
        Ok(java) => java,
        Err(missing) => {
            println!("skip kills: {missing:#}");
            println!("0 passed, 0 failed, 1 skipped");
            return Ok(());
        }
    };
    let seed = options.seed.unwrap_or_else(clock_seed);
    println!(
        "kills: seed {seed}, {} kills, client {line}, against {}",
        options.times,
        options.against.name()
    );
    let data = crate::peers::work_dir().join("run").join(format!("kills-{}", std::process::id()));
    let mut broker = start(&java, options, line, &data, 0)?;
    let port = broker.port();
    let mut load = Load::start(&java, line, options.against, broker.url())?;
    let mut random = Random(seed);
    let mut total = Tally::default();
    load.order("mark")?;
    let mut before = load.mark()?;
    for kill in 1..=options.times {
        // Every fifth kill hits a broker that is only just up.
        let delay = if kill % 5 == 0 { random.below(60) } else { 150 + random.below(900) };
        std::thread::sleep(Duration::from_millis(delay));
        let pid = broker.pid();
        broker.kill_hard();
        broker = start(&java, options, line, &data, port)
            .with_context(|| format!("after kill {kill}, seed {seed}"))?;
        let back = broker.started_in();
        // A broker that is up must take sends again; the next kill does not wait for it if it is to come early.
        let progressed =
            if (kill + 1) % 5 == 0 && kill < options.times { None } else { Some(load.progress(&before)?) };
        load.order("mark")?;
        let now = load.mark()?;
        println!("kill {kill}: pid {pid} after {delay} ms, back in {} ms, {now}", back.as_millis());
        match progressed {
            Some(false) => {
                println!(
                    "FAIL kill.progress: no send was answered within {PROGRESS_LIMIT:?} after kill {kill}"
                );
                total.failed += 1;
            }
            _ => total.passed += 1,
        }
        before = now;
    }
    total.add(load.finish()?);
    broker.stop()?;
    if total.failed == 0 {
        let _ = std::fs::remove_dir_all(&data);
    } else {
        println!(
            "seed {seed}; the data is kept in {}, the log in {}",
            data.display(),
            broker.log().display()
        );
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 {
        bail!("{} statements about kill -9 do not hold, seed {seed}", total.failed);
    }
    Ok(())
}

fn start(java: &Java, options: &Options, line: Line, data: &std::path::Path, port: u16) -> Result<Broker> {
    let data = Some(data.to_path_buf());
    match options.against {
        Target::Ferromq => FerroBroker::start(&FerroOptions {
            data,
            port,
            arguments: options.broker_arguments.clone(),
            ..FerroOptions::default()
        }),
        Target::Activemq => RealBroker::start(
            java,
            &RealOptions { line: line.broker(), data, port, ..RealOptions::default() },
        ),
    }
}

/// The Java program with the load, and what it prints.
struct Load {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
}

impl Load {
    fn start(java: &Java, line: Line, against: Target, url: &str) -> Result<Load> {
        let programs = java.programs(line)?;
        let mut command = java.command(&programs);
        command
            .arg("-Xmx512M")
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
            .arg("interop.KillLoad")
            .arg(format!("--url={url}"))
            .arg(format!("--against={}", against.name()));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot run java")?;
        let orders = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
        let load = Load { child, orders, lines };
        load.await_line("started", PROGRESS_LIMIT)?;
        Ok(load)
    }

    fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").and_then(|()| self.orders.flush()).context("the load has ended")
    }

    fn mark(&self) -> Result<String> {
        let text = self.await_line("mark", PROGRESS_LIMIT)?;
        Ok(text.trim_start_matches("mark ").to_owned())
    }

    fn await_line(&self, start: &str, limit: Duration) -> Result<String> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let text = self
                .lines
                .recv_timeout(left)
                .with_context(|| format!("the load did not print a line beginning with {start:?}"))?;
            if text.starts_with(start) {
                return Ok(text);
            }
            println!("{text}");
        }
    }

    /// Waits until more sends were answered than `before` says, on every destination.
    fn progress(&mut self, before: &str) -> Result<bool> {
        let until = Instant::now() + PROGRESS_LIMIT;
        let before = answered(before);
        while Instant::now() < until {
            self.order("mark")?;
            let now = answered(&self.mark()?);
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(false)
    }

    fn finish(mut self) -> Result<Tally> {
        self.order("stop")?;
        let until = Instant::now() + DRAIN_LIMIT;
        let tally = loop {
            let left = until.saturating_duration_since(Instant::now());
            let text = self.lines.recv_timeout(left).context("the load did not end")?;
            if let Some(tally) = Tally::parse(&text) {
                break tally;
            }
            println!("{text}");
        };
        self.child.wait()?;
        Ok(tally)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first number of each `name=answered/came/repeated`.
fn answered(mark: &str) -> Vec<u64> {
    mark.split(' ').filter_map(|lane| lane.split_once('=')?.1.split('/').next()?.parse().ok()).collect()
}

fn clock_seed() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| u64::from(since.subsec_micros()) | 1)
}

/// A small generator: the moments of the kills need spread, not quality.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, answered};

    #[test]
    fn the_first_number_of_each_lane_is_what_was_answered() {
        assert_eq!(answered("plain=10/9/0 durable=7/7/2"), [10, 7]);
    }

    #[test]
    fn one_seed_gives_one_run() {
        let mut one = Random(7);
        let mut two = Random(7);
        let run = |random: &mut Random| (0..20).map(|_| random.below(900)).collect::<Vec<_>>();
        assert_eq!(run(&mut one), run(&mut two));
    }
}

//! `cargo xtask kills`: kill -9 of the broker under load, again and again, on one data folder.
//!
//! A Java program keeps a load going through the released client and knows of every message whether its send and its
//! acknowledgement were answered. After the last kill it drains the broker and says whether anything that was answered
//! is lost, came twice, came again without being flagged, or came as a torn transaction.
//!
//! Prints its seed, a line for each kill, and ends with `N passed, M failed`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cluster::{Load, Random};
use crate::interop::{Tally, Target};
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line, RealBroker, RealOptions};

/// How long the load may take to get going again after a restart.
const PROGRESS_LIMIT: Duration = Duration::from_secs(30);

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
    let mut load = start_load(&java, line, options.against, broker.url())?;
    let mut random = Random(seed);
    let mut total = Tally::default();
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
        let waits = (kill + 1) % 5 != 0 || kill == options.times;
        let progressed = if waits { load.progress_since(&before, PROGRESS_LIMIT) } else { Ok(()) };
        let now = load.mark()?;
        println!("kill {kill}: pid {pid} after {delay} ms, back in {} ms, {now}", back.as_millis());
        match progressed {
            Ok(()) => total.passed += 1,
            Err(error) => {
                println!("FAIL kill.progress: after kill {kill}: {error:#}");
                total.failed += 1;
            }
        }
        before = now;
    }
    let (lines, tally) = load.finish()?;
    lines.iter().for_each(|line| println!("{line}"));
    total.add(tally);
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

/// The Java program whose clients come again by themselves.
fn start_load(java: &Java, line: Line, against: Target, url: &str) -> Result<Load> {
    let mut command = java.command(&java.programs(line)?);
    command
        .arg("-Xmx512M")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
        .arg("interop.KillLoad")
        .arg(format!("--url={url}"))
        .arg(format!("--against={}", against.name()));
    Load::launch(command)
}

fn clock_seed() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| u64::from(since.subsec_micros()) | 1)
}

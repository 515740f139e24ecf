//! Running a load program and reading the broker's counters at the moments it names.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::process;
use super::target::Tools;

/// Who drives the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The stock `activemq-client`.
    Java,
    /// FerroMQ's own.
    Rust,
}

impl Client {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Rust => "rust",
        }
    }

    fn command(self, tools: &Tools) -> Command {
        match self {
            Self::Java => tools.java_load(),
            Self::Rust => tools.rust_load(),
        }
    }
}

/// What a row came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Of the last workload of the row.
    pub per_second: f64,
    /// Of the workload before it (filling a backlog).
    pub first_per_second: Option<f64>,
    /// Of the broker, in that workload.
    pub first_broker_cpu_us: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub client_cpu_us: f64,
    pub broker_cpu_us: f64,
    pub lost: u64,
    pub duplicated: u64,
    pub errors: u64,
    pub start_ms: f64,
    pub restart_ms: f64,
    pub rest_rss_kib: u64,
    pub peak_rss_kib: u64,
    /// While the connections of the idle row are open.
    pub loaded_rss_kib: Option<u64>,
    pub disk_bytes: u64,
}

impl Outcome {
    pub fn brief(&self) -> String {
        format!(
            "{:>9.0}/s  broker {:>7.1} µs  client {:>7.1} µs  p50 {:.2} ms  p99 {:.2} ms  lost {} dup {} err {}",
            self.per_second,
            self.broker_cpu_us,
            self.client_cpu_us,
            self.p50_ms.unwrap_or(0.0),
            self.p99_ms.unwrap_or(0.0),
            self.lost,
            self.duplicated,
            self.errors
        )
    }
}

/// How much longer than its measurement a flow may take: to connect, to drain what is under way, to close.
const FLOW_SPARE: Duration = Duration::from_secs(75);
/// The longest that filling or draining a backlog, or opening many connections, may take.
const OTHERS_LIMIT: Duration = Duration::from_secs(180);

/// One run of a load program.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    pub client: Client,
    pub workload: &'a str,
    pub seconds: u32,
    pub warmup: u32,
    pub messages: u32,
    pub connections: u32,
}

impl Job<'_> {
    fn limit(&self) -> Duration {
        match self.workload {
            "backlog-fill" | "spool-fill" | "backlog-drain" | "conns" => OTHERS_LIMIT,
            _ => Duration::from_secs(u64::from(self.seconds + self.warmup)) + FLOW_SPARE,
        }
    }
}

/// What a load is run against.
pub struct Subject<'a> {
    pub url: String,
    /// Where consumers are, if that is another broker; only the Java client knows of it.
    pub consume: Option<String>,
    /// Whose CPU counts.
    pub pid: u32,
    /// Called when the measurement begins, and when it ends.
    pub meter: &'a mut dyn FnMut(),
}

/// Runs it against a broker; one that does not end in time is killed, and is an error.
pub fn run(tools: &Tools, subject: Subject<'_>, job: Job<'_>, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut command = job.client.command(tools);
    command.args(["--url", &subject.url, "--workload", job.workload]);
    if let Some(consume) = &subject.consume {
        command.args(["--consume", consume]);
    }
    for (name, value) in [
        ("seconds", job.seconds),
        ("warmup", job.warmup),
        ("messages", job.messages),
        ("connections", job.connections),
    ] {
        command.args([format!("--{name}"), value.to_string()]);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the load program")?;
    let outcome = follow(&mut child, subject, job, outcome);
    // It has ended, or has to.
    let _ = child.kill();
    let _ = child.wait();
    outcome
}

fn follow(
    child: &mut Child,
    subject: Subject<'_>,
    job: Job<'_>,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let (said, heard) = mpsc::channel();
    // A line is told with the moment's delay of a channel; without the thread nobody could stop waiting for it.
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| said.send(line)));
    let deadline = Instant::now() + job.limit();
    let mut cpu = (process::cpu_us(subject.pid)?, 0);
    let mut answer = None;
    loop {
        let line = match heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => bail!("{} did not end within {:?}", job.workload, job.limit()),
        };
        match line.trim() {
            "measuring" => {
                cpu.0 = process::cpu_us(subject.pid)?;
                (subject.meter)();
            }
            "measured" => {
                cpu.1 = process::cpu_us(subject.pid)?;
                (subject.meter)();
                if job.workload == "conns" {
                    outcome.loaded_rss_kib = Some(process::memory_kib(subject.pid, "VmRSS")?);
                    child.stdin.take().context("its input")?.write_all(b"\n")?;
                }
            }
            text if text.starts_with('{') => answer = Some(serde_json::from_str::<Value>(text)?),
            _ => {}
        }
    }
    let answer = answer.with_context(|| format!("{} ended without an answer", job.workload))?;
    take(&answer, cpu.1.saturating_sub(cpu.0), outcome)
}

fn take(answer: &Value, broker_us: u64, outcome: &mut Outcome) -> anyhow::Result<()> {
    let number = |key: &str| answer[key].as_f64();
    let messages = number("messages").context("messages")?.max(1.0);
    if outcome.per_second > 0.0 {
        outcome.first_per_second = Some(outcome.per_second);
        outcome.first_broker_cpu_us = Some(outcome.broker_cpu_us);
    }
    outcome.per_second = number("per_second").context("per_second")?;
    outcome.client_cpu_us = number("client_cpu_us").context("client_cpu_us")?;
    outcome.broker_cpu_us = broker_us as f64 / messages;
    outcome.p50_ms = number("p50_ms").or(number("first_ms"));
    outcome.p99_ms = number("p99_ms");
    let count = |key: &str| answer[key].as_u64().unwrap_or(0);
    outcome.lost += count("lost");
    outcome.duplicated += count("duplicated");
    outcome.errors += count("errors");
    Ok(())
}

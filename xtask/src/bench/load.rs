//! Running a load program and reading the broker's counters at the moments it names.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::process;
use super::target::{Target, Tools};

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

    pub fn command(self, tools: &Tools) -> anyhow::Result<Command> {
        match self {
            Self::Java => Ok(tools.java_load()),
            Self::Rust => Ok(tools.rust_load()),
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

/// A load program that has said nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(600);

pub fn run(
    tools: &Tools,
    client: Client,
    target: &Target,
    workload: &str,
    options: &[(&str, u32)],
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let mut command = client.command(tools)?;
    command.args(["--url", &target.url(), "--workload", workload]);
    for (name, value) in options {
        command.args([format!("--{name}"), value.to_string()]);
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the load program")?;
    let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let began = Instant::now();
    let mut cpu = (process::cpu_us(target.pid())?, 0);
    let mut answer = None;
    for line in lines {
        let line = line?;
        match line.trim() {
            "measuring" => cpu.0 = process::cpu_us(target.pid())?,
            "measured" => {
                cpu.1 = process::cpu_us(target.pid())?;
                if workload == "conns" {
                    outcome.loaded_rss_kib = Some(process::memory_kib(target.pid(), "VmRSS")?);
                    child.stdin.take().context("its input")?.write_all(b"\n")?;
                }
            }
            text if text.starts_with('{') => answer = Some(serde_json::from_str::<Value>(text)?),
            _ => {}
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
            bail!("the load program took more than {PATIENCE:?}");
        }
    }
    let status = child.wait()?;
    let Some(answer) = answer else { bail!("the load program ended ({status}) without an answer") };
    take(&answer, cpu.1.saturating_sub(cpu.0), outcome)
}

fn take(answer: &Value, broker_us: u64, outcome: &mut Outcome) -> anyhow::Result<()> {
    let number = |key: &str| answer[key].as_f64();
    let messages = number("messages").context("messages")?.max(1.0);
    if outcome.per_second > 0.0 {
        outcome.first_per_second = Some(outcome.per_second);
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

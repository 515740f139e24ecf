//! Broker processes: the real ActiveMQ, embedded in a small Java program, and our own binary.
//!
//! Both print `listening on tcp://127.0.0.1:PORT` on standard output when they are ready. A broker lives in a data
//! folder that outlasts the process, so a test can kill it and start another one on the same folder and port.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::java::{BrokerLine, Java};
use super::work_dir;
use crate::workspace::target;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How to run the real ActiveMQ.
#[derive(Debug, Clone)]
pub(crate) struct RealOptions {
    pub(crate) line: BrokerLine,
    /// `None`: a fresh folder under `target/interop/run`, removed with the broker.
    pub(crate) data: Option<PathBuf>,
    /// 0 picks a free port.
    pub(crate) port: u16,
    /// ActiveMQ's own default is true: a message acknowledged in time never reaches the disk.
    pub(crate) concurrent_store_and_dispatch: bool,
    pub(crate) persistent: bool,
    pub(crate) heap_mb: u32,
    /// `jdbc:postgresql:…`: the messages and the lock are there and not in KahaDB.
    pub(crate) database: Option<String>,
    /// Further arguments of `BrokerMain`.
    pub(crate) arguments: Vec<String>,
}

impl Default for RealOptions {
    fn default() -> Self {
        RealOptions {
            line: BrokerLine::default(),
            data: None,
            port: 0,
            concurrent_store_and_dispatch: true,
            persistent: true,
            heap_mb: 1024,
            database: None,
            arguments: Vec::new(),
        }
    }
}

/// Starts the real ActiveMQ.
pub(crate) struct RealBroker;

impl RealBroker {
    /// # Errors
    /// When its jars cannot be had, or it is not ready within a minute (its log is named).
    pub(crate) fn start(java: &Java, options: &RealOptions) -> Result<Broker> {
        let data = Data::new(options.data.clone())?;
        let command =
            Self::command(java, options, &data.path.display().to_string(), &options.port.to_string())?;
        Broker::launch("activemq", command, data)
    }

    /// What starts it, on a folder and a port.
    ///
    /// # Errors
    /// When its jars cannot be had.
    pub(crate) fn command(java: &Java, options: &RealOptions, data: &str, port: &str) -> Result<Command> {
        if options.database.is_some() && !options.line.has_database() {
            bail!("the ActiveMQ of {} has no store for databases here", options.line.name());
        }
        let programs = java.broker_programs(options.line)?;
        // As `bin/env` of its distribution starts it: this heap, and the collector that the JVM chooses.
        let mut command = Command::new(&java.java);
        command
            .arg("-cp")
            .arg(&programs.classpath)
            .arg("-Xms64M")
            .arg(format!("-Xmx{}M", options.heap_mb))
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg(match options.database {
                Some(_) => "interop.JdbcBrokerMain",
                None => "interop.BrokerMain",
            })
            .arg(format!("--port={port}"))
            .arg(format!("--data={data}"))
            .arg(format!("--concurrent={}", options.concurrent_store_and_dispatch))
            .arg(format!("--persistent={}", options.persistent))
            .args(options.database.iter().map(|url| format!("--jdbc={url}")))
            .args(&options.arguments);
        Ok(command)
    }
}

/// How to run our own broker.
#[derive(Debug, Clone)]
pub(crate) struct FerroOptions {
    /// `None`: `target/release/ferromq` of this work tree.
    pub(crate) binary: Option<PathBuf>,
    /// `None`: a fresh folder under `target/interop/run`, removed with the broker.
    pub(crate) data: Option<PathBuf>,
    /// 0 picks a free port.
    pub(crate) port: u16,
    pub(crate) name: String,
    /// Options of its listener, as `a=1&b=2`.
    pub(crate) listen_options: String,
    /// Further arguments of `ferromq run`.
    pub(crate) arguments: Vec<String>,
}

impl Default for FerroOptions {
    fn default() -> Self {
        FerroOptions {
            binary: None,
            data: None,
            port: 0,
            name: "ferromq".to_owned(),
            listen_options: String::new(),
            arguments: Vec::new(),
        }
    }
}

/// Starts FerroMQ.
pub(crate) struct FerroBroker;

impl FerroBroker {
    /// The binary that [`FerroBroker::start`] uses when the options name none.
    pub(crate) fn binary() -> PathBuf {
        target().join("release").join("ferromq")
    }

    /// # Errors
    /// When the binary does not exist, or is not ready within a minute (its log is named).
    pub(crate) fn start(options: &FerroOptions) -> Result<Broker> {
        let data = Data::new(options.data.clone())?;
        let command = Self::command(options, &data.path.display().to_string(), &options.port.to_string())?;
        Broker::launch("ferromq", command, data)
    }

    /// What starts it, on a folder and a port.
    ///
    /// # Errors
    /// When the binary does not exist.
    pub(crate) fn command(options: &FerroOptions, data: &str, port: &str) -> Result<Command> {
        let binary = options.binary.clone().unwrap_or_else(FerroBroker::binary);
        if !binary.is_file() {
            bail!("{} does not exist; build it with: cargo build --release -p ferromq", binary.display());
        }
        let mut command = Command::new(binary);
        command
            .arg("run")
            .arg("--name")
            .arg(&options.name)
            .arg("--data")
            .arg(data)
            .arg("--listen")
            .arg(format!("tcp://127.0.0.1:{port}?{}", options.listen_options))
            .args(&options.arguments);
        Ok(command)
    }
}

/// Starts another program that says where it listens as brokers do.
pub(crate) fn start_program(kind: &str, command: Command) -> Result<Broker> {
    Broker::launch(kind, command, Data::new(None)?)
}

/// A running broker process; killed when dropped.
pub(crate) struct Broker {
    child: Child,
    url: String,
    port: u16,
    started_in: Duration,
    data: Data,
}

#[allow(dead_code, reason = "the bench reads the rest")]
impl Broker {
    fn launch(kind: &str, mut command: Command, data: Data) -> Result<Broker> {
        let log_path = data.path.with_extension("log");
        let log = File::options().create(true).append(true).open(&log_path)?;
        let began = Instant::now();
        // Standard input stays open as long as this process lives, so that no broker outlives an aborted run.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()
            .with_context(|| format!("cannot start {kind}"))?;
        let (ready, port) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            // The pipe is read to its end, else a chatty broker would block on it.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some(port) = listening_port(&line) {
                        let _ = ready.send(port);
                    }
                }
            });
        }
        match port.recv_timeout(START_LIMIT) {
            Ok(port) => {
                let url = format!("tcp://127.0.0.1:{port}");
                Ok(Broker { child, url, port, started_in: began.elapsed(), data })
            }
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(20).collect();
                let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
                bail!("{kind} did not become ready; the end of {}:\n{tail}", log_path.display())
            }
        }
    }

    /// `tcp://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data.path
    }

    /// What the broker wrote on standard error.
    pub(crate) fn log(&self) -> PathBuf {
        self.data.path.with_extension("log")
    }

    /// From the start of the process to its port being open.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    /// `kill -9`, and waits until the process is gone. The data folder stays as it is.
    pub(crate) fn kill_hard(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then waits for an orderly exit.
    ///
    /// # Errors
    /// When the process is still there after 20 s (it is killed then), or exits with a failure.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while began.elapsed() < STOP_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                // A JVM that ends by SIGTERM reports 143 even after its shutdown hooks ran to the end.
                return if status.success() || status.code() == Some(143) {
                    Ok(())
                } else {
                    bail!("the broker stopped with {status}; see {}", self.log().display())
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill_hard();
        bail!("the broker did not stop within {STOP_LIMIT:?}; see {}", self.log().display())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill_hard();
    }
}

/// A data folder; removed at the end if it was made here.
struct Data {
    path: PathBuf,
    ours: bool,
}

impl Data {
    fn new(path: Option<PathBuf>) -> Result<Data> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let ours = path.is_none();
        let path = path.unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            work_dir().join("run").join(format!("{}-{number}", std::process::id()))
        });
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Data { path, ours })
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // The log stays: it is what explains a failed run.
        if self.ours {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn listening_port(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on tcp://")?;
    let digits: String = rest.rsplit(':').next()?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::listening_port;

    #[test]
    fn the_ready_line_names_the_port() {
        assert_eq!(listening_port("listening on tcp://127.0.0.1:61616"), Some(61616));
        assert_eq!(listening_port("listening on tcp://127.0.0.1:40123 (openwire)"), Some(40123));
        assert_eq!(listening_port("listening on tcp://127.0.0.1:0"), None);
        assert_eq!(listening_port("starting"), None);
    }
}

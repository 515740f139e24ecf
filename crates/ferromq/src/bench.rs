//! `ferromq bench`: one workload against a broker for a fixed time, in numbers.
//!
//! Names of workloads and fields of the answer are those of the Java load program beside the interop tests, so that
//! both clients can be compared on any broker. With `--json` the lines `measuring` and `measured` tell a driver
//! when to read the broker's counters, and the last line is the answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ferromq_client::{Connection, ErrorKind};

use crate::exit::{Exit, Failure, Outcome};

mod answer;
mod backlog;
mod flow;
mod idle;
mod recorder;
mod requests;
mod shape;

use answer::Answer;
use shape::Shape;

/// What the command line may say.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The broker
    #[arg(long, value_name = "URI", default_value = "tcp://127.0.0.1:61616")]
    url: String,
    /// What to do; `list` tells the names
    #[arg(long, value_name = "NAME", default_value = "list")]
    workload: String,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
    /// How long to run before that
    #[arg(long, value_name = "S", default_value_t = 3)]
    warmup: u64,
    /// Messages of a backlog
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    messages: u64,
    /// Connections of the idle workload
    #[arg(long, value_name = "N", default_value_t = 2000)]
    connections: u64,
    /// Threads of this client; one is the cheapest for each message
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Turns of tasks between two looks at the sockets.
const SOCKETS_EVERY: u32 = 4;

/// Workloads that are no flow of messages.
const OTHERS: &[(&str, &str)] = &[
    ("reqrep-1", "one client sends requests and waits for the replies"),
    ("reqrep-8", "eight clients send requests and wait for the replies"),
    ("backlog-fill", "sends --messages persistent messages in transactions of 1,000"),
    ("spool-fill", "the same with messages that are not persistent"),
    ("backlog-drain", "receives --messages messages with one consumer"),
    ("conns", "opens --connections connections, and closes them after a line on standard input"),
];

/// Runs one workload and prints what it came to.
pub(crate) fn run(args: Args) -> Outcome {
    if args.workload == "list" {
        for (name, text) in
            shape::FLOWS.iter().map(|(name, text, _)| (*name, *text)).chain(OTHERS.iter().copied())
        {
            println!("{name:14} {text}");
        }
        return Ok(());
    }
    let mut builder = if args.threads <= 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(args.threads);
        builder
    };
    // Tasks that always have something to send must not keep the sockets of those that receive waiting.
    builder.event_interval(SOCKETS_EVERY);
    let runtime = builder.enable_all().build().map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let bench = Arc::new(Bench::new(args));
    let answer = runtime.block_on(work(&bench))?;
    for error in bench.errors() {
        eprintln!("{error}");
    }
    if bench.args.json {
        println!("{}", answer.json(&bench.args.workload));
    } else {
        print!("{}", answer.table(&bench.args.workload));
    }
    Ok(())
}

async fn work(bench: &Arc<Bench>) -> Result<Answer, Failure> {
    let outcome = match bench.args.workload.as_str() {
        "reqrep-1" => requests::run(bench, 1).await,
        "reqrep-8" => requests::run(bench, 8).await,
        "backlog-fill" => backlog::fill(bench, true).await,
        "spool-fill" => backlog::fill(bench, false).await,
        "backlog-drain" => backlog::drain(bench).await,
        "conns" => idle::run(bench).await,
        name => match Shape::named(name) {
            Some(shape) => flow::run(bench, shape).await,
            None => {
                let text = format!("there is no workload {name}; `ferromq bench --workload list` tells them");
                return Err(Failure::new(Exit::Usage, text));
            }
        },
    };
    outcome.map_err(|error| match error.kind() {
        ErrorKind::Caller => Failure::new(Exit::Usage, error),
        _ => Failure::new(Exit::Unavailable, error),
    })
}

/// What the tasks of a workload share.
struct Bench {
    args: Args,
    /// Part of all names, so that runs do not meet.
    run: String,
    origin: Instant,
    measuring: AtomicBool,
    stopping: AtomicBool,
    errors: Mutex<Vec<String>>,
    connections: Mutex<Vec<Connection>>,
}

impl Bench {
    fn new(args: Args) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            args,
            run: format!("{:x}", since.as_nanos()),
            origin: Instant::now(),
            measuring: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            errors: Mutex::default(),
            connections: Mutex::default(),
        }
    }

    async fn connect(&self, client_id: Option<String>) -> ferromq_client::Result<Connection> {
        let mut options = ferromq_client::ConnectOptions::parse(&self.args.url)?;
        if let Some(id) = client_id {
            options = options.client_id(id);
        }
        let connection = Connection::connect_with(options).await?;
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(connection.clone());
        Ok(connection)
    }

    /// Nanoseconds since the start.
    fn nanos(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn is_measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn failed(&self, who: &str, error: impl ToString) {
        let text = format!("{who}: {}", error.to_string());
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the driver that a phase begins, so that it reads the broker's counters at the same moment.
    fn signal(&self, phase: &str) {
        if self.args.json {
            println!("{phase}");
        }
    }

    /// Warms up, measures for the wanted time, and tells everybody to stop.
    async fn measure(&self) -> Window {
        tokio::time::sleep(Duration::from_secs(self.args.warmup)).await;
        let window = self.begin();
        self.measuring.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(self.args.seconds)).await;
        self.measuring.store(false, Ordering::Relaxed);
        let window = self.end(window);
        self.stopping.store(true, Ordering::Relaxed);
        window
    }

    fn begin(&self) -> Window {
        let window = Window { cpu_us: cpu_us(), seconds: 0.0, began: Instant::now() };
        self.signal("measuring");
        window
    }

    fn end(&self, window: Window) -> Window {
        self.signal("measured");
        Window { seconds: window.began.elapsed().as_secs_f64(), cpu_us: cpu_us() - window.cpu_us, ..window }
    }

    async fn close_all(&self) {
        let connections =
            std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in connections {
            if let Err(error) = connection.close().await {
                self.failed("close", error);
            }
        }
    }
}

/// What was measured, and what it cost here.
struct Window {
    began: Instant,
    seconds: f64,
    cpu_us: f64,
}

/// CPU time of this process, all threads.
fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

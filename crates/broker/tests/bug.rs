//! A bug in the engine that shows on the thread of a connection: the broker says so and ends, lets go of its store, and a
//! standby takes over.
//!
//! No program has a switch for that. But what the engine has to say goes to the log in its turn, on the thread of whoever has
//! that, and the log is the embedding program's: here it panics at the engine's first word on the thread of a connection.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "what can not be set up ends the test"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ferromq_broker::{Broken, Broker, ErrorKind, Role, Settings};
use ferromq_client::{AckMode, ConnectOptions, Connection, ConsumerSpec, Destination, Outgoing};
use ferromq_net::ListenAddress;
use ferromq_testkit::{Lines, PATIENCE};
use tokio::sync::mpsc;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const FOLDER: &str = "FERROMQ_TEST_BUG_FOLDER";
const NODE: &str = "FERROMQ_TEST_BUG_NODE";
/// How a process ends that met a bug, by `sysexits.h`.
const SOFTWARE: i32 = 70;

/// A log that has a bug.
struct Wrong;

impl Subscriber for Wrong {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ferromq_broker::engine_thread"
    }

    fn event(&self, _: &Event<'_>) {
        let thread = std::thread::current();
        assert!(!thread.name().is_some_and(|name| name.starts_with("net-")), "planted");
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A client whose id is taken gets it, of which the engine tells.
fn settings(folder: &Path, node: &str) -> Settings {
    let mut settings = Settings {
        node: Some(node.to_owned()),
        data: folder.join("shared"),
        listen: vec![ListenAddress::loopback(0)],
        ..Settings::default()
    };
    settings.engine.allow_link_stealing = true;
    settings
}

async fn client(url: &str) -> ferromq_client::Result<Connection> {
    Connection::connect_with(ConnectOptions::parse(url)?.client_id("orders")).await
}

fn queue() -> Destination {
    Destination::queue("orders")
}

async fn send(url: &str, text: &str) -> Connection {
    let client = client(url).await.unwrap();
    client.producer(queue()).await.unwrap().send(Outgoing::text(text)).await.unwrap();
    client
}

async fn receive(url: &str, count: usize) -> Vec<String> {
    let client = client(url).await.unwrap();
    let mut consumer = client.consumer(ConsumerSpec::new(queue()), AckMode::Auto).await.unwrap();
    let mut texts = Vec::new();
    while texts.len() < count {
        let delivery = consumer.recv_timeout(PATIENCE).await.unwrap().expect("a message");
        texts.push(delivery.text().unwrap());
    }
    texts
}

/// Takes the id again and again, until the engine tells of that on the thread of a connection: whose turn it is, is not a
/// client's to say, but a connection's if the engine sleeps.
async fn break_it(url: &str, mut holder: Connection) {
    let began = Instant::now();
    while let Ok(next) = client(url).await {
        assert!(began.elapsed() < PATIENCE, "a broker that ends by a bug serves nobody");
        holder = next;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(holder);
}

/// Serves until it breaks.
async fn serve(broker: Broker) -> Result<(), Broken> {
    let (_stop, orders) = mpsc::channel(1);
    broker.serve(orders, |role| println!("role {role}")).await
}

/// Not a test: a broker in a process of its own, which ends as its broker does.
#[tokio::test]
#[ignore = "started by a test below"]
async fn node() {
    let (Some(folder), Ok(node)) = (std::env::var_os(FOLDER), std::env::var(NODE)) else { return };
    tracing::subscriber::set_global_default(Wrong).unwrap();
    let broker = Broker::start(settings(Path::new(&folder), &node)).unwrap();
    println!("role {}", broker.role());
    println!("listening on {}", broker.urls()[0]);
    let broken = serve(broker).await.unwrap_err();
    eprintln!("{broken}");
    std::process::exit(if broken.kind() == ErrorKind::Bug { SOFTWARE } else { 1 });
}

struct Node {
    child: Child,
    output: Lines,
    log: Lines,
}

impl Node {
    fn start(folder: &Path, name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "node", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(NODE, name)
            .env("FERROMQ_STATE_DIR", folder.join(name))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Lines::capture(child.stdout.take().unwrap());
        let log = Lines::capture(child.stderr.take().unwrap());
        Self { child, output, log }
    }

    /// What follows `words` in what it says.
    fn says(&self, words: &str) -> String {
        let line = self.output.wait_for(words, PATIENCE);
        let line = line.unwrap_or_else(|| panic!("{words}: {:?} {:?}", self.output.all(), self.log.all()));
        line.split_once(words).unwrap().1.to_owned()
    }

    fn url(&self) -> String {
        self.says("listening on ")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_bug_on_the_thread_of_a_connection_ends_the_broker_and_a_standby_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut a = Node::start(folder.path(), "a");
    a.says("role active");
    let b = Node::start(folder.path(), "b");
    b.says("role standby");
    let holder = send(&a.url(), "kept").await;

    break_it(&a.url(), holder).await;
    assert!(a.log.wait_for_end(PATIENCE), "{:?}", a.log.all());
    assert_eq!(a.child.wait().unwrap().code(), Some(SOFTWARE));
    let said = a.log.all().join("\n");
    assert!(said.contains("thread 'net-") && said.contains("planted"), "{said}");
    assert!(said.contains("the thread engine ended by a bug"), "{said}");

    b.says("role active");
    assert_eq!(receive(&b.url(), 1).await, ["kept"]);
}

#[tokio::test]
async fn a_program_that_goes_on_after_a_bug_can_have_the_store_again() {
    let folder = tempfile::tempdir().unwrap();
    tracing::subscriber::set_global_default(Wrong).unwrap();
    let start = || {
        let broker = Broker::start(settings(folder.path(), "a")).unwrap();
        assert!(matches!(broker.role(), Role::Active { .. }), "{}", broker.role());
        let url = broker.urls()[0].clone();
        (url, tokio::spawn(serve(broker)))
    };
    for round in 0..5 {
        let (url, serving) = start();
        let holder = send(&url, &round.to_string()).await;
        break_it(&url, holder).await;
        let ended = tokio::time::timeout(PATIENCE, serving).await.expect("the broker ends");
        let broken = ended.unwrap().unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::Bug, "{broken}");
    }
    let (url, _serving) = start();
    assert_eq!(receive(&url, 5).await, ["0", "1", "2", "3", "4"]);
}

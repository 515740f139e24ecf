//! The client before two brokers with stores of their own, on real processes: FerroMQ or the real ActiveMQ.
//!
//! Without a [`Recipe`] every test here says that it was skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

mod process;

use std::process::Child;
use std::time::{Duration, Instant};

use ferromq_client::{AckMode, Connection, ConsumerSpec, Destination, Fanout, Outgoing};
use process::Recipe;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

/// A broker that may be killed and started again at its place.
struct Broker {
    recipe: Recipe,
    data: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Broker {
    /// Two brokers that run; nothing if nobody says how.
    fn two() -> Option<[Self; 2]> {
        let recipe = Recipe::of_environment()?;
        Some(process::free_ports().map(|port| {
            let data = TempDir::new().unwrap();
            let mut broker = Self { recipe: recipe.clone(), data, port, child: None };
            broker.start();
            broker
        }))
    }

    fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    fn start(&mut self) {
        self.child = Some(self.recipe.start(self.port, self.data.path()));
    }

    fn kill(&mut self) {
        process::kill(&mut self.child);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_at(connection: &Connection, broker: &Broker) -> bool {
    connection.current().is_some_and(|current| *current == *broker.url())
}

async fn send(connection: &Connection, queue: &str) {
    let producer = connection.producer(Destination::queue(queue)).await.unwrap();
    producer.send(Outgoing::text("x")).await.unwrap();
}

/// Whether a message lies in a queue.
async fn holds(broker: &Broker, queue: &str) -> bool {
    let connection = Connection::connect(&broker.url()).await.unwrap();
    let mut browser = connection.browse(Destination::queue(queue), None).await.unwrap();
    browser.recv().await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_returns_to_the_broker_that_it_prefers() {
    let Some([mut a, b]) = Broker::two() else { return };
    let uri = format!("failover:({},{})?priorityBackup=true&maxReconnectDelay=200", a.url(), b.url());
    let client = Connection::connect(&uri).await.unwrap();
    until("at the first of the list", || is_at(&client, &a)).await;
    a.kill();
    until("at the other", || is_at(&client, &b)).await;
    send(&client, "several.away").await;
    a.start();
    until("back", || is_at(&client, &a)).await;
    send(&client, "several.home").await;
    assert!(holds(&a, "several.home").await && holds(&b, "several.away").await);
    assert!(!holds(&b, "several.home").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_connection_is_used_without_any_wait() {
    let Some([mut a, b]) = Broker::two() else { return };
    // Without a spare it would wait for a minute.
    let options =
        "randomize=false&backup=true&initialReconnectDelay=60000&maxReconnectDelay=60000&reconnectDelay=50";
    let uri = format!("failover:({},{})?{options}", a.url(), b.url());
    let client = Connection::connect(&uri).await.unwrap();
    assert!(is_at(&client, &a));
    let queue = Destination::queue("several.spare");
    let spec = ConsumerSpec::new(queue);
    let mut consumer = client.consumer(spec, AckMode::Auto).await.unwrap();
    until("a spare at the other", || connections(b.port) >= 1).await;
    a.kill();
    until("at the other", || is_at(&client, &b)).await;
    send(&client, "several.spare").await;
    assert!(consumer.recv_timeout(SOON).await.unwrap().is_some());
}

/// Established connections that a port has, as the system counts them, of either family of addresses.
fn connections(port: u16) -> usize {
    let port = format!(":{port:04X}");
    let here = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        // Local address, remote address, state: 01 is established.
        words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("01")
    };
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines()).filter(|line| here(line)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fanout_reaches_both_and_waits_for_one_that_comes_back() {
    let Some([mut a, b]) = Broker::two() else { return };
    let uri = format!("fanout:(static:({},{}))?fanOutQueues=true&maxReconnectDelay=200", a.url(), b.url());
    let fanout = Fanout::connect(&uri).await.unwrap();
    let queue = Destination::queue("several.fanout");
    fanout.send(&queue, Outgoing::text("x")).await.unwrap();
    assert!(holds(&a, "several.fanout").await && holds(&b, "several.fanout").await);
    // When one is gone, then a message waits for it
    a.kill();
    let late = Destination::queue("several.late");
    let (sent, ()) = tokio::join!(fanout.send(&late, Outgoing::text("y")), async {
        until("at the other one", || connections(b.port) >= 1).await;
        tokio::task::block_in_place(|| a.start());
    });
    sent.unwrap();
    assert!(holds(&a, "several.late").await && holds(&b, "several.late").await);
    fanout.close().await.unwrap();
}

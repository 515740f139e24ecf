//! The client through the death of its broker, on real processes: FerroMQ or the real ActiveMQ.
//!
//! Without a [`Recipe`] every test here says that it was skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

mod process;

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use ferromq_client::{AckMode, Connection, Consumer, ConsumerSpec, Destination, Error, Outgoing};
use process::Recipe;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

/// Two places for a broker, and one folder; at most one of them is alive.
struct Pair {
    recipe: Recipe,
    data: TempDir,
    ports: [u16; 2],
    alive: Option<Child>,
}

impl Pair {
    fn begin() -> Option<Self> {
        let (recipe, ports) = (Recipe::of_environment()?, process::free_ports());
        let mut pair = Self { recipe, data: TempDir::new().unwrap(), ports, alive: None };
        pair.start(0);
        Some(pair)
    }

    fn url(&self, options: &str) -> String {
        let [a, b] = self.ports;
        format!("failover:(tcp://127.0.0.1:{a},tcp://127.0.0.1:{b})?maxReconnectDelay=200{options}")
    }

    fn start(&mut self, place: usize) {
        self.alive = Some(self.recipe.start(self.ports[place], self.data.path()));
    }

    fn kill(&mut self) {
        process::kill(&mut self.alive);
    }

    /// kill -9, and a broker at the other place.
    fn take_over(&mut self, place: usize) {
        self.kill();
        self.start(place);
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn text(consumer: &mut Consumer) -> String {
    let delivery = consumer.recv_timeout(SOON).await.unwrap().expect("a message in time");
    delivery.text().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_comes_twice_over_five_kills() {
    let Some(mut pair) = Pair::begin() else { return };
    let connection = Connection::connect(&pair.url("")).await.unwrap();
    let queue = Destination::queue("takeover.count");
    let mut consumer = connection.consumer(ConsumerSpec::new(queue.clone()), AckMode::Auto).await.unwrap();
    let sending = connection.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let senders = tokio::spawn(async move {
        let producer = sending.producer(queue).await.unwrap();
        let mut sent = 0_u32;
        while stopped.try_recv().is_err() {
            producer.send(Outgoing::text(sent.to_string())).await.unwrap();
            sent += 1;
        }
        sent
    });
    let receiver = tokio::spawn(async move {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        while let Some(delivery) = consumer.recv_timeout(Duration::from_secs(10)).await.unwrap() {
            *seen.entry(delivery.text().unwrap()).or_default() += 1;
        }
        seen
    });
    for round in 1..=5 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        pair.take_over(round % 2);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let _ = stop.send(());
    let sent = senders.await.unwrap();
    let seen = receiver.await.unwrap();
    let twice = seen.values().filter(|count| **count > 1).count();
    let lost = (0..sent).filter(|n| !seen.contains_key(&n.to_string())).count();
    println!("sent {sent}, received {}, lost {lost}, twice {twice}", seen.len());
    assert!(sent > 100, "{sent} is hardly a load");
    assert_eq!((lost, twice), (0, 0));
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_survives_its_broker() {
    let Some(mut pair) = Pair::begin() else { return };
    let connection = Connection::connect(&pair.url("")).await.unwrap();
    let queue = Destination::queue("takeover.transaction");
    let session = connection.transacted().await.unwrap();
    let producer = session.producer(queue.clone()).await.unwrap();
    for n in 0..20 {
        producer.send(Outgoing::text(n.to_string())).await.unwrap();
    }
    pair.take_over(1);
    producer.send(Outgoing::text("20")).await.unwrap();
    session.commit().await.unwrap();
    let mut consumer = connection.consumer(ConsumerSpec::new(queue), AckMode::Auto).await.unwrap();
    for n in 0..=20 {
        assert_eq!(text(&mut consumer).await, n.to_string());
    }
    assert!(consumer.recv_timeout(Duration::from_millis(500)).await.unwrap().is_none());
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_find_their_way_to_the_new_broker() {
    let Some(mut pair) = Pair::begin() else { return };
    let connection = Connection::connect(&pair.url("")).await.unwrap();
    let queue = Destination::queue("takeover.requests");
    let server = connection.clone();
    let mut requests = server.consumer(ConsumerSpec::new(queue.clone()), AckMode::Auto).await.unwrap();
    let answers = server.anonymous_producer().await.unwrap();
    tokio::spawn(async move {
        while let Ok(Some(request)) = requests.recv().await {
            let reply =
                Outgoing::text(request.text().unwrap()).correlation_id(&*request.correlation_id().unwrap());
            answers.send_to(&request.reply_to().unwrap().clone(), reply).await.unwrap();
        }
    });
    let mut requester = connection.requester(queue).await.unwrap();
    for round in 0..3 {
        let reply = requester.request(Outgoing::text(round.to_string()), SOON).await.unwrap();
        assert_eq!(reply.text().unwrap(), round.to_string());
        if round < 2 {
            pair.take_over(1 - round);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_without_a_broker_ends_in_time_and_says_who_was_tried() {
    let Some(mut pair) = Pair::begin() else { return };
    let connection = Connection::connect(&pair.url("&timeout=1000")).await.unwrap();
    let queue = Destination::queue("takeover.timeout");
    let producer = connection.producer(queue.clone()).await.unwrap();
    producer.send(Outgoing::text("before")).await.unwrap();
    pair.kill();
    let began = Instant::now();
    let error = producer.send(Outgoing::text("during")).await.unwrap_err();
    assert!(matches!(error, Error::NoBroker { .. }), "{error}");
    for port in pair.ports {
        assert!(error.to_string().contains(&format!("tcp://127.0.0.1:{port}: ")), "{error}");
    }
    assert!(began.elapsed() >= Duration::from_millis(900) && began.elapsed() < SOON, "{:?}", began.elapsed());
    // The connection lives: with a broker the next send succeeds, and the one that failed is not there.
    pair.start(1);
    producer.send(Outgoing::text("after")).await.unwrap();
    let mut consumer = connection.consumer(ConsumerSpec::new(queue), AckMode::Auto).await.unwrap();
    assert_eq!(text(&mut consumer).await, "before");
    assert_eq!(text(&mut consumer).await, "after");
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_needs_no_broker() {
    let Some(mut pair) = Pair::begin() else { return };
    let connection = Connection::connect(&pair.url("")).await.unwrap();
    let _producer = connection.producer(Destination::queue("takeover.close")).await.unwrap();
    pair.kill();
    tokio::time::timeout(SOON, connection.close()).await.unwrap().unwrap();
    // And connecting where nobody is ends as well.
    let error = Connection::connect(&pair.url("&startupMaxReconnectAttempts=2")).await.unwrap_err();
    assert!(error.to_string().contains("Connection refused"), "{error}");
    let error = Connection::connect(&pair.url("&timeout=300")).await.unwrap_err();
    assert!(matches!(error, Error::NoBroker { .. }), "{error}");
}

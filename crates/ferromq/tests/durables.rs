//! Durable subscribers in a network whose brokers change their names, as real processes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ferromq_client::{AckMode, Connection, ConsumerSpec, Destination, Outgoing};
use ferromq_testkit::{Launch, Node, PATIENCE, reserved_address};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");
const TOPIC: &str = "news";

fn broker(name: &str, address: &str, data: &Path, connectors: &[String]) -> Node {
    let start = Launch::new(PROGRAM).arg("--name").arg(name).listen(address).data(data);
    let add = |start: Launch, uri: &String| start.arg("--network-connector").arg(uri);
    connectors.iter().fold(start, add).start().unwrap()
}

fn established(node: &Node) {
    let line = node.log().wait_for("network connection has been established", PATIENCE);
    assert!(line.is_some(), "{:?}", node.log().all());
}

/// What `ferromq subscriptions` answers: exit code, standard output and standard error.
fn subscriptions(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(PROGRAM).arg("subscriptions").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The durable subscriptions of a broker: name, client id, whether anybody uses it, and what it keeps.
fn entries(node: &Node) -> Vec<(String, String, bool, u64)> {
    let (code, told, said) = subscriptions(&[node.url(), "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let entry = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| entry[key].as_str().unwrap().to_owned();
        let (active, held) = (entry["active"].as_bool().unwrap(), entry["held"].as_u64().unwrap());
        (text("name"), text("client"), active, held)
    };
    told.lines().map(entry).collect()
}

fn entry(name: &str, client: &str, active: bool, held: u64) -> (String, String, bool, u64) {
    (name.to_owned(), client.to_owned(), active, held)
}

fn until_entries(node: &Node, expected: &[(String, String, bool, u64)]) {
    let deadline = Instant::now() + PATIENCE;
    while entries(node) != expected {
        assert!(Instant::now() < deadline, "{:?} instead of {expected:?}", entries(node));
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn publish(node: &Node, text: &str) {
    let client = Connection::connect(node.url()).await.unwrap();
    let session = client.session(AckMode::Auto).await.unwrap();
    let producer = session.producer(Destination::topic(TOPIC)).await.unwrap();
    producer.send(Outgoing::text(text)).await.unwrap();
    client.close().await.unwrap();
}

/// The durable subscriber takes so many messages, and leaves.
async fn take(node: &Node, count: usize) -> Vec<String> {
    let client = Connection::connect(&format!("{}?jms.clientID=reader", node.url())).await.unwrap();
    let session = client.session(AckMode::Auto).await.unwrap();
    let spec = ConsumerSpec::new(Destination::topic(TOPIC)).subscription("daily");
    let mut consumer = session.consumer(spec).await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..count {
        let message = consumer.recv_timeout(PATIENCE).await.unwrap().unwrap();
        taken.push(message.text().unwrap());
    }
    client.close().await.unwrap();
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_renamed_broker_leaves_behind_is_fetched_or_told_of_and_ended() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at_a, at_b) = (reserved_address(), reserved_address());
    let link = [format!("static:({at_b})?name=nc&initialReconnectDelay=50&useExponentialBackOff=false")];
    // Given: a durable subscriber of broker b, and what was sent at broker a while b was away
    let b = broker("b", &at_b, there.path(), &[]);
    let a = broker("a", &at_a, here.path(), &link);
    established(&a);
    take(&b, 0).await;
    until_entries(&a, &[entry("NC-DS_a_news", "nc_b_inbound_a", true, 0)]);
    b.stop();
    publish(&a, "before").await;

    // When: a gets another name
    a.stop();
    let a = broker("a2", &at_a, here.path(), &link);
    publish(&a, "renamed").await;
    let b = broker("b", &at_b, there.path(), &[]);
    established(&a);
    // Then: its link goes on with the subscription that it has, and nothing is lost
    until_entries(&a, &[entry("NC-DS_a_news", "nc_b_inbound_a", true, 0)]);
    assert_eq!(take(&b, 2).await, ["before", "renamed"]);

    // When: b gets another name, then: the subscription for the old one stays, in case b comes back, and that is told
    b.stop();
    publish(&a, "stays").await;
    let b = broker("b2", &at_b, there.path(), &[]);
    let told = a.log().wait_for("NC-DS_a_news of client nc_b_inbound_a", PATIENCE);
    assert!(told.is_some(), "{:?}", a.log().all());
    until_entries(&a, &[entry("NC-DS_a_news", "nc_b_inbound_a", false, 1)]);
    // Then: it can be ended, but not what is in use
    assert_eq!(take(&b, 0).await, [""; 0]);
    let fresh = entry("NC-DS_a2_news", "nc_b2_inbound_a2", true, 0);
    until_entries(&a, &[entry("NC-DS_a_news", "nc_b_inbound_a", false, 1), fresh.clone()]);
    let (code, _, said) = subscriptions(&["end", "nc_b2_inbound_a2", "NC-DS_a2_news", a.url()]);
    assert!(code == Some(64) && said.contains("in use"), "{said}");
    let (code, told, said) = subscriptions(&["end", "nc_b_inbound_a", "NC-DS_a_news", a.url()]);
    assert!(code == Some(0) && told.contains("1 message that it kept"), "{told}{said}");
    let (code, _, said) = subscriptions(&["end", "nc_b_inbound_a", "NC-DS_a_news", a.url()]);
    assert!(code == Some(64) && said.contains("No durable subscription exists"), "{said}");
    until_entries(&a, &[fresh]);
}

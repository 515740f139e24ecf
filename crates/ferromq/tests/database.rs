//! Brokers that share a PostgreSQL database, as real processes on a real server.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use ferromq_testkit::{Launch, Node, PATIENCE, Postgres};
use rustix::process::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn node(name: &str, url: &str, takeover_after: &str) -> Launch {
    let launch = Launch::new(PROGRAM).arg("--name").arg(name).arg("--takeover-after").arg(takeover_after);
    launch.arg("--store").arg(url)
}

fn start(name: &str, server: &Postgres) -> Node {
    node(name, &server.url(), "1s").start().unwrap()
}

fn becomes(node: &Node, role: &str) {
    let said = node.output().wait_for(&format!("role {role}"), PATIENCE);
    assert!(said.is_some(), "not {role}: {:?}\n{}", node.output().all(), node.log().all().join("\n"));
}

fn roles(node: &Node) -> usize {
    node.output().all().iter().filter(|line| line.starts_with("role ")).count()
}

fn send(node: &Node, text: &str) {
    let sent = Command::new(PROGRAM).args(["send", "--url", node.url(), "queue://q", text]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

fn receive(node: &Node) -> String {
    let arguments = ["receive", "--url", node.url(), "queue://q", "--count", "1"];
    let received = Command::new(PROGRAM).args(arguments).output().unwrap();
    assert!(received.status.success(), "{}", String::from_utf8_lossy(&received.stderr));
    String::from_utf8(received.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_standby_takes_over_from_a_killed_a_stopped_and_a_paused_master() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let a = start("a", &server);
    becomes(&a, "active (epoch 1");
    let b = start("b", &server);
    becomes(&b, "standby (master: a, epoch 1)");
    send(&a, "answered");
    a.kill();
    becomes(&b, "active (epoch 2");
    assert_eq!(receive(&b), "answered");

    let a = start("a", &server);
    becomes(&a, "standby (master: b, epoch 2)");
    send(&b, "kept");
    assert_eq!(b.stop().code(), Some(0));
    becomes(&a, "active (epoch 3");

    let b = start("b", &server);
    becomes(&b, "standby (master: a, epoch 3)");
    a.signal(Signal::STOP);
    becomes(&b, "active (epoch 4");
    assert_eq!(receive(&b), "kept");
    a.signal(Signal::CONT);
    becomes(&a, "standby (master: b, epoch 4)");
}

#[test]
fn a_killed_master_that_starts_again_at_once_is_no_second_node_of_its_name() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let a = start("a", &server);
    becomes(&a, "active (epoch 1");
    send(&a, "kept");
    a.kill();
    let a = start("a", &server);
    becomes(&a, "active (epoch 2");
    assert_eq!(receive(&a), "kept");
}

#[test]
fn a_restart_of_the_database_within_the_lease_is_ridden_out() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let a = node("a", &server.url(), "20s").start().unwrap();
    let b = node("b", &server.url(), "20s").start().unwrap();
    becomes(&b, "standby (master: a, epoch 1)");
    send(&a, "before");
    server.restart();
    send(&a, "after");
    assert_eq!((receive(&a), receive(&a)), ("before".to_owned(), "after".to_owned()));
    assert_eq!((roles(&a), roles(&b)), (1, 1), "{:?} {:?}", a.output().all(), b.output().all());
}

#[test]
fn a_database_that_stays_away_ends_the_reign_and_one_serves_when_it_is_back() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let a = start("a", &server);
    becomes(&a, "active (epoch 1");
    send(&a, "kept");
    server.stop();
    becomes(&a, "standby");
    sleep(Duration::from_millis(500));
    server.start();
    becomes(&a, "active (epoch 2");
    assert_eq!(receive(&a), "kept");
}

#[test]
fn what_is_wrong_with_the_connection_is_told_at_the_start_and_no_password_with_it() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let port = server.port();
    let refused = |url: &str| {
        let Err(refused) = node("a", url, "1s").start() else { panic!("started on {url}") };
        refused.to_string()
    };
    let nowhere = refused("postgres://ferromq:s3cret@127.0.0.1:1/ferromq");
    assert!(nowhere.contains("127.0.0.1:1") && nowhere.contains("refused"), "{nowhere}");
    assert!(!nowhere.contains("s3cret"), "{nowhere}");
    let no_database = refused(&server.url_of("nothing_there"));
    assert!(no_database.contains("does not exist"), "{no_database}");
    server.sql("CREATE ROLE guest LOGIN PASSWORD 'x'; REVOKE CREATE ON DATABASE postgres FROM PUBLIC");
    let no_rights = refused(&format!("postgres://guest@127.0.0.1:{port}/postgres"));
    assert!(no_rights.contains("permission denied"), "{no_rights}");
}

#[test]
fn a_second_node_of_the_same_name_is_refused() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let a = start("a", &server);
    becomes(&a, "active (epoch 1");
    let Err(refused) = node("a", &server.url(), "1s").start() else { panic!("two nodes of one name") };
    assert!(refused.to_string().contains("give each a name of its own"), "{refused}");
}

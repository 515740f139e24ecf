//! Brokers that find one another by multicast on the loopback interface, as real processes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, Node, PATIENCE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

/// A group that no other test of this machine has, on the loopback interface.
fn group() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(8).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let [_, a, b, c] = number.to_be_bytes();
    format!("multicast://239.{a}.{b}.{c}:{}?interface=127.0.0.1", 20_000 + number % 10_000)
}

/// A broker of which others are told, and that links to those that it finds if it has a connector.
fn broker(name: &str, told: Option<&str>, found: Option<&str>) -> Node {
    let mut start = Launch::new(PROGRAM).arg("--name").arg(name);
    if let Some(group) = told {
        start = start.listen(format!("tcp://127.0.0.1:0?discoveryUri={group}"));
    }
    if let Some(group) = found {
        start = start.arg("--network-connector").arg(format!("{group}&initialReconnectDelay=100&name=nc"));
    }
    start.start().unwrap()
}

/// Waits until a text was logged so many times.
fn logged(node: &Node, text: &str, times: usize) {
    let seen = node.log().wait_until(PATIENCE, |lines| {
        (lines.iter().filter(|line| line.contains(text)).count() >= times).then_some(())
    });
    assert!(seen.is_some(), "{text}: {:?}", node.log().all());
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).args(arguments).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn brokers_that_are_found_are_linked_to_and_let_go_when_they_are_gone() {
    let group = group();
    // Given a broker that looks for others, and one that is there
    let a = broker("a", None, Some(&group));
    let b = broker("b", Some(&group), None);
    logged(&a, "has been established", 1);
    run(&["send", "--url", a.url(), "queue://found", "one"]);
    assert_eq!(run(&["receive", "--url", b.url(), "--count", "1", "queue://found"]), "one\n");
    // When another comes, it is linked to as well
    let c = broker("c", Some(&group), None);
    logged(&a, "has been established", 2);
    run(&["send", "--url", a.url(), "queue://found", "two"]);
    assert_eq!(run(&["receive", "--url", c.url(), "--count", "1", "queue://found"]), "two\n");
    // When one says that it ends, or dies, it is not tried for ever
    assert_eq!(b.stop().code(), Some(0));
    logged(&a, "is gone", 1);
    c.kill();
    logged(&a, "is gone", 2);
}

#[test]
fn brokers_that_tell_and_look_find_each_other_and_not_themselves() {
    let group = group();
    let a = broker("a", Some(&group), Some(&group));
    let b = broker("b", Some(&group), Some(&group));
    for (from, to) in [(&a, &b), (&b, &a)] {
        logged(from, "has been established", 1);
        run(&["send", "--url", from.url(), "queue://both", "x"]);
        assert_eq!(run(&["receive", "--url", to.url(), "--count", "1", "queue://both"]), "x\n");
    }
    for node in [&a, &b] {
        let log = node.log().all();
        assert!(!log.iter().any(|line| line.contains("is this broker itself")), "{log:?}");
    }
}

#[test]
fn of_a_pair_the_master_is_found_and_after_a_takeover_the_next_one() {
    let (group, folder) = (group(), tempfile::tempdir().unwrap());
    let node = |name: &str| {
        let listen = format!("tcp://127.0.0.1:0?discoveryUri={group}");
        let start = Launch::new(PROGRAM).arg("--name").arg(name).listen(listen).data(folder.path());
        start.arg("--takeover-after").arg("500ms").start().unwrap()
    };
    let master = node("m");
    assert!(master.output().wait_for("role active", PATIENCE).is_some());
    let standby = node("s");
    assert!(standby.output().wait_for("role standby", PATIENCE).is_some());
    let a = broker("a", None, Some(&group));
    logged(&a, "has been established", 1);
    assert!(
        a.log().all().iter().all(|line| !line.contains(standby.url())),
        "a standby tells nothing of itself"
    );
    master.kill();
    logged(&a, "has been established", 2);
    run(&["send", "--url", a.url(), "queue://pair", "x"]);
    assert_eq!(run(&["receive", "--url", standby.url(), "--count", "1", "queue://pair"]), "x\n");
}

#[test]
fn a_group_that_cannot_be_joined_leaves_the_broker_unaffected() {
    let group = "multicast://239.1.2.3:7000?networkInterface=nowhere0";
    let a = broker("a", Some(group), Some(group));
    logged(&a, "nowhere0", 2);
    run(&["send", "--url", a.url(), "queue://q", "x"]);
    assert_eq!(run(&["receive", "--url", a.url(), "--count", "1", "queue://q"]), "x\n");
    assert_eq!(a.stop().code(), Some(0));
}

#[test]
fn brokers_without_an_end_are_followed_up_to_a_limit_and_the_broker_goes_on() {
    let group = group();
    let a = broker("a", None, Some(&group));
    let to: SocketAddr = group.trim_start_matches("multicast://").split('?').next().unwrap().parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0_u16;
    while !a.log().all().iter().any(|line| line.contains("more than 256 brokers tell of themselves")) {
        assert!(Instant::now() < deadline, "{number} were told of: {:?}", a.log().all());
        for _ in 0..100 {
            number = number.wrapping_add(1);
            let [high, low] = number.to_be_bytes();
            // Nobody listens there.
            let said = format!("default.ActiveMQ-4.alive.%localhost%tcp://127.9.{high}.{low}:1");
            socket.send_to(said.as_bytes(), to).unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let status: serde_json::Value = serde_json::from_str(&run(&["status", a.url(), "--json"])).unwrap();
    let links = status["links"].as_array().unwrap();
    assert!(links.len() <= 256 && !links.is_empty(), "{} links", links.len());
    run(&["send", "--url", a.url(), "queue://q", "x"]);
    assert_eq!(run(&["receive", "--url", a.url(), "--count", "1", "queue://q"]), "x\n");
    assert_eq!(a.stop().code(), Some(0));
}

//! Two brokers on one folder, as real processes: who serves when the other is killed, paused or stopped.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::path::Path;
use std::process::Command;

use ferromq_testkit::{Launch, Node, PATIENCE};
use rustix::process::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn node(name: &str, shared: &Path) -> Launch {
    Launch::new(PROGRAM).data(shared).arg("--name").arg(name)
}

/// Waits until the node said so for the `nth` time.
fn becomes_again(node: &Node, role: &str, nth: usize) {
    let prefix = format!("role {role}");
    let seen = node.output().wait_until(PATIENCE, |lines| {
        (lines.iter().filter(|line| line.starts_with(&prefix)).count() >= nth).then_some(())
    });
    assert!(seen.is_some(), "not {role} for the {nth}th time: {:?}", node.output().all());
}

/// As clients of a cluster do: a master whose storage stalls for longer than its lease leaves its role to another one.
fn among(nodes: &[&Node]) -> String {
    let urls: Vec<&str> = nodes.iter().map(|node| node.url()).collect();
    format!("failover:({})", urls.join(","))
}

fn send(nodes: &[&Node], text: &str) {
    let sent =
        Command::new(PROGRAM).args(["send", "--url", &among(nodes), "queue://q", text]).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

fn receive(nodes: &[&Node]) -> String {
    let received = Command::new(PROGRAM)
        .args(["receive", "--url", &among(nodes), "queue://q", "--count", "1"])
        .output()
        .unwrap();
    assert!(received.status.success(), "{}", String::from_utf8_lossy(&received.stderr));
    String::from_utf8(received.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_standby_takes_over_from_a_killed_master_and_loses_nothing() {
    for store in ["journal", "sqlite"] {
        let shared = tempfile::tempdir().unwrap();
        let start = |name| node(name, shared.path()).arg("--store").arg(store).start().unwrap();
        let a = start("a");
        a.becomes("active (epoch 1");
        let b = start("b");
        b.becomes("standby (master: a, epoch 1)");
        send(&[&a], "answered");

        a.kill();
        b.becomes("active (epoch 2");
        assert_eq!(receive(&[&b]), "answered");

        let a = start("a");
        a.becomes("standby (master: b, epoch 2)");
        assert_eq!(b.stop().code(), Some(0));
        a.becomes("active (epoch 3");
    }
}

#[test]
fn claims_of_long_ago_are_removed_whatever_the_store_is() {
    for store in ["journal", "sqlite"] {
        let shared = tempfile::tempdir().unwrap();
        let claims = shared.path().join("claims");
        std::fs::create_dir(&claims).unwrap();
        for number in 1..=200 {
            let text = format!("ferromq claim 1\nepoch {number}\nclaim {number:016x}\nowner z\n");
            std::fs::write(claims.join(format!("{number:010}")), text).unwrap();
        }
        let launch = node("a", shared.path()).arg("--store").arg(store);
        for epoch in 201..=203 {
            let a = launch.start().unwrap();
            a.becomes(&format!("active (epoch {epoch}"));
            let kept = std::fs::read_dir(&claims).unwrap().map(|entry| entry.unwrap().file_name());
            let mut kept: Vec<_> = kept.map(|name| name.into_string().unwrap()).collect();
            kept.sort();
            let wanted: Vec<_> = (epoch - 64..=epoch).map(|number| format!("{number:010}")).collect();
            assert_eq!(kept, wanted, "{store}");
            assert_eq!(a.stop().code(), Some(0));
        }
    }
}

#[test]
fn a_paused_master_is_superseded_and_becomes_a_standby_by_itself() {
    let shared = tempfile::tempdir().unwrap();
    let a = node("a", shared.path()).start().unwrap();
    let b = node("b", shared.path()).start().unwrap();
    b.becomes("standby");
    send(&[&a], "before the pause");

    a.signal(Signal::STOP);
    b.becomes("active (epoch 2");
    assert_eq!(receive(&[&b]), "before the pause");
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 2)");

    // And the other way round: nobody has to be started again.
    b.kill();
    becomes_again(&a, "active", 2);
    send(&[&a], "after it all");
    assert_eq!(receive(&[&a]), "after it all");
}

#[test]
fn a_standby_turns_clients_away_and_the_order_of_starts_does_not_matter() {
    let shared = tempfile::tempdir().unwrap();
    let nodes = ["a", "b", "c"].map(|name| node(name, shared.path()).start().unwrap());
    let refused = Command::new(PROGRAM)
        .args(["send", "--url", nodes[1].url(), "queue://q", "nobody serves here"])
        .output()
        .unwrap();
    assert!(!refused.status.success());

    // All are killed, the standbys first so that none of them takes over, and come back in another order.
    for node in nodes.into_iter().rev() {
        node.kill();
    }
    let nodes = ["c", "a", "b"].map(|name| node(name, shared.path()).start().unwrap());
    nodes[0].becomes("active (epoch 2");
    nodes[1].becomes("standby (master: c, epoch 2)");
    nodes[2].becomes("standby (master: c, epoch 2)");
    let all = nodes.each_ref();
    send(&all, "hello");
    assert_eq!(receive(&all), "hello");
}

#[test]
fn a_second_standby_of_one_name_is_refused() {
    let shared = tempfile::tempdir().unwrap();
    let a = node("a", shared.path()).start().unwrap();
    a.becomes("active (epoch 1");
    let b = node("b", shared.path()).start().unwrap();
    b.becomes("standby (master: a");
    let Err(refused) = node("b", shared.path()).start() else { panic!("two standbys of one name") };
    assert_eq!(refused.code, Some(73));
    assert!(refused.to_string().contains("give each a name of its own"), "{refused}");

    // A name is free again as soon as its process is gone.
    b.kill();
    let b = node("b", shared.path()).start().unwrap();
    b.becomes("standby (master: a");
}

//! What clients see of a takeover, and what a standby leaves alone, with real processes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use ferromq_testkit::{Launch, Node, PATIENCE};
use peer::{Peer, ferromq};
use rustix::process::Signal;

mod peer;

fn node(name: &str, folder: &Path, takeover_after: &str) -> Launch {
    ferromq().arg("--name").arg(name).arg("--takeover-after").arg(takeover_after).data(folder.join("shared"))
}

fn becomes(node: &Node, role: &str) {
    let said = node.output().wait_for(role, PATIENCE);
    assert!(said.is_some(), "{role:?}: {:?}\n{}", node.output().all(), node.log().all().join("\n"));
}

/// A client that tries until somebody serves it, as one behind `failover:` does.
fn persistent_client(node: &Node) -> Peer {
    let until = Instant::now() + PATIENCE;
    loop {
        match Peer::connect(node.address()) {
            Ok(peer) => return peer,
            Err(error) if Instant::now() >= until => panic!("nobody serves: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn a_client_that_knows_the_standby_alone_is_told_who_the_master_is() {
    let folder = tempfile::tempdir().unwrap();
    let _a = node("a", folder.path(), "500ms").start().unwrap();
    let b = node("b", folder.path(), "500ms").start().unwrap();
    becomes(&b, "role standby (master: a, epoch 1)");
    let Err(refused) = Peer::connect(b.address()) else { panic!("a standby serves nobody") };
    assert!(refused.to_string().contains("the master is a"), "{refused}");
}

#[test]
fn what_the_old_master_may_have_delivered_is_flagged_by_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let a = node("a", folder.path(), "500ms").start().unwrap();
    let b = node("b", folder.path(), "500ms").start().unwrap();
    let mut peer = Peer::connect(a.address()).unwrap();
    peer.send("other", "unseen").unwrap();
    peer.send("orders", "seen").unwrap();
    peer.consume("orders", 10).unwrap();
    peer.await_delivery().unwrap();
    a.kill();

    let mut receiver = persistent_client(&b);
    receiver.consume("orders", 10).unwrap();
    assert_eq!(receiver.receive().unwrap(), ("seen".to_owned(), true));
    let mut receiver = persistent_client(&b);
    receiver.consume("other", 10).unwrap();
    assert_eq!(receiver.receive().unwrap(), ("unseen".to_owned(), false));
}

#[test]
fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut master = node("a", folder.path(), "500ms").start().unwrap();
    for round in 1..=20_u32 {
        let name = if round % 2 == 0 { "a" } else { "b" };
        let standby = node(name, folder.path(), "500ms").start().unwrap();
        let mut peer = persistent_client(&master);
        for number in 0..10 {
            peer.send("orders", &(round * 100 + number).to_string()).unwrap();
        }
        master.kill();
        becomes(&standby, "role active");
        master = standby;
    }
    let mut receiver = persistent_client(&master);
    receiver.consume("orders", 1_000).unwrap();
    for round in 1..=20_u32 {
        for number in 0..10 {
            assert_eq!(receiver.receive().unwrap().0, (round * 100 + number).to_string());
        }
    }
    receiver.round_trip("orders", "and nothing else").unwrap();
}

/// Every file below a folder, with its length and its last change.
fn contents(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        all.insert(path.display().to_string(), (meta.len(), meta.modified().unwrap()));
        if meta.is_dir() {
            all.extend(contents(&path));
        }
    }
    all
}

#[test]
fn standbys_that_come_and_go_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // A lease that outlasts the test: the master is stopped meanwhile, so that every change would be a standby's.
    let a = node("a", folder.path(), "600s").start().unwrap();
    let mut peer = Peer::connect(a.address()).unwrap();
    for number in 0..10 {
        peer.send("orders", &number.to_string()).unwrap();
    }
    a.signal(Signal::STOP);
    let before = contents(&folder.path().join("shared"));
    for number in 0..20 {
        let standby = node(&format!("s{number}"), folder.path(), "600s").start().unwrap();
        becomes(&standby, "role standby (master: a, epoch 1)");
        assert_eq!(standby.stop().code(), Some(0));
    }
    assert_eq!(contents(&folder.path().join("shared")), before);
    a.signal(Signal::CONT);
    peer.send("orders", "the master goes on").unwrap();
}

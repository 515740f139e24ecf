//! What clients see of a takeover, and what a standby leaves alone, with real processes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use ferromq_testkit::{Launch, Node, PATIENCE, reserved_address};
use peer::{Peer, ferromq};
use rustix::process::{Pid, Signal, kill_process};

mod peer;

fn node(name: &str, folder: &Path, takeover_after: &str) -> Launch {
    ferromq().arg("--name").arg(name).arg("--takeover-after").arg(takeover_after).data(folder.join("shared"))
}

/// A client that tries until somebody serves it, as one behind `failover:` does.
fn persistent_client(node: &Node) -> Peer {
    persistent_client_at(node.address())
}

fn persistent_client_at(address: SocketAddr) -> Peer {
    let until = Instant::now() + PATIENCE;
    loop {
        match Peer::connect(address) {
            Ok(peer) => return peer,
            Err(error) if Instant::now() >= until => panic!("nobody serves: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

#[test]
fn a_standby_resets_who_comes_before_any_greeting() {
    let folder = tempfile::tempdir().unwrap();
    let _a = node("a", folder.path(), "500ms").start().unwrap();
    let b = node("b", folder.path(), "500ms").start().unwrap();
    b.becomes("standby (master: a, epoch 1)");
    // A client that was greeted would begin transactions and never learn what became of them.
    let mut stream = std::net::TcpStream::connect(b.address()).unwrap();
    let error = std::io::Read::read(&mut stream, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ferromq"))
        .args(["send", "--url", b.url(), "queue://orders", "x"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("may be a standby"), "{output:?}");
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
fn what_the_old_master_may_have_delivered_comes_as_new_if_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ferromq.toml");
    std::fs::write(
        &file,
        "[[policy]]\ndestination = \"queue://as-activemq.>\"\npersist_redelivered = false\n",
    )
    .unwrap();
    let start = |name| node(name, folder.path(), "500ms").arg("--config").arg(&file).start().unwrap();
    let (a, b) = (start("a"), start("b"));
    let peers = ["as-activemq.orders", "orders"].map(|queue| {
        let mut peer = Peer::connect(a.address()).unwrap();
        peer.send(queue, "seen").unwrap();
        peer.consume(queue, 10).unwrap();
        peer.await_delivery().unwrap();
        peer
    });
    a.kill();
    for (queue, flagged) in [("as-activemq.orders", false), ("orders", true)] {
        let mut receiver = persistent_client(&b);
        receiver.consume(queue, 10).unwrap();
        assert_eq!(receiver.receive().unwrap(), ("seen".to_owned(), flagged), "{queue}");
    }
    drop(peers);
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
        standby.becomes("active");
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

/// Every file and folder below a folder, with its bytes and its last change.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let bytes = if meta.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
        all.insert(path.clone(), (bytes, meta.modified().unwrap()));
        if meta.is_dir() {
            all.extend(contents(&path));
        }
    }
    all
}

/// Standbys come and go in groups while the master is stopped, so that every change would be one of theirs.
fn standbys_change_nothing(groups: usize, of: usize) {
    let folder = tempfile::tempdir().unwrap();
    // A lease that outlasts the test.
    let a = node("a", folder.path(), "600s").start().unwrap();
    let mut peer = Peer::connect(a.address()).unwrap();
    for number in 0..10 {
        peer.send("orders", &number.to_string()).unwrap();
    }
    let shared = folder.path().join("shared");
    for group in 0..groups {
        peer.send("orders", "the master is busy between the groups").unwrap();
        a.signal(Signal::STOP);
        let before = contents(&shared);
        let start = |number| node(&format!("s{group}-{number}"), folder.path(), "600s").start().unwrap();
        let standbys: Vec<_> = (0..of).map(start).collect();
        for standby in &standbys {
            standby.becomes("standby (master: a, epoch 1)");
        }
        // Half of them end in order, half are killed.
        for (number, standby) in standbys.into_iter().enumerate() {
            if number % 2 == 0 {
                assert_eq!(standby.stop().code(), Some(0));
            } else {
                standby.kill();
            }
        }
        let after = contents(&shared);
        let changed: Vec<_> = before.iter().filter(|(path, was)| after.get(*path) != Some(*was)).collect();
        assert!(changed.is_empty(), "{:?}", changed.iter().map(|(path, _)| path).collect::<Vec<_>>());
        assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
        a.signal(Signal::CONT);
    }
    peer.send("orders", "the master goes on").unwrap();
    // What the master itself does is seen by this look: the test can fail.
    let before = contents(&shared);
    peer.send("orders", "one more").unwrap();
    assert_ne!(contents(&shared), before);
}

#[test]
fn two_hundred_standbys_that_come_and_go_change_nothing() {
    standbys_change_nothing(10, 20);
}

#[test]
fn a_copy_of_a_store_in_use_serves_what_was_answered_before() {
    let folder = tempfile::tempdir().unwrap();
    let a = node("a", folder.path(), "500ms").start().unwrap();
    let mut peer = Peer::connect(a.address()).unwrap();
    for number in 0..50 {
        peer.send("orders", &number.to_string()).unwrap();
    }
    let verb = |arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_ferromq"))
            .arg("store")
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (shared, copied) = (folder.path().join("shared"), folder.path().join("copy"));
    let (code, said) = verb(&["backup".as_ref(), shared.as_os_str(), copied.as_os_str()]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("50 messages, "), "{said}");
    peer.send("orders", "after the copy").unwrap();
    // A copy is never written over.
    assert_ne!(verb(&["backup".as_ref(), shared.as_os_str(), copied.as_os_str()]).0, Some(0));
    let (code, said) = verb(&["finalize".as_ref(), copied.as_os_str()]);
    assert_eq!((code, said.contains("the newest that this version knows")), (Some(0), true), "{said}");
    a.kill();

    let restored = ferromq().arg("--name").arg("a").data(&copied).start().unwrap();
    let mut receiver = Peer::connect(restored.address()).unwrap();
    receiver.consume("orders", 100).unwrap();
    for number in 0..50 {
        assert_eq!(receiver.receive().unwrap().0, number.to_string());
    }
    receiver.round_trip("orders", "and nothing else").unwrap();
}

#[test]
fn an_older_copy_is_refused_by_a_machine_that_has_seen_more() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, copied) = (folder.path().join("shared"), folder.path().join("copy"));
    let state = folder.path().join("state");
    let start = |state: &Path| {
        let launch = node("a", folder.path(), "500ms").env("FERROMQ_STATE_DIR", state.to_str().unwrap());
        launch.start()
    };
    let a = start(&state).unwrap();
    Peer::connect(a.address()).unwrap().send("orders", "in the copy").unwrap();
    let backup = std::process::Command::new(env!("CARGO_BIN_EXE_ferromq"))
        .args(["store".as_ref(), "backup".as_ref(), shared.as_os_str(), copied.as_os_str()])
        .status();
    assert!(backup.unwrap().success());
    assert_eq!(a.stop().code(), Some(0));
    let a = start(&state).unwrap();
    a.becomes("active (epoch 2");
    assert_eq!(a.stop().code(), Some(0));

    // The copy of epoch 1 is put back.
    std::fs::remove_dir_all(&shared).unwrap();
    std::fs::rename(&copied, &shared).unwrap();
    let before = contents(&shared);
    let Err(refused) = start(&state) else { panic!("an older copy was taken for the store") };
    assert_eq!(refused.code, Some(73), "{refused}");
    assert!(refused.said.contains("this machine has seen epoch 2"), "{refused}");
    assert_eq!(contents(&shared), before);
    // A machine that has never seen this store can't know; one that is told to forget goes on with the copy.
    let restored = start(&folder.path().join("other")).unwrap();
    let mut receiver = Peer::connect(restored.address()).unwrap();
    receiver.consume("orders", 10).unwrap();
    assert_eq!(receiver.receive().unwrap().0, "in the copy");
}

/// Nobody could mark a claim that is not there: whoever finds none would claim, and both would write.
#[test]
fn a_master_whose_claim_was_removed_steps_down_and_nothing_that_was_answered_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let a = node("a", folder.path(), "20s").start().unwrap();
    a.becomes("active (epoch 1");
    let mut peer = Peer::connect(a.address()).unwrap();
    peer.send("orders", "answered").unwrap();
    // Long before the lease is renewed, at the next unit of work.
    std::fs::remove_dir_all(folder.path().join("shared/claims")).unwrap();
    assert!(peer.send("orders", "unanswered").is_err());
    let told = a.log().wait_for("the claim of epoch 1/", PATIENCE);
    assert!(told.is_some(), "{}", a.log().all().join("\n"));
    a.becomes("active (epoch 2");
    let mut peer = persistent_client(&a);
    peer.consume("orders", 10).unwrap();
    assert_eq!(peer.receive().unwrap().0, "answered");

    // One that is idle finds out when it renews its lease.
    let b = node("b", folder.path(), "1s").start().unwrap();
    b.becomes("standby (master: a, epoch 2)");
    a.kill();
    b.becomes("active (epoch 3");
    let claims = folder.path().join("shared/claims");
    std::fs::rename(&claims, folder.path().join("aside")).unwrap();
    let told = b.log().wait_for("the claim of epoch 3/", PATIENCE);
    assert!(told.is_some(), "{}", b.log().all().join("\n"));
    b.becomes("active (epoch 4");
    assert_eq!(b.stop().code(), Some(0));
}

/// A node on whose outputs nobody listens any longer, once it has said where it listens.
struct Unheard(Child);

/// What becomes of the pipe of its log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pipe {
    Closed,
    /// Open, and never read.
    Full,
}

impl Unheard {
    fn start(name: &str, url: &str, data: &Path, log: Pipe) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferromq"))
            .args(["run", "--name", name, "--listen", url, "--takeover-after", "500ms", "--data"])
            .arg(data)
            .env("FERROMQ_LOG", "debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let listens = said.lines().any(|line| line.unwrap().starts_with("listening on "));
        if log == Pipe::Closed {
            drop(child.stderr.take());
        }
        let node = Self(child);
        assert!(listens, "{name} does not start");
        node
    }

    fn stop(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_standby_on_whose_words_nobody_listens_any_longer_takes_over_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let a = node("a", folder.path(), "500ms").start().unwrap();
    let url = reserved_address();
    let b = Unheard::start("b", &url, &folder.path().join("shared"), Pipe::Closed);
    Peer::connect(a.address()).unwrap().send("orders", "kept").unwrap();
    a.kill();
    let mut receiver = persistent_client_at(url.trim_start_matches("tcp://").parse().unwrap());
    receiver.consume("orders", 10).unwrap();
    assert_eq!(receiver.receive().unwrap(), ("kept".to_owned(), false));
    assert_eq!(b.stop(), Some(0));
}

#[test]
fn a_broker_whose_log_is_not_read_serves_on_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let url = reserved_address();
    let node = Unheard::start("a", &url, &folder.path().join("shared"), Pipe::Full);
    let address: SocketAddr = url.trim_start_matches("tcp://").parse().unwrap();
    // Given more lines than a pipe takes, of connections that come and go
    for _ in 0..2_000 {
        drop(Peer::connect(address).unwrap());
    }
    // then messages are taken and handed out
    let mut peer = Peer::connect(address).unwrap();
    peer.send("orders", "kept").unwrap();
    peer.consume("orders", 10).unwrap();
    assert_eq!(peer.receive().unwrap(), ("kept".to_owned(), false));
    assert_eq!(node.stop(), Some(0));
}

//! Stores that a broker must not take for its own, and claims that it must not make: real processes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what can not be set up ends the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ferromq_testkit::{Launch, Node, PATIENCE, Postgres, Refused};
use peer::{Peer, ferromq};

mod peer;

fn node(name: &str, data: &Path) -> Launch {
    // What this machine saw of other stores is nothing to these.
    let state = data.with_extension("state");
    let launch = ferromq().arg("--name").arg(name).arg("--takeover-after").arg("1s").data(data);
    launch.env("FERROMQ_STATE_DIR", state.to_str().unwrap()).env("FERROMQ_STORE_SEGMENT_BYTES", "1 MiB")
}

fn refused(launch: &Launch) -> Refused {
    match launch.start() {
        Ok(node) => panic!("it started: {:?}", node.output().all()),
        Err(refused) => refused,
    }
}

fn verb(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferromq")).args(arguments).output().unwrap()
}

/// A store of some segments, each with messages, and its checkpoint; nobody runs on it.
fn filled(data: &Path) -> Vec<PathBuf> {
    let node = node("a", data).start().unwrap();
    let mut peer = Peer::connect(node.address()).unwrap();
    for number in 0..12 {
        peer.send("orders", &format!("{number} {}", "x".repeat(300_000))).unwrap();
    }
    assert_eq!(node.stop().code(), Some(0));
    let mut segments: Vec<_> =
        std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    segments
}

/// The numbers of the messages that are served, in their order.
fn served(node: &Node, count: usize) -> Vec<u32> {
    let mut peer = Peer::connect(node.address()).unwrap();
    peer.consume("orders", 1_000).unwrap();
    let number = |text: String| text.split(' ').next().unwrap().parse().unwrap();
    (0..count).map(|_| number(peer.receive().unwrap().0)).collect()
}

#[test]
fn a_folder_that_lost_a_segment_with_messages_is_refused_until_the_loss_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("shared");
    let segments = filled(&data);
    let (lost, aside) = (&segments[1], folder.path().join("aside"));
    std::fs::rename(lost, &aside).unwrap();
    let no = refused(&node("a", &data));
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains("has lost files") && no.said.contains(lost.to_str().unwrap()), "{no}");
    let verified = verb(&["store", "verify", data.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(74), "{verified:?}");

    // Put back, all is well.
    std::fs::rename(&aside, lost).unwrap();
    let a = node("a", &data).start().unwrap();
    assert_eq!(served(&a, 2), [0, 1]);
    assert_eq!(a.stop().code(), Some(0));

    // Lost for good, the rest is served once somebody says so, as the text says.
    std::fs::remove_file(lost).unwrap();
    let no = refused(&node("a", &data));
    assert!(no.code == Some(73) && no.said.contains("remove the folder `index`"), "{no}");
    std::fs::remove_dir_all(data.join("index")).unwrap();
    let a = node("a", &data).start().unwrap();
    let rest = served(&a, 5);
    assert!(rest.is_sorted() && rest.iter().all(|number| (2..12).contains(number)), "{rest:?}");
}

#[test]
fn a_folder_that_lost_what_can_be_made_anew_serves_everything() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("shared");
    filled(&data);
    for lost in ["meta", "index", "heartbeats", "claims"] {
        std::fs::remove_dir_all(data.join(lost)).unwrap();
    }
    let state = folder.path().join("another machine");
    let a = node("a", &data).env("FERROMQ_STATE_DIR", state.to_str().unwrap()).start().unwrap();
    a.becomes("active (epoch 2");
    assert_eq!(served(&a, 12), (0..12).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_lost_its_mark_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("shared");
    filled(&data);
    std::fs::remove_file(data.join("format")).unwrap();
    let no = refused(&node("a", &data));
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains("there is a journal, but the file `format` is missing"), "{no}");
}

/// What `ferromq status` says of a node's store.
fn store_id(runtime: &Path, name: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ferromq"))
        .args(["status", name, "--json"])
        .env("XDG_RUNTIME_DIR", runtime)
        .output()
        .unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    status["store"].as_str().unwrap().rsplit_once(", id ").expect("an id").1.to_owned()
}

fn told(launch: &Launch, runtime: &Path, name: &str) -> (Node, String) {
    let node = launch.clone().env("XDG_RUNTIME_DIR", runtime.to_str().unwrap()).start().unwrap();
    assert!(node.output().wait_for("operators on ", PATIENCE).is_some());
    let id = store_id(runtime, name);
    (node, id)
}

#[test]
fn a_store_of_another_cluster_and_a_folder_that_is_not_mounted_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, theirs, unmounted] = ["ours", "theirs", "unmounted"].map(|name| folder.path().join(name));
    let (a, id) = told(&node("a", &ours), folder.path(), "a");
    let (b, other) = told(&node("b", &theirs), folder.path(), "b");
    assert_ne!(id, other);
    assert_eq!((a.stop().code(), b.stop().code()), (Some(0), Some(0)));

    let of_ours = |data: &Path| node("a", data).env("FERROMQ_STORE_ID", &id);
    let no = refused(&of_ours(&theirs));
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains(&format!("is the store {other}, and {id} is wanted")), "{no}");
    std::fs::create_dir(&unmounted).unwrap();
    let no = refused(&of_ours(&unmounted));
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains("there is no store yet") && no.said.contains("mounted"), "{no}");
    assert_eq!(std::fs::read_dir(&unmounted).unwrap().count(), 0, "nothing was made");
    of_ours(&ours).start().unwrap().becomes("active");
}

#[test]
fn a_database_of_another_cluster_or_of_a_newer_format_is_refused() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let runtime = tempfile::tempdir().unwrap();
    let launch = ferromq().arg("--name").arg("a").arg("--takeover-after").arg("1s").arg("--store");
    let launch = launch.arg(server.url());
    let (a, id) = told(&launch, runtime.path(), "a");
    assert_eq!(id, server.sql("SELECT store FROM ferromq.meta"));
    assert_eq!(a.stop().code(), Some(0));
    launch.clone().env("FERROMQ_STORE_ID", &id).start().unwrap().becomes("active");

    let other = "00000000-0000-4000-8000-000000000000";
    let no = refused(&launch.clone().env("FERROMQ_STORE_ID", other));
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains(&format!("is the store {id}, and {other} is wanted")), "{no}");

    server.sql("UPDATE ferromq.meta SET format = 99");
    let no = refused(&launch);
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains("has format 99") && no.said.contains("run the newer version"), "{no}");
}

#[test]
fn a_sqlite_store_of_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("shared");
    let launch = node("a", &data).arg("--store").arg("sqlite");
    assert_eq!(launch.start().unwrap().stop().code(), Some(0));
    // The version stands in the header of the file.
    let path = data.join("ferromq.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    let no = refused(&launch);
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains("has format 99") && no.said.contains("run the newer version"), "{no}");
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} to {}", from.display(), to.display());
}

#[test]
fn an_older_copy_of_a_sqlite_store_is_refused_and_so_is_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let (data, aside) = (folder.path().join("shared"), folder.path().join("aside"));
    let launch = node("a", &data).arg("--store").arg("sqlite");
    let (a, id) = told(&launch, folder.path(), "a");
    Peer::connect(a.address()).unwrap().send("orders", "in the copy").unwrap();
    assert_eq!(a.stop().code(), Some(0));
    copy(&data, &aside);
    let a = launch.clone().env("FERROMQ_STORE_ID", &id).start().unwrap();
    a.becomes("active (epoch 2");
    assert_eq!(a.stop().code(), Some(0));
    let no = refused(&launch.clone().env("FERROMQ_STORE_ID", "0000000000000001"));
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains("and 0000000000000001 is wanted"), "{no}");

    std::fs::remove_dir_all(&data).unwrap();
    copy(&aside, &data);
    let no = refused(&launch);
    assert_eq!(no.code, Some(73), "{no}");
    assert!(no.said.contains("this machine has seen epoch 2"), "{no}");
    let state = folder.path().join("another machine");
    launch.env("FERROMQ_STATE_DIR", state.to_str().unwrap()).start().unwrap().becomes("active (epoch 2");
}

#[test]
fn a_switchover_and_a_forced_claim_on_a_database() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let runtime = tempfile::tempdir().unwrap();
    let launch = ferromq().arg("--takeover-after").arg("1s").arg("--store").arg(server.url());
    let start = |name: &str| told(&launch.clone().arg("--name").arg(name), runtime.path(), name).0;
    let (a, b) = (start("a"), start("b"));
    b.becomes("standby (master: a, epoch 1)");
    Peer::connect(a.address()).unwrap().send("orders", "kept").unwrap();
    let verb = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferromq"));
        command.args(arguments).env("XDG_RUNTIME_DIR", runtime.path()).output().unwrap()
    };
    let done = verb(&["switchover", "a"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    b.becomes("active (epoch 2");
    a.becomes("standby (master: b, epoch 2)");

    let asked = verb(&["force-claim", "a"]);
    assert_eq!(asked.status.code(), Some(64), "it tells first: {asked:?}");
    let done = verb(&["force-claim", "a", "--yes"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    a.becomes("active (epoch 3");
    b.becomes("standby (master: a, epoch 3)");
    let mut peer = Peer::connect(a.address()).unwrap();
    peer.consume("orders", 10).unwrap();
    assert_eq!(peer.receive().unwrap().0, "kept");
}

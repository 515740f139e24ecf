//! Brokers that share a PostgreSQL database, as real processes on a real server.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

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
    a.becomes("active (epoch 1");
    let b = start("b", &server);
    b.becomes("standby (master: a, epoch 1)");
    send(&a, "answered");
    a.kill();
    b.becomes("active (epoch 2");
    assert_eq!(receive(&b), "answered");

    let a = start("a", &server);
    a.becomes("standby (master: b, epoch 2)");
    send(&b, "kept");
    assert_eq!(b.stop().code(), Some(0));
    a.becomes("active (epoch 3");

    let b = start("b", &server);
    b.becomes("standby (master: a, epoch 3)");
    a.signal(Signal::STOP);
    b.becomes("active (epoch 4");
    assert_eq!(receive(&b), "kept");
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 4)");
}

#[test]
fn a_node_that_starts_while_the_database_stands_still_waits_for_it() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let place = tempfile::tempdir().unwrap();
    let (log, output) = (place.path().join("log"), place.path().join("output"));
    let said = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
    server.pause();
    let mut starting = Command::new(PROGRAM)
        .args(["run", "--name", "a", "--listen", "tcp://127.0.0.1:0", "--store", &server.url()])
        .current_dir(place.path())
        .env("FERROMQ_STATE_DIR", place.path())
        .stdout(std::fs::File::create(&output).unwrap())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    while !said(&log).contains("the storage answers late; it is tried again") && Instant::now() < end {
        sleep(Duration::from_millis(20));
    }
    server.resume();
    while !said(&output).contains("role active (epoch 1") && Instant::now() < end {
        sleep(Duration::from_millis(20));
    }
    let _ = starting.kill();
    let _ = starting.wait();
    assert!(said(&log).contains("the storage answers late; it is tried again"), "{}", said(&log));
    assert!(said(&output).contains("role active (epoch 1"), "{}\n{}", said(&output), said(&log));
}

#[test]
fn a_node_whose_first_claim_is_over_before_it_has_the_store_goes_on_as_a_standby() {
    let Some(server) = Postgres::start_with(&[("max_prepared_transactions", "2")]) else { return };
    let a = start("a", &server);
    a.becomes("active (epoch 1");
    send(&a, "kept");
    assert_eq!(a.stop().code(), Some(0));
    // Claims are made in a schema of their own; the store is read and not taken.
    server.sql("BEGIN; LOCK TABLE ferromq.epoch IN EXCLUSIVE MODE; PREPARE TRANSACTION 'in the way'");
    let a = start("a", &server);
    a.becomes("standby (master: unknown, epoch 2)");
    server.sql("ROLLBACK PREPARED 'in the way'");
    a.becomes("active (epoch");
    assert_eq!(receive(&a), "kept");
}

#[test]
fn a_killed_master_that_starts_again_at_once_is_no_second_node_of_its_name() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let a = start("a", &server);
    a.becomes("active (epoch 1");
    send(&a, "kept");
    a.kill();
    let a = start("a", &server);
    a.becomes("active (epoch 2");
    assert_eq!(receive(&a), "kept");
}

#[test]
fn a_restart_of_the_database_within_the_lease_is_ridden_out() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let a = node("a", &server.url(), "20s").start().unwrap();
    let b = node("b", &server.url(), "20s").start().unwrap();
    b.becomes("standby (master: a, epoch 1)");
    send(&a, "before");
    server.restart();
    send(&a, "after");
    assert_eq!((receive(&a), receive(&a)), ("before".to_owned(), "after".to_owned()));
    assert_eq!((a.roles().len(), b.roles().len()), (1, 1), "{:?} {:?}", a.output().all(), b.output().all());
}

#[test]
fn a_database_that_stays_away_ends_the_reign_and_one_serves_when_it_is_back() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    // A lease that a database survives which has just come back, on a busy machine.
    let a = node("a", &server.url(), "4s").start().unwrap();
    a.becomes("active (epoch 1");
    send(&a, "kept");
    server.stop();
    a.becomes("standby");
    sleep(Duration::from_millis(500));
    server.start();
    a.becomes("active (epoch 2");
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

/// Starts a node that remembers in a folder of its own, as one on another machine does.
fn remembering(name: &str, server: &Postgres, state: &Path) -> Launch {
    node(name, &server.url(), "1s").env("FERROMQ_STATE_DIR", state.join(name).to_str().unwrap())
}

/// Waits until the node has written down what it saw.
fn remembers(name: &str, server: &Postgres, state: &Path) -> PathBuf {
    let id = server.sql("SELECT store FROM ferromq.meta");
    let commits = server.sql("SELECT commits FROM ferromq.progress");
    let note = state.join(name).join(format!("postgres-{id}"));
    let until = Instant::now() + PATIENCE;
    let is_there =
        || std::fs::read_to_string(&note).is_ok_and(|text| text.contains(&format!(" commits {commits} ")));
    while !is_there() {
        assert!(Instant::now() < until, "{}: {:?}", note.display(), std::fs::read_to_string(&note));
        sleep(Duration::from_millis(20));
    }
    note
}

#[test]
fn an_old_copy_of_a_database_is_refused_at_the_start_by_whoever_had_seen_more() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let state = tempfile::tempdir().unwrap();
    let a = remembering("a", &server, state.path()).start().unwrap();
    a.becomes("active (epoch 1");
    send(&a, "in the copy");
    remembers("a", &server, state.path());
    assert_eq!(a.stop().code(), Some(0));
    server.copy_aside();
    server.start();
    // What is answered from here on is not in the copy. The standby sees it as well; a third node does not.
    let a = remembering("a", &server, state.path()).start().unwrap();
    a.becomes("active (epoch 2");
    let b = remembering("b", &server, state.path()).start().unwrap();
    b.becomes("standby (master: a, epoch 2)");
    send(&a, "not in the copy");
    let notes = ["a", "b"].map(|name| remembers(name, &server, state.path()));
    assert!(std::fs::read_to_string(&notes[0]).unwrap().contains(" timeline 1"));
    // Nobody runs while the copy is put back.
    a.kill();
    b.kill();
    server.put_back();
    server.start();
    for (name, note) in ["a", "b"].iter().zip(&notes) {
        let Err(refused) = remembering(name, &server, state.path()).start() else {
            panic!("{name} took the copy")
        };
        assert_eq!(refused.code, Some(73), "{refused}");
        assert!(refused.said.contains("the database forgot what it had acknowledged"), "{refused}");
        assert!(refused.said.contains(note.to_str().unwrap()), "the remedy names the file: {refused}");
    }
    assert_eq!(server.sql("SELECT number FROM ferromq.epoch"), "1", "who is refused changes nothing");

    // A node that had seen nothing goes on with the copy, and beyond what the others had seen.
    let c = remembering("c", &server, state.path()).start().unwrap();
    c.becomes("active (epoch 2");
    for _ in 0..20 {
        send(&c, "another history");
    }
    let Err(refused) = remembering("a", &server, state.path()).start() else {
        panic!("a took the other history")
    };
    assert_eq!(refused.code, Some(73), "{refused}");
    assert!(refused.said.contains("went another way"), "{refused}");

    // Who accepts the loss forgets.
    std::fs::remove_file(&notes[0]).unwrap();
    let a = remembering("a", &server, state.path()).start().unwrap();
    a.becomes("standby (master: c, epoch 2)");
    assert_eq!(receive(&c), "in the copy");
}

#[test]
fn a_restart_of_nodes_and_database_is_no_loss_to_whoever_remembers() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let state = tempfile::tempdir().unwrap();
    for epoch in 1..=3 {
        let a = remembering("a", &server, state.path()).start().unwrap();
        a.becomes(&format!("active (epoch {epoch}"));
        send(&a, "kept");
        remembers("a", &server, state.path());
        a.kill();
        // What was not answered may go with it, and nobody is blamed for that.
        server.kill();
        server.start();
    }
}

#[test]
fn nodes_that_run_while_the_database_goes_back_stop_and_say_so() {
    let Some(mut server) = Postgres::start_or_skip() else { return };
    let state = tempfile::tempdir().unwrap();
    let launch = |name: &str| {
        let launch = Launch::new(PROGRAM).arg("--name").arg(name).arg("--takeover-after").arg("20s");
        let launch = launch.arg("--store").arg(server.url());
        launch.env("FERROMQ_STATE_DIR", state.path().join(name).to_str().unwrap())
    };
    let (a, b) = (launch("a"), launch("b"));
    let mut a = a.start().unwrap();
    let mut b = b.start().unwrap();
    b.becomes("standby (master: a, epoch 1)");
    send(&a, "in the copy");
    server.copy_aside();
    server.start();
    send(&a, "not in the copy");
    remembers("b", &server, state.path());
    server.put_back();
    server.start();
    let ended = b.wait(PATIENCE).expect("the standby ends");
    assert_eq!(ended.code(), Some(74), "{:?}", b.log().all());
    let said = b.log().all().join("\n");
    assert!(said.contains("the database forgot what it had acknowledged"), "{said}");
    // The master finds it out when it writes, and never takes the copy for its store.
    let _ = Command::new(PROGRAM).args(["send", "--url", a.url(), "queue://q", "x"]).output().unwrap();
    let ended = a.wait(PATIENCE).expect("the master ends");
    assert_eq!(ended.code(), Some(74), "{:?}", a.log().all());
    assert_eq!(server.sql("SELECT number FROM ferromq.epoch"), "1");
}

#[test]
fn a_second_node_of_the_same_name_is_refused() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let a = start("a", &server);
    a.becomes("active (epoch 1");
    let Err(refused) = node("a", &server.url(), "1s").start() else { panic!("two nodes of one name") };
    assert!(refused.to_string().contains("give each a name of its own"), "{refused}");
}

#[test]
fn a_folder_for_what_is_remembered_that_is_full_is_told_once_and_once_that_it_has_room() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    // A file in place of the folder: whatever is written there fails, as on a disk without room.
    let state = folder.path().join("state");
    std::fs::write(&state, "").unwrap();
    let launch = node("a", &server.url(), "10s").env("FERROMQ_STATE_DIR", state.to_str().unwrap());
    let a = launch.start().unwrap();
    a.becomes("active (epoch 1");
    let told = |text: &str| a.log().all().iter().filter(|line| line.contains(text)).count();
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        send(&a, "kept");
    }
    assert_eq!(told("can't be remembered"), 1, "{:?}", a.log().all());
    std::fs::remove_file(&state).unwrap();
    assert!(a.log().wait_for("is remembered again", PATIENCE).is_some(), "{:?}", a.log().all());
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1);
    assert_eq!(a.stop().code(), Some(0));
}

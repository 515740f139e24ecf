//! `ferromq demo` as a new user runs it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn demo(folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferromq"));
    command.args(["demo", "--kill-after", "1", "--go-on", "1"]).env("TMPDIR", folder);
    command
}

#[test]
fn the_demo_kills_a_master_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{words}");
    for part in
        ["a is the master", "b is a standby", "kill -9 of a", "b is the master", "lost 0, duplicated 0"]
    {
        assert!(said.contains(part), "{part:?} is missing in\n{said}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "the demo cleans up");
}

#[test]
fn on_a_database_of_its_own_it_loses_nothing_either_and_leaves_nothing() {
    if ferromq_testkit::Postgres::find().is_err() {
        return;
    }
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let output = demo(folder.path()).args(["--store", "postgres"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in ["postgres://", "b is the master", "lost 0, duplicated 0"] {
        assert!(said.contains(part), "{part:?} is missing in\n{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the demo cleans up");
}

#[test]
fn no_broker_outlives_the_demo_even_if_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("a is the master, on ")).unwrap();
    let address = line.rsplit("tcp://").next().unwrap().to_owned();
    assert!(TcpStream::connect(&address).is_ok());
    demo.kill().unwrap();
    demo.wait().unwrap();

    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(&address).is_ok() {
        assert!(Instant::now() < until, "the broker on {address} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! The operator's verbs, against a node that runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use ferromq_testkit::{Launch, Node, PATIENCE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

/// Notices of these nodes are not mixed with those of others.
fn ferromq(runtime: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env("XDG_RUNTIME_DIR", runtime)
        .output()
        .expect("the program starts")
}

fn start(runtime: &Path) -> Node {
    let launch = Launch::new(PROGRAM).env("XDG_RUNTIME_DIR", runtime.to_str().expect("text"));
    launch.arg("--name").arg("a").start().expect("a free port")
}

fn admin(node: &Node) -> String {
    let line = |lines: &[String]| {
        lines.iter().find_map(|line| line.strip_prefix("operators on ")).map(str::to_owned)
    };
    node.output().wait_until(PATIENCE, line).expect("an admin port")
}

#[test]
fn a_node_is_found_by_every_name_and_gone_with_its_process() {
    let runtime = tempfile::tempdir().unwrap();
    let node = start(runtime.path());
    let admin = admin(&node);
    let (url, data) = (node.url().to_owned(), node.data().to_str().unwrap().to_owned());
    for name in [admin.as_str(), url.as_str(), data.as_str(), "a"] {
        let output = ferromq(runtime.path(), &["status", name]);
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("a: active for "), "{output:?}");
    }
    let all = ferromq(runtime.path(), &["status", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!((&object["node"], &object["role"]), (&"a".into(), &"active".into()));
    assert_eq!(object["listeners"][0], url.as_str());

    node.kill();
    let output = ferromq(runtime.path(), &["status"]);
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no node of this machine and user runs"));
}

#[test]
fn metrics_and_readiness_are_plain_http() {
    let runtime = tempfile::tempdir().unwrap();
    let node = start(runtime.path());
    let address = admin(&node).replace("http://", "");
    for (page, expected) in
        [("/metrics", "ferromq_role{role=\"active\"} 1"), ("/readyz", "HTTP/1.1 200"), ("/livez", "alive")]
    {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {page} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains(expected), "{page}: {text}");
    }
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn commands_are_refused_where_they_make_no_sense() {
    let runtime = tempfile::tempdir().unwrap();
    let node = start(runtime.path());
    admin(&node);
    // An active node has nothing to claim; nothing is done, and the text says why.
    let output = ferromq(runtime.path(), &["force-claim", "a", "--yes"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("only a standby can claim"), "{output:?}");
}

#[test]
fn a_configured_token_is_asked_for() {
    let runtime = tempfile::tempdir().unwrap();
    let token = "0123456789abcdef0123";
    let launch = Launch::new(PROGRAM).env("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    let node = launch.env("FERROMQ_ADMIN_TOKEN", token).start().unwrap();
    let admin = admin(&node);
    let refused = ferromq(runtime.path(), &["switchover", &admin]);
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    assert_eq!(ferromq(runtime.path(), &["status", &admin]).status.code(), Some(0));
}

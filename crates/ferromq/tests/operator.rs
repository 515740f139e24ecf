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

/// A master and its standby on one folder, both ready.
fn pair(runtime: &Path) -> [Node; 2] {
    ["a", "b"].map(|name| {
        let launch = Launch::new(PROGRAM).env("XDG_RUNTIME_DIR", runtime.to_str().expect("text"));
        let launch = launch.data(runtime.join("shared")).arg("--name").arg(name);
        let node = launch.arg("--takeover-after").arg("1s").start().expect("a free port");
        admin(&node);
        node
    })
}

fn object(runtime: &Path, node: &str) -> (Option<i32>, serde_json::Value) {
    let output = ferromq(runtime, &["status", node, "--json"]);
    let object = serde_json::from_slice(&output.stdout).expect("an object");
    (output.status.code(), object)
}

#[test]
fn a_switchover_hands_over_and_status_says_who_has_it() {
    let runtime = tempfile::tempdir().unwrap();
    let [a, b] = pair(runtime.path());
    let (code, standby) = object(runtime.path(), "b");
    assert_eq!((code, &standby["role"], &standby["master"]), (Some(3), &"standby".into(), &"a".into()));
    assert!(standby["expected_takeover_ms"].as_u64().unwrap() < 1_000, "{standby}");
    // The standby says whom to ask; without a name the active one is found.
    let refused = ferromq(runtime.path(), &["switchover", "b"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the master is a"), "{refused:?}");

    let sent = ferromq(runtime.path(), &["send", "--url", a.url(), "queue://q", "kept"]);
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let done = ferromq(runtime.path(), &["switchover"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    b.becomes("active (epoch 2");
    a.becomes("standby (master: b, epoch 2)");
    let received = ferromq(runtime.path(), &["receive", "--url", b.url(), "queue://q", "--count", "1"]);
    assert_eq!(String::from_utf8_lossy(&received.stdout), "kept\n", "{received:?}");

    let (code, active) = object(runtime.path(), "b");
    assert_eq!((code, &active["epoch"], &active["takeovers"]), (Some(0), &2.into(), &1.into()));
    assert_eq!(active["last_takeover"]["epoch"], 2, "{active}");
    let (_, left) = object(runtime.path(), "a");
    assert_eq!((&left["role"], &left["step_downs"]), (&"standby".into(), &0.into()));
}

#[test]
fn a_forced_claim_takes_over_from_a_master_that_lives() {
    let runtime = tempfile::tempdir().unwrap();
    let [a, b] = pair(runtime.path());
    let told = ferromq(runtime.path(), &["force-claim", "b"]);
    assert_eq!(told.status.code(), Some(64), "without a terminal it asks for --yes: {told:?}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("b claims epoch 2"), "{told:?}");
    assert_eq!(object(runtime.path(), "a").1["role"], "active");

    let done = ferromq(runtime.path(), &["force-claim", "b", "--yes"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    b.becomes("active (epoch 2");
    a.becomes("standby (master: b, epoch 2)");
    assert_eq!(object(runtime.path(), "a").1["step_downs"], 1);
}

#[test]
fn commands_are_taken_by_a_socket_that_is_its_users_own() {
    use std::os::unix::fs::PermissionsExt;
    let runtime = tempfile::tempdir().unwrap();
    let socket = runtime.path().join("a.sock");
    let launch = |name: &str| {
        let launch = Launch::new(PROGRAM).env("XDG_RUNTIME_DIR", runtime.path().to_str().expect("text"));
        let launch = launch.data(runtime.path().join("shared")).arg("--name").arg(name);
        launch.arg("--takeover-after").arg("1s").env("FERROMQ_ADMIN_LISTEN", "none")
    };
    let a = launch("a").env("FERROMQ_ADMIN_SOCKET", socket.to_str().unwrap()).start().unwrap();
    assert_eq!(admin(&a), format!("unix:{}", socket.display()), "there is no port");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // The other one has its socket where nodes are found.
    let b = launch("b").start().unwrap();
    assert!(admin(&b).starts_with(&format!("unix:{}/ferromq/", runtime.path().display())), "{}", admin(&b));
    assert_eq!(object(runtime.path(), "b").1["master"], "a");

    // A second node can't have the socket, and says what to do.
    let taken = launch("c").env("FERROMQ_ADMIN_SOCKET", socket.to_str().unwrap()).start();
    let Err(refused) = taken else { panic!("two nodes on one socket") };
    assert_eq!(refused.code, Some(69), "{refused}");
    assert!(refused.said.contains("another process listens there; set admin.socket"), "{refused}");

    let done = ferromq(runtime.path(), &["switchover", &admin(&a)]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    b.becomes("active (epoch 2");
    a.becomes("standby (master: b, epoch 2)");
    let done = ferromq(runtime.path(), &["force-claim", "a", "--yes"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    a.becomes("active (epoch 3");

    // A node that ends takes its socket along; what a killed one left is replaced by the next.
    assert_eq!(a.stop().code(), Some(0));
    assert!(!socket.exists());
    b.becomes("active (epoch 4");
    let a = launch("a").env("FERROMQ_ADMIN_SOCKET", socket.to_str().unwrap()).start().unwrap();
    a.kill();
    let a = launch("a").env("FERROMQ_ADMIN_SOCKET", socket.to_str().unwrap()).start().unwrap();
    assert_eq!(ferromq(runtime.path(), &["status", &admin(&a)]).status.code(), Some(3));
}

#[test]
fn a_token_is_asked_for_by_the_socket_as_well() {
    let runtime = tempfile::tempdir().unwrap();
    let socket = runtime.path().join("a.sock");
    let launch = Launch::new(PROGRAM).env("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    let launch = launch.env("FERROMQ_ADMIN_TOKEN", "0123456789abcdef0123");
    let node = launch.env("FERROMQ_ADMIN_SOCKET", socket.to_str().unwrap()).start().unwrap();
    admin(&node);
    let refused = ferromq(runtime.path(), &["switchover", &format!("unix:{}", socket.display())]);
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
}

#[test]
fn who_says_nothing_keeps_no_seat_from_those_who_do() {
    let runtime = tempfile::tempdir().unwrap();
    let socket = runtime.path().join("a.sock");
    let launch = Launch::new(PROGRAM).env("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    let node = launch.env("FERROMQ_ADMIN_SOCKET", socket.to_str().unwrap()).start().unwrap();
    let address = admin(&node).replace("http://", "");
    // Twice as many as there are seats, at both doors.
    let silent: Vec<_> = (0..128)
        .map(|_| {
            let by_socket = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            (TcpStream::connect(&address).unwrap(), by_socket)
        })
        .collect();
    let until = std::time::Instant::now() + 2 * PATIENCE;
    for target in [format!("http://{address}"), format!("unix:{}", socket.display())] {
        loop {
            let asked = ferromq(runtime.path(), &["status", &target]);
            if asked.status.code() == Some(0) {
                break;
            }
            assert!(std::time::Instant::now() < until, "{target}: {asked:?}");
        }
    }
    drop(silent);
}

#[test]
fn metrics_have_the_store_and_the_destinations() {
    let runtime = tempfile::tempdir().unwrap();
    let node = start(runtime.path());
    let sent = ferromq(runtime.path(), &["send", "--url", node.url(), "queue://orders", "x"]);
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let mut stream = TcpStream::connect(admin(&node).replace("http://", "")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("ferromq_destination_messages{destination=\"queue://orders\"} 1\n"), "{page}");
    assert!(page.contains("\nferromq_epoch 1\n"), "{page}");
    let count = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name}_count ")));
        line.unwrap_or_else(|| panic!("{name}: {page}")).parse::<u64>().unwrap()
    };
    assert!(count("ferromq_sync_seconds") > 0 && count("ferromq_fence_seconds") > 0, "{page}");
}

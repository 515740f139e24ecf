//! The verbs as a shell sees them: what goes in, what comes out, and the exit code.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use ferromq_testkit::Launch;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn ferromq(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // Who does not read it need not.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output of a call that ends well.
fn shown(arguments: &[&str], input: &str) -> String {
    let output = ferromq(arguments, input);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn what_was_sent_is_browsed_and_received() {
    let node = Launch::new(PROGRAM).start().unwrap();
    let url = node.url();
    shown(&["send", "--url", url, "queue://orders", "first order"], "");
    shown(&["send", "--url", url, "orders", "--property", "region=eu"], "second\nthird\n");

    assert_eq!(shown(&["browse", "--url", url, "queue://orders"], ""), "first order\nsecond\nthird\n");
    let eu = ["receive", "--url", url, "queue://orders", "--count", "1", "--selector", "region = 'eu'"];
    assert_eq!(shown(&eu, ""), "second\n");
    assert_eq!(
        shown(&["receive", "--url", url, "queue://orders", "--timeout", "1"], ""),
        "first order\nthird\n"
    );
    assert_eq!(shown(&["browse", "--url", url, "queue://orders"], ""), "");
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_file_is_the_same_file_at_the_other_end() {
    let node = Launch::new(PROGRAM).start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("picture");
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    shown(&["send", "--url", node.url(), "queue://images", "--file", file.to_str().unwrap()], "");
    let received = ferromq(&["receive", "--url", node.url(), "queue://images", "--count", "1"], "");
    assert_eq!(received.status.code(), Some(0), "{}", said(&received));
    assert!(received.stdout == bytes, "{} bytes came of {}", received.stdout.len(), bytes.len());
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_rate_is_kept_and_a_count_is_sent() {
    let node = Launch::new(PROGRAM).start().unwrap();
    let began = std::time::Instant::now();
    let paced = ["send", "--url", node.url(), "queue://ticks", "tick", "--count", "30", "--rate", "20"];
    shown(&paced, "");
    let took = began.elapsed().as_secs_f64();
    // The first goes at once. How late a busy machine may be is no matter of the rate.
    assert!(took > 29.0 / 20.0 * 0.95, "30 messages at 20/s were sent within {took} s");
    assert_eq!(shown(&["browse", "--url", node.url(), "queue://ticks"], ""), "tick\n".repeat(30));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn messages_outlive_a_killed_broker() {
    for store in ["journal", "sqlite"] {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::new(PROGRAM).data(folder.path()).arg("--store").arg(store);
        let node = launch.start().unwrap();
        shown(&["send", "--url", node.url(), "queue://orders", "kept", "--count", "3"], "");
        node.kill();

        let node = launch.start().unwrap();
        let all = ["receive", "--url", node.url(), "queue://orders", "--count", "3", "--timeout", "20"];
        assert_eq!(shown(&all, ""), "kept\nkept\nkept\n", "{store}");
    }
}

#[test]
fn verbs_find_the_broker_of_several_and_say_when_there_is_none() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("tcp://127.0.0.1:{port}");
    let node = Launch::new(PROGRAM).start().unwrap();
    let url = format!("failover:({nobody},{})?randomize=false", node.url());
    let sent = ferromq(&["send", "--url", &url, "queue://orders", "x", "--count", "2"], "");
    assert_eq!(sent.status.code(), Some(0), "{}", said(&sent));
    assert!(said(&sent).contains(&format!("Successfully connected to {}", node.url())), "{}", said(&sent));
    assert_eq!(shown(&["browse", "--url", &url, "queue://orders"], ""), "x\nx\n");
    assert_eq!(shown(&["receive", "--url", &url, "queue://orders", "--count", "2"], ""), "x\nx\n");
    node.kill();

    let output = ferromq(&["send", "--url", &format!("{url}&timeout=300"), "queue://orders", "x"], "");
    assert_eq!(output.status.code(), Some(69));
    for part in [nobody.as_str(), "Connection refused", "is the broker running?"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
}

#[test]
fn too_few_messages_in_time_are_told() {
    let node = Launch::new(PROGRAM).start().unwrap();
    let output =
        ferromq(&["receive", "--url", node.url(), "queue://none", "--count", "1", "--timeout", "1"], "");
    assert_eq!(output.status.code(), Some(69));
    assert!(said(&output).contains("0 of 1 message came"), "{}", said(&output));
}

#[test]
fn a_broker_that_is_not_there_is_told_with_a_remedy() {
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = ferromq(&["send", "--url", &format!("tcp://127.0.0.1:{port}"), "queue://orders", "x"], "");
    assert_eq!(output.status.code(), Some(69));
    assert!(said(&output).contains("is the broker running?"), "{}", said(&output));
}

#[test]
fn wrong_usage_is_64() {
    for arguments in [
        &["send"][..],
        &["send", "http://orders", "x"],
        &["send", "queue://orders", "x", "--priority", "10"],
        &["browse", "topic://ticks"],
        &["check", "/nowhere/ferromq.toml"],
        &["fly"],
    ] {
        assert_eq!(ferromq(arguments, "").status.code(), Some(64), "{arguments:?}");
    }
}

#[test]
fn check_names_mistakes_and_shows_where_values_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ferromq.toml");
    let file_name = file.to_str().unwrap();

    std::fs::write(&file, "[broker]\nnmae = 'x'\n").unwrap();
    let output = ferromq(&["check", file_name], "");
    assert_eq!(output.status.code(), Some(64));
    let place = format!("{file_name}:2:1: error: unknown key 'nmae' in [broker]; did you mean name?");
    assert!(said(&output).contains(&place), "{}", said(&output));

    std::fs::write(&file, "[broker]\nname = 'x'\n").unwrap();
    let effective = shown(&["check", file_name], "");
    assert!(effective.contains(&format!("name = \"x\"  # {file_name}:2:8")), "{effective}");
    assert!(effective.contains("kind = \"journal\"  # default"), "{effective}");
}

#[test]
fn a_broker_with_users_asks_for_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ferromq.toml");
    std::fs::write(&file, "[[user]]\nname = 'ann'\npassword = 's3cret'\n").unwrap();
    let node = Launch::new(PROGRAM).arg("--config").arg(&file).start().unwrap();

    let stranger = ferromq(&["send", "--url", node.url(), "queue://orders", "x"], "");
    assert_eq!(stranger.status.code(), Some(69), "{}", said(&stranger));
    let login = ["send", "--url", node.url(), "--user", "ann", "--password", "s3cret", "queue://orders", "x"];
    shown(&login, "");
}

#[test]
fn a_store_is_looked_into_while_it_is_used() {
    let node = Launch::new(PROGRAM).start().unwrap();
    shown(&["send", "--url", node.url(), "queue://orders", "x", "--count", "2"], "");
    let folder = node.data().to_str().unwrap();
    let listing = shown(&["store", "ls", folder], "");
    assert!(listing.contains("queue://orders  2 messages"), "{listing}");
    let verified = shown(&["store", "verify", folder], "");
    assert!(verified.contains(" 2 messages"), "{verified}");
    assert!(shown(&["store", "why", folder], "").contains("  queue://orders  2 messages"));
    let cat = shown(&["store", "cat", "queue://orders", folder], "");
    assert_eq!(
        cat.lines().filter(|line| line.contains("ID:") && line.ends_with("\"x\"")).count(),
        2,
        "{cat}"
    );
    let first: Vec<_> = cat.lines().take(1).collect();
    assert_eq!(
        shown(&["store", "cat", "orders", folder, "--count", "1"], "").lines().collect::<Vec<_>>(),
        first
    );
    let unknown = ferromq(&["store", "cat", "queue://none", folder], "");
    assert_eq!(unknown.status.code(), Some(64));
    assert!(said(&unknown).contains("store ls"), "{}", said(&unknown));
    assert_eq!(ferromq(&["store", "ls", "/nowhere"], "").status.code(), Some(73));
}

#[test]
fn a_database_is_not_taken_for_a_journal() {
    let node = Launch::new(PROGRAM).arg("--store").arg("sqlite").start().unwrap();
    for verb in ["ls", "verify", "why"] {
        let refused = ferromq(&["store", verb, node.data().to_str().unwrap()], "");
        assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
        assert!(said(&refused).contains("sqlite3"), "{}", said(&refused));
    }
}

#[test]
fn properties_have_types_that_selectors_see() {
    let node = Launch::new(PROGRAM).start().unwrap();
    let url = node.url();
    for (size, text) in [("size:int=5", "small"), ("size:int=50", "large"), ("size=50", "a string")] {
        shown(&["send", "--url", url, "queue://orders", text, "--property", size], "");
    }
    let large = ["receive", "--url", url, "queue://orders", "--timeout", "1", "--selector", "size > 9"];
    assert_eq!(shown(&large, ""), "large\n");
    let wrong = ferromq(&["send", "--url", url, "queue://orders", "x", "--property", "size:int=five"], "");
    assert_eq!(wrong.status.code(), Some(64));
    assert!(said(&wrong).contains("\"five\" is no int"), "{}", said(&wrong));
}

#[test]
fn a_send_that_fails_midway_says_what_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("small.toml");
    let policy = "[[policy]]\ndestination = \"queue://>\"\nmemory_limit = \"20kb\"\ntemp_limit = \"50kb\"\n\
         send_fail_if_no_space = true\n";
    std::fs::write(&config, policy).unwrap();
    let node = Launch::new(PROGRAM).arg("--config").arg(&config).start().unwrap();
    let body = "x".repeat(1000);
    let many = ["send", "--url", node.url(), "orders", &body, "--count", "500", "--non-persistent"];
    let output = ferromq(&many, "");
    assert_eq!(output.status.code(), Some(69), "{}", said(&output));
    assert!(said(&output).contains("messages were accepted before"), "{}", said(&output));
    assert!(said(&output).contains("Temp Usage limit (51200 bytes) reached"), "{}", said(&output));
}

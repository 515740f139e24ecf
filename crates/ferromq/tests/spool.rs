//! Messages that are not persistent leave the memory of a real broker, and come back whole and in order.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, PATIENCE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn ferromq(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    output
}

/// Numbered lines of 1,200 bytes.
fn lines(count: usize) -> String {
    let rest = "x".repeat(1_190);
    (1..=count).map(|n| format!("{n:08} {rest}\n")).collect()
}

fn launch(folder: &Path, limits: &str) -> Launch {
    let config = folder.join("broker.toml");
    fs::write(&config, format!("[limits]\n{limits}\n")).unwrap();
    Launch::new(PROGRAM).data(folder.join("data")).arg("--config").arg(config)
}

/// Names and sizes of what is in the spool.
fn spool(folder: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(folder.join("data/spool")).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.metadata().unwrap().len()))
        .collect()
}

fn segments(folder: &Path) -> u64 {
    spool(folder).iter().filter(|(name, _)| name.ends_with(".spool")).map(|(_, bytes)| bytes).sum()
}

#[test]
fn a_backlog_far_beyond_memory_holds_up_nobody_takes_little_of_it_and_drains_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let limits = "memory_bytes = \"16 MiB\"\nmax_frame_bytes = \"8 MiB\"\nspool_above_bytes = \"4 MiB\"";
    let node = launch(folder.path(), limits).start().unwrap();
    let url = node.url();
    ferromq(&["send", "--url", url, "queue://warm", "up", "--non-persistent"], "");
    let before = node.resident_bytes();
    let sent = lines(50_000);

    // Given many messages without a consumer, the producer is done, and they are not in memory.
    ferromq(&["send", "--url", url, "queue://far", "--non-persistent"], &sent);
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 40 << 20, "{} KiB more are resident for 60 MB of messages", grown >> 10);
    assert!(segments(folder.path()) > 40 << 20, "{:?}", spool(folder.path()));
    let waited = node.log().all().iter().any(|line| line.contains("Stopping producer"));
    assert!(!waited, "{:?}", node.log().all());

    // When they are consumed, all come as they were sent, and nothing of them is kept.
    let count = ["receive", "--url", url, "queue://far", "--count", "50000", "--timeout", "60"];
    let received = ferromq(&count, "");
    assert!(received.stdout == sent.as_bytes(), "{} bytes came of {}", received.stdout.len(), sent.len());
    let deadline = Instant::now() + PATIENCE;
    while segments(folder.path()) > 0 {
        assert!(Instant::now() < deadline, "{:?}", spool(folder.path()));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(node.stop().code(), Some(0));
    assert_eq!(spool(folder.path()), [], "nothing is left at the end");
}

#[test]
fn what_a_killed_broker_leaves_in_the_spool_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let launch = launch(folder.path(), "spool_above_bytes = \"1 MiB\"");
    let node = launch.start().unwrap();
    ferromq(&["send", "--url", node.url(), "queue://far", "--non-persistent"], &lines(5_000));
    ferromq(&["send", "--url", node.url(), "queue://far", "kept"], "");
    assert!(segments(folder.path()) > 2 << 20, "{:?}", spool(folder.path()));
    node.kill();

    let node = launch.start().unwrap();
    let left = spool(folder.path());
    assert!(matches!(&left[..], [(name, 0)] if name.ends_with(".lock")), "{left:?}");
    let kept = ferromq(&["receive", "--url", node.url(), "queue://far", "--timeout", "1"], "");
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "kept\n");
    assert_eq!(node.stop().code(), Some(0));
}

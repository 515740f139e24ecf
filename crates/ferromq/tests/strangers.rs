//! What peers that are no clients can do to a broker, while a client goes on working.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use std::os::unix::fs::PermissionsExt;

use ferromq_testkit::{Launch, Node, PATIENCE};
use peer::{Peer, ferromq};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

mod peer;

fn node() -> Node {
    ferromq().arg("--store").arg("memory").start().unwrap()
}

/// A client that has a consumer and is asked again and again whether it is still served.
fn witness(node: &Node) -> Peer {
    let mut peer = Peer::connect(node.address()).unwrap();
    peer.consume("witness", 10).unwrap();
    peer.round_trip("witness", "before").unwrap();
    peer
}

/// Sends bytes and waits until the broker closes; whether it did.
fn thrown_out(address: SocketAddr, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The broker may close while we still write: that is what we want.
    let _ = stream.write_all(bytes);
    let mut said = [0; 4_096];
    loop {
        match stream.read(&mut said) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn garbage_is_thrown_out_named_in_the_log_and_disturbs_nobody() {
    let node = node();
    let mut witness = witness(&node);
    let huge = [&0x7fff_ffff_u32.to_be_bytes()[..], &[1, 2, 3]].concat();
    let zeros = vec![0; 100_000];
    let kinds: [(&str, &[u8]); 5] = [
        ("another protocol", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a huge frame", &huge),
        ("an unknown command", &[0, 0, 0, 5, 250, 0, 0, 0, 0]),
        ("noise", &[0xff; 4_096]),
        ("zeros", &zeros),
    ];
    for (name, bytes) in kinds {
        assert!(thrown_out(node.address(), bytes), "{name} was not thrown out");
        witness.round_trip("witness", name).unwrap();
    }
    let complaint = node.log().wait_for("is it an OpenWire client?", PATIENCE);
    assert!(complaint.is_some(), "{:?}", node.log().all());
    assert!(node.resident_bytes() < 256 << 20, "a claimed size must not be allocated");
}

#[test]
fn ten_thousand_connects_and_drops_leave_nothing_behind() {
    let node = node();
    let mut witness = witness(&node);
    let before = node.resident_bytes();
    for round in 0..10_000 {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        if round % 3 == 0 {
            // Part of a greeting, and gone.
            stream.write_all(&[0, 0, 1]).unwrap();
        }
        drop(stream);
        if round % 1_000 == 0 {
            witness.round_trip("witness", "still here").unwrap();
        }
    }
    witness.round_trip("witness", "after").unwrap();
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "10,000 connections left {grown} bytes behind");
    assert!(node.stop().success());
}

/// A program that starts the broker with so many open files at most.
fn with_open_files(folder: &std::path::Path, files: u32) -> std::path::PathBuf {
    let script = folder.join("few-files");
    let text = format!("#!/bin/sh\nulimit -n {files}\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_ferromq"));
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

#[test]
fn connections_can_not_take_the_files_that_the_store_needs() {
    let folder = tempfile::tempdir().unwrap();
    let node = Launch::new(with_open_files(folder.path(), 256)).start().unwrap();
    let mut witness = witness(&node);
    let mut sender = Peer::connect(node.address()).unwrap();
    // More than there are files: the rest is turned away.
    let crowd: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    assert!(node.log().wait_for("the limit of connections is reached", PATIENCE).is_some());
    let refusals = node.log().all().iter().filter(|line| line.contains("connection refused")).count();
    assert!(refusals <= 40, "300 strangers wrote {refusals} lines");
    // The store makes files meanwhile: 40 MB of durable messages are more than one segment.
    let text = "x".repeat(1_000_000);
    for _ in 0..40 {
        sender.send("heavy", &text).unwrap();
    }
    witness.round_trip("witness", "after").unwrap();
    drop(crowd);
    assert!(node.stop().success());
}

#[test]
fn who_runs_out_of_files_rests_and_accepts_again() {
    let node = node();
    let mut witness = witness(&node);
    let open = std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap().count() as u64;
    let limit = |files| {
        let pid = Pid::from_raw(i32::try_from(node.pid()).unwrap());
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(files), maximum: None }).map(drop)
    };
    if limit(open + 8).is_err() {
        println!("skip out-of-files: the limits of another process need privileges");
        return;
    }
    let crowd: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    assert!(node.log().wait_for("raise the limit of open files", PATIENCE).is_some());
    witness.round_trip("witness", "meanwhile").unwrap();
    // It rests up to a second: it does not fill the log, and its thread does not spin.
    let lines = node.log().all().iter().filter(|line| line.contains("raise the limit")).count();
    assert!(lines < 20, "{lines} lines");
    drop(crowd);
    let mut late = Peer::connect(node.address()).unwrap();
    late.round_trip("late", "accepted again").unwrap();
    assert!(node.stop().success());
}

#[test]
fn a_flood_of_garbage_does_not_fill_the_log() {
    let node = node();
    for _ in 0..2_000 {
        let mut stream = TcpStream::connect(node.address()).unwrap();
        // The broker may close before it has everything.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
    }
    witness(&node);
    let lines = node.log().all().iter().filter(|line| line.contains("is it an OpenWire client?")).count();
    assert!((20..400).contains(&lines), "2,000 strangers wrote {lines} lines");
}

#[test]
fn peers_that_say_nothing_or_one_byte_a_time_do_not_hold_up_others() {
    let node = node();
    let mut witness = witness(&node);
    let mut slow: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    for byte in [0, 0, 1, 0, 1, b'A', b'c'] {
        for stream in &mut slow {
            stream.write_all(&[byte]).unwrap();
        }
        witness.round_trip("witness", "quick").unwrap();
    }
}

#[test]
fn a_client_that_never_reads_does_not_hold_up_others() {
    let node = node();
    let mut deaf = Peer::connect(node.address()).unwrap();
    deaf.consume("flood", 30_000).unwrap();
    let mut sender = Peer::connect(node.address()).unwrap();
    let text = "x".repeat(100_000);
    // 40 MB for somebody who takes nothing; more than sockets and the way out hold.
    for _ in 0..400 {
        sender.send("flood", &text).unwrap();
    }
    let mut witness = witness(&node);
    witness.round_trip("witness", "after").unwrap();
    assert!(node.stop().success(), "nor does it hold up the end");
}

#[test]
fn idle_connections_are_cheap() {
    let node = node();
    let before = node.resident_bytes();
    let peers: Vec<Peer> = (0..500).map(|_| Peer::connect(node.address()).unwrap()).collect();
    let each = node.resident_bytes().saturating_sub(before) / peers.len() as u64;
    println!("an idle connection takes {each} bytes");
    assert!(each < 64 * 1024, "an idle connection takes {each} bytes");
}

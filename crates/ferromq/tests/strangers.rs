//! What peers that are no clients can do to a broker, while a client goes on working.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ferromq_testkit::{Node, PATIENCE};
use peer::{Peer, ferromq};

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

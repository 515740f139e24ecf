//! What becomes of connections while it is not clear who is master, with real processes.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what can not be set up ends the test"
)]

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, Node, PATIENCE};
use peer::{Peer, ferromq};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

mod peer;

/// Connections that a standby holds, and for how long.
const HELD: usize = 1_024;
const HOLD: Duration = Duration::from_secs(10);

fn node(name: &str, folder: &Path, takeover_after: &str) -> Launch {
    let launch = ferromq().arg("--name").arg(name).arg("--takeover-after").arg(takeover_after);
    launch.data(folder.join("shared"))
}

fn suspects(node: &Node) {
    let said = node.log().wait_for("the master is silent or gone", PATIENCE);
    assert!(said.is_some(), "{}", node.log().all().join("\n"));
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// How a connection ends that nobody serves.
fn is_reset(mut stream: TcpStream) -> bool {
    stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// Whether somebody greets.
fn is_greeted(mut stream: TcpStream) -> bool {
    stream.read(&mut [0]).is_ok_and(|read| read == 1)
}

#[test]
fn who_comes_while_the_master_is_suspected_is_served_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let a = node("a", folder.path(), "4s").start().unwrap();
    let b = node("b", folder.path(), "4s").start().unwrap();
    b.becomes("standby (master: a, epoch 1)");
    assert!(is_reset(connect(b.address())), "nobody is suspected yet");
    a.signal(Signal::STOP);
    suspects(&b);
    let address = b.address();
    let client = std::thread::spawn(move || {
        let mut peer = Peer::connect(address)?;
        peer.send("orders", "sent while nobody served")
    });
    let silent = connect(b.address());
    // Both wait, for there is no master.
    silent.set_nonblocking(true).unwrap();
    let nothing = (&silent).read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    assert!(!b.output().all().iter().any(|line| line.starts_with("role active")));
    silent.set_nonblocking(false).unwrap();

    b.becomes("active (epoch 2");
    client.join().unwrap().expect("the client is served without having to come again");
    assert!(is_greeted(silent));
}

#[test]
fn a_suspicion_that_was_wrong_turns_away_who_was_held() {
    let folder = tempfile::tempdir().unwrap();
    let a = node("a", folder.path(), "10s").start().unwrap();
    let b = node("b", folder.path(), "10s").start().unwrap();
    b.becomes("standby (master: a, epoch 1)");
    a.signal(Signal::STOP);
    suspects(&b);
    let held = connect(b.address());
    a.signal(Signal::CONT);
    assert!(is_reset(held), "the master lives: try the next URI");
    assert!(is_reset(connect(b.address())));
    Peer::connect(a.address()).unwrap().send("orders", "to the same master").unwrap();
}

#[test]
fn no_more_than_so_many_are_held_and_none_longer_than_so_long() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // A lease so long that the suspicion outlasts the holding: it begins after half of 23 s.
    let listen = "tcp://127.0.0.1:0?maximumConnections=4000";
    let a = node("a", folder.path(), "30s").start().unwrap();
    let b = node("b", folder.path(), "30s").listen(listen).start().unwrap();
    b.becomes("standby (master: a, epoch 1)");
    a.signal(Signal::STOP);
    suspects(&b);
    let began = Instant::now();
    let held: Vec<_> = (0..HELD).map(|_| connect(b.address())).collect();
    assert!(is_reset(connect(b.address())), "one too many");
    assert!(began.elapsed() < HOLD, "this machine is too slow for the test");
    for stream in held {
        assert!(is_reset(stream), "held no longer than its time");
    }
    let took = began.elapsed();
    assert!(HOLD - Duration::from_secs(1) < took && took < HOLD + Duration::from_secs(5), "{took:?}");
    assert!(is_reset(connect(b.address())), "and who comes later is not held again");
    assert!(!b.output().all().iter().any(|line| line.starts_with("role active")), "it is only suspected");
}

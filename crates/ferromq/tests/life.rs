//! A broker's life from the start to its end, orderly or not.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::net::TcpListener;

use ferromq_testkit::{PATIENCE, Refused};
use peer::{Peer, ferromq};

mod peer;

#[test]
fn it_says_where_it_listens_and_ends_in_order() {
    let node = ferromq().listen("tcp://127.0.0.1:0").listen("tcp://127.0.0.1:0").start().unwrap();
    assert_eq!(node.urls().len(), 2);
    assert_ne!(node.urls()[0], node.urls()[1]);
    Peer::connect(node.address()).unwrap();
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_term_signal_tells_clients_and_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let launch = ferromq().data(folder.path().join("data"));

    let node = launch.start().unwrap();
    let mut peer = Peer::connect(node.address()).unwrap();
    for number in 0..100 {
        peer.send("orders", &number.to_string()).unwrap();
    }
    node.ask_to_stop();
    while peer.read().is_ok() {}
    assert_eq!(node.stop().code(), Some(0), "although a client was connected");

    let node = launch.start().unwrap();
    let mut peer = Peer::connect(node.address()).unwrap();
    peer.consume("orders", 100).unwrap();
    for number in 0..100 {
        assert_eq!(peer.receive().unwrap(), (number.to_string(), false));
    }
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged_and_repeats_nothing_that_was_consumed() {
    let folder = tempfile::tempdir().unwrap();
    let launch = ferromq().data(folder.path().join("data"));
    let (mut sent, mut consumed) = (0_u32, 0_u32);
    for round in 0..5 {
        let node = launch.start().unwrap_or_else(|refused| panic!("round {round}: {refused}"));
        let mut peer = Peer::connect(node.address()).unwrap();
        for _ in 0..200 {
            peer.send("orders", &sent.to_string()).unwrap();
            sent += 1;
        }
        peer.consume("orders", 1).unwrap();
        for _ in 0..100 {
            assert_eq!(peer.receive().unwrap().0, consumed.to_string(), "round {round}");
            consumed += 1;
        }
        node.kill();
    }
    let node = launch.start().unwrap();
    let mut peer = Peer::connect(node.address()).unwrap();
    peer.consume("orders", 1_000).unwrap();
    while consumed < sent {
        assert_eq!(peer.receive().unwrap().0, consumed.to_string());
        consumed += 1;
    }
    peer.round_trip("orders", "and nothing else").unwrap();
}

#[test]
fn two_brokers_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let launch = ferromq().data(folder.path().join("data"));
    let first = launch.start().unwrap();
    let Refused { code, said } = launch.start().unwrap_err();
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains("in use") && said.contains("--data"), "{said}");
    Peer::connect(first.address()).unwrap().send("orders", "the first one goes on").unwrap();
}

#[test]
fn a_port_in_use_is_refused_with_a_remedy_and_before_the_folder_is_touched() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = format!("tcp://{}", taken.local_addr().unwrap());
    let Refused { code, said } = ferromq().listen(url.as_str()).data(&data).start().unwrap_err();
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains(&url) && said.contains("in use") && said.contains("--listen"), "{said}");
    assert!(!data.exists());
}

#[test]
fn a_folder_that_can_not_be_made_is_refused_with_a_remedy() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let Refused { code, said } = ferromq().data(file.path().join("data")).start().unwrap_err();
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains(file.path().to_str().unwrap()) && said.contains("--data"), "{said}");
}

#[test]
fn a_folder_of_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(ferromq().data(&data).start().unwrap().stop().success());
    let marker = data.join("format");
    assert!(marker.exists(), "the journal marks its folder");
    std::fs::write(marker, "ferromq-store 999\n").unwrap();
    let Refused { code, said } = ferromq().data(&data).start().unwrap_err();
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains("999"), "{said}");
}

#[test]
fn nobody_comes_in_over_the_network_without_a_login_by_accident() {
    let Refused { code, said } = ferromq().listen("tcp://0.0.0.0:0").start().unwrap_err();
    assert_eq!(code, Some(64), "{said}");
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    let Refused { code, said } = ferromq().arg("--no-such-flag").start().unwrap_err();
    assert_eq!(code, Some(64), "{said}");
    let Refused { code, said } = ferromq().listen("ftp://127.0.0.1:0").start().unwrap_err();
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("ftp"), "{said}");
}

#[test]
fn a_second_signal_does_not_wait_for_clients() {
    let node = ferromq().arg("--store").arg("memory").start().unwrap();
    let _peer = Peer::connect(node.address()).unwrap();
    node.ask_to_stop();
    assert!(node.log().wait_for("stopping", PATIENCE).is_some());
    node.ask_to_stop();
    assert_eq!(node.stop().code(), Some(0));
}

//! The agent on real sockets of loopback.

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use ferromq_uri::{MulticastOptions, Uri};

use super::Multicast;

const SOON: Duration = Duration::from_secs(10);

/// A group on the loopback interface that no other test has.
fn group(more: &str) -> MulticastOptions {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 10_000).unwrap();
    let port = 20_000 + process + NEXT.fetch_add(1, Ordering::Relaxed);
    let uri = format!(
        "multicast://239.255.77.1:{port}?interface=127.0.0.1&joinNetworkInterface=lo&keepAliveInterval=50{more}"
    );
    MulticastOptions::from_uri(&Uri::parse(&uri).unwrap()).unwrap()
}

/// Waits until just these are there.
async fn present(agent: &mut Multicast, expected: &[&str]) {
    let mut last = Vec::new();
    let seen = tokio::time::timeout(SOON, async {
        loop {
            last = agent.changed().await.iter().map(ToString::to_string).collect();
            if last == expected {
                return;
            }
        }
    });
    assert!(seen.await.is_ok(), "{last:?} instead of {expected:?}");
}

#[tokio::test]
async fn agents_on_one_machine_find_each_other_and_hear_who_leaves() {
    let options = group("");
    let own = ["tcp://127.0.0.1:1".to_owned()];
    // Given one that listens alone, and two that tell of themselves
    let mut listener = Multicast::join(&options, Vec::new(), &own).unwrap();
    let first = Multicast::join(&options, own.to_vec(), &[]).unwrap();
    let mut second = Multicast::join(&options, vec!["tcp://127.0.0.1:2".to_owned()], &[]).unwrap();
    // Then the listener does not find what is its own
    present(&mut listener, &["tcp://127.0.0.1:2"]).await;
    present(&mut second, &["tcp://127.0.0.1:1"]).await;
    // When one leaves, then the other hears of it at once
    first.leave().await;
    present(&mut second, &[]).await;
    drop(second);
    present(&mut listener, &[]).await;
}

#[tokio::test]
async fn who_falls_silent_is_gone_after_ten_intervals() {
    let options = group("");
    let mut listener = Multicast::join(&options, Vec::new(), &[]).unwrap();
    let socket = super::socket::open(&options).unwrap();
    socket.send_to(b"default.ActiveMQ-4.alive.%localhost%tcp://127.0.0.1:3", options.address).unwrap();
    present(&mut listener, &["tcp://127.0.0.1:3"]).await;
    present(&mut listener, &[]).await;
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_named() {
    let error = Multicast::join(&group("&networkInterface=nowhere0"), Vec::new(), &[]).unwrap_err();
    assert!(error.to_string().contains("nowhere0"), "{error}");
}

#[tokio::test]
async fn a_group_that_can_not_be_joined_yet_is_joined_as_soon_as_it_can() {
    // Given somebody who shares the port with nobody
    let options = group("");
    let alone = std::net::UdpSocket::bind(options.address).unwrap();
    assert!(Multicast::join(&options, Vec::new(), &[]).is_err());
    let joining = Multicast::join_when_possible(&options, Vec::new(), &[]);
    tokio::pin!(joining);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut joining).await;
    assert!(early.is_err(), "it waits");
    // When that one has gone, then the group is joined.
    drop(alone);
    let joined = tokio::time::timeout(SOON, joining).await;
    assert!(joined.is_ok());
}

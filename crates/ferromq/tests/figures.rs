//! What status, health and metrics say of real processes, held against what happens to them.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what can not be set up ends the test"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ferromq_proto::admin::admin_client::AdminClient;
use ferromq_proto::admin::{GetStatusRequest, Status};
use ferromq_proto::health::HealthCheckRequest;
use ferromq_proto::health::health_check_response::ServingStatus;
use ferromq_proto::health::health_client::HealthClient;
use ferromq_testkit::{Launch, Node, PATIENCE, Postgres};
use peer::{Peer, ferromq};
use rustix::process::Signal;
use tonic::transport::{Channel, Endpoint};

mod peer;

/// What a machine that is busy with other things may add to any time that is measured here.
const SLACK: Duration = Duration::from_secs(2);

fn node(name: &str, folder: &Path) -> Launch {
    ferromq().arg("--name").arg(name).arg("--takeover-after").arg("2s").data(folder.join("shared"))
}

fn admin(node: &Node) -> String {
    let line = |lines: &[String]| {
        lines.iter().find_map(|line| line.strip_prefix("operators on ")).map(str::to_owned)
    };
    node.output().wait_until(PATIENCE, line).expect("an admin port")
}

fn block_on<T>(doing: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(doing)
}

async fn channel(node: &Node) -> Channel {
    Endpoint::from_shared(admin(node)).unwrap().connect().await.unwrap()
}

fn status(node: &Node) -> Status {
    block_on(async {
        let answer = AdminClient::new(channel(node).await).get_status(GetStatusRequest {}).await;
        answer.unwrap().into_inner()
    })
}

/// Waits until the status of a node is as wanted.
fn status_that(node: &Node, wanted: impl Fn(&Status) -> bool) -> Status {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = status(node);
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < until, "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The number behind a name on the page of metrics.
fn metric(node: &Node, name: &str) -> f64 {
    let mut stream = TcpStream::connect(admin(node).replace("http://", "")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
}

#[test]
fn grpc_health_tells_a_standby_from_a_master_and_is_told_of_a_takeover() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| node(name, folder.path()).start().unwrap());
    b.becomes("standby (master: a, epoch 1)");
    block_on(async {
        let asked = |service: &str| HealthCheckRequest { service: service.to_owned() };
        for (node, ready) in [(&a, ServingStatus::Serving), (&b, ServingStatus::NotServing)] {
            let mut health = HealthClient::new(channel(node).await);
            for (service, expected) in
                [("", ServingStatus::Serving), ("liveness", ServingStatus::Serving), ("readiness", ready)]
            {
                let answer = health.check(asked(service)).await.unwrap().into_inner();
                assert_eq!(answer.status(), expected, "{service}");
            }
            let unknown = health.check(asked("orders")).await.unwrap_err();
            assert_eq!(unknown.code(), tonic::Code::NotFound);
        }
        let mut health = HealthClient::new(channel(&b).await);
        let mut watched = health.watch(asked("readiness")).await.unwrap().into_inner();
        assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        a.kill();
        let change = tokio::time::timeout(PATIENCE, watched.message()).await.expect("a change");
        assert_eq!(change.unwrap().unwrap().status(), ServingStatus::Serving);
    });
}

#[test]
fn the_lag_of_a_standby_is_what_it_has_not_read_and_falls_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Without a checkpoint on the way, a standby has to read everything.
    let launch = |name| node(name, folder.path()).env("FERROMQ_STORE_CHECKPOINT_BYTES", "8 GiB");
    let a = launch("a").start().unwrap();
    let mut peer = Peer::connect(a.address()).unwrap();
    let text = "x".repeat(1 << 20);
    for _ in 0..256 {
        peer.send("orders", &text).unwrap();
    }
    let b = launch("b").start().unwrap();
    let first = status(&b);
    let lag = first.lag_bytes.unwrap();
    assert!(0 < lag && lag < 400 << 20, "{lag}");
    let last = status_that(&b, |status| status.lag_bytes == Some(0));
    assert!(last.expected_takeover_ms.unwrap() < first.expected_takeover_ms.unwrap(), "{first:?}");
    assert_eq!(metric(&b, "ferromq_lag_bytes") as u64, 0);
    assert_eq!(status(&a).lag_bytes, None, "a master follows nobody");

    // What is written now is followed, and so the lag is nothing again.
    peer.send("orders", "one more").unwrap();
    status_that(&b, |status| status.lag_bytes == Some(0));
}

/// Stops the master, and later the next one is killed: each time the standby serves within what it said.
fn takeovers_last_no_longer_than_expected(start: impl Fn(&str) -> Node) {
    let (a, b) = (start("a"), start("b"));
    b.becomes("standby (master: a, epoch 1)");
    let expected = status_that(&b, |status| status.lag_bytes == Some(0)).expected_takeover_ms.unwrap();
    let expected = Duration::from_millis(expected);
    let began = Instant::now();
    a.signal(Signal::STOP);
    b.becomes("active (epoch 2");
    let took = began.elapsed();
    assert!(expected / 2 < took && took < expected + SLACK, "expected {expected:?}, took {took:?}");
    assert_eq!(status(&b).expected_takeover_ms, None, "a master takes over from nobody");

    let mut peer = Peer::connect(b.address()).unwrap();
    peer.send("orders", "to the new master").unwrap();
    let last = status_that(&b, |status| {
        status.last_takeover.as_ref().is_some_and(|takeover| takeover.first_reply_ms.is_some())
    });
    let told = last.last_takeover.unwrap();
    let moments = [told.claimed_ms, told.recovered_ms, told.listening_ms, told.first_connection_ms]
        .map(|moment| moment.expect("every moment is told"));
    assert!(moments.is_sorted() && moments[3] <= told.first_reply_ms.unwrap(), "{told:?}");
    assert!(Duration::from_millis(told.listening_ms.unwrap()) <= took, "{told:?}");

    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 2)");
    status_that(&a, |status| status.lag_bytes == Some(0));
    let began = Instant::now();
    b.kill();
    a.becomes("active (epoch 3");
    let took = began.elapsed();
    assert!(took < expected + SLACK, "expected {expected:?}, took {took:?}");
}

#[test]
fn a_takeover_on_a_folder_lasts_as_long_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    takeovers_last_no_longer_than_expected(|name| node(name, folder.path()).start().unwrap());
}

#[test]
fn a_takeover_on_a_database_lasts_as_long_as_expected() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let launch = ferromq().arg("--takeover-after").arg("2s").arg("--store").arg(server.url());
    takeovers_last_no_longer_than_expected(|name| launch.clone().arg("--name").arg(name).start().unwrap());
}

#[test]
fn the_lag_behind_a_database_that_does_not_answer_is_unknown() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let launch = ferromq().arg("--takeover-after").arg("60s").arg("--store").arg(server.url());
    let start = |name: &str| launch.clone().arg("--name").arg(name).start().unwrap();
    let (_a, b) = (start("a"), start("b"));
    status_that(&b, |status| status.lag_bytes == Some(0));
    server.pause();
    let unknown = status_that(&b, |status| status.lag_bytes.is_none());
    server.resume();
    assert_eq!(unknown.role(), ferromq_proto::admin::Role::Standby);
    status_that(&b, |status| status.lag_bytes == Some(0) && status.expected_takeover_ms.is_some());
}

/// Every send is synced, and every sync is followed by a look for a higher epoch.
fn syncs_and_fences_are_counted(launch: &Launch) {
    let a = launch.clone().arg("--name").arg("a").start().unwrap();
    let mut peer = Peer::connect(a.address()).unwrap();
    peer.send("orders", "first").unwrap();
    let names = ["ferromq_sync_seconds_count", "ferromq_fence_seconds_count"];
    let sums = ["ferromq_sync_seconds_sum", "ferromq_fence_seconds_sum"];
    let before = names.map(|name| metric(&a, name));
    let (began, seconds) = (Instant::now(), sums.map(|name| metric(&a, name)));
    for _ in 0..20 {
        peer.send("orders", "x").unwrap();
    }
    let (sent, after) = (began.elapsed().as_secs_f64(), names.map(|name| metric(&a, name)));
    let lasted = sums.map(|name| metric(&a, name));
    for ((before, after), name) in before.into_iter().zip(after).zip(names) {
        assert!(after - before >= 20.0, "{name}: {before} before, {after} after");
    }
    let sync = lasted[0] - seconds[0];
    assert!(0.0 < sync && sync < 2.0 * sent + 1.0, "20 syncs in {sync} s of {sent} s");
    assert!(lasted[1] - seconds[1] < sync, "a look is less than a sync");
    assert_eq!(metric(&a, "ferromq_fence_failures_total") as u64, 0);
}

#[test]
fn syncs_and_fences_of_a_journal_are_counted() {
    syncs_and_fences_are_counted(&ferromq());
}

#[test]
fn syncs_and_fences_of_sqlite_are_counted() {
    syncs_and_fences_are_counted(&ferromq().arg("--store").arg("sqlite"));
}

#[test]
fn syncs_and_fences_of_a_database_are_counted() {
    let Some(server) = Postgres::start_or_skip() else { return };
    syncs_and_fences_are_counted(&ferromq().arg("--store").arg(server.url()));
}

#[test]
fn a_master_that_was_superseded_counts_a_step_down_and_no_takeover() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| node(name, folder.path()).start().unwrap());
    let mut peer = Peer::connect(a.address()).unwrap();
    peer.send("orders", "before").unwrap();
    a.signal(Signal::STOP);
    b.becomes("active (epoch 2");
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 2)");
    let status = status(&a);
    assert_eq!((status.step_downs, status.takeovers), (1, 0), "{status:?}");
}

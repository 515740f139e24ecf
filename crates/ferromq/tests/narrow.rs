//! Links through which not everything fits: to brokers that take small frames only, that are slow, or far away.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, Node, PATIENCE, Receiver};
use rustix::process::Signal;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn launch(name: &str) -> Launch {
    Launch::new(PROGRAM).arg("--name").arg(name)
}

fn linked(name: &str, uri: &str) -> Node {
    launch(name).arg("--network-connector").arg(uri).start().unwrap()
}

/// Sends a message for each line.
fn send(node: &Node, destination: &str, lines: &[&str]) {
    let mut sender = Command::new(PROGRAM)
        .args(["send", "--url", node.url(), destination])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    sender.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    assert!(sender.wait().unwrap().success());
}

fn consume(node: &Node, destination: &str) -> Receiver {
    Receiver::new(PROGRAM, node.url(), destination, &[])
}

/// Waits until the first link of a node is as `wanted` says.
fn link_is(node: &Node, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = Command::new(PROGRAM).args(["status", node.url(), "--json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        if let Some(link) = told["links"].as_array().into_iter().flatten().find(|link| wanted(link)) {
            return link.clone();
        }
        assert!(Instant::now() < deadline, "{told:#}\n{:?}", node.log().all());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A way to a broker on which everything takes as long as `delay`, and what goes there stands still while `still` says so.
fn way(to: &Node, delay: Duration, still: &Arc<AtomicBool>) -> String {
    let (listener, to) = (TcpListener::bind("127.0.0.1:0").unwrap(), to.address());
    let (address, still) = (listener.local_addr().unwrap(), Arc::clone(still));
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(to) else { continue };
            for (from, to, still) in [(&near, &far, Arc::clone(&still)), (&far, &near, Arc::default())] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || pass(from, to, delay, &still));
            }
        }
    });
    format!("tcp://{address}")
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration, still: &AtomicBool) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        std::thread::sleep(delay);
        while still.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_message_that_the_peer_can_not_take_is_a_dead_letter_and_the_link_goes_on() {
    // Given two brokers of which each takes less over the link than its own clients may send
    let small = "wireFormat.maxFrameSize=100000";
    let b =
        launch("b").listen("tcp://127.0.0.1:0").listen(format!("tcp://127.0.0.1:0?{small}")).start().unwrap();
    let narrow = b.urls().last().unwrap().clone();
    let a = linked("a", &format!("static:({narrow})?name=nc&duplex=true"));
    let large = "x".repeat(200_000);
    for (from, to) in [(&a, &b), (&b, &a)] {
        let receiver = consume(to, "queue://orders");
        link_is(from, |link| link["consumers"] == 1);
        // when a message comes that is too large for the link
        send(from, "queue://orders", &["before", &large, "after"]);
        // then the others go over, and it is set aside with the reason where it was sent.
        assert!(receiver.wait_for(2), "{:?}\n{:?}", from.log().all(), to.log().all());
        assert_eq!(receiver.all(), ["before", "after"]);
        let dead = consume(from, "queue://ActiveMQ.DLQ");
        assert!(dead.wait_for(1), "{:?}", from.log().all());
        assert!(dead.all() == [large.as_str()]);
        // What is shown of a link is up to a quarter of a second old.
        let link = link_is(from, |link| link["refused"] == 1 && link["forwarded"] == 2);
        assert_eq!(link["up"], true);
        assert!(from.log().wait_for("maxFrameSize", PATIENCE).is_some(), "{:?}", from.log().all());
    }
}

#[test]
fn what_both_brokers_take_goes_over_however_large_it_is() {
    // Given listeners that take more than is usual
    let large = "wireFormat.maxFrameSize=200000000";
    let wide = |start: Launch| start.listen(format!("tcp://127.0.0.1:0?{large}"));
    let b = wide(launch("b")).start().unwrap();
    let uri = format!("static:({})?name=nc", b.url());
    let a = wide(launch("a").arg("--network-connector").arg(uri)).start().unwrap();
    let receiver = Receiver::new(PROGRAM, &format!("{}?{large}", b.url()), "queue://large", &[]);
    // when a message is larger than what is usual
    let mut sender = Command::new(PROGRAM)
        .args(["send", "--url", &format!("{}?{large}", a.url()), "queue://large"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    sender.stdin.take().unwrap().write_all(&vec![b'x'; 105 << 20]).unwrap();
    assert!(sender.wait().unwrap().success(), "{:?}", a.log().all());
    // then it arrives.
    assert!(receiver.wait_for(1), "{:?}\n{:?}", a.log().all(), b.log().all());
    assert_eq!(receiver.all().concat().len(), 105 << 20);
}

#[test]
fn what_a_slow_link_has_not_taken_stays_in_the_store() {
    let still = Arc::new(AtomicBool::new(false));
    let b = launch("b").start().unwrap();
    let a = linked("a", &format!("static:({})?name=nc", way(&b, Duration::ZERO, &still)));
    let large = "x".repeat(1_000_000);
    send(&a, "queue://large", &[large.as_str(); 64]);
    link_is(&a, |link| link["up"] == true);
    // Given a link that takes nothing any longer
    still.store(true, Ordering::Relaxed);
    // when somebody over there wants what is here
    let receiver = consume(&b, "queue://large");
    link_is(&a, |link| link["consumers"] == 1 && link["in_flight"] != 0);
    std::thread::sleep(Duration::from_secs(1));
    // then the link holds what sockets and one buffer take, and not all that its window would allow.
    let waits = link_is(&a, |_| true);
    assert!(waits["forwarded"] == 0 && waits["in_flight"].as_u64() < Some(32), "{waits:#}");
    // When it goes on, everything arrives.
    still.store(false, Ordering::Relaxed);
    assert!(receiver.wait_for(64), "{:?}", a.log().all());
    link_is(&a, |link| link["forwarded"] == 64 && link["in_flight"] == 0);
}

#[test]
fn a_broker_that_is_far_away_is_waited_for() {
    let still = Arc::new(AtomicBool::new(false));
    let b = launch("b").start().unwrap();
    let a = linked("a", &format!("static:({})?name=nc", way(&b, Duration::from_millis(1_200), &still)));
    assert!(a.log().wait_for("has been established", PATIENCE).is_some(), "{:?}", a.log().all());
    assert!(!a.log().all().concat().contains("no network connection"), "at the first attempt");
}

#[test]
fn a_queue_that_is_full_over_there_holds_up_no_other_of_its_link() {
    // Given brokers with room for few messages of one queue, and a link both ways
    let folder = tempfile::tempdir().unwrap();
    let narrow = |name: &str| {
        let file = folder.path().join(name);
        let policy = format!("[[policy]]\ndestination = 'queue://full.{name}'\nstore_limit = '20KiB'\n");
        std::fs::write(&file, policy).unwrap();
        launch(name).arg("--config").arg(file)
    };
    let b = narrow("b").start().unwrap();
    let uri = format!("static:({})?name=nc&duplex=true", b.url());
    let a = narrow("a").arg("--network-connector").arg(uri).start().unwrap();
    let body = "x".repeat(1_000);
    let all: Vec<String> = (0..3_000).map(|number| format!("m{number} {body}")).collect();
    let lines: Vec<&str> = all.iter().map(String::as_str).collect();
    for (from, to, full) in [(&a, &b, "queue://full.b"), (&b, &a, "queue://full.a")] {
        let (slow, quick) = (consume(to, full), consume(to, "queue://open"));
        link_is(from, |link| link["consumers"] == 2);
        // whose consumer stands still, when more comes than there is room for
        slow.signal(Signal::STOP);
        send(from, full, &lines[..500]);
        // then more messages of another queue go over than a stream has positions
        send(from, "queue://open", &lines);
        assert!(quick.wait_for(3_000), "{:?}\n{:?}", from.log().all(), to.log().all());
        assert!(quick.all() == all);
        // and it can be seen which queue is full.
        let told = Command::new(PROGRAM).args(["status", from.url(), "--json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["streams"][0]["without_room"], serde_json::json!([full]), "{told:#}");
        // When the consumer goes on, what waited here comes, in order.
        slow.signal(Signal::CONT);
        assert!(slow.wait_for(500), "{:?}\n{:?}", from.log().all(), to.log().all());
        assert!(slow.all() == all[..500]);
    }
}

//! Networks of brokers, as real processes: what is sent here arrives where its consumer is, once.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, Lines, Node, PATIENCE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn launch(name: &str) -> Launch {
    Launch::new(PROGRAM).arg("--name").arg(name)
}

/// Starts a broker with links to others.
fn linked(name: &str, connectors: &[String]) -> Node {
    let start = connectors.iter().fold(launch(name), |start, uri| start.arg("--network-connector").arg(uri));
    start.start().unwrap()
}

fn to(node: &Node, options: &str) -> String {
    format!("static:({})?{options}", node.url())
}

/// Waits until a link of the node is up for the `nth` time.
fn established(node: &Node, nth: usize) {
    let seen = node.log().wait_until(PATIENCE, |lines| {
        (lines.iter().filter(|line| line.contains("has been established")).count() >= nth).then_some(())
    });
    assert!(seen.is_some(), "no link: {:?}", node.log().all());
}

/// Sends numbered messages and waits until the broker has them.
fn send(url: &str, destination: &str, numbers: std::ops::Range<usize>, options: &[&str]) {
    let mut sender = Command::new(PROGRAM)
        .args(["send", "--url", url])
        .args(options)
        .arg(destination)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines: String = numbers.map(|number| format!("m{number}\n")).collect();
    sender.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(sender.wait().unwrap().success(), "sending to {url}");
}

/// A consumer of its own process.
struct Receiver {
    child: Child,
    lines: Lines,
}

impl Receiver {
    fn new(url: &str, destination: &str, options: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["receive", "--url", url])
            .args(options)
            .arg(destination)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = Lines::capture(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn wait_for(&self, count: usize) -> bool {
        self.lines.wait_until(PATIENCE, |lines| (lines.len() >= count).then_some(())).is_some()
    }

    /// Waits until it has acknowledged what it was asked to take, and ended: one that is killed after it has written a
    /// message, and before it has acknowledged it, leaves it to be delivered again.
    fn done(mut self) -> Vec<String> {
        assert!(self.lines.wait_for_end(PATIENCE));
        assert!(self.child.wait().unwrap().success());
        self.lines.all()
    }

    fn all(&self) -> Vec<String> {
        self.lines.all()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of what was sent.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    sent: usize,
    received: usize,
    lost: usize,
    duplicated: usize,
}

fn account(scenario: &str, sent: usize, received: &[Vec<String>]) -> Account {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in received.iter().flatten() {
        *seen.entry(line).or_default() += 1;
    }
    let account = Account {
        sent,
        received: received.iter().map(Vec::len).sum(),
        lost: sent.saturating_sub(seen.len()),
        duplicated: seen.values().map(|times| times - 1).sum(),
    };
    println!("{scenario}: {account:?}");
    account
}

fn whole(sent: usize) -> Account {
    Account { sent, received: sent, lost: 0, duplicated: 0 }
}

/// Long enough for a message that must not come, if it were to come.
fn settle() {
    std::thread::sleep(Duration::from_millis(700));
}

#[test]
fn messages_stay_until_somebody_wants_them_over_there() {
    let b = linked("b", &[]);
    let a = linked("a", &[to(&b, "name=nc")]);
    established(&a, 1);
    send(a.url(), "queue://orders", 0..200, &[]);

    let nobody = Receiver::new(b.url(), "queue://other", &[]);
    settle();
    assert!(nobody.all().is_empty());
    let receiver = Receiver::new(b.url(), "queue://orders", &[]);
    assert!(receiver.wait_for(200), "{:?}\n{:?}", a.log().all(), b.log().all());
    settle();
    let order: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    assert_eq!(receiver.all(), order, "in the order in which they were sent");
    assert_eq!(account("one way", 200, &[receiver.all()]), whole(200));
}

#[test]
fn a_duplex_link_carries_both_ways() {
    let b = linked("b", &[]);
    let a = linked("a", &[to(&b, "name=nc&duplex=true")]);
    established(&a, 1);
    established(&b, 1);
    let at_b = Receiver::new(b.url(), "queue://east", &[]);
    let at_a = Receiver::new(a.url(), "queue://west", &[]);
    send(a.url(), "queue://east", 0..100, &[]);
    send(b.url(), "queue://west", 0..100, &[]);
    assert!(at_b.wait_for(100), "{:?}", a.log().all());
    assert!(at_a.wait_for(100), "{:?}\n{:?}", a.log().all(), b.log().all());
    assert_eq!(account("duplex, out", 100, &[at_b.all()]), whole(100));
    assert_eq!(account("duplex, back", 100, &[at_a.all()]), whole(100));
}

#[test]
fn a_chain_is_passed_as_far_as_the_ttl_says() {
    for (ttl, arrives) in [(1, false), (2, true)] {
        let c = linked("c", &[]);
        let b = linked("b", &[to(&c, &format!("networkTTL={ttl}"))]);
        let a = linked("a", &[to(&b, &format!("networkTTL={ttl}"))]);
        established(&a, 1);
        established(&b, 1);
        let receiver = Receiver::new(c.url(), "queue://far", &[]);
        send(a.url(), "queue://far", 0..50, &[]);
        if arrives {
            assert!(receiver.wait_for(50), "{:?}\n{:?}", a.log().all(), b.log().all());
            assert_eq!(account("chain, TTL 2", 50, &[receiver.all()]), whole(50));
        } else {
            settle();
            assert!(receiver.all().is_empty(), "TTL 1 does not reach the third broker");
        }
    }
}

#[test]
fn a_triangle_gives_each_subscriber_one_copy() {
    let ports: Vec<String> = (0..3).map(|_| free_port()).collect();
    let names = ["a", "b", "c"];
    let nodes: Vec<Node> = names
        .iter()
        .zip(&ports)
        .map(|(name, own)| {
            let others: Vec<&str> = ports.iter().filter(|port| *port != own).map(String::as_str).collect();
            let uri = format!("static:({})?initialReconnectDelay=100", others.join(","));
            launch(name).listen(own).arg("--network-connector").arg(uri).start().unwrap()
        })
        .collect();
    nodes.iter().for_each(|node| established(node, 2));
    let receivers: Vec<Receiver> =
        nodes.iter().map(|node| Receiver::new(node.url(), "topic://news", &[])).collect();
    // A topic keeps nothing for those who come later: send until everybody has heard of the first.
    let until = Instant::now() + PATIENCE;
    while receivers.iter().any(|receiver| receiver.all().is_empty()) {
        assert!(
            Instant::now() < until,
            "{:?}",
            nodes.iter().map(|node| node.log().all()).collect::<Vec<_>>()
        );
        send(nodes[0].url(), "topic://news", 9_999..10_000, &[]);
    }
    send(nodes[0].url(), "topic://news", 0..100, &[]);
    for (name, receiver) in names.iter().zip(&receivers) {
        let last = receiver.lines.wait_for("m99", PATIENCE);
        assert!(last.is_some(), "nothing at {name}");
        settle();
        let numbered: Vec<String> = receiver.all().into_iter().filter(|line| line != "m9999").collect();
        assert_eq!(account(&format!("triangle, at {name}"), 100, &[numbered]), whole(100));
    }
}

#[test]
fn a_backlog_goes_back_to_where_its_consumer_went() {
    let b = linked("b", &[]);
    let a = linked("a", &[to(&b, "duplex=true")]);
    established(&b, 1);
    let first = Receiver::new(b.url(), "queue://moving", &["--count", "1"]);
    send(a.url(), "queue://moving", 0..100, &[]);
    let taken = first.done();
    settle();
    // What had gone to b by then has passed a already.
    let second = Receiver::new(a.url(), "queue://moving", &[]);
    assert!(second.wait_for(99), "{} of 99\n{:?}\n{:?}", second.all().len(), a.log().all(), b.log().all());
    settle();
    assert_eq!(account("consumer moves", 100, &[taken, second.all()]), whole(100));
}

#[test]
fn a_link_that_is_cut_by_the_death_of_a_broker_loses_and_repeats_nothing() {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let start_b = || launch("b").listen(&port).data(folder.path()).start().unwrap();
    let b = start_b();
    let a = linked("a", &[format!("static:({port})?initialReconnectDelay=100")]);
    established(&a, 1);
    let first = Receiver::new(b.url(), "queue://cut", &["--count", "50"]);
    let sender = {
        let url = a.url().to_owned();
        std::thread::spawn(move || send(&url, "queue://cut", 0..2_000, &[]))
    };
    assert!(first.wait_for(50));
    b.kill();
    let taken = first.all();
    sender.join().unwrap();

    let b = start_b();
    established(&a, 2);
    let second = Receiver::new(b.url(), "queue://cut", &[]);
    let missing = 2_000 - taken.len();
    assert!(second.wait_for(missing), "{} of {missing}\n{:?}", second.all().len(), a.log().all());
    settle();
    // What the first consumer had taken, and its broker did not know of, may come once more to the second.
    let account = account("broker killed", 2_000, &[second.all(), taken]);
    assert_eq!(account.lost, 0);
    assert!(account.duplicated <= 50, "{account:?}");
    let mut again = second.all();
    let count = again.len();
    again.sort();
    again.dedup();
    assert_eq!(again.len(), count, "nothing comes twice over the link");
}

#[test]
fn selectors_and_exclusions_hold_over_a_link() {
    let b = linked("b", &[]);
    let a = linked("a", &[to(&b, "excludedDestinations=queue://secret.%3E")]);
    established(&a, 1);
    let red = Receiver::new(b.url(), "queue://coloured", &["--selector", "colour = 'red'"]);
    let secret = Receiver::new(b.url(), "queue://secret.plan", &[]);
    send(a.url(), "queue://coloured", 0..20, &["--property", "colour=blue"]);
    send(a.url(), "queue://coloured", 20..40, &["--property", "colour=red"]);
    send(a.url(), "queue://secret.plan", 0..10, &[]);
    assert!(red.wait_for(20), "{:?}", a.log().all());
    settle();
    assert_eq!(account("selector, red", 20, &[red.all()]), whole(20));
    assert!(secret.all().is_empty());
    // The blue ones were not carried to where nobody wants them.
    let blue = Receiver::new(a.url(), "queue://coloured", &[]);
    assert!(blue.wait_for(20), "{}", blue.all().len());
}

#[test]
fn pairs_are_joined_and_go_on_when_their_masters_are_killed() {
    let (east, west) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ports: Vec<String> = (0..4).map(|_| free_port()).collect();
    let pair = |names: [&str; 2], folder: &std::path::Path, own: &[String], connector: Option<String>| {
        let start = |name: &str, port: &String| {
            let start = launch(name).listen(port).data(folder).arg("--takeover-after").arg("500ms");
            let start = match &connector {
                Some(uri) => start.arg("--network-connector").arg(uri),
                None => start,
            };
            start.start().unwrap()
        };
        let master = start(names[0], &own[0]);
        assert!(master.output().wait_for("role active", PATIENCE).is_some());
        let standby = start(names[1], &own[1]);
        assert!(standby.output().wait_for("role standby", PATIENCE).is_some());
        (master, standby)
    };
    let (w1, w2) = pair(["w1", "w2"], west.path(), &ports[2..], None);
    let uri = format!("masterslave:({},{})?initialReconnectDelay=100", ports[2], ports[3]);
    let (e1, e2) = pair(["e1", "e2"], east.path(), &ports[..2], Some(uri));
    established(&e1, 1);
    let west_url = format!("failover:({},{})", ports[2], ports[3]);
    let east_url = format!("failover:({},{})", ports[0], ports[1]);
    let receiver = Receiver::new(&west_url, "queue://pairs", &[]);
    send(&east_url, "queue://pairs", 0..300, &[]);
    assert!(receiver.wait_for(300), "{:?}", e1.log().all());

    w1.kill();
    send(&east_url, "queue://pairs", 300..600, &[]);
    assert!(receiver.wait_for(600), "{}\n{:?}\n{:?}", receiver.all().len(), e1.log().all(), w2.log().all());
    e1.kill();
    send(&east_url, "queue://pairs", 600..900, &[]);
    assert!(receiver.wait_for(900), "{}\n{:?}", receiver.all().len(), e2.log().all());
    settle();
    let account = account("pairs", 900, &[receiver.all()]);
    assert_eq!(account.lost, 0);
}

#[test]
fn bad_neighbours_leave_the_broker_unaffected() {
    let web = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = format!("tcp://{}", web.local_addr().unwrap());
    let talk = std::thread::spawn(move || {
        if let Ok((mut peer, _)) = web.accept() {
            let _ = peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let own = free_port();
    let nobody = free_port();
    let uri = |target: &str, name: &str| format!("static:({target})?name={name}&initialReconnectDelay=100");
    let a = launch("a")
        .listen(&own)
        .arg("--network-connector")
        .arg(uri(&own, "self"))
        .arg("--network-connector")
        .arg(uri(&nobody, "nobody"))
        .arg("--network-connector")
        .arg(uri(&stranger, "stranger"))
        .start()
        .unwrap();
    for reason in ["is this broker itself", "onnection refused", "no OpenWire"] {
        let told = a.log().wait_for(reason, PATIENCE);
        assert!(told.is_some(), "{reason}: {:?}", a.log().all());
    }
    send(a.url(), "queue://q", 0..10, &[]);
    let receiver = Receiver::new(a.url(), "queue://q", &[]);
    assert!(receiver.wait_for(10));
    talk.join().unwrap();
    assert_eq!(a.stop().code(), Some(0));
}

/// A port that nobody else takes before a broker listens on it: below those that a system gives to whoever asks for
/// any, and another one at each call.
fn free_port() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + std::process::id().wrapping_mul(61).wrapping_add(nth) % 16_000;
        let address = format!("127.0.0.1:{port}");
        if std::net::TcpListener::bind(&address).is_ok() {
            return format!("tcp://{address}");
        }
    }
}

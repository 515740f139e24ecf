//! Networks of brokers, as real processes: what is sent here arrives where its consumer is, once.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, Node, PATIENCE, Receiver, reserved_address};
use rustix::process::Signal;

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
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = numbers.map(|number| format!("m{number}\n")).collect();
    sender.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = sender.wait_with_output().unwrap();
    assert!(done.status.success(), "sending to {url}: {}", String::from_utf8_lossy(&done.stderr));
}

fn consume(url: &str, destination: &str, options: &[&str]) -> Receiver {
    Receiver::new(PROGRAM, url, destination, options)
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

    let nobody = consume(b.url(), "queue://other", &[]);
    settle();
    assert!(nobody.all().is_empty());
    let receiver = consume(b.url(), "queue://orders", &[]);
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
    let at_b = consume(b.url(), "queue://east", &[]);
    let at_a = consume(a.url(), "queue://west", &[]);
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
        let receiver = consume(c.url(), "queue://far", &[]);
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
    let ports: Vec<String> = (0..3).map(|_| reserved_address()).collect();
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
        nodes.iter().map(|node| consume(node.url(), "topic://news", &[])).collect();
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
        let last = receiver.lines().wait_for("m99", PATIENCE);
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
    let first = consume(b.url(), "queue://moving", &["--count", "1"]);
    send(a.url(), "queue://moving", 0..100, &[]);
    let taken = first.done();
    settle();
    // What had gone to b by then has passed a already.
    let second = consume(a.url(), "queue://moving", &[]);
    assert!(second.wait_for(99), "{} of 99\n{:?}\n{:?}", second.all().len(), a.log().all(), b.log().all());
    settle();
    assert_eq!(account("consumer moves", 100, &[taken, second.all()]), whole(100));
}

#[test]
fn a_link_that_is_cut_by_the_death_of_a_broker_loses_and_repeats_nothing() {
    let (port, folder) = (reserved_address(), tempfile::tempdir().unwrap());
    let start_b = || launch("b").listen(&port).data(folder.path()).start().unwrap();
    let b = start_b();
    let a = linked("a", &[format!("static:({port})?initialReconnectDelay=100")]);
    established(&a, 1);
    let first = consume(b.url(), "queue://cut", &["--count", "50"]);
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
    let second = consume(b.url(), "queue://cut", &[]);
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
fn each_message_goes_over_once_and_in_order_whichever_end_is_killed_under_load() {
    const MESSAGES: usize = 4_000;
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at_a, at_b) = (reserved_address(), reserved_address());
    // Nobody consumes while brokers die, so that what comes twice came twice over the link.
    let uri = format!(
        "static:({at_b})?initialReconnectDelay=50&useExponentialBackOff=false&staticallyIncludedDestinations=queue://flow"
    );
    let start_a = || {
        let start = launch("a").listen(&at_a).data(here.path());
        start.arg("--network-connector").arg(&uri).start().unwrap()
    };
    let start_b = || launch("b").listen(&at_b).data(there.path()).start().unwrap();
    let (mut b, mut a) = (start_b(), start_a());
    established(&a, 1);
    let sender = {
        let url = format!("failover:({at_a})?initialReconnectDelay=10");
        std::thread::spawn(move || send(&url, "queue://flow", 0..MESSAGES, &[]))
    };
    let mut kills = 0;
    let mut ups = 1;
    while kills < 4 || (!sender.is_finished() && kills < 12) {
        // Into the middle of what is under way, a different one each time.
        std::thread::sleep(Duration::from_millis(60 + 35 * (kills % 5)));
        if kills % 2 == 0 {
            b.kill();
            b = start_b();
            ups += 1;
        } else {
            a.kill();
            a = start_a();
            ups = 1;
        }
        established(&a, ups);
        kills += 1;
    }
    sender.join().unwrap();
    let receiver = consume(&at_b, "queue://flow", &[]);
    assert!(
        receiver.wait_for(MESSAGES),
        "{} of {MESSAGES}\n{:?}\n{:?}",
        receiver.all().len(),
        a.log().all(),
        b.log().all()
    );
    settle();
    assert_eq!(account(&format!("{kills} kills of both ends"), MESSAGES, &[receiver.all()]), whole(MESSAGES));
    let order: Vec<String> = (0..MESSAGES).map(|number| format!("m{number}")).collect();
    assert_eq!(receiver.all(), order, "in the order in which they were sent");
    let decided = a.log().all().iter().filter(|line| line.contains("had arrived")).count();
    println!("messages were in doubt {decided} times since the last start of the sender");
}

#[test]
fn messages_that_wait_for_a_link_to_say_where_they_are_are_told_of() {
    let there = tempfile::tempdir().unwrap();
    let at_b = reserved_address();
    let start_b = || launch("b").listen(&at_b).data(there.path()).start().unwrap();
    let b = start_b();
    let options = "name=nc&initialReconnectDelay=50&useExponentialBackOff=false";
    let a =
        linked("a", &[format!("static:({at_b})?{options}&staticallyIncludedDestinations=queue://orders")]);
    established(&a, 1);
    // What is sent to a broker that is paused is under way, and nobody knows how far.
    b.signal(Signal::STOP);
    send(a.url(), "queue://orders", 0..10, &[]);
    let sums = |wanted: (bool, u64, u64)| {
        until(&a, |status| {
            let stream = &status["streams"][0];
            let count = |name: &str| stream[name].as_u64().unwrap_or(u64::MAX);
            (stream["linked"].as_bool().unwrap_or_default(), count("under_way"), count("held")) == wanted
        })
    };
    let status = sums((true, 10, 0));
    assert!(status["streams"][0]["name"].as_str().unwrap().ends_with("/nc"), "{status}");
    b.kill();
    sums((false, 10, 10));
    let told = Command::new(PROGRAM).args(["status", a.url()]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("10 messages that may be at the other end of"), "{told}");
    let b = start_b();
    sums((true, 0, 0));
    let receiver = consume(b.url(), "queue://orders", &[]);
    assert!(receiver.wait_for(10), "{:?}", receiver.all());
}

#[test]
fn a_stream_to_a_broker_that_is_gone_is_forgotten_by_an_operator() {
    let there = tempfile::tempdir().unwrap();
    let at_b = reserved_address();
    let start_b = || launch("b").listen(&at_b).data(there.path()).start().unwrap();
    let b = start_b();
    let options = "name=nc&initialReconnectDelay=50&useExponentialBackOff=false";
    let a =
        linked("a", &[format!("static:({at_b})?{options}&staticallyIncludedDestinations=queue://orders")]);
    established(&a, 1);
    let streams = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).arg("streams").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let entry = |node: &Node| -> serde_json::Value {
        let (code, told, said) = streams(&[node.url(), "--json"]);
        assert_eq!((code, told.lines().count()), (Some(0), 1), "{told}{said}");
        serde_json::from_str(&told).unwrap()
    };
    // Given messages that may be at a broker that is gone
    send(a.url(), "queue://orders", 0..5, &[]);
    until(&a, |status| status["links"][0]["forwarded"] == 5);
    b.signal(Signal::STOP);
    send(a.url(), "queue://orders", 5..15, &[]);
    until(&a, |status| status["streams"][0]["under_way"] == 10);
    let linked = entry(&a);
    assert_eq!((&linked["direction"], &linked["linked"]), (&"to".into(), &true.into()), "{linked}");
    let name = linked["name"].as_str().unwrap();
    assert!(name.ends_with(&format!(">{}/nc", linked["peer"].as_str().unwrap())), "{linked}");
    let (code, _, said) = streams(&["forget", name, a.url()]);
    assert!(code == Some(64) && said.contains("is up"), "{said}");
    b.kill();
    until(&a, |status| status["streams"][0]["held"] == 10);
    assert_eq!(entry(&a)["positions"], 10);
    // When its stream is forgotten, then who consumes here gets them.
    let (code, told, said) = streams(&["forget", name, a.url()]);
    assert_eq!((code, told.contains("10 messages")), (Some(0), true), "{told}{said}");
    let (code, _, said) = streams(&["forget", name, a.url()]);
    assert!(code == Some(64) && said.contains("there is no stream"), "{said}");
    let receiver = consume(a.url(), "queue://orders", &["--count", "10"]);
    assert_eq!(receiver.done().len(), 10);
    // If it comes back after all, the link stays down until it has forgotten its end.
    let b = start_b();
    until(&a, |status| {
        status["links"][0]["reason"].as_str().is_some_and(|why| why.contains("streams forget"))
    });
    assert_eq!(entry(&b)["direction"], "from");
    let deadline = Instant::now() + PATIENCE;
    // An attempt of the link may have it just now.
    while streams(&["forget", name, b.url()]).0 != Some(0) {
        assert!(Instant::now() < deadline, "{:?}", streams(&["forget", name, b.url()]));
    }
    established(&a, 2);
    send(a.url(), "queue://orders", 15..20, &[]);
    until(&a, |status| status["links"][0]["in_flight"] == 0 && status["streams"][0]["linked"] == true);
    let receiver = consume(b.url(), "queue://orders", &["--count", "10"]);
    assert_eq!(receiver.done().len(), 10, "five from before, and five from now");
}

#[test]
fn selectors_and_exclusions_hold_over_a_link() {
    let b = linked("b", &[]);
    let a = linked("a", &[to(&b, "excludedDestinations=queue://secret.%3E")]);
    established(&a, 1);
    let red = consume(b.url(), "queue://coloured", &["--selector", "colour = 'red'"]);
    let secret = consume(b.url(), "queue://secret.plan", &[]);
    send(a.url(), "queue://coloured", 0..20, &["--property", "colour=blue"]);
    send(a.url(), "queue://coloured", 20..40, &["--property", "colour=red"]);
    send(a.url(), "queue://secret.plan", 0..10, &[]);
    assert!(red.wait_for(20), "{:?}", a.log().all());
    settle();
    assert_eq!(account("selector, red", 20, &[red.all()]), whole(20));
    assert!(secret.all().is_empty());
    // The blue ones were not carried to where nobody wants them.
    let blue = consume(a.url(), "queue://coloured", &[]);
    assert!(blue.wait_for(20), "{}", blue.all().len());
}

#[test]
fn pairs_are_joined_and_go_on_when_their_masters_are_killed() {
    let (east, west) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ports: Vec<String> = (0..4).map(|_| reserved_address()).collect();
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
    let receiver = consume(&west_url, "queue://pairs", &[]);
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
    let own = reserved_address();
    let nobody = reserved_address();
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
    let receiver = consume(a.url(), "queue://q", &[]);
    assert!(receiver.wait_for(10));
    talk.join().unwrap();
    assert_eq!(a.stop().code(), Some(0));
}

/// A broker that nobody may enter without a password.
fn guarded(start: Launch) -> (Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broker.toml");
    std::fs::write(&file, "[[user]]\nname = \"ann\"\npassword = \"right\"\n").unwrap();
    (start.arg("--config").arg(file).start().unwrap(), folder)
}

/// What `ferromq status` tells of a node.
fn status(node: &Node) -> serde_json::Value {
    let output = Command::new(PROGRAM).args(["status", node.url(), "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until it tells what is wanted.
fn until(node: &Node, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = status(node);
        if wanted(&told) {
            return told;
        }
        assert!(Instant::now() < until, "{told:#}\n{:?}", node.log().all());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What it tells of the links.
fn links(node: &Node) -> Vec<serde_json::Value> {
    status(node)["links"].as_array().cloned().unwrap_or_default()
}

/// Waits until the first link of a node is told of as `wanted` says.
fn link_is(node: &Node, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let told = links(node);
        if let Some(link) = told.iter().find(|link| wanted(link)) {
            return link.clone();
        }
        assert!(Instant::now() < until, "{told:#?}\n{:?}", node.log().all());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn wrong_credentials_are_told_with_the_peers_words() {
    let (b, _folder) = guarded(launch("b"));
    let wrong = to(&b, "name=nc&initialReconnectDelay=100&remoteUserName=ann&remotePassword=wrong");
    let a = linked("a", &[wrong]);
    let link = link_is(&a, |link| link["failures"].as_u64() > Some(1));
    let reason = link["reason"].as_str().unwrap();
    assert!(reason.contains("does not let the bridge in") && reason.contains("password"), "{reason}");
    assert!(!a.log().all().concat().contains("wrong"), "no password is in the log");
    let right = to(&b, "name=nc&remoteUserName=ann&remotePassword=right");
    established(&linked("a", &[right]), 1);
}

#[test]
fn another_reason_is_logged_though_the_link_has_failed_for_long() {
    // Given: a link whose broker has been away for so many attempts that the log hears of it only now and then
    let address = reserved_address();
    let uri = format!(
        "static:({address})?name=nc&initialReconnectDelay=50&useExponentialBackOff=false&remoteUserName=ann&\
         remotePassword=wrong"
    );
    let a = linked("a", &[uri]);
    link_is(&a, |link| link["failures"].as_u64() > Some(33));
    // When: the broker is there, and does not let the link in
    let (_b, _folder) = guarded(launch("b").listen(&address));
    let link = link_is(&a, |link| link["reason"].to_string().contains("password"));
    // Then: the log knows it as soon as the status does, and not when the number of attempts has doubled
    let told = |line: &String| line.contains("no network connection") && line.contains("password");
    let seen = a.log().wait_until(Duration::from_millis(500), |lines| lines.iter().any(told).then_some(()));
    assert!(seen.is_some(), "{link:#}\n{:?}", a.log().all());
}

#[test]
fn a_peer_of_the_same_name_is_told_from_a_link() {
    let b = linked("twin", &[]);
    let a = linked("twin", &[to(&b, "name=nc")]);
    let link = link_is(&a, |link| link["state"] == "waiting");
    assert!(link["reason"].as_str().unwrap().contains("a broker of the same name"), "{link:#?}");
    assert!(link["ends_in_ms"].as_u64() > Some(20_000), "there is no haste: {link:#?}");
}

#[test]
fn a_peer_that_says_nothing_is_left() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("static:(tcp://{})?initialReconnectDelay=100", silent.local_addr().unwrap());
    let a = linked("a", &[uri]);
    let link = link_is(&a, |link| link["failures"].as_u64() > Some(0));
    assert!(link["reason"].as_str().unwrap().contains("did not introduce itself"), "{link:#?}");
    let waiting = link_is(&a, |link| link["state"] == "connecting");
    assert!(waiting["ends_in_ms"].is_u64(), "every state has an end: {waiting:#?}");
}

#[test]
fn attempts_end_where_they_are_told_to() {
    let nobody = reserved_address();
    let uri = format!("static:({nobody})?initialReconnectDelay=50&maxReconnectAttempts=2");
    let a = linked("a", &[uri]);
    let link = link_is(&a, |link| link["state"] == "given up");
    assert_eq!(link["failures"], 3, "one, and two more");
    assert!(a.log().wait_for("network connection given up", PATIENCE).is_some());
    let count = a.log().all().iter().filter(|line| line.contains("onnection refused")).count();
    assert!(count <= 3, "{:?}", a.log().all());
    send(a.url(), "queue://q", 0..1, &[]);
}

#[test]
fn operators_see_what_a_link_does() {
    let b = linked("b", &[]);
    let a = linked("a", &[to(&b, "name=nc&duplex=true")]);
    let receiver = consume(b.url(), "queue://seen", &[]);
    send(a.url(), "queue://seen", 0..100, &[]);
    assert!(receiver.wait_for(100));
    let link = link_is(&a, |link| link["forwarded"] == 100);
    assert_eq!(
        (&link["connector"], &link["remote_broker"], &link["up"]),
        (&"nc".into(), &"b".into(), &true.into())
    );
    assert_eq!((&link["in_flight"], &link["refused"], &link["consumers"]), (&0.into(), &0.into(), &1.into()));
    let back = link_is(&b, |link| link["mirror"] == true);
    assert_eq!((&back["connector"], &back["remote_broker"]), (&"nc".into(), &"a".into()));
    drop(receiver);
    b.kill();
    let link = link_is(&a, |link| link["up"] == false && link["reason"].is_string());
    assert_eq!(link["forwarded"], 100, "what it did is not forgotten: {link:#?}");
    let human = Command::new(PROGRAM).args(["status", a.url()]).output().unwrap();
    assert!(String::from_utf8_lossy(&human.stdout).contains("NOT UP"), "{human:?}");
}

/// So many brokers in a ring of duplex links.
fn ring(count: usize, ttl: i32) -> Vec<Node> {
    let ports: Vec<String> = (0..count).map(|_| reserved_address()).collect();
    let start = |index: usize| {
        let next = &ports[(index + 1) % count];
        let uri = format!("static:({next})?initialReconnectDelay=100&duplex=true&networkTTL={ttl}");
        let name = ["a", "b", "c", "d"][index];
        launch(name).listen(&ports[index]).arg("--network-connector").arg(uri).start().unwrap()
    };
    let nodes: Vec<Node> = (0..count).map(start).collect();
    nodes.iter().for_each(|node| established(node, 2));
    nodes
}

/// Sends probes until each of the receivers has had one: demand has come to the sender.
fn reach(from: &Node, topic: &str, receivers: &[&Receiver]) {
    let until = Instant::now() + PATIENCE;
    while receivers.iter().any(|receiver| receiver.all().is_empty()) {
        let silent: Vec<usize> =
            (0..receivers.len()).filter(|index| receivers[*index].all().is_empty()).collect();
        assert!(Instant::now() < until, "receivers {silent:?} had nothing: {:?}", from.log().all());
        send(from.url(), topic, 9_999..10_000, &[]);
        std::thread::sleep(Duration::from_millis(50));
    }
    settle();
}

/// What came of the 50 messages that were sent after the probes.
fn account_of(what: &str, receiver: &Receiver) -> Account {
    assert!(receiver.lines().wait_for("m49", PATIENCE).is_some(), "{what}");
    let numbered: Vec<String> = receiver.all().into_iter().filter(|line| line != "m9999").collect();
    account(what, 50, &[numbered])
}

#[test]
fn a_ring_without_a_ttl_ends() {
    let nodes = ring(3, -1);
    // Whoever subscribes first, each broker publishes each message once.
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let topic = format!("topic://news{}", order.map(|index| index.to_string()).concat());
        let news = order.map(|index| (index, consume(nodes[index].url(), &topic, &[])));
        reach(&nodes[0], &topic, &[0, 1, 2].map(|at| &news[at].1));
        send(nodes[0].url(), &topic, 0..50, &[]);
        news.iter().for_each(|(_, receiver)| {
            receiver.lines().wait_for("m49", PATIENCE);
        });
        settle();
        for (index, receiver) in &news {
            assert_eq!(account_of(&format!("ring without TTL, {topic} at {index}"), receiver), whole(50));
        }
    }
    let work = consume(nodes[2].url(), "queue://work", &[]);
    send(nodes[0].url(), "queue://work", 0..50, &[]);
    assert!(work.wait_for(50), "{:?}", nodes[0].log().all());
    settle();
    assert_eq!(account("ring without TTL, queue", 50, &[work.all()]), whole(50));
}

#[test]
fn who_subscribes_behind_a_link_that_was_one_of_two_ways_to_somebody_else_misses_nothing() {
    let nodes = ring(4, 2);
    // Two ways lead to c, over b and over d.
    let opposite = consume(nodes[2].url(), "topic://news", &[]);
    reach(&nodes[0], "topic://news", &[&opposite]);
    let sides = [1, 3].map(|index| consume(nodes[index].url(), "topic://news", &[]));
    reach(&nodes[0], "topic://news", &[&sides[0], &sides[1]]);
    send(nodes[0].url(), "topic://news", 0..50, &[]);
    for (what, receiver) in [("opposite", &opposite), ("at b", &sides[0]), ("at d", &sides[1])] {
        assert!(receiver.lines().wait_for("m49", PATIENCE).is_some(), "{what}");
    }
    settle();
    for (what, receiver) in [("opposite", &opposite), ("at b", &sides[0]), ("at d", &sides[1])] {
        assert_eq!(account_of(what, receiver), whole(50), "{what}");
    }
}

/// The ids by which a node's links know the brokers at their other ends, in the order in which they came up.
fn peers(node: &Node) -> Vec<String> {
    let id = |line: &String| Some(line.split_once("broker_id=")?.1.split_whitespace().next()?.to_owned());
    node.log().all().iter().filter_map(id).collect()
}

#[test]
fn a_broker_keeps_its_id_over_restarts() {
    let (port, folder) = (reserved_address(), tempfile::tempdir().unwrap());
    let start = || launch("b").listen(&port).data(folder.path()).start().unwrap();
    let b = start();
    let a = linked("a", &[format!("static:({port})?initialReconnectDelay=100")]);
    established(&a, 1);
    b.kill();
    let _b = start();
    established(&a, 2);
    let peers = peers(&a);
    assert!(peers.len() == 2 && peers[0] == peers[1], "{peers:?}");
}

#[test]
fn nodes_that_share_a_database_are_one_broker_to_their_neighbours() {
    let Some(server) = ferromq_testkit::Postgres::start_or_skip() else { return };
    let (first, second) = (reserved_address(), reserved_address());
    let node = |port: &String, node: &str| {
        let start = launch("pair").arg("--node").arg(node).listen(port).arg("--takeover-after").arg("1s");
        start.arg("--store").arg(server.url()).start().unwrap()
    };
    let master = node(&first, "one");
    assert!(master.output().wait_for("role active", PATIENCE).is_some());
    let standby = node(&second, "two");
    assert!(standby.output().wait_for("role standby", PATIENCE).is_some());
    let a = linked("a", &[format!("masterslave:({first},{second})?initialReconnectDelay=100")]);
    established(&a, 1);
    master.kill();
    established(&a, 2);
    let peers = peers(&a);
    assert!(peers.len() == 2 && peers[0] == peers[1], "{peers:?}");
}

mod clients {
    //! What needs a client with more to it than the program's verbs.

    use ferromq_client::{AckMode, ConnectOptions, Connection, ConsumerSpec, Destination, Outgoing};

    use super::*;

    fn run<T>(work: impl Future<Output = ferromq_client::Result<T>>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bounded = async { tokio::time::timeout(PATIENCE, work).await };
        runtime.block_on(bounded).expect("it hangs").unwrap()
    }

    #[test]
    fn a_request_is_answered_over_two_one_way_links() {
        let (a_port, b_port) = (reserved_address(), reserved_address());
        let start = |name: &str, own: &String, other: &String| {
            let uri = format!("static:({other})?initialReconnectDelay=100");
            launch(name).listen(own).arg("--network-connector").arg(uri).start().unwrap()
        };
        let (a, b) = (start("a", &a_port, &b_port), start("b", &b_port, &a_port));
        established(&a, 1);
        established(&b, 1);
        run(async {
            let here = Connection::connect(a.url()).await?;
            let there = Connection::connect(b.url()).await?;
            let queue = Destination::queue("requests");
            let mut requests = there.consumer(ConsumerSpec::new(queue.clone()), AckMode::Auto).await?;
            let replies = there.anonymous_producer().await?;
            let serving = tokio::spawn(async move {
                for _ in 0..20 {
                    let Some(request) = requests.recv().await? else { break };
                    let reply = Outgoing::text(format!("re: {}", request.text().unwrap()));
                    let reply = reply.correlation_id(request.correlation_id().unwrap().as_ref());
                    replies.send_to(request.reply_to().unwrap(), reply).await?;
                }
                ferromq_client::Result::Ok(())
            });
            let mut requester = here.requester(queue).await?;
            for number in 0..20 {
                let reply = requester.request(Outgoing::text(format!("q{number}")), PATIENCE).await?;
                assert_eq!(reply.text(), Some(format!("re: q{number}")));
            }
            serving.await.unwrap()
        });
    }

    async fn client(node: &Node, id: &str) -> ferromq_client::Result<Connection> {
        Connection::connect_with(ConnectOptions::parse(node.url())?.client_id(id)).await
    }

    /// A durable subscriber that is offline again.
    async fn subscribe(node: &Node, id: &str, topic: &str) -> ferromq_client::Result<()> {
        let connection = client(node, id).await?;
        let spec = ConsumerSpec::new(Destination::topic(topic)).subscription("s");
        drop(connection.consumer(spec, AckMode::Auto).await?);
        connection.close().await
    }

    fn subscriptions(node: &Node, count: u64) {
        link_is(node, |link| link["up"] == true && link["subscriptions"] == count);
    }

    #[test]
    fn durable_subscribers_that_come_and_go_while_a_link_is_down_are_made_up_for() {
        let (port, folder) = (reserved_address(), tempfile::tempdir().unwrap());
        let b = linked("b", &[]);
        let uri = to(&b, "name=nc&syncDurableSubs=true&initialReconnectDelay=100");
        let start = || {
            let start = launch("a").listen(&port).data(folder.path());
            start.arg("--network-connector").arg(&uri).start().unwrap()
        };
        let a = start();
        established(&a, 1);
        run(subscribe(&b, "bob", "left"));
        subscriptions(&a, 1);
        a.kill();
        run(async {
            subscribe(&b, "ann", "joined").await?;
            subscribe(&b, "carl", "joined.too").await?;
            let bob = client(&b, "bob").await?;
            bob.unsubscribe("s").await?;
            bob.close().await
        });
        let a = start();
        subscriptions(&a, 2);
        send(a.url(), "topic://joined", 0..50, &[]);
        let got = run(async {
            let ann = client(&b, "ann").await?;
            let spec = ConsumerSpec::new(Destination::topic("joined")).subscription("s");
            let mut consumer = ann.consumer(spec, AckMode::Auto).await?;
            let mut got = Vec::new();
            while got.len() < 50 {
                let Some(delivery) = consumer.recv().await? else { break };
                got.push(delivery.text().unwrap());
            }
            ferromq_client::Result::Ok(got)
        });
        assert_eq!(account("durable, joined while down", 50, &[got]), whole(50));
    }

    #[test]
    fn what_a_durable_subscriber_over_there_misses_is_kept_for_it_while_the_link_is_down() {
        let b = linked("b", &[]);
        let (port, folder) = (reserved_address(), tempfile::tempdir().unwrap());
        let uri = to(&b, "name=nc&initialReconnectDelay=100");
        let a = launch("a").listen(&port).data(folder.path()).arg("--network-connector").arg(&uri).start();
        let a = a.unwrap();
        established(&a, 1);
        run(subscribe(&b, "ann", "t"));
        subscriptions(&a, 1);
        a.kill();
        // Without its link the broker gathers what the durable subscription of the link is owed.
        let alone = launch("a").listen(&port).data(folder.path()).start().unwrap();
        send(alone.url(), "topic://t", 0..50, &[]);
        assert_eq!(alone.stop().code(), Some(0));
        let a = launch("a").listen(&port).data(folder.path()).arg("--network-connector").arg(&uri).start();
        let a = a.unwrap();
        link_is(&a, |link| link["forwarded"] == 50);
        run(async {
            let ann = client(&b, "ann").await?;
            let spec = ConsumerSpec::new(Destination::topic("t")).subscription("s");
            let mut consumer = ann.consumer(spec, AckMode::Auto).await?;
            for number in 0..50 {
                let delivery = consumer.recv().await?.unwrap();
                assert_eq!(delivery.text(), Some(format!("m{number}")));
            }
            ferromq_client::Result::Ok(())
        });
    }
}

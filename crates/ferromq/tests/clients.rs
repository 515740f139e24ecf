//! The Rust client before several brokers, as real processes: how it finds them, moves between them and comes back.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq_client::{AckMode, Connection, ConsumerSpec, Destination, Fanout, Outgoing};
use ferromq_testkit::{Launch, Node, PATIENCE, reserved_address};
use tokio::net::{TcpListener, TcpStream};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

/// What the clients of a broker are told of others.
const TOLD: &str = "updateClusterClients=true&rebalanceClusterClients=true&updateClusterClientsOnRemove=true";

fn broker(name: &str, listen: &str, connectors: &[String]) -> Node {
    let start = Launch::new(PROGRAM).arg("--name").arg(name).listen(listen);
    let add = |start: Launch, uri: &String| start.arg("--network-connector").arg(uri);
    connectors.iter().fold(start, add).start().unwrap()
}

/// A multicast group that no other test of this machine has, on the loopback interface.
fn group() -> String {
    let number = std::process::id();
    let [_, a, b, c] = number.to_be_bytes();
    format!("multicast://239.{a}.{b}.{c}:{}?interface=127.0.0.1", 30_000 + number % 2_000)
}

/// Polls until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_at(connection: &Connection, url: &str) -> bool {
    connection.current().is_some_and(|current| &*current == url)
}

async fn send(connection: &Connection, queue: &str, text: &str) {
    let producer = connection.producer(Destination::queue(queue)).await.unwrap();
    producer.send(Outgoing::text(text)).await.unwrap();
}

/// What lies in a queue or comes to it within some time.
async fn receive(url: &str, destination: Destination) -> Option<String> {
    let connection = Connection::connect(url).await.unwrap();
    let mut consumer = connection.consumer(ConsumerSpec::new(destination), AckMode::Auto).await.unwrap();
    let delivery = consumer.recv_timeout(Duration::from_secs(5)).await.unwrap();
    delivery.and_then(|delivery| delivery.text())
}

#[tokio::test]
async fn clients_that_know_one_broker_spread_over_a_network_and_outlive_it() {
    let a = broker("a", &format!("tcp://127.0.0.1:0?{TOLD}"), &[]);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Connection::connect(&format!("failover:({})", a.url())).await.unwrap());
    }
    // When a broker joins, then some of them go there
    let link = format!("static:({})?duplex=true", a.url());
    let b = broker("b", &format!("tcp://127.0.0.1:0?{TOLD}"), &[link]);
    let at = |url: &str| clients.iter().filter(|client| is_at(client, url)).count();
    until("some at each", || at(a.url()) >= 3 && at(b.url()) >= 3 && at(a.url()) + at(b.url()) == 10).await;
    // When the one that they know dies, then all are at the other
    a.kill();
    until("all at the other", || at(b.url()) == 10).await;
    for client in &clients {
        send(client, "spread", "x").await;
    }
}

#[tokio::test]
async fn clients_of_a_broker_that_is_stopped_go_to_those_that_were_linked_to_it() {
    let b = broker("b", "tcp://127.0.0.1:0", &[]);
    let link = format!("static:({})?duplex=true", b.url());
    let a = broker("a", &format!("tcp://127.0.0.1:0?{TOLD}"), &[link]);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Connection::connect(&format!("failover:({})", a.url())).await.unwrap());
    }
    let at = |url: &str| clients.iter().filter(|client| is_at(client, url)).count();
    until("some at each", || at(a.url()) >= 3 && at(b.url()) >= 3 && at(a.url()) + at(b.url()) == 10).await;
    assert!(a.stop().success());
    until("all at the other", || at(b.url()) == 10).await;
}

#[tokio::test]
async fn a_client_returns_to_the_broker_that_it_prefers() {
    let (a_url, folder) = (reserved_address(), tempfile::tempdir().unwrap());
    let start =
        || Launch::new(PROGRAM).arg("--name").arg("a").listen(&a_url).data(folder.path()).start().unwrap();
    let a = start();
    let b = broker("b", "tcp://127.0.0.1:0", &[]);
    let uri = format!("failover:({a_url},{})?priorityBackup=true&maxReconnectDelay=200", b.url());
    let client = Connection::connect(&uri).await.unwrap();
    until("at the first of the list", || is_at(&client, &a_url)).await;
    a.kill();
    until("at the other", || is_at(&client, b.url())).await;
    send(&client, "away", "x").await;
    let _a = start();
    until("back", || is_at(&client, &a_url)).await;
    send(&client, "home", "x").await;
    assert_eq!(receive(b.url(), Destination::queue("away")).await.as_deref(), Some("x"));
    assert_eq!(receive(&a_url, Destination::queue("home")).await.as_deref(), Some("x"));
}

#[tokio::test]
async fn a_spare_connection_is_used_without_any_wait() {
    let a = broker("a", "tcp://127.0.0.1:0", &[]);
    let b = broker("b", "tcp://127.0.0.1:0", &[]);
    // Without a spare it would wait for a minute. Nothing else is said on the connection that could wake anybody.
    let options = "randomize=false&backup=true&initialReconnectDelay=60000&maxReconnectDelay=60000&reconnectDelay=50\
                   &nested.wireFormat.maxInactivityDuration=0";
    let client = Connection::connect(&format!("failover:({},{})?{options}", a.url(), b.url())).await.unwrap();
    assert!(is_at(&client, a.url()));
    // A spare is on its way at least, and b knows of the connection.
    until_connected(&b, 1).await;
    a.kill();
    until("at the other", || is_at(&client, b.url())).await;
    send(&client, "q", "x").await;
}

/// Waits until a broker has so many connections, as the system counts them.
async fn until_connected(node: &Node, count: usize) {
    let port = format!(":{:04X}", node.address().port());
    until("connected", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        // Local address, remote address, state: 01 is established.
        let here = |line: &&str| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&port)) && words.nth(1) == Some("01")
        };
        table.lines().filter(here).count() >= count
    })
    .await;
}

#[tokio::test]
async fn brokers_are_found_by_multicast_and_found_anew_when_one_dies() {
    let group = group();
    let listen = format!("tcp://127.0.0.1:0?discoveryUri={group}");
    let a = broker("a", &listen, &[]);
    let client = Connection::connect(&format!("discovery:({group})?maxReconnectDelay=1000")).await.unwrap();
    until("at the only one", || is_at(&client, a.url())).await;
    let b = broker("b", &listen, &[]);
    a.kill();
    until("at the other", || is_at(&client, b.url())).await;
    send(&client, "found", "x").await;
}

#[tokio::test]
async fn a_list_of_brokers_comes_from_a_server_or_a_file() {
    let b = broker("b", "tcp://127.0.0.1:0", &[]);
    let nobody = reserved_address();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let list = format!("{},tcp://127.0.0.1:1", b.url());
    let body = list.clone();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let asked = BufReader::new(stream.try_clone().unwrap()).lines().next();
            assert_eq!(asked.unwrap().unwrap(), "GET /lists/brokers.txt HTTP/1.1");
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("brokers");
    std::fs::write(&file, &list).unwrap();
    for place in [format!("http://{address}/lists/brokers.txt"), file.display().to_string()] {
        let uri = format!("failover:({nobody})?updateURIsURL={place}");
        let client = Connection::connect(&uri).await.unwrap();
        assert!(is_at(&client, b.url()), "{place}");
        send(&client, "listed", "x").await;
    }
}

#[tokio::test]
async fn a_fanout_reaches_all_brokers_with_topics_and_one_with_queues() {
    let nodes = [broker("a", "tcp://127.0.0.1:0", &[]), broker("b", "tcp://127.0.0.1:0", &[])];
    let named = format!("fanout:(static:({},{}))", nodes[0].url(), nodes[1].url());
    let topic = Destination::topic("news");
    for (uri, queues) in [(named.clone(), 1), (format!("{named}?fanOutQueues=true"), 2)] {
        let fanout = Fanout::connect(&uri).await.unwrap();
        assert_eq!(fanout.brokers(), 2);
        let subscribers = nodes.iter().map(|node| tokio::spawn(listen(node.url().to_owned(), topic.clone())));
        let subscribers: Vec<_> = subscribers.collect();
        let mut heard = Vec::new();
        for subscriber in subscribers {
            heard.push(subscriber.await.unwrap());
        }
        fanout.send(&topic, Outgoing::text("all")).await.unwrap();
        for mut consumer in heard {
            let delivery = consumer.1.recv_timeout(PATIENCE).await.unwrap().unwrap();
            assert_eq!(delivery.text().as_deref(), Some("all"));
        }
        let queue = Destination::queue(format!("work.{queues}"));
        fanout.send(&queue, Outgoing::text("one")).await.unwrap();
        let mut found = 0;
        for node in &nodes {
            found += usize::from(browse(node.url(), &queue).await);
        }
        assert_eq!(found, queues, "{uri}");
        fanout.close().await.unwrap();
    }
    let [a, b] = nodes;
    b.kill();
    let error = Fanout::connect(&format!("{named}?timeout=5000")).await.unwrap_err();
    assert!(error.to_string().contains("1 of the 2"), "{error}");
    let enough = Fanout::connect(&format!("{named}?minAckCount=1")).await.unwrap();
    enough.send(&topic, Outgoing::text("x")).await.unwrap();
    drop(a);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_of_a_fanout_that_was_given_up_counts_no_longer_until_it_is_back() {
    let (address, folder) = (ferromq_testkit::reserved_address(), tempfile::tempdir().unwrap());
    let start =
        || Launch::new(PROGRAM).arg("--name").arg("b").listen(&address).data(folder.path()).start().unwrap();
    let (a, b) = (broker("a", "tcp://127.0.0.1:0", &[]), start());
    let named = format!("fanout:(static:({},{address}))?fanOutQueues=true", a.url());
    let attempts = "initialReconnectDelay=10&maxReconnectDelay=10&maxReconnectAttempts=1";
    let one = Fanout::connect(&format!("{named}&minAckCount=1&{attempts}")).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let both = loop {
        match Fanout::connect(&format!("{named}&timeout=300&{attempts}")).await {
            Ok(both) => break both,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let there = async |count: usize| {
        let deadline = Instant::now() + PATIENCE;
        while [one.brokers(), both.brokers()] != [count; 2] {
            assert!(Instant::now() < deadline, "{} and {} are there", one.brokers(), both.brokers());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    there(2).await;
    b.kill();
    there(1).await;
    // One is enough for the first of them, and not for the other.
    let queue = Destination::queue("alone");
    one.send(&queue, Outgoing::text("x")).await.unwrap();
    assert!(browse(a.url(), &queue).await);
    let error = both.send(&queue, Outgoing::text("y")).await.unwrap_err();
    assert!(error.to_string().contains("1 of the 2"), "{error}");
    let _b = start();
    there(2).await;
    let queue = Destination::queue("together");
    both.send(&queue, Outgoing::text("z")).await.unwrap();
    assert!(browse(a.url(), &queue).await && browse(&address, &queue).await);
    one.close().await.unwrap();
    both.close().await.unwrap();
}

async fn listen(url: String, destination: Destination) -> (Connection, ferromq_client::Consumer) {
    let connection = Connection::connect(&url).await.unwrap();
    let consumer = connection.consumer(ConsumerSpec::new(destination), AckMode::Auto).await.unwrap();
    (connection, consumer)
}

/// Whether there is a message in a queue.
async fn browse(url: &str, queue: &Destination) -> bool {
    let connection = Connection::connect(url).await.unwrap();
    let mut browser = connection.browse(queue.clone(), None).await.unwrap();
    browser.recv().await.unwrap().is_some()
}

/// What speaks TLS in front of a broker, with the certificate of the tests; its port.
async fn tls_in_front_of(broker: std::net::SocketAddr) -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let own = tls_file("broker.pem");
    let chain = CertificateDer::pem_file_iter(&own).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&own).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(stream).await else { return };
                let mut inside = TcpStream::connect(broker).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_a_broker_behind_tls_carries_messages_if_its_certificate_is_trusted() {
    let b = broker("b", "tcp://127.0.0.1:0", &[]);
    let port = tls_in_front_of(b.address()).await;
    let trust = format!("tls.trustStore={}", tls_file("authority.pem"));
    let uri = |trust: &str| {
        format!("static:(ssl://localhost:{port}?{trust})?name=nc&initialReconnectDelay=100&duplex=true")
    };
    let a = broker("a", "tcp://127.0.0.1:0", &[uri(&trust)]);
    let here = Connection::connect(a.url()).await.unwrap();
    let there = Connection::connect(b.url()).await.unwrap();
    // More than fits into any buffer on the way, and over the one connection both ways.
    let body = "x".repeat(3 << 20);
    for (from, to, queue) in [(&here, &there, "forth"), (&there, &here, "back")] {
        let mut consumer =
            to.consumer(ConsumerSpec::new(Destination::queue(queue)), AckMode::Auto).await.unwrap();
        send(from, queue, &body).await;
        let delivery = consumer.recv_timeout(PATIENCE).await;
        let delivery =
            delivery.unwrap_or_else(|error| panic!("{error}: {:?} {:?}", a.log().all(), b.log().all()));
        assert_eq!(delivery.unwrap().text().as_deref(), Some(body.as_str()));
    }
    // An authority that no system knows is not trusted unless somebody says so, and the link is not opened without.
    let c = broker("c", "tcp://127.0.0.1:0", &[uri("")]);
    let told = c.log().wait_until(PATIENCE, |lines| {
        lines.iter().find(|line| line.contains("ssl://localhost") && line.contains("certificate")).cloned()
    });
    assert!(told.is_some(), "{:?}", c.log().all());
}

fn tls_file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name).display().to_string()
}

#[tokio::test]
async fn a_broker_behind_tls_is_trusted_if_its_certificate_is_and_is_for_its_host() {
    let a = broker("a", "tcp://127.0.0.1:0", &[]);
    let port = tls_in_front_of(a.address()).await;
    let trusted = format!("tls.trustStore={}", tls_file("authority.pem"));
    // The certificate is for localhost, signed by an authority that no system knows.
    for (uri, trouble) in [
        (format!("ssl://localhost:{port}?{trusted}"), None),
        (format!("failover:(ssl://localhost:{port}?{trusted})?timeout=2000"), None),
        (format!("ssl://127.0.0.1:{port}?{trusted}"), Some("name")),
        (format!("ssl://127.0.0.1:{port}?{trusted}&socket.verifyHostName=false"), None),
        (format!("ssl://localhost:{port}"), Some("certificate")),
        (format!("ssl://localhost:{port}?tls.trustStore=/nowhere/ca.pem"), Some("/nowhere/ca.pem")),
        (format!("ssl://localhost:{}", a.address().port()), Some("ssl://localhost")),
    ] {
        match (Connection::connect(&uri).await, trouble) {
            (Ok(client), None) => {
                // More than fits into any buffer on the way.
                let body = "x".repeat(3 << 20);
                send(&client, "secured", &body).await;
                let queue = ConsumerSpec::new(Destination::queue("secured"));
                let mut consumer = client.consumer(queue, AckMode::Auto).await.unwrap();
                let delivery = consumer.recv_timeout(PATIENCE).await.unwrap().unwrap();
                assert_eq!(delivery.text().as_deref(), Some(body.as_str()));
                client.close().await.unwrap();
            }
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{uri}: {error}"),
            (outcome, _) => panic!("{uri}: {outcome:?}"),
        }
    }
}

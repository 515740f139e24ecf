//! Whole deployments as their files for ActiveMQ say them: each file is checked, converted and run, and clients use the
//! URIs that they have.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, Node, PATIENCE, Postgres, Refused, reserved_address};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

/// The files of a deployment, and other words for what only the machines have for which they were written.
struct Deployment {
    files: PathBuf,
    folder: tempfile::TempDir,
    words: Vec<(String, String)>,
}

impl Deployment {
    fn new(name: &str) -> Self {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/deployments").join(name);
        let folder = tempfile::tempdir().unwrap();
        let mut deployment = Self { files, folder, words: Vec::new() };
        let shared = deployment.path("shared");
        for mount in ["/mnt/amq-shared", "/mnt/amq-east", "/mnt/amq-west"] {
            deployment.say(mount, &format!("{shared}{mount}"));
        }
        deployment
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Says something else from now on. What was said later counts first.
    fn say(&mut self, word: &str, other: &str) {
        self.words.insert(0, (word.to_owned(), other.to_owned()));
    }

    /// Gives addresses to what listens and to what clients and links name.
    fn listens(&mut self, here: &str, named: &[&str]) -> String {
        let address = reserved_address();
        self.say(here, &address);
        for name in named {
            self.say(name, &address);
        }
        address
    }

    fn text(&self, name: &str) -> String {
        let text = fs::read_to_string(self.files.join(name)).unwrap();
        self.words.iter().fold(text, |text, (word, other)| text.replace(word, other))
    }

    fn file(&self, name: &str) -> String {
        let path = self.path(name);
        fs::write(&path, self.text(name)).unwrap();
        path
    }

    /// What its clients connect to.
    fn uris(&self) -> Vec<String> {
        let text = self.text("client-uris.txt");
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    }

    fn property(&self) -> String {
        format!("-Dactivemq.data={}", self.path("data"))
    }

    fn ferromq(&self, arguments: &[&str], file: &str) -> Output {
        ferromq(&[arguments, &[file, &self.property()]].concat())
    }

    fn start(&self, file: &str) -> Result<Node, Refused> {
        let launch = Launch::new(PROGRAM).as_configured(1).inside(self.folder.path());
        launch.arg("--config").arg(file).arg(self.property()).start()
    }

    /// Checks a file, converts it, and runs it as it is, or as what it was converted to.
    fn node(&self, name: &str, converted: bool) -> Node {
        let file = self.file(name);
        let checked = self.ferromq(&["check"], &file);
        assert_eq!(checked.status.code(), Some(0), "{name}: {checked:?}");
        let toml = self.ferromq(&["config", "convert"], &file);
        assert_eq!(toml.status.code(), Some(0), "{name}: {toml:?}");
        let path = self.path(&format!("{name}.toml"));
        fs::write(&path, &toml.stdout).unwrap();
        self.start(if converted { &path } else { &file })
            .unwrap_or_else(|refused| panic!("{name}: {refused}"))
    }
}

fn ferromq(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn send(url: &str, destination: &str, text: &str) {
    let sent = ferromq(&["send", "--url", url, destination, text]);
    assert_eq!(sent.status.code(), Some(0), "{url}: {}", String::from_utf8_lossy(&sent.stderr));
}

fn received(url: &str, queue: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let got = ferromq(&["receive", "--url", url, queue, "--count", &count, "--timeout", "30"]);
    assert_eq!(got.status.code(), Some(0), "{url}: {}", String::from_utf8_lossy(&got.stderr));
    String::from_utf8_lossy(&got.stdout).lines().map(str::to_owned).collect()
}

fn is_active(node: &Node) {
    assert!(node.output().wait_for("role active", PATIENCE).is_some(), "{:?}", node.log().all());
}

fn is_standby(node: &Node) {
    assert!(node.output().wait_for("role standby", PATIENCE).is_some(), "{:?}", node.log().all());
}

/// Waits until so many links of a node are, or were, up.
fn established(node: &Node, times: usize) {
    let seen = node.log().wait_until(PATIENCE, |lines| {
        (lines.iter().filter(|line| line.contains("has been established")).count() >= times).then_some(())
    });
    assert!(seen.is_some(), "no link: {:?}", node.log().all());
}

/// What clients send before their master dies is there for them afterwards, whatever URI they have.
fn survives(uris: &[String], master: Node, standbys: &[Node]) {
    for (number, uri) in uris.iter().enumerate() {
        send(uri, "queue://kept", &number.to_string());
    }
    master.kill();
    let deadline = Instant::now() + PATIENCE;
    let active = |node: &Node| node.output().all().iter().any(|line| line.contains("role active"));
    while !standbys.iter().any(active) {
        assert!(Instant::now() < deadline, "{:?}", standbys.iter().map(|node| node.log().all()));
        std::thread::sleep(Duration::from_millis(20));
    }
    for (number, uri) in uris.iter().enumerate() {
        assert_eq!(received(uri, "queue://kept", 1), [number.to_string()], "{uri}");
    }
}

#[test]
fn two_nodes_on_a_shared_folder() {
    let mut files = Deployment::new("01-shared-filesystem");
    files.listens("tcp://0.0.0.0:61616", &["tcp://192.168.1.120:61616"]);
    files.listens("tcp://0.0.0.0:61617", &["tcp://192.168.1.120:61617"]);
    let master = files.node("broker-a.xml", false);
    is_active(&master);
    let standby = files.node("broker-b.xml", true);
    is_standby(&standby);
    survives(&files.uris(), master, &[standby]);

    let minimal = files.node("broker-minimal.xml", false);
    send(minimal.url(), "queue://kept", "here");
    assert_eq!(minimal.stop().code(), Some(0));
    let minimal = files.node("broker-minimal.xml", true);
    assert_eq!(received(minimal.url(), "queue://kept", 1), ["here"]);
}

/// The files of the shared database on a server that has what they name.
fn on_a_database(server: &Postgres) -> Deployment {
    let mut files = Deployment::new("02-shared-database");
    files.say("192.168.1.130:5432", &format!("127.0.0.1:{}", server.port()));
    files
}

fn database() -> Option<Arc<Postgres>> {
    let server = Postgres::start_or_skip()?;
    server.sql("CREATE ROLE activemq LOGIN SUPERUSER");
    server.sql("CREATE DATABASE activemq OWNER activemq");
    Some(Arc::new(server))
}

#[test]
fn three_nodes_on_a_shared_database_with_a_lease() {
    let Some(server) = database() else { return };
    let mut files = on_a_database(&server);
    let mut nodes = Vec::new();
    for (name, address) in [("a", "120"), ("b", "121"), ("c", "122")] {
        files.listens("tcp://0.0.0.0:61616", &[&format!("tcp://192.168.1.{address}:61616")]);
        nodes.push(files.node(&format!("broker-db-{name}-lease.xml"), name == "c"));
        if name == "a" { is_active(&nodes[0]) } else { is_standby(nodes.last().unwrap()) }
    }
    let master = nodes.remove(0);
    survives(&files.uris(), master, &nodes);
}

#[test]
fn two_nodes_on_a_shared_database_with_a_row_lock_and_a_folder_with_a_lease_in_a_database() {
    let Some(server) = database() else { return };
    let mut files = on_a_database(&server);
    let pairs = [
        ["broker-rowlock.xml", "shareddb", "shareddb"],
        ["broker-kahadb-with-db-lease.xml", "mixed-a", "mixed-b"],
    ];
    for [file, first, second] in pairs {
        let a = files.listens("tcp://0.0.0.0:61616", &[]);
        let master = files.node(file, false);
        is_active(&master);
        let b = files.listens("tcp://0.0.0.0:61616", &[]);
        // The folder of both stays, only what a node is called differs.
        files.say(&format!("leaseHolderId=\"{first}\""), &format!("leaseHolderId=\"{second}\""));
        let standby = files.node(file, false);
        is_standby(&standby);
        survives(&[format!("failover:({a},{b})")], master, &[standby]);
    }
    let schemas = server.sql("SELECT nspname FROM pg_namespace");
    assert!(!schemas.contains("ferromq_pre"), "it is in the database that the file names: {schemas}");
}

#[test]
fn traps_of_a_shared_database_are_told_of() {
    let Some(server) = database() else { return };
    let mut files = on_a_database(&server);
    files.listens("tcp://0.0.0.0:61616", &[]);
    let right = files.file("broker-db-a-lease.xml");
    let wrong = files.file("broker-b-WRONG-database.xml");
    let checked = files.ferromq(&["check", &right, "--peers"], &wrong);
    let told = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(64), "{told}");
    assert!(told.contains("use different databases"), "{told}");
    let trap = files.node("broker-defaults-trap.xml", false);
    let told = trap.log().wait_for("two masters would be possible", PATIENCE);
    assert!(told.is_some(), "{:?}", trap.log().all());
    send(trap.url(), "queue://q", "x");
    assert_eq!(received(trap.url(), "queue://q", 1), ["x"]);
}

#[test]
fn a_replicated_store_is_refused_by_its_name() {
    let files = Deployment::new("03-replicated-store");
    for name in ["broker-1.xml", "broker-2.xml", "broker-3.xml", "broker-minimal-old-typo.xml"] {
        let file = files.file(name);
        for verb in [&["check"][..], &["config", "convert"]] {
            let told = files.ferromq(verb, &file);
            assert_eq!(told.status.code(), Some(64), "{name}: {told:?}");
        }
        let refused = files.start(&file).expect_err("nothing is replicated");
        assert_eq!(refused.code, Some(64), "{refused}");
        assert!(refused.said.contains("the replicated store is not built into this version"), "{refused}");
        assert!(refused.said.contains(&format!("{name}:12:7")), "with the place: {refused}");
    }
}

#[test]
fn three_brokers_that_are_all_linked() {
    let mut files = Deployment::new("04-static-network");
    let addresses: Vec<String> = ["61616", "61617", "61618"]
        .map(|port| files.listens(&format!("tcp://0.0.0.0:{port}"), &[&format!("tcp://127.0.0.1:{port}")]))
        .into();
    let list = files.path("brokers.txt");
    fs::write(&list, addresses.join(",")).unwrap();
    files.say("/etc/activemq/brokers.txt", &list);
    let nodes = [("broker-n1.xml", false), ("broker-n2.xml", true), ("broker-n3.xml", false)]
        .map(|(name, converted)| files.node(name, converted));
    nodes.iter().for_each(|node| established(node, 2));
    for (number, uri) in files.uris().iter().enumerate() {
        send(uri, "queue://orders", &number.to_string());
        let there = &nodes[(number + 1) % nodes.len()];
        assert_eq!(received(there.url(), "queue://orders", 1), [number.to_string()], "{uri}");
    }
    // What the file excludes stays where it is.
    send(nodes[0].url(), "queue://local.notes", "here");
    let elsewhere =
        ["receive", "--url", nodes[1].url(), "queue://local.notes", "--count", "1", "--timeout", "1"];
    assert!(ferromq(&elsewhere).stdout.is_empty());
    assert_eq!(received(nodes[0].url(), "queue://local.notes", 1), ["here"]);
}

#[test]
fn a_hub_and_its_spokes() {
    let mut files = Deployment::new("04-static-network");
    files.listens("tcp://0.0.0.0:61616", &[]);
    let [one, two] = ["61617", "61618"].map(|port| {
        let address = files.listens(&format!("tcp://127.0.0.1:{port}"), &[]);
        Launch::new(PROGRAM).arg("--name").arg(format!("spoke-{port}")).listen(address).start().unwrap()
    });
    let hub = files.node("broker-hub-duplex.xml", false);
    established(&hub, 3);
    send(hub.url(), "queue://outwards", "a");
    assert_eq!(received(one.url(), "queue://outwards", 1), ["a"]);
    send(one.url(), "queue://inwards", "b");
    assert_eq!(received(hub.url(), "queue://inwards", 1), ["b"]);
    // Nobody has to ask for this one.
    send(hub.url(), "queue://always.forward", "c");
    assert_eq!(received(two.url(), "queue://always.forward", 1), ["c"]);
}

#[test]
fn three_brokers_that_find_one_another() {
    let mut files = Deployment::new("05-multicast-network");
    let [_, a, b, c] = std::process::id().wrapping_mul(16).to_be_bytes();
    let group =
        format!("multicast://239.{a}.{b}.{c}:{}?interface=127.0.0.1", 20_000 + std::process::id() % 10_000);
    files.say("multicast://default?group=prod", &format!("{group}&amp;group=prod"));
    for port in ["61616", "61617", "61618"] {
        files.listens(&format!("tcp://0.0.0.0:{port}"), &[&format!("tcp://127.0.0.1:{port}")]);
    }
    let nodes = [("broker-mc1.xml", false), ("broker-mc2.xml", true), ("broker-mc3.xml", false)]
        .map(|(name, converted)| files.node(name, converted));
    nodes.iter().for_each(|node| established(node, 2));
    let uris: Vec<String> = files.uris().iter().map(|uri| uri.replace("&amp;", "&")).collect();
    for (number, uri) in uris.iter().enumerate().filter(|(_, uri)| !uri.starts_with("fanout:")) {
        send(uri, "queue://orders", &number.to_string());
        let there = &nodes[(number + 1) % nodes.len()];
        assert_eq!(received(there.url(), "queue://orders", 1), [number.to_string()], "{uri}");
    }
}

#[test]
fn two_pairs_that_are_linked() {
    let mut files = Deployment::new("06-master-slave-pairs-plus-network");
    let nodes = [("east-m", "120"), ("east-s", "121"), ("west-m", "122"), ("west-s", "123")];
    let addresses = nodes.map(|(_, host)| files.listens(&format!("tcp://192.168.1.{host}:61616"), &[]));
    let started: Vec<Node> = nodes
        .iter()
        .zip(&addresses)
        .map(|((name, _), address)| {
            files.say("tcp://0.0.0.0:61616", address);
            let node = files.node(&format!("broker-{name}.xml"), *name == "west-s");
            if name.ends_with('m') {
                is_active(&node)
            } else {
                is_standby(&node)
            }
            node
        })
        .collect();
    let Ok([east_master, _east, west_master, west]) = <[Node; 4]>::try_from(started) else {
        panic!("four nodes")
    };
    established(&east_master, 1);
    established(&west_master, 1);
    let west_uri = format!("failover:({},{})", addresses[2], addresses[3]);
    for (number, uri) in files.uris().iter().enumerate() {
        send(uri, "queue://westwards", &number.to_string());
        assert_eq!(received(&west_uri, "queue://westwards", 1), [number.to_string()], "{uri}");
    }
    // Nobody waits for the answer to a single acknowledgement; it is as safe as what is answered after it.
    send(&west_uri, "queue://after", "");
    west_master.kill();
    is_active(&west);
    for (number, uri) in files.uris().iter().enumerate() {
        send(uri, "queue://westwards", &number.to_string());
        assert_eq!(received(&west_uri, "queue://westwards", 1), [number.to_string()], "{uri}");
        send(&west_uri, "queue://eastwards", &number.to_string());
        assert_eq!(received(uri, "queue://eastwards", 1), [number.to_string()], "{uri}");
    }
    // The older form, from a broker of its own, is duplex.
    files.say("/mnt/amq-east", &files.path("older"));
    files.words.retain(|(word, _)| word != "brokerName=\"east\"");
    files.say("brokerName=\"east\"", "brokerName=\"older\"");
    files.listens("tcp://0.0.0.0:61616", &[]);
    let older = files.node("broker-east-old-style.xml", false);
    established(&older, 1);
    send(older.url(), "queue://older", "to");
    assert_eq!(received(&west_uri, "queue://older", 1), ["to"]);
    send(&west_uri, "queue://back", "from");
    assert_eq!(received(older.url(), "queue://back", 1), ["from"]);
}

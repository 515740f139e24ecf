//! `ferromq check --peers` on real files and folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use ferromq_testkit::{Launch, PATIENCE};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir(world.path("shared")).expect("a folder");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration with its folder, on a port that is picked.
    fn node(&self, name: &str, folder: &str, more: &str) -> String {
        let path = self.path(&format!("{name}.toml"));
        let data = self.path(folder);
        let text = format!(
            "listen = ['tcp://127.0.0.1:0']\n[broker]\nname = '{name}'\ndata_dir = '{}'\n{more}",
            data.display()
        );
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    fn check(&self, arguments: &[&str]) -> (i32, Vec<Value>, Output) {
        let mut command = Command::new(PROGRAM);
        command.arg("check").args(arguments).arg("--json").env("XDG_RUNTIME_DIR", self.folder.path());
        let output = command.output().expect("the program starts");
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let objects = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (output.status.code().unwrap_or(-1), objects, output)
    }
}

/// The checks with this verdict.
fn with(verdict: &str, findings: &[Value]) -> Vec<String> {
    let found = findings.iter().filter(|finding| finding["verdict"] == verdict);
    found.filter_map(|finding| finding["check"].as_str().map(str::to_owned)).collect()
}

/// Everything below a folder: size and time of change.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let about = entry.metadata().expect("an entry");
        if about.is_dir() {
            found.extend(tree(&entry.path()));
        } else {
            found.insert(entry.path(), (about.len(), about.modified().expect("a time")));
        }
    }
    found
}

#[test]
fn a_healthy_pair_passes_and_nothing_is_left() {
    let world = World::new();
    let (a, b) = (world.node("a", "shared", ""), world.node("b", "shared", ""));
    let (code, findings, output) = world.check(&[&a, "--peers", &b]);
    assert_eq!((code, with("refuse", &findings)), (0, vec![]), "{output:?}");
    assert!(with("pass", &findings).contains(&"lock excludes".to_owned()), "{output:?}");
    assert_eq!(fs::read_dir(world.path("shared")).unwrap().count(), 0);
}

#[test]
fn mistakes_of_a_first_cluster_are_refused_with_a_remedy() {
    let world = World::new();
    let a = world.node("a", "shared", "");
    fs::create_dir(world.path("other")).unwrap();
    let other_folder = world.node("b", "other", "");
    let (code, findings, output) = world.check(&[&a, "--peers", &other_folder]);
    assert_eq!((code, with("refuse", &findings)), (64, vec!["one store".to_owned()]), "{output:?}");

    fs::create_dir(world.path("twin")).unwrap();
    let twin = world.path("twin/a.toml");
    fs::copy(&a, &twin).unwrap();
    let (_, findings, output) = world.check(&[&a, "--peers", twin.to_str().unwrap()]);
    assert_eq!(with("refuse", &findings), ["node names"], "{output:?}");
    let finding = findings.iter().find(|finding| finding["check"] == "node names").unwrap();
    assert!(finding["line"].as_str().unwrap().contains("a.toml:3:"), "{finding}");
    assert!(finding["remedy"].as_str().unwrap().contains("broker.name"), "{finding}");

    let memory = world.node("b", "shared", "[store]\nkind = 'memory'\n");
    assert_eq!(world.check(&[&a, "--peers", &memory]).0, 64);
    let broken = world.node("b", "shared", "[stor]\n");
    let (_, findings, output) = world.check(&[&a, "--peers", &broken]);
    assert_eq!(with("refuse", &findings), ["configuration"], "{output:?}");
    let (_, findings, output) = world.check(&[&a, "--peers", "http://127.0.0.1:1"]);
    assert_eq!(with("refuse", &findings), ["connection"], "{output:?}");
}

#[test]
fn beside_a_running_node_not_one_file_changes() {
    let world = World::new();
    let b = world.node("b", "shared", "");
    let runtime = world.folder.path().to_str().unwrap().to_owned();
    let launch = Launch::new(PROGRAM).data(world.path("shared")).env("XDG_RUNTIME_DIR", &runtime);
    let node = launch.arg("--name").arg("a").start().expect("a broker");
    let line = |lines: &[String]| {
        lines.iter().find_map(|line| line.strip_prefix("operators on ")).map(str::to_owned)
    };
    let admin = node.output().wait_until(PATIENCE, line).expect("an admin port");
    // Its heartbeat is its own; everything else stands still without clients.
    let still = || {
        let mut tree = tree(&world.path("shared"));
        tree.retain(|path, _| !path.display().to_string().contains("heartbeat"));
        tree
    };
    let before = still();
    let (code, findings, output) = world.check(&[&b, "--peers", &admin]);
    assert_eq!((code, with("refuse", &findings)), (0, vec![]), "{output:?}");
    assert_eq!(still(), before);

    let same_name = world.node("a", "shared", "");
    let (_, findings, output) = world.check(&[&same_name, "--peers", &admin]);
    assert_eq!(with("refuse", &findings), ["node names"], "{output:?}");
}

#[test]
fn facts_of_another_machine_come_through_a_pipe() {
    let world = World::new();
    let (a, b) = (world.node("a", "shared", ""), world.node("b", "shared", ""));
    let facts = Command::new(PROGRAM).args(["check", &b, "--facts"]).output().unwrap();
    assert_eq!(facts.status.code(), Some(0), "{facts:?}");
    let mut elsewhere: Value = serde_json::from_slice(&facts.stdout).unwrap();
    elsewhere["machine"] = "another".into();
    elsewhere["folder"]["mount"]["source"] = "/dev/sdz1".into();
    let path = world.path("b.json");
    fs::write(&path, elsewhere.to_string()).unwrap();
    let (code, findings, output) = world.check(&[&a, "--peers", path.to_str().unwrap()]);
    assert_eq!((code, with("refuse", &findings)), (64, vec!["one store".to_owned()]), "{output:?}");
}

#[test]
fn who_stops_reading_has_read_enough_and_a_full_disk_is_told() {
    let world = World::new();
    let right = world.path("activemq.xml");
    let wrong = world.path("wrong.xml");
    let broker = |more: &str| {
        format!(
            "<broker {more} persistent='false'><transportConnectors>\
             <transportConnector uri='tcp://127.0.0.1:0'/></transportConnectors></broker>"
        )
    };
    fs::write(&right, broker("useJmx='false'")).expect("a file");
    fs::write(&wrong, broker("colour='red'")).expect("a file");
    let run = |words: &[&str], out: std::process::Stdio| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(PROGRAM);
        command.args(words).stdout(out).stderr(writer);
        command.status().expect("the program starts").code()
    };
    let nobody = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        std::process::Stdio::from(writer)
    };
    let full = || std::process::Stdio::from(fs::File::create("/dev/full").expect("a device"));
    let (right, wrong) = (right.display().to_string(), wrong.display().to_string());
    for (words, code) in [
        (vec!["check", &right], 0),
        (vec!["check", &right, "--json"], 0),
        (vec!["check", &wrong], 64),
        (vec!["check", &wrong, "--json"], 64),
        (vec!["config", "convert", &right], 0),
    ] {
        assert_eq!(run(&words, nobody()), Some(code), "{words:?}");
        assert_eq!(run(&words, full()), Some(74), "{words:?}");
    }
}

//! Mistakes of a first cluster, each on real files and the real program: `ferromq check --peers` calls it by its name,
//! with a reason and a remedy, before anything is started.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what can not be set up ends the test")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

/// How the second node goes wrong.
enum Mistake {
    /// Further lines of its configuration, which begin in `[broker]`.
    Lines(&'static str),
    /// A word of its configuration, and another one.
    Word(&'static str, &'static str),
    /// Something about its machine, as its own check tells it.
    Machine(fn(&mut Value)),
}

use Mistake::{Lines, Machine, Word};

fn nfs(facts: &mut Value, options: &[&str]) {
    facts["folder"]["mount"]["kind"] = json!("nfs4");
    facts["folder"]["mount"]["options"] = json!(options);
}

/// What is wrong, the verdict, the check that says so, and how it is done to a healthy second node.
const CASES: &[(&str, &str, &str, Mistake)] = &[
    ("a key that nobody knows", "refuse", "configuration", Lines("takeover = 5\n")),
    ("a lease that is too short", "refuse", "configuration", Lines("takeover_after_ms = 10\n")),
    ("a store that nobody knows", "refuse", "configuration", Lines("[store]\nkind = 'kahadb'\n")),
    ("the same name twice", "refuse", "node names", Word("name = 'b'", "name = 'a'")),
    ("another folder", "refuse", "one store", Word("/shared'", "/other'")),
    ("a store of another kind", "refuse", "store kind", Lines("[store]\nkind = 'sqlite'\n")),
    ("a lock of one node only", "refuse", "one lock", Lines("[lock]\nuri = 'sqlite:lock.db'\n")),
    (
        "a lock that does not answer",
        "refuse",
        "lock service",
        Lines("[lock]\nuri = 'etcd://me:s3cret@127.0.0.1:1/shop'\n"),
    ),
    ("a store that keeps nothing", "refuse", "store kind", Lines("[store]\nkind = 'memory'\n")),
    ("timings that contradict", "refuse", "timings", Lines("takeover_after_ms = 500\n")),
    ("a port that is taken", "refuse", "ports", Word(":0'", ":TAKEN'")),
    ("syncs now and then", "warn", "durability", Lines("[store]\nsync = 'periodic'\n")),
    ("frames that only one takes", "warn", "limits", Lines("[limits]\nmax_frame_bytes = 1048576\n")),
    (
        "a lock that does not exclude",
        "refuse",
        "lock excludes",
        Machine(|facts| {
            facts["probe"]["shares_lock"] = json!(true);
        }),
    ),
    (
        "a creation that does not exclude",
        "refuse",
        "exclusive creation",
        Machine(|facts| {
            facts["probe"]["shares_creation"] = json!(true);
        }),
    ),
    ("no rename", "refuse", "rename", Machine(|facts| facts["probe"]["rename"] = json!("not supported"))),
    ("no sync", "refuse", "sync", Machine(|facts| facts["probe"]["sync"] = json!("Input/output error"))),
    (
        "a disk too slow for the lease",
        "refuse",
        "sync latency",
        Machine(|facts| {
            facts["probe"]["sync_p50_micros"] = json!(400_000);
        }),
    ),
    (
        "a folder without rights",
        "refuse",
        "rights",
        Machine(|facts| {
            facts["probe"]["denied"] = json!("Permission denied");
        }),
    ),
    (
        "a disk of each machine",
        "refuse",
        "one store",
        Machine(|facts| {
            facts["machine"] = json!("another");
            facts["folder"]["mount"]["source"] = json!("/dev/sdz1");
        }),
    ),
    ("NFS 2", "refuse", "file system", Machine(|facts| nfs(facts, &["rw", "vers=2", "hard"]))),
    (
        "NFS locks within one machine",
        "refuse",
        "mount options",
        Machine(|facts| {
            nfs(facts, &["rw", "vers=4.2", "hard", "local_lock=all"]);
        }),
    ),
    (
        "a mount that can't be written",
        "refuse",
        "mount options",
        Machine(|facts| {
            nfs(facts, &["ro", "vers=4.2", "hard"]);
        }),
    ),
    ("two versions", "warn", "versions", Machine(|facts| facts["version"] = json!("9.9.9"))),
];

fn ferromq(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.args(arguments).env("XDG_RUNTIME_DIR", folder).output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stdout).unwrap())
}

fn configuration(folder: &Path, name: &str) -> String {
    let data = folder.join("shared");
    format!("listen = ['tcp://127.0.0.1:0']\n[broker]\nname = '{name}'\ndata_dir = '{}'\n", data.display())
}

#[test]
fn each_mistake_of_a_first_cluster_is_called_by_its_name_before_the_start() {
    let world = tempfile::tempdir().unwrap();
    let folder = world.path();
    for data in ["shared", "other"] {
        fs::create_dir(folder.join(data)).unwrap();
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (a, b, peer) = (folder.join("a.toml"), folder.join("b.toml"), folder.join("b.json"));
    fs::write(&a, configuration(folder, "a")).unwrap();
    let mut missed = Vec::new();
    for (case, verdict, check, mistake) in CASES {
        let sound = configuration(folder, "b");
        let text = match mistake {
            Lines(lines) => sound.clone() + lines,
            Word(old, new) => sound.replace(old, &new.replace("TAKEN", &port)),
            Machine(_) => sound.clone(),
        };
        fs::write(&b, text).unwrap();
        let second = if let Machine(change) = mistake {
            let (_, text) = ferromq(folder, &["check", b.to_str().unwrap(), "--facts"]);
            let mut facts: Value = serde_json::from_str(&text).unwrap();
            change(&mut facts);
            fs::write(&peer, facts.to_string()).unwrap();
            &peer
        } else {
            &b
        };
        let arguments = ["check", a.to_str().unwrap(), "--json", "--peers", second.to_str().unwrap()];
        let (code, output) = ferromq(folder, &arguments);
        let findings = || output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        let found = findings().any(|finding| {
            let named = text(&finding, "check") == *check && text(&finding, "verdict") == *verdict;
            named && !text(&finding, "reason").is_empty() && !text(&finding, "remedy").is_empty()
        });
        if !found || (*verdict == "refuse") != (code == 64) {
            let wrong = findings().filter(|finding| finding["verdict"] != "pass").collect::<Vec<_>>();
            missed.push(format!("{case}: exit code {code}, {wrong:#?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(CASES.len() >= 20);
}

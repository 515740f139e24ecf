//! Seeded misconfigurations: each is found under its name, and a healthy pair passes.

use std::path::PathBuf;

use super::facts::{Facts, Folder, Port, Probe};
use super::finding::Verdict::{self, Pass, Refuse, Warn};
use super::judge::{CHECKS, judge};
use super::mounts::Mount;
use super::wrong;

fn port(host: &str, port: u16) -> Port {
    Port {
        url: format!("tcp://{host}:{port}"),
        host: host.to_owned(),
        port,
        loopback: host == "127.0.0.1",
        trouble: None,
        line: "1:1 (listen)".to_owned(),
    }
}

fn nfs(options: &str) -> Mount {
    Mount {
        kind: "nfs4".to_owned(),
        source: "nas:/export".to_owned(),
        root: "/".to_owned(),
        point: PathBuf::from("/mnt/mq"),
        options: options.split(',').map(str::to_owned).collect(),
    }
}

/// Two nodes on two machines, with a folder of one NFS server.
fn healthy() -> [Facts; 2] {
    let node = |name: &str, machine: &str, ahead: i64| Facts {
        source: format!("{name}.toml"),
        node: name.to_owned(),
        version: "0.1.0".to_owned(),
        machine: machine.to_owned(),
        store: "journal".to_owned(),
        sync: "always".to_owned(),
        data: PathBuf::from("/mnt/mq/orders"),
        folder: Some(Folder {
            path: PathBuf::from("/mnt/mq/orders"),
            exists: true,
            device: 50,
            inode: 7,
            mount: nfs("rw,vers=4.2,hard,proto=tcp,timeo=600,local_lock=none"),
            free_bytes: 1 << 40,
            foreign: None,
        }),
        probe: Some(Probe { sync_p50_micros: 900, sync_max_micros: 4_000, ..Probe::default() }),
        listeners: vec![port("10.0.0.7", 61_616)],
        admin: Some(port("127.0.0.1", 0)),
        users: vec!["shop".to_owned()],
        takeover_after_ms: Some(2_000),
        max_frame_bytes: 100 << 20,
        max_connections: 1_000,
        max_open_files: 65_536,
        reserve_bytes: 64 << 20,
        clock_ahead_ms: Some(ahead),
        claim: Some((7, "ab".to_owned())),
        ..Facts::default()
    };
    [node("a", "machine-1", 0), node("b", "machine-2", 3)]
}

fn folder(facts: &mut Facts) -> &mut Folder {
    facts.folder.as_mut().expect("a healthy node has a folder")
}

fn probe(facts: &mut Facts) -> &mut Probe {
    facts.probe.as_mut().expect("a healthy node was tried")
}

/// Both on one machine, with a disk of it.
fn together(nodes: &mut [Facts; 2]) {
    for node in nodes.iter_mut() {
        node.machine = "machine-1".to_owned();
        folder(node).mount =
            Mount { kind: "ext4".to_owned(), source: "/dev/sda1".to_owned(), ..Mount::default() };
    }
    let [_, b] = nodes;
    b.listeners = vec![port("10.0.0.7", 61_617)];
}

type Seed = (&'static str, Verdict, &'static str, fn(&mut [Facts; 2]));

/// What is wrong, how it must be called, under which check, and how it is done to a healthy pair.
const SEEDS: &[Seed] = &[
    ("a key that nobody knows", Refuse, "configuration", |[_, b]| {
        b.mistakes.push("b.toml:1:1: error: unknown key".into())
    }),
    ("a peer that does not answer", Refuse, "connection", |[_, b]| {
        b.unreachable = Some("connection refused".into())
    }),
    ("the same name twice", Refuse, "node names", |[_, b]| b.node = "a".into()),
    ("another folder of one machine", Refuse, "one store", |nodes| {
        together(nodes);
        folder(&mut nodes[1]).inode = 8;
    }),
    ("another export", Refuse, "one store", |[_, b]| folder(b).mount.source = "nas:/other".into()),
    ("another folder of one export", Refuse, "one store", |[_, b]| {
        folder(b).path = "/mnt/mq/invoices".into()
    }),
    ("a disk of each machine", Refuse, "one store", |nodes| {
        for node in nodes {
            folder(node).mount =
                Mount { kind: "ext4".into(), source: "/dev/sda1".into(), ..Mount::default() };
        }
    }),
    ("a running peer with another claim of the same number", Refuse, "one store", |[_, b]| {
        (b.running, b.folder, b.probe) = (true, None, None);
        b.claim = Some((7, "cd".into()));
    }),
    ("a folder that was never claimed beside a master", Refuse, "one store", |[a, b]| {
        (b.running, b.folder, b.probe) = (true, None, None);
        a.claim = None;
    }),
    ("a restored copy", Refuse, "one store", |[_, b]| {
        (b.running, b.folder, b.probe) = (true, None, None);
        b.claim = Some((19, "cd".into()));
    }),
    ("a store of another kind", Refuse, "store kind", |[_, b]| b.store = "sqlite".into()),
    ("a store that keeps nothing", Refuse, "store kind", |nodes| {
        nodes.iter_mut().for_each(|node| node.store = "memory".into())
    }),
    ("a lock of one node only", Refuse, "one lock", |[a, _]| a.lock = "etcd on e:1, prefix p".into()),
    ("a prefix of each node", Refuse, "one lock", |[a, b]| {
        a.lock = "etcd on e:1, prefix p".into();
        b.lock = "etcd on e:1, prefix q".into();
    }),
    ("a lock that each machine has for itself", Refuse, "one lock", |nodes| {
        for node in nodes {
            (node.lock, node.lock_is_local) = ("etcd on 127.0.0.1:1, prefix p".into(), true);
        }
    }),
    ("a lock that does not answer", Refuse, "lock service", |nodes| {
        nodes.iter_mut().for_each(|node| node.lock = "etcd on e:1, prefix p".into());
        nodes[0].lock_trouble = Some("connection refused".into());
    }),
    ("SQLite over the network", Refuse, "file system", |nodes| {
        nodes.iter_mut().for_each(|node| node.store = "sqlite".into())
    }),
    ("a folder without rights", Refuse, "rights", |[_, b]| {
        probe(b).denied = Some("Permission denied".into())
    }),
    ("files of another user", Refuse, "rights", |[_, b]| {
        folder(b).foreign = Some("/mnt/mq/orders/claims".into())
    }),
    ("a lock that does not exclude", Refuse, "lock excludes", |[a, _]| probe(a).shares_lock = true),
    ("no lock at all", Refuse, "lock excludes", |[a, _]| {
        probe(a).broken_lock = Some("No locks available".into())
    }),
    ("a creation that does not exclude", Refuse, "exclusive creation", |[a, _]| {
        probe(a).shares_creation = true
    }),
    ("no rename", Refuse, "rename", |[a, _]| probe(a).rename = Some("Invalid cross-device link".into())),
    ("no sync", Refuse, "sync", |[a, _]| probe(a).sync = Some("Input/output error".into())),
    ("a disk too slow for the lease", Refuse, "sync latency", |[a, _]| probe(a).sync_p50_micros = 400_000),
    ("a slow disk", Warn, "sync latency", |[a, _]| probe(a).sync_p50_micros = 40_000),
    ("NFS 3", Warn, "file system", |[a, _]| folder(a).mount.options[1] = "vers=3".into()),
    ("NFS 2", Refuse, "file system", |[a, _]| folder(a).mount.options[1] = "vers=2".into()),
    ("locks within one machine", Refuse, "mount options", |[a, _]| {
        folder(a).mount.options[5] = "local_lock=all".into()
    }),
    ("no locks", Refuse, "mount options", |[a, _]| folder(a).mount.options.push("nolock".into())),
    ("no second look", Refuse, "mount options", |[a, _]| folder(a).mount.options.push("nocto".into())),
    ("a mount that gives up", Warn, "mount options", |[a, _]| folder(a).mount.options[2] = "soft".into()),
    ("a mount that can't be written", Refuse, "mount options", |[a, _]| {
        folder(a).mount.options[0] = "ro".into()
    }),
    ("a share of another kind", Warn, "file system", |nodes| {
        nodes.iter_mut().for_each(|node| folder(node).mount.kind = "cifs".into())
    }),
    ("a disk in memory", Warn, "file system", |nodes| {
        together(nodes);
        nodes.iter_mut().for_each(|node| folder(node).mount.kind = "tmpfs".into());
    }),
    ("a share that is not mounted", Warn, "folder", |[a, _]| folder(a).exists = false),
    ("a full disk", Warn, "free space", |[a, _]| folder(a).free_bytes = 1 << 20),
    ("clocks apart", Warn, "clocks", |[_, b]| b.clock_ahead_ms = Some(-90_000)),
    ("timings that contradict", Refuse, "timings", |[_, b]| b.takeover_after_ms = Some(500)),
    ("a port without a login", Warn, "logins", |nodes| nodes.iter_mut().for_each(|node| node.users.clear())),
    ("a user of one node only", Refuse, "same logins", |[_, b]| b.users.clear()),
    ("a token on the wire", Warn, "logins", |[a, _]| {
        (a.admin, a.admin_token) = (Some(port("10.0.0.7", 8_161)), true)
    }),
    ("a port that is taken", Refuse, "ports", |[a, _]| {
        a.listeners[0].trouble = Some("Address already in use".into())
    }),
    ("a port for two", Refuse, "ports", |nodes| {
        together(nodes);
        nodes[1].listeners = vec![port("0.0.0.0", 61_616)];
    }),
    ("a standby that clients can't reach", Warn, "ports", |[_, b]| {
        b.listeners = vec![port("127.0.0.1", 61_616)]
    }),
    ("syncs now and then", Warn, "durability", |nodes| {
        nodes.iter_mut().for_each(|node| node.sync = "periodic".into())
    }),
    ("frames that only one takes", Warn, "limits", |[_, b]| b.max_frame_bytes = 1 << 20),
    ("too few open files", Warn, "open files", |[a, _]| a.max_open_files = 1_024),
    ("two versions", Warn, "versions", |[_, b]| b.version = "0.2.0".into()),
];

#[test]
fn every_seeded_misconfiguration_is_found_under_its_name() {
    for (seed, verdict, check, plant) in SEEDS {
        let mut nodes = healthy();
        plant(&mut nodes);
        let findings = judge(&nodes);
        let found = findings.iter().find(|finding| finding.check == *check && finding.verdict == *verdict);
        let found = found.unwrap_or_else(|| panic!("{seed}: {:#?}", wrong(&findings)));
        assert!(!found.reason.is_empty() && !found.remedy.is_empty(), "{seed}: {found}");
        // What is wrong is called by one name: nobody should search in five places.
        let named: Vec<&str> = wrong(&findings).iter().map(|finding| finding.check).collect();
        let mut checks = named.clone();
        checks.dedup();
        assert!(checks.len() <= 2, "{seed}: {named:?}");
    }
    assert!(SEEDS.len() >= 20);
}

#[test]
fn healthy_pairs_pass_every_check() {
    let mut one_machine = healthy();
    together(&mut one_machine);
    let [alone, _] = healthy();
    // Some members of one etcd are as good as all of them.
    let mut locked = healthy();
    locked[0].lock = "etcd on a:1,b:1, prefix p".to_owned();
    locked[1].lock = "etcd on c:1,b:1, prefix p".to_owned();
    for nodes in [&healthy()[..], &one_machine[..], &[alone][..], &locked[..]] {
        let findings = judge(nodes);
        assert!(wrong(&findings).is_empty(), "{:#?}", wrong(&findings));
        let passed: Vec<&str> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(passed, CHECKS);
        assert!(findings.iter().all(|finding| finding.verdict == Pass && !finding.reason.is_empty()));
    }
}

#[test]
fn every_check_has_a_seed() {
    for check in CHECKS {
        assert!(SEEDS.iter().any(|(_, _, seeded, _)| *seeded == check), "{check} was never seen to fail");
    }
}

#[test]
fn facts_travel_as_text() {
    let [a, _] = healthy();
    let text = serde_json::to_string(&a).unwrap();
    let back = super::gather::of_text("a.json", &text, false).unwrap();
    assert_eq!(back.source, "a.json: a.toml");
    assert_eq!(back.clock_ahead_ms, None, "a file may be old");
    assert_eq!(Facts { source: a.source.clone(), clock_ahead_ms: a.clock_ahead_ms, ..back }, a);
    assert!(super::gather::of_text("a.json", "[", false).is_err());
}

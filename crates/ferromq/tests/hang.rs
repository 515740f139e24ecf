//! Storage that does not answer, or answers with an error, while a node is no master: pipes and folders in place of files.
//! A pipe that nobody writes to hangs whoever opens it, as a network file system does whose server is gone.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, Node, PATIENCE};
use rustix::process::Signal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

/// Nobody who asks, or says stop, waits longer than this, however busy the machine is.
const SOON: Duration = Duration::from_secs(20);

/// Nodes on one folder, and the commands of their operator.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("shared")
    }

    fn start(&self, name: &str, takeover_after: &str) -> Node {
        let launch = Launch::new(PROGRAM).env("XDG_RUNTIME_DIR", self.0.path().to_str().unwrap());
        let launch = launch.arg("--name").arg(name).arg("--takeover-after").arg(takeover_after);
        let node = launch.data(self.store()).start().unwrap();
        assert!(node.output().wait_for("operators on ", PATIENCE).is_some());
        node
    }

    fn ferromq(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("XDG_RUNTIME_DIR", self.0.path()).output().unwrap()
    }

    fn status(&self, name: &str) -> serde_json::Value {
        let output = self.ferromq(&["status", name, "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// `b` has taken over from `a`, which stands still; what stands in `a`'s way when it wakes up is for the test.
    fn superseded(&self) -> [Node; 2] {
        let a = self.start("a", "500ms");
        a.becomes("active (epoch 1");
        let b = self.start("b", "500ms");
        b.becomes("standby (master: a, epoch 1)");
        a.signal(Signal::STOP);
        b.becomes("active (epoch 2");
        [a, b]
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Opening the file hangs from now on.
fn hang(file: &Path) {
    let new = file.with_extension("new");
    assert!(Command::new("mkfifo").arg(&new).status().unwrap().success());
    std::fs::rename(new, file).unwrap();
}

/// The thread of that name waits for the other end of a pipe.
fn hangs(node: &Node, thread: &str) {
    let threads = PathBuf::from(format!("/proc/{}/task", node.pid()));
    let said = |thread: &Path, what| std::fs::read_to_string(thread.join(what)).unwrap_or_default();
    until(&format!("{thread} hangs"), || {
        let mut threads = std::fs::read_dir(&threads).unwrap().map(|entry| entry.unwrap().path());
        threads.any(|path| {
            said(&path, "comm").trim() == thread && said(&path, "wchan").contains("wait_for_partner")
        })
    });
}

/// Ends although something hangs, says what, and does not call that an orderly end.
fn ends(mut node: Node, says: &str) {
    node.ask_to_stop();
    let ended = node.wait(SOON);
    let log = format!("{:?}\n{}", node.output().all(), node.log().all().join("\n"));
    assert_eq!(ended.map(|status| status.code()), Some(Some(74)), "{log}");
    assert!(log.contains(says), "{log}");
}

#[test]
fn a_standby_that_could_not_open_the_store_follows_as_soon_as_it_can() {
    let place = Place::new();
    let [a, b] = place.superseded();
    let format = place.store().join("format");
    let aside = place.store().join("format.aside");
    std::fs::rename(&format, &aside).unwrap();
    std::fs::create_dir(&format).unwrap();
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 2)");
    assert!(a.log().wait_for("the store can't be followed", PATIENCE).is_some(), "{:?}", a.log().all());
    assert!(place.status("a")["lag_bytes"].is_null());

    std::fs::remove_dir(&format).unwrap();
    std::fs::rename(&aside, &format).unwrap();
    until("a follows", || place.status("a")["lag_bytes"] == 0);
    b.kill();
    a.becomes("active (epoch 3");
    assert_eq!(a.stop().code(), Some(0));
}

#[test]
fn a_store_that_does_not_answer_keeps_nobody_from_asking_a_standby_or_ending_it() {
    let place = Place::new();
    let [a, _b] = place.superseded();
    hang(&place.store().join("format"));
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 2)");
    assert_eq!(place.status("a")["role"], "standby");
    let forced = place.ferromq(&["force-claim", "a", "--yes"]);
    assert!(forced.status.success(), "the lease's thread does not hang: {forced:?}");
    // Won, and not to be taken over: the next read hangs.
    until("a claims", || place.status("a")["role"] == "claiming");
    ends(a, "the takeover hangs: the storage does not answer");
}

#[test]
fn a_standby_whose_read_hangs_ends_when_it_is_told_to() {
    let place = Place::new();
    let [a, _b] = place.superseded();
    hang(&place.store().join("format"));
    a.signal(Signal::CONT);
    a.becomes("standby (master: b, epoch 2)");
    ends(a, "a read of the standby hangs: the storage does not answer");
}

#[test]
fn a_claim_is_not_waited_for_when_the_thread_of_the_lease_hangs() {
    let place = Place::new();
    let a = place.start("a", "2s");
    a.becomes("active (epoch 1");
    let b = place.start("b", "2s");
    b.becomes("standby (master: a, epoch 1)");
    let heartbeat = place.store().join("heartbeats/0000000001");
    hang(&heartbeat);
    // The master has its file open; the standby opens it at every look.
    hangs(&b, "lease");
    let begun = Instant::now();
    let forced = place.ferromq(&["force-claim", "b", "--yes"]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!forced.status.success(), "{forced:?}");
    let said = String::from_utf8_lossy(&forced.stderr);
    assert!(
        said.contains("the thread of the lease hangs: the place of the claims has not answered"),
        "{said}"
    );
    assert_eq!(place.status("b")["role"], "standby");
    ends(b, "the thread of the lease hangs");
    assert_eq!(place.status("a")["role"], "active");
    assert_eq!(a.stop().code(), Some(0));
}

#[test]
fn a_switchover_does_not_wait_for_a_thread_of_the_lease_that_hangs() {
    let place = Place::new();
    let a = place.start("a", "4s");
    a.becomes("active (epoch 1");
    // Looked for at each renewal, beside the mark.
    hang(&place.store().join("claims/0000000002"));
    hangs(&a, "lease");
    let begun = Instant::now();
    let switched = place.ferromq(&["switchover", "a"]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!switched.status.success(), "{switched:?}");
    let said = String::from_utf8_lossy(&switched.stderr);
    assert!(said.contains("the lease could not be released: its thread hangs in the storage"), "{said}");
    a.becomes("standby (master: unknown, epoch 1)");
    // The standby that it is now looks for that claim as well.
    ends(a, "a read of the standby hangs");
}

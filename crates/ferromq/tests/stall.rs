//! A disk that stalls, and one that fails: a file system in a file, frozen as `fsfreeze` does, or cut off from its device.
//!
//! Needs root and loop devices; where they are not to be had, nothing is tested and the output says so.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ferromq_testkit::{Node, PATIENCE};
use peer::{Peer, ferromq};

mod peer;

fn done(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// A file system of its own.
struct Medium {
    mount: PathBuf,
    _folder: tempfile::TempDir,
}

impl Medium {
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (image, mount) = (folder.path().join("image"), folder.path().join("mount"));
        std::fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        std::fs::create_dir(&mount).unwrap();
        let (image, at) = (image.to_str().unwrap(), mount.to_str().unwrap());
        let made = done("mkfs.ext4", &["-q", image]) && done("mount", &["-o", "loop", image, at]);
        if !made {
            println!("skipped: no file system can be mounted here");
            return None;
        }
        Some(Self { mount, _folder: folder })
    }

    fn data(&self) -> PathBuf {
        self.mount.join("data")
    }

    fn freeze(&self) -> Frozen<'_> {
        assert!(done("fsfreeze", &["--freeze", self.mount.to_str().unwrap()]));
        Frozen(&self.mount)
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        done("umount", &["--lazy", self.mount.to_str().unwrap_or_default()]);
    }
}

/// Thawed when dropped, so that a test that fails leaves nothing behind that hangs.
struct Frozen<'a>(&'a Path);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        done("fsfreeze", &["--unfreeze", self.0.to_str().unwrap_or_default()]);
    }
}

fn start(medium: &Medium, takeover_after: &str) -> Node {
    let launch = ferromq().arg("--name").arg("a").arg("--takeover-after").arg(takeover_after);
    launch.data(medium.data()).start().unwrap()
}

fn roles(node: &Node) -> Vec<String> {
    node.output().all().into_iter().filter(|line| line.starts_with("role ")).collect()
}

#[test]
fn a_stall_shorter_than_the_lease_is_waited_out() {
    let Some(medium) = Medium::make() else { return };
    let node = start(&medium, "10s");
    let mut peer = Peer::connect(node.address()).unwrap();
    peer.send("orders", "before").unwrap();

    let stall = Duration::from_millis(1_500);
    let frozen = medium.freeze();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(stall);
            drop(frozen);
        });
        peer.send("orders", "during").unwrap();
    });
    // The sender waited, its connection lives, and nothing happened to the role.
    assert!(began.elapsed() >= stall);
    peer.send("orders", "after").unwrap();
    assert_eq!(roles(&node).len(), 1, "{:?}", roles(&node));
    peer.consume("orders", 10).unwrap();
    for text in ["before", "during", "after"] {
        assert_eq!(peer.receive().unwrap().0, text);
    }
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_stall_longer_than_the_lease_ends_the_reign_and_not_the_process() {
    let Some(medium) = Medium::make() else { return };
    let node = start(&medium, "500ms");
    let mut peer = Peer::connect(node.address()).unwrap();
    peer.send("orders", "answered").unwrap();

    let frozen = medium.freeze();
    // It steps down while the disk still hangs: the thread that would renew the lease hangs as well.
    let stepped_down = node.output().wait_for("role standby", Duration::from_secs(10));
    assert!(stepped_down.is_some(), "{:?}\n{}", roles(&node), node.log().all().join("\n"));
    assert!(peer.send("orders", "never answered").is_err());
    drop(frozen);

    let again = node.output().wait_until(PATIENCE, |lines| {
        lines.iter().any(|line| line.starts_with("role active (epoch 2")).then_some(())
    });
    assert!(again.is_some(), "{:?}\n{}", roles(&node), node.log().all().join("\n"));
    let mut receiver = Peer::connect(node.address()).unwrap();
    receiver.consume("orders", 10).unwrap();
    assert_eq!(receiver.receive().unwrap().0, "answered");
    assert_eq!(node.stop().code(), Some(0));
}

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
        Self::make_in(tempfile::tempdir().unwrap())
    }

    fn make_in(folder: tempfile::TempDir) -> Option<Self> {
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

    /// A file system on a device that fails once `reserve` is used up by somebody else.
    fn on_a_device_that_can_fail(reserve: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap();
        if !done("mount", &["-t", "tmpfs", "-o", &format!("size={reserve}"), "tmpfs", at]) {
            println!("skipped: no file system can be mounted here");
            return None;
        }
        Self::make_in(folder)
    }

    /// From now on the device has no room for what is written to it: a sync fails, and not for want of room in the file
    /// system.
    fn fail(&self) {
        let filler = self.mount.with_file_name("filler");
        let mut file = std::fs::File::create(filler).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 64 * 1024]).is_ok() {}
    }

    fn freeze(&self) -> Frozen<'_> {
        assert!(done("fsfreeze", &["--freeze", self.mount.to_str().unwrap()]));
        Frozen(&self.mount)
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        done("umount", &["--lazy", self.mount.to_str().unwrap_or_default()]);
        // It may be one of its own, for a device that fails.
        done("umount", &["--lazy", self.mount.parent().and_then(Path::to_str).unwrap_or_default()]);
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
    assert_eq!(node.roles().len(), 1, "{:?}", node.roles());
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
    assert!(stepped_down.is_some(), "{:?}\n{}", node.roles(), node.log().all().join("\n"));
    assert!(peer.send("orders", "never answered").is_err());
    drop(frozen);

    let again = node.output().wait_until(PATIENCE, |lines| {
        lines.iter().any(|line| line.starts_with("role active (epoch 2")).then_some(())
    });
    assert!(again.is_some(), "{:?}\n{}", node.roles(), node.log().all().join("\n"));
    let mut receiver = Peer::connect(node.address()).unwrap();
    receiver.consume("orders", 10).unwrap();
    assert_eq!(receiver.receive().unwrap().0, "answered");
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_sync_that_fails_ends_the_reign_at_once_and_is_never_tried_again() {
    let Some(medium) = Medium::on_a_device_that_can_fail("64m") else { return };
    let node = start(&medium, "60s");
    let mut peer = Peer::connect(node.address()).unwrap();
    peer.send("orders", "answered").unwrap();

    medium.fail();
    let text = "x".repeat(64 * 1024);
    let failed = (0..500).any(|_| peer.send("orders", &text).is_err());
    assert!(failed, "a device that takes nothing any longer takes 32 MB");
    // Long before the lease is over.
    let stepped_down = node.output().wait_for("role standby", Duration::from_secs(10));
    assert!(stepped_down.is_some(), "{:?}\n{}", node.roles(), node.log().all().join("\n"));
    assert!(node.log().wait_for("stepping down", PATIENCE).is_some());
}

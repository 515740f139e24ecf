//! A broker on a real disk that is full, and on files that decayed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ferromq_testkit::{Launch, PATIENCE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

fn ferromq(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file system of its own, in memory, with little room; unmounted in the end.
struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount anything.
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap().keep();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&folder).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        fs::remove_dir(&folder).unwrap();
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a broker that a failed test left behind may still be on it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_disk_refuses_messages_serves_consumers_and_recovers_by_itself() {
    let Some(disk) = Small::mount(260) else {
        println!("skip full-disk: mounting a small file system needs root");
        return;
    };
    let node = Launch::new(PROGRAM).data(disk.0.join("data")).start().unwrap();
    let url = node.url();
    let body = disk.0.join("body");
    fs::write(&body, vec![7; 1_000_000]).unwrap();
    let body = body.to_str().unwrap();

    // Given many large messages on their way at once, when the disk is full, then the producer is told.
    let flood = ferromq(&["send", "--url", url, "queue://big", "--file", body, "--count", "400"]);
    assert_eq!(flood.status.code(), Some(69), "{}", said(&flood));
    assert!(said(&flood).contains("Persistent store is Full"), "{}", said(&flood));
    assert!(said(&flood).contains("messages were accepted before"), "{}", said(&flood));
    let refused = ferromq(&["send", "--url", url, "queue://other", "one more"]);
    assert!(said(&refused).contains("Persistent store is Full"), "{}", said(&refused));

    // Messages that need no disk, and consumers, go on; and when they have made room, so do producers.
    let light = ferromq(&["send", "--url", url, "queue://light", "light", "--non-persistent"]);
    assert!(light.status.success(), "{}", said(&light));
    let drained = ferromq(&["receive", "--url", url, "queue://big", "--timeout", "2"]);
    assert!(drained.status.success(), "{}", said(&drained));
    assert!(drained.stdout.len() > 20_000_000, "only {} bytes came", drained.stdout.len());
    let deadline = Instant::now() + PATIENCE;
    while !ferromq(&["send", "--url", url, "queue://other", "after"]).status.success() {
        assert!(Instant::now() < deadline, "it did not recover: {:?}", node.log().all());
        std::thread::sleep(Duration::from_millis(200));
    }
    let after = ferromq(&["receive", "--url", url, "queue://other", "--count", "1", "--timeout", "10"]);
    assert_eq!(String::from_utf8_lossy(&after.stdout), "after\n");
    assert_eq!(node.stop().code(), Some(0));
}

/// The one segment of a journal that holds messages, and where `needle` is in it.
fn place_of(journal: &Path, needle: &[u8]) -> (PathBuf, u64) {
    let files = fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path());
    let found = files.filter(|path| path.extension().is_some_and(|end| end == "journal")).find_map(|path| {
        let bytes = fs::read(&path).unwrap();
        let at = bytes.windows(needle.len()).position(|window| window == needle)?;
        Some((path, at as u64))
    });
    found.expect("the message is in the journal")
}

#[test]
fn decay_is_named_and_what_is_whole_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(PROGRAM).data(folder.path());
    let node = launch.start().unwrap();
    for text in ["the first", "the second", "the third"] {
        assert!(ferromq(&["send", "--url", node.url(), "queue://orders", text]).status.success());
    }
    assert_eq!(node.stop().code(), Some(0));

    // When one bit of the second message's body flips on the disk,
    let (segment, at) = place_of(&folder.path().join("journal"), b"the second");
    let file = fs::OpenOptions::new().read(true).write(true).open(&segment).unwrap();
    file.write_all_at(b"T", at).unwrap();

    // then it is named by its destination and id, without a broker,
    let data = folder.path().to_str().unwrap();
    let verified = ferromq(&["store", "verify", data]);
    assert_eq!(verified.status.code(), Some(74), "{}", said(&verified));
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(report.contains("damaged: queue://orders ID:"), "{report}");
    assert!(report.contains(segment.file_name().unwrap().to_str().unwrap()), "{report}");
    let cat = ferromq(&["store", "cat", "queue://orders", data]);
    assert_eq!(cat.status.code(), Some(74), "{}", said(&cat));
    let listing = String::from_utf8_lossy(&cat.stdout).into_owned();
    assert!(listing.contains("the first") && listing.contains("the third"), "{listing}");
    assert!(listing.contains("damaged: "), "{listing}");

    // and by the broker's log, while its neighbours are served.
    let node = launch.start().unwrap();
    let rest = ferromq(&["receive", "--url", node.url(), "queue://orders", "--timeout", "2"]);
    assert_eq!(String::from_utf8_lossy(&rest.stdout), "the first\nthe third\n", "{}", said(&rest));
    assert!(node.log().wait_for("damaged", PATIENCE).is_some(), "{:?}", node.log().all());
    assert_eq!(node.stop().code(), Some(0));
}

//! What the simulated disk promises, and what it takes away.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::{Clock, Disk, DiskFile, Entropy, OpenMode};

fn path(name: &str) -> &Path {
    Path::new(name)
}

fn read(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(path(name), OpenMode::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    Some(bytes)
}

/// A file of two sectors of `a`, safe under its name.
fn disk_with_file() -> (SimDisk, Arc<dyn DiskFile>) {
    let disk = SimDisk::new();
    let file = disk.open(path("/f"), OpenMode::CreateNew).unwrap();
    file.write_at(&[b'a'; 1024], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir(path("/")).unwrap();
    (disk, file)
}

fn outcomes(disk: &SimDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..400).map(|seed| read(&disk.fork_crashed(Crash::Seeded(seed)), name)).collect()
}

#[test]
fn unsynced_sectors_are_lost_kept_torn_and_reordered_but_never_split() {
    let (disk, file) = disk_with_file();
    file.write_at(&[b'b'; 1024], 0).unwrap();
    file.write_at(&[b'c'; 512], 512).unwrap();

    let seen: BTreeSet<(u8, u8)> = outcomes(&disk, "/f")
        .into_iter()
        .map(|bytes| {
            let bytes = bytes.expect("the name was synced");
            assert!(bytes[..512].iter().all(|byte| *byte == bytes[0]), "a sector is never split");
            assert!(bytes[512..].iter().all(|byte| *byte == bytes[512]));
            (bytes[0], bytes[512])
        })
        .collect();

    let all = [b'a', b'b'].into_iter().flat_map(|x| [(x, b'a'), (x, b'b'), (x, b'c')]).collect();
    assert_eq!(seen, all);
}

#[test]
fn a_file_that_grew_may_have_its_length_and_not_its_bytes() {
    let (disk, file) = disk_with_file();
    file.write_at(&[b'b'; 1024], 1024).unwrap();
    let seen = outcomes(&disk, "/f");
    let lengths: BTreeSet<usize> = seen.iter().flatten().map(Vec::len).collect();
    assert_eq!(lengths, BTreeSet::from([1024, 2048]));
    assert!(seen.iter().flatten().any(|bytes| bytes.len() == 2048 && bytes[1024..].iter().all(|b| *b == 0)));
    assert!(seen.iter().flatten().all(|bytes| bytes[..1024] == [b'a'; 1024]), "what was synced stays");
}

#[test]
fn names_come_and_go_until_the_folder_is_synced() {
    let (disk, _file) = disk_with_file();
    disk.create_dir_all(path("/d")).unwrap();
    for name in ["/d/one", "/d/two"] {
        disk.open(path(name), OpenMode::CreateNew).unwrap().sync().unwrap();
    }
    disk.remove(path("/f")).unwrap();
    let states: BTreeSet<(bool, bool, bool)> = (0..200)
        .map(|seed| {
            let after = disk.fork_crashed(Crash::Seeded(seed));
            let there = |name| read(&after, name).is_some();
            (there("/f"), there("/d/one"), there("/d/two"))
        })
        .collect();
    assert_eq!(states.len(), 8, "every combination is legal: {states:?}");

    disk.sync_dir(path("/")).unwrap();
    disk.sync_dir(path("/d")).unwrap();
    let after = disk.crash(Crash::LoseUnsynced);
    assert!(read(&after, "/f").is_none());
    assert_eq!(after.list(path("/d")).unwrap(), [path("/d/one"), path("/d/two")]);
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let (disk, _file) = disk_with_file();
    let new = disk.open(path("/g"), OpenMode::CreateNew).unwrap();
    new.write_at(b"new", 0).unwrap();
    new.sync().unwrap();
    disk.sync_dir(path("/")).unwrap();
    disk.rename(path("/g"), path("/f")).unwrap();
    assert!(read(&disk, "/g").is_none());
    let seen = outcomes(&disk, "/f");
    assert_eq!(seen, BTreeSet::from([Some(vec![b'a'; 1024]), Some(b"new".to_vec())]));
}

#[test]
fn a_killed_process_loses_its_locks_and_nothing_it_wrote() {
    let (disk, file) = disk_with_file();
    file.write_at(b"zz", 0).unwrap();
    assert!(file.try_lock().unwrap());
    let other = disk.another_process();
    assert!(!other.open(path("/f"), OpenMode::Write).unwrap().try_lock().unwrap());

    let after = disk.kill();
    assert!(file.write_at(b"late", 0).is_err(), "a dead process writes no more");
    assert!(disk.open(path("/f"), OpenMode::Read).is_err());
    assert_eq!(read(&after, "/f").unwrap()[..3], *b"zza");
    assert!(other.open(path("/f"), OpenMode::Write).unwrap().try_lock().unwrap());
    assert_eq!(read(&after.crash(Crash::LoseUnsynced), "/f").unwrap()[0], b'a', "it was never synced");
}

#[test]
fn a_lock_ends_with_its_handle() {
    let (disk, file) = disk_with_file();
    let second = disk.open(path("/f"), OpenMode::Write).unwrap();
    assert!(file.try_lock().unwrap());
    assert!(file.try_lock().unwrap(), "again by the holder");
    assert!(!second.try_lock().unwrap());
    drop(file);
    assert!(second.try_lock().unwrap());
}

#[test]
fn planned_faults_strike_once_or_for_good_and_where_they_should() {
    let (disk, file) = disk_with_file();
    disk.plan(Fault::once(OpKind::Write, 2, FaultError::Eio));
    file.write_at(b"1", 0).unwrap();
    assert!(file.write_at(b"2", 0).is_err());
    file.write_at(b"3", 0).unwrap();

    disk.plan(Fault::for_good(OpKind::Any, 1, FaultError::Enospc).at("g"));
    file.write_at(b"4", 0).unwrap();
    for _ in 0..2 {
        let error = disk.open(path("/g"), OpenMode::CreateOrKeep).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
    disk.heal();
    assert!(disk.open(path("/g"), OpenMode::CreateOrKeep).is_ok());
}

#[test]
fn a_second_sync_after_a_failed_one_proves_nothing() {
    let lost = (0..50).any(|seed| {
        let disk = SimDisk::seeded(seed);
        let file = disk.open(path("/f"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(path("/")).unwrap();
        file.write_at(&[b'a'; 512], 0).unwrap();
        disk.plan(Fault::once(OpKind::Sync, 1, FaultError::Eio));
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(read(&disk, "/f").unwrap(), [b'a'; 512], "the cache still shows it");
        read(&disk.crash(Crash::KeepAll), "/f").unwrap() != [b'a'; 512]
    });
    assert!(lost);
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let (disk, file) = disk_with_file();
    disk.set_capacity(Some(1500));
    assert_eq!(disk.free_bytes(path("/")).unwrap(), 476);
    let error = file.write_at(&[b'b'; 1024], 1000).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1500);
    assert!(file.allocate(1501).is_err());
    file.write_at(&[b'c'; 100], 0).unwrap();
    disk.remove(path("/f")).unwrap();
    assert_eq!(disk.used_bytes(), 1500, "still open");
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn the_power_can_go_at_every_change() {
    let run = |disk: &SimDisk| -> std::io::Result<()> {
        let file = disk.open(path("/f"), OpenMode::CreateOrKeep)?;
        file.allocate(4096)?;
        file.write_at(b"hello", 0)?;
        file.sync()?;
        disk.sync_dir(path("/"))
    };
    let count = SimDisk::new();
    run(&count).unwrap();
    assert_eq!(count.changes(), 5);
    assert_eq!(count.count(OpKind::Sync), 1);

    for nth in 1..=count.changes() {
        let disk = SimDisk::new();
        disk.power_off_at(nth);
        assert!(run(&disk).is_err(), "at {nth}");
        assert!(disk.list(path("/")).is_err(), "the power is off");
        let after = disk.crash(Crash::LoseUnsynced);
        assert!(read(&after, "/f").is_none(), "the name was never synced, at {nth}");
        run(&after).unwrap();
        assert_eq!(read(&after.crash(Crash::LoseUnsynced), "/f").unwrap()[..5], *b"hello");
    }
}

#[test]
fn the_same_seeds_give_the_same_world() {
    let run = || {
        let disk = SimDisk::seeded(7);
        let file = disk.open(path("/f"), OpenMode::CreateNew).unwrap();
        disk.sync_dir(path("/")).unwrap();
        for round in 0..20u8 {
            file.write_at(&[round; 700], u64::from(round) * 300).unwrap();
        }
        read(&disk.crash(Crash::Seeded(9)), "/f")
    };
    assert_eq!(run(), run());
}

#[test]
fn bits_decay_where_they_are_told_to() {
    let (disk, file) = disk_with_file();
    disk.flip_bits(path("/f"), 3, 0x01).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, 3).unwrap();
    assert_eq!(byte, [b'a' ^ 1]);
    assert_eq!(read(&disk.crash(Crash::LoseUnsynced), "/f").unwrap()[3], b'a' ^ 1);
}

#[test]
fn files_grow_and_shrink_with_zeros() {
    let disk = SimDisk::new();
    let file = disk.open(path("f"), OpenMode::CreateNew).unwrap();
    file.write_at(&[1; 10_000], 0).unwrap();
    file.set_len(5_000).unwrap();
    file.allocate(9_000).unwrap();
    let bytes = read(&disk, "/f").unwrap();
    assert_eq!(bytes.len(), 9_000);
    assert!(bytes[..5_000].iter().all(|byte| *byte == 1) && bytes[5_000..].iter().all(|byte| *byte == 0));
    let reader = disk.open(path("/f"), OpenMode::Read).unwrap();
    assert!(reader.write_at(b"x", 0).is_err());
    assert!(disk.open(path("/nowhere/f"), OpenMode::CreateNew).is_err());
}

#[test]
fn a_simulated_clock_moves_when_it_is_moved() {
    let clock = SimClock::default();
    let before = clock.clone().now();
    clock.advance(Duration::from_millis(1500));
    assert_eq!(clock.now().mono.since(before.mono), Duration::from_millis(1500));
    clock.jump_wall(-2000);
    assert_eq!(clock.now().wall.0, before.wall.0 - 500);
}

#[test]
fn dice_are_fair_enough_and_repeat() {
    let mut dice = SeededEntropy::new(3);
    let mut copy = dice.clone();
    assert_eq!(dice.next_u64(), copy.next_u64());
    let sixes = (0..6000).filter(|_| dice.below(6) == 5).count();
    assert!((800..1200).contains(&sixes), "{sixes}");
    assert_eq!(dice.below(0), 0);
    assert_ne!(dice.split(), copy);
}

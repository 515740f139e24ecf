//! The spool on a simulated disk: torn, full, failing and damaged.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use ferromq_env::Disk;
use ferromq_env::simulated::{Fault, FaultError, OpKind, SimDisk};
use ferromq_model::{Destination, MessageId, ProducerId, Text};

use super::*;
use crate::StoreError;

const FOLDER: &str = "/data/spool";

fn message(sequence: u64, bytes: usize) -> Spooled {
    let id = MessageId::new(ProducerId::new(Text::from("ID:a-1"), 1, 1), sequence as i64);
    let mut message = Message::new(id, Destination::queue("Q"));
    message.body = Some(Bytes::from(vec![sequence as u8; bytes]));
    message.properties = sequence.is_multiple_of(2).then(|| Bytes::from_static(b"properties"));
    message.expiration = 77;
    message.priority = 7;
    let charge = message.charge() as u32;
    Spooled { sequence: Sequence(sequence), counter: 3, charge, message: Arc::new(message) }
}

fn block(first: u64) -> Vec<Spooled> {
    (first..first + 10).map(|sequence| message(sequence, 100)).collect()
}

fn open(disk: &SimDisk, run: &str) -> Result<Spool, StoreError> {
    let options = SpoolOptions { segment_bytes: 8 << 10, leave_free_bytes: 0 };
    Spool::open(Arc::new(disk.clone()), Path::new(FOLDER), run, options)
}

fn files(disk: &SimDisk) -> Vec<String> {
    let names = disk.list(Path::new(FOLDER)).unwrap();
    names.iter().map(|name| name.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn same(a: &[Spooled], b: &[Spooled]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            (a.sequence, a.counter, a.charge) == (b.sequence, b.counter, b.charge)
                && format!("{:?}", a.message) == format!("{:?}", b.message)
        })
}

#[test]
fn what_was_written_is_read_until_it_is_freed() {
    let disk = SimDisk::new();
    let mut spool = open(&disk, "run").unwrap();
    for number in 0..20 {
        spool.write(BlockId(number), &block(number * 10)).unwrap();
    }
    for number in (0..20).rev() {
        assert!(same(&spool.read(BlockId(number)).unwrap(), &block(number * 10)), "{number}");
    }
    for number in 0..20 {
        spool.free(BlockId(number));
        assert!(spool.read(BlockId(number)).is_err());
    }
    assert_eq!(files(&disk), ["run.lock"], "nothing is kept of what nobody needs");
    assert_eq!(spool.used_bytes(), 0);
}

#[test]
fn files_take_at_most_twice_what_is_live_and_two_segments() {
    let disk = SimDisk::new();
    let mut spool = open(&disk, "run").unwrap();
    for number in 0..200 {
        spool.write(BlockId(number), &block(number * 10)).unwrap();
    }
    let each = spool.used_bytes() / 200;
    for number in (0..200).filter(|number| number % 20 != 0) {
        spool.free(BlockId(number));
        while spool.reclaim() {}
    }
    assert!(spool.used_bytes() <= 2 * 10 * each + 2 * (8 << 10), "{}", spool.used_bytes());
    for number in (0..200).filter(|number| number % 20 == 0) {
        assert!(same(&spool.read(BlockId(number)).unwrap(), &block(number * 10)), "{number} was moved");
    }
}

#[test]
fn nothing_is_left_at_the_end_nor_by_the_run_after_a_crash() {
    let disk = SimDisk::new();
    let mut spool = open(&disk, "first").unwrap();
    spool.write(BlockId(1), &block(1)).unwrap();
    drop(spool);
    assert!(files(&disk).is_empty());

    let mut killed = open(&disk, "second").unwrap();
    killed.write(BlockId(1), &block(1)).unwrap();
    std::mem::forget(killed);
    let disk = disk.kill();
    assert_eq!(files(&disk), ["second-000001.spool", "second.lock"]);
    let _spool = open(&disk, "third").unwrap();
    assert_eq!(files(&disk), ["third.lock"]);
}

#[test]
fn what_belongs_to_a_living_process_is_left_alone() {
    let disk = SimDisk::new();
    let mut other = open(&disk.another_process(), "node-1").unwrap();
    other.write(BlockId(1), &block(1)).unwrap();
    let mine = open(&disk, "node").unwrap();
    assert!(same(&other.read(BlockId(1)).unwrap(), &block(1)));
    drop(mine);
    assert_eq!(files(&disk), ["node-1-000001.spool", "node-1.lock"]);
    assert!(open(&disk, "node-1").is_err(), "nobody takes a name that is in use");
}

#[test]
fn a_write_that_fails_costs_only_its_block() {
    for error in [FaultError::Enospc, FaultError::Eio] {
        let disk = SimDisk::new();
        let mut spool = open(&disk, "run").unwrap();
        spool.write(BlockId(1), &block(1)).unwrap();
        // A part of it is written.
        disk.plan(Fault::once(OpKind::Write, 1, error));
        assert!(matches!(spool.write(BlockId(2), &block(20)), Err(StoreError::Io { .. })));
        spool.free(BlockId(2));
        spool.write(BlockId(3), &block(30)).unwrap();
        assert!(same(&spool.read(BlockId(1)).unwrap(), &block(1)));
        assert!(same(&spool.read(BlockId(3)).unwrap(), &block(30)));
    }
}

#[test]
fn a_new_file_that_cannot_be_made_is_tried_again() {
    let disk = SimDisk::new();
    let mut spool = open(&disk, "run").unwrap();
    disk.plan(Fault::once(OpKind::Create, 1, FaultError::Eio));
    assert!(spool.write(BlockId(1), &block(1)).is_err());
    spool.write(BlockId(2), &block(2)).unwrap();
    assert!(same(&spool.read(BlockId(2)).unwrap(), &block(2)));
}

#[test]
fn a_damaged_block_is_told_and_its_neighbours_are_served() {
    let disk = SimDisk::new();
    let mut spool = open(&disk, "run").unwrap();
    for number in 1..=3 {
        spool.write(BlockId(number), &block(number)).unwrap();
    }
    let each = spool.used_bytes() / 3;
    let path = Path::new(FOLDER).join("run-000001.spool");
    disk.flip_bits(&path, each + each / 2, 4).unwrap();
    let error = spool.read(BlockId(2)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("run-000001.spool"), "{error}");
    assert!(same(&spool.read(BlockId(1)).unwrap(), &block(1)));
    assert!(same(&spool.read(BlockId(3)).unwrap(), &block(3)));
    disk.plan(Fault::once(OpKind::Read, 1, FaultError::Eio));
    assert!(matches!(spool.read(BlockId(3)), Err(StoreError::Io { .. })));
    assert!(same(&spool.read(BlockId(3)).unwrap(), &block(3)), "the disk was busy with itself");
}

#[test]
fn what_can_not_be_moved_stays_where_it_is() {
    let disk = SimDisk::new();
    let mut spool = open(&disk, "run").unwrap();
    for number in 0..100 {
        spool.write(BlockId(number), &block(number * 10)).unwrap();
    }
    disk.plan(Fault::for_good(OpKind::Write, 1, FaultError::Enospc));
    for number in (0..100).filter(|number| number % 20 != 0) {
        spool.free(BlockId(number));
        while spool.reclaim() {}
    }
    for number in (0..100).filter(|number| number % 20 == 0) {
        assert!(same(&spool.read(BlockId(number)).unwrap(), &block(number * 10)), "{number}");
    }
}

#[test]
fn nothing_is_begun_on_a_disk_that_has_hardly_room() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(100 << 10));
    let options = SpoolOptions { segment_bytes: 8 << 10, leave_free_bytes: 64 << 10 };
    let mut spool = Spool::open(Arc::new(disk.clone()), Path::new(FOLDER), "run", options).unwrap();
    let refused = (0..).find_map(|number| spool.write(BlockId(number), &block(number)).err());
    assert!(matches!(refused, Some(StoreError::Full { .. })), "{refused:?}");
    assert!(disk.free_bytes(Path::new(FOLDER)).unwrap() >= 56 << 10);
}

#[test]
fn a_block_of_garbage_is_refused_whatever_its_length() {
    let mut bytes = Vec::new();
    super::block::encode(BlockId(7), &block(1), &mut bytes);
    for end in 0..bytes.len() {
        assert!(super::block::decode(BlockId(7), &bytes[..end]).is_err(), "{end}");
    }
    assert!(super::block::decode(BlockId(8), &bytes).is_err());
    assert!(same(&super::block::decode(BlockId(7), &bytes).unwrap(), &block(1)));
}

#[test]
fn the_thread_tells_what_it_did_and_removes_its_files_at_the_end() {
    let disk = SimDisk::new();
    let (events, told) = channel();
    let driver =
        SpoolDriver::start(open(&disk, "run").unwrap(), move |event| events.send(event).unwrap()).unwrap();
    let handle = driver.handle();
    let next = || told.recv_timeout(Duration::from_secs(10)).unwrap();
    disk.plan(Fault::once(OpKind::Write, 2, FaultError::Enospc));
    for number in 1..=3 {
        handle.submit(SpoolOp::Write { block: BlockId(number), messages: Arc::new(block(number)) }).unwrap();
    }
    assert!(matches!(next(), SpoolEvent::Written { block: BlockId(1) }));
    let SpoolEvent::Refused { block: BlockId(2), reason } = next() else { panic!("it was written") };
    assert!(reason.contains("run-000001.spool"), "{reason}");
    assert!(matches!(next(), SpoolEvent::Written { block: BlockId(3) }));
    handle.read("mine", BlockId(1)).unwrap();
    handle.submit(SpoolOp::Free { block: BlockId(1) }).unwrap();
    let SpoolEvent::Read { tag: "mine", found: Ok(found) } = next() else { panic!("it was not read") };
    assert!(same(&found, &block(1)));
    handle.read("gone", BlockId(2)).unwrap();
    assert!(matches!(next(), SpoolEvent::Read { tag: "gone", found: Err(_) }));
    drop(handle);
    driver.end().wait();
    assert!(files(&disk).is_empty());
}

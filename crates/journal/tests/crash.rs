//! What a journal holds after power failures, decay and giants.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use ferromq_env::Disk;
use ferromq_env::simulated::{Crash, Fault, FaultError, OpKind, SimDisk};
use ferromq_journal::{Extent, History, Item, Kind, Position, Writer, WriterOptions};
use ferromq_model::{ClaimId, Epoch};

const FOLDER: &str = "/journal";
const DATA: Kind = Kind(16);

fn folder() -> &'static Path {
    Path::new(FOLDER)
}

fn small() -> WriterOptions {
    WriterOptions { segment_bytes: 4096, zero_ahead_bytes: 512, ..WriterOptions::default() }
}

fn epoch(number: u64) -> Epoch {
    Epoch { number, claim: ClaimId(number * 1_000_003) }
}

/// Opens what is there, as a new epoch does.
fn open(disk: &SimDisk, number: u64) -> (History, Writer) {
    disk.create_dir_all(folder()).unwrap();
    let mut history = History::survey(disk, folder()).unwrap();
    history.settle(disk).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let writer =
        Writer::create(disk, folder().into(), epoch(number), history.next_id, &history.seal(), small())
            .unwrap();
    (history, writer)
}

/// A batch of records of `size` bytes, each filled with the ticket.
fn batch(writer: &mut Writer, ticket: u64, records: usize, size: usize) {
    writer.begin(ticket);
    for n in 1..=records {
        writer.record(DATA, n == records, |out| out.resize(out.len() + size, ticket as u8)).unwrap();
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    /// Ticket and records of each batch.
    batches: Vec<(u64, usize)>,
    damaged: usize,
}

fn content(disk: &SimDisk) -> Content {
    let mut history = History::survey(disk, folder()).unwrap();
    history.settle(disk).unwrap();
    let mut content = Content::default();
    for segment in &history.segments {
        let mut scan = segment.scan(disk, 0).unwrap();
        loop {
            match scan.next().unwrap() {
                Item::Record { header, .. } if header.kind.is_internal() => {}
                Item::Record { batch, payload, .. } => {
                    if let Some(batch) = batch {
                        content.batches.push((batch.ticket, 0));
                    }
                    let (ticket, records) = content.batches.last_mut().unwrap();
                    assert!(payload.iter().all(|b| *b == *ticket as u8), "no_invention: foreign bytes");
                    *records += 1;
                }
                Item::Damage(_) => content.damaged += 1,
                Item::End { .. } => break,
            }
        }
    }
    content
}

#[test]
fn what_was_written_reads_back_over_many_segments() {
    let disk = SimDisk::new();
    let (_, mut writer) = open(&disk, 1);
    for ticket in 1..=40 {
        batch(&mut writer, ticket, 1 + ticket as usize % 3, 200);
        writer.flush().unwrap();
        writer.sync().unwrap();
    }
    let expected: Vec<_> = (1..=40).map(|t| (t, 1 + t as usize % 3)).collect();
    assert_eq!(content(&disk), Content { batches: expected, damaged: 0 });
    assert!(writer.position().segment > 3, "several segments were needed");
}

#[test]
fn a_group_is_one_write_and_one_sync() {
    let disk = SimDisk::new();
    let (_, mut writer) = open(&disk, 1);
    let (writes, syncs) = (disk.count(OpKind::Write), disk.count(OpKind::Sync));
    for ticket in 1..=8 {
        batch(&mut writer, ticket, 2, 60);
    }
    writer.flush().unwrap();
    writer.sync().unwrap();
    assert_eq!((disk.count(OpKind::Write) - writes, disk.count(OpKind::Sync) - syncs), (1, 1));
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new();
    let (_, mut writer) = open(&disk, 1);
    for (ticket, size) in [(1, 10), (2, 100_000), (3, 10), (4, 4000), (5, 10)] {
        batch(&mut writer, ticket, 1, size);
        if ticket != 3 {
            writer.prepare().err();
            writer.flush().unwrap();
            writer.prepare().unwrap();
        }
    }
    writer.sync().unwrap();
    assert_eq!(content(&disk).batches, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
}

#[test]
fn durable_before_reply_whatever_a_power_failure_leaves() {
    // Given the script below, cut the power at each change, and let each kind of wreck remain.
    let script = |disk: &SimDisk| -> u64 {
        let (_, mut writer) = open(disk, 1);
        let mut durable = 0;
        for ticket in 1..=12 {
            batch(&mut writer, ticket, 1 + ticket as usize % 4, 150);
            if writer.flush().is_err() || (ticket % 3 != 1 && writer.sync().is_err()) {
                return durable;
            }
            if ticket % 3 != 1 {
                durable = ticket;
            }
        }
        durable
    };
    let whole = SimDisk::new();
    disk_folder(&whole);
    let before = whole.changes();
    script(&whole);
    for cut in 1..=whole.changes() - before {
        for seed in 0..12 {
            let disk = SimDisk::seeded(seed);
            disk_folder(&disk);
            disk.power_off_at(cut);
            let durable = std::panic::catch_unwind(|| script(&disk)).unwrap_or(0);
            let crash = match seed {
                0 => Crash::KeepAll,
                1 => Crash::LoseUnsynced,
                seed => Crash::Seeded(seed),
            };
            let disk = disk.crash(crash);
            let found = content(&disk);
            let expected: Vec<_> =
                (1..=found.batches.len() as u64).map(|t| (t, 1 + t as usize % 4)).collect();
            assert_eq!(found.batches, expected, "cut {cut} seed {seed}: whole batches in order");
            assert!(found.batches.len() as u64 >= durable, "cut {cut} seed {seed}: lost a synced batch");
            assert_eq!(found.damaged, 0, "cut {cut} seed {seed}: a torn tail is no damage");
            // And the next epoch goes on from there, for good.
            let (_, mut writer) = open(&disk, 2);
            batch(&mut writer, 99, 1, 10);
            writer.flush().unwrap();
            writer.sync().unwrap();
            let disk = disk.crash(Crash::LoseUnsynced);
            assert_eq!(content(&disk).batches.last(), Some(&(99, 1)));
            assert_eq!(content(&disk).batches.len(), found.batches.len() + 1, "cut {cut} seed {seed}");
        }
    }
}

fn disk_folder(disk: &SimDisk) {
    disk.create_dir_all(folder()).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
}

#[test]
fn honesty_damage_in_the_middle_is_isolated_to_its_record() {
    // Given three groups, synced one after the other.
    let written = SimDisk::new();
    let (_, mut writer) = open(&written, 1);
    let mut places = Vec::new();
    for ticket in 1..=3 {
        writer.begin(ticket);
        places.push(writer.record(DATA, true, |out| out.resize(out.len() + 50, ticket as u8)).unwrap());
        writer.flush().unwrap();
        writer.sync().unwrap();
    }
    let path = ferromq_journal::segment_path(folder(), 1, 1);
    for (place, lost) in [(places[0], 1_u64), (places[1], 2)] {
        for at in 0..place.size - 6 {
            let disk = written.fork();
            disk.flip_bits(&path, u64::from(place.position.offset + at), 0x40).unwrap();
            let found = content(&disk);
            assert_eq!(found.damaged, 1, "byte {at}");
            assert!(found.batches.iter().all(|(ticket, _)| *ticket != lost));
            assert_eq!(found.batches.len(), 2, "the rest is served");
        }
    }
}

#[test]
fn the_last_batch_alone_can_not_be_told_from_a_torn_tail() {
    let disk = SimDisk::new();
    let (_, mut writer) = open(&disk, 1);
    batch(&mut writer, 1, 1, 50);
    writer.flush().unwrap();
    writer.sync().unwrap();
    writer.begin(2);
    let last = writer.record(DATA, true, |out| out.push(2)).unwrap();
    writer.flush().unwrap();
    writer.sync().unwrap();
    let path = ferromq_journal::segment_path(folder(), 1, 1);
    disk.flip_bits(&path, u64::from(last.position.offset) + 20, 1).unwrap();
    assert_eq!(content(&disk), Content { batches: vec![(1, 1)], damaged: 0 });

    // A mark behind it proves that it was safe.
    disk.flip_bits(&path, u64::from(last.position.offset) + 20, 1).unwrap();
    writer.begin(0);
    writer.record(Kind::MARK, true, |_| ()).unwrap();
    writer.flush().unwrap();
    disk.flip_bits(&path, u64::from(last.position.offset) + 20, 1).unwrap();
    assert_eq!(content(&disk), Content { batches: vec![(1, 1)], damaged: 1 });
}

#[test]
fn no_invention_a_record_smuggled_into_a_body_is_never_found() {
    // Given a body that is a byte-exact copy of an earlier record, at an aligned place.
    let disk = SimDisk::new();
    let (_, mut writer) = open(&disk, 1);
    writer.begin(1);
    let first = writer.record(DATA, true, |out| out.resize(out.len() + 16, 1)).unwrap();
    writer.flush().unwrap();
    let path = ferromq_journal::segment_path(folder(), 1, 1);
    let mut stolen = vec![0; first.size as usize];
    let file = disk.open(&path, ferromq_env::OpenMode::Read).unwrap();
    file.read_at(&mut stolen, u64::from(first.position.offset)).unwrap();
    writer.begin(2);
    let second = writer.record(DATA, true, |out| out.extend_from_slice(&stolen)).unwrap();
    batch(&mut writer, 3, 1, 8);
    writer.flush().unwrap();
    writer.sync().unwrap();
    batch(&mut writer, 4, 1, 8);
    writer.flush().unwrap();
    // When the header around it is damaged, so that the search goes through the body
    disk.flip_bits(&path, u64::from(second.position.offset), 0xff).unwrap();
    // Then only what was written as a record is found.
    assert_eq!(content(&disk), Content { batches: vec![(1, 1), (3, 1), (4, 1)], damaged: 1 });
}

#[test]
fn single_writer_an_epoch_is_capped_by_the_seal_of_the_next() {
    // Given an old master that is paused with a batch in its buffer
    let disk = SimDisk::new();
    let (_, mut old) = open(&disk, 1);
    batch(&mut old, 1, 1, 20);
    old.flush().unwrap();
    old.sync().unwrap();
    batch(&mut old, 2, 1, 20);
    // When a new one claims and seals, and the old one wakes up late
    let (history, mut new) = open(&disk, 2);
    assert_eq!(history.epoch, epoch(1));
    old.flush().unwrap();
    old.sync().unwrap();
    for ticket in 3..=40 {
        batch(&mut old, ticket, 1, 300);
        old.flush().unwrap();
        old.sync().unwrap();
    }
    batch(&mut new, 7, 1, 20);
    new.flush().unwrap();
    new.sync().unwrap();
    // Then nobody ever reads what it wrote.
    assert_eq!(content(&disk).batches, [(1, 1), (7, 1)]);
    // And the third epoch inherits the ends.
    let (history, _) = open(&disk, 3);
    assert_eq!(history.segments[0].extent, Extent::Known(history.seal().ends[0].end));
    assert_eq!(content(&disk).batches, [(1, 1), (7, 1)]);
}

#[test]
fn an_error_of_write_or_sync_is_final() {
    for kind in [OpKind::Write, OpKind::Sync] {
        let disk = SimDisk::new();
        let (_, mut writer) = open(&disk, 1);
        batch(&mut writer, 1, 1, 20);
        disk.plan(Fault::once(kind, 1, FaultError::Eio));
        let outcome = writer.flush().and_then(|()| writer.sync());
        assert!(outcome.is_err());
        assert!(writer.sync().is_err(), "a second try proves nothing");
        assert!(writer.flush().is_err());
    }
}

#[test]
fn an_epoch_without_a_whole_seal_never_existed() {
    let disk = SimDisk::new();
    disk_folder(&disk);
    let (_, mut writer) = open(&disk, 1);
    batch(&mut writer, 1, 1, 20);
    writer.flush().unwrap();
    writer.sync().unwrap();
    // Given a claimant that loses power at each change before its seal is safe
    let before = disk.fork();
    let count = before.changes();
    open(&before, 2);
    for cut in 1..before.changes() - count {
        let claimant = disk.fork();
        claimant.power_off_at(cut);
        let _ = std::panic::catch_unwind(|| open(&claimant, 2));
        let after = claimant.crash(Crash::LoseUnsynced);
        let history = History::survey(&after, folder()).unwrap();
        assert_eq!(history.epoch, epoch(1), "cut {cut}");
        assert_eq!(content(&after).batches, [(1, 1)]);
        assert!(history.end() < Position { segment: 99, offset: 0 });
    }
}

#[test]
fn arbitrary_damage_neither_panics_nor_invents_nor_takes_for_ever() {
    let written = SimDisk::new();
    let (_, mut writer) = open(&written, 1);
    for ticket in 1..=30 {
        batch(&mut writer, ticket, 1 + ticket as usize % 3, 120);
        writer.flush().unwrap();
        writer.sync().unwrap();
    }
    let (_, mut writer) = open(&written, 2);
    batch(&mut writer, 31, 2, 120);
    writer.flush().unwrap();
    let mut dice = ferromq_env::simulated::SeededEntropy::new(11);
    for _ in 0..300 {
        let disk = written.fork();
        let names = disk.list(folder()).unwrap();
        for _ in 0..1 + dice.below(20) {
            let name = &names[dice.below(names.len() as u64) as usize];
            // Whole stretches as well as single bits, headers and seals included.
            let (from, length) = (dice.below(4096), 1 + dice.below(64) * dice.below(2));
            for at in from..(from + length).min(4096) {
                disk.flip_bits(name, at, 1 + dice.below(255) as u8).unwrap();
            }
        }
        // The content check asserts that every record that is found was written as such.
        let mut history = History::survey(&disk, folder()).unwrap();
        history.settle(&disk).unwrap();
        for segment in &history.segments {
            let mut scan = segment.scan(&disk, 0).unwrap();
            let mut items = 0;
            loop {
                items += 1;
                assert!(items < 1000, "a scan of 4 KiB finds no end");
                match scan.next().unwrap() {
                    Item::Record { header, payload, .. } if !header.kind.is_internal() => {
                        let uniform = payload.iter().all(|b| *b == payload[0]);
                        assert!(payload.len() == 120 && uniform && (1..=31).contains(&payload[0]));
                    }
                    Item::End { .. } => break,
                    _ => {}
                }
            }
        }
    }
}

//! What only this store promises: epochs, formats, damage, reclaim, an index that can be thrown away, inspection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferromq_env::simulated::{Crash, OpKind, SeededEntropy, SimClock, SimDisk};
use ferromq_env::{Disk, OpenMode, SystemClock, SystemDisk};
use ferromq_model::{
    ClaimId, Destination, DestinationId, Epoch, Message, MessageId, ProducerId, Sequence, SubscriptionId,
    SubscriptionName, Ticket,
};
use ferromq_store::{
    Budget, Claimed, ErrorKind, Loaded, MessageRef, PageRequest, Space, StoreError, StoreOp,
    SubscriptionRecord, Sync, WriteBatch,
};
use ferromq_store_journal::inspect::Inspection;
use ferromq_store_journal::{FsyncPolicy, Options, open};

const QUEUE: DestinationId = DestinationId(1);
const STORE: &str = "/store";

fn small() -> Options {
    Options {
        owner: String::from("broker one, pid 4711"),
        segment_bytes: 64 << 10,
        reserve_bytes: 512 << 10,
        checkpoint_bytes: 128 << 10,
        cache_bytes: 32 << 10,
        slack_bytes: 512 << 10,
        ..Options::default()
    }
}

struct Broker {
    store: Claimed,
    ticket: u64,
}

fn start_at(disk: Arc<dyn Disk>, folder: &Path, options: Options) -> Result<Broker, StoreError> {
    start_with(disk, Arc::new(SimClock::default()), folder, options)
}

fn start_with(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn ferromq_env::Clock>,
    folder: &Path,
    options: Options,
) -> Result<Broker, StoreError> {
    let follower = open(disk, clock, folder, options)?;
    let number = follower.seen_epoch().number + 1;
    let store = follower.claim(Epoch { number, claim: ClaimId(number << 8) }).map_err(|(_, error)| error)?;
    Ok(Broker { store, ticket: 0 })
}

fn start(disk: &SimDisk) -> Broker {
    start_at(Arc::new(disk.clone()), Path::new(STORE), small()).unwrap()
}

fn message(sequence: u64, bytes: usize) -> Arc<Message> {
    let producer = ProducerId::new("ID:test-1".into(), 1, 1);
    let mut message = Message::new(MessageId::new(producer, sequence as i64), Destination::queue("orders"));
    message.persistent = true;
    message.body = Some(Bytes::from(vec![sequence as u8; bytes]));
    Arc::new(message)
}

fn put(sequence: u64, bytes: usize) -> StoreOp {
    StoreOp::PutMessage {
        destination: QUEUE,
        sequence: Sequence(sequence),
        message: message(sequence, bytes),
        subscriptions: Vec::new(),
        dedup: true,
        exposed: false,
    }
}

fn remove(sequence: u64) -> StoreOp {
    StoreOp::RemoveMessage { destination: QUEUE, sequence: Sequence(sequence) }
}

fn make_queue() -> StoreOp {
    StoreOp::PutDestination { id: QUEUE, destination: Destination::queue("orders") }
}

impl Broker {
    fn try_commit(&mut self, ops: Vec<StoreOp>) -> Result<(), StoreError> {
        self.ticket += 1;
        let epoch = self.store.recovered.epoch;
        let batch = WriteBatch { epoch, ticket: Ticket(self.ticket), ops, sync: Sync::Required };
        self.store.backend.commit(&[batch], false).map(drop)
    }

    fn commit(&mut self, ops: Vec<StoreOp>) {
        self.try_commit(ops).unwrap();
    }

    fn maintain(&mut self) -> Space {
        for _ in 0..10_000 {
            let done = self.store.backend.maintain(Budget { bytes: 1 << 20 }).unwrap();
            if !done.more {
                return done.space;
            }
        }
        panic!("maintenance finds no end");
    }

    fn sequences(&mut self) -> Vec<u64> {
        let all = PageRequest::Queue { destination: QUEUE, after: Sequence(0), limit: usize::MAX };
        self.store.reader.page(all).unwrap().iter().map(|entry| entry.sequence.0).collect()
    }

    fn load(&mut self, sequence: u64) -> Loaded {
        let wanted = MessageRef { destination: QUEUE, sequence: Sequence(sequence) };
        self.store.reader.load(&[wanted]).unwrap().remove(0)
    }

    fn assert_whole(&mut self, sequence: u64, bytes: usize) {
        match self.load(sequence) {
            Loaded::Message(found) => {
                assert_eq!(found.body, message(sequence, bytes).body, "no_invention: message {sequence}");
            }
            other => panic!("message {sequence}: {other:?}"),
        }
    }

    fn stop(self) {
        self.store.backend.close().unwrap();
    }
}

#[test]
fn single_writer_each_start_takes_the_next_epoch() {
    let disk = SimDisk::new();
    for number in 1..=5 {
        let broker = start(&disk);
        assert_eq!(broker.store.recovered.epoch.number, number);
        broker.stop();
    }
    let claims = disk.list(Path::new("/store/claims")).unwrap();
    assert_eq!(claims.len(), 5, "claims are made without gaps: {claims:?}");
}

#[test]
fn single_writer_a_second_broker_is_told_who_has_the_store() {
    let disk = SimDisk::new();
    let mut first = start(&disk);
    let other = disk.another_process();
    let refusal = start_at(Arc::new(other), Path::new(STORE), small()).err().unwrap();
    assert_eq!(refusal.kind(), ErrorKind::Refused);
    let text = refusal.to_string();
    assert!(text.contains("broker one, pid 4711") && text.contains(STORE), "{text}");
    first.commit(vec![make_queue()]);
}

#[test]
fn single_writer_who_was_superseded_completes_nothing() {
    // Given a master whose lock was lost without its knowing
    let disk = SimDisk::new();
    let mut old = start(&disk);
    old.commit(vec![make_queue(), put(1, 10)]);
    let other = ferromq_lock::file::Claims::new(Arc::new(disk.another_process()), Path::new(STORE));
    other.claim(Epoch { number: 2, claim: ClaimId(7) }, "another", true).unwrap();
    // When a higher claim exists, then nothing becomes durable any more.
    let error = old.try_commit(vec![put(2, 10)]).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert!(old.try_commit(vec![put(3, 10)]).is_err());
}

#[test]
fn single_writer_a_claim_of_a_version_without_marks_ends_a_store_of_its_format() {
    // Given a store that the version before may claim as well
    let disk = SimDisk::new();
    let options = Options { known_format: 1, ..small() };
    let mut old = start_at(Arc::new(disk.clone()), Path::new(STORE), options).unwrap();
    old.commit(vec![make_queue(), put(1, 10)]);
    // When that one makes the name and nothing else, then nothing becomes durable any more.
    disk.open(Path::new("/store/claims/0000000002"), OpenMode::CreateNew).unwrap();
    let error = old.try_commit(vec![put(2, 10)]).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
}

#[test]
fn honesty_a_newer_format_and_a_foreign_folder_are_refused_untouched() {
    let disk = SimDisk::new();
    start(&disk).stop();
    let marker = disk.open(Path::new("/store/format"), OpenMode::Write).unwrap();
    marker.write_at(b"ferromq-store 7\n", 0).unwrap();
    let before = disk.changes();
    let error = start_at(Arc::new(disk.clone()), Path::new(STORE), small()).err().unwrap();
    assert!(matches!(error, StoreError::NewerFormat { found: 7, known: 2, .. }), "{error}");
    marker.write_at(b"something else\n", 0).unwrap();
    let error = start_at(Arc::new(disk.clone()), Path::new(STORE), small()).err().unwrap();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert_eq!(disk.changes(), before + 1, "nothing but this test wrote");
}

#[test]
fn standby_writes_nothing_before_it_claims() {
    let disk = SimDisk::new();
    start(&disk).stop();
    let before = disk.changes();
    let mut follower =
        open(Arc::new(disk.clone()), Arc::new(SimClock::default()), Path::new(STORE), small()).unwrap();
    follower.follow(Budget { bytes: u64::MAX }).unwrap();
    Inspection::open(Arc::new(disk.clone()), Path::new(STORE)).unwrap().verify(|_| ()).unwrap();
    assert_eq!(disk.changes(), before);
}

/// The one segment of the first epoch, and where in it the record of a message begins.
fn place_of(disk: &SimDisk, needle: &[u8]) -> u64 {
    let file =
        disk.open(&ferromq_journal::segment_path(Path::new("/store/journal"), 1, 1), OpenMode::Read).unwrap();
    let mut bytes = vec![0; 64 << 10];
    file.read_at(&mut bytes, 0).unwrap();
    bytes.windows(needle.len()).position(|window| window == needle).unwrap() as u64
}

#[test]
fn honesty_a_damaged_message_is_named_and_the_rest_is_served() {
    let disk = SimDisk::new();
    let mut broker = start(&disk);
    broker.commit(vec![make_queue()]);
    for n in 1..=5 {
        broker.commit(vec![put(n, 100)]);
    }
    let place = place_of(&disk, &[3; 100]);
    let path = ferromq_journal::segment_path(Path::new("/store/journal"), 1, 1);
    // Damage under a running broker is found when the message is loaded.
    disk.flip_bits(&path, place + 50, 0x10).unwrap();
    assert!(
        matches!(broker.load(3), Loaded::Damaged(reason) if reason.contains("0000000001-0000000001.journal"))
    );
    broker.assert_whole(2, 100);
    // Damage that a start comes upon is reported by destination and message id.
    drop(broker);
    let disk = disk.kill();
    let mut broker = start(&disk);
    assert_eq!(broker.sequences(), [1, 2, 4, 5]);
    let [lost] = broker.store.recovered.quarantined.as_slice() else { panic!("one record was damaged") };
    assert_eq!(lost.destination, Some(Destination::queue("orders")));
    assert_eq!(lost.sequence, Some(Sequence(3)));
    assert_eq!(lost.message_id.as_deref(), Some("ID:test-1:1:1:3"));
    for n in [1, 2, 4, 5] {
        broker.assert_whole(n, 100);
    }
    let report = Inspection::open(Arc::new(disk.clone()), Path::new(STORE)).unwrap().verify(|_| ()).unwrap();
    assert_eq!((report.damaged.len(), report.messages), (1, 4));
}

#[test]
fn honesty_bit_flips_anywhere_never_invent_and_cost_one_record_at_most() {
    let written = SimDisk::new();
    let mut broker = start(&written);
    broker.commit(vec![make_queue()]);
    for n in 1..=12 {
        broker.commit(vec![put(n, 40)]);
    }
    broker.commit(vec![StoreOp::ExposeQueue { destination: QUEUE, upto: Sequence(1) }]);
    drop(broker);
    let written = written.kill();
    let path = ferromq_journal::segment_path(Path::new("/store/journal"), 1, 1);
    let first = place_of(&written, &[1; 40]) - 150;
    let mut dice = SeededEntropy::new(7);
    for _ in 0..200 {
        let disk = written.fork();
        disk.flip_bits(&path, first + dice.below(1500), 1 << dice.below(8)).unwrap();
        let mut broker = start(&disk);
        let found = broker.sequences();
        assert!(found.len() >= 11, "a single flip costs one message at most: {found:?}");
        assert!(found.len() == 12 || !broker.store.recovered.quarantined.is_empty(), "and is reported");
        for n in found {
            broker.assert_whole(n, 40);
        }
    }
}

#[test]
fn honesty_a_damaged_header_or_seal_costs_no_message() {
    let written = SimDisk::new();
    let mut broker = start(&written);
    broker.commit(vec![make_queue(), put(1, 100)]);
    drop(broker);
    let mut broker = start(&written.kill());
    broker.commit(vec![put(2, 100)]);
    broker.commit(vec![put(3, 100)]);
    drop(broker);
    let written = written.kill();
    // The beginnings of both epochs, byte by byte: header, then the seal.
    for (epoch, id, end) in [(1, 1, 96), (2, 3, 112)] {
        for at in 0..end {
            let disk = written.fork();
            let path = ferromq_journal::segment_path(Path::new("/store/journal"), epoch, id);
            disk.flip_bits(&path, at, 0x5a).unwrap();
            match start_at(Arc::new(disk.clone()), Path::new(STORE), small()) {
                Ok(mut broker) => {
                    assert_eq!(broker.sequences(), [1, 2, 3], "epoch {epoch}, byte {at}");
                    (1..=3).for_each(|n| broker.assert_whole(n, 100));
                }
                Err(error) => panic!("epoch {epoch}, byte {at}: {error}"),
            }
        }
    }
}

/// Works like a queue with some messages that stay, and returns what must be there.
fn work(broker: &mut Broker, dice: &mut SeededEntropy, from: u64, rounds: u64) -> BTreeMap<u64, usize> {
    let mut stored = BTreeMap::new();
    for n in from..from + rounds {
        let bytes = 100 + dice.below(3000) as usize;
        broker.commit(vec![put(n, bytes)]);
        stored.insert(n, bytes);
        if stored.len() > 40 {
            let at = if dice.chance(9, 10) { 0 } else { dice.below(40) as usize };
            let gone = *stored.keys().nth(at).unwrap();
            broker.commit(vec![remove(gone)]);
            stored.remove(&gone);
        }
        broker.store.backend.maintain(Budget { bytes: 64 << 10 }).unwrap();
    }
    stored
}

#[test]
fn the_index_can_be_thrown_away_at_any_time() {
    for seed in 0..8 {
        let disk = SimDisk::seeded(seed);
        let mut dice = SeededEntropy::new(seed);
        let mut broker = start(&disk);
        broker.commit(vec![make_queue()]);
        let stored = work(&mut broker, &mut dice, 1, 1200);
        drop(broker);
        let disk = disk.crash(Crash::LoseUnsynced);
        // Given everything under `index` is gone, and in odd runs the newest snapshot damaged as well
        for name in disk.list(Path::new("/store/index")).unwrap() {
            disk.remove(&Path::new("/store/index").join(name.file_name().unwrap())).unwrap();
        }
        if seed % 2 == 1 {
            let newest = disk.list(Path::new("/store/meta")).unwrap().pop().unwrap();
            disk.flip_bits(&Path::new("/store/meta").join(newest.file_name().unwrap()), 40, 0x11).unwrap();
        }
        // Then the journal alone brings it back, and brings back nothing that was removed.
        let mut broker = start(&disk);
        assert_eq!(broker.sequences(), stored.keys().copied().collect::<Vec<_>>(), "seed {seed}");
        for (n, bytes) in &stored {
            broker.assert_whole(*n, *bytes);
        }
        assert!(
            disk.list(Path::new("/store/journal")).unwrap().len() < 40,
            "segments were reclaimed meanwhile"
        );
    }
}

#[test]
fn disk_used_stays_below_twice_the_live_bytes_whatever_the_clients_do() {
    // Patterns that keep a little of everything: every k-th message stays for long.
    for keep in [2, 3, 10, 100] {
        let disk = SimDisk::new();
        let mut broker = start(&disk);
        broker.commit(vec![make_queue()]);
        let mut live = 0_u64;
        let mut old = Vec::new();
        for n in 1..=4000_u64 {
            broker.commit(vec![put(n, 1000)]);
            live += 1100;
            if n % keep == 0 {
                old.push(n);
            } else {
                broker.commit(vec![remove(n)]);
                live -= 1100;
            }
            if old.len() > 1500 {
                broker.commit(vec![remove(old.remove(750))]);
                live -= 1100;
            }
            let space = broker.maintain();
            let bound = 2 * live + (1 << 20);
            assert!(space.used <= bound, "keep {keep}, message {n}: {} used, {bound} promised", space.used);
            assert!(disk.used_bytes() <= bound + 4096, "keep {keep}: {} on disk", disk.used_bytes());
        }
        let mut expected = old;
        expected.sort_unstable();
        assert_eq!(broker.sequences(), expected);
    }
}

#[test]
fn a_message_for_many_subscriptions_is_stored_once_and_copied_for_those_that_still_wait() {
    let disk = SimDisk::new();
    let mut broker = start(&disk);
    let topic = DestinationId(2);
    let subscribe = |id: u64| {
        StoreOp::PutSubscription(SubscriptionRecord {
            id: SubscriptionId(id),
            name: SubscriptionName { client: "client".into(), name: format!("s{id}").into() },
            topic: Destination::topic("news"),
            selector: None,
            no_local: false,
        })
    };
    broker.commit(vec![
        make_queue(),
        StoreOp::PutDestination { id: topic, destination: Destination::topic("news") },
    ]);
    broker.commit(vec![subscribe(1), subscribe(2)]);
    let publish = |n: u64| StoreOp::PutMessage {
        destination: topic,
        sequence: Sequence(n),
        message: message(n, 500),
        subscriptions: vec![SubscriptionId(1), SubscriptionId(2)],
        dedup: false,
        exposed: true,
    };
    broker.commit((1..=20).map(publish).collect());
    let live = broker.maintain().live;
    assert!(live < 20 * 800, "once each: {live}");
    // Subscription 1 takes all; then so much passes through the queue that everything old is copied forward.
    let ack = |subscription: u64, n: u64| StoreOp::AckDurable {
        subscription: SubscriptionId(subscription),
        destination: topic,
        sequence: Sequence(n),
    };
    broker.commit((1..=20).map(|n| ack(1, n)).collect());
    broker.stop();
    let mut broker = start(&disk);
    for n in 21..1000 {
        broker.commit(vec![put(n, 3000)]);
        if n % 3 > 0 {
            broker.commit(vec![remove(n)]);
        }
        broker.maintain();
    }
    let first = Path::new("/store/journal/0000000001-0000000001.journal");
    assert!(disk.open(first, OpenMode::Read).is_err(), "the first segment is gone");
    drop(broker);
    let disk = disk.kill();
    remove_all(&disk, "/store/index");
    let mut broker = start(&disk);
    assert!(broker.store.recovered.quarantined.is_empty(), "the snapshot says it all");
    let waiting: Vec<u64> = broker.store.recovered.subscriptions.iter().map(|s| s.messages).collect();
    assert_eq!(waiting, [0, 20], "who has acknowledged does not get it again from a copy");
    broker.commit((1..=20).map(|n| ack(2, n)).collect());
    let queue = broker.sequences();
    broker.commit(queue.into_iter().map(remove).collect());
    assert_eq!(broker.maintain().live, 0, "the last acknowledgement frees it");
}

#[test]
fn honesty_a_journal_that_lost_its_snapshots_says_what_it_can_not_know() {
    let disk = SimDisk::new();
    let mut broker = start(&disk);
    broker.commit(vec![make_queue()]);
    drop(broker);
    // Given one whose every segment is there, nothing is missing.
    let disk = disk.kill();
    remove_all(&disk, "/store/meta");
    remove_all(&disk, "/store/index");
    let mut broker = start(&disk);
    assert!(broker.store.recovered.quarantined.is_empty());
    let stored = work(&mut broker, &mut SeededEntropy::new(1), 1, 1200);
    drop(broker);
    // When the first ones were unlinked, and then the snapshots are lost
    let disk = disk.kill();
    let first = Path::new("/store/journal/0000000001-0000000001.journal");
    assert!(disk.open(first, OpenMode::Read).is_err(), "the first segment is gone");
    remove_all(&disk, "/store/meta");
    remove_all(&disk, "/store/index");
    // Then queues are served from what the messages say themselves, and the rest is told.
    let inspection = Inspection::open(Arc::new(disk.clone()), Path::new(STORE)).unwrap();
    let verified = inspection.verify(|_| ()).unwrap();
    assert!(verified.unreadable.len() == 1 && verified.damaged.is_empty(), "{verified:?}");
    let mut broker = start(&disk);
    assert_eq!(broker.sequences(), stored.keys().copied().collect::<Vec<_>>());
    let told: Vec<_> = broker.store.recovered.quarantined.iter().map(|lost| lost.reason.as_str()).collect();
    assert!(told.len() == 1 && told[0].contains("durable subscribers begin anew"), "{told:?}");
}

fn remove_all(disk: &SimDisk, folder: &str) {
    for name in disk.list(Path::new(folder)).unwrap() {
        disk.remove(&Path::new(folder).join(name.file_name().unwrap())).unwrap();
    }
}

#[test]
fn durable_before_reply_fsync_policies_do_what_they_say() {
    let commits = |fsync: FsyncPolicy, between: Duration| {
        let disk = SimDisk::new();
        let clock = SimClock::default();
        let options = Options { fsync, ..small() };
        let mut broker =
            start_with(Arc::new(disk.clone()), Arc::new(clock.clone()), Path::new(STORE), options).unwrap();
        broker.commit(vec![make_queue()]);
        let before = disk.count(OpKind::Sync);
        for n in 1..=10 {
            clock.advance(between);
            broker.commit(vec![put(n, 10)]);
        }
        disk.count(OpKind::Sync) - before
    };
    let second = Duration::from_secs(1);
    assert_eq!(commits(FsyncPolicy::Always, second), 10);
    assert_eq!(commits(FsyncPolicy::Periodic(second * 5), second), 2);
    assert_eq!(commits(FsyncPolicy::Never, second), 0);
}

#[test]
fn a_start_replays_no_more_than_was_written_since_the_checkpoint() {
    let disk = SimDisk::new();
    let mut broker = start(&disk);
    broker.commit(vec![make_queue()]);
    let mut dice = SeededEntropy::new(1);
    let stored = work(&mut broker, &mut dice, 1, 2000);
    drop(broker);
    let disk = disk.kill();
    let before = disk.count(OpKind::Read);
    let mut broker = start(&disk);
    assert_eq!(broker.sequences().len(), stored.len());
    assert!(disk.count(OpKind::Read) - before < 120, "{} reads", disk.count(OpKind::Read) - before);
}

#[test]
fn inspection_tells_what_there_is_and_what_holds_it() {
    let disk = SimDisk::new();
    let mut broker = start(&disk);
    broker.commit(vec![make_queue()]);
    for n in 1..=200 {
        broker.commit(vec![put(n, 1000)]);
    }
    broker.commit((2..=100).map(remove).collect());
    // On the folder of a running broker
    let other = Arc::new(disk.another_process());
    let inspection = Inspection::open(other, Path::new(STORE)).unwrap();
    let listing = inspection.ls();
    assert_eq!(listing.claimed.number, 1);
    assert_eq!(listing.owner.as_deref(), Some("broker one, pid 4711"));
    assert_eq!(listing.destinations[0].messages, 101);
    assert!(listing.segments.len() >= 3);
    let why = inspection.why(Some(1)).unwrap();
    let [first] = why.as_slice() else { panic!("one segment was asked for") };
    assert_eq!(first.holders[0].destination, Destination::queue("orders"));
    assert_eq!(first.holders[0].messages, 1);
    assert_eq!(first.holders[0].oldest_id.as_deref(), Some("ID:test-1:1:1:1"));
    let report = inspection.verify(|_| ()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.messages, 101);
    let mut seen = Vec::new();
    let known = inspection
        .cat(&Destination::queue("orders"), Sequence(0), |sequence, loaded| {
            assert!(matches!(loaded, Loaded::Message(_)));
            seen.push(sequence.0);
            if seen.len() == 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert!(known);
    assert_eq!((seen[0], seen[1], seen.len()), (1, 101, 50));
    assert!(
        !inspection.cat(&Destination::queue("none"), Sequence(0), |_, _| ControlFlow::Break(())).unwrap()
    );
    broker.commit(vec![put(300, 10)]);
}

#[test]
fn the_real_disk_keeps_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("data");
    let start = || start_with(Arc::new(SystemDisk), Arc::new(SystemClock), &store, small()).unwrap();
    let mut broker = start();
    let mut dice = SeededEntropy::new(3);
    broker.commit(vec![make_queue()]);
    let mut stored = work(&mut broker, &mut dice, 1, 300);
    let refusal = start_at(Arc::new(SystemDisk), &store, small()).err().unwrap();
    assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal}");
    drop(broker);
    let mut broker = start();
    assert_eq!(broker.sequences(), stored.keys().copied().collect::<Vec<_>>());
    broker.commit(vec![put(1000, 200_000)]);
    stored.insert(1000, 200_000);
    broker.stop();
    let mut broker = start();
    for (n, bytes) in &stored {
        broker.assert_whole(*n, *bytes);
    }
    broker.stop();
}

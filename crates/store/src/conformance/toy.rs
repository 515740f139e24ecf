//! A store small enough to be seen through, on a simulated disk, right or with a planted bug: shows that the crash
//! checks pass what is right and catch what is wrong.
//!
//! The log has a record for each batch: which batch it is, padding so that records lie across sectors in every way,
//! and a checksum. The batches themselves are remembered beside the disk, so that the disk alone decides which of
//! them happened.

use std::path::Path;
use std::sync::{Arc, Mutex};

use ferromq_env::simulated::{Crash, Fault, FaultError, OpKind, SimDisk};
use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::{ClaimId, Epoch, Ticket};

use super::{SimWorld, World};
use crate::memory::Contents;
use crate::{
    Budget, Claimed, Durable, Follower, IndexEntry, Loaded, Maintenance, MessageRef, PageRequest, Position,
    StoreBackend, StoreError, StoreReader, Sync, WriteBatch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    AcknowledgesBeforeSync,
    ForgetsTheFolder,
    TrustsTornRecords,
    KeepsTheTornTail,
    TriesTheSyncAgain,
    SplitsBatches,
    DropsLazyBatchesAtClose,
}

const LOG: &str = "/log";
const RECORD: u64 = 200;
/// Marks a claim's record; the rest of the number is the epoch.
const CLAIM: u64 = 1 << 63;

type Archive = Arc<Mutex<Vec<WriteBatch>>>;

struct Toy {
    disk: Arc<dyn Disk>,
    archive: Archive,
    bug: Bug,
    seen: u64,
}

fn io(source: std::io::Error) -> StoreError {
    StoreError::Io { action: "use", path: LOG.to_owned(), source }
}

fn record(what: u64, place: u64) -> [u8; RECORD as usize] {
    let mut bytes = [0; RECORD as usize];
    bytes[..8].copy_from_slice(&what.to_le_bytes());
    bytes[8..16].copy_from_slice(&place.to_le_bytes());
    bytes[RECORD as usize - 8..].copy_from_slice(&(what.rotate_left(17) ^ place ^ 0x5eed).to_le_bytes());
    bytes
}

/// What whole records there are, from the first on.
fn scan(file: &dyn DiskFile, bug: Bug) -> Result<Vec<u64>, StoreError> {
    let mut found = Vec::new();
    loop {
        let place = found.len() as u64;
        let mut bytes = [0; RECORD as usize];
        let read = file.read_at(&mut bytes, place * RECORD).map_err(io)?;
        let what = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        let whole = bytes == record(what, place);
        let trusted = bug == Bug::TrustsTornRecords && read > 0;
        if !whole && !trusted {
            return Ok(found);
        }
        found.push(what);
    }
}

impl Toy {
    fn try_claim(&mut self, epoch: Epoch) -> Result<Claimed, StoreError> {
        let file = self.disk.open(Path::new(LOG), OpenMode::CreateOrKeep).map_err(io)?;
        if !file.try_lock().map_err(io)? {
            return Err(StoreError::InUse { store: LOG.to_owned(), holder: "another".to_owned() });
        }
        let records = scan(&*file, self.bug)?;
        let mut contents = Contents::default();
        for what in &records {
            if what & CLAIM == 0 {
                let archive = self.archive.lock().unwrap();
                if let Some(batch) = archive.get(*what as usize) {
                    contents.apply(batch)?;
                }
            } else {
                self.seen = what & !CLAIM;
            }
        }
        if epoch.number <= self.seen {
            let theirs = self.seen_epoch();
            return Err(StoreError::Fenced { store: LOG.to_owned(), ours: epoch, theirs });
        }
        let end = records.len() as u64;
        if self.bug != Bug::KeepsTheTornTail {
            file.set_len(end * RECORD).map_err(io)?;
            file.sync().map_err(io)?;
        }
        file.write_at(&record(CLAIM | epoch.number, end), end * RECORD).map_err(io)?;
        file.sync().map_err(io)?;
        if self.bug != Bug::ForgetsTheFolder {
            self.disk.sync_dir(Path::new("/")).map_err(io)?;
        }
        let recovered = contents.recovered(epoch);
        let contents = Arc::new(Mutex::new(contents));
        let writer = Writer {
            file,
            archive: Arc::clone(&self.archive),
            contents: Arc::clone(&contents),
            bug: self.bug,
            epoch,
            last: Ticket(0),
            end: end + 1,
            unwritten: Vec::new(),
            failed: false,
        };
        Ok(Claimed { backend: Box::new(writer), reader: Box::new(Reader(contents)), recovered })
    }
}

impl Follower for Toy {
    fn follow(&mut self, _budget: Budget) -> Result<Position, StoreError> {
        let Ok(file) = self.disk.open(Path::new(LOG), OpenMode::Read) else { return Ok(Position(0)) };
        let records = scan(&*file, self.bug)?;
        let claims = records.iter().filter(|what| **what & CLAIM != 0);
        self.seen = claims.map(|what| what & !CLAIM).max().unwrap_or(0);
        Ok(Position(records.len() as u64))
    }

    fn claim(mut self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)> {
        match self.try_claim(epoch) {
            Ok(claimed) => Ok(claimed),
            Err(error) => Err((self, error)),
        }
    }

    fn seen_epoch(&self) -> Epoch {
        Epoch { number: self.seen, claim: ClaimId(0x00c0_ffee ^ self.seen) }
    }
}

struct Writer {
    file: Arc<dyn DiskFile>,
    archive: Archive,
    contents: Arc<Mutex<Contents>>,
    bug: Bug,
    epoch: Epoch,
    last: Ticket,
    end: u64,
    /// Lazy batches that wait in memory, which only a bug does.
    unwritten: Vec<u64>,
    failed: bool,
}

impl Writer {
    fn write(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut archive = self.archive.lock().unwrap();
        let what = archive.len() as u64;
        let lazy = batch.sync == Sync::Lazy;
        archive.push(batch);
        drop(archive);
        if self.bug == Bug::DropsLazyBatchesAtClose && lazy {
            self.unwritten.push(what);
            return Ok(());
        }
        self.append(what)
    }

    fn append(&mut self, what: u64) -> Result<(), StoreError> {
        self.file.write_at(&record(what, self.end), self.end * RECORD).map_err(io)?;
        self.end += 1;
        Ok(())
    }

    fn try_commit(&mut self, batches: &[WriteBatch], force: bool) -> Result<Option<Durable>, StoreError> {
        for batch in batches {
            batch.check_order(self.epoch, self.last)?;
            self.contents.lock().unwrap().apply(batch)?;
            self.last = batch.ticket;
            let halves = if self.bug == Bug::SplitsBatches { batch.ops.len() / 2 } else { 0 };
            if halves > 0 {
                self.write(WriteBatch { ops: batch.ops[..halves].to_vec(), ..batch.clone() })?;
            }
            self.write(WriteBatch { ops: batch.ops[halves..].to_vec(), ..batch.clone() })?;
        }
        if !force && batches.iter().all(|batch| batch.sync == Sync::Lazy) {
            return Ok(None);
        }
        for what in std::mem::take(&mut self.unwritten) {
            self.append(what)?;
        }
        if self.bug != Bug::AcknowledgesBeforeSync {
            self.file.sync().map_err(io)?;
        }
        Ok(Some(Durable::after_sync_and_fence_check(self.last)))
    }
}

impl StoreBackend for Writer {
    fn commit(&mut self, batches: &[WriteBatch], force: bool) -> Result<Option<Durable>, StoreError> {
        if self.failed {
            return Err(io(std::io::Error::other("it failed before")));
        }
        let outcome = self.try_commit(batches, force);
        self.failed = outcome.is_err() && self.bug != Bug::TriesTheSyncAgain;
        outcome
    }

    fn maintain(&mut self, _budget: Budget) -> Result<Maintenance, StoreError> {
        if self.failed {
            Err(io(std::io::Error::other("it failed before")))
        } else {
            Ok(Maintenance::default())
        }
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.file.sync().map_err(io)
    }
}

struct Reader(Arc<Mutex<Contents>>);

impl StoreReader for Reader {
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        let contents = self.0.lock().unwrap();
        Ok(wanted.iter().map(|wanted| contents.load(*wanted)).collect())
    }

    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        Ok(self.0.lock().unwrap().page(wanted))
    }
}

fn world(bug: Bug) -> Box<dyn World> {
    let archive = Archive::default();
    Box::new(SimWorld::new(move |disk| {
        let archive = Arc::clone(&archive);
        Ok(Box::new(Toy { disk, archive, bug, seen: 0 }) as Box<dyn Follower>)
    }))
}

/// The checks that a simulated disk allows.
const CHECKS: [fn(super::Worlds<'_>); 6] = [
    super::lazy_batches_are_covered_by_the_next_sync,
    super::a_killed_process_loses_nothing_it_wrote,
    super::crash_at_every_point_of_two_operations,
    super::crashes_at_random,
    super::a_failed_sync_is_final,
    super::a_failed_operation_loses_nothing_acknowledged,
];

#[test]
fn a_right_store_passes() {
    for check in CHECKS {
        check(&|| world(Bug::None));
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in [
        Bug::AcknowledgesBeforeSync,
        Bug::ForgetsTheFolder,
        Bug::TrustsTornRecords,
        Bug::KeepsTheTornTail,
        Bug::TriesTheSyncAgain,
        Bug::SplitsBatches,
        Bug::DropsLazyBatchesAtClose,
    ] {
        let caught = CHECKS.iter().any(|check| {
            // A check panics with all it knows; here only whether it does is of interest.
            let run = std::thread::Builder::new().name(format!("{bug:?}"));
            run.spawn(move || check(&|| world(bug))).unwrap().join().is_err()
        });
        assert!(caught, "{bug:?} went unnoticed");
    }
}

#[test]
fn a_simulated_world_ends_and_begins_where_it_is_told_to() {
    let mut world = SimWorld::new(|disk: Arc<dyn Disk>| {
        Ok(Box::new(Toy { disk, archive: Archive::default(), bug: Bug::None, seen: 0 }) as Box<dyn Follower>)
    })
    .small(4096)
    .overhead(7);
    assert_eq!(world.bound(10), Some(27));
    assert!(world.shrink());
    let disk: &mut SimDisk = world.disk().unwrap();
    assert_eq!(disk.free_bytes(Path::new("/")).unwrap(), 4096);
    disk.plan(Fault::for_good(OpKind::Any, 1, FaultError::Eio));
    *disk = disk.crash(Crash::KeepAll);
    assert!(super::Run::try_begin(&mut world).is_err());
}

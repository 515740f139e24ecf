//! What the tests of two writers and of followers have in common: a small store, a queue, a disk that pauses.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ferromq_env::simulated::{SimClock, SimDisk};
use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::{
    ClaimId, Destination, DestinationId, Epoch, Message, MessageId, ProducerId, Sequence, Ticket,
};
use ferromq_store::{
    Budget, Claimed, Follower, Loaded, MessageRef, PageRequest, StoreError, StoreOp, Sync, WriteBatch,
};
use ferromq_store_journal::{Options, open};

pub const QUEUE: DestinationId = DestinationId(1);
pub const STORE: &str = "/store";

pub fn small(owner: &str) -> Options {
    Options {
        owner: owner.to_owned(),
        segment_bytes: 64 << 10,
        reserve_bytes: 512 << 10,
        checkpoint_bytes: 96 << 10,
        cache_bytes: 16 << 10,
        slack_bytes: 192 << 10,
        ..Options::default()
    }
}

pub fn follower(disk: Arc<dyn Disk>, owner: &str) -> Box<dyn Follower> {
    open(disk, Arc::new(SimClock::default()), Path::new(STORE), small(owner)).unwrap()
}

pub fn follow_all(follower: &mut dyn Follower) {
    let mut last = None;
    loop {
        let position = follower.follow(Budget { bytes: 1 << 20 }).unwrap();
        if last == Some(position) {
            return;
        }
        last = Some(position);
    }
}

pub fn message(sequence: u64, bytes: usize) -> Arc<Message> {
    let producer = ProducerId::new("ID:test-1".into(), 1, 1);
    let mut message = Message::new(MessageId::new(producer, sequence as i64), Destination::queue("orders"));
    message.persistent = true;
    message.body = Some(Bytes::from(vec![sequence as u8; bytes]));
    Arc::new(message)
}

/// A change of the queue.
#[derive(Clone, Copy, Debug)]
pub enum Do {
    Put(u64, usize),
    Remove(u64),
}

impl Do {
    pub fn op(self) -> StoreOp {
        match self {
            Self::Put(sequence, bytes) => StoreOp::PutMessage {
                destination: QUEUE,
                sequence: Sequence(sequence),
                message: message(sequence, bytes),
                subscriptions: Vec::new(),
                dedup: true,
                exposed: false,
            },
            Self::Remove(sequence) => {
                StoreOp::RemoveMessage { destination: QUEUE, sequence: Sequence(sequence) }
            }
        }
    }

    pub fn apply(self, to: &mut BTreeSet<u64>) {
        match self {
            Self::Put(sequence, _) => to.insert(sequence),
            Self::Remove(sequence) => to.remove(&sequence),
        };
    }
}

/// A reign.
pub struct Broker {
    pub store: Claimed,
    ticket: u64,
}

impl Broker {
    pub fn claim(follower: Box<dyn Follower>) -> Result<Self, StoreError> {
        let number = follower.seen_epoch().number + 1;
        let epoch = Epoch { number, claim: ClaimId(number << 8 | 1) };
        let store = follower.claim(epoch).map_err(|(_, error)| error)?;
        Ok(Self { store, ticket: 0 })
    }

    pub fn start(disk: &SimDisk, owner: &str) -> Self {
        Self::claim(follower(Arc::new(disk.clone()), owner)).unwrap()
    }

    pub fn make_queue(&mut self) {
        self.commit_ops(vec![StoreOp::PutDestination {
            id: QUEUE,
            destination: Destination::queue("orders"),
        }])
        .unwrap();
    }

    fn commit_ops(&mut self, ops: Vec<StoreOp>) -> Result<(), StoreError> {
        self.ticket += 1;
        let epoch = self.store.recovered.epoch;
        let batch = WriteBatch { epoch, ticket: Ticket(self.ticket), ops, sync: Sync::Required };
        self.store.backend.commit(&[batch], false).map(drop)
    }

    pub fn commit(&mut self, changes: &[Do]) -> Result<(), StoreError> {
        self.commit_ops(changes.iter().map(|change| change.op()).collect())
    }

    pub fn maintain(&mut self) -> Result<(), StoreError> {
        for _ in 0..1000 {
            if !self.store.backend.maintain(Budget { bytes: 256 << 10 })?.more {
                return Ok(());
            }
        }
        panic!("maintenance finds no end");
    }

    /// What the queue shows; every message of it must be whole.
    pub fn shown(&mut self) -> BTreeSet<u64> {
        let all = PageRequest::Queue { destination: QUEUE, after: Sequence(0), limit: usize::MAX };
        let shown: BTreeSet<u64> =
            self.store.reader.page(all).unwrap().iter().map(|entry| entry.sequence.0).collect();
        let wanted: Vec<_> =
            shown.iter().map(|n| MessageRef { destination: QUEUE, sequence: Sequence(*n) }).collect();
        for (n, loaded) in shown.iter().zip(self.store.reader.load(&wanted).unwrap()) {
            match loaded {
                Loaded::Message(found) => {
                    let body = found.body.as_ref().unwrap();
                    assert!(body.iter().all(|byte| *byte == *n as u8), "no_invention: message {n}");
                }
                other => panic!("message {n} is shown and can't be loaded: {other:?}"),
            }
        }
        shown
    }
}

type Hook = Box<dyn FnMut(u64) + Send>;

/// A disk on which somebody looks in before each operation, and may take all the time of the world.
#[derive(Clone)]
pub struct Paused {
    inner: Arc<Mutex<Arc<dyn Disk>>>,
    hook: Arc<Mutex<(u64, Option<Hook>)>>,
}

impl Paused {
    pub fn new(inner: Arc<dyn Disk>) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), hook: Arc::default() }
    }

    /// Goes on with another disk, which a power failure of the storage may have left; open files are gone.
    pub fn switch(&self, to: Arc<dyn Disk>) {
        *self.inner.lock().unwrap() = to;
    }

    fn inner(&self) -> Arc<dyn Disk> {
        self.inner.lock().unwrap().clone()
    }

    /// From now on `hook` is told the number of the operation that is about to happen, from 1.
    pub fn before_each(&self, hook: impl FnMut(u64) + Send + 'static) {
        *self.hook.lock().unwrap() = (0, Some(Box::new(hook)));
    }

    pub fn operations(&self) -> u64 {
        self.hook.lock().unwrap().0
    }

    fn pass(&self) {
        let mut slot = self.hook.lock().unwrap();
        slot.0 += 1;
        let (number, hook) = (slot.0, slot.1.take());
        drop(slot);
        if let Some(mut hook) = hook {
            hook(number);
            self.hook.lock().unwrap().1 = Some(hook);
        }
    }
}

struct PausedFile {
    disk: Paused,
    inner: Arc<dyn DiskFile>,
}

impl Disk for Paused {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.pass();
        let inner = self.inner().open(path, mode)?;
        Ok(Arc::new(PausedFile { disk: self.clone(), inner }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.pass();
        self.inner().list(folder)
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        self.pass();
        self.inner().create_dir_all(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.pass();
        self.inner().remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass();
        self.inner().rename(from, to)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.pass();
        self.inner().sync_dir(folder)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner().free_bytes(path)
    }
}

impl DiskFile for PausedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.pass();
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Half of it, a pause, and the rest: writes of a paused process are seen torn.
        let half = bytes.len() / 2;
        self.disk.pass();
        self.inner.write_at(&bytes[..half], offset)?;
        self.disk.pass();
        self.inner.write_at(&bytes[half..], offset + half as u64)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.pass();
        self.inner.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.pass();
        self.inner.allocate(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.pass();
        self.inner.set_len(bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn try_lock_at(&self, place: u64) -> io::Result<bool> {
        self.inner.try_lock_at(place)
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        self.inner.is_named(path)
    }
}

//! [`Worker`]: a thread of a node that may be stopped before any operation of the disk, while the world goes on.
//!
//! Only one thread runs at a time: whoever hands an order out waits until it is done or stands at the gate.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use ferromq_engine::{LoadContent, LoadId, LoadRequest};
use ferromq_env::simulated::SeededEntropy;
use ferromq_env::{Clock, Disk};
use ferromq_lock::file::FileLock;
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Sighting};
use ferromq_model::{Epoch, Ticket};
use ferromq_store::{
    Claimed, Durable, Follower, Recovered, Space, StoreBackend, StoreError, StoreReader, WriteBatch,
};
use ferromq_store_journal::open;

use super::NodeBug;
use super::database::lease::RowLock;
use super::database::rows::{Known, Rows};
use super::database::{Access, Database};
use super::gate::{Gate, GatedDisk, GoOn, Halt};
use crate::node::{FOLDER, FOLLOW, MAINTENANCE, options};

/// What a thread is asked for.
pub(super) enum Order {
    Follow,
    Claim(Epoch),
    Commit {
        batches: Vec<WriteBatch>,
        force: bool,
    },
    Maintain,
    Load {
        load: LoadId,
        request: LoadRequest,
    },
    /// Ends a reign in order.
    Close,
    /// Lets go of the store as it is.
    Abandon,
    Look,
    Acquire {
        at_least: Epoch,
        why: Contention,
    },
    Renew(Grant),
    Release(Grant),
}

/// What came of it.
pub(super) enum Answer {
    Followed(Result<Epoch, StoreError>),
    Claimed(Result<Recovered, StoreError>),
    Committed(Result<Option<Ticket>, StoreError>),
    Maintained(Result<Space, StoreError>),
    Loaded { load: LoadId, content: Result<LoadContent, StoreError> },
    Closed,
    Abandoned,
    Looked(Result<Option<Sighting>, LockError>),
    Acquired(Result<Acquired, LockError>),
    Renewed(Result<Grant, LockError>),
    Released,
}

/// Where a thread stands after the world let it run.
pub(super) enum Stand {
    Done(Answer),
    Halted(Halt),
}

/// A thread with its gate.
pub(super) struct Worker {
    orders: Option<Sender<Order>>,
    stands: Receiver<Stand>,
    go_on: Option<Sender<GoOn>>,
    pub(super) gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Hands out an order; to be called when the one before is done.
    pub(super) fn start(&self, order: Order) -> Option<Stand> {
        self.orders.as_ref()?.send(order).ok()?;
        self.wait()
    }

    /// Lets a stopped thread go on.
    pub(super) fn resume(&self) -> Option<Stand> {
        self.go_on.as_ref()?.send(GoOn::Try).ok()?;
        self.wait()
    }

    /// `None` if the thread is gone, which only a panic brings about.
    fn wait(&self) -> Option<Stand> {
        self.stands.recv().ok()
    }
}

impl Drop for Worker {
    /// A thread that stands at the gate finds everything failing, and ends.
    fn drop(&mut self) {
        self.gate.rules().failing = true;
        if let Some(go_on) = self.go_on.take() {
            let _ = go_on.send(GoOn::Fail);
        }
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a thread of a node is made of.
pub(super) struct Making {
    pub(super) place: Place,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ops: Arc<AtomicU64>,
    pub(super) bug: Option<NodeBug>,
    pub(super) dice: SeededEntropy,
}

/// What the nodes share.
pub(super) enum Place {
    Folder(Arc<dyn Disk>),
    Database(Database, usize),
}

/// The same, behind a gate.
enum Gated {
    Folder(Arc<dyn Disk>),
    Database(Access),
}

fn spawn(
    mut making: Making,
    run: impl FnOnce(Gated, Receiver<Order>, Sender<Stand>) + Send + 'static,
) -> Worker {
    let (orders, waiting) = channel();
    let (stood, stands) = channel();
    let (go_on, going) = channel();
    let gate = Arc::new(Gate::new(making.ops, stood.clone(), going, making.bug, making.dice.split()));
    let own = Arc::clone(&gate);
    let place = match making.place {
        Place::Folder(disk) => Gated::Folder(Arc::new(GatedDisk { disk, gate: own })),
        Place::Database(database, member) => Gated::Database(Access::new(database, own, member)),
    };
    let thread = thread::Builder::new().spawn(move || run(place, waiting, stood)).ok();
    Worker { orders: Some(orders), stands, go_on: Some(go_on), gate, thread }
}

/// The thread that follows, claims, writes and reads the store. (In the broker reading has a thread of its own.)
pub(super) fn store(making: Making) -> Worker {
    let clock = Arc::clone(&making.clock);
    spawn(making, move |place, orders, answers| {
        let mut side = StoreSide { place, clock, follower: None, known: Known::default(), master: None };
        while let Ok(order) = orders.recv() {
            if answers.send(Stand::Done(side.obey(order))).is_err() {
                return;
            }
        }
    })
}

struct StoreSide {
    place: Gated,
    clock: Arc<dyn Clock>,
    follower: Option<Box<dyn Follower>>,
    /// The highest count of commits that this process saw in a database.
    known: Known,
    master: Option<(Box<dyn StoreBackend>, Box<dyn StoreReader>)>,
}

impl StoreSide {
    fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Follow => Answer::Followed(self.follow()),
            Order::Claim(epoch) => Answer::Claimed(self.claim(epoch)),
            Order::Commit { batches, force } => Answer::Committed(
                self.backend().and_then(|backend| Ok(backend.commit(&batches, force)?.map(Durable::upto))),
            ),
            Order::Maintain => Answer::Maintained(
                self.backend().and_then(|backend| Ok(backend.maintain(MAINTENANCE)?.space)),
            ),
            Order::Load { load, request } => Answer::Loaded { load, content: self.load(&request) },
            Order::Close => {
                // What can't be closed is left as after a crash.
                let _ = self.master.take().map(|(backend, _)| backend.close());
                Answer::Closed
            }
            _ => {
                (self.follower, self.master) = (None, None);
                Answer::Abandoned
            }
        }
    }

    fn backend(&mut self) -> Result<&mut Box<dyn StoreBackend>, StoreError> {
        let master = self.master.as_mut().map(|(backend, _)| backend);
        master.ok_or_else(|| StoreError::Bug("nothing was claimed".to_owned()))
    }

    fn follower(&mut self) -> Result<Box<dyn Follower>, StoreError> {
        match (self.follower.take(), &self.place) {
            (Some(follower), _) => Ok(follower),
            (None, Gated::Folder(disk)) => {
                open(Arc::clone(disk), Arc::clone(&self.clock), Path::new(FOLDER), options())
            }
            (None, Gated::Database(access)) => Ok(Box::new(Rows::new(access.another(), self.known.clone()))),
        }
    }

    fn follow(&mut self) -> Result<Epoch, StoreError> {
        let mut follower = self.follower()?;
        let followed = follower.follow(FOLLOW);
        let seen = follower.seen_epoch();
        self.follower = Some(follower);
        followed.map(|_| seen)
    }

    fn claim(&mut self, epoch: Epoch) -> Result<Recovered, StoreError> {
        let Claimed { backend, reader, recovered } =
            self.follower()?.claim(epoch).map_err(|(_, error)| error)?;
        self.master = Some((backend, reader));
        Ok(recovered)
    }

    fn load(&mut self, request: &LoadRequest) -> Result<LoadContent, StoreError> {
        let Some((_, reader)) = &mut self.master else {
            return Err(StoreError::Bug("nothing was claimed".to_owned()));
        };
        Ok(match request {
            LoadRequest::Bodies(wanted) => LoadContent::Bodies(reader.load(wanted)?),
            LoadRequest::Page(wanted) => LoadContent::Page(reader.page(*wanted)?),
            LoadRequest::Block(_) => return Err(StoreError::Bug("these nodes have no spool".to_owned())),
        })
    }
}

/// The thread that asks the real lock provider.
pub(super) fn lease(mut making: Making, name: &str, timings: ferromq_lock::Timings) -> Worker {
    let (name, entropy) = (name.to_owned(), Box::new(making.dice.split()));
    let clock = Arc::clone(&making.clock);
    spawn(making, move |place, orders, answers| {
        let mut lock: Box<dyn LockProvider> = match place {
            Gated::Folder(disk) => {
                let lock = FileLock::new(disk, entropy, Path::new(FOLDER), &name, timings);
                let Ok(lock) = lock else { return };
                Box::new(lock)
            }
            Gated::Database(access) => Box::new(RowLock::new(access, entropy, clock, &name, timings)),
        };
        while let Ok(order) = orders.recv() {
            let answer = match order {
                Order::Look => Answer::Looked(lock.look()),
                Order::Acquire { at_least, why } => Answer::Acquired(lock.try_acquire(at_least, why)),
                Order::Renew(grant) => Answer::Renewed(lock.renew(&grant)),
                Order::Release(grant) => {
                    // Who can't let go is waited for.
                    let _ = lock.release(grant);
                    Answer::Released
                }
                _ => Answer::Abandoned,
            };
            if answers.send(Stand::Done(answer)).is_err() {
                return;
            }
        }
    })
}

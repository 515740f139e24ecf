//! [`Member`]: one node through all its processes, and the parts of a process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ferromq_env::Clock;
use ferromq_env::simulated::SimDisk;
use ferromq_lock::Grant;
use ferromq_model::{Epoch, Instant, Now, Ticket, WallTime};
use ferromq_store::WriteBatch;

use super::faults::Blow;
use super::keeper::Keeper;
use super::worker::{Answer, Order, Worker};
use crate::front::Front;

/// The calendar at the beginning, milliseconds since 1970.
const WALL_ORIGIN_MS: i64 = 1_704_067_200_000;

/// A clock that is a little fast or slow, and whose calendar may jump.
#[derive(Clone, Debug)]
pub(super) struct MemberClock {
    pub(super) world_ns: Arc<AtomicU64>,
    /// Parts in a thousand that it runs at.
    pub(super) rate: u64,
    pub(super) wall_step_ms: Arc<AtomicI64>,
}

impl Clock for MemberClock {
    fn now(&self) -> Now {
        let mono = self.world_ns.load(Ordering::SeqCst) / 1_000 * self.rate;
        let wall = WALL_ORIGIN_MS
            .saturating_add_unsigned(mono / 1_000_000)
            .saturating_add(self.wall_step_ms.load(Ordering::SeqCst));
        Now { mono: Instant(mono), wall: WallTime(wall) }
    }
}

/// What a thread is at.
pub(super) struct Running {
    /// The reign for which it was asked; the answer to an older one interests nobody.
    pub(super) reign: u64,
    /// Operations of all nodes before it began.
    pub(super) ops_before: u64,
    pub(super) answer: Option<Answer>,
}

/// A thread and what waits for it.
pub(super) struct Lane {
    pub(super) worker: Worker,
    pub(super) waiting: VecDeque<Order>,
    pub(super) running: Option<Running>,
    /// It stands at the gate because the disk is stalled.
    pub(super) stalled: bool,
}

impl Lane {
    pub(super) const fn new(worker: Worker) -> Self {
        Self { worker, waiting: VecDeque::new(), running: None, stalled: false }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }
}

/// Which of the two threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Store,
    Lease,
}

/// What is served while a node is the master.
pub(super) struct Reign {
    pub(super) front: Front,
    pub(super) epoch: Epoch,
    pub(super) gathered: Vec<WriteBatch>,
    /// When lazily written batches have to be synced.
    pub(super) lazy_due: Option<Instant>,
    pub(super) commits: u64,
    /// Up to where the engine knows everything to be durable.
    pub(super) completed: Ticket,
}

pub(super) enum Role {
    Standby,
    Claiming(Grant),
    Active(Box<Reign>),
}

/// A running process of a node. Dropping it is `kill -9`, once its disk was told.
pub(super) struct Process {
    pub(super) store: Lane,
    pub(super) lease: Lane,
    pub(super) keeper: Keeper,
    pub(super) role: Role,
    /// Counts roles, so that late answers are told.
    pub(super) reign: u64,
    pub(super) has_followed: bool,
}

impl Process {
    pub(super) const fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Store => &mut self.store,
            Side::Lease => &mut self.lease,
        }
    }

    pub(super) const fn active(&self) -> Option<&Reign> {
        match &self.role {
            Role::Active(reign) => Some(reign),
            _ => None,
        }
    }
}

/// A node.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) clock: MemberClock,
    pub(super) disk: SimDisk,
    pub(super) process: Option<Process>,
    /// Counts processes.
    pub(super) life: u64,
    pub(super) paused_until: Instant,
    /// Its disk answers late or with errors until then.
    pub(super) troubled_until: Instant,
    /// What happens when its thread stands before the chosen operation.
    pub(super) blow: Option<Blow>,
    /// Since when it could be the master.
    pub(super) able_since: Option<Instant>,
}

impl Member {
    pub(super) fn is_able(&self, now: Instant) -> bool {
        self.process.is_some() && self.paused_until <= now && self.troubled_until <= now
    }
}

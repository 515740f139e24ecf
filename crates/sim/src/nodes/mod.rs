//! Several nodes on one simulated shared folder: the real claims, leases, journals and engines, and clients that fail
//! over. Or on one simulated database, with the same engines, and the protocol of its store and its lease.
//!
//! A node has two threads that may stand before any operation of the disk while everybody else goes on: one for its
//! lease, one for its store. So a node is paused, killed, cut off or slowed down in the middle of a commit, a claim, a
//! checkpoint or a reclaim, and goes on as a master that does not know yet that it is none. The thread of the lease
//! follows the rules of the broker's ([`ferromq_lock::Lease`], [`ferromq_lock::Watch`]); only the loop around them is the
//! simulator's own.
//!
//! * [`run`]: one seed, one [`NodesReport`].
//! * [`Conditions`], [`NodeBug`]: how the storage is, and bugs that a run must find.
//!
//! Invariant: only one thread runs at a time, so the same seed gives the same run.

mod checks;
mod database;
mod faults;
mod gate;
mod keeper;
mod member;
mod reign;
mod traffic;
mod trouble;
mod worker;
mod world;

use std::time::Duration;

use ferromq_env::simulated::SeededEntropy;

use crate::Violation;

/// A bug that only several nodes can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeBug {
    /// Nobody looks whether a higher claim exists once its own was won.
    FenceUnchecked,
    /// What the fence refused counts as durable.
    RefusalIgnored,
    /// A claim is made although it exists.
    SharedClaim,
    /// Answers leave although the lease ran out.
    LeaseUnchecked,
    /// Leases and silences are measured by the calendar.
    WallClock,
    /// A renewal counts from its answer, not from before it was asked for.
    LeaseFromAnswer,
    /// A standby claims as soon as it suspects.
    Impatient,
    /// A standby never claims over a silence.
    Timid,
    /// A lost lease ends nothing: the master goes on for ever without its disk.
    NeverStepsDown,
    /// In a database: a transaction reads the epoch's row and does not lock it.
    EpochReadPlainly,
    /// In a database: a commit whose answer was lost counts as done.
    CommitAssumed,
}

impl NodeBug {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::FenceUnchecked,
        Self::RefusalIgnored,
        Self::SharedClaim,
        Self::LeaseUnchecked,
        Self::WallClock,
        Self::LeaseFromAnswer,
        Self::Impatient,
        Self::Timid,
        Self::NeverStepsDown,
        Self::EpochReadPlainly,
        Self::CommitAssumed,
    ];
}

/// What goes wrong beside what is ordinary: pauses, kills, stalls, refusals, lost locks, calendars, cut links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mishaps {
    /// Nothing.
    #[default]
    Ordinary,
    /// All nodes lose power at once, and the disk what was not synced.
    PowerLoss,
    /// The master hands over in order.
    Switchovers,
    /// Instead of the ordinary: a renewal is answered late, and then the disk stalls while clients reconnect.
    LateAnswers,
    /// Instead of the ordinary: the master stands still when its store has answered, and what follows from the answer
    /// comes after its lease.
    Standstills,
    /// Instead of the ordinary: the calendars of all nodes jump, and then the master stands still.
    Calendars,
    /// Instead of the ordinary: a copy of the database takes over that has not seen the last commits.
    Forgetfulness,
}

/// How the shared storage is, beside the faults that the seed plans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// A bug to plant.
    pub bug: Option<NodeBug>,
    /// Reads without a bypass may be answered by what the node itself saw up to so long ago, as NFS does.
    pub stale: Option<Duration>,
    /// The same for names that were looked up, absent ones included.
    pub stale_names: bool,
    /// The nodes share a database instead of a folder.
    pub database: bool,
    /// What goes wrong beside what is ordinary.
    pub mishaps: Mishaps,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodesReport {
    /// The seed that makes it happen again.
    pub seed: u64,
    /// Messages that clients sent.
    pub sent: u64,
    /// Deliveries that clients received.
    pub delivered: u64,
    /// Reigns that began, the first included.
    pub reigns: u64,
    /// Pauses of a master or claimant.
    pub pauses: u64,
    /// Of these, pauses before an operation of the disk that its store did.
    pub pauses_in_store: u64,
    /// Nodes that were killed.
    pub kills: u64,
    /// Times at which all nodes lost power.
    pub power_losses: u64,
    /// Masters that handed over in order.
    pub switchovers: u64,
    /// Nodes that noticed that their database forgets.
    pub noticed: u64,
    /// Other faults.
    pub others: u64,
    /// The longest time without a master while somebody could have been it.
    pub longest_gap: Duration,
    /// Broken promises.
    pub violations: Vec<Violation>,
}

/// Runs a world of two or three nodes from a seed.
pub fn run(seed: u64, conditions: Conditions) -> NodesReport {
    let mut dice = SeededEntropy::new(seed);
    let plan = crate::plan::Plan::draw(&mut dice, None).persistent_only();
    let mut world = world::World::new(&plan, conditions, dice);
    world.run();
    world.report(seed)
}

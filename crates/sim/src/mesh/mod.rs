//! Brokers with links between all of them, each on a disk of its own: clients send here and consume there, consumers
//! move, links are cut at one end before the other notices, brokers die and come back.
//!
//! What is judged is what clients see, by the same [oracle](crate::oracle) as of one broker: each message that was
//! answered comes, and comes again only if its consumption was not answered, and then flagged, through however many
//! brokers it went. In order, as long as a queue has one consumer, and that stays where it is.

mod link;
mod world;

use std::time::Duration;

use ferromq_env::simulated::SeededEntropy;
use ferromq_openwire::{Destination, WireFormatOptions};

use crate::Report;
use crate::client::{AckMode, Client, Consuming, Producing, Role};
use crate::node::NARROW;
use crate::oracle::Channel;

/// What is wrong on purpose, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkBug {
    /// A link tells its broker that nothing of its stream has arrived.
    IgnoreReport,
    /// A position is not in the sender's store when its message leaves.
    ForgetWhatWasGiven,
    /// A position is not in the receiver's store with its message.
    ForgetWhatWasTaken,
    /// Messages go over as ActiveMQ sends them, and what was under way is free at once.
    NoStreams,
    /// A bridge acknowledges before the other broker has answered.
    AcknowledgeTooEarly,
    /// A bridge takes back what the other broker has not turned back.
    TakeBackTooEarly,
}

impl LinkBug {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::IgnoreReport,
        Self::ForgetWhatWasGiven,
        Self::ForgetWhatWasTaken,
        Self::NoStreams,
        Self::AcknowledgeTooEarly,
        Self::TakeBackTooEarly,
    ];

    /// Whether a position stays out of the store: `given` by a sender, or taken by a receiver.
    pub(crate) fn forgets(self, given: bool) -> bool {
        self == if given { Self::ForgetWhatWasGiven } else { Self::ForgetWhatWasTaken }
    }
}

/// The course of one run.
pub(crate) struct Plan {
    pub(crate) bug: Option<LinkBug>,
    pub(crate) hosts: usize,
    pub(crate) duration: Duration,
    pub(crate) cuts: u64,
    pub(crate) crashes: u64,
    pub(crate) moves: u64,
    /// Each with the host that it begins at.
    pub(crate) clients: Vec<(usize, Client)>,
    /// Order is promised: each queue has one consumer, which stays.
    pub(crate) ordered: bool,
}

impl Plan {
    fn draw(dice: &mut SeededEntropy, bug: Option<LinkBug>) -> Self {
        let more = if dice.chance(1, 8) { 5 } else { 2 };
        let hosts = 2 + usize::try_from(dice.below(more)).unwrap_or(0);
        let calm = dice.chance(1, 3);
        let mut plan = Self {
            bug,
            hosts,
            duration: Duration::from_millis(80 + dice.below(160)),
            cuts: dice.below(8),
            crashes: dice.below(4),
            moves: if calm { 0 } else { dice.below(5) },
            clients: Vec::new(),
            ordered: calm,
        };
        let mut number = 0;
        let mut add = |host: usize, queue: u32, role: Role| {
            number += 1;
            let to = if queue == 1 { NARROW.to_owned() } else { format!("Q{queue}") };
            let (to, options) = (Destination::queue(to), WireFormatOptions::default());
            plan.clients.push((host, Client::new(number, to, role, options)));
        };
        let anywhere = |dice: &mut SeededEntropy| {
            usize::try_from(dice.below(u64::try_from(hosts).unwrap_or(1))).unwrap_or(0)
        };
        for queue in 0..1 + u32::try_from(dice.below(2)).unwrap_or(0) {
            let channel = Channel(queue);
            for _ in 0..if calm { 1 } else { 1 + dice.below(2) } {
                let mode = if dice.chance(1, 2) { AckMode::Answered } else { AckMode::Transacted(3) };
                let prefetch = 1 + i32::try_from(dice.below(12)).unwrap_or(0);
                let task = Consuming { channel, durable: None, prefetch, mode };
                add(anywhere(dice), queue, Role::Consumer(task));
            }
            for _ in 0..1 + dice.below(2) {
                let messages = 20 + u32::try_from(dice.below(40)).unwrap_or(0);
                let batch = if dice.chance(1, 3) { 4 } else { 0 };
                let channels = vec![channel];
                let task = Producing { channels, messages, batch, body_bytes: 40, persistent: true };
                add(anywhere(dice), queue, Role::Producer(task));
            }
        }
        plan
    }
}

/// Runs a mesh from a seed, with a bug planted or none.
pub fn run(seed: u64, bug: Option<LinkBug>) -> Report {
    let mut dice = SeededEntropy::new(seed);
    let plan = Plan::draw(&mut dice, bug);
    let (ordered, duration) = (plan.ordered, plan.duration);
    let mut world = world::World::new(plan, dice);
    world.run(duration);
    let (sent, delivered) = world.oracle.counts();
    let mut violations = world.oracle.verdict();
    violations.retain(|violation| ordered || violation.invariant != "order");
    Report { seed, sent, delivered, crashes: world.crashes, violations }
}

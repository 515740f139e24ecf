//! [`Plan`]: who sends what to whom, and how many faults there are; all drawn from the seed.

use std::time::Duration;

use ferromq_env::simulated::SeededEntropy;
use ferromq_openwire::{Destination, WireFormatOptions};

use crate::Planted;
use crate::client::{AckMode, Client, Consuming, Producing, Role};
use crate::node::VOLATILE;
use crate::oracle::Channel;

/// The course of one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) planted: Option<Planted>,
    pub(crate) duration: Duration,
    pub(crate) cuts: u64,
    pub(crate) crashes: u64,
    consumers: Vec<(Destination, Consuming)>,
    producers: Vec<(Destination, Producing)>,
    options: WireFormatOptions,
}

impl Plan {
    /// The same without messages that live in the memory of a master alone, which every takeover loses.
    pub(crate) fn persistent_only(mut self) -> Self {
        let volatile = Destination::queue(VOLATILE);
        self.producers.retain(|(destination, _)| *destination != volatile);
        self.consumers.retain(|(destination, _)| *destination != volatile);
        self
    }

    pub(crate) fn draw(dice: &mut SeededEntropy, planted: Option<Planted>) -> Self {
        let mut plan = Self {
            planted,
            duration: Duration::from_millis(60 + dice.below(120)),
            cuts: dice.below(6),
            crashes: 1 + dice.below(4),
            consumers: Vec::new(),
            producers: Vec::new(),
            options: WireFormatOptions::default(),
        };
        plan.options.tight_encoding = dice.chance(1, 2);
        plan.options.cache = dice.chance(1, 2);
        for queue in 0..1 + dice.below(2) {
            let channel = Channel(u32::try_from(queue).unwrap_or(0));
            let destination = Destination::queue(format!("Q{queue}"));
            for _ in 0..1 + dice.below(3) {
                plan.consumers.push((destination.clone(), consuming(dice, channel, None)));
            }
            for _ in 0..1 + dice.below(2) {
                plan.producers.push((destination.clone(), producing(dice, vec![channel])));
            }
        }
        let subscriptions = dice.below(3);
        if subscriptions > 0 {
            let topic = Destination::topic("T");
            let channels: Vec<_> =
                (0..subscriptions).map(|i| Channel(100 + u32::try_from(i).unwrap_or(0))).collect();
            for channel in &channels {
                plan.consumers.push((topic.clone(), consuming(dice, *channel, Some("sub".to_owned()))));
            }
            plan.producers.push((topic, producing(dice, channels)));
        }
        if dice.chance(1, 2) {
            let (queue, channel) = (Destination::queue(VOLATILE), Channel(200));
            for _ in 0..1 + dice.below(2) {
                plan.consumers.push((queue.clone(), consuming(dice, channel, None)));
            }
            for _ in 0..1 + dice.below(3) {
                let task = Producing { batch: 0, persistent: false, ..producing(dice, vec![channel]) };
                plan.producers.push((queue.clone(), task));
            }
        }
        plan
    }

    pub(crate) fn clients(&self) -> Vec<Client> {
        let roles = self
            .consumers
            .iter()
            .map(|(destination, task)| (destination, Role::Consumer(task.clone())))
            .chain(
                self.producers.iter().map(|(destination, task)| (destination, Role::Producer(task.clone()))),
            );
        (1..)
            .zip(roles)
            .map(|(number, (destination, role))| {
                Client::new(number, destination.clone(), role, self.options.clone())
            })
            .collect()
    }
}

fn consuming(dice: &mut SeededEntropy, channel: Channel, durable: Option<String>) -> Consuming {
    let mode = match dice.below(3) {
        0 => AckMode::Answered,
        1 => AckMode::Silent,
        _ => AckMode::Transacted(1 + usize::try_from(dice.below(6)).unwrap_or(0)),
    };
    Consuming { channel, durable, prefetch: 1 + i32::try_from(dice.below(12)).unwrap_or(0), mode }
}

fn producing(dice: &mut SeededEntropy, channels: Vec<Channel>) -> Producing {
    let batch = if dice.chance(1, 2) { 0 } else { 2 + u32::try_from(dice.below(6)).unwrap_or(0) };
    let messages = 30 + u32::try_from(dice.below(60)).unwrap_or(0);
    let body_bytes = if dice.chance(1, 4) { 3_000 } else { 40 };
    Producing { channels, messages, batch, body_bytes, persistent: true }
}

//! Power failures and kills: what was acknowledged is there, and what is there is a state that once was.

use ferromq_env::simulated::{Crash, SeededEntropy};
use ferromq_model::{Destination, DestinationId};

use super::run::Run;
use super::script::{
    ONE, QUEUE, STREAM, TWO, ack, house, place, publish, put, put_in, record, remove, settle, stream,
};
use super::world::{World, Worlds};
use crate::{Budget, StoreError, StoreOp, Sync};

/// Everything that was written, synced or not, is there after a mere kill.
pub fn a_killed_process_loses_nothing_it_wrote(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    for life in 0..5u64 {
        for n in 0..20 {
            let sequence = life * 100 + n + 1;
            run.commit(vec![put(sequence, 50 + n as usize)]);
            run.commit_lazily(vec![remove(sequence - n % 3)]);
            if n % 7 == 0 {
                run.backend.maintain(Budget { bytes: 4096 }).unwrap();
            }
        }
        let now = run.now();
        if !world.kill() {
            return;
        }
        drop(run);
        run = Run::resume(&mut *world, &now);
    }
}

/// The operations of the exhaustive check.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put,
    PutBig,
    PutLazily,
    Remove,
    Publish,
    Ack,
    Transaction,
    Replace,
    Pass,
    Maintain,
    Reopen,
}

const STEPS: [Step; 11] = [
    Step::Put,
    Step::PutBig,
    Step::PutLazily,
    Step::Remove,
    Step::Publish,
    Step::Ack,
    Step::Transaction,
    Step::Replace,
    Step::Pass,
    Step::Maintain,
    Step::Reopen,
];

/// A run that stops where the store first fails.
struct Life {
    run: Option<Run>,
    /// What a crash may leave, if there is no run any longer.
    legal: Vec<crate::memory::Contents>,
    next: u64,
    next_destination: u64,
    queue: DestinationId,
}

impl Life {
    fn begin(world: &mut dyn World) -> Self {
        let mut life = Self {
            run: None,
            legal: vec![crate::memory::Contents::default()],
            next: 10,
            next_destination: 3,
            queue: QUEUE,
        };
        if let Ok(run) = Run::try_begin(world) {
            life.run = Some(run);
            let mut start = house();
            start.push(stream(STREAM, 100));
            start.extend([put(1, 30), put(2, 30), publish(3, &[ONE, TWO]), publish(4, &[TWO])]);
            life.commit(start, Sync::Required);
        }
        life
    }

    fn attempt(&mut self, action: impl FnOnce(&mut Run) -> Result<(), StoreError>) {
        let Some(run) = &mut self.run else { return };
        let outcome = action(run);
        self.legal = run.legal();
        if outcome.is_err() {
            self.run = None;
        }
    }

    fn commit(&mut self, ops: Vec<StoreOp>, sync: Sync) {
        self.attempt(|run| {
            let batch = run.batch(ops, sync);
            run.hand_over(&[batch], false)
        });
    }

    fn take(&mut self, step: Step, world: &mut dyn World) {
        self.next += 1;
        let (next, queue) = (self.next, self.queue);
        match step {
            Step::Put => self.commit(vec![put_in(queue, "orders", next, 40)], Sync::Required),
            Step::PutBig => self.commit(vec![put_in(queue, "orders", next, 6000)], Sync::Required),
            Step::PutLazily => self.commit(vec![put_in(queue, "orders", next, 700)], Sync::Lazy),
            Step::Remove => self.commit(vec![remove(1), remove(next - 1)], Sync::Required),
            Step::Publish => self.commit(vec![publish(next, &[ONE, TWO])], Sync::Required),
            Step::Ack => self.commit(vec![ack(TWO, 4), ack(ONE, 3)], Sync::Lazy),
            Step::Transaction => {
                let ops = vec![
                    put_in(queue, "orders", next, 400),
                    remove(2),
                    StoreOp::ExposeQueue { destination: queue, upto: ferromq_model::Sequence(next) },
                    StoreOp::PutSubscription(record(TWO, "two again")),
                    ack(TWO, 3),
                ];
                self.commit(ops, Sync::Required);
            }
            Step::Replace => {
                let new = DestinationId(self.next_destination);
                self.next_destination += 1;
                self.queue = new;
                let ops = vec![
                    StoreOp::DropDestination { id: queue },
                    StoreOp::PutDestination { id: new, destination: Destination::queue("orders") },
                    put_in(new, "orders", next, 10),
                ];
                self.commit(ops, Sync::Required);
            }
            // A link's message comes with its position, and one before it is settled.
            Step::Pass => {
                let ops = vec![
                    put_in(queue, "orders", next, 40),
                    place(STREAM, next, next),
                    settle(STREAM, next - 1, next - 1),
                ];
                self.commit(ops, Sync::Required);
            }
            Step::Maintain => {
                self.attempt(|run| run.backend.maintain(Budget { bytes: 1 << 20 }).map(drop));
            }
            Step::Reopen => self.reopen(world),
        }
    }

    fn reopen(&mut self, world: &mut dyn World) {
        let Some(run) = self.run.take() else { return };
        self.legal = run.legal();
        let now = run.now();
        drop(run.reader);
        if run.backend.close().is_ok() {
            self.legal = now;
            self.run = Run::try_resume(world, &self.legal).ok();
        }
    }

    /// Asserts that what is on the disk now is legal, and that the store works on it.
    fn verify(&self, world: &mut dyn World) {
        let mut run = Run::resume(world, &self.legal);
        let place = run.recovered.next_sequence.0;
        let queue = DestinationId(run.recovered.next_destination.0);
        run.commit(vec![
            StoreOp::PutDestination { id: queue, destination: Destination::queue("after") },
            put_in(queue, "after", place, 10),
        ]);
        let _ = run.reopen(world);
    }
}

/// Every sequence of up to two operations, with the power cut at every change of the disk and several outcomes each.
pub fn crash_at_every_point_of_two_operations(worlds: Worlds<'_>) {
    crash_at_every_point(worlds, 2);
}

/// As with two operations, with three.
pub fn crash_at_every_point_of_three_operations(worlds: Worlds<'_>) {
    crash_at_every_point(worlds, 3);
}

fn crash_at_every_point(worlds: Worlds<'_>, depth: u32) {
    if worlds().disk().is_none() {
        return;
    }
    for number in 0..STEPS.len().pow(depth) {
        let steps: Vec<Step> = (0..depth)
            .filter_map(|place| STEPS.get(number / STEPS.len().pow(place) % STEPS.len()))
            .copied()
            .collect();
        let changes = {
            let mut world = worlds();
            let mut life = Life::begin(&mut *world);
            steps.iter().for_each(|step| life.take(*step, &mut *world));
            assert!(life.run.is_some(), "{steps:?} fails without any fault");
            world.disk().map_or(0, |disk| disk.changes())
        };
        // The prelude is the same for all: its crashes are tried once.
        let first = if number == 0 { 1 } else { prelude_changes(worlds) + 1 };
        for nth in first..=changes {
            crash_at(worlds, &steps, nth);
        }
    }
}

fn prelude_changes(worlds: Worlds<'_>) -> u64 {
    let mut world = worlds();
    let life = Life::begin(&mut *world);
    assert!(life.run.is_some());
    world.disk().map_or(0, |disk| disk.changes())
}

fn crash_at(worlds: Worlds<'_>, steps: &[Step], nth: u64) {
    let mut world = worlds();
    world.disk().expect("asked before").power_off_at(nth);
    let mut life = Life::begin(&mut *world);
    for step in steps {
        life.take(*step, &mut *world);
    }
    life.run = None;
    let base = world.disk().expect("asked before").clone();
    let choices = [Crash::KeepAll, Crash::LoseUnsynced, Crash::Seeded(nth), Crash::Seeded(nth + 1000)];
    for crash in choices {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            *world.disk().expect("asked before") = base.fork_crashed(crash);
            life.verify(&mut *world);
        }));
        if let Err(panic) = outcome {
            eprintln!("at change {nth} of {steps:?}, crash {crash:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Forty seeds of several lives each, with random work, groups, maintenance, kills and power failures.
pub fn crashes_at_random(worlds: Worlds<'_>) {
    (0..40).for_each(|seed| crash_at_random(worlds, seed));
}

/// As [`crashes_at_random`], two thousand seeds.
pub fn many_crashes_at_random(worlds: Worlds<'_>) {
    (1000..3000).for_each(|seed| crash_at_random(worlds, seed));
}

fn crash_at_random(worlds: Worlds<'_>, seed: u64) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut world = worlds();
        if world.disk().is_none() {
            return;
        }
        let mut dice = SeededEntropy::new(seed);
        let mut left = Left::crashed(vec![crate::memory::Contents::default()]);
        for _life in 0..6 {
            left = live_and_crash(&mut *world, &left, &mut dice);
        }
        drop(Run::resume(&mut *world, &left.shown));
    }));
    if let Err(panic) = outcome {
        eprintln!("with seed {seed}");
        std::panic::resume_unwind(panic);
    }
}

/// What a life left behind.
struct Left {
    /// What the next opening may show.
    shown: Vec<crate::memory::Contents>,
    /// What may be there if the power goes before the next opening is done: after a mere kill, what was not synced
    /// is shown as it was, and is still not safe.
    safe: Vec<crate::memory::Contents>,
}

impl Left {
    fn crashed(legal: Vec<crate::memory::Contents>) -> Self {
        Self { shown: legal.clone(), safe: legal }
    }
}

/// One life: opens, works, ends badly.
fn live_and_crash(world: &mut dyn World, left: &Left, dice: &mut SeededEntropy) -> Left {
    // Every other life is a short one, so that what a life found when it opened is there for the next.
    let after = 1 + if dice.chance(1, 2) { dice.below(12) } else { dice.below(120) };
    world.disk().expect("asked before").power_off_at(after);
    let mut legal = left.safe.clone();
    match Run::try_resume(world, &left.shown) {
        Err(error) => assert!(!is_powered(world), "the store does not open: {error}"),
        Ok(mut run) => {
            legal = run.legal();
            for _ in 0..60 {
                let done = work(&mut run, dice);
                legal = run.legal();
                if let Err(error) = done {
                    assert!(!is_powered(world), "without any fault: {error}");
                    break;
                }
            }
            if dice.chance(1, 4) && is_powered(world) && world.kill() {
                let shown = run.now();
                drop(run);
                world.disk().expect("asked before").power_off_at(u64::MAX / 2);
                return Left { shown, safe: legal };
            }
        }
    }
    let disk = world.disk().expect("asked before");
    *disk = disk.crash(Crash::Seeded(dice.below(u64::MAX)));
    Left::crashed(legal)
}

fn is_powered(world: &mut dyn World) -> bool {
    world.disk().is_some_and(|disk| ferromq_env::Disk::list(disk, std::path::Path::new("/")).is_ok())
}

fn work(run: &mut Run, dice: &mut SeededEntropy) -> Result<(), StoreError> {
    if dice.chance(1, 6) {
        return run.backend.maintain(Budget { bytes: 1 << dice.below(22) }).map(drop);
    }
    let mut group = Vec::new();
    for _ in 0..1 + dice.below(4) {
        let sync = if dice.chance(1, 3) { Sync::Lazy } else { Sync::Required };
        let ops = (0..1 + dice.below(4)).flat_map(|_| random_ops(run, dice)).collect();
        // Several fresh ids in one batch would collide: only what the reference accepts is handed over.
        let trial = crate::WriteBatch { epoch: run.epoch, ticket: ferromq_model::Ticket(0), ops, sync };
        if run.contents().clone().apply(&trial).is_ok() {
            group.push(run.batch(trial.ops, sync));
        }
    }
    run.hand_over(&group, dice.chance(1, 20))
}

fn random_ops(run: &Run, dice: &mut SeededEntropy) -> Vec<StoreOp> {
    let state = run.contents().recovered(run.epoch);
    let place = state.next_sequence.0 + dice.below(3);
    let pick = |dice: &mut SeededEntropy, len: usize| dice.below(len as u64) as usize;
    let chosen = if state.destinations.is_empty() {
        None
    } else {
        state.destinations.get(pick(dice, state.destinations.len()))
    };
    let Some(destination) = chosen else {
        return vec![StoreOp::PutDestination {
            id: state.next_destination,
            destination: Destination::queue("first"),
        }];
    };
    let is_queue = destination.destination.kind.is_queue();
    let old = ferromq_model::Sequence(place.saturating_sub(1 + dice.below(30)));
    match dice.below(19) {
        0 => vec![StoreOp::PutDestination {
            id: state.next_destination,
            destination: if dice.chance(1, 2) {
                Destination::queue("more")
            } else {
                Destination::topic("more")
            },
        }],
        1 if dice.chance(1, 4) => vec![StoreOp::DropDestination { id: destination.id }],
        2 => vec![StoreOp::PutSubscription(record(state.next_subscription, "new"))],
        3 if dice.chance(1, 3) => {
            let id = ferromq_model::SubscriptionId(dice.below(state.next_subscription.0 + 1));
            vec![StoreOp::DropSubscription { id }]
        }
        4 => vec![StoreOp::ExposeQueue { destination: destination.id, upto: old }],
        5 => {
            let producer = super::script::producer(dice.below(5) as i64);
            vec![StoreOp::Dedup { producer, sequence: dice.below(5000) as i64 }]
        }
        16 => {
            let reserved = dice.below(100);
            vec![stream(ferromq_model::StreamId(1 + dice.below(2)), reserved)]
        }
        17 => vec![
            put_in(destination.id, "any", place.max(1), 20),
            super::script::place(ferromq_model::StreamId(1 + dice.below(2)), dice.below(60), place),
        ],
        18 if dice.chance(1, 10) => {
            vec![super::script::drop_stream(ferromq_model::StreamId(1 + dice.below(2)))]
        }
        18 => {
            let from = dice.below(60);
            let upto = from + if dice.chance(1, 2) { 0 } else { dice.below(30) };
            vec![settle(ferromq_model::StreamId(1 + dice.below(2)), from, upto)]
        }
        6..=9 if is_queue => vec![StoreOp::RemoveMessage { destination: destination.id, sequence: old }],
        6..=9 => state
            .subscriptions
            .iter()
            .map(|subscription| StoreOp::AckDurable {
                subscription: subscription.record.id,
                destination: destination.id,
                sequence: old,
            })
            .collect(),
        _ => {
            let body = if dice.chance(1, 10) { dice.below(20_000) } else { dice.below(300) } as usize;
            let mut op = put_in(destination.id, "any", place, body);
            if let StoreOp::PutMessage { subscriptions, exposed, .. } = &mut op {
                *exposed = dice.chance(1, 2);
                if !is_queue {
                    subscriptions.extend(state.subscriptions.iter().map(|s| s.record.id).take(3));
                }
            }
            vec![op]
        }
    }
}

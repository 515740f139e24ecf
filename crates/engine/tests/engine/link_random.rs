//! Two brokers and a link, with everything that can happen in any order: each message is at one of them, once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ferromq_engine::*;
use ferromq_model::*;

use crate::bench::*;

/// A connection of the link at the receiver, and what is on its way there; it may outlive the sender's end.
struct Wire {
    client: Client,
    frames: VecDeque<Frame>,
    asked: BTreeMap<u32, Got>,
}

/// What a bridge sends.
enum Frame {
    Message(Got),
    /// What follows of this destination is a new attempt.
    Again(Destination),
}

/// What is wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// The sender takes it that nothing has arrived.
    IgnoresTheReport,
    /// The receiver takes messages as if they had no position.
    ForgetsPositions,
    /// The sender takes back what waits for room over there.
    TakesBackTooEarly,
}

struct World {
    a: Bench,
    b: Bench,
    dice: Dice,
    bug: Bug,
    producer: Client,
    /// The sender's end of the link.
    link: Option<Client>,
    wires: Vec<Wire>,
    next: u32,
    asked: BTreeMap<u32, String>,
    accepted: Vec<String>,
    consumed: Vec<String>,
    /// Messages that were turned back for want of room.
    turned: u64,
    /// Few faults, so that something is turned back.
    calm: bool,
}

impl World {
    fn new(seed: u64, bug: Bug) -> Self {
        let policy = |store_bytes| Bench::policy(Policy { window: 16, store_bytes, ..Policy::default() });
        // Every second receiver has room for few.
        let (mut a, mut b) = (policy(0), policy(if seed.is_multiple_of(2) { 0 } else { 400 }));
        a.crash();
        b.crash();
        let producer = a.connect("producer");
        let (dice, wires) = (Dice(seed), Vec::new());
        let (asked, accepted, consumed) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self {
            a,
            b,
            dice,
            bug,
            producer,
            link: None,
            wires,
            next: 0,
            asked,
            accepted,
            consumed,
            turned: 0,
            calm: seed % 4 == 1,
        }
    }

    fn send(&mut self) {
        self.next += 1;
        let text = format!("m{}", self.next);
        let message = self.a.message(&self.producer, "Q", &text);
        let tag = self.a.begin(&self.producer, send(message, None));
        self.asked.insert(tag, text);
    }

    /// The producer reads its answers.
    fn answers(&mut self) {
        let (asked, replies) = (&mut self.asked, &self.a.replies);
        let accepted = &mut self.accepted;
        asked.retain(|tag, text| {
            let answered = matches!(replies.get(tag), Some(Effect::Done));
            if answered {
                accepted.push(std::mem::take(text));
            }
            !answered
        });
    }

    /// What the sender hands to the link goes on its way.
    fn carry(&mut self) {
        let Some(link) = &self.link else { return };
        let Some(wire) = self.wires.last_mut() else { return };
        let mine: Vec<Got> = self.a.take().into_iter().filter(|got| got.conn == link.conn).collect();
        let told = std::mem::take(&mut self.a.notices).into_iter().filter(|(conn, _)| *conn == link.conn);
        wire.frames.extend(told.map(|(_, notice)| match notice {
            Notice::TriedAgain { destination } => Frame::Again(destination),
            other => panic!("{other:?}"),
        }));
        wire.frames.extend(mine.into_iter().map(Frame::Message));
    }

    /// A frame arrives, on this connection or on one that the sender has given up.
    fn arrive(&mut self) {
        let which = self.dice.below(self.wires.len().max(1) as u64) as usize;
        let Some(wire) = self.wires.get_mut(which) else { return };
        let got = match wire.frames.pop_front() {
            None => return,
            Some(Frame::Again(destination)) => {
                self.b.tell(&wire.client, Intent::Resume(destination));
                return;
            }
            Some(Frame::Message(got)) => got,
        };
        let request = SendRequest {
            producer: ProducerId::new(wire.client.id.clone(), 1, 1),
            message: got.delivery.message.clone().unwrap(),
            transaction: None,
            window_bytes: 0,
            position: got.delivery.position.filter(|_| self.bug != Bug::ForgetsPositions),
        };
        let tag = self.b.begin(&wire.client, Intent::Send(request));
        wire.asked.insert(tag, got);
    }

    /// Answers of the receiver reach the sender, if its end is still there.
    fn acknowledge(&mut self) {
        let Some(link) = self.link.clone() else { return };
        let Some(wire) = self.wires.last_mut() else { return };
        let early = self.bug == Bug::TakesBackTooEarly;
        let asked: Vec<u32> = wire.asked.keys().copied().collect();
        for tag in asked {
            let back = match self.b.replies.get(&tag) {
                None if !early => continue,
                Some(Effect::Done) => false,
                Some(Effect::Failed(fault)) if fault.kind == FaultKind::ResourceAllocation => true,
                None => true,
                other => panic!("{other:?}"),
            };
            let got = wire.asked.remove(&tag).unwrap();
            if back {
                self.turned += 1;
                let position = got.delivery.position.unwrap();
                self.a.tell(&link, Intent::TakeBack { consumer: got.consumer, position });
            } else {
                self.a.tell(&link, ack(AckKind::Individual, &got, &got, 1, None));
            }
        }
    }

    fn connect(&mut self) {
        self.cut();
        let client = self.b.engine_client();
        let tag = self.b.begin(&client, Intent::OpenStream { stream: "a>b".into(), takes_back: true });
        self.b.run();
        let Some(Effect::Stream(mut report)) = self.b.replies.remove(&tag) else { panic!("no report") };
        self.wires.push(Wire { client, frames: VecDeque::new(), asked: BTreeMap::new() });
        if self.bug == Bug::IgnoresTheReport {
            report.taken.clear();
        }
        let link = self.a.engine_client();
        let begun = self.a.begin(&link, Intent::BeginLink { stream: "a>b".into(), report });
        self.a.run();
        assert!(matches!(self.a.replies.get(&begun), Some(Effect::Done)), "{:?}", self.a.replies.get(&begun));
        self.a.take();
        let (_, facts) = self.a.consumer(&link, "Q", |facts| {
            facts.prefetch = 20;
            facts.network = true;
        });
        self.a.begin(&link, Intent::AddConsumer(facts));
        self.link = Some(link);
    }

    /// The sender's end notices that the link is gone; what was on its way may arrive later all the same.
    fn cut(&mut self) {
        if let Some(link) = self.link.take() {
            self.a.take();
            self.a.detach(&link);
        }
    }

    fn crash_sender(&mut self) {
        self.a.take();
        self.a.crash();
        self.link = None;
        self.asked.clear();
        self.producer = self.a.connect("producer");
    }

    fn crash_receiver(&mut self) {
        self.b.crash();
        self.cut();
        self.wires.clear();
    }

    /// Somebody takes some messages at the sender itself.
    fn consume_here(&mut self, most: u32) {
        self.carry();
        let client = self.a.engine_client();
        let (_, facts) = self.a.consumer(&client, "Q", |facts| facts.prefetch = most);
        self.a.begin(&client, Intent::AddConsumer(facts));
        self.a.run();
        let link = self.link.as_ref().map(|link| link.conn);
        let (mine, others): (Vec<Got>, Vec<Got>) =
            self.a.take().into_iter().partition(|got| got.conn == client.conn);
        let mine: Vec<Got> = mine.into_iter().take(most as usize).collect();
        if let Some(wire) = self.wires.last_mut() {
            let others = others.into_iter().filter(|got| Some(got.conn) == link);
            wire.frames.extend(others.map(Frame::Message));
        }
        for got in &mine {
            self.a.begin(&client, ack(AckKind::Individual, got, got, 1, None));
            self.consumed.push(got.text());
        }
        self.a.run();
        // Those that came meanwhile go back.
        let rest: Vec<Got> = self.a.take().into_iter().filter(|got| Some(got.conn) == link).collect();
        if let Some(wire) = self.wires.last_mut() {
            wire.frames.extend(rest.into_iter().map(Frame::Message));
        }
        self.a.detach(&client);
        self.a.run();
    }

    /// Somebody takes some messages over there.
    fn consume_there(&mut self, most: u32) {
        let client = self.b.engine_client();
        let (_, facts) = self.b.consumer(&client, "Q", |facts| facts.prefetch = most);
        self.b.begin(&client, Intent::AddConsumer(facts));
        self.b.run();
        for got in self.b.take().into_iter().take(most as usize) {
            self.b.begin(&client, ack(AckKind::Individual, &got, &got, 1, None));
            self.consumed.push(got.text());
        }
        self.b.run();
        self.b.take();
        self.b.detach(&client);
        self.b.run();
    }

    fn pass(&mut self, time: Duration) {
        self.a.wait(time);
        self.b.wait(time);
    }

    fn step(&mut self) {
        let roll = self.dice.below(100);
        if self.calm && (88..96).contains(&roll) && self.dice.below(5) > 0 {
            return;
        }
        match roll {
            0..20 => self.send(),
            20..35 => self.a.sync(),
            35..43 => self.b.sync(),
            43..45 => self.pass(Duration::from_millis(1_200)),
            45..50 => self.a.answer_load(),
            50..60 => self.carry(),
            60..80 => self.arrive(),
            80..88 => self.acknowledge(),
            88..91 => self.connect(),
            91..94 => self.cut(),
            94..95 => self.crash_sender(),
            95..96 => self.crash_receiver(),
            96..98 => {
                let most = 1 + self.dice.below(3) as u32;
                self.consume_here(most);
            }
            98..99 => {
                let most = 1 + self.dice.below(9) as u32;
                self.consume_there(most);
            }
            _ if !self.wires.is_empty() => {
                // A connection ends at the receiver as well; what was on its way is lost.
                let which = self.dice.below(self.wires.len() as u64) as usize;
                let gone = self.wires.remove(which);
                self.b.detach(&gone.client);
                if which == self.wires.len() {
                    self.cut();
                }
            }
            _ => {}
        }
        self.answers();
    }

    /// All faults are over: everything flows until nothing is under way. What is where, by text.
    fn settle(&mut self) -> BTreeMap<String, u32> {
        self.a.run();
        self.answers();
        self.connect();
        for _ in 0..1_000 {
            self.a.run();
            self.carry();
            for _ in 0..200 {
                self.arrive();
            }
            self.b.run();
            self.acknowledge();
            self.pass(Duration::from_millis(50));
            self.consume_there(30);
        }
        self.a.run();
        assert!(self.wires.iter().all(|wire| wire.frames.is_empty()));
        let client = self.b.connect("reader");
        self.b.auto = true;
        self.b.take();
        self.b.consume_as(&client, "Q", |facts| facts.prefetch = 100_000);
        let mut found = BTreeMap::new();
        for text in self.b.texts().into_iter().chain(self.consumed.drain(..)) {
            *found.entry(text).or_default() += 1;
        }
        assert_eq!(self.a.held("Q"), 0, "nothing is stuck at the sender");
        found
    }
}

/// What became of one seed.
struct Account {
    lost: Vec<String>,
    twice: Vec<String>,
    turned: u64,
}

/// Plays one seed.
fn play(seed: u64, bug: Bug) -> Account {
    let mut world = World::new(seed, bug);
    world.a.auto = false;
    world.b.auto = false;
    // So that there is a queue to hold something.
    world.send();
    for _ in 0..600 {
        world.step();
    }
    let found = world.settle();
    let turned = world.turned;
    let lost = world.accepted.iter().filter(|text| !found.contains_key(*text)).cloned().collect();
    let twice = found.into_iter().filter(|(_, count)| *count > 1).map(|(text, _)| text).collect();
    Account { lost, twice, turned }
}

#[test]
fn each_message_is_there_once_whatever_happens() {
    let mut all_turned = 0;
    for seed in 0..150 {
        let Account { lost, twice, turned } = play(seed, Bug::None);
        all_turned += turned;
        assert!(lost.is_empty() && twice.is_empty(), "seed {seed}: lost {lost:?}, twice {twice:?}");
    }
    assert!(all_turned > 200, "{all_turned} were turned back");
}

#[test]
fn a_link_that_does_not_listen_or_does_not_remember_is_found() {
    for bug in [Bug::IgnoresTheReport, Bug::ForgetsPositions, Bug::TakesBackTooEarly] {
        let found = (0..150).any(|seed| {
            let Account { lost, twice, .. } = play(seed, bug);
            !lost.is_empty() || !twice.is_empty()
        });
        assert!(found, "the check finds nothing");
    }
}

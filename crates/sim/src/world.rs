//! [`World`]: virtual time, the network between clients and broker, and the faults that a seed plans.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ferromq_engine::{ConnId, LoadId, LoadRequest};
use ferromq_env::Entropy;
use ferromq_env::simulated::{Crash, SeededEntropy, SimDisk};
use ferromq_model::{Instant, Now};
use ferromq_store::spool::SpoolOp;

use crate::agenda::{Agenda, Course, Verdict, within};
use crate::client::Client;
use crate::front::ToPeer;
use crate::node::{Errand, Node};
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::saboteur::Saboteur;

/// A run that has made so many steps goes in circles.
const MAX_STEPS: u64 = 2_000_000;

/// How often things that wait for nothing in particular are looked at.
const PULSE: Duration = Duration::from_millis(2);

enum Event {
    /// Bytes reach the broker or a client.
    ToBroker {
        link: u64,
        bytes: Vec<u8>,
    },
    ToClient {
        link: u64,
        bytes: Vec<u8>,
    },
    /// The other end learns that the link is gone.
    LinkDown {
        link: u64,
    },
    HangUp {
        life: u64,
        conn: ConnId,
    },
    Connect {
        client: usize,
    },
    Commit {
        life: u64,
        force: bool,
    },
    Load {
        life: u64,
        load: LoadId,
        request: LoadRequest,
    },
    Spool {
        life: u64,
        op: SpoolOp,
    },
    /// Clients act, timers run.
    Pulse,
    Cut,
    Crash {
        power: bool,
    },
    Start,
}

/// One TCP connection.
struct Link {
    client: usize,
    conn: ConnId,
    /// When the last bytes in each direction arrive: they keep their order.
    to_broker: Instant,
    to_client: Instant,
}

/// Everything there is in one run.
pub(crate) struct World {
    agenda: Agenda<Event>,
    dice: SeededEntropy,
    saboteur: Saboteur,
    pub(crate) oracle: Oracle,
    disk: SimDisk,
    node: Option<Node>,
    /// Counts the processes, so that what belongs to a dead one is told.
    life: u64,
    clients: Vec<Client>,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    /// Consumers by number that have been ready once: durable subscriptions exist.
    subscribed: BTreeSet<u32>,
    faults_over: bool,
    pub(crate) crashes: u64,
}

impl World {
    pub(crate) fn new(plan: &Plan, mut dice: SeededEntropy) -> Self {
        let saboteur = Saboteur::new(plan.planted, dice.split());
        let disk = SimDisk::seeded(dice.next_u64());
        let mut world = Self {
            agenda: Agenda::new(),
            dice,
            saboteur,
            oracle: Oracle::default(),
            disk,
            node: None,
            life: 0,
            clients: plan.clients(),
            links: BTreeMap::new(),
            next_link: 0,
            subscribed: BTreeSet::new(),
            faults_over: false,
            crashes: 0,
        };
        world.start();
        for client in 0..world.clients.len() {
            world.agenda.after(Duration::from_micros(100), Event::Connect { client });
        }
        world.agenda.after(PULSE, Event::Pulse);
        for _ in 0..plan.cuts {
            let at = world.within(plan.duration);
            world.agenda.after(at, Event::Cut);
        }
        for _ in 0..plan.crashes {
            let (at, power) = (world.within(plan.duration), world.dice.chance(1, 2));
            world.agenda.after(at, Event::Crash { power });
        }
        world
    }

    fn now(&self) -> Now {
        self.agenda.now()
    }

    fn within(&mut self, span: Duration) -> Duration {
        within(span, &mut self.dice)
    }

    /// Runs until everything is sent and drained, or it is clear that this will never be.
    pub(crate) fn run(&mut self, faults_until: Duration) {
        let mut course = Course::new(self.agenda.instant() + faults_until, MAX_STEPS);
        while let Some(event) = self.agenda.next() {
            self.step(event);
            let now = self.agenda.instant();
            if course.is_past_faults(now) && self.node.is_some() {
                self.faults_over = true;
            }
            let sent = self.faults_over && self.clients.iter().all(Client::is_done);
            match course.judge(now, sent, sent && self.oracle.settled()) {
                Verdict::GoesOn => {}
                Verdict::Drained => return self.check_books(),
                Verdict::Stuck(text) => return self.oracle.accuse("progress", text),
            }
        }
    }

    fn check_books(&mut self) {
        if let Some(Err(text)) = self.node.as_ref().map(Node::check) {
            self.oracle.accuse("conservation", text);
        }
    }

    fn step(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Pulse => self.pulse(),
            Event::Connect { client } => self.connect(client),
            Event::ToBroker { link, bytes } => {
                if let (Some(link), Some(node)) = (self.links.get(&link), &mut self.node) {
                    node.receive(link.conn, &bytes, now, &mut self.dice, &mut self.saboteur);
                }
            }
            Event::ToClient { link, bytes } => {
                if let Some(client) = self.links.get(&link).map(|link| link.client) {
                    let heard = self.clients[client].received(&bytes, &mut self.oracle, &mut self.dice);
                    if let Err(error) = heard {
                        self.oracle
                            .accuse("honesty", format!("a client could not read what it was sent: {error}"));
                    }
                    self.act(client);
                }
            }
            Event::LinkDown { link } => self.link_down(link),
            Event::HangUp { life, conn } => {
                if let (true, Some(node)) = (life == self.life, &mut self.node) {
                    node.hang_up(conn, now, &mut self.dice, &mut self.saboteur);
                }
            }
            Event::Commit { life, force } if life == self.life => {
                let done = self
                    .node
                    .as_mut()
                    .map(|node| node.commit(force, now, &mut self.dice, &mut self.saboteur));
                if let Some(Err(error)) = done {
                    self.oracle.accuse("honesty", format!("the store failed without a fault: {error}"));
                    self.crash(false);
                }
            }
            Event::Load { life, load, request } if life == self.life => {
                let done = self
                    .node
                    .as_mut()
                    .map(|node| node.load(load, &request, now, &mut self.dice, &mut self.saboteur));
                if let Some(Err(error)) = done {
                    self.oracle
                        .accuse("honesty", format!("the store could not read without a fault: {error}"));
                }
            }
            Event::Spool { life, op } if life == self.life => {
                if let Some(node) = &mut self.node {
                    node.spool(op, now, &mut self.dice, &mut self.saboteur);
                }
            }
            Event::Commit { .. } | Event::Load { .. } | Event::Spool { .. } => {}
            Event::Cut => self.cut(),
            Event::Crash { power } => self.crash(power),
            Event::Start => self.start(),
        }
        self.run_errands();
    }

    fn pulse(&mut self) {
        let now = self.now();
        if let Some(node) = &mut self.node {
            node.tick(now, &mut self.dice, &mut self.saboteur);
        }
        for client in 0..self.clients.len() {
            self.act(client);
            if self.dice.chance(1, 50) || self.faults_over {
                let flushed = self.clients[client].flush(&mut self.oracle, &mut self.dice);
                self.report(flushed);
                self.transmit(client);
            }
        }
        self.agenda.after(PULSE, Event::Pulse);
    }

    fn report(&mut self, done: Result<(), ferromq_openwire::Error>) {
        if let Err(error) = done {
            self.oracle.accuse("honesty", format!("a client could not encode: {error}"));
        }
    }

    /// Lets a client do what it can; producers wait until every durable subscription exists.
    fn act(&mut self, client: usize) {
        let number = self.clients[client].number;
        if self.clients[client].is_consumer() && self.clients[client].is_ready() {
            self.subscribed.insert(number);
        }
        let consumers = self.clients.iter().filter(|client| client.is_consumer()).count();
        if self.subscribed.len() == consumers {
            // A bound, since a client without answers would send its whole task at once.
            for _ in 0..8 {
                match self.clients[client].act(&mut self.oracle, &mut self.dice) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return self.report(Err(error)),
                }
            }
        }
        self.transmit(client);
    }

    fn transmit(&mut self, client: usize) {
        let bytes = self.clients[client].take_out();
        let Some((number, _)) = self.links.iter().find(|(_, link)| link.client == client) else { return };
        let number = *number;
        if !bytes.is_empty() {
            let delay = Duration::from_micros(20 + self.dice.below(300));
            let Some(link) = self.links.get_mut(&number) else { return };
            link.to_broker = link.to_broker.max(self.agenda.instant() + delay);
            let at = link.to_broker;
            self.agenda.at(at, Event::ToBroker { link: number, bytes });
        }
    }

    fn connect(&mut self, client: usize) {
        if self.clients[client].is_connected() {
            return;
        }
        let now = self.now();
        let Some(node) = &mut self.node else {
            return self.agenda.after(Duration::from_millis(10), Event::Connect { client });
        };
        self.next_link += 1;
        let (number, conn) = (self.next_link, ConnId(self.next_link));
        node.accept(conn, now, &mut self.dice, &mut self.saboteur);
        self.links.insert(
            number,
            Link { client, conn, to_broker: self.agenda.instant(), to_client: self.agenda.instant() },
        );
        let done = self.clients[client].connected();
        self.report(done);
        self.transmit(client);
    }

    /// The client's end of a link learns that it is gone.
    fn link_down(&mut self, number: u64) {
        let Some(link) = self.links.remove(&number) else { return };
        self.clients[link.client].lost(&mut self.oracle);
        let delay = Duration::from_micros(self.dice.below(20_000));
        self.agenda.after(delay, Event::Connect { client: link.client });
    }

    /// A link breaks; the broker may learn of it before the client does, or after the client has come back.
    fn cut(&mut self) {
        let Some(nth) = (!self.links.is_empty()).then(|| self.dice.below(self.links.len() as u64)) else {
            return;
        };
        let Some((number, link)) = usize::try_from(nth).ok().and_then(|nth| self.links.iter().nth(nth))
        else {
            return;
        };
        let (link, conn, life) = (*number, link.conn, self.life);
        let (broker, client) =
            (self.within(Duration::from_millis(30)), self.within(Duration::from_millis(3)));
        self.agenda.after(broker, Event::HangUp { life, conn });
        self.agenda.after(client, Event::LinkDown { link });
    }

    /// The process dies, or the whole machine does.
    fn crash(&mut self, power: bool) {
        let Some(mut node) = self.node.take() else { return };
        self.crashes += 1;
        self.life += 1;
        self.oracle.lost_memory();
        if power {
            node.commit_interrupted(&mut self.saboteur);
            drop(node);
            let seed = self.dice.next_u64();
            self.disk = self.disk.crash(Crash::Seeded(seed));
        } else {
            if self.dice.chance(1, 2) {
                node.commit_interrupted(&mut self.saboteur);
            }
            drop(node);
            self.disk = self.disk.kill();
        }
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.link_down(link);
        }
        let delay = Duration::from_micros(1_000 + self.dice.below(20_000));
        self.agenda.after(delay, Event::Start);
    }

    fn start(&mut self) {
        if self.node.is_some() {
            return;
        }
        match Node::start(&self.disk, self.now(), &mut self.dice, &mut self.saboteur) {
            Ok(node) => self.node = Some(node),
            Err(error) => self
                .oracle
                .accuse("durable-before-reply", format!("the broker does not start again: {error}")),
        }
    }

    fn run_errands(&mut self) {
        let errands = self.node.as_mut().map(|node| std::mem::take(&mut node.errands)).unwrap_or_default();
        let life = self.life;
        for errand in errands {
            match errand {
                Errand::Commit { at, force } => self.agenda.at(at, Event::Commit { life, force }),
                Errand::Load { at, load, request } => self.agenda.at(at, Event::Load { life, load, request }),
                Errand::Spool { at, op } => self.agenda.at(at, Event::Spool { life, op }),
                Errand::Peer(ToPeer::Send { conn, bytes }) => {
                    let delay = Duration::from_micros(20 + self.dice.below(300));
                    let Some((number, link)) = self.links.iter_mut().find(|(_, link)| link.conn == conn)
                    else {
                        continue;
                    };
                    link.to_client = link.to_client.max(self.agenda.instant() + delay);
                    let (at, link) = (link.to_client, *number);
                    self.agenda.at(at, Event::ToClient { link, bytes });
                }
                Errand::Peer(ToPeer::Close { conn }) => {
                    if let Some((number, link)) = self.links.iter().find(|(_, link)| link.conn == conn) {
                        let (at, link) = (link.to_client, *number);
                        self.agenda.at(at, Event::LinkDown { link });
                    }
                }
            }
        }
    }
}

//! [`World`]: virtual time, the network between all, and the faults that a seed plans.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ferromq_bridge::Order;
use ferromq_engine::{ConnId, LoadId, LoadRequest};
use ferromq_env::Entropy;
use ferromq_env::simulated::{Crash, SeededEntropy, SimDisk};
use ferromq_model::{Instant, Now};
use ferromq_openwire::WireFormatOptions;
use ferromq_store::spool::SpoolOp;

use super::Plan;
use super::link::Link;
use crate::agenda::{Agenda, Course, Verdict, within};
use crate::client::Client;
use crate::front::{Identity, ToPeer};
use crate::node::{Errand, Node};
use crate::oracle::Oracle;
use crate::saboteur::Saboteur;
use crate::wire::Wire;

/// A run that has made so many steps goes in circles.
const MAX_STEPS: u64 = 4_000_000;
/// How often things that wait for nothing in particular are looked at.
const PULSE: Duration = Duration::from_millis(2);

enum Event {
    ToBroker {
        conn: u64,
        bytes: Vec<u8>,
    },
    ToPeer {
        conn: u64,
        bytes: Vec<u8>,
    },
    /// The peer's end learns that the connection is gone.
    PeerLost {
        conn: u64,
    },
    /// The broker's end does.
    HangUp {
        conn: u64,
    },
    Client {
        client: usize,
    },
    Link {
        link: usize,
    },
    Commit {
        host: usize,
        life: u64,
        force: bool,
    },
    Load {
        host: usize,
        life: u64,
        load: LoadId,
        request: LoadRequest,
    },
    Spool {
        host: usize,
        life: u64,
        op: SpoolOp,
    },
    Pulse,
    Cut,
    Crash,
    Move,
    Start {
        host: usize,
    },
}

/// A broker, alive or not.
struct Host {
    disk: SimDisk,
    node: Option<Node>,
    /// Counts the processes, so that what belongs to a dead one is told.
    life: u64,
    identity: Identity,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Client(usize),
    Link(usize),
}

struct Conn {
    host: usize,
    life: u64,
    owner: Owner,
    /// Of a link; clients have their own.
    wire: Option<Wire>,
    /// The peer knows that it is gone; what is on its way to the broker may arrive all the same.
    lost: bool,
    to_broker: Instant,
    to_peer: Instant,
}

pub(crate) struct World {
    agenda: Agenda<Event>,
    dice: SeededEntropy,
    saboteur: Saboteur,
    pub(crate) oracle: Oracle,
    hosts: Vec<Host>,
    links: Vec<Link>,
    clients: Vec<(usize, Client)>,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    /// Clients that have been ready once.
    seen: BTreeSet<usize>,
    faults_over: bool,
    pub(crate) crashes: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, mut dice: SeededEntropy) -> Self {
        let mut saboteur = Saboteur::new(None, dice.split());
        saboteur.link_bug = plan.bug;
        let hosts = (0..plan.hosts).map(|host| Host {
            disk: SimDisk::seeded(dice.next_u64()),
            node: None,
            life: 0,
            identity: Identity::numbered(host),
        });
        let hosts: Vec<Host> = hosts.collect();
        let pairs = (0..plan.hosts).flat_map(|from| (0..plan.hosts).map(move |to| (from, to)));
        let links = pairs.filter(|(from, to)| from != to).map(|(from, to)| Link::new(from, to, plan.bug));
        let links: Vec<Link> = links.collect();
        let mut world = Self {
            agenda: Agenda::new(),
            dice,
            saboteur,
            oracle: Oracle::default(),
            hosts,
            links,
            clients: plan.clients,
            conns: BTreeMap::new(),
            next_conn: 0,
            seen: BTreeSet::new(),
            faults_over: false,
            crashes: 0,
        };
        for host in 0..world.hosts.len() {
            world.start(host);
        }
        for link in 0..world.links.len() {
            world.agenda.after(Duration::from_micros(50), Event::Link { link });
        }
        for client in 0..world.clients.len() {
            world.agenda.after(Duration::from_micros(100), Event::Client { client });
        }
        world.agenda.after(PULSE, Event::Pulse);
        for _ in 0..plan.cuts {
            let at = world.within(plan.duration);
            world.agenda.after(at, Event::Cut);
        }
        for _ in 0..plan.crashes {
            let at = world.within(plan.duration);
            world.agenda.after(at, Event::Crash);
        }
        for _ in 0..plan.moves {
            let at = world.within(plan.duration);
            world.agenda.after(at, Event::Move);
        }
        world
    }

    fn now(&self) -> Now {
        self.agenda.now()
    }

    fn within(&mut self, span: Duration) -> Duration {
        within(span, &mut self.dice)
    }

    fn any(&mut self, of: usize) -> usize {
        usize::try_from(self.dice.below(u64::try_from(of).unwrap_or(1).max(1))).unwrap_or(0)
    }

    /// Runs until everything is sent and drained, or it is clear that this will never be.
    pub(crate) fn run(&mut self, faults_until: Duration) {
        let mut course = Course::new(self.agenda.instant() + faults_until, MAX_STEPS);
        while let Some(event) = self.agenda.next() {
            self.step(event);
            let now = self.agenda.instant();
            if course.is_past_faults(now) && self.hosts.iter().all(|host| host.node.is_some()) {
                self.faults_over = true;
            }
            let sent = self.faults_over && self.clients.iter().all(|(_, client)| client.is_done());
            match course.judge(now, sent, sent && self.oracle.settled()) {
                Verdict::GoesOn => {}
                Verdict::Drained => return self.check_books(),
                Verdict::Stuck(text) => return self.oracle.accuse("progress", text),
            }
        }
    }

    fn check_books(&mut self) {
        for host in &self.hosts {
            if let Some(Err(text)) = host.node.as_ref().map(Node::check) {
                self.oracle.accuse("conservation", text);
            }
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Pulse => self.pulse(),
            Event::Client { client } => self.connect_client(client),
            Event::Link { link } => self.connect_link(link),
            Event::ToBroker { conn, bytes } => self.with_node_of(conn, |node, id, now, dice, saboteur| {
                node.receive(id, &bytes, now, dice, saboteur);
            }),
            Event::HangUp { conn } => {
                self.with_node_of(conn, |node, id, now, dice, saboteur| {
                    node.hang_up(id, now, dice, saboteur)
                });
                self.peer_lost(conn);
                self.conns.remove(&conn);
            }
            Event::ToPeer { conn, bytes } => self.hear(conn, &bytes),
            Event::PeerLost { conn } => self.peer_lost(conn),
            Event::Commit { host, life, force } => {
                let done = self.with_node(host, life, |node, now, dice, saboteur| {
                    node.commit(force, now, dice, saboteur)
                });
                if let Some(Err(error)) = done {
                    self.oracle.accuse("honesty", format!("the store failed without a fault: {error}"));
                    self.crash(host, false);
                }
            }
            Event::Load { host, life, load, request } => {
                let done = self.with_node(host, life, |node, now, dice, saboteur| {
                    node.load(load, &request, now, dice, saboteur)
                });
                if let Some(Err(error)) = done {
                    self.oracle
                        .accuse("honesty", format!("the store could not read without a fault: {error}"));
                }
            }
            Event::Spool { host, life, op } => {
                self.with_node(host, life, |node, now, dice, saboteur| node.spool(op, now, dice, saboteur));
            }
            Event::Cut => self.cut(),
            Event::Crash => {
                let (host, power) = (self.any(self.hosts.len()), self.dice.chance(1, 2));
                self.crash(host, power);
            }
            Event::Move => self.move_consumer(),
            Event::Start { host } => self.start(host),
        }
        for host in 0..self.hosts.len() {
            self.run_errands(host);
        }
    }

    fn with_node<T>(
        &mut self,
        host: usize,
        life: u64,
        work: impl FnOnce(&mut Node, Now, &mut SeededEntropy, &mut Saboteur) -> T,
    ) -> Option<T> {
        let now = self.now();
        let host = self.hosts.get_mut(host).filter(|host| host.life == life)?;
        Some(work(host.node.as_mut()?, now, &mut self.dice, &mut self.saboteur))
    }

    fn with_node_of(
        &mut self,
        conn: u64,
        work: impl FnOnce(&mut Node, ConnId, Now, &mut SeededEntropy, &mut Saboteur),
    ) {
        let Some((host, life)) = self.conns.get(&conn).map(|conn| (conn.host, conn.life)) else { return };
        self.with_node(host, life, |node, now, dice, saboteur| work(node, ConnId(conn), now, dice, saboteur));
    }

    fn pulse(&mut self) {
        for host in 0..self.hosts.len() {
            let life = self.hosts.get(host).map_or(0, |host| host.life);
            self.with_node(host, life, |node, now, dice, saboteur| node.tick(now, dice, saboteur));
        }
        for link in 0..self.links.len() {
            let now = self.agenda.instant();
            let orders = self.links.get_mut(link).map(|link| link.tick(now)).unwrap_or_default();
            self.carry_out(link, orders);
        }
        for client in 0..self.clients.len() {
            self.act(client);
            if (self.dice.chance(1, 50) || self.faults_over)
                && let Some((_, found)) = self.clients.get_mut(client)
            {
                let flushed = found.flush(&mut self.oracle, &mut self.dice);
                self.report(flushed);
                self.transmit_client(client);
            }
        }
        self.agenda.after(PULSE, Event::Pulse);
    }

    fn report(&mut self, done: Result<(), ferromq_openwire::Error>) {
        if let Err(error) = done {
            self.oracle.accuse("honesty", format!("a peer could not encode or read: {error}"));
        }
    }

    /// Lets a client do what it can; producers wait until everybody has been there.
    fn act(&mut self, client: usize) {
        if self.clients.get(client).is_some_and(|(_, client)| client.is_ready()) {
            self.seen.insert(client);
        }
        if self.seen.len() == self.clients.len() {
            for _ in 0..8 {
                let Some((_, found)) = self.clients.get_mut(client) else { break };
                match found.act(&mut self.oracle, &mut self.dice) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => return self.report(Err(error)),
                }
            }
        }
        self.transmit_client(client);
    }

    fn transmit_client(&mut self, client: usize) {
        let Some((_, found)) = self.clients.get_mut(client) else { return };
        let bytes = found.take_out();
        let mine = |conn: &Conn| conn.owner == Owner::Client(client) && !conn.lost;
        let Some(number) = self.conns.iter().find(|(_, conn)| mine(conn)).map(|(number, _)| *number) else {
            return;
        };
        self.transmit(number, bytes);
    }

    fn transmit(&mut self, number: u64, bytes: Vec<u8>) {
        let delay = Duration::from_micros(20 + self.dice.below(300));
        let Some(conn) = self.conns.get_mut(&number).filter(|_| !bytes.is_empty()) else { return };
        conn.to_broker = conn.to_broker.max(self.agenda.instant() + delay);
        let at = conn.to_broker;
        self.agenda.at(at, Event::ToBroker { conn: number, bytes });
    }

    /// A connection to a host, if it is up.
    fn connect(&mut self, host: usize, owner: Owner) -> Option<u64> {
        self.next_conn += 1;
        let number = self.next_conn;
        let life = self.hosts.get(host)?.life;
        self.with_node(host, life, |node, now, dice, saboteur| {
            node.accept(ConnId(number), now, dice, saboteur);
        })?;
        let (to_broker, to_peer) = (self.agenda.instant(), self.agenda.instant());
        self.conns.insert(number, Conn { host, life, owner, wire: None, lost: false, to_broker, to_peer });
        Some(number)
    }

    fn connect_client(&mut self, client: usize) {
        let Some((host, found)) = self.clients.get(client) else { return };
        if found.is_connected() {
            return;
        }
        if self.connect(*host, Owner::Client(client)).is_none() {
            return self.agenda.after(Duration::from_millis(10), Event::Client { client });
        }
        let Some((_, found)) = self.clients.get_mut(client) else { return };
        let done = found.connected();
        self.report(done);
        self.transmit_client(client);
    }

    fn connect_link(&mut self, number: usize) {
        let Some(link) = self.links.get(number).filter(|link| link.bridge.is_none()) else { return };
        let (from, to) = (link.from, link.to);
        let up = |host: usize| self.hosts.get(host).is_some_and(|host| host.node.is_some());
        if !up(from) || !up(to) {
            return self.agenda.after(Duration::from_millis(5), Event::Link { link: number });
        }
        let ends = [from, to].map(|host| self.connect(host, Owner::Link(number)));
        let [Some(local), Some(remote)] = ends else { return };
        for conn in [local, remote] {
            match Wire::open(WireFormatOptions::default()) {
                Ok(mut wire) => {
                    let greeting = wire.take_out();
                    if let Some(conn) = self.conns.get_mut(&conn) {
                        conn.wire = Some(wire);
                    }
                    self.transmit(conn, greeting);
                }
                Err(error) => self.report(Err(error)),
            }
        }
        if let Some(link) = self.links.get_mut(number) {
            link.begin(local, remote);
        }
    }

    /// Bytes reach a client or a bridge.
    fn hear(&mut self, number: u64, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&number).filter(|conn| !conn.lost) else { return };
        match conn.owner {
            Owner::Client(client) => {
                let Some((_, found)) = self.clients.get_mut(client) else { return };
                let heard = found.received(bytes, &mut self.oracle, &mut self.dice);
                self.report(heard);
                self.act(client);
            }
            Owner::Link(link) => {
                let commands = conn.wire.as_mut().map(|wire| wire.receive(bytes));
                let commands = match commands {
                    Some(Ok(commands)) => commands,
                    Some(Err(error)) => return self.report(Err(error)),
                    None => return,
                };
                for command in commands {
                    let now = self.agenda.instant();
                    let Some(found) = self.links.get_mut(link) else { return };
                    let side = found.side_of(number);
                    let orders = found.handle(side, command, now);
                    self.carry_out(link, orders);
                }
            }
        }
    }

    fn carry_out(&mut self, link: usize, orders: Vec<Order>) {
        for order in orders {
            let Some((local, remote)) = self.links.get(link).map(|link| (link.local, link.remote)) else {
                return;
            };
            match order {
                Order::Say(side, command) => {
                    let number = if side == ferromq_bridge::Side::Local { local } else { remote };
                    let open = self.conns.get_mut(&number).filter(|conn| !conn.lost);
                    let Some(wire) = open.and_then(|conn| conn.wire.as_mut()) else {
                        continue;
                    };
                    let said = wire.send(command);
                    let bytes = wire.take_out();
                    self.report(said);
                    self.transmit(number, bytes);
                }
                Order::End(_) => self.end_link(link),
                Order::Up | Order::Warn(_) => {}
            }
        }
    }

    /// A bridge is over: its connections are closed, and brokers notice sooner or later.
    fn end_link(&mut self, number: usize) {
        let Some(link) = self.links.get_mut(number) else { return };
        if link.bridge.take().is_none() {
            return;
        }
        for conn in [link.local, link.remote] {
            if let Some(found) = self.conns.get_mut(&conn) {
                found.lost = true;
                let delay = self.within(Duration::from_millis(30));
                self.agenda.after(delay, Event::HangUp { conn });
            }
        }
        let delay = self.within(Duration::from_millis(20));
        self.agenda.after(delay, Event::Link { link: number });
    }

    /// The peer's end of a connection learns that it is gone.
    fn peer_lost(&mut self, number: u64) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        if std::mem::replace(&mut conn.lost, true) {
            return;
        }
        match conn.owner {
            Owner::Client(client) => {
                if let Some((_, found)) = self.clients.get_mut(client) {
                    found.lost(&mut self.oracle);
                }
                let delay = self.within(Duration::from_millis(20));
                self.agenda.after(delay, Event::Client { client });
            }
            Owner::Link(link) => self.end_link(link),
        }
    }

    /// A connection breaks; the broker may learn of it before its peer does, or after that has come back.
    fn cut(&mut self) {
        let nth = self.any(self.conns.len());
        let Some(conn) = self.conns.keys().nth(nth).copied() else { return };
        let (broker, peer) = (self.within(Duration::from_millis(30)), self.within(Duration::from_millis(3)));
        self.agenda.after(broker, Event::HangUp { conn });
        self.agenda.after(peer, Event::PeerLost { conn });
    }

    /// A consumer goes to another broker.
    fn move_consumer(&mut self) {
        let consumers: Vec<usize> = (0..self.clients.len())
            .filter(|client| self.clients.get(*client).is_some_and(|(_, client)| client.is_consumer()))
            .collect();
        let (nth, host) = (self.any(consumers.len()), self.any(self.hosts.len()));
        let Some(client) = consumers.get(nth).copied() else { return };
        if let Some((at, _)) = self.clients.get_mut(client) {
            *at = host;
        }
        let mine = |conn: &Conn| conn.owner == Owner::Client(client) && !conn.lost;
        let Some(conn) = self.conns.iter().find(|(_, conn)| mine(conn)).map(|(number, _)| *number) else {
            return;
        };
        self.peer_lost(conn);
        let delay = self.within(Duration::from_millis(10));
        self.agenda.after(delay, Event::HangUp { conn });
    }

    /// A process dies, or its machine does.
    fn crash(&mut self, host: usize, power: bool) {
        let Some(found) = self.hosts.get_mut(host) else { return };
        let Some(mut node) = found.node.take() else { return };
        self.crashes += 1;
        found.life += 1;
        if power || self.dice.chance(1, 2) {
            node.commit_interrupted(&mut self.saboteur);
        }
        drop(node);
        found.disk =
            if power { found.disk.crash(Crash::Seeded(self.dice.next_u64())) } else { found.disk.kill() };
        let gone: Vec<u64> =
            self.conns.iter().filter(|(_, conn)| conn.host == host).map(|(number, _)| *number).collect();
        for conn in gone {
            self.peer_lost(conn);
            self.conns.remove(&conn);
        }
        let delay = Duration::from_micros(1_000 + self.dice.below(20_000));
        self.agenda.after(delay, Event::Start { host });
    }

    fn start(&mut self, number: usize) {
        let now = self.now();
        let Some(host) = self.hosts.get_mut(number).filter(|host| host.node.is_none()) else { return };
        let identity = host.identity.clone();
        match Node::start_as(identity, &host.disk, now, &mut self.dice, &mut self.saboteur) {
            Ok(node) => host.node = Some(node),
            Err(error) => {
                self.oracle.accuse("durable-before-reply", format!("a broker does not start again: {error}"))
            }
        }
    }

    fn run_errands(&mut self, host: usize) {
        let Some(found) = self.hosts.get_mut(host) else { return };
        let life = found.life;
        let errands = found.node.as_mut().map(|node| std::mem::take(&mut node.errands)).unwrap_or_default();
        for errand in errands {
            match errand {
                Errand::Commit { at, force } => self.agenda.at(at, Event::Commit { host, life, force }),
                Errand::Spool { at, op } => self.agenda.at(at, Event::Spool { host, life, op }),
                Errand::Load { at, load, request } => {
                    self.agenda.at(at, Event::Load { host, life, load, request })
                }
                Errand::Peer(ToPeer::Send { conn, bytes }) => {
                    let delay = Duration::from_micros(20 + self.dice.below(300));
                    let Some(found) = self.conns.get_mut(&conn.0) else { continue };
                    found.to_peer = found.to_peer.max(self.agenda.instant() + delay);
                    let at = found.to_peer;
                    self.agenda.at(at, Event::ToPeer { conn: conn.0, bytes });
                }
                Errand::Peer(ToPeer::Close { conn }) => {
                    if let Some(found) = self.conns.get(&conn.0) {
                        let at = found.to_peer;
                        self.agenda.at(at, Event::PeerLost { conn: conn.0 });
                    }
                }
            }
        }
    }
}

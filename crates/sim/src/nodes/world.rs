//! [`World`]: virtual time for all nodes, their threads, and the faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ferromq_engine::{ConnId, Input};
use ferromq_env::simulated::{SeededEntropy, SimDisk, StaleDisk, Staleness};
use ferromq_env::{Clock, Disk, Entropy};
use ferromq_lock::{Acquired, Timings};
use ferromq_model::{Instant, Now};

use super::database::Database;
use super::faults::{self, Blow, Fault};
use super::gate::Halt;
use super::keeper::{Keeper, News};
use super::member::{Lane, Member, MemberClock, Process, Role, Running, Side};
use super::traffic::Link;
use super::worker::{self, Answer, Making, Order, Place, Stand};
use super::{Conditions, Mishaps, NodeBug, NodesReport};
use crate::client::Client;
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::saboteur::Saboteur;

/// The one setting of all nodes.
const TAKEOVER_AFTER: Duration = Duration::from_millis(500);

/// After a reign that failed others have the first try for so long.
pub(super) const REST: Duration = Duration::from_secs(1);

/// Faults begin within this time.
const FAULTS_WITHIN: Duration = Duration::from_millis(3_500);

/// After the last fault everything has to be sent and drained within this time.
const PROGRESS_WITHIN: Duration = Duration::from_secs(15);

/// How often clients and timers are looked at, and how often a lease.
const PULSE: Duration = Duration::from_millis(4);
const KEEP: Duration = Duration::from_millis(8);

/// How long a settled run goes on, so that what should not come has time to come.
const LINGER: Duration = Duration::from_millis(1_500);

/// A run that has made so many steps goes in circles.
const MAX_STEPS: u64 = 300_000;

pub(super) enum Event {
    Start {
        member: usize,
    },
    /// The thread of the lease is looked at, and what the store waits for.
    Keep {
        member: usize,
        life: u64,
    },
    /// A thread is done, and told so.
    Ready {
        member: usize,
        life: u64,
        side: Side,
    },
    /// A thread that stands at the gate goes on.
    Resume {
        member: usize,
        life: u64,
        side: Side,
    },
    /// A disk answers again.
    Heal {
        member: usize,
        life: u64,
    },
    Fault(Fault),
    Pulse,
    ToBroker {
        link: u64,
        bytes: Vec<u8>,
    },
    ToClient {
        link: u64,
        bytes: Vec<u8>,
    },
    /// The client's end, or the broker's, learns that the link is gone.
    LinkDown {
        link: u64,
    },
    HangUp {
        member: usize,
        life: u64,
        conn: ConnId,
    },
    Connect {
        client: usize,
    },
}

/// Everything there is in one run.
pub(super) struct World {
    pub(super) now: Instant,
    order: u64,
    events: BTreeMap<(Instant, u64), Event>,
    pub(super) dice: SeededEntropy,
    pub(super) saboteur: Saboteur,
    pub(super) oracle: Oracle,
    pub(super) conditions: Conditions,
    timings: Timings,
    world_ns: Arc<AtomicU64>,
    /// Operations of the shared disk by all nodes.
    pub(super) ops: Arc<AtomicU64>,
    pub(super) members: Vec<Member>,
    pub(super) clients: Vec<Client>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) next_link: u64,
    pub(super) next_member: Vec<usize>,
    pub(super) subscribed: BTreeSet<u32>,
    pub(super) faults_left: usize,
    pub(super) faults_over: bool,
    /// Since when nobody serves.
    pub(super) unserved_since: Option<Instant>,
    /// Who won which epoch, and after how many operations of all disks.
    pub(super) grants: BTreeMap<u64, (usize, u64)>,
    /// Locks were forgotten: two may serve for the time of a lease, and only what they store must stay single.
    pub(super) locks_lied: bool,
    pub(super) database: Option<Database>,
    /// When the database went back.
    pub(super) forgot_at: Option<Instant>,
    pub(super) report: NodesReport,
}

impl World {
    pub(super) fn new(plan: &Plan, conditions: Conditions, mut dice: SeededEntropy) -> Self {
        let saboteur = Saboteur::new(None, dice.split());
        let shared = SimDisk::seeded(dice.next_u64());
        let world_ns = Arc::new(AtomicU64::new(0));
        let members = 2 + dice.below(2);
        let mut member = |number: u64| Member {
            name: format!("node {number}"),
            clock: MemberClock {
                world_ns: Arc::clone(&world_ns),
                rate: 960 + dice.below(81),
                wall_step_ms: Arc::new(AtomicI64::new(0)),
            },
            disk: shared.another_process(),
            process: None,
            life: 0,
            paused_until: Instant(0),
            troubled_until: Instant(0),
            blow: None,
            able_since: None,
        };
        let members: Vec<_> = (0..members).map(&mut member).collect();
        let clients = plan.clients();
        let mut world = Self {
            now: Instant(1_000_000_000),
            order: 0,
            events: BTreeMap::new(),
            saboteur,
            oracle: Oracle::default(),
            conditions,
            timings: Timings::from_takeover_after(TAKEOVER_AFTER).unwrap_or_default(),
            world_ns,
            ops: Arc::default(),
            next_member: clients.iter().map(|_| 0).collect(),
            members,
            clients,
            links: BTreeMap::new(),
            next_link: 0,
            subscribed: BTreeSet::new(),
            faults_left: 0,
            faults_over: false,
            unserved_since: None,
            grants: BTreeMap::new(),
            locks_lied: false,
            database: conditions.database.then(Database::default),
            forgot_at: None,
            report: NodesReport::default(),
            dice,
        };
        for member in 0..world.members.len() {
            let delay = world.within(Duration::from_millis(80));
            world.after(delay, Event::Start { member });
        }
        for client in 0..world.clients.len() {
            world.after(Duration::from_millis(1), Event::Connect { client });
        }
        world.after(PULSE, Event::Pulse);
        let faults = faults::draw(&mut world.dice, FAULTS_WITHIN, conditions);
        world.faults_left = faults.len();
        for (at, fault) in faults {
            world.after(at, Event::Fault(fault));
        }
        world
    }

    /// What came of it.
    pub(super) fn report(self, seed: u64) -> NodesReport {
        let (sent, delivered) = self.oracle.counts();
        let forgets = self.conditions.mishaps == Mishaps::Forgetfulness;
        let mut violations = self.oracle.verdict();
        // What the database lost is lost; the nodes have to say so, and to stop.
        violations.retain(|violation| !forgets || violation.invariant == "honesty");
        NodesReport { seed, sent, delivered, violations, ..self.report }
    }

    pub(super) fn within(&mut self, span: Duration) -> Duration {
        Duration::from_micros(self.dice.below(u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1)))
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(super) fn at(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.insert((at.max(self.now), self.order), event);
    }

    /// Runs until everything is sent and drained, and one master is left.
    pub(super) fn run(&mut self) {
        let end_of_faults = self.now + FAULTS_WITHIN;
        let (mut quiet_since, mut settled_since) = (None, None);
        for _ in 0..MAX_STEPS {
            let Some(((at, _), event)) = self.events.pop_first() else { return };
            self.now = at;
            self.world_ns.store(at.0, Ordering::SeqCst);
            self.step(event);
            if self.watch_database() {
                return;
            }
            if self.now >= end_of_faults && self.faults_left == 0 && !self.faults_over {
                self.disarm();
            }
            let whole = self.members.iter().all(|member| member.is_able(self.now) && member.blow.is_none());
            self.faults_over =
                self.faults_over || (self.now >= end_of_faults && self.faults_left == 0 && whole);
            if !self.faults_over {
                continue;
            }
            let quiet: Instant = *quiet_since.get_or_insert(self.now);
            if self.clients.iter().all(Client::is_done) && self.oracle.settled() {
                let since: Instant = *settled_since.get_or_insert(self.now);
                if self.now >= since + LINGER {
                    return self.check_end();
                }
            } else {
                settled_since = None;
                if self.now >= quiet + PROGRESS_WITHIN {
                    let text = format!("not sent and drained {PROGRESS_WITHIN:?} after the last fault");
                    return self.oracle.accuse("progress", text);
                }
            }
        }
        self.oracle.accuse("progress", format!("no end after {MAX_STEPS} steps"));
    }

    /// What waits for an operation that an idle node never does is given up.
    fn disarm(&mut self) {
        for member in &mut self.members {
            if member.blow.take().is_some()
                && let Some(process) = &mut member.process
            {
                process.store.worker.gate.rules().stop_at = None;
                process.lease.worker.gate.rules().stop_at = None;
            }
        }
    }

    fn step(&mut self, event: Event) {
        let member = match &event {
            Event::Keep { member, .. }
            | Event::Ready { member, .. }
            | Event::Resume { member, .. }
            | Event::HangUp { member, .. } => Some(*member),
            Event::ToBroker { link, .. } => self.links.get(link).map(|link| link.member),
            _ => None,
        };
        // Nothing happens in a process that stands still.
        if let Some(until) = member.map(|member| self.members[member].paused_until)
            && until > self.now
        {
            return self.at(until, event);
        }
        match event {
            // Whoever lost power while it was down comes back once.
            Event::Start { member } if self.members[member].process.is_some() => {}
            Event::Start { member } => self.start(member),
            Event::Keep { member, life } if self.lives(member, life) => {
                self.keep(member);
                self.after(KEEP, Event::Keep { member, life });
            }
            Event::Ready { member, life, side } if self.lives(member, life) => self.ready(member, side),
            Event::Resume { member, life, side } if self.lives(member, life) => {
                let stand = self.process(member).and_then(|process| {
                    let lane = process.lane(side);
                    lane.stalled = false;
                    lane.worker.resume()
                });
                self.stands(member, side, stand);
            }
            Event::Heal { member, life } if self.lives(member, life) => self.heal(member),
            Event::Keep { .. } | Event::Ready { .. } | Event::Resume { .. } | Event::Heal { .. } => {}
            Event::Fault(fault) => {
                self.faults_left -= 1;
                self.fault(fault);
            }
            Event::Pulse => {
                self.pulse();
                self.watch_gap();
                self.after(PULSE, Event::Pulse);
            }
            Event::ToBroker { link, bytes } => self.reach_broker(link, &bytes),
            Event::ToClient { link, bytes } => self.reach_client(link, &bytes),
            Event::LinkDown { link } => self.link_down(link),
            Event::HangUp { member, life, conn } => {
                if self.lives(member, life) {
                    self.serve(member, |front, now, saboteur| front.hang_up(conn, now, saboteur));
                }
            }
            Event::Connect { client } => self.connect(client),
        }
    }

    fn lives(&self, member: usize, life: u64) -> bool {
        self.members[member].process.is_some() && self.members[member].life == life
    }

    pub(super) fn process(&mut self, member: usize) -> Option<&mut Process> {
        self.members[member].process.as_mut()
    }

    pub(super) fn local(&self, member: usize) -> Now {
        self.members[member].clock.now()
    }

    /// The time by which leases are judged.
    pub(super) fn lease_time(&self, member: usize) -> Instant {
        let now = self.local(member);
        if self.conditions.bug == Some(NodeBug::WallClock) {
            return Instant(now.wall.0.unsigned_abs() * 1_000_000);
        }
        now.mono
    }

    fn start(&mut self, number: usize) {
        let bug = self.conditions.bug;
        let member = &mut self.members[number];
        member.life += 1;
        let clock: Arc<dyn Clock> = Arc::new(member.clock.clone());
        let mut disk: Arc<dyn Disk> = Arc::new(member.disk.clone());
        if let Some(lasts) = self.conditions.stale {
            let staleness = Staleness { lasts, names: self.conditions.stale_names };
            disk = Arc::new(StaleDisk::new(disk, Arc::clone(&clock), staleness));
        }
        let mut making = || Making {
            place: match &self.database {
                Some(database) => Place::Database(database.clone(), number),
                None => Place::Folder(Arc::clone(&disk)),
            },
            clock: Arc::clone(&clock),
            ops: Arc::clone(&self.ops),
            bug,
            dice: self.dice.split(),
        };
        let store = worker::store(making());
        let lease = worker::lease(making(), &member.name, self.timings);
        member.process = Some(Process {
            store: Lane::new(store),
            lease: Lane::new(lease),
            keeper: Keeper::new(self.timings, bug),
            role: Role::Standby,
            reign: 0,
            has_followed: false,
        });
        let life = member.life;
        self.after(Duration::ZERO, Event::Keep { member: number, life });
    }

    /// The rhythm of a node: its lease, and what its store waits for.
    fn keep(&mut self, number: usize) {
        let now = self.lease_time(number);
        let never = self.conditions.bug == Some(NodeBug::NeverStepsDown);
        let Some(process) = self.process(number) else { return };
        if !process.has_followed {
            if process.store.is_idle() {
                process.store.waiting.push_back(Order::Follow);
            }
            return self.go_on(number, Side::Store);
        }
        let over = !matches!(process.role, Role::Standby) && !process.keeper.is_valid(now);
        if over && !never {
            return self.step_down(number, Duration::ZERO);
        }
        if process.lease.is_idle() {
            match process.keeper.step(now) {
                Ok(Some(order)) => process.lease.waiting.push_back(order),
                Ok(None) => {}
                Err(_) => return self.step_down(number, Duration::ZERO),
            }
        }
        self.go_on(number, Side::Lease);
        let local = self.local(number);
        let Some(process) = self.process(number) else { return };
        let idle = process.store.is_idle();
        match &mut process.role {
            Role::Standby if idle => process.store.waiting.push_back(Order::Follow),
            Role::Active(reign) if idle && reign.lazy_due.is_some_and(|due| due <= local.mono) => {
                reign.lazy_due = None;
                let batches = std::mem::take(&mut reign.gathered);
                process.store.waiting.push_back(Order::Commit { batches, force: true });
            }
            _ => {}
        }
        self.go_on(number, Side::Store);
        self.serve(number, |front, now, saboteur| front.tick(now, saboteur));
    }

    /// Hands the next order to a thread that has nothing to do.
    pub(super) fn go_on(&mut self, number: usize, side: Side) {
        let ops_before = self.ops.load(Ordering::SeqCst);
        let Some(process) = self.process(number) else { return };
        let reign = process.reign;
        if side == Side::Store
            && process.store.is_idle()
            && let Role::Active(master) = &mut process.role
            && !master.gathered.is_empty()
        {
            let batches = std::mem::take(&mut master.gathered);
            process.store.waiting.push_back(Order::Commit { batches, force: false });
        }
        let lane = process.lane(side);
        if lane.running.is_some() {
            return;
        }
        let Some(order) = lane.waiting.pop_front() else { return };
        lane.running = Some(Running { reign, ops_before, answer: None });
        let stand = lane.worker.start(order);
        self.stands(number, side, stand);
    }

    /// A thread is done, or stands at its gate.
    fn stands(&mut self, member: usize, side: Side, stand: Option<Stand>) {
        let life = self.members[member].life;
        match stand {
            Some(Stand::Done(answer)) => {
                if let Some(running) =
                    self.process(member).and_then(|process| process.lane(side).running.as_mut())
                {
                    running.answer = Some(answer);
                }
                let late = self.lateness(member, side);
                self.stand_still(member, side);
                let delay = Duration::from_micros(10 + self.dice.below(400));
                self.after(late.unwrap_or(delay), Event::Ready { member, life, side });
            }
            Some(Stand::Halted(Halt::Slow(delay))) => self.after(delay, Event::Resume { member, life, side }),
            Some(Stand::Halted(Halt::Stalled)) => {
                if let Some(process) = self.process(member) {
                    process.lane(side).stalled = true;
                }
            }
            Some(Stand::Halted(Halt::Chosen)) => {
                self.after(Duration::ZERO, Event::Resume { member, life, side });
                if let Some(blow) = self.members[member].blow.take() {
                    self.report.pauses_in_store +=
                        u64::from(side == Side::Store && matches!(blow, Blow::Pause(_)));
                    self.strike(member, blow);
                }
            }
            None => {
                self.oracle.accuse("honesty", format!("a thread of {} panicked", self.members[member].name));
                self.kill(member, REST);
            }
        }
    }

    fn ready(&mut self, number: usize, side: Side) {
        let Some(process) = self.process(number) else { return };
        let Some(Running { reign, ops_before, answer: Some(answer) }) = process.lane(side).running.take()
        else {
            return;
        };
        let current = reign == process.reign;
        match answer {
            Answer::Followed(Ok(seen)) => {
                process.has_followed = true;
                process.keeper.raise(seen);
            }
            Answer::Followed(Err(_)) | Answer::Abandoned | Answer::Released => {}
            Answer::Closed => self.let_go(number),
            Answer::Claimed(outcome) if current => self.claimed(number, outcome),
            Answer::Committed(outcome) if current => self.committed(number, outcome, ops_before),
            Answer::Maintained(Ok(space)) if current => {
                self.serve(number, |front, now, saboteur| {
                    front.handle(Input::Resources { space }, now, saboteur)
                });
            }
            Answer::Loaded { load, content: Ok(content) } if current => {
                self.serve(number, |front, now, saboteur| {
                    front.handle(Input::Loaded { load, content }, now, saboteur)
                });
            }
            Answer::Maintained(Err(_)) | Answer::Loaded { content: Err(_), .. } if current => {
                self.step_down(number, REST);
            }
            Answer::Claimed(_) | Answer::Committed(_) | Answer::Maintained(_) | Answer::Loaded { .. } => {}
            Answer::Looked(seen) => {
                let now = self.lease_time(number);
                if let Some(process) = self.process(number)
                    && let Some(order) = process.keeper.looked(now, seen)
                {
                    process.lease.waiting.push_back(order);
                }
            }
            Answer::Acquired(Ok(Acquired::Granted(grant))) => self.won(number, grant),
            Answer::Acquired(_) => {}
            Answer::Renewed(outcome) => {
                let now = self.lease_time(number);
                let news = self.process(number).and_then(|process| process.keeper.renewed(now, outcome));
                if news == Some(News::Lost) {
                    self.step_down(number, Duration::ZERO);
                }
            }
        }
        self.go_on(number, side);
    }
}

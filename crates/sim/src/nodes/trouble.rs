//! What befalls the nodes of a [`World`], and how they come out of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ferromq_env::Entropy;
use ferromq_env::simulated::Crash;
use ferromq_model::Instant;

use super::Mishaps;
use super::faults::{Blow, Fault};
use super::member::{Process, Role, Side};
use super::worker::{Answer, Order};
use super::world::{Event, REST, World};

/// After an answer that came late the disk stalls for so long.
const STALL: Duration = Duration::from_millis(1_500);

/// When clients have to connect anew after a late answer, so that they meet both who may think to be the master.
const RECONNECTS: [u64; 8] = [400, 420, 440, 460, 480, 500, 520, 540];

/// Within this time every node that runs notices that the database forgot.
const NOTICE_WITHIN: Duration = Duration::from_secs(3);

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        let master = self.members.iter().position(|member| {
            member.process.as_ref().is_some_and(|process| !matches!(process.role, Role::Standby))
        });
        let any = usize::try_from(self.dice.below(self.members.len() as u64)).unwrap_or(0);
        match fault {
            Fault::Node { blow, at_op, master: wanted } => {
                let target = master.filter(|_| wanted).unwrap_or(any);
                // One at a time for each node.
                if !self.members[target].is_able(self.now) || self.members[target].blow.is_some() {
                    return;
                }
                match at_op {
                    None => self.strike(target, blow),
                    Some((in_store, at)) => {
                        self.members[target].blow = Some(blow);
                        let side = if in_store { Side::Store } else { Side::Lease };
                        if let Some(process) = self.process(target) {
                            process.lane(side).worker.gate.rules().stop_at = Some(at);
                        }
                    }
                }
            }
            Fault::Refusal { lasts } => {
                let target = master.unwrap_or(any);
                if self.members[target].is_able(self.now) {
                    self.trouble(target, lasts, [true, true], true);
                }
            }
            Fault::WallStep { by_ms } => {
                self.report.others += 1;
                self.members[any].clock.wall_step_ms.fetch_add(by_ms, Ordering::SeqCst);
            }
            Fault::WallSteps { by_ms } => {
                self.report.others += 1;
                for member in &self.members {
                    member.clock.wall_step_ms.fetch_add(by_ms, Ordering::SeqCst);
                }
            }
            Fault::LocksForgotten => {
                self.report.others += 1;
                match &self.database {
                    Some(database) => database.restart(),
                    None => {
                        self.locks_lied = true;
                        self.members[any].disk.forget_locks();
                    }
                }
            }
            Fault::PowerLoss => self.lose_power(),
            Fault::Switchover => {
                if let Some(master) = master.filter(|master| self.members[*master].is_able(self.now)) {
                    self.switch_over(master);
                }
            }
            Fault::FallBack { commits } => self.fall_back(commits),
            Fault::Cut => self.cut(),
        }
    }

    pub(super) fn strike(&mut self, number: usize, blow: Blow) {
        match blow {
            Blow::Pause(lasts) => {
                let masters =
                    self.process(number).is_some_and(|process| !matches!(process.role, Role::Standby));
                self.report.pauses += u64::from(masters);
                self.members[number].paused_until = self.now + lasts;
            }
            Blow::Kill { back_after } => self.kill(number, back_after),
            Blow::Stall { store, lease, lasts } => self.trouble(number, lasts, [store, lease], false),
            Blow::LateAnswer { .. } | Blow::Standstill(_) => self.members[number].blow = Some(blow),
            Blow::Restart | Blow::LoseAnswer => {
                self.report.others += 1;
                match &self.database {
                    Some(database) if blow == Blow::Restart => database.restart(),
                    Some(database) => database.lose_an_answer(),
                    None => {}
                }
            }
        }
    }

    /// The disk of a node stalls, or refuses everything, for some or all of its threads.
    pub(super) fn trouble(&mut self, number: usize, lasts: Duration, sides: [bool; 2], refuses: bool) {
        self.report.others += 1;
        let (until, life) = (self.now + lasts, self.members[number].life);
        self.members[number].troubled_until = until;
        let Some(process) = self.process(number) else { return };
        for (side, affected) in [Side::Store, Side::Lease].into_iter().zip(sides) {
            let mut rules = process.lane(side).worker.gate.rules();
            rules.stalled = affected && !refuses;
            rules.failing = affected && refuses;
        }
        self.at(until, Event::Heal { member: number, life });
    }

    pub(super) fn heal(&mut self, member: usize) {
        let life = self.members[member].life;
        let Some(process) = self.process(member) else { return };
        let mut waiting = Vec::new();
        for side in [Side::Store, Side::Lease] {
            let lane = process.lane(side);
            let mut rules = lane.worker.gate.rules();
            (rules.stalled, rules.failing) = (false, false);
            if lane.stalled {
                waiting.push(side);
            }
        }
        for side in waiting {
            self.after(Duration::ZERO, Event::Resume { member, life, side });
        }
    }

    /// A lease's answer that was chosen to come late; its disk stalls from now on.
    pub(super) fn lateness(&mut self, number: usize, side: Side) -> Option<Duration> {
        let Some(Blow::LateAnswer { late }) = self.members[number].blow else { return None };
        let answer = self.process(number)?.lease.running.as_ref()?.answer.as_ref();
        if side != Side::Lease || !matches!(answer, Some(Answer::Renewed(Ok(_)))) {
            return None;
        }
        self.members[number].blow = None;
        self.trouble(number, late + STALL, [true, true], false);
        for at in RECONNECTS {
            self.faults_left += 1;
            self.after(Duration::from_millis(at), Event::Fault(Fault::Cut));
        }
        Some(late)
    }

    /// A commit was answered, and its node was chosen to stand still before it takes the answer in.
    pub(super) fn stand_still(&mut self, number: usize, side: Side) {
        let Some(Blow::Standstill(lasts)) = self.members[number].blow else { return };
        let Some(process) = self.process(number) else { return };
        let answer = process.store.running.as_ref().and_then(|running| running.answer.as_ref());
        if side == Side::Store && matches!(answer, Some(Answer::Committed(Ok(Some(_))))) {
            self.members[number].blow = None;
            self.strike(number, Blow::Pause(lasts));
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, number: usize, back_after: Duration) {
        let member = &mut self.members[number];
        let Some(process) = member.process.take() else { return };
        member.disk = member.disk.kill();
        if let Some(database) = &self.database {
            database.end_process(number);
        }
        (member.blow, member.paused_until, member.troubled_until) = (None, Instant(0), Instant(0));
        drop(process);
        self.report.kills += 1;
        self.close_links(number);
        self.after(back_after, Event::Start { member: number });
    }

    /// The power of all nodes goes, and with it what the disk had not made safe.
    fn lose_power(&mut self) {
        self.report.power_losses += 1;
        let survives = Crash::Seeded(self.dice.next_u64());
        let mut disk = self.members.first().map(|member| member.disk.crash(survives));
        for number in 0..self.members.len() {
            let member = &mut self.members[number];
            if let Some(disk) = &mut disk {
                member.disk = disk.another_process();
            }
            (member.blow, member.paused_until, member.troubled_until) = (None, Instant(0), Instant(0));
            // Who was down already comes back as it was planned.
            let Some(process) = member.process.take() else { continue };
            if let Some(database) = &self.database {
                database.end_process(number);
            }
            drop::<Process>(process);
            self.close_links(number);
            let back_after = self.within(Duration::from_millis(400));
            self.after(back_after, Event::Start { member: number });
        }
        if let Some(database) = &self.database {
            database.restart();
        }
    }

    /// A planned switchover: connections end, what was asked for is written, the store is closed, the lease goes last.
    fn switch_over(&mut self, number: usize) {
        let Some(process) = self.process(number) else { return };
        let Role::Active(reign) = &mut process.role else { return };
        let batches = std::mem::take(&mut reign.gathered);
        process.role = Role::Standby;
        process.reign += 1;
        process.store.waiting.retain(|order| matches!(order, Order::Commit { .. }));
        if !batches.is_empty() {
            process.store.waiting.push_back(Order::Commit { batches, force: true });
        }
        process.store.waiting.push_back(Order::Close);
        self.report.switchovers += 1;
        self.close_links(number);
        self.go_on(number, Side::Store);
    }

    /// The store is closed: the lease is let go.
    pub(super) fn let_go(&mut self, number: usize) {
        let now = self.lease_time(number);
        let Some(process) = self.process(number) else { return };
        if let Some(order) = process.keeper.release(now, REST) {
            process.lease.waiting.push_back(order);
        }
        for side in [Side::Store, Side::Lease] {
            process.lane(side).worker.gate.rules().epoch = 0;
        }
        self.go_on(number, Side::Lease);
    }

    /// A copy of the database takes over that lags behind; later, if it has seen too little for that.
    fn fall_back(&mut self, commits: usize) {
        let Some(database) = &self.database else { return };
        if database.fall_back(commits) {
            self.forgot_at = Some(self.now);
        } else {
            self.faults_left += 1;
            self.after(Duration::from_millis(100), Event::Fault(Fault::FallBack { commits }));
        }
    }

    /// What the database itself has to say; whether the run is over.
    pub(super) fn watch_database(&mut self) -> bool {
        let Some(database) = &self.database else { return false };
        if let Some(text) = database.take_broken() {
            self.oracle.accuse("single-writer", text);
        }
        if self.conditions.mishaps != Mishaps::Forgetfulness
            || self.forgot_at.is_none_or(|at| self.now < at + NOTICE_WITHIN)
        {
            return false;
        }
        let noticed = database.noticed();
        self.report.noticed = noticed.len() as u64;
        for (number, member) in self.members.iter().enumerate() {
            if !noticed.contains(&number) {
                let text = format!("{} did not notice that the database forgot", member.name);
                self.oracle.accuse("honesty", text);
            }
        }
        true
    }
}

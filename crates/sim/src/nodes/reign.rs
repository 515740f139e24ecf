//! The reign of a node: won with an epoch, claimed at the store, served as long as the lease holds, and given up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ferromq_engine::Input;
use ferromq_lock::Grant;
use ferromq_model::{Now, Ticket};
use ferromq_store::{Recovered, StoreError, Sync};

use super::NodeBug;
use super::member::{Reign, Role, Side};
use super::worker::Order;
use super::world::{REST, World};
use crate::front::{Front, Identity};
use crate::node::LAZY_SYNC;
use crate::saboteur::Saboteur;

impl World {
    pub(super) fn won(&mut self, number: usize, grant: Grant) {
        let ops = self.ops.load(Ordering::SeqCst);
        if let Some((other, _)) = self.grants.insert(grant.epoch.number, (number, ops)) {
            let (ours, theirs) = (&self.members[number].name, &self.members[other].name);
            let text = format!("epoch {} was won by {theirs} and by {ours}", grant.epoch.number);
            self.oracle.accuse("single-writer", text);
        }
        let Some(process) = self.process(number) else { return };
        process.keeper.won(grant);
        process.reign += 1;
        process.role = Role::Claiming(grant);
        for side in [Side::Store, Side::Lease] {
            process.lane(side).worker.gate.rules().epoch = grant.epoch.number;
        }
        process.store.waiting.push_back(Order::Claim(grant.epoch));
        self.unserved_since = self.unserved_since.map(|_| self.now);
        self.go_on(number, Side::Store);
    }

    pub(super) fn claimed(&mut self, number: usize, outcome: Result<Recovered, StoreError>) {
        let now = self.local(number);
        let Some(Role::Claiming(grant)) = self.process(number).map(|process| &process.role) else { return };
        let epoch = grant.epoch;
        match outcome {
            Ok(recovered) => {
                self.report.reigns += 1;
                if self.forgot_at.is_some() {
                    let text = format!("{} serves from a database that forgot", self.members[number].name);
                    self.oracle.accuse("honesty", text);
                }
                let front = Front::new(
                    &Identity::default(),
                    ferromq_engine::Settings::default(),
                    epoch,
                    recovered,
                    now,
                    &mut self.saboteur,
                );
                let reign = Reign {
                    front,
                    epoch,
                    gathered: Vec::new(),
                    lazy_due: None,
                    commits: 0,
                    completed: Ticket(0),
                };
                if let Some(process) = self.process(number) {
                    process.role = Role::Active(Box::new(reign));
                }
                self.collect(number);
            }
            Err(_) => self.step_down(number, REST),
        }
    }

    pub(super) fn committed(
        &mut self,
        number: usize,
        outcome: Result<Option<Ticket>, StoreError>,
        ops_before: u64,
    ) {
        let ignores = self.conditions.bug == Some(NodeBug::RefusalIgnored);
        let upto = match outcome {
            Ok(upto) => upto,
            Err(StoreError::Fenced { .. }) if ignores => Some(Ticket(u64::MAX >> 1)),
            Err(_) => return self.step_down(number, REST),
        };
        let Some(process) = self.process(number) else { return };
        let looked = process.store.worker.gate.rules().claim_look;
        let Role::Active(reign) = &mut process.role else { return };
        reign.commits += 1;
        if reign.commits.is_multiple_of(6) {
            process.store.waiting.push_back(Order::Maintain);
        }
        let Some(upto) = upto else { return };
        // One that completes nothing new answers nobody.
        let completes = upto > reign.completed;
        reign.completed = reign.completed.max(upto);
        let epoch = reign.epoch;
        // A database lets a claim wait for the transaction.
        if completes && self.database.is_none() {
            self.check_fence(number, epoch, ops_before, looked);
        }
        self.serve(number, |front, now, saboteur| front.handle(Input::Persisted { upto }, now, saboteur));
    }

    /// From master, or claimant, to standby.
    pub(super) fn step_down(&mut self, number: usize, rest: Duration) {
        let now = self.lease_time(number);
        let Some(process) = self.process(number) else { return };
        let served = process.active().is_some();
        if let Some(order) = process.keeper.release(now, rest) {
            process.lease.waiting.push_back(order);
        }
        process.role = Role::Standby;
        process.reign += 1;
        process.store.waiting.clear();
        process.store.waiting.push_back(Order::Abandon);
        for side in [Side::Store, Side::Lease] {
            process.lane(side).worker.gate.rules().epoch = 0;
        }
        if served {
            self.close_links(number);
        }
        self.go_on(number, Side::Store);
        self.go_on(number, Side::Lease);
    }

    /// Lets the engine or its sessions do something, and takes what follows; nothing leaves without a lease.
    pub(super) fn serve(&mut self, number: usize, act: impl FnOnce(&mut Front, Now, &mut Saboteur)) {
        let (now, lease_time) = (self.local(number), self.lease_time(number));
        let lax = matches!(self.conditions.bug, Some(NodeBug::LeaseUnchecked | NodeBug::NeverStepsDown));
        let World { members, saboteur, .. } = self;
        let Some(process) = &mut members[number].process else { return };
        let Role::Active(reign) = &mut process.role else { return };
        if !lax && !process.keeper.is_valid(lease_time) {
            return self.step_down(number, REST);
        }
        act(&mut reign.front, now, saboteur);
        self.collect(number);
    }

    /// Takes out what the engine and its sessions want.
    fn collect(&mut self, number: usize) {
        let now = self.local(number);
        let Some(process) = self.process(number) else { return };
        let Role::Active(reign) = &mut process.role else { return };
        let epoch = reign.epoch;
        let persists = std::mem::take(&mut reign.front.persists);
        if persists.iter().any(|batch| batch.sync != Sync::Required) {
            reign.lazy_due = reign.lazy_due.or(Some(now.mono + LAZY_SYNC));
        }
        reign.gathered.extend(persists);
        for (load, request) in std::mem::take(&mut reign.front.loads) {
            process.store.waiting.push_back(Order::Load { load, request });
        }
        let to_peers = std::mem::take(&mut reign.front.to_peers);
        if !to_peers.is_empty() {
            self.check_alone(number, epoch);
        }
        self.send(number, to_peers);
        self.go_on(number, Side::Store);
    }
}

//! A provider in memory, on virtual time, right or with a planted bug: shows that each check passes what is right and
//! catches what is wrong.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferromq_env::Clock;
use ferromq_env::simulated::SimClock;
use ferromq_model::{ClaimId, Epoch};

use super::{Names, World, Worlds};
use crate::{Acquired, Contention, Grant, LockError, LockProvider, Sighting, Timings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    ClaimsOverTheLiving,
    IgnoresTheStore,
    CountsDown,
    RenewsInSilence,
    RenewsForEver,
    ReleasesOfOthers,
    ClaimsOverAnybody,
    WritesWhenItLooks,
    TakesAnyTimings,
    GrantsTooMuch,
    AsksTheHoldersCalendar,
    AsksTheServicesCalendar,
    AllowsTwins,
    ForgetsAtRestart,
    HangsWhenCutOff,
    ForgetsTheDead,
}

#[derive(Default)]
struct Row {
    epoch: Epoch,
    owner: String,
    beat: u64,
    released: bool,
    /// The instance that holds it, while it lives.
    holder: Option<u64>,
    /// By the holder's calendar.
    stamped: i64,
    looks: u64,
    claims: u64,
    names: BTreeSet<String>,
    instances: u64,
    cut_off: bool,
    /// Of the service, in hours.
    calendar: i64,
    began: i64,
}

#[derive(Clone)]
struct Toy {
    row: Arc<Mutex<Row>>,
    clock: SimClock,
    bug: Bug,
}

impl Toy {
    fn with(bug: Bug) -> Self {
        Self { row: Arc::default(), clock: SimClock::default(), bug }
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct ToyLock {
    toy: Toy,
    name: String,
    instance: u64,
    timings: Timings,
    clock: Arc<dyn Clock>,
    seen: Option<Epoch>,
    named: bool,
}

impl Drop for ToyLock {
    fn drop(&mut self) {
        let mut row = self.toy.row();
        if self.named {
            row.names.remove(&self.name);
        }
        if row.holder == Some(self.instance) && self.toy.bug != Bug::ForgetsTheDead {
            row.holder = None;
        }
    }
}

impl ToyLock {
    fn ask(&mut self) -> Result<MutexGuard<'_, Row>, LockError> {
        if self.toy.row().cut_off {
            let hangs = self.toy.bug == Bug::HangsWhenCutOff;
            self.toy.clock.advance(self.timings.lease * if hangs { 2 } else { 0 });
            let source = std::io::Error::other("no answer");
            return Err(LockError::Io { action: "ask", path: "toy".to_owned(), source });
        }
        if !self.named && self.toy.bug != Bug::AllowsTwins {
            if !self.toy.row().names.insert(self.name.clone()) {
                return Err(LockError::NameTaken { place: "toy".to_owned(), name: self.name.clone() });
            }
            self.named = true;
        }
        Ok(self.toy.row())
    }

    fn sighting(bug: Bug, row: &Row, wall: i64) -> Option<Sighting> {
        let late = bug == Bug::AsksTheHoldersCalendar && (wall - row.stamped).abs() > 600_000;
        let before = bug == Bug::AsksTheServicesCalendar && row.began < row.stamped;
        (row.epoch.number > 0).then(|| Sighting {
            epoch: row.epoch,
            owner: Some(row.owner.clone()),
            beat: row.beat,
            released: row.released,
            died: row.holder.is_none() || late || before,
        })
    }
}

impl LockProvider for ToyLock {
    fn look(&mut self) -> Result<Option<Sighting>, LockError> {
        let (bug, wall) = (self.toy.bug, self.clock.now().wall.0);
        let mut row = self.ask()?;
        if bug == Bug::WritesWhenItLooks {
            row.looks += 1;
        }
        let sighting = Self::sighting(bug, &row, wall);
        drop(row);
        self.seen = sighting.as_ref().map(|sighting| sighting.epoch);
        Ok(sighting)
    }

    fn try_acquire(&mut self, at_least: Epoch, why: Contention) -> Result<Acquired, LockError> {
        let (bug, wall, seen, instance) = (self.toy.bug, self.clock.now().wall.0, self.seen, self.instance);
        let (name, lease) = (self.name.clone(), self.timings.lease);
        let mut row = self.ask()?;
        if let Some(sighting) = Self::sighting(bug, &row, wall) {
            let free = sighting.released || sighting.died || bug == Bug::ClaimsOverTheLiving;
            let silent = why == Contention::OverSilence
                && (seen == Some(sighting.epoch) || bug == Bug::ClaimsOverAnybody);
            if !free && !silent {
                return Ok(Acquired::Held(sighting));
            }
        }
        let number = match bug {
            Bug::IgnoresTheStore => row.epoch.number + 1,
            Bug::CountsDown if row.epoch.number > 1 => row.epoch.number - 1,
            _ => at_least.number.max(row.epoch.number) + 1,
        };
        row.claims += 1;
        row.epoch = Epoch { number, claim: ClaimId(row.claims) };
        (row.owner, row.beat, row.released, row.holder, row.stamped) = (name, 1, false, Some(instance), wall);
        let lasts = if bug == Bug::GrantsTooMuch { lease * 2 } else { lease };
        Ok(Acquired::Granted(Grant { epoch: row.epoch, lasts }))
    }

    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError> {
        let (bug, wall, instance) = (self.toy.bug, self.clock.now().wall.0, self.instance);
        let mut row = self.ask()?;
        if row.epoch != grant.epoch && bug != Bug::RenewsForEver {
            return Err(LockError::Superseded {
                place: "toy".to_owned(),
                ours: grant.epoch,
                theirs: row.epoch,
            });
        }
        if bug != Bug::RenewsForEver && (row.holder != Some(instance) || row.released) {
            return Err(LockError::Bug("not held here".to_owned()));
        }
        if bug != Bug::RenewsInSilence {
            row.beat += 1;
        }
        row.stamped = wall + row.calendar * 3_600_000;
        Ok(*grant)
    }

    fn release(&mut self, grant: Grant) -> Result<(), LockError> {
        let (bug, instance) = (self.toy.bug, self.instance);
        let mut row = self.ask()?;
        if row.epoch == grant.epoch && row.holder == Some(instance) || bug == Bug::ReleasesOfOthers {
            row.released = true;
        }
        Ok(())
    }
}

impl World for Toy {
    fn node(
        &self,
        name: &str,
        timings: Timings,
        clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn LockProvider>, LockError> {
        if self.bug != Bug::TakesAnyTimings {
            timings.check()?;
        }
        let instance = {
            let mut row = self.row();
            row.instances += 1;
            row.instances
        };
        let name = name.to_owned();
        Ok(Box::new(ToyLock { toy: self.clone(), name, instance, timings, clock, seen: None, named: false }))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let row = self.row();
        vec![(
            "row".to_owned(),
            format!("{:?} {} {} {}", row.epoch, row.beat, row.released, row.looks).into(),
        )]
    }

    fn names(&self) -> Names {
        Names::AtTheLook
    }

    fn restart(&self) -> bool {
        let mut row = self.row();
        row.began = self.clock.now().wall.0 + row.calendar * 3_600_000;
        if self.bug == Bug::ForgetsAtRestart {
            row.epoch = Epoch::default();
        }
        true
    }

    fn step_calendar(&self, hours: i64) -> bool {
        self.row().calendar += hours;
        true
    }

    fn cut_off(&self, cut: bool) -> bool {
        self.row().cut_off = cut;
        true
    }
}

crate::conformance_tests!(|| Some(Toy::with(Bug::None)));

/// Each bug, and the check that finds it.
const FOUND: [(Bug, fn(Worlds<'_>)); 17] = [
    (Bug::ClaimsOverTheLiving, super::one_holds_it_and_the_others_see_who),
    (Bug::ClaimsOverTheLiving, super::a_thousand_acquisitions_in_contention),
    (Bug::IgnoresTheStore, super::epochs_rise_above_everything_that_was_seen),
    (Bug::CountsDown, super::epochs_rise_above_everything_that_was_seen),
    (Bug::RenewsInSilence, super::a_holder_that_renews_keeps_it),
    (Bug::RenewsForEver, super::a_paused_holder_is_superseded_and_finds_out),
    (Bug::ReleasesOfOthers, super::a_paused_holder_is_superseded_and_finds_out),
    (Bug::ClaimsOverAnybody, super::a_claim_supersedes_only_whom_the_claimant_saw),
    (Bug::WritesWhenItLooks, super::looking_changes_nothing),
    (Bug::TakesAnyTimings, super::contradictory_timings_are_refused),
    (Bug::GrantsTooMuch, super::latency_shortens_a_lease_and_breaks_nothing),
    (Bug::AsksTheHoldersCalendar, super::calendars_may_jump),
    (Bug::AsksTheServicesCalendar, super::calendars_may_jump),
    (Bug::AllowsTwins, super::two_nodes_of_one_name_are_refused),
    (Bug::ForgetsAtRestart, super::a_restart_of_the_service_is_ridden_out),
    (Bug::HangsWhenCutOff, super::a_place_that_can_not_be_reached_is_an_error_in_time),
    (Bug::ForgetsTheDead, super::a_holder_that_died_is_replaced),
];

#[test]
fn every_planted_bug_is_found() {
    let passes =
        |check: fn(Worlds<'_>), bug| catch_unwind(AssertUnwindSafe(|| check(&Toy::with(bug)))).is_ok();
    let missed: Vec<_> =
        FOUND.iter().filter(|(bug, check)| passes(*check, *bug)).map(|(bug, _)| bug).collect();
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}

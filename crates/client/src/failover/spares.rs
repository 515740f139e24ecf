//! Spares: further connections, greeted and not logged in, one of which takes the place of the connection when that is
//! lost, or when a broker of priority is back.

use std::time::Duration;

use ferromq_model::Instant;

use super::policy::add;
use super::{Action, Address, Attempt, Phase, Planner};

/// A broker that is better is looked for at least this often.
const LONGEST_SPARE_DELAY: Duration = Duration::from_secs(5);

/// A connection to a broker that is not the one in use.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) attempt: Attempt,
    pub(super) address: Address,
    /// It is greeted.
    pub(super) ready: bool,
}

impl Planner {
    /// A spare is taken in the order of the round.
    pub(super) fn adopt_spare(&mut self) -> bool {
        let place = |spare: &Spare| {
            self.round.iter().position(|address| address.is(&spare.address)).unwrap_or(usize::MAX)
        };
        let ready = self.spares.iter().enumerate().filter(|(_, spare)| spare.ready);
        let Some((at, _)) = ready.min_by_key(|(_, spare)| place(spare)) else { return false };
        let spare = self.spares.swap_remove(at);
        self.adopt(spare.attempt, spare.address);
        true
    }

    pub(super) fn drop_spares(&mut self) {
        for spare in self.spares.drain(..) {
            self.actions.push_back(Action::Drop { attempt: spare.attempt });
        }
    }

    /// Brokers that a spare should be had of: those of priority if we are elsewhere, and others up to the number.
    fn spare_candidates(&self) -> Vec<Address> {
        let Phase::Up(here) = &self.phase else { return Vec::new() };
        let mut all: Vec<_> = Vec::new();
        if !self.is_priority(here) {
            all.clone_from(&self.policy.priority);
        }
        if self.policy.backups > 0 {
            for address in self.known() {
                add(&mut all, address);
            }
        }
        all.retain(|address| !address.is(here) && !self.spares.iter().any(|s| s.address.is(address)));
        all
    }

    pub(super) fn lacks_spares(&self) -> bool {
        self.spares.iter().all(|spare| spare.ready) && !self.wanted_spares().is_empty()
    }

    fn wanted_spares(&self) -> Vec<Address> {
        let room = self.policy.backups.saturating_sub(self.spares.len()) > 0;
        let at_priority = matches!(&self.phase, Phase::Up(here) if self.is_priority(here));
        let mut wanted = self.spare_candidates();
        wanted.retain(|address| room || (self.is_priority(address) && !at_priority));
        wanted
    }

    /// One spare at a time is dialled; when all candidates failed there is a wait.
    pub(super) fn fill_spares(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Up(_)) || self.spares.iter().any(|spare| !spare.ready) {
            return;
        }
        if self.spare_round.is_empty() && now >= self.spare_at {
            self.spare_round = self.wanted_spares().into();
            let wait = self.spare_delay;
            self.spare_at = now + self.spread(wait);
            self.spare_delay = self.longer(wait).min(LONGEST_SPARE_DELAY);
        }
        while let Some(address) = self.spare_round.pop_front() {
            if !self.wanted_spares().iter().any(|wanted| wanted.is(&address)) {
                continue;
            }
            let attempt = self.dial(address.clone());
            return self.spares.push(Spare { attempt, address, ready: false });
        }
    }
}

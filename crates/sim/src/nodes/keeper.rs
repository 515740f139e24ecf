//! [`Keeper`]: what the broker's thread of the lease does, one step at a time.

use std::time::Duration;

use ferromq_lock::{Contention, ErrorKind, Grant, Lease, LockError, Sighting, Timings, Verdict, Watch};
use ferromq_model::{Epoch, Instant};

use super::NodeBug;
use super::worker::Order;

/// What the node has to do about its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The epoch is ours.
    Won(Grant),
    /// It is ours no longer.
    Lost,
}

pub(super) struct Keeper {
    timings: Timings,
    watch: Watch,
    held: Option<(Grant, Lease)>,
    /// When the last order was asked for.
    asked: Instant,
    at_least: Epoch,
    rest_until: Instant,
    master: Option<Epoch>,
    bug: Option<NodeBug>,
}

impl Keeper {
    pub(super) fn new(timings: Timings, bug: Option<NodeBug>) -> Self {
        Self {
            timings,
            watch: Watch::new(&timings),
            held: None,
            asked: Instant(0),
            at_least: Epoch::default(),
            rest_until: Instant(0),
            master: None,
            bug,
        }
    }

    /// The store has seen this epoch.
    pub(super) fn raise(&mut self, seen: Epoch) {
        self.at_least = self.at_least.max(seen);
    }

    /// Whether the holder may act.
    pub(super) fn is_valid(&self, now: Instant) -> bool {
        self.held.as_ref().is_some_and(|(_, lease)| lease.is_valid(now))
    }

    /// Lets go; what is to be told to the provider.
    pub(super) fn release(&mut self, now: Instant, rest: Duration) -> Option<Order> {
        self.rest_until = now + rest;
        let (grant, lease) = self.held.take()?;
        self.master = None;
        lease.is_valid(now).then_some(Order::Release(grant))
    }

    /// A moment at which the thread is free.
    pub(super) fn step(&mut self, now: Instant) -> Result<Option<Order>, News> {
        let Some((grant, lease)) = &self.held else {
            self.asked = now;
            return Ok(Some(Order::Look));
        };
        if !lease.is_valid(now) {
            return Err(self.lose());
        }
        if now < lease.next_renewal() {
            return Ok(None);
        }
        self.asked = now;
        Ok(Some(Order::Renew(*grant)))
    }

    fn lose(&mut self) -> News {
        (self.held, self.master) = (None, None);
        self.watch.forget();
        News::Lost
    }

    /// A renewal was answered.
    pub(super) fn renewed(&mut self, now: Instant, outcome: Result<Grant, LockError>) -> Option<News> {
        let (_, lease) = self.held.as_mut()?;
        let asked = if self.bug == Some(NodeBug::LeaseFromAnswer) { now } else { self.asked };
        match outcome {
            Ok(grant) if lease.renewed(asked, now, grant.lasts) => {}
            Ok(_) => return Some(self.lose()),
            Err(error) if error.kind() == ErrorKind::Superseded => return Some(self.lose()),
            Err(_) => lease.missed(asked),
        }
        None
    }

    /// A look was answered; whether to claim.
    pub(super) fn looked(
        &mut self,
        now: Instant,
        seen: Result<Option<Sighting>, LockError>,
    ) -> Option<Order> {
        let Ok(seen) = seen else {
            self.watch.forget();
            return None;
        };
        if let Some(seen) = &seen
            && !seen.released
            && self.master != Some(seen.epoch)
        {
            self.master = Some(seen.epoch);
            self.rest_until = Instant(0);
        }
        let why = match self.watch.judge_look(self.asked, now, seen.as_ref()) {
            Verdict::Claim(Contention::OverSilence) if self.bug == Some(NodeBug::Timid) => return None,
            Verdict::Suspect if self.bug == Some(NodeBug::Impatient) => Contention::OverSilence,
            Verdict::Claim(why) if now >= self.rest_until => why,
            _ => return None,
        };
        self.asked = now;
        Some(Order::Acquire { at_least: self.at_least, why })
    }

    /// A claim was won.
    pub(super) fn won(&mut self, grant: Grant) -> News {
        self.watch.forget();
        self.held = Some((grant, Lease::new(self.asked, grant.lasts, &self.timings)));
        News::Won(grant)
    }
}

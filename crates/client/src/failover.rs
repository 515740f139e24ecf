//! Which broker to try next, and when: the planner of `failover:`, without IO, on the caller's clock.
//!
//! [`Planner`] is told what happened (`reached`, `failed`, `established`, `lost`, `advised`, `tick`) and answers with
//! [`Action`]s. One attempt at a time leads to the connection; further ones are spares: greeted, not logged in.
//!
//! Invariant: what an attempt reports after it was dropped changes nothing, so that the late error of a dead socket
//! never ends the good one.
//! Invariant: waits are spread by chance, and none is longer than `maxReconnectDelay`.

mod action;
mod policy;
mod spares;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ferromq_env::Entropy;
use ferromq_model::Instant;
use ferromq_openwire::ConnectionControl;
use ferromq_uri::{MAX_COMPONENTS, Uri};

pub use self::action::{Action, Attempt};
use self::policy::add;
pub use self::policy::{Address, FailoverPolicy};
use self::spares::Spare;

#[derive(Debug)]
enum Phase {
    Idle,
    /// For the next round.
    Waiting(Instant),
    Dialling(Attempt, Address),
    Joining(Address),
    Up(Address),
    Ended,
}

/// URIs of which the last failure is remembered.
const MOST_TRIED: usize = 64;

/// See the head of this file.
pub struct Planner {
    policy: FailoverPolicy,
    entropy: Box<dyn Entropy>,
    phase: Phase,
    /// Named by brokers.
    pushed: Vec<Address>,
    /// Named by the file.
    listed: Vec<Address>,
    /// Found in the network.
    found: Vec<Address>,
    /// Tried before all others, once.
    preferred: Option<Address>,
    round: VecDeque<Address>,
    rounds: u32,
    delay: Duration,
    was_up: bool,
    leaving: bool,
    last_failed: Option<Address>,
    tried: Vec<(Arc<str>, String)>,
    attempts: u64,
    spares: Vec<Spare>,
    spare_round: VecDeque<Address>,
    spare_at: Instant,
    spare_delay: Duration,
    actions: VecDeque<Action>,
}

impl Planner {
    /// A planner that has not begun.
    pub fn new(policy: FailoverPolicy, entropy: Box<dyn Entropy>) -> Self {
        let delay = policy.delay;
        Self {
            policy,
            entropy,
            phase: Phase::Idle,
            pushed: Vec::new(),
            listed: Vec::new(),
            found: Vec::new(),
            preferred: None,
            round: VecDeque::new(),
            rounds: 0,
            delay,
            was_up: false,
            leaving: false,
            last_failed: None,
            tried: Vec::new(),
            attempts: 0,
            spares: Vec::new(),
            spare_round: VecDeque::new(),
            spare_at: Instant(0),
            spare_delay: delay,
            actions: VecDeque::new(),
        }
    }

    /// Begins with the first round.
    pub fn start(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Idle) {
            self.phase = Phase::Waiting(now);
            self.begin_round(now);
        }
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Planner::tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting(at) => Some(at),
            Phase::Up(_) => self.lacks_spares().then_some(self.spare_at),
            _ => None,
        }
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting(at) if now >= at => self.begin_round(now),
            Phase::Up(_) => self.fill_spares(now),
            _ => {}
        }
    }

    /// Each broker that failed since the last success, and why.
    pub fn tried(&self) -> String {
        match self.tried.is_empty() {
            true if self.known().is_empty() => "no broker: none was found yet".to_owned(),
            true => "no broker answered yet".to_owned(),
            false => {
                let one = |(uri, why): &(Arc<str>, String)| format!("{uri}: {why}");
                self.tried.iter().map(one).collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// The brokers that a round tries, without chance: those pushed by a broker come first.
    pub fn known(&self) -> Vec<Address> {
        let mut all = Vec::new();
        for address in self.pushed.iter().chain(&self.listed).chain(&self.policy.brokers).chain(&self.found) {
            add(&mut all, address.clone());
        }
        all
    }

    /// An attempt is connected and greeted.
    pub fn reached(&mut self, attempt: Attempt, now: Instant) {
        match &self.phase {
            Phase::Dialling(current, address) if *current == attempt => {
                let address = address.clone();
                self.adopt(attempt, address);
            }
            _ => {
                let Some(spare) = self.spares.iter_mut().find(|spare| spare.attempt == attempt) else {
                    return self.actions.push_back(Action::Drop { attempt });
                };
                spare.ready = true;
                self.spare_delay = self.policy.delay;
                let address = spare.address.clone();
                if matches!(self.phase, Phase::Waiting(_)) {
                    // The connection was lost while the spare was on its way.
                    return self.begin_round(now);
                }
                self.return_to_priority(&address);
                self.fill_spares(now);
            }
        }
    }

    /// An attempt failed, or a spare was lost.
    pub fn failed(&mut self, attempt: Attempt, reason: &str, now: Instant) {
        match &self.phase {
            Phase::Dialling(current, address) if *current == attempt => {
                let address = address.clone();
                self.note(&address, reason);
                self.dial_next(now);
            }
            _ => {
                self.spares.retain(|spare| spare.attempt != attempt);
                self.fill_spares(now);
            }
        }
    }

    /// The connection is open, and everything is as it was before.
    pub fn established(&mut self, now: Instant) {
        if let Phase::Joining(address) = &self.phase {
            self.phase = Phase::Up(address.clone());
            self.was_up = true;
            self.rounds = 0;
            self.delay = self.policy.delay;
            self.last_failed = None;
            self.tried.clear();
            self.round.clear();
            self.spare_at = now;
            self.spare_delay = self.policy.delay;
            self.fill_spares(now);
        }
    }

    /// The adopted connection ended, or never opened.
    pub fn lost(&mut self, reason: &str, now: Instant) {
        match &self.phase {
            Phase::Joining(address) => {
                let address = address.clone();
                self.note(&address, reason);
                self.dial_next(now);
            }
            Phase::Up(address) => {
                let address = address.clone();
                if std::mem::take(&mut self.leaving) {
                    return self.begin_round(now);
                }
                self.note(&address, reason);
                if self.policy.max_attempts == Some(0) {
                    return self.give_up();
                }
                if self.spares.iter().any(|spare| spare.ready) {
                    return self.begin_round(now);
                }
                let wait = self.spread(self.policy.initial_delay);
                self.phase = Phase::Waiting(now + wait);
            }
            _ => {}
        }
    }

    /// Nothing more is wanted.
    pub fn stop(&mut self) {
        self.phase = Phase::Ended;
        self.drop_spares();
    }

    /// What the broker says about other brokers.
    pub fn advised(&mut self, control: &ConnectionControl) {
        let text = |value: &Option<ferromq_openwire::WireStr>| {
            value.as_ref().map(|text| text.to_str().into_owned()).unwrap_or_default()
        };
        if self.policy.update_uris {
            let named = self.policy.list(&text(&control.connected_brokers));
            if !named.is_empty() {
                self.pushed = named;
            }
        }
        let target = self.policy.list(&text(&control.reconnect_to)).into_iter().next();
        if let Some(target) = target.filter(|_| self.policy.obey_reconnect) {
            return self.leave_for(target, "the broker sends us to");
        }
        if control.rebalance_connection && self.policy.update_uris {
            self.rebalance();
        }
    }

    /// The content of the file with further URIs.
    pub fn listed(&mut self, text: &str) {
        let named = self.policy.list(text);
        let same = named.len() == self.listed.len() && named.iter().zip(&self.listed).all(|(a, b)| a.is(b));
        if !same {
            self.listed = named;
            if self.policy.rebalance_update_uris {
                self.rebalance();
            }
        }
    }

    /// Who tells of itself in the network now. News are a good moment for another round.
    pub fn discovered(&mut self, brokers: &[Uri], now: Instant) {
        let mut found = Vec::new();
        for broker in brokers.iter().take(MAX_COMPONENTS) {
            if let Ok(address) = self.policy.address(broker) {
                add(&mut found, address);
            }
        }
        let news = found.iter().any(|broker| !self.found.iter().any(|known| known.is(broker)));
        self.found = found;
        if news && matches!(self.phase, Phase::Waiting(_)) {
            self.begin_round(now);
        }
    }

    /// Moves to the first of the list, unless we are there or at a broker of priority.
    fn rebalance(&mut self) {
        let Phase::Up(here) = &self.phase else { return };
        if self.is_priority(here) {
            return;
        }
        if let Some(first) = self.known().into_iter().next() {
            self.leave_for(first, "the broker spreads its clients; we go to");
        }
    }

    fn leave_for(&mut self, target: Address, why: &str) {
        let Phase::Up(here) = &self.phase else { return };
        if here.is(&target) || self.leaving {
            return;
        }
        self.leaving = true;
        self.actions.push_back(Action::Leave { reason: format!("{why} {}", target.uri) });
        self.preferred = Some(target);
    }

    fn is_priority(&self, address: &Address) -> bool {
        self.policy.priority.iter().any(|known| known.is(address))
    }

    fn return_to_priority(&mut self, reached: &Address) {
        let Phase::Up(here) = &self.phase else { return };
        if self.is_priority(reached) && !self.is_priority(here) {
            self.leave_for(reached.clone(), "this broker is preferred and is back:");
        }
    }

    /// The brokers in the order of one round: the one that was asked for, those of priority, the others, and at the
    /// end the one that failed last.
    fn begin_round(&mut self, now: Instant) {
        if let Some(url) = &self.policy.update_uris_url {
            self.actions.push_back(Action::Read { url: url.clone() });
        }
        let mut all = self.known();
        if self.policy.randomize {
            for last in (1..all.len()).rev() {
                let other = self.entropy.next_u64() % (last as u64 + 1);
                all.swap(last, usize::try_from(other).unwrap_or(0));
            }
        }
        all.sort_by_key(|address| !self.is_priority(address));
        if let Some(failed) = &self.last_failed {
            all.sort_by_key(|address| address.is(failed));
        }
        let preferred = self.preferred.take();
        if let Some(preferred) = &preferred {
            add(&mut all, preferred.clone());
            all.sort_by_key(|address| !address.is(preferred));
        }
        self.round = all.into();
        let has_spare = |wanted: &Address| self.spares.iter().any(|s| s.ready && s.address.is(wanted));
        let elsewhere = preferred.as_ref().is_some_and(|wanted| !has_spare(wanted));
        let begun = !elsewhere && self.adopt_spare() || self.dial_first();
        if !begun {
            // Nobody is known yet; whoever is found begins a round at once.
            self.phase = Phase::Waiting(now + self.policy.max_delay);
        }
    }

    fn adopt(&mut self, attempt: Attempt, address: Address) {
        self.round.retain(|other| !other.is(&address));
        self.phase = Phase::Joining(address.clone());
        self.actions.push_back(Action::Adopt { attempt, address });
    }

    fn dial_first(&mut self) -> bool {
        let Some(address) = self.round.pop_front() else { return false };
        let attempt = self.dial(address.clone());
        self.phase = Phase::Dialling(attempt, address);
        true
    }

    fn dial(&mut self, address: Address) -> Attempt {
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        self.actions.push_back(Action::Dial { attempt, address });
        attempt
    }

    /// The next of this round, or a wait, or the end.
    fn dial_next(&mut self, now: Instant) {
        if self.adopt_spare() || self.dial_first() {
            return;
        }
        self.rounds = self.rounds.saturating_add(1);
        let startup = self.policy.startup_max_attempts.filter(|_| !self.was_up);
        if startup.or(self.policy.max_attempts).is_some_and(|limit| self.rounds >= limit) {
            return self.give_up();
        }
        let every = self.policy.warn_after;
        if every > 0 && (self.rounds == 1 || self.rounds.is_multiple_of(every)) {
            self.actions.push_back(Action::Warn { rounds: self.rounds });
        }
        let wait = match self.policy.exponential {
            true => {
                let wait = self.delay.min(self.policy.max_delay);
                self.delay = self.longer(wait);
                wait
            }
            false => self.policy.initial_delay.min(self.policy.max_delay),
        };
        self.phase = Phase::Waiting(now + self.spread(wait));
    }

    fn give_up(&mut self) {
        self.phase = Phase::Ended;
        self.drop_spares();
        self.actions.push_back(Action::GiveUp { rounds: self.rounds });
    }

    /// The next wait: never shorter, never beyond the limit, whatever the factor.
    fn longer(&self, wait: Duration) -> Duration {
        let factor = if self.policy.exponent >= 1.0 { self.policy.exponent } else { 1.0 };
        let most = self.policy.max_delay;
        let seconds = (wait.as_secs_f64() * factor).min(most.as_secs_f64());
        Duration::try_from_secs_f64(seconds).unwrap_or(most)
    }

    /// Between half of a wait and all of it, so that clients that lost their broker together come back one by one.
    fn spread(&mut self, wait: Duration) -> Duration {
        let half = u64::try_from(wait.as_nanos() / 2).unwrap_or(u64::MAX);
        wait.saturating_sub(Duration::from_nanos(self.entropy.next_u64() % half.saturating_add(1)))
    }

    fn note(&mut self, address: &Address, reason: &str) {
        self.last_failed = Some(address.clone());
        self.tried.retain(|(uri, _)| *uri != address.uri);
        if self.tried.len() >= MOST_TRIED {
            self.tried.remove(0);
        }
        self.tried.push((Arc::clone(&address.uri), reason.to_owned()));
    }
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner")
            .field("phase", &self.phase)
            .field("rounds", &self.rounds)
            .finish_non_exhaustive()
    }
}

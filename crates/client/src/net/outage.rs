//! The time without a broker: what the driver does then, and how handles wait it out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ferromq_discovery::Multicast;
use ferromq_env::SystemEntropy;
use ferromq_uri::MulticastOptions;
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::clock::Clock;
use super::dial::{Dial, Report, Transport};
use super::driver::{Driver, IDLE};
use super::list;
use super::order::{Order, Shared};
use crate::core::Core;
use crate::error::{Error, Result};
use crate::failover::{Action, Attempt, FailoverPolicy, Planner};

/// What the driver keeps to find another broker.
pub(super) struct Failover {
    pub planner: Planner,
    dials: BTreeMap<Attempt, Dial>,
    reports: mpsc::UnboundedSender<Report>,
    pub report_queue: mpsc::UnboundedReceiver<Report>,
    adopted: Option<Box<Transport>>,
    timeout: Option<Duration>,
    since: Option<TokioInstant>,
    /// The broker that we were connected to, if we were.
    pub current: Option<Arc<str>>,
    pub was_open: bool,
    pub is_up: bool,
    /// The transport is given up for a better one.
    pub leaves: bool,
    /// Orders that came meanwhile.
    held: VecDeque<(TokioInstant, Order)>,
    /// Places for orders that nobody may take meanwhile.
    withheld: usize,
}

impl Failover {
    pub fn new(policy: FailoverPolicy) -> Self {
        let (reports, report_queue) = mpsc::unbounded_channel();
        let timeout = policy.timeout;
        if let Some(group) = policy.discovery.clone() {
            tokio::spawn(look_around(group, reports.clone()));
        }
        Self {
            planner: Planner::new(policy, Box::new(SystemEntropy)),
            dials: BTreeMap::new(),
            reports,
            report_queue,
            adopted: None,
            timeout,
            since: None,
            current: None,
            was_open: false,
            is_up: false,
            leaves: false,
            held: VecDeque::new(),
            withheld: 0,
        }
    }

    pub fn next_held(&mut self) -> Option<Order> {
        self.held.pop_front().map(|(_, order)| order)
    }

    pub fn holds_orders(&self) -> bool {
        !self.held.is_empty()
    }

    /// Handles find no room for orders any more, so that they wait where they can still change their minds.
    pub fn went_away(&mut self, shared: &Shared) {
        self.since = Some(TokioInstant::now());
        self.withheld += shared.room.forget_permits(shared.room.available_permits());
        self.tell(shared);
    }

    pub fn is_back(&mut self, shared: &Shared) {
        self.since = None;
        shared.room.add_permits(std::mem::take(&mut self.withheld));
        shared.outage.send_replace(None);
    }

    /// Lets handles know which brokers were tried.
    fn tell(&self, shared: &Shared) {
        if self.since.is_some() {
            shared.outage.send_replace(Some(Arc::from(self.planner.tried())));
        }
    }

    /// When the first of those who wait gives up.
    fn expiry(&self) -> Option<TokioInstant> {
        let first = self.held.iter().filter(|(_, order)| order.may_expire()).map(|(since, _)| *since).next();
        Some(first.or(self.since)? + self.timeout?)
    }

    fn act(&mut self, action: Action, core: &mut Core<super::order::Reply>, clock: Clock) {
        match action {
            Action::Dial { attempt, address } => {
                let dial = Dial::begin(attempt, address, clock, &self.reports);
                self.dials.insert(attempt, dial);
            }
            Action::Adopt { attempt, .. } => match self.dials.get_mut(&attempt) {
                Some(dial) => dial.claim(),
                None => self.planner.lost("it was dropped", clock.now().mono),
            },
            Action::Drop { attempt } => drop(self.dials.remove(&attempt)),
            Action::Leave { reason } => {
                tracing::info!("{reason}");
                self.leaves = true;
                core.leave(&reason);
            }
            Action::Read { url } => {
                let reports = self.reports.clone();
                tokio::spawn(async move {
                    let _ = reports.send(Report::Listed(list::read(url).await));
                });
            }
            Action::Warn { rounds } => {
                let tried = self.planner.tried();
                tracing::warn!(rounds, %tried, "Failed to connect after: {rounds} attempt(s), continuing to retry");
            }
            Action::GiveUp { rounds } => {
                let tried = self.planner.tried();
                tracing::error!(rounds, %tried, "Failed to connect after: {rounds} attempt(s)");
                let after = self.since.map_or(0, |since| since.elapsed().as_millis());
                let after = Duration::from_millis(u64::try_from(after).unwrap_or(u64::MAX));
                let (what, tried) = (Arc::from("a connection"), Arc::from(tried));
                core.give_up(Error::NoBroker { what, after, tried });
            }
        }
    }

    fn report(&mut self, report: Report, clock: Clock) {
        let now = clock.now().mono;
        match report {
            Report::Reached(attempt) => self.planner.reached(attempt, now),
            Report::Failed(attempt, reason) => match self.dials.remove(&attempt) {
                // One that was claimed already counts as the connection.
                Some(dial) if dial.is_claimed() => self.planner.lost(&reason, now),
                _ => self.planner.failed(attempt, &reason, now),
            },
            Report::Handed(attempt, transport) => {
                if self.dials.remove(&attempt).is_some() {
                    self.adopted = Some(transport);
                }
            }
            Report::Discovered(brokers) => self.planner.discovered(&brokers, now),
            Report::Listed(Ok(text)) => self.planner.listed(&text),
            Report::Listed(Err(error)) => {
                tracing::warn!(%error, "updateURIsURL cannot be read; going on with the brokers that are known");
            }
        }
    }
}

/// Hears who tells of itself in the network, for as long as somebody wants to know.
async fn look_around(group: MulticastOptions, reports: mpsc::UnboundedSender<Report>) {
    let mut multicast = tokio::select! {
        multicast = Multicast::join_when_possible(&group, Vec::new(), &[]) => multicast,
        () = reports.closed() => return,
    };
    loop {
        tokio::select! {
            present = multicast.changed() => drop(reports.send(Report::Discovered(present))),
            () = reports.closed() => return,
        }
    }
}

/// What is ready without a broker.
enum Ready {
    Report(Report),
    Order(Option<Order>),
    Time,
}

impl Driver {
    /// Waits for a transport, and meanwhile holds orders; nothing when the connection is over.
    pub async fn find_transport(&mut self) -> Option<Box<Transport>> {
        loop {
            self.settle();
            let failover = self.failover.as_mut()?;
            if self.core.is_closed() {
                return None;
            }
            if let Some(adopted) = failover.adopted.take() {
                return Some(adopted);
            }
            let due = failover.planner.next_deadline().map(|at| self.clock.deadline(at));
            let wake = [due, failover.expiry()].into_iter().flatten().min();
            let wake = wake.unwrap_or_else(|| TokioInstant::now() + IDLE);
            let ready = tokio::select! {
                biased;
                Some(report) = failover.report_queue.recv() => Ready::Report(report),
                order = self.orders.recv() => Ready::Order(order),
                () = sleep_until(wake) => Ready::Time,
            };
            self.apply_away(ready);
        }
    }

    fn apply_away(&mut self, ready: Ready) {
        let now = self.clock.now();
        let Some(failover) = &mut self.failover else { return };
        match ready {
            Ready::Report(report) => {
                failover.report(report, self.clock);
                failover.tell(&self.shared);
            }
            // Whoever closes does not wait for a broker that may never come.
            Ready::Order(Some(Order::Close { reply })) => self.core.close(Some(reply)),
            Ready::Order(None) => self.core.close(None),
            Ready::Order(Some(order)) => failover.held.push_back((TokioInstant::now(), order)),
            Ready::Time => {
                failover.planner.tick(now.mono);
                self.expire();
            }
        }
        self.take_nudges(now);
    }

    /// Those who waited for too long are told which brokers were tried.
    fn expire(&mut self) {
        let Some(failover) = &mut self.failover else { return };
        let (Some(since), Some(timeout)) = (failover.since, failover.timeout) else { return };
        let now = TokioInstant::now();
        let error = self.shared.no_broker("what waited for one", timeout);
        if since + timeout <= now {
            self.core.abandon_sends(&error);
            failover.since = Some(now);
        }
        let mut kept = VecDeque::new();
        for (at, order) in failover.held.drain(..) {
            if order.may_expire() && at + timeout <= now {
                self.freed += usize::from(order.needs_room());
                order.refuse(&error);
            } else {
                kept.push_back((at, order));
            }
        }
        failover.held = kept;
        // Their places stay withheld until there is a broker again.
        failover.withheld += std::mem::take(&mut self.freed);
    }

    /// Does what the planner wants, with a broker or without.
    pub fn plan(&mut self) {
        let now = self.clock.now().mono;
        if let Some(failover) = &mut self.failover {
            if failover.planner.next_deadline().is_some_and(|at| at <= now) {
                failover.planner.tick(now);
            }
            while let Some(action) = failover.planner.next_action() {
                failover.act(action, &mut self.core, self.clock);
            }
        }
    }

    /// While connected: news of spares.
    pub fn reported(&mut self, report: Report) {
        if let Some(failover) = &mut self.failover {
            failover.report(report, self.clock);
        }
    }
}

impl Shared {
    /// Why nothing can be done for want of a broker.
    pub fn no_broker(&self, what: &str, after: Duration) -> Error {
        let tried = self.outage.borrow().clone();
        Error::NoBroker {
            what: Arc::from(what),
            after,
            tried: tried.unwrap_or_else(|| Arc::from("no broker answered yet")),
        }
    }

    /// Waits for something, but not longer than the policy lets anybody wait without a broker.
    pub async fn bounded<V>(&self, what: &str, work: impl Future<Output = Result<V>>) -> Result<V> {
        let Some(limit) = self.options.failover.as_ref().and_then(|policy| policy.timeout) else {
            return work.await;
        };
        tokio::select! {
            biased;
            done = work => done,
            () = self.overdue(limit) => Err(self.no_broker(what, limit)),
        }
    }

    /// Ends when there was no broker for so long.
    async fn overdue(&self, limit: Duration) {
        let mut outage = self.outage.subscribe();
        loop {
            if outage.wait_for(Option::is_some).await.is_err() {
                return std::future::pending().await;
            }
            let back = outage.wait_for(Option::is_none);
            if tokio::time::timeout(limit, back).await.is_err() {
                return;
            }
        }
    }
}

//! One life of a bridge: from two open connections to the end of one.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::gauge::Gauge;
use super::status::{LinkState, LinkStatus};
use super::ways::Ways;
use crate::{Bridge, Ending, Order, Side};

/// Brokers that have not let the bridge in by then are left.
pub(super) const START: Duration = Duration::from_secs(30);

/// The end of one life.
pub(super) struct Ended {
    pub ending: Ending,
    /// When it came up, if it did.
    pub up_since: Option<Instant>,
}

/// Lets a bridge live until it ends, or `stop` says so.
pub(super) async fn drive(
    bridge: &mut Bridge,
    ways: Ways,
    clock: Clock,
    status: &watch::Sender<LinkStatus>,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    let mut life = Life::new(bridge, ways, clock, status);
    for side in [Side::Local, Side::Remote, Side::Inbound] {
        // What came right behind an introduction, all of it: a connection is ready again only for more.
        while life.hear(side).is_some() {}
    }
    let sleep = sleep_until(life.gauge.due());
    tokio::pin!(sleep);
    // Of a connection whose last batch was full.
    let mut rest = None;
    loop {
        if let Some(ending) = life.carry_out() {
            return life.end(ending);
        }
        let wake = life.wake();
        // Too early a look costs less than to set the alarm for each command.
        if wake < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(wake);
        }
        tokio::select! {
            (side, ready) = life.ways.ready(!life.bridge.is_full()), if rest.is_none() => match ready {
                Ok(()) => rest = life.hear(side),
                Err(reason) => life.bridge.lost(side, &reason),
            },
            () = tokio::task::yield_now(), if rest.is_some() => {
                rest = rest.and_then(|side| life.hear(side));
            }
            () = &mut sleep => {}
            _ = stop.wait_for(|stop| *stop) => return life.end(Ending::Lost("the broker ends".to_owned())),
        }
        life.tick();
        if let Some(ending) = life.overdue() {
            return life.end(ending);
        }
    }
}

/// A bridge with its connections.
struct Life<'a> {
    bridge: &'a mut Bridge,
    ways: Ways,
    clock: Clock,
    status: &'a watch::Sender<LinkStatus>,
    gauge: Gauge<'a>,
    /// Until when both brokers must have let it in.
    until: Instant,
    up_since: Option<Instant>,
}

impl<'a> Life<'a> {
    fn new(bridge: &'a mut Bridge, ways: Ways, clock: Clock, status: &'a watch::Sender<LinkStatus>) -> Self {
        let (gauge, until) = (Gauge::new(status), Instant::now() + START);
        Self { bridge, ways, clock, status, gauge, until, up_since: None }
    }

    /// Does what the bridge wants, and writes what it says as far as the sockets take it; how it ended, if it did.
    fn carry_out(&mut self) -> Option<Ending> {
        loop {
            while let Some(order) = self.bridge.poll() {
                match order {
                    Order::Say(side, command) => self.ways.say(side, command),
                    Order::Up => self.came_up(),
                    Order::Warn(text) => {
                        let connector = self.bridge.settings().name.as_str();
                        tracing::warn!(connector, "{text}");
                    }
                    Order::End(ending) => return Some(ending),
                }
            }
            match self.ways.flush() {
                Ok(()) => {}
                Err((side, reason)) => {
                    self.bridge.lost(side, &reason);
                    continue;
                }
            }
            let (command, reason) = self.ways.unsendable()?;
            self.bridge.unsendable(command, &reason, self.clock.now());
        }
    }

    fn came_up(&mut self) {
        self.up_since = Some(Instant::now());
        let name = self.bridge.remote_name().unwrap_or_default().to_owned();
        let id = self.bridge.remote_id().unwrap_or_default();
        self.status.send_modify(|status| {
            tracing::info!(
                connector = status.connector,
                remote = status.remote,
                broker = name,
                broker_id = id,
                mirror = status.mirror,
                "network connection has been established"
            );
            status.enter(LinkState::Up);
            (status.remote_name, status.reason, status.failures) = (Some(name), None, 0);
        });
    }

    /// When to call [`Life::tick`] at the latest.
    fn wake(&mut self) -> Instant {
        let due = self.bridge.next_deadline().into_iter().chain(self.ways.next_deadline()).min();
        let due = due.map(|at| self.clock.deadline(at));
        let starting = self.up_since.is_none().then_some(self.until);
        due.into_iter().chain(starting).fold(self.gauge.due(), Instant::min)
    }

    /// Lets the bridge take what came over a connection; the answer is that connection if there may be more.
    fn hear(&mut self, side: Side) -> Option<Side> {
        let now = self.clock.now();
        match self.ways.hear(side, |command| self.bridge.handle(side, command, now)) {
            Ok(more) => more.then_some(side),
            Err(reason) => {
                self.bridge.lost(side, &reason);
                None
            }
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        self.bridge.tick(now);
        if let Err((side, reason)) = self.ways.tick(now) {
            self.bridge.lost(side, &reason);
        }
        self.gauge.show(self.bridge, now);
    }

    /// Nobody waits for ever for a broker that does not let the bridge in.
    fn overdue(&self) -> Option<Ending> {
        if self.up_since.is_some() || Instant::now() < self.until {
            return None;
        }
        let missing = if self.bridge.remote_name().is_none() { "the remote broker" } else { "a broker" };
        Some(Ending::Refused(format!("{missing} did not let the bridge in within {START:?}")))
    }

    fn end(self, ending: Ending) -> Ended {
        self.ways.close();
        Ended { ending, up_since: self.up_since }
    }
}

//! One life of a bridge: from two open connections to the end of one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ferromq_client::{ConnectOptions, Link as Wire};
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::line::Line;
use super::port::Port;
use super::status::{LinkState, LinkStatus, Pace};
use super::ways::{Way, Ways};
use crate::{Bridge, Ending, Order, Side};

/// Opens a connection to the local broker: one end of a pipe of which the broker has the other.
pub type LocalDoor = Arc<dyn Fn() -> io::Result<DuplexStream> + Send + Sync>;

/// Brokers that have not let the bridge in by then are left.
pub(super) const START: Duration = Duration::from_secs(30);
/// How often counts are shown to whoever asks.
const SHOW: Duration = Duration::from_millis(250);
/// How often what went for each destination is.
const SHOW_DESTINATIONS: u32 = 4;
/// A message that waits for an answer for so long is told of: the remote broker may have no room.
const LONG: Duration = Duration::from_secs(30);

/// The end of one life.
pub(super) struct Ended {
    pub ending: Ending,
    /// When it came up, if it did.
    pub up_since: Option<Instant>,
}

/// A connection on a line that speaks OpenWire from now on.
pub(super) fn open(line: impl Line + 'static, options: &ConnectOptions, clock: Clock) -> Result<Way, String> {
    let address = options.address();
    let wire = Wire::new(address.wire_format, address.limits).map_err(|error| error.to_string())?;
    Ok(Way::Port(Box::new(Port::new(line, wire, clock))))
}

/// A connection to the local broker itself, without any silence to watch for.
pub(super) fn open_local(door: &LocalDoor, clock: Clock) -> Result<Way, String> {
    let pipe = door().map_err(|error| format!("no connection to the local broker: {error}"))?;
    let options = ConnectOptions::parse("tcp://localhost?wireFormat.maxInactivityDuration=0")
        .map_err(|error| error.to_string())?;
    open(pipe, &options, clock)
}

/// Lets a bridge live until it ends, or `stop` says so.
pub(super) async fn drive(
    bridge: &mut Bridge,
    mut ways: Ways,
    clock: Clock,
    status: &watch::Sender<LinkStatus>,
    stop: &mut watch::Receiver<bool>,
) -> Ended {
    let until = Instant::now() + START;
    let mut up_since = None;
    let mut shown = Instant::now();
    let mut shows = 0_u32;
    let mut pace = Pace::default();
    let mut told_of_waiting = false;
    let sleep = sleep_until(shown + SHOW);
    tokio::pin!(sleep);
    // Of a connection whose last batch was full.
    let mut rest = None;
    for side in [Side::Local, Side::Remote, Side::Inbound] {
        // What came right behind an introduction, all of it: a connection is ready again only for more.
        while hear(bridge, &mut ways, side, clock.now()).is_some() {}
    }
    loop {
        while let Some(order) = bridge.poll() {
            match order {
                Order::Say(side, command) => ways.say(side, command),
                Order::Up => {
                    up_since = Some(Instant::now());
                    let name = bridge.remote_name().unwrap_or_default().to_owned();
                    let id = bridge.remote_id().unwrap_or_default();
                    status.send_modify(|status| {
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
                Order::Warn(text) => {
                    let connector = bridge.settings().name.as_str();
                    tracing::warn!(connector, "{text}");
                }
                Order::End(ending) => {
                    ways.close();
                    return Ended { ending, up_since };
                }
            }
        }
        if let Err((side, reason)) = ways.flush() {
            bridge.lost(side, &reason);
            continue;
        }
        let due = bridge.next_deadline().into_iter().chain(ways.next_deadline()).min();
        let due = due.map(|at| clock.deadline(at));
        let starting = up_since.is_none().then_some(until);
        let wake = [due, starting, Some(shown + SHOW)].into_iter().flatten().min().unwrap_or(until);
        // Too early a look costs less than to set the alarm for each command.
        if wake < sleep.deadline() || sleep.is_elapsed() {
            sleep.as_mut().reset(wake);
        }
        tokio::select! {
            (side, ready) = ways.ready(), if rest.is_none() => match ready {
                Ok(()) => rest = hear(bridge, &mut ways, side, clock.now()),
                Err(reason) => bridge.lost(side, &reason),
            },
            () = tokio::task::yield_now(), if rest.is_some() => {
                if let Some(side) = rest.take() {
                    rest = hear(bridge, &mut ways, side, clock.now());
                }
            }
            () = &mut sleep => {}
            _ = stop.wait_for(|stop| *stop) => {
                ways.close();
                return Ended { ending: Ending::Lost("the broker ends".to_owned()), up_since };
            }
        }
        let now = clock.now();
        bridge.tick(now);
        if let Err((side, reason)) = ways.tick(now) {
            bridge.lost(side, &reason);
        }
        if Instant::now() >= shown + SHOW {
            shown = Instant::now();
            shows = shows.wrapping_add(1);
            let counts = bridge.counts();
            let rates = pace.note(shown, &counts);
            let wait = bridge.longest_wait(clock.now());
            let destinations = shows.is_multiple_of(SHOW_DESTINATIONS).then(|| bridge.destinations());
            if wait < LONG {
                told_of_waiting = false;
            } else if !std::mem::replace(&mut told_of_waiting, true) {
                let connector = bridge.settings().name.as_str();
                tracing::warn!(
                    connector,
                    in_flight = counts.in_flight,
                    "the remote broker has not answered for a message for {LONG:?}; it may be out of room, and what is \
                     under way stays here until it does"
                );
            }
            status.send_if_modified(|status| {
                let same = status.counts == counts && status.rates == rates && status.longest_wait == wait;
                (status.counts, status.rates, status.longest_wait) = (counts, rates, wait);
                match destinations {
                    Some(destinations) if destinations != status.destinations => {
                        status.destinations = destinations;
                        true
                    }
                    _ => !same,
                }
            });
        }
        if up_since.is_none() && Instant::now() >= until {
            let missing = if bridge.remote_name().is_none() { "the remote broker" } else { "a broker" };
            let text = format!("{missing} did not let the bridge in within {START:?}");
            ways.close();
            return Ended { ending: Ending::Refused(text), up_since };
        }
    }
}

/// Lets the bridge take what came over a connection; the answer is that connection if there may be more.
fn hear(bridge: &mut Bridge, ways: &mut Ways, side: Side, now: ferromq_model::Instant) -> Option<Side> {
    match ways.hear(side, |command| bridge.handle(side, command, now)) {
        Ok(more) => more.then_some(side),
        Err(reason) => {
            bridge.lost(side, &reason);
            None
        }
    }
}

//! One life of a bridge: from two open connections to the end of one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ferromq_client::{ConnectOptions, Link as Wire, Stream};
use ferromq_openwire::{Command, ShutdownInfo};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::port::{Event, Port};
use super::status::{LinkState, LinkStatus, Pace};
use crate::{Bridge, Ending, Order, Side};

/// Opens a connection to the local broker, such as a pair of sockets within the process.
pub type LocalDoor = Arc<dyn Fn() -> io::Result<std::net::TcpStream> + Send + Sync>;

/// Commands that wait for the bridge at most, before its connections are read no further.
const WAITING: usize = 1_024;
/// Brokers that have not let the bridge in by then are left.
pub(super) const START: Duration = Duration::from_secs(30);
/// How often counts are shown to whoever asks.
const SHOW: Duration = Duration::from_millis(250);
/// How often what went for each destination is.
const SHOW_DESTINATIONS: u32 = 4;
/// A message that waits for an answer for so long is told of: the remote broker may have no room.
const LONG: Duration = Duration::from_secs(30);
/// Commands that are handled before what they led to is sent.
const BATCH: usize = 256;

/// The ways out of a bridge.
#[derive(Default)]
pub(super) struct Ways {
    pub local: Option<mpsc::UnboundedSender<Command>>,
    pub remote: Option<mpsc::UnboundedSender<Command>>,
    pub inbound: Option<mpsc::UnboundedSender<Command>>,
}

impl Ways {
    /// A connection that is gone is told of by its port.
    fn say(&self, side: Side, command: Command) {
        let way = match side {
            Side::Local => &self.local,
            Side::Remote => &self.remote,
            Side::Inbound => &self.inbound,
        };
        if let Some(way) = way {
            let _ = way.send(command);
        }
    }
}

/// The end of one life.
pub(super) struct Ended {
    pub ending: Ending,
    /// When it came up, if it did.
    pub up_since: Option<Instant>,
}

pub(super) fn channel() -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
    mpsc::channel(WAITING)
}

/// Opens a port on a stream that speaks OpenWire from now on.
pub(super) fn open(
    side: Side,
    stream: impl Into<Stream>,
    options: &ConnectOptions,
    clock: Clock,
    events: &mpsc::Sender<Event>,
) -> Result<mpsc::UnboundedSender<Command>, String> {
    let address = options.address();
    let wire = Wire::new(address.wire_format, address.limits).map_err(|error| error.to_string())?;
    Ok(Port::new(side, stream.into(), wire, clock).begin(events))
}

/// The local side: a connection to the broker itself, without any silence to watch for.
pub(super) fn open_local(
    side: Side,
    door: &LocalDoor,
    clock: Clock,
    events: &mpsc::Sender<Event>,
) -> Result<mpsc::UnboundedSender<Command>, String> {
    let stream = door().and_then(|stream| {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        TcpStream::from_std(stream)
    });
    let stream = stream.map_err(|error| format!("no connection to the local broker: {error}"))?;
    let options = ConnectOptions::parse("tcp://localhost?wireFormat.maxInactivityDuration=0")
        .map_err(|error| error.to_string())?;
    open(side, stream, &options, clock, events)
}

/// Lets a bridge live until it ends, or `stop` says so.
pub(super) async fn drive(
    bridge: &mut Bridge,
    ways: Ways,
    events: &mut mpsc::Receiver<Event>,
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
    let mut batch = Vec::with_capacity(BATCH);
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
                    say_goodbye(&ways);
                    return Ended { ending, up_since };
                }
            }
        }
        let due = bridge.next_deadline().map(|at| clock.deadline(at));
        let starting = up_since.is_none().then_some(until);
        let wake = [due, starting, Some(shown + SHOW)].into_iter().flatten().min().unwrap_or(until);
        tokio::select! {
            taken = events.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    bridge.lost(Side::Local, "its connection has ended");
                }
                let now = clock.now();
                for event in batch.drain(..) {
                    match event {
                        Event::Said(side, command) => bridge.handle(side, command, now),
                        Event::Gone(side, reason) => bridge.lost(side, &reason),
                    }
                }
            }
            () = sleep_until(wake) => {}
            _ = stop.wait_for(|stop| *stop) => {
                say_goodbye(&ways);
                return Ended { ending: Ending::Lost("the broker ends".to_owned()), up_since };
            }
        }
        bridge.tick(clock.now());
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
            say_goodbye(&ways);
            return Ended { ending: Ending::Refused(text), up_since };
        }
    }
}

fn say_goodbye(ways: &Ways) {
    for side in [Side::Inbound, Side::Local, Side::Remote] {
        ways.say(side, ShutdownInfo::default().into());
    }
}

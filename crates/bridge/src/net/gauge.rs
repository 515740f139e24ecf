//! [`Gauge`]: shows what a bridge does to whoever asks, and tells of a message that waits for too long.

use std::collections::VecDeque;
use std::time::Duration;

use ferromq_model::Instant as CoreInstant;
use tokio::sync::watch;
use tokio::time::Instant;

use super::status::{LinkStatus, Rates};
use crate::{Bridge, Counts};

/// How often counts are shown.
const SHOW: Duration = Duration::from_millis(250);
/// How often, among these, what went for each destination is.
const SHOW_DESTINATIONS: u32 = 4;
/// A message that waits for an answer for so long is told of: the remote broker may have no room.
const LONG: Duration = Duration::from_secs(30);

/// Of one life of a bridge.
pub(super) struct Gauge<'a> {
    status: &'a watch::Sender<LinkStatus>,
    shown: Instant,
    shows: u32,
    pace: Pace,
    told_of_waiting: bool,
}

impl<'a> Gauge<'a> {
    pub fn new(status: &'a watch::Sender<LinkStatus>) -> Self {
        Self { status, shown: Instant::now(), shows: 0, pace: Pace::default(), told_of_waiting: false }
    }

    /// When to call [`Gauge::show`].
    pub fn due(&self) -> Instant {
        self.shown + SHOW
    }

    /// Shows how the bridge is, if it is time.
    pub fn show(&mut self, bridge: &Bridge, now: CoreInstant) {
        if Instant::now() < self.due() {
            return;
        }
        self.shown = Instant::now();
        self.shows = self.shows.wrapping_add(1);
        let counts = bridge.counts();
        let rates = self.pace.note(self.shown, &counts);
        let wait = bridge.longest_wait(now);
        self.tell_of_waiting(bridge, wait, counts.in_flight);
        let destinations = self.shows.is_multiple_of(SHOW_DESTINATIONS).then(|| bridge.destinations());
        self.status.send_if_modified(|status| {
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

    /// Once, until nothing waits for so long any more.
    fn tell_of_waiting(&mut self, bridge: &Bridge, wait: Duration, in_flight: u64) {
        if wait < LONG {
            self.told_of_waiting = false;
        } else if !std::mem::replace(&mut self.told_of_waiting, true) {
            let connector = bridge.settings().name.as_str();
            tracing::warn!(
                connector,
                in_flight,
                "the remote broker has not answered for a message for {LONG:?}; it may be out of room, and what is under \
                 way stays here until it does"
            );
        }
    }
}

/// Samples of which the rates are made.
const SAMPLES: usize = 20;

/// Counts of the last few seconds.
#[derive(Debug, Default)]
struct Pace {
    samples: VecDeque<(Instant, u64, u64)>,
}

impl Pace {
    fn note(&mut self, now: Instant, counts: &Counts) -> Rates {
        self.samples.push_back((now, counts.forwarded, counts.received));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
        let Some((since, forwarded, received)) = self.samples.front() else { return Rates::default() };
        let seconds = now.duration_since(*since).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        // Counts of a few seconds are small enough.
        let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        Rates { forwarded: rate(counts.forwarded, *forwarded), received: rate(counts.received, *received) }
    }
}

//! [`LinkStatus`]: what an operator asks about a link.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::{Counts, DestinationCounts};

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// Wanted, and waiting for the next attempt; the status says why it is not up.
    Waiting,
    /// A connection is being opened, and the remote broker introduces itself.
    Connecting,
    /// Both brokers let the bridge in.
    Starting,
    /// Messages flow.
    Up,
    /// Given up, after as many attempts as were allowed; the status says why.
    GivenUp,
    /// The broker ends, or is no longer the master.
    Stopped,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::GivenUp => "given up",
            Self::Stopped => "stopped",
        })
    }
}

/// A link at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The connector that it belongs to.
    pub connector: String,
    /// The address, of several the one that was tried last.
    pub remote: String,
    /// The name of the broker there, once it is known.
    pub remote_name: Option<String>,
    /// Whether the peer asked for it (the other half of its duplex bridge).
    pub mirror: bool,
    /// How far it is.
    pub state: LinkState,
    /// Why it is not up, or was not the last time.
    pub reason: Option<String>,
    /// Since when it is in this state.
    pub since: SystemTime,
    /// Attempts that failed since it was up last.
    pub failures: u32,
    /// When this state ends at the latest: the next attempt, or the end of the present one. `None` for one that lasts.
    pub until: Option<SystemTime>,
    /// What it has done since it came up last.
    pub counts: Counts,
    /// What it has done before that.
    pub(super) before: Counts,
    /// Messages in a second, over the last few seconds.
    pub rates: Rates,
    /// How long the message that has waited longest for the remote broker's answer has waited.
    pub longest_wait: Duration,
    /// What went over it for each destination since it came up last; a second old at most.
    pub destinations: Vec<DestinationCounts>,
}

/// Messages in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// To the remote broker.
    pub forwarded: f64,
    /// From the remote broker, over a duplex bridge.
    pub received: f64,
}

impl LinkStatus {
    pub(super) fn new(connector: &str, remote: &str, mirror: bool) -> Self {
        Self {
            connector: connector.to_owned(),
            remote: remote.to_owned(),
            remote_name: None,
            mirror,
            state: LinkState::Connecting,
            reason: None,
            since: SystemTime::now(),
            failures: 0,
            until: None,
            counts: Counts::default(),
            before: Counts::default(),
            rates: Rates::default(),
            longest_wait: Duration::ZERO,
            destinations: Vec::new(),
        }
    }

    /// What it has done since it is wanted.
    pub fn totals(&self) -> Counts {
        let Counts { forwarded, refused, received, .. } = self.before;
        Counts {
            forwarded: self.counts.forwarded + forwarded,
            refused: self.counts.refused + refused,
            received: self.counts.received + received,
            ..self.counts
        }
    }

    /// Takes on a state, for `within` at the longest.
    pub(super) fn enter_for(&mut self, state: LinkState, within: Duration) {
        self.enter(state);
        self.until = SystemTime::now().checked_add(within);
    }

    pub(super) fn enter(&mut self, state: LinkState) {
        self.until = None;
        if self.state != state {
            self.state = state;
            self.since = SystemTime::now();
        }
    }

    /// The bridge is gone; what it did stays in the sums.
    pub(super) fn close_books(&mut self) {
        self.before = Counts { in_flight: 0, consumers: 0, subscriptions: 0, suppressed: 0, ..self.totals() };
        (self.counts, self.rates) = (Counts::default(), Rates::default());
        self.longest_wait = Duration::ZERO;
        self.destinations.clear();
    }
}

//! [`LinkStatus`]: what an operator asks about a link.

use std::fmt;
use std::time::SystemTime;

use crate::Counts;

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// Wanted, and waiting for the next attempt; the status says why it is not up.
    Waiting,
    /// A connection is being opened.
    Connecting,
    /// The brokers introduce themselves and let the bridge in.
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
    /// What it has done since it came up last.
    pub counts: Counts,
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
            counts: Counts::default(),
        }
    }

    pub(super) fn enter(&mut self, state: LinkState) {
        if self.state != state {
            self.state = state;
            self.since = SystemTime::now();
        }
    }
}

//! [`RoleView`]: what a node is, as its role machine publishes it.

use std::time::{Duration, Instant};

use ferromq_model::Epoch;

/// What a node does for clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Follows the store of another master.
    #[default]
    Standby,
    /// Has won an epoch and is about to serve.
    Claiming,
    /// Serves clients.
    Active,
    /// Ends.
    Stopping,
}

impl Role {
    /// Every role, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Standby, Self::Claiming, Self::Active, Self::Stopping];

    /// The word in logs, metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Claiming => "claiming",
            Self::Active => "active",
            Self::Stopping => "stopping",
        }
    }
}

/// What a standby said of its lag longer ago says nothing of now; it looks many times a second.
const LAG_HOLDS: Duration = Duration::from_secs(2);

/// How far a standby is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of the store that it has not followed, at most.
    pub bytes: u64,
    /// When that was so.
    pub seen: Instant,
}

/// The state of a node; published whole with each change of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RoleView {
    /// The name of the node.
    pub node: String,
    /// What it does.
    pub role: Role,
    /// Since when.
    pub since: Instant,
    /// Who is master as far as it knows.
    pub master: Option<String>,
    /// The highest epoch that it knows; its own if it is active.
    pub epoch: Epoch,
    /// Whether it is a standby whose master looks dead or stalled.
    pub suspects: bool,
    /// How far a standby is behind, as it saw it last.
    pub lag: Option<Lag>,
    /// How long a takeover would last from the last sign of life of a silent master; from one that died it is less.
    pub expected_takeover: Option<Duration>,
    /// Its last takeover.
    pub last_takeover: Option<Takeover>,
    /// Where clients are served, or would be.
    pub listeners: Vec<String>,
    /// What keeps the messages, without passwords.
    pub store: String,
    /// The lock beside the store, if there is one, without passwords.
    pub lock: Option<String>,
}

impl RoleView {
    /// A node that knows nothing yet.
    pub fn new(node: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            role: Role::Standby,
            since: Instant::now(),
            master: None,
            epoch: Epoch::default(),
            suspects: false,
            lag: None,
            expected_takeover: None,
            last_takeover: None,
            listeners: Vec::new(),
            store: String::new(),
            lock: None,
        }
    }

    /// Bytes of the store that a standby has not followed yet, at most; `None` if that can't be told, or was true too
    /// long ago: a standby whose storage hangs knows nothing.
    pub fn lag_bytes(&self) -> Option<u64> {
        self.lag.filter(|lag| lag.seen.elapsed() < LAG_HOLDS).map(|lag| lag.bytes)
    }

    /// Takes on a role, from now on.
    pub fn enter(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            self.since = Instant::now();
        }
    }
}

/// The moments of a takeover, counted from the first suspicion, or from the request if nobody was suspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    /// The number of the epoch that was won.
    pub epoch: u64,
    /// The lease was granted.
    pub claimed: Option<Duration>,
    /// The store was sealed and read to its end.
    pub recovered: Option<Duration>,
    /// The ports serve.
    pub listening: Option<Duration>,
    /// A client said who it is.
    pub first_connection: Option<Duration>,
    /// A client got an answer to something that it sent.
    pub first_reply: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_long_ago_is_no_lag() {
        let mut view = RoleView::new("a");
        assert_eq!(view.lag_bytes(), None);
        view.lag = Some(Lag { bytes: 7, seen: Instant::now() });
        assert_eq!(view.lag_bytes(), Some(7));
        view.lag = Instant::now().checked_sub(LAG_HOLDS).map(|seen| Lag { bytes: 7, seen });
        assert_eq!(view.lag_bytes(), None);
    }
}

//! [`LinkView`]: what operators see of a link to another broker.

use std::time::Duration;

/// A link that is wanted, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkView {
    /// The network connector that it belongs to.
    pub connector: String,
    /// The address of the other broker; of several the one that was tried last.
    pub remote: String,
    /// The name of the other broker, once it is known.
    pub remote_broker: Option<String>,
    /// Whether it is the other half of a peer's duplex bridge.
    pub mirror: bool,
    /// `waiting`, `connecting`, `starting`, `up`, `given up` or `stopped`.
    pub state: String,
    /// Whether messages flow.
    pub up: bool,
    /// Why it is not up, or was not the last time.
    pub reason: Option<String>,
    /// How long it has been in this state.
    pub in_state: Duration,
    /// How long this state lasts at most: until the next attempt, or the end of the present one.
    pub ends_in: Option<Duration>,
    /// Attempts that failed since it was up last.
    pub failures: u32,
    /// Messages that the other broker has answered for.
    pub forwarded: u64,
    /// Messages that it refused for good; dead letters here.
    pub refused: u64,
    /// Messages that came from it over a duplex link.
    pub received: u64,
    /// Messages that wait for its answer.
    pub in_flight: u64,
    /// How long the one that has waited longest has waited.
    pub longest_wait: Duration,
    /// Messages in a second to the other broker, lately.
    pub forward_rate: f64,
    /// Messages in a second from the other broker, lately.
    pub receive_rate: f64,
    /// Consumers over there that are known.
    pub consumers: u64,
    /// Subscriptions here that stand for them.
    pub subscriptions: u64,
    /// Subscriptions that are left to another way to the same consumers.
    pub suppressed: u64,
    /// What went over it for each destination lately: name, forwarded, received.
    pub destinations: Vec<(String, u64, u64)>,
}

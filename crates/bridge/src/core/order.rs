//! [`Order`]: what a bridge has done by whoever drives it, and what it tells of itself.

use std::fmt;

use ferromq_openwire::Command;

/// Which connection a command came from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The bridge's own, to the local broker.
    Local,
    /// The connection to the remote broker.
    Remote,
    /// Of a duplex bridge: to the local broker on behalf of the remote one.
    Inbound,
}

impl Side {
    /// The broker at the other end of it, in a text.
    pub(crate) const fn broker(self) -> &'static str {
        match self {
            Self::Local | Self::Inbound => "the local broker",
            Self::Remote => "the remote broker",
        }
    }
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are commands, and none of them stays")]
pub enum Order {
    /// Send a command.
    Say(Side, Command),
    /// The bridge has come up.
    Up,
    /// Something for the operator's log.
    Warn(String),
    /// The bridge is over: close all connections.
    End(Ending),
}

/// Why a bridge is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The other end is this broker itself. Another try would find the same.
    Loop,
    /// A broker did not let the bridge in; the text says which, and why.
    Refused(String),
    /// A broker has ended the connection, or broken the protocol.
    Lost(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop => f.write_str(
                "the other end is this broker itself, or a broker of the same name; name another one, and give each \
                 broker a name of its own",
            ),
            Self::Refused(text) | Self::Lost(text) => f.write_str(text),
        }
    }
}

/// What a bridge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the remote broker answered for.
    pub forwarded: u64,
    /// Messages that it refused for good; dead letters here.
    pub refused: u64,
    /// Messages under way.
    pub in_flight: u64,
    /// Messages that came from the remote broker over a duplex bridge.
    pub received: u64,
    /// Remote consumers that are known.
    pub consumers: u64,
    /// Local subscriptions that stand for them.
    pub subscriptions: u64,
    /// Subscriptions that are left to another way to the same consumers.
    pub suppressed: u64,
}

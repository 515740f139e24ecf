//! Why a session ended.

use thiserror::Error;

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The peer broke the protocol, a limit, or went silent.
    Peer,
    /// The broker wants no more of this connection (takeover, policy, shutdown).
    Broker,
    /// Something that the peer could not be told in its protocol.
    Bug,
}

/// Why a session ended other than by the peer's wish.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// No greeting within the time for it.
    #[error("no WireFormatInfo within {after_ms} ms (connectAttemptTimeout)")]
    HandshakeTimeout {
        /// How long it had.
        after_ms: u64,
    },
    /// The first frame is no greeting.
    #[error("the peer did not begin with WireFormatInfo: {found}; is it an OpenWire client?")]
    NotOpenWire {
        /// What came instead.
        found: String,
    },
    /// Nothing came for too long.
    #[error("the peer was inactive for more than {after_ms} ms (wireFormat.maxInactivityDuration)")]
    Inactive {
        /// The agreed duration.
        after_ms: u64,
    },
    /// A frame that was begun does not get on.
    #[error("a frame of the peer stalled: fewer than {least_bytes} bytes within {within_ms} ms")]
    Stalled {
        /// What is asked of a peer that has begun a frame.
        least_bytes: u64,
        /// In which time.
        within_ms: u64,
    },
    /// Bytes or fields that make no sense, or exceed a limit of the protocol.
    #[error("bad frame: {0}")]
    Malformed(String),
    /// Commands in the wrong order.
    #[error("{0}")]
    WrongOrder(String),
    /// The peer may not come in.
    #[error("login refused: {0}")]
    LoginRefused(String),
    /// The engine refused the connection.
    #[error("connection refused: {0}")]
    Refused(String),
    /// A bound of [`crate::SessionLimits`].
    #[error("more than {limit} {what} on one connection")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The engine closed the connection.
    #[error("closed by the broker: {0}")]
    Closed(String),
    /// Something for the peer cannot be put into its protocol.
    #[error("a command cannot be sent to the peer: {0}")]
    Unsendable(String),
    /// The peer reported a failure and is about to go.
    #[error("the peer reported: {0}")]
    PeerFailed(String),
}

impl SessionError {
    /// Whose fault it was.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed(_) => ErrorKind::Broker,
            Self::Unsendable(_) => ErrorKind::Bug,
            _ => ErrorKind::Peer,
        }
    }
}

//! What can go wrong, by culprit. Every text names the broker and what was being done.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ferromq_openwire::{ExceptionClass, Throwable};
use ferromq_uri::UriError;

/// An error of the client. Cheap to clone, because one lost connection fails everything that waits for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URI is no address of a broker, or an option in it is wrong.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The URI asks for something that this client does not do.
    #[error("{uri}: {what}")]
    Unsupported {
        /// The URI.
        uri: String,
        /// What, and what to do instead.
        what: &'static str,
    },
    /// No TCP connection came about.
    #[error("cannot connect to {uri}: {source}")]
    Connect {
        /// The broker.
        uri: Arc<str>,
        /// The reason.
        source: Arc<io::Error>,
    },
    /// The broker stayed silent for too long.
    #[error("{uri} gave no answer within {after:?} to: {what}")]
    Timeout {
        /// The broker.
        uri: Arc<str>,
        /// What was asked.
        what: String,
        /// How long we waited.
        after: Duration,
    },
    /// The broker answered with an exception.
    #[error("{uri} refused to {what}: {message} ({class})")]
    Refused {
        /// The broker.
        uri: Arc<str>,
        /// What was asked, with the destination.
        what: String,
        /// The Java class of the exception.
        class: String,
        /// Its message.
        message: String,
    },
    /// The broker reported a failure that belongs to no request.
    #[error("{uri} reports: {message} ({class})")]
    Asynchronous {
        /// The broker.
        uri: Arc<str>,
        /// The Java class of the exception.
        class: String,
        /// Its message.
        message: String,
    },
    /// The connection is over.
    #[error("the connection to {uri} is closed: {reason}")]
    Closed {
        /// The broker.
        uri: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// None of several brokers could be used; the texts say which were tried, and why each failed.
    #[error("no broker for: {what}; gave up after {after:?}. Tried {tried}")]
    NoBroker {
        /// What was wanted.
        what: Arc<str>,
        /// How long it waited.
        after: Duration,
        /// Each URI and its failure.
        tried: Arc<str>,
    },
    /// A transaction was lost together with its broker: none of it took effect.
    #[error("{uri} has rolled back the transaction: {reason}")]
    RolledBack {
        /// The broker that was asked.
        uri: Arc<str>,
        /// Why.
        reason: String,
    },
    /// The connection was lost while a commit was under way, and the next broker cannot tell how it ended.
    #[error(
        "the transaction is in doubt: the connection was lost during its commit, and {uri} does not know how it ended"
    )]
    InDoubt {
        /// The broker that was asked.
        uri: Arc<str>,
    },
    /// The broker sent what is no OpenWire, or what makes no sense at that moment.
    #[error("{uri} broke the protocol: {reason}")]
    Protocol {
        /// The broker.
        uri: Arc<str>,
        /// How.
        reason: String,
    },
    /// A command or message cannot be put on the wire.
    #[error("cannot encode the message for {destination}: {source}")]
    Encode {
        /// Where it should have gone.
        destination: String,
        /// Why.
        source: ferromq_openwire::Error,
    },
    /// The application asked for something impossible.
    #[error("{0}")]
    Usage(&'static str),
}

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker refused or misbehaved.
    Peer,
    /// The application or its configuration.
    Caller,
    /// Try again later, or elsewhere.
    Resource,
}

impl Error {
    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Uri(_) | Self::Unsupported { .. } | Self::Encode { .. } | Self::Usage(_) => {
                ErrorKind::Caller
            }
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Closed { .. }
            | Self::NoBroker { .. }
            | Self::RolledBack { .. }
            | Self::InDoubt { .. } => ErrorKind::Resource,
            Self::Refused { class, .. } | Self::Asynchronous { class, .. } => match known(class) {
                Some(ExceptionClass::ResourceAllocation) => ErrorKind::Resource,
                _ => ErrorKind::Peer,
            },
            Self::Protocol { .. } => ErrorKind::Peer,
        }
    }

    /// Whether a broker said no to who we are, so that asking again is of no use.
    #[cfg(feature = "net")]
    pub(crate) fn is_final(&self) -> bool {
        let class = match self {
            Self::Refused { class, .. } => known(class),
            _ => None,
        };
        use ExceptionClass::{InvalidClientId, JmsSecurity, Security};
        matches!(class, Some(InvalidClientId | JmsSecurity | Security))
    }

    /// The Java class behind a refusal.
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Refused { class, .. } | Self::Asynchronous { class, .. } => Some(class),
            // What Java's clients raise.
            Self::RolledBack { .. } | Self::InDoubt { .. } => {
                Some(ExceptionClass::TransactionRolledBack.name())
            }
            _ => None,
        }
    }
}

fn known(class: &str) -> Option<ExceptionClass> {
    ExceptionClass::from_name(class)
}

/// Class and message of an exception, with words for what is missing.
pub(crate) fn words(exception: Option<&Throwable>) -> (String, String) {
    let text = |value: Option<&ferromq_openwire::WireStr>, missing: &str| {
        value.map_or_else(|| missing.to_owned(), |text| text.to_str().into_owned())
    };
    (
        text(exception.and_then(|e| e.class.as_ref()), "an exception without a class"),
        text(exception.and_then(|e| e.message.as_ref()), "no reason given"),
    )
}

/// The result of the client's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

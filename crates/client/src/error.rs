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
            Self::Connect { .. } | Self::Timeout { .. } | Self::Closed { .. } => ErrorKind::Resource,
            Self::Refused { class, .. } | Self::Asynchronous { class, .. } => match known(class) {
                Some(ExceptionClass::ResourceAllocation) => ErrorKind::Resource,
                _ => ErrorKind::Peer,
            },
            Self::Protocol { .. } => ErrorKind::Peer,
        }
    }

    /// The Java class behind a refusal.
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Refused { class, .. } | Self::Asynchronous { class, .. } => Some(class),
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

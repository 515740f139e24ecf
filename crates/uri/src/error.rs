//! Why a text is no URI, or an option no option: where, what, and what to write instead.

use thiserror::Error;

/// What is wrong with a URI. Columns are counted in characters from 1; no text repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UriError {
    /// The text, or a component of it, is empty.
    #[error("URI, column {column}: nothing stands here; expected something like tcp://host:61616")]
    Empty {
        /// Where it stands.
        column: usize,
    },
    /// Longer than [`crate::MAX_URI_BYTES`].
    #[error(
        "URI of {bytes} bytes is longer than the limit of {limit}; name fewer brokers, or one name for several"
    )]
    TooLong {
        /// Length of the text.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More components or levels than [`crate::MAX_COMPONENTS`] or [`crate::MAX_NESTING`].
    #[error("URI, column {column}: more than {limit} {what}; name fewer brokers, or one name for several")]
    TooMany {
        /// Where the one beyond the limit stands.
        column: usize,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No `scheme:` in front.
    #[error("URI, column {column}: no scheme in front of '{text}'; write something like tcp://host:61616")]
    NoScheme {
        /// Where it should stand.
        column: usize,
        /// What stands there.
        text: String,
    },
    /// A scheme that ActiveMQ does not know either.
    #[error("URI, column {column}: unknown scheme '{scheme}'; {}", scheme_hint(*suggestion))]
    UnknownScheme {
        /// Where it stands.
        column: usize,
        /// The scheme.
        scheme: String,
        /// The nearest known scheme.
        suggestion: Option<&'static str>,
    },
    /// The scheme is known but cannot do what is asked of it.
    #[error("URI, column {column}: scheme '{scheme}' is not supported here; {remedy}")]
    WrongScheme {
        /// Where it stands.
        column: usize,
        /// The scheme.
        scheme: String,
        /// What to write instead.
        remedy: &'static str,
    },
    /// Anything in the structure of the text that does not fit.
    #[error("URI, column {column}: {problem}; {remedy}")]
    Syntax {
        /// Where it stands.
        column: usize,
        /// What is wrong.
        problem: &'static str,
        /// What to write instead.
        remedy: &'static str,
    },
    /// A port that is no number from 0 to 65535.
    #[error("URI, column {column}: '{text}' is no port; a port is a number from 0 to 65535")]
    Port {
        /// Where it stands.
        column: usize,
        /// What stands there.
        text: String,
    },
    /// A host that is neither a name nor an address.
    #[error(
        "URI, column {column}: '{text}' is no host; write a name, an IPv4 address, or an IPv6 address in [ ]"
    )]
    Host {
        /// Where it stands.
        column: usize,
        /// What stands there.
        text: String,
    },
    /// An option that is unknown for this kind of URI.
    #[error("URI, column {column}: unknown option '{name}'; {}", hint(suggestion))]
    UnknownOption {
        /// Where it stands.
        column: usize,
        /// The name.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
    },
    /// A value that the option cannot have.
    #[error("URI, column {column}: option {name} is '{value}', expected {expected}")]
    OptionValue {
        /// Where the option stands.
        column: usize,
        /// The name.
        name: String,
        /// The value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An option that is given twice, with two values.
    #[error("URI, column {column}: option {name} is given twice with different values; keep one")]
    RepeatedOption {
        /// Where the second stands.
        column: usize,
        /// The name.
        name: String,
    },
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(|| "remove it".to_owned(), |name| format!("did you mean {name}?"))
}

fn scheme_hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(
        || "write something like tcp://host:61616".to_owned(),
        |name| format!("did you mean {name}?"),
    )
}

/// What kind of mistake an error is. All of them are made by whoever wrote the URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is no URI.
    Syntax,
    /// The URI is beyond a limit.
    Limit,
    /// The URI is whole, but not usable for this purpose.
    Unsupported,
    /// The URI is whole, but an option is not.
    Option,
}

impl UriError {
    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLong { .. } | Self::TooMany { .. } => ErrorKind::Limit,
            Self::WrongScheme { .. } => ErrorKind::Unsupported,
            Self::UnknownOption { .. } | Self::OptionValue { .. } | Self::RepeatedOption { .. } => {
                ErrorKind::Option
            }
            _ => ErrorKind::Syntax,
        }
    }

    /// The column at which the mistake stands, counted in characters from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        match self {
            Self::TooLong { limit, .. } => *limit,
            Self::Empty { column }
            | Self::TooMany { column, .. }
            | Self::NoScheme { column, .. }
            | Self::UnknownScheme { column, .. }
            | Self::WrongScheme { column, .. }
            | Self::Syntax { column, .. }
            | Self::Port { column, .. }
            | Self::Host { column, .. }
            | Self::UnknownOption { column, .. }
            | Self::OptionValue { column, .. }
            | Self::RepeatedOption { column, .. } => *column,
        }
    }
}

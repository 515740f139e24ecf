//! Why users could not be set up, and why a client was not let in.

use thiserror::Error;

/// What is wrong with the users of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The list of users is empty; an open broker must be asked for as such.
    #[error("no users: a broker that asks for a login needs at least one")]
    NoUsers,
    /// More users, groups or bytes than allowed.
    #[error("user {name}: {what} is beyond the limit of {limit}")]
    Limit {
        /// The user.
        name: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An empty name.
    #[error("a user without a name; set one, it is what clients log in with")]
    NoName,
    /// Two users of one name.
    #[error("user {name} is listed twice; keep one of them")]
    Repeated {
        /// The name.
        name: String,
    },
    /// An empty password.
    #[error("user {name}: the password is empty; set one, or leave the user out")]
    EmptyPassword {
        /// The user.
        name: String,
    },
    /// A text that is no argon2 hash.
    #[error(
        "user {name}: the password hash is not usable ({reason}); expected a PHC string such as $argon2id$v=19$m=19456,t=2,p=1$…"
    )]
    Hash {
        /// The user.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A password or salt that cannot be hashed.
    #[error("cannot hash this password: {reason}")]
    Hashing {
        /// What is wrong.
        reason: String,
    },
}

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Whoever called, with what the configuration says.
    Caller,
    /// The client.
    Peer,
}

impl AuthError {
    /// The kind of the error: the configuration's.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Caller
    }
}

/// Why a client was not let in. The text is the one that ActiveMQ's clients know; it does not tell which of the two
/// was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Unknown user, wrong password, or none at all.
    #[error("User name [{}] or password is invalid.", user.as_deref().unwrap_or("null"))]
    Credentials {
        /// The name as given, cut to its first characters; `None` if none was given.
        user: Option<String>,
    },
}

impl Refusal {
    /// The class of the exception that ActiveMQ sends with this text.
    pub const JAVA_CLASS: &str = "java.lang.SecurityException";

    /// The kind of the error: the client's.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Peer
    }
}

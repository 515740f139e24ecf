//! [`PgError`]: what went wrong with a database.

use std::time::Duration;

use tokio_postgres::error::SqlState;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PgErrorKind {
    /// The connection is gone, and with it the knowledge whether the last transaction was committed. A new session may
    /// find out.
    Lost,
    /// The database asks for the same transaction again (serialization failure, deadlock); nothing of it was done.
    Again,
    /// The URL or the server's settings are wrong; somebody must change them.
    Refused,
    /// The database said no.
    Server,
}

/// An error of a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PgError {
    /// The URL can't be used.
    #[error("the database's URL: {0}")]
    Url(String),
    /// Certificates can't be read or used.
    #[error("TLS to {server}: {reason}")]
    Tls {
        /// Which server.
        server: String,
        /// Why not.
        reason: String,
    },
    /// The server's answer did not come in time.
    #[error("{server} did not answer within {within:?}")]
    Slow {
        /// Which server.
        server: String,
        /// How long it had.
        within: Duration,
    },
    /// The server would not keep what it acknowledges, or can't be written.
    #[error("{server} is not fit to be a store: {reason}")]
    Unfit {
        /// Which server.
        server: String,
        /// Why not, and the remedy.
        reason: String,
    },
    /// The server or the connection failed.
    #[error("{server}: {}", told(source))]
    Database {
        /// Which server.
        server: String,
        /// What it said.
        source: tokio_postgres::Error,
    },
}

/// What the server said in its own words, else what the library says.
fn told(error: &tokio_postgres::Error) -> String {
    use std::error::Error;
    match (error.as_db_error(), error.source()) {
        (Some(told), _) => format!("{} ({})", told.message(), told.code().code()),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}

impl PgError {
    /// The server is there, and took longer than it was given.
    pub fn is_late(&self) -> bool {
        match self {
            Self::Slow { .. } => true,
            Self::Database { source, .. } => {
                matches!(source.code(), Some(&SqlState::QUERY_CANCELED | &SqlState::LOCK_NOT_AVAILABLE))
            }
            _ => false,
        }
    }

    /// What to do about it.
    pub fn kind(&self) -> PgErrorKind {
        match self {
            Self::Url(_) | Self::Tls { .. } | Self::Unfit { .. } => PgErrorKind::Refused,
            Self::Slow { .. } => PgErrorKind::Lost,
            Self::Database { source, .. } => match source.code() {
                // Without a code it is the connection or the protocol on it, and the session is of no more use.
                None => PgErrorKind::Lost,
                Some(code) => kind_of(code),
            },
        }
    }

    /// The server's code, if the server said no.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Database { source, .. } => source.code(),
            _ => None,
        }
    }
}

fn kind_of(code: &SqlState) -> PgErrorKind {
    const LOGIN: [SqlState; 3] = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::UNDEFINED_DATABASE,
    ];
    const GOING: [SqlState; 5] = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    if LOGIN.contains(code) {
        PgErrorKind::Refused
    } else if GOING.contains(code) || code.code().starts_with("08") {
        PgErrorKind::Lost
    } else if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) {
        PgErrorKind::Again
    } else {
        PgErrorKind::Server
    }
}

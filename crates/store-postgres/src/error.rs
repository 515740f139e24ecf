//! From the database's errors and numbers to the store's.

use std::io;

use ferromq_postgres::{PgError, PgErrorKind};
use ferromq_store::StoreError;

use crate::options::Place;

impl Place {
    /// What an error of the database means to the store.
    pub(crate) fn wrong(&self, error: &PgError) -> StoreError {
        let store = self.shown().to_owned();
        if error.is_late() {
            let source = io::Error::new(io::ErrorKind::TimedOut, error.to_string());
            return StoreError::Io { action: "asking", path: store, source };
        }
        match error.kind() {
            PgErrorKind::Refused => StoreError::NotAStore { store, reason: error.to_string() },
            _ => StoreError::Database { store, reason: error.to_string() },
        }
    }

    pub(crate) fn failed(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Database { store: self.shown().to_owned(), reason: reason.into() }
    }
}

/// A number of the model as the database keeps it. Places and ids never come near the sign.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that the database keeps, as the model has it.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

//! From SQLite's errors to the store's.

use std::path::Path;

use ferromq_store::StoreError;
use rusqlite::ErrorCode;

/// What an error of SQLite on this file means.
pub(crate) fn database(path: &Path, error: &rusqlite::Error) -> StoreError {
    let store = path.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            StoreError::NotAStore { store, reason: "the file is no SQLite database".to_owned() }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::InUse { store, holder: "another SQLite connection".to_owned() }
        }
        _ => StoreError::Database { store, reason: error.to_string() },
    }
}

pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { action, path: path.display().to_string(), source }
}

/// A number of the model as SQLite keeps it. Places and ids never come near the sign.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that SQLite keeps, as the model has it.
pub(crate) fn uint(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

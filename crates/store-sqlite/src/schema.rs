//! The tables, their versions, and how a connection is set up.

use std::path::Path;

use ferromq_store::StoreError;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::error::database;

/// "FMQ" and a 1, in the file's header, so that `file` and we know whose it is.
pub(crate) const APPLICATION_ID: i64 = 0x464d_5101;

/// Migration n leads from version n to version n + 1.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE reign (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        number INTEGER NOT NULL,
        claim INTEGER NOT NULL,
        next_sequence INTEGER NOT NULL,
        next_destination INTEGER NOT NULL,
        next_subscription INTEGER NOT NULL,
        producer_uses INTEGER NOT NULL,
        syncs INTEGER NOT NULL
    );
    INSERT INTO reign VALUES (1, 0, 0, 1, 1, 1, 0, 0);
    CREATE TABLE destinations (
        id INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        exposed INTEGER NOT NULL
    );
    CREATE TABLE subscriptions (
        id INTEGER PRIMARY KEY,
        client BLOB NOT NULL,
        name BLOB NOT NULL,
        topic_kind INTEGER NOT NULL,
        topic TEXT NOT NULL,
        selector BLOB,
        no_local INTEGER NOT NULL,
        messages INTEGER NOT NULL,
        exposed INTEGER NOT NULL
    );
    CREATE TABLE messages (
        sequence INTEGER PRIMARY KEY,
        destination INTEGER NOT NULL,
        priority INTEGER NOT NULL,
        expiration INTEGER NOT NULL,
        charge INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        header BLOB NOT NULL,
        properties BLOB,
        body BLOB
    );
    CREATE INDEX messages_in_order ON messages (destination, sequence, expiration, charge, priority);
    CREATE TABLE waiting (
        subscription INTEGER NOT NULL,
        destination INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (subscription, destination, sequence)
    ) WITHOUT ROWID;
    CREATE INDEX waiting_for_message ON waiting (sequence);
    CREATE TABLE producers (
        connection BLOB NOT NULL,
        session INTEGER NOT NULL,
        value INTEGER NOT NULL,
        highest INTEGER NOT NULL,
        bits BLOB NOT NULL,
        used INTEGER NOT NULL,
        PRIMARY KEY (connection, session, value)
    ) WITHOUT ROWID;
    CREATE INDEX producers_by_use ON producers (used);
",
    "
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        name BLOB NOT NULL,
        reserved INTEGER NOT NULL
    );
    CREATE TABLE positions (
        stream INTEGER NOT NULL,
        position INTEGER NOT NULL,
        destination INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        subscription INTEGER NOT NULL,
        message INTEGER NOT NULL,
        PRIMARY KEY (stream, position)
    ) WITHOUT ROWID;
",
];

/// Beside every version; a program that does not know it does without: which store it is, the same in every copy.
const IDENTITY: &str = "
    CREATE TABLE IF NOT EXISTS identity (only INTEGER PRIMARY KEY CHECK (only = 1), id INTEGER NOT NULL)
";

/// Gives the store its id, unless it has one; `fresh` is random.
pub(crate) fn identify(connection: &Connection, fresh: u64) -> rusqlite::Result<()> {
    connection.execute_batch(IDENTITY)?;
    connection.execute("INSERT OR IGNORE INTO identity VALUES (1, ?1)", [fresh.cast_signed()]).map(drop)
}

/// The id of the store; `None` if it was made before there were any, and not claimed since.
pub(crate) fn identity(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'identity'";
    if connection.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let id = connection.query_row("SELECT id FROM identity", [], |row| row.get::<_, i64>(0)).optional()?;
    Ok(id.map(i64::cast_unsigned))
}

/// The version that this program writes.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// A connection that writes, on a file of the current version.
pub(crate) fn open_to_write(path: &Path) -> Result<Connection, StoreError> {
    let wrong = |error: rusqlite::Error| database(path, &error);
    let mut connection = Connection::open(path).map_err(wrong)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(wrong)?;
    let version = version(&connection, path)?;
    if version == 0 {
        // Only before the first table: pages that are freed can be given back bit by bit.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(wrong)?;
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(wrong)?;
    if mode != "wal" {
        let reason = format!("the file system allows no write-ahead log (journal mode {mode})");
        return Err(StoreError::Database { store: path.display().to_string(), reason });
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(wrong)?;
    // Checkpoints are maintenance; a commit should not have to make one.
    connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(wrong)?;
    connection.pragma_update(None, "cache_size", -16_384).map_err(wrong)?;
    migrate(&mut connection, version).map_err(wrong)?;
    Ok(connection)
}

/// A connection that can't write; `None` if there is no file, or nothing in it yet.
pub(crate) fn open_to_read(path: &Path) -> Result<Option<Connection>, StoreError> {
    if std::fs::metadata(path).map_or(true, |found| found.len() == 0) {
        return Ok(None);
    }
    let wrong = |error: rusqlite::Error| database(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(wrong)?;
    Ok((version(&connection, path)? > 0).then_some(connection))
}

/// The version of the tables, 0 for an empty file.
fn version(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let wrong = |error: rusqlite::Error| database(path, &error);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) =
        (pragma("application_id").map_err(wrong)?, pragma("user_version").map_err(wrong)?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(wrong)?;
    if application != APPLICATION_ID && (tables > 0 || version != 0) {
        return Err(StoreError::NotAStore {
            store: path.display().to_string(),
            reason: "it is a database of another program".to_owned(),
        });
    }
    let found = u32::try_from(version).unwrap_or(u32::MAX);
    if found > VERSION {
        return Err(StoreError::NewerFormat { store: path.display().to_string(), found, known: VERSION });
    }
    Ok(found)
}

fn migrate(connection: &mut Connection, version: u32) -> rusqlite::Result<()> {
    let missing = MIGRATIONS.get(version as usize..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

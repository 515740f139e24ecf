//! The statements, and the row as they show it.

use ferromq_model::{ClaimId, Epoch};
use rusqlite::{Connection, Error, OptionalExtension, params};

const EXISTS: &str = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'ferromq_lease'";

const CREATE: &str = "\
    CREATE TABLE IF NOT EXISTS ferromq_lease ( \
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1), number INTEGER NOT NULL, claim INTEGER NOT NULL, \
        owner TEXT NOT NULL, released INTEGER NOT NULL)";

const READ: &str = "SELECT number, claim, owner, released FROM ferromq_lease";

const CLAIM: &str = "\
    INSERT INTO ferromq_lease VALUES (1, ?1, ?2, ?3, 0) \
    ON CONFLICT (only_row) DO UPDATE SET number = ?1, claim = ?2, owner = ?3, released = 0";

const RELEASE: &str = "UPDATE ferromq_lease SET released = 1 WHERE number = ?1 AND claim = ?2";

/// What the row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) epoch: Epoch,
    pub(crate) owner: String,
    pub(crate) released: bool,
}

/// The row, if it was ever claimed.
pub(crate) fn read(connection: &Connection) -> Result<Option<Lease>, Error> {
    if connection.query_row(EXISTS, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let lease = connection.query_row(READ, [], |row| {
        let (number, claim): (i64, i64) = (row.get(0)?, row.get(1)?);
        let epoch = Epoch { number: number.cast_unsigned(), claim: ClaimId(claim.cast_unsigned()) };
        Ok(Lease { epoch, owner: row.get(2)?, released: row.get(3)? })
    });
    lease.optional()
}

/// Within a transaction that has seen who is to be superseded.
pub(crate) fn claim(connection: &Connection, epoch: Epoch, owner: &str) -> Result<(), Error> {
    connection.execute_batch(CREATE)?;
    let (number, claim) = (epoch.number.cast_signed(), epoch.claim.0.cast_signed());
    connection.execute(CLAIM, params![number, claim, owner]).map(drop)
}

pub(crate) fn release(connection: &Connection, epoch: Epoch) -> Result<(), Error> {
    let (number, claim) = (epoch.number.cast_signed(), epoch.claim.0.cast_signed());
    connection.execute(RELEASE, params![number, claim]).map(drop)
}

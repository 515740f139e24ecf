//! The statements, and the row as they show it.

use ferromq_model::{ClaimId, Epoch};
use ferromq_postgres::tokio_postgres::{Client, Error, Row};

/// Made by the first claim; whoever looks before finds nothing and makes nothing.
pub(crate) const CREATE: &str = "\
    CREATE SCHEMA IF NOT EXISTS {s}; \
    CREATE TABLE IF NOT EXISTS {s}.lease ( \
        only_row int2 PRIMARY KEY CHECK (only_row = 1), number int8 NOT NULL, claim int8 NOT NULL, \
        owner text NOT NULL, beat int8 NOT NULL, released bool NOT NULL, renewed timestamptz NOT NULL \
    ) WITH (fillfactor = 10); \
    ALTER TABLE {s}.lease ADD COLUMN IF NOT EXISTS server_run text; \
    INSERT INTO {s}.lease VALUES (1, 0, 0, '', 0, true, clock_timestamp()) ON CONFLICT DO NOTHING";

pub(crate) const EXISTS: &str = "\
    SELECT 1 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE n.nspname = $1 AND c.relname = 'lease'";

/// The holder's advisory lock stands in `pg_locks`; a server that was started anew since the last heartbeat has forgotten
/// the locks of before, and can't be asked. Runs of the server are compared and not times: its calendar may have been
/// set back. A table of before has no such column, and nobody is thought dead there.
pub(crate) const LOOK: &str = "\
    SELECT number, claim, owner, beat, released, \
    coalesce(to_jsonb(r) ->> 'server_run' = extract(epoch FROM pg_postmaster_start_time())::text, false) \
    AND NOT EXISTS (SELECT 1 FROM pg_locks AS l \
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
    AND ((l.classid::int8 << 32) | l.objid::int8) = $1 # number \
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())), \
    to_jsonb(r) ? 'server_run' \
    FROM {s}.lease AS r";

/// Over the holder that was seen last, or nobody.
pub(crate) const CLAIM: &str = "\
    UPDATE {s}.lease SET number = $1, claim = $2, owner = $3, beat = 1, released = false, renewed = clock_timestamp(), \
    server_run = extract(epoch FROM pg_postmaster_start_time())::text \
    WHERE number = $4 AND claim = $5 AND number < $1";

pub(crate) const RENEW: &str = "\
    UPDATE {s}.lease SET beat = beat + 1, renewed = clock_timestamp(), \
    server_run = extract(epoch FROM pg_postmaster_start_time())::text WHERE number = $1 AND claim = $2";

pub(crate) const RELEASE: &str = "\
    UPDATE {s}.lease SET beat = beat + 1, released = true, renewed = clock_timestamp() \
    WHERE number = $1 AND claim = $2";

/// What the row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) epoch: Epoch,
    pub(crate) owner: String,
    pub(crate) beat: u64,
    pub(crate) released: bool,
    /// The holder's session is gone, as far as the server can tell.
    pub(crate) absent: bool,
    /// The table has every column that this version writes.
    pub(crate) complete: bool,
}

impl Lease {
    fn of(row: &Row) -> Self {
        let (number, claim): (i64, i64) = (row.get(0), row.get(1));
        Self {
            epoch: Epoch { number: number.cast_unsigned(), claim: ClaimId(claim.cast_unsigned()) },
            owner: row.get(2),
            beat: row.get::<_, i64>(3).cast_unsigned(),
            released: row.get(4),
            absent: row.get(5),
            complete: row.get(6),
        }
    }
}

/// The row, if there is one that was ever claimed.
pub(crate) async fn read(client: &Client, schema: &str, key: i64) -> Result<Option<Lease>, Error> {
    if client.query_opt(EXISTS, &[&schema]).await?.is_none() {
        return Ok(None);
    }
    let row = client.query_opt(&text(LOOK, schema), &[&key]).await?;
    Ok(row.as_ref().map(Lease::of).filter(|lease| lease.epoch.number > 0))
}

pub(crate) fn text(statement: &str, schema: &str) -> String {
    statement.replace("{s}", schema)
}

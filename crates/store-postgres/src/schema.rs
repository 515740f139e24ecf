//! The tables and their versions.

use std::time::Duration;

use ferromq_postgres::{Access, Session};
use ferromq_store::StoreError;

use crate::options::{Place, PostgresOptions};

/// Migration n leads from version n to version n + 1.
///
/// `epoch` is written by claims alone, and locked by every transaction; `progress` is written by every transaction.
/// Small tables leave room in their pages, so that an update stays in its page.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE {s}.meta (
        only_row int2 PRIMARY KEY CHECK (only_row = 1),
        format int4 NOT NULL,
        store uuid NOT NULL
    );
    INSERT INTO {s}.meta VALUES (1, 0, gen_random_uuid());
    CREATE TABLE {s}.epoch (
        only_row int2 PRIMARY KEY CHECK (only_row = 1),
        number int8 NOT NULL,
        claim int8 NOT NULL,
        owner text NOT NULL,
        backend int4 NOT NULL,
        backend_start text NOT NULL
    );
    INSERT INTO {s}.epoch VALUES (1, 0, 0, '', 0, '');
    CREATE TABLE {s}.progress (
        only_row int2 PRIMARY KEY CHECK (only_row = 1),
        ticket int8 NOT NULL,
        commits int8 NOT NULL,
        next_sequence int8 NOT NULL,
        next_destination int8 NOT NULL,
        next_subscription int8 NOT NULL,
        producer_uses int8 NOT NULL
    ) WITH (fillfactor = 10);
    INSERT INTO {s}.progress VALUES (1, 0, 0, 1, 1, 1, 0);
    CREATE TABLE {s}.destinations (
        id int8 PRIMARY KEY,
        kind int2 NOT NULL,
        name bytea NOT NULL,
        messages int8 NOT NULL,
        bytes int8 NOT NULL,
        exposed int8 NOT NULL
    ) WITH (fillfactor = 50);
    CREATE TABLE {s}.subscriptions (
        id int8 PRIMARY KEY,
        client bytea NOT NULL,
        name bytea NOT NULL,
        topic_kind int2 NOT NULL,
        topic bytea NOT NULL,
        selector bytea,
        no_local bool NOT NULL,
        messages int8 NOT NULL,
        exposed int8 NOT NULL
    ) WITH (fillfactor = 50);
    CREATE TABLE {s}.messages (
        destination int8 NOT NULL,
        sequence int8 NOT NULL,
        priority int2 NOT NULL,
        expiration int8 NOT NULL,
        charge int8 NOT NULL,
        crc int8 NOT NULL,
        header bytea NOT NULL,
        properties bytea,
        body bytea,
        PRIMARY KEY (destination, sequence)
    ) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);
    ALTER TABLE {s}.messages ALTER COLUMN body SET STORAGE EXTERNAL;
    CREATE TABLE {s}.waiting (
        subscription int8 NOT NULL,
        destination int8 NOT NULL,
        sequence int8 NOT NULL,
        PRIMARY KEY (subscription, destination, sequence)
    );
    CREATE INDEX waiting_for_message ON {s}.waiting (destination, sequence);
    CREATE TABLE {s}.producers (
        connection bytea NOT NULL,
        session int8 NOT NULL,
        value int8 NOT NULL,
        highest int8 NOT NULL,
        bits bytea NOT NULL,
        used int8 NOT NULL,
        PRIMARY KEY (connection, session, value)
    ) WITH (fillfactor = 50);
    CREATE TABLE {s}.orphans (
        kind int2 NOT NULL,
        id int8 NOT NULL,
        PRIMARY KEY (kind, id)
    );
",
    "
    CREATE TABLE {s}.streams (
        id int8 PRIMARY KEY,
        name bytea NOT NULL,
        reserved int8 NOT NULL
    );
    CREATE TABLE {s}.positions (
        stream int8 NOT NULL,
        position int8 NOT NULL,
        destination int8 NOT NULL,
        sequence int8 NOT NULL,
        subscription int8 NOT NULL,
        message int8 NOT NULL,
        PRIMARY KEY (stream, position)
    ) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);
",
];

/// Beside every version; a program that does not know it does without: where each reign began, so that a node that was
/// away while the database went back, and then on, finds it out.
const REIGNS: &str = "
    CREATE TABLE IF NOT EXISTS {s}.reigns (
        number int8 PRIMARY KEY,
        claim int8 NOT NULL,
        commits int8 NOT NULL
    )
";

/// The version to which [`finalize`] allowed the next claimant to bring the tables.
const ALLOWED: &str = "CREATE TABLE IF NOT EXISTS {s}.allowed (format int4 NOT NULL)";

/// The newest version that this program knows.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32 + if cfg!(feature = "next-format") { 1 } else { 0 };

/// The version of the tables; 0 where there are none.
pub(crate) fn version(session: &mut Session, place: &Place, within: Duration) -> Result<u32, StoreError> {
    let schema = place.options.schema.clone();
    let row = session
        .run(within, async |client| {
            let looked = "SELECT to_regclass($1 || '.meta') IS NOT NULL, (SELECT count(*) FROM pg_class AS c JOIN \
                          pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1)";
            client.query_one(looked, &[&schema]).await
        })
        .map_err(|error| place.wrong(&error))?;
    if !row.get::<_, bool>(0) {
        if row.get::<_, i64>(1) == 0 {
            return Ok(0);
        }
        let reason = "the schema has tables of another program; choose another one".to_owned();
        return Err(StoreError::NotAStore { store: place.shown().to_owned(), reason });
    }
    let row = session
        .run(within, async |client| client.query_one(&place.sql("SELECT format FROM {s}.meta"), &[]).await)
        .map_err(|error| place.wrong(&error))?;
    let found = u32::try_from(row.get::<_, i32>(0)).unwrap_or(u32::MAX);
    let known = place.options.known_format;
    if found > known {
        return Err(StoreError::NewerFormat { store: place.shown().to_owned(), found, known });
    }
    Ok(found)
}

/// The version that a claimant writes: that of the tables as they are, unless somebody allowed a newer one.
fn wanted(session: &mut Session, place: &Place, found: u32, within: Duration) -> Result<u32, StoreError> {
    let known = place.options.known_format;
    if found == 0 || !exists(session, place, "{s}.allowed", within)? {
        return Ok(if found == 0 { known } else { found });
    }
    let text = place.sql("SELECT coalesce(max(format), 0) FROM {s}.allowed");
    let row = session.run(within, async |client| client.query_one(&text, &[]).await);
    let row = row.map_err(|error| place.wrong(&error))?;
    let allowed = u32::try_from(row.get::<_, i32>(0)).unwrap_or(0);
    Ok(found.max(allowed.min(known)))
}

/// From the next claim on the tables are brought to the newest version that this program knows; the version before can
/// follow and claim the store no longer. Returns the versions before and after.
///
/// # Errors
/// There is no store, or one of a newer version, or the database can't be used.
pub fn finalize(url: &str, options: PostgresOptions) -> Result<(u32, u32), StoreError> {
    let place = Place::new(url, options)?;
    let within = place.options.claim_patience();
    let mut session = place.open("finalize", Access::Write, within).map_err(|error| place.wrong(&error))?;
    let (found, known) = (version(&mut session, &place, within)?, place.options.known_format);
    if found == 0 {
        let reason = "there is no store in the schema".to_owned();
        return Err(StoreError::NotAStore { store: place.shown().to_owned(), reason });
    }
    if found < known {
        let text =
            place.sql(&format!("BEGIN; {ALLOWED}; INSERT INTO {{s}}.allowed VALUES ({known}); COMMIT"));
        let done = session.run(within, async |client| client.batch_execute(&text).await);
        done.map_err(|error| place.wrong(&error))?;
    }
    Ok((found, known))
}

/// Whether it is known how reigns began.
pub(crate) fn has_reigns(session: &mut Session, place: &Place, within: Duration) -> Result<bool, StoreError> {
    exists(session, place, "{s}.reigns", within)
}

/// Whether the tables are of a version that has streams of links.
pub(crate) fn has_streams(
    session: &mut Session,
    place: &Place,
    within: Duration,
) -> Result<bool, StoreError> {
    exists(session, place, "{s}.streams", within)
}

fn exists(session: &mut Session, place: &Place, table: &str, within: Duration) -> Result<bool, StoreError> {
    let name = place.sql(table);
    let row = session
        .run(within, async |client| client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name]).await)
        .map_err(|error| place.wrong(&error))?;
    Ok(row.get(0))
}

/// Makes the tables, or brings older ones up to what is allowed. Only for claimants.
pub(crate) fn migrate(session: &mut Session, place: &Place, within: Duration) -> Result<(), StoreError> {
    let found = version(session, place, within)?;
    if found > 0 && found == wanted(session, place, found, within)? && has_reigns(session, place, within)? {
        return Ok(());
    }
    let run = |session: &mut Session, text: String| {
        let done = session.run(within, async move |client| client.batch_execute(&text).await);
        done.map_err(|error| place.wrong(&error))
    };
    // Two claimants at once: the second waits here and finds the work done.
    run(session, format!("BEGIN; SELECT pg_advisory_xact_lock({})", place.lock_key() ^ 1))?;
    let found = version(session, place, within)?;
    let wanted = wanted(session, place, found, within)?;
    let missing = MIGRATIONS.iter().take(wanted as usize).skip(found as usize);
    if found == 0 {
        let exists = session
            .run(within, async |client| {
                client.query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&place.options.schema]).await
            })
            .map_err(|error| place.wrong(&error))?;
        if !exists.get::<_, bool>(0) {
            run(session, format!("CREATE SCHEMA {}", place.options.schema))?;
        }
    }
    for step in missing {
        run(session, place.sql(step))?;
    }
    run(session, place.sql(REIGNS))?;
    run(session, place.sql(&format!("UPDATE {{s}}.meta SET format = {wanted}; COMMIT")))
}

//! Finding out whether a pooler stands between us and the server.

use std::time::Duration;

use crate::{PgError, Session};

/// Refuses a pooler that lends a server's session for a transaction only: locks, settings and prepared statements
/// would go astray.
///
/// Both sessions take part: a pooler with one client alone gives it the same server session again and again. So both
/// hold a transaction at once and end them in both orders, which makes a pooler, whichever free session it prefers,
/// hand the first one's to the second.
///
/// # Errors
/// [`PgError::Unfit`] with the remedy, or the sessions failed.
pub fn refuse_pooler(one: &mut Session, two: &mut Session, within: Duration) -> Result<(), PgError> {
    for first_ends_first in [true, false] {
        begin(one, within)?;
        begin(two, within)?;
        if first_ends_first {
            end(one, within)?;
            end(two, within)?;
        } else {
            end(two, within)?;
            end(one, within)?;
        }
    }
    begin(one, within)?;
    end(one, within)
}

fn begin(session: &mut Session, within: Duration) -> Result<(), PgError> {
    session.run(within, async |client| client.batch_execute("BEGIN").await)?;
    let row = session.run(within, async |client| client.query_one("SELECT pg_backend_pid()", &[]).await)?;
    if row.get::<_, i32>(0) == session.server().backend {
        return Ok(());
    }
    Err(PgError::Unfit {
        server: session.shown().to_owned(),
        reason:
            "a pooler lends sessions for a transaction only; set pool_mode = session for this user, or name \
                 the server itself"
                .to_owned(),
    })
}

fn end(session: &mut Session, within: Duration) -> Result<(), PgError> {
    session.run(within, async |client| client.batch_execute("COMMIT").await)
}

//! Clearing away the rows of what was dropped, bit by bit, and producers that are forgotten.

use std::time::Duration;

use ferromq_model::Epoch;
use ferromq_postgres::tokio_postgres::{Client, Error};
use ferromq_postgres::{PgError, Session};
use ferromq_store::{Budget, ProducerWindows, StoreError};

use crate::backend::Backend;
use crate::error::int;
use crate::options::Place;
use crate::writer::FENCE;

const DESTINATION_WAITS: &str = "\
    WITH gone AS (DELETE FROM {s}.waiting AS w USING \
    (SELECT subscription, sequence FROM {s}.waiting WHERE destination = $1 ORDER BY destination, sequence LIMIT $2) \
    AS o WHERE w.subscription = o.subscription AND w.destination = $1 AND w.sequence = o.sequence \
    RETURNING w.subscription), \
    total AS (SELECT subscription, count(*) AS n FROM gone GROUP BY subscription), \
    less AS (UPDATE {s}.subscriptions AS x SET messages = x.messages - t.n FROM total AS t \
    WHERE x.id = t.subscription) \
    SELECT 1 FROM gone";

const DESTINATION_MESSAGES: &str = "\
    DELETE FROM {s}.messages WHERE destination = $1 AND sequence <= (SELECT max(sequence) FROM \
    (SELECT sequence FROM {s}.messages WHERE destination = $1 ORDER BY destination, sequence LIMIT $2) AS o)";

const SUBSCRIPTION_WAITS: &str = "\
    DELETE FROM {s}.waiting AS w USING (SELECT destination, sequence FROM {s}.waiting WHERE subscription = $1 \
    ORDER BY subscription, destination, sequence LIMIT $2) AS o \
    WHERE w.subscription = $1 AND w.destination = o.destination AND w.sequence = o.sequence \
    RETURNING w.destination, w.sequence";

const UNWAITED_MESSAGES: &str = "\
    WITH gone AS (DELETE FROM {s}.messages AS m USING unnest($1::int8[], $2::int8[]) AS g(destination, sequence) \
    WHERE m.destination = g.destination AND m.sequence = g.sequence AND NOT EXISTS (SELECT 1 FROM {s}.waiting AS w \
    WHERE w.destination = g.destination AND w.sequence = g.sequence) RETURNING m.destination, m.charge), \
    total AS (SELECT destination, count(*) AS n, sum(charge)::int8 AS bytes FROM gone GROUP BY destination) \
    UPDATE {s}.destinations AS d SET messages = d.messages - t.n, bytes = d.bytes - t.bytes FROM total AS t \
    WHERE d.id = t.destination";

/// What was dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    /// Destinations and subscriptions.
    Any,
    Subscriptions,
}

/// What is counted at a claim, and not cleared away: more than that takes as long as its clearing.
const COUNTED: i64 = 200_000;

/// Whether more rows wait in dropped destinations than a claim is to count. Their messages are in no sum any more.
pub(crate) fn are_many(session: &mut Session, place: &Place, within: Duration) -> Result<bool, PgError> {
    let text = place.sql(
        "SELECT count(*) > $1::int8 FROM (SELECT 1 FROM {s}.orphans AS o JOIN {s}.waiting AS w \
         ON w.destination = o.id WHERE o.kind = 0 LIMIT $1::int8 + 1) AS counted",
    );
    session.run(within, async |client| Ok(client.query_one(&text, &[&COUNTED]).await?.get(0)))
}

/// What of the living is counted at a claim where subscriptions were dropped: more than that takes as long as clearing away.
const COUNTED_LIVE: i64 = 20_000;

/// Whether more waits for living subscriptions than a claim is to count, to know what waits for dropped ones alone.
pub(crate) fn live_are_many(session: &mut Session, place: &Place, within: Duration) -> Result<bool, PgError> {
    let text = place.sql("SELECT coalesce(sum(messages), 0) > $1::int8 FROM {s}.subscriptions");
    session.run(within, async |client| Ok(client.query_one(&text, &[&COUNTED_LIVE]).await?.get(0)))
}

/// What a topic has without what waits for dropped subscriptions alone. The topics are found by steps along the index of a
/// dropped one, and its rows are not read: there may be any number of them.
pub(crate) const OF_SUBSCRIPTIONS: &str = "\
    WITH RECURSIVE steps(subscription, destination) AS (\
    SELECT o.id, (SELECT min(w.destination) FROM {s}.waiting AS w WHERE w.subscription = o.id) \
    FROM {s}.orphans AS o WHERE o.kind = 1 \
    UNION ALL SELECT s.subscription, (SELECT min(w.destination) FROM {s}.waiting AS w \
    WHERE w.subscription = s.subscription AND w.destination > s.destination) \
    FROM steps AS s WHERE s.destination IS NOT NULL), \
    topics AS (SELECT DISTINCT destination FROM steps WHERE destination IS NOT NULL), \
    kept AS (SELECT DISTINCT w.destination, w.sequence FROM {s}.subscriptions AS x CROSS JOIN topics AS t \
    JOIN {s}.waiting AS w ON w.subscription = x.id AND w.destination = t.destination) \
    SELECT t.destination, count(m.sequence), coalesce(sum(m.charge), 0)::int8 FROM topics AS t \
    LEFT JOIN kept AS k ON k.destination = t.destination \
    LEFT JOIN {s}.messages AS m ON m.destination = k.destination AND m.sequence = k.sequence \
    GROUP BY t.destination";

/// What a subscription's sum still holds of destinations that were dropped.
pub(crate) const OF_DESTINATIONS: &str = "\
    SELECT w.subscription, count(*) FROM {s}.orphans AS o JOIN {s}.waiting AS w ON w.destination = o.id \
    WHERE o.kind = 0 GROUP BY w.subscription";

/// Does a part of the work, in a transaction of its own under the epoch; whether there was any.
pub(crate) fn clear_some(
    session: &mut Session,
    place: &Place,
    epoch: Epoch,
    (dropped, limit): (Dropped, i64),
    within: Duration,
) -> Result<bool, PgError> {
    session.run(within, async |client| {
        let text =
            place.sql("SELECT kind, id FROM {s}.orphans WHERE kind >= $1 ORDER BY kind, id LIMIT 1000");
        let lowest: i16 = match dropped {
            Dropped::Any => 0,
            Dropped::Subscriptions => 1,
        };
        let orphans = client.query(&text, &[&lowest]).await?;
        if orphans.is_empty() {
            return Ok(false);
        }
        // What a crash takes of this is done again.
        client.batch_execute("BEGIN; SET LOCAL synchronous_commit = off").await?;
        let done = async {
            client.execute(&place.sql(FENCE), &[&int(epoch.number), &epoch.claim.0.cast_signed()]).await?;
            let mut left = limit;
            for orphan in &orphans {
                left -= clear_one(client, place, orphan.get(0), orphan.get(1), left).await?;
                if left <= 0 {
                    break;
                }
            }
            Ok(())
        };
        let done = done.await;
        client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        done.map(|()| true)
    })
}

/// Clears away up to `limit` rows of one, and its name if these were the last; how many.
async fn clear_one(client: &Client, place: &Place, kind: i16, id: i64, limit: i64) -> Result<i64, Error> {
    let (cleared, whole) = if kind == 0 {
        let waits = client.execute(&place.sql(DESTINATION_WAITS), &[&id, &limit]).await?;
        let messages = client.execute(&place.sql(DESTINATION_MESSAGES), &[&id, &limit]).await?;
        (waits + messages, waits.max(messages) < limit.unsigned_abs())
    } else {
        let rows = client.query(&place.sql(SUBSCRIPTION_WAITS), &[&id, &limit]).await?;
        let destinations: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let sequences: Vec<i64> = rows.iter().map(|row| row.get(1)).collect();
        client.execute(&place.sql(UNWAITED_MESSAGES), &[&destinations, &sequences]).await?;
        (rows.len() as u64, (rows.len() as u64) < limit.unsigned_abs())
    };
    if whole {
        client
            .execute(&place.sql("DELETE FROM {s}.orphans WHERE kind = $1 AND id = $2"), &[&kind, &id])
            .await?;
    }
    Ok(i64::try_from(cleared).unwrap_or(i64::MAX))
}

impl Backend {
    /// Clears away within the budget; whether there is more.
    pub(crate) fn clear_away(&mut self, budget: Budget) -> Result<bool, StoreError> {
        let epoch = self.epoch;
        let limit = int((budget.bytes / 1024).clamp(100, 10_000));
        let some = self.with_session(|session, place, within| {
            clear_some(session, place, epoch, (Dropped::Any, limit), within)
        })?;
        if !some {
            self.forget_producers()?;
        }
        Ok(some)
    }

    /// Takes producers out that nobody remembers, once there are a thousand of them.
    fn forget_producers(&mut self) -> Result<(), StoreError> {
        const SLACK: i64 = 1000;
        if self.state.producers.len() < ProducerWindows::LIMIT
            || self.state.producer_uses < self.forgotten_at + SLACK
        {
            return Ok(());
        }
        self.with_session(|session, place, within| {
            let text = place.sql(
                "DELETE FROM {s}.producers WHERE used <= \
                 (SELECT used FROM {s}.producers ORDER BY used DESC OFFSET $1 LIMIT 1)",
            );
            session
                .run(within, async |client| client.execute(&text, &[&(ProducerWindows::LIMIT as i64)]).await)
        })?;
        self.forgotten_at = self.state.producer_uses;
        Ok(())
    }
}

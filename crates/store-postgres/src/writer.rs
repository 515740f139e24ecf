//! [`Writer`]: the session that writes, and the statements of a transaction.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ferromq_model::{Epoch, Ticket};
use ferromq_postgres::tokio_postgres::types::ToSql;
use ferromq_postgres::tokio_postgres::{Client, Error, Statement as Prepared};
use ferromq_postgres::{PgError, Session, Statement, pipeline};

use crate::error::int;
use crate::options::Place;
use crate::state::State;
use crate::unit::Unit;

/// The first thing in each transaction: it locks the epoch's row, so that a claim waits for this transaction or is
/// seen by it, and moves on from the ticket before, so that nothing is applied twice. If either does not fit nothing is
/// stepped, and a division by zero ends the transaction in the same round trip. Only commits that are safe before they
/// are seen are counted: a database may forget the others in a crash, and nothing was answered for them.
const STEP: &str = "\
    fence AS (SELECT number FROM {s}.epoch WHERE number = $1 AND claim = $2 FOR SHARE), \
    step AS (UPDATE {s}.progress AS p SET ticket = $4, commits = p.commits + $9, next_sequence = $5, \
    next_destination = $6, next_subscription = $7, producer_uses = $8 FROM fence WHERE p.ticket = $3 RETURNING 1)";

/// The same look at the epoch alone, for maintenance.
pub(crate) const FENCE: &str = "\
    WITH fence AS (SELECT number FROM {s}.epoch WHERE number = $1 AND claim = $2 FOR SHARE) \
    SELECT 1 / count(*) FROM fence";

const PUT_DESTINATIONS: &str = "\
    INSERT INTO {s}.destinations SELECT id, kind, name, 0, 0, 0 \
    FROM unnest($1::int8[], $2::int2[], $3::bytea[]) AS put(id, kind, name)";

const PUT_SUBSCRIPTIONS: &str = "\
    INSERT INTO {s}.subscriptions AS old SELECT put.*, 0, 0 \
    FROM unnest($1::int8[], $2::bytea[], $3::bytea[], $4::int2[], $5::bytea[], $6::bytea[], $7::bool[]) AS put \
    ON CONFLICT (id) DO UPDATE SET client = excluded.client, name = excluded.name, \
    topic_kind = excluded.topic_kind, topic = excluded.topic, selector = excluded.selector, \
    no_local = excluded.no_local";

const PUT_MESSAGES: &str = "\
    INSERT INTO {s}.messages SELECT * FROM unnest($1::int8[], $2::int8[], $3::int2[], $4::int8[], $5::int8[], \
    $6::int8[], $7::bytea[], $8::bytea[], $9::bytea[])";

const PUT_WAITING: &str = "\
    INSERT INTO {s}.waiting SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[])";

const ACK: &str = "\
    WITH acked AS (DELETE FROM {s}.waiting AS w \
    USING unnest($1::int8[], $2::int8[], $3::int8[]) AS a(subscription, destination, sequence) \
    WHERE w.subscription = a.subscription AND w.destination = a.destination AND w.sequence = a.sequence \
    RETURNING w.subscription), \
    total AS (SELECT subscription, count(*) AS n FROM acked GROUP BY subscription) \
    UPDATE {s}.subscriptions AS x SET messages = x.messages - t.n FROM total AS t WHERE x.id = t.subscription";

const UNWAIT: &str = "\
    WITH gone AS (DELETE FROM {s}.waiting AS w USING unnest($1::int8[], $2::int8[]) AS g(destination, sequence) \
    WHERE w.destination = g.destination AND w.sequence = g.sequence RETURNING w.subscription), \
    total AS (SELECT subscription, count(*) AS n FROM gone GROUP BY subscription) \
    UPDATE {s}.subscriptions AS x SET messages = x.messages - t.n FROM total AS t WHERE x.id = t.subscription";

/// Removes messages and adds up what that and what was put does to the destinations.
const GONE: &str = "\
    gone AS (DELETE FROM {s}.messages AS m \
    USING unnest($1::int8[], $2::int8[], $3::bool[]) AS g(destination, sequence, forced) \
    WHERE m.destination = g.destination AND m.sequence = g.sequence AND (g.forced OR NOT EXISTS \
    (SELECT 1 FROM {s}.waiting AS w WHERE w.destination = g.destination AND w.sequence = g.sequence)) \
    RETURNING m.destination, m.charge), \
    delta AS (SELECT destination, -1::int8 AS messages, -charge AS bytes, 0::int8 AS exposed FROM gone UNION ALL \
    SELECT * FROM unnest($4::int8[], $5::int8[], $6::int8[], $7::int8[]) AS u(destination, messages, bytes, exposed)), \
    total AS (SELECT destination, sum(messages)::int8 AS messages, sum(bytes)::int8 AS bytes, \
    max(exposed) AS exposed FROM delta GROUP BY destination)";

const MARKS: &str = "\
    UPDATE {s}.destinations AS d SET messages = d.messages + t.messages, bytes = d.bytes + t.bytes, \
    exposed = greatest(d.exposed, t.exposed) FROM total AS t WHERE d.id = t.destination";

const SUBSCRIPTION_MARKS: &str = "\
    UPDATE {s}.subscriptions AS x SET messages = x.messages + u.messages, exposed = greatest(x.exposed, u.exposed) \
    FROM unnest($1::int8[], $2::int8[], $3::int8[]) AS u(id, messages, exposed) WHERE x.id = u.id";

const WINDOWS: &str = "\
    INSERT INTO {s}.producers \
    SELECT * FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int8[], $5::bytea[], $6::int8[]) \
    ON CONFLICT (connection, session, value) DO UPDATE \
    SET highest = excluded.highest, bits = excluded.bits, used = excluded.used";

/// Positions are settled before others are put: those of the same transaction were taken out of what is put.
const SETTLE: &str = "\
    DELETE FROM {s}.positions AS p USING unnest($1::int8[], $2::int8[], $3::int8[]) AS s(stream, lowest, highest) \
    WHERE p.stream = s.stream AND p.position BETWEEN s.lowest AND s.highest";

const DROP_STREAMS: &str = "\
    WITH gone AS (DELETE FROM {s}.positions WHERE stream = ANY($1::int8[])) \
    DELETE FROM {s}.streams WHERE id = ANY($1::int8[])";

const PUT_STREAMS: &str = "\
    INSERT INTO {s}.streams AS old SELECT * FROM unnest($1::int8[], $2::bytea[], $3::int8[]) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, reserved = greatest(old.reserved, excluded.reserved)";

const PLACE: &str = "\
    INSERT INTO {s}.positions \
    SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[]) \
    ON CONFLICT (stream, position) DO UPDATE SET destination = excluded.destination, \
    sequence = excluded.sequence, subscription = excluded.subscription, message = excluded.message";

/// What is dropped is gone at once; the rows that it leaves are cleared away bit by bit.
const DROP_DESTINATIONS: &str = "\
    WITH gone AS (DELETE FROM {s}.destinations WHERE id = ANY($1::int8[]) RETURNING id) \
    INSERT INTO {s}.orphans SELECT 0, id FROM gone";

const DROP_SUBSCRIPTIONS: &str = "\
    WITH gone AS (DELETE FROM {s}.subscriptions WHERE id = ANY($1::int8[]) RETURNING id) \
    INSERT INTO {s}.orphans SELECT 1, id FROM gone";

/// What most transactions do, in one statement that commits by itself: the step, messages of queues that come and go, sums
/// and windows. Each further statement of a transaction is a further answer that wakes this side up. Its parts see the
/// rows as they were before it, which is the same: no row that it removes was put by it.
///
/// It returns how long the look at the epoch took, in µs. Who does not need the commit on the disk turns waiting for that
/// off within the statement.
fn plain() -> String {
    let (messages, gone) = (shifted(PUT_MESSAGES, 9), shifted(GONE, 18));
    let windows = shifted(WINDOWS, 25);
    format!(
        "WITH {STEP}, looked AS (SELECT clock_timestamp() - statement_timestamp() AS took FROM fence), \
         put AS ({messages}), {gone}, marks AS ({MARKS}), windows AS ({windows}) \
         SELECT (SELECT (extract(epoch FROM took) * 1000000)::int8 FROM looked), 1 / (SELECT count(*) FROM step), \
         CASE WHEN $32::bool THEN '' ELSE set_config('synchronous_commit', 'off', true) END"
    )
}

/// The same text with the numbers of its parameters raised.
fn shifted(text: &str, by: usize) -> String {
    let mut parts = text.split('$');
    let mut shifted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number =
            part.strip_suffix(rest).and_then(|digits| digits.parse::<usize>().ok()).unwrap_or_default();
        shifted.push_str(&format!("${}{rest}", number + by));
    }
    shifted
}

/// Every statement of a transaction, prepared.
#[derive(Debug)]
struct Statements {
    plain: Prepared,
    step: Prepared,
    put_destinations: Prepared,
    put_subscriptions: Prepared,
    put_messages: Prepared,
    put_waiting: Prepared,
    ack: Prepared,
    unwait: Prepared,
    gone_and_marks: Prepared,
    subscription_marks: Prepared,
    windows: Prepared,
    settle: Prepared,
    drop_streams: Prepared,
    put_streams: Prepared,
    place: Prepared,
    drop_destinations: Prepared,
    drop_subscriptions: Prepared,
}

/// Where a transaction starts from and leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) epoch: Epoch,
    pub(crate) from: Ticket,
    pub(crate) to: Ticket,
    pub(crate) sync: bool,
}

/// The session that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) session: Session,
    statements: Statements,
}

impl Writer {
    /// `streams`: the tables have them.
    pub(crate) fn new(
        mut session: Session,
        place: &Place,
        streams: bool,
        within: Duration,
    ) -> Result<Self, PgError> {
        let of_streams = |text: &'static str| if streams { text } else { "SELECT 1" };
        let texts: Vec<String> = [
            &*plain(),
            &*format!("WITH {STEP} SELECT 1 / count(*) FROM step"),
            PUT_DESTINATIONS,
            PUT_SUBSCRIPTIONS,
            PUT_MESSAGES,
            PUT_WAITING,
            ACK,
            UNWAIT,
            &*format!("WITH {GONE} {MARKS}"),
            SUBSCRIPTION_MARKS,
            WINDOWS,
            of_streams(SETTLE),
            of_streams(DROP_STREAMS),
            of_streams(PUT_STREAMS),
            of_streams(PLACE),
            DROP_DESTINATIONS,
            DROP_SUBSCRIPTIONS,
        ]
        .map(|text| place.sql(text))
        .into();
        let statements = session.run(within, async |client| {
            let texts =
                texts.iter().map(|text| -> Statement<'_, Prepared> { Box::pin(client.prepare(text)) });
            let mut ready = pipeline(texts.collect()).await?.into_iter();
            // As many as were asked for came back, or there was an error.
            let mut next = async || match ready.next() {
                Some(statement) => Ok(statement),
                None => client.prepare("SELECT 1").await,
            };
            Ok(Statements {
                plain: next().await?,
                step: next().await?,
                put_destinations: next().await?,
                put_subscriptions: next().await?,
                put_messages: next().await?,
                put_waiting: next().await?,
                ack: next().await?,
                unwait: next().await?,
                gone_and_marks: next().await?,
                subscription_marks: next().await?,
                windows: next().await?,
                settle: next().await?,
                drop_streams: next().await?,
                put_streams: next().await?,
                place: next().await?,
                drop_destinations: next().await?,
                drop_subscriptions: next().await?,
            })
        })?;
        Ok(Self { session, statements })
    }

    /// One transaction in one round trip; how long the look at the epoch took in it.
    pub(crate) fn write(
        &mut self,
        step: Step,
        unit: &Unit<'_>,
        state: &State,
        within: Duration,
    ) -> Result<Duration, PgError> {
        let statements = &self.statements;
        self.session.run(within, async |client| transact(client, statements, step, unit, state).await)
    }
}

async fn transact(
    client: &Client,
    with: &Statements,
    step: Step,
    unit: &Unit<'_>,
    state: &State,
) -> Result<Duration, Error> {
    let numbers: [i64; 9] = [
        int(step.epoch.number),
        step.epoch.claim.0.cast_signed(),
        int(step.from.0),
        int(step.to.0),
        int(state.next_sequence.0),
        int(state.next_destination.0),
        int(state.next_subscription.0),
        unit.producer_uses,
        i64::from(step.sync),
    ];
    let mut numbers: Vec<&(dyn ToSql + Sync)> = numbers.iter().map(|n| n as &(dyn ToSql + Sync)).collect();
    let Unit { subscriptions: subs, messages: m, windows: w, destination_marks, subscription_marks, .. } =
        unit;
    let (waiting, acked, unwaited, gone) = (&unit.waiting, &unit.acked, &unit.unwaited, &unit.gone);
    let (settled, streams, p) = (&unit.settled, &unit.streams, &unit.positions);
    let put: [&(dyn ToSql + Sync); 9] = [
        &m.destination,
        &m.sequence,
        &m.priority,
        &m.expiration,
        &m.charge,
        &m.crc,
        &m.header,
        &m.properties,
        &m.body,
    ];
    let gone_and_marks: [&(dyn ToSql + Sync); 7] = [
        &gone.destination,
        &gone.sequence,
        &unit.forced,
        &destination_marks.id,
        &destination_marks.messages,
        &destination_marks.bytes,
        &destination_marks.exposed,
    ];
    let windows: [&(dyn ToSql + Sync); 6] =
        [&w.connection, &w.session, &w.value, &w.highest, &w.bits, &w.used];
    if unit.is_plain() {
        for values in [&put[..], &gone_and_marks, &windows, &[&step.sync]] {
            numbers.extend(values);
        }
        let row = client.query_one(&with.plain, &numbers).await?;
        // It is committed, whatever this column says.
        let micros: i64 = row.try_get(0).unwrap_or_default();
        return Ok(Duration::from_micros(micros.try_into().unwrap_or_default()));
    }
    let candidates: [(bool, &Prepared, Vec<&(dyn ToSql + Sync)>); 15] = [
        (
            !unit.destination_ids.is_empty(),
            &with.put_destinations,
            vec![&unit.destination_ids, &unit.destination_kinds, &unit.destination_names],
        ),
        (
            !subs.id.is_empty(),
            &with.put_subscriptions,
            vec![
                &subs.id,
                &subs.client,
                &subs.name,
                &subs.topic_kind,
                &subs.topic,
                &subs.selector,
                &subs.no_local,
            ],
        ),
        (!m.sequence.is_empty(), &with.put_messages, put.to_vec()),
        (
            !waiting.sequence.is_empty(),
            &with.put_waiting,
            vec![&waiting.subscription, &waiting.destination, &waiting.sequence],
        ),
        (
            !subscription_marks.id.is_empty(),
            &with.subscription_marks,
            vec![&subscription_marks.id, &subscription_marks.messages, &subscription_marks.exposed],
        ),
        (
            !acked.sequence.is_empty(),
            &with.ack,
            vec![&acked.subscription, &acked.destination, &acked.sequence],
        ),
        (!unwaited.sequence.is_empty(), &with.unwait, vec![&unwaited.destination, &unwaited.sequence]),
        (
            !gone.sequence.is_empty() || !destination_marks.id.is_empty(),
            &with.gone_and_marks,
            gone_and_marks.to_vec(),
        ),
        (!w.used.is_empty(), &with.windows, windows.to_vec()),
        (!settled.stream.is_empty(), &with.settle, vec![&settled.stream, &settled.from, &settled.upto]),
        (!unit.dropped_streams.is_empty(), &with.drop_streams, vec![&unit.dropped_streams]),
        (!streams.id.is_empty(), &with.put_streams, vec![&streams.id, &streams.name, &streams.reserved]),
        (
            !p.stream.is_empty(),
            &with.place,
            vec![&p.stream, &p.position, &p.destination, &p.sequence, &p.subscription, &p.message],
        ),
        (!unit.dropped_destinations.is_empty(), &with.drop_destinations, vec![&unit.dropped_destinations]),
        (!unit.dropped_subscriptions.is_empty(), &with.drop_subscriptions, vec![&unit.dropped_subscriptions]),
    ];
    let command = |text: &'static str| -> Statement<'_> {
        Box::pin(async move { client.batch_execute(text).await.map(|()| 0) })
    };
    // A lazy one is flushed with the next one that is not: the log has one order.
    let begin = if step.sync { "BEGIN" } else { "BEGIN; SET LOCAL synchronous_commit = off" };
    // The server answers each statement when it is done with it: the second is the look at the epoch.
    let (begun, looked) = (OnceLock::new(), OnceLock::new());
    let mut all: Vec<Statement<'_>> = vec![
        Box::pin(async {
            let done = command(begin).await;
            begun.get_or_init(Instant::now);
            done
        }),
        Box::pin(async {
            let done = client.execute(&with.step, &numbers).await;
            looked.get_or_init(Instant::now);
            done
        }),
    ];
    for (wanted, statement, values) in &candidates {
        if *wanted {
            all.push(Box::pin(client.execute(*statement, values)));
        }
    }
    // A commit that is cut short by a time limit while it waits for synchronous replicas would look like a whole one.
    all.push(command("SET LOCAL statement_timeout = 0"));
    all.push(command("COMMIT"));
    pipeline(all).await?;
    let took = looked.get().zip(begun.get()).map(|(looked, begun)| looked.duration_since(*begun));
    Ok(took.unwrap_or_default())
}

//! The reader, on a session of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ferromq_model::Sequence;
use ferromq_postgres::tokio_postgres::{Client, Error, Row, Statement as Prepared};
use ferromq_postgres::{Access, PgErrorKind, Session};
use ferromq_store::{IndexEntry, Loaded, MessageRef, PageRequest, StoreError, StoreReader, header};

use crate::backend::PAUSE;
use crate::error::{int, uint};
use crate::options::Place;

const LOAD: &str = "\
    SELECT m.destination, m.sequence, m.crc, m.header, m.properties, m.body \
    FROM unnest($1::int8[], $2::int8[]) AS w(destination, sequence) \
    JOIN {s}.messages AS m ON m.destination = w.destination AND m.sequence = w.sequence";

/// Rows of a destination that was dropped are there for a while, and not shown.
const PAGE: &str = "\
    SELECT sequence, expiration, charge, priority FROM {s}.messages \
    WHERE destination = $1 AND sequence > $2 AND EXISTS (SELECT 1 FROM {s}.destinations WHERE id = $1) \
    ORDER BY destination, sequence LIMIT $3";

const WAITING: &str = "\
    SELECT m.sequence, m.expiration, m.charge, m.priority FROM {s}.waiting AS w \
    JOIN {s}.messages AS m ON m.destination = w.destination AND m.sequence = w.sequence \
    WHERE w.subscription = $4 AND w.destination = $1 AND w.sequence > $2 \
    AND EXISTS (SELECT 1 FROM {s}.destinations WHERE id = $1) \
    AND EXISTS (SELECT 1 FROM {s}.subscriptions WHERE id = $4) \
    ORDER BY w.subscription, w.destination, w.sequence LIMIT $3";

/// How many bodies are asked for at once.
const AT_ONCE: usize = 512;

#[derive(Debug)]
pub(crate) struct Reader {
    place: Arc<Place>,
    session: Option<Session>,
    /// For loading, for a page of a queue, for one of a subscription; as long as the session lives.
    statements: Option<[Prepared; 3]>,
}

impl Reader {
    pub(crate) const fn new(place: Arc<Place>, session: Session) -> Self {
        Self { place, session: Some(session), statements: None }
    }

    /// Asks, on a new session if need be, as long as the patience lasts.
    fn ask<T>(
        &mut self,
        mut question: impl AsyncFnMut(&Client, &[Prepared; 3]) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let until = Instant::now() + self.place.options.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now()).max(PAUSE);
            let place = &self.place;
            let outcome = match &mut self.session {
                Some(session) => {
                    let statements = &mut self.statements;
                    session.run(left, async |client| {
                        let ready = match statements {
                            Some(ready) => ready,
                            None => statements.insert([
                                client.prepare(&place.sql(LOAD)).await?,
                                client.prepare(&place.sql(PAGE)).await?,
                                client.prepare(&place.sql(WAITING)).await?,
                            ]),
                        };
                        question(client, ready).await
                    })
                }
                None => match self.place.open("reader", Access::Read, left) {
                    Ok(session) => {
                        self.session = Some(session);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind() == PgErrorKind::Lost && Instant::now() < until => {
                    (self.session, self.statements) = (None, None);
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(self.place.wrong(&error)),
            }
        }
    }

    fn load_some(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        let destinations: Vec<i64> = wanted.iter().map(|wanted| int(wanted.destination.0)).collect();
        let sequences: Vec<i64> = wanted.iter().map(|wanted| int(wanted.sequence.0)).collect();
        let rows =
            self.ask(async |client, [load, ..]| client.query(load, &[&destinations, &sequences]).await)?;
        let found: BTreeMap<(i64, i64), Loaded> =
            rows.iter().map(|row| ((row.get(0), row.get(1)), self.message_of(row))).collect();
        let places = destinations.into_iter().zip(sequences);
        Ok(places.map(|place| found.get(&place).cloned().unwrap_or(Loaded::Gone)).collect())
    }

    fn message_of(&self, row: &Row) -> Loaded {
        let crc: i64 = row.get(2);
        let head: &[u8] = row.get(3);
        let [properties, body] = [4, 5].map(|place| row.get::<_, Option<&[u8]>>(place));
        let whole = i64::from(header::checksum(head, properties, body)) == crc;
        let own = |part: Option<&[u8]>| part.map(Bytes::copy_from_slice);
        match whole.then(|| header::decode(head, own(properties), own(body))).flatten() {
            Some(message) => Loaded::Message(message.into()),
            None => Loaded::Damaged(format!(
                "{}: message {} of destination {} does not match its checksum",
                self.place.shown(),
                row.get::<_, i64>(1),
                row.get::<_, i64>(0)
            )),
        }
    }
}

impl StoreReader for Reader {
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        let mut all = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(AT_ONCE) {
            all.append(&mut self.load_some(some)?);
        }
        Ok(all)
    }

    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        let rows = self.ask(async |client, [_, page, waiting]| match wanted {
            PageRequest::Queue { destination, after, limit } => {
                client.query(page, &[&int(destination.0), &int(after.0), &count(limit)]).await
            }
            PageRequest::Subscription { subscription, destination, after, limit } => {
                let values: [i64; 4] = [int(destination.0), int(after.0), count(limit), int(subscription.0)];
                client.query(waiting, &[&values[0], &values[1], &values[2], &values[3]]).await
            }
        })?;
        Ok(rows.iter().map(entry_of).collect())
    }
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn entry_of(row: &Row) -> IndexEntry {
    IndexEntry {
        sequence: Sequence(uint(row.get(0))),
        expiration: row.get(1),
        charge: u32::try_from(row.get::<_, i64>(2)).unwrap_or(u32::MAX),
        priority: u8::try_from(row.get::<_, i16>(3)).unwrap_or_default(),
    }
}

//! [`PostgresStore`]: a database that is followed, and claimed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq_model::{Epoch, Ticket};
use ferromq_postgres::tokio_postgres::Row;
use ferromq_postgres::tokio_postgres::error::SqlState;
use ferromq_postgres::{Access, PgError, Server, Session, refuse_pooler};
use ferromq_store::{Budget, Claimed, Follower, Position, StoreError, StoreMetrics};

use crate::backend::{Backend, epoch_of, lock_alone, terminate};
use crate::error::{int, uint};
use crate::high_water::Beginning;
use crate::options::Place;
use crate::orphans::{self, Dropped};
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{HighWater, Memory, PostgresOptions, recover, schema};

/// How long a claim waits for a transaction under way before it ends the session behind it.
const LOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// Beginnings of reigns that are kept: a node that was away for longer than that many is not held against them.
const KEPT_REIGNS: i64 = 1_000;

/// How often a claim tries to get the epoch's row.
const TRIES: usize = 20;

/// A store in PostgreSQL that is followed. It holds one session that can't write.
#[derive(Debug)]
pub struct PostgresStore {
    place: Arc<Place>,
    session: Option<Session>,
    seen: Epoch,
    /// A claim whose outcome is not known: the same one may be made again.
    attempted: Option<Epoch>,
    /// What was seen of it last, now or before this process began.
    known: Option<HighWater>,
    memory: Arc<dyn Memory>,
}

impl PostgresStore {
    /// The store that a `postgres://` URL names; nothing is connected yet.
    ///
    /// # Errors
    /// The URL or the schema's name can't be used.
    pub fn new(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        Ok(Self {
            place: Arc::new(Place::new(url, options)?),
            session: None,
            seen: Epoch::default(),
            attempted: None,
            known: None,
            memory: Arc::new(NoMemory),
        })
    }

    /// Refuses a database that was further on before, as far as the node remembers.
    #[must_use]
    pub fn remembering(self, memory: Arc<dyn Memory>) -> Self {
        Self { memory, ..self }
    }

    fn look(&mut self) -> Result<Position, StoreError> {
        let place = Arc::clone(&self.place);
        let within = place.options.look_patience();
        if self.session.as_ref().is_none_or(Session::is_closed) {
            let opened = place.open("standby", Access::Read, within);
            self.session = Some(opened.map_err(|error| place.wrong(&error))?);
        }
        let Some(session) = &mut self.session else { return Ok(Position(0)) };
        if schema::version(session, &place, within)? == 0 {
            if let Some(known) = &self.known {
                let lost = format!("the store that this node knows ({}) is gone", known.store);
                return Err(self.forgetful(&known.store, &lost));
            }
            return Ok(Position(0));
        }
        let mark = self.mark()?;
        Ok(Position(mark.commits))
    }

    /// Reads epoch and progress, and holds them against what was known.
    fn mark(&mut self) -> Result<HighWater, StoreError> {
        let place = Arc::clone(&self.place);
        let Some(session) = &mut self.session else { return Err(place.failed("no session")) };
        let (row, timeline) = session
            .run(place.options.look_patience(), async |client| {
                let text = place.sql(
                    "SELECT e.number, e.claim, p.commits, m.store::text \
                     FROM {s}.epoch AS e, {s}.progress AS p, {s}.meta AS m",
                );
                let row = client.query_one(&text, &[]).await?;
                // Not everybody may ask, and not every service knows.
                let asked = client.query_one("SELECT timeline_id FROM pg_control_checkpoint()", &[]).await;
                Ok((row, asked.map_or(0, |row| row.get::<_, i32>(0))))
            })
            .map_err(|error| place.wrong(&error))?;
        let epoch = epoch_of(row.get(0), row.get(1));
        let mark = HighWater {
            store: row.get(3),
            epoch: epoch.number,
            claim: epoch.claim.0,
            commits: uint(row.get(2)),
            timeline: u32::try_from(timeline).unwrap_or(0),
        };
        if self.known.is_none() {
            self.known = self.memory.recall(&mark.store);
        }
        if let Some(known) = self.known.clone() {
            let since = if mark.epoch > known.epoch { self.reigns_since(known.epoch)? } else { Vec::new() };
            if let Some(lost) = mark.lost_since(&known, &since) {
                return Err(self.forgetful(&known.store, &lost));
            }
        }
        self.known = Some(mark.clone());
        self.memory.saw(&mark);
        self.seen = epoch;
        Ok(mark)
    }

    /// How the reign of that number and the next one began, as far as the database knows.
    fn reigns_since(&mut self, number: u64) -> Result<Vec<Beginning>, StoreError> {
        let place = Arc::clone(&self.place);
        let Some(session) = &mut self.session else { return Err(place.failed("no session")) };
        if !schema::has_reigns(session, &place, place.options.look_patience())? {
            return Ok(Vec::new());
        }
        let text = place
            .sql("SELECT number, claim, commits FROM {s}.reigns WHERE number >= $1 ORDER BY number LIMIT 2");
        let rows = session
            .run(place.options.look_patience(), async |client| client.query(&text, &[&int(number)]).await)
            .map_err(|error| place.wrong(&error))?;
        let beginning = |row: &Row| Beginning {
            epoch: uint(row.get(0)),
            claim: row.get::<_, i64>(1).cast_unsigned(),
            commits: uint(row.get(2)),
        };
        Ok(rows.iter().map(beginning).collect())
    }

    fn forgetful(&self, store: &str, lost: &str) -> StoreError {
        StoreError::Forgetful {
            store: self.place.shown().to_owned(),
            reason: lost.to_owned(),
            remembered: self.memory.place(store),
        }
    }

    fn try_claim(&mut self, epoch: Epoch) -> Result<Claimed, StoreError> {
        let place = Arc::clone(&self.place);
        let within = place.options.claim_patience();
        let wrong = |error: PgError| place.wrong(&error);
        self.look()?;
        let mut session = place.open("store", Access::Write, within).map_err(wrong)?;
        let mut reading = place.open("reader", Access::Read, within).map_err(wrong)?;
        refuse_pooler(&mut session, &mut reading, within).map_err(wrong)?;
        if place.options.alone && !lock_alone(&mut session, &place, within).map_err(wrong)? {
            let holder = holder(&mut session, &place, within).map_err(wrong)?;
            return Err(StoreError::InUse { store: place.shown().to_owned(), holder });
        }
        schema::migrate(&mut session, &place, within)?;
        self.take(&mut session, epoch)?;
        let mark = self.look_after_claim()?;
        let started = Instant::now();
        // What was dropped is left to maintenance, as long as what it has in the sums can be counted faster than cleared away.
        while orphans::live_are_many(&mut session, &place, within).map_err(wrong)?
            && orphans::clear_some(&mut session, &place, epoch, (Dropped::Subscriptions, 10_000), within)
                .map_err(wrong)?
        {}
        while orphans::are_many(&mut session, &place, within).map_err(wrong)?
            && orphans::clear_some(&mut session, &place, epoch, (Dropped::Any, 10_000), within)
                .map_err(wrong)?
        {}
        // Only now, in a transaction that began after the claim was committed.
        let (state, mut recovered) = recover::load(&mut session, &place, epoch, within)?;
        tracing::info!(
            store = place.shown(),
            %epoch,
            commits = mark.commits,
            load_ms = started.elapsed().as_millis() as u64,
            "claimed the database"
        );
        recovered.store = Some(mark.store.clone());
        let backend = Backend {
            writer: Some(Writer::new(session, &place, state.streams.is_some(), within).map_err(wrong)?),
            state,
            epoch,
            former: None,
            pending: Vec::new(),
            last: Ticket(0),
            written: Ticket(0),
            durable: Ticket(0),
            failed: false,
            mark: mark.clone(),
            memory: Arc::clone(&self.memory),
            metrics: Arc::new(StoreMetrics::default()),
            space: None,
            forgotten_at: 0,
            place: Arc::clone(&place),
        };
        let reader = Reader::new(Arc::clone(&place), reading);
        Ok(Claimed { backend: Box::new(backend), reader: Box::new(reader), recovered })
    }

    fn look_after_claim(&mut self) -> Result<HighWater, StoreError> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.look()?;
        }
        let mark = self.mark();
        // The writer's own sessions go on from here.
        self.session = None;
        mark
    }

    /// Moves the epoch's row, in a transaction of its own.
    fn take(&mut self, session: &mut Session, epoch: Epoch) -> Result<(), StoreError> {
        let place = Arc::clone(&self.place);
        let within = place.options.claim_patience();
        for _ in 0..TRIES {
            let again = self.attempted == Some(epoch);
            self.attempted = Some(epoch);
            match move_epoch(session, &place, epoch, again, within) {
                Ok(true) => {
                    self.attempted = None;
                    return Ok(());
                }
                Ok(false) => {
                    self.attempted = None;
                    let text = place.sql("SELECT number, claim FROM {s}.epoch");
                    let row = session
                        .run(within, async |client| client.query_one(&text, &[]).await)
                        .map_err(|error| place.wrong(&error))?;
                    self.seen = epoch_of(row.get(0), row.get(1));
                    let store = place.shown().to_owned();
                    return Err(StoreError::Fenced { store, ours: epoch, theirs: self.seen });
                }
                Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                    let text = place.sql("SELECT backend, backend_start, owner FROM {s}.epoch");
                    let row = session
                        .run(within, async |client| client.query_one(&text, &[]).await)
                        .map_err(|error| place.wrong(&error))?;
                    let former = Server { backend: row.get(0), backend_start: row.get(1) };
                    let owner: &str = row.get(2);
                    tracing::warn!(
                        store = place.shown(),
                        owner,
                        backend = former.backend,
                        "ending the session of the epoch before, which holds a transaction open"
                    );
                    terminate(session, &former, within).map_err(|error| place.wrong(&error))?;
                }
                Err(error) => return Err(place.wrong(&error)),
            }
        }
        Err(place.failed(
            "the row of the epoch stays locked; end the session that holds it (pg_locks shows which)",
        ))
    }
}

/// Of a store that stands alone: what was seen is known while it lives.
#[derive(Debug)]
struct NoMemory;

impl Memory for NoMemory {
    fn recall(&self, _store: &str) -> Option<HighWater> {
        None
    }

    fn saw(&self, _mark: &HighWater) {}

    fn place(&self, _store: &str) -> String {
        "memory alone".to_owned()
    }
}

/// Whether the row could be moved.
fn move_epoch(
    session: &mut Session,
    place: &Place,
    epoch: Epoch,
    again: bool,
    within: Duration,
) -> Result<bool, PgError> {
    let server = session.server().clone();
    let owner: String = place.options.owner.chars().take(200).filter(|letter| *letter != '\0').collect();
    session.run(within, async |client| {
        let begin = format!("BEGIN; SET LOCAL lock_timeout = {}", LOCK_TIMEOUT.as_millis());
        client.batch_execute(&begin).await?;
        let moved = async {
            let text = place.sql(
                "UPDATE {s}.epoch SET number = $1, claim = $2, owner = $3, backend = $4, backend_start = $5 \
                 WHERE number < $1 OR ($6 AND number = $1 AND claim = $2)",
            );
            let (number, claim) = (int(epoch.number), epoch.claim.0.cast_signed());
            let moved = client
                .execute(&text, &[&number, &claim, &owner, &server.backend, &server.backend_start, &again])
                .await?;
            if moved > 0 {
                let text = place.sql(
                    "WITH moved AS (UPDATE {s}.progress SET ticket = 0, commits = commits + 1 RETURNING commits) \
                     INSERT INTO {s}.reigns SELECT $1::int8, $2::int8, commits - 1 FROM moved ON CONFLICT (number) DO NOTHING",
                );
                client.execute(&text, &[&number, &claim]).await?;
                let text = place.sql("DELETE FROM {s}.reigns WHERE number < $1");
                client.execute(&text, &[&(number - KEPT_REIGNS)]).await?;
            }
            Ok(moved > 0)
        };
        let moved = moved.await;
        client.batch_execute("SET LOCAL statement_timeout = 0").await.ok();
        client.batch_execute(if moved.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
        moved
    })
}

/// Who holds the lock of a writer that stands alone, as far as it can be told.
fn holder(session: &mut Session, place: &Place, within: Duration) -> Result<String, PgError> {
    let key = place.lock_key();
    let row = session.run(within, async |client| {
        let text = "SELECT a.application_name, a.pid, coalesce(a.client_addr::text, 'this host') \
                    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory' \
                    AND l.granted AND l.objsubid = 1 AND ((l.classid::int8 << 32) | l.objid::int8) = $1 \
                    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        client.query_opt(text, &[&key]).await
    })?;
    Ok(row.map_or_else(
        || "another session".to_owned(),
        |row| {
            let (name, process, host): (&str, i32, &str) = (row.get(0), row.get(1), row.get(2));
            format!("{name:?} at {host} (the server's process {process})")
        },
    ))
}

impl Follower for PostgresStore {
    fn follow(&mut self, _budget: Budget) -> Result<Position, StoreError> {
        let outcome = self.look();
        if outcome.is_err() {
            // A session that is in doubt is not asked again.
            self.session = None;
        }
        outcome
    }

    fn claim(mut self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)> {
        match self.try_claim(epoch) {
            Ok(claimed) => Ok(claimed),
            Err(error) => Err((self, error)),
        }
    }

    fn seen_epoch(&self) -> Epoch {
        self.seen
    }

    fn store_id(&self) -> Option<String> {
        self.known.as_ref().map(|known| known.store.clone())
    }

    fn lag(&self) -> Option<u64> {
        Some(0)
    }
}

//! [`Backend`]: the writer, and how it finds out what became of a commit that was cut off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq_model::{ClaimId, Epoch, Ticket};
use ferromq_postgres::tokio_postgres::error::SqlState;
use ferromq_postgres::{Access, PgError, PgErrorKind, Session};
use ferromq_store::{
    Budget, Durable, Maintenance, Space, StoreBackend, StoreError, StoreMetrics, Sync, WriteBatch,
};

use crate::error::{int, uint};
use crate::options::Place;
use crate::state::State;
use crate::unit::Unit;
use crate::writer::{Step, Writer};
use crate::{HighWater, Memory};

/// Between two tries to reach a database that is away.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// How often sizes are asked for.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) place: Arc<Place>,
    pub(crate) writer: Option<Writer>,
    pub(crate) state: State,
    pub(crate) epoch: Epoch,
    /// The process of the session before, which may still be at work on what we sent.
    pub(crate) former: Option<ferromq_postgres::Server>,
    /// Batches that are not known to be durable, in order.
    pub(crate) pending: Vec<WriteBatch>,
    /// The last ticket that was handed over.
    pub(crate) last: Ticket,
    /// The last ticket that is known to be committed, durable or not.
    pub(crate) written: Ticket,
    pub(crate) durable: Ticket,
    /// An error was told; nothing is tried again.
    pub(crate) failed: bool,
    /// How far the database is, for the node to remember.
    pub(crate) mark: HighWater,
    pub(crate) memory: Arc<dyn Memory>,
    pub(crate) metrics: Arc<StoreMetrics>,
    pub(crate) space: Option<(Instant, Space)>,
    /// Where the order of use stood when forgotten producers were last taken out.
    pub(crate) forgotten_at: i64,
}

impl Backend {
    fn usable(&self) -> Result<(), StoreError> {
        if self.failed {
            return Err(self.place.failed("an earlier error was final; claim the store anew"));
        }
        Ok(())
    }

    fn guard<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.failed |= outcome.is_err();
        outcome
    }

    /// Takes note of a batch, less what changes nothing.
    fn admit(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        batch.check_order(self.epoch, self.last)?;
        let mut ops = Vec::with_capacity(batch.ops.len());
        for op in &batch.ops {
            if self.state.admit(op)? {
                ops.push(op.clone());
            }
        }
        self.last = batch.ticket;
        self.pending.push(WriteBatch { ops, ..*batch });
        Ok(())
    }

    /// Brings everything that was handed over into the database, however often it takes within the patience.
    pub(crate) fn write(&mut self, sync: bool) -> Result<(), StoreError> {
        let until = Instant::now() + self.place.options.patience;
        let left = || until.saturating_duration_since(Instant::now());
        loop {
            let outcome = match self.reconnect(left()) {
                Ok(()) => self.attempt(sync, left()),
                Err(error) => Err(error),
            };
            let error = match outcome {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing(error)) => error,
            };
            if left().is_zero() {
                return Err(self.place.wrong(&error));
            }
            tracing::warn!(store = self.place.shown(), %error, left_ms = left().as_millis() as u64, "the database is away; trying again");
            std::thread::sleep(PAUSE);
        }
    }

    fn attempt(&mut self, sync: bool, within: Duration) -> Result<(), Trouble> {
        let Self { writer, pending, state, written, .. } = self;
        let Some(writer) = writer else { return Err(Trouble::Final(self.place.failed("no session"))) };
        let unit = Unit::new(pending.iter().filter(|batch| batch.ticket > *written), state);
        let step = Step { epoch: self.epoch, from: *written, to: self.last, sync };
        let began = Instant::now();
        match writer.write(step, &unit, state, within) {
            Ok(fence) => {
                self.state.producer_uses = unit.producer_uses;
                self.written = self.last;
                if sync {
                    self.metrics.sync.record(nanos(began.elapsed()));
                    self.metrics.fence.record(nanos(fence));
                    self.durable = self.written;
                    self.pending.clear();
                    self.mark.commits += 1;
                    self.memory.saw(&self.mark);
                }
                Ok(())
            }
            // Somebody moved the epoch, or the database is at another ticket: the rows say which, and from there it goes on.
            Err(error) if error.code() == Some(&SqlState::DIVISION_BY_ZERO) => {
                self.resolve(within)?;
                Err(Trouble::Passing(error))
            }
            Err(error) if error.kind() == PgErrorKind::Lost => {
                self.former = self.writer.take().map(|writer| writer.session.server().clone());
                Err(Trouble::Passing(error))
            }
            Err(error) if error.kind() == PgErrorKind::Again => Err(Trouble::Passing(error)),
            Err(error) => Err(Trouble::Final(self.place.wrong(&error))),
        }
    }

    /// A session, if there is none; then what was cut off is resolved.
    fn reconnect(&mut self, within: Duration) -> Result<(), Trouble> {
        if self.writer.as_ref().is_some_and(|writer| !writer.session.is_closed()) {
            return Ok(());
        }
        if let Some(closed) = self.writer.take() {
            self.former = Some(closed.session.server().clone());
        }
        let within = within.max(PAUSE);
        let place = Arc::clone(&self.place);
        let mut session = place.open("store", Access::Write, within).map_err(Trouble::from_error(&place))?;
        if let Some(former) = &self.former {
            terminate(&mut session, former, within).map_err(Trouble::from_error(&place))?;
        }
        if place.options.alone
            && !lock_alone(&mut session, &place, within).map_err(Trouble::from_error(&place))?
        {
            // Ours may take a moment to go; somebody else's stays, and is found by the epoch or by the end of patience.
            tracing::debug!(store = place.shown(), "the lock of the session before is still held");
            return Err(Trouble::Passing(PgError::Slow { server: place.shown().to_owned(), within: PAUSE }));
        }
        self.writer = Some(
            Writer::new(session, &place, self.state.streams.is_some(), within)
                .map_err(Trouble::from_error(&place))?,
        );
        self.record_backend(within)?;
        self.resolve(within)
    }

    /// Notes the process of the new session, for whoever has to end it one day.
    fn record_backend(&mut self, within: Duration) -> Result<(), Trouble> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let server = writer.session.server().clone();
        let text = self
            .place
            .sql("UPDATE {s}.epoch SET backend = $3, backend_start = $4 WHERE number = $1 AND claim = $2");
        let (number, claim) = (int(self.epoch.number), self.epoch.claim.0.cast_signed());
        writer
            .session
            .run(within, async |client| {
                client.execute(&text, &[&number, &claim, &server.backend, &server.backend_start]).await
            })
            .map(drop)
            .map_err(Trouble::from_error(&self.place))
    }

    /// Asks the database which ticket was the last, once whoever may still be writing it has ended.
    fn resolve(&mut self, within: Duration) -> Result<(), Trouble> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let text = self.place.sql(
            "SELECT e.number, e.claim, p.ticket, p.commits FROM {s}.epoch AS e, {s}.progress AS p FOR UPDATE OF p",
        );
        let row = writer
            .session
            .run(within, async |client| client.query_one(&text, &[]).await)
            .map_err(Trouble::from_error(&self.place))?;
        let theirs = epoch_of(row.get(0), row.get(1));
        if theirs != self.epoch {
            self.metrics.fenced.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let store = self.place.shown().to_owned();
            return Err(Trouble::Final(if theirs.number < self.epoch.number {
                self.place.failed(format!(
                    "the database forgot epoch {} and is at {theirs}: it lost what it had acknowledged; restore it, \
                     or claim anew and accept the loss",
                    self.epoch
                ))
            } else {
                StoreError::Fenced { store, ours: self.epoch, theirs }
            }));
        }
        let ticket = Ticket(uint(row.get(2)));
        if ticket < self.durable || ticket > self.last {
            return Err(Trouble::Final(self.place.failed(format!(
                "the database is at unit of work {}, and {} was acknowledged: it lost what it had acknowledged",
                ticket.0, self.durable.0
            ))));
        }
        if ticket != self.written {
            tracing::info!(
                store = self.place.shown(),
                from = self.written.0,
                to = ticket.0,
                "found what was committed"
            );
        }
        self.written = ticket;
        self.mark.commits = self.mark.commits.max(uint(row.get(3)));
        Ok(())
    }

    /// Runs something else of the writer's, on a session that is there.
    pub(crate) fn with_session<T>(
        &mut self,
        action: impl Fn(&mut Session, &Place, Duration) -> Result<T, PgError>,
    ) -> Result<T, StoreError> {
        let until = Instant::now() + self.place.options.patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let outcome = self.reconnect(left).and_then(|()| {
                let place = Arc::clone(&self.place);
                match &mut self.writer {
                    Some(writer) => {
                        action(&mut writer.session, &place, left).map_err(Trouble::from_error(&place))
                    }
                    None => Err(Trouble::Final(place.failed("no session"))),
                }
            });
            match outcome {
                Ok(done) => return Ok(done),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing(error)) if left.is_zero() => return Err(self.place.wrong(&error)),
                Err(Trouble::Passing(_)) => std::thread::sleep(PAUSE),
            }
        }
    }

    fn space(&mut self) -> Result<Space, StoreError> {
        if let Some((measured, space)) = self.space
            && measured.elapsed() < MEASURE_EVERY
            && self.place.options.max_bytes == u64::MAX
        {
            return Ok(space);
        }
        let (live, used) = self.with_session(|session, place, within| {
            let text = place.sql(
                "SELECT coalesce((SELECT sum(bytes) FROM {s}.destinations), 0)::int8, \
                 pg_total_relation_size('{s}.messages') + pg_total_relation_size('{s}.waiting')",
            );
            let row = session.run(within, async |client| client.query_one(&text, &[]).await)?;
            Ok((uint(row.get(0)), uint(row.get(1))))
        })?;
        let options = &self.place.options;
        let free = options.max_bytes.saturating_sub(live).saturating_sub(options.reserve());
        let space = Space { used, free, live };
        self.space = Some((Instant::now(), space));
        Ok(space)
    }
}

/// What an attempt met.
pub(crate) enum Trouble {
    /// Worth another try.
    Passing(PgError),
    Final(StoreError),
}

impl Trouble {
    fn from_error(place: &Place) -> impl Fn(PgError) -> Self + '_ {
        |error| match error.kind() {
            PgErrorKind::Lost | PgErrorKind::Again => Self::Passing(error),
            _ => Self::Final(place.wrong(&error)),
        }
    }
}

/// Ends a process of the server, if it is still the one that is meant.
pub(crate) fn terminate(
    session: &mut Session,
    who: &ferromq_postgres::Server,
    within: Duration,
) -> Result<(), PgError> {
    session
        .run(within, async |client| {
            let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                        WHERE pid = $1 AND backend_start::text = $2 AND pid <> pg_backend_pid()";
            client.execute(text, &[&who.backend, &who.backend_start]).await
        })
        .map(drop)
}

/// Takes the lock that keeps a second broker out where nothing else does; whether it was free.
pub(crate) fn lock_alone(session: &mut Session, place: &Place, within: Duration) -> Result<bool, PgError> {
    let key = place.lock_key();
    let row = session
        .run(within, async |client| client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await)?;
    Ok(row.get(0))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn epoch_of(number: i64, claim: i64) -> Epoch {
    Epoch { number: uint(number), claim: ClaimId(claim.cast_unsigned()) }
}

impl StoreBackend for Backend {
    fn commit(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<Option<Durable>, StoreError> {
        self.usable()?;
        let sync = force_sync || batches.iter().any(|batch| batch.sync == Sync::Required);
        if batches.is_empty() && !sync {
            return Ok(None);
        }
        let outcome = batches.iter().try_for_each(|batch| self.admit(batch)).and_then(|()| self.write(sync));
        self.guard(outcome)?;
        // The lock on the epoch's row was held until the commit was flushed: whoever claimed later reads all of it.
        Ok(sync.then(|| Durable::after_sync_and_fence_check(self.durable)))
    }

    fn maintain(&mut self, budget: Budget) -> Result<Maintenance, StoreError> {
        self.usable()?;
        let outcome = (|| {
            let more = budget.bytes > 0 && self.clear_away(budget)?;
            Ok(Maintenance { more, space: self.space()? })
        })();
        self.guard(outcome)
    }

    fn metrics(&self) -> Option<Arc<StoreMetrics>> {
        Some(Arc::clone(&self.metrics))
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.usable()?;
        self.write(true)
    }
}

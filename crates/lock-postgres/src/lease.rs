//! [`PostgresLock`].

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq_env::{Clock, Entropy, SystemClock, SystemEntropy};
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Sighting, Timings};
use ferromq_model::{self as model, ClaimId, Epoch};
use ferromq_postgres::tokio_postgres::error::SqlState;
use ferromq_postgres::{Access, PgError, Session, Target};

use crate::row::{self, Lease};

/// Schema and table are made once, and nobody serves before.
const MAKING: Duration = Duration::from_secs(10);

/// How long a new session may wait for the server to end the one before of the same name.
const NAME_PATIENCE: Duration = Duration::from_secs(2);

/// Claims in a database that all share.
pub struct PostgresLock {
    target: Target,
    shown: String,
    schema: String,
    node: String,
    owner: String,
    timings: Timings,
    entropy: Box<dyn Entropy>,
    clock: Arc<dyn Clock>,
    pub(crate) session: Option<Session>,
    /// Whom the last look showed: a claim supersedes nobody else.
    seen: Option<Lease>,
    /// Since when the holder's session has been missing.
    absent_since: Option<(Epoch, model::Instant)>,
    held: Option<Epoch>,
    /// Locks of a holder that a session of its own still has which was cut off: they end with that, and are taken then.
    owed: Vec<i64>,
}

impl PostgresLock {
    /// A provider on the schema of that name in the database that the URL names, for the node of that name, which no
    /// other may have. Nothing is connected yet.
    ///
    /// # Errors
    /// The URL can't be used, the schema's name is not lower case letters, digits and underscores, or the times contradict
    /// each other.
    pub fn new(url: &str, schema: &str, node: &str, timings: Timings) -> Result<Self, LockError> {
        timings.check()?;
        let unusable = |reason: String| LockError::Io {
            action: "use",
            path: "the database of the lock".to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, reason),
        };
        let target = Target::parse(url).map_err(|error| unusable(error.to_string()))?;
        let plain = schema.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let begins = schema.starts_with(|c: char| c.is_ascii_lowercase()) && !schema.starts_with("pg_");
        if !plain || !begins || schema.len() > 50 {
            return Err(unusable(format!(
                "{schema:?} is no schema: a lower case letter and up to 49 letters, digits and underscores"
            )));
        }
        Ok(Self {
            shown: format!("{}, schema {schema}", target.shown()),
            target,
            schema: schema.to_owned(),
            node: node.to_owned(),
            owner: node.to_owned(),
            timings,
            entropy: Box::new(SystemEntropy),
            clock: Arc::new(SystemClock),
            session: None,
            seen: None,
            absent_since: None,
            held: None,
            owed: Vec::new(),
        })
    }

    /// What others read about this node when it holds the lease; its name if nothing is said.
    #[must_use]
    pub fn signed(mut self, owner: String) -> Self {
        self.owner = owner;
        self
    }

    /// Reads this clock, of which only the monotonic side matters.
    #[must_use]
    pub fn clocked(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// As long as a renewal may take: a holder has to have a try left before its lease ends.
    fn renewal_within(&self) -> Duration {
        self.timings.lease / 2
    }

    /// As long as anything else may take. Whoever looks judges by its own clock, so a slow answer is only late.
    fn within(&self) -> Duration {
        self.timings.lease.max(Duration::from_secs(2))
    }

    fn failed(&self, action: &'static str, error: &PgError) -> LockError {
        let kind = if error.is_late() { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
        LockError::Io { action, path: self.shown.clone(), source: io::Error::new(kind, error.to_string()) }
    }

    /// The advisory locks of this schema: for the holder of an epoch its number is mixed in.
    fn key(&self, what: &str) -> i64 {
        let low = crc32c::crc32c(what.as_bytes());
        let high = crc32c::crc32c(self.schema.as_bytes()) | 0x8000_0000;
        (u64::from(high) << 32 | u64::from(low)).cast_signed()
    }

    fn holder_key(&self) -> i64 {
        self.key("holder")
    }

    /// A session that holds the lock on this node's name, and on the epoch if there is one.
    fn connect(&mut self) -> Result<(), LockError> {
        if self.session.as_ref().is_some_and(|session| !session.is_closed()) {
            return Ok(());
        }
        self.session = None;
        self.owed.clear();
        // A first connection takes its time: names, TLS, logins.
        let within =
            if self.held.is_some() { self.within() } else { Duration::from_secs(5).max(self.within()) };
        let opened =
            Session::open(&self.target, &format!("ferromq lock: {}", self.owner), Access::Write, within);
        let mut session = opened.map_err(|error| self.failed("connect to", &error))?;
        let key = self.key(&format!("name {}", self.node));
        let until = Instant::now() + if self.held.is_some() { Duration::ZERO } else { NAME_PATIENCE };
        while !try_lock(&mut session, key, within).map_err(|error| self.failed("ask", &error))? {
            // While a session of ours that was cut off is still there, so is its lock; the epoch decides.
            if self.held.is_some() {
                self.owed.push(key);
                break;
            }
            if Instant::now() >= until {
                return Err(LockError::NameTaken { place: self.shown.clone(), name: self.node.clone() });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(epoch) = self.held {
            let key = self.holder_key() ^ epoch.number.cast_signed();
            if !try_lock(&mut session, key, within).map_err(|error| self.failed("ask", &error))? {
                self.owed.push(key);
            }
        }
        self.session = Some(session);
        Ok(())
    }

    /// Takes the locks that a session which was cut off has let go of: without them the holder would be thought dead. As
    /// long as one is not to be had, the next renewal tries again, on this session or the one after it.
    fn take_owed(&mut self) {
        let within = self.renewal_within();
        while let Some(key) = self.owed.pop() {
            if !self.run("ask", within, |session, within| try_lock(session, key, within)).unwrap_or(false) {
                return self.owed.push(key);
            }
        }
    }

    /// Runs statements on a session; one that failed is not used again.
    fn run<T>(
        &mut self,
        action: &'static str,
        within: Duration,
        work: impl FnOnce(&mut Session, Duration) -> Result<T, PgError>,
    ) -> Result<T, LockError> {
        self.connect()?;
        let Some(session) = &mut self.session else {
            return Err(LockError::Bug("no session".to_owned()));
        };
        let outcome = work(session, within);
        if outcome.is_err() && session.is_closed() {
            self.session = None;
            // What is missing now may be missing because the server was.
            self.absent_since = None;
        }
        outcome.map_err(|error| self.failed(action, &error))
    }

    fn read(&mut self) -> Result<Option<Lease>, LockError> {
        let (schema, key) = (self.schema.clone(), self.holder_key());
        let outcome = self.run("ask", self.within(), |session, within| {
            session.run(within, async |client| row::read(client, &schema, key).await)
        });
        if outcome.is_err() {
            self.absent_since = None;
        }
        outcome
    }

    /// What a standby may conclude. A session that is missing is given the time in which a holder that was merely cut off
    /// comes back.
    fn sighting(&mut self, lease: &Lease) -> Sighting {
        let (ours, now) = (self.held == Some(lease.epoch), self.clock.now().mono);
        let since = match self.absent_since {
            Some((epoch, since)) if epoch == lease.epoch && lease.absent => Some(since),
            _ if lease.absent && !ours => Some(now),
            _ => None,
        };
        self.absent_since = since.map(|since| (lease.epoch, since));
        let grace = self.timings.renew_every + self.timings.look_every * 2;
        Sighting {
            epoch: lease.epoch,
            owner: Some(lease.owner.clone()),
            beat: lease.beat,
            released: lease.released,
            died: since.is_some_and(|since| now.since(since) >= grace),
        }
    }
}

fn try_lock(session: &mut Session, key: i64, within: Duration) -> Result<bool, PgError> {
    session.run(within, async |client| {
        client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await.map(|row| row.get(0))
    })
}

impl LockProvider for PostgresLock {
    fn look(&mut self) -> Result<Option<Sighting>, LockError> {
        let lease = self.read()?;
        let sighting = lease.as_ref().map(|lease| self.sighting(lease));
        self.seen = lease;
        Ok(sighting)
    }

    fn try_acquire(&mut self, at_least: Epoch, why: Contention) -> Result<Acquired, LockError> {
        self.held = None;
        let seen = self.seen.clone();
        let current = self.read()?;
        if let Some(current) = &current {
            let sighting = self.sighting(current);
            let same = seen.as_ref().is_some_and(|seen| seen.epoch == current.epoch);
            let free = current.released || sighting.died || why == Contention::OverSilence;
            if !same || !free {
                self.seen = Some(current.clone());
                return Ok(Acquired::Held(sighting));
            }
        }
        let highest = current.as_ref().map_or(Epoch::default(), |current| current.epoch);
        let number = at_least.number.max(highest.number).saturating_add(1);
        let epoch = Epoch { number, claim: ClaimId(self.entropy.next_u64()) };
        let key = self.holder_key() ^ number.cast_signed();
        let (create, claim) = (row::text(row::CREATE, &self.schema), row::text(row::CLAIM, &self.schema));
        let (owner, fresh) = (self.owner.clone(), current.is_none_or(|current| !current.complete));
        if fresh {
            self.run("make the table of the lease in", MAKING, |session, within| {
                session.run(within, async |client| make(client, &create).await)
            })?;
        }
        let won = self.run("claim the lease of", self.within(), |session, within| {
            session.run(within, async |client| {
                client.batch_execute("SET synchronous_commit = on").await?;
                // Held before the row says so, or somebody might find it missing.
                client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?;
                let ours = [epoch.number.cast_signed(), epoch.claim.0.cast_signed()];
                let theirs = [highest.number.cast_signed(), highest.claim.0.cast_signed()];
                let moved =
                    client.execute(&claim, &[&ours[0], &ours[1], &owner, &theirs[0], &theirs[1]]).await?;
                if moved == 0 {
                    client.query_one("SELECT pg_advisory_unlock($1)", &[&key]).await?;
                }
                // A heartbeat that a crash of the server takes with it was as good as any.
                client.batch_execute("SET synchronous_commit = off").await?;
                Ok(moved > 0)
            })
        })?;
        if won {
            self.held = Some(epoch);
            self.absent_since = None;
            return Ok(Acquired::Granted(Grant { epoch, lasts: self.timings.lease }));
        }
        match self.look()? {
            Some(sighting) => Ok(Acquired::Held(sighting)),
            None => Err(LockError::Bug("the row of the lease vanished".to_owned())),
        }
    }

    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError> {
        if self.held != Some(grant.epoch) {
            return Err(LockError::Bug(format!("epoch {} is not held here", grant.epoch)));
        }
        let renew = row::text(row::RENEW, &self.schema);
        let (number, claim) = (grant.epoch.number.cast_signed(), grant.epoch.claim.0.cast_signed());
        let moved = self.run("renew the lease of", self.renewal_within(), |session, within| {
            session.run(within, async |client| client.execute(&renew, &[&number, &claim]).await)
        })?;
        if moved > 0 {
            self.take_owed();
            return Ok(Grant { epoch: grant.epoch, lasts: self.timings.lease });
        }
        let theirs = self.read()?.map_or(Epoch::default(), |lease| lease.epoch);
        Err(LockError::Superseded { place: self.shown.clone(), ours: grant.epoch, theirs })
    }

    fn release(&mut self, grant: Grant) -> Result<(), LockError> {
        if self.held != Some(grant.epoch) {
            return Ok(());
        }
        let release = row::text(row::RELEASE, &self.schema);
        let key = self.holder_key() ^ grant.epoch.number.cast_signed();
        let (number, claim) = (grant.epoch.number.cast_signed(), grant.epoch.claim.0.cast_signed());
        let released = self.run("release the lease of", self.within(), |session, within| {
            session.run(within, async |client| {
                client.batch_execute("SET synchronous_commit = on").await?;
                client.execute(&release, &[&number, &claim]).await?;
                client.query_one("SELECT pg_advisory_unlock($1)", &[&key]).await
            })
        });
        self.held = None;
        released.map(drop)
    }
}

/// Makes schema and table; two nodes that do so at once may meet, and one of them asks again.
async fn make(
    client: &ferromq_postgres::tokio_postgres::Client,
    create: &str,
) -> Result<(), ferromq_postgres::tokio_postgres::Error> {
    const TRIES: usize = 5;
    for _ in 1..TRIES {
        match client.batch_execute(create).await {
            Err(error)
                if [
                    &SqlState::UNIQUE_VIOLATION,
                    &SqlState::DUPLICATE_SCHEMA,
                    &SqlState::DUPLICATE_TABLE,
                    &SqlState::DUPLICATE_OBJECT,
                ]
                .iter()
                .any(|code| error.code() == Some(code)) => {}
            outcome => return outcome,
        }
    }
    client.batch_execute(create).await
}

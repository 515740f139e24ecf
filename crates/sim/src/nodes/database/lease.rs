//! [`RowLock`]: the lease as a row, held and watched as `lock-postgres` does it.

use std::io;
use std::sync::Arc;

use ferromq_env::{Clock, Entropy};
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Sighting, Timings};
use ferromq_model::{ClaimId, Epoch, Instant};

use super::Access;

/// What the row says.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    epoch: Epoch,
    owner: String,
    beat: u64,
    released: bool,
}

/// The lock provider on the row.
pub(in crate::nodes) struct RowLock {
    access: Access,
    entropy: Box<dyn Entropy>,
    clock: Arc<dyn Clock>,
    owner: String,
    timings: Timings,
    /// The epoch that the last look found.
    seen: Epoch,
    /// Whose session is missing, and since when.
    missing: Option<(Epoch, Instant)>,
}

fn failed(source: io::Error) -> LockError {
    LockError::Io { action: "ask", path: "the database".to_owned(), source }
}

impl RowLock {
    pub(in crate::nodes) fn new(
        access: Access,
        entropy: Box<dyn Entropy>,
        clock: Arc<dyn Clock>,
        owner: &str,
        timings: Timings,
    ) -> Self {
        let (seen, missing) = (Epoch::default(), None);
        Self { access, entropy, clock, owner: owner.to_owned(), timings, seen, missing }
    }

    fn sighting(row: Row, died: bool) -> Sighting {
        let Row { epoch, owner, beat, released } = row;
        Sighting { epoch, owner: Some(owner), beat, released, died }
    }

    /// A session that is missing for a quarter of a lease and two looks belongs to nobody that lives.
    fn has_died(&mut self, epoch: Epoch, absent: bool) -> bool {
        let now = self.clock.now().mono;
        match self.missing {
            _ if !absent => self.missing = None,
            Some((missing, since)) if missing == epoch => return now.since(since) >= self.timings.lease / 4,
            _ => self.missing = Some((epoch, now)),
        }
        false
    }
}

impl LockProvider for RowLock {
    fn look(&mut self) -> Result<Option<Sighting>, LockError> {
        let (row, absent) = self
            .access
            .ask(|server, _| {
                let epoch = server.now.lease.epoch;
                let guarded = server.sessions.values().any(|session| session.guards == Some(epoch));
                (server.now.lease.clone(), !guarded && server.restarts == server.restarts_at_beat)
            })
            .map_err(failed)?;
        self.seen = row.epoch;
        if row.epoch.number == 0 {
            return Ok(None);
        }
        let died = self.has_died(row.epoch, absent);
        Ok(Some(Self::sighting(row, died)))
    }

    fn try_acquire(&mut self, at_least: Epoch, _why: Contention) -> Result<Acquired, LockError> {
        let before = self.seen;
        let number = at_least.number.max(before.number) + 1;
        let epoch = Epoch { number, claim: ClaimId(self.entropy.next_u64()) };
        let owner = self.owner.clone();
        // Over the holder that was seen last, or nobody.
        let moved = self.access.ask(|server, session| {
            if server.now.lease.epoch != before {
                return Err(server.now.lease.clone());
            }
            server.now.lease = Row { epoch, owner, beat: 1, released: false };
            server.restarts_at_beat = server.restarts;
            if let Some(session) = server.sessions.get_mut(&session) {
                session.guards = Some(epoch);
            }
            Ok(())
        });
        Ok(match moved.map_err(failed)? {
            Ok(()) => Acquired::Granted(Grant { epoch, lasts: self.timings.lease }),
            Err(row) => Acquired::Held(Self::sighting(row, false)),
        })
    }

    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError> {
        let (epoch, lasts) = (grant.epoch, self.timings.lease);
        let theirs = self.access.ask(|server, session| {
            if server.now.lease.epoch != epoch {
                return Some(server.now.lease.epoch);
            }
            server.now.lease.beat += 1;
            server.restarts_at_beat = server.restarts;
            if let Some(session) = server.sessions.get_mut(&session) {
                session.guards = Some(epoch);
            }
            None
        });
        match theirs.map_err(failed)? {
            None => Ok(Grant { epoch, lasts }),
            Some(theirs) => {
                Err(LockError::Superseded { place: "the database".to_owned(), ours: epoch, theirs })
            }
        }
    }

    fn release(&mut self, grant: Grant) -> Result<(), LockError> {
        let released = self.access.ask(|server, session| {
            if server.now.lease.epoch == grant.epoch {
                server.now.lease.beat += 1;
                server.now.lease.released = true;
            }
            if let Some(session) = server.sessions.get_mut(&session) {
                session.guards = None;
            }
        });
        released.map_err(failed)
    }
}

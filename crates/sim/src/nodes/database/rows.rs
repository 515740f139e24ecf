//! [`Rows`]: the store in the database, followed and claimed as `store-postgres` does it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ferromq_model::{Epoch, Ticket};
use ferromq_store::{
    Budget, Claimed, Durable, Follower, IndexEntry, Loaded, Maintenance, MessageRef, PageRequest, Position,
    Space, StoreBackend, StoreError, StoreReader, Sync, WriteBatch,
};

use super::{Access, Transaction};
use crate::nodes::NodeBug;

/// How often something that was cut off is tried again; an outage is longer.
const TRIES: usize = 8;

const PLACE: &str = "the database";

fn failed(source: io::Error) -> StoreError {
    StoreError::Io { action: "ask", path: PLACE.to_owned(), source }
}

fn fenced(ours: Epoch, theirs: Epoch) -> StoreError {
    StoreError::Fenced { store: PLACE.to_owned(), ours, theirs }
}

fn forgot(access: &Access, known: u64, found: u64) -> StoreError {
    access.database.server().noticed.insert(access.member);
    let reason = format!("it showed {known} commits, and has {found} now");
    StoreError::Damaged { place: PLACE.to_owned(), reason }
}

/// The highest count of commits that a process has seen; in a broker the node's own small file.
pub(in crate::nodes) type Known = Arc<AtomicU64>;

/// A store that is followed.
pub(in crate::nodes) struct Rows {
    access: Access,
    seen: Epoch,
    known: Known,
    attempted: Option<Epoch>,
}

enum Moved {
    Yes,
    No(Epoch),
    Locked(u64),
}

impl Rows {
    pub(in crate::nodes) fn new(access: Access, known: Known) -> Self {
        Self { access, seen: Epoch::default(), known, attempted: None }
    }

    fn look(&mut self) -> Result<u64, StoreError> {
        let (epoch, commits) =
            self.access.ask(|server, _| (server.now.epoch, server.now.commits)).map_err(failed)?;
        let known = self.known.fetch_max(commits, Ordering::SeqCst);
        if commits < known {
            return Err(forgot(&self.access, known, commits));
        }
        self.seen = epoch;
        Ok(commits)
    }

    /// Moves the epoch's row, in a transaction of its own.
    fn take(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let again = self.attempted == Some(epoch);
            self.attempted = Some(epoch);
            let moved = self.access.ask(|server, session| {
                if let Some(holder) = server.holder(session) {
                    return Some(Moved::Locked(holder));
                }
                if again && server.now.epoch == epoch {
                    return Some(Moved::Yes);
                }
                if server.now.epoch.number >= epoch.number {
                    return Some(Moved::No(server.now.epoch));
                }
                server.remember();
                (server.now.epoch, server.now.ticket) = (epoch, Ticket(0));
                let lost = server.answers_to_lose > 0;
                server.answers_to_lose -= u32::from(lost);
                (!lost).then_some(Moved::Yes)
            });
            match moved {
                Ok(Some(Moved::Yes)) => return Ok(()),
                Ok(Some(Moved::No(theirs))) => return Err(fenced(epoch, theirs)),
                Ok(Some(Moved::Locked(holder))) => {
                    let ended = self.access.ask(|server, _| server.sessions.remove(&holder));
                    ended.map_err(failed)?;
                }
                Ok(None) => {}
                Err(gone) if gone.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(super::cut()))
    }

    fn try_claim(&mut self, epoch: Epoch) -> Result<Claimed, StoreError> {
        self.look()?;
        self.take(epoch)?;
        self.look()?;
        // Only now, in a transaction that began after the claim was committed.
        let contents = self.access.ask(|server, _| server.now.contents.clone()).map_err(failed)?;
        let writer = Writer {
            access: self.access.another(),
            epoch,
            written: Ticket(0),
            last: Ticket(0),
            pending: Vec::new(),
            known: Arc::clone(&self.known),
        };
        let reader = Reader { access: self.access.another() };
        let recovered = contents.recovered(epoch);
        Ok(Claimed { backend: Box::new(writer), reader: Box::new(reader), recovered })
    }
}

impl Follower for Rows {
    fn follow(&mut self, _budget: Budget) -> Result<Position, StoreError> {
        self.look().map(Position)
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
}

/// The session that writes.
struct Writer {
    access: Access,
    epoch: Epoch,
    /// The last ticket that is known to be committed, and the last that was handed over.
    written: Ticket,
    last: Ticket,
    pending: Vec<WriteBatch>,
    known: Known,
}

enum Outcome {
    Done,
    /// The session broke: it may be done.
    InDoubt,
    /// The row shows another epoch, or another ticket.
    Refused(Epoch, u64),
}

impl Writer {
    /// One transaction: the fence, the rows, the commit.
    fn transact(&mut self) -> io::Result<Outcome> {
        let Self { access, epoch, written, last, pending, .. } = self;
        let (epoch, from, to) = (*epoch, *written, *last);
        let locks = access.bug() != Some(NodeBug::EpochReadPlainly);
        let begun = access.ask(|server, session| {
            let fits = server.now.epoch == epoch && server.now.ticket == from;
            if let Some(session) = server.sessions.get_mut(&session).filter(|_| fits) {
                session.open = Some(Transaction { epoch, locks, to, batches: Vec::new() });
                return None;
            }
            Some(Outcome::Refused(server.now.epoch, server.now.commits))
        })?;
        if let Some(refused) = begun {
            return Ok(refused);
        }
        let batches = pending.clone();
        access.ask(|server, session| {
            if let Some(open) = server.sessions.get_mut(&session).and_then(|session| session.open.as_mut()) {
                open.batches = batches;
            }
        })?;
        let answered = access.ask(super::Server::commit)?;
        Ok(if answered { Outcome::Done } else { Outcome::InDoubt })
    }

    fn write(&mut self) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let former = self.access.session;
            let outcome = match self.transact() {
                Err(gone) if gone.kind() == io::ErrorKind::ConnectionReset => Outcome::InDoubt,
                other => other.map_err(failed)?,
            };
            match outcome {
                Outcome::Done => return self.done(),
                Outcome::Refused(theirs, _) if theirs.number > self.epoch.number => {
                    return Err(fenced(self.epoch, theirs));
                }
                Outcome::Refused(_, commits) => {
                    return Err(forgot(&self.access, self.known.load(Ordering::SeqCst), commits));
                }
                Outcome::InDoubt if self.access.bug() == Some(NodeBug::CommitAssumed) => return self.done(),
                Outcome::InDoubt => {
                    if self.is_committed(former)? {
                        return self.done();
                    }
                }
            }
        }
        Err(failed(super::cut()))
    }

    /// What became of a commit whose answer was lost: the session is ended, and then the row tells.
    fn is_committed(&mut self, former: Option<u64>) -> Result<bool, StoreError> {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        for _ in 0..TRIES {
            let asked = self.access.ask(|server, session| {
                if let Some(former) = former.filter(|former| *former != session) {
                    server.sessions.remove(&former);
                }
                (server.now.epoch, server.now.ticket)
            });
            match asked {
                Ok((epoch, _)) if epoch != self.epoch => return Err(fenced(self.epoch, epoch)),
                Ok((_, ticket)) => return Ok(ticket == self.last && self.last != self.written),
                Err(error) if gone(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(super::cut()))
    }

    fn done(&mut self) -> Result<(), StoreError> {
        (self.written, self.pending) = (self.last, Vec::new());
        self.known.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl StoreBackend for Writer {
    fn commit(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<Option<Durable>, StoreError> {
        let mut wanted = force_sync;
        for batch in batches {
            batch.check_order(self.epoch, self.last)?;
            self.pending.push(batch.clone());
            self.last = batch.ticket;
            wanted |= batch.sync == Sync::Required;
        }
        if !self.pending.is_empty() {
            self.write()?;
        }
        Ok(wanted.then(|| Durable::after_sync_and_fence_check(self.written)))
    }

    fn maintain(&mut self, _budget: Budget) -> Result<Maintenance, StoreError> {
        let asked = self.access.ask(|server, _| (server.now.epoch, server.now.contents.bytes()));
        let (epoch, used) = match asked {
            Err(gone) if gone.kind() == io::ErrorKind::ConnectionReset => (self.epoch, 0),
            other => other.map_err(failed)?,
        };
        if epoch.number > self.epoch.number {
            return Err(fenced(self.epoch, epoch));
        }
        let space = Space { used, free: u64::MAX, live: used };
        Ok(Maintenance { more: false, space })
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The session that reads.
struct Reader {
    access: Access,
}

impl Reader {
    fn ask<T>(
        &mut self,
        mut read: impl FnMut(&ferromq_store::memory::Contents) -> T,
    ) -> Result<T, StoreError> {
        for _ in 0..TRIES {
            match self.access.ask(|server, _| read(&server.now.contents)) {
                Err(gone) if gone.kind() == io::ErrorKind::ConnectionReset => {}
                other => return other.map_err(failed),
            }
        }
        Err(failed(super::cut()))
    }
}

impl StoreReader for Reader {
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        self.ask(|contents| wanted.iter().map(|wanted| contents.load(*wanted)).collect())
    }

    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        self.ask(|contents| contents.page(wanted))
    }
}

//! [`Database`]: a database that the nodes share, as `store-postgres` and `lock-postgres` use theirs.
//!
//! Sessions that may break at any statement, one transaction in each, the epoch's row that a transaction locks, and the
//! lease's row beside it. What is here is the protocol of those two crates and nothing of their code.
//!
//! * [`Database`]: the server, and what befalls it.
//! * [`Access`]: a node's way to it; each statement is an operation before which the node may be stopped.
//! * [`rows`]: the store. [`lease`]: the lock provider.

pub(super) mod lease;
pub(super) mod rows;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferromq_model::{Epoch, Ticket};
use ferromq_store::WriteBatch;
use ferromq_store::memory::Contents;

use super::NodeBug;
use super::gate::Gate;

/// So far back may a copy lag that takes over.
const LAG: usize = 64;

/// The server. A clone is the same one.
#[derive(Clone, Default)]
pub(super) struct Database {
    server: Arc<Mutex<Server>>,
}

/// Everything that was committed.
#[derive(Clone, Default)]
struct Committed {
    contents: Contents,
    epoch: Epoch,
    ticket: Ticket,
    commits: u64,
    lease: lease::Row,
}

#[derive(Default)]
struct Server {
    now: Committed,
    /// Before each of the last commits.
    past: VecDeque<Committed>,
    sessions: BTreeMap<u64, Session>,
    opened: u64,
    restarts: u64,
    /// The restarts before the last heartbeat: a server knows nothing of the locks before.
    restarts_at_beat: u64,
    /// Answers to so many commits get lost.
    answers_to_lose: u32,
    /// Who has noticed that commits are forgotten.
    noticed: BTreeSet<usize>,
    /// What no database does: a commit under an epoch that was over.
    broken: Option<String>,
}

#[derive(Default)]
struct Session {
    member: usize,
    open: Option<Transaction>,
    /// The advisory lock of a lease.
    guards: Option<Epoch>,
}

struct Transaction {
    epoch: Epoch,
    /// It holds the lock of the epoch's row.
    locks: bool,
    to: Ticket,
    batches: Vec<WriteBatch>,
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the session is gone")
}

impl Database {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All sessions end; what was committed stays.
    pub(super) fn restart(&self) {
        let mut server = self.server();
        server.sessions.clear();
        server.restarts += 1;
    }

    /// The next commit is done, and nobody hears of it.
    pub(super) fn lose_an_answer(&self) {
        self.server().answers_to_lose += 1;
    }

    /// A copy takes over that has not seen the last commits. `false` if there were none yet.
    pub(super) fn fall_back(&self, commits: usize) -> bool {
        let mut server = self.server();
        let at = server.past.len().checked_sub(commits);
        let Some(old) = at.and_then(|at| server.past.get(at)).cloned() else { return false };
        server.now = old;
        server.past.clear();
        server.sessions.clear();
        server.restarts += 1;
        true
    }

    /// The process of a node was killed, and its machine has closed its connections.
    pub(super) fn end_process(&self, member: usize) {
        self.server().sessions.retain(|_, session| session.member != member);
    }

    /// Who has noticed that commits are forgotten.
    pub(super) fn noticed(&self) -> BTreeSet<usize> {
        self.server().noticed.clone()
    }

    /// What went wrong that only the server can see.
    pub(super) fn take_broken(&self) -> Option<String> {
        self.server().broken.take()
    }
}

impl Server {
    /// The session of somebody else that holds the epoch's row.
    fn holder(&self, but: u64) -> Option<u64> {
        let locks = |session: &Session| session.open.as_ref().is_some_and(|open| open.locks);
        self.sessions
            .iter()
            .find(|(number, session)| **number != but && locks(session))
            .map(|(number, _)| *number)
    }

    fn remember(&mut self) {
        self.past.push_back(self.now.clone());
        if self.past.len() > LAG {
            self.past.pop_front();
        }
        self.now.commits += 1;
    }

    /// `COMMIT`; whether the answer arrives.
    fn commit(&mut self, session: u64) -> bool {
        let open = self.sessions.get_mut(&session).and_then(|session| session.open.take());
        let Some(open) = open else { return false };
        if self.now.epoch != open.epoch {
            let over = format!("a transaction of epoch {} committed under {}", open.epoch, self.now.epoch);
            self.broken = Some(over);
        }
        self.remember();
        for batch in &open.batches {
            if let Err(error) = self.now.contents.apply(batch) {
                self.broken = Some(error.to_string());
                return false;
            }
        }
        self.now.ticket = open.to;
        let lost = self.answers_to_lose > 0;
        if lost {
            self.answers_to_lose -= 1;
            self.sessions.remove(&session);
        }
        !lost
    }
}

/// A node's way to the database: one session, opened when it is needed.
pub(super) struct Access {
    database: Database,
    gate: Arc<Gate>,
    member: usize,
    session: Option<u64>,
}

impl Access {
    pub(super) const fn new(database: Database, gate: Arc<Gate>, member: usize) -> Self {
        Self { database, gate, member, session: None }
    }

    /// Another session of the same thread.
    pub(super) fn another(&self) -> Self {
        Self::new(self.database.clone(), Arc::clone(&self.gate), self.member)
    }

    fn bug(&self) -> Option<NodeBug> {
        self.gate.rules().bug
    }

    /// One statement. Whoever finds the session gone is told so once, and has a new one the next time.
    fn ask<T>(&mut self, statement: impl FnOnce(&mut Server, u64) -> T) -> io::Result<T> {
        self.gate.pass()?;
        let mut server = self.database.server();
        let session = match self.session {
            Some(session) if !server.sessions.contains_key(&session) => {
                self.session = None;
                return Err(cut());
            }
            Some(session) => session,
            None => {
                server.opened += 1;
                let number = server.opened;
                server.sessions.insert(number, Session { member: self.member, ..Session::default() });
                self.session = Some(number);
                number
            }
        };
        Ok(statement(&mut server, session))
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.database.server().sessions.remove(&session);
        }
    }
}

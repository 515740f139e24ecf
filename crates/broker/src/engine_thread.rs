//! The thread that owns the engine: takes what waits, lets it happen, hands out what follows. Few letters are seen to by
//! whoever brings them, while this thread sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferromq_engine::{Engine, Input, LogEvent, Output, Severity};
use ferromq_env::Clock;
use ferromq_model::Now;
use ferromq_net::{Hand, Inbox, Letter, Mailbox, Parcel, Seen, Switchboard};
use ferromq_store::WriteBatch;

use crate::failure::Failure;
use crate::firsts::Firsts;
use crate::lease::LeaseView;
use crate::storage::Storage;

/// After so many letters the results are handed out, even if more wait: a bound on latency and on what piles up.
const LETTERS_PER_ROUND: usize = 1_024;

/// An engine and all its doors.
pub(crate) struct EngineRoom {
    engine: Engine,
    board: Switchboard,
    storage: Storage,
    clock: Arc<dyn Clock>,
    lease: LeaseView,
    failure: Failure,
    firsts: Firsts,
    /// The next three are empty between rounds and keep their room, unless a hand had to leave something.
    outputs: Vec<Output>,
    batches: VecDeque<WriteBatch>,
    congested: Vec<Input>,
}

/// Whether the one who hands out may wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// The engine's own thread.
    MayWait,
    /// A thread that others wait for: of connections, or the store's.
    MayNot,
}

impl EngineRoom {
    /// An engine that has recovered, with what it has to say about that.
    pub(crate) fn new(
        engine: Engine,
        outputs: Vec<Output>,
        storage: Storage,
        clock: Arc<dyn Clock>,
        lease: LeaseView,
        failure: Failure,
    ) -> Self {
        Self {
            engine,
            board: Switchboard::default(),
            storage,
            clock,
            lease,
            failure,
            firsts: Firsts::of_nothing(),
            outputs,
            batches: VecDeque::new(),
            congested: Vec::new(),
        }
    }

    /// Tells of the first clients after a takeover.
    pub(crate) fn telling(mut self, firsts: Firsts) -> Self {
        self.firsts = firsts;
        self
    }

    /// Lets letters happen, and hands out what follows. Returns whether the last one said stop; what comes behind it is of
    /// no concern.
    fn open_all(&mut self, letters: &mut Vec<Letter>) -> bool {
        let mut waiting = letters.drain(..);
        loop {
            let now = self.clock.now();
            for letter in waiting.by_ref().take(LETTERS_PER_ROUND) {
                if matches!(letter, Letter::Stop) {
                    return true;
                }
                self.open(now, letter);
            }
            self.tick_if_due(now);
            self.hand_out(now, Pace::MayWait);
            if waiting.len() == 0 {
                return false;
            }
        }
    }

    /// The same for few letters, none of which says stop, without waiting. Returns whether everything is handed out.
    fn open_few(&mut self, letters: &mut Vec<Letter>) -> bool {
        let now = self.clock.now();
        for letter in letters.drain(..) {
            self.open(now, letter);
        }
        self.tick_if_due(now);
        self.hand_out(now, Pace::MayNot)
    }

    fn tick_if_due(&mut self, now: Now) {
        if self.engine.next_deadline().is_some_and(|deadline| deadline <= now.mono) {
            self.engine.tick(now, &mut self.outputs);
        }
    }

    /// How long there is nothing to do if no letter comes.
    fn patience(&self) -> Option<Duration> {
        self.engine.next_deadline().map(|deadline| deadline - self.clock.now().mono)
    }

    fn note(&mut self, now: Now, letter: &Letter) {
        match letter {
            Letter::Input(Input::Intent { conn, tag, intent }) => {
                self.firsts.heard(now.mono, *conn, *tag, intent);
            }
            Letter::Input(Input::Detach { conn }) => self.firsts.gone(*conn),
            _ => {}
        }
    }

    fn open(&mut self, now: Now, letter: Letter) {
        self.note(now, &letter);
        match letter {
            Letter::Plug(conn, outbox) => self.board.plug(conn, outbox),
            Letter::Unplug(conn) => self.board.unplug(conn),
            Letter::Relieved(conn) => {
                if self.board.relieved(conn) {
                    self.engine.handle(now, Input::Congested { conn, full: false }, &mut self.outputs);
                }
            }
            Letter::Input(input) => self.engine.handle(now, input, &mut self.outputs),
            Letter::Brokers => self.board.tell_brokers(),
            Letter::Look(look) => look.0(&self.engine),
            Letter::Stop => {}
        }
    }

    /// Hands out everything the engine said, each receiver woken once. Returns whether it did; if it may not wait, the
    /// disk may be too far behind.
    fn hand_out(&mut self, now: Now, pace: Pace) -> bool {
        if self.outputs.is_empty() && self.batches.is_empty() && !self.board.has_batches() {
            return true;
        }
        // The process may have been stopped since `now` was read.
        if !self.lease.is_valid(self.clock.now().mono) {
            self.outputs.clear();
            self.batches.clear();
            self.failure.report("the lease ran out: nothing more is handed out".to_owned());
            return true;
        }
        loop {
            for output in self.outputs.drain(..) {
                match output {
                    Output::Deliver { conn, consumer, delivery } => {
                        self.board.put(conn, Parcel::Deliver(consumer, delivery));
                    }
                    Output::Reply { conn, tag, effect } => {
                        self.firsts.answered(now.mono, conn, tag, &effect);
                        self.board.put(conn, Parcel::Reply(tag, effect));
                    }
                    Output::Notify { conn, notice } => self.board.put(conn, Parcel::Notify(notice)),
                    Output::Pause(conn) => self.board.put(conn, Parcel::Pause),
                    Output::Resume(conn) => self.board.put(conn, Parcel::Resume),
                    Output::Close { conn, reason } => self.board.put(conn, Parcel::Close(reason)),
                    Output::Persist(batch) => self.batches.push_back(batch),
                    Output::Spool(op) => self.storage.spool(op),
                    Output::Load { load, request } => self.storage.load(load, request),
                    Output::Log(event) => log(&event),
                }
            }
            match pace {
                Pace::MayWait => self.storage.persist(&mut self.batches),
                Pace::MayNot if !self.storage.try_persist(&mut self.batches) => return false,
                Pace::MayNot => {}
            }
            self.board.flush(&mut self.congested);
            if self.congested.is_empty() {
                return true;
            }
            for input in self.congested.drain(..) {
                self.engine.handle(now, input, &mut self.outputs);
            }
        }
    }
}

/// An engine room between those who take turns in it; nothing once its thread has left.
struct Shared {
    room: Mutex<Option<EngineRoom>>,
    failure: Failure,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<EngineRoom>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hand<Letter> for Shared {
    /// What may take long is for the engine's own thread, and so is its end.
    fn takes(&self, letter: &Letter) -> bool {
        match letter {
            Letter::Plug(..) | Letter::Unplug(_) | Letter::Relieved(_) | Letter::Input(_) => true,
            Letter::Brokers | Letter::Look(_) | Letter::Stop => false,
        }
    }

    fn see_to(&self, letters: &mut Vec<Letter>) -> Seen {
        let _guard = self.failure.guard("engine");
        let mut room = self.lock();
        let Some(room) = room.as_mut() else { return Seen::Done(None) };
        if room.open_few(letters) { Seen::Done(room.patience()) } else { Seen::Rest }
    }
}

/// The thread's part.
pub(crate) struct EngineThread {
    shared: Arc<Shared>,
    inbox: Inbox<Letter>,
}

impl EngineThread {
    /// A thread for `room`; who brings letters to `mailbox` from now on may see to them.
    pub(crate) fn new(room: EngineRoom, mailbox: &Mailbox<Letter>, inbox: Inbox<Letter>) -> Self {
        let failure = room.failure.clone();
        let shared = Arc::new(Shared { room: Mutex::new(Some(room)), failure });
        mailbox.lend(Arc::<Shared>::clone(&shared));
        Self { shared, inbox }
    }

    /// Works until [`Letter::Stop`]; gives the storage back, to be closed. Nothing if the engine ended by a bug on the thread
    /// of somebody who lent a hand, which has been reported.
    pub(crate) fn run(self) -> Option<Storage> {
        // It reports before the rest is let go of, for which the storage may be long.
        let _guard = self.shared.failure.guard("engine");
        let mut letters = Vec::new();
        loop {
            let patience = {
                let mut room = self.shared.room.lock().ok()?;
                let engine = room.as_mut()?;
                if engine.open_all(&mut letters) {
                    return room.take().map(|room| room.storage);
                }
                engine.patience()
            };
            self.inbox.take(&mut letters, patience);
        }
    }
}

/// What is left when it ends by a bug, on whichever thread, is let go of in order: the store's threads have ended when this
/// one has, and others can have the store.
impl Drop for EngineThread {
    fn drop(&mut self) {
        let room = self.shared.lock().take();
        if let Some(room) = room {
            // There is a failure to report already.
            let _ = room.storage.close();
        }
    }
}

fn log(event: &LogEvent) {
    match event.severity {
        Severity::Debug => tracing::debug!("{}", event.text),
        Severity::Info => tracing::info!("{}", event.text),
        Severity::Warn => tracing::warn!("{}", event.text),
        Severity::Error => tracing::error!("{}", event.text),
    }
}

#[cfg(test)]
mod tests;

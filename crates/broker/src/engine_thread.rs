//! The thread that owns the engine: takes what waits, lets it happen, hands out what follows.

use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{Engine, Input, LogEvent, Output, Severity};
use ferromq_env::Clock;
use ferromq_model::Now;
use ferromq_net::{Inbox, Letter, Parcel, Switchboard};
use ferromq_store::WriteBatch;

use crate::failure::Failure;
use crate::firsts::Firsts;
use crate::lease::LeaseView;
use crate::storage::Storage;

/// After so many letters the results are handed out, even if more wait: a bound on latency and on what piles up.
const LETTERS_PER_ROUND: usize = 1_024;

/// An engine and all its doors.
pub(crate) struct EngineThread {
    engine: Engine,
    inbox: Inbox<Letter>,
    board: Switchboard,
    storage: Storage,
    clock: Arc<dyn Clock>,
    lease: LeaseView,
    failure: Failure,
    firsts: Firsts,
    /// The next three are empty between rounds and keep their room.
    outputs: Vec<Output>,
    batches: Vec<WriteBatch>,
    congested: Vec<Input>,
}

impl EngineThread {
    /// An engine that has recovered, with what it has to say about that.
    pub(crate) fn new(
        engine: Engine,
        outputs: Vec<Output>,
        inbox: Inbox<Letter>,
        storage: Storage,
        clock: Arc<dyn Clock>,
        lease: LeaseView,
        failure: Failure,
    ) -> Self {
        Self {
            engine,
            inbox,
            board: Switchboard::default(),
            storage,
            clock,
            lease,
            failure,
            firsts: Firsts::of_nothing(),
            outputs,
            batches: Vec::new(),
            congested: Vec::new(),
        }
    }

    /// Tells of the first clients after a takeover.
    pub(crate) fn telling(mut self, firsts: Firsts) -> Self {
        self.firsts = firsts;
        self
    }

    /// Works until [`Letter::Stop`]; gives the storage back, to be closed.
    pub(crate) fn run(mut self) -> Storage {
        let mut letters = Vec::new();
        self.hand_out(self.clock.now());
        loop {
            self.inbox.take(&mut letters, self.patience());
            let mut waiting = letters.drain(..);
            loop {
                let now = self.clock.now();
                for letter in waiting.by_ref().take(LETTERS_PER_ROUND) {
                    if matches!(letter, Letter::Stop) {
                        return self.storage;
                    }
                    self.note(now, &letter);
                    Self::open(&mut self.engine, &mut self.board, &mut self.outputs, now, letter);
                }
                if self.engine.next_deadline().is_some_and(|deadline| deadline <= now.mono) {
                    self.engine.tick(now, &mut self.outputs);
                }
                self.hand_out(now);
                if waiting.len() == 0 {
                    break;
                }
            }
        }
    }

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

    fn open(
        engine: &mut Engine,
        board: &mut Switchboard,
        outputs: &mut Vec<Output>,
        now: Now,
        letter: Letter,
    ) {
        match letter {
            Letter::Plug(conn, outbox) => board.plug(conn, outbox),
            Letter::Unplug(conn) => board.unplug(conn),
            Letter::Relieved(conn) => {
                if board.relieved(conn) {
                    engine.handle(now, Input::Congested { conn, full: false }, outputs);
                }
            }
            Letter::Input(input) => engine.handle(now, input, outputs),
            Letter::Brokers => board.tell_brokers(),
            Letter::Look(look) => look.0(engine),
            Letter::Stop => {}
        }
    }

    /// Hands out everything the engine said, each receiver woken once.
    fn hand_out(&mut self, now: Now) {
        if self.outputs.is_empty() && !self.board.has_batches() {
            return;
        }
        // The process may have been stopped since `now` was read.
        if !self.lease.is_valid(self.clock.now().mono) {
            self.outputs.clear();
            return self.failure.report("the lease ran out: nothing more is handed out".to_owned());
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
                    Output::Persist(batch) => self.batches.push(batch),
                    Output::Spool(op) => self.storage.spool(op),
                    Output::Load { load, request } => self.storage.load(load, request),
                    Output::Log(event) => log(&event),
                }
            }
            if !self.batches.is_empty() {
                self.storage.persist(&mut self.batches);
            }
            self.board.flush(&mut self.congested);
            if self.congested.is_empty() {
                return;
            }
            for input in self.congested.drain(..) {
                self.engine.handle(now, input, &mut self.outputs);
            }
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

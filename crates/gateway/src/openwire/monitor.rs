//! The clock of one connection: greeting, silence both ways, frames that stand still.

use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::KeepAlive;

use crate::{SessionError, SessionSettings};

/// What the passing of time demands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A sign of life.
    KeepAlive,
    /// The end.
    Fail(SessionError),
}

/// A check that comes round.
#[derive(Clone, Copy, Debug)]
struct Round {
    at: Instant,
    every: Duration,
    /// Whether anything happened since the last check.
    busy: bool,
}

impl Round {
    /// Whether a check is due and found nothing since the one before.
    fn idle_at(&mut self, now: Instant) -> bool {
        if now < self.at {
            return false;
        }
        self.at = now + self.every;
        !std::mem::replace(&mut self.busy, false)
    }
}

/// Deadlines of one connection.
#[derive(Debug)]
pub(super) struct Monitor {
    greeting: Option<Instant>,
    greeting_timeout: Duration,
    reads: Option<Round>,
    writes: Option<Round>,
    /// A frame was begun: until when which progress is expected.
    frame: Option<Instant>,
    progress_bytes: u64,
    least_progress_bytes: u64,
    stall_after: Duration,
    /// Whether signs of life are given.
    keep_alive: bool,
    paused: bool,
    /// Whether the driver has asked for input since the last check. If not, it does not read, for reasons of its own.
    asked: bool,
}

impl Monitor {
    pub(super) fn new(settings: &SessionSettings, now: Instant) -> Self {
        Self {
            greeting: Some(now + settings.handshake_timeout),
            greeting_timeout: settings.handshake_timeout,
            reads: None,
            writes: None,
            frame: None,
            progress_bytes: 0,
            least_progress_bytes: settings.limits.least_progress_bytes,
            stall_after: settings.stall_after,
            keep_alive: settings.keep_alive,
            paused: false,
            asked: false,
        }
    }

    /// The greetings are exchanged.
    pub(super) fn greeted(&mut self, agreed: KeepAlive, now: Instant) {
        self.greeting = None;
        if agreed.is_enabled() {
            let first = now + Duration::from_millis(agreed.initial_delay_ms);
            let round = |every_ms| Round { at: first, every: Duration::from_millis(every_ms), busy: true };
            self.reads = Some(round(agreed.read_check_ms));
            self.writes = Some(round(agreed.write_check_ms));
        }
    }

    pub(super) fn heard(&mut self, bytes: usize) {
        self.progress_bytes = self.progress_bytes.saturating_add(bytes as u64);
        if let Some(reads) = &mut self.reads {
            reads.busy = true;
        }
    }

    /// The driver asks for what has come.
    pub(super) fn asked(&mut self) {
        self.asked = true;
    }

    pub(super) fn said(&mut self) {
        if let Some(writes) = &mut self.writes {
            writes.busy = true;
        }
    }

    /// A sign of life was sent; it does not count against the next one, or they would come only every other round.
    pub(super) fn kept_alive(&mut self) {
        if let Some(writes) = &mut self.writes {
            writes.busy = false;
        }
    }

    /// Whether the bytes end inside a frame, now that everything whole was taken.
    pub(super) fn partial(&mut self, is_partial: bool, now: Instant) {
        match (is_partial, self.frame) {
            (false, _) => self.frame = None,
            (true, None) => self.watch_frame(now),
            (true, Some(_)) => {}
        }
    }

    /// A whole frame was taken: the next one has its own time.
    pub(super) fn frame_done(&mut self) {
        self.frame = None;
    }

    fn watch_frame(&mut self, now: Instant) {
        self.frame = Some(now + self.stall_after);
        self.progress_bytes = 0;
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self, now: Instant) {
        self.paused = false;
        if let Some(reads) = &mut self.reads {
            // What the peer sent meanwhile lies in the socket; it gets a whole round from here.
            reads.busy = true;
        }
        if self.frame.is_some() {
            self.watch_frame(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let frame = self.frame.filter(|_| !self.paused);
        let reads = self.reads.as_ref().map(|round| round.at);
        let writes = self.writes.as_ref().map(|round| round.at);
        [self.greeting, frame, reads, writes].into_iter().flatten().min()
    }

    /// What is due; `quiet` if nothing waits to be written.
    pub(super) fn tick(&mut self, now: Instant, quiet: bool) -> Option<Due> {
        if self.greeting.is_some_and(|at| now >= at) {
            let after_ms = millis(self.greeting_timeout);
            return Some(Due::Fail(SessionError::HandshakeTimeout { after_ms }));
        }
        let listening = std::mem::take(&mut self.asked) && !self.paused;
        if let Some(reads) = &mut self.reads {
            // What a peer says while nobody reads lies in the socket: the round counts for it.
            reads.busy |= !listening;
            let after_ms = millis(reads.every);
            if reads.idle_at(now) {
                return Some(Due::Fail(SessionError::Inactive { after_ms }));
            }
        }
        if self.frame.is_some_and(|at| now >= at) {
            if listening && self.progress_bytes < self.least_progress_bytes {
                return Some(Due::Fail(SessionError::Stalled {
                    least_bytes: self.least_progress_bytes,
                    within_ms: millis(self.stall_after),
                }));
            }
            self.watch_frame(now);
        }
        let idle = self.writes.as_mut().is_some_and(|writes| writes.idle_at(now));
        (idle && quiet && self.keep_alive).then_some(Due::KeepAlive)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

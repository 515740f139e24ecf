//! Copies that a released client sets aside after a takeover, because its connection had the message before.
//!
//! It says so by a poison acknowledgement, upon which ActiveMQ moves the message to the dead letters. But that the
//! connection had it does not mean that the application saw it: a client whose broker dies while it still clears away
//! what the broker before had sent keeps copies that the application is yet to see, or drops them at the next break. Then
//! the message would be acknowledged in vain, or be seen by nobody but who reads the dead letters.
//!
//! So the consumer keeps the message until it is clear what became of the client's own copy. An acknowledgement of it is
//! an acknowledgement. When something is acknowledged that was dispatched behind it, or nothing has come of it for a while,
//! the application had it before: it goes to the dead letters then. If the connection breaks, or the consumer leaves
//! before its application came so far, it goes back to its queue.

use std::time::Duration;

use ferromq_model::{Instant, Text};

use crate::ack::first_of;
use crate::consumer::{ConsumerKey, Stage};
use crate::dead_letter::Cause;
use crate::engine::{Engine, Timer};
use crate::{AckKind, AckRequest, ConnId};

/// How a released client begins, after the name of an exception's class, to say that its connection had a message before.
const HAD_BEFORE: &str = "Suppressing duplicate delivery on connection";
/// A client that has a copy in its hands gives it to the application within this time, unless that is at work on another.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a consumer keeps for a client that has set it aside.
#[derive(Debug)]
pub(crate) struct Aside {
    cause: Option<Text>,
    until: Instant,
}

impl Aside {
    /// Why the messages go to the dead letters, if they do.
    pub(crate) fn cause(&self) -> Cause {
        Cause::Poison(self.cause.clone())
    }
}

impl Engine {
    /// Whether a poison acknowledgement says no more than that the connection had the message before.
    pub(crate) fn sets_aside(&self, conn: ConnId, ack: &AckRequest) -> bool {
        let facts = self.connections.get(&conn).and_then(|connection| connection.facts.as_ref());
        ack.kind == AckKind::Poison
            && facts.is_some_and(|facts| facts.reconnected)
            && ack.cause.as_ref().is_some_and(|cause| cause.to_str().contains(HAD_BEFORE))
    }

    /// Keeps messages of a consumer, up to `last` in its list, until it is clear what became of the client's own copies. One
    /// that is not there was acknowledged when the client repeated what it had said to the broker before.
    pub(crate) fn set_aside(&mut self, key: ConsumerKey, ack: &AckRequest, last: Option<usize>) {
        let until = self.now.mono + PATIENCE;
        let (Some(consumer), Some(last)) = (self.consumers.get_mut(key), last) else { return };
        for index in first_of(consumer, ack, last)..=last {
            let stage = consumer.dispatched.get(index).map(|held| held.stage);
            // What an open transaction has acknowledged is decided by its end.
            if !matches!(stage, Some(Stage::InTransaction(_))) {
                consumer.set_stage(index, Stage::Aside);
            }
        }
        if consumer.aside.replace(Aside { cause: ack.cause.clone(), until }).is_none() {
            self.timers.insert((until, Timer::Aside(key)));
        }
    }

    /// Condemns what lies before a place in a consumer's list and was set aside: a client consumes in order, so the
    /// application had it before. Says how many these are.
    pub(crate) fn condemn_aside(&mut self, key: ConsumerKey, before: usize) -> usize {
        let Some(consumer) = self.consumers.get_mut(key) else { return 0 };
        let Some(aside) = &consumer.aside else { return 0 };
        let cause = aside.cause();
        let mut condemned = Vec::new();
        for index in (0..before.min(consumer.dispatched.len())).rev() {
            if consumer.dispatched.get(index).is_some_and(|held| held.stage == Stage::Aside) {
                condemned.extend(consumer.take(index));
            }
        }
        for held in condemned.iter().rev() {
            self.condemn(held.origin, held.at, cause.clone());
        }
        condemned.len()
    }

    /// Nothing has come of what was set aside.
    pub(crate) fn aside_too_long(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let Some(until) = consumer.aside.as_ref().map(|aside| aside.until) else { return };
        if until > self.now.mono {
            self.timers.insert((until, Timer::Aside(key)));
            return;
        }
        let all = consumer.dispatched.len();
        self.condemn_aside(key, all);
        if let Some(consumer) = self.consumers.get_mut(key) {
            consumer.aside = None;
        }
    }
}

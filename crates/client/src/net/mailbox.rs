//! Where the driver puts the messages of a consumer and the consumer takes them: many at once in, one by one out.
//!
//! It is bounded by the window of the consumer, which the planner enforces. What was taken is counted here, and the
//! driver is told once; when it comes round, one acknowledgement covers everything taken until then.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::Error;
use crate::message::Delivery;

#[derive(Default)]
pub(super) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Delivery>,
    waker: Option<Waker>,
    /// Taken since the driver last asked.
    taken: usize,
    /// The driver knows that something was taken.
    told: bool,
    /// Nothing is given out for a while after a rollback.
    paused: bool,
    /// A pull is under way.
    pulling: bool,
    /// The last pull found nothing.
    pulled_nothing: bool,
    /// A browser has seen everything.
    complete: bool,
    error: Option<Error>,
}

/// What a look into the mailbox found.
pub(super) enum Taken {
    /// A message, and whether the driver is to be told.
    Message(Delivery, bool),
    /// Nothing more will come.
    End,
    /// A pull found nothing.
    Nothing,
    Failed(Error),
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in. Who waits is returned, to be woken when the whole batch is in.
    pub fn put(&self, delivery: Delivery) -> Option<Waker> {
        let mut state = self.lock();
        state.waiting.push_back(delivery);
        state.pulling = false;
        if state.paused { None } else { state.waker.take() }
    }

    /// Puts messages before all others, and gives nothing out until `resume`.
    pub fn put_back(&self, deliveries: Vec<Delivery>) {
        let mut state = self.lock();
        state.paused = true;
        for delivery in deliveries.into_iter().rev() {
            state.waiting.push_front(delivery);
        }
    }

    pub fn resume(&self) -> Option<Waker> {
        let mut state = self.lock();
        state.paused = false;
        state.waker.take()
    }

    /// A browse is complete, or a pull found nothing.
    pub fn drained(&self, browser: bool) -> Option<Waker> {
        let mut state = self.lock();
        state.complete |= browser;
        state.pulled_nothing = state.pulling;
        state.pulling = false;
        state.waker.take()
    }

    pub fn fail(&self, error: Error) -> Option<Waker> {
        let mut state = self.lock();
        state.error.get_or_insert(error);
        // What cannot be acknowledged any more will come again elsewhere.
        state.waiting.clear();
        state.waker.take()
    }

    /// How many messages were taken since the last call.
    pub fn settle(&self) -> usize {
        let mut state = self.lock();
        state.told = false;
        std::mem::take(&mut state.taken)
    }

    /// The messages that wait will come again; how many were taken since the last [`Mailbox::settle`].
    pub fn interrupt(&self) -> usize {
        let mut state = self.lock();
        state.waiting.clear();
        state.paused = false;
        state.told = false;
        std::mem::take(&mut state.taken)
    }

    /// Marks a pull as under way, unless one is or a message waits; true if it is to be sent.
    pub fn begin_pull(&self) -> bool {
        let mut state = self.lock();
        let wanted = !state.pulling && state.waiting.is_empty() && state.error.is_none();
        if wanted {
            state.pulling = true;
            state.pulled_nothing = false;
        }
        wanted
    }

    /// The next message, or a place in the queue to be woken.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Taken> {
        let mut state = self.lock();
        if let Some(taken) = state.take() {
            return Poll::Ready(taken);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The next message if there is one.
    pub fn try_take(&self) -> Option<Taken> {
        self.lock().take()
    }
}

impl State {
    fn take(&mut self) -> Option<Taken> {
        if !self.paused
            && let Some(delivery) = self.waiting.pop_front()
        {
            self.taken += 1;
            let tell = !std::mem::replace(&mut self.told, true);
            return Some(Taken::Message(delivery, tell));
        }
        if let Some(error) = &self.error {
            return Some(Taken::Failed(error.clone()));
        }
        if self.complete {
            return Some(Taken::End);
        }
        std::mem::take(&mut self.pulled_nothing).then_some(Taken::Nothing)
    }
}

//! [`Mailbox`]: many senders, one receiver at a time, whole batches in one go.
//!
//! A channel that hands over single items pays a wake-up for each. Here a sender appends everything it has under
//! one lock, the receiver takes everything that waits under one lock, and a wake-up happens only if the receiver
//! sleeps. The bound is a weight in bytes that asynchronous senders respect *before* they read more from their
//! peer; a letter that exists already is never refused, so nothing inside the broker can deadlock on it.
//!
//! A wake-up of another thread costs more than a few letters do. So whoever *brings* letters to a receiver that sleeps
//! sees to them itself, with the [`Hand`] that the receiver has lent: the turn is taken under the lock of the box, and there is
//! one. It is passed to the receiver's thread when there is more to do than that.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// More letters than these are the receiver's: they are worth a wake-up, and senders have other things to do.
const FEW: usize = 8;
/// How often one that brought letters looks for more before it passes the turn on.
const LOOKS: usize = 4;

/// The sending side; clones share one box.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// The receiving side, for one thread.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
}

/// Sees to letters for the receiver, on the thread of whoever brings them. Nobody else has the turn meanwhile.
pub trait Hand<T>: Send + Sync {
    /// Whether it sees to such a letter at all.
    fn takes(&self, letter: &T) -> bool;

    /// Sees to all of `letters`, without waiting for anything; what is left of them is dropped.
    fn see_to(&self, letters: &mut Vec<T>) -> Seen;
}

/// How far a [`Hand`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing is left to do before so much time has passed, or a letter comes.
    Done(Option<Duration>),
    /// The receiver's thread has to go on.
    Rest,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    hand: OnceLock<Arc<dyn Hand<T>>>,
    weight_bytes: AtomicUsize,
    room: Notify,
    capacity_bytes: usize,
}

struct State<T> {
    letters: Vec<T>,
    /// Empty; keeps its room for the next one that lends a hand.
    spare: Vec<T>,
    turn: Turn,
    closed: bool,
}

/// Who sees to the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The receiver's thread, or it has been woken to do so.
    Receiver,
    /// Nobody; the receiver sleeps until this moment.
    Nobody { until: Option<Instant> },
    /// Someone who brought letters. The receiver sleeps until this moment; if that passes, until it is woken.
    Bringer { until: Option<Instant> },
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves what waits, which is not nothing, into `into`.
    fn take(&self, mut state: MutexGuard<'_, State<T>>, into: &mut Vec<T>) {
        std::mem::swap(&mut state.letters, into);
        drop(state);
        let before = self.weight_bytes.swap(0, Ordering::Relaxed);
        if before >= self.capacity_bytes {
            self.room.notify_waiters();
        }
    }
}

/// A mailbox whose senders stop reading from their peers while more than `capacity_bytes` wait in it.
pub fn mailbox<T>(capacity_bytes: usize) -> (Mailbox<T>, Inbox<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            letters: Vec::new(),
            spare: Vec::new(),
            turn: Turn::Receiver,
            closed: false,
        }),
        arrived: Condvar::new(),
        hand: OnceLock::new(),
        weight_bytes: AtomicUsize::new(0),
        room: Notify::new(),
        capacity_bytes,
    });
    (Mailbox { shared: Arc::clone(&shared) }, Inbox { shared })
}

impl<T> Mailbox<T> {
    /// Puts one letter of no weight into the box.
    pub fn post(&self, letter: T) {
        if let Some(state) = self.append(0, |letters| letters.push(letter)) {
            self.wake(state);
        }
    }

    /// Moves all of `letters`, which together weigh `weight_bytes`, into the box.
    pub fn post_all(&self, letters: &mut Vec<T>, weight_bytes: usize) {
        if !letters.is_empty()
            && let Some(state) = self.append(weight_bytes, |waiting| waiting.append(letters))
        {
            self.wake(state);
        }
    }

    /// As [`Mailbox::post`]; sees to the letter at once if nobody else is at it.
    pub fn bring(&self, letter: T) {
        if let Some(state) = self.append(0, |letters| letters.push(letter)) {
            self.lend_a_hand(state);
        }
    }

    /// As [`Mailbox::post_all`]; sees to the letters at once if they are few and nobody else is at it.
    pub fn bring_all(&self, letters: &mut Vec<T>, weight_bytes: usize) {
        if !letters.is_empty()
            && let Some(state) = self.append(weight_bytes, |waiting| waiting.append(letters))
        {
            self.lend_a_hand(state);
        }
    }

    /// Whether somebody has to see to it: nobody does yet.
    fn append(&self, weight_bytes: usize, put: impl FnOnce(&mut Vec<T>)) -> Option<MutexGuard<'_, State<T>>> {
        let mut state = self.shared.lock();
        if state.closed {
            return None;
        }
        self.shared.weight_bytes.fetch_add(weight_bytes, Ordering::Relaxed);
        put(&mut state.letters);
        matches!(state.turn, Turn::Nobody { .. }).then_some(state)
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        state.turn = Turn::Receiver;
        drop(state);
        self.shared.arrived.notify_one();
    }

    fn lend_a_hand<'a>(&'a self, mut state: MutexGuard<'a, State<T>>) {
        let Some(hand) = self.shared.hand.get() else { return self.wake(state) };
        let mut letters = std::mem::take(&mut state.spare);
        for _ in 0..LOOKS {
            let few = state.letters.len() <= FEW && state.letters.iter().all(|letter| hand.takes(letter));
            let (Turn::Nobody { until } | Turn::Bringer { until }) = state.turn else { return };
            if !few {
                break;
            }
            state.turn = Turn::Bringer { until };
            self.shared.take(state, &mut letters);
            let turn = Passing { mailbox: self };
            let seen = hand.see_to(&mut letters);
            turn.keep();
            letters.clear();
            state = self.shared.lock();
            let Seen::Done(patience) = seen else { break };
            // The receiver may have begun to sleep without an alarm meanwhile.
            let Turn::Bringer { until } = state.turn else { return };
            let due = patience.map(|patience| Instant::now() + patience);
            if due.is_some_and(|due| until.is_none_or(|until| due < until)) {
                break;
            }
            if state.letters.is_empty() {
                (state.turn, state.spare) = (Turn::Nobody { until }, letters);
                return;
            }
        }
        state.spare = letters;
        self.wake(state);
    }

    /// Lends a hand to whoever brings letters; the first one that is lent counts.
    pub fn lend(&self, hand: Arc<dyn Hand<T>>) {
        let _ = self.shared.hand.set(hand);
    }

    /// Whether less waits in the box than its capacity.
    pub fn has_room(&self) -> bool {
        self.shared.weight_bytes.load(Ordering::Relaxed) < self.shared.capacity_bytes
    }

    /// Waits until [`Mailbox::has_room`].
    pub async fn room(&self) {
        while !self.has_room() {
            let freed = self.shared.room.notified();
            // Looked at again after registering: the receiver may have emptied the box in between.
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }
}

/// Passes the turn to the receiver when a hand unwinds: its thread has to see what is left.
struct Passing<'a, T> {
    mailbox: &'a Mailbox<T>,
}

impl<T> Passing<'_, T> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl<T> Drop for Passing<'_, T> {
    fn drop(&mut self) {
        self.mailbox.wake(self.mailbox.shared.lock());
    }
}

impl<T> Inbox<T> {
    /// Moves everything that waits into `into` (which must be empty), sleeping up to `patience` (`None`: for
    /// ever) until there is something. Returns with nothing when the time is over, or if a hand has left something to do.
    pub fn take(&self, into: &mut Vec<T>, patience: Option<Duration>) {
        let mut state = self.shared.lock();
        if state.letters.is_empty() {
            let until = patience.map(|patience| Instant::now() + patience);
            state.turn = Turn::Nobody { until };
            state = self.sleep(state);
        }
        self.shared.take(state, into);
    }

    /// Until it is the receiver's turn.
    fn sleep<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        loop {
            let left = |until: Instant| until.saturating_duration_since(Instant::now());
            let patience = match state.turn {
                Turn::Receiver => return state,
                Turn::Nobody { until } => match until.map(left) {
                    Some(Duration::ZERO) => {
                        state.turn = Turn::Receiver;
                        return state;
                    }
                    patience => patience,
                },
                Turn::Bringer { until } => match until.map(left) {
                    // Who has the turn compares it with what is due then.
                    Some(Duration::ZERO) => {
                        state.turn = Turn::Bringer { until: None };
                        None
                    }
                    patience => patience,
                },
            };
            state = match patience {
                None => self.shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let woken = self.shared.arrived.wait_timeout(state, patience);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.letters.clear();
        drop(state);
        self.shared.weight_bytes.store(0, Ordering::Relaxed);
        self.shared.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests;

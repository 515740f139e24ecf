//! [`Mailbox`]: many senders, one receiving thread, whole batches in one go.
//!
//! A channel that hands over single items pays a wake-up for each. Here a sender appends everything it has under
//! one lock, the receiver takes everything that waits under one lock, and a wake-up happens only if the receiver
//! sleeps. The bound is a weight in bytes that asynchronous senders respect *before* they read more from their
//! peer; a letter that exists already is never refused, so nothing inside the broker can deadlock on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

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

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    weight_bytes: AtomicUsize,
    room: Notify,
    capacity_bytes: usize,
}

struct State<T> {
    letters: Vec<T>,
    receiver_sleeps: bool,
    closed: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mailbox whose senders stop reading from their peers while more than `capacity_bytes` wait in it.
pub fn mailbox<T>(capacity_bytes: usize) -> (Mailbox<T>, Inbox<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State { letters: Vec::new(), receiver_sleeps: false, closed: false }),
        arrived: Condvar::new(),
        weight_bytes: AtomicUsize::new(0),
        room: Notify::new(),
        capacity_bytes,
    });
    (Mailbox { shared: Arc::clone(&shared) }, Inbox { shared })
}

impl<T> Mailbox<T> {
    /// Puts one letter of no weight into the box.
    pub fn post(&self, letter: T) {
        self.append(0, |letters| letters.push(letter));
    }

    /// Moves all of `letters`, which together weigh `weight_bytes`, into the box.
    pub fn post_all(&self, letters: &mut Vec<T>, weight_bytes: usize) {
        if !letters.is_empty() {
            self.append(weight_bytes, |waiting| waiting.append(letters));
        }
    }

    fn append(&self, weight_bytes: usize, put: impl FnOnce(&mut Vec<T>)) {
        let mut state = self.shared.lock();
        if state.closed {
            return;
        }
        self.shared.weight_bytes.fetch_add(weight_bytes, Ordering::Relaxed);
        put(&mut state.letters);
        let wake = std::mem::take(&mut state.receiver_sleeps);
        drop(state);
        if wake {
            self.shared.arrived.notify_one();
        }
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

impl<T> Inbox<T> {
    /// Moves everything that waits into `into` (which must be empty), sleeping up to `patience` (`None`: for
    /// ever) until there is something. Returns with nothing when the time is over.
    pub fn take(&self, into: &mut Vec<T>, patience: Option<Duration>) {
        let mut state = self.shared.lock();
        if state.letters.is_empty() {
            state.receiver_sleeps = true;
            state = match patience {
                None => self
                    .shared
                    .arrived
                    .wait_while(state, |state| state.letters.is_empty())
                    .unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    self.shared
                        .arrived
                        .wait_timeout_while(state, patience, |state| state.letters.is_empty())
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
            state.receiver_sleeps = false;
        }
        std::mem::swap(&mut state.letters, into);
        drop(state);
        let before = self.shared.weight_bytes.swap(0, Ordering::Relaxed);
        if before >= self.shared.capacity_bytes {
            self.shared.room.notify_waiters();
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
mod tests {
    use super::*;

    #[test]
    fn everything_that_waits_comes_at_once_and_in_order() {
        let (mailbox, inbox) = mailbox(1_000);
        mailbox.post(1);
        mailbox.post_all(&mut vec![2, 3], 10);
        let mut taken = Vec::new();
        inbox.take(&mut taken, None);
        assert_eq!(taken, [1, 2, 3]);
    }

    #[test]
    fn a_sleeping_receiver_is_woken_by_a_letter() {
        let (mailbox, inbox) = mailbox(1_000);
        let receiver = std::thread::spawn(move || {
            let mut taken = Vec::new();
            inbox.take(&mut taken, None);
            taken
        });
        mailbox.post("hello");
        assert_eq!(receiver.join().unwrap(), ["hello"]);
    }

    #[test]
    fn patience_ends() {
        let (_mailbox, inbox) = mailbox::<()>(1_000);
        let mut taken = Vec::new();
        inbox.take(&mut taken, Some(Duration::from_millis(1)));
        assert!(taken.is_empty());
    }

    #[tokio::test]
    async fn a_full_box_holds_readers_until_it_is_emptied() {
        let (mailbox, inbox) = mailbox(100);
        mailbox.post_all(&mut vec![1], 100);
        assert!(!mailbox.has_room());
        let waiting = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "there is no room yet");
        let mut taken = Vec::new();
        inbox.take(&mut taken, None);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn letters_to_a_receiver_that_is_gone_vanish_and_hold_nobody() {
        let (mailbox, inbox) = mailbox(100);
        mailbox.post_all(&mut vec![1], 100);
        drop(inbox);
        mailbox.post_all(&mut vec![2], 100);
        mailbox.room().await;
    }
}

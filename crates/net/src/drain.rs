//! Ending in order: [`Drain`] tells everybody that it is time, [`Census`] knows who is still there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Makes a drain that has not begun: one side starts it, the other is cloned to everybody who has to end.
pub fn drain() -> (Plug, Drain) {
    let (pull, pulled) = watch::channel(None);
    (Plug { pull }, Drain { pulled })
}

/// Starts the drain.
#[derive(Debug)]
pub struct Plug {
    pull: watch::Sender<Option<Instant>>,
}

impl Plug {
    /// From now on nothing new begins, and what is in flight has so long to finish. A second call may only
    /// shorten the time.
    pub fn pull(&self, patience: Duration) {
        let until = Instant::now() + patience;
        self.pull.send_modify(|known| *known = Some(known.map_or(until, |before| before.min(until))));
    }
}

/// Knows whether the drain has begun.
#[derive(Clone, Debug)]
pub struct Drain {
    pulled: watch::Receiver<Option<Instant>>,
}

impl Drain {
    /// Waits for the beginning. A drain whose [`Plug`] is gone counts as begun.
    pub async fn begun(&mut self) {
        // An error means that the plug is gone.
        let _ = self.pulled.wait_for(Option::is_some).await;
    }

    /// Until when everything has to be finished, once the drain has begun.
    pub fn deadline(&self) -> Option<Instant> {
        *self.pulled.borrow()
    }
}

/// Counts the connections of a broker.
#[derive(Debug, Default)]
pub struct Census {
    present: AtomicUsize,
    left: Notify,
}

impl Census {
    /// A seat, unless `maximum` are taken.
    pub fn seat(self: &Arc<Self>, maximum: usize) -> Option<Seat> {
        self.present
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |present| {
                (present < maximum).then_some(present + 1)
            })
            .ok()
            .map(|_| Seat { census: Arc::clone(self) })
    }

    /// How many seats are taken.
    pub fn present(&self) -> usize {
        self.present.load(Ordering::Acquire)
    }

    /// Waits until every seat is free.
    pub async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.present() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// A connection's place in the [`Census`], free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    census: Arc<Census>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.census.present.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.census.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_and_come_back() {
        let census = Arc::new(Census::default());
        let first = census.seat(2).unwrap();
        let _second = census.seat(2).unwrap();
        assert!(census.seat(2).is_none());
        drop(first);
        assert!(census.seat(2).is_some());
    }

    #[tokio::test]
    async fn the_house_is_empty_when_the_last_has_left() {
        let census = Arc::new(Census::default());
        let seat = census.seat(1).unwrap();
        let waiting = tokio::spawn({
            let census = Arc::clone(&census);
            async move { census.empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(seat);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_second_pull_shortens_the_time_and_never_lengthens_it() {
        let (plug, mut drain) = drain();
        assert_eq!(drain.deadline(), None);
        plug.pull(Duration::from_secs(10));
        drain.begun().await;
        let first = drain.deadline().unwrap();
        plug.pull(Duration::from_secs(100));
        assert_eq!(drain.deadline(), Some(first));
        plug.pull(Duration::ZERO);
        assert!(drain.deadline().unwrap() < first);
    }
}

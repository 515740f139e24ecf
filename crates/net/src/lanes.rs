//! [`Lanes`]: the threads that connections live on, each with a runtime of its own.
//!
//! A connection stays on its lane. With one runtime over several threads, each piece of work that is found wakes another
//! thread to look for more, mostly in vain; while one message is under way at a time that costs more than the message does.
//! The first few connections share a lane, so that what goes from one to the other wakes no second thread either.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder as Thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// So many connections are together on the first lane before others are used.
const TOGETHER: usize = 4;

/// The threads of connections. They end, with everything on them, when this is dropped.
#[derive(Debug)]
pub struct Lanes {
    spread: Spread,
    /// Dropping one ends its thread.
    _running: Vec<oneshot::Sender<()>>,
}

/// Chooses lanes; clones choose from the same ones.
#[derive(Clone, Debug)]
pub struct Spread {
    lanes: Arc<[Lane]>,
    turn: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Lane {
    runtime: Handle,
    load: AtomicUsize,
}

impl Lanes {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The system gives no thread, or no descriptors.
    pub fn start(count: usize) -> io::Result<Self> {
        let mut lanes = Vec::new();
        let mut running = Vec::new();
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (run, stopped) = oneshot::channel::<()>();
            lanes.push(Lane { runtime: runtime.handle().clone(), load: AtomicUsize::new(0) });
            Thread::new().name(format!("net-{number}")).spawn(move || {
                // Nobody sends: it is the end of the sender that is awaited.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?;
            running.push(run);
        }
        Ok(Self { spread: Spread { lanes: lanes.into(), turn: Arc::default() }, _running: running })
    }

    /// For those who put something on a lane.
    pub fn spread(&self) -> Spread {
        self.spread.clone()
    }
}

impl Spread {
    /// Lets `begin` spawn its tasks on one lane; the next one that comes gets the next lane.
    pub fn on_one<T>(&self, begin: impl FnOnce() -> T) -> T {
        let number = self.turn.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        let _within = self.lanes[number].runtime.enter();
        begin()
    }

    /// A place on the first lane while there are few there, then on the lane with the fewest.
    pub(crate) fn place(&self) -> Place {
        let load = |number: &usize| self.lanes[*number].load.load(Ordering::Relaxed).max(TOGETHER - 1);
        let number = (0..self.lanes.len()).min_by_key(load).unwrap_or(0);
        self.lanes[number].load.fetch_add(1, Ordering::Relaxed);
        Place { lanes: Arc::clone(&self.lanes), number }
    }
}

/// A place on a lane, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    lanes: Arc<[Lane]>,
    number: usize,
}

impl Place {
    pub(crate) fn runtime(&self) -> &Handle {
        &self.lanes[self.number].runtime
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lanes[self.number].load.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(places: &[Place]) -> Vec<usize> {
        places.iter().map(|place| place.number).collect()
    }

    #[test]
    fn a_few_connections_are_together_and_many_are_spread_evenly() {
        let lanes = Lanes::start(2).unwrap();
        let spread = lanes.spread();
        let mut places: Vec<Place> = (0..4).map(|_| spread.place()).collect();
        assert_eq!(numbers(&places), [0, 0, 0, 0]);
        places.extend((0..6).map(|_| spread.place()));
        let on_first = numbers(&places).iter().filter(|number| **number == 0).count();
        assert_eq!(on_first, 5);
        // Who leaves makes room.
        places.retain(|place| place.number == 1);
        assert_eq!(spread.place().number, 0);
    }

    #[tokio::test]
    async fn what_is_begun_on_a_lane_runs_there_until_the_lanes_end() {
        struct Tell(Option<oneshot::Sender<()>>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let lanes = Lanes::start(2).unwrap();
        let name = || std::thread::current().name().map(str::to_owned);
        let begin = || lanes.spread().on_one(|| tokio::spawn(async move { name() }));
        let (first, second) = (begin().await.unwrap(), begin().await.unwrap());
        assert_eq!((first.as_deref(), second.as_deref()), (Some("net-0"), Some("net-1")));
        let (ended, end) = oneshot::channel();
        let tell = Tell(Some(ended));
        drop(lanes.spread().on_one(|| {
            tokio::spawn(async move {
                let _tell = tell;
                std::future::pending::<()>().await;
            })
        }));
        drop(lanes);
        end.await.unwrap();
    }
}

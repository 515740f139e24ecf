//! [`Standby`]: the thread that follows the store of another master, so that a takeover finds its index ready.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ferromq_model::Epoch;
use ferromq_store::{Budget, Follower, Position, StoreError};
use tokio::sync::watch;

use crate::StartError;
use crate::lease::AtLeast;
use crate::operator::Outlook;

/// How much is read at once; between two of these the thread can be told to stop.
const STEP: Budget = Budget { bytes: 8 << 20 };
/// How long it rests when there is nothing new.
const REST: Duration = Duration::from_millis(20);
/// How long it rests when the store can't be read.
const TROUBLE: Duration = Duration::from_millis(500);

/// A follower at work.
pub(crate) struct Standby {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Option<Box<dyn Follower>>>,
    hopeless: watch::Receiver<Option<String>>,
}

/// What a standby follows with.
pub(crate) struct Following<O> {
    /// Opens the store; asked again as long as it can't be read.
    pub(crate) open: O,
    pub(crate) at_least: AtLeast,
    pub(crate) outlook: Outlook,
}

impl<O: FnMut() -> Result<Box<dyn Follower>, StartError> + Send + 'static> Following<O> {
    /// Follows until told to stop, and tells how far it is; with a store that was opened before, if there is one. The
    /// storage may answer late, so nothing of it is asked before the thread runs.
    pub(crate) fn begin(self, mut opened: Option<Box<dyn Follower>>) -> std::io::Result<Standby> {
        let Self { mut open, at_least, outlook } = self;
        let (stop, stopped) = mpsc::channel();
        let (give_up, hopeless) = watch::channel(None);
        let mut pace = Pace::default();
        let mut tell = move |lag| outlook.followed(lag, pace.catch_up(Instant::now(), lag));
        if let Some(follower) = &opened {
            tell(follower.lag());
        }
        let thread = thread::Builder::new().name("follower".into()).spawn(move || {
            let mut before = None;
            let mut complained = false;
            loop {
                let rest = match step(&mut opened, &mut open) {
                    Ok((position, seen, lag)) => {
                        complained = false;
                        at_least.raise(seen);
                        tell(lag);
                        let still = before == Some(position);
                        before = Some(position);
                        if still { REST } else { Duration::ZERO }
                    }
                    Err(error) => {
                        if let StartError::Store(error) = &error
                            && is_hopeless(error)
                        {
                            give_up.send_replace(Some(error.to_string()));
                        }
                        if !std::mem::replace(&mut complained, true) {
                            tracing::warn!(%error, "the store can't be followed; it is tried again until it can be read");
                        }
                        tell(None);
                        TROUBLE
                    }
                };
                match stopped.recv_timeout(rest) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return opened,
                }
            }
        })?;
        Ok(Standby { stop, thread, hopeless })
    }
}

/// Follows a bit, in a store that is opened if it is not yet.
fn step(
    opened: &mut Option<Box<dyn Follower>>,
    open: &mut impl FnMut() -> Result<Box<dyn Follower>, StartError>,
) -> Result<(Position, Epoch, Option<u64>), StartError> {
    let follower = match opened {
        Some(follower) => follower,
        None => opened.insert(open()?),
    };
    let position = follower.follow(STEP)?;
    Ok((position, follower.seen_epoch(), follower.lag()))
}

impl Standby {
    /// Waits until it turns out that the store can't be followed ever again, and says why.
    pub(crate) async fn hopeless(&mut self) -> String {
        match self.hopeless.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }

    /// Stops, and hands over what was read. `None` if the store could not be opened yet. Waits for the storage, if a look
    /// is under way.
    pub(crate) fn stop(self) -> Option<Box<dyn Follower>> {
        let _ = self.stop.send(());
        self.thread.join().ok().flatten()
    }
}

/// Whether waiting makes it no better: whoever goes on so would only keep others from the master's role.
pub(crate) const fn is_hopeless(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Forgetful { .. } | StoreError::NewerFormat { .. } | StoreError::Incomplete { .. }
    )
}

/// How fast what lies behind is read, by how the lag shrank the last time.
#[derive(Debug)]
struct Pace {
    last: Option<(Instant, u64)>,
    bytes_per_second: f64,
}

impl Default for Pace {
    /// That of a slow disk, until it is known.
    fn default() -> Self {
        Self { last: None, bytes_per_second: 50e6 }
    }
}

impl Pace {
    /// How long it takes to catch up with a lag that was seen now.
    fn catch_up(&mut self, now: Instant, lag: Option<u64>) -> Option<Duration> {
        let Some(lag) = lag else {
            self.last = None;
            return None;
        };
        if let Some((then, before)) = self.last.replace((now, lag))
            && before > lag
            && now > then
        {
            self.bytes_per_second = bytes(before - lag) / now.duration_since(then).as_secs_f64();
        }
        Some(Duration::try_from_secs_f64(bytes(lag) / self.bytes_per_second).unwrap_or(Duration::MAX))
    }
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
const fn bytes(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_catch_up_follows_from_how_the_lag_shrank() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::default();
        assert_eq!(pace.catch_up(begun, None), None);
        assert_eq!(pace.catch_up(begun, Some(100_000_000)), Some(2 * second), "a guess");
        assert_eq!(pace.catch_up(begun + second, Some(90_000_000)), Some(9 * second));
        // More came than was read: the pace is the last that was seen.
        assert_eq!(pace.catch_up(begun + 2 * second, Some(120_000_000)), Some(12 * second));
        assert_eq!(pace.catch_up(begun + 3 * second, Some(0)), Some(Duration::ZERO));
    }
}

//! [`Standby`]: the thread that follows the store of another master, so that a takeover finds its index ready.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ferromq_store::{Budget, Follower};

use crate::lease::AtLeast;

/// How much is read at once; between two of these the thread can be told to stop.
const STEP: Budget = Budget { bytes: 8 << 20 };
/// How long it rests when there is nothing new.
const REST: Duration = Duration::from_millis(20);
/// How long it rests when the store can't be read.
const TROUBLE: Duration = Duration::from_millis(500);

/// A follower at work.
pub(crate) struct Standby {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Box<dyn Follower>>,
}

impl Standby {
    /// Follows until told to stop.
    pub(crate) fn follow(mut follower: Box<dyn Follower>, at_least: AtLeast) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("follower".into()).spawn(move || {
            let mut before = None;
            let mut complained = false;
            loop {
                let rest = match follower.follow(STEP) {
                    Ok(position) => {
                        complained = false;
                        at_least.raise(follower.seen_epoch());
                        let still = before == Some(position);
                        before = Some(position);
                        if still { REST } else { Duration::ZERO }
                    }
                    Err(error) => {
                        if !std::mem::replace(&mut complained, true) {
                            tracing::warn!(%error, "the store can't be followed");
                        }
                        TROUBLE
                    }
                };
                match stopped.recv_timeout(rest) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return follower,
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops, and hands over what was read. `None` if the thread ended by a bug.
    pub(crate) fn stop(self) -> Option<Box<dyn Follower>> {
        let _ = self.stop.send(());
        self.thread.join().ok()
    }
}

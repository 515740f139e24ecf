//! [`SpoolDriver`]: the thread that owns a [`Spool`].
//!
//! Reads go before writes, for a consumer waits for them. A read is only asked for what was told to be written, and
//! before its block is freed, so the order among the two does not matter otherwise.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use super::{BlockId, Spool, SpoolOp, Spooled};
use crate::driver::Stopped;

/// What the spool has to say; `T` is what a read is known by.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpoolEvent<T> {
    /// A block is in its file.
    Written {
        /// Which.
        block: BlockId,
    },
    /// A block could not be written, and is not kept.
    Refused {
        /// Which.
        block: BlockId,
        /// Why, with the file.
        reason: String,
    },
    /// A block was asked for.
    Read {
        /// By whom.
        tag: T,
        /// What is in it, or why it can't be read.
        found: Result<Vec<Spooled>, String>,
    },
}

enum Request<T> {
    Do(SpoolOp),
    Read(T, BlockId),
}

/// The thread; its spool's files are gone when it has ended.
#[derive(Debug)]
pub struct SpoolDriver<T> {
    requests: Sender<Request<T>>,
    thread: JoinHandle<()>,
}

/// Hands requests to the thread. It never waits: the engine bounds what it hands over, and a disk that stands still must
/// not hold up the engine.
#[derive(Debug)]
pub struct SpoolHandle<T> {
    requests: Sender<Request<T>>,
}

impl<T> SpoolHandle<T> {
    /// Changes the spool, in order.
    ///
    /// # Errors
    /// The thread is gone.
    pub fn submit(&self, op: SpoolOp) -> Result<(), Stopped> {
        self.requests.send(Request::Do(op)).map_err(|_| Stopped)
    }

    /// Asks for a block that is written.
    ///
    /// # Errors
    /// The thread is gone.
    pub fn read(&self, tag: T, block: BlockId) -> Result<(), Stopped> {
        self.requests.send(Request::Read(tag, block)).map_err(|_| Stopped)
    }
}

impl<T: Send + 'static> SpoolDriver<T> {
    /// Starts the thread; events are told on it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(spool: Spool, on_event: impl FnMut(SpoolEvent<T>) + Send + 'static) -> io::Result<Self> {
        let (requests, waiting) = channel();
        let thread =
            Builder::new().name("spool".to_owned()).spawn(move || serve(spool, &waiting, on_event))?;
        Ok(Self { requests, thread })
    }

    /// For the one who asks.
    pub fn handle(&self) -> SpoolHandle<T> {
        SpoolHandle { requests: self.requests.clone() }
    }

    /// Ends the thread, once every handle is gone; it removes the files, which nobody has to wait for.
    pub fn end(self) -> SpoolEnding {
        SpoolEnding { thread: self.thread }
    }
}

/// A thread that removes the files of its spool.
#[derive(Debug)]
pub struct SpoolEnding {
    thread: JoinHandle<()>,
}

impl SpoolEnding {
    /// Waits until they are removed.
    pub fn wait(self) {
        // A panic was reported by its own thread.
        let _ = self.thread.join();
    }
}

fn serve<T>(mut spool: Spool, waiting: &Receiver<Request<T>>, mut on_event: impl FnMut(SpoolEvent<T>)) {
    let mut reads = VecDeque::new();
    let mut changes = VecDeque::new();
    let mut idle = true;
    loop {
        if idle {
            match waiting.recv() {
                Ok(request) => sort(request, &mut reads, &mut changes),
                Err(_) => return,
            }
        }
        loop {
            match waiting.try_recv() {
                Ok(request) => sort(request, &mut reads, &mut changes),
                Err(std::sync::mpsc::TryRecvError::Empty) => break,
                // Nobody will hear an answer, and nothing is to be kept.
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
            }
        }
        if let Some((tag, block)) = reads.pop_front() {
            let found = spool.read(block).map_err(|error| error.to_string());
            on_event(SpoolEvent::Read { tag, found });
        } else if let Some(op) = changes.pop_front() {
            match op {
                SpoolOp::Write { block, messages } => on_event(match spool.write(block, &messages) {
                    Ok(()) => SpoolEvent::Written { block },
                    Err(error) => SpoolEvent::Refused { block, reason: error.to_string() },
                }),
                SpoolOp::Free { block } => spool.free(block),
            }
        }
        let more = reads.is_empty() && spool.reclaim();
        idle = reads.is_empty() && changes.is_empty() && !more;
    }
}

fn sort<T>(request: Request<T>, reads: &mut VecDeque<(T, BlockId)>, changes: &mut VecDeque<SpoolOp>) {
    match request {
        Request::Do(op) => changes.push_back(op),
        Request::Read(tag, block) => reads.push_back((tag, block)),
    }
}

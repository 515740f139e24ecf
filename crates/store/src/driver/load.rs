//! [`Loader`]: the thread that owns the reader of a store.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::Stopped;
use crate::{IndexEntry, Loaded, MessageRef, PageRequest, StoreError, StoreReader};

/// What to load.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Messages.
    Messages(Vec<MessageRef>),
    /// A part of an index.
    Page(PageRequest),
}

/// What was loaded.
#[derive(Debug)]
pub enum Found {
    /// For [`Wanted::Messages`], an entry each.
    Messages(Vec<Loaded>),
    /// For [`Wanted::Page`]; fewer than asked for means the end.
    Page(Vec<IndexEntry>),
}

/// The thread that owns a [`StoreReader`]; `T` is what a request is known by.
#[derive(Debug)]
pub struct Loader<T> {
    requests: SyncSender<(T, Wanted)>,
    thread: JoinHandle<()>,
}

/// Hands requests to a loader; clones hand to the same one.
#[derive(Debug)]
pub struct LoaderHandle<T> {
    requests: SyncSender<(T, Wanted)>,
}

impl<T> Clone for LoaderHandle<T> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone() }
    }
}

impl<T> LoaderHandle<T> {
    /// Asks for something; waits while too many requests are waiting.
    ///
    /// # Errors
    /// The loader is gone.
    pub fn request(&self, tag: T, wanted: Wanted) -> Result<(), Stopped> {
        self.requests.send((tag, wanted)).map_err(|_| Stopped)
    }
}

impl<T: Send + 'static> Loader<T> {
    /// Starts the thread; answers are told on it, in the order of the requests. An error is told for its request,
    /// and the next one is tried again: whether to go on is the driver's to say.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        mut reader: Box<dyn StoreReader>,
        waiting_requests: usize,
        mut on_answer: impl FnMut(T, Result<Found, StoreError>) + Send + 'static,
    ) -> io::Result<Self> {
        let (requests, waiting) = sync_channel::<(T, Wanted)>(waiting_requests.max(1));
        let thread = Builder::new().name("store-loader".to_owned()).spawn(move || {
            for (tag, wanted) in waiting {
                let answer = match wanted {
                    Wanted::Messages(wanted) => reader.load(&wanted).map(Found::Messages),
                    Wanted::Page(wanted) => reader.page(wanted).map(Found::Page),
                };
                on_answer(tag, answer);
            }
        })?;
        Ok(Self { requests, thread })
    }

    /// For those who ask.
    pub fn handle(&self) -> LoaderHandle<T> {
        LoaderHandle { requests: self.requests.clone() }
    }

    /// Answers what was asked for and ends the thread, once every handle is gone.
    pub fn close(self) {
        drop(self.requests);
        // A panic was reported by its own thread.
        let _ = self.thread.join();
    }
}

//! The spool of a reign: where its files are, and the way to its thread.

use std::path::PathBuf;
use std::sync::Arc;

use ferromq_engine::{Input, LoadContent, LoadId};
use ferromq_env::{Disk, SystemDisk};
use ferromq_net::{Letter, Mailbox};
use ferromq_store::spool::{
    BlockId, Spool, SpoolDriver, SpoolEnding, SpoolEvent, SpoolHandle, SpoolOp, SpoolOptions,
};

use crate::failure::Failure;
use crate::{Settings, SpoolPlace, StoreChoice};

/// A spool and its thread.
pub(crate) struct Spooling {
    driver: SpoolDriver<LoadId>,
    handle: SpoolHandle<LoadId>,
}

/// Opens the spool of the run of this name, if there is to be one. A broker without one keeps in memory what it could
/// have spooled, so nothing that goes wrong here keeps it from starting.
pub(crate) fn open(
    settings: &Settings,
    run: &str,
    engine: &Mailbox<Letter>,
    failure: &Failure,
) -> Option<Spooling> {
    let folder = folder(settings)?;
    // The names of files have no colons.
    let run: String =
        run.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' }).collect();
    let spool = match Spool::open(Arc::new(SystemDisk), &folder, &run, SpoolOptions::default()) {
        Ok(spool) => spool,
        Err(error) => {
            tracing::warn!(
                %error,
                "there is no spool: messages that are not persistent stay in memory, and their producers wait at its limit; \
                 set store.spool_dir to a folder that can be written"
            );
            return None;
        }
    };
    let on_event = {
        let engine = engine.clone();
        let guard = failure.guard("spool");
        move |event| {
            // It lives, and unwinds, with the thread.
            let _ = &guard;
            let input = match event {
                SpoolEvent::Written { block } => Input::Spooled { block, done: Ok(()) },
                SpoolEvent::Refused { block, reason } => Input::Spooled { block, done: Err(reason) },
                SpoolEvent::Read { tag, found } => {
                    Input::Loaded { load: tag, content: LoadContent::Block(found) }
                }
                _ => return,
            };
            engine.post(Letter::Input(input));
        }
    };
    match SpoolDriver::start(spool, on_event) {
        Ok(driver) => Some(Spooling { handle: driver.handle(), driver }),
        Err(error) => {
            tracing::warn!(%error, "there is no spool, for the system gives it no thread");
            None
        }
    }
}

/// Where it is to be.
fn folder(settings: &Settings) -> Option<PathBuf> {
    match &settings.spool {
        SpoolPlace::Nowhere => None,
        SpoolPlace::In(folder) => Some(folder.clone()),
        // Who keeps nothing gets no folder unless he names one.
        SpoolPlace::BesideStore if settings.store == StoreChoice::Memory => None,
        SpoolPlace::BesideStore if !SystemDisk.is_coherent(&settings.data) => {
            tracing::info!(
                folder = %settings.data.display(),
                "messages that are not persistent stay in memory, for this folder is not known to be on a disk of this \
                 machine; set store.spool_dir to one that is, and they leave memory when it is short"
            );
            None
        }
        SpoolPlace::BesideStore => Some(settings.data.join("spool")),
    }
}

impl Spooling {
    /// Changes the spool, in order; never waits.
    pub(crate) fn submit(&self, op: SpoolOp) {
        // A thread that has ended has reported why.
        let _ = self.handle.submit(op);
    }

    /// Asks for a block.
    pub(crate) fn read(&self, load: LoadId, block: BlockId) {
        let _ = self.handle.read(load, block);
    }

    /// Ends the thread, which removes the files.
    pub(crate) fn end(self) -> SpoolEnding {
        drop(self.handle);
        self.driver.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_keeps_nothing_has_a_spool_only_where_one_is_named() {
        let data = tempfile::tempdir().unwrap();
        let settings =
            |store, spool| Settings { data: data.path().to_owned(), store, spool, ..Settings::default() };
        let beside = SpoolPlace::BesideStore;
        assert_eq!(folder(&settings(StoreChoice::Journal, beside.clone())), Some(data.path().join("spool")));
        assert_eq!(folder(&settings(StoreChoice::Postgres, beside.clone())), Some(data.path().join("spool")));
        assert_eq!(folder(&settings(StoreChoice::Memory, beside)), None);
        assert_eq!(folder(&settings(StoreChoice::Journal, SpoolPlace::Nowhere)), None);
        let named = SpoolPlace::In("elsewhere".into());
        assert_eq!(folder(&settings(StoreChoice::Memory, named)), Some("elsewhere".into()));
        let elsewhere = Settings { data: "/proc/self".into(), ..Settings::default() };
        assert_eq!(folder(&elsewhere), None, "what other machines may see is no place for it");
    }
}

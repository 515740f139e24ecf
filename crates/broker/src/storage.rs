//! [`Storage`]: the store that was chosen, with its two threads.

use ferromq_engine::{Input, LoadContent, LoadId, LoadRequest};
use ferromq_env::{Entropy, SystemEntropy};
use ferromq_model::{ClaimId, Epoch};
use ferromq_net::{Letter, Mailbox};
use ferromq_store::driver::{
    Driver, DriverEvent, DriverHandle, DriverSettings, Found, Loader, LoaderHandle, Wanted,
};
use ferromq_store::{Claimed, Follower, MemoryStore, Recovered, StoreError, WriteBatch};

use crate::failure::Failure;
use crate::{Broken, Settings, StartError, StoreChoice};

/// Requests to load that may wait; the engine keeps fewer on the way.
const WAITING_LOADS: usize = 4_096;

/// The way to the store's threads.
pub(crate) struct Storage {
    driver: Driver,
    batches: DriverHandle,
    loader: Loader<LoadId>,
    loads: LoaderHandle<LoadId>,
}

/// Opens the store under a new epoch and starts its threads; what they have to say goes to the engine.
pub(crate) fn open(
    settings: &Settings,
    engine: &Mailbox<Letter>,
    failure: &Failure,
) -> Result<(Storage, Recovered), StartError> {
    let Claimed { backend, reader, recovered } = claim(follower(settings)?)?;
    let driver = Driver::start(backend, DriverSettings::default(), {
        let (engine, failure) = (engine.clone(), failure.clone());
        let _guard = failure.guard("store");
        move |event| match event {
            DriverEvent::Persisted { upto } => engine.post(Letter::Input(Input::Persisted { upto })),
            DriverEvent::Space(space) => engine.post(Letter::Input(Input::Resources { space })),
            DriverEvent::Failed(error) => {
                failure.report(format!("the store failed, the broker stops: {error}"))
            }
            _ => {}
        }
    })
    .map_err(StartError::Thread)?;
    let loader = Loader::start(reader, WAITING_LOADS, {
        let (engine, failure) = (engine.clone(), failure.clone());
        move |load, found| {
            let content = match found {
                Ok(Found::Messages(messages)) => LoadContent::Bodies(messages),
                Ok(Found::Page(entries)) => LoadContent::Page(entries),
                Err(error) => {
                    failure.report(format!("the store can't be read, the broker stops: {error}"));
                    LoadContent::Failed
                }
            };
            engine.post(Letter::Input(Input::Loaded { load, content }));
        }
    })
    .map_err(StartError::Thread)?;
    let (batches, loads) = (driver.handle(), loader.handle());
    Ok((Storage { driver, batches, loader, loads }, recovered))
}

fn follower(settings: &Settings) -> Result<Box<dyn Follower>, StartError> {
    match settings.store {
        StoreChoice::Memory => Ok(Box::new(MemoryStore::new(settings.engine.limits.store_bytes))),
        StoreChoice::Journal => Err(StartError::NoSuchStore("journal")),
        StoreChoice::Sqlite => Err(StartError::NoSuchStore("sqlite")),
    }
}

/// A broker that stands alone is the master of its store as soon as nobody else holds it.
fn claim(follower: Box<dyn Follower>) -> Result<Claimed, StoreError> {
    let number = follower.seen_epoch().number + 1;
    let epoch = Epoch { number, claim: ClaimId(SystemEntropy.next_u64()) };
    follower.claim(epoch).map_err(|(_, error)| error)
}

impl Storage {
    /// Hands over units of work, in order. May wait if the disk is far behind; the store's threads never wait for
    /// the engine, so this ends.
    pub(crate) fn persist(&self, batches: &mut Vec<WriteBatch>) {
        for batch in batches.drain(..) {
            // A driver that has stopped has reported why; the broker is about to end.
            let _ = self.batches.submit(batch);
        }
    }

    /// Asks for messages or a part of an index.
    pub(crate) fn load(&self, load: LoadId, request: LoadRequest) {
        let wanted = match request {
            LoadRequest::Bodies(messages) => Wanted::Messages(messages),
            LoadRequest::Page(page) => Wanted::Page(page),
        };
        let _ = self.loads.request(load, wanted);
    }

    /// Syncs what was handed over and lets go of the store.
    pub(crate) fn close(self) -> Result<(), Broken> {
        drop((self.batches, self.loads));
        self.loader.close();
        self.driver.close().map_err(|error| Broken(format!("the store could not be closed: {error}")))
    }
}

//! [`Broker`]: parts to threads, and threads to an end.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ferromq_engine::Engine;
use ferromq_env::{Clock, SystemClock};
use ferromq_gateway::openwire::OpenWireProperties;
use ferromq_net::{
    Census, Letter, ListenAddress, Listener, Mailbox, Plug, Reception, Reservation, drain, mailbox,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::engine_thread::EngineThread;
use crate::failure::{Failure, FailureWatch, failure};
use crate::storage::{self, Storage};
use crate::{Broken, Settings, StartError};

/// So much may wait for the engine before drivers stop reading from their sockets.
const MAILBOX_BYTES: usize = 16 * 1024 * 1024;

/// A running broker.
pub struct Broker {
    urls: Vec<String>,
    plug: Plug,
    census: Arc<Census>,
    listeners: JoinSet<()>,
    mailbox: Mailbox<Letter>,
    engine: JoinHandle<Storage>,
    failed: FailureWatch,
    patience: Duration,
}

impl Broker {
    /// Starts everything; clients are served when it returns. To be called within a tokio runtime.
    ///
    /// # Errors
    /// A port, folder or store can't be had; nothing was started then.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let ports = reserve(&settings)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (mailbox, inbox) = mailbox(MAILBOX_BYTES);
        let (failure, failed) = failure();
        let (plug, drain) = drain();

        let (storage, recovered) = storage::open(&settings, &mailbox, &failure)?;
        let identity = settings.identity(clock.now(), ports.first().map(|(_, port)| port.url()));
        let mut engine_settings = settings.engine.clone();
        engine_settings.broker_id = identity.id.clone();
        engine_settings.broker_name = identity.name.clone();
        engine_settings.broker_url = identity.url.clone();
        let mut engine = Engine::new(engine_settings, Arc::new(OpenWireProperties), recovered.epoch);
        let mut outputs = Vec::new();
        engine.recover(recovered, &mut outputs);
        let engine = EngineThread::new(engine, outputs, inbox, storage, Arc::clone(&clock));
        let engine = spawn_engine(engine, failure)?;

        let reception = Reception::new(mailbox.clone(), clock, drain.clone());
        let census = Arc::new(Census::default());
        let mut listeners = JoinSet::new();
        let mut urls = Vec::new();
        for (address, port) in ports {
            let listener: Listener = port.open()?;
            urls.push(listener.url().to_owned());
            let session = Arc::new(settings.session(&address, identity.clone()));
            let reception = reception.clone();
            listeners.spawn(listener.accept_until(
                drain.clone(),
                Arc::clone(&census),
                move |stream, peer, seat| {
                    reception.welcome(&session, stream, peer, seat);
                },
            ));
        }
        Ok(Self { urls, plug, census, listeners, mailbox, engine, failed, patience: settings.drain })
    }

    /// Where it listens, one for each listener, with the ports that were picked.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Serves until somebody says stop (the reason is for the log) or something fails for good, then ends in order:
    /// nothing new begins, what is in flight ends within its time, the store is synced and closed. Who says stop
    /// again does not want to wait for connections.
    ///
    /// # Errors
    /// The broker could not go on, or could not close its store; what was acknowledged is safe even so.
    pub async fn serve(mut self, mut stop: mpsc::Receiver<&'static str>) -> Result<(), Broken> {
        let patience = tokio::select! {
            reason = stop.recv() => {
                let reason = reason.unwrap_or("nobody can stop it any longer");
                tracing::info!(reason, connections = self.census.present(), "stopping");
                self.patience
            }
            _ = self.failed.failed() => Duration::ZERO,
        };
        self.plug.pull(patience);
        while self.listeners.join_next().await.is_some() {}
        tokio::select! {
            () = self.census.empty() => {}
            () = tokio::time::sleep(patience + GRACE) => {
                tracing::warn!(connections = self.census.present(), "some connections did not end in time");
            }
            Some(_) = stop.recv() => tracing::warn!(connections = self.census.present(), "not waiting for connections"),
        }
        self.mailbox.post(Letter::Stop);
        let closed = tokio::task::spawn_blocking(move || match self.engine.join() {
            Ok(storage) => storage.close(),
            Err(_) => Err(Broken("the engine's thread ended by a bug".to_owned())),
        });
        let closed = closed.await.unwrap_or_else(|error| Err(Broken(error.to_string())));
        match self.failed.so_far() {
            Some(reason) => Err(Broken(reason)),
            None => closed,
        }
    }
}

/// What connections may take beyond the time for draining, to say their last words.
const GRACE: Duration = Duration::from_secs(1);

fn reserve(settings: &Settings) -> Result<Vec<(ListenAddress, Reservation)>, StartError> {
    let mut ports = Vec::new();
    for address in &settings.listen {
        let mut address = address.clone();
        address.maximum_connections = address.maximum_connections.min(settings.door.max_connections);
        let port = Reservation::new(address.clone())?;
        if !settings.open_to_network && !settings.asks_for_login() && !port.is_loopback() {
            return Err(StartError::OpenDoor { url: port.url() });
        }
        ports.push((address, port));
    }
    Ok(ports)
}

fn spawn_engine(engine: EngineThread, failure: Failure) -> Result<JoinHandle<Storage>, StartError> {
    thread::Builder::new()
        .name("engine".into())
        .spawn(move || {
            let _guard = failure.guard("engine");
            engine.run()
        })
        .map_err(StartError::Thread)
}

//! [`Neighbours`]: brokers that are found instead of named, and how others find this one; by multicast.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferromq_bridge::{Link, LinkState, LocalDoor};
use ferromq_client::ConnectOptions;
use ferromq_discovery::Multicast;
use ferromq_net::Spread;
use ferromq_uri::{MulticastOptions, Options, Uri};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bridges::{Connector, stop_all};

/// How a connector finds its peers.
#[derive(Clone, Debug)]
pub struct Search {
    /// The group.
    pub multicast: MulticastOptions,
    /// `discovered.*`, without the prefix: options that each address gets.
    pub discovered: Options,
}

/// How others find a listener.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its place among the listeners.
    pub listener: usize,
    /// The group.
    pub multicast: MulticastOptions,
}

/// How often it is looked whether a link to a broker that is gone has ended.
const PULSE: Duration = Duration::from_millis(500);

/// A link for each broker that was found, by its address.
pub(crate) type Links = Arc<Mutex<BTreeMap<String, Link>>>;

/// Searches and announcements of a master. They begin with its reign, and end before its sessions do.
pub(crate) struct Neighbours {
    links: Vec<Links>,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Neighbours {
    /// Begins all searches of `connectors`, and tells of the listeners at `urls`; to be called within a runtime.
    pub(crate) fn begin(
        connectors: &[Connector],
        told: &[Told],
        urls: &[String],
        door: &LocalDoor,
        seed: &str,
        lanes: &Spread,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut neighbours = Self { links: Vec::new(), tasks: Vec::new(), stop };
        for told in told {
            let Some(url) = urls.get(told.listener) else { continue };
            tracing::info!(url, group = %told.multicast.address, "this broker tells of itself by multicast");
            let telling = tell(told.multicast.clone(), url.clone(), stopped.clone());
            neighbours.tasks.push(tokio::spawn(telling));
        }
        for connector in connectors {
            let Some(search) = &connector.search else { continue };
            let links = Links::default();
            neighbours.links.push(Arc::clone(&links));
            let seeker = Seeker {
                connector: connector.clone(),
                search: search.clone(),
                door: Arc::clone(door),
                seed: seed.to_owned(),
                lanes: lanes.clone(),
                links,
                present: BTreeMap::new(),
            };
            neighbours.tasks.push(tokio::spawn(seeker.seek(urls.to_vec(), stopped.clone())));
        }
        neighbours
    }

    /// The links to brokers that were found, of each search.
    pub(crate) fn links(&self) -> Vec<Links> {
        self.links.clone()
    }

    /// Tells others that this broker goes, and ends the links.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            // Each ends within the time that its links have.
            let _ = task.await;
        }
    }
}

/// Who is dropped without a word ends as well.
impl Drop for Neighbours {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn lock(links: &Links) -> MutexGuard<'_, BTreeMap<String, Link>> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins a group; nothing when it is to stop before that was possible.
async fn join(
    options: &MulticastOptions,
    services: Vec<String>,
    own: &[String],
    stopped: &mut watch::Receiver<bool>,
) -> Option<Multicast> {
    tokio::select! {
        multicast = Multicast::join_when_possible(options, services, own) => Some(multicast),
        _ = stopped.wait_for(|stop| *stop) => None,
    }
}

async fn tell(options: MulticastOptions, url: String, mut stopped: watch::Receiver<bool>) {
    let Some(multicast) = join(&options, vec![url], &[], &mut stopped).await else { return };
    let _ = stopped.wait_for(|stop| *stop).await;
    multicast.leave().await;
}

/// One connector's search.
struct Seeker {
    connector: Connector,
    search: Search,
    door: LocalDoor,
    seed: String,
    lanes: Spread,
    links: Links,
    /// By their addresses.
    present: BTreeMap<String, Uri>,
}

impl Seeker {
    async fn seek(mut self, own: Vec<String>, mut stopped: watch::Receiver<bool>) {
        let (name, options) = (self.connector.settings.name.clone(), self.search.multicast.clone());
        let Some(mut group) = join(&options, Vec::new(), &own, &mut stopped).await else { return };
        tracing::info!(connector = name, group = %options.address, "looking for brokers by multicast");
        loop {
            let lingers = lock(&self.links).keys().any(|address| !self.present.contains_key(address));
            tokio::select! {
                present = group.changed() => {
                    self.present = present.into_iter().map(|uri| (uri.to_string(), uri)).collect();
                    self.welcome();
                }
                () = tokio::time::sleep(PULSE), if lingers => {}
                _ = stopped.wait_for(|stop| *stop) => break,
            }
            self.part();
        }
        let links = std::mem::take(&mut *lock(&self.links));
        stop_all(links.into_values()).await;
    }

    /// Links to whoever has come.
    fn welcome(&self) {
        for (address, uri) in &self.present {
            if lock(&self.links).contains_key(address) {
                continue;
            }
            let connector = &self.connector;
            match self.options(uri) {
                Ok(remote) => {
                    tracing::info!(
                        connector = connector.settings.name,
                        broker = address,
                        "a broker was found"
                    );
                    let settings = connector.settings.clone();
                    let door = Arc::clone(&self.door);
                    let begin = || Link::begin(settings, door, vec![remote], connector.retry, &self.seed);
                    let link = self.lanes.on_one(begin);
                    lock(&self.links).insert(address.clone(), link);
                }
                Err(error) => {
                    let connector = connector.settings.name.as_str();
                    tracing::warn!(connector, broker = address, %error, "a broker was found that can't be linked to");
                }
            }
        }
    }

    fn options(&self, found: &Uri) -> Result<ConnectOptions, ferromq_client::Error> {
        let mut uri = found.clone();
        for (name, value) in self.search.discovered.iter() {
            uri.options.set(name, value);
        }
        ConnectOptions::parse(&uri.to_string())
    }

    /// Lets go of brokers that are gone. One that only fell silent keeps its link for as long as that holds.
    fn part(&self) {
        lock(&self.links).retain(|address, link| {
            let stays = self.present.contains_key(address) || link.status().state == LinkState::Up;
            if !stays {
                tracing::info!(
                    connector = self.connector.settings.name,
                    broker = address,
                    "a broker that was found is gone"
                );
            }
            stays
        });
    }
}

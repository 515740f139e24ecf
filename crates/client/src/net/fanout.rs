//! [`Fanout`]: one producer, several brokers (`fanout:`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferromq_discovery::Multicast;
use ferromq_openwire::Destination;
use ferromq_uri::{MulticastOptions, Options, Uri};
use tokio::sync::watch;

use super::connection::Connection;
use super::producer::Producer;
use crate::error::{Error, Result};
use crate::message::Outgoing;
use crate::settings::ConnectOptions;

/// Before a broker is tried again that could not be reached, or whose connection was given up; each attempt takes its own
/// time as well.
const REST: Duration = Duration::from_secs(1);

/// For as many brokers as must have a message.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends what it is given to several brokers. Each is reached over a connection of its own that comes back by itself; one
/// that has given up (`maxReconnectAttempts`) counts no longer, and is begun anew.
///
/// Consumers are not offered: each would get every message as often as there are brokers.
#[derive(Debug)]
pub struct Fanout {
    shared: Arc<Shared>,
}

/// The way to one broker.
#[derive(Debug)]
struct Branch {
    connection: Connection,
    producer: Arc<Producer>,
}

/// A broker that is wanted.
#[derive(Debug)]
struct Place {
    /// One that went and came again has another number.
    number: u64,
    /// While it is there.
    branch: Option<Branch>,
}

#[derive(Debug)]
struct Shared {
    /// `minAckCount`: brokers that must have a message.
    least: usize,
    /// `fanOutQueues`: whether messages for queues go to all as well.
    queues: bool,
    /// Those that are wanted.
    brokers: Mutex<BTreeMap<String, Place>>,
    /// Places so far.
    places: AtomicU64,
    /// How many are there.
    count: watch::Sender<usize>,
    /// How long is waited for as many as must have a message.
    patience: Duration,
    options: Options,
    stop: watch::Sender<bool>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Place>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn producers(&self) -> Vec<Arc<Producer>> {
        let brokers = self.lock();
        let there = brokers.values().filter_map(|place| place.branch.as_ref());
        there.map(|branch| Arc::clone(&branch.producer)).collect()
    }

    /// Waits until so many brokers are there.
    async fn enough(&self, least: usize) -> Result<()> {
        let mut count = self.count.subscribe();
        let enough = tokio::time::timeout(self.patience, count.wait_for(|count| *count >= least));
        if enough.await.is_ok() {
            return Ok(());
        }
        let tried = format!("{} of the {least} that must have each message are there", *self.count.borrow());
        let (what, after) = (Arc::from("a fanout"), self.patience);
        Err(Error::NoBroker { what, after, tried: Arc::from(tried) })
    }
}

impl Fanout {
    /// Connects to all brokers of `fanout:(static:(tcp://a:61616,tcp://b:61616))?minAckCount=2`, or to those that are
    /// found by `fanout:(multicast://default)`. Returns when as many as must have a message are there.
    ///
    /// # Errors
    /// The URI is wrong, or there are not enough brokers within 30 seconds (`timeout`).
    pub async fn connect(uri: &str) -> Result<Self> {
        let uri = Uri::parse(uri)?;
        let (agent, plan) = read(&uri)?;
        let shared = Arc::new(Shared {
            least: plan.least,
            queues: plan.queues,
            brokers: Mutex::default(),
            places: AtomicU64::new(0),
            count: watch::Sender::new(0),
            patience: plan.patience,
            options: plan.options,
            stop: watch::Sender::new(false),
        });
        let fanout = Self { shared };
        match agent {
            Agent::Named(brokers) => {
                for broker in &brokers {
                    fanout.shared.add(broker)?;
                }
            }
            Agent::Found(group) => drop(tokio::spawn(look_around(Arc::clone(&fanout.shared), group))),
        }
        fanout.shared.enough(fanout.shared.least).await?;
        Ok(fanout)
    }

    /// How many brokers there are now.
    pub fn brokers(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Sends a message to all brokers; one for a queue to one of them only, unless the URI says `fanOutQueues=true`.
    /// Returns when as many as must have it have it.
    ///
    /// # Errors
    /// Too few brokers took it; the error is that of one that did not.
    pub async fn send(&self, destination: &Destination, message: Outgoing) -> Result<()> {
        let all = !destination.is_queue() || self.shared.queues;
        let least = if all { self.shared.least } else { 1 };
        self.shared.enough(least).await?;
        let mut sends = tokio::task::JoinSet::new();
        let mut waiting = self.shared.producers().into_iter();
        let first = if all { usize::MAX } else { 1 };
        for broker in waiting.by_ref().take(first) {
            sends.spawn(send_one(broker, destination.clone(), message.clone()));
        }
        let (mut taken, mut error) = (0, Error::Usage("a fanout has no broker now"));
        while let Some(sent) = sends.join_next().await {
            match sent {
                Ok(Ok(())) => taken += 1,
                Ok(Err(reason)) => {
                    error = reason;
                    // Of several brokers for a queue the next one is asked.
                    if let Some(next) = waiting.next() {
                        sends.spawn(send_one(next, destination.clone(), message.clone()));
                    }
                }
                Err(_) => {}
            }
            if taken >= least {
                // Those that are slower get it as well; nobody waits for them.
                sends.detach_all();
                return Ok(());
            }
        }
        Err(error)
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// The first failure.
    pub async fn close(self) -> Result<()> {
        self.shared.stop.send_replace(true);
        let brokers = std::mem::take(&mut *self.shared.lock());
        let mut closed = Ok(());
        for branch in brokers.into_values().filter_map(|place| place.branch) {
            closed = closed.and(branch.connection.close().await);
        }
        closed
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
    }
}

async fn send_one(producer: Arc<Producer>, destination: Destination, message: Outgoing) -> Result<()> {
    producer.send_to(&destination, message).await
}

async fn open(options: ConnectOptions) -> Result<Branch> {
    let connection = Connection::connect_with(options).await?;
    let producer = Arc::new(connection.anonymous_producer().await?);
    Ok(Branch { connection, producer })
}

impl Shared {
    /// Connects to a broker, and counts it while it is there.
    fn add(self: &Arc<Self>, broker: &Uri) -> Result<()> {
        let options = ConnectOptions::parse(&format!("failover:({broker}){}", self.options))?;
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(broker.to_string(), Place { number, branch: None });
        drop(tokio::spawn(Arc::clone(self).reach(broker.to_string(), number, options)));
        Ok(())
    }

    async fn reach(self: Arc<Self>, name: String, number: u64, options: ConnectOptions) {
        let mut stopped = self.stop.subscribe();
        loop {
            let ended = async {
                let branch = match open(options.clone()).await {
                    Ok(branch) => branch,
                    Err(error) => return Some(error),
                };
                let over = branch.connection.over();
                if self.put(&name, number, Some(branch)) { Some(over.await) } else { None }
            };
            let ended = tokio::select! {
                ended = ended => ended,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            let Some(error) = ended.filter(|_| self.put(&name, number, None)) else { return };
            tracing::warn!(broker = name, %error, "a broker of a fanout cannot be reached, and is tried again");
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Notes that a broker is there, or no longer; false if it is not wanted any more.
    fn put(&self, name: &str, number: u64, branch: Option<Branch>) -> bool {
        let before = match self.lock().get_mut(name) {
            Some(place) if place.number == number => std::mem::replace(&mut place.branch, branch),
            _ => return false,
        };
        drop(before);
        self.recount();
        true
    }

    fn recount(&self) {
        let count = self.lock().values().filter(|place| place.branch.is_some()).count();
        self.count.send_replace(count);
    }
}

/// Connects to whoever is found, and leaves who is gone.
async fn look_around(shared: Arc<Shared>, group: MulticastOptions) {
    let mut stopped = shared.stop.subscribe();
    let mut multicast = tokio::select! {
        multicast = Multicast::join_when_possible(&group, Vec::new(), &[]) => multicast,
        _ = stopped.wait_for(|stop| *stop) => return,
    };
    let mut known: Vec<Uri> = Vec::new();
    loop {
        let present = tokio::select! {
            present = multicast.changed() => present,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        for broker in present.iter().filter(|broker| !known.contains(broker)) {
            if let Err(error) = shared.add(broker) {
                tracing::warn!(%broker, %error, "a broker of a fanout cannot be used");
            }
        }
        for gone in known.iter().filter(|broker| !present.contains(broker)) {
            shared.lock().remove(&gone.to_string());
        }
        shared.recount();
        known = present;
    }
}

enum Agent {
    Named(Vec<Uri>),
    Found(MulticastOptions),
}

struct Plan {
    least: usize,
    queues: bool,
    patience: Duration,
    options: Options,
}

fn read(uri: &Uri) -> Result<(Agent, Plan)> {
    let wrong = || Error::Unsupported {
        uri: uri.to_string(),
        what: "write fanout:(static:(tcp://a:61616,tcp://b:61616)) or fanout:(multicast://default)",
    };
    let [agent] = uri.components() else { return Err(wrong()) };
    if uri.scheme.name() != "fanout" {
        return Err(wrong());
    }
    let (agent, named) = match agent.scheme.name() {
        "static" | "simple" => (Agent::Named(agent.components().to_vec()), agent.components().len()),
        "multicast" => {
            let group = MulticastOptions::from_uri(agent).map_err(crate::settings::first)?;
            (Agent::Found(group), 2)
        }
        _ => return Err(wrong()),
    };
    // What is not the fanout's own goes to each connection, with the defaults of the fanout.
    let mut options = Options::default();
    for (name, value) in uri.options.iter() {
        match name {
            "minAckCount" | "fanOutQueues" => {}
            "backOffMultiplier" => options.set("reconnectDelayExponent", value),
            name => options.set(name, value),
        }
    }
    let mut reader = uri.options.reader();
    let least: Option<usize> = reader.number("minAckCount", "a number from 1");
    let queues = reader.bool("fanOutQueues").unwrap_or(false);
    let patience: Option<i64> = reader.number("timeout", "a number of milliseconds, or -1");
    let patience = patience.and_then(|ms| u64::try_from(ms).ok()).map_or(PATIENCE, Duration::from_millis);
    let plan = Plan { least: least.unwrap_or(named).max(1), queues, patience, options };
    Ok((agent, plan))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn brokers_are_found_though_the_group_could_not_be_joined_at_first() {
        // Given a port that somebody has alone for a while, and a fanout that looks for brokers there
        let port = 30_000 + u16::try_from(std::process::id() % 10_000).unwrap();
        let agent = format!(
            "multicast://239.255.78.1:{port}?interface=127.0.0.1&joinNetworkInterface=lo&keepAliveInterval=50"
        );
        let group = MulticastOptions::from_uri(&Uri::parse(&agent).unwrap()).unwrap();
        let alone = std::net::UdpSocket::bind(group.address).unwrap();
        let uri = format!("fanout:({agent})?minAckCount=1&timeout=10000");
        let fanout = tokio::spawn(async move { Fanout::connect(&uri).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(alone);
        // When a broker tells of itself, which takes a connection
        let broker = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let told = format!("tcp://{}", broker.local_addr().unwrap());
        let _telling = Multicast::join(&group, vec![told], &[]).unwrap();
        // Then the fanout comes to it.
        let came = tokio::time::timeout(Duration::from_secs(10), broker.accept()).await;
        assert!(came.is_ok(), "nobody came");
        fanout.abort();
    }
}

//! [`Link`]: keeps a bridge up, from a local broker to a remote one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ferromq_client::{Address, ConnectOptions, Link as Wire, Stream};
use ferromq_openwire::{BrokerInfo, Command};
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::drive::{Ended, LocalDoor, START, drive, open, open_local};
use super::line::{Moved, transfer};
use super::port::Port;
use super::status::{LinkState, LinkStatus};
use super::ways::{Way, Ways};
use crate::{Bridge, Ending, Settings, Side};

/// When to try again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retry {
    /// `initialReconnectDelay`.
    pub initial: Duration,
    /// `maxReconnectDelay`.
    pub most: Duration,
    /// `useExponentialBackOff`, `backOffMultiplier`: by what the wait grows, 1 for not at all.
    pub factor: f64,
    /// `maxReconnectAttempts`: `None` for no limit.
    pub attempts: Option<u32>,
    /// `minConnectTime`: a link that was up for less counts as an attempt that failed.
    pub least_life: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            most: Duration::from_secs(30),
            factor: 2.0,
            attempts: None,
            least_life: Duration::from_secs(5),
        }
    }
}

impl Retry {
    /// The wait after so many failures in a row, 1 for the first. It never falls, however many there are.
    pub fn wait(&self, failures: u32) -> Duration {
        let grown =
            self.initial.as_secs_f64() * self.factor.powf(f64::from(failures.saturating_sub(1).min(64)));
        Duration::try_from_secs_f64(grown).unwrap_or(self.most).min(self.most)
    }
}

/// Where the local broker is.
#[derive(Clone)]
enum Local {
    Door(LocalDoor),
    Address(Box<ConnectOptions>),
}

/// A link that is wanted: it is tried until it is up, and again when it is lost. It stops when this is dropped.
#[derive(Debug)]
pub struct Link {
    status: watch::Receiver<LinkStatus>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Supervisor {
    settings: Settings,
    local: Local,
    remotes: Vec<ConnectOptions>,
    retry: Retry,
    seed: String,
    status: watch::Sender<LinkStatus>,
    stop: watch::Receiver<bool>,
}

/// How long a broker may take to greet and introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// Addresses that a name may stand for.
const MOST_PLACES: usize = 16;

/// Bridges of this process, for their ids.
static LIVES: AtomicU64 = AtomicU64::new(0);

impl Link {
    /// Begins a link from the broker behind `door` to whichever of `remotes` listens; the first is preferred. `seed`
    /// must be unique to this run of the broker.
    pub fn begin(
        settings: Settings,
        door: LocalDoor,
        remotes: Vec<ConnectOptions>,
        retry: Retry,
        seed: &str,
    ) -> Self {
        Self::start(settings, Local::Door(door), remotes, retry, seed)
    }

    /// The same between two brokers that are both reached over the network.
    pub fn between(
        settings: Settings,
        local: ConnectOptions,
        remotes: Vec<ConnectOptions>,
        retry: Retry,
        seed: &str,
    ) -> Self {
        Self::start(settings, Local::Address(Box::new(local)), remotes, retry, seed)
    }

    fn start(
        settings: Settings,
        local: Local,
        remotes: Vec<ConnectOptions>,
        retry: Retry,
        seed: &str,
    ) -> Self {
        let first = remotes.first().map(|remote| remote.address().uri.to_string()).unwrap_or_default();
        let (shown, status) = watch::channel(LinkStatus::new(&settings.name, &first, false));
        let (stop, stopped) = watch::channel(false);
        let supervisor = Supervisor {
            settings,
            local,
            remotes,
            retry,
            seed: seed.to_owned(),
            status: shown,
            stop: stopped,
        };
        Self { status, stop, task: tokio::spawn(supervisor.supervise()) }
    }

    /// How far it is now.
    pub fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    /// For whoever looks at it while somebody else has the link.
    pub fn watch(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }

    /// Waits for the next change of the status.
    pub async fn changed(&mut self) -> LinkStatus {
        // A link that is over changes no more.
        if self.status.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.status.borrow_and_update().clone()
    }

    /// Ends it in order: both brokers are told, messages under way stay with the local one.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let Self { task, .. } = &self;
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        while !task.is_finished() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        task.abort();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Supervisor {
    async fn supervise(mut self) {
        let mut failures = 0_u32;
        loop {
            let ended = self.live().await;
            if *self.stop.borrow() {
                return self.status.send_modify(|status| status.enter(LinkState::Stopped));
            }
            let lasted = ended.up_since.map(|since| since.elapsed());
            failures = match lasted {
                Some(lasted) if lasted >= self.retry.least_life => 0,
                _ => failures.saturating_add(1),
            };
            let reason = ended.ending.to_string();
            self.status.send_modify(LinkStatus::close_books);
            if self.retry.attempts.is_some_and(|most| failures > most) {
                tracing::error!(
                    connector = self.settings.name,
                    reason,
                    attempts = failures,
                    "network connection given up: as many attempts as maxReconnectAttempts allows have failed"
                );
                return self.status.send_modify(|status| {
                    status.enter(LinkState::GivenUp);
                    (status.reason, status.failures) = (Some(reason), failures);
                });
            }
            // Who finds himself, or is not let in, is not helped by haste.
            let wait = match ended.ending {
                Ending::Loop => self.retry.most,
                _ => self.retry.wait(failures.max(1)),
            };
            self.status.send_modify(|status| {
                if ended.up_since.is_some() || failures <= 1 || failures.is_power_of_two() {
                    tracing::warn!(
                        connector = status.connector,
                        remote = status.remote,
                        reason,
                        failures,
                        again_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        "no network connection"
                    );
                }
                status.enter_for(LinkState::Waiting, wait);
                (status.reason, status.failures) = (Some(reason), failures);
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.stop.wait_for(|stop| *stop) => {}
            }
            if *self.stop.borrow() {
                return self.status.send_modify(|status| status.enter(LinkState::Stopped));
            }
        }
    }

    /// One attempt, and the life of the bridge if it succeeds.
    async fn live(&mut self) -> Ended {
        match self.connect().await {
            Ok(ended) => ended,
            Err(reason) => Ended { ending: Ending::Lost(reason), up_since: None },
        }
    }

    async fn connect(&mut self) -> Result<Ended, String> {
        let clock = Clock::new();
        let mut stop = self.stop.clone();
        let (remote, info) = tokio::select! {
            reached = self.reach(clock) => reached?,
            // A broker that does not answer is not waited for by one that ends.
            _ = stop.wait_for(|stop| *stop) => return Err("the broker ends".to_owned()),
        };
        self.status.send_modify(|status| status.enter_for(LinkState::Starting, START));
        let mut ways = Ways { remote: Some(Way::Port(Box::new(remote))), ..Ways::default() };
        ways.local = Some(self.open_local(clock).await?);
        if self.settings.duplex {
            ways.inbound = Some(self.open_local(clock).await?);
        }
        let seed = format!("{}-{}", self.seed, LIVES.fetch_add(1, Ordering::Relaxed));
        let remote = self.status.borrow().remote.clone();
        let mut bridge = Bridge::new(self.settings.clone(), &seed).to(&remote);
        bridge.handle(Side::Remote, info.into(), clock.now());
        Ok(drive(&mut bridge, ways, clock, &self.status, &mut self.stop).await)
    }

    async fn open_local(&self, clock: Clock) -> Result<Way, String> {
        match &self.local {
            Local::Door(door) => open_local(door, clock),
            Local::Address(options) => {
                let stream = dial(&options.address()).await?;
                open(stream, options, clock)
            }
        }
    }

    /// The first of the remote brokers that listens and greets; of a pair that is the master, because a standby hangs up.
    async fn reach(&mut self, clock: Clock) -> Result<(Port, BrokerInfo), String> {
        let mut reasons = Vec::new();
        for remote in &self.remotes {
            let address = remote.address();
            self.status.send_modify(|status| {
                status.enter_for(LinkState::Connecting, address.connect_timeout + INTRODUCTION);
                status.remote = address.uri.to_string();
            });
            match places(&address).await {
                Ok(places) => {
                    for place in places {
                        match greet(&address, place, clock).await {
                            Ok(reached) => return Ok(reached),
                            Err(reason) => reasons.push(format!("{}: {reason}", address.uri)),
                        }
                    }
                }
                Err(reason) => reasons.push(format!("{}: {reason}", address.uri)),
            }
        }
        Err(reasons.join("; "))
    }
}

/// Waits until the broker has introduced itself, as one that serves does right after its greeting. A standby may greet,
/// but has nothing to say.
async fn introduced(stream: &mut Stream, wire: &mut Wire, clock: Clock) -> Result<BrokerInfo, String> {
    let introduced = async {
        loop {
            match transfer(stream, wire).await.map_err(|error| error.to_string())? {
                Moved::Read(0) => return Err("it closed the connection; a standby does that".to_owned()),
                Moved::Read(_) => {}
                Moved::Written(bytes) => wire.written(bytes),
            }
            while let Some(command) = wire
                .next_command(clock.now())
                .map_err(|error| format!("what it says is no OpenWire: {error}"))?
            {
                if let Command::BrokerInfo(info) = command {
                    return Ok(info);
                }
            }
        }
    };
    tokio::time::timeout(INTRODUCTION, introduced).await.unwrap_or_else(|_| {
        Err(format!("it did not introduce itself within {INTRODUCTION:?}; a standby does not"))
    })
}

/// Where the host of an address may be; each of a name's addresses may be another node of a pair.
async fn places(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (address.endpoint.host.to_string(), address.endpoint.port_or_default());
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::time::timeout(address.connect_timeout, lookup_host((host, port))).await;
    let found = found.map_err(|_| "the name was not resolved in time".to_owned())?;
    Ok(found.map_err(|error| error.to_string())?.take(MOST_PLACES).collect())
}

/// A broker that serves, at one of its addresses.
async fn greet(address: &Address, place: SocketAddr, clock: Clock) -> Result<(Port, BrokerInfo), String> {
    let mut stream = connect(address, place).await?;
    let mut wire =
        Wire::new(address.wire_format.clone(), address.limits.clone()).map_err(|error| error.to_string())?;
    let info = introduced(&mut stream, &mut wire, clock).await?;
    Ok((Port::new(stream, wire, clock), info))
}

/// A connection to the first place of an address that listens.
async fn dial(address: &Address) -> Result<Stream, String> {
    let mut reason = "the name has no address".to_owned();
    for place in places(address).await.map_err(|reason| format!("{}: {reason}", address.uri))? {
        match connect(address, place).await {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = error,
        }
    }
    Err(format!("{}: {reason}", address.uri))
}

async fn connect(address: &Address, place: SocketAddr) -> Result<Stream, String> {
    match tokio::time::timeout(address.connect_timeout, Stream::open(address, place)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {:?}", address.connect_timeout)),
    }
}

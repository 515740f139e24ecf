//! [`Link`]: keeps a bridge up, from a local broker to a remote one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ferromq_client::ConnectOptions;
use ferromq_openwire::BrokerInfo;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clock::Clock;
use super::drive::{Ended, START, drive};
use super::local::{Local, LocalDoor};
use super::port::Port;
use super::reach::{INTRODUCTION, LAST_INTRODUCTION, reach};
use super::retry::Retry;
use super::status::{LinkState, LinkStatus};
use super::told::Told;
use super::ways::{Way, Ways};
use crate::{Bridge, Ending, Settings, Side};

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
    /// Lives in a row that were too short.
    failures: u32,
    told: Told,
    status: watch::Sender<LinkStatus>,
    stop: watch::Receiver<bool>,
}

/// How long a link may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

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
            failures: 0,
            told: Told::default(),
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
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(LAST_WORDS, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Supervisor {
    async fn supervise(mut self) {
        loop {
            let ended = self.live().await;
            if *self.stop.borrow() {
                break;
            }
            let Some(wait) = self.judge(&ended) else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.stop.wait_for(|stop| *stop) => break,
            }
        }
        self.status.send_modify(|status| status.enter(LinkState::Stopped));
    }

    /// After one life: how long to wait for the next one, or nothing if it is given up.
    fn judge(&mut self, ended: &Ended) -> Option<Duration> {
        let lived = ended.up_since.is_some_and(|since| since.elapsed() >= self.retry.least_life);
        self.failures = if lived { 0 } else { self.failures.saturating_add(1) };
        let (failures, reason) = (self.failures, ended.ending.to_string());
        self.status.send_modify(LinkStatus::close_books);
        if self.retry.attempts.is_some_and(|most| failures > most) {
            tracing::error!(
                connector = self.settings.name,
                reason,
                attempts = failures,
                "network connection given up: as many attempts as maxReconnectAttempts allows have failed"
            );
            self.status.send_modify(|status| {
                status.enter(LinkState::GivenUp);
                (status.reason, status.failures) = (Some(reason), failures);
            });
            return None;
        }
        // Who finds himself is not helped by haste.
        let wait = match ended.ending {
            Ending::Loop => self.retry.most,
            _ => self.retry.wait(failures.max(1)),
        };
        let tells = self.told.tells(failures, ended.up_since.is_some(), &reason);
        self.status.send_modify(|status| {
            if tells {
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
        Some(wait)
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
            reached = self.reach_one(clock) => reached?,
            // A broker that does not answer is not waited for by one that ends.
            _ = stop.wait_for(|stop| *stop) => return Err("the broker ends".to_owned()),
        };
        self.status.send_modify(|status| status.enter_for(LinkState::Starting, START));
        let local = self.local.open(clock).await?;
        let inbound = if self.settings.duplex { Some(self.local.open(clock).await?) } else { None };
        let ways = Ways { local: Some(local), remote: Some(Way::Port(Box::new(remote))), inbound };
        let seed = format!("{}-{}", self.seed, LIVES.fetch_add(1, Ordering::Relaxed));
        let remote = self.status.borrow().remote.clone();
        let mut bridge = Bridge::new(self.settings.clone(), &seed).to(&remote);
        bridge.handle(Side::Remote, info.into(), clock.now());
        Ok(drive(&mut bridge, ways, clock, &self.status, &mut self.stop).await)
    }

    /// The first of the remote brokers that serves; of a pair that is the master.
    async fn reach_one(&mut self, clock: Clock) -> Result<(Port, BrokerInfo), String> {
        let mut reasons = Vec::new();
        for (index, remote) in self.remotes.iter().enumerate() {
            let address = remote.address();
            let patience = if index + 1 < self.remotes.len() { INTRODUCTION } else { LAST_INTRODUCTION };
            let lasts = |within| {
                self.status.send_modify(|status| {
                    status.enter_for(LinkState::Connecting, within);
                    status.remote = address.uri.to_string();
                });
            };
            match reach(&address, patience, clock, lasts).await {
                Ok(reached) => return Ok(reached),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(reasons.join("; "))
    }
}

//! [`OperatorSide`]: what operators see of this broker, and what they ask of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ferromq_admin::{
    Command, DestinationCount, Distribution, Door, Gauges, Lag, LinkView, Meters, Refusal, Reply, RoleView,
    StreamCount, SubscriptionEntry, Takeover,
};
use ferromq_bridge::{LinkState, LinkStatus};
use ferromq_engine::{DurableView, Effect, Intent, StreamEntry, StreamView, View};
use ferromq_lock::Timings;
use ferromq_model::{Epoch, Instant, SubscriptionName, Text};
use ferromq_net::{Census, Reception};
use ferromq_store::{Histogram, StoreMetrics};
use tokio::sync::{mpsc, watch};

use crate::bridges::LinksView;
use crate::firsts::Firsts;
use crate::role::Role;
use crate::{Settings, StoreChoice};

/// Commands that may wait for the role machine.
const WAITING: usize = 16;
/// How long the engine may take to do what it is ordered to.
const ORDER: Duration = Duration::from_secs(10);

impl Settings {
    /// What keeps the messages, in words and without a password.
    pub(crate) fn store_shown(&self) -> String {
        let folder = self.data.display();
        match self.store {
            StoreChoice::Memory => "memory".to_owned(),
            StoreChoice::Sqlite => format!("SQLite in {folder}"),
            StoreChoice::Journal => format!("journal in {folder}"),
            StoreChoice::Postgres => {
                let schema = self.database.as_ref().map_or("", |database| &database.schema);
                format!("PostgreSQL, schema {schema}")
            }
        }
    }
}

/// How long a takeover would last, as far as a standby can tell: it waits for a silent master, reads what it has not
/// followed, and claims. A master that died is seen at the next look, so that the first part falls away.
#[derive(Clone, Debug)]
pub(crate) struct Outlook {
    publish: watch::Sender<RoleView>,
    /// From the last sign of life of a silent master to the claim.
    wait: Option<Duration>,
    /// What a claim takes, until this node has made one.
    work: Duration,
}

impl Outlook {
    /// The store was followed just now; what is left would be read in so long, if that can be told. Watchers of the
    /// view are not woken for it.
    pub(crate) fn followed(&self, lag: Option<u64>, catch_up: Option<Duration>) {
        self.publish.send_if_modified(|view| {
            view.lag = lag.map(|bytes| Lag { bytes, seen: std::time::Instant::now() });
            view.expected_takeover = match (self.wait, catch_up) {
                (Some(wait), Some(catch_up)) => {
                    Some(catch_up.saturating_add(wait).saturating_add(self.work(view)))
                }
                _ => None,
            };
            false
        });
    }

    /// From the claim to serving, as it was the last time.
    fn work(&self, view: &RoleView) -> Duration {
        let last = view.last_takeover.and_then(|last| last.recovered?.checked_sub(last.claimed?));
        last.unwrap_or(self.work)
    }
}

/// Both ends of what is between a broker and its operators.
pub(crate) struct OperatorSide {
    publish: watch::Sender<RoleView>,
    pub(crate) meters: Arc<Meters>,
    dials: Arc<Dials>,
    commands: mpsc::Receiver<Command>,
    door: Door,
    outlook: Outlook,
}

impl OperatorSide {
    pub(crate) fn new(settings: &Settings, urls: &[String], census: &Arc<Census>) -> Self {
        let mut view = RoleView::new(settings.node_name());
        view.listeners = urls.to_vec();
        view.store = settings.store_shown();
        view.lock = settings.guard.as_ref().map(ToString::to_string);
        let (publish, views) = watch::channel(view);
        let (orders, commands) = mpsc::channel(WAITING);
        let dials = Arc::new(Dials { census: Arc::clone(census), ..Dials::default() });
        let meters = Arc::new(Meters::new(Arc::clone(&dials) as Arc<dyn Gauges>));
        let door = Door { views, meters: Arc::clone(&meters), commands: orders, token: None };
        let timings = Timings::from_takeover_after(settings.takeover_after).ok();
        let outlook = Outlook {
            publish: publish.clone(),
            wait: timings.map(|timings| timings.silence + timings.look_every),
            work: settings.takeover_after / 10,
        };
        Self { publish, meters, dials, commands, door, outlook }
    }

    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    /// For whoever follows the store.
    pub(crate) fn outlook(&self) -> Outlook {
        self.outlook.clone()
    }

    /// The next command; for ever if nobody can ask.
    pub(crate) async fn command(&mut self) -> Command {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }

    /// Changes what operators see.
    pub(crate) fn tell(&self, change: impl FnOnce(&mut RoleView)) {
        self.publish.send_modify(change);
    }

    /// The role machine has another role.
    pub(crate) fn tell_role(&self, role: &Role) {
        self.tell(|view| match role {
            Role::Standby { master, epoch } => {
                view.enter(ferromq_admin::Role::Standby);
                view.master.clone_from(master);
                view.epoch = *epoch;
                view.suspects = false;
            }
            Role::Active { epoch, .. } => {
                view.enter(ferromq_admin::Role::Active);
                view.master = Some(view.node.clone());
                view.epoch = *epoch;
                view.suspects = false;
                (view.lag, view.expected_takeover) = (None, None);
            }
        });
    }

    /// The store of this epoch was taken over, and clients are about to be served; the moments are counted from the
    /// first suspicion.
    pub(crate) fn took_over(&self, epoch: Epoch, claimed: Duration, recovered: Duration) {
        self.meters.takeovers.fetch_add(1, Ordering::Relaxed);
        let takeover = Takeover {
            epoch: epoch.number,
            claimed: Some(claimed),
            recovered: Some(recovered),
            listening: Some(recovered),
            ..Takeover::default()
        };
        self.tell(|view| view.last_takeover = Some(takeover));
    }

    /// For whoever sees the first clients after the takeover that began at `since`.
    pub(crate) fn firsts(&self, epoch: Epoch, since: Instant) -> Firsts {
        Firsts::new(epoch.number, since, self.publish.clone())
    }

    /// The role was lost unasked.
    pub(crate) fn stepped_down(&self) {
        self.meters.step_downs.fetch_add(1, Ordering::Relaxed);
    }

    /// Another store is written from now on.
    pub(crate) fn measure(&self, store: Option<Arc<StoreMetrics>>) {
        self.dials.change(store);
    }

    /// Other links are there from now on, or none.
    pub(crate) fn link(&self, links: Option<LinksView>) {
        *self.dials.links.lock().unwrap_or_else(PoisonError::into_inner) = links;
    }
}

/// What the parts know at the moment.
#[derive(Debug, Default)]
struct Dials {
    census: Arc<Census>,
    store: Mutex<Option<Arc<StoreMetrics>>>,
    links: Mutex<Option<LinksView>>,
    /// Of reigns that are over.
    fenced_before: AtomicU64,
}

impl Dials {
    fn change(&self, store: Option<Arc<StoreMetrics>>) {
        let mut present = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(over) = std::mem::replace(&mut *present, store) {
            self.fenced_before.fetch_add(over.fenced.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn store(&self) -> Option<Arc<StoreMetrics>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gauges for Dials {
    fn connections(&self) -> u64 {
        self.census.present().try_into().unwrap_or(u64::MAX)
    }

    fn sync(&self) -> Distribution {
        self.store().map(|store| distribution(&store.sync)).unwrap_or_default()
    }

    fn fence(&self) -> Distribution {
        self.store().map(|store| distribution(&store.fence)).unwrap_or_default()
    }

    fn fence_failures(&self) -> u64 {
        let present = self.store().map_or(0, |store| store.fenced.load(Ordering::Relaxed));
        self.fenced_before.load(Ordering::Relaxed) + present
    }

    fn links(&self) -> Vec<LinkView> {
        let view = self.links.lock().unwrap_or_else(PoisonError::into_inner).clone();
        view.map(|view| view.status().into_iter().map(link).collect()).unwrap_or_default()
    }
}

/// What operators see of a link.
fn link(status: LinkStatus) -> LinkView {
    let counts = status.totals();
    let now = SystemTime::now();
    let destinations = status.destinations.into_iter();
    LinkView {
        connector: status.connector,
        remote: status.remote,
        remote_broker: status.remote_name,
        mirror: status.mirror,
        state: status.state.to_string(),
        up: status.state == LinkState::Up,
        reason: status.reason,
        in_state: now.duration_since(status.since).unwrap_or_default(),
        ends_in: status.until.map(|until| until.duration_since(now).unwrap_or_default()),
        failures: status.failures,
        forwarded: counts.forwarded,
        refused: counts.refused,
        received: counts.received,
        in_flight: counts.in_flight,
        longest_wait: status.longest_wait,
        forward_rate: status.rates.forwarded,
        receive_rate: status.rates.received,
        consumers: counts.consumers,
        subscriptions: counts.subscriptions,
        suppressed: counts.suppressed,
        destinations: destinations
            .map(|counts| (counts.destination, counts.forwarded, counts.received))
            .collect(),
    }
}

/// From a microsecond to a minute; shorter and longer ones are counted in the ends.
fn distribution(histogram: &Histogram) -> Distribution {
    const BOUNDS: std::ops::RangeInclusive<u64> = 1 << 10..=1 << 36;
    let mut buckets: Vec<(Duration, u64)> = Vec::new();
    let mut below = 0;
    for (bound, count) in histogram.buckets() {
        if BOUNDS.contains(&bound) {
            buckets.push((Duration::from_nanos(bound), count + std::mem::take(&mut below)));
        } else if buckets.is_empty() {
            below += count;
        } else if let Some((_, last)) = buckets.last_mut() {
            *last += count;
        }
    }
    Distribution { buckets, sum: Duration::from_nanos(histogram.sum_ns()) }
}

/// What operators count of the engine.
pub(crate) fn counts(view: View) -> Vec<DestinationCount> {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let counts = view.destinations.into_iter().map(|destination| DestinationCount {
        name: destination.destination.to_string(),
        held: destination.held,
        in_flight: destination.in_flight,
        enqueued: destination.counters.enqueued,
        acknowledged: destination.counters.acknowledged,
        consumers: count(destination.consumers),
    });
    counts.collect()
}

/// What operators see of the streams to other brokers.
pub(crate) fn streams(views: Vec<StreamView>) -> Vec<StreamCount> {
    let count = |StreamView { name, linked, under_way, without_room }| StreamCount {
        name,
        linked,
        under_way,
        without_room,
    };
    views.into_iter().map(count).collect()
}

/// The same of either direction.
pub(crate) fn all_streams(entries: Vec<StreamEntry>) -> Vec<ferromq_admin::StreamEntry> {
    let entry = |StreamEntry { name, incoming, linked, positions, heard }| ferromq_admin::StreamEntry {
        name,
        incoming,
        linked,
        positions,
        heard,
    };
    entries.into_iter().map(entry).collect()
}

/// The durable subscriptions, as operators see them.
pub(crate) fn subscriptions(views: Vec<DurableView>) -> Vec<SubscriptionEntry> {
    let entry = |view: DurableView| SubscriptionEntry {
        client: view.name.client.to_string(),
        name: view.name.name.to_string(),
        topic: view.topic.to_string(),
        selector: view.selector,
        active: view.active,
        held: view.held,
    };
    views.into_iter().map(entry).collect()
}

/// Lets the engine forget a stream; answered when that is durable.
pub(crate) async fn forget(reception: Reception, name: String, reply: Reply<u64>) {
    order(reception, Intent::ForgetStream(Text::from(name)), "ferromq streams", reply).await;
}

/// Lets the engine end a durable subscription; answered when that is durable.
pub(crate) async fn end_subscription(reception: Reception, name: SubscriptionName, reply: Reply<u64>) {
    order(reception, Intent::EndSubscription(name), "ferromq subscriptions", reply).await;
}

/// Lets the engine do what it answers with a number. An engine that ends meanwhile leaves it open; `tells` is the verb that
/// says then whether it was done.
async fn order(reception: Reception, intent: Intent, tells: &str, reply: Reply<u64>) {
    let answer = match tokio::time::timeout(ORDER, reception.ask(intent)).await {
        Ok(Effect::Forgotten(count) | Effect::Dropped(count)) => Ok(count),
        Ok(Effect::Failed(fault)) => Err(Refusal::Role(fault.text)),
        Ok(_) => Err(Refusal::Failed("the engine does not say what it did".to_owned())),
        Err(_) => Err(Refusal::Failed(format!(
            "the engine has not answered within {ORDER:?}; `{tells}` tells whether it was done"
        ))),
    };
    // Who asked may have gone.
    let _ = reply.send(answer);
}

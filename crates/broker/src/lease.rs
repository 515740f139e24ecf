//! The lease's own thread: looks and claims as a standby, renews as a holder, and tells what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ferromq_env::Clock;
use ferromq_lock::{
    Acquired, Contention, ErrorKind, Grant, Lease, LockError, LockProvider, Timings, Verdict, Watch,
};
use ferromq_model::{ClaimId, Epoch, Instant};
use tokio::sync::{mpsc as events, oneshot};

/// News that may wait for the broker; it takes them at once, and one that does not is stuck for good.
const WAITING: usize = 64;

/// What happened to the lease.
#[derive(Debug)]
pub(crate) enum News {
    /// Somebody else is the master.
    Master { epoch: Epoch, owner: Option<String> },
    /// The master is silent, or gone; clients that come now may be held until it is clear who serves them.
    Suspected,
    /// It was only slow.
    Cleared,
    /// The epoch is ours; `since` the moment at which the master was first missed.
    Won { grant: Grant, since: Instant },
    /// It is ours no longer.
    Lost(String),
}

enum Order {
    /// Let go, and leave others the first try for a while.
    Release {
        rest: Duration,
        done: Option<oneshot::Sender<()>>,
    },
    /// Claim above `seen` whoever holds it; an operator said so.
    Force {
        seen: Epoch,
        done: oneshot::Sender<Result<Epoch, String>>,
    },
    End,
}

/// Until when the holder may act; cheap to ask, shared with whoever acts.
#[derive(Clone, Debug)]
pub(crate) struct LeaseView {
    until: Arc<AtomicU64>,
}

impl LeaseView {
    /// A lease that never ends: of a store that nobody else can reach.
    pub(crate) fn unlimited() -> Self {
        Self { until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn none() -> Self {
        Self { until: Arc::new(AtomicU64::new(0)) }
    }

    fn extend(&self, lease: &Lease) {
        self.until.store(lease.until().0, Ordering::Release);
    }

    fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Until when the holder may act, if nothing is renewed.
    pub(crate) fn ends(&self) -> Instant {
        Instant(self.until.load(Ordering::Acquire))
    }

    /// Waits until nobody may act any longer.
    pub(crate) async fn over(&self, clock: &dyn Clock) {
        loop {
            let (now, ends) = (clock.now().mono, self.ends());
            if now >= ends {
                return;
            }
            tokio::time::sleep(ends.since(now)).await;
        }
    }

    /// Whether the holder may act.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        now.0 < self.until.load(Ordering::Acquire)
    }
}

/// The lowest epoch that a claim must exceed, as far as the store was followed.
#[derive(Clone, Debug, Default)]
pub(crate) struct AtLeast(Arc<AtomicU64>);

impl AtLeast {
    /// The store has seen this epoch.
    pub(crate) fn raise(&self, epoch: Epoch) {
        self.0.fetch_max(epoch.number, Ordering::AcqRel);
    }

    fn epoch(&self) -> Epoch {
        Epoch { number: self.0.load(Ordering::Acquire), claim: ClaimId(0) }
    }
}

/// The thread, and the way to it.
pub(crate) struct Keeper {
    orders: mpsc::Sender<Order>,
    thread: JoinHandle<()>,
}

/// What a keeper starts with.
pub(crate) struct Start {
    pub(crate) provider: Box<dyn LockProvider>,
    pub(crate) timings: Timings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) at_least: AtLeast,
}

/// What the first look, before anything else was started, came to.
pub(crate) enum First {
    /// Ours.
    Won { grant: Grant, asked: Instant },
    /// Somebody else's.
    Master { epoch: Epoch, owner: Option<String> },
}

impl Start {
    /// Claims at once what nobody holds.
    pub(crate) fn first(&mut self) -> Result<First, LockError> {
        let seen = self.provider.look()?;
        if let Some(seen) = seen
            && !seen.died
            && !seen.released
        {
            return Ok(First::Master { epoch: seen.epoch, owner: seen.owner });
        }
        let asked = self.clock.now().mono;
        match self.provider.try_acquire(self.at_least.epoch(), Contention::Vacant)? {
            Acquired::Granted(grant) => Ok(First::Won { grant, asked }),
            Acquired::Held(seen) => Ok(First::Master { epoch: seen.epoch, owner: seen.owner }),
        }
    }

    /// Starts the thread, holding what the first look won.
    pub(crate) fn run(
        self,
        won: Option<(Grant, Instant)>,
    ) -> std::io::Result<(Keeper, LeaseView, events::Receiver<News>)> {
        let (orders, waiting) = mpsc::channel();
        let (news, heard) = events::channel(WAITING);
        let view = LeaseView::none();
        let mut worker = Worker {
            watch: Watch::new(&self.timings),
            start: self,
            view: view.clone(),
            news,
            held: None,
            master: None,
            suspected: None,
            rest_until: Instant(0),
            complained: false,
            odd: Oddity::default(),
        };
        if let Some((grant, asked)) = won {
            worker.hold(grant, asked);
        }
        let thread = thread::Builder::new().name("lease".into()).spawn(move || worker.run(&waiting))?;
        Ok((Keeper { orders, thread }, view, heard))
    }
}

impl Keeper {
    /// Lets go, and leaves others the first try for `rest`.
    pub(crate) fn release(&self, rest: Duration) {
        let _ = self.orders.send(Order::Release { rest, done: None });
    }

    /// As [`Keeper::release`], and tells when it is done. An error if the thread is gone.
    pub(crate) fn release_and_tell(&self, rest: Duration) -> oneshot::Receiver<()> {
        let (done, told) = oneshot::channel();
        let _ = self.orders.send(Order::Release { rest, done: Some(done) });
        told
    }

    /// Claims above `seen`, whoever holds that. What is won comes as [`News::Won`] as well.
    pub(crate) fn force(&self, seen: Epoch) -> oneshot::Receiver<Result<Epoch, String>> {
        let (done, told) = oneshot::channel();
        let _ = self.orders.send(Order::Force { seen, done });
        told
    }

    /// Lets go for good, and waits until that is done.
    pub(crate) fn end(self) {
        let _ = self.orders.send(Order::End);
        let _ = self.thread.join();
    }
}

struct Worker {
    start: Start,
    watch: Watch,
    view: LeaseView,
    news: events::Sender<News>,
    held: Option<(Grant, Lease)>,
    /// Whom the others were told of.
    master: Option<Epoch>,
    suspected: Option<Instant>,
    rest_until: Instant,
    complained: bool,
    odd: Oddity,
}

/// What looks odd: transient while roles change, and a mistake if it stays.
#[derive(Default)]
struct Oddity {
    text: String,
    since: Option<Instant>,
    told: bool,
}

impl Oddity {
    /// What the look at `now` showed, if it is to be told: once, when it has stood for `lasting`.
    fn seen(&mut self, now: Instant, odd: Option<&str>, lasting: Duration) -> Option<&str> {
        let Some(odd) = odd else {
            *self = Self::default();
            return None;
        };
        if self.text != odd {
            *self = Self { text: odd.to_owned(), since: Some(now), told: false };
        }
        let lasts = self.since.is_some_and(|since| now.since(since) >= lasting);
        (lasts && !std::mem::replace(&mut self.told, lasts)).then_some(&*self.text)
    }
}

impl Worker {
    fn now(&self) -> Instant {
        self.start.clock.now().mono
    }

    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            let wait = match &self.held {
                Some((_, lease)) => lease.next_renewal().since(self.now()),
                None => self.start.timings.look_every,
            };
            match orders.recv_timeout(wait) {
                Ok(Order::Release { rest, done }) => {
                    self.release();
                    self.rest_until = self.now() + rest;
                    // Who does not wait any longer need not know.
                    let _ = done.map(|done| done.send(()));
                }
                // Whoever was told meanwhile that this thread hangs is not surprised by a claim later.
                Ok(Order::Force { done, .. }) if done.is_closed() => {}
                Ok(Order::Force { seen, done }) => {
                    let _ = done.send(self.force(seen));
                }
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return self.release(),
                Err(RecvTimeoutError::Timeout) => {}
            }
            match self.held {
                Some((grant, lease)) => self.renew(grant, lease),
                None => self.look(),
            }
        }
    }

    fn tell(&self, news: News) {
        // The broker that does not listen any longer is about to end this thread.
        let _ = self.news.blocking_send(news);
    }

    fn hold(&mut self, grant: Grant, asked: Instant) {
        let lease = Lease::new(asked, grant.lasts, &self.start.timings);
        self.view.extend(&lease);
        self.held = Some((grant, lease));
    }

    fn release(&mut self) {
        let Some((grant, lease)) = self.held.take() else { return };
        self.view.end();
        self.master = None;
        // Who lost it says nothing any longer.
        if lease.is_valid(self.now())
            && let Err(error) = self.start.provider.release(grant)
        {
            tracing::warn!(%error, "the claim could not be released; a standby waits for the lease to end");
        }
    }

    fn renew(&mut self, grant: Grant, mut lease: Lease) {
        let asked = self.now();
        if !lease.is_valid(asked) {
            return self.lose("the lease ran out before it could be renewed".to_owned());
        }
        if asked < lease.next_renewal() {
            return;
        }
        match self.start.provider.renew(&grant) {
            Ok(renewed) => {
                if !lease.renewed(asked, self.now(), renewed.lasts) {
                    return self.lose("the lease ran out before its renewal was answered".to_owned());
                }
                self.view.extend(&lease);
                self.held = Some((renewed, lease));
            }
            Err(error) if error.kind() == ErrorKind::Superseded => self.lose(error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed");
                lease.missed(asked);
                self.held = Some((grant, lease));
            }
        }
    }

    fn lose(&mut self, reason: String) {
        self.view.end();
        self.held = None;
        self.master = None;
        self.watch.forget();
        self.tell(News::Lost(reason));
    }

    fn look(&mut self) {
        let asked = self.now();
        let seen = match self.start.provider.look() {
            Ok(seen) => seen,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "the master can't be watched");
                }
                return self.watch.forget();
            }
        };
        self.complained = false;
        let now = self.now();
        let lasting = self.start.timings.silence * 2;
        if let Some(odd) = self.odd.seen(now, self.start.provider.oddity(), lasting) {
            tracing::warn!("{odd}");
        }
        if let Some(seen) = &seen
            && !seen.released
            && self.master != Some(seen.epoch)
        {
            self.master = Some(seen.epoch);
            self.suspected = None;
            // Others had their try, and one of them made it.
            self.rest_until = Instant(0);
            self.tell(News::Master { epoch: seen.epoch, owner: seen.owner.clone() });
        }
        match self.watch.judge_look(asked, now, seen.as_ref()) {
            Verdict::Follow => {
                if self.suspected.take().is_some() {
                    self.tell(News::Cleared);
                }
            }
            Verdict::Suspect => self.suspect(now),
            Verdict::Claim(_) if now < self.rest_until => {}
            Verdict::Claim(why) => {
                self.suspect(now);
                self.claim(why);
            }
        }
    }

    fn suspect(&mut self, now: Instant) {
        if self.suspected.is_none() {
            self.suspected = Some(now);
            self.tell(News::Suspected);
        }
    }

    fn force(&mut self, seen: Epoch) -> Result<Epoch, String> {
        if let Some((grant, _)) = self.held {
            return Err(format!("this node holds epoch {} itself", grant.epoch.number));
        }
        // The store's own epoch may be ahead of the lock's, never behind what the operator was shown.
        self.start.at_least.raise(seen);
        let asked = self.now();
        match self.start.provider.try_acquire(self.start.at_least.epoch(), Contention::OverSilence) {
            Ok(Acquired::Granted(grant)) => {
                self.suspected = None;
                self.watch.forget();
                self.hold(grant, asked);
                self.tell(News::Won { grant, since: asked });
                Ok(grant.epoch)
            }
            Ok(Acquired::Held(seen)) => Err(format!(
                "epoch {} was claimed at the same moment by {}",
                seen.epoch.number,
                seen.owner.unwrap_or_default()
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    fn claim(&mut self, why: Contention) {
        let asked = self.now();
        match self.start.provider.try_acquire(self.start.at_least.epoch(), why) {
            Ok(Acquired::Granted(grant)) => {
                let since = self.suspected.take().unwrap_or(asked);
                self.watch.forget();
                self.hold(grant, asked);
                self.tell(News::Won { grant, since });
            }
            // Another standby was faster; the next look tells who.
            Ok(Acquired::Held(_)) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "the master's role can't be claimed");
                }
            }
        }
    }
}

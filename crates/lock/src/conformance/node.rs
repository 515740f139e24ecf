//! [`Node`]: a provider with its lease and its watch, stepped by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ferromq_env::Clock;
use ferromq_model::{Epoch, Instant, Now, WallTime};

use super::{PATIENCE, World};
use crate::{Acquired, Contention, Grant, Lease, LockError, LockProvider, Sighting, Timings, Verdict, Watch};

/// A node's clock, whose calendar can be set.
pub(super) struct Calendar {
    clock: Arc<dyn Clock>,
    ahead_ms: AtomicI64,
}

impl Calendar {
    pub(super) fn step(&self, hours: i64) {
        self.ahead_ms.fetch_add(hours * 3_600_000, Ordering::SeqCst);
    }
}

impl Clock for Calendar {
    fn now(&self) -> Now {
        let Now { mono, wall } = self.clock.now();
        Now { mono, wall: WallTime(wall.0 + self.ahead_ms.load(Ordering::SeqCst)) }
    }
}

/// A node of a world.
pub(super) struct Node<'a> {
    pub(super) world: &'a dyn World,
    pub(super) calendar: Arc<Calendar>,
    provider: Box<dyn LockProvider>,
    timings: Timings,
    watch: Watch,
    /// Every call takes so much longer on its way there, and on its way back.
    pub(super) latency: Duration,
}

/// A claim that was won, with the lease that counts from before it was asked for.
#[derive(Clone, Copy)]
pub(super) struct Reign {
    pub(super) grant: Grant,
    pub(super) lease: Lease,
}

pub(super) fn timings(takeover_after_ms: u64) -> Timings {
    Timings::from_takeover_after(Duration::from_millis(takeover_after_ms)).unwrap()
}

impl<'a> Node<'a> {
    pub(super) fn new(world: &'a dyn World, name: &str, timings: Timings) -> Self {
        let calendar = Arc::new(Calendar { clock: world.clock(), ahead_ms: AtomicI64::new(0) });
        let provider = world.node(name, timings, Arc::clone(&calendar) as Arc<dyn Clock>).unwrap();
        let watch = Watch::new(&timings);
        Self { world, calendar, provider, timings, watch, latency: Duration::ZERO }
    }

    pub(super) fn now(&self) -> Instant {
        self.world.clock().now().mono
    }

    fn ask<T>(&mut self, call: impl FnOnce(&mut dyn LockProvider) -> T) -> (Instant, T) {
        let asked = self.now();
        if !self.latency.is_zero() {
            self.world.pass(self.latency);
        }
        let answer = call(&mut *self.provider);
        if !self.latency.is_zero() {
            self.world.pass(self.latency);
        }
        (asked, answer)
    }

    pub(super) fn try_look(&mut self) -> Result<Option<Sighting>, LockError> {
        self.ask(|provider| provider.look()).1
    }

    pub(super) fn look(&mut self) -> Option<Sighting> {
        self.try_look().unwrap()
    }

    /// Of a holder that is known to be there.
    pub(super) fn see(&mut self) -> Sighting {
        self.look().expect("somebody holds it")
    }

    /// A look, and what is to be done then.
    pub(super) fn judge(&mut self) -> Verdict {
        let (asked, seen) = self.ask(|provider| provider.look());
        let answered = self.now();
        self.watch.judge_look(asked, answered, seen.unwrap().as_ref())
    }

    pub(super) fn forget(&mut self) {
        self.watch.forget();
    }

    pub(super) fn try_claim(&mut self, at_least: u64, why: Contention) -> Result<Acquired, LockError> {
        let at_least = Epoch { number: at_least, ..Epoch::default() };
        self.ask(|provider| provider.try_acquire(at_least, why)).1
    }

    pub(super) fn claim(&mut self, why: Contention) -> Result<Reign, Sighting> {
        self.claim_above(0, why)
    }

    /// The sighting of whoever has it, or the reign.
    pub(super) fn claim_above(&mut self, at_least: u64, why: Contention) -> Result<Reign, Sighting> {
        let at_least = Epoch { number: at_least, ..Epoch::default() };
        let (asked, outcome) = self.ask(|provider| provider.try_acquire(at_least, why));
        match outcome.unwrap() {
            Acquired::Granted(grant) => {
                assert!(!grant.lasts.is_zero() && grant.lasts <= self.timings.lease, "{grant:?}");
                let lease = Lease::new(asked, grant.lasts, &self.timings);
                Ok(Reign { grant, lease })
            }
            Acquired::Held(sighting) => Err(sighting),
        }
    }

    /// Looks and claims as somebody new does who finds nobody there.
    pub(super) fn reign(&mut self) -> Reign {
        self.look();
        match self.claim(Contention::Vacant) {
            Ok(reign) => reign,
            Err(sighting) => panic!("held: {sighting:?}"),
        }
    }

    pub(super) fn try_renew(&mut self, reign: &mut Reign) -> Result<(), LockError> {
        let (asked, outcome) = self.ask(|provider| provider.renew(&reign.grant));
        let renewed = outcome?;
        assert_eq!(renewed.epoch, reign.grant.epoch, "a renewal is of the same epoch");
        assert!(renewed.lasts <= self.timings.lease, "{renewed:?}");
        reign.grant = renewed;
        // A machine that stood still has lost its lease, and nothing else.
        let _in_time = reign.lease.renewed(asked, self.now(), renewed.lasts);
        Ok(())
    }

    pub(super) fn renew(&mut self, reign: &mut Reign) {
        self.try_renew(reign).unwrap();
    }

    pub(super) fn release(&mut self, reign: Reign) {
        self.ask(|provider| provider.release(reign.grant)).1.unwrap();
    }

    /// Watches until it is time to claim, then claims; `None` if another one was faster.
    pub(super) fn take_over(&mut self) -> (Contention, Option<Reign>) {
        let until = self.now() + PATIENCE;
        loop {
            if let Verdict::Claim(why) = self.judge() {
                return (why, self.claim(why).ok());
            }
            assert!(self.now() < until, "nobody takes over");
            self.world.pass(self.timings.look_every);
        }
    }
}

/// Asks again until the answer is one; services that were away need a moment, and their first call may meet a session that
/// is gone.
pub(super) fn until_ok<T>(world: &dyn World, mut ask: impl FnMut() -> Result<T, LockError>) -> T {
    let until = world.clock().now().mono + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(world.clock().now().mono < until, "still not: {error}"),
        }
        world.pass(Duration::from_millis(20));
    }
}

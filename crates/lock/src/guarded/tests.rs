//! The suite of all providers for a guarded one, and what becomes of one lock without the other. On virtual time.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferromq_env::Clock;
use ferromq_env::simulated::{Fault, FaultError, OpKind, SeededEntropy, SimClock, SimDisk};

use super::*;
use crate::conformance::{Names, World, contents};
use crate::file::FileLock;
use crate::{ErrorKind, Timings, Verdict, Watch};

/// A folder for the guard and one for the store, on disks of their own.
struct Folders {
    guard: SimDisk,
    store: SimDisk,
    clock: SimClock,
    dice: Mutex<SeededEntropy>,
}

fn folders() -> Option<Folders> {
    let dice = Mutex::new(SeededEntropy::new(7));
    Some(Folders { guard: SimDisk::new(), store: SimDisk::new(), clock: SimClock::default(), dice })
}

impl Folders {
    fn lock(&self, disk: &SimDisk, name: &str, timings: Timings) -> Result<FileLock, LockError> {
        let (disk, dice) = (disk.another_process(), self.dice.lock().unwrap().split());
        FileLock::new(Arc::new(disk), Box::new(dice), Path::new("/shared"), name, timings)
    }

    fn guarded(&self, name: &str) -> Guarded {
        let timings = Timings::default();
        let lock = |disk| Box::new(self.lock(disk, name, timings).unwrap());
        Guarded::new(lock(&self.guard), lock(&self.store))
    }

    /// A node that has no guard, or another one.
    fn stranger(&self, name: &str) -> FileLock {
        self.lock(&self.store, name, Timings::default()).unwrap()
    }

    /// How long a standby that has just looked waits until it is to claim, while `meanwhile` happens at each look.
    fn wait_of(&self, standby: &mut Guarded, mut meanwhile: impl FnMut()) -> Option<Duration> {
        let (timings, began) = (Timings::default(), self.clock.now().mono);
        let mut watch = Watch::new(&timings);
        for _ in 0..1_000 {
            let seen = standby.look().unwrap();
            let now = self.clock.now().mono;
            if let Verdict::Claim(_) = watch.judge(now, seen.as_ref()) {
                return Some(now.since(began));
            }
            meanwhile();
            self.clock.advance(timings.look_every);
        }
        None
    }
}

impl World for Folders {
    fn node(
        &self,
        name: &str,
        timings: Timings,
        _clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn LockProvider>, LockError> {
        let lock = |disk| Ok::<_, LockError>(Box::new(self.lock(disk, name, timings)?));
        Ok(Box::new(Guarded::new(lock(&self.guard)?, lock(&self.store)?)))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let both = [&self.guard, &self.store].map(|disk| contents(disk, Path::new("/")));
        both.concat()
    }

    fn names(&self) -> Names {
        Names::AtTheLook
    }

    fn cut_off(&self, cut: bool) -> bool {
        self.guard.heal();
        if cut {
            self.guard.plan(Fault::for_good(OpKind::Any, 1, FaultError::Eio));
        }
        true
    }
}

crate::conformance_tests!(folders);

fn granted(lock: &mut dyn LockProvider, why: Contention) -> Grant {
    lock.look().unwrap();
    match lock.try_acquire(Epoch::default(), why).unwrap() {
        Acquired::Granted(grant) => grant,
        Acquired::Held(sighting) => panic!("held: {sighting:?}"),
    }
}

fn lives(seen: Option<Sighting>) -> bool {
    seen.is_some_and(|seen| !seen.died && !seen.released)
}

#[test]
fn a_paused_master_is_waited_for_once_and_not_once_for_each_lock() {
    let world = folders().unwrap();
    let (mut a, mut b) = (world.guarded("a"), world.guarded("b"));
    let grant = granted(&mut a, Contention::Vacant);
    a.renew(&grant).unwrap();
    let (waited, timings) = (world.wait_of(&mut b, || ()).unwrap(), Timings::default());
    assert!(waited >= timings.silence && waited <= timings.silence + timings.look_every, "{waited:?}");
    // It still has both claims, and finds out that it lost them.
    let new = granted(&mut b, Contention::OverSilence);
    assert!(new.epoch > grant.epoch);
    let error = a.renew(&grant).unwrap_err();
    assert!(matches!(error, LockError::Superseded { theirs, .. } if theirs == new.epoch), "{error}");
}

#[test]
fn whoever_can_not_renew_the_guard_shows_no_sign_of_life_in_the_store() {
    let world = folders().unwrap();
    let (mut a, mut watcher) = (world.guarded("a"), world.stranger("watcher"));
    let grant = granted(&mut a, Contention::Vacant);
    a.renew(&grant).unwrap();
    let before = watcher.look().unwrap();
    world.cut_off(true);
    let error = a.renew(&grant).unwrap_err();
    assert!(matches!(error, LockError::Guard(_)), "{error}");
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("nobody takes over"), "the consequence is told: {error}");
    assert_eq!(watcher.look().unwrap(), before);
    // An outage that is over in time is none.
    world.cut_off(false);
    assert_eq!(a.renew(&grant).unwrap().epoch, grant.epoch);
    assert_ne!(watcher.look().unwrap(), before);
}

#[test]
fn a_holder_of_the_store_without_the_guard_is_not_superseded_while_it_lives() {
    let world = folders().unwrap();
    let (mut stranger, mut b) = (world.stranger("stranger"), world.guarded("b"));
    let mut grant = granted(&mut stranger, Contention::Vacant);
    let renew = || grant = stranger.renew(&grant).unwrap();
    assert_eq!(world.wait_of(&mut b, renew), None);
    assert!(matches!(b.try_acquire(Epoch::default(), Contention::Vacant).unwrap(), Acquired::Held(_)));
    assert!(b.oddity().unwrap().contains("does that node use the same lock?"), "{:?}", b.oddity());
    // The guard was given back, so that it is in nobody's way.
    assert!(!lives(b.guard.look().unwrap()));
    drop(stranger);
    assert!(granted(&mut b, Contention::Vacant).epoch > grant.epoch);
    b.look().unwrap();
    assert_eq!(b.oddity(), None);
}

#[test]
fn a_guard_that_another_store_uses_too_is_told_of() {
    let world = folders().unwrap();
    let mut other = world.lock(&world.guard, "other", Timings::default()).unwrap();
    granted(&mut other, Contention::Vacant);
    let mut b = world.guarded("b");
    assert!(lives(b.look().unwrap()));
    assert!(b.oddity().unwrap().contains("a node of the same store?"), "{:?}", b.oddity());
    let mut holder = world.stranger("holder");
    granted(&mut holder, Contention::Vacant);
    b.look().unwrap();
    assert!(b.oddity().unwrap().contains("each store a lock of its own"), "{:?}", b.oddity());
}

#[test]
fn whoever_can_not_claim_the_store_gives_the_guard_back() {
    let world = folders().unwrap();
    let (mut a, mut b) = (world.guarded("a"), world.guarded("b"));
    a.look().unwrap();
    world.store.plan(Fault::for_good(OpKind::Any, 1, FaultError::Eio));
    let error = a.try_acquire(Epoch::default(), Contention::Vacant).unwrap_err();
    assert!(matches!(error, LockError::Io { .. }), "{error}");
    world.store.heal();
    assert_eq!(world.wait_of(&mut b, || ()), Some(Duration::ZERO));
    granted(&mut b, Contention::Vacant);
}

#[test]
fn the_loss_of_the_guard_is_certain_though_the_store_can_not_be_read() {
    let world = folders().unwrap();
    let mut a = world.guarded("a");
    let grant = granted(&mut a, Contention::Vacant);
    let mut other = world.lock(&world.guard, "other", Timings::default()).unwrap();
    granted(&mut other, Contention::OverSilence);
    world.store.plan(Fault::for_good(OpKind::Any, 1, FaultError::Eio));
    let error = a.renew(&grant).unwrap_err();
    assert!(matches!(error, LockError::Superseded { ours, .. } if ours == grant.epoch), "{error}");
}

#[test]
fn a_grant_lasts_as_long_as_the_shorter_of_both() {
    let world = folders().unwrap();
    let short = Timings::from_takeover_after(Duration::from_secs(1)).unwrap();
    for (of_guard, of_store) in [(short, Timings::default()), (Timings::default(), short)] {
        let guard = world.lock(&world.guard, "a", of_guard).unwrap();
        let mut a = Guarded::new(Box::new(guard), Box::new(world.lock(&world.store, "a", of_store).unwrap()));
        let grant = granted(&mut a, Contention::Vacant);
        assert_eq!((grant.lasts, a.renew(&grant).unwrap().lasts), (short.lease, short.lease));
        a.release(grant).unwrap();
    }
}

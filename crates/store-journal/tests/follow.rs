//! A standby: it keeps up with whatever the master does, changes nothing, and is ready at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ferromq_env::Disk;
use ferromq_env::simulated::{Crash, OpKind, SeededEntropy, SimDisk};
use ferromq_store::Budget;
use ferromq_store_journal::inspect::Inspection;
use ferromq_store_journal::{backup, mark};
use support::{Broker, Do, Paused, follow_all, follower};

/// Puts and removals as a busy queue has them.
fn busy(broker: &mut Broker, shown: &mut BTreeSet<u64>, dice: &mut SeededEntropy, rounds: u64) {
    let from = shown.last().map_or(1, |last| last + 1);
    for n in from..from + rounds {
        let mut changes = vec![Do::Put(n, 200 + dice.below(4000) as usize)];
        if shown.len() > 30 {
            let at = if dice.chance(9, 10) { 0 } else { dice.below(30) as usize };
            changes.push(Do::Remove(*shown.iter().nth(at).unwrap()));
        }
        changes.iter().for_each(|change| change.apply(shown));
        broker.commit(&changes).unwrap();
        broker.store.backend.maintain(Budget { bytes: 64 << 10 }).unwrap();
    }
}

#[test]
fn standby_writes_nothing_two_hundred_beside_a_busy_master() {
    let disk = SimDisk::new();
    let mut master = Broker::start(&disk, "master");
    master.make_queue();
    let (mut shown, mut dice) = (BTreeSet::new(), SeededEntropy::new(1));
    let mut standbys = Vec::new();
    for n in 0..200 {
        busy(&mut master, &mut shown, &mut dice, 3);
        let (changes, locks) = (disk.changes(), disk.count(OpKind::Lock));
        let mut standby = follower(Arc::new(disk.another_process()), "standby");
        standby.follow(Budget { bytes: 64 << 10 }).unwrap();
        assert_eq!(standby.seen_epoch().number, 1);
        standbys.push(standby);
        for standby in &mut standbys {
            standby.follow(Budget { bytes: 16 << 10 }).unwrap();
        }
        if n % 3 == 0 {
            standbys.remove(0);
        }
        assert_eq!(
            (disk.changes(), disk.count(OpKind::Lock)),
            (changes, locks),
            "standby {n} changed something"
        );
    }
    drop(standbys);
    busy(&mut master, &mut shown, &mut dice, 3);
    assert_eq!(master.shown(), shown);
}

#[test]
fn a_standby_that_keeps_up_reads_only_the_last_bytes_at_the_claim() {
    let disk = SimDisk::new();
    let mut master = Broker::start(&disk, "master");
    master.make_queue();
    let (mut shown, mut dice) = (BTreeSet::new(), SeededEntropy::new(2));
    let other = disk.another_process();
    let mut standby = follower(Arc::new(other), "standby");
    for _ in 0..100 {
        busy(&mut master, &mut shown, &mut dice, 10);
        standby.follow(Budget { bytes: 256 << 10 }).unwrap();
    }
    follow_all(&mut *standby);
    assert_eq!(standby.lag(), Some(0));
    drop(master);
    disk.forget_locks();
    let before = disk.count(OpKind::Read);
    let mut second = Broker::claim(standby).unwrap();
    let warm = disk.count(OpKind::Read) - before;
    assert_eq!(second.shown(), shown);
    drop(second);
    // Against a newcomer on the same store
    disk.forget_locks();
    let disk = disk.kill();
    let before = disk.count(OpKind::Read);
    let mut third = Broker::start(&disk, "third");
    let cold = disk.count(OpKind::Read) - before;
    assert_eq!(third.shown(), shown);
    assert!(warm < cold, "{warm} reads after following, {cold} without");
}

#[test]
fn a_standby_follows_through_every_change_of_masters() {
    for seed in 0..6 {
        let disk = SimDisk::seeded(seed);
        let mut dice = SeededEntropy::new(seed);
        let mut shown = BTreeSet::new();
        // Two follow: one often, one so seldom that whatever it wants to read next is gone.
        let standbys = Arc::new(Mutex::new(vec![
            follower(Arc::new(disk.another_process()), "eager"),
            follower(Arc::new(disk.another_process()), "lazy"),
        ]));
        for epoch in 1..=6 {
            let process = disk.another_process();
            let paused = Paused::new(Arc::new(process.clone()));
            let following = standbys.clone();
            let mut whim = dice.split();
            paused.before_each(move |_| {
                let mut standbys = following.lock().unwrap();
                for (standby, chance) in standbys.iter_mut().zip([3, 200]) {
                    if whim.chance(1, chance) {
                        standby.follow(Budget { bytes: 1 + whim.below(40_000) }).unwrap();
                    }
                }
            });
            let mut master = Broker::claim(follower(Arc::new(paused), "master")).unwrap();
            if epoch == 1 {
                master.make_queue();
            }
            assert_eq!(master.shown(), shown, "seed {seed}, epoch {epoch}");
            busy(&mut master, &mut shown, &mut dice, 150);
            drop(master);
            disk.forget_locks();
            drop(process.kill());
        }
        for (mut standby, epoch) in standbys.lock().unwrap().drain(..).zip(6..) {
            follow_all(&mut *standby);
            assert_eq!(standby.seen_epoch().number, epoch);
            let mut master = Broker::claim(standby).unwrap();
            assert_eq!(master.shown(), shown, "seed {seed}");
            drop(master);
            disk.forget_locks();
        }
    }
}

#[test]
fn what_was_followed_of_a_torn_tail_counts_for_nothing() {
    // The machine of the master loses power: of what a standby has read, some was never safe.
    let mut lost = 0;
    for seed in 0..200 {
        let disk = SimDisk::seeded(seed);
        let mut master = Broker::start(&disk, "master");
        master.make_queue();
        let mut dice = SeededEntropy::new(seed);
        let mut states = vec![BTreeSet::new()];
        let node = Paused::new(Arc::new(disk.another_process()));
        let mut standby = follower(Arc::new(node.clone()), "standby");
        for n in 1..=20 {
            master.commit(&[Do::Put(n, 1000)]).unwrap();
            states.push((1..=n).collect());
        }
        let acknowledged = states.len() - 1;
        // Written, not synced, and read by the standby
        disk.plan(ferromq_env::simulated::Fault::for_good(
            OpKind::Sync,
            1,
            ferromq_env::simulated::FaultError::Eio,
        ));
        let last = 20 + 1 + dice.below(4);
        let changes: Vec<_> = (21..=last).map(|n| Do::Put(n, 3000)).collect();
        master.commit(&changes).unwrap_err();
        states.push((1..=last).collect());
        follow_all(&mut *standby);
        disk.heal();
        drop(master);
        // The storage restarts; the standby, on another machine, lives on with what it has read.
        let disk = disk.crash(Crash::Seeded(seed));
        node.switch(Arc::new(disk.clone()));
        let mut second = Broker::claim(standby).unwrap();
        let shown = second.shown();
        assert!(states[acknowledged..].contains(&shown), "seed {seed}");
        lost += u32::from(shown.len() < states.last().unwrap().len());
        second.commit(&[Do::Put(100, 10)]).unwrap();
        drop(second);
        let mut third = Broker::start(&disk.crash(Crash::LoseUnsynced), "third");
        assert_eq!(third.shown(), shown.into_iter().chain([100]).collect(), "seed {seed}");
    }
    assert!(lost > 20, "the standby had read what was lost: {lost}");
}

#[test]
fn the_lag_is_told_while_a_standby_catches_up() {
    let disk = SimDisk::new();
    let mut master = Broker::start(&disk, "master");
    master.make_queue();
    for n in 1..=100 {
        master.commit(&[Do::Put(n, 10_000)]).unwrap();
    }
    let mut standby = follower(Arc::new(disk.another_process()), "standby");
    assert_eq!(standby.lag(), None, "nothing is known before it was followed");
    let mut position = standby.follow(Budget { bytes: 1 }).unwrap();
    let mut lag = standby.lag().unwrap();
    assert!(lag > 800_000, "at most so much is left, never less: {lag}");
    while lag > 0 {
        let next = standby.follow(Budget { bytes: 64 << 10 }).unwrap();
        let less = standby.lag().unwrap();
        assert!(next >= position && less < lag);
        (position, lag) = (next, less);
    }
}

#[test]
fn a_standby_of_nothing_waits_for_a_store_to_appear() {
    let disk = SimDisk::new();
    let mut standby = follower(Arc::new(disk.another_process()), "standby");
    for _ in 0..3 {
        standby.follow(Budget { bytes: 1000 }).unwrap();
        assert_eq!(standby.seen_epoch().number, 0);
    }
    let mut master = Broker::start(&disk, "master");
    master.make_queue();
    master.commit(&[Do::Put(1, 10)]).unwrap();
    follow_all(&mut *standby);
    assert_eq!(standby.seen_epoch().number, 1);
    // Somebody else has it: the standby comes back and follows on.
    let epoch = ferromq_model::Epoch { number: 2, claim: ferromq_model::ClaimId(9) };
    let (mut standby, error) = standby.claim(epoch).err().unwrap();
    assert!(error.to_string().contains("master"), "{error}");
    master.commit(&[Do::Put(2, 10)]).unwrap();
    follow_all(&mut *standby);
    drop(master);
    disk.forget_locks();
    assert_eq!(Broker::claim(standby).unwrap().shown(), BTreeSet::from([1, 2]));
}

#[test]
fn a_backup_of_a_running_store_is_whole_and_says_how_old_it_is() {
    let disk = SimDisk::new();
    let paused = Paused::new(Arc::new(disk.another_process()));
    let mut master = Broker::start(&disk, "master");
    master.make_queue();
    let (mut shown, mut dice) = (BTreeSet::new(), SeededEntropy::new(5));
    busy(&mut master, &mut shown, &mut dice, 400);
    // Given a master that works between any two operations of the copy
    let working = Arc::new(Mutex::new((master, shown.clone(), dice)));
    let at_work = working.clone();
    paused.before_each(move |number| {
        if number % 4 == 0 {
            let (master, shown, dice) = &mut *at_work.lock().unwrap();
            busy(master, shown, dice, 2);
        }
    });
    let copier: Arc<dyn Disk> = Arc::new(paused.clone());
    let made = backup(&copier, Path::new("/store"), Path::new("/copy")).unwrap();
    paused.before_each(|_| ());
    // Then the copy is a store of the same id, behind the one it was made of.
    assert_eq!(made.id, mark(&disk, Path::new("/store")).unwrap().unwrap().id);
    assert!(made.id.is_some() && made.epoch.number == 1 && made.messages > 0 && made.bytes > 100_000);
    let other: Arc<dyn Disk> = Arc::new(disk.another_process());
    let live = Inspection::open(other.clone(), Path::new("/store")).unwrap();
    assert!(live.position() > made.position, "and the live one has gone on");
    // It holds what a moment of the copy's time showed: all that was there before and not removed since.
    let copied = Inspection::open(other.clone(), Path::new("/copy")).unwrap();
    let mut found = BTreeSet::new();
    copied
        .cat(&ferromq_model::Destination::queue("orders"), ferromq_model::Sequence(0), |sequence, loaded| {
            assert!(matches!(loaded, ferromq_store::Loaded::Message(_)), "{loaded:?}");
            found.insert(sequence.0);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let now = working.lock().unwrap().1.clone();
    assert!(found.last() >= shown.last(), "everything that was durable before is in it");
    let both = shown.intersection(&now);
    assert!(
        both.copied().all(|n| found.contains(&n)),
        "{shown:?} then, {now:?} now, and {found:?} in the copy"
    );
    // A second one into the same folder is refused, and nothing is overwritten.
    assert!(backup(&other, Path::new("/store"), Path::new("/copy")).is_err());
}

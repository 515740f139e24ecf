//! Failing syncs, failing operations, a full disk, space that comes back.

use ferromq_env::simulated::{Crash, Fault, FaultError, OpKind};

use super::run::Run;
use super::script::{house, put, remove};
use super::world::Worlds;
use crate::{Budget, ErrorKind};

/// After an fsync error nothing completes any more, and what was acknowledged before is there.
pub fn a_failed_sync_is_final(worlds: Worlds<'_>) {
    for crash in [Crash::LoseUnsynced, Crash::KeepAll, Crash::Seeded(1), Crash::Seeded(2)] {
        let mut world = worlds();
        let mut run = Run::begin(&mut *world);
        run.commit(house());
        run.commit(vec![put(1, 100)]);
        let Some(disk) = world.disk() else { return };
        disk.plan(Fault::once(OpKind::Sync, 1, FaultError::Eio));
        let error = run.try_commit(vec![put(2, 100)]).expect_err("the sync failed");
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        let again = run.try_commit(vec![put(3, 100)]).expect_err("a second sync proves nothing");
        assert_eq!(again.kind(), ErrorKind::Storage, "{again}");
        assert!(run.backend.maintain(Budget { bytes: 1 << 20 }).is_err(), "nor does maintenance");
        let legal = run.legal();
        drop(run);
        let disk = world.disk().expect("asked before");
        *disk = disk.crash(crash);
        let _ = Run::resume(&mut *world, &legal);
    }
}

/// Any single operation of the medium fails, while opening or later: what was acknowledged is there afterwards.
pub fn a_failed_operation_loses_nothing_acknowledged(worlds: Worlds<'_>) {
    for error in [FaultError::Eio, FaultError::Enospc] {
        for nth in 1..150 {
            let mut world = worlds();
            let Some(disk) = world.disk() else { return };
            disk.plan(Fault::once(OpKind::Any, nth, error));
            let mut legal = vec![crate::memory::Contents::default()];
            if let Ok(mut run) = Run::try_begin(&mut *world) {
                for step in 0..12u64 {
                    let ops = if step == 0 { house() } else { vec![put(step, 3000), remove(step / 2)] };
                    let done = run.try_commit(ops);
                    legal = run.legal();
                    let maintained = run.backend.maintain(Budget { bytes: 1 << 20 });
                    if done.is_err() || maintained.is_err() {
                        break;
                    }
                }
            }
            let disk = world.disk().expect("asked before");
            disk.heal();
            *disk = disk.crash(Crash::Seeded(nth));
            let _ = Run::resume(&mut *world, &legal);
        }
    }
}

/// A store without room says so in time, takes acknowledgements on, and has room again afterwards.
pub fn a_full_store_takes_acknowledgements(worlds: Worlds<'_>) {
    let mut world = worlds();
    if !world.shrink() {
        return;
    }
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    assert!(run.maintain().free > 0, "there is room in the beginning");
    let mut filled = 0;
    while run.maintain().free > 0 {
        filled += 1;
        assert!(filled < 100_000, "it never gets full");
        run.commit(vec![put(filled, 8000)]);
    }
    assert!(filled > 10, "some megabytes must fit, and {filled} messages of 8,000 bytes did");
    run = run.reopen(&mut *world);
    assert_eq!(run.maintain().free, 0, "still full after a restart");
    for n in 1..=filled {
        run.commit(vec![remove(n)]);
        if n % 16 == 0 {
            run.maintain();
        }
    }
    let space = run.maintain();
    assert!(space.free > 0, "all was acknowledged, and still there is no room: {space:?}");
    run.commit(vec![put(filled + 1, 8000)]);
    let _ = run.reopen(&mut *world);
}

/// The space of what is gone comes back: many times what is live passes through, and the store stays small.
pub fn space_is_reclaimed(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    // A few messages stay for ever among all the others, so that no segment is ever quite empty.
    let mut kept = 0u64;
    for round in 0..400u64 {
        let base = round * 40 + 1;
        run.commit((base..base + 40).map(|n| put(n, 4000)).collect());
        run.commit((base + u64::from(round % 10 == 0)..base + 40).map(remove).collect());
        kept += u64::from(round % 10 == 0);
        run.backend.maintain(Budget { bytes: 1 << 20 }).unwrap();
    }
    let space = run.maintain();
    let live = kept * 5000;
    if let Some(bound) = world.bound(live) {
        assert!(space.used <= bound, "{} bytes used for {kept} messages, {bound} promised", space.used);
    }
    run.check_reader();
    let _ = run.reopen(&mut *world);
}

//! Many who want it at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::node::{Node, timings};
use super::{PATIENCE, Worlds};
use crate::Contention;

const ACQUISITIONS: u64 = 1_000;
const NODES: usize = 4;

/// A thousand claims in a row, each by whoever is faster: never two holders, and every epoch above all before it.
pub fn a_thousand_acquisitions_in_contention(world: Worlds<'_>) {
    let (held, won, highest) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let begin = Barrier::new(NODES);
    let (held, won, highest, begin) = (&held, &won, &highest, &begin);
    let by_node: Vec<u64> = thread::scope(|scope| {
        let contenders: Vec<_> = (0..NODES)
            .map(|number| {
                scope.spawn(move || {
                    // Nobody's lease ends meanwhile, however slow the machine is.
                    let mut node = Node::new(world, &format!("n{number}"), timings(600_000));
                    begin.wait();
                    let (mut own, mut progress) = (0, (0, Instant::now()));
                    while won.load(Ordering::SeqCst) < ACQUISITIONS {
                        let so_far = won.load(Ordering::SeqCst);
                        if so_far != progress.0 {
                            progress = (so_far, Instant::now());
                        }
                        assert!(progress.1.elapsed() < PATIENCE, "nobody gets it any longer, after {so_far}");
                        node.look();
                        let Ok(mut reign) = node.claim(Contention::Vacant) else { continue };
                        assert!(!held.swap(true, Ordering::SeqCst), "two holders");
                        let number = reign.grant.epoch.number;
                        let before = highest.fetch_max(number, Ordering::SeqCst);
                        assert!(before < number, "epoch {number} came after {before}");
                        // Others have their chance, and nobody claims over the living.
                        thread::yield_now();
                        node.renew(&mut reign);
                        own += 1;
                        won.fetch_add(1, Ordering::SeqCst);
                        held.store(false, Ordering::SeqCst);
                        node.release(reign);
                    }
                    own
                })
            })
            .collect();
        contenders.into_iter().map(|contender| contender.join().unwrap()).collect()
    });
    assert_eq!(by_node.iter().sum::<u64>(), won.load(Ordering::SeqCst));
    assert!(won.load(Ordering::SeqCst) >= ACQUISITIONS, "{by_node:?}");
}

//! Measures what a takeover costs the store: fills one on this machine's disk, lets a standby follow, ends the master
//! and times the claim, after following for long, for a moment, and not at all. Then the fence check beside the sync.
//!
//! `cargo run --release -p ferromq-store-journal --example takeover -- FOLDER MESSAGES`

#![allow(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ferromq_env::{SystemClock, SystemDisk};
use ferromq_model::{
    ClaimId, Destination, DestinationId, Epoch, Message, MessageId, ProducerId, Sequence, Ticket,
};
use ferromq_store::{Budget, Claimed, Follower, Histogram, StoreError, StoreOp, Sync, WriteBatch};
use ferromq_store_journal::{Options, open};

const QUEUE: DestinationId = DestinationId(1);
const BUDGET: Budget = Budget { bytes: 1 << 20 };

fn standby(folder: &Path) -> Result<Box<dyn Follower>, StoreError> {
    open(Arc::new(SystemDisk), Arc::new(SystemClock), folder, Options::default())
}

fn claim(follower: Box<dyn Follower>) -> Result<Claimed, StoreError> {
    let epoch = Epoch { number: follower.seen_epoch().number + 1, claim: ClaimId(1) };
    follower.claim(epoch).map_err(|(_, error)| error)
}

fn put(sequence: u64, body: &Bytes) -> StoreOp {
    let producer = ProducerId::new("ID:bench-1".into(), 1, 1);
    let id = MessageId::new(producer, i64::try_from(sequence).unwrap_or(0));
    let mut message = Message::new(id, Destination::queue("orders"));
    message.persistent = true;
    message.body = Some(body.clone());
    StoreOp::PutMessage {
        destination: QUEUE,
        sequence: Sequence(sequence),
        message: Arc::new(message),
        subscriptions: Vec::new(),
        dedup: true,
        exposed: false,
    }
}

/// A master that writes.
struct Master {
    store: Claimed,
    ticket: u64,
    next: u64,
    body: Bytes,
}

impl Master {
    fn new(store: Claimed, next: u64) -> Self {
        Self { store, ticket: 0, next, body: Bytes::from(vec![7; 1024]) }
    }

    fn commit(&mut self, ops: Vec<StoreOp>) -> Result<(), StoreError> {
        self.ticket += 1;
        let epoch = self.store.recovered.epoch;
        let batch = WriteBatch { epoch, ticket: Ticket(self.ticket), ops, sync: Sync::Required };
        self.store.backend.commit(&[batch], false).map(drop)
    }

    fn fill(&mut self, count: u64, group: u64, mut between: impl FnMut()) -> Result<(), StoreError> {
        let end = self.next + count;
        while self.next < end {
            let upto = (self.next + group).min(end);
            let ops = (self.next..upto).map(|n| put(n, &self.body)).collect();
            self.next = upto;
            self.commit(ops)?;
            self.store.backend.maintain(BUDGET)?;
            between();
        }
        Ok(())
    }
}

fn median(histogram: &Histogram) -> u64 {
    let half = histogram.count().div_ceil(2);
    let mut seen = 0;
    let found = histogram.buckets().find(|(_, count)| {
        seen += count;
        seen >= half
    });
    found.map_or(0, |(border, _)| border)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let messages: u64 = arguments.next().as_deref().unwrap_or("1000000").parse()?;
    let folder = Path::new(&folder);
    let mut master = Master::new(claim(standby(folder)?)?, 1);
    master.commit(vec![StoreOp::PutDestination { id: QUEUE, destination: Destination::queue("orders") }])?;
    let mut eager = standby(folder)?;
    let begun = Instant::now();
    master.fill(messages, 500, || {
        let _ = eager.follow(BUDGET);
    })?;
    println!("{messages} messages of 1 KiB in {:?}, followed meanwhile", begun.elapsed());

    // Syncs of single messages, with a fence check each.
    master.fill(2000, 1, || ())?;
    if let Some(metrics) = master.store.backend.metrics() {
        let mean = |h: &Histogram| Duration::from_nanos(h.sum_ns() / h.count().max(1));
        println!(
            "sync: {} times, mean {:?}, p50 < {} ns; fence: {} times, mean {:?}, p50 < {} ns",
            metrics.sync.count(),
            mean(&metrics.sync),
            median(&metrics.sync),
            metrics.fence.count(),
            mean(&metrics.fence),
            median(&metrics.fence),
        );
    }
    for kind in ["followed for long", "followed a moment", "not followed"] {
        let mut follower = match kind {
            "followed for long" => std::mem::replace(&mut eager, standby(folder)?),
            _ => standby(folder)?,
        };
        // The last thing before the end is some work that the standby has not read.
        if kind == "followed for long" {
            while follower.lag() != Some(0) {
                follower.follow(BUDGET)?;
            }
            follower.follow(Budget { bytes: u64::MAX })?;
        }
        master.fill(200, 20, || ())?;
        if kind == "followed a moment" {
            follower.follow(BUDGET)?;
        }
        let next = master.next;
        drop(master);
        let begun = Instant::now();
        let claimed = claim(follower)?;
        let took = begun.elapsed();
        let found = claimed.recovered.destinations.first().map_or(0, |found| found.messages);
        println!("{kind}: claim, scan and seal took {took:?}; {found} messages");
        master = Master::new(claimed, next);
        // A checkpoint's worth of journal less one step: the worst case for whoever has nothing ready.
        master.fill(55_000, 500, || ())?;
    }
    Ok(())
}

//! How fast the store is on this machine: group commits, starts, loads.
//!
//! `cargo run --release -p ferromq-store-journal --example throughput -- FOLDER [MESSAGES] [GROUP]`

#![allow(clippy::unwrap_used, reason = "an example that measures")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ferromq_env::{SystemClock, SystemDisk};
use ferromq_model::{
    ClaimId, Destination, DestinationId, Epoch, Message, MessageId, ProducerId, Sequence, Ticket,
};
use ferromq_store::{Budget, Claimed, Histogram, MessageRef, PageRequest, StoreOp, Sync, WriteBatch};
use ferromq_store_journal::{FsyncPolicy, Options, open};

const QUEUE: DestinationId = DestinationId(1);

fn start(folder: &std::path::Path, fsync: FsyncPolicy) -> Claimed {
    let options = Options { fsync, ..Options::default() };
    let follower = open(Arc::new(SystemDisk), Arc::new(SystemClock), folder, options).unwrap();
    let number = follower.seen_epoch().number + 1;
    follower.claim(Epoch { number, claim: ClaimId(number) }).map_err(|(_, error)| error).unwrap()
}

/// The mean, and between which powers of two half of them lies.
fn tell(what: &str, times: &Histogram) {
    let mut seen = 0;
    let half = times.buckets().find(|(_, count)| {
        seen += count;
        seen * 2 >= times.count()
    });
    let below = half.map_or(0, |(below, _)| below);
    let mean = times.sum_ns() / times.count().max(1);
    println!("{what}: {} times, p50 {} to {below} ns, mean {mean} ns", times.count(), below / 2);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| String::from("/tmp/ferromq-throughput")));
    let messages: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let group: u64 = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(16);
    let fsync = if arguments.next().is_some() { FsyncPolicy::Never } else { FsyncPolicy::Always };

    let begun = Instant::now();
    let mut store = start(&folder, fsync);
    println!(
        "start: {:?}, {} messages",
        begun.elapsed(),
        store.recovered.destinations.iter().map(|d| d.messages).sum::<u64>()
    );
    let first = store.recovered.next_sequence.0;
    let epoch = store.recovered.epoch;
    let mut ticket = 0;
    let mut batch = |ops| {
        ticket += 1;
        WriteBatch { epoch, ticket: Ticket(ticket), ops, sync: Sync::Required }
    };
    if first == 1 {
        let ops = vec![StoreOp::PutDestination { id: QUEUE, destination: Destination::queue("orders") }];
        store.backend.commit(&[batch(ops)], false).unwrap();
    }
    let body = Bytes::from(vec![7; std::env::var("BODY").ok().and_then(|n| n.parse().ok()).unwrap_or(1024)]);
    let producers: Vec<_> = (0..16).map(|n| ProducerId::new("ID:host-1-2-3:1".into(), 1, n)).collect();
    let mut committing = std::time::Duration::ZERO;
    let begun = Instant::now();
    for round in 0..messages / group {
        let puts = (0..group).map(|n| {
            let sequence = first + round * group + n;
            let producer = producers[(n % 16) as usize].clone();
            let id = MessageId::new(producer, (sequence / 16) as i64 + 1);
            let mut message = Message::new(id, Destination::queue("orders"));
            message.persistent = true;
            message.body = Some(body.clone());
            StoreOp::PutMessage {
                destination: QUEUE,
                sequence: Sequence(sequence),
                message: Arc::new(message),
                subscriptions: Vec::new(),
                dedup: true,
                exposed: true,
            }
        });
        let batches: Vec<_> = puts.map(|op| batch(vec![op])).collect();
        let begun = Instant::now();
        store.backend.commit(&batches, false).unwrap();
        committing += begun.elapsed();
        if (round * group) % 4096 < group {
            store.backend.maintain(Budget { bytes: 1 << 20 }).unwrap();
        }
    }
    let took = begun.elapsed();
    println!(
        "{messages} messages in groups of {group}: {:.0} a second, {:.0} µs a group, {:.2} µs a message in commit",
        messages as f64 / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / (messages / group) as f64,
        committing.as_secs_f64() * 1e6 / messages as f64,
    );
    if let Some(metrics) = store.backend.metrics() {
        tell("sync", &metrics.sync);
        tell("fence check", &metrics.fence);
    }
    let begun = Instant::now();
    let page = PageRequest::Queue { destination: QUEUE, after: Sequence(first - 1), limit: 10_000 };
    let wanted: Vec<_> = store.reader.page(page).unwrap();
    let wanted: Vec<_> =
        wanted.iter().map(|entry| MessageRef { destination: QUEUE, sequence: entry.sequence }).collect();
    let loaded: usize = wanted.chunks(256).map(|some| store.reader.load(some).unwrap().len()).sum();
    println!("loaded {loaded} in {:?}", begun.elapsed());
    let begun = Instant::now();
    store.backend.close().unwrap();
    println!("close: {:?}", begun.elapsed());
}

//! Big, many, and at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferromq_model::{Destination, DestinationId, Message, Sequence};

use super::run::Run;
use super::script::{QUEUE, house, message, producer, put, put_in, remove};
use super::world::Worlds;
use crate::{Loaded, MessageRef, PageRequest, ProducerWindows, StoreOp};

/// Bodies beyond every buffer and segment.
pub fn big_messages(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    for (sequence, bytes) in (1..).zip([1 << 20, 4 << 20, (4 << 20) + 1, 40 << 20, 0, 1 << 16, (1 << 16) - 1])
    {
        run.commit(vec![put(sequence, bytes)]);
    }
    run.check_reader();
    let mut run = run.reopen(&mut *world);
    run.commit(vec![remove(1), remove(4)]);
    run.maintain();
    let _ = run.reopen(&mut *world);
}

/// Fills and drains a queue of a hundred thousand, a thousand to the batch.
pub fn a_hundred_thousand_messages(worlds: Worlds<'_>) {
    const ALL: u64 = 100_000;
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    let shared: Arc<Message> = Arc::new(message(&Destination::queue("orders"), 1, 1, 20));
    for chunk in 0..ALL / 1000 {
        let ops = (1..=1000).map(|n| StoreOp::PutMessage {
            destination: QUEUE,
            sequence: Sequence(chunk * 1000 + n),
            message: Arc::clone(&shared),
            subscriptions: Vec::new(),
            dedup: false,
            exposed: false,
        });
        run.commit(ops.collect());
        run.backend.maintain(crate::Budget { bytes: 1 << 20 }).unwrap();
    }
    run = run.reopen(&mut *world);
    let state = &run.recovered.destinations[0];
    assert_eq!((state.messages, state.bytes), (ALL, ALL * shared.charge() as u64));
    for chunk in 0..ALL / 1000 {
        run.commit((1..=1000).map(|n| remove(chunk * 1000 + n)).collect());
        if chunk % 10 == 0 {
            run.maintain();
        }
    }
    run.maintain();
    let run = run.reopen(&mut *world);
    let state = &run.recovered.destinations[0];
    assert_eq!((state.messages, state.bytes), (0, 0));
    assert_eq!(run.recovered.next_sequence, Sequence(ALL + 1));
}

/// Three thousand queues with a message each.
pub fn many_destinations(worlds: Worlds<'_>) {
    const ALL: u64 = 3000;
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    let make = (1..=ALL).map(|id| StoreOp::PutDestination {
        id: DestinationId(id),
        destination: Destination::queue(&format!("queue.{id}")),
    });
    run.commit(make.collect());
    run.commit((1..=ALL).map(|id| put_in(DestinationId(id), "queue", id, 10)).collect());
    run.maintain();
    let mut run = run.reopen(&mut *world);
    assert_eq!(run.recovered.destinations.len() as u64, ALL);
    run.commit((1..ALL).map(|id| StoreOp::DropDestination { id: DestinationId(id) }).collect());
    run.check_reader();
    let _ = run.reopen(&mut *world);
}

/// More producers than are remembered: the latest are, the first are forgotten, and it costs no message.
pub fn many_producers(worlds: Worlds<'_>) {
    let all = ProducerWindows::LIMIT as i64 + 500;
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    for first in (0..all).step_by(1000) {
        let noted = (first..all.min(first + 1000))
            .map(|value| StoreOp::Dedup { producer: producer(value), sequence: value });
        run.commit(noted.collect());
    }
    run.commit(vec![StoreOp::Dedup { producer: producer(600), sequence: 601 }]);
    run.maintain();
    let run = run.reopen(&mut *world);
    let windows = ProducerWindows::from_recovered(run.recovered.producers.iter().cloned());
    assert_eq!(windows.len(), ProducerWindows::LIMIT);
    assert!(!windows.contains(&producer(499), 499) && windows.contains(&producer(500), 500));
    assert!(windows.contains(&producer(600), 600) && windows.contains(&producer(600), 601));
    let latest = run.recovered.producers.last().map(|window| window.producer.clone());
    assert_eq!(latest, Some(producer(600)), "least recently used first");
}

/// A reader on another thread sees whole messages in order, never an error, while batches and maintenance go on.
pub fn reading_while_writing(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit((1..=100).map(|n| put(n, 1000)).collect());
    let done = AtomicBool::new(false);
    let Run { mut reader, .. } = run;
    let (reads, mut backend) = {
        let mut backend = run.backend;
        let epoch = run.epoch;
        let done = &done;
        let reads = std::thread::scope(|scope| {
            let counter = scope.spawn(move || {
                let mut reads = 0;
                while !done.load(Ordering::Acquire) || reads == 0 {
                    reads += read_some(&mut *reader);
                }
                reads
            });
            for (ticket, n) in (3..).zip(101..600) {
                let batch = crate::WriteBatch {
                    epoch,
                    ticket: ferromq_model::Ticket(ticket),
                    ops: vec![put(n, 1000), remove(n - 100)],
                    sync: crate::Sync::Required,
                };
                backend.commit(&[batch], false).unwrap();
                if n % 10 == 0 {
                    backend.maintain(crate::Budget { bytes: 1 << 20 }).unwrap();
                }
            }
            done.store(true, Ordering::Release);
            counter.join().unwrap()
        });
        (reads, backend)
    };
    assert!(reads > 0);
    backend.commit(&[], true).unwrap();
    backend.close().unwrap();
}

fn read_some(reader: &mut dyn crate::StoreReader) -> usize {
    let wanted = PageRequest::Queue { destination: QUEUE, after: Sequence(0), limit: 50 };
    let page = reader.page(wanted).unwrap();
    assert!(page.is_sorted_by(|a, b| a.sequence < b.sequence));
    let wanted: Vec<MessageRef> =
        page.iter().map(|entry| MessageRef { destination: QUEUE, sequence: entry.sequence }).collect();
    let loaded = reader.load(&wanted).unwrap();
    for (wanted, loaded) in wanted.iter().zip(&loaded) {
        match loaded {
            Loaded::Message(found) => {
                assert_eq!(found.id.sequence as u64, wanted.sequence.0);
                assert_eq!(found.body, message(&found.destination, 1, found.id.sequence, 1000).body);
            }
            Loaded::Gone => {}
            Loaded::Damaged(reason) => panic!("{reason}"),
        }
    }
    loaded.len()
}

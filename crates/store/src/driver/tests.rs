//! The driver against a backend that does as it is told, step by step.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ferromq_model::{ClaimId, Epoch};

use super::*;
use crate::{
    Budget, Durable, Follower, Maintenance, MemoryStore, MessageRef, PageRequest, Space, StoreBackend,
    StoreError, Sync, WriteBatch,
};
use ferromq_model::{DestinationId, Sequence, Ticket};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the driver asked of the backend.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Commit { tickets: Vec<u64>, force: bool },
    Maintain,
    Close,
}

/// Reports each call and waits for the answer.
struct Scripted {
    calls: Sender<Call>,
    answers: Receiver<Answer>,
    last: Ticket,
    gate_maintenance: bool,
}

enum Answer {
    Done,
    Fail,
    More,
}

impl StoreBackend for Scripted {
    fn commit(&mut self, batches: &[WriteBatch], force: bool) -> Result<Option<Durable>, StoreError> {
        let tickets = batches.iter().map(|batch| batch.ticket.0).collect();
        self.last = batches.last().map_or(self.last, |batch| batch.ticket);
        self.calls.send(Call::Commit { tickets, force }).unwrap();
        if matches!(self.answers.recv_timeout(PATIENCE).unwrap(), Answer::Fail) {
            let source = std::io::Error::other("the disk is gone");
            return Err(StoreError::Io { action: "sync", path: "/log".to_owned(), source });
        }
        let wanted = force || batches.iter().any(|batch| batch.sync == Sync::Required);
        Ok(wanted.then(|| Durable::after_sync_and_fence_check(self.last)))
    }

    fn maintain(&mut self, budget: Budget) -> Result<Maintenance, StoreError> {
        if !self.gate_maintenance {
            return Ok(Maintenance::default());
        }
        self.calls.send(Call::Maintain).unwrap();
        let more = matches!(self.answers.recv_timeout(PATIENCE).unwrap(), Answer::More);
        Ok(Maintenance { more, space: Space { used: budget.bytes.min(1), free: 5, live: 0 } })
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.calls.send(Call::Close).unwrap();
        Ok(())
    }
}

struct Bench {
    driver: Driver,
    calls: Receiver<Call>,
    answers: Sender<Answer>,
    events: Receiver<DriverEvent>,
}

fn bench(settings: DriverSettings, gate_maintenance: bool) -> Bench {
    let (call_sender, calls) = channel();
    let (answers, answer_receiver) = channel();
    let (event_sender, events) = channel();
    let backend =
        Scripted { calls: call_sender, answers: answer_receiver, last: Ticket(0), gate_maintenance };
    let driver =
        Driver::start(Box::new(backend), settings, move |event| drop(event_sender.send(event))).unwrap();
    Bench { driver, calls, answers, events }
}

/// Nothing happens by the clock alone.
fn patient() -> DriverSettings {
    DriverSettings { lazy_within: PATIENCE * 10, look_every: PATIENCE * 10, ..DriverSettings::default() }
}

impl Bench {
    fn submit(&self, ticket: u64, sync: Sync) {
        self.driver.handle().submit(batch(ticket, sync)).unwrap();
    }

    fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).unwrap()
    }

    fn answer(&self, answer: Answer) {
        self.answers.send(answer).unwrap();
    }

    fn persisted(&self) -> u64 {
        loop {
            match self.events.recv_timeout(PATIENCE).unwrap() {
                DriverEvent::Persisted { upto } => return upto.0,
                DriverEvent::Space(_) => {}
                DriverEvent::Failed(error) => panic!("{error}"),
            }
        }
    }
}

fn batch(ticket: u64, sync: Sync) -> WriteBatch {
    let epoch = Epoch { number: 1, claim: ClaimId(1) };
    WriteBatch { epoch, ticket: Ticket(ticket), ops: Vec::new(), sync }
}

fn commit(tickets: impl IntoIterator<Item = u64>, force: bool) -> Call {
    Call::Commit { tickets: tickets.into_iter().collect(), force }
}

#[test]
fn what_arrives_during_a_sync_is_the_next_group() {
    let bench = bench(patient(), false);
    bench.submit(1, Sync::Required);
    assert_eq!(bench.call(), commit([1], false), "the first does not wait for company");
    for ticket in 2..=50 {
        bench.submit(ticket, Sync::Required);
    }
    bench.answer(Answer::Done);
    assert_eq!(bench.persisted(), 1);
    assert_eq!(bench.call(), commit(2..=50, false));
    bench.answer(Answer::Done);
    assert_eq!(bench.persisted(), 50);
}

#[test]
fn groups_are_bounded() {
    let bench = bench(DriverSettings { group_batches: 3, ..patient() }, false);
    bench.submit(1, Sync::Required);
    assert_eq!(bench.call(), commit([1], false));
    (2..=8).for_each(|ticket| bench.submit(ticket, Sync::Required));
    for group in [2..=4, 5..=7, 8..=8] {
        bench.answer(Answer::Done);
        assert_eq!(bench.call(), commit(group, false));
    }
    bench.answer(Answer::Done);
    assert_eq!([bench.persisted(), bench.persisted(), bench.persisted(), bench.persisted()], [1, 4, 7, 8]);
}

#[test]
fn too_many_waiting_batches_are_given_back() {
    let bench = bench(DriverSettings { waiting_batches: 2, ..patient() }, false);
    bench.submit(1, Sync::Required);
    assert_eq!(bench.call(), commit([1], false));
    let handle = bench.driver.handle();
    handle.try_submit(batch(2, Sync::Lazy)).unwrap();
    handle.try_submit(batch(3, Sync::Lazy)).unwrap();
    let Err(SubmitError::Full(back)) = handle.try_submit(batch(4, Sync::Lazy)) else {
        panic!("it was taken")
    };
    assert_eq!(back.ticket, Ticket(4));
    bench.answer(Answer::Done);
    assert_eq!(bench.call(), commit([2, 3], false));
    bench.answer(Answer::Done);
    handle.submit(back).unwrap();
    assert_eq!(bench.call(), commit([4], false));
    bench.answer(Answer::Done);
}

#[test]
fn a_lazy_batch_is_written_at_once_and_synced_within_its_bound() {
    let bench = bench(DriverSettings { lazy_within: Duration::from_millis(5), ..patient() }, false);
    bench.submit(1, Sync::Lazy);
    assert_eq!(bench.call(), commit([1], false));
    bench.answer(Answer::Done);
    assert_eq!(bench.call(), commit([], true), "nobody else asked for a sync");
    bench.answer(Answer::Done);
    assert_eq!(bench.persisted(), 1);
}

#[test]
fn a_lazy_batch_is_covered_by_the_next_required_one() {
    let bench = bench(patient(), false);
    bench.submit(1, Sync::Lazy);
    assert_eq!(bench.call(), commit([1], false));
    bench.answer(Answer::Done);
    bench.submit(2, Sync::Required);
    assert_eq!(bench.call(), commit([2], false));
    bench.answer(Answer::Done);
    assert_eq!(bench.persisted(), 2);
    assert!(bench.calls.try_recv().is_err(), "no further sync is needed");
}

#[test]
fn after_a_failed_sync_nothing_completes() {
    let bench = bench(patient(), false);
    let handle = bench.driver.handle();
    bench.submit(1, Sync::Required);
    bench.submit(2, Sync::Required);
    bench.call();
    bench.submit(3, Sync::Required);
    bench.answer(Answer::Fail);
    let failed = loop {
        match bench.events.recv_timeout(PATIENCE).unwrap() {
            DriverEvent::Failed(error) => break error,
            DriverEvent::Space(_) => {}
            DriverEvent::Persisted { upto } => panic!("{upto:?} completed"),
        }
    };
    assert!(failed.to_string().contains("/log"), "{failed}");
    assert_eq!(handle.submit(batch(4, Sync::Required)), Err(Stopped));
    bench.driver.close().unwrap();
    assert!(bench.events.recv_timeout(PATIENCE).is_err(), "the failure was the last event");
    assert!(bench.calls.try_recv().is_err(), "a store that failed is neither written nor closed");
}

#[test]
fn closing_finishes_what_was_handed_over() {
    let bench = bench(patient(), false);
    let handle = bench.driver.handle();
    bench.submit(1, Sync::Required);
    assert_eq!(bench.call(), commit([1], false));
    bench.submit(2, Sync::Lazy);
    bench.submit(3, Sync::Lazy);
    let Bench { driver, calls, answers, events } = bench;
    let closing = std::thread::spawn(move || driver.close());
    answers.send(Answer::Done).unwrap();
    // Whether the wish to close is seen with the last group or after it, the end is a sync of everything.
    loop {
        let call = calls.recv_timeout(PATIENCE).unwrap();
        answers.send(Answer::Done).unwrap();
        if matches!(call, Call::Commit { force: true, .. }) {
            break;
        }
    }
    closing.join().unwrap().unwrap();
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), Call::Close);
    assert_eq!(handle.submit(batch(4, Sync::Lazy)), Err(Stopped));
    let last = events.iter().filter(|event| matches!(event, DriverEvent::Persisted { .. })).last();
    assert!(matches!(last, Some(DriverEvent::Persisted { upto: Ticket(3) })), "{last:?}");
}

#[test]
fn an_abandoned_store_is_neither_written_nor_closed() {
    let bench = bench(patient(), false);
    let handle = bench.driver.handle();
    bench.submit(1, Sync::Required);
    assert_eq!(bench.call(), commit([1], false));
    bench.submit(2, Sync::Required);
    let Bench { driver, calls, answers, .. } = bench;
    driver.cutoff().cut();
    answers.send(Answer::Done).unwrap();
    assert!(calls.recv().is_err(), "neither the second batch nor the close reached the store");
    // The store goes before the ears of the thread do.
    driver.close().unwrap();
    assert_eq!(handle.submit(batch(3, Sync::Lazy)), Err(Stopped));
}

#[test]
fn maintenance_goes_on_while_there_is_more_and_gives_way_to_batches() {
    let bench = bench(patient(), true);
    assert_eq!(bench.call(), Call::Maintain, "room is told in the beginning");
    bench.answer(Answer::More);
    assert_eq!(bench.call(), Call::Maintain);
    bench.submit(1, Sync::Required);
    bench.answer(Answer::More);
    assert_eq!(bench.call(), commit([1], false), "a batch goes first");
    bench.answer(Answer::Done);
    assert_eq!(bench.call(), Call::Maintain);
    bench.answer(Answer::Done);
    let spaces = || bench.events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(spaces(), DriverEvent::Space(Space { used: 0, .. })));
    assert!(matches!(spaces(), DriverEvent::Space(Space { used: 1, .. })));
    assert!(matches!(spaces(), DriverEvent::Persisted { .. }), "an unchanged room is not told again");
}

#[test]
fn an_idle_store_is_looked_at_now_and_then() {
    let bench = bench(DriverSettings { look_every: Duration::from_millis(3), ..patient() }, true);
    for _ in 0..3 {
        assert_eq!(bench.call(), Call::Maintain);
        bench.answer(Answer::Done);
    }
}

#[test]
fn a_loader_answers_in_order_while_the_writer_is_busy() {
    let store = MemoryStore::default();
    let epoch = Epoch { number: 1, claim: ClaimId(1) };
    let Ok(claimed) = Box::new(store).claim(epoch) else { panic!("no claim") };
    let (answers, got) = channel();
    let loader =
        Loader::start(claimed.reader, 4, move |tag: u32, found| answers.send((tag, found)).unwrap()).unwrap();
    let handle = loader.handle();
    let (destination, sequence) = (DestinationId(1), Sequence(1));
    handle.request(7, Wanted::Messages(vec![MessageRef { destination, sequence }])).unwrap();
    handle
        .request(8, Wanted::Page(PageRequest::Queue { destination, after: Sequence(0), limit: 5 }))
        .unwrap();
    let (tag, found) = got.recv_timeout(PATIENCE).unwrap();
    assert!(tag == 7 && matches!(found, Ok(Found::Messages(all)) if all.len() == 1));
    let (tag, found) = got.recv_timeout(PATIENCE).unwrap();
    assert!(tag == 8 && matches!(found, Ok(Found::Page(all)) if all.is_empty()));
    drop(handle);
    loader.close();
    assert!(got.recv().is_err());
}

//! What the engine's thread and those who lend it a hand must do.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use ferromq_engine::{ConnId, Intent, SendRequest, Tag};
use ferromq_env::SystemClock;
use ferromq_gateway::openwire::OpenWireProperties;
use ferromq_model::{ClaimId, ConnectionFacts, Destination, Epoch, Message, MessageId, ProducerId, Ticket};
use ferromq_net::{Look, Outbox, mailbox};
use ferromq_store::driver::{Cutoff, DriverSettings};
use ferromq_store::{
    Budget, Claimed, Durable, Follower, Maintenance, MemoryStore, Position, StoreBackend, StoreError,
};

use super::*;
use crate::failure::{FailureWatch, failure};
use crate::{Settings, StoreChoice, storage};

/// How long anything may take that takes no time on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine whose thread is not started yet.
struct Ready {
    mailbox: Mailbox<Letter>,
    shared: Arc<Shared>,
    engine: EngineThread,
    failed: FailureWatch,
    cutoff: Cutoff,
}

impl Ready {
    fn on(follower: Box<dyn Follower>) -> Self {
        let settings = Settings { store: StoreChoice::Memory, ..Settings::default() };
        let (mailbox, inbox) = mailbox(1 << 20);
        let (failure, failed) = failure();
        let epoch = Epoch { number: 1, claim: ClaimId(1) };
        let (storage, recovered) =
            storage::open(&settings, follower, epoch, "test-1", &mailbox, &failure).unwrap();
        let cutoff = storage.cutoff();
        let mut engine = Engine::new(settings.engine.clone(), Arc::new(OpenWireProperties), recovered.epoch);
        let mut outputs = Vec::new();
        engine.recover(recovered, &mut outputs);
        let (clock, lease) = (Arc::new(SystemClock), LeaseView::unlimited());
        let room = EngineRoom::new(engine, outputs, storage, clock, lease, failure);
        let engine = EngineThread::new(room, &mailbox, inbox);
        Self { mailbox, shared: Arc::clone(&engine.shared), engine, failed, cutoff }
    }

    fn on_memory() -> Self {
        Self::on(Box::new(MemoryStore::new(u64::MAX)))
    }

    fn begin(self) -> Begun {
        let Self { mailbox, shared, engine, failed, cutoff } = self;
        Begun { mailbox, shared, thread: thread::spawn(move || engine.run()), failed, _cutoff: cutoff }
    }
}

/// An engine whose thread runs.
struct Begun {
    mailbox: Mailbox<Letter>,
    shared: Arc<Shared>,
    thread: thread::JoinHandle<Option<Storage>>,
    failed: FailureWatch,
    /// As a reign has it.
    _cutoff: Cutoff,
}

impl Begun {
    fn end(self) {
        self.mailbox.post(Letter::Stop);
        let storage = self.thread.join().unwrap().unwrap();
        storage.close().0.unwrap();
    }
}

/// What a store did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Commit(Ticket),
    Close,
}

/// A store in memory that tells what it does, and commits nothing as long as the other end of `hangs` is there.
struct Watched {
    memory: MemoryStore,
    hangs: Receiver<()>,
    told: Sender<Did>,
}

impl Watched {
    /// A store, what it hangs on, and what it does.
    fn new() -> (Box<Self>, Sender<()>, Receiver<Did>) {
        let ((disk, hangs), (told, done)) = (mpsc::channel(), mpsc::channel());
        (Box::new(Self { memory: MemoryStore::new(u64::MAX), hangs, told }), disk, done)
    }
}

impl Follower for Watched {
    fn follow(&mut self, budget: Budget) -> Result<Position, StoreError> {
        self.memory.follow(budget)
    }

    fn claim(self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)> {
        let Self { memory, hangs, told } = *self;
        let claimed = Box::new(memory).claim(epoch)?;
        Ok(Claimed { backend: Box::new(WatchedDisk { disk: claimed.backend, hangs, told }), ..claimed })
    }

    fn seen_epoch(&self) -> Epoch {
        self.memory.seen_epoch()
    }
}

struct WatchedDisk {
    disk: Box<dyn StoreBackend>,
    hangs: Receiver<()>,
    told: Sender<Did>,
}

impl StoreBackend for WatchedDisk {
    fn commit(&mut self, batches: &[WriteBatch], force_sync: bool) -> Result<Option<Durable>, StoreError> {
        // Nobody sends: it is the end of the sender that is awaited.
        let _ = self.hangs.recv();
        for batch in batches {
            self.told.send(Did::Commit(batch.ticket)).unwrap();
        }
        self.disk.commit(batches, force_sync)
    }

    fn maintain(&mut self, budget: Budget) -> Result<Maintenance, StoreError> {
        self.disk.maintain(budget)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        let closed = self.disk.close();
        self.told.send(Did::Close).unwrap();
        closed
    }
}

fn ask(conn: ConnId, tag: u32, intent: Intent) -> Letter {
    Letter::Input(Input::Intent { conn, tag: Some(Tag(tag)), intent })
}

/// So many replies, by their tags.
async fn replies(outbox: &Outbox, count: usize) -> Vec<u32> {
    let (mut parcels, mut tags) = (VecDeque::new(), Vec::new());
    while tags.len() < count {
        let arrived = tokio::time::timeout(PATIENCE, outbox.arrival()).await;
        arrived.unwrap_or_else(|_| panic!("{} of {count} are answered", tags.len()));
        outbox.take(&mut parcels);
        tags.extend(parcels.drain(..).filter_map(|parcel| match parcel {
            Parcel::Reply(tag, _) => Some(tag.0),
            _ => None,
        }));
    }
    tags
}

#[tokio::test]
async fn a_question_that_comes_alone_is_answered_whoever_sees_to_it() {
    let begun = Ready::on_memory().begin();
    let outbox = Arc::<Outbox>::default();
    let conn = ConnId(1);
    begun.mailbox.bring(Letter::Plug(conn, Arc::clone(&outbox)));
    begun.mailbox.bring(Letter::Input(Input::Attach { conn }));
    begun.mailbox.bring(ask(conn, 7, Intent::ForgetStream("none".into())));
    assert_eq!(replies(&outbox, 1).await, [7]);
    begun.end();
}

#[test]
fn an_engine_that_ends_by_a_bug_says_so_and_lets_go_of_the_store() {
    let (store, _, done) = Watched::new();
    let begun = Ready::on(store).begin();
    begun.mailbox.post(Letter::Look(Look(Box::new(|_| panic!("a bug")))));
    assert!(begun.thread.join().is_err());
    assert!(begun.failed.so_far().is_some_and(|reported| reported.bug));
    assert_eq!(done.try_iter().last(), Some(Did::Close), "whoever waits for the thread can have the store");

    // The same on the thread of somebody who lent a hand.
    let (store, _, done) = Watched::new();
    let begun = Ready::on(store).begin();
    let shared = Arc::clone(&begun.shared);
    let bug = thread::spawn(move || {
        let _guard = shared.failure.guard("engine");
        let _room = shared.room.lock().unwrap();
        panic!("a bug");
    });
    assert!(bug.join().is_err());
    begun.mailbox.post(Letter::Relieved(ConnId(1)));
    assert!(begun.thread.join().unwrap().is_none());
    assert!(begun.failed.so_far().is_some_and(|reported| reported.bug));
    assert_eq!(done.try_iter().last(), Some(Did::Close));
}

fn persistent_message(number: u32) -> Intent {
    let producer = ProducerId::new("ID:producer-1".into(), 1, 1);
    let id = MessageId::new(producer.clone(), i64::from(number));
    let message = Message { persistent: true, ..Message::new(id, Destination::queue("orders")) };
    Intent::Send(SendRequest {
        producer,
        message: message.into(),
        transaction: None,
        window_bytes: 0,
        position: None,
    })
}

#[tokio::test]
async fn what_a_hand_finds_no_room_for_in_the_stores_queue_is_handed_over_by_the_engines_thread() {
    // Given an engine whose thread is busy elsewhere, and a disk that hangs
    let (store, disk, done) = Watched::new();
    let ready = Ready::on(store);
    let (conn, outbox) = (ConnId(1), Arc::<Outbox>::default());
    let facts = ConnectionFacts {
        connection: "ID:producer-1".into(),
        client_id: "producer".into(),
        ..ConnectionFacts::default()
    };
    let connect = ask(conn, 0, Intent::Connect(facts.into()));
    let mut letters =
        vec![Letter::Plug(conn, Arc::clone(&outbox)), Letter::Input(Input::Attach { conn }), connect];
    assert!(matches!(ready.shared.see_to(&mut letters), Seen::Done(_)));
    assert_eq!(replies(&outbox, 1).await, [0]);

    // When who brings messages sees to them until the store's queue is full
    let more_than_fit = 2 * u32::try_from(DriverSettings::default().waiting_batches).unwrap();
    let (shared, (say, said)) = (Arc::clone(&ready.shared), mpsc::channel());
    thread::spawn(move || {
        let leaves = |number: &u32| {
            shared.see_to(&mut vec![ask(conn, *number, persistent_message(*number))]) == Seen::Rest
        };
        say.send((1..=more_than_fit).find(leaves))
    });
    let left = said.recv_timeout(PATIENCE);
    let hung = done.try_recv().is_err();
    let begun = ready.begin();
    drop(disk);

    // Then it has left the rest, and not waited for the disk
    let sent = left.expect("a hand does not wait for the disk").expect("the store's queue has an end");
    assert!(hung, "the disk has done something");
    // And the engine's thread has handed that over: each is stored once and in order, and answered
    let expected: Vec<u32> = (1..=sent).collect();
    assert_eq!(replies(&outbox, expected.len()).await, expected);
    begun.end();
    let in_order = (1..=sent).map(|number| Did::Commit(Ticket(number.into())));
    assert_eq!(done.try_iter().collect::<Vec<_>>(), in_order.chain([Did::Close]).collect::<Vec<_>>());
}

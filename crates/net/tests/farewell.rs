//! How a connection with transactions is left: the test is the peer, and plays the engine as well.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ferromq_engine::{ConnId, Effect, Input, Intent, LocalId, Tag, TransactionVerb};
use ferromq_env::Clock;
use ferromq_gateway::SessionSettings;
use ferromq_model::{
    Delivery, Destination, Instant, Message, MessageId, Now, ProducerId, Sequence, Text, WallTime,
};
use ferromq_net::{Census, Inbox, Letter, Parcel, Plug, Reception, Switchboard, drain, mailbox};
use ferromq_openwire as wire;
use ferromq_openwire::{
    Command, ConnectionId, ConnectionInfo, ConsumerId, Framer, Limits, LocalTransactionId, MessageAck,
    TransactionId, TransactionInfo, TransactionType, WireFormat, WireFormatOptions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTION: &str = "ID:peer-1-1:1";
const BEGIN: i8 = TransactionType::Begin as i8;
const COMMIT: i8 = TransactionType::CommitOnePhase as i8;
/// Longer than a peer has to be silent, and much shorter than it is heard at most.
const WHILE: Duration = Duration::from_millis(40);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stands still unless the test moves it.
#[derive(Default)]
struct Hand {
    millis: AtomicU64,
}

impl Clock for Hand {
    fn now(&self) -> Now {
        let mono = Instant(0) + Duration::from_millis(self.millis.load(Ordering::SeqCst));
        Now { mono, wall: WallTime(1_700_000_000_000) }
    }
}

fn local(value: i64) -> TransactionId {
    LocalTransactionId { value, connection_id: Some(ConnectionId::new(CONNECTION)) }.into()
}

/// A client's connection, and what is behind it.
struct World {
    client: TcpStream,
    options: WireFormatOptions,
    format: WireFormat,
    framer: Framer,
    next: i32,
    inbox: Inbox<Letter>,
    /// Taken from the inbox and not looked at.
    letters: VecDeque<Letter>,
    switchboard: Switchboard,
    plug: Plug,
    clock: Arc<Hand>,
}

impl World {
    /// A client that has logged in.
    async fn connected() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let (letters, inbox) = mailbox(1_000_000);
        let (plug, pulled) = drain();
        let clock = Arc::new(Hand::default());
        let seat = Arc::new(Census::default()).seat(1).unwrap();
        Reception::new(letters, Arc::<Hand>::clone(&clock), pulled).welcome(
            &Arc::new(SessionSettings::default()),
            stream,
            peer,
            seat,
        );
        let mut world = Self {
            client,
            options: WireFormatOptions::default(),
            format: WireFormat::new(Limits::default()),
            framer: Framer::new(1 << 20),
            next: 0,
            inbox,
            letters: VecDeque::new(),
            switchboard: Switchboard::default(),
            plug,
            clock,
        };
        let greeting = world.options.to_info().unwrap();
        world.say(&greeting.into()).await;
        let id = Some(ConnectionId::new(CONNECTION));
        let info = ConnectionInfo {
            connection_id: id,
            command_id: 1,
            response_required: true,
            ..Default::default()
        };
        assert_eq!(world.hear().await, "WireFormatInfo");
        world.say(&info.into()).await;
        assert_eq!(world.hear().await, "BrokerInfo");
        let Intent::Connect(_) = world.asked(Tag(1)).await else { panic!("no login") };
        world.answer(Tag(1));
        assert_eq!(world.hear().await, "Response");
        world.next = 1;
        world
    }

    async fn say(&mut self, command: &Command) {
        let mut bytes = Vec::new();
        self.format.encode(command, &mut bytes).unwrap();
        self.client.write_all(&bytes).await.unwrap();
    }

    async fn transaction(&mut self, number: i64, kind: i8) -> Tag {
        self.next += 1;
        let info = TransactionInfo {
            connection_id: Some(ConnectionId::new(CONNECTION)),
            transaction_id: Some(local(number)),
            kind,
            command_id: self.next,
            response_required: kind == COMMIT,
        };
        self.say(&info.into()).await;
        Tag(self.next.cast_unsigned())
    }

    /// What the client hears next; nothing if the connection is at its end.
    async fn hear(&mut self) -> &'static str {
        loop {
            if let Some(frame) = self.framer.next_frame().unwrap() {
                let command = self.format.decode(frame).unwrap();
                if let Command::WireFormatInfo(info) = &command {
                    self.format.renegotiate(&self.options, info).unwrap();
                }
                return command.type_name();
            }
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.client.read(&mut bytes)).await;
            match read.expect("something is said").unwrap() {
                0 => return "",
                read => self.framer.feed(bytes.get(..read).unwrap()),
            }
        }
    }

    /// Whether the client hears nothing for a while.
    async fn is_kept_waiting(&mut self) -> bool {
        tokio::time::timeout(WHILE, self.hear()).await.is_err()
    }

    /// What the engine is asked with a tag.
    async fn asked(&mut self, wanted: Tag) -> Intent {
        let until = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < until {
            match self.letters.pop_front() {
                Some(Letter::Plug(conn, outbox)) => self.switchboard.plug(conn, outbox),
                Some(Letter::Input(Input::Intent { tag, intent, .. })) if tag == Some(wanted) => {
                    return intent;
                }
                Some(_) => {}
                None => {
                    let mut letters = Vec::new();
                    self.inbox.take(&mut letters, Some(Duration::ZERO));
                    self.letters.extend(letters);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        panic!("nobody asks {wanted:?}")
    }

    async fn asked_to_commit(&mut self, wanted: Tag) {
        let intent = self.asked(wanted).await;
        assert!(matches!(intent, Intent::Transaction { verb: TransactionVerb::CommitOnePhase, .. }));
    }

    fn answer(&mut self, tag: Tag) {
        self.put(Parcel::Reply(tag, Effect::Done));
    }

    fn put(&mut self, parcel: Parcel) {
        self.switchboard.put(ConnId(1), parcel);
        self.switchboard.flush(&mut Vec::new());
    }

    /// The broker hands over, as far as the connection knows.
    async fn drain(&mut self) {
        self.plug.pull(PATIENCE * 2);
        tokio::time::sleep(WHILE).await;
    }

    /// What was said last was so long ago.
    fn wait(&self) {
        let millis = u64::try_from(WHILE.as_millis()).unwrap();
        self.clock.millis.fetch_add(millis, Ordering::SeqCst);
    }

    async fn ends(&mut self) {
        self.wait();
        assert_eq!([self.hear().await, self.hear().await], ["ShutdownInfo", ""]);
    }

    async fn consume(&mut self) {
        self.next += 1;
        let info = wire::ConsumerInfo {
            command_id: self.next,
            response_required: true,
            consumer_id: Some(ConsumerId { connection_id: Some(CONNECTION.into()), session_id: 1, value: 1 }),
            destination: Some(wire::Destination::queue("orders")),
            prefetch_size: 10,
            ..Default::default()
        };
        self.say(&info.into()).await;
        let tag = Tag(self.next.cast_unsigned());
        let Intent::AddConsumer(_) = self.asked(tag).await else { panic!("no consumer") };
        self.answer(tag);
        assert_eq!(self.hear().await, "Response");
    }

    /// Hands the consumer a message that it has not acknowledged.
    async fn deliver(&mut self) {
        let producer = ProducerId::new(Text::from("ID:other-1-1:1"), 1, 1);
        let message = Message::new(MessageId::new(producer, 1), Destination::queue("orders"));
        let delivery = Delivery {
            message: Some(Arc::new(message)),
            sequence: Sequence(1),
            position: None,
            redelivery_counter: 0,
            first_of_group: false,
        };
        self.put(Parcel::Deliver(LocalId { session: 1, value: 1 }, delivery));
        assert_eq!(self.hear().await, "MessageDispatch");
    }

    async fn acknowledge(&mut self, transaction: i64) {
        let ack = MessageAck {
            destination: Some(wire::Destination::queue("orders")),
            consumer_id: Some(ConsumerId { connection_id: Some(CONNECTION.into()), session_id: 1, value: 1 }),
            transaction_id: Some(local(transaction)),
            ack_type: 2,
            message_count: 1,
            ..Default::default()
        };
        self.say(&ack.into()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_commit_took_long_may_go_on_with_the_next_message_that_it_has() {
    let mut world = World::connected().await;
    world.consume().await;
    world.deliver().await;
    world.transaction(1, BEGIN).await;
    let first = world.transaction(1, COMMIT).await;
    world.asked_to_commit(first).await;
    world.drain().await;
    // The store is slow.
    world.wait();
    world.answer(first);
    assert_eq!(world.hear().await, "Response");
    world.transaction(2, BEGIN).await;
    let second = world.transaction(2, COMMIT).await;
    world.asked_to_commit(second).await;
    world.answer(second);
    assert_eq!(world.hear().await, "Response");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_slow_to_commit_what_it_has_is_waited_for() {
    let mut world = World::connected().await;
    world.consume().await;
    world.deliver().await;
    world.deliver().await;
    world.transaction(1, BEGIN).await;
    world.acknowledge(1).await;
    let one = world.transaction(1, COMMIT).await;
    world.asked_to_commit(one).await;
    world.answer(one);
    assert_eq!(world.hear().await, "Response");
    world.drain().await;
    world.wait();
    assert!(world.is_kept_waiting().await, "the application may be about to take it");
    world.transaction(2, BEGIN).await;
    world.acknowledge(2).await;
    let commit = world.transaction(2, COMMIT).await;
    world.asked_to_commit(commit).await;
    world.answer(commit);
    assert_eq!(world.hear().await, "Response");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_share_a_connection_are_answered_until_they_are_silent() {
    let mut world = World::connected().await;
    world.transaction(1, BEGIN).await;
    let one = world.transaction(1, COMMIT).await;
    world.transaction(2, BEGIN).await;
    let other = world.transaction(2, COMMIT).await;
    world.asked_to_commit(one).await;
    world.asked_to_commit(other).await;
    world.drain().await;
    world.answer(one);
    world.answer(other);
    assert_eq!([world.hear().await, world.hear().await], ["Response", "Response"]);
    world.transaction(3, BEGIN).await;
    let next = world.transaction(3, COMMIT).await;
    world.asked_to_commit(next).await;
    world.answer(next);
    assert_eq!(world.hear().await, "Response");
    world.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_commits_alone_is_answered_together_with_the_end() {
    let mut world = World::connected().await;
    world.transaction(1, BEGIN).await;
    let commit = world.transaction(1, COMMIT).await;
    world.asked_to_commit(commit).await;
    world.drain().await;
    world.answer(commit);
    assert!(world.is_kept_waiting().await, "it would go on to its next commit");
    world.wait();
    assert_eq!(world.hear().await, "Response");
    assert_eq!([world.hear().await, world.hear().await], ["ShutdownInfo", ""]);
}

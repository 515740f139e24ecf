//! What goes into the engine and what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ferromq_model::{
    ConnectionFacts, ConsumerFacts, Delivery, Destination, Message, MessageId, ProducerFacts, ProducerId,
    StreamPosition, SubscriptionName, Text, Ticket, TransactionId,
};
use ferromq_store::spool::{BlockId, SpoolOp, Spooled};
use ferromq_store::{IndexEntry, Loaded, MessageRef, PageRequest, Space, SubscriptionRecord, WriteBatch};

/// A connection, as the shell numbers it; never reused while the engine lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// What a reply refers to; chosen by the session (a command id), meaningless to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// A session, consumer or producer of one connection: session number and number within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId {
    /// The session; −1 for the connection's own advisory consumer.
    pub session: i64,
    /// The consumer or producer within the session.
    pub value: i64,
}

/// The number of a request to load something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoadId(pub u64);

/// Something that happened outside.
#[derive(Debug)]
pub enum Input {
    /// A peer finished its protocol's handshake.
    Attach {
        /// Its number.
        conn: ConnId,
    },
    /// A connection is gone, orderly or not; what belongs to it ends.
    Detach {
        /// Its number.
        conn: ConnId,
    },
    /// A peer wants something.
    Intent {
        /// Who.
        conn: ConnId,
        /// The reply it waits for; without a tag a failure is told by [`Notice::Failure`].
        tag: Option<Tag>,
        /// What.
        intent: Intent,
    },
    /// Everything up to this ticket is durable.
    Persisted {
        /// The last durable ticket.
        upto: Ticket,
    },
    /// What was asked for by [`Output::Load`].
    Loaded {
        /// Which request.
        load: LoadId,
        /// What came.
        content: LoadContent,
    },
    /// What became of a block of [`Output::Spool`].
    Spooled {
        /// Which.
        block: BlockId,
        /// Whether it is written; the error says why not, for the operator.
        done: Result<(), String>,
    },
    /// Room in the store, measured.
    Resources {
        /// The room.
        space: Space,
    },
    /// A connection's way out is full (`true`) or free again: while it is full nothing more is delivered to it.
    Congested {
        /// Which.
        conn: ConnId,
        /// Whether it is full.
        full: bool,
    },
}

/// What a [`Output::Load`] brought.
#[derive(Debug)]
pub enum LoadContent {
    /// For [`LoadRequest::Bodies`], an entry each.
    Bodies(Vec<Loaded>),
    /// For [`LoadRequest::Page`]; fewer than asked for means the end.
    Page(Vec<IndexEntry>),
    /// For [`LoadRequest::Block`]; the error says why it can't be read, for the operator.
    Block(Result<Vec<Spooled>, String>),
    /// The store could not read at all; the broker is about to step down.
    Failed,
}

/// What a peer wants. Names are those of JMS; ids are those of the wire.
#[derive(Clone, Debug)]
pub enum Intent {
    /// First of all: who the peer is. It has been authenticated. A connection id that is known already takes over the old connection.
    Connect(Arc<ConnectionFacts>),
    /// The peer ends its connection in an orderly way; answered when everything is done.
    Disconnect {
        /// The last sequence that was handed to the application; −1 none, −2 unknown.
        last_delivered: i64,
    },
    /// A session begins.
    AddSession {
        /// Its number.
        session: i64,
    },
    /// A session ends, with its consumers and producers.
    RemoveSession {
        /// Its number.
        session: i64,
        /// The last sequence that was handed to the application; −1 none, −2 unknown.
        last_delivered: i64,
    },
    /// A producer begins.
    AddProducer(Arc<ProducerFacts>),
    /// A producer ends.
    RemoveProducer(LocalId),
    /// A consumer begins; a repetition is answered and otherwise ignored.
    AddConsumer(Arc<ConsumerFacts>),
    /// A consumer ends.
    RemoveConsumer {
        /// Which.
        consumer: LocalId,
        /// The last sequence that was handed to the application; −1 none, −2 unknown.
        last_delivered: i64,
    },
    /// A message.
    Send(SendRequest),
    /// An acknowledgement.
    Ack(Box<AckRequest>),
    /// A consumer with prefetch 0 wants one message.
    Pull {
        /// Which consumer.
        consumer: LocalId,
        /// How long to wait: `None` without limit, zero not at all.
        timeout: Option<Duration>,
    },
    /// A consumer changes its window.
    SetPrefetch {
        /// Which consumer.
        consumer: LocalId,
        /// The new window.
        prefetch: u32,
    },
    /// A transaction, for all its verbs.
    Transaction {
        /// Which; `None` only to recover.
        id: Option<TransactionId>,
        /// What.
        verb: TransactionVerb,
    },
    /// A destination is made; a temporary one belongs to the connection.
    AddDestination {
        /// Which.
        destination: Destination,
        /// Ids of the brokers that a bridge was told of it over.
        broker_path: Vec<Text>,
    },
    /// A destination is removed.
    RemoveDestination {
        /// Which.
        destination: Destination,
        /// Whether to remove it although somebody consumes from it.
        force: bool,
    },
    /// A durable subscription is given up.
    Unsubscribe(SubscriptionName),
    /// Which durable subscriptions are there?
    ListDurables,
    /// A broker is about to send this stream over the connection; answered with what of it is here
    /// ([`Effect::Stream`]).
    OpenStream {
        /// Its name.
        stream: Text,
        /// Whether the sender takes back what finds no room here ([`Intent::TakeBack`]); without that it waits here for as
        /// long as it takes.
        takes_back: bool,
    },
    /// The local end of a link: what is handed to the connection from now on belongs to a stream, of which the remote
    /// broker has so much.
    BeginLink {
        /// Which stream.
        stream: Text,
        /// What the remote broker answered to [`Intent::OpenStream`].
        report: StreamReport,
    },
    /// The local end of a link: the remote broker had no room for this message, did not take it and never will at this
    /// position. It is in its place again as if it had never been sent.
    TakeBack {
        /// The consumer that it was handed to.
        consumer: LocalId,
        /// Its position in the link's stream.
        position: StreamPosition,
    },
    /// The sender of a stream has back what was turned back of this destination, and tries again
    /// ([`Notice::TriedAgain`] at its own broker).
    Resume(Destination),
    /// An operator forgets the stream of a link that is not up, to or from a broker that is gone for good; what was held
    /// for it is free again ([`Effect::Forgotten`]). It needs no login: it comes from within.
    ForgetStream(Text),
    /// An operator ends a durable subscription that nobody uses ([`Effect::Dropped`]). It needs no login, either.
    EndSubscription(SubscriptionName),
    /// Answered when everything before it has been answered.
    Flush,
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct SendRequest {
    /// Who sends (not always who sent first).
    pub producer: ProducerId,
    /// The message; its destination may be composite.
    pub message: Arc<Message>,
    /// The transaction it belongs to.
    pub transaction: Option<TransactionId>,
    /// What to grant the producer's window when it is accepted, in the protocol's own count; 0 if there is none.
    pub window_bytes: u32,
    /// Its position in the stream that the connection has opened.
    pub position: Option<StreamPosition>,
}

/// What a receiver has of the stream of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// The highest position that was taken; 0 for none.
    pub highest: u64,
    /// The highest of those below whose message lay in the sender's store, as every persistent one of a queue does; 0 for
    /// none. A sender's store that does not know it is not the one that sent it.
    pub stored: u64,
    /// The positions that were taken, as far back as can be asked about, with a hash of each message's id.
    pub taken: BTreeMap<u64, u64>,
}

/// An acknowledgement of one message or a range.
#[derive(Clone, Debug)]
pub struct AckRequest {
    /// By whom.
    pub consumer: LocalId,
    /// Of which kind.
    pub kind: AckKind,
    /// The first message of the range; `None` from the oldest that was dispatched.
    pub first: Option<MessageId>,
    /// The last message of the range, or the only one.
    pub last: Option<MessageId>,
    /// How many messages.
    pub count: u32,
    /// The transaction it belongs to.
    pub transaction: Option<TransactionId>,
    /// Why, for [`AckKind::Poison`].
    pub cause: Option<Text>,
}

/// The kinds of acknowledgement that ActiveMQ has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// Handed to the application, not consumed yet: widens the window.
    Delivered,
    /// Given up by the consumer: dead letter.
    Poison,
    /// Consumed, a range.
    Standard,
    /// Given back within the client: bookkeeping.
    Redelivered,
    /// Consumed, one message.
    Individual,
    /// Did not match a durable subscriber's selector.
    Unmatched,
    /// Found expired by the consumer.
    Expired,
}

/// What can be done with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionVerb {
    /// It begins.
    Begin,
    /// Its work is made safe, to be committed or rolled back later.
    Prepare,
    /// All of it happens, at once.
    CommitOnePhase,
    /// What was prepared happens.
    CommitTwoPhase,
    /// None of it happens.
    Rollback,
    /// Which prepared ones are there?
    Recover,
    /// A heuristic outcome is forgotten.
    Forget,
    /// The work on behalf of the transaction pauses.
    End,
}

/// Something to be done outside, in this order.
#[derive(Debug)]
pub enum Output {
    /// Hand a message (or the end of a browse or pull) to a consumer.
    Deliver {
        /// The connection.
        conn: ConnId,
        /// The consumer.
        consumer: LocalId,
        /// The message.
        delivery: Delivery,
    },
    /// Answer an intent.
    Reply {
        /// The connection.
        conn: ConnId,
        /// The intent's tag.
        tag: Tag,
        /// The answer.
        effect: Effect,
    },
    /// Tell a peer something it did not ask for.
    Notify {
        /// The connection.
        conn: ConnId,
        /// What.
        notice: Notice,
    },
    /// Make a unit of work durable.
    Persist(WriteBatch),
    /// Change the spool; only if the settings have one. Reads of a block that were asked for before it is freed come first.
    Spool(SpoolOp),
    /// Load something from the store.
    Load {
        /// The number to answer with.
        load: LoadId,
        /// What.
        request: LoadRequest,
    },
    /// Read no more from this peer until [`Output::Resume`].
    Pause(ConnId),
    /// Read from this peer again.
    Resume(ConnId),
    /// Send what is on the way, then close.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why, for the log and for peers that can be told.
        reason: Fault,
    },
    /// Something for the operator's log.
    Log(LogEvent),
}

/// What to load.
#[derive(Clone, Debug)]
pub enum LoadRequest {
    /// Messages.
    Bodies(Vec<MessageRef>),
    /// A part of an index.
    Page(PageRequest),
    /// A block of the spool; it stays there.
    Block(BlockId),
}

/// The answer to an intent.
#[derive(Clone, Debug)]
pub enum Effect {
    /// It is done.
    Done,
    /// It is done, and this is the number it came to (prepare).
    Count(i32),
    /// Durable subscriptions.
    Durables(Vec<SubscriptionRecord>),
    /// What is here of a stream.
    Stream(StreamReport),
    /// A stream is forgotten, and so many messages that were held for it are free again.
    Forgotten(u64),
    /// A durable subscription has ended, and so many messages that it kept are dropped.
    Dropped(u64),
    /// Prepared transactions.
    Transactions(Vec<ferromq_model::Xid>),
    /// It can't be done.
    Failed(Fault),
}

/// What a peer is told without having asked.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The window of a producer is granted bytes back.
    ProducerWindow {
        /// Which producer.
        producer: ProducerId,
        /// How many bytes, in the protocol's own count.
        bytes: u32,
    },
    /// An intent without a tag failed.
    Failure(Fault),
    /// A consumer is closed by the broker.
    ConsumerClosed {
        /// Which.
        consumer: LocalId,
    },
    /// A consumer's window was changed by the broker.
    PrefetchSet {
        /// Which.
        consumer: LocalId,
        /// Its window now.
        prefetch: u32,
    },
    /// To the local end of a link: what follows of this destination is a new attempt, and the remote broker is to be told so
    /// ([`Intent::Resume`]).
    TriedAgain {
        /// Which.
        destination: Destination,
    },
}

/// Why something can't be done, for the peer; a gateway renders it as its protocol's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub kind: FaultKind,
    /// In words, with names and the remedy.
    pub text: String,
}

/// The kinds of fault that JMS tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// The client id is in use or missing.
    InvalidClientId,
    /// Not allowed.
    Security,
    /// The selector can't be understood.
    InvalidSelector,
    /// The name can't be a destination here, or the subscription is unknown.
    InvalidDestination,
    /// The temporary destination does not exist (any longer).
    DestinationGone,
    /// A limit is reached.
    ResourceAllocation,
    /// Not in this state, or not registered.
    IllegalState,
    /// The transaction was rolled back.
    RolledBack,
    /// Not built.
    Unsupported,
    /// The command makes no sense.
    Protocol,
    /// Anything else.
    General,
}

/// A line for the operator's log.
#[derive(Clone, Debug)]
pub struct LogEvent {
    /// Whether somebody should look at it soon.
    pub severity: Severity,
    /// What happened, with names, reason and remedy.
    pub text: String,
}

/// How urgent a [`LogEvent`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For developers.
    Debug,
    /// An event that matters.
    Info,
    /// Something is wrong and will be felt.
    Warn,
    /// Something is broken.
    Error,
}

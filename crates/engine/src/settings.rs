//! [`Settings`]: what an engine is told once, with ActiveMQ's defaults.

use std::time::Duration;

use ferromq_model::{Destination, DestinationPattern, Text};

use crate::Policies;

/// Everything that is decided before the first message.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The id of the broker, `ID:host-port-millis-0:1`; the same after a restart or takeover, for it stands in the
    /// paths of messages.
    pub broker_id: Text,
    /// The broker's name, in error texts and advisories.
    pub broker_name: Text,
    /// Where clients find the broker, in advisories.
    pub broker_url: Text,
    /// How much may be held in all.
    pub limits: Limits,
    /// When messages of queues that are not persistent leave memory for the spool; `None` if there is no spool.
    pub spool: Option<SpoolSettings>,
    /// What a destination does, by name.
    pub policies: Policies,
    /// How producers are told apart and remembered.
    pub dedup: DedupSettings,
    /// What a producer gets when there is no room.
    pub no_space: NoSpace,
    /// How often the log names a producer that is still blocked; zero for never again.
    pub blocked_producer_warning: Duration,
    /// Whether the broker tells about itself on `ActiveMQ.Advisory.` topics.
    pub advisories: bool,
    /// Whether a new connection may take a client id from an old one.
    pub allow_link_stealing: bool,
    /// Queues and topics that are there from the beginning.
    pub destinations: Vec<Destination>,
    /// Which topics also feed queues.
    pub virtual_topics: Vec<VirtualTopic>,
    /// Whether a consumer of what a virtual topic or a composite destination feeds is told of as a consumer of that one
    /// as well (`useVirtualDestSubs`), on `ActiveMQ.Advisory.VirtualDestination.Consumer.`.
    pub tell_fed_consumers: bool,
    /// Which destinations hand on what is sent to them.
    pub composites: Vec<Composite>,
    /// What stands before a queue's name in the name of the topic that gets a copy of all that is sent to it; `None`
    /// for no copies.
    pub mirror_prefix: Option<String>,
    /// How often destinations are searched for inactive ones; zero for never.
    pub gc_period: Duration,
    /// A message that nobody here but bridges could consume may go to a broker that it came from, or further than its
    /// TTL says, if it has passed fewer brokers than this (or than the bridge's own bound); 0 for never, as ActiveMQ
    /// does without `replayWhenNoConsumers`.
    pub orphan_hops: u32,
    /// The names of the network connectors: what is held because it may be at the other end of a link whose connector is
    /// not there any longer is let go. `None` to hold all of it.
    pub connectors: Option<Vec<String>>,
    /// How long a message that came over a link waits for room before it is turned back to its sender.
    pub link_patience: Duration,
    /// How long a connection that was refused stays open, so that its peer can read why.
    pub refused_linger: Duration,
    /// A transaction may hold at most so many messages and acknowledgements.
    pub transaction_entries: usize,
    /// A transaction may hold at most so many bytes of messages.
    pub transaction_bytes: usize,
    /// A consumer may hold at most so many unacknowledged messages, whatever its window.
    pub consumer_unacknowledged: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            broker_id: Text::from_static("ID:ferromq-0-0-0:1"),
            broker_name: Text::from_static("localhost"),
            broker_url: Text::from_static("tcp://localhost:61616"),
            limits: Limits::default(),
            spool: None,
            policies: Policies::default(),
            dedup: DedupSettings::default(),
            no_space: NoSpace::Block,
            blocked_producer_warning: Duration::from_secs(30),
            advisories: true,
            allow_link_stealing: false,
            destinations: Vec::new(),
            virtual_topics: vec![VirtualTopic::default()],
            tell_fed_consumers: false,
            composites: Vec::new(),
            mirror_prefix: None,
            gc_period: Duration::ZERO,
            orphan_hops: 16,
            connectors: None,
            link_patience: Duration::from_secs(1),
            refused_linger: Duration::from_secs(2),
            transaction_entries: 1 << 20,
            transaction_bytes: 512 << 20,
            consumer_unacknowledged: 1 << 20,
        }
    }
}

/// How much may be held in all, in bytes as [`ferromq_model::Message::charge`] counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that exist in memory alone: non-persistent ones, and those that wait for slow topic consumers.
    pub memory_bytes: u64,
    /// Persistent messages.
    pub store_bytes: u64,
    /// Non-persistent messages of queues in the spool; without one, in memory.
    pub temp_bytes: u64,
    /// Bodies of persistent messages kept in memory to spare reading them back.
    pub body_cache_bytes: u64,
    /// Durable subscriptions of which a bridge can be told in one frame; half a list would be a lie.
    pub listed_durables: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            store_bytes: 100 << 30,
            temp_bytes: 50 << 30,
            body_cache_bytes: 64 << 20,
            // An array of the wire has 32,767 places.
            listed_durables: 32_000,
        }
    }
}

/// How messages of queues that are not persistent leave memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// So much of them may stay in memory, of all queues, before those of queues with a backlog leave it; earlier at 70 %
    /// of a limit of memory.
    pub memory_bytes: u64,
    /// Messages are written together until they are charged so much, or are so many.
    pub block_bytes: u64,
    /// See [`SpoolSettings::block_bytes`].
    pub block_messages: u64,
    /// When so much is on its way to the disk, producers wait for it.
    pub unwritten_bytes: u64,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            block_bytes: 256 << 10,
            block_messages: 1_024,
            unwritten_bytes: 32 << 20,
        }
    }
}

/// What a producer gets when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoSpace {
    /// It waits.
    #[default]
    Block,
    /// It is refused at once (`sendFailIfNoSpace`).
    Fail,
    /// It waits so long, then is refused (`sendFailIfNoSpaceAfterTimeout`).
    FailAfter(Duration),
}

/// How many producers' sent messages are remembered, to recognise a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupSettings {
    /// Producers, least recently used ones are forgotten first.
    pub producers: usize,
    /// Sequences for each, rounded up to a multiple of 64.
    pub window: usize,
}

impl Default for DedupSettings {
    fn default() -> Self {
        Self { producers: 8_192, window: 2_048 }
    }
}

/// A topic whose messages are also put into queues, one for each group of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualTopic {
    /// Which topics, a name with wildcards.
    pub topics: String,
    /// What stands before the topic's name in the name of such a queue, with `*` for the group.
    pub prefix: String,
}

impl VirtualTopic {
    /// The topic that feeds a queue of this name.
    pub(crate) fn feeding<'a>(&self, queue: &'a str) -> Option<&'a str> {
        let depth = self.prefix.split('.').filter(|element| !element.is_empty()).count();
        let topic = queue.splitn(depth + 1, '.').nth(depth)?;
        let feeds = DestinationPattern::new(&format!("{}>", self.prefix)).matches(queue)
            && DestinationPattern::new(&self.topics).matches(topic);
        feeds.then_some(topic)
    }
}

impl Default for VirtualTopic {
    fn default() -> Self {
        Self { topics: "VirtualTopic.>".into(), prefix: "Consumer.*.".into() }
    }
}

/// A destination that hands on what clients send to it (`compositeQueue`, `compositeTopic`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composite {
    /// Which one; its name may have wildcards.
    pub from: Destination,
    /// Where to; what these hand on themselves stays with them.
    pub to: Vec<Destination>,
    /// Whether it keeps nothing itself.
    pub forward_only: bool,
}

//! [`Policy`]: how one destination behaves; [`Policies`] finds the one that fits a name best.

use std::sync::Arc;
use std::time::Duration;

use ferromq_model::{Destination, DestinationKind, DestinationPattern};

use crate::NoSpace;

/// How a destination behaves; the defaults are ActiveMQ's.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Messages in memory at most, in bytes; 0 for no limit of its own.
    pub memory_bytes: u64,
    /// Persistent messages at most, in bytes; 0 for no limit of its own. A topic counts a copy for each subscription.
    pub store_bytes: u64,
    /// Persistent messages are held back when the broker's store is so full, in percent (`storeUsageHighWaterMark`).
    pub store_high_water: u8,
    /// Non-persistent messages in the spool at most, in bytes; 0 for no limit of its own.
    pub temp_bytes: u64,
    /// Whether producers wait when a limit is reached; without it limits are ignored.
    pub producer_flow_control: bool,
    /// What producers get when there is no room; `None` for the broker's setting.
    pub no_space: Option<NoSpace>,
    /// Higher JMSPriority is delivered first.
    pub prioritized_messages: bool,
    /// Every consumer is an exclusive one.
    pub all_consumers_exclusive: bool,
    /// Consumers of higher priority are served first.
    pub use_consumer_priority: bool,
    /// Groups (JMSXGroupID) remembered at once; the least recently used loses its owner.
    pub message_groups: usize,
    /// Dispatch begins so long after the first consumer came.
    pub time_before_dispatch: Duration,
    /// Dispatch begins with so many consumers, or after [`Policy::time_before_dispatch`].
    pub consumers_before_dispatch: usize,
    /// How often waiting messages are searched for expired ones; zero for never.
    pub expire_messages_period: Duration,
    /// What becomes of messages that nobody can consume.
    pub dead_letter: DeadLetterPolicy,
    /// Messages that may wait for one slow topic consumer, beyond its window.
    pub pending_limit: PendingLimit,
    /// Messages referenced in memory for one queue or durable subscription; the rest stays in the store.
    pub window: usize,
    /// Prefetch windows that replace what consumers ask for.
    pub prefetch: PrefetchPolicy,
    /// Advisories that are off unless asked for.
    pub advisories: PolicyAdvisories,
    /// Whether messages that may have been delivered before the broker began come flagged (JMSRedelivered), or, as from
    /// ActiveMQ by default, as if they were new.
    pub persist_redelivered: bool,
    /// What a topic keeps for retroactive consumers.
    pub recovery: Recovery,
    /// Whether every consumer of the topic is a retroactive one.
    pub always_retroactive: bool,
    /// What becomes of consumers that do not keep up.
    pub slow_consumers: Option<AbortSlow>,
    /// An empty destination that nobody used for so long is removed, if the broker looks for such.
    pub inactive_timeout: Option<Duration>,
    /// What may leave over bridges, of a queue.
    pub network: NetworkRule,
}

/// When a message may go back to a broker that it came from, and how many may leave
/// (`conditionalNetworkBridgeFilterFactory`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkRule {
    /// It stays at least so long before it goes back (`replayDelay`).
    pub back_after: Duration,
    /// Only a consumer here that would take it keeps it here (`selectorAware`).
    pub selector_aware: bool,
    /// So many messages for each consumer of a bridge in so much time (`rateLimit`, `rateDuration`).
    pub rate: Option<(u32, Duration)>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            memory_bytes: 0,
            store_bytes: 0,
            store_high_water: 100,
            temp_bytes: 0,
            producer_flow_control: true,
            no_space: None,
            prioritized_messages: false,
            all_consumers_exclusive: false,
            use_consumer_priority: true,
            message_groups: 1_024,
            time_before_dispatch: Duration::ZERO,
            consumers_before_dispatch: 0,
            expire_messages_period: Duration::from_secs(30),
            dead_letter: DeadLetterPolicy::default(),
            pending_limit: PendingLimit::Unlimited,
            window: 4_096,
            prefetch: PrefetchPolicy::default(),
            advisories: PolicyAdvisories::default(),
            persist_redelivered: true,
            recovery: Recovery::Nothing,
            always_retroactive: false,
            slow_consumers: None,
            inactive_timeout: None,
            network: NetworkRule::default(),
        }
    }
}

/// How many messages may wait for a slow topic consumer; the oldest are discarded first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PendingLimit {
    /// As many as memory allows; then producers wait.
    #[default]
    Unlimited,
    /// So many.
    Constant(u32),
    /// So many times the consumer's prefetch.
    PrefetchRate(f64),
}

/// What a topic keeps of what went by, for consumers that ask for the past (`consumer.retroactive`); in memory, and
/// gone with the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing.
    #[default]
    Nothing,
    /// The last messages, so many.
    Count(usize),
    /// The last messages, of so many bytes together.
    Bytes(u64),
    /// The messages of so long.
    Time(Duration),
}

/// When a consumer that does not keep up is closed (`abortSlowConsumerStrategy`, `abortSlowAckConsumerStrategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortSlow {
    /// It is judged by the age of its last acknowledgement, not by a full window with messages behind it.
    pub by_acknowledgement: bool,
    /// How long it may be slow.
    pub most: Duration,
    /// How often consumers are looked at.
    pub period: Duration,
    /// Whether its connection is closed, too.
    pub abort_connection: bool,
    /// Whether bridges of other brokers are left alone.
    pub ignore_network: bool,
    /// Whether consumers that hold nothing are left alone, when judged by acknowledgements.
    pub ignore_idle: bool,
}

impl Default for AbortSlow {
    fn default() -> Self {
        Self {
            by_acknowledgement: false,
            most: Duration::from_secs(30),
            period: Duration::from_secs(30),
            abort_connection: false,
            ignore_network: true,
            ignore_idle: true,
        }
    }
}

/// What becomes of a message that was given up or has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterPolicy {
    /// Where to.
    pub target: DeadLetterTarget,
    /// Whether expired messages are kept as well.
    pub process_expired: bool,
    /// Whether non-persistent messages are kept as well.
    pub process_non_persistent: bool,
    /// Milliseconds after which a dead letter expires itself, 0 for never.
    pub expiration_ms: i64,
}

impl Default for DeadLetterPolicy {
    fn default() -> Self {
        Self {
            target: DeadLetterTarget::Shared("ActiveMQ.DLQ".into()),
            process_expired: true,
            process_non_persistent: false,
            expiration_ms: 0,
        }
    }
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterTarget {
    /// All into this queue.
    Shared(String),
    /// Into a queue for each destination: prefix + name.
    Individual {
        /// Before the name of a queue.
        queue_prefix: String,
        /// Before the name of a topic.
        topic_prefix: String,
        /// Behind the name of a queue.
        queue_suffix: String,
        /// Behind the name of a topic.
        topic_suffix: String,
        /// Whether dead letters of queues go to a queue, else to a topic.
        queue_for_queues: bool,
        /// Whether dead letters of topics go to a queue, else to a topic.
        queue_for_topics: bool,
    },
    /// Nowhere.
    Discard,
}

impl DeadLetterTarget {
    /// A queue for each destination, named as ActiveMQ does.
    pub fn individual() -> Self {
        Self::Individual {
            queue_prefix: "ActiveMQ.DLQ.Queue.".into(),
            topic_prefix: "ActiveMQ.DLQ.Topic.".into(),
            queue_suffix: String::new(),
            topic_suffix: String::new(),
            queue_for_queues: true,
            queue_for_topics: true,
        }
    }
}

/// Prefetch windows that the broker sets, whatever consumers ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefetchPolicy {
    /// For consumers of a queue.
    pub queue: Option<u32>,
    /// For browsers.
    pub browser: Option<u32>,
    /// For consumers of a topic.
    pub topic: Option<u32>,
    /// For durable subscribers.
    pub durable: Option<u32>,
}

/// Advisories about a destination that are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyAdvisories {
    /// A message found nobody who wants it.
    pub no_consumers: bool,
    /// A consumer does not keep up.
    pub slow_consumers: bool,
    /// A producer was blocked.
    pub fast_producers: bool,
    /// A limit was reached.
    pub full: bool,
    /// A message was sent.
    pub delivered: bool,
    /// A message was consumed.
    pub consumed: bool,
    /// A message was discarded.
    pub discarded: bool,
    /// Whether the body travels with advisories about a message.
    pub include_body: bool,
}

/// A policy and where it holds.
#[derive(Clone, Debug)]
struct PolicyEntry {
    topics: bool,
    pattern: DestinationPattern,
    rank: Vec<u8>,
    policy: Arc<Policy>,
}

/// Policies by destination; the most specific pattern wins.
#[derive(Clone, Debug)]
pub struct Policies {
    default: Arc<Policy>,
    entries: Vec<PolicyEntry>,
}

impl Default for Policies {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl Policies {
    /// `default` for every destination.
    pub fn new(default: Policy) -> Self {
        Self { default: Arc::new(default), entries: Vec::new() }
    }

    /// Adds a policy for queues, or for topics, that `pattern` covers.
    pub fn add(&mut self, topics: bool, pattern: &str, policy: Policy) {
        self.entries.push(PolicyEntry {
            topics,
            pattern: DestinationPattern::new(pattern),
            rank: rank(pattern),
            policy: Arc::new(policy),
        });
    }

    /// The policy of a destination.
    pub fn of(&self, destination: &Destination) -> Arc<Policy> {
        let topics = matches!(destination.kind, DestinationKind::Topic | DestinationKind::TempTopic);
        let mut best: Option<&PolicyEntry> = None;
        for entry in &self.entries {
            if entry.topics == topics
                && entry.pattern.matches(&destination.name)
                && best.is_none_or(|best| entry.rank > best.rank)
            {
                best = Some(entry);
            }
        }
        Arc::clone(best.map_or(&self.default, |entry| &entry.policy))
    }
}

/// A name beats `*`, which beats the end, which beats `>`; compared element by element.
fn rank(pattern: &str) -> Vec<u8> {
    let mut rank = Vec::new();
    for element in pattern.split('.') {
        match element {
            ">" => {
                rank.push(0);
                return rank;
            }
            "*" => rank.push(2),
            _ => rank.push(3),
        }
    }
    rank.push(1);
    rank
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_policy_wins_whatever_the_order() {
        let marked = |bytes| Policy { memory_bytes: bytes, ..Policy::default() };
        let mut policies = Policies::new(marked(1));
        policies.add(false, "A.>", marked(2));
        policies.add(false, "A.B.C", marked(4));
        policies.add(false, "A.*.C", marked(3));
        policies.add(false, ">", marked(5));
        policies.add(true, "T.>", marked(6));
        for (name, expected) in [("A.B.C", 4), ("A.X.C", 3), ("A.X", 2), ("Z", 5)] {
            assert_eq!(policies.of(&Destination::queue(name)).memory_bytes, expected, "{name}");
        }
        assert_eq!(policies.of(&Destination::topic("T.1")).memory_bytes, 6);
        assert_eq!(policies.of(&Destination::topic("A.B")).memory_bytes, 1);
    }
}

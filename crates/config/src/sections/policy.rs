//! `[[policy]]`: how destinations behave, by name. The most specific name wins.

use crate::{
    reader::{Reader, Section},
    sections::{NetworkFilter, NoSpace, limits::bounded},
    source::Source,
};

/// How the destinations that a name covers behave.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// `destination` without its prefix: a name with wildcards, such as `orders.>`.
    pub pattern: String,
    /// Whether it holds for queues: `queue://` or no prefix.
    pub queues: bool,
    /// Whether it holds for topics: `topic://` or no prefix.
    pub topics: bool,
    /// `memory_limit`: messages of one destination in memory; `None` for `limits.destination_memory_bytes`.
    pub memory_limit_bytes: Option<u64>,
    /// `store_limit`: persistent messages of one destination; 0 for no limit of its own.
    pub store_limit_bytes: u64,
    /// `store_high_water`: percent of `limits.store_bytes` at which persistent messages to it are held back.
    pub store_high_water: u32,
    /// `temp_limit`: non-persistent messages of one queue in the spool; 0 for no limit of its own.
    pub temp_limit_bytes: u64,
    /// `producer_flow_control`: whether producers wait when a limit is reached.
    pub producer_flow_control: bool,
    /// `send_fail_if_no_space`, `send_fail_if_no_space_after_ms`; `None` for the broker's.
    pub no_space: Option<NoSpace>,
    /// `dead_letter`.
    pub dead_letter: DeadLetter,
    /// `prioritized_messages`: higher JMSPriority is delivered first.
    pub prioritized_messages: bool,
    /// `all_consumers_exclusive`: one consumer gets all.
    pub all_consumers_exclusive: bool,
    /// `use_consumer_priority`: consumers of higher priority are served first.
    pub use_consumer_priority: bool,
    /// `message_groups`: groups remembered at once.
    pub message_groups: u32,
    /// `time_before_dispatch_ms`: dispatch begins so long after the first consumer came.
    pub time_before_dispatch_ms: u64,
    /// `consumers_before_dispatch`: dispatch begins with so many consumers.
    pub consumers_before_dispatch: u32,
    /// `advisories`: those that are off unless named.
    pub advisories: PolicyAdvisories,
    /// `expire_messages_period_ms`: how often waiting messages are searched for expired ones; 0 for never.
    pub expire_messages_period_ms: u64,
    /// `gc_inactive`: whether an empty destination that nobody uses is removed.
    pub gc_inactive: bool,
    /// `inactive_timeout_ms`: how long nobody must have used it.
    pub inactive_timeout_ms: u64,
    /// `pending_message_limit`, `pending_message_limit_per_prefetch`: messages that may wait for a slow topic consumer.
    pub pending_limit: PendingLimit,
    /// `prefetch`: windows that replace what consumers ask for.
    pub prefetch: Prefetch,
    /// `persist_redelivered`: whether JMSRedelivered outlives the broker; not so in ActiveMQ by default.
    pub persist_redelivered: bool,
    /// `network_filter`: what of it may leave over the network.
    pub network_filter: NetworkFilter,
    /// `recovery`: what a topic keeps for retroactive consumers.
    pub recovery: Recovery,
    /// `slow_consumer`: what becomes of consumers that do not keep up.
    pub slow_consumer: SlowConsumer,
    /// Where the policy begins.
    pub source: Source,
}

/// What a topic keeps for retroactive consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// `keep`.
    pub keep: RecoveryKind,
    /// `count`: so many messages, for `fixed_count`.
    pub count: u32,
    /// `bytes`: of them, for `fixed_size`.
    pub bytes: u64,
    /// `time_ms`: how long, for `timed`.
    pub time_ms: u64,
    /// `always_retroactive`: every consumer is one.
    pub always_retroactive: bool,
}

/// By what a topic decides what to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryKind {
    /// `nothing`.
    Nothing,
    /// `last_image`: the last message.
    LastImage,
    /// `fixed_count`.
    FixedCount,
    /// `fixed_size`.
    FixedSize,
    /// `timed`.
    Timed,
}

/// What becomes of consumers that do not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowConsumer {
    /// `strategy`.
    pub strategy: SlowStrategy,
    /// `max_slow_ms`: how long a consumer may be slow.
    pub max_slow_ms: u64,
    /// `check_period_ms`: how often consumers are looked at.
    pub check_period_ms: u64,
    /// `abort_connection`: whether its connection is closed, too.
    pub abort_connection: bool,
    /// `ignore_network_consumers`: whether bridges are left alone.
    pub ignore_network_consumers: bool,
    /// `ignore_idle_consumers`: whether those that hold nothing are left alone, for `abort_slow_ack`.
    pub ignore_idle_consumers: bool,
}

/// How it is judged who does not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowStrategy {
    /// `none`: nobody is judged.
    Nobody,
    /// `abort`: by a full window with messages behind it.
    Abort,
    /// `abort_slow_ack`: by the age of the last acknowledgement.
    AbortSlowAck,
}

/// What becomes of a message that was given up or has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// `strategy`.
    pub strategy: DeadLetterStrategy,
    /// `queue`: of the shared strategy.
    pub queue: String,
    /// `queue_prefix`: of the individual strategy, before the name of a queue.
    pub queue_prefix: String,
    /// `topic_prefix`: of the individual strategy, before the name of a topic.
    pub topic_prefix: String,
    /// `queue_suffix`: of the individual strategy, behind the name of a queue.
    pub queue_suffix: String,
    /// `topic_suffix`: of the individual strategy, behind the name of a topic.
    pub topic_suffix: String,
    /// `use_queue_for_queues`: whether dead letters of queues go to a queue, else to a topic.
    pub use_queue_for_queues: bool,
    /// `use_queue_for_topics`: whether dead letters of topics go to a queue, else to a topic.
    pub use_queue_for_topics: bool,
    /// `process_expired`: whether expired messages are kept as well.
    pub process_expired: bool,
    /// `process_non_persistent`: whether non-persistent messages are kept as well.
    pub process_non_persistent: bool,
    /// `expiration_ms`: after which a dead letter expires itself; 0 for never.
    pub expiration_ms: u64,
}

/// Where dead letters go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadLetterStrategy {
    /// `shared`: all into one queue.
    Shared,
    /// `individual`: into a queue for each destination.
    Individual,
    /// `discard`: nowhere.
    Discard,
}

/// How many messages may wait for a slow topic consumer; the oldest are discarded first.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum PendingLimit {
    /// As many as memory allows.
    Unlimited,
    /// So many.
    Constant(u32),
    /// So many times the consumer's prefetch.
    PerPrefetch(f64),
}

/// Prefetch windows that the broker sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prefetch {
    /// `queue`: for consumers of a queue.
    pub queue: Option<u32>,
    /// `browser`: for browsers.
    pub browser: Option<u32>,
    /// `topic`: for consumers of a topic.
    pub topic: Option<u32>,
    /// `durable`: for durable subscribers.
    pub durable: Option<u32>,
}

/// Advisories about a destination that are off unless named in `advisories = [ … ]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyAdvisories {
    /// `no_consumer`: a message found nobody who wants it.
    pub no_consumer: bool,
    /// `slow_consumer`: a consumer does not keep up.
    pub slow_consumer: bool,
    /// `fast_producer`: a producer was blocked.
    pub fast_producer: bool,
    /// `full`: a limit was reached.
    pub full: bool,
    /// `delivered`: a message was sent.
    pub delivered: bool,
    /// `consumed`: a message was consumed.
    pub consumed: bool,
    /// `discarded`: a message was discarded.
    pub discarded: bool,
    /// `include_body`: the body travels along.
    pub include_body: bool,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<Policy> {
    let mut policies = Vec::new();
    for (index, table) in reader.repeated("policy").iter().enumerate() {
        let mut section = reader.repetition("policy", index);
        let unnamed = section.place("destination") == Source::Default;
        policies.extend(Policy::read(&mut section, table));
        section.finish();
        if unnamed {
            reader.error(table, "this policy has no destination", "add destination = \"queue://orders.>\"");
        }
    }
    policies
}

impl Policy {
    fn read(section: &mut Section<'_, '_>, table: &Source) -> Option<Self> {
        let destination = section.text_or_none(
            "destination",
            None,
            "a name with wildcards such as \"orders.>\", with queue:// or topic:// in front if it is for one of them",
            is_destination,
        );
        let (queues, topics, pattern) = match destination.as_deref().unwrap_or_default() {
            text if text.starts_with("queue://") => (true, false, &text["queue://".len()..]),
            text if text.starts_with("topic://") => (false, true, &text["topic://".len()..]),
            text => (true, true, text),
        };
        let pattern = pattern.to_owned();
        let policy = Self {
            pattern,
            queues,
            topics,
            memory_limit_bytes: section.bytes_or_none("memory_limit", None, 0..=u64::MAX),
            store_limit_bytes: section.bytes("store_limit", 0, 0..=u64::MAX),
            store_high_water: bounded(section.number("store_high_water", 100, 1..=100)),
            temp_limit_bytes: section.bytes("temp_limit", 0, 0..=u64::MAX),
            producer_flow_control: section.bool("producer_flow_control", true),
            no_space: NoSpace::read(section),
            prioritized_messages: section.bool("prioritized_messages", false),
            all_consumers_exclusive: section.bool("all_consumers_exclusive", false),
            use_consumer_priority: section.bool("use_consumer_priority", true),
            message_groups: bounded(section.number("message_groups", 1_024, 1..=1_000_000)),
            time_before_dispatch_ms: section.millis("time_before_dispatch_ms", 0, 0..=3_600_000),
            consumers_before_dispatch: bounded(section.number("consumers_before_dispatch", 0, 0..=10_000)),
            expire_messages_period_ms: section.millis("expire_messages_period_ms", 30_000, 0..=86_400_000),
            gc_inactive: section.bool("gc_inactive", false),
            inactive_timeout_ms: section.millis("inactive_timeout_ms", 60_000, 1..=u64::MAX),
            persist_redelivered: section.bool("persist_redelivered", true),
            pending_limit: PendingLimit::read(section),
            advisories: PolicyAdvisories::read(section),
            dead_letter: DeadLetter::read(section),
            prefetch: Prefetch::read(section),
            network_filter: NetworkFilter::read(section),
            recovery: Recovery::read(section),
            slow_consumer: SlowConsumer::read(section),
            source: table.clone(),
        };
        destination.map(|_| policy)
    }
}

/// A name of elements between dots; `>` only as the last.
pub(super) fn is_destination(text: &str) -> bool {
    let name = text.strip_prefix("queue://").or(text.strip_prefix("topic://")).unwrap_or(text);
    let elements = name.split('.').collect::<Vec<_>>();
    let whole = |element: &&str| !element.is_empty() && (element.len() == 1 || !element.contains(['*', '>']));
    let rest_is_last = elements.iter().rev().skip(1).all(|element| *element != ">");
    // A slash is as good as any letter, but not what would be another kind of destination.
    let plain = !name.contains([',', '?']) && !name.contains("://") && !name.starts_with('/');
    name.len() <= 1024 && plain && elements.iter().all(whole) && rest_is_last
}

impl PendingLimit {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let constant = section.number_or_none("pending_message_limit", None, -1..=i64::from(i32::MAX));
        let rate = section.ratio_or_none("pending_message_limit_per_prefetch", 0.0..=1_000.0);
        match (constant, rate) {
            (Some(_), Some(_)) => {
                let source = section.place("pending_message_limit_per_prefetch");
                let problem = "both pending_message_limit and pending_message_limit_per_prefetch are set";
                section.reader.error(&source, problem, "keep one of them");
                PendingLimit::Unlimited
            }
            (None, Some(rate)) => PendingLimit::PerPrefetch(rate),
            (Some(limit), None) if limit >= 0 => PendingLimit::Constant(bounded(limit)),
            (_, None) => PendingLimit::Unlimited,
        }
    }
}

impl PolicyAdvisories {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let mut advisories = Self::default();
        for (name, source) in section.texts("advisories", &[]) {
            let flag = match name.as_str() {
                "no_consumer" => &mut advisories.no_consumer,
                "slow_consumer" => &mut advisories.slow_consumer,
                "fast_producer" => &mut advisories.fast_producer,
                "full" => &mut advisories.full,
                "delivered" => &mut advisories.delivered,
                "consumed" => &mut advisories.consumed,
                "discarded" => &mut advisories.discarded,
                "include_body" => &mut advisories.include_body,
                _ => {
                    let known = "no_consumer, slow_consumer, fast_producer, full, delivered, consumed, discarded, \
                                 include_body";
                    section.reader.error(
                        &source,
                        format!("no advisory '{name}'"),
                        format!("known are {known}"),
                    );
                    continue;
                }
            };
            *flag = true;
        }
        advisories
    }
}

/// Whether it may stand in the name of a single queue or topic.
fn is_part(text: &str) -> bool {
    !text.contains(['*', '>', ',', '?']) && !text.contains("://")
}

impl DeadLetter {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let strategies = [
            ("shared", DeadLetterStrategy::Shared),
            ("individual", DeadLetterStrategy::Individual),
            ("discard", DeadLetterStrategy::Discard),
        ];
        let name = |text: &str| !text.trim().is_empty() && is_part(text);
        let mut section = section.inner("dead_letter");
        let dead_letter = Self {
            strategy: section.choice("strategy", DeadLetterStrategy::Shared, &strategies),
            queue: section.text("queue", "ActiveMQ.DLQ", "the name of a queue", name),
            queue_prefix: section.text("queue_prefix", "ActiveMQ.DLQ.Queue.", "the start of a name", is_part),
            topic_prefix: section.text("topic_prefix", "ActiveMQ.DLQ.Topic.", "the start of a name", is_part),
            queue_suffix: section.text("queue_suffix", "", "the end of a name", is_part),
            topic_suffix: section.text("topic_suffix", "", "the end of a name", is_part),
            use_queue_for_queues: section.bool("use_queue_for_queues", true),
            use_queue_for_topics: section.bool("use_queue_for_topics", true),
            process_expired: section.bool("process_expired", true),
            process_non_persistent: section.bool("process_non_persistent", false),
            expiration_ms: section.millis("expiration_ms", 0, 0..=u64::MAX),
        };
        if dead_letter.strategy == DeadLetterStrategy::Individual {
            let nothing = |prefix: &str, suffix: &str| prefix.trim().is_empty() && suffix.trim().is_empty();
            let queues = nothing(&dead_letter.queue_prefix, &dead_letter.queue_suffix);
            let topics = nothing(&dead_letter.topic_prefix, &dead_letter.topic_suffix);
            for (kind, key, same) in [
                ("queue", "queue_prefix", queues && dead_letter.use_queue_for_queues),
                ("topic", "topic_prefix", topics && !dead_letter.use_queue_for_topics),
            ] {
                if same {
                    let source = section.place(key);
                    let problem = format!("dead letters of a {kind} would have to go to the {kind} itself");
                    section.reader.error(&source, problem, format!("set {kind}_prefix or {kind}_suffix"));
                }
            }
        }
        section.finish();
        dead_letter
    }
}

impl Prefetch {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let mut section = section.inner("prefetch");
        let mut window = |key| section.number_or_none(key, None, 0..=32_767).map(bounded);
        let prefetch = Self {
            queue: window("queue"),
            browser: window("browser"),
            topic: window("topic"),
            durable: window("durable"),
        };
        section.finish();
        prefetch
    }
}

impl Recovery {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let kinds = [
            ("nothing", RecoveryKind::Nothing),
            ("last_image", RecoveryKind::LastImage),
            ("fixed_count", RecoveryKind::FixedCount),
            ("fixed_size", RecoveryKind::FixedSize),
            ("timed", RecoveryKind::Timed),
        ];
        let mut section = section.inner("recovery");
        let recovery = Self {
            keep: section.choice("keep", RecoveryKind::Nothing, &kinds),
            count: bounded(section.number("count", 100, 1..=100_000)),
            bytes: section.bytes("bytes", 64 << 10, 1..=64 << 20),
            time_ms: section.millis("time_ms", 60_000, 1..=86_400_000),
            always_retroactive: section.bool("always_retroactive", false),
        };
        section.finish();
        recovery
    }
}

impl SlowConsumer {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let strategies = [
            ("none", SlowStrategy::Nobody),
            ("abort", SlowStrategy::Abort),
            ("abort_slow_ack", SlowStrategy::AbortSlowAck),
        ];
        let mut section = section.inner("slow_consumer");
        let slow = Self {
            strategy: section.choice("strategy", SlowStrategy::Nobody, &strategies),
            max_slow_ms: section.millis("max_slow_ms", 30_000, 1..=86_400_000),
            check_period_ms: section.millis("check_period_ms", 30_000, 10..=86_400_000),
            abort_connection: section.bool("abort_connection", false),
            ignore_network_consumers: section.bool("ignore_network_consumers", true),
            ignore_idle_consumers: section.bool("ignore_idle_consumers", true),
        };
        section.finish();
        slow
    }
}

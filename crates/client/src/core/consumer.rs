//! Consumers as the planner keeps them: what was dispatched to each, and how far the application got.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::{
    ConsumerId, ConsumerInfo, Destination, DestinationKind, Message, MessageAck, MessageId, WireStr,
};

use super::AckMode;
use crate::message::Delivery;
use crate::settings::PrefetchPolicy;

/// What consumer is wanted.
///
/// ```
/// use ferromq_client::{AckMode, ConsumerSpec, Destination};
///
/// let spec = ConsumerSpec::new(Destination::queue("orders")).selector("region = 'eu'").prefetch(10);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerSpec {
    /// A queue or topic; may be a pattern or a composite.
    pub destination: Destination,
    /// Messages that may wait here; 0 makes the consumer ask for each one. The connection's policy by default.
    pub prefetch: Option<u32>,
    /// Which messages are wanted.
    pub selector: Option<WireStr>,
    /// Makes the consumer of a topic a durable subscription of the connection's client id.
    pub subscription: Option<WireStr>,
    /// Whether messages of this connection are left out (topics).
    pub no_local: bool,
    /// Whether no other consumer of the queue gets anything as long as this one lives.
    pub exclusive: bool,
    /// Whether earlier messages of the topic are wanted, as far as the broker keeps them.
    pub retroactive: bool,
    /// Among consumers of a queue, the highest priority comes first.
    pub priority: i8,
    /// Looks at the messages of a queue and leaves them there.
    pub browser: bool,
}

impl ConsumerSpec {
    /// A plain consumer.
    pub fn new(destination: Destination) -> Self {
        Self {
            destination,
            prefetch: None,
            selector: None,
            subscription: None,
            no_local: false,
            exclusive: false,
            retroactive: false,
            priority: 0,
            browser: false,
        }
    }

    /// Sets the prefetch.
    #[must_use]
    pub fn prefetch(mut self, messages: u32) -> Self {
        self.prefetch = Some(messages);
        self
    }

    /// Sets the selector (JMS 1.1 §3.8.1).
    #[must_use]
    pub fn selector(mut self, selector: impl Into<WireStr>) -> Self {
        self.selector = Some(selector.into());
        self
    }

    /// Makes it a durable subscription.
    #[must_use]
    pub fn subscription(mut self, name: impl Into<WireStr>) -> Self {
        self.subscription = Some(name.into());
        self
    }

    /// Makes it a browser.
    #[must_use]
    pub fn browser(mut self) -> Self {
        self.browser = true;
        self
    }

    pub(crate) fn window(&self, policy: &PrefetchPolicy) -> u32 {
        let topic = matches!(self.destination.kind, DestinationKind::Topic | DestinationKind::TempTopic);
        let default = match (self.browser, topic, &self.subscription) {
            (true, ..) => policy.browser,
            (_, true, Some(_)) => policy.durable,
            (_, true, None) => policy.topic,
            _ => policy.queue,
        };
        // What pulls needs a broker that remembers it: not so for topics, where Java uses 1 as well.
        let window = self.prefetch.unwrap_or(default).min(i32::MAX as u32);
        if topic && window == 0 { 1 } else { window }
    }

    pub(super) fn info(&self, id: &ConsumerId, window: u32, client_id: &WireStr) -> ConsumerInfo {
        ConsumerInfo {
            consumer_id: Some(id.clone()),
            destination: Some(self.destination.clone()),
            prefetch_size: i32::try_from(window).unwrap_or(i32::MAX),
            dispatch_async: true,
            selector: self.selector.clone(),
            client_id: self.subscription.as_ref().map(|_| client_id.clone()),
            subscription_name: self.subscription.clone(),
            no_local: self.no_local,
            exclusive: self.exclusive,
            retroactive: self.retroactive,
            priority: self.priority,
            browser: self.browser,
            ..ConsumerInfo::default()
        }
    }
}

/// A message that the broker waits to see acknowledged.
pub(super) struct Entry {
    pub message: Arc<Message>,
    /// Where it lies, which is not the consumer's pattern.
    pub destination: Option<Destination>,
    pub counter: i32,
    pub sequence: u64,
}

impl Entry {
    pub fn id(&self) -> Option<MessageId> {
        self.message.message_id.clone()
    }

    pub fn delivery(&self) -> Delivery {
        Delivery {
            message: Arc::clone(&self.message),
            redelivery_counter: self.counter,
            sequence: self.sequence,
        }
    }
}

pub(super) struct Consumer {
    pub id: ConsumerId,
    pub session: i64,
    pub mode: AckMode,
    pub destination: Destination,
    pub spec: ConsumerSpec,
    pub window: u32,
    pub browser: bool,
    /// A message was asked for, with that much time, and none came yet.
    pub pulling: Option<i64>,
    /// Taken by the application in an open transaction, and not yet brought again by another broker.
    pub expected: Vec<MessageId>,
    /// Messages that were brought again may lie between others.
    pub scattered: bool,
    /// In the order in which they came; the first `handed` of them the application has.
    pub entries: VecDeque<Entry>,
    pub handed: usize,
    /// Of those handed out, the first so many are known to the broker as delivered.
    pub extended: usize,
    /// Waiting for the answer to a commit.
    pub committing: Vec<Entry>,
    /// Closed by the application, kept until its transaction ends.
    pub closing: bool,
    pub paused_until: Option<Instant>,
    /// When a lazy acknowledgement is due.
    pub ack_due: Option<Instant>,
    pub last_sequence: u64,
    /// `brokerSequenceId` of the last message that the application took; -1 for none.
    pub last_delivered: i64,
}

/// How long messages of [`AckMode::DupsOk`] may wait for their acknowledgement, as Java's optimised acknowledge.
pub(super) const LAZY_ACK: Duration = Duration::from_millis(300);

impl Consumer {
    pub fn is_topic(&self) -> bool {
        matches!(self.destination.kind, DestinationKind::Topic | DestinationKind::TempTopic)
    }

    pub fn deadline(&self) -> Option<Instant> {
        [self.paused_until, self.ack_due].into_iter().flatten().min()
    }

    /// Messages that may wait for the application before the broker is taken for broken. Brokers exceed the window
    /// a little when a transaction ends.
    pub fn most_waiting(&self) -> usize {
        (self.window as usize).saturating_mul(4).saturating_add(1000)
    }

    /// Handed out messages at which the broker hears of them.
    pub fn half_window(&self) -> usize {
        (self.window as usize / 2).max(1)
    }

    /// An acknowledgement of entries `first..=last`.
    pub fn ack(&self, kind: ferromq_openwire::AckType, first: usize, last: usize) -> Option<MessageAck> {
        let (from, to) = (self.entries.get(first)?, self.entries.get(last)?);
        Some(MessageAck {
            destination: to.destination.clone(),
            consumer_id: Some(self.id.clone()),
            ack_type: kind as i8,
            first_message_id: from.id(),
            last_message_id: to.id(),
            message_count: i32::try_from(last + 1 - first).unwrap_or(i32::MAX),
            ..MessageAck::default()
        })
    }
}

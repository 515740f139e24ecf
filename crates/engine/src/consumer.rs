//! [`Consumer`]: a client's consumer, its window, and what it has been handed.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{
    ConsumerFacts, Destination, DestinationKind, DestinationPattern, Instant, Message, MessageId, ProducerId,
    Sequence, Ticket,
};

use crate::arena::Key;
use crate::aside::Aside;
use crate::browse::Browse;
use crate::durable::DurableKey;
use crate::filter::Filter;
use crate::place::PlaceKey;
use crate::window::Place;
use crate::{ConnId, LocalId};

pub(crate) type ConsumerKey = Key<Consumer>;

/// Where a message that a consumer holds is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// The queue or topic.
    pub(crate) place: PlaceKey,
    /// The durable subscription, for a topic.
    pub(crate) durable: Option<DurableKey>,
}

/// How far an acknowledgement of a delivered message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It counts against the window.
    Outstanding,
    /// The client said that the application has it; it counts no longer.
    Delivered,
    /// The client has had it before, and what became of that is not known yet; it counts no longer.
    Aside,
    /// Acknowledged in this transaction of the connection, which is open.
    InTransaction(i64),
}

/// A message that a consumer was handed and has not acknowledged for good.
#[derive(Clone, Debug)]
pub(crate) struct Dispatched {
    pub(crate) producer: ProducerId,
    pub(crate) number: i64,
    pub(crate) origin: Origin,
    pub(crate) at: Place,
    pub(crate) stage: Stage,
}

impl Dispatched {
    pub(crate) fn is(&self, id: &MessageId) -> bool {
        self.number == id.sequence && self.producer == id.producer
    }
}

/// A message of a topic that waits for one consumer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) place: PlaceKey,
    pub(crate) sequence: Sequence,
    pub(crate) ticket: Ticket,
    pub(crate) message: Arc<Message>,
}

/// What a consumer reads from.
#[derive(Debug)]
pub(crate) enum Role {
    /// Queues and topics.
    Plain,
    /// A durable subscription.
    Durable(DurableKey),
    /// Queues, without taking anything.
    Browser(Browse),
}

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) conn: ConnId,
    pub(crate) local: LocalId,
    pub(crate) facts: Arc<ConsumerFacts>,
    pub(crate) filter: Option<Filter>,
    pub(crate) role: Role,
    /// The queues and topics it is attached to.
    pub(crate) places: Vec<PlaceKey>,
    /// Destinations that it wants as soon as they exist.
    pub(crate) patterns: Vec<(DestinationKind, DestinationPattern)>,
    pub(crate) prefetch: u32,
    pub(crate) dispatched: VecDeque<Dispatched>,
    /// Messages that count against the window.
    pub(crate) outstanding: u32,
    /// Topic messages: handed out and not acknowledged, and those of them that no longer count.
    pub(crate) topic_unacknowledged: u32,
    pub(crate) topic_delivered: u32,
    pub(crate) pulls: VecDeque<Option<Instant>>,
    /// When its pulls are looked at next.
    pub(crate) pull_timer: Option<Instant>,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) pending_limit: Option<usize>,
    pub(crate) congested: bool,
    pub(crate) dispatched_total: u64,
    /// Where the last acknowledged message was found.
    pub(crate) hint: usize,
    pub(crate) most_unacknowledged: usize,
    /// It was reported as slow and has not caught up since.
    pub(crate) slow: bool,
    /// When it acknowledged last, or began.
    pub(crate) acknowledged_at: Instant,
    /// Since when its window was seen full with messages behind it.
    pub(crate) slow_since: Option<Instant>,
    /// It was told to go.
    pub(crate) aborted: bool,
    /// The client set messages aside.
    pub(crate) aside: Option<Aside>,
    /// The link whose stream its messages belong to.
    pub(crate) link: Option<usize>,
    /// That stream can take no more now.
    pub(crate) link_full: bool,
    pub(crate) dirty: bool,
}

impl Consumer {
    /// Whether one of its patterns covers a destination, and nothing leaves that out.
    pub(crate) fn wants_by_pattern(&self, destination: &Destination) -> bool {
        let scope = self.facts.network_filter.as_ref().and_then(|filter| filter.scope.as_ref());
        self.patterns
            .iter()
            .any(|(kind, pattern)| *kind == destination.kind && pattern.matches(&destination.name))
            && scope.is_none_or(|scope| scope.permits(destination))
    }

    /// Whether one more message may be handed out now.
    pub(crate) fn has_room(&self) -> bool {
        if self.congested || self.link_full || self.dispatched.len() >= self.most_unacknowledged {
            return false;
        }
        if self.prefetch == 0 { !self.pulls.is_empty() } else { self.outstanding < self.prefetch }
    }

    /// Counts a message that is handed out now.
    pub(crate) fn count(&mut self) {
        self.outstanding += 1;
        self.dispatched_total += 1;
        if self.prefetch == 0 {
            self.pulls.pop_front();
        }
    }

    pub(crate) const fn is_browser(&self) -> bool {
        matches!(self.role, Role::Browser(_))
    }

    /// Finds a message by its id, looking first where the last one was found.
    pub(crate) fn find(&mut self, id: &MessageId) -> Option<usize> {
        let len = self.dispatched.len();
        if self.dispatched.back().is_some_and(|last| last.is(id)) {
            return Some(len - 1);
        }
        let from = self.hint.min(len);
        let found = (from..len)
            .chain(0..from)
            .find(|index| self.dispatched.get(*index).is_some_and(|dispatched| dispatched.is(id)))?;
        self.hint = found;
        Some(found)
    }

    /// Moves a delivered message to another stage, keeping the window's count.
    pub(crate) fn set_stage(&mut self, index: usize, stage: Stage) {
        let Some(dispatched) = self.dispatched.get_mut(index) else { return };
        if dispatched.stage == Stage::Outstanding {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        if stage == Stage::Outstanding {
            self.outstanding += 1;
        }
        dispatched.stage = stage;
    }

    /// Takes a delivered message off the list.
    pub(crate) fn take(&mut self, index: usize) -> Option<Dispatched> {
        let dispatched = self.dispatched.remove(index)?;
        if dispatched.stage == Stage::Outstanding {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        self.hint = index;
        Some(dispatched)
    }

    /// Topic messages were acknowledged, or are about to be.
    pub(crate) fn count_topic_ack(&mut self, count: u32) {
        let count = count.min(self.topic_unacknowledged);
        self.topic_unacknowledged -= count;
        let widened = count.min(self.topic_delivered);
        self.topic_delivered -= widened;
        self.outstanding = self.outstanding.saturating_sub(count - widened);
    }

    /// Topic messages no longer count against the window, though they are not acknowledged.
    pub(crate) fn widen_topic(&mut self, count: u32) {
        let count =
            count.min(self.topic_unacknowledged - self.topic_delivered.min(self.topic_unacknowledged));
        self.topic_delivered += count;
        self.outstanding = self.outstanding.saturating_sub(count);
    }
}

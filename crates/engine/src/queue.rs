//! [`Queue`]: a window of messages and the consumers that compete for them.

use std::time::Duration;

use ferromq_model::Instant;

use crate::arena::Arena;
use crate::backlog::Backlog;
use crate::consumer::{Consumer, ConsumerKey};
use crate::groups::Groups;
use crate::window::{Place, Window};

/// One consumer at one queue.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) consumer: ConsumerKey,
    pub(crate) priority: i8,
    pub(crate) exclusive: bool,
    /// It has a selector.
    pub(crate) selective: bool,
    /// It stands for consumers on another broker.
    pub(crate) network: bool,
    /// Nothing ready before this place is for this consumer.
    pub(crate) scan: Place,
    /// What a bridge with a rate limit got lately.
    pub(crate) period: Period,
}

impl Attachment {
    /// Of exclusive consumers the strongest gets everything; if others are as strong as a bridge, they come first.
    const fn strength(&self) -> (i8, bool) {
        (self.priority, !self.network)
    }
}

/// Messages of one period, for a rate limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Period {
    begun: Instant,
    count: u32,
}

/// So many messages in so much time.
pub(crate) type Rate = (u32, Duration);

impl Period {
    /// Whether no more may follow before the period ends.
    pub(crate) fn is_spent(&self, rate: Rate, now: Instant) -> bool {
        self.count >= rate.0 && now < self.begun + rate.1
    }

    /// One more. When the next period begins, if this was the last of this one.
    pub(crate) fn count(&mut self, rate: Rate, now: Instant) -> Option<Instant> {
        if self.count == 0 || now >= self.begun + rate.1 {
            *self = Self { begun: now, count: 0 };
        }
        self.count += 1;
        (self.count >= rate.0).then(|| self.begun + rate.1)
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) window: Window,
    /// Messages that are not persistent and wait in the spool.
    pub(crate) backlog: Backlog,
    /// By falling priority, then in the order in which they came.
    pub(crate) attached: Vec<Attachment>,
    pub(crate) browsers: Vec<ConsumerKey>,
    /// Whose turn it is within a priority.
    pub(crate) turn: usize,
    pub(crate) groups: Groups,
    /// A message with a group was here.
    pub(crate) grouped: bool,
    /// All consumers are alike: of one priority, without selectors.
    alike: bool,
    /// The one that gets everything, if there is one.
    pub(crate) exclusive: Option<ConsumerKey>,
    /// Dispatch begins then, or when enough consumers are there.
    pub(crate) opens: Option<Instant>,
    /// When messages that may go back to the broker that they came from are looked at again.
    pub(crate) back: Option<Instant>,
    /// No consumer had room at the last look, and none has said that it has since.
    pub(crate) stalled: bool,
    pub(crate) dirty: bool,
}

impl Queue {
    pub(crate) fn new(window: Window, groups: usize) -> Self {
        Self {
            window,
            backlog: Backlog::default(),
            attached: Vec::new(),
            browsers: Vec::new(),
            turn: 0,
            groups: Groups::new(groups),
            grouped: false,
            alike: true,
            exclusive: None,
            opens: None,
            back: None,
            stalled: false,
            dirty: false,
        }
    }

    pub(crate) fn attach(&mut self, attachment: Attachment) {
        let at = self.attached.partition_point(|other| other.priority >= attachment.priority);
        if attachment.exclusive {
            let stronger = self.holder().is_none_or(|holder| attachment.strength() > holder.strength());
            if stronger {
                self.exclusive = Some(attachment.consumer);
            }
        }
        self.attached.insert(at, attachment);
        self.compare();
        self.stalled = false;
    }

    pub(crate) fn detach(&mut self, consumer: ConsumerKey) {
        self.attached.retain(|other| other.consumer != consumer);
        self.browsers.retain(|other| *other != consumer);
        self.compare();
        // What came over a bridge may have to go back now.
        if self.groups.disown(consumer) || self.serves_bridges() {
            self.look_again(0);
        }
        if self.exclusive == Some(consumer) {
            // By falling priority, so of the strongest the first.
            let exclusive = self.attached.iter().rev().filter(|other| other.exclusive);
            self.exclusive = exclusive.max_by_key(|other| other.strength()).map(|other| other.consumer);
            self.look_again(0);
        }
        self.stalled = false;
    }

    /// The exclusive consumer that gets everything.
    fn holder(&self) -> Option<&Attachment> {
        let holder = self.exclusive?;
        self.attached.iter().find(|other| other.consumer == holder)
    }

    /// Whether nobody but bridges consumes here, or may while one of them is the exclusive consumer.
    pub(crate) fn serves_bridges_alone(&self) -> bool {
        self.holder().map_or_else(
            || !self.attached.is_empty() && self.attached.iter().all(|attachment| attachment.network),
            |holder| holder.network,
        )
    }

    /// Whether whoever consumes here does so for a stream to another broker.
    pub(crate) fn serves_links_alone(&self, consumers: &Arena<Consumer>) -> bool {
        let linked = |key| consumers.get(key).is_some_and(|consumer: &Consumer| consumer.link.is_some());
        !self.attached.is_empty() && self.attached.iter().all(|attachment| linked(attachment.consumer))
    }

    /// Whether a bridge consumes here.
    pub(crate) fn serves_bridges(&self) -> bool {
        self.attached.iter().any(|attachment| attachment.network)
    }

    fn compare(&mut self) {
        let priority = self.attached.first().map(|first| first.priority);
        self.alike = self.attached.iter().all(|other| !other.selective && Some(other.priority) == priority);
    }

    /// Collects the attachments with room, in order; says whether there may be more. If all are alike, no more are
    /// looked at than there are messages, beginning with the one whose turn it is.
    pub(crate) fn open_attachments(
        &self,
        has_room: impl Fn(&Attachment) -> bool,
        open: &mut Vec<usize>,
    ) -> bool {
        let count = self.attached.len();
        let few = self.alike && !self.grouped && self.exclusive.is_none() && self.window.ready() < count;
        let begin = if few { self.turn % count.max(1) } else { 0 };
        let enough = if few { self.window.ready().max(1) } else { count };
        for index in (begin..count).chain(0..begin) {
            if few && open.len() == enough {
                open.sort_unstable();
                return true;
            }
            let Some(attachment) = self.attached.get(index) else { continue };
            if self.exclusive.is_none_or(|one| one == attachment.consumer) && has_room(attachment) {
                open.push(index);
            }
        }
        open.sort_unstable();
        false
    }

    /// Whether something waits in the spool that not all consumers have passed.
    pub(crate) fn waits_in_spool(&self) -> bool {
        let from = || self.attached.iter().map(|attachment| attachment.scan).min().unwrap_or_default();
        !self.backlog.is_empty() && self.backlog.needed(from()).is_some()
    }

    /// Whether this consumer has not passed all that waits in the spool.
    pub(crate) fn waits_in_spool_for(&self, consumer: ConsumerKey) -> bool {
        self.exclusive.is_none_or(|one| one == consumer)
            && self
                .attached
                .iter()
                .any(|other| other.consumer == consumer && self.backlog.needed(other.scan).is_some())
    }

    /// Something at `place` became ready for consumers that had passed it.
    pub(crate) fn look_again(&mut self, place: Place) {
        for attachment in &mut self.attached {
            attachment.scan = attachment.scan.min(place);
        }
    }
}

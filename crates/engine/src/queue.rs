//! [`Queue`]: a window of messages and the consumers that compete for them.

use ferromq_model::Instant;

use crate::consumer::ConsumerKey;
use crate::groups::Groups;
use crate::window::{Place, Window};

/// One consumer at one queue.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) consumer: ConsumerKey,
    pub(crate) priority: i8,
    pub(crate) exclusive: bool,
    /// Nothing ready before this place is for this consumer.
    pub(crate) scan: Place,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) window: Window,
    /// By falling priority, then in the order in which they came.
    pub(crate) attached: Vec<Attachment>,
    pub(crate) browsers: Vec<ConsumerKey>,
    /// Whose turn it is within a priority.
    pub(crate) turn: usize,
    pub(crate) groups: Groups,
    /// The one that gets everything, if there is one.
    pub(crate) exclusive: Option<ConsumerKey>,
    /// Dispatch begins then, or when enough consumers are there.
    pub(crate) opens: Option<Instant>,
    /// No consumer had room at the last look, and none has said that it has since.
    pub(crate) stalled: bool,
    pub(crate) dirty: bool,
}

impl Queue {
    pub(crate) fn new(window: Window, groups: usize) -> Self {
        Self {
            window,
            attached: Vec::new(),
            browsers: Vec::new(),
            turn: 0,
            groups: Groups::new(groups),
            exclusive: None,
            opens: None,
            stalled: false,
            dirty: false,
        }
    }

    pub(crate) fn attach(&mut self, attachment: Attachment) {
        let at = self.attached.partition_point(|other| other.priority >= attachment.priority);
        if attachment.exclusive {
            let stronger = self
                .exclusive
                .and_then(|holder| self.attached.iter().find(|other| other.consumer == holder))
                .is_none_or(|holder| attachment.priority > holder.priority);
            if stronger {
                self.exclusive = Some(attachment.consumer);
            }
        }
        self.attached.insert(at, attachment);
        self.stalled = false;
    }

    pub(crate) fn detach(&mut self, consumer: ConsumerKey) {
        self.attached.retain(|other| other.consumer != consumer);
        self.browsers.retain(|other| *other != consumer);
        if self.groups.disown(consumer) {
            self.look_again(0);
        }
        if self.exclusive == Some(consumer) {
            // By falling priority, so the first is the strongest.
            self.exclusive = self.attached.iter().find(|other| other.exclusive).map(|other| other.consumer);
            self.look_again(0);
        }
        self.stalled = false;
    }

    /// Something at `place` became ready for consumers that had passed it.
    pub(crate) fn look_again(&mut self, place: Place) {
        for attachment in &mut self.attached {
            attachment.scan = attachment.scan.min(place);
        }
    }
}

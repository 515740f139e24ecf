//! Of a message of a virtual topic one copy in a queue, over whatever links it comes.
//!
//! A message of a virtual topic that comes over a link is put into the queues which the topic feeds here. The broker that it
//! came from has fed its own, and for consumers here of a queue of that name the copy which lies there comes over the link as well. Whichever
//! is the second is known by queue and message. What has been here before is no second copy, it comes back.
//!
//! This is kept in memory alone: after a restart the second copy may be taken for a first one, never the other way round.

use ferromq_model::{Destination, DestinationKind, Message, ProducerId, Text};

use crate::dedup::Slot;
use crate::engine::Engine;

impl Engine {
    /// Whether a message that came over a link is a copy that a virtual topic has made elsewhere, for a queue which it feeds
    /// here as well.
    pub(crate) fn is_fed_elsewhere(&self, message: &Message) -> bool {
        let from = message.extra.as_ref().and_then(|extra| extra.original_destination.as_ref());
        let queue = &message.destination;
        from.is_some_and(|from| {
            queue.kind == DestinationKind::Queue
                && from.kind == DestinationKind::Topic
                && self
                    .settings
                    .virtual_topics
                    .iter()
                    .any(|rule| rule.feeding(&queue.name) == Some(&*from.name))
        })
    }

    /// Notes that a message lies in a queue; whether a copy that came over another way did so before.
    pub(crate) fn lies_there(&mut self, queue: &Destination, message: &Message) -> bool {
        let path = message.extra.as_ref().map_or(&[][..], |extra| &extra.broker_path);
        if path.is_empty() || path.contains(&self.settings.broker_id) {
            return false;
        }
        let first = &message.id.producer;
        let copies = Text::from(format!("fed:{queue}:{}", first.connection));
        let copies = ProducerId::new(copies, first.session, first.value);
        let lies = self.fed.knows(&copies, message.id.sequence, Slot::default());
        if lies {
            self.count_duplicate(queue);
        } else {
            self.fed.mark(&copies, message.id.sequence, Slot::default());
        }
        lies
    }
}

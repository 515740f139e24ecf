//! [`Site`]: one queue or topic, and [`Places`]: all of them by name.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{Destination, DestinationId, DestinationPattern, Instant, Text};
use rustc_hash::FxHashMap;

use crate::arena::{Arena, Key};
use crate::consumer::ConsumerKey;
use crate::durable::DurableKey;
use crate::flow::Parked;
use crate::queue::Queue;
use crate::recent::Recent;
use crate::{Counters, Policy};

pub(crate) type PlaceKey = Key<Site>;

/// The subscribers of a topic.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    pub(crate) consumers: Vec<ConsumerKey>,
    pub(crate) durables: Vec<DurableKey>,
    /// Queues that get a copy of each message (virtual topics).
    pub(crate) feeds: Vec<PlaceKey>,
    /// What went by, for retroactive consumers.
    pub(crate) recent: Recent,
}

#[derive(Debug)]
pub(crate) enum Body {
    Queue(Box<Queue>),
    Topic(Topic),
}

/// Whose a temporary destination is.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// The id of the connection that made it.
    pub(crate) connection: Text,
    /// Ids of the brokers that it was told of over, if that is a bridge's.
    pub(crate) path: Vec<Text>,
}

/// One queue or topic.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) destination: Destination,
    /// Its id in the store, once it is there.
    pub(crate) id: Option<DestinationId>,
    pub(crate) policy: Arc<Policy>,
    /// Whose it is, for a temporary one.
    pub(crate) owner: Option<Owner>,
    pub(crate) body: Body,
    pub(crate) counters: Counters,
    pub(crate) sent: u64,
    /// Bytes of messages that are in memory alone.
    pub(crate) memory_bytes: u64,
    /// What is charged for messages in the store.
    pub(crate) store_bytes: u64,
    /// Copies that wait for non-durable subscribers of a topic.
    pub(crate) topic_pending: u64,
    pub(crate) producers: usize,
    pub(crate) parked: VecDeque<Parked>,
    pub(crate) sweep_armed: bool,
    /// When the log named who waits here last, and whether it will again.
    pub(crate) named: Option<Instant>,
    pub(crate) naming_armed: bool,
    /// A full limit was reported and not left since.
    pub(crate) reported_full: bool,
    /// Since when it was seen unused, and how much had been sent to it by then.
    pub(crate) unused: Option<(Instant, u64)>,
    pub(crate) slow_armed: bool,
}

impl Site {
    pub(crate) fn new(destination: Destination, policy: Arc<Policy>, body: Body) -> Self {
        Self {
            destination,
            id: None,
            policy,
            owner: None,
            body,
            counters: Counters::default(),
            sent: 0,
            memory_bytes: 0,
            store_bytes: 0,
            topic_pending: 0,
            producers: 0,
            parked: VecDeque::new(),
            sweep_armed: false,
            named: None,
            naming_armed: false,
            reported_full: false,
            unused: None,
            slow_armed: false,
        }
    }

    pub(crate) fn queue(&self) -> Option<&Queue> {
        match &self.body {
            Body::Queue(queue) => Some(queue),
            Body::Topic(_) => None,
        }
    }

    pub(crate) fn queue_mut(&mut self) -> Option<&mut Queue> {
        match &mut self.body {
            Body::Queue(queue) => Some(queue),
            Body::Topic(_) => None,
        }
    }

    pub(crate) fn topic(&self) -> Option<&Topic> {
        match &self.body {
            Body::Topic(topic) => Some(topic),
            Body::Queue(_) => None,
        }
    }

    pub(crate) fn topic_mut(&mut self) -> Option<&mut Topic> {
        match &mut self.body {
            Body::Topic(topic) => Some(topic),
            Body::Queue(_) => None,
        }
    }

    /// Consumers, browsers not counted.
    pub(crate) fn consumers(&self) -> usize {
        match &self.body {
            Body::Queue(queue) => queue.attached.len(),
            Body::Topic(topic) => topic.consumers.len(),
        }
    }

    /// Whether messages here may be put into the store at all.
    pub(crate) fn can_store(&self) -> bool {
        !self.destination.kind.is_temporary() && !self.destination.is_advisory()
    }
}

/// All queues and topics.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) arena: Arena<Site>,
    pub(crate) names: FxHashMap<Destination, PlaceKey>,
    /// Consumers that want destinations by pattern.
    pub(crate) wanted: Vec<ConsumerKey>,
    /// Durable subscriptions by pattern.
    pub(crate) wanted_durables: Vec<(DestinationPattern, DurableKey)>,
    /// Rises whenever a destination comes or goes, so that remembered routes are looked up again.
    pub(crate) generation: u64,
}

impl Places {
    pub(crate) fn find(&self, destination: &Destination) -> Option<PlaceKey> {
        self.names.get(destination).copied()
    }

    pub(crate) fn get(&self, key: PlaceKey) -> Option<&Site> {
        self.arena.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: PlaceKey) -> Option<&mut Site> {
        self.arena.get_mut(key)
    }

    pub(crate) fn insert(&mut self, site: Site) -> PlaceKey {
        let destination = site.destination.clone();
        let key = self.arena.insert(site);
        self.names.insert(destination, key);
        self.generation += 1;
        key
    }

    pub(crate) fn remove(&mut self, key: PlaceKey) -> Option<Site> {
        let site = self.arena.remove(key)?;
        self.names.remove(&site.destination);
        self.generation += 1;
        Some(site)
    }
}

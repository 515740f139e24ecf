//! What distinguishes one flow of messages from another.

/// A flow from producers to consumers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub producers: usize,
    pub consumers: usize,
    pub destinations: usize,
    pub topic: bool,
    pub durable: bool,
    pub persistent: bool,
    /// Messages of a transaction; 0 for none.
    pub batch: u64,
    pub body_bytes: usize,
    /// Messages per second of each producer; 0 for as many as it can.
    pub rate: u64,
    /// Each consumer wants another tenth.
    pub selectors: bool,
}

const PLAIN: Shape = Shape {
    producers: 1,
    consumers: 1,
    destinations: 1,
    topic: false,
    durable: false,
    persistent: true,
    batch: 0,
    body_bytes: 1024,
    rate: 0,
    selectors: false,
};

/// Every flow: its name, what it is, and its shape.
pub(super) const FLOWS: &[(&str, &str, Shape)] = &[
    ("pq-1x1", "persistent, one producer, one consumer", PLAIN),
    (
        "pq-16x16-1q",
        "persistent, sixteen producers and consumers on one queue",
        Shape { producers: 16, consumers: 16, ..PLAIN },
    ),
    (
        "pq-16x16-16q",
        "persistent, sixteen producers and consumers on as many queues",
        Shape { producers: 16, consumers: 16, destinations: 16, ..PLAIN },
    ),
    ("ptx-100", "persistent, a hundred messages in each transaction", Shape { batch: 100, ..PLAIN }),
    ("npq-1x1", "non-persistent, one producer, one consumer", Shape { persistent: false, ..PLAIN }),
    (
        "npq-8x8",
        "non-persistent, eight producers and consumers",
        Shape { persistent: false, producers: 8, consumers: 8, ..PLAIN },
    ),
    (
        "topic-1x10",
        "non-persistent topic with ten consumers",
        Shape { persistent: false, topic: true, consumers: 10, ..PLAIN },
    ),
    (
        "durable-1x4",
        "persistent topic with four durable subscriptions",
        Shape { topic: true, durable: true, consumers: 4, ..PLAIN },
    ),
    ("large-1m", "persistent, 1 MiB each", Shape { body_bytes: 1 << 20, ..PLAIN }),
    ("pq-rate200", "persistent, 200 a second", Shape { rate: 200, ..PLAIN }),
    ("npq-rate2000", "non-persistent, 2,000 a second", Shape { persistent: false, rate: 2000, ..PLAIN }),
    (
        "selectors-10",
        "non-persistent, ten consumers that want a tenth each",
        Shape { persistent: false, consumers: 10, selectors: true, ..PLAIN },
    ),
];

impl Shape {
    /// The flow of a name.
    pub fn named(name: &str) -> Option<Self> {
        FLOWS.iter().find(|(known, ..)| *known == name).map(|(.., shape)| *shape)
    }

    /// Copies that the consumers together receive of each message.
    pub fn copies(&self) -> u64 {
        if self.topic { self.consumers as u64 } else { 1 }
    }
}

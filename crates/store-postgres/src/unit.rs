//! [`Unit`]: the batches of one transaction, as the columns of its statements.
//!
//! The statements of a transaction have a fixed order: what is put, then what is acknowledged and removed, then what is
//! dropped. That is the order of the operations in effect, because places and ids only rise, and what refers to a
//! place that is not used yet was left out before ([`State::admit`]).

use std::collections::{BTreeMap, BTreeSet};

use ferromq_model::{DestinationId, Message, ProducerId, Sequence, StreamId, StreamPosition, SubscriptionId};
use ferromq_store::{Passage, StoreOp, StreamOp, StreamRecord, SubscriptionRecord, WriteBatch, header};

use crate::error::int;
use crate::state::State;

/// Columns of messages.
#[derive(Debug, Default)]
pub(crate) struct Messages<'a> {
    pub(crate) destination: Vec<i64>,
    pub(crate) sequence: Vec<i64>,
    pub(crate) priority: Vec<i16>,
    pub(crate) expiration: Vec<i64>,
    pub(crate) charge: Vec<i64>,
    pub(crate) crc: Vec<i64>,
    pub(crate) header: Vec<Vec<u8>>,
    pub(crate) properties: Vec<Option<&'a [u8]>>,
    pub(crate) body: Vec<Option<&'a [u8]>>,
}

/// Columns of subscriptions that are put.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions<'a> {
    pub(crate) id: Vec<i64>,
    pub(crate) client: Vec<&'a [u8]>,
    pub(crate) name: Vec<&'a [u8]>,
    pub(crate) topic_kind: Vec<i16>,
    pub(crate) topic: Vec<&'a [u8]>,
    pub(crate) selector: Vec<Option<&'a [u8]>>,
    pub(crate) no_local: Vec<bool>,
}

/// Columns of producers' windows.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    pub(crate) connection: Vec<Vec<u8>>,
    pub(crate) session: Vec<i64>,
    pub(crate) value: Vec<i64>,
    pub(crate) highest: Vec<i64>,
    pub(crate) bits: Vec<Vec<u8>>,
    pub(crate) used: Vec<i64>,
}

/// What is added to the counts of a destination or subscription.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) id: Vec<i64>,
    pub(crate) messages: Vec<i64>,
    pub(crate) bytes: Vec<i64>,
    pub(crate) exposed: Vec<i64>,
}

/// Up to three columns of numbers.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) subscription: Vec<i64>,
    pub(crate) destination: Vec<i64>,
    pub(crate) sequence: Vec<i64>,
}

/// Columns of streams that are put.
#[derive(Debug, Default)]
pub(crate) struct StreamColumns<'a> {
    pub(crate) id: Vec<i64>,
    pub(crate) name: Vec<&'a [u8]>,
    pub(crate) reserved: Vec<i64>,
}

/// Columns of positions in streams.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    pub(crate) stream: Vec<i64>,
    pub(crate) position: Vec<i64>,
    pub(crate) destination: Vec<i64>,
    pub(crate) sequence: Vec<i64>,
    pub(crate) subscription: Vec<i64>,
    pub(crate) message: Vec<i64>,
}

/// Columns of ranges of positions.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) stream: Vec<i64>,
    pub(crate) from: Vec<i64>,
    pub(crate) upto: Vec<i64>,
}

/// The batches of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Unit<'a> {
    pub(crate) destination_ids: Vec<i64>,
    pub(crate) destination_kinds: Vec<i16>,
    pub(crate) destination_names: Vec<&'a [u8]>,
    pub(crate) subscriptions: Subscriptions<'a>,
    pub(crate) messages: Messages<'a>,
    /// Which subscription waits for which message.
    pub(crate) waiting: Places,
    pub(crate) acked: Places,
    /// Messages of topics that are removed for all subscriptions.
    pub(crate) unwaited: Places,
    /// Messages that go; those of an acknowledgement only if nobody else waits for them.
    pub(crate) gone: Places,
    pub(crate) forced: Vec<bool>,
    pub(crate) destination_marks: Marks,
    pub(crate) subscription_marks: Marks,
    pub(crate) windows: Windows,
    pub(crate) streams: StreamColumns<'a>,
    pub(crate) positions: Positions,
    pub(crate) settled: Settled,
    pub(crate) dropped_streams: Vec<i64>,
    pub(crate) dropped_destinations: Vec<i64>,
    pub(crate) dropped_subscriptions: Vec<i64>,
    /// What the producers' order of use stands at after this.
    pub(crate) producer_uses: i64,
}

/// A mark while it is added up.
#[derive(Default)]
struct Mark {
    messages: i64,
    bytes: i64,
    exposed: u64,
}

impl Marks {
    fn from_sums(sums: BTreeMap<u64, Mark>) -> Self {
        let mut marks = Self::default();
        for (id, mark) in sums {
            marks.id.push(int(id));
            marks.messages.push(mark.messages);
            marks.bytes.push(mark.bytes);
            marks.exposed.push(int(mark.exposed));
        }
        marks
    }
}

/// What is gathered before it becomes columns.
#[derive(Default)]
struct Gathered<'a> {
    /// By place, which rises. `None`: put and removed in the same transaction.
    puts: Vec<(Sequence, DestinationId, Option<&'a Message>)>,
    subscriptions: BTreeMap<SubscriptionId, &'a SubscriptionRecord>,
    destinations: BTreeMap<u64, Mark>,
    waiting: BTreeMap<u64, Mark>,
    /// With the place of their last use in this transaction.
    producers: BTreeMap<ProducerId, i64>,
    uses: i64,
    streams: BTreeMap<StreamId, (&'a StreamRecord, StreamPosition)>,
    positions: BTreeMap<(StreamId, StreamPosition), Passage>,
}

impl<'a> Unit<'a> {
    /// Makes columns of operations that were [admitted](State::admit).
    pub(crate) fn new(batches: impl IntoIterator<Item = &'a WriteBatch>, state: &State) -> Self {
        let mut unit = Self::default();
        let mut all = Gathered { uses: state.producer_uses, ..Gathered::default() };
        for op in batches.into_iter().flat_map(|batch| &batch.ops) {
            unit.add(op, state, &mut all);
        }
        for (sequence, destination, message) in all.puts {
            let Some(message) = message else { continue };
            unit.messages.push(destination, sequence, message);
            let mark = all.destinations.entry(destination.0).or_default();
            mark.messages += 1;
            mark.bytes += int(message.charge() as u64);
        }
        all.subscriptions.values().for_each(|record| unit.subscriptions.push(record));
        unit.destination_marks = Marks::from_sums(all.destinations);
        unit.subscription_marks = Marks::from_sums(all.waiting);
        unit.windows.fill(&all.producers, state);
        all.streams.values().for_each(|(record, reserved)| unit.streams.push(record, *reserved));
        all.positions.iter().for_each(|(place, passage)| unit.positions.push(*place, passage));
        unit.producer_uses = all.uses;
        unit
    }

    /// Whether there is nothing but messages of queues that come and go, sums of destinations and windows of producers.
    pub(crate) fn is_plain(&self) -> bool {
        let lengths = [
            self.destination_ids.len(),
            self.subscriptions.id.len(),
            self.waiting.sequence.len(),
            self.acked.sequence.len(),
            self.unwaited.sequence.len(),
            self.subscription_marks.id.len(),
            self.streams.id.len(),
            self.positions.stream.len(),
            self.settled.stream.len(),
            self.dropped_streams.len(),
            self.dropped_destinations.len(),
            self.dropped_subscriptions.len(),
        ];
        lengths.iter().sum::<usize>() == 0
    }

    fn add(&mut self, op: &'a StoreOp, state: &State, all: &mut Gathered<'a>) {
        match op {
            StoreOp::PutDestination { id, destination } => {
                self.destination_ids.push(int(id.0));
                self.destination_kinds.push(i16::from(header::kind_number(destination.kind)));
                self.destination_names.push(destination.name.as_bytes());
            }
            StoreOp::PutSubscription(record) => {
                all.subscriptions.insert(record.id, record);
            }
            StoreOp::PutMessage { destination, sequence, message, subscriptions, dedup, exposed } => {
                if *dedup {
                    all.used(&message.id.producer);
                }
                // One that is dropped later in this transaction needs no rows.
                let Some(is_queue) = state.destinations.get(destination) else { return };
                if *exposed {
                    let mark = all.destinations.entry(destination.0).or_default();
                    mark.exposed = mark.exposed.max(sequence.0);
                }
                if *is_queue || !subscriptions.is_empty() {
                    all.puts.push((*sequence, *destination, Some(message)));
                }
                for id in subscriptions.iter().collect::<BTreeSet<_>>() {
                    self.waiting.push(*id, *destination, *sequence);
                    all.waiting.entry(id.0).or_default().messages += 1;
                }
            }
            StoreOp::RemoveMessage { destination, sequence } => {
                let is_queue = state.destinations.get(destination).copied().unwrap_or(true);
                let place = all.puts.binary_search_by_key(sequence, |(put, ..)| *put).ok();
                let put = place.and_then(|place| all.puts.get_mut(place)).filter(|put| put.1 == *destination);
                match put {
                    Some((.., message)) if is_queue => *message = None,
                    _ => {
                        self.gone.push(SubscriptionId(0), *destination, *sequence);
                        self.forced.push(true);
                        if !is_queue {
                            self.unwaited.push(SubscriptionId(0), *destination, *sequence);
                        }
                    }
                }
            }
            StoreOp::AckDurable { subscription, destination, sequence } => {
                self.acked.push(*subscription, *destination, *sequence);
                self.gone.push(SubscriptionId(0), *destination, *sequence);
                self.forced.push(false);
            }
            StoreOp::ExposeQueue { destination, upto } => {
                let mark = all.destinations.entry(destination.0).or_default();
                mark.exposed = mark.exposed.max(upto.0);
            }
            StoreOp::ExposeSubscription { subscription, upto } => {
                let mark = all.waiting.entry(subscription.0).or_default();
                mark.exposed = mark.exposed.max(upto.0);
            }
            StoreOp::Dedup { producer, .. } => all.used(producer),
            StoreOp::DropDestination { id } => self.dropped_destinations.push(int(id.0)),
            StoreOp::DropSubscription { id } => self.dropped_subscriptions.push(int(id.0)),
            StoreOp::Stream(op) => self.add_stream(op, all),
        }
    }
}

impl<'a> Unit<'a> {
    /// A position that is put and settled in the same transaction leaves no row.
    fn add_stream(&mut self, op: &'a StreamOp, all: &mut Gathered<'a>) {
        match op {
            StreamOp::Put(record) => {
                let (kept, reserved) = all.streams.entry(record.id).or_insert((record, record.reserved));
                (*kept, *reserved) = (record, record.reserved.max(*reserved));
            }
            StreamOp::Drop { id } => {
                all.streams.remove(id);
                all.positions.retain(|(stream, _), _| stream != id);
                self.dropped_streams.push(int(id.0));
            }
            StreamOp::Place { stream, position, passage } => {
                all.positions.insert((*stream, *position), *passage);
            }
            StreamOp::Settle { stream, from, upto } => {
                let range = (*stream, *from)..=(*stream, *upto);
                if from == upto {
                    all.positions.remove(range.start());
                } else {
                    all.positions.retain(|place, _| !range.contains(place));
                }
                self.settled.stream.push(int(stream.0));
                self.settled.from.push(int(from.0));
                self.settled.upto.push(int(upto.0));
            }
        }
    }
}

impl<'a> StreamColumns<'a> {
    fn push(&mut self, record: &'a StreamRecord, reserved: StreamPosition) {
        self.id.push(int(record.id.0));
        self.name.push(record.name.bytes());
        self.reserved.push(int(reserved.0));
    }
}

impl Positions {
    fn push(&mut self, (stream, position): (StreamId, StreamPosition), passage: &Passage) {
        self.stream.push(int(stream.0));
        self.position.push(int(position.0));
        self.destination.push(int(passage.destination.0));
        self.sequence.push(int(passage.sequence.0));
        self.subscription.push(int(passage.subscription.0));
        self.message.push(passage.message.cast_signed());
    }
}

impl Gathered<'_> {
    fn used(&mut self, producer: &ProducerId) {
        self.uses += 1;
        self.producers.insert(producer.clone(), self.uses);
    }
}

impl<'a> Messages<'a> {
    fn push(&mut self, destination: DestinationId, sequence: Sequence, message: &'a Message) {
        let head = header::encode(message);
        let (properties, body) = (message.properties.as_deref(), message.body.as_deref());
        self.destination.push(int(destination.0));
        self.sequence.push(int(sequence.0));
        self.priority.push(i16::from(message.priority));
        self.expiration.push(message.expiration);
        self.charge.push(int(message.charge() as u64));
        self.crc.push(i64::from(header::checksum(&head, properties, body)));
        self.header.push(head);
        self.properties.push(properties);
        self.body.push(body);
    }
}

impl<'a> Subscriptions<'a> {
    fn push(&mut self, record: &'a SubscriptionRecord) {
        self.id.push(int(record.id.0));
        self.client.push(record.name.client.bytes());
        self.name.push(record.name.name.bytes());
        self.topic_kind.push(i16::from(header::kind_number(record.topic.kind)));
        self.topic.push(record.topic.name.as_bytes());
        self.selector.push(record.selector.as_ref().map(|selector| &selector.bytes()[..]));
        self.no_local.push(record.no_local);
    }
}

impl Windows {
    fn fill(&mut self, producers: &BTreeMap<ProducerId, i64>, state: &State) {
        for (producer, used) in producers {
            // One that was forgotten meanwhile needs no row.
            let Some(window) = state.producers.window(producer) else { continue };
            self.connection.push(producer.connection.bytes().to_vec());
            self.session.push(producer.session);
            self.value.push(producer.value);
            self.highest.push(window.highest);
            self.bits.push(window.bits.iter().flat_map(|word| word.to_le_bytes()).collect());
            self.used.push(*used);
        }
    }
}

impl Places {
    fn push(&mut self, subscription: SubscriptionId, destination: DestinationId, sequence: Sequence) {
        self.subscription.push(int(subscription.0));
        self.destination.push(int(destination.0));
        self.sequence.push(int(sequence.0));
    }
}

//! [`Index`]: where every message lies, and what every record has changed.

mod check;
mod pages;
mod rows;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use ferromq_journal::{Placed, Position};
use ferromq_model::{Destination, DestinationId, Epoch, Sequence, SubscriptionId};
use ferromq_store::{
    DestinationState, IndexEntry, PageRequest, ProducerWindows, Recovered, StoreError, Streams,
    SubscriptionRecord, SubscriptionState,
};

use crate::change::{Change, MessageHead};

pub(crate) use pages::{Home, PageFileId, PageList, PageRecord, PageSource};
pub(crate) use rows::{Entry, EntryParts, Pending, Row};
pub(crate) use usage::{SegmentUse, Usage};

/// The whole state of a store but the messages themselves.
pub(crate) struct Index {
    pub(crate) destinations: BTreeMap<DestinationId, DestinationIndex>,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, SubscriptionIndex>,
    pub(crate) producers: ProducerWindows,
    pub(crate) streams: Streams,
    pub(crate) usage: Usage,
    pub(crate) next_sequence: Sequence,
    pub(crate) next_destination: DestinationId,
    pub(crate) next_subscription: SubscriptionId,
    /// Records below this can be read from their files.
    pub(crate) written: Position,
    pub(crate) source: Arc<dyn PageSource + Send + Sync>,
}

/// One destination.
pub(crate) struct DestinationIndex {
    pub(crate) destination: Destination,
    pub(crate) entries: PageList<Entry>,
    pub(crate) bytes: u64,
    pub(crate) exposed: Sequence,
}

/// One durable subscription.
pub(crate) struct SubscriptionIndex {
    pub(crate) record: SubscriptionRecord,
    pub(crate) pending: BTreeMap<DestinationId, PageList<Pending>>,
    pub(crate) exposed: Sequence,
}

impl Index {
    pub(crate) fn new(source: Arc<dyn PageSource + Send + Sync>) -> Self {
        Self {
            destinations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            producers: ProducerWindows::new(),
            streams: Streams::default(),
            usage: Usage::default(),
            next_sequence: Sequence(1),
            next_destination: DestinationId(1),
            next_subscription: SubscriptionId(1),
            written: Position::default(),
            source,
        }
    }

    /// Where a message lies.
    pub(crate) fn locate(
        &mut self,
        destination: DestinationId,
        sequence: Sequence,
    ) -> Result<Option<Entry>, StoreError> {
        match self.destinations.get_mut(&destination) {
            Some(found) => found.entries.get(&*self.source, sequence.0),
            None => Ok(None),
        }
    }

    /// Does what a record says. Doing it again changes nothing, so a replay may begin anywhere before the end.
    pub(crate) fn apply(&mut self, change: &Change, placed: Placed, copy: bool) -> Result<(), StoreError> {
        match change {
            Change::PutDestination { id, destination } => {
                self.next_destination = self.next_destination.max(DestinationId(id.0 + 1));
                self.destinations.entry(*id).or_insert_with(|| DestinationIndex::new(destination.clone()));
            }
            Change::DropDestination { id } => self.drop_destination(*id)?,
            Change::PutSubscription(record) => {
                self.next_subscription = self.next_subscription.max(SubscriptionId(record.id.0 + 1));
                let subscription = self.subscriptions.entry(record.id);
                subscription.or_insert_with(|| SubscriptionIndex::new(record.clone())).record =
                    record.clone();
            }
            Change::DropSubscription { id } => self.drop_subscription(*id)?,
            Change::PutMessage(head) => self.put_message(head, placed, copy)?,
            Change::RemoveMessage { destination, sequence, segment } => {
                self.remove(*destination, *sequence)?;
                self.usage.add_removal(placed.position.segment, *segment, placed.size);
            }
            Change::AckDurable { subscription, destination, sequence, segment } => {
                self.acknowledge(*subscription, *destination, *sequence)?;
                self.usage.add_removal(placed.position.segment, *segment, placed.size);
            }
            Change::ExposeQueue { destination, upto } => {
                if let Some(found) = self.destinations.get_mut(destination) {
                    found.exposed = found.exposed.max(*upto);
                }
            }
            Change::ExposeSubscription { subscription, upto } => {
                if let Some(found) = self.subscriptions.get_mut(subscription) {
                    found.exposed = found.exposed.max(*upto);
                }
            }
            Change::Dedup { producer, sequence } => self.producers.record(producer, *sequence),
            Change::Stream(op) => self.streams.apply(op),
        }
        Ok(())
    }

    fn put_message(&mut self, head: &MessageHead, placed: Placed, copy: bool) -> Result<(), StoreError> {
        self.next_sequence = self.next_sequence.max(Sequence(head.sequence.0 + 1));
        if let Some((producer, sequence)) = &head.dedup {
            self.producers.record(producer, *sequence);
        }
        // Ids are never used again: a destination that is not known was dropped.
        let Some(found) = self.destinations.get_mut(&head.destination) else { return Ok(()) };
        if head.exposed {
            found.exposed = found.exposed.max(head.sequence);
        }
        let newest = found.entries.is_newest(head.sequence.0);
        if !newest && let Some(old) = found.entries.get(&*self.source, head.sequence.0)? {
            // A copy, or a replay of what the index knows already.
            found.entries.update(&*self.source, head.sequence.0, |entry| {
                entry.relocate(placed.position, placed.size);
            })?;
            self.usage.sub_live(old.position().segment, old.size());
            self.usage.add_live(placed.position.segment, placed.size);
            if copy {
                self.usage.add_removal(placed.position.segment, old.position().segment, 0);
            }
            return Ok(());
        }
        let mut references = 0;
        for id in &head.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(id) {
                let pending = subscription.pending.entry(head.destination).or_default();
                references += u32::from(pending.insert(&*self.source, head.sequence.0, Pending)?);
            }
        }
        if references == 0 && !found.destination.kind.is_queue() {
            return Ok(());
        }
        let parts = EntryParts {
            position: placed.position,
            size: placed.size,
            charge: head.charge,
            priority: head.priority,
            references,
            expiration: head.expiration,
        };
        found.entries.insert(&*self.source, head.sequence.0, |delta| Entry::new(delta, parts))?;
        found.bytes += u64::from(head.charge);
        self.usage.add_live(placed.position.segment, placed.size);
        Ok(())
    }

    fn remove(&mut self, destination: DestinationId, sequence: Sequence) -> Result<(), StoreError> {
        if let Some(found) = self.destinations.get_mut(&destination)
            && let Some(entry) = found.entries.remove(&*self.source, sequence.0)?
        {
            found.bytes = found.bytes.saturating_sub(u64::from(entry.charge()));
            self.usage.sub_live(entry.position().segment, entry.size());
            if entry.references() > 0 {
                for subscription in self.subscriptions.values_mut() {
                    if let Some(pending) = subscription.pending.get_mut(&destination) {
                        pending.remove(&*self.source, sequence.0)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn acknowledge(
        &mut self,
        subscription: SubscriptionId,
        destination: DestinationId,
        sequence: Sequence,
    ) -> Result<(), StoreError> {
        let Some(subscription) = self.subscriptions.get_mut(&subscription) else { return Ok(()) };
        let Some(pending) = subscription.pending.get_mut(&destination) else { return Ok(()) };
        if pending.remove(&*self.source, sequence.0)?.is_some() {
            if pending.len() == 0 {
                subscription.pending.remove(&destination);
            }
            self.dereference(destination, sequence)?;
        }
        Ok(())
    }

    /// One subscription less needs the message; with the last one it goes.
    fn dereference(&mut self, destination: DestinationId, sequence: Sequence) -> Result<(), StoreError> {
        let Some(entry) = self.locate(destination, sequence)? else { return Ok(()) };
        if entry.references() <= 1 {
            return self.remove(destination, sequence);
        }
        if let Some(found) = self.destinations.get_mut(&destination) {
            found.entries.update(&*self.source, sequence.0, |entry| {
                entry.set_references(entry.references() - 1);
            })?;
        }
        Ok(())
    }

    fn drop_destination(&mut self, id: DestinationId) -> Result<(), StoreError> {
        let Some(mut found) = self.destinations.remove(&id) else { return Ok(()) };
        let mut after = 0;
        loop {
            let rows = found.entries.range(&*self.source, after, 4096)?;
            let Some((last, _)) = rows.last() else { break };
            after = *last;
            for (_, entry) in &rows {
                self.usage.sub_live(entry.position().segment, entry.size());
            }
        }
        for subscription in self.subscriptions.values_mut() {
            subscription.pending.remove(&id);
        }
        Ok(())
    }

    fn drop_subscription(&mut self, id: SubscriptionId) -> Result<(), StoreError> {
        let Some(subscription) = self.subscriptions.remove(&id) else { return Ok(()) };
        for (destination, mut pending) in subscription.pending {
            let mut after = 0;
            loop {
                let rows = pending.range(&*self.source, after, 4096)?;
                let Some((last, _)) = rows.last() else { break };
                after = *last;
                for (sequence, _) in rows {
                    self.dereference(destination, Sequence(sequence))?;
                }
            }
        }
        Ok(())
    }

    /// The subscriptions among `candidates` that still need a message.
    pub(crate) fn waiting(
        &mut self,
        destination: DestinationId,
        sequence: Sequence,
        candidates: &[SubscriptionId],
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        let mut waiting = Vec::new();
        for id in candidates {
            if let Some(subscription) = self.subscriptions.get_mut(id)
                && let Some(pending) = subscription.pending.get_mut(&destination)
                && pending.get(&*self.source, sequence.0)?.is_some()
            {
                waiting.push(*id);
            }
        }
        Ok(waiting)
    }

    /// Part of the index for the engine.
    pub(crate) fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        match wanted {
            PageRequest::Queue { destination, after, limit } => {
                let Some(found) = self.destinations.get_mut(&destination) else { return Ok(Vec::new()) };
                let rows = found.entries.range(&*self.source, after.0, limit)?;
                Ok(rows.into_iter().map(|(sequence, entry)| index_entry(sequence, &entry)).collect())
            }
            PageRequest::Subscription { subscription, destination, after, limit } => {
                let Some(pending) = self
                    .subscriptions
                    .get_mut(&subscription)
                    .and_then(|subscription| subscription.pending.get_mut(&destination))
                else {
                    return Ok(Vec::new());
                };
                let sequences = pending.range(&*self.source, after.0, limit)?;
                let Some(found) = self.destinations.get_mut(&destination) else { return Ok(Vec::new()) };
                let mut entries = Vec::with_capacity(sequences.len());
                for (sequence, _) in sequences {
                    if let Some(entry) = found.entries.get(&*self.source, sequence)? {
                        entries.push(index_entry(sequence, &entry));
                    }
                }
                Ok(entries)
            }
        }
    }

    /// For the engine, at start.
    pub(crate) fn recovered(&self, epoch: Epoch) -> Recovered {
        let destinations = self.destinations.iter().map(|(id, found)| DestinationState {
            id: *id,
            destination: found.destination.clone(),
            messages: found.entries.len(),
            bytes: found.bytes,
            exposed: found.exposed,
        });
        let subscriptions = self.subscriptions.values().map(|found| SubscriptionState {
            record: found.record.clone(),
            messages: found.pending.values().map(PageList::len).sum(),
            exposed: found.exposed,
        });
        Recovered {
            epoch,
            next_sequence: self.next_sequence,
            next_destination: self.next_destination,
            next_subscription: self.next_subscription,
            destinations: destinations.collect(),
            subscriptions: subscriptions.collect(),
            producers: self.producers.iter().cloned().collect(),
            streams: Some(self.streams.recovered()),
            quarantined: Vec::new(),
            store: None,
        }
    }

    /// Drops pages from memory until no more than `cache_bytes` of those are there that are on disk as well.
    pub(crate) fn evict(&mut self, cache_bytes: u64) {
        let entries = self.destinations.values().map(|found| found.entries.clean_bytes());
        let pending = self.subscriptions.values().flat_map(|s| s.pending.values()).map(PageList::clean_bytes);
        let mut excess = entries.chain(pending).sum::<u64>().saturating_sub(cache_bytes);
        // The first round spares what was used since the last one.
        for _ in 0..2 {
            self.destinations.values_mut().for_each(|found| found.entries.evict(&mut excess));
            let pending = self.subscriptions.values_mut().flat_map(|s| s.pending.values_mut());
            pending.for_each(|list| list.evict(&mut excess));
        }
    }

    /// Bytes of index that no checkpoint has yet.
    pub(crate) fn changed_bytes(&self) -> u64 {
        let entries = self.destinations.values().map(|found| found.entries.changed_bytes());
        let pending =
            self.subscriptions.values().flat_map(|s| s.pending.values()).map(PageList::changed_bytes);
        entries.chain(pending).sum()
    }
}

impl DestinationIndex {
    pub(crate) fn new(destination: Destination) -> Self {
        Self { destination, entries: PageList::default(), bytes: 0, exposed: Sequence(0) }
    }
}

impl SubscriptionIndex {
    pub(crate) const fn new(record: SubscriptionRecord) -> Self {
        Self { record, pending: BTreeMap::new(), exposed: Sequence(0) }
    }
}

fn index_entry(sequence: u64, entry: &Entry) -> IndexEntry {
    IndexEntry {
        sequence: Sequence(sequence),
        expiration: entry.expiration(),
        charge: entry.charge(),
        priority: entry.priority(),
    }
}

/// The position that stands for a record which can't be read.
pub(crate) const QUARANTINED: Position = Position { segment: 0, offset: 0 };

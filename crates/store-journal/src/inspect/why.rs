//! Which destination and message hold which segment.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ferromq_model::{Destination, Sequence, SubscriptionName};
use ferromq_store::{Loaded, MessageRef, StoreError, StoreReader};

use super::Inspection;
use crate::reader::JournalReader;

/// What keeps one segment.
#[derive(Clone, Debug)]
pub struct SegmentHolders {
    /// The segment.
    pub id: u32,
    /// The destinations with messages in it, the heaviest first.
    pub holders: Vec<Holder>,
    /// The older segments that must go first, because removals in this one name messages in them.
    pub waits_for: Vec<u32>,
}

/// One destination that holds a segment.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Which.
    pub destination: Destination,
    /// Its messages in the segment.
    pub messages: u64,
    /// Their bytes in the segment.
    pub bytes: u64,
    /// The place of the oldest of them.
    pub oldest: Sequence,
    /// Its message id, if it can be read.
    pub oldest_id: Option<String>,
    /// The durable subscriptions that it waits for.
    pub subscriptions: Vec<SubscriptionName>,
}

impl Inspection {
    /// What keeps each segment, or the one with this id, from being reclaimed.
    ///
    /// # Errors
    /// The medium failed.
    pub fn why(&self, only: Option<u32>) -> Result<Vec<SegmentHolders>, StoreError> {
        let mut found: BTreeMap<u32, Vec<Holder>> = BTreeMap::new();
        let mut reader = JournalReader::new(self.shared.clone());
        for (id, destination) in self.destinations() {
            let mut held: BTreeMap<u32, Holder> = BTreeMap::new();
            self.each_entry(id, |sequence, entry| {
                let segment = entry.position().segment;
                if only.is_none_or(|only| only == segment) {
                    let holder = held.entry(segment).or_insert_with(|| Holder {
                        destination: destination.clone(),
                        messages: 0,
                        bytes: 0,
                        oldest: sequence,
                        oldest_id: None,
                        subscriptions: Vec::new(),
                    });
                    holder.messages += 1;
                    holder.bytes += u64::from(entry.size());
                }
                ControlFlow::Continue(())
            })?;
            for (segment, mut holder) in held {
                let wanted = MessageRef { destination: id, sequence: holder.oldest };
                if let Some(Loaded::Message(message)) = reader.load(&[wanted])?.first() {
                    holder.oldest_id = Some(message.id.to_string());
                }
                holder.subscriptions = self.waiting(wanted)?;
                found.entry(segment).or_default().push(holder);
            }
        }
        let index = self.shared.index();
        let segments = index.usage.segments().filter(|(id, _)| only.is_none_or(|only| only == *id));
        let lines = segments.map(|(id, usage)| {
            let mut holders = found.remove(&id).unwrap_or_default();
            holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
            SegmentHolders { id, holders, waits_for: usage.needs_gone.keys().copied().collect() }
        });
        Ok(lines.collect())
    }

    fn waiting(&self, message: MessageRef) -> Result<Vec<SubscriptionName>, StoreError> {
        let mut index = self.shared.index();
        let all: Vec<_> = index.subscriptions.keys().copied().collect();
        let ids = index.waiting(message.destination, message.sequence, &all)?;
        let names = ids.iter().filter_map(|id| index.subscriptions.get(id));
        Ok(names.map(|found| found.record.name.clone()).collect())
    }
}

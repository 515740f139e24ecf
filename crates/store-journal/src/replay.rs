//! [`Replay`]: applies the records of a journal to an index, batch by batch.

use std::collections::BTreeSet;

use ferromq_journal::{
    Damage, Item, Kind, Placed, Position, RECORD_HEADER_BYTES, RecordHeader, SegmentEntry,
};
use ferromq_model::DestinationId;
use ferromq_store::{Quarantined, StoreError};

use crate::change::{self, Change, PUT_MESSAGE};
use crate::checkpoint::Restored;
use crate::index::Index;
use crate::message;

/// An index that records are being applied to.
pub(crate) struct Replay {
    pub(crate) index: Index,
    /// The batch that is being read; applied when its last record came.
    batch: Vec<(Change, Placed, bool)>,
    pub(crate) quarantined: Vec<Quarantined>,
    /// Metadata of records before this is in the snapshot already, and newer there.
    metadata_from: Position,
    /// Destinations below this are known, or were dropped, by the snapshot.
    destinations_from: DestinationId,
    /// Destinations that were dropped since.
    dropped: BTreeSet<DestinationId>,
}

impl Replay {
    /// Goes on from what a checkpoint gave.
    pub(crate) fn new(restored: Restored) -> Self {
        let Restored { index, metadata_from, destinations_from, .. } = restored;
        Self {
            index,
            batch: Vec::new(),
            quarantined: Vec::new(),
            metadata_from,
            destinations_from,
            dropped: BTreeSet::new(),
        }
    }

    /// Takes what a scan of `segment` came upon.
    pub(crate) fn take(&mut self, segment: &SegmentEntry, item: Item<'_>) -> Result<(), StoreError> {
        match item {
            Item::Record { header, .. } if header.kind.is_internal() => Ok(()),
            Item::Record { position, header, payload, .. } => {
                self.record(segment, position, &header, payload)
            }
            Item::Damage(damage) => {
                self.quarantined.push(describe(segment, &damage));
                if damage.remains.is_none_or(|(header, _)| header.is_last()) {
                    self.finish_batch()?;
                }
                Ok(())
            }
            Item::End { .. } => Ok(()),
        }
    }

    fn record(
        &mut self,
        segment: &SegmentEntry,
        position: Position,
        header: &RecordHeader,
        payload: &[u8],
    ) -> Result<(), StoreError> {
        if header.is_first() {
            self.finish_batch()?;
        }
        #[allow(clippy::cast_possible_truncation, reason = "a record is shorter than 4 GiB")]
        let placed = Placed { position, size: header.size() as u32 };
        match change::decode(header.kind, payload) {
            Some(mut change) => {
                if position >= self.metadata_from || is_content(&mut change) {
                    self.find_destination(&change, placed, payload);
                    self.batch.push((change, placed, header.is_copy()));
                }
            }
            None => {
                let Kind(kind) = header.kind;
                let reason = format!(
                    "{} at {}: a record of unknown kind {kind}",
                    segment.path.display(),
                    position.offset
                );
                self.quarantined.push(Quarantined {
                    destination: None,
                    sequence: None,
                    message_id: None,
                    reason,
                });
            }
        }
        if header.is_last() {
            self.finish_batch()?;
        }
        Ok(())
    }

    /// A message whose destination was never told (that record was damaged) says itself where it belongs.
    fn find_destination(&mut self, change: &Change, placed: Placed, payload: &[u8]) {
        match change {
            Change::DropDestination { id } => {
                self.dropped.insert(*id);
            }
            Change::PutMessage(head) => {
                let id = head.destination;
                let told = id < self.destinations_from
                    || self.index.destinations.contains_key(&id)
                    || self.dropped.contains(&id)
                    || self.batch.iter().any(|(change, _, _)| {
                        matches!(change, Change::PutDestination { id: told, .. } if *told == id)
                    });
                if !told
                    && let Some((_, at)) = change::decode_head(payload)
                    && let (_, Some(destination)) =
                        message::decode_names(payload.get(at..).unwrap_or_default())
                {
                    self.batch.push((Change::PutDestination { id, destination }, placed, false));
                }
            }
            _ => {}
        }
    }

    /// Forgets what was read of a batch that is not complete.
    pub(crate) fn drop_batch(&mut self) {
        self.batch.clear();
    }

    pub(crate) fn finish_batch(&mut self) -> Result<(), StoreError> {
        for (change, placed, copy) in self.batch.drain(..) {
            self.index.apply(&change, placed, copy)?;
        }
        Ok(())
    }
}

/// Whether the record is about messages; what it says about windows and marks is dropped.
fn is_content(change: &mut Change) -> bool {
    match change {
        Change::PutMessage(head) => {
            head.dedup = None;
            head.exposed = false;
            true
        }
        Change::RemoveMessage { .. } | Change::AckDurable { .. } => true,
        _ => false,
    }
}

/// Says what was lost, as far as the remains tell.
pub(crate) fn describe(segment: &SegmentEntry, damage: &Damage) -> Quarantined {
    let place = format!("{} at {} to {}", segment.path.display(), damage.from.offset, damage.to);
    let unknown = |reason| Quarantined { destination: None, sequence: None, message_id: None, reason };
    match &damage.remains {
        Some((header, payload)) if header.kind == PUT_MESSAGE => {
            let Some((head, at)) = change::decode_head(payload) else {
                return unknown(format!("{place}: a damaged message"));
            };
            let (id, destination) = message::decode_names(payload.get(at..).unwrap_or_default());
            Quarantined {
                destination,
                sequence: Some(head.sequence),
                message_id: id.map(|id| id.to_string()),
                reason: format!("{place}: a message does not match its checksum"),
            }
        }
        Some((header, _)) => {
            let Kind(kind) = header.kind;
            let bytes = RECORD_HEADER_BYTES + header.length as usize;
            unknown(format!(
                "{place}: a record of kind {kind} with {bytes} bytes does not match its checksum"
            ))
        }
        None => unknown(format!("{place}: bytes that are no record")),
    }
}

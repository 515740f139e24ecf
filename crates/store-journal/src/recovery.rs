//! Becoming the writer: claim, find the end, replay, seal.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ferromq_env::{Clock, Disk, OpenMode};
use ferromq_journal::{
    Damage, History, Item, Kind, Placed, Position, RECORD_HEADER_BYTES, RecordHeader, SegmentEntry, Writer,
    WriterOptions,
};
use ferromq_model::{DestinationId, Epoch};
use ferromq_store::{Claimed, Quarantined, StoreError};

use crate::backend::JournalBackend;
use crate::change::{self, Change, PUT_MESSAGE};
use crate::checkpoint::{Candidate, Checkpoints, Restored};
use crate::claim::Claims;
use crate::failure;
use crate::follower::{check_format, mark_format};
use crate::index::{Index, SegmentUse};
use crate::message;
use crate::options::Options;
use crate::reader::JournalReader;
use crate::shared::Shared;

/// Becomes the writer of the store in `folder` under `epoch`.
pub(crate) fn claim(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    folder: &Path,
    options: Options,
    epoch: Epoch,
) -> Result<Claimed, StoreError> {
    let journal = folder.join("journal");
    let known = check_format(&*disk, folder)?;
    disk.create_dir_all(folder).map_err(failure::io("make", folder))?;
    let claims = Claims::new(disk.clone(), folder);
    let claim = claims.claim(epoch, &options.owner)?;
    if !known {
        mark_format(&*disk, folder)?;
    }
    disk.create_dir_all(&journal).map_err(failure::io("make", &journal))?;

    // Only what is read from here on counts: nobody writes below the claim any longer.
    let mut history =
        History::survey_with(&*disk, &journal, &|number| claims.id_of(number)).map_err(failure::journal)?;
    history.settle(&*disk).map_err(failure::journal)?;
    let mut checkpoints = Checkpoints::new(disk.clone(), folder, epoch);
    let Rebuilt { candidate, mut index, quarantined } = restore(&disk, &history, &checkpoints)?;
    checkpoints.adopt(candidate, &index)?;

    // What was found may be in the system's memory only.
    for segment in history.segments.iter().rev().take(2) {
        let file = disk.open(&segment.path, OpenMode::Write).map_err(failure::io("open", &segment.path))?;
        file.sync().map_err(failure::io("sync", &segment.path))?;
    }
    let writer_options = WriterOptions { segment_bytes: options.segment_bytes, ..WriterOptions::default() };
    let first = history.next_id;
    let seal = history.seal();
    let writer = Writer::create(disk.clone(), journal.clone(), epoch, first, &seal, writer_options)
        .map_err(failure::journal)?;
    claim.check()?;
    claim.tidy()?;
    for path in &history.abandoned {
        disk.remove(path).map_err(failure::io("remove", path))?;
    }
    let mut sealing = SegmentUse::new(epoch, u64::from(writer.capacity()), 0);
    sealing.needs_gone = history.segments.iter().map(|segment| (segment.id, 0)).collect();
    index.usage.add_segment(first, sealing);
    index.written = writer.position();

    let mut recovered = index.recovered(epoch);
    recovered.quarantined = quarantined;
    for reason in history.damage {
        recovered.quarantined.push(Quarantined {
            destination: None,
            sequence: None,
            message_id: None,
            reason,
        });
    }
    let shared = Arc::new(Shared::new(disk, journal, index));
    let reader = JournalReader::new(shared.clone());
    let backend = JournalBackend::new(shared, writer, claim, clock, options, epoch, first, checkpoints)?;
    Ok(Claimed { backend: Box::new(backend), reader: Box::new(reader), recovered })
}

/// The index, and what it was made from.
pub(crate) struct Rebuilt {
    pub(crate) candidate: Candidate,
    pub(crate) index: Index,
    pub(crate) quarantined: Vec<Quarantined>,
}

/// The index from the newest checkpoint that fits and the journal behind it; from the whole journal if none does.
/// Writes nothing.
pub(crate) fn restore(
    disk: &Arc<dyn Disk>,
    history: &History,
    checkpoints: &Checkpoints,
) -> Result<Rebuilt, StoreError> {
    for candidate in checkpoints.candidates(history)? {
        let Some(restored) = checkpoints.restore(candidate)? else { continue };
        let whole = restored.whole;
        match replay(disk, history, restored) {
            Ok((index, quarantined)) if whole || refers_only_to(history, &index) => {
                return Ok(Rebuilt { candidate, index, quarantined });
            }
            Ok(_) => tracing::warn!("a checkpoint names segments that are missing; trying the one before"),
            Err(error @ StoreError::Damaged { .. }) if !whole => {
                tracing::warn!(%error, "a checkpoint can't be read; trying the one before");
            }
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Bug(String::from("the whole journal is always a candidate")))
}

fn refers_only_to(history: &History, index: &Index) -> bool {
    let exists = |id: u32| history.segments.iter().any(|segment| segment.id == id);
    index.usage.segments().all(|(id, segment)| segment.live == 0 || exists(id))
}

fn replay(
    disk: &Arc<dyn Disk>,
    history: &History,
    restored: Restored,
) -> Result<(Index, Vec<Quarantined>), StoreError> {
    let Restored { mut index, from, metadata_from, destinations_from, .. } = restored;
    for segment in &history.segments {
        if index.usage.segment(segment.id).is_none() {
            let usage = SegmentUse::new(segment.epoch, segment.file_bytes, segment.end());
            index.usage.add_segment(segment.id, usage);
        }
        index.usage.end_segment(segment.id, segment.end());
    }
    forget_missing(&mut index, history);
    let mut replay = Replay {
        index,
        batch: Vec::new(),
        quarantined: Vec::new(),
        metadata_from,
        destinations_from,
        dropped: BTreeSet::new(),
    };
    for segment in history.segments.iter().filter(|segment| segment.id >= from.segment) {
        let offset = if segment.id == from.segment { from.offset } else { 0 };
        replay.segment(disk, segment, offset)?;
    }
    // Only damage can have swallowed the end of a batch: the history ends at a whole one.
    replay.finish_batch()?;
    // What was unlinked after the checkpoint is dead only now that its removals were replayed.
    forget_missing(&mut replay.index, history);
    Ok((replay.index, replay.quarantined))
}

/// A segment that nothing lives in may be gone: it was unlinked after the checkpoint that still names it.
fn forget_missing(index: &mut Index, history: &History) {
    let gone: Vec<u32> = index
        .usage
        .segments()
        .filter(|(id, usage)| usage.live == 0 && !history.segments.iter().any(|s| s.id == *id))
        .map(|(id, _)| id)
        .collect();
    gone.into_iter().for_each(|id| index.usage.drop_segment(id));
}

struct Replay {
    index: Index,
    /// The batch that is being read; applied when its last record came.
    batch: Vec<(Change, Placed, bool)>,
    quarantined: Vec<Quarantined>,
    /// Metadata of records before this is in the snapshot already, and newer there.
    metadata_from: Position,
    /// Destinations below this are known, or were dropped, by the snapshot.
    destinations_from: DestinationId,
    /// Destinations that were dropped since.
    dropped: BTreeSet<DestinationId>,
}

impl Replay {
    fn segment(
        &mut self,
        disk: &Arc<dyn Disk>,
        segment: &SegmentEntry,
        offset: u32,
    ) -> Result<(), StoreError> {
        let mut scan = segment.scan(&**disk, offset).map_err(failure::journal)?;
        loop {
            match scan.next().map_err(failure::journal)? {
                Item::Record { header, .. } if header.kind.is_internal() => {}
                Item::Record { position, header, payload, .. } => {
                    self.record(segment, position, &header, payload)?
                }
                Item::Damage(damage) => {
                    self.quarantined.push(describe(segment, &damage));
                    if damage.remains.is_none_or(|(header, _)| header.is_last()) {
                        self.finish_batch()?;
                    }
                }
                Item::End { .. } => return Ok(()),
            }
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

    fn finish_batch(&mut self) -> Result<(), StoreError> {
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

//! Looks at a store without changing a byte of it, whether a broker runs on it or not.
//!
//! Every file is opened for reading. A running broker goes on meanwhile: what it appends is not seen, and what it
//! reclaims while it is being read makes the look begin again.
//!
//! * [`Inspection::ls`]: segments, epochs, live bytes, destinations.
//! * [`Inspection::verify`]: reads every record and every index entry.
//! * [`Inspection::cat`]: the messages of a destination.
//! * [`Inspection::why`]: what keeps a segment from being reclaimed.
//!
//! Invariant: no call here creates, writes, renames, locks or removes anything.

mod report;
mod why;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::Disk;
use ferromq_journal::{History, Item, Position};
use ferromq_model::{Destination, DestinationId, Epoch, Sequence};
use ferromq_store::{Loaded, MessageRef, PageRequest, Quarantined, StoreError, StoreReader};

use crate::change::{self, PUT_MESSAGE};
use crate::checkpoint::Checkpoints;
use crate::claim::Claims;
use crate::failure;
use crate::index::{Entry, QUARANTINED};
use crate::marker::{self, Mark};
use crate::reader::JournalReader;
use crate::recovery::{self, Rebuilt};
use crate::replay;
use crate::shared::Shared;

pub use report::{DestinationLine, Listing, SegmentLine, Verification};
pub use why::{Holder, SegmentHolders};

/// How often a look begins again because files were reclaimed under it.
const ATTEMPTS: usize = 8;

/// Messages looked up at once.
const PAGE: usize = 256;

/// A store as it was at one moment.
pub struct Inspection {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    mark: Mark,
    claimed: Epoch,
    owner: Option<String>,
    history: History,
    quarantined: Vec<Quarantined>,
    /// Segments that must be there and are not.
    lost: Vec<PathBuf>,
    /// What went with the snapshots.
    forgotten: Option<Quarantined>,
    shared: Arc<Shared>,
}

impl Inspection {
    /// Looks at the store in `folder`.
    ///
    /// # Errors
    /// There is no store, or one of a newer format, or it can't be read.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, StoreError> {
        let Some(mark) = marker::read(&*disk, folder, marker::FORMAT)? else {
            let reason = String::from("the file `format` is missing");
            return Err(StoreError::NotAStore { store: folder.display().to_string(), reason });
        };
        let mut attempt = 1;
        loop {
            match Self::look(disk.clone(), folder, mark) {
                Err(StoreError::Io { source, .. })
                    if attempt < ATTEMPTS && source.kind() == std::io::ErrorKind::NotFound =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn look(disk: Arc<dyn Disk>, folder: &Path, mark: Mark) -> Result<Self, StoreError> {
        let journal = folder.join("journal");
        let claims = Claims::new(disk.clone(), folder);
        let (claimed, owner) = claims.highest()?;
        let mut history = History::survey_with(&*disk, &journal, &|number| claims.id_of(number))
            .map_err(failure::journal)?;
        history.settle(&*disk).map_err(failure::journal)?;
        let checkpoints = Checkpoints::new(disk.clone(), folder, claimed);
        let Rebuilt { candidate, mut index, quarantined, lost, .. } =
            recovery::restore(&disk, &history, &checkpoints)?;
        let forgotten = recovery::forgotten(&*disk, &history, candidate)?;
        index.written = Position { segment: u32::MAX, offset: u32::MAX };
        let shared = Arc::new(Shared::new(disk.clone(), journal, index));
        let folder = folder.to_path_buf();
        Ok(Self { disk, folder, mark, claimed, owner, history, quarantined, lost, forgotten, shared })
    }

    /// The folder that was looked at.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which store it is, and in what format it is written.
    pub const fn mark(&self) -> Mark {
        self.mark
    }

    /// Where its history ends, as [`Follower::follow`](ferromq_store::Follower::follow) tells it: a copy of the same
    /// store that ends before what somebody has seen, or knows a lower epoch, is an old one.
    pub fn position(&self) -> ferromq_store::Position {
        ferromq_store::Position(self.history.end().to_u64())
    }

    /// What there is.
    pub fn ls(&self) -> Listing {
        let index = self.shared.index();
        let segments = self.history.segments.iter().map(|segment| {
            let usage = index.usage.segment(segment.id);
            SegmentLine {
                id: segment.id,
                epoch: segment.epoch,
                path: segment.path.clone(),
                file_bytes: segment.file_bytes,
                end: segment.end(),
                live_bytes: usage.map_or(0, |usage| usage.live),
                removal_bytes: usage.map_or(0, crate::index::SegmentUse::removals),
                waits_for: usage.map(|usage| usage.needs_gone.keys().copied().collect()).unwrap_or_default(),
            }
        });
        let destinations = index.destinations.iter().map(|(id, found)| DestinationLine {
            id: *id,
            destination: found.destination.clone(),
            messages: found.entries.len(),
            bytes: found.bytes,
        });
        Listing {
            claimed: self.claimed,
            owner: self.owner.clone(),
            sealed: self.history.epoch,
            segments: segments.collect(),
            destinations: destinations.collect(),
            torn: self.history.torn,
        }
    }

    /// Reads every record of the journal, and checks that every entry of the index leads to one. `progress` is told
    /// the bytes read so far.
    ///
    /// # Errors
    /// The medium failed.
    pub fn verify(&self, mut progress: impl FnMut(u64)) -> Result<Verification, StoreError> {
        let mut found = Verification { torn: self.history.torn, ..Verification::default() };
        let mut messages: BTreeMap<(DestinationId, Sequence), Position> = BTreeMap::new();
        let mut reclaimed = BTreeSet::new();
        for reason in &self.history.damage {
            found.damaged.push(unnamed(reason.clone()));
        }
        for path in &self.lost {
            let reason = format!("{} is missing, with messages that are not consumed", path.display());
            found.unreadable.push(unnamed(reason));
        }
        found.unreadable.extend(self.forgotten.clone());
        for segment in &self.history.segments {
            found.segments += 1;
            let mut scan = match segment.scan(&*self.disk, 0) {
                Ok(scan) => scan,
                // Reclaimed by the broker that runs on it.
                Err(ferromq_journal::JournalError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    reclaimed.insert(segment.id);
                    continue;
                }
                Err(error) => return Err(failure::journal(error)),
            };
            let before = found.bytes;
            loop {
                match scan.next().map_err(failure::journal)? {
                    Item::Record { position, header, payload, .. } => {
                        found.records += 1;
                        found.bytes = before + u64::from(position.offset) + header.size() as u64;
                        if header.kind == PUT_MESSAGE
                            && let Some((head, _)) = change::decode_head(payload)
                        {
                            messages.insert((head.destination, head.sequence), position);
                        } else if !header.kind.is_internal() && change::decode(header.kind, payload).is_none()
                        {
                            let place = format!("{} at {}", segment.path.display(), position.offset);
                            found.damaged.push(unnamed(format!("{place}: a record that says nothing")));
                        }
                        if found.records.is_multiple_of(1024) {
                            progress(found.bytes);
                        }
                    }
                    Item::Damage(damage) => found.damaged.push(replay::describe(segment, &damage)),
                    Item::End { .. } => break,
                }
            }
            found.bytes = before + u64::from(segment.end());
            progress(found.bytes);
        }
        self.verify_index(&messages, &reclaimed, &mut found)?;
        Ok(found)
    }

    fn verify_index(
        &self,
        messages: &BTreeMap<(DestinationId, Sequence), Position>,
        reclaimed: &BTreeSet<u32>,
        found: &mut Verification,
    ) -> Result<(), StoreError> {
        for (id, destination) in self.destinations() {
            self.each_entry(id, |sequence, entry| {
                found.messages += 1;
                let position = entry.position();
                let known = position == QUARANTINED || reclaimed.contains(&position.segment);
                if !known && messages.get(&(id, sequence)) != Some(&position) {
                    found.unreadable.push(Quarantined {
                        destination: Some(destination.clone()),
                        sequence: Some(sequence),
                        message_id: None,
                        reason: format!("{position}: the index names a message that is not there"),
                    });
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    /// What was found damaged when the store was looked at; [`Inspection::verify`] finds more.
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.quarantined
    }

    fn destinations(&self) -> Vec<(DestinationId, Destination)> {
        let index = self.shared.index();
        index.destinations.iter().map(|(id, found)| (*id, found.destination.clone())).collect()
    }

    fn each_entry(
        &self,
        id: DestinationId,
        mut visit: impl FnMut(Sequence, Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let rows = {
                let mut index = self.shared.index();
                let source = index.source.clone();
                match index.destinations.get_mut(&id) {
                    Some(found) => found.entries.range(&*source, after, PAGE)?,
                    None => return Ok(()),
                }
            };
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = *last;
            for (sequence, entry) in rows {
                if visit(Sequence(sequence), entry).is_break() {
                    return Ok(());
                }
            }
        }
    }

    /// The messages of a destination behind `after`, in order, until `visit` breaks. `false` if there is no such
    /// destination.
    ///
    /// # Errors
    /// The medium failed.
    pub fn cat(
        &self,
        destination: &Destination,
        mut after: Sequence,
        mut visit: impl FnMut(Sequence, Loaded) -> ControlFlow<()>,
    ) -> Result<bool, StoreError> {
        let Some((id, _)) = self.destinations().into_iter().find(|(_, found)| found == destination) else {
            return Ok(false);
        };
        let mut reader = JournalReader::new(self.shared.clone());
        loop {
            let page = reader.page(PageRequest::Queue { destination: id, after, limit: PAGE })?;
            let Some(last) = page.last() else { return Ok(true) };
            after = last.sequence;
            let wanted: Vec<_> =
                page.iter().map(|entry| MessageRef { destination: id, sequence: entry.sequence }).collect();
            for (reference, loaded) in wanted.iter().zip(reader.load(&wanted)?) {
                if visit(reference.sequence, loaded).is_break() {
                    return Ok(true);
                }
            }
        }
    }
}

fn unnamed(reason: String) -> Quarantined {
    Quarantined { destination: None, sequence: None, message_id: None, reason }
}

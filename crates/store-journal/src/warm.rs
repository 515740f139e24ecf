//! [`Warm`]: an index that a standby keeps up with what a master writes.
//!
//! It begins at a checkpoint and applies every whole batch behind it. Nothing that it read of a segment whose end is
//! open counts for a claim: it remembers up to where the master itself has proved, by marks in later batches, that
//! its bytes were synced; what lies behind is read again after the claim.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ferromq_env::Disk;
use ferromq_journal::{Extent, HEADER_BYTES, History, Item, Position, Scan, SegmentEntry};
use ferromq_model::Epoch;
use ferromq_store::StoreError;

use crate::checkpoint::{Candidate, Checkpoints, Restored};
use crate::failure;
use crate::index::PageFileId;
use crate::recovery::{Rebuilt, add_segments, forget_missing, refers_only_to};
use crate::replay::Replay;

/// Beginnings of batches are remembered about so far apart, so that a master that never syncs costs little memory.
const STEP: u32 = 64 << 10;

/// An index that is kept up.
pub(crate) struct Warm {
    base: Candidate,
    pages: BTreeSet<PageFileId>,
    replay: Replay,
    /// The next record.
    at: Position,
    /// Who wrote the segment of `at`.
    epoch: Epoch,
    /// Behind the last batch that was applied.
    applied: Position,
    /// The last known beginning of a batch before which all was synced.
    safe: Position,
    /// Beginnings of batches behind that, some of them.
    starts: VecDeque<Position>,
    scan: Option<Scan>,
    /// Something did not verify. A claim looks with fresh eyes then.
    damaged: bool,
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// There is nothing more, yet.
    End,
    /// As much was read as was allowed.
    Budget,
    /// It can't go on from here: what would come next is gone, or what was read never counted.
    Lost,
}

impl Warm {
    /// Begins at the best candidate but `skip`; `None` if there is none.
    pub(crate) fn begin(
        history: &History,
        checkpoints: &Checkpoints,
        skip: usize,
    ) -> Result<Option<Self>, StoreError> {
        for candidate in checkpoints.candidates(history)?.into_iter().skip(skip) {
            let Some(restored) = checkpoints.restore(candidate)? else { continue };
            let Restored { from, ref pages, .. } = restored;
            let pages = pages.clone();
            let first = history.segments.first().map_or(0, |segment| segment.id);
            let from =
                if from == Position::default() { Position { segment: first, offset: 0 } } else { from };
            let entry = history.segments.iter().find(|segment| segment.id == from.segment);
            let mut replay = Replay::new(restored);
            add_segments(&mut replay.index, history);
            return Ok(Some(Self {
                base: candidate,
                pages,
                replay,
                at: from,
                epoch: entry.map(|entry| entry.epoch).unwrap_or_default(),
                applied: from,
                safe: from,
                starts: VecDeque::new(),
                scan: None,
                damaged: false,
            }));
        }
        Ok(None)
    }

    /// How far it has read.
    pub(crate) const fn at(&self) -> Position {
        self.at
    }

    /// From where on the journal has to be read again after a claim.
    pub(crate) const fn safe(&self) -> Position {
        self.safe
    }

    /// Bytes that lie behind what was read, at most. The end of a segment that is being written shows only when it is
    /// read: until then, `behind`, it may be full.
    pub(crate) fn lag(&self, history: &History, behind: bool) -> u64 {
        let left = history.segments.iter().filter(|segment| segment.id >= self.at.segment);
        left.filter(|segment| behind || matches!(segment.extent, Extent::Known(_)))
            .map(|segment| {
                let from = if segment.id == self.at.segment { self.at.offset } else { HEADER_BYTES };
                u64::from(segment.end().saturating_sub(from))
            })
            .sum()
    }

    /// Whether everything that was applied is part of this history.
    pub(crate) fn is_of(&self, history: &History) -> bool {
        if self.at.segment == 0 {
            return true;
        }
        let ours = history.segments.iter().find(|segment| segment.id == self.at.segment);
        let safe = history.segments.iter().any(|segment| segment.id == self.safe.segment);
        let fits = |segment: &SegmentEntry| match segment.extent {
            Extent::Known(end) => end >= self.applied.offset,
            Extent::Tail | Extent::Growing => true,
        };
        safe && ours.is_some_and(|segment| segment.epoch == self.epoch && fits(segment))
    }

    /// Reads on. An error means that it is spoilt.
    pub(crate) fn read(
        &mut self,
        disk: &dyn Disk,
        history: &History,
        past_cache: bool,
        budget: &mut u64,
    ) -> Result<Stop, StoreError> {
        add_segments(&mut self.replay.index, history);
        if self.at.segment == 0 {
            let Some(first) = history.segments.first() else { return Ok(Stop::End) };
            self.enter(first);
        }
        loop {
            let place = history.segments.binary_search_by_key(&self.at.segment, |segment| segment.id);
            let Some(segment) = place.ok().and_then(|place| history.segments.get(place)) else {
                return Ok(Stop::Lost);
            };
            let next = history.segments.iter().find(|next| next.id > segment.id);
            if segment.epoch != self.epoch || (segment.extent == Extent::Tail && next.is_some()) {
                return Ok(Stop::Lost);
            }
            if let Extent::Known(end) = segment.extent
                && self.at.offset > end
            {
                return Ok(Stop::Lost);
            }
            match self.segment(disk, segment, past_cache, budget)? {
                Stop::End => {}
                stop => return Ok(stop),
            }
            let Some(next) = next else { return Ok(Stop::End) };
            self.enter(next);
        }
    }

    /// Goes on at the beginning of a segment.
    fn enter(&mut self, next: &SegmentEntry) {
        self.at = Position { segment: next.id, offset: HEADER_BYTES };
        self.scan = None;
        if next.epoch != self.epoch {
            // All before is sealed. A batch does not go on in another epoch.
            self.replay.drop_batch();
            (self.epoch, self.applied, self.safe) = (next.epoch, self.at, self.at);
            self.starts.clear();
        }
    }

    fn segment(
        &mut self,
        disk: &dyn Disk,
        segment: &SegmentEntry,
        past_cache: bool,
        budget: &mut u64,
    ) -> Result<Stop, StoreError> {
        let scan = match &mut self.scan {
            Some(scan) => scan,
            none => {
                let file = segment.open(disk).map_err(failure::journal)?;
                let scan = Scan::new(
                    file,
                    &segment.path,
                    segment.epoch,
                    segment.id,
                    self.at.offset,
                    Extent::Growing,
                );
                let scan = scan.map_err(failure::journal)?.reaching(segment.file_bytes);
                none.insert(scan.past_cache(past_cache))
            }
        };
        if let Extent::Known(end) = segment.extent {
            scan.ends_at(end);
        }
        loop {
            if *budget == 0 {
                return Ok(Stop::Budget);
            }
            let item = scan.next().map_err(failure::journal)?;
            let mut ended = false;
            match &item {
                Item::Record { position, header, batch, .. } => {
                    if header.is_first() {
                        let far = |last: &Position| {
                            last.segment != position.segment || position.offset - last.offset >= STEP
                        };
                        if self.starts.back().is_none_or(far) {
                            self.starts.push_back(*position);
                        }
                    }
                    if let Some(batch) = batch {
                        while let Some(start) = self.starts.pop_front_if(|start| *start <= batch.synced) {
                            self.safe = start;
                        }
                    }
                    *budget = budget.saturating_sub(header.size() as u64);
                    ended = header.is_last();
                }
                Item::Damage(damage) => {
                    self.damaged = true;
                    *budget = budget.saturating_sub(u64::from(damage.to - damage.from.offset));
                }
                Item::End { .. } => return Ok(Stop::End),
            }
            self.replay.take(segment, item)?;
            self.at = scan.position();
            if ended {
                self.applied = self.at;
            }
        }
    }

    /// Drops pages from memory that are on disk as well.
    pub(crate) fn evict(&mut self, cache_bytes: u64) {
        self.replay.index.evict(cache_bytes);
    }

    /// Reads the rest of a history whose end was found and made safe; `None` if a start from the disk knows better.
    pub(crate) fn finish(
        mut self,
        disk: &Arc<dyn Disk>,
        history: &History,
        checkpoints: &Checkpoints,
    ) -> Result<Option<Rebuilt>, StoreError> {
        let candidates = checkpoints.candidates(history)?;
        // Where a cache answers lists, a journal may have been begun alone although what is in no segment any longer stood
        // in a checkpoint.
        let cached = history.segments.first().is_some_and(|segment| !disk.is_coherent(&segment.path));
        let alone = self.base == Candidate::Journal && candidates.len() > 1;
        if self.damaged
            || (cached && alone)
            || !self.is_of(history)
            || !candidates.contains(&self.base)
            || !checkpoints.has_pages(&self.pages)?
        {
            return Ok(None);
        }
        // What was read of an unfinished batch is read again: its rest may never come.
        self.replay.drop_batch();
        self.at = self.applied;
        self.scan = None;
        match self.read(&**disk, history, true, &mut u64::MAX.clone()) {
            Ok(Stop::End) if !self.damaged => {}
            Ok(_) => return Ok(None),
            Err(error) => {
                tracing::warn!(%error, "what was followed can't be used; starting from the last checkpoint");
                return Ok(None);
            }
        }
        self.replay.finish_batch()?;
        let Replay { mut index, quarantined, .. } = self.replay;
        forget_missing(&mut index, history);
        if !refers_only_to(history, &index) {
            return Ok(None);
        }
        index.source = checkpoints.source();
        Ok(Some(Rebuilt { candidate: self.base, pages: self.pages, index, quarantined, lost: Vec::new() }))
    }
}

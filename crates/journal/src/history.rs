//! [`History`]: which segments count, and up to where, as found in a folder.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::{ClaimId, Epoch};

use crate::record::Kind;
use crate::segment::{HEADER_BYTES, HeaderRead, SegmentHeader, parse_segment_name, segment_path};
use crate::{Extent, FORMAT, Item, JournalError, Position, Scan, Seal, SealedEnd};

/// A segment that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Its id.
    pub id: u32,
    /// The reign that wrote it.
    pub epoch: Epoch,
    /// Its file.
    pub path: PathBuf,
    /// How far it goes. After [`History::settle`] this is always known.
    pub extent: Extent,
    /// Length of the file.
    pub file_bytes: u64,
    /// Whether its header could be read.
    pub headed: bool,
}

/// The one history that a journal holds: the segments of the last sealed epoch, and those before as far as its
/// seal says.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By id, which is the order in which they were written.
    pub segments: Vec<SegmentEntry>,
    /// Files that hold nothing that counts: prepared and never begun, or of an epoch that never was.
    pub abandoned: Vec<PathBuf>,
    /// The last epoch that was sealed.
    pub epoch: Epoch,
    /// The first id that no file ever had. One id is left out for whoever closes the chain of an old epoch.
    pub next_id: u32,
    /// Headers and seals that can't be read although they were safe once.
    pub damage: Vec<String>,
    /// Whether the end of the last segment was found torn by [`History::settle`].
    pub torn: bool,
    /// The beginning of a batch in the last segment before which its writer had synced everything, as marks that were
    /// read by [`History::settle`] prove.
    pub proven: Position,
    /// The highest id in the chain of the last sealed epoch, files that hold nothing counted.
    chain_end: u32,
    past_cache: bool,
}

/// Headers and seals that were read whole before. They are written once and never change, so that who looks again
/// and again need not read them again.
#[derive(Debug, Default)]
pub struct Known {
    headers: BTreeMap<(u64, u32), (SegmentHeader, u64)>,
    seals: BTreeMap<(u64, u32), Seal>,
}

impl Known {
    /// Forgets what may not be safe yet: all of the newest `count` segments.
    pub fn forget_newest(&mut self, count: usize) {
        let mut ids: Vec<_> = self.headers.keys().copied().collect();
        ids.sort_unstable_by_key(|(epoch, id)| std::cmp::Reverse((*id, *epoch)));
        for key in ids.into_iter().take(count) {
            self.headers.remove(&key);
            self.seals.remove(&key);
        }
    }
}

/// How [`History::survey_by`] looks.
pub struct Survey<'a> {
    /// Who remembers the claim ids of epochs: asked if all headers of an epoch are damaged.
    pub claim_id: &'a dyn Fn(u64) -> Option<ClaimId>,
    /// Reads past the caches of this machine, here and in [`History::settle`].
    pub past_cache: bool,
    /// What was read before.
    pub known: &'a mut Known,
    /// The newest format of a segment that is read.
    pub format: u32,
}

struct Found {
    path: PathBuf,
    header: HeaderRead,
    file_bytes: u64,
}

impl History {
    /// Looks at every segment in `folder`; reads headers and seals only.
    ///
    /// # Errors
    /// The medium failed, or a segment is of a newer format.
    pub fn survey(disk: &dyn Disk, folder: &Path) -> Result<Self, JournalError> {
        Self::survey_with(disk, folder, &|_| None)
    }

    /// As [`History::survey`], where somebody remembers the claim ids of epochs: they are asked for if all headers of
    /// an epoch are damaged.
    ///
    /// # Errors
    /// As for [`History::survey`].
    pub fn survey_with(
        disk: &dyn Disk,
        folder: &Path,
        claim_id: &dyn Fn(u64) -> Option<ClaimId>,
    ) -> Result<Self, JournalError> {
        let known = &mut Known::default();
        Self::survey_by(disk, folder, Survey { claim_id, past_cache: false, known, format: FORMAT })
    }

    /// As [`History::survey`], in the way that `survey` says.
    ///
    /// # Errors
    /// As for [`History::survey`].
    pub fn survey_by(disk: &dyn Disk, folder: &Path, survey: Survey<'_>) -> Result<Self, JournalError> {
        let Survey { claim_id, past_cache, known, format } = survey;
        let mut epochs: BTreeMap<u64, BTreeMap<u32, Found>> = BTreeMap::new();
        let mut history = Self { past_cache, ..Self::default() };
        let mut there = BTreeSet::new();
        for path in disk.list(folder).map_err(JournalError::io("list", folder))? {
            let path = if path.is_absolute() || path.starts_with(folder) { path } else { folder.join(path) };
            let Some((number, id)) = parse_segment_name(&path) else { continue };
            there.insert((number, id));
            let found = match known.headers.get(&(number, id)) {
                Some((header, bytes)) => {
                    Some(Found { path, header: HeaderRead::Whole(*header), file_bytes: *bytes })
                }
                None => look(disk, path, past_cache, format)?,
            };
            // An empty file closes a chain; nobody will ever write in it, so the id behind it is free.
            let behind = if found.as_ref().is_some_and(|found| found.file_bytes == 0) { 1 } else { 2 };
            history.next_id = history.next_id.max(id.saturating_add(behind));
            if let Some(found) = found {
                if let HeaderRead::Whole(header) = found.header {
                    known.headers.insert((number, id), (header, found.file_bytes));
                }
                epochs.entry(number).or_default().insert(id, found);
            }
        }
        known.headers.retain(|key, _| there.contains(key));
        known.seals.retain(|key, _| there.contains(key));
        history.next_id = history.next_id.max(1);
        let mut seal = None;
        while let Some((number, found)) = epochs.pop_last() {
            let claim = claim_of(number, &found, claim_id);
            match read_seal(disk, claim, &found, past_cache, known, &mut history.damage)? {
                Some(read) => {
                    history.epoch = claim;
                    history.chain_end = found.last_key_value().map_or(0, |(id, _)| *id);
                    history.take_last_epoch(claim, found);
                    seal = Some(read);
                    break;
                }
                None => history.abandoned.extend(found.into_values().map(|found| found.path)),
            }
        }
        for (number, found) in epochs {
            let claim = claim_of(number, &found, claim_id);
            match &seal {
                Some(SealRead::Whole(seal)) => history.take_older_epoch(claim, found, seal),
                // The ends have to be found again; better some late bytes too many than a history too few.
                _ => history.take_last_epoch(claim, found),
            }
        }
        history.segments.sort_by_key(|segment| segment.id);
        Ok(history)
    }

    /// The segments of the last sealed epoch: each ends where its successor says, the last is open.
    fn take_last_epoch(&mut self, epoch: Epoch, found: BTreeMap<u32, Found>) {
        let mut follower: Option<SegmentHeader> = None;
        for (id, Found { path, header, file_bytes }) in found.into_iter().rev() {
            let extent = match follower {
                Some(header) if header.synced.segment == id => Extent::Known(header.synced.offset),
                // The successor's header is damaged: the whole file is searched, and its end is a guess.
                Some(_) => Extent::Tail,
                None => Extent::Tail,
            };
            let headed = matches!(header, HeaderRead::Whole(_));
            match header {
                HeaderRead::Whole(header) => follower = Some(header),
                HeaderRead::Blank if follower.is_none() => {
                    self.abandoned.push(path);
                    continue;
                }
                _ if follower.is_none() => {}
                _ => self.damage.push(format!("{}: the header is damaged", path.display())),
            }
            self.segments.push(SegmentEntry { id, epoch, path, extent, file_bytes, headed });
        }
    }

    /// The segments of an older epoch: each ends where the seal says; what it does not name does not count.
    fn take_older_epoch(&mut self, epoch: Epoch, found: BTreeMap<u32, Found>, seal: &Seal) {
        for (id, Found { path, header, file_bytes }) in found {
            let Some(SealedEnd { end, .. }) = seal.end_of(id).filter(|end| end.epoch == epoch.number) else {
                self.abandoned.push(path);
                continue;
            };
            let headed = matches!(header, HeaderRead::Whole(_));
            if !headed {
                self.damage.push(format!("{}: the header is damaged", path.display()));
            }
            let extent = Extent::Known(end);
            self.segments.push(SegmentEntry { id, epoch, path, extent, file_bytes, headed });
        }
    }

    /// Makes the next name of the last epoch's chain, so that whoever writes it can go on in no other segment.
    /// `None` if that name exists: the chain is longer than was seen, look again. No listing is trusted with that.
    ///
    /// # Errors
    /// The medium failed.
    pub fn close_chain(&self, disk: &dyn Disk, folder: &Path) -> Result<Option<PathBuf>, JournalError> {
        let path = segment_path(folder, self.epoch.number, self.chain_end + 1);
        // Before the first sealed epoch there is no chain.
        if self.epoch.number == 0 {
            return Ok(Some(path));
        }
        match disk.open(&path, OpenMode::CreateNew) {
            Ok(_) => {
                disk.sync_dir(folder).map_err(JournalError::io("sync", folder))?;
                Ok(Some(path))
            }
            Err(taken) if taken.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(JournalError::io("create", &path)(error)),
        }
    }

    /// Finds the end of the last segment, at a whole batch, and drops what stands behind it.
    ///
    /// # Errors
    /// The medium failed.
    pub fn settle(&mut self, disk: &dyn Disk) -> Result<(), JournalError> {
        self.settle_from(disk, Position::default())
    }

    /// As [`History::settle`], where everything before `from`, the beginning of a batch, is known to be whole and
    /// safe.
    ///
    /// # Errors
    /// The medium failed.
    pub fn settle_from(&mut self, disk: &dyn Disk, from: Position) -> Result<(), JournalError> {
        for at in 0..self.segments.len() {
            if self.segments[at].extent == Extent::Tail && at + 1 < self.segments.len() {
                let (end, _) = self.end_of_batches(disk, at, from)?;
                // A batch may go on in the next segment, but not in the next epoch.
                let ends_epoch = self.segments[at].epoch != self.segments[at + 1].epoch;
                self.segments[at].extent = Extent::Known(if ends_epoch { end.batches } else { end.whole });
            }
        }
        let Some(mut at) = self.segments.len().checked_sub(1) else { return Ok(()) };
        if self.segments[at].extent != Extent::Tail {
            return Ok(());
        }
        let (mut end, torn) = self.end_of_batches(disk, at, from)?;
        self.torn = torn || end.batches < end.whole;
        self.proven = Position { segment: self.segments[at].id, offset: end.proven };
        // A segment in which no batch begins or ends may hold the unfinished rest of one that began before.
        while end.began_before {
            self.segments[at].extent = Extent::Known(HEADER_BYTES);
            let Some(before) = at.checked_sub(1) else { break };
            if self.segments[before].epoch != self.segments[at].epoch {
                break;
            }
            at = before;
            (end, _) = self.end_of_batches(disk, at, from)?;
        }
        self.segments[at].extent = Extent::Known(end.batches);
        // A segment whose beginning was torn holds nothing, and is no part of the history.
        let begun = |segment: &mut SegmentEntry| segment.headed || segment.end() > HEADER_BYTES;
        self.abandoned.extend(self.segments.extract_if(.., |segment| !begun(segment)).map(|torn| torn.path));
        Ok(())
    }

    /// Reads what stands between [`History::proven`] and the end once more; `false` if it is not all there.
    ///
    /// # Errors
    /// The medium failed.
    pub fn is_still_there(&self, disk: &dyn Disk) -> Result<bool, JournalError> {
        let Some(last) = self.segments.last() else { return Ok(true) };
        let from = if self.proven.segment == last.id { self.proven.offset } else { 0 };
        let file = last.open(disk)?;
        let scan = Scan::new(file, &last.path, last.epoch, last.id, from, Extent::Growing)?;
        let mut scan = scan.reaching(last.file_bytes).past_cache(self.past_cache);
        while scan.position().offset < last.end() {
            if let Item::End { .. } = scan.next()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether there were older segments that are gone by now, as the first one that is there says.
    ///
    /// # Errors
    /// The medium failed.
    pub fn is_cut_short(&self, disk: &dyn Disk) -> Result<bool, JournalError> {
        let Some(first) = self.segments.first() else { return Ok(false) };
        let mut scan = first.scan(disk, 0)?.past_cache(self.past_cache);
        Ok(match scan.next()? {
            Item::Record { header, payload, .. } if header.kind == Kind::SEAL => {
                Seal::decode(payload).is_some_and(|seal| !seal.ends.is_empty())
            }
            // It goes on where another one ended.
            Item::Record { .. } => true,
            _ => false,
        })
    }

    fn end_of_batches(
        &self,
        disk: &dyn Disk,
        at: usize,
        from: Position,
    ) -> Result<(BatchEnd, bool), JournalError> {
        let segment = &self.segments[at];
        let inside = from.segment == segment.id && from.offset > HEADER_BYTES;
        let start = if inside { from.offset } else { HEADER_BYTES };
        let mut scan = segment.scan(disk, start)?.past_cache(self.past_cache);
        let mut end = BatchEnd { batches: start, whole: start, began_before: !inside, proven: start };
        let mut starts = VecDeque::new();
        loop {
            match scan.next()? {
                Item::Record { position, header, batch, .. } => {
                    if let Some(batch) = batch {
                        starts.push_back(position.offset);
                        let synced = if batch.synced.segment == segment.id { batch.synced.offset } else { 0 };
                        while let Some(start) = starts.pop_front_if(|start| *start <= synced) {
                            end.proven = start;
                        }
                    }
                    if header.is_first() {
                        // A new batch begins only when the one before is complete; if its last record is
                        // missing here, it was damaged.
                        end.batches = position.offset;
                        end.began_before = false;
                    }
                    if header.is_last() {
                        #[allow(clippy::cast_possible_truncation, reason = "within a segment")]
                        let behind = position.offset + header.size() as u32;
                        end.batches = behind;
                        end.began_before = false;
                    }
                }
                Item::Damage(damage) => {
                    // What was proven safe belonged to a batch that was complete.
                    end.batches = damage.to;
                    end.began_before = false;
                }
                Item::End { offset, torn } => {
                    end.whole = offset;
                    end.batches = end.batches.min(offset);
                    return Ok((end, torn));
                }
            }
        }
    }

    /// What the next epoch states about all older segments.
    pub fn seal(&self) -> Seal {
        let ends = self.segments.iter().map(|segment| SealedEnd {
            id: segment.id,
            epoch: segment.epoch.number,
            end: segment.end(),
        });
        Seal { ends: ends.collect() }
    }

    /// Where the history ends.
    pub fn end(&self) -> Position {
        self.segments
            .last()
            .map_or_else(Position::default, |last| Position { segment: last.id, offset: last.end() })
    }
}

struct BatchEnd {
    /// Behind the last complete batch.
    batches: u32,
    /// Behind the last whole record.
    whole: u32,
    /// No batch begins or ends here, so whatever there is belongs to one that began in an earlier segment.
    began_before: bool,
    /// A batch begins here, or the search did, and all before was synced by the writer.
    proven: u32,
}

impl SegmentEntry {
    /// Its end, if it is known; else the length of the file.
    pub fn end(&self) -> u32 {
        match self.extent {
            Extent::Known(end) => end,
            Extent::Tail | Extent::Growing => u32::try_from(self.file_bytes).unwrap_or(u32::MAX),
        }
    }

    /// Reads it from `offset` on.
    ///
    /// # Errors
    /// The medium failed.
    pub fn scan(&self, disk: &dyn Disk, offset: u32) -> Result<Scan, JournalError> {
        let file = self.open(disk)?;
        let scan = Scan::new(file, &self.path, self.epoch, self.id, offset, self.extent)?;
        Ok(scan.reaching(self.file_bytes))
    }

    /// Opens its file for reading.
    ///
    /// # Errors
    /// The medium failed.
    pub fn open(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, JournalError> {
        disk.open(&self.path, OpenMode::Read).map_err(JournalError::io("open", &self.path))
    }
}

/// `None` if the file is gone by now: a running broker reclaims it while somebody inspects.
fn look(
    disk: &dyn Disk,
    path: PathBuf,
    past_cache: bool,
    format: u32,
) -> Result<Option<Found>, JournalError> {
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(other) => return Err(JournalError::io("open", &path)(other)),
    };
    let mut bytes = [0; HEADER_BYTES as usize];
    let got = if past_cache { file.read_past_cache(&mut bytes, 0) } else { file.read_at(&mut bytes, 0) };
    let got = got.map_err(JournalError::io("read", &path))?;
    let header = SegmentHeader::decode_up_to(bytes.get(..got).unwrap_or_default(), format);
    if let HeaderRead::Newer(found) = header {
        return Err(JournalError::NewerFormat { path: path.display().to_string(), found, known: format });
    }
    let mut file_bytes = file.len().map_err(JournalError::io("measure", &path))?;
    if past_cache && let HeaderRead::Whole(SegmentHeader { capacity, .. }) = header {
        // A cache may remember the length from when the file was made: the storage says whether its last byte is there.
        let last = u64::from(capacity).saturating_sub(1);
        if file_bytes <= last && file.read_past_cache(&mut [0], last).is_ok_and(|got| got == 1) {
            file_bytes = u64::from(capacity);
        }
    }
    Ok(Some(Found { path, header, file_bytes }))
}

/// All segments of an epoch carry its claim id; one whole header is enough.
fn claim_of(number: u64, found: &BTreeMap<u32, Found>, claim_id: &dyn Fn(u64) -> Option<ClaimId>) -> Epoch {
    let claim = found.values().find_map(|found| match found.header {
        HeaderRead::Whole(header) => Some(header.epoch.claim),
        _ => None,
    });
    Epoch { number, claim: claim.or_else(|| claim_id(number)).unwrap_or(ClaimId(0)) }
}

enum SealRead {
    Whole(Seal),
    /// It was safe once and can't be read, or went with all that it capped.
    Lost,
}

/// The seal of an epoch; `None` if the epoch never came to be.
fn read_seal(
    disk: &dyn Disk,
    epoch: Epoch,
    found: &BTreeMap<u32, Found>,
    past_cache: bool,
    known: &mut Known,
    damage: &mut Vec<String>,
) -> Result<Option<SealRead>, JournalError> {
    let first = found.iter().find(|(_, found)| match found.header {
        HeaderRead::Whole(header) => !header.continues,
        HeaderRead::Damaged => true,
        _ => false,
    });
    if let Some((id, first)) = first {
        if let Some(seal) = known.seals.get(&(epoch.number, *id)) {
            return Ok(Some(SealRead::Whole(seal.clone())));
        }
        let file = disk.open(&first.path, OpenMode::Read).map_err(JournalError::io("open", &first.path))?;
        let mut scan = Scan::new(file, &first.path, epoch, *id, 0, Extent::Tail)?.past_cache(past_cache);
        match scan.next()? {
            Item::Record { header, payload, .. } if header.kind == Kind::SEAL => {
                let seal = Seal::decode(payload);
                if !matches!(first.header, HeaderRead::Whole(_)) {
                    damage.push(format!("{}: the header is damaged", first.path.display()));
                } else if let Some(seal) = &seal {
                    known.seals.insert((epoch.number, *id), seal.clone());
                }
                return Ok(Some(seal.map_or(SealRead::Lost, SealRead::Whole)));
            }
            // A later mark proves that it was safe, so the epoch was.
            Item::Damage(_) => {
                damage.push(format!("{}: the seal is damaged", first.path.display()));
                return Ok(Some(SealRead::Lost));
            }
            _ => {}
        }
    }
    // Whoever goes on in a second segment had synced the seal before. A seal is dropped only after all that it
    // caps, so without one there is nothing older.
    let continues: BTreeSet<_> = found
        .iter()
        .filter(|(_, found)| matches!(found.header, HeaderRead::Whole(h) if h.continues))
        .map(|(id, _)| *id)
        .collect();
    Ok((!continues.is_empty()).then_some(SealRead::Lost))
}

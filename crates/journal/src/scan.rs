//! [`Scan`]: reads a segment from a place on, and tells damage from a torn tail.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::DiskFile;
use ferromq_model::Epoch;

use crate::record::{
    ALIGNMENT, BatchHeader, Frame, RECORD_HEADER_BYTES, RecordHeader, padded, split_batch_header,
};
use crate::segment::HEADER_BYTES;
use crate::{JournalError, Position};

/// Read at once at least.
const WINDOW: usize = 1 << 20;

/// Read at once while following: little behind the end is there yet.
const FOLLOW_WINDOW: usize = 128 << 10;

/// How far a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It ends exactly here: stated by a seal, or by the header of the next segment. All before it was synced, so
    /// whatever does not verify is damage.
    Known(u32),
    /// The last segment of an epoch that was not closed: what does not verify is damage if a later record proves
    /// that it was synced, else it is the torn tail.
    Tail,
    /// It is being written by somebody else: what does not verify is not there yet, and may be a moment later.
    Growing,
}

/// What a scan came upon.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole record.
    Record {
        /// Where it begins.
        position: Position,
        /// Its header.
        header: RecordHeader,
        /// For the first record of a batch.
        batch: Option<BatchHeader>,
        /// What its writer put in.
        payload: &'a [u8],
    },
    /// Bytes that were safe once and are no record now.
    Damage(Damage),
    /// The end.
    End {
        /// The first byte that does not count.
        offset: u32,
        /// Whether something unfinished stands behind it.
        torn: bool,
    },
}

/// A damaged stretch of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its first byte.
    pub from: Position,
    /// The first byte behind it.
    pub to: u32,
    /// If the header of a record survived: the header, and what stands where its payload was (for a report, never
    /// to be trusted).
    pub remains: Option<(RecordHeader, Vec<u8>)>,
}

/// Reads one segment in order.
pub struct Scan {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    frame: Frame,
    id: u32,
    offset: u32,
    limit: u32,
    extent: Extent,
    /// Known to be synced, by a mark that was read.
    proven: u32,
    window: Vec<u8>,
    window_start: u32,
    past_cache: bool,
}

impl Scan {
    /// Reads segment `id` of `epoch` from `offset`, where a record begins, or from its first record.
    ///
    /// # Errors
    /// The medium failed.
    pub fn new(
        file: Arc<dyn DiskFile>,
        path: &Path,
        epoch: Epoch,
        id: u32,
        offset: u32,
        extent: Extent,
    ) -> Result<Self, JournalError> {
        let length =
            u32::try_from(file.len().map_err(JournalError::io("measure", path))?).unwrap_or(u32::MAX);
        let limit = match extent {
            Extent::Known(end) => end,
            Extent::Tail | Extent::Growing => length,
        };
        Ok(Self {
            file,
            path: path.to_path_buf(),
            frame: Frame::new(epoch, id),
            id,
            offset: offset.max(HEADER_BYTES),
            limit,
            extent,
            proven: 0,
            window: Vec::new(),
            window_start: 0,
            past_cache: false,
        })
    }

    /// The same of a file that is known to be so long, whatever a cache says of its length.
    #[must_use]
    pub fn reaching(self, bytes: u64) -> Self {
        let limit = match self.extent {
            Extent::Known(end) => end,
            Extent::Tail | Extent::Growing => self.limit.max(u32::try_from(bytes).unwrap_or(u32::MAX)),
        };
        Self { limit, ..self }
    }

    /// The same, read past the caches of this machine.
    #[must_use]
    pub fn past_cache(self, past_cache: bool) -> Self {
        Self { past_cache, ..self }
    }

    /// The segment that was growing has turned out to end at `end`, which the next one tells.
    pub fn ends_at(&mut self, end: u32) {
        self.extent = Extent::Known(end);
        self.limit = end;
        self.window.clear();
    }

    /// Where the next item begins.
    pub const fn position(&self) -> Position {
        Position { segment: self.id, offset: self.offset }
    }

    /// The next record, damaged stretch or end. After the end comes the end again.
    ///
    /// # Errors
    /// The medium failed.
    #[allow(clippy::should_implement_trait, reason = "it lends, and it fails")]
    pub fn next(&mut self) -> Result<Item<'_>, JournalError> {
        let at = self.offset;
        if at >= self.limit {
            return Ok(Item::End { offset: self.limit.max(HEADER_BYTES), torn: false });
        }
        match self.whole_record(at)? {
            Some(header) => self.record(at, header),
            None if self.extent == Extent::Growing => self.not_yet(at),
            None => self.broken(at),
        }
    }

    /// What was read some time ago may be there by now.
    fn not_yet(&mut self, at: u32) -> Result<Item<'_>, JournalError> {
        self.window.clear();
        if let Some(header) = self.whole_record(at)? {
            return self.record(at, header);
        }
        self.window.clear();
        Ok(Item::End { offset: at, torn: false })
    }

    fn record(&mut self, at: u32, header: RecordHeader) -> Result<Item<'_>, JournalError> {
        self.offset = next_offset(at, &header).min(self.limit);
        let behind = self.behind_header(at, &header);
        let Some((batch, skip)) = split_batch_header(&header, behind) else {
            // It verifies, and is too short for its flags: nothing that a writer of this format makes.
            return self.broken(at);
        };
        if let Some(batch) = batch
            && batch.synced.segment == self.id
        {
            self.proven = self.proven.max(batch.synced.offset);
        }
        let position = Position { segment: self.id, offset: at };
        let payload = self.behind_header(at, &header).get(skip..).unwrap_or_default();
        Ok(Item::Record { position, header, batch, payload })
    }

    fn broken(&mut self, at: u32) -> Result<Item<'_>, JournalError> {
        if self.extent == Extent::Tail && at >= self.proven {
            self.proven = self.proven.max(self.marks_behind(at)?);
            if at >= self.proven {
                let torn =
                    self.read(at, RECORD_HEADER_BYTES)?.is_some_and(|head| head.iter().any(|b| *b != 0));
                self.limit = at;
                self.offset = at;
                return Ok(Item::End { offset: at, torn });
            }
        }
        let header = self.header_at(at)?;
        let (to, remains) = match header {
            Some(header) if next_offset(at, &header) <= self.limit => {
                let behind = self.behind_header(at, &header);
                let skip = split_batch_header(&header, behind).map_or(0, |(_, skip)| skip);
                let payload = behind.get(skip..).unwrap_or_default().to_vec();
                (next_offset(at, &header), Some((header, payload)))
            }
            _ => (self.resync(at)?.unwrap_or(self.limit), None),
        };
        let to = if self.extent == Extent::Tail && remains.is_none() { to.min(self.limit) } else { to };
        self.offset = to;
        Ok(Item::Damage(Damage { from: Position { segment: self.id, offset: at }, to, remains }))
    }

    /// The highest mark in the whole records behind `at`.
    fn marks_behind(&mut self, at: u32) -> Result<u32, JournalError> {
        let mut highest = 0;
        let mut from = at;
        while let Some(found) = self.resync(from)? {
            from = found;
            while let Some(header) = self.whole_record(from)? {
                let behind = self.behind_header(from, &header);
                if let Some((Some(batch), _)) = split_batch_header(&header, behind)
                    && batch.synced.segment == self.id
                {
                    highest = highest.max(batch.synced.offset);
                }
                from = next_offset(from, &header);
            }
        }
        Ok(highest)
    }

    /// Where the next whole record behind `at` begins.
    fn resync(&mut self, at: u32) -> Result<Option<u32>, JournalError> {
        #[allow(clippy::cast_possible_truncation, reason = "a small constant")]
        let step = ALIGNMENT as u32;
        let mut candidate = at.saturating_add(step);
        while candidate < self.limit {
            let Some(head) = self.read(candidate, RECORD_HEADER_BYTES)? else { return Ok(None) };
            let zero = head.iter().all(|b| *b == 0);
            if zero {
                // Preallocated room is most of what is ever searched.
                candidate = self.skip_zeros(candidate)?;
                continue;
            }
            if self.whole_record(candidate)?.is_some() {
                return Ok(Some(candidate));
            }
            candidate = candidate.saturating_add(step);
        }
        Ok(None)
    }

    fn skip_zeros(&mut self, from: u32) -> Result<u32, JournalError> {
        let mut at = from;
        loop {
            let want = WINDOW.min((self.limit - at) as usize);
            let Some(bytes) = self.read(at, want)? else { return Ok(self.limit) };
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let (words, _) = bytes.as_chunks::<ALIGNMENT>();
            if let Some(word) = words.iter().position(|word| u64::from_le_bytes(*word) != 0) {
                #[allow(clippy::cast_possible_truncation, reason = "within a window")]
                let word = (word * ALIGNMENT) as u32;
                // The first word of a header may be zero only if length and checksum both are.
                return Ok((at + word).saturating_sub(8).max(from + 8));
            }
            at += length.max(1);
            if at >= self.limit {
                return Ok(self.limit);
            }
        }
    }

    fn header_at(&mut self, at: u32) -> Result<Option<RecordHeader>, JournalError> {
        let frame = self.frame;
        let Some(bytes) = self.read(at, RECORD_HEADER_BYTES)? else { return Ok(None) };
        let Some(head) = bytes.first_chunk() else { return Ok(None) };
        Ok(frame.header(head, at))
    }

    fn whole_record(&mut self, at: u32) -> Result<Option<RecordHeader>, JournalError> {
        let Some(header) = self.header_at(at)? else { return Ok(None) };
        if next_offset(at, &header) > self.limit {
            return Ok(None);
        }
        let frame = self.frame;
        let length = header.length as usize;
        let Some(bytes) = self.read(at, RECORD_HEADER_BYTES + length)? else { return Ok(None) };
        let Some((head, payload)) = bytes.split_first_chunk() else { return Ok(None) };
        Ok(frame.verifies(head, payload, at).then_some(header))
    }

    /// The bytes behind a header that [`Scan::read`] has just brought into the window, as far as they exist.
    fn behind_header(&mut self, at: u32, header: &RecordHeader) -> &[u8] {
        match self.read(at, RECORD_HEADER_BYTES + header.length as usize) {
            Ok(Some(bytes)) => bytes.get(RECORD_HEADER_BYTES..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// `length` bytes at `at`, or `None` if the file ends before.
    fn read(&mut self, at: u32, length: usize) -> Result<Option<&[u8]>, JournalError> {
        if (self.limit.saturating_sub(at) as usize) < length {
            return Ok(None);
        }
        let inside =
            at >= self.window_start && (at - self.window_start) as usize + length <= self.window.len();
        if !inside {
            let window = if self.extent == Extent::Growing { FOLLOW_WINDOW } else { WINDOW };
            let want = padded(length).max(window).min((self.limit - at) as usize);
            self.window.resize(want, 0);
            self.window_start = at;
            let got = if self.past_cache {
                self.file.read_past_cache(&mut self.window, u64::from(at))
            } else {
                self.file.read_at(&mut self.window, u64::from(at))
            };
            let got = got.map_err(JournalError::io("read", &self.path))?;
            self.window.truncate(got);
            if got < length {
                return Ok(None);
            }
        }
        let from = (at - self.window_start) as usize;
        Ok(self.window.get(from..from + length))
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a size is at most MAX_PAYLOAD and some")]
const fn next_offset(at: u32, header: &RecordHeader) -> u32 {
    at.saturating_add(header.size() as u32)
}

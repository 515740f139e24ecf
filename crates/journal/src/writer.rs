//! [`Writer`]: appends groups of batches with one write and one sync each.

use std::path::PathBuf;
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_model::Epoch;

use crate::record::{self, Frame, Kind, RECORD_HEADER_BYTES};
use crate::segment::{FORMAT, HEADER_BYTES, SegmentHeader, segment_path};
use crate::{JournalError, Position, Seal};

/// Capacity of the group buffer that is kept between groups; a larger one served a rare giant.
const KEPT_BUFFER: usize = 4 << 20;

/// How a journal is written.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Length of a segment; a larger record gets a segment of its own size.
    pub segment_bytes: u32,
    /// Zeros written ahead of small records, in the same write: the syncs that follow overwrite known blocks, and
    /// the file system has no metadata to commit with them. 0 leaves that to the file system.
    pub zero_ahead_bytes: u32,
    /// The format that the headers of segments state.
    pub format: u32,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, zero_ahead_bytes: 1 << 20, format: FORMAT }
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its first byte.
    pub position: Position,
    /// Bytes that it takes, header and padding included.
    pub size: u32,
}

/// The one writer of a journal under one epoch.
///
/// Records are encoded into a buffer ([`Writer::begin`], [`Writer::record`]), go to the file as one write
/// ([`Writer::flush`]) and become safe with one sync ([`Writer::sync`]). Any error is final: every later call
/// fails as well.
pub struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    epoch: Epoch,
    options: WriterOptions,
    active: Active,
    /// Where the next record will go, the buffered ones counted.
    next: Position,
    capacity: u32,
    buffer: Vec<u8>,
    /// Where in the buffer another segment begins.
    rolls: Vec<Roll>,
    begun: Option<u64>,
    synced: Position,
    unsynced: bool,
    spare: Option<Spare>,
    rolled: Vec<Rolled>,
    failed: bool,
}

/// A change from one segment to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rolled {
    /// The segment that was left.
    pub from: u32,
    /// Where it ends.
    pub end: u32,
    /// The segment that was begun.
    pub to: u32,
    /// Its length.
    pub capacity: u32,
}

struct Active {
    id: u32,
    file: Arc<dyn DiskFile>,
    written: u32,
    zeroed: u32,
    capacity: u32,
}

impl Active {
    /// How many zeros go behind a write that ends at `end`, of so many that are wanted. A large write gets none:
    /// the next of its kind would need as many again, and each byte would be written twice, which costs more than
    /// the metadata that the file system commits instead.
    const fn zeros_behind(&self, end: u32, wanted: u32) -> u32 {
        let room = self.capacity - end;
        if end <= self.zeroed || end - self.written >= wanted / 2 {
            0
        } else if wanted < room {
            wanted
        } else {
            room
        }
    }
}

#[derive(Clone, Copy)]
struct Roll {
    at: usize,
    id: u32,
    capacity: u32,
}

struct Spare {
    id: u32,
    file: Arc<dyn DiskFile>,
    capacity: u32,
}

impl Writer {
    /// Begins an epoch: makes its first segment, and its seal safe.
    ///
    /// # Errors
    /// The medium failed, or a file of that epoch and id exists.
    pub fn create(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        epoch: Epoch,
        first_id: u32,
        seal: &Seal,
        options: WriterOptions,
    ) -> Result<Self, JournalError> {
        let mut payload = Vec::new();
        seal.encode(&mut payload);
        let needed = HEADER_BYTES as usize + record::padded(RECORD_HEADER_BYTES + 16 + payload.len());
        let capacity = options.segment_bytes.max(u32::try_from(needed).unwrap_or(u32::MAX));
        let path = segment_path(&folder, epoch.number, first_id);
        let file = disk.open(&path, OpenMode::CreateNew).map_err(JournalError::io("create", &path))?;
        file.allocate(u64::from(capacity)).map_err(JournalError::io("allocate", &path))?;
        let header = SegmentHeader {
            format: options.format,
            epoch,
            id: first_id,
            capacity,
            synced: Position::default(),
            continues: false,
        };
        file.write_at(&header.encode(), 0).map_err(JournalError::io("write", &path))?;
        let mut writer = Self {
            disk,
            folder,
            epoch,
            options,
            active: Active { id: first_id, file, written: HEADER_BYTES, zeroed: HEADER_BYTES, capacity },
            next: Position { segment: first_id, offset: HEADER_BYTES },
            capacity,
            buffer: Vec::with_capacity(256 << 10),
            rolls: Vec::new(),
            begun: None,
            synced: Position::default(),
            unsynced: true,
            spare: None,
            rolled: Vec::new(),
            failed: false,
        };
        writer.begin(0);
        writer.record(Kind::SEAL, true, |out| out.extend_from_slice(&payload))?;
        writer.flush()?;
        writer.sync()?;
        writer.disk.sync_dir(&writer.folder).map_err(JournalError::io("sync", &writer.folder))?;
        Ok(writer)
    }

    /// Begins a batch; the next [`Writer::record`] is its first.
    pub const fn begin(&mut self, ticket: u64) {
        self.begun = Some(ticket);
    }

    /// Adds a record to the batch that was begun; `last` ends it. The payload is what `encode` appends.
    ///
    /// # Errors
    /// The record is too large for any segment; the batch is spoilt, and so is the writer.
    pub fn record(
        &mut self,
        kind: Kind,
        last: bool,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Placed, JournalError> {
        let flags = if last { record::LAST } else { 0 };
        self.append(kind, flags, encode)
    }

    /// Adds a batch of one record that maintenance makes.
    ///
    /// # Errors
    /// As [`Writer::record`].
    pub fn copy(&mut self, kind: Kind, encode: impl FnOnce(&mut Vec<u8>)) -> Result<Placed, JournalError> {
        self.begin(0);
        self.append(kind, record::LAST | record::COPY, encode)
    }

    fn append(
        &mut self,
        kind: Kind,
        mut flags: u8,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Placed, JournalError> {
        let start = self.buffer.len();
        self.buffer.resize(start + RECORD_HEADER_BYTES, 0);
        if let Some(ticket) = self.begun.take() {
            flags |= record::FIRST;
            self.buffer.extend_from_slice(&ticket.to_le_bytes());
            self.buffer.extend_from_slice(&self.synced.to_u64().to_le_bytes());
        }
        encode(&mut self.buffer);
        let bytes = self.buffer.len() - start;
        if bytes > record::MAX_PAYLOAD {
            self.failed = true;
            return Err(JournalError::TooLarge { bytes, limit: record::MAX_PAYLOAD });
        }
        let end = start + bytes;
        self.buffer.resize(start + record::padded(bytes), 0);
        #[allow(clippy::cast_possible_truncation, reason = "at most MAX_PAYLOAD")]
        let size = (self.buffer.len() - start) as u32;
        if size > self.capacity - self.next.offset {
            let Position { segment: from, offset: end } = self.next;
            self.capacity = self.options.segment_bytes.max(HEADER_BYTES + size);
            self.next = Position { segment: from + 1, offset: HEADER_BYTES };
            self.rolled.push(Rolled { from, end, to: self.next.segment, capacity: self.capacity });
            self.rolls.push(Roll { at: start, id: self.next.segment, capacity: self.capacity });
        }
        let position = self.next;
        let frame = Frame::new(self.epoch, position.segment);
        frame.seal(&mut self.buffer[start..end], position.offset, kind, flags);
        self.next.offset += size;
        Ok(Placed { position, size })
    }

    /// Writes what was added, nearly always with one write. It is readable then, and not yet safe.
    ///
    /// # Errors
    /// The medium failed.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.guarded(Self::write_buffer)
    }

    /// Makes all that was flushed safe.
    ///
    /// # Errors
    /// The medium failed; what was not safe before may be lost, and a second try would prove nothing.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.guarded(Self::sync_active)
    }

    /// Makes the next segment ready, so that the change to it costs nobody a wait. Does nothing if it is.
    ///
    /// # Errors
    /// The medium failed.
    pub fn prepare(&mut self) -> Result<(), JournalError> {
        self.guarded(|this| {
            if this.spare.is_some() || !this.rolls.is_empty() {
                return Ok(());
            }
            let id = this.active.id + 1;
            let capacity = this.options.segment_bytes;
            let file = this.make_file(id, capacity)?;
            this.spare = Some(Spare { id, file, capacity });
            Ok(())
        })
    }

    /// Whether [`Writer::prepare`] has been here since the last change of segments.
    pub const fn is_prepared(&self) -> bool {
        self.spare.is_some()
    }

    /// The changes of segments since this was last asked; they happen with the next flush at the latest.
    pub fn take_rolled(&mut self) -> Vec<Rolled> {
        std::mem::take(&mut self.rolled)
    }

    /// Length of the segment that is being written.
    pub const fn capacity(&self) -> u32 {
        self.active.capacity
    }

    /// Length of the spare segment, 0 if there is none.
    pub fn spare_bytes(&self) -> u64 {
        self.spare.as_ref().map_or(0, |spare| u64::from(spare.capacity))
    }

    /// Where the next record will go.
    pub const fn position(&self) -> Position {
        self.next
    }

    /// Everything before this is safe.
    pub const fn synced(&self) -> Position {
        self.synced
    }

    /// Whether something was written and not synced.
    pub const fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Bytes of the files that this writer holds open beyond what it has written: the room in the active
    /// segment, and the spare one.
    pub fn reserved_bytes(&self) -> u64 {
        u64::from(self.active.capacity - self.active.written)
            + self.spare.as_ref().map_or(0, |spare| u64::from(spare.capacity))
    }

    fn guarded(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        if self.failed {
            let path = segment_path(&self.folder, self.epoch.number, self.active.id);
            let earlier = std::io::Error::other("an earlier write or sync failed, which is final");
            return Err(JournalError::io("write", &path)(earlier));
        }
        let outcome = work(self);
        self.failed = outcome.is_err();
        outcome
    }

    fn write_buffer(&mut self) -> Result<(), JournalError> {
        let mut from = 0;
        for roll in std::mem::take(&mut self.rolls) {
            self.write_range(from, roll.at)?;
            self.roll(roll)?;
            from = roll.at;
        }
        let end = self.buffer.len();
        self.write_range(from, end)?;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER);
        Ok(())
    }

    fn write_range(&mut self, from: usize, to: usize) -> Result<(), JournalError> {
        if from == to {
            return Ok(());
        }
        let active = &mut self.active;
        #[allow(clippy::cast_possible_truncation, reason = "segments are shorter than 4 GiB")]
        let end = active.written + (to - from) as u32;
        let mut upto = to;
        if to == self.buffer.len()
            && let ahead @ 1.. = active.zeros_behind(end, self.options.zero_ahead_bytes)
        {
            upto = to + ahead as usize;
            self.buffer.resize(upto, 0);
            active.zeroed = end + ahead;
        }
        let path = || segment_path(&self.folder, self.epoch.number, active.id);
        active
            .file
            .write_at(&self.buffer[from..upto], u64::from(active.written))
            .map_err(|e| JournalError::io("write", &path())(e))?;
        active.written = end;
        self.unsynced = true;
        Ok(())
    }

    /// Goes on in another segment. The old one is synced first: only the last segment of an epoch can be torn.
    fn roll(&mut self, roll: Roll) -> Result<(), JournalError> {
        self.sync_active()?;
        let file = match self.spare.take() {
            Some(spare) if spare.id == roll.id => {
                if spare.capacity < roll.capacity {
                    let path = segment_path(&self.folder, self.epoch.number, roll.id);
                    spare
                        .file
                        .allocate(u64::from(roll.capacity))
                        .map_err(JournalError::io("allocate", &path))?;
                }
                spare.file
            }
            _ => self.make_file(roll.id, roll.capacity)?,
        };
        let header = SegmentHeader {
            format: self.options.format,
            epoch: self.epoch,
            id: roll.id,
            capacity: roll.capacity,
            synced: self.synced,
            continues: true,
        };
        let path = segment_path(&self.folder, self.epoch.number, roll.id);
        file.write_at(&header.encode(), 0).map_err(JournalError::io("write", &path))?;
        self.active = Active {
            id: roll.id,
            file,
            written: HEADER_BYTES,
            zeroed: HEADER_BYTES,
            capacity: roll.capacity,
        };
        self.unsynced = true;
        Ok(())
    }

    fn make_file(&self, id: u32, capacity: u32) -> Result<Arc<dyn DiskFile>, JournalError> {
        let path = segment_path(&self.folder, self.epoch.number, id);
        let file = self.disk.open(&path, OpenMode::CreateNew).map_err(JournalError::io("create", &path))?;
        file.allocate(u64::from(capacity)).map_err(JournalError::io("allocate", &path))?;
        file.sync().map_err(JournalError::io("sync", &path))?;
        self.disk.sync_dir(&self.folder).map_err(JournalError::io("sync", &self.folder))?;
        Ok(file)
    }

    fn sync_active(&mut self) -> Result<(), JournalError> {
        if self.unsynced {
            let active = &self.active;
            let path = || segment_path(&self.folder, self.epoch.number, active.id);
            active.file.sync().map_err(|e| JournalError::io("sync", &path())(e))?;
            self.unsynced = false;
        }
        self.synced = Position { segment: self.active.id, offset: self.active.written };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ferromq_env::simulated::SimDisk;

    use super::*;

    #[test]
    fn zeros_go_ahead_of_small_writes_within_the_segment_and_of_no_large_ones() {
        let disk = SimDisk::new();
        let file = disk.open("/segment".as_ref(), OpenMode::CreateNew).expect("a file");
        let active = Active { id: 1, file, written: 1_000, zeroed: 1_100, capacity: 3_000 };
        let rows = [
            ("within what is zero already", 1_100, 1_000, 0),
            ("beyond it", 1_101, 1_000, 1_000),
            ("up to half of what is wanted", 1_499, 1_000, 1_000),
            ("half of it", 1_500, 1_000, 0),
            ("no further than the segment", 2_500, 4_000, 500),
            ("none wanted", 1_101, 0, 0),
        ];
        for (case, end, wanted, expected) in rows {
            assert_eq!(active.zeros_behind(end, wanted), expected, "{case}");
        }
    }
}

//! The frame around a record: length, checksum, epoch, kind and flags.

use ferromq_model::Epoch;

use crate::Position;
use crate::segment::checksum_seed;

/// Bytes of a record's header.
pub const RECORD_HEADER_BYTES: usize = 16;

/// Bytes that the first record of a batch has between header and payload: ticket and synced mark.
pub const BATCH_HEADER_BYTES: usize = 16;

/// Records begin at multiples of this, so that a search after damage tries few places.
pub const ALIGNMENT: usize = 8;

/// Payload that one record may have at most.
pub const MAX_PAYLOAD: usize = 1 << 30;

/// What a record is. Kinds below 16 are the journal's own, the rest belongs to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// The first record of an epoch: the ends of all older segments.
    pub const SEAL: Self = Self(1);
    /// The last record of an orderly stop, or a mark while idle; it says only what is synced.
    pub const MARK: Self = Self(2);
    /// The first kind that a user of the journal may choose.
    pub const FIRST_FREE: Self = Self(16);

    /// Whether the journal itself wrote it.
    pub const fn is_internal(self) -> bool {
        self.0 < Self::FIRST_FREE.0
    }
}

/// Begins a batch.
pub const FIRST: u8 = 1;
/// Ends a batch.
pub const LAST: u8 = 2;
/// Written by maintenance, not by a unit of work.
pub const COPY: u8 = 4;

const ALL_FLAGS: u8 = FIRST | LAST | COPY;

/// A record's header, verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes behind the header, padding excluded.
    pub length: u32,
    /// What it is.
    pub kind: Kind,
    /// Whether it is the first of its batch, the last, and whether it is a copy; told by the methods below.
    pub flags: u8,
}

/// What stands in front of the first payload of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The unit of work.
    pub ticket: u64,
    /// Everything before this was known to be synced when the batch was written.
    pub synced: Position,
}

impl RecordHeader {
    /// Bytes that the record takes in the file.
    pub const fn size(&self) -> usize {
        padded(RECORD_HEADER_BYTES + self.length as usize)
    }

    /// Whether it begins a batch.
    pub const fn is_first(&self) -> bool {
        self.flags & FIRST != 0
    }

    /// Whether it ends a batch.
    pub const fn is_last(&self) -> bool {
        self.flags & LAST != 0
    }

    /// Whether maintenance wrote it.
    pub const fn is_copy(&self) -> bool {
        self.flags & COPY != 0
    }
}

/// `bytes` rounded up to where the next record may begin.
pub const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

/// What identifies the file that a record belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    seed: u32,
    epoch: u32,
}

/// A record that was read by itself, and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its header.
    pub header: RecordHeader,
    /// For the first record of a batch.
    pub batch: Option<BatchHeader>,
    /// What its writer put in.
    pub payload: &'a [u8],
}

impl Frame {
    /// The frame of the records of segment `id` of `epoch`.
    #[allow(clippy::cast_possible_truncation, reason = "records carry the lower half")]
    pub fn new(epoch: Epoch, id: u32) -> Self {
        Self { seed: checksum_seed(epoch, id), epoch: epoch.number as u32 }
    }

    /// Verifies the record that begins `bytes`, which were read at `offset`; `None` if it is damaged.
    pub fn open(self, bytes: &[u8], offset: u32) -> Option<RecordView<'_>> {
        let (head, rest) = bytes.split_first_chunk()?;
        let header = self.header(head, offset)?;
        let behind = rest.get(..header.length as usize)?;
        if !self.verifies(head, behind, offset) {
            return None;
        }
        let (batch, skip) = split_batch_header(&header, behind)?;
        Some(RecordView { header, batch, payload: behind.get(skip..)? })
    }

    /// Fills in the header of the record that `bytes` holds: header, payload and nothing behind.
    pub(crate) fn seal(self, bytes: &mut [u8], offset: u32, kind: Kind, flags: u8) {
        let Some((header, payload)) = bytes.split_first_chunk_mut::<RECORD_HEADER_BYTES>() else { return };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        header[0..4].copy_from_slice(&length.to_le_bytes());
        header[8..12].copy_from_slice(&self.epoch.to_le_bytes());
        header[12] = kind.0;
        header[13] = flags;
        let head = self.head_checksum(header, offset);
        header[14..16].copy_from_slice(&fold(head));
        let crc = crc32c::crc32c_append(head, payload);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header, if it is one that was written here.
    pub(crate) fn header(self, bytes: &[u8; RECORD_HEADER_BYTES], offset: u32) -> Option<RecordHeader> {
        let [l0, l1, l2, l3, _, _, _, _, e0, e1, e2, e3, kind, flags, c0, c1] = *bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let plausible = u32::from_le_bytes([e0, e1, e2, e3]) == self.epoch
            && kind != 0
            && flags & !ALL_FLAGS == 0
            && length as usize <= MAX_PAYLOAD + BATCH_HEADER_BYTES;
        (plausible && fold(self.head_checksum(bytes, offset)) == [c0, c1]).then_some(RecordHeader {
            length,
            kind: Kind(kind),
            flags,
        })
    }

    /// Whether the bytes behind the header are those that were written.
    pub(crate) fn verifies(self, header: &[u8; RECORD_HEADER_BYTES], payload: &[u8], offset: u32) -> bool {
        let [_, _, _, _, c0, c1, c2, c3, ..] = *header;
        let crc = crc32c::crc32c_append(self.head_checksum(header, offset), payload);
        crc == u32::from_le_bytes([c0, c1, c2, c3])
    }

    /// Covers place, length, epoch, kind and flags: a length that can be trusted lets a reader step over a
    /// damaged payload, and a search after damage needs no checksum of long stretches at wrong places.
    fn head_checksum(self, header: &[u8; RECORD_HEADER_BYTES], offset: u32) -> u32 {
        let mut covered = [0; 14];
        covered[0..4].copy_from_slice(&offset.to_le_bytes());
        covered[4..8].copy_from_slice(&header[0..4]);
        covered[8..14].copy_from_slice(&header[8..14]);
        crc32c::crc32c_append(self.seed, &covered)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "folding two halves into one")]
const fn fold(crc: u32) -> [u8; 2] {
    ((crc >> 16) as u16 ^ crc as u16).to_le_bytes()
}

/// Splits the batch header off the bytes behind a record's header.
pub(crate) fn split_batch_header(
    header: &RecordHeader,
    behind: &[u8],
) -> Option<(Option<BatchHeader>, usize)> {
    if !header.is_first() {
        return Some((None, 0));
    }
    let (ticket, rest) = behind.split_first_chunk::<8>()?;
    let (synced, _) = rest.split_first_chunk::<8>()?;
    let batch = BatchHeader {
        ticket: u64::from_le_bytes(*ticket),
        synced: Position::from_u64(u64::from_le_bytes(*synced)),
    };
    Some((Some(batch), BATCH_HEADER_BYTES))
}

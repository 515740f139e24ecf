//! The name and the header of a segment file.

use std::path::{Path, PathBuf};

use ferromq_model::{ClaimId, Epoch};

use crate::Position;

/// The newest format that this version knows; it reads all up to it, and writes it where it is told to.
pub const FORMAT: u32 = if cfg!(feature = "next-format") { 3 } else { 2 };

/// Bytes of a segment's header; the first record follows.
pub const HEADER_BYTES: u32 = 64;

const MAGIC: [u8; 8] = *b"FMQJRNL\0";

/// What stands at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The format in which the segment is written.
    pub format: u32,
    /// The reign that writes this file.
    pub epoch: Epoch,
    /// The segment's id.
    pub id: u32,
    /// The length that the file was made with.
    pub capacity: u32,
    /// What was synced when the segment was begun: unless the segment is the first of its epoch, exactly the end
    /// of the one before.
    pub synced: Position,
    /// Whether the epoch's seal was synced by then: true for all but the first segment of an epoch.
    pub continues: bool,
}

/// What the first bytes of a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderRead {
    /// A header.
    Whole(SegmentHeader),
    /// Nothing was ever written: a segment that was prepared and not begun.
    Blank,
    /// Something else.
    Damaged,
    /// A header of a newer format.
    Newer(u32),
}

impl SegmentHeader {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut out = [0; HEADER_BYTES as usize];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&self.format.to_le_bytes());
        out[16..24].copy_from_slice(&self.epoch.number.to_le_bytes());
        out[24..32].copy_from_slice(&self.epoch.claim.0.to_le_bytes());
        out[32..36].copy_from_slice(&self.id.to_le_bytes());
        out[36..40].copy_from_slice(&self.capacity.to_le_bytes());
        out[40..48].copy_from_slice(&self.synced.to_u64().to_le_bytes());
        out[48] = u8::from(self.continues);
        let crc = crc32c::crc32c(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header of a format up to [`FORMAT`] from the beginning of a file.
    pub fn decode(bytes: &[u8]) -> HeaderRead {
        Self::decode_up_to(bytes, FORMAT)
    }

    /// As [`SegmentHeader::decode`], for a reader that knows formats up to `known`.
    pub fn decode_up_to(bytes: &[u8], known: u32) -> HeaderRead {
        let Some(head) = bytes.first_chunk::<{ HEADER_BYTES as usize }>() else {
            return if bytes.iter().all(|b| *b == 0) { HeaderRead::Blank } else { HeaderRead::Damaged };
        };
        if head.iter().all(|b| *b == 0) {
            return HeaderRead::Blank;
        }
        if head[0..8] != MAGIC {
            return HeaderRead::Damaged;
        }
        let format = u32_at(head, 8);
        let mut blanked = *head;
        blanked[12..16].fill(0);
        if crc32c::crc32c(&blanked) != u32_at(head, 12) {
            return HeaderRead::Damaged;
        }
        // The place of magic, format and checksum is the same in every format to come.
        if format > known {
            return HeaderRead::Newer(format);
        }
        HeaderRead::Whole(Self {
            format,
            epoch: Epoch { number: u64_at(head, 16), claim: ClaimId(u64_at(head, 24)) },
            id: u32_at(head, 32),
            capacity: u32_at(head, 36),
            synced: Position::from_u64(u64_at(head, 40)),
            continues: head[48] != 0,
        })
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES as usize], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8; HEADER_BYTES as usize], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

/// The file of segment `id` of the epoch with that number. The epoch stands in the name, so that no two reigns
/// ever write the same file.
pub fn segment_path(folder: &Path, epoch: u64, id: u32) -> PathBuf {
    folder.join(format!("{epoch:010}-{id:010}.journal"))
}

/// Epoch number and id from the name of a segment; `None` for any other file.
pub fn parse_segment_name(path: &Path) -> Option<(u64, u32)> {
    let (epoch, id) = path.file_name()?.to_str()?.strip_suffix(".journal")?.split_once('-')?;
    Some((epoch.parse().ok()?, id.parse().ok()?))
}

/// Where the checksums of a segment's records begin: a record that was written to another segment, or by another
/// claim, or that a client smuggled into a body, does not verify.
pub(crate) fn checksum_seed(epoch: Epoch, id: u32) -> u32 {
    let mut seed = [0; 20];
    seed[0..8].copy_from_slice(&epoch.number.to_le_bytes());
    seed[8..16].copy_from_slice(&epoch.claim.0.to_le_bytes());
    seed[16..20].copy_from_slice(&id.to_le_bytes());
    crc32c::crc32c(&seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            format: FORMAT,
            epoch: Epoch { number: 7, claim: ClaimId(0x0123_4567_89ab_cdef) },
            id: 42,
            capacity: 1 << 25,
            synced: Position { segment: 41, offset: 4096 },
            continues: true,
        }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        assert_eq!(SegmentHeader::decode(&header().encode()), HeaderRead::Whole(header()));
    }

    #[test]
    fn honesty_any_flipped_bit_in_a_header_is_noticed() {
        for bit in 0..u32::BITS as usize * 16 {
            let mut bytes = header().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), HeaderRead::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = header().encode();
        bytes[8..16].copy_from_slice(&[9, 0, 0, 0, 0, 0, 0, 0]);
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), HeaderRead::Newer(9));
        let next = SegmentHeader { format: FORMAT + 1, ..header() };
        assert_eq!(SegmentHeader::decode(&next.encode()), HeaderRead::Newer(FORMAT + 1));
        assert_eq!(SegmentHeader::decode_up_to(&next.encode(), FORMAT + 1), HeaderRead::Whole(next));
    }

    #[test]
    fn names_order_as_ids_within_an_epoch_and_read_back() {
        let path = segment_path(Path::new("j"), 12, 345);
        assert_eq!(path, Path::new("j/0000000012-0000000345.journal"));
        assert_eq!(parse_segment_name(&path), Some((12, 345)));
        assert_eq!(parse_segment_name(Path::new("j/lost+found")), None);
    }
}

//! The rows of index pages: 32 bytes for a message, 4 for a message that waits for a subscription.

use ferromq_journal::Position;

/// A row: fixed in size, ordered by its distance from the page's base.
pub(crate) trait Row: Copy {
    /// Bytes on disk.
    const BYTES: usize;
    /// Distance of its sequence from the base.
    fn delta(&self) -> u32;
    /// The same row under another base.
    fn moved(self, delta: u32) -> Self;
    /// Appends [`Row::BYTES`] bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads [`Row::BYTES`] bytes.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// A stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    delta: u32,
    /// 0: quarantined, its record can't be read.
    segment: u32,
    offset: u32,
    size: u32,
    charge: u32,
    /// Priority in the low 8 bits, then the number of subscriptions that need it.
    bits: u32,
    expiration: i64,
}

/// What an [`Entry`] is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryParts {
    pub(crate) position: Position,
    pub(crate) size: u32,
    pub(crate) charge: u32,
    pub(crate) priority: u8,
    pub(crate) references: u32,
    pub(crate) expiration: i64,
}

impl Entry {
    pub(crate) fn new(delta: u32, parts: EntryParts) -> Self {
        Self {
            delta,
            segment: parts.position.segment,
            offset: parts.position.offset,
            size: parts.size,
            charge: parts.charge,
            bits: u32::from(parts.priority) | parts.references.min(0x00ff_ffff) << 8,
            expiration: parts.expiration,
        }
    }

    pub(crate) const fn position(&self) -> Position {
        Position { segment: self.segment, offset: self.offset }
    }

    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    pub(crate) const fn charge(&self) -> u32 {
        self.charge
    }

    #[allow(clippy::cast_possible_truncation, reason = "the low bits are the priority")]
    pub(crate) const fn priority(&self) -> u8 {
        self.bits as u8
    }

    pub(crate) const fn expiration(&self) -> i64 {
        self.expiration
    }

    pub(crate) const fn references(&self) -> u32 {
        self.bits >> 8
    }

    pub(crate) fn set_references(&mut self, references: u32) {
        self.bits = self.bits & 0xff | references.min(0x00ff_ffff) << 8;
    }

    pub(crate) fn relocate(&mut self, position: Position, size: u32) {
        self.segment = position.segment;
        self.offset = position.offset;
        self.size = size;
    }
}

impl Row for Entry {
    const BYTES: usize = 32;

    fn delta(&self) -> u32 {
        self.delta
    }

    fn moved(self, delta: u32) -> Self {
        Self { delta, ..self }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for word in [self.delta, self.segment, self.offset, self.size, self.charge, self.bits] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.expiration.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        Some(Self {
            delta: word(0)?,
            segment: word(4)?,
            offset: word(8)?,
            size: word(12)?,
            charge: word(16)?,
            bits: word(20)?,
            expiration: bytes.get(24..)?.first_chunk().copied().map(i64::from_le_bytes)?,
        })
    }
}

/// A message that waits for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending(pub(crate) u32);

impl Row for Pending {
    const BYTES: usize = 4;

    fn delta(&self) -> u32 {
        self.0
    }

    fn moved(self, delta: u32) -> Self {
        Self(delta)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().copied().map(u32::from_le_bytes).map(Self)
    }
}

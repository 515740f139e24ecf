//! [`Position`]: a place in the journal.

use std::fmt;

/// A segment and a byte in it. Ordered as the journal was written, over all epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's id; ids rise over all epochs and are never used again. 0 is before the first.
    pub segment: u32,
    /// Bytes from the beginning of the file.
    pub offset: u32,
}

impl Position {
    /// Both parts in one number, ordered alike.
    pub const fn to_u64(self) -> u64 {
        (self.segment as u64) << 32 | self.offset as u64
    }

    /// The reverse of [`Position::to_u64`].
    #[allow(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
    pub const fn from_u64(packed: u64) -> Self {
        Self { segment: (packed >> 32) as u32, offset: packed as u32 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

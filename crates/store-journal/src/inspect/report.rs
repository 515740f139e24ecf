//! What an inspection tells.

use std::path::PathBuf;

use ferromq_model::{Destination, DestinationId, Epoch};
use ferromq_store::Quarantined;

/// What there is in a store.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The highest epoch that was claimed.
    pub claimed: Epoch,
    /// Who claimed it, as he said himself.
    pub owner: Option<String>,
    /// The highest epoch that was sealed: the one whose history counts.
    pub sealed: Epoch,
    /// The segments that count, oldest first.
    pub segments: Vec<SegmentLine>,
    /// The destinations.
    pub destinations: Vec<DestinationLine>,
    /// Whether the last segment ends in something unfinished: a crash, or a broker that is writing right now.
    pub torn: bool,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentLine {
    /// Its id.
    pub id: u32,
    /// Who wrote it.
    pub epoch: Epoch,
    /// Its file.
    pub path: PathBuf,
    /// Length of the file.
    pub file_bytes: u64,
    /// Where the records end.
    pub end: u32,
    /// Bytes of messages that are still stored.
    pub live_bytes: u64,
    /// Bytes of removals that must outlive older segments.
    pub removal_bytes: u64,
    /// The older segments that must go first.
    pub waits_for: Vec<u32>,
}

/// One destination.
#[derive(Clone, Debug)]
pub struct DestinationLine {
    /// Its id.
    pub id: DestinationId,
    /// Kind and name.
    pub destination: Destination,
    /// Messages in it.
    pub messages: u64,
    /// Bytes charged for them.
    pub bytes: u64,
}

/// What a full check found.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Segments that were read.
    pub segments: u64,
    /// Whole records.
    pub records: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Messages in the index.
    pub messages: u64,
    /// Damaged stretches, by destination and message id where that can be told.
    pub damaged: Vec<Quarantined>,
    /// Messages that the index names and that can't be served.
    pub unreadable: Vec<Quarantined>,
    /// Whether the journal ends in something unfinished, which is no damage.
    pub torn: bool,
}

impl Verification {
    /// Whether everything is whole.
    pub const fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.unreadable.is_empty()
    }
}

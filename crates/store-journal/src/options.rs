//! [`Options`]: what may be chosen about a store.

use std::time::Duration;

/// When written bytes are made safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// Before anything is acknowledged. Loses nothing.
    #[default]
    Always,
    /// Acknowledges at once and syncs this often: a crash of the machine, or a loss of power, may lose what was
    /// acknowledged within the last interval. A crash of the broker alone loses nothing.
    Periodic(Duration),
    /// Acknowledges at once and leaves it to the system when to write: a crash of the machine may lose minutes. A
    /// crash of the broker alone loses nothing.
    Never,
}

/// What may be chosen about a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who opens the store, for the message that somebody else will get: name of the broker and process id.
    pub owner: String,
    /// When written bytes are made safe.
    pub fsync: FsyncPolicy,
    /// Length of a segment of the journal.
    pub segment_bytes: u32,
    /// What the store may occupy, `None` for what the disk has.
    pub max_bytes: Option<u64>,
    /// Kept for acknowledgements, reclaim and shutdown when new messages are refused. A quarter of `max_bytes` at
    /// most.
    pub reserve_bytes: u64,
    /// Journal written between two checkpoints, which bounds what a start has to replay.
    pub checkpoint_bytes: u64,
    /// Memory for pages of the index that are on disk as well.
    pub cache_bytes: u64,
    /// Occupied beyond the live bytes at any time, before reclaim begins: segments being written, and what two
    /// checkpoints need.
    pub slack_bytes: u64,
    /// The highest format that is read. Only for tests of two versions beside each other.
    #[doc(hidden)]
    pub known_format: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            owner: String::from("a broker"),
            fsync: FsyncPolicy::Always,
            segment_bytes: 32 << 20,
            max_bytes: None,
            reserve_bytes: 96 << 20,
            checkpoint_bytes: 32 << 20,
            cache_bytes: 64 << 20,
            slack_bytes: 96 << 20,
            known_format: crate::marker::FORMAT,
        }
    }
}

impl Options {
    /// The same, with sizes that fit a small limit, or a disk with little room.
    pub(crate) fn fitted(mut self, disk_bytes: u64) -> Self {
        let max = self.max_bytes.unwrap_or(u64::MAX).min(disk_bytes);
        if max < 16 * u64::from(self.segment_bytes) {
            let share = u32::try_from(max / 16).unwrap_or(u32::MAX).clamp(1 << 20, u32::MAX);
            self.segment_bytes = self.segment_bytes.min(share);
            self.reserve_bytes = self.reserve_bytes.min(max / 4);
            self.checkpoint_bytes = self.checkpoint_bytes.min(max / 8);
            self.slack_bytes = self.slack_bytes.min(max / 4);
        }
        self
    }
}

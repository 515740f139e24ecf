//! [`Usage`]: what of each segment is still needed, and which segments must go before which.

use std::collections::BTreeMap;

use ferromq_model::Epoch;

/// What is known of all segments that exist.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    segments: BTreeMap<u32, SegmentUse>,
}

/// What is known of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentUse {
    /// Who wrote it.
    pub(crate) epoch: Epoch,
    /// What it occupies.
    pub(crate) file_bytes: u64,
    /// Where it ends; 0 while it is written.
    pub(crate) end: u32,
    /// Bytes of messages in it that are still stored.
    pub(crate) live: u64,
    /// Older segments that must be gone first, with the bytes of the removals in this one that name them.
    pub(crate) needs_gone: BTreeMap<u32, u64>,
}

impl SegmentUse {
    /// A segment in which nothing lives yet.
    pub(crate) const fn new(epoch: Epoch, file_bytes: u64, end: u32) -> Self {
        Self { epoch, file_bytes, end, live: 0, needs_gone: BTreeMap::new() }
    }

    /// Bytes of removals that still matter.
    pub(crate) fn removals(&self) -> u64 {
        self.needs_gone.values().sum()
    }
}

impl Usage {
    pub(crate) fn add_segment(&mut self, id: u32, segment: SegmentUse) {
        self.segments.insert(id, segment);
    }

    pub(crate) fn end_segment(&mut self, id: u32, end: u32) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.end = end;
        }
    }

    /// It is gone for good: what had to wait for that waits no longer.
    pub(crate) fn drop_segment(&mut self, id: u32) {
        self.segments.remove(&id);
        for segment in self.segments.values_mut() {
            segment.needs_gone.remove(&id);
        }
    }

    pub(crate) fn segment(&self, id: u32) -> Option<&SegmentUse> {
        self.segments.get(&id)
    }

    /// By id.
    pub(crate) fn segments(&self) -> impl DoubleEndedIterator<Item = (u32, &SegmentUse)> {
        self.segments.iter().map(|(id, segment)| (*id, segment))
    }

    pub(crate) fn add_live(&mut self, id: u32, bytes: u32) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.live += u64::from(bytes);
        }
    }

    pub(crate) fn sub_live(&mut self, id: u32, bytes: u32) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.live = segment.live.saturating_sub(u64::from(bytes));
        }
    }

    /// A record of `bytes` in segment `at` must outlive segment `names`.
    pub(crate) fn add_removal(&mut self, at: u32, names: u32, bytes: u32) {
        if names < at
            && self.segments.contains_key(&names)
            && let Some(segment) = self.segments.get_mut(&at)
        {
            *segment.needs_gone.entry(names).or_default() += u64::from(bytes);
        }
    }

    /// Nothing in it waits for another segment any longer: what did was copied.
    pub(crate) fn release(&mut self, id: u32) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.needs_gone.clear();
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.segments.values().map(|segment| segment.file_bytes).sum()
    }

    pub(crate) fn live(&self) -> u64 {
        self.segments.values().map(|segment| segment.live).sum()
    }

    pub(crate) fn needed(&self) -> u64 {
        self.segments.values().map(|segment| segment.live + segment.removals()).sum()
    }
}

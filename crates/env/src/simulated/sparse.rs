//! [`Sparse`]: the bytes of a simulated file; zeros cost nothing, copies share pages.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE: usize = 4096;

/// Bytes up to a length; a page that was never written reads as zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    len: u64,
}

impl Sparse {
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Reads until the buffer is full or the file ends.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let total = buffer.len().min(there);
        let buffer = &mut buffer[..total];
        for (page, within, range) in spans(offset, total) {
            match self.pages.get(&page) {
                Some(bytes) => buffer[range.clone()].copy_from_slice(&bytes[within..within + range.len()]),
                None => buffer[range].fill(0),
            }
        }
        total
    }

    /// Writes, extending the file if need be.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        for (page, within, range) in spans(offset, bytes.len()) {
            let part = &bytes[range];
            if !self.pages.contains_key(&page) && part.iter().all(|byte| *byte == 0) {
                continue;
            }
            let target = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(target)[within..within + part.len()].copy_from_slice(part);
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Cuts or extends; what is cut off reads as zeros if the file grows again.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let boundary = len / PAGE as u64;
            let within = (len % PAGE as u64) as usize;
            self.pages.retain(|page, _| *page <= boundary);
            if within == 0 {
                self.pages.remove(&boundary);
            } else if let Some(last) = self.pages.get_mut(&boundary) {
                Arc::make_mut(last)[within..].fill(0);
            }
        }
        self.len = len;
    }

    /// Takes the length alone, so that bytes beyond it may be filled in later.
    pub(super) fn extend_to(&mut self, len: u64) {
        self.len = self.len.max(len);
    }
}

/// The pages that a range touches: page number, offset within the page, range of the buffer.
fn spans(offset: u64, count: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= count {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let step = (PAGE - within).min(count - done);
        let range = done..done + step;
        done += step;
        Some((at / PAGE as u64, within, range))
    })
}

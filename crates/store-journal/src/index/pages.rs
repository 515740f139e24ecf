//! [`PageList`]: rows in order of sequence, in pages that need not be in memory.

use std::collections::VecDeque;

use ferromq_store::StoreError;

use super::rows::Row;

/// Rows that a page takes.
pub(crate) const PAGE_ROWS: usize = 512;

/// Where a page lies on disk: a page file, an offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Home {
    pub(crate) file: PageFileId,
    pub(crate) offset: u64,
}

/// A page file: the epoch that wrote it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PageFileId {
    pub(crate) epoch: u64,
    pub(crate) number: u32,
}

/// Reads pages that are not in memory.
pub(crate) trait PageSource {
    /// The bytes of a page, verified.
    fn read_page(&self, home: Home, bytes: usize) -> Result<Vec<u8>, StoreError>;
}

/// Rows in order of sequence.
#[derive(Debug)]
pub(crate) struct PageList<R> {
    slots: VecDeque<Slot<R>>,
    rows: u64,
}

#[derive(Debug)]
struct Slot<R> {
    base: u64,
    last: u64,
    rows: u32,
    resident: Option<VecDeque<R>>,
    /// The same rows on disk, unless they have changed since.
    home: Option<Home>,
    touched: bool,
}

/// A page as a checkpoint lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRecord {
    pub(crate) base: u64,
    pub(crate) last: u64,
    pub(crate) rows: u32,
    pub(crate) home: Home,
}

impl<R> Default for PageList<R> {
    fn default() -> Self {
        Self { slots: VecDeque::new(), rows: 0 }
    }
}

impl<R: Row> PageList<R> {
    pub(crate) const fn len(&self) -> u64 {
        self.rows
    }

    /// Whether `sequence` is higher than all that are here.
    pub(crate) fn is_newest(&self, sequence: u64) -> bool {
        self.slots.back().is_none_or(|slot| slot.last < sequence)
    }

    /// The page that has `sequence`, if any has.
    fn slot_of(&self, sequence: u64) -> Option<usize> {
        let at = self.slots.partition_point(|slot| slot.base <= sequence).checked_sub(1)?;
        (self.slots.get(at)?.last >= sequence).then_some(at)
    }

    /// Adds a row, unless there is one; `row` makes it for its distance from the page's base. Nearly always the newest.
    pub(crate) fn insert(
        &mut self,
        source: &dyn PageSource,
        sequence: u64,
        row: impl FnOnce(u32) -> R,
    ) -> Result<bool, StoreError> {
        let at = match self.slots.partition_point(|slot| slot.base <= sequence).checked_sub(1) {
            Some(at) => at,
            None => {
                self.slots.push_front(Slot::empty(sequence));
                0
            }
        };
        let slot = &self.slots[at];
        let full = slot.rows as usize >= PAGE_ROWS;
        let far = u32::try_from(sequence - slot.base).is_err();
        let at = if far || (full && sequence > slot.last) {
            self.slots.insert(at + 1, Slot::empty(sequence));
            at + 1
        } else {
            at
        };
        let slot = &mut self.slots[at];
        slot.load(source)?;
        let Ok(delta) = u32::try_from(sequence - slot.base) else { return Ok(false) };
        let Some(rows) = &mut slot.resident else { return Ok(false) };
        match rows.back() {
            Some(last) if last.delta() >= delta => match rows.binary_search_by_key(&delta, Row::delta) {
                Ok(_) => return Ok(false),
                Err(place) => rows.insert(place, row(delta)),
            },
            _ => rows.push_back(row(delta)),
        }
        slot.rows += 1;
        slot.last = slot.last.max(sequence);
        slot.home = None;
        slot.touched = true;
        self.rows += 1;
        if slot.rows as usize >= 2 * PAGE_ROWS {
            self.split(at);
        }
        Ok(true)
    }

    /// Halves a page that out-of-order insertion has filled.
    fn split(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let Some(rows) = &mut slot.resident else { return };
        let upper = rows.split_off(PAGE_ROWS);
        let (Some(lower_last), Some(first)) = (rows.back(), upper.front()) else { return };
        let base = slot.base + u64::from(first.delta());
        let cut = first.delta();
        let last = slot.last;
        slot.last = slot.base + u64::from(lower_last.delta());
        #[allow(clippy::cast_possible_truncation, reason = "at most twice a page")]
        let counts = (rows.len() as u32, upper.len() as u32);
        slot.rows = counts.0;
        let upper = upper.into_iter().map(|row| row.moved(row.delta() - cut)).collect();
        let mut new = Slot::empty(base);
        (new.last, new.rows, new.resident) = (last, counts.1, Some(upper));
        self.slots.insert(at + 1, new);
    }

    pub(crate) fn get(&mut self, source: &dyn PageSource, sequence: u64) -> Result<Option<R>, StoreError> {
        let Some(at) = self.slot_of(sequence) else { return Ok(None) };
        let slot = &mut self.slots[at];
        slot.load(source)?;
        Ok(slot.find(sequence).and_then(|place| slot.resident.as_ref()?.get(place).copied()))
    }

    /// Changes a row in place.
    pub(crate) fn update(
        &mut self,
        source: &dyn PageSource,
        sequence: u64,
        change: impl FnOnce(&mut R),
    ) -> Result<(), StoreError> {
        let Some(at) = self.slot_of(sequence) else { return Ok(()) };
        let slot = &mut self.slots[at];
        slot.load(source)?;
        if let Some(place) = slot.find(sequence)
            && let Some(row) = slot.resident.as_mut().and_then(|rows| rows.get_mut(place))
        {
            change(row);
            slot.home = None;
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, source: &dyn PageSource, sequence: u64) -> Result<Option<R>, StoreError> {
        let Some(at) = self.slot_of(sequence) else { return Ok(None) };
        let slot = &mut self.slots[at];
        slot.load(source)?;
        let removed = slot.find(sequence).and_then(|place| slot.resident.as_mut()?.remove(place));
        if removed.is_some() {
            slot.rows -= 1;
            slot.home = None;
            self.rows -= 1;
            if slot.rows == 0 {
                self.slots.remove(at);
            }
        }
        Ok(removed)
    }

    /// Sequences and rows behind `after`, in order.
    pub(crate) fn range(
        &mut self,
        source: &dyn PageSource,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, R)>, StoreError> {
        let mut found = Vec::new();
        let first = self.slots.partition_point(|slot| slot.last <= after);
        for slot in self.slots.range_mut(first..) {
            if found.len() >= limit {
                break;
            }
            slot.load(source)?;
            let rows = slot.resident.iter().flatten();
            let base = slot.base;
            let rows = rows.map(|row| (base + u64::from(row.delta()), *row));
            found.extend(rows.skip_while(|(sequence, _)| *sequence <= after).take(limit - found.len()));
        }
        Ok(found)
    }

    /// Hands every page that has changed since it was written to `write`, which says where it lies now.
    pub(crate) fn write_changed(&mut self, write: &mut dyn FnMut(&[u8]) -> Home, scratch: &mut Vec<u8>) {
        for slot in &mut self.slots {
            if slot.home.is_none()
                && let Some(rows) = &slot.resident
            {
                scratch.clear();
                rows.iter().for_each(|row| row.encode(scratch));
                slot.home = Some(write(scratch));
            }
        }
    }

    /// Forgets where pages in these files lie, so that the next checkpoint writes them anew.
    pub(crate) fn leave(
        &mut self,
        source: &dyn PageSource,
        leaving: &dyn Fn(PageFileId) -> bool,
    ) -> Result<(), StoreError> {
        for slot in &mut self.slots {
            if slot.home.is_some_and(|home| leaving(home.file)) {
                slot.load(source)?;
                slot.home = None;
            }
        }
        Ok(())
    }

    /// All pages; those that have changed since they were written are left out.
    pub(crate) fn records(&self) -> impl Iterator<Item = PageRecord> {
        self.slots.iter().filter_map(|slot| {
            let Slot { base, last, rows, .. } = *slot;
            Some(PageRecord { base, last, rows, home: slot.home? })
        })
    }

    pub(crate) fn page_count(&self) -> usize {
        self.slots.len()
    }

    /// The list that a checkpoint described; no page is in memory.
    pub(crate) fn from_records(records: impl Iterator<Item = PageRecord>) -> Self {
        let mut list = Self::default();
        for PageRecord { base, last, rows, home } in records {
            list.rows += u64::from(rows);
            let slot = Slot { base, last, rows, resident: None, home: Some(home), touched: false };
            list.slots.push_back(slot);
        }
        list
    }

    /// Bytes of the rows in memory that are on disk as well.
    pub(crate) fn clean_bytes(&self) -> u64 {
        let clean = self.slots.iter().filter(|slot| slot.resident.is_some() && slot.home.is_some());
        clean.map(|slot| u64::from(slot.rows) * R::BYTES as u64).sum()
    }

    /// Bytes of the rows that are in memory alone.
    pub(crate) fn changed_bytes(&self) -> u64 {
        let changed = self.slots.iter().filter(|slot| slot.home.is_none());
        changed.map(|slot| u64::from(slot.rows) * R::BYTES as u64).sum()
    }

    /// Drops pages from memory that are on disk and were not used since the last call, up to `excess` bytes.
    pub(crate) fn evict(&mut self, excess: &mut u64) {
        for slot in &mut self.slots {
            if *excess == 0 {
                return;
            }
            if slot.resident.is_none() || slot.home.is_none() {
                continue;
            }
            if slot.touched {
                slot.touched = false;
                continue;
            }
            slot.resident = None;
            *excess = excess.saturating_sub(u64::from(slot.rows) * R::BYTES as u64);
        }
    }
}

impl<R: Row> Slot<R> {
    const fn empty(base: u64) -> Self {
        Self { base, last: base, rows: 0, resident: Some(VecDeque::new()), home: None, touched: true }
    }

    fn load(&mut self, source: &dyn PageSource) -> Result<(), StoreError> {
        self.touched = true;
        if self.resident.is_some() {
            return Ok(());
        }
        let Some(home) = self.home else {
            return Err(StoreError::Bug(String::from("an index page is neither in memory nor on disk")));
        };
        let bytes = source.read_page(home, self.rows as usize * R::BYTES)?;
        self.resident = Some(bytes.chunks_exact(R::BYTES).filter_map(R::decode).collect());
        Ok(())
    }

    fn find(&self, sequence: u64) -> Option<usize> {
        let delta = u32::try_from(sequence.checked_sub(self.base)?).ok()?;
        self.resident.as_ref()?.binary_search_by_key(&delta, Row::delta).ok()
    }
}

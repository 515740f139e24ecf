//! [`Reclaim`] and the other upkeep: room is made by copying what is live out of sparse segments, and by unlinking.

use std::collections::BTreeSet;

use ferromq_env::Disk;
use ferromq_journal::{Extent, Item, Placed, Scan, segment_path};
use ferromq_store::{Budget, Maintenance, Space, StoreError};

use crate::backend::JournalBackend;
use crate::change::{self, ACK_DURABLE, Change, PUT_MESSAGE, REMOVE_MESSAGE};
use crate::failure;

/// Reclaim begins when more than this many fifths of what is needed are occupied, beyond the slack.
const FIFTHS: u64 = 8;

/// A segment of which more than this many tenths are needed is not worth copying.
const DENSE_TENTHS: u64 = 8;

/// What is being copied.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    /// A segment, and how far it was copied.
    cursor: Option<(u32, u32)>,
    /// Segments with a damaged record that is still needed: they stay until the message is removed.
    stuck: BTreeSet<u32>,
}

impl JournalBackend {
    /// One step of everything that keeps the store small and a start short.
    pub(crate) fn upkeep(&mut self, budget: Budget) -> Result<Maintenance, StoreError> {
        let position = self.writer.position();
        if position.offset > self.writer.capacity() / 2
            && self.disk_free()? > u64::from(self.options.segment_bytes)
        {
            self.writer.prepare().map_err(failure::journal)?;
        }
        if self.is_checkpoint_due() {
            self.write_checkpoint()?;
        }
        let more = self.reclaim(budget)?;
        Ok(Maintenance { more, space: self.space()? })
    }

    fn is_checkpoint_due(&self) -> bool {
        self.appended >= self.options.checkpoint_bytes
            || (self.appended >= self.options.checkpoint_bytes / 4
                && self.shared.index().changed_bytes() > self.options.cache_bytes)
    }

    /// Writes a checkpoint of all that was committed.
    pub(crate) fn write_checkpoint(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        let position = self.writer.position();
        let pending = self.checkpoints.write(&mut self.shared.index(), position)?;
        self.checkpoints.finish(&pending)?;
        // What is removed now must not be needed by a successor.
        self.fence()?;
        self.checkpoints.tidy()?;
        self.appended = 0;
        self.shared.index().evict(self.options.cache_bytes);
        Ok(())
    }

    fn disk_free(&self) -> Result<u64, StoreError> {
        let folder = &self.shared.journal;
        self.shared.disk.free_bytes(folder).map_err(failure::io("measure", folder))
    }

    fn used(&self) -> u64 {
        self.shared.index().usage.used() + self.writer.spare_bytes() + self.checkpoints.bytes()
    }

    /// Room, as it is now.
    pub(crate) fn space(&mut self) -> Result<Space, StoreError> {
        let used = self.used();
        let live = self.shared.index().usage.live();
        let allowed = self.options.max_bytes.map_or(u64::MAX, |max| max.saturating_sub(used));
        let room = allowed.min(self.disk_free()?).saturating_add(self.writer.reserved_bytes());
        // Who was full stays so until there is some room to speak of, also over a restart: no flapping.
        let segment = u64::from(self.options.segment_bytes);
        let free = room.saturating_sub(self.options.reserve_bytes);
        let enough = if self.full { 4 * segment } else { segment };
        self.full = free < enough;
        let free = if self.full { 0 } else { free };
        Ok(Space { used, free, live })
    }

    /// Whether room has to be made: more is occupied than may be, or new messages are being refused.
    fn is_crowded(&mut self) -> Result<bool, StoreError> {
        let needed = self.shared.index().usage.needed();
        Ok(self.used() > needed * FIFTHS / 5 + self.options.slack_bytes || self.space()?.free == 0)
    }

    fn reclaim(&mut self, budget: Budget) -> Result<bool, StoreError> {
        self.unlink_dead()?;
        if !self.is_crowded()? {
            return Ok(false);
        }
        // What the older checkpoint may still need can't go; two new ones lift that.
        if self.checkpoints.needed_from() < self.writer.position().segment
            && self.pick(u32::MAX).is_some_and(|id| id >= self.checkpoints.needed_from())
        {
            self.write_checkpoint()?;
            if self.checkpoints.needed_from() < self.writer.position().segment {
                self.write_checkpoint()?;
            }
            self.unlink_dead()?;
            if !self.is_crowded()? {
                return Ok(false);
            }
        }
        let victim = match self.reclaim.cursor {
            Some(cursor) => Some(cursor),
            None => self.pick(self.checkpoints.needed_from()).map(|id| (id, 0)),
        };
        let Some((id, offset)) = victim else { return Ok(false) };
        self.copy_forward(id, offset, budget)?;
        self.unlink_dead()?;
        Ok(true)
    }

    /// The segment below `below` of which least is needed.
    fn pick(&self, below: u32) -> Option<u32> {
        let index = self.shared.index();
        let oldest = index.usage.segments().next().map(|(id, _)| id)?;
        index
            .usage
            .segments()
            .filter(|(id, segment)| {
                // The seal is needed as long as anything older is there.
                let sealing = *id == self.sealed_in && oldest < *id;
                segment.end > 0 && *id < below && !sealing && !self.reclaim.stuck.contains(id)
            })
            .map(|(id, segment)| (segment.live + segment.removals(), segment.file_bytes, id))
            .filter(|(needed, bytes, _)| needed * 10 <= bytes * DENSE_TENTHS)
            .min_by_key(|(needed, bytes, id)| (needed * 1000 / (*bytes).max(1), *id))
            .map(|(_, _, id)| id)
    }

    /// Unlinks what nobody needs, the oldest first; what a removal names goes before the removal.
    fn unlink_dead(&mut self) -> Result<(), StoreError> {
        let mut synced = false;
        loop {
            let below = self.checkpoints.needed_from();
            let dead: Vec<(u32, u64)> = {
                let index = self.shared.index();
                let dead = index.usage.segments().filter(|(id, segment)| {
                    segment.end > 0 && segment.live == 0 && segment.needs_gone.is_empty() && *id < below
                });
                dead.map(|(id, segment)| (id, segment.epoch.number)).collect()
            };
            if dead.is_empty() {
                return Ok(());
            }
            // The removes and copies that made it dead must be safe, and this still be the master after that.
            if synced {
                self.fence()?;
            } else {
                self.sync()?;
                synced = true;
            }
            let folder = self.shared.journal.clone();
            for (id, epoch) in &dead {
                let path = segment_path(&folder, *epoch, *id);
                self.shared.close_file(*id);
                failure::removed(self.shared.disk.remove(&path), &path)?;
            }
            self.shared.disk.sync_dir(&folder).map_err(failure::io("sync", &folder))?;
            let mut index = self.shared.index();
            for (id, _) in dead {
                index.usage.drop_segment(id);
                self.reclaim.stuck.remove(&id);
            }
        }
    }

    /// Copies what is needed of a segment to the end of the journal, within the budget.
    fn copy_forward(&mut self, id: u32, offset: u32, budget: Budget) -> Result<(), StoreError> {
        let Some(segment) = self.shared.index().usage.segment(id).cloned() else {
            self.reclaim.cursor = None;
            return Ok(());
        };
        let mut scan = match open_segment(&*self.shared.disk, &self.shared.journal, id, &segment, offset) {
            Err(StoreError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && segment.live == 0 =>
            {
                return self.forget_segment(id);
            }
            opened => opened?,
        };
        let mut copied = 0;
        let mut done = false;
        let shared = self.shared.clone();
        let _writing = shared.writing();
        while copied < budget.bytes {
            match scan.next().map_err(failure::journal)? {
                Item::Record { position, header, payload, .. } => {
                    let Some(change) = self.needed_part(header.kind, payload, position)? else { continue };
                    let placed = self.copy_record(&change, payload)?;
                    copied += u64::from(placed.size);
                    let mut index = shared.index();
                    self.begin_segments(&mut index);
                    index.apply(&change, placed, true)?;
                }
                Item::Damage(_) => {}
                Item::End { .. } => {
                    done = true;
                    break;
                }
            }
        }
        let next = scan.position().offset;
        self.flush()?;
        self.appended += copied;
        let mut index = shared.index();
        self.reclaim.cursor = if done { None } else { Some((id, next)) };
        if done {
            if index.usage.segment(id).is_some_and(|segment| segment.live == 0) {
                index.usage.release(id);
            } else {
                self.reclaim.stuck.insert(id);
            }
        }
        Ok(())
    }

    /// The master before had copied what this one knows of the segment, and has unlinked it after the claim.
    fn forget_segment(&mut self, id: u32) -> Result<(), StoreError> {
        let folder = &self.shared.journal;
        self.shared.disk.sync_dir(folder).map_err(failure::io("sync", folder))?;
        self.shared.index().usage.drop_segment(id);
        self.reclaim.cursor = None;
        Ok(())
    }

    /// What of a record is still needed.
    fn needed_part(
        &self,
        kind: ferromq_journal::Kind,
        payload: &[u8],
        position: ferromq_journal::Position,
    ) -> Result<Option<Change>, StoreError> {
        let mut index = self.shared.index();
        match kind {
            PUT_MESSAGE => {
                let Some((mut head, _)) = change::decode_head(payload) else { return Ok(None) };
                let entry = index.locate(head.destination, head.sequence)?;
                if entry.is_none_or(|entry| entry.position() != position) {
                    return Ok(None);
                }
                // Whoever has acknowledged it since must not get it again from the copy.
                head.subscriptions = index.waiting(head.destination, head.sequence, &head.subscriptions)?;
                head.exposed = false;
                Ok(Some(Change::PutMessage(head)))
            }
            REMOVE_MESSAGE | ACK_DURABLE => {
                let change = change::decode(kind, payload);
                Ok(change.filter(|change| match change {
                    Change::RemoveMessage { segment, .. } | Change::AckDurable { segment, .. } => {
                        *segment != position.segment && index.usage.segment(*segment).is_some()
                    }
                    _ => false,
                }))
            }
            _ => Ok(None),
        }
    }

    fn copy_record(&mut self, change: &Change, payload: &[u8]) -> Result<Placed, StoreError> {
        let kind = match change {
            Change::PutMessage(_) => PUT_MESSAGE,
            Change::AckDurable { .. } => ACK_DURABLE,
            _ => REMOVE_MESSAGE,
        };
        let placed = self.writer.copy(kind, |out| match change {
            Change::PutMessage(head) => {
                change::put_head(out, head);
                let body = change::decode_head(payload).map_or(0, |(_, at)| at);
                out.extend_from_slice(payload.get(body..).unwrap_or_default());
            }
            removal => change::put_removal(out, removal),
        });
        placed.map_err(failure::journal)
    }
}

fn open_segment(
    disk: &dyn Disk,
    folder: &std::path::Path,
    id: u32,
    segment: &crate::index::SegmentUse,
    offset: u32,
) -> Result<Scan, StoreError> {
    let path = segment_path(folder, segment.epoch.number, id);
    let file = disk.open(&path, ferromq_env::OpenMode::Read).map_err(failure::io("open", &path))?;
    Scan::new(file, &path, segment.epoch, id, offset, Extent::Known(segment.end)).map_err(failure::journal)
}

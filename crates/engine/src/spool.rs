//! Spooling: messages of queues that are not persistent leave memory when it is short, and come back in order.
//!
//! What is sent to a queue joins its [`crate::backlog::Backlog`] when memory is short, or when something waits there
//! that comes before it. Full blocks go to the spool; the engine keeps them until it hears that they are written, so a
//! spool that fails costs nothing but room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ferromq_model::{Message, Sequence, Ticket};
use ferromq_store::spool::{BlockId, SpoolOp, Spooled};
use rustc_hash::FxHashMap;

use crate::backlog::{BlockKey, BlockSize, Keep};
use crate::engine::{Engine, Timer};
use crate::flow::Full;
use crate::load::Purpose;
use crate::place::PlaceKey;
use crate::window::{Entry, Place, State};
use crate::{LoadRequest, Output, Severity};

/// A queue that has no more than this waiting in memory keeps it there, however short memory is: its consumers keep up.
const FEW: usize = 16;

/// So many blocks that every present consumer has passed may stay in memory.
const PASSED_BLOCKS: u64 = 8;

/// How long a spool that could not be written is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// What is on its way to the spool, of all queues.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    next: u64,
    writing: FxHashMap<BlockId, (PlaceKey, BlockKey, u64)>,
    writing_bytes: u64,
    /// It could not be written: nothing more goes there until one of these could.
    down: bool,
    refused: VecDeque<(PlaceKey, BlockKey)>,
    /// What the messages of all backlogs are charged.
    pub(crate) bytes: u64,
}

impl Spool {
    fn fresh(&mut self) -> BlockId {
        self.next += 1;
        BlockId(self.next)
    }

    /// Books that don't balance.
    pub(crate) fn check(&self) -> Result<(), String> {
        let writing: u64 = self.writing.values().map(|(.., bytes)| bytes).sum();
        if writing == self.writing_bytes {
            Ok(())
        } else {
            Err(format!("{writing} bytes on their way to the spool, counted {}", self.writing_bytes))
        }
    }
}

impl Engine {
    fn block_size(&self) -> Option<BlockSize> {
        let spool = self.settings.spool.as_ref()?;
        Some(BlockSize { bytes: spool.block_bytes, messages: spool.block_messages })
    }

    /// Whether messages may go to the spool now, so that memory holds nobody up.
    pub(crate) const fn can_spool(&self) -> bool {
        self.settings.spool.is_some() && !self.spool.down
    }

    /// Whether a message that is not persistent joins the backlog of this queue.
    pub(crate) fn spools(&self, key: PlaceKey) -> bool {
        let (Some(spool), Some(site)) = (&self.settings.spool, self.places.get(key)) else { return false };
        let Some(queue) = site.queue() else { return false };
        if queue.waits_in_spool() {
            return true;
        }
        if self.spool.down {
            return false;
        }
        let (own, all) = (site.policy.memory_bytes, self.settings.limits.memory_bytes);
        if own > 0 && site.memory_bytes >= own || self.flow.memory_bytes >= all {
            return true;
        }
        // As ActiveMQ does, at 70 % (`cursorMemoryHighWaterMark`).
        let high = |used: u64, limit: u64| used / 7 >= limit / 10;
        let short = own > 0 && high(site.memory_bytes, own)
            || high(self.flow.memory_bytes, all)
            || self.flow.temp_bytes >= spool.memory_bytes;
        short && queue.window.ready() >= FEW && site.memory_bytes >= spool.block_bytes
    }

    /// Whether the spool has room for what is sent to this queue.
    pub(crate) fn spool_room(&self, key: PlaceKey) -> Result<(), Full> {
        let (Some(spool), Some(site)) = (&self.settings.spool, self.places.get(key)) else { return Ok(()) };
        let own = site.policy.temp_bytes;
        let waits = site.queue().map_or(0, |queue| queue.backlog.bytes);
        if own > 0 && waits >= own {
            return Err(Full::Temp(own));
        }
        if self.spool.bytes >= self.settings.limits.temp_bytes {
            return Err(Full::Temp(self.settings.limits.temp_bytes));
        }
        if self.spool.writing_bytes >= spool.unwritten_bytes {
            return Err(Full::Unwritten);
        }
        Ok(())
    }

    /// Adds a message to the backlog of a queue.
    pub(crate) fn put_backlog(
        &mut self,
        key: PlaceKey,
        place: Place,
        ticket: Ticket,
        sequence: Sequence,
        message: &Arc<Message>,
        charge: u32,
    ) {
        let Some(size) = self.block_size() else { return };
        let Some(site) = self.places.arena.get_mut(key) else { return };
        site.memory_bytes += u64::from(charge);
        let Some(queue) = site.queue_mut() else { return };
        let counter = message.redelivery_counter;
        let spooled = Spooled { sequence, counter, charge, message: Arc::clone(message) };
        let full = queue.backlog.add(place, ticket, spooled, size, || self.spool.fresh());
        self.flow.memory_bytes += u64::from(charge);
        self.flow.temp_bytes += u64::from(charge);
        self.spool.bytes += u64::from(charge);
        if let Some(block) = full {
            self.write_block(key, block);
        }
    }

    /// Hands a block to the spool, or keeps it for later if that can't be written now.
    fn write_block(&mut self, key: PlaceKey, block: BlockKey) {
        let Some(queue) = self.places.get_mut(key).and_then(|site| site.queue_mut()) else { return };
        let Some(messages) = queue.backlog.seal(block) else { return };
        if self.spool.down {
            return self.spool.refused.push_back((key, block));
        }
        self.write_messages(key, block, messages);
    }

    fn write_messages(&mut self, key: PlaceKey, block: BlockKey, messages: Arc<Vec<Spooled>>) {
        let bytes = messages.iter().map(|spooled| u64::from(spooled.charge)).sum();
        self.spool.writing.insert(block.1, (key, block, bytes));
        self.spool.writing_bytes += bytes;
        self.outbox.send(Output::Spool(SpoolOp::Write { block: block.1, messages }));
    }

    /// The spool has written a block, or could not.
    pub(crate) fn spooled(&mut self, block: BlockId, done: Result<(), String>) {
        let Some((key, at, bytes)) = self.spool.writing.remove(&block) else { return };
        self.spool.writing_bytes -= bytes;
        // Who waited because too much was on its way is let in.
        self.flow.freed();
        let Some(queue) = self.places.get_mut(key).and_then(|site| site.queue_mut()) else {
            return self.spool_works(done);
        };
        match done {
            Ok(()) => {
                let freed = queue.backlog.written(at).unwrap_or_default();
                let waits = !queue.attached.is_empty() && !queue.stalled;
                if let Some(site) = self.places.get_mut(key) {
                    site.memory_bytes -= freed;
                }
                self.flow.free_memory(freed);
                self.flow.free_temp(freed);
                if waits {
                    self.wake_place(key);
                }
            }
            Err(_) if queue.backlog.get(at).is_some() => self.spool.refused.push_back((key, at)),
            Err(_) => {}
        }
        self.spool_works(done);
    }

    /// Notes whether the spool can be written.
    fn spool_works(&mut self, done: Result<(), String>) {
        match (done, self.spool.down) {
            (Ok(()), false) => {}
            (Ok(()), true) => {
                self.spool.down = false;
                self.outbox.log(Severity::Info, "the spool is written again".to_owned());
                for (key, block) in std::mem::take(&mut self.spool.refused) {
                    self.write_block(key, block);
                }
            }
            (Err(reason), was_down) => {
                if !was_down {
                    self.spool.down = true;
                    self.outbox.log(
                        Severity::Warn,
                        format!(
                            "the spool can't be written: {reason}; messages that are not persistent stay in memory, and \
                             their producers wait at its limit, until it can"
                        ),
                    );
                }
                self.timers.insert((self.now.mono + PAUSE, Timer::Spool));
            }
        }
    }

    /// Time to try a spool again that could not be written.
    pub(crate) fn try_spool(&mut self) {
        if !self.spool.down || !self.spool.writing.is_empty() {
            return;
        }
        while let Some((key, block)) = self.spool.refused.pop_front() {
            let queue = self.places.get_mut(key).and_then(|site| site.queue_mut());
            if let Some(messages) = queue.and_then(|queue| queue.backlog.seal(block)) {
                return self.write_messages(key, block, messages);
            }
        }
        // Nothing is left to try it with, so the next message will.
        self.spool.down = false;
        self.flow.freed();
    }

    /// Brings a block back that the consumers of a queue need next; what they have passed makes room for it.
    pub(crate) fn fetch_next(&mut self, key: PlaceKey, block: BlockKey, passed: Place) {
        let most = self.settings.spool.as_ref().map_or(0, |spool| PASSED_BLOCKS * spool.block_bytes);
        let Some(site) = self.places.get(key) else { return };
        let Some(queue) = site.queue() else { return };
        if site.memory_bytes >= most && queue.window.first_ready().is_some_and(|first| first < passed) {
            if self.spool.down && self.flow.memory_bytes >= self.settings.limits.memory_bytes {
                return;
            }
            self.spool_ready(key, 0, passed.saturating_sub(1));
        }
        self.fetch_block(key, block);
    }

    /// Takes a block into the window of its queue, now or when it was read.
    pub(crate) fn fetch_block(&mut self, key: PlaceKey, block: BlockKey) {
        let Some(queue) = self.places.get_mut(key).and_then(|site| site.queue_mut()) else { return };
        if queue.backlog.loading.is_some() {
            return;
        }
        match queue.backlog.get(block).map(|found| &found.keep) {
            None => {}
            Some(Keep::Disk) => {
                queue.backlog.loading = Some(block);
                self.load(Purpose::Block { place: key, block }, LoadRequest::Block(block.1));
            }
            Some(Keep::Open(messages)) => {
                let messages = messages.clone();
                self.take_block(key, block, messages);
            }
            Some(Keep::Memory(messages)) => {
                let messages = Vec::clone(messages);
                self.take_block(key, block, messages);
            }
        }
    }

    /// A block was read.
    pub(crate) fn block_read(&mut self, key: PlaceKey, block: BlockKey, found: Result<Vec<Spooled>, String>) {
        let Some(queue) = self.places.get_mut(key).and_then(|site| site.queue_mut()) else { return };
        queue.backlog.loading = None;
        let Some(expected) = queue.backlog.get(block).map(|block| block.count) else { return };
        let reason = match found {
            Ok(messages) if messages.len() as u64 == expected => {
                return self.take_block(key, block, messages);
            }
            Ok(messages) => format!("{} messages came", messages.len()),
            Err(reason) => reason,
        };
        let Some(lost) = queue.backlog.take(block) else { return };
        self.spool.bytes -= lost.bytes;
        self.flow.freed();
        self.outbox.send(Output::Spool(SpoolOp::Free { block: block.1 }));
        let Some(site) = self.places.get_mut(key) else { return };
        site.counters.discarded += lost.count;
        let text = format!(
            "{} messages of {} that are not persistent can't be read back from the spool and are lost: {reason}",
            lost.count, site.destination
        );
        self.outbox.log(Severity::Error, text);
        self.wake_place(key);
    }

    fn take_block(&mut self, key: PlaceKey, at: BlockKey, messages: Vec<Spooled>) {
        let wall = self.now.wall.0;
        let Some(site) = self.places.arena.get_mut(key) else { return };
        let Some(queue) = site.queue_mut() else { return };
        let Some(block) = queue.backlog.take(at) else { return };
        for spooled in messages {
            let place = queue.window.place_of(spooled.sequence, spooled.message.priority);
            queue.window.put_volatile(Entry {
                place,
                ticket: block.ticket,
                expiration: spooled.message.expiration,
                body: Some(spooled.message),
                charge: spooled.charge,
                counter: spooled.counter,
                state: State::Ready,
                stored: false,
                exposed: false,
            });
        }
        self.spool.bytes -= block.bytes;
        self.flow.freed();
        if matches!(block.keep, Keep::Disk) {
            site.memory_bytes += block.bytes;
            self.flow.memory_bytes += block.bytes;
            self.flow.temp_bytes += block.bytes;
        }
        if !matches!(block.keep, Keep::Open(_)) {
            self.outbox.send(Output::Spool(SpoolOp::Free { block: at.1 }));
        }
        if block.soonest <= wall {
            // Not at once: the search brings the next block, and so on.
            self.timers.insert((self.now.mono, Timer::Expired(key, at.0, block.last)));
        }
        self.wake_place(key);
    }

    /// Time to look for expired messages among those that came out of the spool.
    pub(crate) fn look_at_taken(&mut self, key: PlaceKey, first: Place, last: Place) {
        self.search_expired(key);
        // What has not expired goes back, unless somebody is about to get it.
        let soon = self.places.get(key).and_then(|site| site.queue()).is_some_and(|queue| {
            queue.attached.iter().any(|attachment| attachment.scan <= last)
                && queue.backlog.needed(0).is_none_or(|(next, _)| next > last)
        });
        if !soon {
            self.spool_ready(key, first, last);
        }
    }

    /// Moves what waits in the window between two places to the backlog.
    fn spool_ready(&mut self, key: PlaceKey, first: Place, last: Place) {
        let Some(size) = self.block_size() else { return };
        let Some(queue) = self.places.get_mut(key).and_then(|site| site.queue_mut()) else { return };
        let backlog = &queue.backlog;
        let entries = queue.window.extract_volatile(first, last, |place| !backlog.covers(place));
        let messages = entries.into_iter().filter_map(|entry| {
            let sequence = entry.sequence();
            let spooled =
                Spooled { sequence, counter: entry.counter, charge: entry.charge, message: entry.body? };
            Some((entry.place, entry.ticket, spooled))
        });
        let before = queue.backlog.bytes;
        let blocks = queue.backlog.put_back(messages.collect(), size, || self.spool.fresh());
        self.spool.bytes += queue.backlog.bytes - before;
        for block in blocks {
            self.write_block(key, block);
        }
    }

    /// The backlog of a queue ends with it; gives what it is charged in memory.
    pub(crate) fn drop_backlog(&mut self, backlog: &crate::backlog::Backlog) -> u64 {
        for (block, handed) in backlog.keys() {
            if handed {
                self.outbox.send(Output::Spool(SpoolOp::Free { block: block.1 }));
            }
        }
        self.spool.bytes -= backlog.bytes;
        backlog.memory_bytes
    }
}

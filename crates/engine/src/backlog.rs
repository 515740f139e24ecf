//! [`Backlog`]: messages of a queue that are not persistent and wait in the spool, behind or between what its window has.
//!
//! They lie in blocks, each a run of places without another block in between. A block is on the disk or, while it is filled
//! and until it is written, in memory; it is taken into the window as a whole, and is no block any longer then.
//!
//! Invariant: blocks never overlap, so the first one that a consumer has not passed says up to where the window may be
//! dispatched: order survives the spool.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferromq_model::Ticket;
use ferromq_store::spool::{BlockId, Spooled};

use crate::window::{LAST_IN_BAND, Place, band_of};

/// A block by its first place.
pub(crate) type BlockKey = (Place, BlockId);

/// Where the messages of a block are.
#[derive(Debug)]
pub(crate) enum Keep {
    /// Here, and more may come.
    Open(Vec<Spooled>),
    /// Here, until the spool has written them.
    Memory(Arc<Vec<Spooled>>),
    /// In the spool alone.
    Disk,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) last: Place,
    pub(crate) count: u64,
    /// What its messages are charged.
    pub(crate) bytes: u64,
    /// None of them may leave before this is durable.
    pub(crate) ticket: Ticket,
    /// When the first of them expires.
    pub(crate) soonest: i64,
    pub(crate) expiring: usize,
    pub(crate) keep: Keep,
}

impl Block {
    fn new() -> Self {
        Self {
            last: 0,
            count: 0,
            bytes: 0,
            ticket: Ticket(0),
            soonest: i64::MAX,
            expiring: 0,
            keep: Keep::Open(Vec::new()),
        }
    }

    fn push(&mut self, place: Place, ticket: Ticket, spooled: Spooled) {
        self.last = place;
        self.count += 1;
        self.bytes += u64::from(spooled.charge);
        self.ticket = self.ticket.max(ticket);
        if spooled.message.expiration > 0 {
            self.soonest = self.soonest.min(spooled.message.expiration);
            self.expiring += 1;
        }
        if let Keep::Open(messages) = &mut self.keep {
            messages.push(spooled);
        }
    }

    const fn in_memory(&self) -> bool {
        !matches!(self.keep, Keep::Disk)
    }
}

/// When a block is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockSize {
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    blocks: BTreeMap<BlockKey, Block>,
    pub(crate) count: u64,
    /// What all its messages are charged, and of those what is still in memory.
    pub(crate) bytes: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) expiring: usize,
    /// The block that is being read to be taken in.
    pub(crate) loading: Option<BlockKey>,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Adds a message behind all others of its priority; gives the key of its block if that is full now. `fresh` numbers
    /// the block if a new one is begun.
    pub(crate) fn add(
        &mut self,
        place: Place,
        ticket: Ticket,
        spooled: Spooled,
        size: BlockSize,
        fresh: impl FnOnce() -> BlockId,
    ) -> Option<BlockKey> {
        let band = band_of(place);
        let last = self.blocks.range(..=(band | LAST_IN_BAND, BlockId(u64::MAX))).next_back();
        let key = match last {
            Some((key, block)) if band_of(key.0) == band && matches!(block.keep, Keep::Open(_)) => *key,
            _ => (place, fresh()),
        };
        let charge = u64::from(spooled.charge);
        self.count += 1;
        self.bytes += charge;
        self.memory_bytes += charge;
        self.expiring += usize::from(spooled.message.expiration > 0);
        let block = self.blocks.entry(key).or_insert_with(Block::new);
        block.push(place, ticket, spooled);
        (block.bytes >= size.bytes || block.count >= size.messages).then_some(key)
    }

    /// Adds messages that were in the window, in order, as blocks that are full or end where another begins; gives their keys.
    pub(crate) fn put_back(
        &mut self,
        messages: Vec<(Place, Ticket, Spooled)>,
        size: BlockSize,
        mut fresh: impl FnMut() -> BlockId,
    ) -> Vec<BlockKey> {
        let mut keys: Vec<BlockKey> = Vec::new();
        let mut open: Option<(BlockKey, Block)> = None;
        for (place, ticket, spooled) in messages {
            let ends = open.as_ref().is_some_and(|(_, block)| {
                block.bytes >= size.bytes
                    || block.count >= size.messages
                    || band_of(block.last) != band_of(place)
                    || self.needed(block.last).is_some_and(|(next, _)| next < place)
            });
            if ends {
                keys.extend(open.take().map(|(key, block)| self.insert(key, block)));
            }
            let (_, block) = open.get_or_insert_with(|| ((place, fresh()), Block::new()));
            block.push(place, ticket, spooled);
        }
        keys.extend(open.map(|(key, block)| self.insert(key, block)));
        keys
    }

    fn insert(&mut self, key: BlockKey, block: Block) -> BlockKey {
        self.count += block.count;
        self.bytes += block.bytes;
        self.memory_bytes += block.bytes;
        self.expiring += block.expiring;
        self.blocks.insert(key, block);
        key
    }

    /// Ends the filling of a block; gives what is in it, to be written.
    pub(crate) fn seal(&mut self, key: BlockKey) -> Option<Arc<Vec<Spooled>>> {
        let block = self.blocks.get_mut(&key)?;
        if let Keep::Open(messages) = &mut block.keep {
            block.keep = Keep::Memory(Arc::new(std::mem::take(messages)));
        }
        match &block.keep {
            Keep::Memory(messages) => Some(Arc::clone(messages)),
            _ => None,
        }
    }

    /// A block is written: what it takes in memory is free.
    pub(crate) fn written(&mut self, key: BlockKey) -> Option<u64> {
        let block = self.blocks.get_mut(&key).filter(|block| block.in_memory())?;
        block.keep = Keep::Disk;
        self.memory_bytes -= block.bytes;
        Some(block.bytes)
    }

    /// Takes a block out.
    pub(crate) fn take(&mut self, key: BlockKey) -> Option<Block> {
        let block = self.blocks.remove(&key)?;
        self.count -= block.count;
        self.bytes -= block.bytes;
        self.expiring -= block.expiring;
        self.memory_bytes -= if block.in_memory() { block.bytes } else { 0 };
        if self.loading == Some(key) {
            self.loading = None;
        }
        Some(block)
    }

    pub(crate) fn get(&self, key: BlockKey) -> Option<&Block> {
        self.blocks.get(&key)
    }

    /// The first block with something at or behind a place.
    pub(crate) fn needed(&self, from: Place) -> Option<BlockKey> {
        let before = self.blocks.range(..=(from, BlockId(u64::MAX))).next_back();
        match before {
            Some((key, block)) if block.last >= from => Some(*key),
            _ => self.blocks.range((from, BlockId(0))..).next().map(|(key, _)| *key),
        }
    }

    /// Whether a place lies within a block.
    pub(crate) fn covers(&self, place: Place) -> bool {
        self.needed(place).is_some_and(|(first, _)| first <= place)
    }

    /// The first block with a message that has expired by then.
    pub(crate) fn expired(&self, wall: i64) -> Option<BlockKey> {
        if self.expiring == 0 {
            return None;
        }
        self.blocks.iter().find(|(_, block)| block.soonest <= wall).map(|(key, _)| *key)
    }

    /// All its blocks, and whether the spool has, or is about to have them.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (BlockKey, bool)> {
        self.blocks.iter().map(|(key, block)| (*key, !matches!(block.keep, Keep::Open(_))))
    }

    /// Books that don't balance.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sum = |of: fn(&Block) -> u64| self.blocks.values().map(of).sum::<u64>();
        let counted = (
            sum(|block| block.count),
            sum(|block| block.bytes),
            sum(|block| if block.in_memory() { block.bytes } else { 0 }),
        );
        if counted != (self.count, self.bytes, self.memory_bytes) {
            return Err(format!(
                "messages, bytes and bytes in memory of blocks are {counted:?}, counted {:?}",
                (self.count, self.bytes, self.memory_bytes)
            ));
        }
        let blocks = self.blocks.iter().zip(self.blocks.keys().skip(1));
        for ((key, block), next) in blocks {
            if block.last >= next.0 || block.last < key.0 {
                return Err(format!("block {key:?} up to {} overlaps {next:?}", block.last));
            }
        }
        Ok(())
    }
}

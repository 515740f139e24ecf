//! The object caches of a connection: the sender's map from object to slot, and the receiver's slots.
//!
//! Slots are chosen exactly as the protocol's own implementation does, so that frames are equal to the byte.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::error::{Error, Result};
use crate::object::{ObjectId, ObjectRef};

/// Slots that a sweep keeps free for the next frame.
const FREE_SLOTS: usize = 100;

/// Longest encoded object that a receiver keeps; the longest id has one or two strings of 64 KiB.
const OBJECT_BYTES: usize = 3 * 65_536;

/// One slot of the sender.
#[derive(Clone, Debug)]
enum Slot {
    Free,
    Null,
    Object(u64, ObjectId),
}

/// Which objects the peer has in which slots.
#[derive(Clone, Debug)]
pub(crate) struct EncodeCache {
    size: usize,
    slots: Vec<Slot>,
    index: HashTable<u16>,
    null: Option<u16>,
    next: usize,
    evict: usize,
    /// How far `next` has moved since the sweep before the current frame.
    advanced: usize,
}

impl EncodeCache {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, slots: Vec::new(), index: HashTable::new(), null: None, next: 0, evict: 0, advanced: 0 }
    }

    fn live(&self) -> usize {
        self.index.len() + usize::from(self.null.is_some())
    }

    /// Before each frame: forgets the oldest objects until there is room again.
    pub(crate) fn sweep(&mut self) {
        self.advanced = 0;
        // Sizes up to 100 make the original loop for ever; emptying the map is safe for any peer.
        while self.live() > self.size.saturating_sub(FREE_SLOTS) && self.live() > 0 {
            self.free(self.evict);
            self.evict = (self.evict + 1) % self.size;
        }
    }

    fn free(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        match std::mem::replace(slot, Slot::Free) {
            Slot::Free => {}
            Slot::Null => self.null = None,
            Slot::Object(hash, _) => {
                if let Ok(entry) = self.index.find_entry(hash, |&i| usize::from(i) == at) {
                    entry.remove();
                }
            }
        }
    }

    /// The slot that holds the object at the peer.
    #[inline]
    pub(crate) fn find(&self, object: Option<ObjectRef<'_>>) -> Option<u16> {
        let Some(object) = object else { return self.null };
        let slots = &self.slots;
        let same = |&i: &u16| match slots.get(usize::from(i)) {
            Some(Slot::Object(_, held)) => held.as_ref() == object,
            _ => false,
        };
        self.index.find(FxBuildHasher.hash_one(object), same).copied()
    }

    /// Gives the object a slot; nothing means that the cache is full and the peer must not keep it.
    pub(crate) fn insert(&mut self, object: Option<ObjectRef<'_>>) -> Option<u16> {
        let at = self.next;
        self.next = (self.next + 1) % self.size;
        self.advanced += 1;
        if self.live() >= self.size {
            return None;
        }
        // Only after an overflow can the slot still be in use; the peer is about to overwrite it.
        self.free(at);
        let index = u16::try_from(at).ok()?;
        let slot = match object {
            None => {
                self.null = Some(index);
                Slot::Null
            }
            Some(object) => {
                let hash = FxBuildHasher.hash_one(object);
                let slots = &self.slots;
                let rehash = |&i: &u16| match slots.get(usize::from(i)) {
                    Some(Slot::Object(hash, _)) => *hash,
                    _ => 0,
                };
                self.index.insert_unique(hash, index, rehash);
                Slot::Object(hash, object.to_object())
            }
        };
        match self.slots.get_mut(at) {
            Some(old) => *old = slot,
            None => {
                // Slots are given away in order, an overflow may skip some.
                self.slots.resize(at, Slot::Free);
                self.slots.push(slot);
            }
        }
        Some(index)
    }

    /// Forgets what the current frame introduced, because it will not be sent. Older objects in slots that an
    /// overflow passed over are forgotten too; they are only sent once more.
    pub(crate) fn roll_back(&mut self) {
        let count = self.advanced.min(self.size);
        for back in 1..=count {
            self.free((self.next + self.size - back) % self.size);
        }
        self.advanced = 0;
    }
}

/// The slots that a peer fills.
#[derive(Clone, Debug)]
pub(crate) struct DecodeCache {
    size: usize,
    slots: Vec<Option<ObjectId>>,
    bytes: usize,
    bytes_limit: usize,
}

impl DecodeCache {
    pub(crate) fn new(size: usize, bytes_limit: usize) -> Self {
        Self { size, slots: Vec::new(), bytes: 0, bytes_limit }
    }

    /// What a slot holds; a slot that was never filled holds null, as in Java.
    #[inline]
    pub(crate) fn get(&self, index: i16) -> Result<Option<&ObjectId>> {
        let at = self.check(index)?;
        Ok(self.slots.get(at).and_then(Option::as_ref))
    }

    /// Fills a slot with an object that took `wire_len` bytes of its frame.
    pub(crate) fn put(&mut self, index: i16, object: Option<ObjectId>, wire_len: usize) -> Result<()> {
        let at = self.check(index)?;
        // Ids are small; a structure of another kind could bring a body along.
        if wire_len > OBJECT_BYTES {
            return Err(Error::CacheTooLarge(OBJECT_BYTES));
        }
        if at >= self.slots.len() {
            self.slots.resize(at + 1, None);
        }
        let Some(slot) = self.slots.get_mut(at) else { return Ok(()) };
        let weight = |held: &Option<ObjectId>| held.as_ref().map_or(0, ObjectId::weight);
        self.bytes = self.bytes - weight(slot) + weight(&object);
        *slot = object;
        if self.bytes > self.bytes_limit { Err(Error::CacheTooLarge(self.bytes_limit)) } else { Ok(()) }
    }

    fn check(&self, index: i16) -> Result<usize> {
        usize::try_from(index)
            .ok()
            .filter(|&at| at < self.size)
            .ok_or(Error::CacheIndex { index, size: self.size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConnectionId, WireStr};

    fn id(n: usize) -> ConnectionId {
        ConnectionId { value: Some(WireStr::from(format!("ID:{n}"))) }
    }

    fn insert(cache: &mut EncodeCache, n: usize) -> Option<u16> {
        let id = id(n);
        cache.insert(Some(ObjectRef::Connection(&id)))
    }

    fn find(cache: &EncodeCache, n: usize) -> Option<u16> {
        let id = id(n);
        cache.find(Some(ObjectRef::Connection(&id)))
    }

    #[test]
    fn a_sweep_forgets_the_oldest() {
        let mut cache = EncodeCache::new(110);
        for n in 0..10 {
            cache.sweep();
            assert_eq!(insert(&mut cache, n), Some(n as u16));
        }
        cache.sweep();
        assert_eq!(insert(&mut cache, 10), Some(10));
        cache.sweep();
        assert_eq!((find(&cache, 0), find(&cache, 1)), (None, Some(1)));
    }

    #[test]
    fn a_full_cache_never_confuses_two_objects() {
        // Given a frame that introduces more than the cache holds
        let mut cache = EncodeCache::new(200);
        cache.sweep();
        for n in 0..205 {
            assert_eq!(insert(&mut cache, n).is_some(), n < 200);
        }
        // When later frames wrap around over slots in use
        let mut peer = vec![0; 200];
        for n in 1000..1500 {
            cache.sweep();
            if let Some(slot) = insert(&mut cache, n) {
                peer[usize::from(slot)] = n;
            }
            // Then whatever the cache claims is what the peer holds
            for m in 1000..=n {
                assert!(find(&cache, m).is_none_or(|slot| peer[usize::from(slot)] == m));
            }
        }
    }

    #[test]
    fn tiny_caches_work_without_looping() {
        let mut cache = EncodeCache::new(3);
        for n in 0..20 {
            cache.sweep();
            assert!(insert(&mut cache, n).is_some());
        }
    }

    #[test]
    fn a_frame_that_is_not_sent_leaves_no_trace() {
        let mut cache = EncodeCache::new(1024);
        cache.sweep();
        insert(&mut cache, 1);
        cache.sweep();
        insert(&mut cache, 2);
        cache.insert(None);
        cache.roll_back();
        assert_eq!((find(&cache, 1), find(&cache, 2), cache.find(None)), (Some(0), None, None));
    }

    #[test]
    fn a_frame_that_fills_every_slot_can_be_taken_back() {
        for extra in [0, 1, 50] {
            let mut cache = EncodeCache::new(120);
            cache.sweep();
            for n in 0..120 + extra {
                insert(&mut cache, n);
            }
            cache.roll_back();
            assert!((0..120 + extra).all(|n| find(&cache, n).is_none()));
        }
    }

    #[test]
    fn receivers_bound_the_bytes_of_names() {
        let mut cache = DecodeCache::new(4, 10);
        cache.put(0, Some(id(1).into()), 9).unwrap();
        cache.put(0, Some(id(22).into()), 9).unwrap();
        assert_eq!(cache.put(1, Some(id(333).into()), 9), Err(Error::CacheTooLarge(10)));
        assert_eq!(cache.get(4).unwrap_err(), Error::CacheIndex { index: 4, size: 4 });
        assert!(cache.get(3).unwrap().is_none());
    }
}

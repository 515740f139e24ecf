//! [`Dedup`]: which messages a producer has sent already.
//!
//! A window of sequences for each of a bounded number of producers. What is older than the window, or of a
//! forgotten producer, counts as new: in doubt a duplicate, never a loss.

use ferromq_model::ProducerId;
use ferromq_store::ProducerWindow;
use rustc_hash::FxHashMap;

use crate::DedupSettings;

/// Where a producer's window is; may be stale, then it is looked up again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot(usize);

#[derive(Debug)]
struct Sent {
    producer: ProducerId,
    highest: i64,
    /// Bit `highest mod size`, going down: a ring.
    bits: Vec<u64>,
    used: bool,
}

#[derive(Debug)]
pub(crate) struct Dedup {
    limit: usize,
    words: usize,
    slots: Vec<Sent>,
    by_producer: FxHashMap<ProducerId, usize>,
    hand: usize,
}

impl Dedup {
    pub(crate) fn new(settings: DedupSettings) -> Self {
        Self {
            limit: settings.producers.max(1),
            words: settings.window.div_ceil(64).max(1),
            slots: Vec::new(),
            by_producer: FxHashMap::default(),
            hand: 0,
        }
    }

    pub(crate) fn producers(&self) -> usize {
        self.slots.len()
    }

    /// Takes over what the store remembers, least recently used first.
    pub(crate) fn recover(&mut self, windows: Vec<ProducerWindow>) {
        let skip = windows.len().saturating_sub(self.limit);
        for window in windows.into_iter().skip(skip) {
            let size = (self.words * 64) as i64;
            let slot = self.slot(&window.producer);
            for back in 0..size.min(window.bits.len() as i64 * 64) {
                let word = window.bits.get((back / 64) as usize).copied().unwrap_or(0);
                if word >> (back % 64) & 1 == 1 {
                    self.mark_at(slot, window.highest - back);
                }
            }
        }
    }

    /// Whether this sequence of the producer was noted before.
    pub(crate) fn knows(&self, producer: &ProducerId, sequence: i64, hint: Slot) -> bool {
        let index = match self.slots.get(hint.0) {
            Some(sent) if sent.producer == *producer => hint.0,
            _ => match self.by_producer.get(producer) {
                Some(index) => *index,
                None => return false,
            },
        };
        let Some(sent) = self.slots.get(index) else { return false };
        let size = (self.words * 64) as i64;
        if sequence > sent.highest || sent.highest.saturating_sub(sequence) >= size {
            return false;
        }
        let bit = sequence.rem_euclid(size) as usize;
        sent.bits.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Notes a sequence of a producer; the answer is a hint for the next call.
    pub(crate) fn mark(&mut self, producer: &ProducerId, sequence: i64, hint: Slot) -> Slot {
        let index = match self.slots.get(hint.0) {
            Some(sent) if sent.producer == *producer => hint.0,
            _ => self.slot(producer),
        };
        self.mark_at(index, sequence);
        Slot(index)
    }

    fn mark_at(&mut self, index: usize, sequence: i64) {
        let size = (self.words * 64) as i64;
        let Some(sent) = self.slots.get_mut(index) else { return };
        sent.used = true;
        if sequence > sent.highest {
            if sequence.saturating_sub(sent.highest) >= size {
                sent.bits.fill(0);
            } else {
                for gap in sent.highest + 1..sequence {
                    let bit = gap.rem_euclid(size) as usize;
                    if let Some(word) = sent.bits.get_mut(bit / 64) {
                        *word &= !(1 << (bit % 64));
                    }
                }
            }
            sent.highest = sequence;
        } else if sent.highest.saturating_sub(sequence) >= size {
            return;
        }
        let bit = sequence.rem_euclid(size) as usize;
        if let Some(word) = sent.bits.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
    }

    /// The slot of a producer, made if need be; then somebody who was not heard of lately is forgotten.
    fn slot(&mut self, producer: &ProducerId) -> usize {
        if let Some(index) = self.by_producer.get(producer) {
            return *index;
        }
        let sent =
            Sent { producer: producer.clone(), highest: i64::MIN, bits: vec![0; self.words], used: true };
        let index = if self.slots.len() < self.limit {
            self.slots.push(sent);
            self.slots.len() - 1
        } else {
            let index = self.victim();
            if let Some(slot) = self.slots.get_mut(index) {
                self.by_producer.remove(&slot.producer);
                *slot = sent;
            }
            index
        };
        self.by_producer.insert(producer.clone(), index);
        index
    }

    fn victim(&mut self) -> usize {
        loop {
            let index = self.hand;
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            match self.slots.get_mut(index) {
                Some(sent) if sent.used => sent.used = false,
                _ => return index,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferromq_model::Text;

    fn producer(n: i64) -> ProducerId {
        ProducerId::new(Text::from_static("ID:a"), 1, n)
    }

    #[test]
    fn a_sequence_is_known_once_it_was_marked_and_gaps_stay_open() {
        let mut dedup = Dedup::new(DedupSettings { producers: 4, window: 128 });
        let p = producer(1);
        for sequence in [1, 2, 5] {
            assert!(!dedup.knows(&p, sequence, Slot(0)));
            dedup.mark(&p, sequence, Slot(0));
        }
        let known: Vec<i64> = (-2..9).filter(|n| dedup.knows(&p, *n, Slot(0))).collect();
        assert_eq!(known, [1, 2, 5]);
    }

    #[test]
    fn what_is_older_than_the_window_counts_as_new() {
        let mut dedup = Dedup::new(DedupSettings { producers: 4, window: 128 });
        let p = producer(1);
        for sequence in 1..=200 {
            dedup.mark(&p, sequence, Slot(0));
        }
        let known: Vec<i64> = (1..=200).filter(|n| dedup.knows(&p, *n, Slot(0))).collect();
        assert_eq!(known, (73..=200).collect::<Vec<_>>());
        dedup.mark(&p, 10_000, Slot(0));
        assert!(!dedup.knows(&p, 9_999, Slot(0)) && dedup.knows(&p, 10_000, Slot(0)));
    }

    #[test]
    fn producers_are_bounded_and_a_busy_one_is_not_forgotten() {
        let mut dedup = Dedup::new(DedupSettings { producers: 3, window: 64 });
        for n in 1..=50 {
            dedup.mark(&producer(0), n, Slot(0));
            dedup.mark(&producer(n), 1, Slot(0));
        }
        assert_eq!(dedup.producers(), 3);
        assert!(dedup.knows(&producer(50), 1, Slot(0)));
        assert!(!dedup.knows(&producer(1), 1, Slot(0)));
    }

    #[test]
    fn a_recovered_window_knows_what_the_store_knew() {
        let mut dedup = Dedup::new(DedupSettings { producers: 3, window: 128 });
        dedup.recover(vec![ProducerWindow { producer: producer(1), highest: 70, bits: vec![0b101, 0b1] }]);
        let known: Vec<i64> = (0..80).filter(|n| dedup.knows(&producer(1), *n, Slot(0))).collect();
        assert_eq!(known, [6, 68, 70]);
    }
}

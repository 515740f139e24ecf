//! Which messages of which producer are stored already: a window of sequences each, for a bounded number of
//! producers.

use std::collections::BTreeMap;

use ferromq_model::ProducerId;
use rustc_hash::FxHashMap;

use crate::ProducerWindow;

impl ProducerWindow {
    /// How many sequences a window spans.
    pub const SPAN: usize = 2048;
    const WORDS: usize = Self::SPAN / 64;

    /// A window in which one sequence is stored.
    pub fn new(producer: ProducerId, sequence: i64) -> Self {
        Self { producer, highest: sequence, bits: vec![1] }
    }

    /// Whether this sequence is known to be stored. One below the window is not: in doubt a duplicate, never a loss.
    pub fn contains(&self, sequence: i64) -> bool {
        let Some(back) = self.back(sequence) else { return false };
        self.bits.get(back / 64).is_some_and(|word| word >> (back % 64) & 1 == 1)
    }

    /// Notes that a sequence is stored; one below the window is not noted.
    pub fn record(&mut self, sequence: i64) {
        if sequence > self.highest {
            self.shift(sequence.abs_diff(self.highest));
            self.highest = sequence;
        }
        let Some(back) = self.back(sequence).filter(|back| *back < Self::SPAN) else { return };
        if self.bits.len() <= back / 64 {
            self.bits.resize(back / 64 + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(back / 64) {
            *word |= 1 << (back % 64);
        }
    }

    /// The stored sequences, highest first.
    pub fn stored(&self) -> impl Iterator<Item = i64> {
        let bits = self.bits.len().min(Self::WORDS) * 64;
        (0..bits)
            .filter(|back| self.bits.get(back / 64).is_some_and(|word| word >> (back % 64) & 1 == 1))
            .map(|back| self.highest.saturating_sub_unsigned(back as u64))
    }

    fn back(&self, sequence: i64) -> Option<usize> {
        (sequence <= self.highest).then(|| usize::try_from(self.highest.abs_diff(sequence)).ok()).flatten()
    }

    fn shift(&mut self, by: u64) {
        if by >= Self::SPAN as u64 {
            self.bits.clear();
            return;
        }
        let (words, bits) = ((by / 64) as usize, by % 64);
        let old = std::mem::take(&mut self.bits);
        let word = |place: Option<usize>| place.and_then(|place| old.get(place)).copied().unwrap_or(0);
        let len = (old.len() + words + 1).min(Self::WORDS);
        self.bits = (0..len)
            .map(|place| {
                let source = place.checked_sub(words);
                let carried = source.and_then(|source| source.checked_sub(1));
                if bits == 0 { word(source) } else { word(source) << bits | word(carried) >> (64 - bits) }
            })
            .collect();
    }
}

/// The windows of all producers. The engine asks it, every store keeps one, and both forget the same producer: the
/// one that stored nothing for longest.
#[derive(Clone, Debug, Default)]
pub struct ProducerWindows {
    windows: FxHashMap<ProducerId, (u64, ProducerWindow)>,
    by_use: BTreeMap<u64, ProducerId>,
    uses: u64,
}

impl ProducerWindows {
    /// How many producers are remembered.
    pub const LIMIT: usize = 16_384;

    /// No producers.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a store found, least recently used first.
    pub fn from_recovered(windows: impl IntoIterator<Item = ProducerWindow>) -> Self {
        let mut all = Self::new();
        for window in windows {
            all.insert(window);
        }
        all
    }

    /// Whether the producer's message is known to be stored.
    pub fn contains(&self, producer: &ProducerId, sequence: i64) -> bool {
        self.windows.get(producer).is_some_and(|(_, window)| window.contains(sequence))
    }

    /// The window of a producer, if it is remembered.
    pub fn window(&self, producer: &ProducerId) -> Option<&ProducerWindow> {
        self.windows.get(producer).map(|(_, window)| window)
    }

    /// Notes that a producer's message is stored.
    pub fn record(&mut self, producer: &ProducerId, sequence: i64) {
        match self.windows.get_mut(producer) {
            Some((used, window)) => {
                window.record(sequence);
                // One producer mostly follows itself, and then the order stands.
                if *used != self.uses {
                    self.uses += 1;
                    self.by_use.remove(used);
                    *used = self.uses;
                    self.by_use.insert(self.uses, producer.clone());
                }
            }
            None => self.insert(ProducerWindow::new(producer.clone(), sequence)),
        }
    }

    /// Puts a window as the most recently used one.
    pub fn insert(&mut self, window: ProducerWindow) {
        self.uses += 1;
        let producer = window.producer.clone();
        if let Some((used, _)) = self.windows.insert(producer.clone(), (self.uses, window)) {
            self.by_use.remove(&used);
        }
        self.by_use.insert(self.uses, producer);
        while self.windows.len() > Self::LIMIT {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            self.windows.remove(&oldest);
        }
    }

    /// The windows, least recently used first.
    pub fn iter(&self) -> impl Iterator<Item = &ProducerWindow> {
        self.by_use.values().filter_map(|producer| self.windows.get(producer)).map(|(_, window)| window)
    }

    /// How many producers are remembered now.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn producer(value: i64) -> ProducerId {
        ProducerId::new("ID:a-1-2-3:1".into(), 1, value)
    }

    #[test]
    fn a_window_knows_what_a_set_of_the_last_2048_would_know() {
        let mut window = ProducerWindow::new(producer(1), 1);
        let mut set = BTreeSet::from([1]);
        let mut highest = 1;
        // Steps that cross words, jump back, repeat and leap over the whole window.
        for (round, step) in
            [1, 1, 63, 64, 65, -40, 0, 128, -2000, 500, 1, -1, 2047, 2048, -5, 3, 5000, -2047, 1]
                .iter()
                .cycle()
                .take(300)
                .enumerate()
        {
            let sequence = if *step < 0 { highest + step } else { highest + step + (round as i64 % 3) };
            window.record(sequence);
            set.insert(sequence);
            highest = highest.max(sequence);
            set.retain(|old| highest - old < ProducerWindow::SPAN as i64);
            assert_eq!(window.stored().collect::<BTreeSet<_>>(), set, "round {round}");
            assert!(window.contains(highest) && !window.contains(highest + 1));
            assert!(window.bits.len() <= ProducerWindow::WORDS);
        }
    }

    #[test]
    fn extreme_sequences_do_no_harm() {
        let mut window = ProducerWindow::new(producer(1), i64::MIN);
        window.record(i64::MAX);
        window.record(i64::MIN);
        assert!(window.contains(i64::MAX) && !window.contains(i64::MIN));
    }

    #[test]
    fn the_producer_that_was_silent_longest_is_forgotten() {
        let mut all = ProducerWindows::new();
        for value in 0..ProducerWindows::LIMIT as i64 {
            all.record(&producer(value), 1);
        }
        all.record(&producer(0), 2);
        all.record(&producer(-1), 1);
        assert_eq!(all.len(), ProducerWindows::LIMIT);
        assert!(all.contains(&producer(0), 1), "it was used again");
        assert!(!all.contains(&producer(1), 1), "the oldest went");
        let again = ProducerWindows::from_recovered(all.iter().cloned());
        assert!(again.iter().map(|w| &w.producer).eq(all.iter().map(|w| &w.producer)));
    }
}

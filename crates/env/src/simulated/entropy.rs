//! [`SeededEntropy`]: chance that repeats itself.

use crate::Entropy;

/// A small generator with 64 bits of state (splitmix64: a counter with a mixing function over it). Good for
/// simulations, worthless for secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeededEntropy {
    state: u64,
}

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The product's upper half is uniform enough for bounds that are small against 2^64.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True `times` out of `of`.
    pub fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    /// A generator of its own, so that a new use of one does not shift the others.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self::new(self.next_u64())
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

//! [`Epoch`]: which reign a write belongs to.

use std::fmt;

/// A random number drawn by each claimant, so that two claims of the same number differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub u64);

/// A reign over a store: a number above everything the store has seen, and the id of the claim that won it.
///
/// Both parts are compared, so a number minted twice by a lying lock service is still told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Rises by one with each claim; 0 is before the first.
    pub number: u64,
    /// Whose claim it was.
    pub claim: ClaimId,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.number, self.claim.0)
    }
}

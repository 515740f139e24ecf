//! [`Action`]: what the planner has done by whoever drives it.

use super::Address;

/// One try to reach one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub(super) u64);

/// What is to be done now; what is then to be said are calls of the [`Planner`](super::Planner).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Connect and exchange greetings, then say `reached` or `failed`.
    Dial {
        /// Its name.
        attempt: Attempt,
        /// The broker.
        address: Address,
    },
    /// Log in over this one, then say `established` or `lost`.
    Adopt {
        /// Which.
        attempt: Attempt,
        /// The broker.
        address: Address,
    },
    /// Forget this one.
    Drop {
        /// Which.
        attempt: Attempt,
    },
    /// End the present connection, which works: there is a better one. Then say `lost`.
    Leave {
        /// Why, for the log.
        reason: String,
    },
    /// Read that list, then say `listed`.
    Read {
        /// `updateURIsURL`: a file, or an `http:` URL.
        url: String,
    },
    /// A round failed, and it goes on.
    Warn {
        /// Rounds so far.
        rounds: u32,
    },
    /// It does not go on.
    GiveUp {
        /// Rounds that failed.
        rounds: u32,
    },
}

//! [`LockProvider`]: what can be asked of a place where claims are made.

use std::time::Duration;

use ferromq_model::Epoch;

use crate::LockError;

/// A claim that was won.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What everything that is written must carry.
    pub epoch: Epoch,
    /// How long it lasts, counted from *before* it was asked for.
    pub lasts: Duration,
}

/// What a standby sees of the holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The highest epoch that was claimed.
    pub epoch: Epoch,
    /// Who claimed it, as it called itself.
    pub owner: Option<String>,
    /// A number that moves as long as the holder lives and renews.
    pub beat: u64,
    /// The holder let go in order.
    pub released: bool,
    /// The holder's process is gone, as far as the operating system or the connection tells.
    pub died: bool,
}

/// Why a claim is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contention {
    /// Nobody holds it: it was never claimed, was released, or its holder died.
    Vacant,
    /// The holder lives, perhaps, and has shown no sign of life for longer than its lease; or an operator said so. Claims
    /// only over the holder that the provider's last look saw.
    OverSilence,
}

/// What came of trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It is ours.
    Granted(Grant),
    /// Somebody else has it.
    Held(Sighting),
}

/// A place where claims are made; blocking, on a thread of its own.
pub trait LockProvider: Send {
    /// Looks who holds it, and changes nothing that is shared; `None` if it was never claimed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Storage`].
    fn look(&mut self) -> Result<Option<Sighting>, LockError>;

    /// Tries to win an epoch above `at_least` and above every claim there is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Storage`]; being too late is no error.
    fn try_acquire(&mut self, at_least: Epoch, why: Contention) -> Result<Acquired, LockError>;

    /// Shows a sign of life, and asks whether the claim is still the highest.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Superseded`], or [`crate::ErrorKind::Storage`]: the lease runs on then, and ends.
    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError>;

    /// Lets go in order, so that nobody has to wait.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Storage`]: a standby will have to wait for the silence then.
    fn release(&mut self, grant: Grant) -> Result<(), LockError>;

    /// What the last look showed that an operator should know of if it lasts: a mistake in how nodes were set up.
    fn oddity(&self) -> Option<&str> {
        None
    }
}

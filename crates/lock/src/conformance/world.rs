//! [`World`]: where a provider's claims are made, and what can be done to it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ferromq_env::{Clock, SystemClock};

use crate::{LockError, LockProvider, Timings};

/// When two nodes of one name are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As soon as the second one looks, be it a standby: its name is locked.
    AtTheLook,
    /// When it tries to claim while the other one holds the claim: there is no lock that ends with a process.
    AtTheClaim,
}

/// One place of claims.
pub trait World: Sync {
    /// A node on its own connection, file handles or process of a simulation; what it needs a clock for it reads on
    /// `clock`. Dropped, it is killed: nothing is released in order.
    ///
    /// # Errors
    /// As the provider's own constructor.
    fn node(
        &self,
        name: &str,
        timings: Timings,
        clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn LockProvider>, LockError>;

    /// What time passes on.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    /// Lets time pass.
    fn pass(&self, time: Duration) {
        thread::sleep(time);
    }

    /// Everything that nodes share, to be compared.
    fn contents(&self) -> Vec<(String, Vec<u8>)>;

    /// When twins are noticed.
    fn names(&self) -> Names;

    /// Whether the end of a holder's process is noticed before its silence.
    fn notices_death(&self) -> bool {
        true
    }

    /// Stops the service and starts it again; `false` if there is none.
    fn restart(&self) -> bool {
        false
    }

    /// Sets the service's calendar forward or back; `false` if it has none that a node ever asks.
    fn step_calendar(&self, _hours: i64) -> bool {
        false
    }

    /// Lets nothing be answered any longer, or everything again; `false` if that can't be done.
    fn cut_off(&self, _cut: bool) -> bool {
        false
    }
}

/// A world for a check.
pub type Worlds<'a> = &'a dyn World;

//! [`Claiming`]: a takeover that is under way, on a thread that may wait for its storage.

use std::time::Duration;

use ferromq_lock::Grant;
use ferromq_model::Instant;
use ferromq_store::StoreError;
use tokio::task::JoinHandle;

use crate::StartError;
use crate::reign::{Counter, Reign};

/// A reign and its counter, or why there is none.
pub(crate) type Begun = Result<(Reign, Counter), StartError>;

/// A takeover that is under way.
pub(crate) struct Claiming {
    /// What was won.
    pub(crate) grant: Grant,
    /// When the master before was first missed.
    pub(crate) since: Instant,
    /// From then to the claim.
    pub(crate) claimed: Duration,
    work: JoinHandle<Begun>,
}

impl Claiming {
    /// Takes over on a thread of its own. To be called within a runtime.
    pub(crate) fn begin(
        grant: Grant,
        since: Instant,
        claimed: Duration,
        work: impl FnOnce() -> Begun + Send + 'static,
    ) -> Self {
        Self { grant, since, claimed, work: tokio::task::spawn_blocking(work) }
    }

    /// Waits for what comes of it; to be asked until it answers, and not after that.
    pub(crate) async fn begun(&mut self) -> Begun {
        (&mut self.work).await.unwrap_or_else(|error| {
            Err(StartError::Store(StoreError::Bug(format!("the takeover ended by a bug: {error}"))))
        })
    }

    /// Lets it go: what comes of it is ended as soon as it is there.
    pub(crate) fn forsake(mut self) {
        tokio::spawn(async move {
            if let Ok((reign, _)) = self.begun().await {
                reign.abandon();
            }
        });
    }
}

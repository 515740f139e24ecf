//! Sessions: producers and consumers that share a transaction.

use std::sync::Arc;

use ferromq_openwire::Destination;

use super::consumer::Consumer;
use super::order::{Order, SessionGuard};
use super::producer::Producer;
use crate::core::{AckMode, ConsumerSpec};
use crate::error::{Error, Result};

/// A session. It lives as long as any of its producers and consumers; an open transaction then rolls back.
pub struct Session {
    guard: Arc<SessionGuard>,
}

impl Session {
    pub(super) fn new(guard: Arc<SessionGuard>) -> Self {
        Self { guard }
    }

    /// A producer for one destination.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn producer(&self, destination: Destination) -> Result<Producer> {
        Producer::open(&self.guard, Some(destination)).await
    }

    /// A producer that names the destination with each message.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn anonymous_producer(&self) -> Result<Producer> {
        Producer::open(&self.guard, None).await
    }

    /// A consumer.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub async fn consumer(&self, spec: ConsumerSpec) -> Result<Consumer> {
        Consumer::open(&self.guard, spec).await
    }

    /// Makes everything sent and received since the last commit final. The next transaction begins by itself.
    ///
    /// # Errors
    /// A message of the transaction was refused, which rolls it back; the session is not transacted; or the
    /// connection is lost, and then nobody knows.
    pub async fn commit(&self) -> Result<()> {
        let session = self.transacted()?;
        self.guard.line.ask(|reply| Order::Commit { session, reply }).await
    }

    /// Undoes everything sent and received since the last commit; what was received comes again.
    ///
    /// # Errors
    /// The session is not transacted, or the connection is lost.
    pub async fn rollback(&self) -> Result<()> {
        let session = self.transacted()?;
        self.guard.line.ask(|reply| Order::Rollback { session, reply }).await
    }

    fn transacted(&self) -> Result<crate::core::SessionKey> {
        match self.guard.mode {
            AckMode::Transacted => Ok(self.guard.key),
            _ => Err(Error::Usage("the session is not transacted")),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("mode", &self.guard.mode).finish_non_exhaustive()
    }
}

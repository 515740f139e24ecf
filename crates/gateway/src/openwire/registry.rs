//! What a connection has opened, so far as the session must know: how many, and the windows of producers.

use ferromq_engine::{Fault, FaultKind, LocalId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::inbound::fault;
use crate::SessionLimits;

/// Sessions, consumers and producers of one connection. The engine decides which of them exist; this only counts.
#[derive(Debug, Default)]
pub(super) struct Registry {
    sessions: FxHashSet<i64>,
    consumers: FxHashSet<LocalId>,
    windows: FxHashMap<LocalId, u32>,
}

fn room(what: &str, count: usize, limit: usize) -> Result<(), Fault> {
    if count < limit {
        return Ok(());
    }
    let text = format!("at most {limit} {what} on one connection; close some, or raise the limit");
    Err(fault(FaultKind::ResourceAllocation, text))
}

impl Registry {
    pub(super) fn add_session(&mut self, session: i64, limits: &SessionLimits) -> Result<(), Fault> {
        if !self.sessions.contains(&session) {
            room("sessions", self.sessions.len(), limits.sessions)?;
            self.sessions.insert(session);
        }
        Ok(())
    }

    pub(super) fn add_consumer(&mut self, consumer: LocalId, limits: &SessionLimits) -> Result<(), Fault> {
        if !self.consumers.contains(&consumer) {
            room("consumers", self.consumers.len(), limits.consumers)?;
            self.consumers.insert(consumer);
        }
        Ok(())
    }

    pub(super) fn add_producer(
        &mut self,
        producer: LocalId,
        window: u32,
        limits: &SessionLimits,
    ) -> Result<(), Fault> {
        if !self.windows.contains_key(&producer) {
            room("producers", self.windows.len(), limits.producers)?;
            self.windows.insert(producer, window);
        }
        Ok(())
    }

    pub(super) fn remove_session(&mut self, session: i64) {
        self.sessions.remove(&session);
        self.consumers.retain(|consumer| consumer.session != session);
        self.windows.retain(|producer, _| producer.session != session);
    }

    pub(super) fn remove_consumer(&mut self, consumer: LocalId) {
        self.consumers.remove(&consumer);
    }

    pub(super) fn remove_producer(&mut self, producer: LocalId) {
        self.windows.remove(&producer);
    }

    /// The window of a producer, 0 if it has none; `None` for one that was not opened.
    pub(super) fn window(&self, producer: LocalId) -> Option<u32> {
        self.windows.get(&producer).copied()
    }
}

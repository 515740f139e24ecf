//! [`Streams`]: which messages have which positions in the streams of links.
//!
//! They are few: a sender has no more unsettled positions in a stream than a link has messages under way, and a
//! receiver drops what the sender can't ask about any longer. So every store keeps them in memory as well.

use std::collections::BTreeMap;

use ferromq_model::StreamId;

use crate::{StoreError, StoreOp, StreamOp, StreamState};

/// All streams of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    streams: BTreeMap<StreamId, StreamState>,
}

impl Streams {
    /// Those that were read from a medium.
    pub fn from_recovered(states: impl IntoIterator<Item = StreamState>) -> Self {
        Self { streams: states.into_iter().map(|state| (state.record.id, state)).collect() }
    }

    /// Each of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &StreamState> {
        self.streams.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// For [`crate::Recovered`].
    pub fn recovered(&self) -> Vec<StreamState> {
        self.streams.values().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, id: StreamId) -> Option<&StreamState> {
        self.streams.get(&id)
    }

    /// Does what an operation says.
    pub fn apply(&mut self, op: &StreamOp) {
        match op {
            StreamOp::Put(record) => {
                let stream = self.streams.entry(record.id);
                let stream = stream.or_insert_with(|| StreamState::new(record.clone()));
                let reserved = stream.record.reserved.max(record.reserved);
                stream.record.clone_from(record);
                stream.record.reserved = reserved;
            }
            StreamOp::Drop { id } => {
                self.streams.remove(id);
            }
            StreamOp::Place { stream, position, passage } => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    stream.positions.insert(*position, *passage);
                }
            }
            StreamOp::Settle { stream, from, upto } => {
                if let Some(stream) = self.streams.get_mut(stream) {
                    if from == upto {
                        stream.positions.remove(from);
                    } else {
                        stream.positions.retain(|position, _| !(from..=upto).contains(&position));
                    }
                }
            }
        }
    }

    /// What must hold before a batch: a position belongs to a stream that is there.
    ///
    /// # Errors
    /// [`StoreError::Bug`].
    pub fn check(&self, ops: &[StoreOp]) -> Result<(), StoreError> {
        let mut changed: BTreeMap<StreamId, bool> = BTreeMap::new();
        for op in ops {
            let StoreOp::Stream(op) = op else { continue };
            match op {
                StreamOp::Put(record) => {
                    changed.insert(record.id, true);
                }
                StreamOp::Drop { id } => {
                    changed.insert(*id, false);
                }
                StreamOp::Place { stream, position, .. } => {
                    let known = changed.get(stream).copied();
                    if !known.unwrap_or_else(|| self.streams.contains_key(stream)) {
                        let text = format!("position {} of unknown stream {}", position.0, stream.0);
                        return Err(StoreError::Bug(text));
                    }
                }
                StreamOp::Settle { .. } => {}
            }
        }
        Ok(())
    }
}

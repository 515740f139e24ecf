//! [`Crash`]: what survives when the power goes.
//!
//! A file system promises nothing about what was not synced: any sector of a file may hold any version that it had
//! since the last sync, the length any that it had, and each change of a name may have happened or not, in any
//! order over files and folders. A seed picks one such state; the styles differ in how likely they are in practice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::SeededEntropy;
use super::sparse::Sparse;
use super::world::{DataOp, NameOp, Pending};

const SECTOR: u64 = 512;

/// Which legal state a power failure leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Everything that was written or named is there.
    KeepAll,
    /// Nothing that was not synced is there.
    LoseUnsynced,
    /// Chosen by the seed: lost, kept, torn by sector, reordered.
    Seeded(u64),
}

/// Decides change by change.
pub(super) enum Chooser {
    /// Up to this stamp everything, beyond it nothing: what an ordered log of the file system leaves.
    Prefix(u64),
    /// Each change and each sector for itself: none of it, or all.
    Independent(SeededEntropy),
    /// Each sector in any version that it had.
    AnyVersion(SeededEntropy),
}

impl Chooser {
    /// `oldest..=newest` are the stamps of what is pending.
    pub(super) fn new(crash: Crash, oldest: u64, newest: u64) -> Self {
        match crash {
            Crash::KeepAll => Self::Prefix(u64::MAX),
            Crash::LoseUnsynced => Self::Prefix(0),
            Crash::Seeded(seed) => {
                let mut dice = SeededEntropy::new(seed);
                match dice.below(4) {
                    0 => {
                        Self::Prefix(oldest.saturating_sub(1) + dice.below(newest.saturating_sub(oldest) + 2))
                    }
                    1 => Self::Independent(dice),
                    _ => Self::AnyVersion(dice),
                }
            }
        }
    }

    fn keeps(&mut self, stamp: u64) -> bool {
        match self {
            Self::Prefix(upto) => stamp <= *upto,
            Self::Independent(dice) | Self::AnyVersion(dice) => dice.chance(1, 2),
        }
    }

    /// How many of the changes with these stamps, first to last, a sector or a length has seen.
    fn version(&mut self, stamps: &[u64]) -> usize {
        match self {
            Self::Prefix(upto) => stamps.iter().filter(|stamp| **stamp <= *upto).count(),
            Self::Independent(dice) => {
                if dice.chance(1, 2) {
                    stamps.len()
                } else {
                    0
                }
            }
            Self::AnyVersion(dice) => dice.below(stamps.len() as u64 + 1) as usize,
        }
    }
}

/// What of the pending changes of a file survives, on top of what was safe.
pub(super) fn settle_data(safe: &mut Sparse, pending: &[Pending<DataOp>], chooser: &mut Chooser) {
    if pending.iter().any(|change| matches!(change.op, DataOp::SetLen(_))) {
        // A cut moves sectors out of the file and back; a prefix in time is legal and simple.
        let stamps: Vec<u64> = pending.iter().map(|change| change.stamp).collect();
        for change in &pending[..chooser.version(&stamps)] {
            change.op.apply(safe);
        }
        return;
    }
    settle_length(safe, pending, chooser);
    let len = safe.len();
    for sector in dirty_sectors(pending) {
        let touching: Vec<&Pending<DataOp>> =
            pending.iter().filter(|change| change.op.touches(sector, SECTOR)).collect();
        let stamps: Vec<u64> = touching.iter().map(|change| change.stamp).collect();
        for change in &touching[..chooser.version(&stamps)] {
            change.op.apply_within(safe, sector * SECTOR, ((sector + 1) * SECTOR).min(len));
        }
    }
}

fn settle_length(safe: &mut Sparse, pending: &[Pending<DataOp>], chooser: &mut Chooser) {
    let mut len = safe.len();
    let growing: Vec<(u64, u64)> = pending
        .iter()
        .filter_map(|change| {
            let end = change.op.end();
            (end > len).then(|| {
                len = end;
                (change.stamp, end)
            })
        })
        .collect();
    let stamps: Vec<u64> = growing.iter().map(|(stamp, _)| *stamp).collect();
    if let Some((_, end)) = chooser.version(&stamps).checked_sub(1).and_then(|last| growing.get(last)) {
        safe.extend_to(*end);
    }
}

fn dirty_sectors(pending: &[Pending<DataOp>]) -> BTreeSet<u64> {
    pending
        .iter()
        .filter_map(|change| match &change.op {
            DataOp::Write { offset, bytes } if !bytes.is_empty() => {
                Some(offset / SECTOR..=(offset + bytes.len() as u64 - 1) / SECTOR)
            }
            _ => None,
        })
        .flatten()
        .collect()
}

/// What of the pending changes of a folder survives, on top of what was safe.
pub(super) fn settle_names(
    safe: &mut BTreeMap<PathBuf, u64>,
    pending: &[Pending<NameOp>],
    chooser: &mut Chooser,
) {
    for change in pending {
        if chooser.keeps(change.stamp) {
            change.op.apply(safe);
        }
    }
}

//! [`JournalReader`]: loads messages and pages of the index while the store is written.

use std::sync::Arc;

use bytes::Bytes;
use ferromq_journal::{Frame, Position, segment_path};
use ferromq_model::{Destination, Epoch};
use ferromq_store::{IndexEntry, Loaded, MessageRef, PageRequest, StoreError, StoreReader};

use crate::change;
use crate::shared::Shared;

/// Records that lie this near to each other are read at once.
const GAP: u32 = 16 << 10;

/// Read at once at most, unless one record alone is larger.
const RUN: u32 = 1 << 20;

/// Loads messages and pages of the index.
pub(crate) struct JournalReader {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
}

/// One message that was asked for, and where it lies.
struct Wanted {
    at: usize,
    reference: MessageRef,
    position: Position,
    size: u32,
    epoch: Epoch,
    destination: Option<Destination>,
}

impl JournalReader {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, buffer: Vec::new() }
    }

    /// Looks up where messages lie; those that lie nowhere are answered at once.
    fn locate(
        &self,
        references: impl Iterator<Item = (usize, MessageRef)>,
        answers: &mut [Loaded],
    ) -> Result<Vec<Wanted>, StoreError> {
        let mut index = self.shared.index();
        let mut wanted = Vec::new();
        for (at, reference) in references {
            let entry = index.locate(reference.destination, reference.sequence)?;
            let answer = match entry {
                None => Loaded::Gone,
                Some(entry) if entry.position() == crate::index::QUARANTINED => {
                    Loaded::Damaged(String::from("quarantined when its segment was reclaimed"))
                }
                Some(entry) => match index.usage.segment(entry.position().segment) {
                    None => Loaded::Damaged(format!("{} does not exist", entry.position())),
                    Some(segment) => {
                        let destination =
                            index.destinations.get(&reference.destination).map(|d| d.destination.clone());
                        let epoch = segment.epoch;
                        let (position, size) = (entry.position(), entry.size());
                        wanted.push(Wanted { at, reference, position, size, epoch, destination });
                        continue;
                    }
                },
            };
            if let Some(slot) = answers.get_mut(at) {
                *slot = answer;
            }
        }
        wanted.sort_by_key(|wanted| wanted.position);
        let written = index.written;
        drop(index);
        if wanted.last().is_some_and(|wanted| wanted.position >= written) {
            drop(self.shared.writing());
        }
        Ok(wanted)
    }

    /// Reads a run of neighbours with one read. Those that have moved meanwhile come back.
    fn read_run(
        &mut self,
        run: &[Wanted],
        answers: &mut [Loaded],
    ) -> Result<Vec<(usize, MessageRef)>, StoreError> {
        let Some((first, last)) = run.first().zip(run.last()) else { return Ok(Vec::new()) };
        let Some(file) = self.shared.file(first.epoch, first.position.segment)? else {
            return Ok(run.iter().map(|wanted| (wanted.at, wanted.reference)).collect());
        };
        let start = first.position.offset;
        let length = (last.position.offset - start) as usize + last.size as usize;
        self.buffer.resize(length, 0);
        let path = segment_path(&self.shared.journal, first.epoch.number, first.position.segment);
        let got = match file.read_at(&mut self.buffer, u64::from(start)) {
            Ok(got) => got,
            // One bad sector must not cost the neighbours.
            Err(_) if run.len() > 1 => {
                for one in run {
                    self.read_run(std::slice::from_ref(one), answers)?;
                }
                return Ok(Vec::new());
            }
            Err(error) => {
                if let Some(slot) = answers.get_mut(first.at) {
                    *slot = Loaded::Damaged(format!("read {} at {start}: {error}", path.display()));
                }
                return Ok(Vec::new());
            }
        };
        for wanted in run {
            let from = (wanted.position.offset - start) as usize;
            let record = self.buffer.get(from..(from + wanted.size as usize).min(got)).unwrap_or_default();
            let loaded = open(wanted, record).unwrap_or_else(|| {
                let place = format!("{} at {}", path.display(), wanted.position.offset);
                Loaded::Damaged(format!("{place}: the record does not match its checksum"))
            });
            if let Some(slot) = answers.get_mut(wanted.at) {
                *slot = loaded;
            }
        }
        if self.buffer.capacity() > 4 * RUN as usize {
            self.buffer = Vec::new();
        }
        Ok(Vec::new())
    }

    fn read_all(
        &mut self,
        wanted: &[Wanted],
        answers: &mut [Loaded],
    ) -> Result<Vec<(usize, MessageRef)>, StoreError> {
        let mut moved = Vec::new();
        let near = |a: &Wanted, b: &Wanted| {
            a.position.segment == b.position.segment
                && b.position.offset.saturating_sub(a.position.offset.saturating_add(a.size)) <= GAP
        };
        for neighbours in wanted.chunk_by(near) {
            let mut rest = neighbours;
            while let Some(first) = rest.first() {
                let fits =
                    |w: &&Wanted| (w.position.offset - first.position.offset).saturating_add(w.size) <= RUN;
                let count = rest.iter().take_while(fits).count().max(1);
                let (run, others) = rest.split_at(count);
                moved.extend(self.read_run(run, answers)?);
                rest = others;
            }
        }
        Ok(moved)
    }
}

/// The message in a record, if the record is whole and the one that was meant.
fn open(wanted: &Wanted, record: &[u8]) -> Option<Loaded> {
    let frame = Frame::new(wanted.epoch, wanted.position.segment);
    let view = frame.open(record, wanted.position.offset)?;
    // The message gets bytes of its own: texts and body are slices of them, and nothing else is kept alive.
    let payload = Bytes::copy_from_slice(view.payload);
    let (head, message) = change::decode_message(&payload, wanted.destination.as_ref())?;
    let meant =
        head.sequence == wanted.reference.sequence && head.destination == wanted.reference.destination;
    meant.then(|| Loaded::Message(Arc::new(message)))
}

impl StoreReader for JournalReader {
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        let mut answers = vec![Loaded::Gone; wanted.len()];
        let mut open: Vec<_> = wanted.iter().copied().enumerate().collect();
        // A segment may be reclaimed between looking up and opening; its messages lie elsewhere then.
        for _ in 0..8 {
            if open.is_empty() {
                break;
            }
            let located = self.locate(open.drain(..), &mut answers)?;
            open = self.read_all(&located, &mut answers)?;
        }
        for (at, _) in open {
            if let Some(slot) = answers.get_mut(at) {
                *slot = Loaded::Damaged(String::from("its segment is missing"));
            }
        }
        Ok(answers)
    }

    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        self.shared.index().page(wanted)
    }
}

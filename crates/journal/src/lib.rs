//! A segmented, append-only, checksummed journal on any [`ferromq_env::Disk`].
//!
//! It knows records, batches and epochs, and nothing of what is in them; it keeps no index and decides nothing
//! about which segments are still needed. `docs/JOURNAL-FORMAT.md` has the bytes.
//!
//! * [`Writer`]: the one writer of an epoch: many batches, one write, one sync.
//! * [`History`]: which segments count, and up to where, after whatever happened.
//! * [`Scan`]: reads a segment, steps over damage and stops at a torn tail.
//! * [`Frame`]: verifies one record that was read by its [`Position`].
//!
//! Invariants: a batch is whole or not there; what was known to be synced and does not verify is reported as
//! damage, never taken for the end; no two epochs write the same file; a record verifies only in the segment, at
//! the place and under the claim it was written for.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use ferromq_env::{Disk, simulated::SimDisk};
//! use ferromq_journal::{History, Item, Kind, Seal, Writer, WriterOptions};
//! use ferromq_model::{ClaimId, Epoch};
//!
//! let disk = Arc::new(SimDisk::new());
//! let folder = Path::new("/journal");
//! disk.create_dir_all(folder)?;
//! let epoch = Epoch { number: 1, claim: ClaimId(7) };
//! let mut writer =
//!     Writer::create(disk.clone(), folder.into(), epoch, 1, &Seal::default(), WriterOptions::default())?;
//! writer.begin(1);
//! let placed = writer.record(Kind(16), true, |out| out.extend_from_slice(b"hello"))?;
//! writer.flush()?;
//! writer.sync()?;
//!
//! let mut history = History::survey(&*disk, folder)?;
//! history.settle(&*disk)?;
//! let mut scan = history.segments[0].scan(&*disk, placed.position.offset)?;
//! assert!(matches!(scan.next()?, Item::Record { payload: b"hello", .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod history;
mod position;
mod record;
mod scan;
mod seal;
mod segment;
mod writer;

pub use error::{ErrorKind, JournalError};
pub use history::{History, Known, SegmentEntry, Survey};
pub use position::Position;
pub use record::{
    ALIGNMENT, BATCH_HEADER_BYTES, BatchHeader, Frame, Kind, MAX_PAYLOAD, RECORD_HEADER_BYTES, RecordHeader,
    RecordView,
};
pub use scan::{Damage, Extent, Item, Scan};
pub use seal::{Seal, SealedEnd};
pub use segment::{FORMAT, HEADER_BYTES, HeaderRead, SegmentHeader, parse_segment_name, segment_path};
pub use writer::{Placed, Rolled, Writer, WriterOptions};

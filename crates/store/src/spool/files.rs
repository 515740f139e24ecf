//! [`Spool`]: blocks in segments, and who may remove which file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};
use rustc_hash::FxHashMap;

use super::segment::{Segment, failed};
use super::{BlockId, Spooled, block};
use crate::StoreError;

const LOCK: &str = "lock";
const SEGMENT: &str = "spool";

/// Sizes of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// A file is ended when it is so long.
    pub segment_bytes: u64,
    /// So much of the disk is left to others: nothing is begun on a disk that has less.
    pub leave_free_bytes: u64,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, leave_free_bytes: 256 << 20 }
    }
}

/// Blocks of messages on a disk, for one run of one process. Blocking.
pub struct Spool {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    run: String,
    options: SpoolOptions,
    /// Held as long as the spool is; who finds it free may remove what stands here under this name.
    lock: Option<Arc<dyn DiskFile>>,
    segments: BTreeMap<u64, Segment>,
    places: FxHashMap<BlockId, u64>,
    next_segment: u64,
    buffer: Vec<u8>,
}

impl Spool {
    /// A spool in `folder` for the run of this name, which no other run ever had. What runs that are over left there is
    /// removed; what belongs to living ones stays.
    ///
    /// # Errors
    /// The folder can't be used, or somebody lives under this name.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        run: &str,
        options: SpoolOptions,
    ) -> Result<Self, StoreError> {
        disk.create_dir_all(folder).map_err(failed("make", folder))?;
        clean(&*disk, folder)?;
        let path = folder.join(format!("{run}.{LOCK}"));
        let lock = disk.open(&path, OpenMode::CreateNew).map_err(failed("make", &path))?;
        // Another process that cleans up may take the lock of a file that is just being made, and remove it.
        let ours = lock.try_lock().map_err(failed("lock", &path))?
            && disk
                .list(folder)
                .map_err(failed("list", folder))?
                .iter()
                .any(|there| there.ends_with(name(&path)));
        if !ours {
            return Err(StoreError::InUse {
                store: path.display().to_string(),
                holder: "another process".into(),
            });
        }
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            run: run.to_owned(),
            options,
            lock: Some(lock),
            segments: BTreeMap::new(),
            places: FxHashMap::default(),
            next_segment: 1,
            buffer: Vec::new(),
        })
    }

    /// Leaves its files where they are, as a process does that is killed; for simulations.
    pub fn abandon(mut self) {
        self.segments.clear();
        self.lock = None;
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps a block.
    ///
    /// # Errors
    /// The disk has no room or failed; the block is not kept, and the spool goes on.
    pub fn write(&mut self, block: BlockId, messages: &[Spooled]) -> Result<(), StoreError> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        block::encode(block, messages, &mut bytes);
        let done = self.append(block, &bytes);
        self.buffer = bytes;
        self.buffer.shrink_to(1 << 20);
        done
    }

    /// Loads a block; it stays.
    ///
    /// # Errors
    /// It can't be read, or is damaged; others may be whole.
    pub fn read(&self, block: BlockId) -> Result<Vec<Spooled>, StoreError> {
        let Some(segment) = self.places.get(&block).and_then(|number| self.segments.get(number)) else {
            return Err(StoreError::Bug(format!("block {} is not in the spool", block.0)));
        };
        let bytes = segment.read(block)?;
        block::decode(block, &bytes).map_err(|reason| StoreError::Damaged {
            place: format!("block {} in {}", block.0, segment.path.display()),
            reason: reason.to_owned(),
        })
    }

    /// Lets go of a block, if it is here.
    pub fn free(&mut self, block: BlockId) {
        let Some(number) = self.places.remove(&block) else { return };
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.free(block);
            segment.stuck = false;
            if segment.blocks.is_empty() {
                self.drop_segment(number);
            }
        }
    }

    /// Moves what is live out of the segment with the least in it, if the files take too much; says whether another
    /// call soon would find work.
    pub fn reclaim(&mut self) -> bool {
        let live: u64 = self.segments.values().map(|segment| segment.live_bytes).sum();
        if self.used_bytes() <= 2 * live + 2 * self.options.segment_bytes {
            return false;
        }
        let last = self.segments.last_key_value().map(|(number, _)| *number);
        let sparse = self
            .segments
            .iter()
            .filter(|(number, segment)| Some(**number) != last && !segment.stuck)
            .min_by_key(|(_, segment)| segment.live_bytes)
            .map(|(number, segment)| (*number, segment.blocks.keys().next().copied()));
        let Some((number, Some(block))) = sparse else { return false };
        let moved = self.segments.get(&number).map(|segment| segment.read(block));
        let moved = moved.is_some_and(|bytes| bytes.is_ok_and(|bytes| self.append(block, &bytes).is_ok()));
        if let Some(segment) = self.segments.get_mut(&number) {
            if moved {
                segment.free(block);
                if segment.blocks.is_empty() {
                    self.drop_segment(number);
                }
            } else {
                segment.stuck = true;
            }
        }
        true
    }

    /// Bytes of its files.
    pub fn used_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.end).sum()
    }

    fn append(&mut self, block: BlockId, bytes: &[u8]) -> Result<(), StoreError> {
        let (number, segment) = self.tail(bytes.len() as u64)?;
        segment.append(block, bytes)?;
        self.places.insert(block, number);
        Ok(())
    }

    /// The segment that is written, a new one if the last is full. It is emptied by [`Spool::free`] like all others.
    fn tail(&mut self, bytes: u64) -> Result<(u64, &mut Segment), StoreError> {
        let room = |segment: &Segment| segment.end + bytes <= self.options.segment_bytes || segment.end == 0;
        if self.segments.last_key_value().is_none_or(|(_, segment)| !room(segment)) {
            let free = self.disk.free_bytes(&self.folder).map_err(failed("measure", &self.folder))?;
            let needed = self.options.leave_free_bytes + bytes.max(self.options.segment_bytes);
            if free < needed {
                return Err(StoreError::Full {
                    store: self.folder.display().to_string(),
                    free_bytes: free,
                    needed_bytes: needed,
                });
            }
            let path = self.folder.join(format!("{}-{:06}.{SEGMENT}", self.run, self.next_segment));
            let segment = Segment::create(&*self.disk, path)?;
            self.segments.insert(self.next_segment, segment);
            self.next_segment += 1;
        }
        match self.segments.last_entry() {
            Some(entry) => Ok((*entry.key(), entry.into_mut())),
            None => Err(StoreError::Bug("a spool without a segment".to_owned())),
        }
    }

    fn drop_segment(&mut self, number: u64) {
        if let Some(segment) = self.segments.remove(&number)
            && let Err(error) = self.disk.remove(&segment.path)
        {
            // The next run removes it.
            tracing::warn!(%error, path = %segment.path.display(), "a file of the spool can't be removed");
        }
    }

    /// Removes everything of this run.
    fn wipe(&mut self) {
        let numbers: Vec<u64> = self.segments.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.drop_segment(number));
        if self.lock.is_some() {
            let path = self.folder.join(format!("{}.{LOCK}", self.run));
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!(%error, path = %path.display(), "a file of the spool can't be removed");
            }
        }
        self.lock = None;
    }
}

/// The files end with the spool.
impl Drop for Spool {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder).field("run", &self.run).finish_non_exhaustive()
    }
}

/// Removes what runs left that are over: their segments first, then the lock that vouched for them.
fn clean(disk: &dyn Disk, folder: &Path) -> Result<(), StoreError> {
    let list = || disk.list(folder).map_err(failed("list", folder));
    for there in list()? {
        let path = folder.join(name(&there));
        let Some(run) = path.extension().is_some_and(|kind| kind == LOCK).then(|| path.file_stem()).flatten()
        else {
            continue;
        };
        let Ok(lock) = disk.open(&path, OpenMode::Write) else { continue };
        if !lock.try_lock().unwrap_or(false) {
            continue;
        }
        let prefix = format!("{}-", run.to_string_lossy());
        for left in list()? {
            let left = folder.join(name(&left));
            let ours = left.extension().is_some_and(|kind| kind == SEGMENT)
                && name(&left).to_string_lossy().strip_prefix(&prefix).is_some_and(is_number);
            if ours {
                remove(disk, &left)?;
            }
        }
        remove(disk, &path)?;
    }
    Ok(())
}

/// Another process that cleans up may have been faster.
fn remove(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    match disk.remove(path) {
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(failed("remove", path)),
    }
}

/// Whether this is all that stands behind the name of a run in the name of one of its segments.
fn is_number(rest: &str) -> bool {
    rest.strip_suffix(".spool").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

//! [`Segment`]: one file of the spool.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ferromq_env::{Disk, DiskFile, OpenMode};

use super::BlockId;
use crate::StoreError;

pub(super) struct Segment {
    pub(super) path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Where the next block goes.
    pub(super) end: u64,
    pub(super) live_bytes: u64,
    /// What of it is needed: where, and how long.
    pub(super) blocks: BTreeMap<BlockId, (u64, u32)>,
    /// A block in it could not be moved: it is left alone until what is in it was read or freed.
    pub(super) stuck: bool,
}

impl Segment {
    pub(super) fn create(disk: &dyn Disk, path: PathBuf) -> Result<Self, StoreError> {
        let file = disk.open(&path, OpenMode::CreateNew).map_err(failed("make", &path))?;
        Ok(Self { path, file, end: 0, live_bytes: 0, blocks: BTreeMap::new(), stuck: false })
    }

    /// Appends the bytes of a block. After an error the place is used again.
    pub(super) fn append(&mut self, block: BlockId, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_at(bytes, self.end).map_err(failed("write", &self.path))?;
        self.blocks.insert(block, (self.end, bytes.len() as u32));
        self.end += bytes.len() as u64;
        self.live_bytes += bytes.len() as u64;
        Ok(())
    }

    /// The bytes of a block.
    pub(super) fn read(&self, block: BlockId) -> Result<Vec<u8>, StoreError> {
        let Some((offset, length)) = self.blocks.get(&block).copied() else {
            return Err(StoreError::Bug(format!("block {} is not in {}", block.0, self.path.display())));
        };
        let mut bytes = vec![0; length as usize];
        let read = self.file.read_at(&mut bytes, offset).map_err(failed("read", &self.path))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// A block is not needed any longer.
    pub(super) fn free(&mut self, block: BlockId) {
        if let Some((_, length)) = self.blocks.remove(&block) {
            self.live_bytes -= u64::from(length);
        }
    }
}

pub(super) fn failed(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.display().to_string();
    move |source| StoreError::Io { action, path, source }
}

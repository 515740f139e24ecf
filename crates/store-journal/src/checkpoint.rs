//! [`Checkpoints`]: snapshots of the metadata and of the index, so that a start need not read the whole journal.
//!
//! A checkpoint is a metadata snapshot, an index root and, for the pages that changed, a page file; each is written
//! once under a name with the epoch in it, checksummed, and never touched again. Two generations are kept.

mod format;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ferromq_env::{Disk, DiskFile, OpenMode};
use ferromq_journal::{Extent, History, Position};
use ferromq_model::{DestinationId, Epoch};
use ferromq_store::StoreError;

use crate::failure;
use crate::index::{Home, Index, PageFileId, PageSource};

/// Page files that are mostly dead are rewritten beyond this.
const PAGE_SLACK: u64 = 8 << 20;

/// Page files kept open.
const OPEN_FILES: usize = 32;

/// Read at once of a file whose length is not known.
const CHUNK: usize = 256 << 10;

/// A longer file is no checkpoint: one of a million destinations has some hundred MiB. What it would have said is found by
/// reading more of the journal.
const MOST_BYTES: usize = 1 << 30;

/// An index, and from where on the journal has to be replayed into it.
pub(crate) struct Restored {
    pub(crate) index: Index,
    pub(crate) from: Position,
    /// What records before this say about anything but messages is known already.
    pub(crate) metadata_from: Position,
    /// Ids from here on were given out after the snapshot.
    pub(crate) destinations_from: DestinationId,
    /// Nothing of the index came from a checkpoint.
    pub(crate) whole: bool,
    /// Page files that the checkpoint needs.
    pub(crate) pages: BTreeSet<PageFileId>,
}

/// Something to start from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// Snapshot and index.
    Checkpoint(Generation),
    /// The snapshot alone; the index is made from the whole journal.
    Snapshot(Generation),
    /// The journal alone.
    Journal,
}

impl Candidate {
    /// What lies before this is in it.
    pub(crate) fn from(&self) -> Position {
        match self {
            Self::Checkpoint(generation) => generation.position,
            Self::Snapshot(_) | Self::Journal => Position::default(),
        }
    }
}

/// A checkpoint that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    id: PageFileId,
    position: Position,
}

/// The checkpoints of a store.
pub(crate) struct Checkpoints {
    disk: Arc<dyn Disk>,
    meta: PathBuf,
    index: PathBuf,
    epoch: Epoch,
    next: u32,
    /// The last two, oldest first.
    kept: Vec<Generation>,
    /// Page files that each of them needs.
    needed: BTreeMap<PageFileId, BTreeSet<PageFileId>>,
    page_file_bytes: BTreeMap<PageFileId, u64>,
    root_bytes: u64,
    files: Arc<PageFiles>,
}

impl Checkpoints {
    pub(crate) fn new(disk: Arc<dyn Disk>, store: &Path, epoch: Epoch) -> Self {
        let files = Arc::new(PageFiles::new(disk.clone(), store.join("index")));
        Self {
            files,
            disk,
            meta: store.join("meta"),
            index: store.join("index"),
            epoch,
            next: 1,
            kept: Vec::new(),
            needed: BTreeMap::new(),
            page_file_bytes: BTreeMap::new(),
            root_bytes: 0,
        }
    }

    /// What a start may begin with, best first; the last one always works.
    pub(crate) fn candidates(&self, history: &History) -> Result<Vec<Candidate>, StoreError> {
        let mut generations = Vec::new();
        for id in self.list(&self.meta, "meta")? {
            let path = file_path(&self.meta, id, "meta");
            let Some(snapshot) = self.read(&path)?.and_then(|bytes| format::decode_meta(&bytes)) else {
                tracing::warn!(file = %path.display(), "the snapshot is damaged and is left out");
                continue;
            };
            // A checkpoint of a reign that was over by then lies outside of the sealed history.
            let position = snapshot.position;
            let within = history.segments.iter().any(|segment| {
                segment.id == position.segment
                    && segment.epoch == snapshot.epoch
                    && match segment.extent {
                        Extent::Known(end) => end >= position.offset,
                        // Only a standby looks at a journal whose end is open.
                        Extent::Tail | Extent::Growing => true,
                    }
            });
            if within {
                generations.push(Generation { id, position });
            }
        }
        generations.sort_by_key(|generation| std::cmp::Reverse(generation.position));
        let checkpoints = generations.iter().map(|generation| Candidate::Checkpoint(*generation));
        let snapshots = generations.iter().map(|generation| Candidate::Snapshot(*generation));
        Ok(checkpoints.chain(snapshots).chain([Candidate::Journal]).collect())
    }

    /// Reads a candidate; `None` if it is damaged.
    pub(crate) fn restore(&self, candidate: Candidate) -> Result<Option<Restored>, StoreError> {
        let mut index = Index::new(self.files.clone());
        let (generation, with_index) = match candidate {
            Candidate::Checkpoint(generation) => (generation, true),
            Candidate::Snapshot(generation) => (generation, false),
            Candidate::Journal => {
                let (from, first) = (Position::default(), DestinationId(0));
                let restored = Restored {
                    index,
                    from,
                    metadata_from: from,
                    destinations_from: first,
                    whole: true,
                    pages: BTreeSet::new(),
                };
                return Ok(Some(restored));
            }
        };
        let path = file_path(&self.meta, generation.id, "meta");
        let Some(snapshot) = self.read(&path)?.and_then(|bytes| format::decode_meta(&bytes)) else {
            return Ok(None);
        };
        let metadata_from = snapshot.position;
        snapshot.install(&mut index);
        let destinations_from = index.next_destination;
        let mut from = Position::default();
        if with_index {
            let path = file_path(&self.index, generation.id, "index");
            match self.read(&path)?.and_then(|bytes| format::decode_index(&bytes, &mut index)) {
                Some(position) if position == generation.position => from = position,
                _ => {
                    tracing::warn!(file = %path.display(), "the index checkpoint is damaged or missing");
                    return Ok(None);
                }
            }
            // The name of a root may have survived a power failure that took the names of its pages.
            if !self.has_pages(&page_files(&index))? {
                tracing::warn!(file = %path.display(), "pages of the index checkpoint are missing");
                return Ok(None);
            }
        }
        let pages = page_files(&index);
        Ok(Some(Restored { index, from, metadata_from, destinations_from, whole: !with_index, pages }))
    }

    /// Whether all these page files exist.
    pub(crate) fn has_pages(&self, pages: &BTreeSet<PageFileId>) -> Result<bool, StoreError> {
        let there: BTreeSet<_> = self.list(&self.index, "pages")?.into_iter().collect();
        Ok(pages.is_subset(&there))
    }

    /// The name of the newest snapshot, of which nothing was read yet.
    pub(crate) fn newest(&self) -> Result<Option<PageFileId>, StoreError> {
        Ok(self.list(&self.meta, "meta")?.into_iter().max())
    }

    /// Where pages of an index come from.
    pub(crate) fn source(&self) -> Arc<dyn PageSource + Send + Sync> {
        self.files.clone()
    }

    /// Goes on from a candidate: it is kept as the older of two, everything else is removed.
    pub(crate) fn adopt(
        &mut self,
        candidate: Candidate,
        pages: BTreeSet<PageFileId>,
    ) -> Result<(), StoreError> {
        match candidate {
            Candidate::Checkpoint(generation) => {
                self.kept = vec![generation];
                self.needed.insert(generation.id, pages);
            }
            Candidate::Snapshot(generation) => {
                self.kept = vec![generation];
                self.needed.insert(generation.id, BTreeSet::new());
            }
            Candidate::Journal => {}
        }
        for folder in [self.meta.clone(), self.index.clone()] {
            self.disk.create_dir_all(&folder).map_err(failure::io("make", &folder))?;
        }
        for id in self.list(&self.index, "pages")? {
            let path = file_path(&self.index, id, "pages");
            let file = match self.disk.open(&path, OpenMode::Read) {
                Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failure::io("open", &path))?,
            };
            self.page_file_bytes.insert(id, file.len().map_err(failure::io("measure", &path))?);
        }
        Ok(())
    }

    /// Segments below this one are not needed to rebuild anything from the older checkpoint that is kept.
    pub(crate) fn needed_from(&self) -> u32 {
        match self.kept.as_slice() {
            [older, _] => older.position.segment,
            _ => 0,
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.page_file_bytes.values().sum::<u64>() + self.root_bytes
    }

    /// Writes a checkpoint of `index`, which stands at `position`; the journal was synced up to there.
    pub(crate) fn write(&mut self, index: &mut Index, position: Position) -> Result<Pending, StoreError> {
        let id = PageFileId { epoch: self.epoch.number, number: self.next };
        self.next += 1;
        self.refresh(index)?;
        let mut pages = Vec::new();
        let mut scratch = Vec::new();
        let mut write = |rows: &[u8]| {
            let offset = pages.len() as u64;
            pages.extend_from_slice(&crc32c::crc32c(rows).to_le_bytes());
            pages.extend_from_slice(rows);
            Home { file: id, offset }
        };
        for found in index.destinations.values_mut() {
            found.entries.write_changed(&mut write, &mut scratch);
        }
        for list in index.subscriptions.values_mut().flat_map(|s| s.pending.values_mut()) {
            list.write_changed(&mut write, &mut scratch);
        }
        let meta = format::encode_meta(index, self.epoch, position);
        let root = format::encode_index(index, position);
        Ok(Pending { id, position, pages, meta, root, needed: page_files(index) })
    }

    /// Makes a checkpoint safe. The index need not stand still for that.
    pub(crate) fn finish(&mut self, pending: &Pending) -> Result<(), StoreError> {
        let Pending { id, pages, meta, root, .. } = pending;
        if !pages.is_empty() {
            self.make(&file_path(&self.index, *id, "pages"), pages)?;
            self.page_file_bytes.insert(*id, pages.len() as u64);
        }
        self.make(&file_path(&self.meta, *id, "meta"), meta)?;
        self.make(&file_path(&self.index, *id, "index"), root)?;
        self.disk.sync_dir(&self.meta).map_err(failure::io("sync", &self.meta))?;
        self.disk.sync_dir(&self.index).map_err(failure::io("sync", &self.index))?;
        self.root_bytes = 2 * (meta.len() + root.len()) as u64;
        self.kept.push(Generation { id: *id, position: pending.position });
        self.needed.insert(*id, pending.needed.clone());
        while self.kept.len() > 2 {
            let old = self.kept.remove(0);
            self.needed.remove(&old.id);
        }
        Ok(())
    }

    /// Removes what neither of the kept checkpoints needs. Only after a fence check that came after the sync.
    pub(crate) fn tidy(&mut self) -> Result<(), StoreError> {
        let kept: BTreeSet<_> = self.kept.iter().map(|generation| generation.id).collect();
        let pages: BTreeSet<_> = self.needed.values().flatten().copied().collect();
        for (folder, extension, needed) in
            [(&self.index, "index", &kept), (&self.index, "pages", &pages), (&self.meta, "meta", &kept)]
        {
            for id in self.list(folder, extension)? {
                // However late this comes, it takes nothing from a successor.
                if id.epoch <= self.epoch.number && !needed.contains(&id) {
                    let path = file_path(folder, id, extension);
                    if extension == "pages" {
                        self.files.close(id);
                    }
                    failure::removed(self.disk.remove(&path), &path)?;
                    if extension == "pages" {
                        self.page_file_bytes.remove(&id);
                    }
                }
            }
        }
        Ok(())
    }

    /// If page files are mostly dead, takes the pages out of the emptiest so that they are written anew.
    fn refresh(&self, index: &mut Index) -> Result<(), StoreError> {
        let total: u64 = self.page_file_bytes.values().sum();
        let mut live: BTreeMap<PageFileId, u64> = BTreeMap::new();
        for found in index.destinations.values() {
            for page in found.entries.records() {
                *live.entry(page.home.file).or_default() += u64::from(page.rows) * 32;
            }
        }
        for list in index.subscriptions.values().flat_map(|s| s.pending.values()) {
            for page in list.records() {
                *live.entry(page.home.file).or_default() += u64::from(page.rows) * 4;
            }
        }
        if total <= 2 * live.values().sum::<u64>() + PAGE_SLACK {
            return Ok(());
        }
        let sparse = |id: PageFileId| {
            let bytes = self.page_file_bytes.get(&id).copied().unwrap_or(0);
            live.get(&id).is_none_or(|live| live * 2 < bytes)
        };
        let source = index.source.clone();
        for found in index.destinations.values_mut() {
            found.entries.leave(&*source, &sparse)?;
        }
        for list in index.subscriptions.values_mut().flat_map(|s| s.pending.values_mut()) {
            list.leave(&*source, &sparse)?;
        }
        Ok(())
    }

    fn make(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.disk.open(path, OpenMode::CreateNew).map_err(failure::io("create", path))?;
        file.write_at(bytes, 0).map_err(failure::io("write", path))?;
        file.sync().map_err(failure::io("sync", path))
    }

    fn list(&self, folder: &Path, extension: &str) -> Result<Vec<PageFileId>, StoreError> {
        match self.disk.list(folder) {
            Ok(names) => Ok(names.iter().filter_map(|name| parse_name(name, extension)).collect()),
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failure::io("list", folder)(error)),
        }
    }

    /// The bytes of a file; `None` if there is none, or if it can't be read.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let Ok(file) = self.disk.open(path, OpenMode::Read) else { return Ok(None) };
        if self.disk.is_coherent(path) {
            let length = file.len().map_err(failure::io("measure", path))?;
            let Some(length) = usize::try_from(length).ok().filter(|length| *length <= MOST_BYTES) else {
                return Ok(None);
            };
            let mut bytes = vec![0; length];
            let Ok(got) = file.read_at(&mut bytes, 0) else { return Ok(None) };
            bytes.truncate(got);
            return Ok(Some(bytes));
        }
        // A length may be that of a file that was being written when this machine saw it first.
        let mut bytes = Vec::new();
        loop {
            let from = bytes.len();
            bytes.resize(from + CHUNK, 0);
            let to = bytes.get_mut(from..).unwrap_or_default();
            let Ok(got) = file.read_past_cache(to, from as u64) else { return Ok(None) };
            bytes.truncate(from + got);
            if got < CHUNK {
                return Ok(Some(bytes));
            }
            if bytes.len() > MOST_BYTES {
                return Ok(None);
            }
        }
    }
}

/// A checkpoint that was taken and not yet written.
pub(crate) struct Pending {
    id: PageFileId,
    position: Position,
    pages: Vec<u8>,
    meta: Vec<u8>,
    root: Vec<u8>,
    needed: BTreeSet<PageFileId>,
}

fn page_files(index: &Index) -> BTreeSet<PageFileId> {
    let entries = index.destinations.values().flat_map(|found| found.entries.records());
    let pending = index.subscriptions.values().flat_map(|s| s.pending.values());
    entries.chain(pending.flat_map(|list| list.records())).map(|page| page.home.file).collect()
}

fn file_path(folder: &Path, id: PageFileId, extension: &str) -> PathBuf {
    folder.join(format!("{:010}-{:010}.{extension}", id.epoch, id.number))
}

fn parse_name(path: &Path, extension: &str) -> Option<PageFileId> {
    let name = path.file_name()?.to_str()?.strip_suffix(extension)?.strip_suffix('.')?;
    let (epoch, number) = name.split_once('-')?;
    Some(PageFileId { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
}

/// Reads pages from page files.
struct PageFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    open: Mutex<BTreeMap<PageFileId, Arc<dyn DiskFile>>>,
}

impl PageFiles {
    fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder, open: Mutex::default() }
    }

    fn close(&self, id: PageFileId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn file(&self, id: PageFileId) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&id) {
            return Ok(file.clone());
        }
        let path = file_path(&self.folder, id, "pages");
        let file = self.disk.open(&path, OpenMode::Read).map_err(failure::io("open", &path))?;
        if open.len() >= OPEN_FILES {
            open.pop_first();
        }
        open.insert(id, file.clone());
        Ok(file)
    }
}

impl PageSource for PageFiles {
    fn read_page(&self, home: Home, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let path = file_path(&self.folder, home.file, "pages");
        let mut page = vec![0; bytes + 4];
        let damaged = |reason: String| StoreError::Damaged {
            place: format!("{} at {}", path.display(), home.offset),
            reason: format!(
                "{reason}; the index can be made anew: stop the broker and remove the folder `index`"
            ),
        };
        let file = self.file(home.file).map_err(|error| damaged(error.to_string()))?;
        let got = file.read_at(&mut page, home.offset).map_err(|error| damaged(error.to_string()))?;
        let (crc, rows) = page.split_at(4);
        if got < bytes + 4 || crc32c::crc32c(rows).to_le_bytes() != crc {
            return Err(damaged(String::from("a page of the index does not match its checksum")));
        }
        page.drain(..4);
        Ok(page)
    }
}

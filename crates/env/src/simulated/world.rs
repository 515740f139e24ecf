//! The state behind a simulated disk: what programs see, what is safe, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::crash::{Chooser, settle_data, settle_names};
use super::sparse::Sparse;
use super::{Crash, Fault, OpKind, SeededEntropy};

/// A change that no sync has covered, and when it was made.
#[derive(Clone, Debug)]
pub(super) struct Pending<T> {
    pub(super) stamp: u64,
    pub(super) op: T,
}

/// A change of a file's bytes.
#[derive(Clone, Debug)]
pub(super) enum DataOp {
    Write { offset: u64, bytes: Arc<[u8]> },
    Allocate(u64),
    SetLen(u64),
}

impl DataOp {
    pub(super) fn apply(&self, to: &mut Sparse) {
        match self {
            Self::Write { offset, bytes } => to.write(bytes, *offset),
            Self::Allocate(len) => to.extend_to(*len),
            Self::SetLen(len) => to.set_len(*len),
        }
    }

    /// Applies the part of a write that lies in `from..upto`.
    pub(super) fn apply_within(&self, to: &mut Sparse, from: u64, upto: u64) {
        let Self::Write { offset, bytes } = self else { return };
        let (start, end) = ((*offset).max(from), (offset + bytes.len() as u64).min(upto));
        if start < end {
            to.write(&bytes[(start - offset) as usize..(end - offset) as usize], start);
        }
    }

    /// Where the file ends at least after it.
    pub(super) fn end(&self) -> u64 {
        match self {
            Self::Write { offset, bytes } => offset + bytes.len() as u64,
            Self::Allocate(len) | Self::SetLen(len) => *len,
        }
    }

    pub(super) fn touches(&self, sector: u64, sector_bytes: u64) -> bool {
        match self {
            Self::Write { offset, bytes } => {
                *offset < (sector + 1) * sector_bytes && offset + bytes.len() as u64 > sector * sector_bytes
            }
            _ => false,
        }
    }
}

/// A change of the names in a folder.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link { name: PathBuf, inode: u64 },
    Unlink { name: PathBuf },
    Rename { from: PathBuf, to: PathBuf, inode: u64 },
}

impl NameOp {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub(super) now: BTreeMap<PathBuf, u64>,
    safe: BTreeMap<PathBuf, u64>,
    pending: Vec<Pending<NameOp>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) now: Sparse,
    safe: Sparse,
    pending: Vec<Pending<DataOp>>,
    pub(super) locked_by: Option<u64>,
    pub(super) places_locked_by: BTreeMap<u64, u64>,
    handles: u32,
}

impl Inode {
    fn unlock(&mut self) {
        self.locked_by = None;
        self.places_locked_by.clear();
    }
}

/// What becomes of an operation.
pub(super) enum Verdict {
    Go,
    /// The power goes while it is under way: it has its effect, unsafe as ever, and nobody hears of it.
    PowerCut,
    Fail(io::Error),
    /// The process was killed or the power is off already: no effect at all.
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) folders: BTreeMap<PathBuf, Folder>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) faults: Vec<Fault>,
    pub(super) capacity: Option<u64>,
    pub(super) counts: BTreeMap<OpKind, u64>,
    /// Operations that change something, so far.
    pub(super) changes: u64,
    pub(super) power_off_at: Option<u64>,
    powered: bool,
    processes: BTreeSet<u64>,
    next_id: u64,
    dice: SeededEntropy,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            folders: BTreeMap::from([(PathBuf::from("/"), Folder::default())]),
            inodes: BTreeMap::new(),
            faults: Vec::new(),
            capacity: None,
            counts: BTreeMap::new(),
            changes: 0,
            power_off_at: None,
            powered: true,
            processes: BTreeSet::new(),
            next_id: 1,
            dice: SeededEntropy::new(seed),
        }
    }

    pub(super) const fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn begin_process(&mut self) -> u64 {
        let process = self.fresh_id();
        self.processes.insert(process);
        process
    }

    /// Every operation comes through here first.
    pub(super) fn admit(&mut self, process: u64, kind: OpKind, path: &Path) -> Verdict {
        if !self.powered || !self.processes.contains(&process) {
            return Verdict::Gone;
        }
        *self.counts.entry(kind).or_default() += 1;
        if kind.changes() {
            self.changes += 1;
            if self.power_off_at == Some(self.changes) {
                self.powered = false;
                return Verdict::PowerCut;
            }
        }
        let text = path.to_string_lossy();
        let hit = self.faults.iter_mut().enumerate().find_map(|(place, fault)| {
            fault.strike(kind, &text).map(|(error, used_up)| (place, error, used_up))
        });
        if let Some((place, error, used_up)) = hit {
            if used_up {
                self.faults.remove(place);
            }
            return Verdict::Fail(error.into());
        }
        Verdict::Go
    }

    pub(super) fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(path).ok_or_else(|| not_found(path))
    }

    pub(super) fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(dead)
    }

    /// Applies a change of names to what is seen, and remembers it.
    pub(super) fn change_names(&mut self, folder: &Path, op: NameOp) -> io::Result<()> {
        let stamp = self.changes;
        let folder = self.folder(folder)?;
        op.apply(&mut folder.now);
        folder.pending.push(Pending { stamp, op });
        Ok(())
    }

    /// Applies a change of bytes to what is seen, and remembers it.
    pub(super) fn change_data(&mut self, inode: u64, op: DataOp) -> io::Result<()> {
        let stamp = self.changes;
        let inode = self.inode(inode)?;
        op.apply(&mut inode.now);
        inode.pending.push(Pending { stamp, op });
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: u64) -> io::Result<()> {
        let inode = self.inode(inode)?;
        for change in inode.pending.drain(..) {
            change.op.apply(&mut inode.safe);
        }
        Ok(())
    }

    /// A sync that failed: some of it is safe, and the rest is forgotten though reads still show it.
    pub(super) fn sync_badly(&mut self, inode: u64) -> io::Result<()> {
        let mut chooser = Chooser::AnyVersion(self.dice.split());
        let inode = self.inode(inode)?;
        let pending = std::mem::take(&mut inode.pending);
        settle_data(&mut inode.safe, &pending, &mut chooser);
        Ok(())
    }

    pub(super) fn sync_names(&mut self, folder: &Path) -> io::Result<()> {
        let folder = self.folder(folder)?;
        for change in folder.pending.drain(..) {
            change.op.apply(&mut folder.safe);
        }
        Ok(())
    }

    pub(super) fn sync_names_badly(&mut self, folder: &Path) -> io::Result<()> {
        let mut chooser = Chooser::AnyVersion(self.dice.split());
        let folder = self.folder(folder)?;
        let pending = std::mem::take(&mut folder.pending);
        settle_names(&mut folder.safe, &pending, &mut chooser);
        Ok(())
    }

    /// How many bytes of a failing write arrive all the same.
    pub(super) fn part_of(&mut self, bytes: usize) -> usize {
        self.dice.below(bytes as u64 + 1) as usize
    }

    pub(super) fn used(&self) -> u64 {
        let named: BTreeSet<u64> =
            self.folders.values().flat_map(|folder| folder.now.values().copied()).collect();
        self.inodes
            .iter()
            .filter(|(id, inode)| inode.handles > 0 || named.contains(id))
            .map(|(_, inode)| inode.now.len())
            .sum()
    }

    /// Whether a file may grow to `end`.
    pub(super) fn has_room(&mut self, inode: u64, end: u64) -> io::Result<bool> {
        let grows = end.saturating_sub(self.inode(inode)?.now.len());
        Ok(grows == 0 || self.capacity.is_none_or(|capacity| self.used() + grows <= capacity))
    }

    pub(super) fn opened(&mut self, inode: u64) {
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.handles += 1;
        }
    }

    pub(super) fn closed(&mut self, process: u64, inode: u64, handle: u64) {
        // Handles of a process that is gone were counted off when it went.
        if !self.processes.contains(&process) {
            return;
        }
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.handles = inode.handles.saturating_sub(1);
            if inode.locked_by == Some(handle) {
                inode.locked_by = None;
            }
            inode.places_locked_by.retain(|_, holder| *holder != handle);
        }
    }

    /// A process ends at once; what it wrote stays as unsafe as it was. `handles` are those it had open.
    pub(super) fn end_process(&mut self, process: u64, handles: &[(u64, u64)]) {
        for (inode, handle) in handles {
            self.closed(process, *inode, *handle);
        }
        self.processes.remove(&process);
    }

    /// The power goes and comes back: a legal state is chosen, every process and lock is gone.
    pub(super) fn crash(&mut self, crash: Crash) {
        let stamps = || {
            let data = self.inodes.values().flat_map(|inode| inode.pending.iter().map(|change| change.stamp));
            let names =
                self.folders.values().flat_map(|folder| folder.pending.iter().map(|change| change.stamp));
            data.chain(names)
        };
        let (oldest, newest) = (stamps().min().unwrap_or(1), stamps().max().unwrap_or(1));
        let mut chooser = Chooser::new(crash, oldest, newest);
        for folder in self.folders.values_mut() {
            settle_names(&mut folder.safe, &std::mem::take(&mut folder.pending), &mut chooser);
            folder.now.clone_from(&folder.safe);
        }
        for inode in self.inodes.values_mut() {
            settle_data(&mut inode.safe, &std::mem::take(&mut inode.pending), &mut chooser);
            inode.now.clone_from(&inode.safe);
        }
        self.restart();
    }

    pub(super) fn forget_locks(&mut self) {
        self.inodes.values_mut().for_each(Inode::unlock);
    }

    /// No process runs, no file is open, the power is on.
    pub(super) fn restart(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.unlock();
            inode.handles = 0;
        }
        self.processes.clear();
        self.powered = true;
        self.power_off_at = None;
        self.forget_unreachable();
    }

    /// Drops files that no name, safe or not, and no handle leads to.
    pub(super) fn forget_unreachable(&mut self) {
        let named: BTreeSet<u64> = self
            .folders
            .values()
            .flat_map(|folder| folder.now.values().chain(folder.safe.values()).copied())
            .chain(self.folders.values().flat_map(|folder| {
                folder.pending.iter().filter_map(|change| match change.op {
                    NameOp::Link { inode, .. } | NameOp::Rename { inode, .. } => Some(inode),
                    NameOp::Unlink { .. } => None,
                })
            }))
            .collect();
        self.inodes.retain(|id, inode| inode.handles > 0 || named.contains(id));
    }

    /// Changes a stored byte behind everybody's back, in what is seen and in what is safe.
    pub(super) fn flip(&mut self, inode: u64, offset: u64, mask: u8) -> io::Result<()> {
        let inode = self.inode(inode)?;
        for side in [&mut inode.now, &mut inode.safe] {
            let mut byte = [0];
            if side.read(&mut byte, offset) == 1 {
                side.write(&[byte[0] ^ mask], offset);
            }
        }
        Ok(())
    }
}

/// What a handle of a process that is gone gets, and everybody while the power is off.
pub(super) fn dead() -> io::Error {
    Errno::IO.into()
}

pub(super) fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

//! [`SimDisk`]: the simulated file system as one process sees it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::world::{DataOp, NameOp, Verdict, World, dead, not_found};
use super::{Crash, Fault, FaultError, OpKind};
use crate::{Disk, DiskFile, OpenMode};

/// The simulated file system as one process sees it; clones are the same process.
///
/// Paths are taken from the root whether or not they begin with `/`. A process that was [killed](Self::kill), and
/// every process before a [crash](Self::crash), gets `EIO` for everything it still tries.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    process: u64,
    handles: Arc<Mutex<BTreeSet<(u64, u64)>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk without limit.
    pub fn new() -> Self {
        Self::seeded(0)
    }

    /// An empty disk; the seed decides how much of a failing write or sync arrives.
    pub fn seeded(seed: u64) -> Self {
        Self::view(Arc::new(Mutex::new(World::new(seed))))
    }

    fn view(world: Arc<Mutex<World>>) -> Self {
        let process = lock(&world).begin_process();
        Self { world, process, handles: Arc::default() }
    }

    /// The same disk as another process sees it, with locks of its own: a shared file system.
    #[must_use]
    pub fn another_process(&self) -> Self {
        Self::view(Arc::clone(&self.world))
    }

    /// Ends this process as `kill -9` does: what it wrote stays, its locks go. Returns the process after it.
    #[must_use]
    pub fn kill(&self) -> Self {
        let handles: Vec<(u64, u64)> = std::mem::take(&mut *lock(&self.handles)).into_iter().collect();
        lock(&self.world).end_process(self.process, &handles);
        self.another_process()
    }

    /// Cuts the power for all processes and chooses what survives. Returns the first process after it. Faults and
    /// capacity stay.
    #[must_use]
    pub fn crash(&self, crash: Crash) -> Self {
        lock(&self.world).crash(crash);
        Self::view(Arc::clone(&self.world))
    }

    /// An independent copy, without processes or locks, to try several crashes from the same state.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut world = lock(&self.world).clone();
        world.restart();
        Self::view(Arc::new(Mutex::new(world)))
    }

    /// An independent copy after a power failure.
    #[must_use]
    pub fn fork_crashed(&self, crash: Crash) -> Self {
        let mut world = lock(&self.world).clone();
        world.crash(crash);
        Self::view(Arc::new(Mutex::new(world)))
    }

    /// Cuts the power during the `nth` change from now (1 is the next): that one takes effect without being safe,
    /// nobody hears of it, and everything after it fails until [`SimDisk::crash`].
    pub fn power_off_at(&self, nth: u64) {
        let mut world = lock(&self.world);
        world.power_off_at = Some(world.changes + nth.max(1));
    }

    /// Changes so far: creations, writes, syncs, removals, renames and so on, of all processes. Run once to count,
    /// then again with [`SimDisk::power_off_at`] each of them.
    pub fn changes(&self) -> u64 {
        lock(&self.world).changes
    }

    /// How often an operation was called.
    pub fn count(&self, kind: OpKind) -> u64 {
        lock(&self.world).counts.get(&kind).copied().unwrap_or(0)
    }

    /// Plans a failure.
    pub fn plan(&self, fault: Fault) {
        lock(&self.world).faults.push(fault);
    }

    /// Forgets all planned failures.
    pub fn heal(&self) {
        lock(&self.world).faults.clear();
    }

    /// Frees every lock while its holders go on, as a lock service does that takes a paused holder for dead.
    pub fn forget_locks(&self) {
        lock(&self.world).forget_locks();
    }

    /// Limits the lengths of all files together; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        lock(&self.world).capacity = bytes;
    }

    /// The lengths of all files together, unlinked ones included as long as somebody has them open.
    pub fn used_bytes(&self) -> u64 {
        lock(&self.world).used()
    }

    /// Flips bits of a stored byte, safe or not: a medium that decays.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn flip_bits(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut world = lock(&self.world);
        let inode = find(&mut world, &absolute(path))?;
        world.flip(inode, offset, mask)
    }

    fn admit(&self, world: &mut World, kind: OpKind, path: &Path) -> io::Result<bool> {
        match world.admit(self.process, kind, path) {
            Verdict::Go => Ok(true),
            Verdict::PowerCut => Ok(false),
            Verdict::Fail(error) => Err(error),
            Verdict::Gone => Err(dead()),
        }
    }
}

/// Success, unless the power went meanwhile.
fn heard(powered: bool) -> io::Result<()> {
    if powered { Ok(()) } else { Err(dead()) }
}

fn absolute(path: &Path) -> PathBuf {
    let mut absolute = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => absolute.push(name),
            Component::ParentDir => {
                absolute.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    absolute
}

/// Folder and name of a path.
fn split(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => Ok((folder.to_owned(), PathBuf::from(name))),
        _ => Err(io::Error::new(io::ErrorKind::IsADirectory, format!("{} is a folder", path.display()))),
    }
}

fn find(world: &mut World, path: &Path) -> io::Result<u64> {
    let (folder, name) = split(path)?;
    world.folder(&folder)?.now.get(&name).copied().ok_or_else(|| not_found(path))
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let path = absolute(path);
        let (folder, name) = split(&path)?;
        let world = &mut *lock(&self.world);
        let found = world.folders.get(&folder).and_then(|folder| folder.now.get(&name).copied());
        let makes = found.is_none() && matches!(mode, OpenMode::CreateNew | OpenMode::CreateOrKeep);
        let powered = self.admit(world, if makes { OpKind::Create } else { OpKind::Open }, &path)?;
        let inode = match found {
            Some(_) if mode == OpenMode::CreateNew => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("{} exists", path.display()),
                ));
            }
            Some(inode) => inode,
            None if makes => {
                world.folder(&folder)?;
                let inode = world.fresh_id();
                world.inodes.insert(inode, Default::default());
                world.change_names(&folder, NameOp::Link { name, inode })?;
                inode
            }
            None => return Err(not_found(&path)),
        };
        heard(powered)?;
        let handle = world.fresh_id();
        world.opened(inode);
        lock(&self.handles).insert((inode, handle));
        Ok(Arc::new(SimFile { disk: self.clone(), inode, handle, path, writable: mode != OpenMode::Read }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let path = absolute(folder);
        let mut world = lock(&self.world);
        self.admit(&mut world, OpKind::List, &path)?;
        // Answers in the caller's own spelling, as the system does.
        let mut names: Vec<PathBuf> = world.folder(&path)?.now.keys().map(|name| folder.join(name)).collect();
        names.extend(
            world
                .folders
                .keys()
                .filter(|inner| inner.parent() == Some(&path))
                .filter_map(|inner| inner.file_name().map(|name| folder.join(name))),
        );
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        let path = absolute(folder);
        let mut world = lock(&self.world);
        if world.folders.contains_key(&path) {
            return self.admit(&mut world, OpKind::Open, &path).map(drop);
        }
        let powered = self.admit(&mut world, OpKind::Create, &path)?;
        if powered {
            for ancestor in path.ancestors() {
                world.folders.entry(ancestor.to_owned()).or_default();
            }
        }
        heard(powered)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = absolute(path);
        let (folder, name) = split(&path)?;
        let mut world = lock(&self.world);
        let powered = self.admit(&mut world, OpKind::Remove, &path)?;
        find(&mut world, &path)?;
        world.change_names(&folder, NameOp::Unlink { name })?;
        heard(powered)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (absolute(from), absolute(to));
        let (from_folder, from_name) = split(&from)?;
        let (to_folder, to_name) = split(&to)?;
        let mut world = lock(&self.world);
        let powered = self.admit(&mut world, OpKind::Rename, &from)?;
        let inode = find(&mut world, &from)?;
        if from_folder == to_folder {
            world.change_names(&from_folder, NameOp::Rename { from: from_name, to: to_name, inode })?;
        } else {
            world.change_names(&to_folder, NameOp::Link { name: to_name, inode })?;
            world.change_names(&from_folder, NameOp::Unlink { name: from_name })?;
        }
        heard(powered)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        let path = absolute(folder);
        let mut world = lock(&self.world);
        match world.admit(self.process, OpKind::SyncDir, &path) {
            Verdict::Go => {
                world.sync_names(&path)?;
                world.forget_unreachable();
                Ok(())
            }
            Verdict::PowerCut | Verdict::Gone => Err(dead()),
            Verdict::Fail(error) => {
                world.sync_names_badly(&path)?;
                Err(error)
            }
        }
    }

    fn sync_files(&self, files: &[Arc<dyn DiskFile>]) -> io::Result<()> {
        *lock(&self.world).counts.entry(OpKind::SyncFiles).or_default() += 1;
        files.iter().try_for_each(|file| file.sync())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let world = lock(&self.world);
        // Without a limit: something large that still adds up without overflow.
        Ok(world.capacity.map_or(1 << 50, |capacity| capacity.saturating_sub(world.used())))
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    handle: u64,
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    fn change(&self, kind: OpKind, op: DataOp) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} is open to read", self.path.display()),
            ));
        }
        let mut world = lock(&self.disk.world);
        let verdict = world.admit(self.disk.process, kind, &self.path);
        let (failure, full) = match verdict {
            Verdict::Fail(error) => (Some(error), false),
            Verdict::Gone => return Err(dead()),
            Verdict::PowerCut => (Some(dead()), false),
            Verdict::Go => (None, !world.has_room(self.inode, op.end())?),
        };
        // A write that finds no room, or fails, leaves a part; a reservation leaves nothing.
        match (failure, full, op) {
            (None, false, op) => world.change_data(self.inode, op),
            (None, true, DataOp::Write { offset, bytes }) => {
                let room = self.disk_room(&mut world, offset, bytes.len())?;
                world.change_data(self.inode, DataOp::Write { offset, bytes: bytes[..room].into() })?;
                Err(FaultError::Enospc.into())
            }
            (Some(error), _, DataOp::Write { offset, bytes }) => {
                let part = world.part_of(bytes.len());
                world.change_data(self.inode, DataOp::Write { offset, bytes: bytes[..part].into() })?;
                Err(error)
            }
            (None, true, _) => Err(FaultError::Enospc.into()),
            (Some(error), _, _) => Err(error),
        }
    }

    /// How much of a write at `offset` still fits.
    fn disk_room(&self, world: &mut World, offset: u64, wanted: usize) -> io::Result<usize> {
        let free = world.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(world.used()));
        let end = world.inode(self.inode)?.now.len().saturating_add(free);
        Ok(usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).min(wanted))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if lock(&self.disk.handles).remove(&(self.inode, self.handle)) {
            lock(&self.disk.world).closed(self.disk.process, self.inode, self.handle);
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = lock(&self.disk.world);
        self.disk.admit(&mut world, OpKind::Read, &self.path)?;
        Ok(world.inode(self.inode)?.now.read(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(OpKind::Write, DataOp::Write { offset, bytes: bytes.into() })
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = lock(&self.disk.world);
        match world.admit(self.disk.process, OpKind::Sync, &self.path) {
            Verdict::Go => world.sync(self.inode),
            Verdict::PowerCut | Verdict::Gone => Err(dead()),
            Verdict::Fail(error) => {
                world.sync_badly(self.inode)?;
                Err(error)
            }
        }
    }

    fn len(&self) -> io::Result<u64> {
        let mut world = lock(&self.disk.world);
        self.disk.admit(&mut world, OpKind::Read, &self.path)?;
        Ok(world.inode(self.inode)?.now.len())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.change(OpKind::Allocate, DataOp::Allocate(bytes))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(OpKind::SetLen, DataOp::SetLen(bytes))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut world = lock(&self.disk.world);
        self.disk.admit(&mut world, OpKind::Lock, &self.path)?;
        let holder = &mut world.inode(self.inode)?.locked_by;
        Ok(*holder.get_or_insert(self.handle) == self.handle)
    }

    fn try_lock_at(&self, place: u64) -> io::Result<bool> {
        let mut world = lock(&self.disk.world);
        self.disk.admit(&mut world, OpKind::Lock, &self.path)?;
        let holder = world.inode(self.inode)?.places_locked_by.entry(place);
        Ok(*holder.or_insert(self.handle) == self.handle)
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        match find(&mut lock(&self.disk.world), &absolute(path)) {
            Ok(inode) => Ok(inode == self.inode),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

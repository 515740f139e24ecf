//! [`JournalFollower`]: a store that was opened and not claimed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Clock, Disk, OpenMode};
use ferromq_model::Epoch;
use ferromq_store::{Budget, Claimed, Follower, Position, StoreError};

use crate::claim::Claims;
use crate::failure;
use crate::options::Options;
use crate::recovery;

/// The format of the folder as a whole: which files there are, and what their names mean.
pub(crate) const FORMAT: u32 = 1;

const MARKER: &str = "ferromq-store ";

/// Opens the store in `folder`, which need not exist yet. Nothing is written before it is claimed.
///
/// # Errors
/// The folder holds something else, or a store of a newer format, or can't be read.
pub fn open(
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    folder: &Path,
    options: Options,
) -> Result<Box<dyn Follower>, StoreError> {
    check_format(&*disk, folder)?;
    let (seen, _) = Claims::new(disk.clone(), folder).highest()?;
    let options = options.fitted(room(&*disk, folder));
    Ok(Box::new(JournalFollower { disk, clock, folder: folder.to_path_buf(), options, seen }))
}

/// What the store may ever occupy on its disk. What can't be measured is no reason for small segments.
fn room(disk: &dyn Disk, folder: &Path) -> u64 {
    let journal = folder.join("journal");
    let names = disk.list(&journal).unwrap_or_default();
    let length = |name: &PathBuf| disk.open(name, OpenMode::Read)?.len();
    let used: u64 = names.iter().filter_map(|name| length(name).ok()).sum();
    disk.free_bytes(folder).unwrap_or(u64::MAX).saturating_add(used)
}

/// A store that was opened and not claimed. It keeps nothing warm yet: a claim reads the last checkpoint and what
/// was written after it.
struct JournalFollower {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    options: Options,
    seen: Epoch,
}

impl Follower for JournalFollower {
    fn follow(&mut self, _: Budget) -> Result<Position, StoreError> {
        (self.seen, _) = Claims::new(self.disk.clone(), &self.folder).highest()?;
        Ok(Position(0))
    }

    fn claim(self: Box<Self>, epoch: Epoch) -> Result<Claimed, (Box<dyn Follower>, StoreError)> {
        let claimed =
            recovery::claim(self.disk.clone(), self.clock.clone(), &self.folder, self.options.clone(), epoch);
        claimed.map_err(|error| (self as Box<dyn Follower>, error))
    }

    fn seen_epoch(&self) -> Epoch {
        self.seen
    }
}

fn marker_path(folder: &Path) -> PathBuf {
    folder.join("format")
}

/// Whether the folder may be opened, and whether it has been a store before.
pub(crate) fn check_format(disk: &dyn Disk, folder: &Path) -> Result<bool, StoreError> {
    let path = marker_path(folder);
    let not_a_store = |reason: String| StoreError::NotAStore { store: folder.display().to_string(), reason };
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
            // Without the marker there must be nothing that looks like a journal, or it would be overlooked.
            return match disk.list(&folder.join("journal")) {
                Ok(names) if !names.is_empty() => {
                    Err(not_a_store(String::from("there is a journal, but the file `format` is missing")))
                }
                _ => Ok(false),
            };
        }
        Err(error) => return Err(failure::io("open", &path)(error)),
    };
    let mut bytes = [0; 64];
    let got = file.read_at(&mut bytes, 0).map_err(failure::io("read", &path))?;
    let text = String::from_utf8_lossy(bytes.get(..got).unwrap_or_default()).into_owned();
    let whole = format!("{MARKER}{FORMAT}\n");
    let begun = text.trim_end_matches('\0');
    if begun.len() < whole.len() && whole.starts_with(begun) {
        // A first start that lost power before the marker was safe has written nothing else.
        return Ok(false);
    }
    let number = text.strip_prefix(MARKER).and_then(|rest| rest.trim().parse::<u32>().ok());
    match number {
        Some(found) if found > FORMAT => {
            Err(StoreError::NewerFormat { store: folder.display().to_string(), found, known: FORMAT })
        }
        Some(_) => Ok(true),
        None => Err(not_a_store(format!("the file `format` says {text:?}"))),
    }
}

/// Makes the folder a store, safely, before anything else is written in it.
pub(crate) fn mark_format(disk: &dyn Disk, folder: &Path) -> Result<(), StoreError> {
    let path = marker_path(folder);
    let file = disk.open(&path, OpenMode::CreateOrKeep).map_err(failure::io("create", &path))?;
    file.write_at(format!("{MARKER}{FORMAT}\n").as_bytes(), 0).map_err(failure::io("write", &path))?;
    file.sync().map_err(failure::io("sync", &path))?;
    disk.sync_dir(folder).map_err(failure::io("sync", folder))
}

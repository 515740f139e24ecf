//! [`backup`]: copies a store while a broker runs on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq_env::{Disk, OpenMode};
use ferromq_journal::History;
use ferromq_model::Epoch;
use ferromq_store::{Position, StoreError};

use crate::claim::Claims;
use crate::failure;
use crate::inspect::Inspection;
use crate::marker::{self, StoreId};
use crate::recovery::again;

/// Copied at once.
const CHUNK: usize = 1 << 20;

/// How often a copy begins again because the broker removed what was being copied.
const ATTEMPTS: usize = 8;

/// What was copied.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Which store it is a copy of.
    pub id: Option<StoreId>,
    /// The highest epoch that it knows. A node that knows a higher one of the same store must refuse it.
    pub epoch: Epoch,
    /// Where it ends; a node that has seen more of the same epoch must refuse it.
    pub position: Position,
    /// Messages in it.
    pub messages: u64,
    /// Bytes that were copied.
    pub bytes: u64,
}

/// Copies the store `from` into the folder `to`, which must not exist or be empty. The store is only read, and may be
/// written meanwhile: the copy holds every batch that was durable when the call began. It is synced and verified.
///
/// # Errors
/// There is no store, `to` is not empty, a record of the store or of the copy is damaged, or the medium failed.
pub fn backup(disk: &Arc<dyn Disk>, from: &Path, to: &Path) -> Result<Backup, StoreError> {
    let busy = disk.list(to).is_ok_and(|names| !names.is_empty());
    if busy {
        let reason = String::from("it is not empty; name a folder that does not exist yet");
        return Err(StoreError::NotAStore { store: to.display().to_string(), reason });
    }
    let mut bytes = None;
    for _ in 0..ATTEMPTS {
        bytes = copy(disk, from, to)?;
        if bytes.is_some() {
            break;
        }
        clear(&**disk, to)?;
    }
    let Some(bytes) = bytes else {
        return Err(StoreError::Io {
            action: "copy",
            path: from.display().to_string(),
            source: std::io::Error::other(
                "the broker removes files faster than they can be copied; try again",
            ),
        });
    };
    let copy = Inspection::open(disk.clone(), to)?;
    let found = copy.verify(|_| ())?;
    let wrong = found.damaged.iter().chain(&found.unreadable).next();
    if let Some(wrong) = wrong {
        return Err(StoreError::Damaged { place: to.display().to_string(), reason: wrong.reason.clone() });
    }
    let epoch = copy.ls().claimed;
    Ok(Backup { id: copy.mark().id, epoch, position: copy.position(), messages: found.messages, bytes })
}

/// One attempt; `None` if what was copied first may not fit what was copied last.
fn copy(disk: &Arc<dyn Disk>, from: &Path, to: &Path) -> Result<Option<u64>, StoreError> {
    let claims = Claims::new(disk.clone(), from);
    let disk = &**disk;
    let no_store = || StoreError::NotAStore {
        store: from.display().to_string(),
        reason: String::from("the file `format` is missing"),
    };
    let mark = marker::read(disk, from, marker::FORMAT)?.ok_or_else(no_store)?;
    let mut bytes = 0;
    // Checkpoints first: the journal that is read later reaches behind them. Of what it has lost below them nothing
    // is needed, as long as the newest one is still there in the end.
    let mut copied = BTreeSet::new();
    for folder in ["meta", "index"] {
        disk.create_dir_all(&to.join(folder)).map_err(failure::io("make", &to.join(folder)))?;
        for path in names(disk, &from.join(folder))? {
            if let Some(count) = copy_file(disk, &path, &to.join(folder), None)? {
                bytes += count;
                copied.insert(path);
            }
        }
    }
    let survey = || {
        let mut history = History::survey_with(disk, &from.join("journal"), &|number| claims.id_of(number))
            .map_err(failure::journal)?;
        history.settle(disk).map_err(failure::journal)?;
        Ok(history)
    };
    let history = again(survey)?;
    let journal = to.join("journal");
    disk.create_dir_all(&journal).map_err(failure::io("make", &journal))?;
    for segment in &history.segments {
        match copy_file(disk, &segment.path, &journal, Some(u64::from(segment.end())))? {
            Some(count) => bytes += count,
            None => return Ok(None),
        }
    }
    disk.create_dir_all(&to.join("claims")).map_err(failure::io("make", &to.join("claims")))?;
    for path in names(disk, &from.join("claims"))? {
        bytes += copy_file(disk, &path, &to.join("claims"), None)?.unwrap_or(0);
    }
    let newest = copied.iter().rfind(|path| path.extension().is_some_and(|extension| extension == "meta"));
    let stands = match newest {
        Some(path) => disk.open(path, OpenMode::Read).is_ok(),
        None => names(disk, &from.join("meta"))?.is_empty(),
    };
    if !stands {
        return Ok(None);
    }
    for folder in ["meta", "index", "journal", "claims"] {
        let folder = to.join(folder);
        disk.sync_dir(&folder).map_err(failure::io("sync", &folder))?;
    }
    // Last of all: without it nobody takes the folder for a store.
    marker::write(disk, to, OpenMode::CreateNew, mark)?;
    Ok(Some(bytes))
}

fn names(disk: &dyn Disk, folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match disk.list(folder) {
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(failure::io("list", folder)),
    }
}

/// Copies a file, or its first bytes, and syncs the copy; `None` if it is gone.
fn copy_file(disk: &dyn Disk, from: &Path, to: &Path, upto: Option<u64>) -> Result<Option<u64>, StoreError> {
    let source = match disk.open(from, OpenMode::Read) {
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failure::io("open", from))?,
    };
    let path = to.join(from.file_name().unwrap_or_default());
    let target = disk.open(&path, OpenMode::CreateNew).map_err(failure::io("create", &path))?;
    let end = upto.unwrap_or(u64::MAX);
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let part = chunk.get_mut(..want).unwrap_or_default();
        let got = source.read_at(part, at).map_err(failure::io("read", from))?;
        if got == 0 {
            break;
        }
        target.write_at(part.get(..got).unwrap_or_default(), at).map_err(failure::io("write", &path))?;
        at += got as u64;
    }
    target.sync().map_err(failure::io("sync", &path))?;
    Ok(Some(at))
}

/// Removes what an attempt has made.
fn clear(disk: &dyn Disk, to: &Path) -> Result<(), StoreError> {
    for folder in ["meta", "index", "journal", "claims"] {
        for path in names(disk, &to.join(folder))? {
            failure::removed(disk.remove(&path), &path)?;
        }
    }
    Ok(())
}

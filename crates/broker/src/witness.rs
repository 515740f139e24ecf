//! [`Witness`]: what this machine remembers of a store, in a small file of its own, so that a copy of the store that is
//! older than what it has seen is not taken for the store.
//!
//! The file stands in `$FERROMQ_STATE_DIR`, else in `$XDG_STATE_HOME/ferromq`, else in `~/.local/state/ferromq`, and
//! carries the store's id as its name. It is written when the epoch changes, by masters and standbys alike.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ferromq_env::SystemDisk;
use ferromq_model::{ClaimId, Epoch};

use crate::storage::DATABASE;
use crate::{Settings, StartError, StoreChoice};

/// More stores than a machine has; what was written longest ago is forgotten.
const REMEMBERED: usize = 128;
/// A note is some dozen bytes.
const MAX_NOTE_BYTES: u64 = 4 * 1024;

/// The memory of one machine and user, for the store in one folder.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    folder: PathBuf,
    data: PathBuf,
    store: StoreChoice,
}

impl Witness {
    /// `None` where there is nothing to remember, or no place for it.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let folder = folder_here()?;
        let remembers = matches!(settings.store, StoreChoice::Journal | StoreChoice::Sqlite);
        remembers.then(|| Self { folder, data: settings.data.clone(), store: settings.store })
    }

    /// Refuses a store that knows less than this machine has seen of it; `found`: the highest epoch that it shows.
    pub(crate) fn check(&self, found: Epoch) -> Result<(), StartError> {
        let Some(path) = self.path() else { return Ok(()) };
        let Some(known) = read(&path) else { return Ok(()) };
        let other = found.number == known.number && found.claim != known.claim && found.claim != ClaimId(0);
        if found.number >= known.number && !other {
            return Ok(());
        }
        Err(StartError::OlderCopy {
            path: self.data.clone(),
            found: found.number,
            known: known.number,
            witness: path,
        })
    }

    /// Remembers the highest epoch that was seen.
    pub(crate) fn note(&self, epoch: Epoch) {
        let Some(path) = self.path() else { return };
        if read(&path).is_some_and(|known| known.number >= epoch.number) {
            return;
        }
        let note = format!("epoch {} claim {:016x}\n", epoch.number, epoch.claim.0);
        if let Err(error) = write(&path, &note) {
            tracing::warn!(
                %error, file = %path.display(),
                "the epoch can't be remembered; an older copy of the store would not be noticed by this machine"
            );
        }
    }

    /// A store without an id has no history either.
    fn path(&self) -> Option<PathBuf> {
        if self.store == StoreChoice::Sqlite {
            let id = ferromq_store_sqlite::store_id(&self.data.join(DATABASE)).ok()??;
            return Some(self.folder.join(format!("sqlite-{id}")));
        }
        let mark = ferromq_store_journal::mark(&SystemDisk, &self.data).ok()??;
        Some(self.folder.join(mark.id?.to_string()))
    }
}

/// Writes a note, and makes the folder if need be.
pub(crate) fn write(path: &Path, note: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)?;
    // Whole or not there, for whoever reads it meanwhile.
    let unfinished = path.with_extension(std::process::id().to_string());
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(note.as_bytes())?;
    // Or a machine that loses power is left with a name and nothing in it.
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    forget(folder)
}

/// What a note says; `None` if there is none. One that is there and can't be read is told, for it guards nothing.
pub(crate) fn read_note<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    try_note(path, parse).unwrap_or_else(|error| {
        tracing::warn!(
            %error, file = %path.display(),
            "what this machine remembers of the store can't be read; an older copy of it is not noticed"
        );
        None
    })
}

/// As [`read_note`], and tells nobody.
pub(crate) fn try_note<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> io::Result<Option<T>> {
    let no_note = |reason| io::Error::new(ErrorKind::InvalidData, reason);
    let found = fs::symlink_metadata(path).and_then(|there| {
        if there.len() > MAX_NOTE_BYTES {
            return Err(no_note("it is too long for a note"));
        }
        parse(&fs::read_to_string(path)?).ok_or_else(|| no_note("it is no note"))
    });
    match found {
        Ok(note) => Ok(Some(note)),
        Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where this machine keeps its notes.
pub(crate) fn folder_here() -> Option<PathBuf> {
    folder(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

/// Where notes are kept.
fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(chosen) = variable("FERROMQ_STATE_DIR") {
        return Some(PathBuf::from(chosen));
    }
    let state = variable("XDG_STATE_HOME").map(PathBuf::from);
    let home = || variable("HOME").map(|home| Path::new(&home).join(".local").join("state"));
    Some(state.or_else(home)?.join("ferromq"))
}

/// `None` if there is no note, or none that can be read.
fn read(path: &Path) -> Option<Epoch> {
    read_note(path, |text| {
        let mut words = text.split_whitespace();
        let mut value = |name| (words.next()? == name).then(|| words.next())?;
        let number = value("epoch")?.parse().ok()?;
        let claim = u64::from_str_radix(value("claim")?, 16).ok()?;
        Some(Epoch { number, claim: ClaimId(claim) })
    })
}

/// Removes the notes of long ago, and nothing else that stands in the folder: it may be somebody's own.
fn forget(folder: &Path) -> io::Result<()> {
    let mut notes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(is_note) {
            continue;
        }
        let changed = entry.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        notes.push((changed, entry.path()));
    }
    notes.sort();
    let surplus = notes.len().saturating_sub(REMEMBERED);
    for (_, path) in notes.into_iter().take(surplus) {
        // Somebody else may have forgotten it as well.
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// Whether a file of this name is a note, or one that came to nothing: the kind of a store, its id, and the number of a process.
fn is_note(name: &str) -> bool {
    let (named, process) = name.split_once('.').unwrap_or((name, "0"));
    let id = ["sqlite-", "postgres-"].iter().find_map(|kind| named.strip_prefix(kind)).unwrap_or(named);
    let of_id = |letter: u8| letter.is_ascii_hexdigit() || letter == b'-';
    id.len() >= 16 && id.bytes().all(of_id) && process.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_stand_where_the_environment_says() {
        let all = |name: &str| Some(OsString::from(format!("/{name}")));
        assert_eq!(folder(all), Some(PathBuf::from("/FERROMQ_STATE_DIR")));
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/me"));
        assert_eq!(folder(home), Some(PathBuf::from("/home/me/.local/state/ferromq")));
        assert_eq!(folder(|_| None), None);
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        write(&path, "epoch 7 claim 0000000000000abc\n").unwrap();
        assert_eq!(read(&path), Some(Epoch { number: 7, claim: ClaimId(0xabc) }));
        for text in ["", "epoch", "epoch x claim 1", "claim 1 epoch 2"] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path), None, "{text}");
        }
    }

    #[test]
    fn what_is_too_much_is_forgotten_and_what_is_no_note_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let others = ["ferromq.xml", "cafe", "sqlite-", "key.pem", "0123456789abcdef.bak"];
        for name in others {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        for number in 0..REMEMBERED + 5 {
            let kind = ["", "sqlite-", "postgres-"][number % 3];
            fs::write(folder.path().join(format!("{kind}{number:016x}")), "x").unwrap();
        }
        fs::write(folder.path().join("postgres-0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f.4711"), "x").unwrap();
        forget(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), others.len() + REMEMBERED);
        assert!(others.iter().all(|name| folder.path().join(name).exists()));
    }
}

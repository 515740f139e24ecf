//! [`DatabaseMemory`]: what this machine remembers of a database, in a small file of its own, so that one that forgot
//! what it had acknowledged is noticed by whoever had seen more, even if nobody was running when it happened.
//!
//! The file stands beside those of [`crate::witness`] and carries the store's id as its name.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ferromq_store_postgres::{HighWater, Memory};

use crate::witness;

/// What was seen of one database, and what of it is on the disk.
#[derive(Debug, Default)]
pub(crate) struct DatabaseMemory {
    /// None where there is no place for it.
    folder: Option<PathBuf>,
    seen: Mutex<Option<HighWater>>,
    saved: Mutex<Option<HighWater>>,
    /// Held while the file is read and written, and for nothing else: the disk may take its time, and who commits or looks
    /// must not wait for it. Whether the last try failed: that is told once, and once that it works again.
    writing: Mutex<bool>,
}

impl DatabaseMemory {
    /// That of this machine and user.
    pub(crate) fn of_this_machine() -> Self {
        Self { folder: witness::folder_here(), ..Self::default() }
    }

    fn path(&self, store: &str) -> Option<PathBuf> {
        let named = !store.is_empty() && store.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        Some(self.folder.as_ref()?.join(format!("postgres-{store}"))).filter(|_| named)
    }

    /// The id of the store that was seen.
    pub(crate) fn store(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|mark| mark.store.clone())
    }

    /// Whether there is something to save. Never waits for the disk.
    pub(crate) fn is_behind(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen != *self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was seen, unless the file knows more. The disk may take its time.
    pub(crate) fn save(&self) {
        let mut failing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        let Some(path) = self.path(&seen.store) else { return };
        // Nodes of one machine share the file. What can't be read there guards nothing, and is replaced.
        let there = witness::try_note(&path, parse).unwrap_or(None).filter(|there| there.store == seen.store);
        let written = match there {
            Some(there) if !seen.is_beyond(&there) => Ok(()),
            _ => witness::write(&path, &format!("{seen}\n")),
        };
        let (file, before) = (path.display(), std::mem::replace(&mut *failing, written.is_err()));
        match written {
            Ok(()) if before => tracing::info!(%file, "what is seen of the database is remembered again"),
            Ok(()) => {}
            Err(error) => {
                if !before {
                    tracing::warn!(
                        %error, %file,
                        "what was seen of the database can't be remembered; one that forgets would not be noticed at the \
                         next start. It is tried again, and this is told once: is the disk full?"
                    );
                }
                return;
            }
        }
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

fn parse(note: &str) -> Option<HighWater> {
    note.trim_end().parse().ok()
}

impl Memory for DatabaseMemory {
    fn recall(&self, store: &str) -> Option<HighWater> {
        let mark = witness::read_note(&self.path(store)?, parse)?;
        (mark.store == store).then_some(mark)
    }

    fn saw(&self, mark: &HighWater) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *seen {
            // Many times a second only this changes.
            Some(seen) if seen.store == mark.store && seen.claim == mark.claim => {
                (seen.epoch, seen.commits, seen.timeline) = (mark.epoch, mark.commits, mark.timeline);
            }
            other => *other = Some(mark.clone()),
        }
    }

    fn place(&self, store: &str) -> String {
        self.path(store).map_or_else(|| "no file".to_owned(), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(commits: u64) -> HighWater {
        HighWater { store: "a0-b1".to_owned(), epoch: 4, claim: 7, commits, timeline: 1 }
    }

    fn memory(folder: &std::path::Path) -> DatabaseMemory {
        DatabaseMemory { folder: Some(folder.to_owned()), ..DatabaseMemory::default() }
    }

    #[test]
    fn what_was_seen_outlives_the_process_and_never_becomes_less() {
        let folder = tempfile::tempdir().unwrap();
        let here = memory(folder.path());
        assert!(!here.is_behind() && here.recall("a0-b1").is_none());
        here.saw(&mark(10));
        here.saw(&mark(12));
        assert!(here.is_behind());
        here.save();
        assert!(!here.is_behind());
        let later = memory(folder.path());
        assert_eq!(later.recall("a0-b1"), Some(mark(12)));
        // Another node of this machine that is a look behind.
        later.saw(&mark(11));
        later.save();
        assert_eq!(here.recall("a0-b1"), Some(mark(12)));
        assert!(here.recall("../a0").is_none() && later.recall("c2").is_none());
        assert!(here.place("a0-b1").ends_with("postgres-a0-b1"));
    }

    #[test]
    fn nobody_who_commits_or_looks_waits_for_a_disk_that_hangs() {
        let folder = tempfile::tempdir().unwrap();
        let here = std::sync::Arc::new(memory(folder.path()));
        here.saw(&mark(10));
        // A pipe that nobody writes to, in place of a file on a disk that does not answer.
        let file = folder.path().join("postgres-a0-b1");
        let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
        assert!(made.success());
        let saving = std::thread::spawn({
            let here = std::sync::Arc::clone(&here);
            move || here.save()
        });
        while here.writing.try_lock().is_ok() {
            std::thread::yield_now();
        }
        let (told, answers) = std::sync::mpsc::channel();
        std::thread::spawn({
            let here = std::sync::Arc::clone(&here);
            move || {
                let behind = here.is_behind();
                here.saw(&mark(11));
                told.send(behind)
            }
        });
        let answer = answers.recv_timeout(std::time::Duration::from_secs(10));
        // The disk answers again: what it has is no mark, and is replaced.
        std::fs::write(&file, "").unwrap();
        saving.join().unwrap();
        assert_eq!(answer, Ok(true));
        assert!(here.is_behind(), "what was seen meanwhile is not saved yet");
    }
}

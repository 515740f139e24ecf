//! The contest: a second process tries to take what the first one holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::exit::{Exit, Failure, Outcome};

/// What the second process is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the contest
    folder: PathBuf,
}

/// What the second process could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcomes {
    /// It got the lock.
    pub(super) lock: bool,
    /// It made the file.
    pub(super) creation: bool,
}

/// The file that is locked.
pub(super) const LOCK: &str = "lock";

/// The file that exists.
pub(super) const CLAIM: &str = "claim";

/// The second process: tries both, and says what came of it.
pub(crate) fn second(args: &Args) -> Outcome {
    let failed = |error: io::Error| Failure::new(Exit::Io, error);
    let lock = try_lock(&args.folder.join(LOCK)).map_err(failed)?.is_some();
    let creation = try_create(&args.folder.join(CLAIM)).map_err(failed)?;
    println!("lock {lock} creation {creation}");
    Ok(())
}

/// The lock on a file that exists; `None` if somebody has it.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Makes a file unless it exists, as a claim is made.
fn try_create(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lets a second process of this program try.
pub(super) fn challenge(folder: &Path) -> io::Result<Outcomes> {
    let program = std::env::current_exe()?;
    let output = Command::new(program)
        .arg("contest")
        .arg(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        ["lock", lock, "creation", creation] if output.status.success() => {
            Ok(Outcomes { lock: lock == "true", creation: creation == "true" })
        }
        _ => Err(io::Error::other(format!(
            "the second process failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

//! How the program ends: exit codes as in `sysexits.h`, and the last words on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

/// Why the program could not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Messages were lost where none may be.
    Wrong = 1,
    /// Nobody that was asked is active.
    NotActive = 3,
    /// Wrong command line or configuration.
    Usage = 64,
    /// A broker can't be reached, or a port is taken.
    Unavailable = 69,
    /// The program is wrong.
    Software = 70,
    /// A folder or file can't be made, locked or understood.
    CantCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// A node does not take commands from here.
    NoPermission = 77,
    /// Ended by Ctrl-C.
    Interrupted = 130,
}

/// An error with the exit code that it deserves.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code.
    pub(crate) exit: Exit,
    /// Reason and remedy.
    pub(crate) text: String,
}

impl Failure {
    /// A failure that says why.
    pub(crate) fn new(exit: Exit, text: impl ToString) -> Self {
        Self { exit, text: text.to_string() }
    }
}

/// What a verb comes to.
pub(crate) type Outcome = Result<(), Failure>;

/// Says what went wrong, if anything, and chooses the code.
pub(crate) fn report(outcome: Outcome) -> ExitCode {
    let heard = crate::logs::drained();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { exit, text }) => {
            // Where nobody reads, the end does not wait either.
            if heard && !text.is_empty() {
                // The code tells who does not read it.
                let _ = writeln!(io::stderr(), "ferromq: {text}");
            }
            ExitCode::from(exit as u8)
        }
    }
}

/// Prints on standard output. Who stops reading, as `head` does, has read enough.
pub(crate) fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("standard output can't be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says a line on standard error; whether anybody reads it changes nothing.
pub(crate) fn warn(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Shows help, version or what is wrong with the command line.
pub(crate) fn from_usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a terminal that can't be written to.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(Exit::Usage as u8) } else { ExitCode::SUCCESS }
}

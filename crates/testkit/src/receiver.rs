//! [`Receiver`]: a consumer in a process of its own.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::{Lines, PATIENCE};

/// `ferromq receive`; killed when dropped.
#[derive(Debug)]
pub struct Receiver {
    child: Child,
    lines: Lines,
}

impl Receiver {
    /// Takes messages of a destination from the broker at `url`.
    ///
    /// # Panics
    /// The program can't be run.
    pub fn new(program: impl AsRef<OsStr>, url: &str, destination: &str, options: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(["receive", "--url", url])
            .args(options)
            .arg(destination)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ferromq can be run");
        let lines = Lines::capture(child.stdout.take().expect("standard output is piped"));
        Self { child, lines }
    }

    /// Whether so many messages came in time.
    pub fn wait_for(&self, count: usize) -> bool {
        self.lines.wait_until(PATIENCE, |lines| (lines.len() >= count).then_some(())).is_some()
    }

    /// Waits until it has acknowledged what it was asked to take, and ended: one that is killed after it has written a
    /// message, and before it has acknowledged it, leaves it to be delivered again.
    ///
    /// # Panics
    /// It does not end in time, or with a failure.
    pub fn done(mut self) -> Vec<String> {
        assert!(self.lines.wait_for_end(PATIENCE), "it does not end");
        assert!(self.child.wait().expect("a child is waited for").success());
        self.lines.all()
    }

    /// What it writes: a line for each message.
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Sends a signal: one that is stopped (`SIGSTOP`) takes what its window has room for, and answers for none of it.
    ///
    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .expect("it runs");
    }

    /// What came so far.
    pub fn all(&self) -> Vec<String> {
        self.lines.all()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! [`Node`]: a running broker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Lines, PATIENCE, Refused};

const READY: &str = "listening on ";

/// A broker process; killed when dropped.
#[derive(Debug)]
pub struct Node {
    child: Child,
    data: PathBuf,
    urls: Vec<String>,
    output: Lines,
    log: Lines,
    /// Removed when the node is gone.
    _folder: Option<TempDir>,
}

impl Node {
    pub(crate) fn new(
        child: Child,
        data: PathBuf,
        folder: Option<TempDir>,
        output: Lines,
        log: Lines,
    ) -> Self {
        Self { child, data, urls: Vec::new(), output, log, _folder: folder }
    }

    /// Waits until so many listeners are announced.
    pub(crate) fn wait_until_ready(&mut self, listeners: usize, patience: Duration) -> bool {
        let urls = self.output.wait_until(patience, |lines| {
            let urls: Vec<String> =
                lines.iter().filter_map(|line| line.strip_prefix(READY)).map(str::to_owned).collect();
            (urls.len() >= listeners).then_some(urls)
        });
        urls.map(|urls| self.urls = urls).is_some()
    }

    /// The end of a start that failed.
    pub(crate) fn refusal(mut self) -> Refused {
        if !self.output.wait_for_end(Duration::ZERO) {
            let _ = self.child.kill();
        }
        let status = self.child.wait();
        self.log.wait_for_end(PATIENCE);
        Refused { code: status.ok().and_then(|status| status.code()), said: self.log.all().join("\n") }
    }

    /// Where it listens first: `tcp://127.0.0.1:12345`.
    pub fn url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }

    /// Where it listens.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The socket address behind [`Node::url`].
    ///
    /// # Panics
    /// It listens on a name instead of an address.
    pub fn address(&self) -> SocketAddr {
        let authority = self.url().split_once("://").map_or("", |(_, rest)| rest);
        authority.parse().unwrap_or_else(|error| panic!("{authority:?}: {error}"))
    }

    /// Its folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it writes to standard error.
    pub fn log(&self) -> &Lines {
        &self.log
    }

    /// What it writes to standard output.
    pub fn output(&self) -> &Lines {
        &self.output
    }

    /// Waits until it says that it is in this role, such as `active (epoch 2`; the whole line.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn becomes(&self, role: &str) -> String {
        let said = self.output().wait_for(&format!("role {role}"), PATIENCE);
        said.unwrap_or_else(|| {
            panic!("not {role}: {:?}\n{}", self.output().all(), self.log().all().join("\n"))
        })
    }

    /// Each role that it has said to be in, in their order.
    pub fn roles(&self) -> Vec<String> {
        self.output().all().into_iter().filter(|line| line.starts_with("role ")).collect()
    }

    /// Bytes of memory that it occupies now; 0 if that can't be told.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }

    /// Asks it to end in order (SIGTERM), without waiting.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to end in order and waits for it.
    ///
    /// # Panics
    /// It takes longer than [`PATIENCE`].
    pub fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.wait(PATIENCE).expect("the broker ends within its patience")
    }

    /// Kills it (SIGKILL) and waits until it is gone; the folder stays if it was given.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until the process has ended.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + patience;
        // Its output ends with the process, so there is hardly anything left to poll for afterwards.
        self.output.wait_for_end(patience);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // A process that is gone needs none.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! [`Lines`]: output of a process, captured line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Captured lines; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads `output` to its end on a thread of its own.
    pub fn capture(output: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let into = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                into.lock().lines.push(line);
                into.shared.changed.notify_all();
            }
            into.lock().ended = true;
            into.shared.changed.notify_all();
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits for a line that contains `part`; `None` if the output ended or the time was over without one.
    pub fn wait_for(&self, part: &str, patience: Duration) -> Option<String> {
        self.wait_until(patience, |lines| lines.iter().find(|line| line.contains(part)).cloned())
    }

    /// Waits until `look` finds what it wants in the lines so far; `None` as for [`Lines::wait_for`].
    pub fn wait_until<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut(&[String]) -> Option<T>,
    ) -> Option<T> {
        self.wait(patience, |state| look(&state.lines))
    }

    /// Waits for the end of the output; whether it came.
    pub fn wait_for_end(&self, patience: Duration) -> bool {
        self.wait(patience, |state| state.ended.then_some(())).is_some()
    }

    fn wait<T>(&self, patience: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let mut found = None;
        let _unlocked = self
            .shared
            .changed
            .wait_timeout_while(self.lock(), patience, |state| {
                found = look(state);
                found.is_none() && !state.ended
            })
            .unwrap_or_else(PoisonError::into_inner);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_can_be_waited_for() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let lines = Lines::capture(reader);
        std::io::Write::write_all(&mut writer, b"one\nlistening on tcp://127.0.0.1:7\n").unwrap();
        let line = lines.wait_for("listening on", crate::PATIENCE);
        assert_eq!(line.as_deref(), Some("listening on tcp://127.0.0.1:7"));
        drop(writer);
        assert_eq!(lines.wait_for("never said", crate::PATIENCE), None);
        assert!(lines.wait_for_end(crate::PATIENCE));
        assert_eq!(lines.all().len(), 2);
    }
}

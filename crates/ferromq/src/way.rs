//! [`Way`]: the log's way out, on which whoever logs waits for nobody.
//!
//! Standard error may be a pipe whose reader stands still, and the engine logs in its turn. Lines wait in a queue of a bounded
//! length for a thread that writes them; those that find no room are counted, and their number stands where they are missing.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

/// Lines that may wait.
const MOST_LINES: usize = 4_096;
/// Of one line as much as this.
const MOST_BYTES: usize = 64 * 1024;

/// What waits to be written.
enum Entry {
    Line(Vec<u8>),
    /// Say so when everything before this is written.
    Mark(SyncSender<()>),
}

/// Takes lines, and has them written in their order.
#[derive(Clone)]
pub(crate) struct Way {
    /// `None` if there could be no thread: then lines are written by whoever logs.
    entries: Option<SyncSender<Entry>>,
    missing: Arc<AtomicU64>,
}

impl Way {
    /// A way to `end`.
    pub(crate) fn to(end: impl Write + Send + 'static) -> Self {
        let (entries, waiting) = mpsc::sync_channel(MOST_LINES);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&waiting, end));
        Self { entries: thread.is_ok().then_some(entries), missing: Arc::default() }
    }

    /// Waits until everything is written that was said before, but not for long; whether it is.
    pub(crate) fn drain(&self, patience: Duration) -> bool {
        let Some(entries) = &self.entries else { return true };
        let until = Instant::now() + patience;
        let (done, written) = mpsc::sync_channel(1);
        while entries.try_send(Entry::Mark(done.clone())).is_err() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        written.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok()
    }

    /// Says how many lines are missing before the one that follows.
    fn tell_missing(&self, entries: &SyncSender<Entry>) {
        let missing = self.missing.swap(0, Ordering::Relaxed);
        if missing == 0 {
            return;
        }
        let line =
            format!("ferromq: {missing} lines of the log are missing here: they were not read in time\n");
        if entries.try_send(Entry::Line(line.into_bytes())).is_err() {
            self.missing.fetch_add(missing, Ordering::Relaxed);
        }
    }
}

impl Write for Way {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let Some(entries) = &self.entries else { return io::stderr().write(line) };
        self.tell_missing(entries);
        let mut kept = line.get(..MOST_BYTES).unwrap_or(line).to_vec();
        if kept.len() < line.len() {
            kept.extend_from_slice(b" ...\n");
        }
        if entries.try_send(Entry::Line(kept)).is_err() {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(waiting: &Receiver<Entry>, mut end: impl Write) {
    for entry in waiting {
        // A line that can't be written has no better place.
        let _ = match entry {
            Entry::Line(line) => end.write_all(&line).ok(),
            Entry::Mark(done) => end.flush().ok().and_then(|()| done.try_send(()).ok()),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps what is written, as soon as it may.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
        }
    }

    #[test]
    fn lines_are_written_in_their_order_before_the_end() {
        let paper = Paper::default();
        let mut way = Way::to(paper.clone());
        for n in 0..100 {
            writeln!(way, "{n}").unwrap();
        }
        assert!(way.drain(Duration::from_secs(30)));
        assert_eq!(paper.lines(), (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn who_logs_waits_for_nobody_and_what_is_missing_is_told() {
        let paper = Paper::default();
        let mut way = Way::to(paper.clone());
        // Given a reader that stands still
        let still = paper.0.lock().unwrap();
        // when more is said than may wait, then nobody is held up,
        for n in 0..10_000 {
            way.write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        assert!(!way.drain(Duration::from_millis(50)));
        // and when it is read again, what is missing is told where it is missing.
        drop(still);
        assert!(way.drain(Duration::from_secs(30)));
        way.write_all(b"after\n").unwrap();
        assert!(way.drain(Duration::from_secs(30)));
        let lines = paper.lines();
        // It may be told twice, if the thread took its first line while more was said.
        let missing = |line: &String| {
            let number = line.strip_prefix("ferromq: ")?.split_once(" lines of the log are missing here")?.0;
            number.parse::<usize>().ok()
        };
        let told: Vec<usize> = lines.iter().filter_map(missing).collect();
        assert_eq!(lines.len() - told.len() + told.iter().sum::<usize>(), 10_001, "{told:?}");
        let [.., before, last] = &lines[..] else { panic!("{lines:?}") };
        assert!(missing(before).is_some() && last == "after", "{before}, {last}");
        assert!(lines.len() < MOST_LINES + 5, "{}", lines.len());
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let paper = Paper::default();
        let mut way = Way::to(paper.clone());
        way.write_all(&vec![b'x'; 10 * MOST_BYTES]).unwrap();
        assert!(way.drain(Duration::from_secs(30)));
        assert_eq!(paper.lines(), [format!("{} ...", "x".repeat(MOST_BYTES))]);
    }
}

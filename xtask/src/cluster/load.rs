//! [`Load`]: a Java program that sends and receives until it is told to stop, and what it prints.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::node::Micros;
use crate::interop::Tally;
use crate::peers::{Java, Line};

const START_LIMIT: Duration = Duration::from_secs(60);
const DRAIN_LIMIT: Duration = Duration::from_secs(180);

/// Sums at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) at: Micros,
    pub(crate) answered: u64,
    pub(crate) came: u64,
}

/// A pause in the answers to a producer that sends all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) last: Micros,
    pub(crate) first: Micros,
}

/// Everything that the program said.
#[derive(Default)]
struct Heard {
    ticks: Vec<Tick>,
    gaps: Vec<Gap>,
    events: Vec<(Micros, String)>,
    lines: Vec<String>,
    marks: u64,
    mark: String,
    started: bool,
    tally: Option<Tally>,
    ended: bool,
}

/// The running program; killed when dropped.
pub(crate) struct Load {
    child: Child,
    orders: ChildStdin,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

/// What to start.
pub(crate) struct LoadOptions<'a> {
    pub(crate) line: Line,
    pub(crate) url: &'a str,
    pub(crate) against: &'a str,
    pub(crate) bystanders: u32,
    /// Where the released client logs how it fails over.
    pub(crate) log: &'a Path,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Starts the one whose clients fail over, and waits until everything is connected.
    pub(crate) fn start(java: &Java, options: &LoadOptions<'_>) -> Result<Load> {
        let programs = java.programs(options.line)?;
        let mut command = java.command(&programs);
        command
            .arg("-Xmx768M")
            .arg(format!("-Dorg.slf4j.simpleLogger.logFile={}", options.log.display()))
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=info")
            .arg("-Dorg.slf4j.simpleLogger.log.org.apache.activemq.ActiveMQMessageConsumer=debug")
            .arg("-Dorg.slf4j.simpleLogger.log.org.apache.activemq.transport.failover=debug")
            .arg("-Dorg.slf4j.simpleLogger.showDateTime=true")
            .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
            .arg("interop.HaLoad")
            .arg(format!("--url={}", options.url))
            .arg(format!("--against={}", options.against))
            .arg(format!("--bystanders={}", options.bystanders));
        Load::launch(command)
    }

    /// Starts a program that says the same, and waits until everything is connected.
    pub(crate) fn launch(mut command: Command) -> Result<Load> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("can't run java")?;
        let orders = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let heard = Arc::new((Mutex::new(Heard::default()), Condvar::new()));
        let hearing = Arc::clone(&heard);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lock(&hearing.0).hear(line);
                hearing.1.notify_all();
            }
            lock(&hearing.0).ended = true;
            hearing.1.notify_all();
        });
        let load = Load { child, orders, heard };
        load.wait_for(START_LIMIT, "the load did not start", |heard| heard.started.then_some(()))?;
        Ok(load)
    }

    fn wait_for<T>(
        &self,
        limit: Duration,
        failure: &str,
        mut look: impl FnMut(&Heard) -> Option<T>,
    ) -> Result<T> {
        let until = Instant::now() + limit;
        let mut heard = lock(&self.heard.0);
        loop {
            if let Some(found) = look(&heard) {
                return Ok(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.ended {
                bail!("{failure}");
            }
            heard = self.heard.1.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The longest pause of the steady producer that ended after `since`. A drain begins later than the order for it,
    /// so the first pause is not always the one.
    pub(crate) fn longest_pause_after(&self, since: Micros) -> Option<Gap> {
        let heard = lock(&self.heard.0);
        let after = heard.gaps.iter().copied().filter(|gap| gap.first > since);
        after.max_by_key(|gap| gap.first.saturating_sub(gap.last.max(since)))
    }

    /// Waits until more was answered, on every lane, than now.
    pub(crate) fn progress(&mut self, limit: Duration) -> Result<()> {
        let before = self.mark()?;
        self.progress_since(&before, limit)
    }

    /// Waits until more was answered, on every lane, than at a mark.
    pub(crate) fn progress_since(&mut self, before: &str, limit: Duration) -> Result<()> {
        let before = answered(before);
        let until = Instant::now() + limit;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = answered(&self.mark()?);
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                return Ok(());
            }
            if Instant::now() > until {
                bail!("no progress on every lane within {limit:?}: {before:?} and then {now:?}");
            }
        }
    }

    /// What became of each lane so far, as `name=answered/came/repeated`.
    pub(crate) fn mark(&mut self) -> Result<String> {
        let before = lock(&self.heard.0).marks;
        self.order("mark")?;
        self.wait_for(START_LIMIT, "the load does not answer", |heard| {
            (heard.marks > before).then(|| heard.mark.clone())
        })
    }

    fn order(&mut self, order: &str) -> Result<()> {
        writeln!(self.orders, "{order}").and_then(|()| self.orders.flush()).context("the load has ended")
    }

    /// Drains and verifies; the lines that say what holds, and the sums.
    pub(crate) fn finish(&mut self) -> Result<(Vec<String>, Tally)> {
        self.order("stop")?;
        self.wait_for(DRAIN_LIMIT, "the load did not end", |heard| {
            heard.tally.map(|tally| (heard.lines.clone(), tally))
        })
    }

    /// What happened so far, for the report.
    pub(crate) fn history(&self) -> (Vec<Tick>, Vec<Gap>, Vec<(Micros, String)>) {
        let heard = lock(&self.heard.0);
        (heard.ticks.clone(), heard.gaps.clone(), heard.events.clone())
    }

    /// Exceptions that reached the application so far, but for commits that came to nothing.
    pub(crate) fn exceptions(&self) -> Vec<String> {
        self.events_of("exception")
    }

    /// Commits so far that threw: the client rolled the transaction back, or does not know what became of it. Its messages
    /// come again.
    pub(crate) fn commits_that_threw(&self) -> Vec<String> {
        self.events_of("in doubt")
    }

    fn events_of(&self, kind: &str) -> Vec<String> {
        let heard = lock(&self.heard.0);
        heard.events.iter().map(|(_, text)| text).filter(|text| text.starts_with(kind)).cloned().collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    fn hear(&mut self, line: String) {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let numbers = || rest.split(' ').map_while(|word| word.parse::<u64>().ok()).collect::<Vec<_>>();
        match word {
            "tick" => {
                if let [at, answered, came] = numbers()[..] {
                    self.ticks.push(Tick { at: at * 1000, answered, came });
                }
            }
            "gap" => {
                if let [last, first] = numbers()[..] {
                    self.gaps.push(Gap { last, first });
                }
            }
            "event" => {
                let (at, what) = rest.split_once(' ').unwrap_or((rest, ""));
                self.events.push((at.parse::<u64>().unwrap_or(0) * 1000, what.to_owned()));
            }
            "mark" => {
                self.marks += 1;
                rest.clone_into(&mut self.mark);
            }
            "started" => self.started = true,
            _ => match Tally::parse(&line) {
                Some(tally) => self.tally = Some(tally),
                None => self.lines.push(line),
            },
        }
    }
}

/// The first number of each `name=answered/came/repeated`.
fn answered(mark: &str) -> Vec<u64> {
    mark.split(' ').filter_map(|lane| lane.split_once('=')?.1.split('/').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_line_finds_its_place() {
        let mut heard = Heard::default();
        for line in [
            "started",
            "tick 1000 5 4",
            "gap 1000000 1200000",
            "event 1100 exception at x: gone",
            "mark a=3/2/0 b=9/9/1",
            "lane a: fine",
            "8 passed, 1 failed, 0 skipped",
        ] {
            heard.hear(line.to_owned());
        }
        assert!(heard.started);
        assert_eq!(
            heard.ticks.first().map(|tick| (tick.at, tick.answered, tick.came)),
            Some((1_000_000, 5, 4))
        );
        assert_eq!(heard.gaps.first().map(|gap| gap.first - gap.last), Some(200_000));
        assert_eq!(heard.events, [(1_100_000, "exception at x: gone".to_owned())]);
        assert_eq!(answered(&heard.mark), [3, 9]);
        assert_eq!(heard.lines, ["lane a: fine"]);
        assert_eq!(heard.tally.map(|tally| tally.failed), Some(1));
    }
}

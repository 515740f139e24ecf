//! [`Probe`]: the Java clients that send all the time, and what a takeover looked like to them.

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use ferromq_testkit::Lines;

use crate::bench::target::Tools;
use crate::cluster::Micros;

const START_LIMIT: Duration = Duration::from_secs(60);
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// A pause in the answers to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The last answer before it.
    pub(super) last: Micros,
    /// The first one after it.
    pub(super) first: Micros,
}

/// What became of the messages of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) answered: u64,
    pub(super) came: u64,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    /// Of the repeated ones.
    pub(super) unflagged: u64,
}

/// The running program; killed when dropped.
pub(super) struct Probe {
    child: Child,
    orders: ChildStdin,
    lines: Lines,
}

impl Probe {
    /// Starts clients by name and URI, and waits until they send.
    pub(super) fn start(tools: &Tools, clients: &[(&str, String)]) -> Result<Probe> {
        let mut command = tools.java_program("interop.Takeover", "off");
        command.args(clients.iter().map(|(name, url)| format!("--{name}={url}")));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("can't run java")?;
        let orders = child.stdin.take().context("no standard input")?;
        let lines = Lines::capture(child.stdout.take().context("no standard output")?);
        let probe = Probe { child, orders, lines };
        probe.lines.wait_for("started", START_LIMIT).context("the clients did not start")?;
        Ok(probe)
    }

    /// Waits for the pause of a client that began with a kill and ended after `since`: what the killed master had
    /// answered still reaches the client, and may end a short pause of its own.
    pub(super) fn gap_over(&self, client: &str, kill: Micros, since: Micros, limit: Duration) -> Option<Gap> {
        const LATE_ANSWERS: Micros = 100_000;
        self.lines.wait_until(limit, |lines| {
            let mut gaps = lines.iter().filter_map(|line| gap(line, client));
            gaps.find(|gap| gap.last < kill + LATE_ANSWERS && gap.first > since)
        })
    }

    /// When a client had a connection again, after `since`.
    pub(super) fn back_after(&self, client: &str, since: Micros) -> Option<Micros> {
        self.lines.all().iter().filter_map(|line| moment(line, "back", client)).find(|at| *at > since)
    }

    /// What reached an application although it must not.
    pub(super) fn exceptions(&self) -> usize {
        self.lines.all().iter().filter(|line| line.starts_with("exception ")).count()
    }

    /// Drains, and tells what became of everything.
    pub(super) fn finish(mut self) -> Result<Vec<(String, Sums)>> {
        writeln!(self.orders, "stop").and_then(|()| self.orders.flush()).context("the clients have ended")?;
        self.lines.wait_for("done", DRAIN_LIMIT).context("the clients did not end")?;
        Ok(self.lines.all().iter().filter_map(|line| sums(line)).collect())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn moment(line: &str, what: &str, client: &str) -> Option<Micros> {
    line.strip_prefix(what)?.strip_prefix(' ')?.strip_prefix(client)?.trim().parse().ok()
}

fn gap(line: &str, client: &str) -> Option<Gap> {
    let (last, first) = line.strip_prefix("gap ")?.strip_prefix(client)?.trim().split_once(' ')?;
    Some(Gap { last: last.parse().ok()?, first: first.parse().ok()? })
}

fn sums(line: &str) -> Option<(String, Sums)> {
    let (client, rest) = line.strip_prefix("sums ")?.split_once(' ')?;
    let numbers: Vec<u64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
    let &[answered, came, lost, repeated, unflagged] = numbers.as_slice() else { return None };
    Some((client.to_owned(), Sums { answered, came, lost, repeated, unflagged }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_understood() {
        assert_eq!(moment("back quick 17", "back", "quick"), Some(17));
        assert_eq!(moment("back usual 17", "back", "quick"), None);
        assert_eq!(gap("gap quick 1 9", "quick"), Some(Gap { last: 1, first: 9 }));
        let expected = Sums { answered: 9, came: 8, lost: 1, repeated: 0, unflagged: 0 };
        assert_eq!(sums("sums quick 9 8 1 0 0"), Some(("quick".to_owned(), expected)));
    }
}

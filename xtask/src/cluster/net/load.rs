//! [`NetLoad`]: the Java program whose clients are at the brokers of a network and do what they are ordered.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cluster::load::Tick;
use crate::cluster::node::Micros;
use crate::peers::{Java, Line};

/// The longest that an order may take: one that waits says itself how long.
const ANSWER_LIMIT: Duration = Duration::from_secs(200);

/// What became of the messages of a producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) received: u64,
    /// Answered, and not received.
    pub(crate) missing: u64,
    pub(crate) duplicated: u64,
    /// Of the duplicated ones: not flagged as redelivered.
    pub(crate) unflagged: u64,
    pub(crate) reordered: u64,
    pub(crate) invented: u64,
    /// From the last send to the last arrival.
    pub(crate) drain_ms: u64,
}

#[derive(Default)]
struct Heard {
    ticks: Vec<Tick>,
    events: Vec<(Micros, String)>,
}

/// The running program; killed when dropped.
pub(crate) struct NetLoad {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Result<String, String>>,
    heard: Arc<Mutex<Heard>>,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NetLoad {
    pub(crate) fn start(java: &Java, line: Line) -> Result<NetLoad> {
        let mut command = java.command(&java.programs(line)?);
        command.args(["-Xmx512M", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "interop.NetLoad"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("can't run java")?;
        let orders = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hearing = Arc::clone(&heard);
        let (said, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match line.split_once(' ').unwrap_or((&line, "")) {
                    ("=", text) => drop(said.send(Ok(text.to_owned()))),
                    ("!", text) => drop(said.send(Err(text.to_owned()))),
                    (word, rest) => lock(&hearing).hear(word, rest),
                }
            }
        });
        Ok(NetLoad { child, orders, answers, heard })
    }

    /// Gives an order; what it was answered with.
    pub(crate) fn order(&mut self, words: &[&str]) -> Result<String> {
        writeln!(self.orders, "{}", words.join("\t"))
            .and_then(|()| self.orders.flush())
            .context("the clients have ended")?;
        match self.answers.recv_timeout(ANSWER_LIMIT) {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(text)) => bail!("{}: {text}", words.join(" ")),
            Err(_) => bail!("{}: no answer", words.join(" ")),
        }
    }

    /// The sums of a producer, at one consumer or at all (`*`).
    pub(crate) fn account(&mut self, producer: &str, consumer: &str) -> Result<Account> {
        let text = self.order(&["account", producer, consumer])?;
        Account::parse(&text).with_context(|| format!("not understood: {text}"))
    }

    /// What happened so far, for the report.
    pub(crate) fn history(&self) -> (Vec<Tick>, Vec<(Micros, String)>) {
        let heard = lock(&self.heard);
        (heard.ticks.clone(), heard.events.clone())
    }
}

impl Drop for NetLoad {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    fn hear(&mut self, word: &str, rest: &str) {
        match word {
            "tick" => {
                let numbers: Vec<u64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
                if let [at, answered, came] = numbers[..] {
                    self.ticks.push(Tick { at: at * 1000, answered, came });
                }
            }
            "event" => {
                let (at, what) = rest.split_once(' ').unwrap_or((rest, ""));
                self.events.push((at.parse::<u64>().unwrap_or(0) * 1000, what.to_owned()));
            }
            _ => {}
        }
    }
}

impl Account {
    /// SENT ANSWERED RECEIVED MISSING DUPLICATED UNFLAGGED REORDERED INVENTED DRAIN_MS
    pub(crate) fn parse(text: &str) -> Option<Account> {
        let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let &[sent, answered, received, missing, duplicated, unflagged, reordered, invented, drain_ms] =
            numbers.as_slice()
        else {
            return None;
        };
        Some(Account {
            sent,
            answered,
            received,
            missing,
            duplicated,
            unflagged,
            reordered,
            invented,
            drain_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_nine_numbers() {
        let account = Account::parse("9 8 7 1 2 1 0 0 35").unwrap();
        assert_eq!((account.sent, account.missing, account.unflagged, account.drain_ms), (9, 1, 1, 35));
        assert_eq!(Account::parse("1 2"), None);
    }
}

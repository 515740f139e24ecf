//! [`Play`]: a scenario of a network that is being played: its brokers and clients, what is done to them, and what must have
//! become of each flow of messages.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::load::Account;
use super::table::Row;
use super::{Between, LinkSpec, Net, NetLoad, SiteSpec};
use crate::cluster::QUICK;
use crate::cluster::node::{Micros, Node, micros};
use crate::cluster::stage::{Random, StoreKind};
use crate::interop::Tally;
use crate::peers::{Java, Line};

/// How long what was sent may take to arrive.
pub(super) const ARRIVAL: Duration = Duration::from_secs(40);
/// After the last arrival, what comes in so long would have been too much.
const QUIET: Duration = Duration::from_millis(600);

/// What must have become of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Everything once and in order.
    Whole,
    /// Everything once: a consumer gave some back.
    Once,
    /// Everything, and what came again was flagged: a broker was killed meanwhile. Among ours what came for the first
    /// time came in order all the same.
    AtLeastOnce,
    /// Nothing.
    Nothing,
}

impl Expected {
    /// As the report says it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Expected::Whole => "all, once, in order",
            Expected::Once => "all, once",
            Expected::AtLeastOnce => "all, repetitions flagged",
            Expected::Nothing => "none",
        }
    }
}

/// A scenario that is being played.
pub(super) struct Play<'a> {
    pub(super) java: &'a Java,
    pub(super) line: Line,
    pub(super) between: Between,
    pub(super) store: StoreKind,
    pub(super) folder: PathBuf,
    pub(super) load: NetLoad,
    /// At work, if any.
    net: Option<Net>,
    pub(super) past: Vec<Node>,
    pub(super) tally: Tally,
    pub(super) rows: Vec<Row>,
    pub(super) marks: Vec<(Micros, String)>,
    pub(super) random: Random,
}

impl<'a> Play<'a> {
    /// The clients are there; no network is up.
    pub(super) fn begin(
        java: &'a Java,
        (between, store, line): (Between, StoreKind, Line),
        folder: PathBuf,
        seed: u64,
    ) -> Result<Self> {
        let load = NetLoad::start(java, line)?;
        Ok(Self {
            java,
            line,
            between,
            store,
            folder,
            load,
            net: None,
            past: Vec::new(),
            tally: Tally::default(),
            rows: Vec::new(),
            marks: Vec::new(),
            random: Random(seed),
        })
    }

    /// A statement that holds or not.
    pub(super) fn state(&mut self, what: &str, holds: bool) {
        self.tally.state(what, holds);
    }

    /// Something is done to the network.
    pub(super) fn mark(&mut self, what: impl Into<String>) {
        self.marks.push((micros(), what.into()));
    }

    /// Brokers named a, b, c…, of the kinds that are asked for, with a client at each; the network before ends.
    pub(super) fn brokers(&mut self, count: usize, links: &[LinkSpec]) -> Result<()> {
        let names = ["a", "b", "c", "d", "e"];
        let kind = |index| self.between.kind(index);
        let sites: Vec<SiteSpec> = names
            .iter()
            .take(count)
            .enumerate()
            .map(|(index, name)| SiteSpec::single(name, kind(index)))
            .collect();
        self.sites(&sites, links)
    }

    pub(super) fn sites(&mut self, sites: &[SiteSpec], links: &[LinkSpec]) -> Result<()> {
        self.end_net();
        let folder = self.folder.join(format!("net{}", self.past.len()));
        fs::create_dir_all(&folder)?;
        let net = Net::start(self.java, self.line, &folder, sites, links)?;
        for site in &net.sites {
            let _ = self.load.order(&["leave", &site.spec.name]);
            self.load.order(&["connect", &site.spec.name, &site.url(QUICK)])?;
        }
        self.net = Some(net);
        Ok(())
    }

    pub(super) fn end_net(&mut self) {
        if let Some(net) = self.net.take() {
            self.past.extend(net.end());
        }
    }

    pub(super) fn net(&mut self) -> Result<&mut Net> {
        self.net.as_mut().context("no network is up")
    }

    pub(super) fn consume(&mut self, name: &str, at: &str, destination: &str) -> Result<()> {
        self.select(name, at, destination, "")
    }

    pub(super) fn select(&mut self, name: &str, at: &str, destination: &str, selector: &str) -> Result<()> {
        self.load.order(&["consume", name, at, destination, selector, ""]).map(drop)
    }

    pub(super) fn close(&mut self, consumer: &str) -> Result<()> {
        self.load.order(&["close", consumer]).map(drop)
    }

    pub(super) fn burst(&mut self, producer: &str, at: &str, destination: &str, count: usize) -> Result<()> {
        self.load.order(&["burst", producer, at, destination, &count.to_string()]).map(drop)
    }

    pub(super) fn produce(&mut self, producer: &str, at: &str, destination: &str, rate: u32) -> Result<()> {
        self.load.order(&["produce", producer, at, destination, &rate.to_string()]).map(drop)
    }

    pub(super) fn halt(&mut self, producer: &str) -> Result<()> {
        self.load.order(&["halt", producer]).map(drop)
    }

    /// Whether so many different messages of a producer came to a consumer (`*` for any) in time.
    pub(super) fn arrived(&mut self, producer: &str, consumer: &str, count: u64, within: Duration) -> bool {
        let (count, within) = (count.to_string(), within.as_millis().to_string());
        self.load.order(&["arrived", producer, consumer, &count, &within]).is_ok()
    }

    /// Waits until messages that are sent at one place come to each of these consumers: a topic keeps nothing for those
    /// who come later, and a queue's messages go to whoever is there.
    pub(super) fn known(&mut self, at: &str, destination: &str, consumers: &[&str]) -> Result<()> {
        let until = Instant::now() + ARRIVAL;
        let mut number = 0;
        for consumer in consumers {
            loop {
                number += 1;
                let probe = format!("probe-{destination}-{at}-{consumer}-{number}");
                self.burst(&probe, at, destination, 1)?;
                if self.arrived(&probe, consumer, 1, Duration::from_millis(150)) {
                    break;
                }
                anyhow::ensure!(Instant::now() < until, "nothing that is sent at {at} comes to {consumer}");
            }
        }
        self.quiet()
    }

    pub(super) fn quiet(&mut self) -> Result<()> {
        self.load.order(&["quiet", &QUIET.as_millis().to_string()]).map(drop)
    }

    /// The account of a flow: it waits until everything came, and a moment longer, and compares.
    pub(super) fn flow(
        &mut self,
        what: &str,
        producer: &str,
        consumer: &str,
        queue: &str,
        expected: Expected,
    ) -> Result<()> {
        let sent = self.load.account(producer, consumer)?;
        if expected == Expected::Nothing {
            // What should not come gets the time to come all the same.
            std::thread::sleep(QUIET);
        } else {
            self.arrived(producer, consumer, sent.answered, ARRIVAL);
        }
        self.quiet()?;
        let account = self.load.account(producer, consumer)?;
        let stuck = if account.missing > 0 { self.held(producer, queue)?.min(account.missing) } else { 0 };
        let clean = account.duplicated == 0 && account.invented == 0;
        let whole = account.missing == 0 && account.answered > 0;
        let holds = match expected {
            Expected::Whole => clean && whole && account.reordered == 0,
            Expected::Once => clean && whole,
            Expected::AtLeastOnce => {
                let ordered = account.reordered == 0 || self.between != Between::Ferromq;
                whole && ordered && account.unflagged == 0 && account.invented == 0
            }
            Expected::Nothing => account.received == 0,
        };
        let row = match expected {
            // What is not meant for it is neither missing nor stuck.
            Expected::Nothing => (Account { missing: 0, ..account }, 0),
            _ => (account, stuck),
        };
        self.rows.push(Row { what: what.to_owned(), account: row.0, stuck: row.1, wanted: expected.words() });
        self.state(what, holds);
        if !holds {
            println!("   {account:?}, {stuck} of the missing ones are in a queue");
        }
        Ok(())
    }

    /// Of the messages that did not come, how many lie in a queue somewhere.
    pub(super) fn held(&mut self, producer: &str, queue: &str) -> Result<u64> {
        if queue.is_empty() {
            return Ok(0);
        }
        let names: Vec<String> = self.net()?.sites.iter().map(|site| site.spec.name.clone()).collect();
        let mut held = 0;
        for name in names {
            // A broker that is down holds what it holds; nobody can look.
            if let Ok(text) = self.load.order(&["held", producer, queue, &name]) {
                held += text.parse::<u64>().unwrap_or(0);
            }
        }
        Ok(held)
    }

    /// Of a flow of which only a part is meant for its consumer: exactly so many came, each once.
    pub(super) fn part(&mut self, what: &str, producer: &str, consumer: &str, meant: u64) -> Result<()> {
        self.arrived(producer, consumer, meant, ARRIVAL);
        self.quiet()?;
        let account = self.load.account(producer, consumer)?;
        let holds = account.received == meant && account.duplicated == 0 && account.reordered == 0;
        // What is not meant for it is not missing.
        let missing = meant.saturating_sub(account.received);
        let row = Account { missing, answered: meant, ..account };
        self.rows.push(Row {
            what: what.to_owned(),
            account: row,
            stuck: 0,
            wanted: "its part, once, in order",
        });
        self.state(what, holds);
        if !holds {
            println!("   {account:?}, and {meant} were wanted");
        }
        Ok(())
    }
}

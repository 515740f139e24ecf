//! [`Latency`]: of messages at 200 a second, within one broker and over the link. The pairs take turns, so that all of them
//! meet the same machine.

use anyhow::Result;

use super::{Args, Figures, Two, forwarded};
use crate::bench::load::Outcome;
use crate::bench::target::Tools;
use crate::cluster::net::{Kind, LinkSpec, SiteSpec};

/// How often latency is measured; each figure is the median.
pub(super) const ROUNDS: usize = 5;

/// Within one broker, and over the link.
pub(super) type Round = [Outcome; 2];

/// What the rounds of one product came to.
#[derive(Debug, Default)]
pub(super) struct Latency {
    pub as_it_comes: Vec<Round>,
    /// Of ActiveMQ that stores a message before it hands it out, as FerroMQ does.
    pub store_first: Vec<Round>,
}

/// Two brokers that are measured in turn with others.
struct Pair {
    kind: Kind,
    store_first: bool,
    two: Two,
}

impl Pair {
    fn start(tools: &Tools, kind: Kind, store_first: bool) -> Result<Self> {
        let sites = ["a", "b"].map(|name| SiteSpec { store_first, ..SiteSpec::single(name, kind) });
        let folder = match (kind, store_first) {
            (Kind::Ours, _) => "latency",
            (Kind::Theirs, false) => "latency-activemq",
            (Kind::Theirs, true) => "latency-activemq-first",
        };
        let two = Two::start_in(folder, tools, &sites, LinkSpec::new(0, 1, &[]))?;
        Ok(Self { kind, store_first, two })
    }

    const fn name(&self) -> &'static str {
        match (self.kind, self.store_first) {
            (Kind::Ours, _) => "FerroMQ",
            (Kind::Theirs, false) => "ActiveMQ",
            (Kind::Theirs, true) => "ActiveMQ, store first",
        }
    }

    fn round(&self, args: &Args, tools: &Tools) -> Result<Round> {
        let (local, _) = forwarded(args, tools, &self.two, "pq-rate200", false)?;
        let (linked, _) = forwarded(args, tools, &self.two, "pq-rate200", true)?;
        let (name, within, over) = (self.name(), local.brief(), linked.brief());
        println!("  {name}, one broker: {within}\n  {name}, over the link: {over}");
        Ok([local, linked])
    }
}

/// Measures all that are to be compared, and files what they came to.
pub(super) fn measure(args: &Args, tools: &Tools, all: &mut [(Kind, Figures)]) {
    let mut pairs = Vec::new();
    for (kind, figures) in &mut *all {
        let firsts: &[bool] = if *kind == Kind::Theirs { &[false, true] } else { &[false] };
        for &store_first in firsts {
            match Pair::start(tools, *kind, store_first) {
                Ok(pair) => pairs.push(pair),
                Err(error) => figures.fail("latency", &error),
            }
        }
    }
    for _ in 0..ROUNDS {
        for pair in &pairs {
            let Some((_, figures)) = all.iter_mut().find(|(kind, _)| *kind == pair.kind) else { continue };
            match pair.round(args, tools) {
                Ok(round) if pair.store_first => figures.latency.store_first.push(round),
                Ok(round) => figures.latency.as_it_comes.push(round),
                Err(error) => figures.fail("latency", &error),
            }
        }
    }
}

//! The released Java clients at linked brokers, of which at least one is the real ActiveMQ: `cargo xtask interop --only
//! network`. Either of them has the connector, one-way and duplex: traffic, lists of destinations, TTL over a chain,
//! durable subscribers, and what became of those while the link was down (`syncDurableSubs`); and either finds the other by
//! multicast.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::interop::{Tally, follow};
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, Line, RealBroker, RealOptions, work_dir};

/// Which of the two brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ferromq,
    Activemq,
}

impl Kind {
    const BOTH: [Self; 2] = [Self::Ferromq, Self::Activemq];

    const fn other(self) -> Self {
        match self {
            Self::Ferromq => Self::Activemq,
            Self::Activemq => Self::Ferromq,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ferromq => "ferromq",
            Self::Activemq => "activemq",
        }
    }
}

/// A network connector, as either broker is told of it.
#[derive(Debug, Clone, Default)]
struct Connector<'a> {
    /// The broker to link to.
    to: &'a str,
    duplex: bool,
    ttl: u32,
    syncs: bool,
    included: &'a str,
    always: &'a str,
    excluded: &'a str,
}

impl<'a> Connector<'a> {
    fn new(to: &'a Broker, duplex: bool) -> Self {
        Self { to: to.url(), duplex, ttl: 1, ..Self::default() }
    }

    fn arguments(&self, of: Kind) -> Vec<String> {
        let Self { to, duplex, ttl, syncs, included, always, excluded } = self;
        let uri = format!("static:({to})?initialReconnectDelay=200&useExponentialBackOff=false");
        match of {
            Kind::Ferromq => {
                let lists = [
                    ("dynamicallyIncludedDestinations", included),
                    ("staticallyIncludedDestinations", always),
                    ("excludedDestinations", excluded),
                ];
                let lists = lists.iter().filter(|(_, list)| !list.is_empty());
                let lists: String = lists.map(|(name, list)| format!("&{name}={list}")).collect();
                let uri =
                    format!("{uri}&name=nc&duplex={duplex}&networkTTL={ttl}&syncDurableSubs={syncs}{lists}");
                vec!["--network-connector".to_owned(), uri.replace('>', "%3E")]
            }
            Kind::Activemq => {
                let lists = [
                    ("dynamicallyIncludedDestinations", included),
                    ("staticallyIncludedDestinations", always),
                    ("excludedDestinations", excluded),
                ];
                let lists = lists.iter().filter(|(_, list)| !list.is_empty());
                let lists: String = lists.map(|(name, list)| format!(";{name}={list}")).collect();
                let attributes = format!("duplex={duplex};networkTTL={ttl};syncDurableSubs={syncs}{lists}");
                vec![format!("--network.nc={uri}|{attributes}")]
            }
        }
    }
}

/// Who is asked, and by which clients.
struct Bench<'a> {
    java: &'a Java,
    line: Line,
    quiet: bool,
}

/// A folder and a port that outlast a broker.
struct Place {
    data: Option<PathBuf>,
    port: u16,
}

const ANYWHERE: Place = Place { data: None, port: 0 };

/// Runs the checks over all links with one client line.
///
/// # Errors
/// A broker or the Java program could not be started, or ended early.
pub(crate) fn run(java: &Java, line: Line, quiet: bool) -> Result<Tally> {
    let bench = Bench { java, line, quiet };
    let mut tally = Tally::default();
    for kind in Kind::BOTH {
        for duplex in [false, true] {
            println!("-- {}, {} has the connector", ways(duplex), kind.name());
            let to = bench.start(kind.other(), "", &ANYWHERE, Vec::new())?;
            let connector = Connector::new(&to, duplex);
            let from = bench.start(kind, "", &ANYWHERE, connector.arguments(kind))?;
            let part = format!("--duplex={duplex}");
            tally.add(bench.clients(&from, &to, &[&part])?);
            tally.add(bench.clients(&from, &to, &["--part=durable"])?);
        }
        tally.add(bench.rules(kind)?);
        tally.add(bench.chains(kind)?);
        for duplex in [false, true] {
            tally.add(bench.subscribers(kind, duplex)?);
        }
    }
    tally.add(bench.multicast()?);
    Ok(tally)
}

/// A group on the loopback interface that only this run uses.
fn group() -> String {
    let number = std::process::id();
    let [_, _, high, low] = number.to_be_bytes();
    let port = 20_000 + number % 10_000;
    format!(
        "multicast://239.255.{high}.{low}:{port}?interface=127.0.0.1&joinNetworkInterface=lo&initialReconnectDelay=500"
    )
}

const fn ways(duplex: bool) -> &'static str {
    if duplex { "duplex" } else { "one way" }
}

impl Bench<'_> {
    /// Included, excluded and statically included destinations.
    fn rules(&self, kind: Kind) -> Result<Tally> {
        println!("-- lists of destinations, {} has the connector", kind.name());
        let to = self.start(kind.other(), "", &ANYWHERE, Vec::new())?;
        let connector = Connector {
            included: "queue://NET.>,topic://NET.>",
            always: "queue://NET.ALWAYS",
            excluded: "queue://NET.SECRET.>",
            ..Connector::new(&to, false)
        };
        let from = self.start(kind, "", &ANYWHERE, connector.arguments(kind))?;
        self.clients(&from, &to, &["--part=rules"])
    }

    /// Three brokers in a row, the one in the middle of the other kind.
    fn chains(&self, kind: Kind) -> Result<Tally> {
        let mut tally = Tally::default();
        for (ttl, part) in [(1, "--part=near"), (2, "--part=far")] {
            println!("-- a chain with {} in the middle, TTL {ttl}", kind.other().name());
            let to = self.start(kind, "third", &ANYWHERE, Vec::new())?;
            let connector = Connector { ttl, ..Connector::new(&to, false) };
            let middle = self.start(kind.other(), "", &ANYWHERE, connector.arguments(kind.other()))?;
            let connector = Connector { ttl, ..Connector::new(&middle, false) };
            let from = self.start(kind, "", &ANYWHERE, connector.arguments(kind))?;
            tally.add(self.clients(&from, &to, &[part])?);
        }
        Ok(tally)
    }

    /// Durable subscribers come and go while the broker that forwards to them is down. One-way it has the connector
    /// itself, and hears of them at the other end; duplex it has the other half, and is told by the connector's.
    fn subscribers(&self, kind: Kind, duplex: bool) -> Result<Tally> {
        println!("-- durable subscribers while the link is down, {}, {} forwards", ways(duplex), kind.name());
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let run = format!("r{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let data = work_dir().join("run").join(format!("{}-kept-{run}", std::process::id()));
        let mut place = Place { data: Some(data.clone()), port: 0 };
        let rules =
            |connector| Connector { syncs: true, included: "queue://NET.>,topic://NET.>", ..connector };
        let (mut from, to);
        let arguments;
        if duplex {
            arguments = Vec::new();
            from = self.start(kind, "", &place, arguments.clone())?;
            let connector = rules(Connector::new(&from, true));
            to = self.start(kind.other(), "", &ANYWHERE, connector.arguments(kind.other()))?;
        } else {
            to = self.start(kind.other(), "", &ANYWHERE, Vec::new())?;
            arguments = rules(Connector::new(&to, false)).arguments(kind);
            from = self.start(kind, "", &place, arguments.clone())?;
        }
        let run = format!("--run={run}");
        let mut tally = self.clients(&from, &to, &["--part=before", &run])?;
        place.port = from.port();
        from.stop()?;
        tally.add(self.clients(&from, &to, &["--part=meanwhile", &run])?);
        let from = self.start(kind, "", &place, arguments)?;
        tally.add(self.clients(&from, &to, &["--part=after", &run])?);
        drop(from);
        let _ = std::fs::remove_dir_all(data);
        Ok(tally)
    }

    fn multicast(&self) -> Result<Tally> {
        let group = group();
        println!("-- ferromq finds activemq by multicast");
        let told = vec![format!("--discovery={group}")];
        let theirs = self.start(Kind::Activemq, "", &ANYWHERE, told)?;
        let looks = vec!["--network-connector".to_owned(), format!("{group}&name=nc")];
        let ours = self.start(Kind::Ferromq, "", &ANYWHERE, looks)?;
        let mut tally = self.clients(&ours, &theirs, &[])?;
        drop((ours, theirs));

        println!("-- activemq finds ferromq by multicast");
        let listen_options = format!("discoveryUri={}", group.replace('&', "%26"));
        let ours = FerroBroker::start(&FerroOptions { listen_options, ..FerroOptions::default() })?;
        let looks = vec![format!("--network.nc={group}")];
        let theirs = self.start(Kind::Activemq, "", &ANYWHERE, looks)?;
        tally.add(self.clients(&theirs, &ours, &[])?);
        Ok(tally)
    }

    /// Starts a broker under its usual name, or another one.
    fn start(&self, kind: Kind, name: &str, place: &Place, mut arguments: Vec<String>) -> Result<Broker> {
        let (data, port) = (place.data.clone(), place.port);
        let name = if name.is_empty() { kind.name() } else { name }.to_owned();
        match kind {
            Kind::Ferromq => {
                FerroBroker::start(&FerroOptions { data, port, name, arguments, ..FerroOptions::default() })
            }
            Kind::Activemq => {
                arguments.push(format!("--name={name}"));
                let line = self.line.broker();
                RealBroker::start(
                    self.java,
                    &RealOptions { line, data, port, arguments, ..RealOptions::default() },
                )
            }
        }
    }

    fn clients(&self, from: &Broker, to: &Broker, arguments: &[&str]) -> Result<Tally> {
        let programs = self.java.programs(self.line)?;
        let mut command: Command = self.java.command(&programs);
        command
            .arg("-Xmx256M")
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=off")
            .arg("interop.Network")
            .arg(format!("--from={}", from.url()))
            .arg(format!("--to={}", to.url()))
            .args(arguments);
        let tally = follow(command, self.quiet)?;
        if tally.failed > 0 {
            println!("logs: {} and {}", from.log().display(), to.log().display());
        }
        Ok(tally)
    }
}

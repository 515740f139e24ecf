//! [`Net`]: the brokers of a network, ours and real ones, single or in pairs, and the links between them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cluster::node::{Node, Role, free_port};
use crate::cluster::proxy::Proxy;
use crate::cluster::stage::{PATIENCE, StoreKind, arguments};
use crate::peers::{FerroBroker, Java, Line, RealBroker, RealOptions};

/// How soon a link tries again, and how soon it misses a silent peer.
const RECONNECT: &str = "initialReconnectDelay=100&useExponentialBackOff=false&maxReconnectDelay=100";
const WATCHFUL: &str =
    "?wireFormat.maxInactivityDuration=1500&wireFormat.maxInactivityDurationInitalDelay=1500";

/// Whose brokers these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Theirs,
}

/// A place in the network: a broker, or a master and its standby.
#[derive(Clone, Debug)]
pub(crate) struct SiteSpec {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nodes: usize,
    pub(crate) store: StoreKind,
    /// An ActiveMQ stores a message before it hands it out (`concurrentStoreAndDispatchQueues=false`).
    pub(crate) store_first: bool,
}

impl SiteSpec {
    pub(crate) fn single(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, nodes: 1, store: StoreKind::File, store_first: false }
    }

    pub(crate) fn pair(name: &str, kind: Kind, store: StoreKind) -> Self {
        Self { nodes: 2, store, ..Self::single(name, kind) }
    }
}

/// A connector at one site that leads to another.
#[derive(Clone, Debug)]
pub(crate) struct LinkSpec {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// In ActiveMQ's spelling: `duplex=true`.
    pub(crate) attributes: Vec<String>,
    /// Whether it can be cut, and whether it misses a silent peer soon.
    pub(crate) cuttable: bool,
}

impl LinkSpec {
    pub(crate) fn new(from: usize, to: usize, attributes: &[&str]) -> Self {
        let attributes = attributes.iter().map(|attribute| (*attribute).to_owned()).collect();
        Self { from, to, attributes, cuttable: false }
    }

    pub(crate) fn cuttable(mut self) -> Self {
        self.cuttable = true;
        self
    }
}

/// A place in the network, at work.
pub(crate) struct Site {
    pub(crate) spec: SiteSpec,
    pub(crate) nodes: Vec<Node>,
    _database: Option<ferromq_testkit::Postgres>,
}

impl Site {
    /// For clients.
    pub(crate) fn url(&self, options: &str) -> String {
        let urls: Vec<String> = self.nodes.iter().map(Node::url).collect();
        format!("failover:({})?{options}", urls.join(","))
    }

    /// The node that serves.
    pub(crate) fn master(&self, not: Option<usize>) -> Result<usize> {
        let until = std::time::Instant::now() + PATIENCE * 2;
        loop {
            let serves = |(index, node): &(usize, &Node)| {
                Some(*index) != not && node.pid().is_some() && node.role() == Role::Active
            };
            if let Some((index, _)) = self.nodes.iter().enumerate().find(serves) {
                return Ok(index);
            }
            if std::time::Instant::now() > until {
                bail!("no node of {} serves", self.spec.name);
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    pub(crate) fn node(&mut self, index: usize) -> Result<&mut Node> {
        self.nodes.get_mut(index).context("no such node")
    }

    /// Starts a node that was stopped or killed, and waits until it serves, or is a standby as far as that is told.
    pub(crate) fn start(&mut self, index: usize) -> Result<()> {
        self.node(index)?.start(false)?;
        let (alone, ours) = (self.nodes.len() == 1, self.spec.kind == Kind::Ours);
        if alone {
            self.master(None)?;
        } else if ours {
            let until = std::time::Instant::now() + PATIENCE;
            while !matches!(self.node(index)?.role(), Role::Active | Role::Standby) {
                if std::time::Instant::now() > until {
                    bail!("{} says nothing of its role", self.node(index)?.name);
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        Ok(())
    }
}

/// A network at work.
pub(crate) struct Net {
    pub(crate) sites: Vec<Site>,
    /// Of each link that can be cut.
    relays: Vec<Option<Proxy>>,
}

impl Net {
    /// Starts everything, site after site; links come up by themselves.
    pub(crate) fn start(
        java: &Java,
        line: Line,
        folder: &Path,
        sites: &[SiteSpec],
        links: &[LinkSpec],
    ) -> Result<Net> {
        let mut ports: Vec<Vec<u16>> = Vec::new();
        for site in sites {
            ports.push((0..site.nodes).map(|_| free_port()).collect::<Result<_>>()?);
        }
        let ports_of = |index: usize| ports.get(index).map(Vec::as_slice).unwrap_or_default();
        let mut relays = Vec::new();
        for link in links {
            let target = ports_of(link.to).first().copied().context("a link leads nowhere")?;
            relays.push(if link.cuttable { Some(Proxy::to(target)?) } else { None });
        }
        let mut net = Net { sites: Vec::new(), relays };
        for (index, spec) in sites.iter().enumerate() {
            let mut connectors = Vec::new();
            for (link, relay) in links.iter().zip(&net.relays).filter(|(link, _)| link.from == index) {
                let to: Vec<u16> = match relay {
                    Some(relay) => vec![relay.port()],
                    None => ports_of(link.to).to_vec(),
                };
                connectors.push(connector(spec.kind, link, &to));
            }
            net.sites.push(site(java, line, folder, spec, ports_of(index), &connectors)?);
        }
        for site in &mut net.sites {
            for index in 0..site.nodes.len() {
                site.node(index)?.start(false)?;
                if index == 0 {
                    site.master(None)?;
                }
            }
        }
        Ok(net)
    }

    pub(crate) fn site(&mut self, index: usize) -> Result<&mut Site> {
        self.sites.get_mut(index).context("no such site")
    }

    /// The relay of a link.
    pub(crate) fn relay(&self, link: usize) -> Result<&Proxy> {
        self.relays.get(link).and_then(Option::as_ref).context("this link can't be cut")
    }

    /// Ends all of it; the nodes are kept for what they said.
    pub(crate) fn end(self) -> Vec<Node> {
        let mut nodes: Vec<Node> = self.sites.into_iter().flat_map(|site| site.nodes).collect();
        for node in &mut nodes {
            if node.pid().is_some() {
                // What is left of a network that has served its purpose needs no orderly end.
                let _ = node.kill();
            }
        }
        nodes
    }
}

/// What a node is started with for a link.
fn connector(kind: Kind, link: &LinkSpec, to: &[u16]) -> Vec<String> {
    let watchful = if link.cuttable { WATCHFUL } else { "" };
    let uris: Vec<String> = to.iter().map(|port| format!("tcp://127.0.0.1:{port}{watchful}")).collect();
    // A pair is one peer, at one of its two addresses.
    let scheme = if to.len() > 1 { "masterslave" } else { "static" };
    let name = format!("to{}", link.to);
    let base = format!("{scheme}:({})?{RECONNECT}", uris.join(","));
    match kind {
        Kind::Ours => {
            let mut uri = format!("{base}&name={name}");
            for attribute in &link.attributes {
                uri.push('&');
                uri.push_str(attribute);
            }
            vec!["--network-connector".to_owned(), uri]
        }
        Kind::Theirs => {
            let attributes = if link.attributes.is_empty() {
                String::new()
            } else {
                format!("|{}", link.attributes.join(";"))
            };
            vec![format!("--network.{name}={base}{attributes}")]
        }
    }
}

fn site(
    java: &Java,
    line: Line,
    folder: &Path,
    spec: &SiteSpec,
    ports: &[u16],
    connectors: &[Vec<String>],
) -> Result<Site> {
    let data = folder.join(&spec.name);
    fs::create_dir_all(&data)?;
    let database = match (spec.kind, spec.store) {
        (Kind::Ours, StoreKind::Postgres) => {
            Some(ferromq_testkit::Postgres::start_with(&[]).context("PostgreSQL can't be started here")?)
        }
        _ => None,
    };
    let mut nodes = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        let name = if ports.len() > 1 { format!("{}{}", spec.name, number + 1) } else { spec.name.clone() };
        let (program, mut words) = match spec.kind {
            Kind::Ours => {
                let url = database.as_ref().map(ferromq_testkit::Postgres::url);
                let own = if url.is_some() { folder.join(format!("{name}-data")) } else { data.clone() };
                let takeover_after = match (spec.nodes, &url) {
                    // Nobody would take over: it need not lose its role when the machine is busy for a moment.
                    (1, _) => "10s",
                    (_, None) => "500ms",
                    (_, Some(_)) => "2s",
                };
                let mut words = arguments(&spec.name, *port, takeover_after, &own, url.as_deref());
                words.extend(["--node".to_owned(), name.clone()]);
                (FerroBroker::binary(), words)
            }
            Kind::Theirs => {
                let broker = vec![format!("--name={}", spec.name), "--lockPoll=500".to_owned()];
                let options = RealOptions {
                    line: line.broker(),
                    arguments: broker,
                    concurrent_store_and_dispatch: !spec.store_first,
                    ..RealOptions::default()
                };
                let command =
                    RealBroker::command(java, &options, &data.display().to_string(), &port.to_string())?;
                let words = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
                (PathBuf::from(command.get_program()), words)
            }
        };
        words.extend(connectors.iter().flatten().cloned());
        let state = folder.join(format!("{name}-state")).display().to_string();
        let environment = vec![("XDG_STATE_HOME".to_owned(), state)];
        nodes.push(Node::new(&name, *port, program, words, environment, folder));
    }
    Ok(Site { spec: spec.clone(), nodes, _database: database })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_said_in_the_words_of_either_broker() {
        let link = LinkSpec::new(0, 1, &["duplex=true", "networkTTL=2"]);
        let ours = connector(Kind::Ours, &link, &[1]);
        assert_eq!(
            ours.last().unwrap(),
            &format!("static:(tcp://127.0.0.1:1)?{RECONNECT}&name=to1&duplex=true&networkTTL=2")
        );
        let theirs = connector(Kind::Theirs, &link, &[1, 2]);
        assert_eq!(
            theirs,
            [format!(
                "--network.to1=masterslave:(tcp://127.0.0.1:1,tcp://127.0.0.1:2)?{RECONNECT}|duplex=true;networkTTL=2"
            )]
        );
    }
}

//! [`ClusterDesk`]: which brokers are linked to this one, and what clients are told of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferromq_gateway::{Cluster, PeerBroker};
use ferromq_model::Text;
use ferromq_net::{Letter, Mailbox, PeerHost};
use ferromq_uri::Uri;
use regex::Regex;

use crate::StartError;

/// What the clients of a listener are told of linked brokers.
#[derive(Clone, Debug, Default)]
pub struct ClientUpdates {
    /// `updateClusterClients`: anything at all.
    pub update: bool,
    /// `rebalanceClusterClients`: that they are to spread.
    pub rebalance: bool,
    /// `updateClusterClientsOnRemove`: that one has gone.
    pub on_remove: bool,
    /// `updateClusterFilter`: of which brokers; all without it.
    pub filter: Option<NameFilter>,
}

/// Regular expressions for names of brokers, of which one has to fit the whole name.
#[derive(Clone, Debug)]
pub struct NameFilter(Vec<Regex>);

/// A larger one costs more memory than any list of names is worth.
const PATTERN_BYTES: usize = 1 << 20;

/// Brokers that clients are told of; the list must fit into a client's URI.
const MOST_BROKERS: usize = 64;

impl NameFilter {
    /// Reads expressions, divided by commas.
    ///
    /// # Errors
    /// One of them is none.
    pub fn parse(text: &str) -> Result<Self, StartError> {
        let pattern = |text: &str| {
            let whole = format!("^(?:{text})$");
            let built = regex::RegexBuilder::new(&whole).size_limit(PATTERN_BYTES).build();
            built.map_err(|error| StartError::Filter { pattern: text.to_owned(), reason: error.to_string() })
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(pattern).collect::<Result<_, _>>().map(Self)
    }

    fn fits(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(name))
    }
}

/// Keeps account of linked brokers by the connections of their links, and has clients told of changes.
pub(crate) struct ClusterDesk {
    mailbox: Mailbox<Letter>,
    /// One for each listener.
    listeners: Vec<Option<Told>>,
    /// Nothing more once this broker ends.
    peers: Mutex<Option<BTreeMap<u64, PeerBroker>>>,
}

struct Told {
    updates: ClientUpdates,
    own: Text,
    cluster: Arc<Cluster>,
}

impl ClusterDesk {
    /// A desk for the listeners at `urls`, as others find them.
    pub(crate) fn new(mailbox: Mailbox<Letter>, updates: &[ClientUpdates], urls: &[String]) -> Self {
        let told = |(updates, url): (&ClientUpdates, &String)| {
            updates.update.then(|| {
                let own = Text::from(url.as_str());
                let cluster = Arc::new(Cluster::new(own.clone(), updates.rebalance));
                Told { updates: updates.clone(), own, cluster }
            })
        };
        let listeners = updates.iter().zip(urls).map(told).collect();
        Self { mailbox, listeners, peers: Mutex::new(Some(BTreeMap::new())) }
    }

    /// What the sessions of a listener tell their clients.
    pub(crate) fn cluster(&self, listener: usize) -> Option<Arc<Cluster>> {
        self.listeners.get(listener)?.as_ref().map(|told| Arc::clone(&told.cluster))
    }

    /// For the reception, which sees the links.
    pub(crate) fn host(self: &Arc<Self>) -> PeerHost {
        let desk = Arc::clone(self);
        Arc::new(move |conn, broker| {
            let mut peers = desk.lock();
            let Some(peers) = peers.as_mut() else { return };
            match broker {
                Some(broker) => peers.insert(conn.0, broker),
                None => peers.remove(&conn.0),
            };
            // Each listener's list is replaced, whether its present clients are told or only those that come.
            let changed = desk.listeners.iter().flatten().filter(|told| told.renew(peers)).count();
            if changed > 0 {
                desk.mailbox.post(Letter::Brokers);
            }
        })
    }

    /// This broker ends, and its links with it: the others are still there, and its clients need them now.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<u64, PeerBroker>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Replaces the list; whether present clients are to be told.
    fn renew(&self, peers: &BTreeMap<u64, PeerBroker>) -> bool {
        let mut brokers = vec![self.own.clone()];
        for peer in peers.values() {
            let fits = self.updates.filter.as_ref().is_none_or(|filter| filter.fits(&peer.name.to_str()));
            if fits && brokers.len() < MOST_BROKERS && is_address(&peer.url) && !brokers.contains(&peer.url) {
                brokers.push(peer.url.clone());
            }
        }
        self.cluster.replace(brokers, self.updates.on_remove)
    }
}

/// Whatever else a peer says is nothing for clients.
fn is_address(url: &Text) -> bool {
    Uri::parse(&url.to_str()).is_ok_and(|uri| uri.scheme.protocol().is_some() && uri.endpoint().is_some())
}

#[cfg(test)]
mod tests {
    use ferromq_engine::ConnId;
    use ferromq_net::mailbox;

    use super::*;

    fn peer(name: &str, url: &str) -> Option<PeerBroker> {
        Some(PeerBroker { name: name.into(), url: url.into() })
    }

    /// Whether clients were told since the last look.
    fn told(inbox: &mut ferromq_net::Inbox<Letter>) -> bool {
        let mut letters = Vec::new();
        inbox.take(&mut letters, Some(std::time::Duration::ZERO));
        letters.iter().any(|letter| matches!(letter, Letter::Brokers))
    }

    #[test]
    fn clients_are_told_of_linked_brokers_by_the_rules_of_their_listener() {
        let (mailbox, mut inbox) = mailbox(1 << 20);
        let updates = [
            ClientUpdates { update: true, ..Default::default() },
            ClientUpdates {
                update: true,
                filter: Some(NameFilter::parse("east-.*, west").unwrap()),
                ..Default::default()
            },
            ClientUpdates::default(),
        ];
        let urls = ["tcp://own:1", "tcp://own:2", "tcp://own:3"].map(String::from);
        let desk = Arc::new(ClusterDesk::new(mailbox, &updates, &urls));
        let clusters: Vec<_> = (0..3).map(|listener| desk.cluster(listener)).collect();
        assert!(clusters[2].is_none());
        let lists = || clusters.iter().flatten().map(|cluster| format!("{cluster:?}")).collect::<Vec<_>>();
        let host = desk.host();
        // A broker that links both ways is one, and one that fits no filter is not for all.
        host(ConnId(1), peer("east-1", "tcp://east:1"));
        assert!(told(&mut inbox));
        host(ConnId(2), peer("east-1", "tcp://east:1"));
        assert!(!told(&mut inbox));
        host(ConnId(3), peer("westward", "tcp://west:1"));
        assert!(lists()[0].contains("west:1") && !lists()[1].contains("west:1"), "{:?}", lists());
        assert!(told(&mut inbox));
        // What is no address is told to nobody.
        host(ConnId(4), peer("west", ""));
        host(ConnId(5), peer("west", "vm://west"));
        assert!(!told(&mut inbox));
        // Who goes is forgotten, and nobody is told who did not ask for it.
        host(ConnId(1), None);
        assert!(lists()[1].contains("east:1"));
        host(ConnId(2), None);
        assert!(!lists()[1].contains("east:1") && !told(&mut inbox));
    }

    #[test]
    fn clients_of_a_broker_that_ends_keep_the_others() {
        let (mailbox, mut inbox) = mailbox(1 << 20);
        let updates = ClientUpdates { update: true, on_remove: true, ..Default::default() };
        let desk = Arc::new(ClusterDesk::new(mailbox, &[updates], &["tcp://own:1".to_owned()]));
        let (host, cluster) = (desk.host(), desk.cluster(0));
        for conn in 1..3 {
            host(ConnId(conn), peer("east", &format!("tcp://east:{conn}")));
        }
        host(ConnId(1), None);
        assert!(told(&mut inbox), "one that has gone");
        desk.close();
        host(ConnId(2), None);
        assert!(!told(&mut inbox) && format!("{cluster:?}").contains("east:2"), "{cluster:?}");
    }

    #[test]
    fn a_filter_that_is_none_says_so() {
        let error = NameFilter::parse("a.*,(b").unwrap_err().to_string();
        assert!(error.contains("(b"), "{error}");
    }
}

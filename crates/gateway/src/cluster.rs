//! [`Cluster`]: the brokers that clients of one listener are told of (`updateClusterClients`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use ferromq_model::Text;

/// The broker itself and those that are linked to it, as clients find them. All sessions of a listener share it;
/// whoever knows of links replaces it.
#[derive(Debug)]
pub struct Cluster {
    /// `rebalanceClusterClients`: each client is told another one first, and goes there.
    rebalance: bool,
    brokers: Mutex<Vec<Text>>,
}

/// Another broker, as it introduced itself over a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerBroker {
    /// Its name.
    pub name: Text,
    /// Where clients find it; may be empty.
    pub url: Text,
}

impl Cluster {
    /// A cluster of `own` alone.
    pub fn new(own: Text, rebalance: bool) -> Self {
        Self { rebalance, brokers: Mutex::new(vec![own]) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Text>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Others from now on; whether that is a change. Who knows an old list is to be told by
    /// [`Session::brokers_changed`](crate::Session::brokers_changed).
    pub fn replace(&self, brokers: Vec<Text>) -> bool {
        let mut known = self.lock();
        let same = known.len() == brokers.len() && brokers.iter().all(|broker| known.contains(broker));
        if !same {
            *known = brokers;
        }
        !same
    }

    /// What the next client is told, divided by commas. Where clients are to spread, the next one gets another first.
    pub(crate) fn next(&self) -> String {
        let mut brokers = self.lock();
        let told = brokers.iter().map(|broker| broker.to_str()).collect::<Vec<_>>().join(",");
        if self.rebalance && !brokers.is_empty() {
            brokers.rotate_left(1);
        }
        told
    }

    pub(crate) const fn rebalances(&self) -> bool {
        self.rebalance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<Text> {
        all.iter().map(|text| Text::from(*text)).collect()
    }

    #[test]
    fn each_client_is_told_another_broker_first_if_they_are_to_spread() {
        let still = Cluster::new("tcp://a:1".into(), false);
        assert!(still.replace(texts(&["tcp://a:1", "tcp://b:1"])));
        assert_eq!([still.next(), still.next()], ["tcp://a:1,tcp://b:1", "tcp://a:1,tcp://b:1"]);
        let spread = Cluster::new("tcp://a:1".into(), true);
        assert_eq!(spread.next(), "tcp://a:1");
        assert!(spread.replace(texts(&["tcp://a:1", "tcp://b:1", "tcp://c:1"])));
        let told: Vec<String> = (0..4).map(|_| spread.next()).collect();
        assert_eq!(
            told,
            [
                "tcp://a:1,tcp://b:1,tcp://c:1",
                "tcp://b:1,tcp://c:1,tcp://a:1",
                "tcp://c:1,tcp://a:1,tcp://b:1",
                "tcp://a:1,tcp://b:1,tcp://c:1"
            ]
        );
        assert!(
            !spread.replace(texts(&["tcp://a:1", "tcp://b:1", "tcp://c:1"])),
            "the same, in whatever order"
        );
    }
}

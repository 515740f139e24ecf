//! [`Cluster`]: the brokers that clients of one listener are told of (`updateClusterClients`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use ferromq_model::Text;

/// The broker itself and those that are linked to it, as clients find them. All sessions of a listener share it;
/// whoever knows of links replaces it.
#[derive(Debug)]
pub struct Cluster {
    own: Text,
    /// `rebalanceClusterClients`: each client is told another one first, and goes there.
    rebalance: bool,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    brokers: Vec<Text>,
    news: News,
}

/// How often the list has changed in a way that clients are told of; each session remembers which of it its peer knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// All such changes.
    pub(crate) changes: u64,
    /// Those by which a broker has come.
    pub(crate) arrivals: u64,
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
        let known = Known { brokers: vec![own.clone()], news: News::default() };
        Self { own, rebalance, known: Mutex::new(known) }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Others from now on; whether clients are to be told of it by
    /// [`Session::brokers_changed`](crate::Session::brokers_changed). They are if one has come, and if one has only gone
    /// where that is `told_of_leaving`.
    pub fn replace(&self, brokers: Vec<Text>, told_of_leaving: bool) -> bool {
        let mut known = self.lock();
        let comes = brokers.iter().any(|broker| !known.brokers.contains(broker));
        let goes = known.brokers.iter().any(|broker| !brokers.contains(broker));
        if !comes && !goes {
            return false;
        }
        known.brokers = brokers;
        let told = comes || told_of_leaving;
        known.news.changes += u64::from(told);
        known.news.arrivals += u64::from(comes);
        told
    }

    /// What the next client is told, divided by commas. Where clients are to spread, the next one gets another first.
    pub(crate) fn next(&self) -> (String, News) {
        let mut known = self.lock();
        let told = joined(known.brokers.iter());
        if self.rebalance && !known.brokers.is_empty() {
            known.brokers.rotate_left(1);
        }
        (told, known.news)
    }

    /// Those that are linked to this one; empty if there are none.
    pub(crate) fn others(&self) -> (String, News) {
        let known = self.lock();
        (joined(known.brokers.iter().filter(|broker| **broker != self.own)), known.news)
    }

    pub(crate) fn news(&self) -> News {
        self.lock().news
    }

    pub(crate) const fn rebalances(&self) -> bool {
        self.rebalance
    }
}

fn joined<'b>(brokers: impl Iterator<Item = &'b Text>) -> String {
    brokers.map(|broker| broker.to_str()).collect::<Vec<_>>().join(",")
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
        assert!(still.replace(texts(&["tcp://a:1", "tcp://b:1"]), false));
        assert_eq!([still.next().0, still.next().0], ["tcp://a:1,tcp://b:1", "tcp://a:1,tcp://b:1"]);
        let spread = Cluster::new("tcp://a:1".into(), true);
        assert_eq!(spread.next().0, "tcp://a:1");
        assert!(spread.replace(texts(&["tcp://a:1", "tcp://b:1", "tcp://c:1"]), false));
        let told: Vec<String> = (0..4).map(|_| spread.next().0).collect();
        assert_eq!(
            told,
            [
                "tcp://a:1,tcp://b:1,tcp://c:1",
                "tcp://b:1,tcp://c:1,tcp://a:1",
                "tcp://c:1,tcp://a:1,tcp://b:1",
                "tcp://a:1,tcp://b:1,tcp://c:1"
            ]
        );
        let again = spread.replace(texts(&["tcp://a:1", "tcp://b:1", "tcp://c:1"]), true);
        assert!(!again, "the same, in whatever order");
    }

    #[test]
    fn who_comes_is_told_of_and_who_goes_where_that_is_wanted() {
        for told_of_leaving in [false, true] {
            let cluster = Cluster::new("tcp://a:1".into(), true);
            assert!(cluster.replace(texts(&["tcp://a:1", "tcp://b:1"]), told_of_leaving));
            assert_eq!(cluster.news(), News { changes: 1, arrivals: 1 });
            assert_eq!(cluster.others().0, "tcp://b:1");
            // Another one in its place has come.
            assert!(cluster.replace(texts(&["tcp://a:1", "tcp://c:1"]), told_of_leaving));
            assert_eq!(cluster.news(), News { changes: 2, arrivals: 2 });
            assert_eq!(cluster.replace(texts(&["tcp://a:1"]), told_of_leaving), told_of_leaving);
            assert_eq!(cluster.news(), News { changes: 2 + u64::from(told_of_leaving), arrivals: 2 });
            assert_eq!(cluster.others().0, "");
        }
    }
}

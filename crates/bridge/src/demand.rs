//! [`Demand`]: what consumers of the remote broker want, and the local subscriptions that stand for them.

use std::collections::{BTreeMap, BTreeSet};

use ferromq_openwire::{ConsumerInfo, Destination, DestinationKind};

/// What remote consumers have in common that share one local subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// All who consume from it, with this selector. A topic has none: the remote broker evaluates theirs, and one
    /// copy goes over the link whoever wants it.
    Shared(Destination, Option<String>),
    /// One consumer alone.
    Alone(Destination, String),
}

/// A local subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    key: Key,
    remotes: BTreeSet<String>,
    /// Its durable name, if it has one.
    pub(crate) durable: Option<String>,
    /// It stays without anybody who wants it.
    fixed: bool,
}

/// What became of a remote consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A subscription is to be made, under this number.
    Subscribe { number: i64, durable: Option<String> },
    /// A subscription stands for it already.
    Joined,
    /// There are too many.
    Full,
}

#[derive(Debug, Default)]
pub(crate) struct Demand {
    next: i64,
    subscriptions: BTreeMap<i64, Subscription>,
    by_key: BTreeMap<Key, i64>,
    by_remote: BTreeMap<String, Vec<i64>>,
}

/// How consumers are merged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Merge {
    pub(crate) conduit: bool,
    pub(crate) network_queues: bool,
}

impl Demand {
    /// Remote consumers that are known.
    pub(crate) fn consumers(&self) -> usize {
        self.by_remote.len()
    }

    /// Local subscriptions.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    pub(crate) fn subscription(&self, number: i64) -> Option<&Subscription> {
        self.subscriptions.get(&number)
    }

    fn take_number(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// A subscription for a statically included destination.
    pub(crate) fn fix(&mut self, destination: Destination) -> i64 {
        let number = self.take_number();
        let key = Key::Shared(destination, None);
        self.by_key.insert(key.clone(), number);
        let subscription = Subscription { key, remotes: BTreeSet::new(), durable: None, fixed: true };
        self.subscriptions.insert(number, subscription);
        number
    }

    /// A remote consumer wants `destination`, one of those in `info`. `durable` is the name of the durable
    /// subscription that stands for it, if one does.
    pub(crate) fn add(
        &mut self,
        remote: &str,
        info: &ConsumerInfo,
        destination: Destination,
        durable: Option<String>,
        merge: Merge,
        most: usize,
    ) -> Change {
        let key = key(remote, info, destination, merge, durable.is_some());
        if let Some(number) = self.by_key.get(&key).copied() {
            let Some(subscription) = self.subscriptions.get_mut(&number) else { return Change::Joined };
            if durable.is_none() || subscription.durable.is_some() {
                if subscription.remotes.insert(remote.to_owned()) {
                    self.by_remote.entry(remote.to_owned()).or_default().push(number);
                }
                return Change::Joined;
            }
        }
        if self.by_remote.len() >= most {
            return Change::Full;
        }
        let number = self.take_number();
        self.by_key.insert(key.clone(), number);
        let remotes = BTreeSet::from([remote.to_owned()]);
        self.subscriptions
            .insert(number, Subscription { key, remotes, durable: durable.clone(), fixed: false });
        self.by_remote.entry(remote.to_owned()).or_default().push(number);
        Change::Subscribe { number, durable }
    }

    /// A remote consumer is gone; the subscriptions that stand for nobody any longer are to be ended. Durable ones
    /// stay: what the absent subscriber misses is kept for it over there.
    pub(crate) fn remove(&mut self, remote: &str) -> Vec<i64> {
        let mut ended = Vec::new();
        for number in self.by_remote.remove(remote).unwrap_or_default() {
            let Some(subscription) = self.subscriptions.get_mut(&number) else { continue };
            subscription.remotes.remove(remote);
            if subscription.remotes.is_empty() && !subscription.fixed && subscription.durable.is_none() {
                ended.push(number);
                self.forget(number);
            }
        }
        ended
    }

    fn forget(&mut self, number: i64) {
        if let Some(subscription) = self.subscriptions.remove(&number)
            && self.by_key.get(&subscription.key) == Some(&number)
        {
            self.by_key.remove(&subscription.key);
        }
    }
}

fn key(remote: &str, info: &ConsumerInfo, destination: Destination, merge: Merge, durable: bool) -> Key {
    let topic = matches!(destination.kind, DestinationKind::Topic | DestinationKind::TempTopic);
    let alone = !merge.conduit || (info.network_subscription && !topic && !merge.network_queues);
    if alone && !durable {
        return Key::Alone(destination, remote.to_owned());
    }
    let selector = info.selector.as_ref().filter(|selector| !topic && !selector.is_empty());
    Key::Shared(destination, selector.map(ToString::to_string))
}

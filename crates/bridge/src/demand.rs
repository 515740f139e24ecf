//! [`Demand`]: what consumers of the remote broker want, and the local subscriptions that stand for them.

use std::collections::{BTreeMap, BTreeSet};

use ferromq_model::DestinationPattern;
use ferromq_openwire::{ConsumerInfo, Destination, DestinationKind};

/// What remote consumers have in common that share one local subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// All who consume from it, with this selector, exclusively or not. A topic has none: the remote broker evaluates
    /// theirs, and one copy goes over the link whoever wants it.
    Shared(Destination, Option<String>, bool),
    /// One consumer alone.
    Alone(Destination, String),
    /// Nobody in particular: what is statically included of queues. Who consumes is told of besides, for a message may
    /// go further for a consumer than it may without one.
    Fixed(Destination, Option<String>),
}

impl Key {
    const fn destination(&self) -> &Destination {
        match self {
            Self::Shared(destination, ..) | Self::Alone(destination, _) | Self::Fixed(destination, _) => {
                destination
            }
        }
    }
}

/// A durable subscriber over there, whether it is connected or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subscriber {
    /// Its client id; empty if the broker did not tell.
    pub(crate) client: String,
    pub(crate) name: String,
}

impl Subscriber {
    fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && (self.client == other.client || self.client.is_empty() || other.client.is_empty())
    }
}

/// The durable subscription that is to stand for a remote consumer.
#[derive(Clone, Debug)]
pub(crate) struct Durable {
    /// Its name at the local broker.
    pub(crate) name: String,
    /// Whom it is for; `None` for a plain consumer of a topic whose subscriptions are to be durable (`forceDurable`).
    pub(crate) subscriber: Option<Subscriber>,
}

/// A local subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    key: Key,
    remotes: BTreeSet<String>,
    /// Its durable name, if it has one.
    pub(crate) durable: Option<String>,
    /// The durable subscribers that it stands for.
    subscribers: BTreeSet<Subscriber>,
    /// Plain consumers that want it to be durable.
    forced: BTreeSet<String>,
    /// It was there before this bridge, and nobody has told yet for whom.
    adopted: bool,
    /// It stays without anybody who wants it.
    pub(crate) fixed: bool,
}

impl Subscription {
    pub(crate) const fn destination(&self) -> &Destination {
        self.key.destination()
    }

    fn new(key: Key) -> Self {
        Self {
            key,
            remotes: BTreeSet::new(),
            durable: None,
            subscribers: BTreeSet::new(),
            forced: BTreeSet::new(),
            adopted: false,
            fixed: false,
        }
    }

    fn join(&mut self, remote: &str, durable: Option<&Durable>) {
        if let Some(durable) = durable {
            self.adopted = false;
            match &durable.subscriber {
                Some(subscriber) => self.subscribers.insert(subscriber.clone()),
                None => self.forced.insert(remote.to_owned()),
            };
        }
    }

    fn is_wanted_durably(&self) -> bool {
        self.adopted || !self.subscribers.is_empty() || !self.forced.is_empty()
    }
}

/// What became of a remote consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A subscription is to be made, under this number.
    Subscribe { number: i64, durable: Option<String> },
    /// The same, in place of a subscription of a topic that was not durable.
    Upgrade { old: i64, number: i64, durable: Option<String> },
    /// This subscription stands for it already.
    Joined { number: i64 },
    /// There are too many.
    Full,
}

/// What is to become of a subscription when somebody who wanted it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody wants it. With its durable name, if it is to be given up at the broker.
    End { number: i64, durable: Option<String> },
    /// Nobody wants it to be durable any longer: a plain one takes its place.
    Downgrade { old: i64, durable: String, number: i64, destination: Destination },
}

#[derive(Debug, Default)]
pub(crate) struct Demand {
    next: i64,
    subscriptions: BTreeMap<i64, Subscription>,
    by_key: BTreeMap<Key, i64>,
    by_remote: BTreeMap<String, Vec<i64>>,
    /// Subscriptions of each topic, and those of many topics.
    of_topic: BTreeMap<Destination, usize>,
    of_topics: BTreeMap<i64, DestinationPattern>,
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

    /// The local subscriptions that a remote consumer wants.
    pub(crate) fn of_remote(&self, remote: &str) -> Vec<i64> {
        self.by_remote.get(remote).cloned().unwrap_or_default()
    }

    /// A number that no subscription has.
    pub(crate) const fn take_number(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn insert(&mut self, subscription: Subscription) -> i64 {
        let number = self.take_number();
        self.by_key.insert(subscription.key.clone(), number);
        for remote in &subscription.remotes {
            self.by_remote.entry(remote.clone()).or_default().push(number);
        }
        let destination = subscription.destination();
        if destination.kind == DestinationKind::Topic {
            match pattern(destination) {
                Some(pattern) => drop(self.of_topics.insert(number, pattern)),
                None => *self.of_topic.entry(destination.clone()).or_default() += 1,
            }
        }
        self.subscriptions.insert(number, subscription);
        number
    }

    fn take(&mut self, number: i64) -> Option<Subscription> {
        let subscription = self.subscriptions.remove(&number)?;
        if self.by_key.get(&subscription.key) == Some(&number) {
            self.by_key.remove(&subscription.key);
        }
        for remote in &subscription.remotes {
            if let Some(numbers) = self.by_remote.get_mut(remote) {
                numbers.retain(|other| *other != number);
            }
        }
        self.of_topics.remove(&number);
        if let Some(count) = self.of_topic.get_mut(subscription.destination()) {
            *count -= 1;
            if *count == 0 {
                self.of_topic.remove(subscription.destination());
            }
        }
        Some(subscription)
    }

    /// Whether a message of this destination may be handed out for several subscriptions: of a topic each gets a copy.
    pub(crate) fn shares(&self, destination: &Destination) -> bool {
        let alone = self.of_topic.get(destination).copied().unwrap_or_default();
        if destination.kind != DestinationKind::Topic || (alone < 2 && self.of_topics.is_empty()) {
            return false;
        }
        let name = destination.name.to_str();
        alone + self.of_topics.values().filter(|pattern| pattern.matches(&name)).count() > 1
    }

    /// Gives a subscription another number, as if it were a new one.
    pub(crate) fn renumber(&mut self, number: i64) -> Option<i64> {
        let subscription = self.take(number)?;
        Some(self.insert(subscription))
    }

    /// A subscription for a statically included destination.
    pub(crate) fn fix(&mut self, destination: Destination, selector: Option<&str>) -> i64 {
        let selector = selector.map(str::to_owned);
        let key = if destination.is_queue() {
            Key::Fixed(destination, selector)
        } else {
            Key::Shared(destination, selector, false)
        };
        self.insert(Subscription { fixed: true, ..Subscription::new(key) })
    }

    /// A durable subscription that an earlier bridge of the same name has left at the local broker; `None` if the
    /// destination is wanted already.
    pub(crate) fn adopt(&mut self, destination: Destination, name: String) -> Option<i64> {
        let key = Key::Shared(destination, None, false);
        if self.by_key.contains_key(&key) {
            return None;
        }
        let adopted = Subscription { durable: Some(name), adopted: true, ..Subscription::new(key) };
        Some(self.insert(adopted))
    }

    /// A remote consumer wants `destination`, one of those in `info`.
    pub(crate) fn add(
        &mut self,
        remote: &str,
        info: &ConsumerInfo,
        destination: Destination,
        durable: Option<Durable>,
        merge: Merge,
        most: usize,
    ) -> Change {
        let key = key(remote, info, destination, merge, durable.is_some());
        if !self.by_remote.contains_key(remote) && self.by_remote.len() >= most {
            return Change::Full;
        }
        self.enter(key, Some(remote), durable, most)
    }

    /// A durable subscriber over there that may not be connected.
    pub(crate) fn add_subscriber(
        &mut self,
        destination: Destination,
        durable: Durable,
        most: usize,
    ) -> Change {
        self.enter(Key::Shared(destination, None, false), None, Some(durable), most)
    }

    fn enter(&mut self, key: Key, remote: Option<&str>, durable: Option<Durable>, most: usize) -> Change {
        let name = durable.as_ref().map(|durable| durable.name.clone());
        let id = remote.unwrap_or_default();
        if let Some(number) = self.by_key.get(&key).copied() {
            let Some(subscription) = self.subscriptions.get_mut(&number) else {
                return Change::Joined { number };
            };
            if durable.is_none() || subscription.durable.is_some() {
                subscription.join(id, durable.as_ref());
                if let Some(remote) = remote
                    && subscription.remotes.insert(remote.to_owned())
                {
                    self.by_remote.entry(remote.to_owned()).or_default().push(number);
                }
                return Change::Joined { number };
            }
            let Some(mut subscription) = self.take(number) else { return Change::Joined { number } };
            subscription.durable.clone_from(&name);
            subscription.join(id, durable.as_ref());
            subscription.remotes.extend(remote.map(str::to_owned));
            return Change::Upgrade { old: number, number: self.insert(subscription), durable: name };
        }
        if self.subscriptions.len() >= most {
            return Change::Full;
        }
        let mut subscription = Subscription { durable: name.clone(), ..Subscription::new(key) };
        subscription.join(id, durable.as_ref());
        subscription.remotes.extend(remote.map(str::to_owned));
        Change::Subscribe { number: self.insert(subscription), durable: name }
    }

    /// A remote consumer is gone. Durable subscriptions stay as long as a durable subscriber has not given up: what it
    /// misses is kept for it over there.
    pub(crate) fn remove(&mut self, remote: &str) -> Vec<Fate> {
        let numbers = self.by_remote.remove(remote).unwrap_or_default();
        for number in &numbers {
            if let Some(subscription) = self.subscriptions.get_mut(number) {
                subscription.remotes.remove(remote);
                subscription.forced.remove(remote);
            }
        }
        numbers.into_iter().filter_map(|number| self.judge(number)).collect()
    }

    /// A durable subscriber has given up.
    pub(crate) fn give_up(&mut self, gone: &Subscriber) -> Vec<Fate> {
        let mut left = Vec::new();
        for (number, subscription) in &mut self.subscriptions {
            let before = subscription.subscribers.len();
            subscription.subscribers.retain(|subscriber| !subscriber.is(gone));
            if subscription.subscribers.len() < before {
                left.push(*number);
            }
        }
        left.into_iter().filter_map(|number| self.judge(number)).collect()
    }

    /// All durable subscribers over there have been told of: what was adopted for nobody ends, of the destinations that
    /// were told of.
    pub(crate) fn settle(&mut self, told: impl Fn(&Destination) -> bool) -> Vec<Fate> {
        let mut adopted = Vec::new();
        for (number, subscription) in &mut self.subscriptions {
            if subscription.adopted && told(subscription.key.destination()) {
                subscription.adopted = false;
                adopted.push(*number);
            }
        }
        adopted.into_iter().filter_map(|number| self.judge(number)).collect()
    }

    fn judge(&mut self, number: i64) -> Option<Fate> {
        let subscription = self.subscriptions.get(&number)?;
        if let Some(name) = subscription.durable.clone() {
            if subscription.is_wanted_durably() {
                return None;
            }
            let mut subscription = self.take(number)?;
            if subscription.remotes.is_empty() && !subscription.fixed {
                return Some(Fate::End { number, durable: Some(name) });
            }
            subscription.durable = None;
            let destination = subscription.key.destination().clone();
            return Some(Fate::Downgrade {
                old: number,
                durable: name,
                number: self.insert(subscription),
                destination,
            });
        }
        if subscription.fixed || !subscription.remotes.is_empty() {
            return None;
        }
        self.take(number)?;
        Some(Fate::End { number, durable: None })
    }
}

/// `None` for a name that stands for itself alone.
fn pattern(destination: &Destination) -> Option<DestinationPattern> {
    let name = destination.name.to_str();
    name.split('.').any(|element| matches!(element, "*" | ">")).then(|| DestinationPattern::new(&name))
}

fn key(remote: &str, info: &ConsumerInfo, destination: Destination, merge: Merge, durable: bool) -> Key {
    let topic = !destination.is_queue();
    let alone = !merge.conduit || (info.network_subscription && !topic && !merge.network_queues);
    if alone && !durable {
        return Key::Alone(destination, remote.to_owned());
    }
    let selector = info.selector.as_ref().filter(|selector| !topic && !selector.is_empty());
    Key::Shared(destination, selector.map(ToString::to_string), info.exclusive && !topic)
}

//! [`Rivals`]: subscriptions of other bridges at the local broker that stand for the same remote consumers, over another
//! way. Of several ways one is enough.
//!
//! A subscription is left to rivals only while each of its remote consumers has a stronger one, and is taken back as
//! soon as one has not. Strength is a strict order that all bridges of the broker see alike, and what a rival stands
//! for is what its own advisory tells; so the strongest that tells of a consumer is left by nobody, and no consumer is
//! left without a way.
//!
//! A queue may be left for any other way, for what is not taken here waits. A topic forgets what nobody takes, so it is
//! left only for another bridge to the same broker, which hears of the same consumers, and was there before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ferromq_openwire::{BrokerId, ConsumerInfo, Destination};

/// A remote consumer of a subscription.
#[derive(Clone, Debug)]
struct Remote {
    info: ConsumerInfo,
    /// What the subscription has for a priority if it tells of this consumer.
    priority: i8,
}

impl Remote {
    /// The consumers that it stands for, the furthest first, and itself.
    fn origins(&self) -> Vec<String> {
        let known = self.info.network_consumer_path.as_deref().unwrap_or_default().iter();
        known.chain(&self.info.consumer_id).map(ToString::to_string).collect()
    }

    /// Brokers that a message passes on its way to it.
    fn hops(&self) -> usize {
        self.info.broker_path.as_deref().map_or(0, <[_]>::len) + 1
    }
}

/// A subscription that this bridge has, or would have.
#[derive(Debug)]
struct Claim {
    destination: Destination,
    /// Where the bridge leads.
    target: BrokerId,
    durable: Option<String>,
    remotes: BTreeMap<String, Remote>,
    /// The remote consumer that its advisory tells of.
    tells_of: String,
    /// It is left to rivals.
    left: bool,
    /// When the local broker told of it, among all that it tells.
    told: Option<u64>,
}

#[derive(Debug)]
struct Rival {
    destination: Destination,
    target: Option<BrokerId>,
    durable: bool,
    origins: Vec<String>,
    hops: usize,
    priority: i8,
    told: u64,
}

/// What a subscription is made of.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) destination: Destination,
    /// The remote consumer that it tells of.
    pub(crate) info: ConsumerInfo,
    pub(crate) durable: Option<String>,
}

/// Who wants a message, and how a subscription for it alone would be ranked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanting<'a> {
    pub(crate) name: &'a str,
    pub(crate) info: &'a ConsumerInfo,
    pub(crate) priority: i8,
}

#[derive(Debug, Default)]
pub(crate) struct Rivals {
    tellings: u64,
    claims: BTreeMap<i64, Claim>,
    rivals: BTreeMap<String, Rival>,
    /// Which rivals stand for a consumer.
    rivals_of: BTreeMap<String, BTreeSet<String>>,
    /// Which of our own claims do, for which of their remote consumers.
    claims_of: BTreeMap<String, BTreeSet<(i64, String)>>,
}

impl Claim {
    /// Whether a rival stands for `remote`, and is the stronger one.
    fn loses(&self, remote: &Remote, rival: &Rival) -> bool {
        if rival.destination != self.destination || (self.durable.is_some() && !rival.durable) {
            return false;
        }
        let came_before = self.told.is_none_or(|told| rival.told < told);
        if !self.destination.is_queue() {
            let same = remote.info.consumer_id.as_ref().map(ToString::to_string);
            return came_before
                && rival.target.as_ref() == Some(&self.target)
                && rival.origins.last() == same.as_ref();
        }
        let rank = |priority: i8, hops: usize| (priority, Reverse(hops));
        let (own, other) = (rank(remote.priority, remote.hops()), rank(rival.priority, rival.hops));
        other > own || (other == own && came_before)
    }
}

impl Rivals {
    /// Notes a subscription of ours; whether it may be made, because its consumer has no stronger one.
    pub(crate) fn claim(
        &mut self,
        number: i64,
        target: &BrokerId,
        destination: &Destination,
        durable: Option<&String>,
        wanting: Wanting<'_>,
    ) -> bool {
        let claim = Claim {
            destination: destination.clone(),
            target: target.clone(),
            durable: durable.cloned(),
            remotes: BTreeMap::new(),
            tells_of: wanting.name.to_owned(),
            left: false,
            told: None,
        };
        self.claims.insert(number, claim);
        self.enter(number, wanting);
        self.retry(number)
    }

    fn enter(&mut self, number: i64, wanting: Wanting<'_>) {
        let Some(claim) = self.claims.get_mut(&number) else { return };
        let remote = Remote { info: wanting.info.clone(), priority: wanting.priority };
        for origin in remote.origins() {
            self.claims_of.entry(origin).or_default().insert((number, wanting.name.to_owned()));
        }
        claim.remotes.insert(wanting.name.to_owned(), remote);
    }

    /// Whether a subscription of ours may be made, now.
    fn retry(&mut self, number: i64) -> bool {
        let left = self.is_covered(number);
        let Some(claim) = self.claims.get_mut(&number) else { return true };
        (claim.left, claim.told) = (left, None);
        !left
    }

    fn is_covered(&self, number: i64) -> bool {
        let Some(claim) = self.claims.get(&number) else { return false };
        !claim.remotes.is_empty()
            && claim.remotes.values().all(|remote| {
                let origins = remote.origins();
                let rivals = origins.iter().filter_map(|origin| self.rivals_of.get(origin)).flatten();
                rivals.filter_map(|id| self.rivals.get(id)).any(|rival| claim.loses(remote, rival))
            })
    }

    /// One more remote consumer wants what a subscription of ours is for; whether that one is left to rivals who do not
    /// stand for this consumer, and is to be made after all.
    pub(crate) fn join(&mut self, number: i64, wanting: Wanting<'_>) -> bool {
        self.enter(number, wanting);
        let alone = self.has_left(number) && !self.is_covered(number);
        if alone && let Some(claim) = self.claims.get_mut(&number) {
            wanting.name.clone_into(&mut claim.tells_of);
        }
        alone
    }

    /// A remote consumer is gone; whether the subscription is to be told of anew, because others may rely on what it
    /// told. Who is gone himself is missed by all ways alike, so only who stood for somebody further off matters, and
    /// of topics nobody.
    pub(crate) fn leave(&mut self, number: i64, name: &str) -> bool {
        let Some(claim) = self.claims.get_mut(&number) else { return false };
        // What is durable goes on without its consumer, and so do the rival ones.
        if claim.durable.is_some() {
            return false;
        }
        let Some(remote) = claim.remotes.remove(name) else { return false };
        let matters =
            claim.destination.is_queue() && remote.info.network_subscription && claim.tells_of == name;
        let again = matters && !claim.left && !claim.remotes.is_empty();
        for origin in remote.origins() {
            forget(&mut self.claims_of, &origin, &(number, name.to_owned()));
        }
        again
    }

    /// A subscription of ours is not wanted any longer; whether it was left to rivals, and so is not there.
    pub(crate) fn withdraw(&mut self, number: i64) -> bool {
        self.take(number).is_some_and(|claim| claim.left)
    }

    fn take(&mut self, number: i64) -> Option<Claim> {
        let claim = self.claims.remove(&number)?;
        for (name, remote) in &claim.remotes {
            for origin in remote.origins() {
                forget(&mut self.claims_of, &origin, &(number, name.clone()));
            }
        }
        Some(claim)
    }

    /// A subscription of ours goes on under another number, made or not.
    pub(crate) fn renumber(&mut self, old: i64, new: i64) {
        let Some(claim) = self.take(old) else { return };
        for (name, remote) in &claim.remotes {
            for origin in remote.origins() {
                self.claims_of.entry(origin).or_default().insert((new, name.clone()));
            }
        }
        self.claims.insert(new, claim);
    }

    /// A subscription of ours becomes a durable one.
    pub(crate) fn make_durable(&mut self, number: i64, name: Option<&String>) {
        if let Some(claim) = self.claims.get_mut(&number) {
            claim.durable = name.cloned();
        }
    }

    /// What a subscription of ours is to be made of, if it may be made now.
    pub(crate) fn wish(&mut self, number: i64) -> Option<Wish> {
        if !self.retry(number) {
            return None;
        }
        let claim = self.claims.get_mut(&number)?;
        if !claim.remotes.contains_key(&claim.tells_of) {
            claim.tells_of.clone_from(claim.remotes.keys().next()?);
        }
        Some(Wish {
            destination: claim.destination.clone(),
            info: claim.remotes.get(&claim.tells_of)?.info.clone(),
            durable: claim.durable.clone(),
        })
    }

    /// Whether it is known what rivals could do for this subscription.
    pub(crate) fn knows(&self, number: i64) -> bool {
        self.claims.contains_key(&number)
    }

    /// The local broker has told of a subscription of ours.
    pub(crate) fn told(&mut self, number: i64) {
        self.tellings += 1;
        if let Some(claim) = self.claims.get_mut(&number) {
            claim.told.get_or_insert(self.tellings);
        }
    }

    /// Another bridge has a subscription; which of ours are to be left to it. Both sides of a tie see the broker's
    /// advisories in the same order, and come to the same answer.
    pub(crate) fn came(&mut self, info: &ConsumerInfo, most: usize) -> Vec<i64> {
        let (Some(id), Some(destination)) = (&info.consumer_id, &info.destination) else { return Vec::new() };
        let path = info.network_consumer_path.as_deref().unwrap_or_default();
        let id = id.to_string();
        if path.is_empty() || self.rivals.len() >= most || self.rivals.contains_key(&id) {
            return Vec::new();
        }
        self.tellings += 1;
        let origins: Vec<String> = path.iter().map(ToString::to_string).collect();
        let mut concerned = BTreeSet::new();
        for origin in &origins {
            self.rivals_of.entry(origin.clone()).or_default().insert(id.clone());
            concerned.extend(self.claims_of.get(origin).into_iter().flatten().map(|(number, _)| *number));
        }
        let rival = Rival {
            destination: destination.clone(),
            target: info.broker_path.as_deref().and_then(<[_]>::last).cloned(),
            durable: info.subscription_name.is_some(),
            origins,
            hops: info.broker_path.as_deref().map_or(0, <[_]>::len),
            priority: info.priority,
            told: self.tellings,
        };
        self.rivals.insert(id, rival);
        // A durable one that is there has what its subscriber missed.
        let may_leave = |number: &i64| {
            self.claims.get(number).is_some_and(|claim| !claim.left && claim.durable.is_none())
        };
        concerned.into_iter().filter(|number| may_leave(number) && self.is_covered(*number)).collect()
    }

    /// A subscription of another bridge is gone; which of ours are to take its place.
    pub(crate) fn went(&mut self, id: &str) -> Vec<i64> {
        let Some(rival) = self.rivals.remove(id) else { return Vec::new() };
        let mut waiting = BTreeSet::new();
        for origin in &rival.origins {
            forget(&mut self.rivals_of, origin, &id.to_owned());
            waiting.extend(self.claims_of.get(origin).into_iter().flatten().map(|(number, _)| *number));
        }
        waiting.into_iter().filter(|number| self.has_left(*number) && !self.is_covered(*number)).collect()
    }

    /// Whether a subscription of ours is left to rivals.
    pub(crate) fn has_left(&self, number: i64) -> bool {
        self.claims.get(&number).is_some_and(|claim| claim.left)
    }

    /// Subscriptions of ours that are left to rivals.
    pub(crate) fn left(&self) -> usize {
        self.claims.values().filter(|claim| claim.left).count()
    }
}

fn forget<T: Ord>(index: &mut BTreeMap<String, BTreeSet<T>>, origin: &str, value: &T) {
    if let Some(values) = index.get_mut(origin) {
        values.remove(value);
        if values.is_empty() {
            index.remove(origin);
        }
    }
}

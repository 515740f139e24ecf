//! [`Rivals`]: subscriptions of other bridges at the local broker that stand for the same remote consumers, over another
//! way. Of several ways one is enough.

use std::collections::BTreeMap;

use ferromq_openwire::{ConsumerInfo, Destination};

/// A subscription that this bridge has, or would have.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) destination: Destination,
    /// The remote consumer that it stands for.
    pub(crate) info: ConsumerInfo,
    pub(crate) durable: Option<String>,
    pub(crate) priority: i8,
    /// The consumers at the far end of all ways.
    origins: Vec<String>,
    /// It is left to a rival.
    pub(crate) yielded: bool,
    /// The local broker has told of it: rivals that it tells of later came later.
    told: bool,
}

#[derive(Debug)]
struct Rival {
    destination: Destination,
    origins: Vec<String>,
    priority: i8,
}

#[derive(Debug, Default)]
pub(crate) struct Rivals {
    claims: BTreeMap<i64, Claim>,
    rivals: BTreeMap<String, Rival>,
    /// Which rivals stand for a consumer.
    rivals_of: BTreeMap<String, Vec<String>>,
    /// Which of our own claims do.
    claims_of: BTreeMap<String, Vec<i64>>,
}

/// The consumers that a consumer stands for, and itself.
fn origins(info: &ConsumerInfo) -> Vec<String> {
    let known = info.network_consumer_path.as_deref().unwrap_or_default().iter();
    known.chain(&info.consumer_id).map(ToString::to_string).collect()
}

impl Rivals {
    /// Notes a subscription of ours; whether it may be made, because no rival of at least its priority is known.
    pub(crate) fn claim(
        &mut self,
        number: i64,
        destination: &Destination,
        info: &ConsumerInfo,
        durable: Option<&String>,
        priority: i8,
    ) -> bool {
        let mut claim = Claim {
            destination: destination.clone(),
            info: info.clone(),
            durable: durable.cloned(),
            priority,
            origins: origins(info),
            yielded: false,
            told: false,
        };
        claim.yielded = self.strongest(&claim).is_some_and(|rival| rival >= priority);
        for origin in &claim.origins {
            self.claims_of.entry(origin.clone()).or_default().push(number);
        }
        let may = !claim.yielded;
        self.claims.insert(number, claim);
        may
    }

    /// A subscription of ours is not wanted any longer; whether it was left to a rival, and so was never made.
    pub(crate) fn withdraw(&mut self, number: i64) -> bool {
        let Some(claim) = self.claims.remove(&number) else { return false };
        for origin in &claim.origins {
            forget(&mut self.claims_of, origin, &number);
        }
        claim.yielded
    }

    fn strongest(&self, claim: &Claim) -> Option<i8> {
        let rivals = claim.origins.iter().filter_map(|origin| self.rivals_of.get(origin)).flatten();
        rivals
            .filter_map(|id| self.rivals.get(id))
            .filter(|rival| rival.destination == claim.destination)
            .map(|rival| rival.priority)
            .max()
    }

    /// The local broker has told of a subscription of ours.
    pub(crate) fn told(&mut self, number: i64) {
        if let Some(claim) = self.claims.get_mut(&number) {
            claim.told = true;
        }
    }

    /// Another bridge has a subscription; which of ours are to be left to it. Both sides of a tie see the broker's
    /// advisories in the same order, and come to the same answer.
    pub(crate) fn came(&mut self, info: &ConsumerInfo, most: usize) -> Vec<i64> {
        let (Some(id), Some(destination)) = (&info.consumer_id, &info.destination) else { return Vec::new() };
        if self.rivals.len() >= most || info.network_consumer_path.as_deref().is_none_or(<[_]>::is_empty) {
            return Vec::new();
        }
        let id = id.to_string();
        let path = info.network_consumer_path.as_deref().unwrap_or_default();
        let origins: Vec<String> = path.iter().map(ToString::to_string).collect();
        let mut yielding = Vec::new();
        for origin in &origins {
            self.rivals_of.entry(origin.clone()).or_default().push(id.clone());
            for number in self.claims_of.get(origin).into_iter().flatten() {
                let Some(claim) = self.claims.get_mut(number) else { continue };
                let weaker = claim.priority < info.priority;
                let later = claim.priority == info.priority && !claim.told;
                if claim.destination == *destination && !claim.yielded && (weaker || later) {
                    claim.yielded = true;
                    yielding.push(*number);
                }
            }
        }
        let rival = Rival { destination: destination.clone(), origins, priority: info.priority };
        self.rivals.insert(id, rival);
        yielding
    }

    /// A subscription of another bridge is gone; which of ours are to take its place.
    pub(crate) fn went(&mut self, id: &str) -> Vec<i64> {
        let Some(rival) = self.rivals.remove(id) else { return Vec::new() };
        let mut waiting = Vec::new();
        for origin in &rival.origins {
            forget(&mut self.rivals_of, origin, &id.to_owned());
            let claims = self.claims_of.get(origin).into_iter().flatten();
            waiting.extend(claims.filter(|number| {
                self.claims
                    .get(number)
                    .is_some_and(|claim| claim.yielded && claim.destination == rival.destination)
            }));
        }
        waiting.sort_unstable();
        waiting.dedup();
        waiting.retain(|number| {
            let free = self
                .claims
                .get(number)
                .is_some_and(|claim| self.strongest(claim).is_none_or(|rival| rival < claim.priority));
            if free && let Some(claim) = self.claims.get_mut(number) {
                (claim.yielded, claim.told) = (false, false);
            }
            free
        });
        waiting
    }

    pub(crate) fn of(&self, number: i64) -> Option<&Claim> {
        self.claims.get(&number)
    }

    /// Whether a claim is left to a rival.
    pub(crate) fn has_left(&self, number: i64) -> bool {
        self.claims.get(&number).is_some_and(|claim| claim.yielded)
    }

    /// Claims that are left to rivals.
    pub(crate) fn yielded(&self) -> usize {
        self.claims.values().filter(|claim| claim.yielded).count()
    }
}

fn forget<T: PartialEq>(index: &mut BTreeMap<String, Vec<T>>, origin: &str, value: &T) {
    if let Some(values) = index.get_mut(origin) {
        values.retain(|other| other != value);
        if values.is_empty() {
            index.remove(origin);
        }
    }
}

//! [`HighWater`]: how far a database was seen, and [`Memory`]: where a node keeps that.

use std::fmt::{self, Debug};
use std::str::FromStr;

/// How far a database was seen: kept by each node in a file of its own, it tells a database that forgot a commit (a
/// failover to a copy that lagged behind, a restored backup) from one that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HighWater {
    /// The store's own id, drawn when its schema was made.
    pub store: String,
    /// The number of the highest epoch.
    pub epoch: u64,
    /// The random id of the claim that won it.
    pub claim: u64,
    /// Commits that the store has seen and that were safe when they were seen.
    pub commits: u64,
    /// The database's timeline, which changes with each of its failovers; 0 where it can't be told.
    pub timeline: u32,
}

/// What a node remembers of databases from one start to the next. Asked by the threads of a store, which it must not
/// keep waiting.
pub trait Memory: Debug + Send + Sync {
    /// What was seen of the store with this id, if anything.
    fn recall(&self, store: &str) -> Option<HighWater>;

    /// So much is seen now.
    fn saw(&self, mark: &HighWater);

    /// Where that is kept, for whoever has to forget it.
    fn place(&self, store: &str) -> String;
}

/// How a reign began, as the database keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) epoch: u64,
    pub(crate) claim: u64,
    /// Commits of all reigns before.
    pub(crate) commits: u64,
}

impl HighWater {
    /// What is wrong with a database that shows `self` now and showed `before` once; `None` if nothing is. `since`: how
    /// the reign of then and the next one began, as far as they are known.
    pub(crate) fn lost_since(&self, before: &Self, since: &[Beginning]) -> Option<String> {
        if self.store != before.store {
            return Some(format!(
                "it is another store ({}) than the one this node knows ({})",
                self.store, before.store
            ));
        }
        let of_then = since.iter().find(|reign| reign.epoch == before.epoch);
        let next = since.iter().find(|reign| reign.epoch > before.epoch);
        let other_claim = (self.epoch == before.epoch && self.claim != before.claim)
            || of_then.is_some_and(|reign| reign.claim != before.claim);
        let went_back = self.epoch < before.epoch || self.commits < before.commits;
        // Others may have gone on from where the database had gone back to.
        if !other_claim && !went_back && next.is_none_or(|reign| reign.commits >= before.commits) {
            return None;
        }
        let way = if other_claim { ", and went another way since" } else { "" };
        Some(format!(
            "the database forgot what it had acknowledged{way}: epoch {}, commit {}, timeline {} now; epoch {}, commit \
             {}, timeline {} were seen before",
            self.epoch, self.commits, self.timeline, before.epoch, before.commits, before.timeline
        ))
    }

    /// Whether this was seen of the same store later than `before`.
    pub fn is_beyond(&self, before: &Self) -> bool {
        self.store == before.store && (self.epoch, self.commits) > (before.epoch, before.commits)
    }
}

impl fmt::Display for HighWater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, epoch, claim, commits, timeline } = self;
        write!(f, "store {store} epoch {epoch} claim {claim:016x} commits {commits} timeline {timeline}")
    }
}

impl FromStr for HighWater {
    type Err = String;

    /// Reads what [`fmt::Display`] wrote.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut read = || -> Option<Self> {
            let mut value = |name| (words.next()? == name).then(|| words.next())?;
            Some(Self {
                store: value("store")?.to_owned(),
                epoch: value("epoch")?.parse().ok()?,
                claim: u64::from_str_radix(value("claim")?, 16).ok()?,
                commits: value("commits")?.parse().ok()?,
                timeline: value("timeline")?.parse().ok()?,
            })
        };
        let mark = read().filter(|_| words.next().is_none());
        mark.ok_or_else(|| format!("not a high-water mark: {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(epoch: u64, commits: u64) -> HighWater {
        HighWater { store: "a-b".to_owned(), epoch, claim: epoch * 7, commits, timeline: 3 }
    }

    fn began(epoch: u64, claim: u64, commits: u64) -> Beginning {
        Beginning { epoch, claim, commits }
    }

    #[test]
    fn a_database_that_goes_back_is_told() {
        assert_eq!(mark(4, 100).lost_since(&mark(4, 100), &[]), None);
        assert_eq!(mark(5, 101).lost_since(&mark(4, 100), &[]), None);
        for back in [mark(4, 99), mark(3, 100), mark(5, 99)] {
            let lost = back.lost_since(&mark(4, 100), &[]);
            assert!(lost.is_some_and(|text| text.contains("commit 100")), "{back}");
        }
        let other = HighWater { store: "c".to_owned(), ..mark(9, 999) };
        assert!(other.lost_since(&mark(1, 1), &[]).is_some());
    }

    #[test]
    fn a_database_that_went_back_and_then_on_is_told_by_how_its_reigns_began() {
        let (before, now) = (mark(4, 100), mark(6, 150));
        let sound = [began(4, 28, 90), began(5, 35, 101)];
        assert_eq!(now.lost_since(&before, &sound), None);
        assert_eq!(now.lost_since(&before, &sound[1..]), None, "how that reign began is not known");
        // The tail of the reign was lost before the next one began.
        assert!(now.lost_since(&before, &[began(4, 28, 90), began(5, 35, 99)]).is_some());
        // The whole reign was lost, and somebody else won the same number.
        let other = now.lost_since(&before, &[began(4, 29, 90), began(5, 35, 101)]);
        assert!(other.is_some_and(|text| text.contains("another way")));
        let other = HighWater { claim: 1, ..mark(4, 120) };
        assert!(other.lost_since(&before, &[]).is_some());
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is() {
        let text = mark(4, 100).to_string();
        assert_eq!(text.parse(), Ok(mark(4, 100)));
        for wrong in ["", "store a epoch 1", "a 1 2 3", &format!("{text} 5")] {
            assert!(wrong.parse::<HighWater>().is_err(), "{wrong}");
        }
    }
}

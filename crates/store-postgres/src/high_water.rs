//! [`HighWater`]: how far a database was seen.

use std::fmt;
use std::str::FromStr;

/// How far a database was seen: kept by each node in a file of its own, it tells a database that forgot a commit (a
/// failover to a copy that lagged behind, a restored backup) from one that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HighWater {
    /// The store's own id, drawn when its schema was made.
    pub store: String,
    /// The number of the highest epoch.
    pub epoch: u64,
    /// Commits that the store has seen.
    pub commits: u64,
    /// The database's timeline, which changes with each of its failovers; 0 where it can't be told.
    pub timeline: u32,
}

impl HighWater {
    /// What is wrong with a database that shows `self` now and showed `before` once; `None` if nothing is.
    pub fn lost_since(&self, before: &Self) -> Option<String> {
        if self.store != before.store {
            return Some(format!(
                "it is another store ({}) than the one this node knows ({})",
                self.store, before.store
            ));
        }
        if (self.epoch, self.commits) >= (before.epoch, before.commits) && self.commits >= before.commits {
            return None;
        }
        Some(format!(
            "the database forgot what it had acknowledged: epoch {}, commit {}, timeline {} now; epoch {}, commit {}, \
             timeline {} were seen before",
            self.epoch, self.commits, self.timeline, before.epoch, before.commits, before.timeline
        ))
    }
}

impl fmt::Display for HighWater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.store, self.epoch, self.commits, self.timeline)
    }
}

impl FromStr for HighWater {
    type Err = String;

    /// Reads what [`fmt::Display`] wrote.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("not a high-water mark: {text:?}");
        let mut words = text.split_whitespace();
        let mut word = || words.next().ok_or_else(wrong);
        let mark = Self {
            store: word()?.to_owned(),
            epoch: word()?.parse().map_err(|_| wrong())?,
            commits: word()?.parse().map_err(|_| wrong())?,
            timeline: word()?.parse().map_err(|_| wrong())?,
        };
        if words.next().is_some() { Err(wrong()) } else { Ok(mark) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_goes_back_is_told() {
        let mark = |epoch, commits| HighWater { store: "a-b".to_owned(), epoch, commits, timeline: 3 };
        assert_eq!(mark(4, 100).lost_since(&mark(4, 100)), None);
        assert_eq!(mark(5, 101).lost_since(&mark(4, 100)), None);
        for back in [mark(4, 99), mark(3, 100), mark(5, 99)] {
            assert!(back.lost_since(&mark(4, 100)).is_some_and(|text| text.contains("commit 100")), "{back}");
        }
        let other = HighWater { store: "c".to_owned(), ..mark(9, 999) };
        assert!(other.lost_since(&mark(1, 1)).is_some());
        assert_eq!(mark(4, 100).to_string().parse(), Ok(mark(4, 100)));
        assert!("a 1 2".parse::<HighWater>().is_err() && "a 1 2 3 4".parse::<HighWater>().is_err());
    }
}

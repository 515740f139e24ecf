//! [`Ledger`]: what went over a bridge, counted for each destination.

use std::collections::BTreeMap;

use ferromq_model::Instant;
use ferromq_openwire::Destination;

use crate::Settings;

/// Destinations that are counted; what went to others is in the sums alone.
const MOST: usize = 1_000;

/// What went over a bridge for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationCounts {
    /// Which, as `queue://orders`.
    pub destination: String,
    /// Messages that the remote broker answered for.
    pub forwarded: u64,
    /// Messages that came from the remote broker over a duplex bridge.
    pub received: u64,
}

#[derive(Debug, Default)]
struct Account {
    forwarded: u64,
    received: u64,
    used: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<Destination, Account>,
    /// Nothing is old enough to be forgotten before.
    swept: Instant,
}

impl Ledger {
    pub(crate) fn forwarded(&mut self, destination: &Destination, now: Instant) {
        self.account(destination, now, |account| account.forwarded += 1);
    }

    pub(crate) fn received(&mut self, destination: &Destination, now: Instant) {
        self.account(destination, now, |account| account.received += 1);
    }

    fn account(&mut self, destination: &Destination, now: Instant, count: impl FnOnce(&mut Account)) {
        if !self.accounts.contains_key(destination) {
            if self.accounts.len() >= MOST {
                return;
            }
            self.accounts.insert(destination.clone(), Account::default());
        }
        if let Some(account) = self.accounts.get_mut(destination) {
            account.used = now;
            count(account);
        }
    }

    pub(crate) fn counts(&self) -> Vec<DestinationCounts> {
        let counts = self.accounts.iter().map(|(destination, account)| DestinationCounts {
            destination: destination.to_string(),
            forwarded: account.forwarded,
            received: account.received,
        });
        counts.collect()
    }

    /// Destinations without traffic for long are counted from 0 again (`gcDestinationViews`).
    pub(crate) fn forget(&mut self, settings: &Settings, now: Instant) {
        let Some(after) = settings.forget_counters_after else { return };
        if now >= self.swept + after {
            self.swept = now;
            self.accounts.retain(|_, account| now.since(account.used) < after);
        }
    }

    pub(crate) fn next_deadline(&self, settings: &Settings) -> Option<Instant> {
        let after = settings.forget_counters_after.filter(|_| !self.accounts.is_empty())?;
        Some(self.swept + after)
    }
}

//! The lockers of a store, and the times of a lease.
//!
//! Only `<lease-database-locker>` has a lease: it lasts `lockAcquireSleepInterval`, and the store's `lockKeepAlivePeriod` says
//! how often it is renewed. To the other lockers the interval is that of a standby's tries, and a master that lives but is
//! silent keeps its lock for ever.

use super::{
    data_source::{Mismatch, Purpose},
    property::{Given, Property, properties_of, simple_class, text_of},
    report::Verdict,
    translate::{Scope, Translation},
    tree::Element,
};
use crate::source::Source;

/// The bounds of `broker.takeover_after_ms`.
const TAKEOVER_AFTER_MS: std::ops::RangeInclusive<u64> = 200..=600_000;

/// How long a lease lasts if nothing is said, in milliseconds.
const LEASE_MS: u64 = 10_000;

const LEASE_LOCKER: &str = "lease-database-locker";

/// What a store says of its lock.
#[derive(Default)]
pub(super) struct StoreLock {
    /// The element of the store.
    store: String,
    /// How often it would be renewed; never if 0.
    keep_alive_ms: u64,
    /// What its lease locker, if it has one, says of the lease.
    lease: Option<Option<u64>>,
}

impl StoreLock {
    pub(super) fn of(store: &Element, name: &str) -> Self {
        // ActiveMQ's defaults: never for a folder, each 30 s for a database.
        let default = if name == "jdbcPersistenceAdapter" { 30_000 } else { 0 };
        // Of several the first one counts, in whichever order they are read.
        let mut lockers = properties_of(store).into_iter().filter_map(|property| match property.given {
            Given::Element(holder) if matches!(property.name, "locker" | "databaseLocker") => {
                holder.children.iter().find(|locker| is_lease_locker(locker))
            }
            _ => None,
        });
        Self {
            store: name.to_owned(),
            keep_alive_ms: millis_of(store, "lockKeepAlivePeriod").unwrap_or(default),
            lease: lockers.next().map(|locker| millis_of(locker, "lockAcquireSleepInterval")),
        }
    }
}

fn is_lease_locker(locker: &Element) -> bool {
    locker.name == LEASE_LOCKER || (locker.name == "bean" && simple_class(locker) == "LeaseDatabaseLocker")
}

fn millis_of(element: &Element, name: &str) -> Option<u64> {
    let properties = properties_of(element);
    let given = properties.iter().find(|property| property.name == name)?;
    text_of(given.given)?.trim().parse().ok()
}

impl<'a> Translation<'a> {
    /// `lockKeepAlivePeriod` of a store.
    pub(super) fn keep_alive(text: &str, supported: Verdict) -> Verdict {
        match text.trim().parse::<u64>() {
            Ok(_) => supported,
            Err(_) => no_millis(),
        }
    }

    /// The interval as the store says it, which its locker may say, too.
    pub(super) fn lock_interval(
        &mut self,
        text: &str,
        source: &Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        let Ok(millis) = text.trim().parse::<u64>() else { return no_millis() };
        match self.lock.lease {
            None => supported,
            Some(Some(own)) if own != millis => {
                let consequence = format!(
                    "the locker itself says {own} ms, and that counts; write the time on <{LEASE_LOCKER}> alone"
                );
                Verdict::ignored(consequence)
            }
            Some(_) => self.lease_time(text, source, scope),
        }
    }

    /// How long a lease lasts: after so long a silent master is replaced.
    pub(super) fn lease_time(&mut self, text: &str, source: &Source, scope: &mut Scope) -> Verdict {
        const KEY: &str = "broker.takeover_after_ms";
        let Ok(millis) = text.trim().parse::<u64>() else { return no_millis() };
        let (least, most) = (*TAKEOVER_AFTER_MS.start(), *TAKEOVER_AFTER_MS.end());
        let taken = millis.clamp(least, most);
        let before = self.find(KEY).and_then(|node| Some((node.value.text()?, node.source.clone())));
        if let Some((before, place)) = before.filter(|(before, _)| *before != taken.to_string()) {
            let consequence =
                format!("another locker, at {place}, says {before} ms, and that counts; keep one locker");
            return Verdict::ignored(consequence);
        }
        self.set(KEY, &taken.to_string(), source, scope);
        if taken == millis {
            let means = format!("`{KEY}`: a master that is silent for so long is replaced");
            return Verdict::supported(means);
        }
        let which = if millis < least { "too short to be kept" } else { "longer than is taken here" };
        let consequence = format!(
            "a lease of {millis} ms is {which}, and `{KEY}` is {taken}; write {least} to {most} milliseconds"
        );
        Verdict::ignored(consequence)
    }

    /// ActiveMQ's own numbers contradict one another: its lease is over before it is renewed.
    pub(super) fn lease(&mut self, locker: &'a Element) {
        let lasts = millis_of(locker, "lockAcquireSleepInterval").unwrap_or(LEASE_MS);
        let StoreLock { keep_alive_ms: renewed, store, .. } = &self.lock;
        if (1..lasts).contains(renewed) {
            return;
        }
        let renews = match renewed {
            0 => "never".to_owned(),
            renewed => format!("each {renewed} ms only"),
        };
        let consequence = format!(
            "ActiveMQ would renew its lease of {lasts} ms {renews}, and two masters would be possible; here a lease is \
             renewed in time whatever is said. Set lockKeepAlivePeriod of <{store}> to half of the lease or less"
        );
        let verdict = Verdict::ignored(consequence);
        self.report(&locker.source, format!("times of <{LEASE_LOCKER}>"), verdict);
    }

    /// What a node is called among those that share its store, unless that is said elsewhere.
    pub(super) fn lease_holder(&mut self, text: &str, source: &Source, scope: &mut Scope) -> Verdict {
        const KEYS: [(&str, &str); 2] =
            [("broker.node", "FERROMQ_BROKER_NODE"), ("broker.name", "FERROMQ_BROKER_NAME")];
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
        let name: String = text.trim().chars().map(|c| if fits(c) { c } else { '_' }).take(128).collect();
        let flags = self.input.flags.iter();
        let flag = flags.rev().find(|flag| KEYS.iter().any(|(path, _)| *path == flag.path));
        let mut variables = self.input.variables.iter();
        let variable = variables.find(|(name, _)| KEYS.iter().any(|(_, variable)| variable == name));
        let elsewhere = flag.map(|flag| flag.flag.clone()).or(variable.map(|(name, _)| name.clone()));
        if let Some(elsewhere) = elsewhere {
            let consequence = format!("{elsewhere} says what this node is called; remove one of them");
            return Verdict::ignored(consequence);
        }
        if name.is_empty() {
            return Verdict::ignored("it names nobody; the node is called by its broker, machine and port");
        }
        self.set("broker.node", &name, source, scope);
        Verdict::supported("`broker.node`; each node has to have one of its own, as in ActiveMQ")
    }

    fn names_another_lock(&self, url: &str) -> bool {
        self.find("lock.uri").and_then(|node| node.value.text()).is_some_and(|before| before != url)
    }

    /// The database of a locker: a lock beside a store in a folder. A store in a database has its own.
    pub(super) fn lock_source(&mut self, property: &Property<'a>, scope: &mut Scope) -> Option<Verdict> {
        let kind = self.find("store.kind").and_then(|node| node.value.text());
        if kind.as_deref() != Some("journal") {
            return Some(Verdict::ignored("the role is decided where the messages are"));
        }
        match self.database_url(property.given, property.source, Purpose::Lock)? {
            Ok((url, ..)) if self.names_another_lock(&url) => Some(Verdict::ignored(
                "another locker names another database, and that counts; keep one locker",
            )),
            Ok((url, source, shown)) => {
                self.set("lock.uri", &url, &source, scope);
                let means =
                    format!("`lock.uri`, {shown}: only who holds the lock there may become the master");
                Some(Verdict::supported(means))
            }
            Err(Mismatch(reason)) => {
                let consequence = format!(
                    "{reason}, so the claims in the folder of the store decide alone; for a lock beside the store set \
                     `lock.uri` to PostgreSQL, etcd or SQLite"
                );
                Some(Verdict::ignored(consequence))
            }
        }
    }
}

fn no_millis() -> Verdict {
    Verdict::rejected("this should be a number of milliseconds", "write a number, such as 5000")
}

//! [`PostgresOptions`], and [`Place`]: a database and a schema in it.

use std::time::Duration;

use ferromq_postgres::{Access, PgError, Session, Target};
use ferromq_store::StoreError;

/// Settings of a store.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// The schema that the store has for itself: lower case letters, digits and underscores.
    pub schema: String,
    /// What this broker calls itself in the database.
    pub owner: String,
    /// Bytes that messages may take before new ones are refused; a part is kept for acknowledgements.
    pub max_bytes: u64,
    /// An outage of the database that is shorter than this is waited for. Behind a lease: less than what it lasts.
    pub patience: Duration,
    /// No lock decides who may claim, so a lock of the database on the writer's session does.
    pub alone: bool,
    /// The newest version of the tables that is known. Only for tests of two versions beside each other.
    #[doc(hidden)]
    pub known_format: u32,
}

impl Default for PostgresOptions {
    /// The schema `ferromq`, no limit but the database's, half a minute of patience, no lock beside it.
    fn default() -> Self {
        Self {
            schema: "ferromq".to_owned(),
            owner: format!("process {}", std::process::id()),
            max_bytes: u64::MAX,
            patience: Duration::from_secs(30),
            alone: true,
            known_format: crate::schema::VERSION,
        }
    }
}

impl PostgresOptions {
    /// How long a claim may wait for each of its statements: tables are made and rows read, and nobody is served yet.
    pub(crate) fn claim_patience(&self) -> Duration {
        self.patience.max(Duration::from_secs(10))
    }

    /// How long a look may take. Behind a short lease longer than that lasts: a first connection takes its time.
    pub(crate) fn look_patience(&self) -> Duration {
        self.patience.max(Duration::from_secs(2))
    }

    /// What stays free for acknowledgements.
    pub(crate) const fn reserve(&self) -> u64 {
        let eighth = self.max_bytes / 8;
        if eighth < 16 << 20 { eighth } else { 16 << 20 }
    }
}

/// Where the store is, and how it is used.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) target: Target,
    pub(crate) options: PostgresOptions,
    shown: String,
}

impl Place {
    pub(crate) fn new(url: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let target = Target::parse(url).map_err(|error| StoreError::NotAStore {
            store: "the database".to_owned(),
            reason: error.to_string(),
        })?;
        let shown = format!("{}, schema {}", target.shown(), options.schema);
        let letters =
            |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let schema = options.schema.as_str();
        let named = schema.starts_with(|c: char| c.is_ascii_lowercase()) && !schema.starts_with("pg_");
        if !named || schema.len() > 50 || !letters(schema) {
            let reason =
                "a schema's name is a lower case letter and up to 49 letters, digits and underscores";
            return Err(StoreError::NotAStore { store: shown, reason: reason.to_owned() });
        }
        Ok(Self { target, options, shown })
    }

    pub(crate) fn open(&self, what: &str, access: Access, within: Duration) -> Result<Session, PgError> {
        Session::open(&self.target, &format!("ferromq {what}: {}", self.options.owner), access, within)
    }

    /// The store as texts name it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// A statement with the name of this store's schema for `{s}`.
    pub(crate) fn sql(&self, text: &str) -> String {
        text.replace("{s}", &self.options.schema)
    }

    /// What the lock of a writer that stands alone is known by, within its database.
    pub(crate) fn lock_key(&self) -> i64 {
        0x464d_5100_0000_0000 | i64::from(crc32c::crc32c(self.options.schema.as_bytes()))
    }
}

//! `[store]`: where and how messages are kept.

use super::Secret;
use crate::reader::Reader;

/// Where and how messages are kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Store {
    /// `kind`.
    pub kind: StoreKind,
    /// `id`: which store it must be; `None` for whichever is there.
    pub id: Option<String>,
    /// `url`: the database of `kind = "postgres"`, with its login.
    pub url: Option<Secret>,
    /// `schema`: where the store is in it.
    pub schema: String,
    /// `segment_bytes`: the size of one journal file.
    pub segment_bytes: u64,
    /// `sync`.
    pub sync: SyncPolicy,
    /// `sync_interval_ms`: how much time `sync = "periodic"` may lose.
    pub sync_interval_ms: u64,
    /// `max_bytes`: the most that the store takes on the disk; `None` for as much as there is.
    pub max_bytes: Option<u64>,
    /// `reserve_bytes`: kept free for acknowledgements, reclaim and shutdown when the disk is full.
    pub reserve_bytes: u64,
    /// `spool`: whether messages that are not persistent go to the disk when memory is short.
    pub spool: bool,
    /// `spool_dir`: where they go; `None` for the folder `spool` in `broker.data_dir`, if that is on a disk of this machine.
    pub spool_dir: Option<String>,
    /// `checkpoint_bytes`: written bytes after which the index is saved; it bounds the time of a start.
    pub checkpoint_bytes: u64,
}

/// What messages are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreKind {
    /// `journal`: the embedded journal.
    Journal,
    /// `sqlite`: a SQLite database.
    Sqlite,
    /// `postgres`: a PostgreSQL database, which several brokers may share.
    Postgres,
    /// `memory`: nothing outlives the process.
    Memory,
}

/// When written data is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// `always`: before it is acknowledged.
    Always,
    /// `periodic`: every `sync_interval_ms`; a power cut loses what was acknowledged since.
    Periodic,
    /// `never`: when the operating system does; a power cut may lose much that was acknowledged.
    Never,
}

/// What a name in a database may be.
pub(super) const SCHEMA_EXPECTED: &str = "a name of lower case letters, digits and '_'";

/// Whether it is one.
pub(super) fn is_schema(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= 50 && text.chars().all(letters)
}

impl Store {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        const MIB: u64 = 1 << 20;
        let kinds = [
            ("journal", StoreKind::Journal),
            ("sqlite", StoreKind::Sqlite),
            ("postgres", StoreKind::Postgres),
            ("memory", StoreKind::Memory),
        ];
        let syncs = [
            ("always", SyncPolicy::Always),
            ("periodic", SyncPolicy::Periodic),
            ("never", SyncPolicy::Never),
        ];
        let mut section = reader.section("store");
        let store = Self {
            kind: section.choice("kind", StoreKind::Journal, &kinds),
            id: section.text_or_none("id", None, "an id as `ferromq status` tells it", |text| {
                (16..=36).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
            }),
            url: section.secret_url("url").map(Secret::new),
            schema: section.text("schema", "ferromq", SCHEMA_EXPECTED, is_schema),
            segment_bytes: section.bytes("segment_bytes", 32 * MIB, MIB..=1024 * MIB),
            sync: section.choice("sync", SyncPolicy::Always, &syncs),
            sync_interval_ms: section.millis("sync_interval_ms", 1_000, 1..=60_000),
            max_bytes: section.bytes_or_none("max_bytes", None, 16 * MIB..=u64::MAX),
            reserve_bytes: section.bytes("reserve_bytes", 96 * MIB, 0..=u64::MAX),
            spool: section.bool("spool", true),
            spool_dir: section.text_or_none("spool_dir", None, "a folder", |text| !text.trim().is_empty()),
            checkpoint_bytes: section.bytes("checkpoint_bytes", 32 * MIB, MIB..=u64::MAX),
        };
        section.finish();
        store
    }
}

//! What is killed: one row, one kind of store and lock.

use std::time::Duration;

use crate::cluster::StoreKind;

/// One kind of pair.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: Kind,
    /// Whether messages lie in the store.
    pub(super) backlog: bool,
}

/// Which brokers on what.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// FerroMQ, `--takeover-after 500ms`.
    Ours(StoreKind),
    /// ActiveMQ on KahaDB, with its file lock; a look every so often, or as it comes.
    KahaDb(Option<u32>),
    /// ActiveMQ on PostgreSQL, with its lease: milliseconds between two tries, and between two renewals.
    Lease(u32, u32),
}

impl Kind {
    pub(super) const fn is_ours(self) -> bool {
        matches!(self, Kind::Ours(_))
    }

    /// Kills are spread over the interval at which a standby looks, which is what decides how long it takes.
    pub(super) const fn spread(self) -> Duration {
        let millis = match self {
            Kind::Ours(_) => 300,
            Kind::KahaDb(None) => 10_000,
            Kind::KahaDb(Some(poll)) | Kind::Lease(poll, _) => poll,
        };
        Duration::from_millis(millis as u64)
    }

    /// The longest medians and 99th percentiles to be reached, in milliseconds.
    pub(super) const fn targets(self) -> Option<(f64, f64)> {
        match self {
            Kind::Ours(StoreKind::File) => Some((400.0, 1_000.0)),
            Kind::Ours(StoreKind::Postgres) => Some((1_000.0, 1_500.0)),
            _ => None,
        }
    }
}

/// From the detection to being ready to serve, at most, in milliseconds, whatever the store holds.
pub(super) const SERVING_TARGET: f64 = 200.0;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "file",
        about: "FerroMQ, shared folder, empty",
        kind: Kind::Ours(StoreKind::File),
        backlog: false,
    },
    Row {
        name: "file-backlog",
        about: "FerroMQ, shared folder, with a backlog",
        kind: Kind::Ours(StoreKind::File),
        backlog: true,
    },
    Row {
        name: "postgres",
        about: "FerroMQ, PostgreSQL, empty",
        kind: Kind::Ours(StoreKind::Postgres),
        backlog: false,
    },
    Row {
        name: "postgres-backlog",
        about: "FerroMQ, PostgreSQL, with a backlog",
        kind: Kind::Ours(StoreKind::Postgres),
        backlog: true,
    },
    Row {
        name: "activemq-kahadb-1s",
        about: "ActiveMQ, KahaDB, file lock tried every second",
        kind: Kind::KahaDb(Some(1_000)),
        backlog: false,
    },
    Row {
        name: "activemq-kahadb-1s-backlog",
        about: "ActiveMQ, KahaDB, file lock tried every second, with a backlog",
        kind: Kind::KahaDb(Some(1_000)),
        backlog: true,
    },
    Row {
        name: "activemq-kahadb",
        about: "ActiveMQ, KahaDB, file lock as it comes (tried every 10 s)",
        kind: Kind::KahaDb(None),
        backlog: false,
    },
    Row {
        name: "activemq-lease-1s",
        about: "ActiveMQ, PostgreSQL, lease tried every second, renewed every 500 ms",
        kind: Kind::Lease(1_000, 500),
        backlog: false,
    },
    Row {
        name: "activemq-lease",
        about: "ActiveMQ, PostgreSQL, lease tried every 10 s, renewed every 5 s",
        kind: Kind::Lease(10_000, 5_000),
        backlog: false,
    },
];

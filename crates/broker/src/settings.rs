//! [`Settings`]: what a broker is told, after all sources were read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Guard;
use crate::bridges::Connector;
use crate::cluster::ClientUpdates;
use crate::neighbours::Told;
use ferromq_auth::Authenticator;
use ferromq_gateway::{SessionLimits, SessionSettings};
use ferromq_net::ListenAddress;

/// Everything a broker needs to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name that clients, logs and advisories show.
    pub name: String,
    /// What this node is called among those that share its store; `None` for the broker's name. Brokers whose name is
    /// the same for their clients and neighbours differ in it.
    pub node: Option<String>,
    /// Where messages are kept.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// How messages are kept.
    pub store: StoreChoice,
    /// Which store it must be; `None` for whichever is there.
    pub store_id: Option<String>,
    /// Where they are kept if that is [`StoreChoice::Postgres`].
    pub database: Option<Database>,
    /// A lock beside the store, whose holder alone may become the master; `None` for the store's own claims alone.
    pub guard: Option<Guard>,
    /// Sizes and safety of the journal; `max_bytes` counts for the database too. The owner is filled in at the start.
    pub journal: ferromq_store_journal::Options,
    /// Where messages that are not persistent go when memory is short.
    pub spool: SpoolPlace,
    /// When they go there.
    pub spooling: ferromq_engine::SpoolSettings,
    /// Limits that are a part of the disk; they count instead of those of the engine.
    pub shares: Shares,
    /// How long a silent master keeps its role; all other times of a lease follow from it.
    pub takeover_after: Duration,
    /// How long connections may take to finish when the broker stops.
    pub drain: Duration,
    /// Whether to listen beyond this machine although nobody has to log in.
    pub open_to_network: bool,
    /// Who may come in, and what a connection may do.
    pub door: Door,
    /// Links to other brokers, of whichever node is the master.
    pub network: Vec<Connector>,
    /// What clients are told of linked brokers, by the places of their listeners.
    pub clients: Vec<ClientUpdates>,
    /// Producers and consumers that a connection may have, by the places of the listeners.
    pub most: Vec<Most>,
    /// What others are told instead of the addresses that are listened on, by the places of the listeners.
    pub published: Vec<Option<String>>,
    /// Listeners of which other brokers and clients are told, while this node is the master.
    pub told: Vec<Told>,
    /// Limits, policies and habits of destinations.
    pub engine: ferromq_engine::Settings,
}

/// Who may come in, and what a connection may do.
#[derive(Clone, Debug)]
pub struct Door {
    /// Who may log in; `None` for everybody without a login.
    pub users: Option<Arc<Authenticator>>,
    /// The largest frame that a peer may send, unless its listener says otherwise.
    pub max_frame_bytes: u64,
    /// Connections at a time over all listeners.
    pub max_connections: usize,
    /// How long a peer may take to say who it is.
    pub handshake_timeout: Duration,
    /// How long a peer may be silent; negotiated, zero for ever.
    pub max_inactivity: Duration,
    /// Grace before the first check for silence.
    pub max_inactivity_initial_delay: Duration,
    /// Whether messages carry the name of the user who sent them.
    pub populate_user_id: bool,
}

impl Default for Door {
    fn default() -> Self {
        let session = SessionSettings::default();
        Self {
            users: None,
            max_frame_bytes: session.max_frame_size,
            max_connections: ListenAddress::MAXIMUM_CONNECTIONS,
            handshake_timeout: session.handshake_timeout,
            max_inactivity: session.max_inactivity,
            max_inactivity_initial_delay: session.max_inactivity_initial_delay,
            populate_user_id: session.populate_user_id,
        }
    }
}

/// What one connection may have at a time; as many as the broker takes where it is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    /// `maximumProducersAllowedPerConnection`.
    pub producers: Option<usize>,
    /// `maximumConsumersAllowedPerConnection`.
    pub consumers: Option<usize>,
}

/// A database that brokers share.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// The schema that the store has for itself.
    pub schema: String,
}

/// Without the URL, in which the password stands.
impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Limits that are a part of the disk, in percent of all that it has; they are measured at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Of the disk that holds the store, for persistent messages.
    pub store: Option<u8>,
    /// Of the disk that holds the spool, for messages that are not persistent.
    pub temp: Option<u8>,
}

/// Where messages that are not persistent go when memory is short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpoolPlace {
    /// Into the folder `spool` in the broker's folder, if that is on a disk of this machine and the store is one that
    /// lasts; else they stay in memory.
    #[default]
    BesideStore,
    /// Into this folder.
    In(PathBuf),
    /// They stay in memory.
    Nowhere,
}

/// How messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreChoice {
    /// FerroMQ's own journal.
    #[default]
    Journal,
    /// A SQLite database.
    Sqlite,
    /// A PostgreSQL database, which brokers on several hosts may share.
    Postgres,
    /// Not at all: everything is gone when the broker ends.
    Memory,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            node: None,
            data: PathBuf::from("ferromq-data"),
            listen: vec![ListenAddress::loopback(61_616)],
            store: StoreChoice::default(),
            store_id: None,
            database: None,
            guard: None,
            journal: ferromq_store_journal::Options::default(),
            spool: SpoolPlace::default(),
            spooling: ferromq_engine::SpoolSettings::default(),
            shares: Shares::default(),
            takeover_after: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            open_to_network: false,
            door: Door::default(),
            network: Vec::new(),
            clients: Vec::new(),
            most: Vec::new(),
            published: Vec::new(),
            told: Vec::new(),
            engine: ferromq_engine::Settings::default(),
        }
    }
}

impl Most {
    /// Lowers the bounds of a connection to these.
    pub(crate) fn limit(self, limits: &mut SessionLimits) {
        limits.producers = self.producers.unwrap_or(limits.producers);
        limits.consumers = self.consumers.unwrap_or(limits.consumers);
    }
}

impl Settings {
    /// What this node is called among those that share its store.
    #[must_use]
    pub fn node_name(&self) -> &str {
        self.node.as_deref().unwrap_or(&self.name)
    }
}

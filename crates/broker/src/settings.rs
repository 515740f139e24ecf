//! [`Settings`]: what a broker is told, after all sources were read.

use std::path::PathBuf;
use std::time::Duration;

use ferromq_net::ListenAddress;

/// Everything a broker needs to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name that clients, logs and advisories show.
    pub name: String,
    /// Where messages are kept.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: Vec<ListenAddress>,
    /// How messages are kept.
    pub store: StoreChoice,
    /// Sizes and safety of the journal; `max_bytes` counts for the database too. The owner is filled in at the start.
    pub journal: ferromq_store_journal::Options,
    /// How long connections may take to finish when the broker stops.
    pub drain: Duration,
    /// Whether to listen beyond this machine although nobody has to log in.
    pub open_to_network: bool,
    /// Limits, policies and habits of destinations.
    pub engine: ferromq_engine::Settings,
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
    /// Not at all: everything is gone when the broker ends.
    Memory,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "localhost".to_owned(),
            data: PathBuf::from("ferromq-data"),
            listen: vec![ListenAddress::loopback(61_616)],
            store: StoreChoice::default(),
            journal: ferromq_store_journal::Options::default(),
            drain: Duration::from_secs(10),
            open_to_network: false,
            engine: ferromq_engine::Settings::default(),
        }
    }
}

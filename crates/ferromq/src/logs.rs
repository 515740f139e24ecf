//! Logs on standard error, for people or for machines; nobody waits until they are read.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use ferromq_config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{SubscriberBuilder, format};

use crate::way::Way;

/// The variable that chooses lines finer than the configuration can (`ferromq_net=debug,info`, …).
pub(crate) const VARIABLE: &str = "FERROMQ_LOG";

type Lines = SubscriberBuilder<format::DefaultFields, format::Format, EnvFilter, fn() -> Way>;

static WAY: OnceLock<Way> = OnceLock::new();

/// How long the end of the program waits for a reader of the log.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

fn way() -> Way {
    WAY.get_or_init(|| Way::to(std::io::stderr())).clone()
}

/// Whether all that was logged could be written, before the program says its last words there.
pub(crate) fn drained() -> bool {
    WAY.get().is_none_or(|way| way.drain(LAST_PATIENCE))
}

/// Logs of a verb that reads no configuration.
pub(crate) fn start_plain() {
    let lines = lines("info");
    // Somebody may log already.
    let _ = lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init();
}

/// Logs from now on.
pub(crate) fn start(log: &Log) {
    let lines = lines(log.level.name());
    match log.format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        _ => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
    }
}

/// From this level on, unless the variable says otherwise.
fn lines(level: &str) -> Lines {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(way as fn() -> Way);
    // When nobody reads them any longer, a complaint about that has no better place, and would be a panic of whoever logs.
    lines.log_internal_errors(false)
}

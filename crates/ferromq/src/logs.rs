//! Logs on standard error, for people or for machines.

use std::io::IsTerminal;

use ferromq_config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{SubscriberBuilder, format};

/// The variable that chooses lines finer than the configuration can (`ferromq_net=debug,info`, …).
pub(crate) const VARIABLE: &str = "FERROMQ_LOG";

type Lines = SubscriberBuilder<format::DefaultFields, format::Format, EnvFilter, fn() -> std::io::Stderr>;

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
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr as fn() -> std::io::Stderr);
    // When nobody reads them any longer, a complaint about that has no better place, and would be a panic of whoever logs.
    lines.log_internal_errors(false)
}

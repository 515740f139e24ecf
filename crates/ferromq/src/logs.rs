//! Logs on standard error, for people or for machines.

use std::io::IsTerminal;

use ferromq_config::{Log, LogFormat};
use tracing_subscriber::EnvFilter;

/// The variable that chooses lines finer than the configuration can (`ferromq_net=debug,info`, …).
pub(crate) const VARIABLE: &str = "FERROMQ_LOG";

/// Logs of a verb that reads no configuration.
pub(crate) fn start_plain() {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody may log already.
    let _ = lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init();
}

/// Logs from now on.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(log.level.name()));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        _ => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
    }
}

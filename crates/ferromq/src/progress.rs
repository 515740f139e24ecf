//! How far a verb has come, on a terminal; nothing anywhere else.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar if the number of messages is known, else a counter; hidden if standard error is no terminal.
pub(crate) fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        // One message needs no bar.
        Some(0 | 1) => return ProgressBar::hidden(),
        Some(total) => (ProgressBar::new(total), "{bar:30} {pos}/{len} messages, {per_sec}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} messages, {per_sec}"),
    };
    // A template that is wrong is a bar in the default style.
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// As [`bar`], for a verb whose results go to standard output: on one terminal both would be a muddle.
pub(crate) fn bar_beside_output(total: Option<u64>) -> ProgressBar {
    if std::io::stdout().is_terminal() { ProgressBar::hidden() } else { bar(total) }
}

//! Where a value comes from.

use std::{fmt, sync::Arc};

/// Where a value comes from, or a mistake stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A configuration file.
    File {
        /// Its name, as given.
        file: Arc<str>,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
    },
    /// A variable of the environment.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
}

impl Source {
    /// Whether both stand on one line of one file.
    pub(crate) fn is_on_line_of(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::File { file, line, .. }, Source::File { file: other_file, line: other_line, .. }) => {
                (file, line) == (other_file, other_line)
            }
            _ => false,
        }
    }
}

/// Columns of longer lines are counted in bytes: each value of a line is looked for, and a file may be one line.
const MAX_LINE_BYTES: usize = 4 * 1024;

/// The lines of a file, to tell where something stands.
pub(crate) struct Places<'a> {
    file: Arc<str>,
    text: &'a str,
    /// Where each line ends.
    newlines: Vec<usize>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(file: &Arc<str>, text: &'a str) -> Self {
        let newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file: Arc::clone(file), text, newlines }
    }

    /// The place of a byte.
    pub(crate) fn at(&self, offset: usize) -> Source {
        let before = self.newlines.partition_point(|newline| *newline < offset);
        let start =
            before.checked_sub(1).and_then(|last| self.newlines.get(last)).map_or(0, |newline| newline + 1);
        let column = match self.text.get(start..offset) {
            Some(line) if line.len() <= MAX_LINE_BYTES => line.chars().count(),
            _ => offset.saturating_sub(start),
        };
        Source::File { file: Arc::clone(&self.file), line: before + 1, column: column + 1 }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Source::Variable(name) => write!(f, "env {name}"),
            Source::Flag(name) => f.write_str(name),
        }
    }
}

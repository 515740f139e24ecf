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

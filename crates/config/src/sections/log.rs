//! `[log]`: what the broker writes about itself.

use crate::reader::Reader;

/// What the broker writes about itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// `format`.
    pub format: LogFormat,
    /// `level`.
    pub level: LogLevel,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogFormat {
    /// `human`: text for eyes.
    Human,
    /// `json`: one object a line.
    Json,
}

/// Which lines are written: those of this weight and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// `error`.
    Error,
    /// `warn`.
    Warn,
    /// `info`.
    Info,
    /// `debug`.
    Debug,
    /// `trace`.
    Trace,
}

const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

impl LogLevel {
    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
    }
}

impl Log {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("log");
        let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
        let log = Self {
            format: section.choice("format", LogFormat::Human, &formats),
            level: section.choice("level", LogLevel::Info, &LEVELS),
        };
        section.finish();
        log
    }
}

//! [`Finding`]: what the doctor says, to people and to scripts.

use std::fmt;

use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// Looked at, and right.
    Pass,
    /// It starts, and somebody should know.
    Warn,
    /// It must not start like this.
    Refuse,
}

impl Verdict {
    /// The word.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// How bad it is.
    pub(super) verdict: Verdict,
    /// What was looked at; the same word for the same check, for scripts.
    pub(super) check: &'static str,
    /// What was found.
    pub(super) reason: String,
    /// The line of the configuration; may be empty.
    pub(super) line: String,
    /// What to do; empty if it passed.
    pub(super) remedy: String,
}

impl Finding {
    /// For scripts; names are kept.
    pub(super) fn object(&self) -> Value {
        json!({
            "verdict": self.verdict.name(),
            "check": self.check,
            "reason": self.reason,
            "line": self.line,
            "remedy": self.remedy,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {}: {}", self.verdict.name(), self.check, self.reason)?;
        if !self.line.is_empty() && self.verdict != Verdict::Pass {
            write!(f, "\n        at: {}", self.line)?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\n        do: {}", self.remedy)?;
        }
        Ok(())
    }
}

//! What became of each element and attribute of an XML file.

use std::fmt;

use crate::{
    diagnostic::{Diagnostic, Severity},
    source::Source,
};

/// What became of everything in an `activemq.xml`, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub(crate) entries: Vec<Entry>,
}

/// One element, attribute or property.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Where it stands.
    pub source: Source,
    /// What it is: `<kahaDB>`, or `kahaDB directory`.
    pub subject: String,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of an element or attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It counts.
    Supported {
        /// The key that it sets, or why it needs none.
        means: String,
    },
    /// The broker starts without it.
    Ignored {
        /// What is different from ActiveMQ for that.
        consequence: String,
    },
    /// The broker does not start with it.
    Rejected {
        /// Why.
        reason: String,
        /// What to write instead.
        remedy: String,
    },
}

impl Report {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// A value that was taken turned out to be wrong, or odd: the mistake names what it is about, and what is refused is
    /// supported no longer.
    pub(crate) fn correct(&mut self, diagnostic: &mut Diagnostic) {
        let counts = |entry: &&mut Entry| !matches!(entry.verdict, Verdict::Ignored { .. });
        let there = self.at(&diagnostic.source);
        let Some(entry) = self.entries.get_mut(there).and_then(|entries| entries.iter_mut().find(counts))
        else {
            return;
        };
        let reason = std::mem::take(&mut diagnostic.problem);
        diagnostic.problem = format!("{}: {reason}", entry.subject);
        if diagnostic.severity == Severity::Error && matches!(entry.verdict, Verdict::Supported { .. }) {
            entry.verdict = Verdict::rejected(reason, diagnostic.remedy.clone());
        }
    }

    /// Whether a mistake or warning is told by one of the entries already.
    #[must_use]
    pub fn tells(&self, diagnostic: &Diagnostic) -> bool {
        let there = self.entries.get(self.at(&diagnostic.source)).unwrap_or_default();
        there.iter().any(|entry| entry.diagnostic().as_ref() == Some(diagnostic))
    }

    /// Those that stand at one place.
    fn at(&self, source: &Source) -> std::ops::Range<usize> {
        let begin = self.entries.partition_point(|entry| entry.source < *source);
        let end = self.entries.partition_point(|entry| entry.source <= *source);
        begin..end
    }
}

impl Entry {
    /// What is to be said beside the report; nothing of what is supported.
    pub(crate) fn diagnostic(&self) -> Option<Diagnostic> {
        let subject = &self.subject;
        let (severity, problem, remedy) = match &self.verdict {
            Verdict::Supported { .. } => return None,
            Verdict::Ignored { consequence } => {
                (Severity::Warning, format!("{subject} is ignored: {consequence}"), String::new())
            }
            Verdict::Rejected { reason, remedy } => {
                (Severity::Error, format!("{subject}: {reason}"), remedy.clone())
            }
        };
        Some(Diagnostic { source: self.source.clone(), severity, problem, remedy })
    }
}

impl Verdict {
    pub(crate) fn supported(means: impl Into<String>) -> Self {
        Self::Supported { means: means.into() }
    }

    pub(crate) fn ignored(consequence: impl Into<String>) -> Self {
        Self::Ignored { consequence: consequence.into() }
    }

    pub(crate) fn rejected(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into(), remedy: remedy.into() }
    }

    /// The word for it: `supported`, `ignored` or `rejected`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Verdict::Supported { .. } => "supported",
            Verdict::Ignored { .. } => "ignored",
            Verdict::Rejected { .. } => "rejected",
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}: ", self.source, self.verdict.word(), self.subject)?;
        match &self.verdict {
            Verdict::Supported { means } => f.write_str(means),
            Verdict::Ignored { consequence } => f.write_str(consequence),
            Verdict::Rejected { reason, remedy } if remedy.is_empty() => f.write_str(reason),
            Verdict::Rejected { reason, remedy } => write!(f, "{reason}; {remedy}"),
        }
    }
}

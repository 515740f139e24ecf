//! Layers in, a checked configuration out.

use std::collections::BTreeSet;

use crate::{
    check::{NO_LISTENER, NO_USERS, check},
    diagnostic::{Diagnostic, Diagnostics, Severity},
    effective::Record,
    reader::Reader,
    sections::{Config, expand_network},
    source::Source,
    toml_file,
    xml::{self, Report, Translated},
};

/// The largest configuration file.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// The layers of a configuration, lightest first: file, environment, command line.
#[derive(Debug, Clone, Default)]
pub struct Input {
    file: Option<(String, String)>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) flags: Vec<Override>,
    /// The whole environment, for placeholders.
    pub(crate) environment: Vec<(String, String)>,
    /// Properties of Java, as `-D` sets them.
    pub(crate) properties: Vec<(String, String)>,
    /// Files that the configuration file refers to.
    pub(crate) related: Vec<(String, String)>,
}

/// A value from the command line.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    pub(crate) flag: String,
    pub(crate) path: String,
    pub(crate) value: String,
}

/// Variables that a program reads itself; they set nothing here.
const OTHERS: [&str; 4] = ["FERROMQ_CONFIG", "FERROMQ_LOG", "FERROMQ_STATE_DIR", "FERROMQ_CLIENT_PASSWORD"];

impl Input {
    /// Adds the file: the name under which it is reported, and its text.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), text.into()));
        self
    }

    /// Adds a variable of the environment. Those that do not begin with `FERROMQ_` set nothing, so that a whole
    /// environment can be handed over; the placeholders of an `activemq.xml` may name them.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        if name.starts_with(crate::reader::PREFIX) && !OTHERS.contains(&name.as_str()) {
            self.variables.push((name.clone(), value.clone()));
        }
        self.environment.push((name, value));
        self
    }

    /// Adds a property of Java, for the placeholders of an `activemq.xml`: `activemq.data` and the like.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Adds a file that [`crate::related_files`] asked for, with its text.
    #[must_use]
    pub fn related(mut self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.related.push((path.into(), text.into()));
        self
    }

    /// Without what variables would set; placeholders still have their values.
    #[must_use]
    pub fn without_overrides(mut self) -> Self {
        self.variables.clear();
        self
    }

    /// The configuration file, if it is XML.
    pub(crate) fn xml(&self) -> Option<(&str, &str)> {
        let (name, text) = self.file.as_ref()?;
        xml::is_xml(name, text).then_some((name.as_str(), text.as_str()))
    }

    /// Adds a flag of the command line: its name as typed, the key that it sets, such as `store.kind`, and its value.
    /// The list `listen` takes URIs divided by blanks.
    #[must_use]
    pub fn flag(
        mut self,
        flag: impl Into<String>,
        path: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.flags.push(Override { flag: flag.into(), path: path.into(), value: value.into() });
        self
    }
}

/// A configuration without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What whoever wrote it should know.
    pub warnings: Diagnostics,
    record: Record,
    report: Option<Report>,
}

impl Loaded {
    /// What became of each element and attribute of an `activemq.xml`; `None` for a TOML file.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// The values that were set, as a TOML file that loads to the same configuration. **Passwords stand in it.**
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.record.file()
    }

    /// The configuration as it counts, as TOML, with the source of each value behind it. Passwords are masked.
    #[must_use]
    pub fn effective(&self) -> String {
        self.record.print()
    }

    /// Where the value of a key such as `store.kind` comes from; `None` if it has none.
    #[must_use]
    pub fn source(&self, path: &str) -> Option<&Source> {
        self.record.source(path)
    }
}

/// Merges the layers and checks all of them.
///
/// # Errors
/// Every error and warning, in the order of their places.
pub fn load(input: &Input) -> Result<Loaded, Diagnostics> {
    examine(input).1
}

/// As [`load`], with the report on an `activemq.xml` even if it is refused; `None` for a TOML file.
pub fn examine(input: &Input) -> (Option<Report>, Result<Loaded, Diagnostics>) {
    let Translated { mut root, report, diagnostics: syntax } = match &input.file {
        None => Translated::default(),
        Some((name, text)) if text.len() > MAX_FILE_BYTES => return (None, Err(too_long(name, text))),
        Some((name, text)) if xml::is_xml(name, text) => xml::parse(input, name, text),
        Some((name, text)) => {
            let (root, diagnostics) = toml_file::parse(name, text);
            Translated { root, diagnostics, ..Translated::default() }
        }
    };
    let mut report = input.xml().map(|_| report);
    let clashes = expand_network(&mut root, input);
    let mut reader = Reader::new(input, &root);
    reader.diagnostics.extend(clashes);
    reader.extendable("network_connector");
    let config = Config::read(&mut reader);
    check(&config, &mut reader);
    reader.finish();
    let Reader { mut diagnostics, record, .. } = reader;
    match &mut report {
        // What a broken line says is not judged as well.
        None => diagnostics.retain(|diagnostic| {
            !syntax.iter().any(|broken| broken.source.is_on_line_of(&diagnostic.source))
        }),
        Some(report) => judge_xml(&mut diagnostics, &syntax, report),
    }
    diagnostics.extend(syntax);
    let diagnostics = Diagnostics::new(diagnostics);
    if diagnostics.has_errors() {
        return (report, Err(diagnostics));
    }
    let loaded = Loaded { config, warnings: diagnostics, record, report: report.clone() };
    (report, Ok(loaded))
}

/// Whoever wrote XML knows attributes, not keys.
fn judge_xml(diagnostics: &mut Vec<Diagnostic>, syntax: &[Diagnostic], report: &mut Report) {
    let broken: BTreeSet<&Source> = syntax
        .iter()
        .filter(|broken| broken.severity == Severity::Error)
        .map(|broken| &broken.source)
        .collect();
    // What is missing may be what was refused.
    let any = !broken.is_empty();
    let missing = |problem: &str| {
        problem.starts_with("there is no store.url")
            || problem.starts_with(NO_LISTENER)
            || problem.ends_with(NO_USERS)
    };
    diagnostics
        .retain(|diagnostic| !(broken.contains(&diagnostic.source) || any && missing(&diagnostic.problem)));
    for diagnostic in diagnostics {
        xml::in_words_of_xml(diagnostic);
        report.correct(diagnostic);
    }
}

fn too_long(name: &str, text: &str) -> Diagnostics {
    let source = Source::File { file: name.into(), line: 1, column: 1 };
    let problem = format!("the file has {} bytes, more than the limit of {MAX_FILE_BYTES}", text.len());
    let remedy = "is this the right file?".to_owned();
    Diagnostics::new(vec![Diagnostic { source, severity: Severity::Error, problem, remedy }])
}

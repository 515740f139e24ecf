//! Layers in, a checked configuration out.

use crate::{
    check::check,
    diagnostic::{Diagnostic, Diagnostics, Severity},
    document::Table,
    effective::Record,
    reader::Reader,
    sections::{Config, expand_network},
    source::Source,
    toml_file,
};

/// The largest configuration file.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// The layers of a configuration, lightest first: file, environment, command line.
#[derive(Debug, Clone, Default)]
pub struct Input {
    file: Option<(String, String)>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) flags: Vec<Override>,
}

/// A value from the command line.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    pub(crate) flag: String,
    pub(crate) path: String,
    pub(crate) value: String,
}

/// Variables that a program reads itself; they set nothing here.
const OTHERS: [&str; 1] = ["FERROMQ_CONFIG"];

impl Input {
    /// Adds the file: the name under which it is reported, and its text.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.file = Some((name.into(), text.into()));
        self
    }

    /// Adds a variable of the environment. Those that do not begin with `FERROMQ_` are left out, so that a whole
    /// environment can be handed over.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        if name.starts_with(crate::reader::PREFIX) && !OTHERS.contains(&name.as_str()) {
            self.variables.push((name, value.into()));
        }
        self
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
}

impl Loaded {
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
    let (mut root, syntax) = match &input.file {
        None => (Table::default(), Vec::new()),
        Some((name, text)) if text.len() > MAX_FILE_BYTES => {
            let source = Source::File { file: name.as_str().into(), line: 1, column: 1 };
            let problem =
                format!("the file has {} bytes, more than the limit of {MAX_FILE_BYTES}", text.len());
            let remedy = "is this the right file?".to_owned();
            return Err(Diagnostics::new(vec![Diagnostic {
                source,
                severity: Severity::Error,
                problem,
                remedy,
            }]));
        }
        Some((name, text)) => toml_file::parse(name, text),
    };
    let clashes = expand_network(&mut root, input);
    let mut reader = Reader::new(input, &root);
    reader.diagnostics.extend(clashes);
    reader.extendable("network_connector");
    let config = Config::read(&mut reader);
    check(&config, &mut reader);
    reader.finish();
    let Reader { mut diagnostics, record, .. } = reader;
    // What a broken line says is not judged as well.
    diagnostics
        .retain(|diagnostic| !syntax.iter().any(|broken| broken.source.is_on_line_of(&diagnostic.source)));
    diagnostics.extend(syntax);
    let diagnostics = Diagnostics::new(diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    Ok(Loaded { config, warnings: diagnostics, record })
}

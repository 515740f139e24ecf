//! An `activemq.xml` to the same tree that a TOML file comes to, and a report of what became of everything in it.
//!
//! ActiveMQ's classes are not known here: [`rules`] reads the table of elements and attributes, `schema.txt`, which is
//! also what `docs/COMPATIBILITY.md` is made of; [`translate`] obeys it. No DTD is read, no entity expanded, no file
//! opened and no class looked up.

mod beans;
mod broker;
mod connectors;
mod data_source;
mod handlers;
mod jaas;
mod locker;
mod markdown;
mod once;
mod properties;
mod property;
mod report;
pub(crate) mod rules;
mod translate;
mod tree;
mod words;

pub use markdown::compatibility_tables;
pub use report::{Entry, Report, Verdict};
pub(crate) use words::in_words_of_xml;

use std::sync::Arc;

use properties::Properties;

use crate::{
    diagnostic::{Diagnostic, Severity},
    document::Table,
    load::{Input, MAX_FILE_BYTES},
};

/// What a file came to.
#[derive(Default)]
pub(crate) struct Translated {
    pub(crate) root: Table,
    pub(crate) report: Report,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Whether a file is XML: by its name, or by how it begins.
#[must_use]
pub fn is_xml(name: &str, text: &str) -> bool {
    let named = name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("xml"));
    named || text.trim_start_matches('\u{feff}').trim_start().starts_with('<')
}

/// The files that the configuration file refers to and that are not there yet, as paths to hand over with
/// [`Input::related`]. One of them may refer to others: ask again until nothing new is asked for. None for a file that is
/// no XML, or none that can be read.
#[must_use]
pub fn related_files(input: &Input) -> Vec<String> {
    let Some((name, text)) = input.xml() else { return Vec::new() };
    if text.len() > MAX_FILE_BYTES {
        return Vec::new();
    }
    let Ok(root) = tree::parse(&Arc::from(name), text) else { return Vec::new() };
    let properties = Properties::new(input, name);
    let mut files: Vec<String> = properties.files_of(&root).into_iter().map(|(path, _)| path).collect();
    files.extend(jaas::files_of(&root, &properties, input));
    files.retain(|path| !input.related.iter().any(|(known, _)| known == path));
    files
}

pub(crate) fn parse(input: &Input, name: &str, text: &str) -> Translated {
    let text = text.trim_start_matches('\u{feff}');
    let mut root = match tree::parse(&Arc::from(name), text) {
        Ok(root) => root,
        Err(mistake) => return Translated { diagnostics: vec![mistake], ..Translated::default() },
    };
    let mut problems = Vec::new();
    let mut properties = Properties::new(input, name);
    properties.read(input, &root, &mut problems);
    // Where a placeholder bean looks is told when its files are read.
    let broken = |problems: &[Diagnostic]| problems.iter().any(|problem| problem.severity == Severity::Error);
    tree::fill(&mut root, &properties, &mut problems);
    let mut translated = translate::translate(&root, input, &properties);
    let named = input.flags.iter().any(|flag| flag.path == "broker.name")
        || input.variables.iter().any(|(name, _)| name == "FERROMQ_BROKER_NAME");
    if !named {
        broker::name_node(&mut translated.root, properties.host());
    }
    if broken(&problems) {
        // A value with a hole in it is not judged as well.
        let holes: Vec<_> = problems.iter().map(|problem| problem.source.clone()).collect();
        translated.diagnostics.retain(|problem| !holes.contains(&problem.source));
    }
    for problem in problems.iter_mut().filter(|problem| problem.severity == Severity::Error) {
        translated.report.correct(problem);
    }
    translated.diagnostics.extend(problems);
    translated
}

//! Connectors written as one URI become tables, before anything is read.

use ferromq_uri::{Options, Uri};

use super::{ATTRIBUTES, LISTS, WITHOUT_EFFECT};
use crate::{
    diagnostic::{Diagnostic, Severity},
    document::{Node, Table, TableEntry, Value},
    load::Input,
    reader::variable_of,
    source::Source,
};

const KEY: &str = "network_connector";

/// Adds the connectors of flags and of the variable to those of the file, and turns attributes in URIs into keys.
pub(crate) fn expand(root: &mut Table, input: &Input) -> Vec<Diagnostic> {
    let mut added: Vec<(String, Source)> = Vec::new();
    let variable = variable_of(KEY);
    for (name, value) in input.variables.iter().filter(|(name, _)| *name == variable) {
        let source = Source::Variable(name.clone());
        added.extend(value.split_whitespace().map(|uri| (uri.to_owned(), source.clone())));
    }
    for flag in input.flags.iter().filter(|flag| flag.path == KEY) {
        added.push((flag.value.clone(), Source::Flag(flag.flag.clone())));
    }
    for (text, source) in added {
        let uri = Node { source: source.clone(), value: Value::Text(text) };
        let mut table = Table::default();
        table.put("uri", uri);
        root.push(KEY, Node { source, value: Value::Table(table) });
    }
    let mut problems = Vec::new();
    let Some(Value::List(nodes)) = root.find_mut(KEY).map(|node| &mut node.value) else { return problems };
    for node in nodes {
        if let Value::Table(table) = &mut node.value {
            attributes(table, &mut problems);
        }
    }
    problems
}

/// What is both in the URI and beside it must be the same.
fn attributes(table: &mut Table, problems: &mut Vec<Diagnostic>) {
    let Some(Node { source, value: Value::Text(text) | Value::Untyped(text) }) = table.find("uri") else {
        return;
    };
    // A URI that cannot be read is reported by whoever reads it.
    let Ok(uri) = Uri::parse(text) else { return };
    let source = source.clone();
    let mut rest = Options::default();
    for (name, value) in uri.options.iter() {
        if let Some((_, why)) = WITHOUT_EFFECT.iter().find(|(attribute, _)| *attribute == name) {
            problems.push(Diagnostic {
                source: source.clone(),
                severity: Severity::Warning,
                problem: format!("{name} in the uri has no effect: {why}"),
                remedy: "remove it".to_owned(),
            });
            continue;
        }
        let attribute = ATTRIBUTES.iter().find(|(attribute, _)| *attribute == name);
        let list = LISTS.iter().find(|(attribute, _)| *attribute == name);
        let (key, value) = match (attribute, list) {
            (Some((_, key)), _) => (*key, Value::Untyped(value.to_owned())),
            (None, Some((_, key))) => {
                let node = |text: &str| Node { source: source.clone(), value: Value::Text(text.to_owned()) };
                (*key, Value::List(value.split(',').filter(|text| !text.is_empty()).map(node).collect()))
            }
            (None, None) => {
                rest.set(name, value);
                continue;
            }
        };
        match table.find(key) {
            Some(beside) if beside.value.text() != value.text() => {
                problems.push(Diagnostic {
                    source: beside.source.clone(),
                    severity: Severity::Error,
                    problem: format!("'{key}' is set here, and as {name} in the uri to something else"),
                    remedy: "remove one of them".to_owned(),
                });
            }
            Some(_) => {}
            None => {
                let node = Node { source: source.clone(), value };
                table.entries.push(TableEntry { key: key.to_owned(), key_source: source.clone(), node });
            }
        }
    }
    // Nothing counts twice, and no password stays in a text that is printed.
    if rest != uri.options {
        let text = Uri { options: rest, ..uri }.to_string();
        table.put("uri", Node { source, value: Value::Text(text) });
    }
}

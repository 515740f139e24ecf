//! TOML text to a [`Table`] with positions.

use std::sync::Arc;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    diagnostic::{Diagnostic, Severity},
    document::{Node, Table, TableEntry, Value},
    source::Places,
};

/// Parses a file. What can be read around syntax errors is read, so that other mistakes are found in the same run.
pub(crate) fn parse(file: &str, text: &str) -> (Table, Vec<Diagnostic>) {
    let places = Places::new(&Arc::from(file), text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .into_iter()
        .map(|error| Diagnostic {
            source: places.at(error.span().unwrap_or_default().start),
            severity: Severity::Error,
            problem: format!("this is no valid TOML: {}", error.message()),
            remedy: String::new(),
        })
        .collect();
    (table(root.get_ref(), &places), errors)
}

fn table(read: &DeTable<'_>, places: &Places<'_>) -> Table {
    let mut entries: Vec<(usize, TableEntry)> = read
        .iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let (name, key_source) = (key.get_ref().to_string(), places.at(start));
            (start, TableEntry { key: name, key_source, node: node(value, places) })
        })
        .collect();
    entries.sort_by_key(|(start, _)| *start);
    Table { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
}

fn node(read: &Spanned<DeValue<'_>>, places: &Places<'_>) -> Node {
    let value = match read.get_ref() {
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::String(value) => Value::Text(value.to_string()),
        DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Int),
        DeValue::Float(value) => {
            value.as_str().parse().map_or(Value::Other("a number that cannot be read"), Value::Float)
        }
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(values) => Value::List(values.iter().map(|value| node(value, places)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, places)),
    };
    Node { source: places.at(read.span().start), value }
}

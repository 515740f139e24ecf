//! TOML text to a [`Table`] with positions.

use std::{ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    diagnostic::{Diagnostic, Severity},
    document::{Node, Table, TableEntry, Value},
    source::Source,
};

/// Parses a file. What can be read around syntax errors is read, so that other mistakes are found in the same run.
pub(crate) fn parse(file: &str, text: &str) -> (Table, Vec<Diagnostic>) {
    let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
    let places = Places { file: file.into(), text, newlines };
    let (table, errors) = DeTable::parse_recoverable(text);
    let errors = errors
        .into_iter()
        .map(|error| Diagnostic {
            source: places.at(error.span().unwrap_or_default()),
            severity: Severity::Error,
            problem: format!("this is no valid TOML: {}", error.message()),
            remedy: String::new(),
        })
        .collect();
    (places.table(table.get_ref()), errors)
}

struct Places<'a> {
    file: Arc<str>,
    text: &'a str,
    /// Where each line ends.
    newlines: Vec<usize>,
}

impl Places<'_> {
    fn table(&self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<(usize, TableEntry)> = table
            .iter()
            .map(|(key, node)| {
                let entry = TableEntry {
                    key: key.get_ref().to_string(),
                    key_source: self.at(key.span()),
                    node: self.node(node),
                };
                (key.span().start, entry)
            })
            .collect();
        entries.sort_by_key(|(start, _)| *start);
        Table { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
    }

    fn node(&self, node: &Spanned<DeValue<'_>>) -> Node {
        let value = match node.get_ref() {
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::String(value) => Value::Text(value.to_string()),
            DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix())
                .map_or(Value::Other("a number beyond 64 bits"), Value::Int),
            DeValue::Float(value) => {
                value.as_str().parse().map_or(Value::Other("a number that cannot be read"), Value::Float)
            }
            DeValue::Datetime(_) => Value::Other("a date or time"),
            DeValue::Array(values) => Value::List(values.iter().map(|value| self.node(value)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table)),
        };
        Node { source: self.at(node.span()), value }
    }

    fn at(&self, span: Range<usize>) -> Source {
        let before = self.newlines.partition_point(|newline| *newline < span.start);
        let line_start =
            before.checked_sub(1).and_then(|last| self.newlines.get(last)).map_or(0, |newline| newline + 1);
        let columns = self.text.get(line_start..span.start).map_or(0, |text| text.chars().count());
        Source::File { file: Arc::clone(&self.file), line: before + 1, column: columns + 1 }
    }
}

//! A configuration file as a tree with positions, whatever language it was written in.

use crate::source::Source;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) source: Source,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Table),
    /// Anything that no key takes, by its name.
    Other(&'static str),
}

/// Keys with their values, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) entries: Vec<TableEntry>,
}

#[derive(Debug, Clone)]
pub(crate) struct TableEntry {
    pub(crate) key: String,
    pub(crate) key_source: Source,
    pub(crate) node: Node,
}

impl Table {
    pub(crate) fn find(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }
}

impl Value {
    /// What it is, for the reader of an error.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(name) => name,
        }
    }
}

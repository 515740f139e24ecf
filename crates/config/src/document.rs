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
    /// A text without a type, as an attribute of XML or an option of a URI: it may be a number or a boolean.
    Untyped(String),
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

    pub(crate) fn find_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }

    /// Sets a key, in its old place if it has one.
    pub(crate) fn put(&mut self, key: &str, node: Node) {
        match self.find_mut(key) {
            Some(old) => *old = node,
            None => {
                let key_source = node.source.clone();
                self.entries.push(TableEntry { key: key.to_owned(), key_source, node });
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }

    /// Does something with the table and the key that a path such as `store.kind` leads to; tables on the way come to
    /// be as they are needed.
    pub(crate) fn at(&mut self, path: &str, source: &Source, act: impl FnOnce(&mut Table, &str)) {
        let mut table = self;
        let mut rest = path;
        while let Some((first, tail)) = rest.split_once('.') {
            if !matches!(table.find(first), Some(Node { value: Value::Table(_), .. })) {
                let inner = Node { source: source.clone(), value: Value::Table(Table::default()) };
                table.put(first, inner);
            }
            let Some(Node { value: Value::Table(inner), .. }) = table.find_mut(first) else { return };
            (table, rest) = (inner, tail);
        }
        act(table, rest);
    }

    /// Adds to the list at a key, which comes to be if there is none. What is no list stays as it is.
    pub(crate) fn push(&mut self, key: &str, node: Node) {
        match self.find_mut(key) {
            Some(Node { value: Value::List(nodes), .. }) => nodes.push(node),
            Some(_) => {}
            None => self.put(key, Node { source: node.source.clone(), value: Value::List(vec![node]) }),
        }
    }
}

impl Value {
    /// The text of a single value, so that two of them can be compared.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Text(text) | Value::Untyped(text) => Some(text.clone()),
            Value::List(nodes) => {
                let texts: Option<Vec<String>> = nodes.iter().map(|node| node.value.text()).collect();
                texts.map(|texts| texts.join(","))
            }
            Value::Table(_) | Value::Other(_) => None,
        }
    }

    /// What it is, for the reader of an error.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number with a fraction",
            Value::Text(_) | Value::Untyped(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(name) => name,
        }
    }
}

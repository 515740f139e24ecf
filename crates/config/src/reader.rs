//! Reads typed values by key out of the layers, and keeps record of all it read.

use std::{collections::BTreeSet, fmt::Display, ops::RangeInclusive};

use ferromq_uri::nearest;

use crate::{
    diagnostic::{Diagnostic, Severity},
    document::{Node, Table, Value},
    effective::Record,
    load::{Input, Override},
    sections::DiskLimit,
    source::Source,
    value::{Raw, masked, percent, quoted},
};

/// What variables begin with.
pub(crate) const PREFIX: &str = "FERROMQ_";

/// The reader of a whole configuration.
pub(crate) struct Reader<'a> {
    input: &'a Input,
    root: &'a Table,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) record: Record,
    /// Paths that variables and flags may set.
    overridable: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a Input, root: &'a Table) -> Self {
        Self { input, root, diagnostics: Vec::new(), record: Record::default(), overridable: BTreeSet::new() }
    }

    /// The keys outside of all sections.
    pub(crate) fn top(&mut self) -> Section<'_, 'a> {
        let root = self.root;
        Section { reader: self, path: String::new(), table: Some(root), single: true, asked: Vec::new() }
    }

    /// A section that stands once, such as `[store]`.
    pub(crate) fn section(&mut self, key: &str) -> Section<'_, 'a> {
        let root = self.root;
        let table = match root.find(key) {
            None => None,
            Some(Node { value: Value::Table(table), .. }) => Some(table),
            Some(node) => {
                let problem = format!("'{key}' is {}, expected a table", node.value.type_name());
                self.error(&node.source, problem, format!("write [{key}] and its keys below it"));
                None
            }
        };
        self.record.begin(key, false);
        Section { reader: self, path: key.to_owned(), table, single: true, asked: Vec::new() }
    }

    /// How many tables a repeated section such as `[[policy]]` has, and where each begins.
    pub(crate) fn repeated(&mut self, key: &str) -> Vec<Source> {
        match self.root.find(key).map(|node| (&node.source, &node.value)) {
            None => Vec::new(),
            Some((_, Value::List(nodes))) => nodes.iter().map(|node| node.source.clone()).collect(),
            Some((source, value)) => {
                let problem = format!("'{key}' is {}, expected repeated tables", value.type_name());
                self.error(source, problem, format!("write [[{key}]] in front of each"));
                Vec::new()
            }
        }
    }

    /// A repeated section that variables and flags add to, as a whole.
    pub(crate) fn extendable(&mut self, key: &str) {
        self.overridable.insert(key.to_owned());
    }

    /// One of the tables of a repeated section. Variables and flags do not reach into them.
    pub(crate) fn repetition(&mut self, key: &str, index: usize) -> Section<'_, 'a> {
        let root = self.root;
        let node = match root.find(key).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes.get(index),
            _ => None,
        };
        let table = match node.map(|node| (&node.source, &node.value)) {
            Some((_, Value::Table(table))) => Some(table),
            Some((source, value)) => {
                let problem = format!("this is {}, expected a table", value.type_name());
                self.error(source, problem, format!("write [[{key}]] and its keys below it"));
                None
            }
            None => None,
        };
        self.record.begin(key, true);
        Section { reader: self, path: key.to_owned(), table, single: false, asked: Vec::new() }
    }

    /// Where a key outside of all sections stands in the file.
    pub(crate) fn place(&self, key: &str) -> Option<Source> {
        self.root.find(key).map(|node| node.source.clone())
    }

    /// Where the value of a key that was read comes from.
    pub(crate) fn source(&self, path: &str) -> Source {
        self.record.source(path).cloned().unwrap_or(Source::Default)
    }

    pub(crate) fn error(&mut self, source: &Source, problem: impl Into<String>, remedy: impl Into<String>) {
        self.report(Severity::Error, source, problem, remedy);
    }

    pub(crate) fn warn(&mut self, source: &Source, problem: impl Into<String>, remedy: impl Into<String>) {
        self.report(Severity::Warning, source, problem, remedy);
    }

    fn report(
        &mut self,
        severity: Severity,
        source: &Source,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (problem, remedy) = (problem.into(), remedy.into());
        self.diagnostics.push(Diagnostic { source: source.clone(), severity, problem, remedy });
    }

    /// Reports variables and flags that set nothing.
    ///
    /// A variable is only warned about: container platforms put variables such as `FERROMQ_SERVICE_HOST` into the
    /// environment of every process when a service is called ferromq.
    pub(crate) fn finish(&mut self) {
        let input = self.input;
        for (name, _) in &input.variables {
            let known = self.overridable.iter().map(|path| variable_of(path)).collect::<BTreeSet<_>>();
            if name.starts_with(PREFIX) && !known.contains(name) {
                let hint = nearest(name, known.iter().map(String::as_str))
                    .map(|near| format!("did you mean {near}?"));
                let source = Source::Variable(name.clone());
                self.warn(&source, "this variable sets nothing", hint.unwrap_or_default());
            }
        }
        for Override { flag, path, .. } in &input.flags {
            if !self.overridable.contains(path) {
                let hint = nearest(path, self.overridable.iter().map(String::as_str));
                let hint = hint.map(|near| format!("did you mean {near}?")).unwrap_or_default();
                self.error(&Source::Flag(flag.clone()), format!("unknown key '{path}'"), hint);
            }
        }
    }
}

/// The variable that sets a key: `store.segment_bytes` is `FERROMQ_STORE_SEGMENT_BYTES`.
pub(crate) fn variable_of(path: &str) -> String {
    PREFIX.to_owned() + &path.replace('.', "_").to_ascii_uppercase()
}

/// Reads the keys of one table.
pub(crate) struct Section<'r, 'a> {
    pub(crate) reader: &'r mut Reader<'a>,
    path: String,
    table: Option<&'a Table>,
    /// Whether variables and flags can set its keys.
    single: bool,
    asked: Vec<&'static str>,
}

impl<'a> Section<'_, 'a> {
    pub(crate) fn bool(&mut self, key: &'static str, default: bool) -> bool {
        self.bool_or_none(key, Some(default)).unwrap_or(default)
    }

    pub(crate) fn bool_or_none(&mut self, key: &'static str, default: Option<bool>) -> Option<bool> {
        self.read(key, default, "true or false", |raw| raw.bool(), bool::to_string)
    }

    pub(crate) fn number(&mut self, key: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        self.number_or_none(key, Some(default), range).unwrap_or(default)
    }

    pub(crate) fn number_or_none(
        &mut self,
        key: &'static str,
        default: Option<i64>,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let expected = format!("a number {}", words(&range, i64::MAX));
        self.read(
            key,
            default,
            &expected,
            |raw| raw.int().filter(|value| range.contains(value)),
            i64::to_string,
        )
    }

    /// A time in milliseconds.
    pub(crate) fn millis(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.millis_or_none(key, Some(default), range).unwrap_or(default)
    }

    pub(crate) fn millis_or_none(
        &mut self,
        key: &'static str,
        default: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let expected = format!("a number of milliseconds {}", words(&range, u64::MAX));
        let parse = |raw: &Raw<'_>| u64::try_from(raw.int()?).ok().filter(|value| range.contains(value));
        self.read(key, default, &expected, parse, u64::to_string)
    }

    pub(crate) fn bytes(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.bytes_or_none(key, Some(default), range).unwrap_or(default)
    }

    pub(crate) fn bytes_or_none(
        &mut self,
        key: &'static str,
        default: Option<u64>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let expected = format!("a number of bytes {}, or a text such as \"64 MiB\"", words(&range, u64::MAX));
        self.read(
            key,
            default,
            &expected,
            |raw| raw.bytes().filter(|value| range.contains(value)),
            u64::to_string,
        )
    }

    /// A size, or a part of the disk.
    pub(crate) fn disk_limit(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> DiskLimit {
        let default = DiskLimit::Bytes(default);
        let expected = format!(
            "a number of bytes {}, a text such as \"64 MiB\", or one from \"1 %\" to \"100 %\" of the disk",
            words(&range, u64::MAX)
        );
        let parse = |raw: &Raw<'_>| {
            let bytes = raw.bytes().filter(|value| range.contains(value)).map(DiskLimit::Bytes);
            bytes.or_else(|| raw.text().and_then(percent).map(DiskLimit::Percent))
        };
        let print = |limit: &DiskLimit| match limit {
            DiskLimit::Bytes(bytes) => bytes.to_string(),
            DiskLimit::Percent(percent) => quoted(&format!("{percent} %")),
        };
        self.read(key, Some(default), &expected, parse, print).unwrap_or(default)
    }

    pub(crate) fn ratio_or_none(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        let parse = |raw: &Raw<'_>| raw.float().filter(|value| range.contains(value));
        self.read(key, None, &expected, parse, |value| format!("{value:?}"))
    }

    /// A text that `fits`; `expected` says what does.
    pub(crate) fn text(
        &mut self,
        key: &'static str,
        default: &str,
        expected: &str,
        fits: fn(&str) -> bool,
    ) -> String {
        self.text_or_none(key, Some(default), expected, fits).unwrap_or_else(|| default.to_owned())
    }

    pub(crate) fn text_or_none(
        &mut self,
        key: &'static str,
        default: Option<&str>,
        expected: &str,
        fits: fn(&str) -> bool,
    ) -> Option<String> {
        let parse = |raw: &Raw<'_>| raw.text().filter(|text| fits(text)).map(str::to_owned);
        self.read(key, default.map(str::to_owned), expected, parse, |text| quoted(text))
    }

    /// A text that is never printed.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<String> {
        let (raw, source) = self.find(key)?;
        let text = raw.text().map(str::to_owned);
        match &text {
            Some(text) => self.reader.record.put_secret(key, quoted("********"), &quoted(text), source),
            None => self.reader.error(&source, format!("'{key}' is not a string"), "put it into quotes"),
        }
        text
    }

    /// A URL that may hold a password, which is masked.
    pub(crate) fn secret_url(&mut self, key: &'static str) -> Option<String> {
        let (raw, source) = self.find(key)?;
        let text = raw.text().map(str::to_owned);
        match &text {
            Some(text) => self.reader.record.put_secret(key, quoted(&masked(text)), &quoted(text), source),
            None => self.reader.error(&source, format!("'{key}' is not a string"), "put it into quotes"),
        }
        text
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        default: T,
        words: &[(&'static str, T)],
    ) -> T {
        let name = |value: &T| words.iter().find(|(_, word)| word == value).map_or("", |(name, _)| name);
        let names = words.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let expected = format!("one of {}", names.join(", "));
        let parse = |raw: &Raw<'_>| {
            words.iter().find(|(name, _)| Some(*name) == raw.text().map(str::trim)).map(|(_, word)| *word)
        };
        self.read(key, Some(default), &expected, parse, |value| quoted(name(value))).unwrap_or(default)
    }

    /// A list of texts, each with its place. In a variable or flag they are divided by blanks.
    pub(crate) fn texts(&mut self, key: &'static str, default: &[&str]) -> Vec<(String, Source)> {
        let mut texts = Vec::new();
        let source = match self.find(key) {
            None => {
                texts.extend(default.iter().map(|text| ((*text).to_owned(), Source::Default)));
                Source::Default
            }
            Some((Raw::Typed(Value::List(nodes)), source)) => {
                for node in nodes {
                    match &node.value {
                        Value::Text(text) => texts.push((text.clone(), node.source.clone())),
                        other => {
                            let problem = format!("this is {}, expected a string", other.type_name());
                            self.reader.error(&node.source, problem, "put it into quotes");
                        }
                    }
                }
                source
            }
            Some((Raw::Text(text), source)) => {
                texts.extend(text.split_whitespace().map(|text| (text.to_owned(), source.clone())));
                source
            }
            Some((raw, source)) => {
                let problem = format!("'{key}' is {}, expected a list of strings", raw.shown());
                self.reader.error(&source, problem, format!("write {key} = [\"…\"]"));
                source
            }
        };
        let list = texts.iter().map(|(text, _)| quoted(text)).collect::<Vec<_>>();
        if !list.is_empty() || source != Source::Default {
            self.reader.record.put(key, format!("[{}]", list.join(", ")), source);
        }
        texts
    }

    /// A table within this one.
    pub(crate) fn inner(&mut self, key: &'static str) -> Section<'_, 'a> {
        self.asked.push(key);
        let table = match self.table.and_then(|table| table.find(key)) {
            None => None,
            Some(Node { value: Value::Table(table), .. }) => Some(table),
            Some(node) => {
                let problem = format!("'{key}' is {}, expected a table", node.value.type_name());
                self.reader.error(&node.source, problem, format!("write {key} = {{ … }}"));
                None
            }
        };
        let path = format!("{}.{key}", self.path);
        self.reader.record.begin(&path, false);
        Section { reader: &mut *self.reader, path, table, single: self.single, asked: Vec::new() }
    }

    /// Where a key stands in the file, or else where the default applies.
    pub(crate) fn place(&self, key: &str) -> Source {
        self.table.and_then(|table| table.find(key)).map_or(Source::Default, |node| node.source.clone())
    }

    /// Where the value of a key that was read comes from, whichever layer it is.
    pub(crate) fn source(&self, key: &str) -> Source {
        if self.single { self.reader.source(&format!("{}.{key}", self.path)) } else { self.place(key) }
    }

    /// Names keys that are read elsewhere.
    pub(crate) fn known(&mut self, keys: &[&'static str]) {
        self.asked.extend(keys);
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self) {
        for entry in self.table.iter().flat_map(|table| &table.entries) {
            if !self.asked.contains(&entry.key.as_str()) {
                let place = if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) };
                let near = nearest(&entry.key, self.asked.iter().copied());
                let remedy = near.map(|near| format!("did you mean {near}?")).unwrap_or_else(|| {
                    let mut known = self.asked.clone();
                    known.sort_unstable();
                    format!("known are {}", known.join(", "))
                });
                self.reader.error(&entry.key_source, format!("unknown key '{}'{place}", entry.key), remedy);
            }
        }
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        default: Option<T>,
        expected: &str,
        parse: impl Fn(&Raw<'_>) -> Option<T>,
        print: impl Fn(&T) -> String,
    ) -> Option<T> {
        let (value, source) = match self.find(key) {
            None => (default, Source::Default),
            Some((raw, source)) => {
                let value = parse(&raw);
                if value.is_none() {
                    let problem = format!("'{key}' is {}, expected {expected}", raw.shown());
                    self.reader.error(&source, problem, "");
                }
                (value, source)
            }
        };
        if let Some(value) = &value {
            self.reader.record.put(key, print(value), source);
        }
        value
    }

    /// The value of the weightiest layer that has one: flag, variable, file.
    fn find(&mut self, key: &'static str) -> Option<(Raw<'a>, Source)> {
        self.asked.push(key);
        if self.single {
            let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
            let (variable, input) = (variable_of(&path), self.reader.input);
            self.reader.overridable.insert(path.clone());
            // Of repeated flags the last one counts, as on most command lines.
            if let Some(flag) = input.flags.iter().rev().find(|flag| flag.path == path) {
                return Some((Raw::Text(&flag.value), Source::Flag(flag.flag.clone())));
            }
            if let Some((name, value)) = input.variables.iter().find(|(name, _)| *name == variable) {
                return Some((Raw::Text(value), Source::Variable(name.clone())));
            }
        }
        let node = self.table?.find(key)?;
        let raw = match &node.value {
            Value::Untyped(text) => Raw::Text(text),
            value => Raw::Typed(value),
        };
        Some((raw, node.source.clone()))
    }
}

fn words<T: Display + PartialEq>(range: &RangeInclusive<T>, endless: T) -> String {
    if *range.end() == endless {
        format!("from {}", range.start())
    } else {
        format!("from {} to {}", range.start(), range.end())
    }
}

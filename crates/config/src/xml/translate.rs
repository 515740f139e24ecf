//! Walks through the tree, and obeys the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use ferromq_uri::nearest;

use super::{
    Translated,
    locker::StoreLock,
    once::LOCKERS,
    properties::Properties,
    property::{Given, Property, is_broker, is_class_of, properties_of, simple_class, text_of},
    report::{Entry, Verdict},
    rules::{Directive, Rule, Rules},
    tree::Element,
};
use crate::{
    diagnostic::{Diagnostic, Severity},
    document::{Node, Table, Value},
    load::Input,
    source::Source,
};

/// The file as far as it is translated.
pub(super) struct Translation<'a> {
    pub(super) rules: &'static Rules,
    pub(super) input: &'a Input,
    pub(super) properties: &'a Properties,
    /// The beans of Spring by their ids.
    pub(super) beans: BTreeMap<&'a str, &'a Element>,
    /// A file that this one takes beans from, which is not read.
    pub(super) imported: Option<&'a str>,
    /// Those that something refers to.
    pub(super) used: BTreeSet<String>,
    /// The plug-in that asks for logins.
    pub(super) guard: Option<&'a Element>,
    pub(super) out: Translated,
    /// The policy of names that no other one covers.
    pub(super) default_policy: Option<(Table, &'a Source)>,
    /// Limits that are parts of something, by their keys.
    pub(super) shares: BTreeMap<String, Share<'a>>,
    /// What the store that is being read says of its lock.
    pub(super) lock: StoreLock,
    /// How many beans refer to beans here; it is bounded.
    pub(super) depth: usize,
    /// References that were followed so far; they are bounded, too.
    pub(super) references: usize,
}

/// A table of the configuration that is being filled.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) table: Table,
    /// Further destinations that it is for.
    pub(super) further: Vec<String>,
    /// Whether it does not count after all.
    pub(super) dropped: bool,
}

/// A limit that is a part of something.
pub(super) struct Share<'a> {
    /// 0 while it is not said.
    pub(super) percent: u64,
    /// 0 for the disk.
    pub(super) total: u64,
    pub(super) source: &'a Source,
}

/// Nobody reads more of them, and each costs a look at every name.
const MAX_SUGGESTIONS: usize = 1_000;

pub(super) fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(Rules::of_table)
}

pub(super) fn translate<'a>(root: &'a Element, input: &'a Input, properties: &'a Properties) -> Translated {
    let mut translation = Translation {
        rules: rules(),
        input,
        properties,
        beans: BTreeMap::new(),
        imported: None,
        used: BTreeSet::new(),
        guard: None,
        out: Translated::default(),
        default_policy: None,
        shares: BTreeMap::new(),
        lock: StoreLock::default(),
        depth: 0,
        references: 0,
    };
    translation.name_beans(root);
    translation.file(root);
    let mut out = translation.out;
    out.report.entries.sort_by(|left, right| left.source.cmp(&right.source));
    out
}

impl<'a> Translation<'a> {
    fn file(&mut self, root: &'a Element) {
        let brokers: Vec<&Element> = match root.name.as_str() {
            "broker" => vec![root],
            "beans" => root.children.iter().filter(|child| is_broker(child)).collect(),
            other => {
                let problem = format!("<{other}> is no configuration of a broker");
                return self.error(
                    &root.source,
                    problem,
                    "the file should hold <beans> with a <broker>, or a <broker>",
                );
            }
        };
        match brokers.as_slice() {
            [] => self.no_broker(root),
            [broker] => self.broker(broker),
            [_, second, ..] => {
                self.error(&second.source, "this is a second <broker>", "give each broker a file of its own");
            }
        }
        if root.name == "beans" {
            self.beans(root);
        }
    }

    /// A bean that makes the broker out of another file says which one that is.
    fn no_broker(&mut self, root: &Element) {
        let maker = root.children.iter().find(|child| simple_class(child) == "BrokerFactoryBean");
        let config = maker.and_then(|maker| {
            let properties = properties_of(maker);
            properties
                .iter()
                .find(|property| property.name == "config")
                .and_then(|config| text_of(config.given))
        });
        match config {
            Some(file) => {
                let problem = format!("the <broker> is not in here, but in {file}");
                self.error(&root.source, problem, "give that file");
            }
            None => {
                let remedy = match self.imported {
                    Some(file) => {
                        format!("other files are not read; give the one that has it, such as {file}")
                    }
                    None => "is this the right file?".to_owned(),
                };
                self.error(&root.source, "there is no <broker> in here", remedy);
            }
        }
    }

    /// Everything that an element is given, by the rules of `name`.
    pub(super) fn walk(&mut self, element: &'a Element, name: &str, scope: &mut Scope) {
        let Some(section) = self.rules.section(name) else { return };
        self.stray(element);
        let mut said: BTreeMap<&str, &Source> = BTreeMap::new();
        for property in properties_of(element) {
            let property = self.looked_up(property);
            if self.inherits(element, &property) {
                continue;
            }
            let before = said.insert(property.name, property.source);
            if let Some(before) = before.filter(|_| !LOCKERS.contains(&property.name)) {
                self.said_twice(name, &property, before);
                continue;
            }
            match section.rule(property.name) {
                Some(rule) => self.apply(rule, name, &property, scope),
                None => {
                    let kind = match property.given {
                        Given::Text(_) | Given::Reference(_) => {
                            format!("attribute {} of <{name}>", property.name)
                        }
                        Given::Element(_) => format!("element <{}> in <{name}>", property.name),
                    };
                    self.unknown(property.source, kind, property.name, name);
                }
            }
        }
    }

    fn apply(&mut self, rule: Rule, owner: &str, property: &Property<'a>, scope: &mut Scope) {
        let text = text_of(property.given);
        let is = |value: &str| text.is_some_and(|text| text.eq_ignore_ascii_case(value));
        let verdict = match rule {
            Rule::Holds(elements) => return self.hold(elements, owner, property, scope),
            Rule::Handler(words, means) => {
                let words: Vec<&str> = words.split_whitespace().collect();
                match self.handle(&words, means, property, scope) {
                    Some(verdict) => verdict,
                    None => return,
                }
            }
            Rule::Key(path) => match text {
                Some(text) => {
                    let value = Value::Untyped(text.to_owned());
                    self.put(path, Node { source: property.source.clone(), value }, scope);
                    Verdict::supported(format!("`{}`", path.trim_start_matches('.')))
                }
                None => no_value(property),
            },
            Rule::Always(means) => Verdict::supported(means),
            Rule::Same(value, _) if is(value) => Verdict::supported(format!("is {value} in any case")),
            Rule::Same(_, consequence) | Rule::Ignore(consequence) => Verdict::ignored(consequence),
            Rule::Must(value, ..) if !value.is_empty() && is(value) => {
                Verdict::supported(format!("is {value} in any case"))
            }
            Rule::Must(_, reason, remedy) => Verdict::rejected(reason, remedy),
        };
        self.report(property.source, format!("{owner} {}", property.name), verdict);
    }

    /// The elements within a property, whichever way they are written.
    fn hold(&mut self, elements: &'static str, owner: &str, property: &Property<'a>, scope: &mut Scope) {
        let holder = format!("{owner} {}", property.name);
        match property.given {
            Given::Reference(id) => self.refer(id, elements, &holder, property.source, scope),
            Given::Text(text) => match text.strip_prefix('#') {
                Some(id) => self.refer(id, elements, &holder, property.source, scope),
                None => {
                    let reason = "this should refer to a bean";
                    let remedy = format!("write <{}> with an element inside", property.name);
                    self.report(property.source, holder, Verdict::rejected(reason, remedy));
                }
            },
            Given::Element(element) => {
                for attribute in &element.attributes {
                    if !matches!(attribute.name.as_str(), "name" | "id") {
                        let what = format!("attribute {} of <{}>", attribute.name, element.name);
                        self.unknown(&attribute.source, what, &attribute.name, "none");
                    }
                }
                self.stray(element);
                for child in self.fitting(property.name, element) {
                    self.held(child, elements, &holder, scope);
                }
            }
        }
    }

    /// One of them, whose name or class must be among `elements`.
    pub(super) fn held(
        &mut self,
        child: &'a Element,
        elements: &'static str,
        holder: &str,
        scope: &mut Scope,
    ) {
        let allowed = || elements.split_whitespace().filter(|element| *element != "bean");
        match child.name.as_str() {
            "list" | "set" => {
                for inner in &child.children {
                    self.held(inner, elements, holder, scope);
                }
            }
            "null" => {}
            "ref" => match child.value("bean").or_else(|| child.value("local")) {
                Some(id) => self.refer(id, elements, holder, &child.source, scope),
                None => self.error(&child.source, "this refers to nothing", "write <ref bean=\"…\"/>"),
            },
            "bean" => {
                if let Some(id) = child.value("id") {
                    self.used.insert(id.to_owned());
                }
                let class = simple_class(child);
                match allowed().find(|element| is_class_of(class, element)) {
                    Some(element) => self.enter(child, element, scope),
                    None => self.java(child, class, holder),
                }
            }
            name if allowed().any(|element| element == name) => self.enter(child, name, scope),
            name => {
                let near = nearest(name, allowed());
                let remedy = near.map_or_else(
                    || format!("known are {}", allowed().collect::<Vec<_>>().join(", ")),
                    |near| format!("did you mean <{near}>?"),
                );
                let reason = format!("unknown element <{name}> in {holder}");
                self.report(&child.source, format!("<{name}>"), Verdict::rejected(reason, remedy));
            }
        }
    }

    /// `#id` is a bean to ActiveMQ, where there is one.
    fn looked_up(&self, property: Property<'a>) -> Property<'a> {
        let id = match property.given {
            Given::Text(text) => text.strip_prefix('#').filter(|id| self.beans.contains_key(id)),
            _ => None,
        };
        Property { given: id.map_or(property.given, Given::Reference), ..property }
    }

    /// An element with rules of its own.
    pub(super) fn enter(&mut self, element: &'a Element, name: &str, scope: &mut Scope) {
        let Some(section) = self.rules.section(name) else { return };
        let subject = format!("<{name}>");
        let source = &element.source;
        if !self.is_the_only_guard(element, name) {
            return;
        }
        match section.directive {
            Directive::Plain => {
                // The table cannot compare two values.
                if name == "lease-database-locker" {
                    self.lease(element);
                }
                self.walk(element, name, scope);
                if name == "jaasAuthenticationPlugin" {
                    self.jaas(element, scope);
                }
            }
            Directive::Set(path, value) => {
                let node = Node { source: source.clone(), value: Value::Untyped(value.to_owned()) };
                self.put(path, node, scope);
                let means = format!("`{} = \"{value}\"`", path.trim_start_matches('.'));
                self.report(source, subject, Verdict::supported(means));
                self.lock = StoreLock::of(element, name);
                if name == "jdbcPersistenceAdapter" {
                    self.has_data_source(element);
                }
                self.walk(element, name, scope);
            }
            Directive::Into(list) => {
                let mut inner = Scope::default();
                self.walk(element, name, &mut inner);
                if inner.dropped {
                    return;
                }
                for destination in std::mem::take(&mut inner.further) {
                    let mut table = inner.table.clone();
                    table
                        .put("destination", Node { source: source.clone(), value: Value::Text(destination) });
                    self.out.root.push(list, Node { source: source.clone(), value: Value::Table(table) });
                }
                self.out.root.push(list, Node { source: source.clone(), value: Value::Table(inner.table) });
            }
            Directive::Ignore(consequence) => self.report(source, subject, Verdict::ignored(consequence)),
            Directive::Reject(reason, remedy) => {
                self.report(source, subject, Verdict::rejected(reason, remedy));
            }
        }
    }

    /// Sets a key of the scope, with a dot in front, or of the whole.
    pub(super) fn put(&mut self, path: &str, node: Node, scope: &mut Scope) {
        let (table, path) = match path.strip_prefix('.') {
            Some(path) => (&mut scope.table, path),
            None => (&mut self.out.root, path),
        };
        let source = node.source.clone();
        table.at(path, &source, |table, key| table.put(key, node));
    }

    pub(super) fn find(&self, path: &str) -> Option<&Node> {
        let (section, key) = path.split_once('.')?;
        match &self.out.root.find(section)?.value {
            Value::Table(table) => table.find(key),
            _ => None,
        }
    }

    pub(super) fn report(&mut self, source: &Source, subject: String, verdict: Verdict) {
        let entry = Entry { source: source.clone(), subject, verdict };
        self.out.diagnostics.extend(entry.diagnostic());
        self.out.report.entries.push(entry);
    }

    pub(super) fn error(&mut self, source: &Source, problem: impl Into<String>, remedy: impl Into<String>) {
        let (problem, remedy) = (problem.into(), remedy.into());
        self.out.diagnostics.push(Diagnostic {
            source: source.clone(),
            severity: Severity::Error,
            problem,
            remedy,
        });
    }

    /// Something that ActiveMQ does not know either; its own reader refuses it, too.
    pub(super) fn unknown(&mut self, source: &Source, what: String, name: &str, section: &str) {
        let known = self.rules.section(section).into_iter().flat_map(|section| section.names_of_rows());
        let near = (self.out.diagnostics.len() < MAX_SUGGESTIONS).then(|| nearest(name, known)).flatten();
        let remedy = near.map(|near| format!("did you mean {near}?")).unwrap_or_default();
        let verdict = Verdict::rejected("ActiveMQ knows no such thing", remedy);
        self.report(source, what, verdict);
    }
}

/// Where a value should stand.
pub(super) fn no_value(property: &Property<'_>) -> Verdict {
    let reason = match property.given {
        Given::Reference(_) => "this should be a value; a bean that stands for one is not made here",
        _ => "this should be a value",
    };
    Verdict::rejected(reason, format!("write {}=\"…\"", property.name))
}

//! Walks through the tree, and obeys the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use ferromq_uri::nearest;

use super::{
    Translated,
    handlers::rejected,
    locker::StoreLock,
    once::LOCKERS,
    properties::{self, Properties},
    report::{Entry, Verdict},
    rules::{Directive, Rule, Rules},
    tree::{Element, Space},
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
    depth: usize,
    /// References that were followed so far; they are bounded, too.
    references: usize,
}

/// A table of the configuration that is being filled.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) table: Table,
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

/// Something that a bean is given: by an attribute, an element within, or Spring's `<property>`.
pub(super) struct Property<'a> {
    pub(super) name: &'a str,
    pub(super) source: &'a Source,
    pub(super) given: Given<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Text(&'a str),
    Element(&'a Element),
}

/// Nobody reads more of them, and each costs a look at every name.
const MAX_SUGGESTIONS: usize = 1_000;
/// References to beans that refer to beans.
const MAX_DEPTH: usize = 64;
/// References in all; lists that name each other twice would multiply.
const MAX_REFERENCES: usize = 10_000;

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
            "beans" => root.children.iter().filter(|child| child.name == "broker").collect(),
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
            [] => self.error(&root.source, "there is no <broker> in here", "is this the right file?"),
            [broker] => self.broker(broker),
            [_, second, ..] => {
                self.error(&second.source, "this is a second <broker>", "give each broker a file of its own");
            }
        }
        if root.name == "beans" {
            self.beans(root);
        }
    }

    /// What stands beside the broker.
    fn beans(&mut self, root: &'a Element) {
        self.attributes_of_beans(root);
        self.stray(root);
        for child in root.children.iter().filter(|child| child.name != "broker") {
            if child.name != "bean" && child.value("id").is_some_and(|id| self.used.contains(id)) {
                continue;
            }
            if properties::is_short_form(child) {
                let means = "values for `${…}`".to_owned();
                self.report(&child.source, format!("<{}>", child.name), Verdict::Supported { means });
                continue;
            }
            if child.space == Space::Foreign {
                let consequence = "it does not run here; run it as a program of its own".to_owned();
                self.report(&child.source, format!("<{}>", child.name), Verdict::Ignored { consequence });
                continue;
            }
            match self.rules.section("beans").and_then(|section| section.rule(&child.name)) {
                Some(Rule::Handler("bean", _)) => self.lone_bean(child),
                Some(Rule::Handler("import", _)) => {
                    let file = child.value("resource").unwrap_or("a file");
                    let consequence = if file.contains("jetty") {
                        "there is no web console; `ferromq status` and the admin port (`[admin]`) show the broker"
                    } else {
                        "other files are not read; what the broker needs of it must stand here"
                    };
                    let verdict = Verdict::Ignored { consequence: consequence.to_owned() };
                    self.report(&child.source, format!("import of {file}"), verdict);
                }
                Some(Rule::Always(means)) => {
                    let verdict = Verdict::Supported { means: means.to_owned() };
                    self.report(&child.source, format!("<{}>", child.name), verdict);
                }
                _ if self.rules.section(&child.name).is_some_and(|section| {
                    matches!(section.directive, Directive::Ignore(_) | Directive::Reject(..))
                }) =>
                {
                    self.enter(child, &child.name, &mut Scope::default());
                }
                Some(Rule::Must(_, reason, remedy)) => {
                    self.report(&child.source, format!("<{}>", child.name), rejected(reason, remedy));
                }
                _ if self.rules.section(&child.name).is_some() => self.lone_element(child),
                _ => self.unknown(
                    &child.source,
                    format!("element <{}> in <beans>", child.name),
                    &child.name,
                    "beans",
                ),
            }
        }
    }

    fn attributes_of_beans(&mut self, root: &'a Element) {
        for attribute in &root.attributes {
            match self.rules.section("beans").and_then(|section| section.rule(&attribute.name)) {
                Some(Rule::Ignore(consequence)) => {
                    let verdict = Verdict::Ignored { consequence: consequence.to_owned() };
                    self.report(&attribute.source, format!("beans {}", attribute.name), verdict);
                }
                _ => {
                    let what = format!("attribute {} of <beans>", attribute.name);
                    self.unknown(&attribute.source, what, &attribute.name, "beans");
                }
            }
        }
    }

    /// A bean that nothing but itself speaks for.
    fn lone_bean(&mut self, bean: &'a Element) {
        let class = simple_class(bean);
        if bean.value("id").is_some_and(|id| self.used.contains(id)) {
            return;
        }
        let subject = format!("bean {class}");
        if properties::is_placeholders(bean) {
            self.placeholders(bean);
        }
        let verdict = match self.rules.section("spring").and_then(|section| section.rule(class)) {
            Some(Rule::Always(means)) => Verdict::Supported { means: means.to_owned() },
            Some(Rule::Ignore(consequence)) => Verdict::Ignored { consequence: consequence.to_owned() },
            _ if properties::is_placeholders(bean) => {
                Verdict::Supported { means: "values for `${…}`".to_owned() }
            }
            _ => Verdict::Ignored {
                consequence: "Java objects do not run here, and nothing that counts refers to it".to_owned(),
            },
        };
        self.report(&bean.source, subject, verdict);
    }

    /// Everything that an element is given, by the rules of `name`.
    pub(super) fn walk(&mut self, element: &'a Element, name: &str, scope: &mut Scope) {
        let Some(section) = self.rules.section(name) else { return };
        self.stray(element);
        let mut said: BTreeMap<&str, &Source> = BTreeMap::new();
        for property in properties_of(element) {
            let before = said.insert(property.name, property.source);
            if let Some(before) = before.filter(|_| !LOCKERS.contains(&property.name)) {
                self.said_twice(name, &property, before);
                continue;
            }
            match section.rule(property.name) {
                Some(rule) => self.apply(rule, name, &property, scope),
                None => {
                    let kind = match property.given {
                        Given::Text(_) => format!("attribute {} of <{name}>", property.name),
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
                    Verdict::Supported { means: format!("`{}`", path.trim_start_matches('.')) }
                }
                None => Verdict::Rejected {
                    reason: "this should be a value".to_owned(),
                    remedy: format!("write {}=\"…\"", property.name),
                },
            },
            Rule::Always(means) => Verdict::Supported { means: means.to_owned() },
            Rule::Same(value, _) if is(value) => {
                Verdict::Supported { means: format!("is {value} in any case") }
            }
            Rule::Same(_, consequence) | Rule::Ignore(consequence) => {
                Verdict::Ignored { consequence: consequence.to_owned() }
            }
            Rule::Must(value, ..) if !value.is_empty() && is(value) => {
                Verdict::Supported { means: format!("is {value} in any case") }
            }
            Rule::Must(_, reason, remedy) => {
                Verdict::Rejected { reason: reason.to_owned(), remedy: remedy.to_owned() }
            }
        };
        self.report(property.source, format!("{owner} {}", property.name), verdict);
    }

    /// The elements within a property, whichever way they are written.
    fn hold(&mut self, elements: &'static str, owner: &str, property: &Property<'a>, scope: &mut Scope) {
        let holder = format!("{owner} {}", property.name);
        match property.given {
            Given::Text(text) => match text.strip_prefix('#') {
                Some(id) => self.refer(id, elements, &holder, property.source, scope),
                None => {
                    let reason = "this should refer to a bean".to_owned();
                    let remedy = format!("write <{}> with an element inside", property.name);
                    self.report(property.source, holder, Verdict::Rejected { reason, remedy });
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

    fn held(&mut self, child: &'a Element, elements: &'static str, holder: &str, scope: &mut Scope) {
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
                self.report(&child.source, format!("<{name}>"), Verdict::Rejected { reason, remedy });
            }
        }
    }

    /// A class of Java that is none of ActiveMQ's own here. What guards a broker is not left out.
    fn java(&mut self, bean: &Element, class: &str, holder: &str) {
        let subject = format!("bean {class} in {holder}");
        let verdict = match self.rules.section("spring").and_then(|section| section.rule(class)) {
            Some(Rule::Ignore(consequence)) => Verdict::Ignored { consequence: consequence.to_owned() },
            _ => Verdict::Rejected {
                reason: "Java classes do not run here, and the broker would run without what it does"
                    .to_owned(),
                remedy: "write one of ActiveMQ's elements, or remove it".to_owned(),
            },
        };
        self.report(&bean.source, subject, verdict);
    }

    fn refer(&mut self, id: &str, elements: &'static str, holder: &str, source: &Source, scope: &mut Scope) {
        let id = id.trim_start_matches('#');
        let Some(bean) = self.beans.get(id).copied() else {
            let problem = format!("there is no bean '{id}'");
            return self.error(
                source,
                problem,
                format!("add <bean id=\"{id}\" class=\"…\">, or correct the name"),
            );
        };
        self.used.insert(id.to_owned());
        self.references += 1;
        if self.depth >= MAX_DEPTH || self.references > MAX_REFERENCES {
            // Each on the way here would say so again.
            if self.references <= MAX_REFERENCES + 1 {
                self.error(source, "beans refer to one another without an end", "remove the circle");
            }
            return;
        }
        self.depth += 1;
        self.held(bean, elements, holder, scope);
        self.depth -= 1;
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
                self.report(source, subject, Verdict::Supported { means });
                self.lock = StoreLock::of(element, name);
                let given = |name: &str| properties_of(element).iter().any(|property| property.name == name);
                if name == "jdbcPersistenceAdapter" && !given("dataSource") && !given("ds") {
                    self.report(
                        source,
                        "jdbcPersistenceAdapter without dataSource".to_owned(),
                        Verdict::Rejected {
                            reason: "ActiveMQ would embed Derby, which is not supported as a store"
                                .to_owned(),
                            remedy:
                                "add dataSource=\"#…\" with PostgreSQL, or write <kahaDB directory=\"…\"/>"
                                    .to_owned(),
                        },
                    );
                }
                self.walk(element, name, scope);
            }
            Directive::Into(list) => {
                let mut inner = Scope::default();
                self.walk(element, name, &mut inner);
                if !inner.dropped {
                    let node = Node { source: source.clone(), value: Value::Table(inner.table) };
                    self.out.root.push(list, node);
                }
            }
            Directive::Ignore(consequence) => {
                self.report(source, subject, Verdict::Ignored { consequence: consequence.to_owned() });
            }
            Directive::Reject(reason, remedy) => {
                let verdict = Verdict::Rejected { reason: reason.to_owned(), remedy: remedy.to_owned() };
                self.report(source, subject, verdict);
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
        let verdict = Verdict::Rejected { reason: "ActiveMQ knows no such thing".to_owned(), remedy };
        self.report(source, what, verdict);
    }
}

/// The value of a property that has one.
pub(super) fn text_of<'a>(given: Given<'a>) -> Option<&'a str> {
    match given {
        Given::Text(text) => Some(text),
        Given::Element(element) if element.children.is_empty() => {
            Some(element.value("value").unwrap_or(&element.text)).filter(|text| !text.is_empty())
        }
        Given::Element(_) => None,
    }
}

/// Attributes, elements and Spring's properties, in the order of the file.
pub(super) fn properties_of(element: &Element) -> Vec<Property<'_>> {
    const OF_BEANS: [&str; 7] =
        ["class", "id", "init-method", "destroy-method", "scope", "lazy-init", "depends-on"];
    let of_bean = element.name == "bean";
    let mut properties: Vec<Property<'_>> = element
        .attributes
        .iter()
        .filter(|attribute| !of_bean || !OF_BEANS.contains(&attribute.name.as_str()))
        .map(|attribute| Property {
            name: &attribute.name,
            source: &attribute.source,
            given: Given::Text(&attribute.value),
        })
        .collect();
    for child in &element.children {
        let name = child.value("name").filter(|_| child.name == "property");
        let given = match (name, child.value("value"), child.value("ref")) {
            (Some(_), Some(value), _) => Given::Text(value),
            (Some(_), None, Some(reference)) => Given::Text(reference),
            _ => match child.children.as_slice() {
                [value] if name.is_some() && value.name == "value" => Given::Text(&value.text),
                _ => Given::Element(child),
            },
        };
        properties.push(Property { name: name.unwrap_or(&child.name), source: &child.source, given });
    }
    properties
}

pub(super) fn simple_class(bean: &Element) -> &str {
    let class = bean.value("class").unwrap_or_default();
    class.rsplit('.').next().unwrap_or(class)
}

/// `KahaDBPersistenceAdapter` is what `<kahaDB>` makes, `LeaseDatabaseLocker` what `<lease-database-locker>` does.
fn is_class_of(class: &str, element: &str) -> bool {
    let plain = class.strip_suffix("PersistenceAdapter").unwrap_or(class);
    let element = element.replace('-', "");
    class.eq_ignore_ascii_case(&element) || plain.eq_ignore_ascii_case(&element)
}

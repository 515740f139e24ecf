//! The beans of a file: what stands beside the broker, and what refers to it by its id.

use std::collections::BTreeSet;

use super::{
    once::GUARDS,
    properties,
    property::{Property, is_broker, is_class_of, simple_class},
    report::Verdict,
    rules::{Directive, Rule},
    translate::{Scope, Translation},
    tree::{Element, Space},
};
use crate::source::Source;

/// References to beans that refer to beans.
const MAX_DEPTH: usize = 64;
/// References in all; lists that name each other twice would multiply.
const MAX_REFERENCES: usize = 10_000;

/// What a bean with files of properties is for.
const PLACEHOLDERS: &str = "values for `${…}`";

impl<'a> Translation<'a> {
    /// Beans by their ids; ActiveMQ's own elements have them, too, where they stand beside the broker.
    pub(super) fn name_beans(&mut self, root: &'a Element) {
        root.visit(&mut |element| {
            if element.name == "bean" {
                self.beans.extend(ids(element).map(|id| (id, element)));
            }
        });
        self.imported = root.children.iter().filter(|child| child.name == "import").find_map(imported);
        let mut named = BTreeSet::new();
        for element in root.children.iter().filter(|element| !is_broker(element)) {
            let Some(attribute) = element.attribute("id") else { continue };
            self.beans.insert(&attribute.value, element);
            if !named.insert(&attribute.value) {
                let problem = format!("this is a second bean '{}'", attribute.value);
                self.error(&attribute.source, problem, "remove one of them, or give it another id");
            }
        }
    }

    /// What stands beside the broker.
    pub(super) fn beans(&mut self, root: &'a Element) {
        self.attributes_of_beans(root);
        self.stray(root);
        let referred = properties::referred(root);
        for child in root.children.iter().filter(|child| !is_broker(child)) {
            if properties::is_values(child, &referred) {
                self.report(&child.source, format!("<{}>", child.name), Verdict::supported(PLACEHOLDERS));
            } else if child.name == "bean" || !child.value("id").is_some_and(|id| self.used.contains(id)) {
                self.beside_broker(child);
            }
        }
    }

    fn beside_broker(&mut self, child: &'a Element) {
        let name = child.name.as_str();
        let section = self.rules.section(name);
        let verdict = match self.rules.section("beans").and_then(|section| section.rule(name)) {
            _ if properties::is_short_form(child) => Verdict::supported(PLACEHOLDERS),
            _ if child.space == Space::Foreign => {
                Verdict::ignored("it does not run here; run it as a program of its own")
            }
            _ if matches!(name, "list" | "set" | "map") => {
                Verdict::ignored("Java objects do not run here, and nothing that counts refers to it")
            }
            Some(Rule::Handler("bean", _)) => return self.lone_bean(child),
            Some(Rule::Handler("import", _)) => return self.import(child),
            Some(Rule::Always(means)) => Verdict::supported(means),
            _ if section.is_some_and(|section| {
                matches!(section.directive, Directive::Ignore(_) | Directive::Reject(..))
            }) =>
            {
                return self.enter(child, name, &mut Scope::default());
            }
            Some(Rule::Must(_, reason, remedy)) => Verdict::rejected(reason, remedy),
            _ if section.is_some() => return self.lone_element(child),
            _ => return self.unknown(&child.source, format!("element <{name}> in <beans>"), name, "beans"),
        };
        self.report(&child.source, format!("<{name}>"), verdict);
    }

    fn import(&mut self, import: &Element) {
        let file = import.value("resource").unwrap_or("a file");
        let verdict = Verdict::ignored(match imported(import) {
            Some(_) => "other files are not read; what the broker needs of it must stand here",
            None => {
                "there is no web console; `ferromq status` and the admin port (`[admin]`) show the broker"
            }
        });
        self.report(&import.source, format!("import of {file}"), verdict);
    }

    fn attributes_of_beans(&mut self, root: &'a Element) {
        for attribute in &root.attributes {
            match self.rules.section("beans").and_then(|section| section.rule(&attribute.name)) {
                Some(Rule::Ignore(consequence)) => {
                    let subject = format!("beans {}", attribute.name);
                    self.report(&attribute.source, subject, Verdict::ignored(consequence));
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
        if ids(bean).any(|id| self.used.contains(id)) {
            return;
        }
        let subject = format!("bean {class}");
        if properties::is_placeholders(bean) {
            self.placeholders(bean);
        }
        let guards = GUARDS.iter().chain(&["authorizationPlugin"]);
        let verdict = match self.rules.section("spring").and_then(|section| section.rule(class)) {
            Some(Rule::Always(means)) => Verdict::supported(means),
            Some(Rule::Ignore(consequence)) => Verdict::ignored(consequence),
            _ if guards.into_iter().any(|guard| is_class_of(class, guard)) => unused_guard(),
            _ if properties::is_placeholders(bean) => Verdict::supported(PLACEHOLDERS),
            _ => Verdict::ignored("Java objects do not run here, and nothing that counts refers to it"),
        };
        self.report(&bean.source, subject, verdict);
    }

    /// An element of ActiveMQ beside the broker that nothing refers to.
    fn lone_element(&mut self, element: &Element) {
        let verdict = if GUARDS.contains(&element.name.as_str()) {
            unused_guard()
        } else {
            Verdict::ignored("nothing that counts refers to it")
        };
        self.report(&element.source, format!("<{}>", element.name), verdict);
    }

    /// A class of Java that is none of ActiveMQ's own here. What guards a broker is not left out.
    pub(super) fn java(&mut self, bean: &Element, class: &str, holder: &str) {
        let subject = format!("bean {class} in {holder}");
        let verdict = match self.rules.section("spring").and_then(|section| section.rule(class)) {
            Some(Rule::Ignore(consequence)) => Verdict::ignored(consequence),
            _ => Verdict::rejected(
                "Java classes do not run here, and the broker would run without what it does",
                "write one of ActiveMQ's elements, or remove it",
            ),
        };
        self.report(&bean.source, subject, verdict);
    }

    /// Whether it is one of Spring's ways to take what a bean is from elsewhere, which is told of.
    pub(super) fn inherits(&mut self, bean: &Element, property: &Property<'_>) -> bool {
        const WAYS: [&str; 4] = ["parent", "factory-bean", "factory-method", "constructor-arg"];
        if bean.name != "bean" || !WAYS.contains(&property.name) {
            return false;
        }
        let verdict = Verdict::rejected(
            "what a bean has from another bean, a constructor or a method is not known here",
            "write all of it as properties of this bean, and remove it",
        );
        self.report(property.source, format!("bean {}", property.name), verdict);
        true
    }

    /// What a bean of this id would be if it stood here.
    pub(super) fn refer(
        &mut self,
        id: &str,
        elements: &'static str,
        holder: &str,
        source: &Source,
        scope: &mut Scope,
    ) {
        let id = id.trim_start_matches('#');
        let Some(bean) = self.beans.get(id).copied() else {
            let remedy = match self.imported {
                Some(file) => format!("other files are not read; put it into this one if it is in {file}"),
                None => format!("add <bean id=\"{id}\" class=\"…\">, or correct the name"),
            };
            return self.error(source, format!("there is no bean '{id}'"), remedy);
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
}

/// The file of an import that may have something for the broker.
fn imported(import: &Element) -> Option<&str> {
    Some(import.value("resource").unwrap_or("a file")).filter(|file| !file.contains("jetty"))
}

/// What guards a broker, and stands where it guards none.
fn unused_guard() -> Verdict {
    Verdict::rejected(
        "nothing refers to it, and it would guard nothing",
        "put it into <plugins> of the broker, or refer to it there",
    )
}

/// What a bean is referred to by: its id, or one of its names.
fn ids(bean: &Element) -> impl Iterator<Item = &str> {
    let names = bean.value("name").unwrap_or_default().split([',', ';', ' ']);
    bean.value("id").into_iter().chain(names.filter(|name| !name.is_empty()))
}

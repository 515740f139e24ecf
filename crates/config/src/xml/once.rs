//! What a file says once: names of beans, properties, elements where one fits in, and the plug-in that asks for logins.
//! And what it says to nobody.

use std::collections::BTreeSet;

use super::{
    handlers::rejected,
    properties,
    report::Verdict,
    rules::Directive,
    translate::{Property, Translation},
    tree::Element,
};
use crate::source::Source;

/// Properties that hold any number of elements.
const LISTS: [&str; 11] = [
    "destinationInterceptors",
    "destinations",
    "entries",
    "jmsBridgeConnectors",
    "networkConnectors",
    "plugins",
    "policyEntries",
    "proxyConnectors",
    "transportConnectors",
    "users",
    "virtualDestinations",
];

/// Of several lockers the first one counts, and the others are told of where they are read.
pub(super) const LOCKERS: [&str; 2] = ["databaseLocker", "locker"];

/// Plug-ins that ask for logins.
const GUARDS: [&str; 4] = [
    "simpleAuthenticationPlugin",
    "jaasAuthenticationPlugin",
    "jaasCertificateAuthenticationPlugin",
    "jaasDualAuthenticationPlugin",
];

impl<'a> Translation<'a> {
    /// Beans by their ids; ActiveMQ's own elements have them, too, where they stand beside the broker.
    pub(super) fn name_beans(&mut self, root: &'a Element) {
        root.visit(&mut |element| {
            if let Some(id) = element.value("id").filter(|_| element.name == "bean") {
                self.beans.insert(id, element);
            }
        });
        let mut named = BTreeSet::new();
        for element in root.children.iter().filter(|element| element.name != "broker") {
            let Some(attribute) = element.attribute("id") else { continue };
            self.beans.insert(&attribute.value, element);
            if !named.insert(&attribute.value) {
                let problem = format!("this is a second bean '{}'", attribute.value);
                self.error(&attribute.source, problem, "remove one of them, or give it another id");
            }
        }
    }

    /// An element of ActiveMQ beside the broker that nothing refers to.
    pub(super) fn lone_element(&mut self, element: &Element) {
        let verdict = if GUARDS.contains(&element.name.as_str()) {
            rejected(
                "nothing refers to it, and nobody would be asked for a login",
                "put it into <plugins> of the broker, or refer to it there",
            )
        } else {
            Verdict::Ignored { consequence: "nothing that counts refers to it".to_owned() }
        };
        self.report(&element.source, format!("<{}>", element.name), verdict);
    }

    pub(super) fn said_twice(&mut self, owner: &str, property: &Property<'_>, before: &Source) {
        let reason = format!("it is said at {before} already, and only one of them would count");
        let verdict = rejected(&reason, "keep one of them");
        self.report(property.source, format!("{owner} {}", property.name), verdict);
    }

    /// The elements in a property that has room for them; those beyond the first one are refused where one fits in.
    pub(super) fn fitting(&mut self, property: &str, holder: &'a Element) -> Vec<&'a Element> {
        let mut found = Vec::new();
        gather(holder, &mut found);
        if LISTS.contains(&property) || LOCKERS.contains(&property) {
            return found;
        }
        for more in found.split_off(found.len().min(1)) {
            let reason = format!("<{property}> has room for one element, and another one is there already");
            self.report(&more.source, format!("<{}>", more.name), rejected(&reason, "keep one of them"));
        }
        found
    }

    /// To ActiveMQ every plug-in must let a client in. Here one list of users counts, and two in one would be weaker.
    pub(super) fn is_the_only_guard(&mut self, element: &'a Element, name: &str) -> bool {
        if !GUARDS.contains(&name) {
            return true;
        }
        let Some(first) = self.guard else {
            self.guard = Some(element);
            return true;
        };
        if self.rules.section(name).is_some_and(|section| matches!(section.directive, Directive::Reject(..)))
        {
            return true;
        }
        let reason = format!(
            "<{}> asks for logins already; in ActiveMQ both would have to let a client in, and here one list counts",
            first.name
        );
        self.report(&element.source, format!("<{name}>"), rejected(&reason, "keep one of them"));
        false
    }

    /// Text where elements belong.
    pub(super) fn stray(&mut self, element: &Element) {
        if !element.text.is_empty() {
            let consequence = "it is no element, and says nothing to the broker".to_owned();
            let subject = format!("text in <{}>", element.name);
            self.report(&element.source, subject, Verdict::Ignored { consequence });
        }
    }

    /// What a bean with values for placeholders says beside where they are.
    pub(super) fn placeholders(&mut self, bean: &Element) {
        for (name, source) in properties::unread(bean) {
            let verdict = rejected(
                "placeholders are written ${name} or ${name:default} here, and others would stay as they are",
                "write them so, and remove it",
            );
            self.report(source, format!("bean property {name}"), verdict);
        }
    }
}

fn gather<'a>(holder: &'a Element, found: &mut Vec<&'a Element>) {
    for child in &holder.children {
        match child.name.as_str() {
            "list" | "set" => gather(child, found),
            "null" => {}
            _ => found.push(child),
        }
    }
}

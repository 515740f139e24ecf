//! What a file says once: properties, elements where one fits in, and the plug-in that asks for logins.
//! And what it says to nobody.

use super::{
    properties, property::Property, report::Verdict, rules::Directive, translate::Translation, tree::Element,
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
pub(super) const GUARDS: [&str; 4] = [
    "simpleAuthenticationPlugin",
    "jaasAuthenticationPlugin",
    "jaasCertificateAuthenticationPlugin",
    "jaasDualAuthenticationPlugin",
];

impl<'a> Translation<'a> {
    pub(super) fn said_twice(&mut self, owner: &str, property: &Property<'_>, before: &Source) {
        let reason = format!("it is said at {before} already, and only one of them would count");
        let verdict = Verdict::rejected(reason, "keep one of them");
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
            self.report(
                &more.source,
                format!("<{}>", more.name),
                Verdict::rejected(reason, "keep one of them"),
            );
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
        self.report(&element.source, format!("<{name}>"), Verdict::rejected(reason, "keep one of them"));
        false
    }

    /// Text where elements belong.
    pub(super) fn stray(&mut self, element: &Element) {
        if !element.text.is_empty() {
            let consequence = "it is no element, and says nothing to the broker";
            let subject = format!("text in <{}>", element.name);
            self.report(&element.source, subject, Verdict::ignored(consequence));
        }
    }

    /// What a bean with values for placeholders says beside where they are.
    pub(super) fn placeholders(&mut self, bean: &Element) {
        for (name, source) in properties::unread(bean) {
            let verdict = Verdict::rejected(
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

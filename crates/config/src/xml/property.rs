//! [`Property`]: what an element or a bean is given, in whichever of Spring's ways it is written.

use super::tree::Element;
use crate::source::Source;

/// Something that a bean is given: by an attribute, an element within, or Spring's `<property>`.
pub(super) struct Property<'a> {
    pub(super) name: &'a str,
    pub(super) source: &'a Source,
    pub(super) given: Given<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Text(&'a str),
    /// The id of a bean.
    Reference(&'a str),
    Element(&'a Element),
}

/// The value of a property that has one.
pub(super) fn text_of<'a>(given: Given<'a>) -> Option<&'a str> {
    match given {
        Given::Text(text) => Some(text),
        Given::Element(element) if element.children.is_empty() => {
            Some(element.value("value").unwrap_or(&element.text)).filter(|text| !text.is_empty())
        }
        Given::Reference(_) | Given::Element(_) => None,
    }
}

/// Attributes, elements and Spring's properties, in the order of the file.
pub(super) fn properties_of(element: &Element) -> Vec<Property<'_>> {
    const OF_BEANS: [&str; 12] = [
        "class",
        "id",
        "init-method",
        "destroy-method",
        "scope",
        "lazy-init",
        "depends-on",
        "abstract",
        "autowire",
        "autowire-candidate",
        "dependency-check",
        "primary",
    ];
    let of_bean = element.name == "bean";
    let mut properties: Vec<Property<'_>> = element
        .attributes
        .iter()
        .filter(|attribute| !of_bean || !OF_BEANS.contains(&attribute.name.as_str()))
        .map(|attribute| {
            // Spring's shorthand for a property: `p:name="value"`, or `p:name-ref="id"`.
            let (name, given) = match attribute.name.strip_suffix("-ref").filter(|_| of_bean) {
                Some(name) => (name, Given::Reference(&attribute.value)),
                None => (attribute.name.as_str(), Given::Text(&attribute.value)),
            };
            Property { name, source: &attribute.source, given }
        })
        .collect();
    for child in &element.children {
        let name = child.value("name").filter(|_| child.name == "property");
        let given = match (name, child.value("value"), child.value("ref")) {
            (Some(_), Some(value), _) => Given::Text(value),
            (Some(_), None, Some(reference)) => Given::Reference(reference),
            _ => match child.children.as_slice() {
                [value] if name.is_some() && value.name == "value" => Given::Text(&value.text),
                _ => Given::Element(child),
            },
        };
        properties.push(Property { name: name.unwrap_or(&child.name), source: &child.source, given });
    }
    properties
}

/// The class of a bean, without its package.
pub(super) fn simple_class(bean: &Element) -> &str {
    let class = bean.value("class").unwrap_or_default();
    class.rsplit('.').next().unwrap_or(class)
}

/// Whether it is what `<broker>` makes, or a bean of its class.
pub(super) fn is_broker(element: &Element) -> bool {
    element.name == "broker"
        || (element.name == "bean" && matches!(simple_class(element), "BrokerService" | "XBeanBrokerService"))
}

/// Classes whose elements are not called like them.
const CLASSES: [(&str, &str); 7] = [
    ("DefaultDatabaseLocker", "database-locker"),
    ("DestinationPathSeparatorBroker", "destinationPathSeparatorPlugin"),
    ("DiscardingDeadLetterStrategy", "discarding"),
    ("DiscoveryNetworkConnector", "networkConnector"),
    ("MultiKahaDBPersistenceAdapter", "mKahaDB"),
    ("SpringSslContext", "sslContext"),
    ("SubQueueSelectorCacheBrokerPlugin", "virtualSelectorCacheBrokerPlugin"),
];

/// `KahaDBPersistenceAdapter` is what `<kahaDB>` makes, `LeaseDatabaseLocker` what `<lease-database-locker>` does.
pub(super) fn is_class_of(class: &str, element: &str) -> bool {
    if CLASSES.contains(&(class, element)) {
        return true;
    }
    let plain = class.strip_suffix("PersistenceAdapter").unwrap_or(class);
    let element = element.replace('-', "");
    class.eq_ignore_ascii_case(&element) || plain.eq_ignore_ascii_case(&element)
}

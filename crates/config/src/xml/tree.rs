//! XML text to a tree with positions, placeholders filled in.

use std::sync::Arc;

use roxmltree::{Document, Node, ParsingOptions};

use super::properties::Properties;
use crate::{
    diagnostic::{Diagnostic, Severity},
    source::{Places, Source},
};

/// The most elements and texts in a file.
const MAX_NODES: u32 = 100_000;
/// The most elements within one another.
const MAX_DEPTH: usize = 64;
/// The most attributes of an element; the parser compares each with every other one.
const MAX_ATTRIBUTES: usize = 256;
/// The most declarations of namespaces in a file; each element is looked up in all of them.
const MAX_NAMESPACES: usize = 1_000;

/// Whose element it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    ActiveMq,
    Spring,
    /// Somebody else's, such as Camel's.
    Foreign,
}

#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) space: Space,
    pub(super) source: Source,
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<Element>,
    /// The text directly inside, trimmed.
    pub(super) text: String,
}

#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) source: Source,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The value of an attribute.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name).map(|attribute| attribute.value.as_str())
    }

    /// This element and all within, outermost first.
    pub(super) fn visit<'e>(&'e self, each: &mut impl FnMut(&'e Element)) {
        each(self);
        self.children.iter().for_each(|child| child.visit(each));
    }
}

/// Elements that are Spring's in whatever namespace they are written; `xmlns=""` is common.
const SPRING: [&str; 14] = [
    "beans",
    "bean",
    "property",
    "constructor-arg",
    "list",
    "set",
    "map",
    "props",
    "entry",
    "prop",
    "value",
    "ref",
    "null",
    "import",
];

/// Parses a file; nothing is filled in yet.
pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Element, Diagnostic> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let places = Places::new(file, text);
    if let Some((at, problem)) = crowded(text) {
        let remedy = "is this the right file?".to_owned();
        return Err(Diagnostic { source: places.at(at), severity: Severity::Error, problem, remedy });
    }
    let document = Document::parse_with_options(text, options).map_err(|error| {
        let position = error.pos();
        let (line, column) = (position.row.max(1), position.col.max(1));
        let (problem, remedy) = match error {
            roxmltree::Error::DtdDetected => (
                "a DTD is not read, and its entities are not expanded".to_owned(),
                "remove <!DOCTYPE …>; activemq.xml needs none".to_owned(),
            ),
            roxmltree::Error::NodesLimitReached => (
                format!("there are more than {MAX_NODES} elements and texts"),
                "is this the right file?".to_owned(),
            ),
            other => (format!("this is no valid XML: {other}"), String::new()),
        };
        let source = Source::File {
            file: Arc::clone(file),
            line: usize::try_from(line).unwrap_or(1),
            column: usize::try_from(column).unwrap_or(1),
        };
        Diagnostic { source, severity: Severity::Error, problem, remedy }
    })?;
    element(document.root_element(), &places, 1)
}

/// Where there is more than the parser could take in a moment.
fn crowded(text: &str) -> Option<(usize, String)> {
    if let Some((at, _)) = text.match_indices("xmlns").nth(MAX_NAMESPACES) {
        return Some((at, format!("there are more than {MAX_NAMESPACES} declarations of namespaces")));
    }
    let mut at = 0;
    while let Some(begin) = text.get(at..).and_then(|rest| rest.find('<')) {
        at += begin;
        let tag = text.get(at..).unwrap_or_default();
        let behind = |end: &str| tag.find(end).map(|found| found + end.len());
        let length = if tag.starts_with("<!--") {
            behind("-->")
        } else if tag.starts_with("<![CDATA[") {
            behind("]]>")
        } else if tag.starts_with("<?") {
            behind("?>")
        } else {
            match values(tag) {
                (count, _) if count > MAX_ATTRIBUTES => {
                    return Some((at, format!("this element has more than {MAX_ATTRIBUTES} attributes")));
                }
                (_, length) => length,
            }
        };
        // What is not closed is told by the parser.
        at += length?;
    }
    None
}

/// How many quoted values a tag has, and where it ends.
fn values(tag: &str) -> (usize, Option<usize>) {
    let (mut count, mut quote) = (0, None);
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                count += 1;
            }
            (None, b'>') => return (count, Some(at + 1)),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    (count, None)
}

fn element(node: Node<'_, '_>, places: &Places<'_>, depth: usize) -> Result<Element, Diagnostic> {
    let source = places.at(node.range().start);
    if depth > MAX_DEPTH {
        let problem = format!("there are more than {MAX_DEPTH} elements within one another");
        let remedy = "is this the right file?".to_owned();
        return Err(Diagnostic { source, severity: Severity::Error, problem, remedy });
    }
    let name = node.tag_name().name().to_owned();
    let space = match node.tag_name().namespace().unwrap_or_default() {
        _ if SPRING.contains(&name.as_str()) => Space::Spring,
        "" => Space::ActiveMq,
        // Camel lived under the same roof once.
        space if space.contains("activemq") && !space.contains("camel") => Space::ActiveMq,
        space if space.contains("springframework.org/schema/beans") => Space::Spring,
        _ => Space::Foreign,
    };
    let attributes = node
        .attributes()
        // Where schemas are, and Spring's shorthands, are not ActiveMQ's attributes.
        .filter(|attribute| attribute.namespace().is_none_or(|space| !space.contains("XMLSchema-instance")))
        .map(|attribute| Attribute {
            name: attribute.name().to_owned(),
            value: attribute.value().trim().to_owned(),
            source: places.at(attribute.range().start),
        })
        .collect();
    let mut children = Vec::new();
    let mut text = String::new();
    for child in node.children() {
        if child.is_element() {
            children.push(element(child, places, depth + 1)?);
        } else if child.is_text() {
            text.push_str(child.text().unwrap_or_default());
        }
    }
    Ok(Element { name, space, source, attributes, children, text: text.trim().to_owned() })
}

/// Fills in the placeholders of all attributes and texts.
pub(super) fn fill(element: &mut Element, properties: &Properties, problems: &mut Vec<Diagnostic>) {
    for attribute in &mut element.attributes {
        properties.fill(&mut attribute.value, &attribute.source, problems);
    }
    properties.fill(&mut element.text, &element.source, problems);
    for child in &mut element.children {
        fill(child, properties, problems);
    }
}

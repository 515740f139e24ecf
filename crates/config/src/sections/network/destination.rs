//! Destinations that a network connector names: `queue://orders.>`, `topic://events.>?forceDurable=true`.

use crate::reader::Section;

/// Destinations that a connector includes or excludes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkDestination {
    /// Which kind; it must be the same.
    pub kind: NetworkDestinationKind,
    /// The name, wildcards allowed.
    pub pattern: String,
    /// `forceDurable`: plain remote subscribers of these topics get a durable subscription here.
    pub force_durable: bool,
}

/// The kind of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkDestinationKind {
    /// `queue://`, and no prefix.
    Queue,
    /// `topic://`.
    Topic,
}

const MAX_ENTRIES: usize = 10_000;

pub(super) fn read(section: &mut Section<'_, '_>, key: &'static str) -> Vec<NetworkDestination> {
    let mut destinations = Vec::new();
    let texts = section.texts(key, &[]);
    if let Some((_, source)) = texts.get(MAX_ENTRIES) {
        let problem = format!("'{key}' has more than {MAX_ENTRIES} destinations");
        section.reader.error(source, problem, "use wildcards");
        return destinations;
    }
    for (text, source) in texts {
        match parse(&text) {
            Ok(destination) => destinations.push(destination),
            Err(problem) => {
                let remedy = "write something like queue://orders.> or topic://events.>?forceDurable=true";
                section.reader.error(&source, format!("'{text}': {problem}"), remedy);
            }
        }
    }
    destinations
}

fn parse(text: &str) -> Result<NetworkDestination, &'static str> {
    let (name, options) = match text.split_once('?') {
        Some((name, options)) => (name, Some(options)),
        None => (text, None),
    };
    let (kind, pattern) = match (name.strip_prefix("queue://"), name.strip_prefix("topic://")) {
        (Some(name), _) => (NetworkDestinationKind::Queue, name),
        (_, Some(name)) => (NetworkDestinationKind::Topic, name),
        _ => (NetworkDestinationKind::Queue, name),
    };
    if !crate::sections::policy::is_destination(pattern) {
        return Err("this is no name of destinations");
    }
    let mut force_durable = false;
    for option in options.into_iter().flat_map(|options| options.split('&')) {
        match option.split_once('=') {
            Some(("forceDurable", "true")) if kind == NetworkDestinationKind::Topic => force_durable = true,
            Some(("forceDurable", "false")) => force_durable = false,
            Some(("forceDurable", "true")) => return Err("forceDurable is for topics"),
            _ => return Err("forceDurable=true is the only option here"),
        }
    }
    Ok(NetworkDestination { kind, pattern: pattern.to_owned(), force_durable })
}

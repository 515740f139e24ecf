//! `listen = […]` and `[[listener]]`: where the broker listens.

use ferromq_uri::{ListenerUri, Protocol, Uri};

use crate::{
    reader::{Reader, Section},
    source::Source,
};

/// Where a broker listens that was not told where.
const DEFAULT: &str = "tcp://127.0.0.1:61616";

/// One address to listen on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Listener {
    /// `name`: for the log; the address if none was given.
    pub name: String,
    /// The address as written.
    pub text: String,
    /// The address, with its options.
    pub uri: ListenerUri,
    /// `discovery_uri`: by which agent others are told of this listener, such as `multicast://default?group=prod`.
    pub discovery_uri: Option<Uri>,
    /// `update_cluster_clients`: whether clients are told of the brokers that are linked to this one.
    pub update_cluster_clients: bool,
    /// `rebalance_cluster_clients`: whether they are told to spread over them.
    pub rebalance_cluster_clients: bool,
    /// `update_cluster_clients_on_remove`: whether they are told as well when one of them goes.
    pub update_cluster_clients_on_remove: bool,
    /// `update_cluster_filter`: of which brokers, by regular expressions for their names, divided by commas.
    pub update_cluster_filter: Option<String>,
    /// Where it was written.
    pub source: Source,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<Listener> {
    let tables = reader.repeated("listener");
    // Listeners of their own replace the default, not what `listen` names.
    let default: &[&str] = if tables.is_empty() { &[DEFAULT] } else { &[] };
    let mut top = reader.top();
    let mut written: Vec<Written> =
        top.texts("listen", default).into_iter().map(|(text, source)| Written::plain(text, source)).collect();
    top.known(&[
        "admin",
        "auth",
        "broker",
        "composite",
        "limits",
        "listener",
        "log",
        "network_connector",
        "policy",
        "store",
        "user",
        "virtual_topic",
    ]);
    top.finish();
    // A flag or variable says where to listen, whatever the file says.
    let replaced =
        matches!(written.first(), Some(Written { source: Source::Flag(_) | Source::Variable(_), .. }));
    for (index, table) in tables.iter().enumerate().filter(|_| !replaced) {
        let mut section = reader.repetition("listener", index);
        let (uri, place) = (section.text_or_none("uri", None, "a URI", |_| true), section.place("uri"));
        let listener = Written {
            name: section.text_or_none("name", None, "a name", |text| !text.trim().is_empty()),
            text: uri.clone().unwrap_or_default(),
            discovery_uri: discovery_uri(&mut section),
            update: section.bool("update_cluster_clients", false),
            rebalance: section.bool("rebalance_cluster_clients", false),
            update_on_remove: section.bool("update_cluster_clients_on_remove", false),
            filter: section.text_or_none(
                "update_cluster_filter",
                None,
                "regular expressions for names of brokers",
                |text| text.len() <= 1024,
            ),
            source: place.clone(),
        };
        section.finish();
        if uri.is_some() {
            written.push(listener);
        } else if place == Source::Default {
            reader.error(table, "this listener has no uri", "add uri = \"tcp://127.0.0.1:61616\"");
        }
    }
    written.into_iter().filter_map(|written| listener(reader, written)).collect()
}

/// A listener before its address is understood.
struct Written {
    name: Option<String>,
    text: String,
    discovery_uri: Option<Uri>,
    update: bool,
    rebalance: bool,
    update_on_remove: bool,
    filter: Option<String>,
    source: Source,
}

impl Written {
    fn plain(text: String, source: Source) -> Self {
        Self {
            name: None,
            text,
            discovery_uri: None,
            update: false,
            rebalance: false,
            update_on_remove: false,
            filter: None,
            source,
        }
    }
}

fn discovery_uri(section: &mut Section<'_, '_>) -> Option<Uri> {
    let text = section.text_or_none("discovery_uri", None, "a URI", |_| true)?;
    let place = section.place("discovery_uri");
    match Uri::parse(&text) {
        Ok(uri) if uri.scheme.name() == "multicast" => return Some(uri),
        Ok(uri) => {
            let problem = format!("others are not told of a listener by {}:", uri.scheme);
            section.reader.error(&place, problem, "write multicast://default, or let them name this broker");
        }
        Err(mistake) => section.reader.error(&place, mistake.to_string(), ""),
    }
    None
}

fn listener(reader: &mut Reader<'_>, written: Written) -> Option<Listener> {
    let Written { text, source, .. } = written;
    let parsed =
        Uri::parse(&text).map_err(|mistake| vec![mistake]).and_then(|uri| ListenerUri::from_uri(&uri));
    let uri = match parsed {
        Ok(uri) => uri,
        Err(mistakes) => {
            for mistake in mistakes {
                reader.error(&source, mistake.to_string(), "");
            }
            return None;
        }
    };
    if uri.scheme.protocol() != Some(Protocol::OpenWire) || uri.scheme.is_tls() {
        let problem = format!("'{}' is not served by this version", uri.scheme);
        reader.error(&source, problem, "listen on tcp:// or nio://, for OpenWire");
        return None;
    }
    for option in &uri.options.ignored {
        reader.warn(&source, format!("option {option} has no effect here"), "it can be left out");
    }
    Some(Listener {
        name: written.name.unwrap_or_else(|| uri.endpoint.to_string()),
        text,
        uri,
        discovery_uri: written.discovery_uri,
        update_cluster_clients: written.update,
        rebalance_cluster_clients: written.rebalance,
        update_cluster_clients_on_remove: written.update_on_remove,
        update_cluster_filter: written.filter,
        source,
    })
}

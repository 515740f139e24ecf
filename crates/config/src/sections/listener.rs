//! `listen = […]` and `[[listener]]`: where the broker listens.

use ferromq_uri::{ConnectUri, ListenerUri, MulticastOptions, Protocol, Uri};

use crate::{
    reader::{Reader, Section},
    sections::network::group,
    source::Source,
};

/// Where a broker listens that was not told where.
const DEFAULT: &str = "tcp://127.0.0.1:61616";

/// Longer than all names of brokers that anybody lists.
const MAX_FILTER_BYTES: usize = 1_024;

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
    pub discovery_uri: Option<MulticastOptions>,
    /// `update_cluster_clients`: whether clients are told of the brokers that are linked to this one.
    pub update_cluster_clients: bool,
    /// `rebalance_cluster_clients`: whether they are told to spread over them.
    pub rebalance_cluster_clients: bool,
    /// `update_cluster_clients_on_remove`: whether they are told as well when one of them goes.
    pub update_cluster_clients_on_remove: bool,
    /// `update_cluster_filter`: of which brokers, by regular expressions for their names, divided by commas.
    pub update_cluster_filter: Option<String>,
    /// `maximum_producers_per_connection`: of one connection at a time; none for as many as the broker takes.
    pub maximum_producers_per_connection: Option<u32>,
    /// `maximum_consumers_per_connection`: the same for consumers.
    pub maximum_consumers_per_connection: Option<u32>,
    /// `published`: the address that clients and other brokers are told, if not the one that is listened on.
    pub published: Option<Uri>,
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
        "lock",
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
        let name = section.text_or_none("name", None, "a name", |text| !text.trim().is_empty());
        let text = uri.clone().unwrap_or_default();
        let listener = Written { name, text, keys: Keys::read(&mut section), source: place.clone() };
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
    keys: Keys,
    source: Source,
}

/// What a table says beside the address; options of the address count over it.
#[derive(Default)]
struct Keys {
    discovery_uri: Option<MulticastOptions>,
    update: bool,
    rebalance: bool,
    update_on_remove: bool,
    filter: Option<String>,
    producers: Option<u32>,
    consumers: Option<u32>,
    published: Option<Uri>,
}

impl Keys {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let most = |section: &mut Section<'_, '_>, key| {
            let most = section.number_or_none(key, None, 0..=i64::from(i32::MAX));
            most.and_then(|most| u32::try_from(most).ok())
        };
        Self {
            discovery_uri: discovery_uri(section),
            update: section.bool("update_cluster_clients", false),
            rebalance: section.bool("rebalance_cluster_clients", false),
            update_on_remove: section.bool("update_cluster_clients_on_remove", false),
            filter: section.text_or_none(
                "update_cluster_filter",
                None,
                "regular expressions for names of brokers",
                |text| text.len() <= MAX_FILTER_BYTES,
            ),
            producers: most(section, "maximum_producers_per_connection"),
            consumers: most(section, "maximum_consumers_per_connection"),
            published: published(section),
        }
    }
}

impl Written {
    fn plain(text: String, source: Source) -> Self {
        Self { name: None, text, keys: Keys::default(), source }
    }
}

fn discovery_uri(section: &mut Section<'_, '_>) -> Option<MulticastOptions> {
    let text = section.text_or_none("discovery_uri", None, "a URI", |_| true)?;
    let place = section.place("discovery_uri");
    match Uri::parse(&text) {
        Ok(uri) => announced(section.reader, &uri, &place),
        Err(mistake) => {
            section.reader.error(&place, mistake.to_string(), "");
            None
        }
    }
}

fn published(section: &mut Section<'_, '_>) -> Option<Uri> {
    let text = section.text_or_none("published", None, "an address", |_| true)?;
    let place = section.place("published");
    match Uri::parse(&text) {
        Ok(uri) => Some(uri),
        Err(mistake) => {
            section.reader.error(&place, mistake.to_string(), "");
            None
        }
    }
}

/// An address at which others can connect.
fn connectable(reader: &mut Reader<'_>, uri: Uri, place: &Source) -> Option<Uri> {
    match ConnectUri::from_uri(&uri) {
        Ok(address) if address.scheme.protocol() == Some(Protocol::OpenWire) => return Some(uri),
        Ok(address) => {
            let problem = format!("others can't connect by {}:", address.scheme);
            reader.error(place, problem, "write published = \"tcp://host:61616\"");
        }
        Err(mistakes) => {
            for mistake in mistakes {
                reader.error(place, mistake.to_string(), "");
            }
        }
    }
    None
}

fn announced(reader: &mut Reader<'_>, uri: &Uri, place: &Source) -> Option<MulticastOptions> {
    if uri.scheme.name() != "multicast" {
        let problem = format!("others are not told of a listener by {}:", uri.scheme);
        reader.error(place, problem, "write multicast://default, or let them name this broker");
        return None;
    }
    let mistakes = match group(uri) {
        Ok(multicast) => return Some(multicast),
        Err(mistakes) => mistakes,
    };
    for mistake in mistakes {
        reader.error(place, mistake.to_string(), "");
    }
    None
}

fn listener(reader: &mut Reader<'_>, written: Written) -> Option<Listener> {
    let Written { text, source, name, keys } = written;
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
    let beside = &uri.options.connector;
    let found = beside.discovery_uri.as_ref().and_then(|uri| announced(reader, uri, &source));
    let published = beside.published.clone().or(keys.published);
    let published = published.and_then(|uri| connectable(reader, uri, &source));
    let filter = beside.update_cluster_filter.clone();
    if filter.as_ref().is_some_and(|text| text.len() > MAX_FILTER_BYTES) {
        let problem = format!("updateClusterFilter has more than {MAX_FILTER_BYTES} bytes");
        reader.error(&source, problem, "use shorter expressions");
    }
    Some(Listener {
        name: name.unwrap_or_else(|| uri.endpoint.to_string()),
        text,
        discovery_uri: found.or(keys.discovery_uri),
        update_cluster_clients: beside.update_cluster_clients.unwrap_or(keys.update),
        rebalance_cluster_clients: beside.rebalance_cluster_clients.unwrap_or(keys.rebalance),
        update_cluster_clients_on_remove: beside
            .update_cluster_clients_on_remove
            .unwrap_or(keys.update_on_remove),
        update_cluster_filter: filter.or(keys.filter),
        maximum_producers_per_connection: beside.maximum_producers_per_connection.or(keys.producers),
        maximum_consumers_per_connection: beside.maximum_consumers_per_connection.or(keys.consumers),
        published,
        uri,
        source,
    })
}

//! `listen = […]` and `[[listener]]`: where the broker listens.

use ferromq_uri::{ListenerUri, Protocol, Uri};

use crate::{reader::Reader, source::Source};

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
    /// Where it was written.
    pub source: Source,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<Listener> {
    let tables = reader.repeated("listener");
    // Listeners of their own replace the default, not what `listen` names.
    let default: &[&str] = if tables.is_empty() { &[DEFAULT] } else { &[] };
    let mut top = reader.top();
    let mut texts: Vec<(Option<String>, String, Source)> =
        top.texts("listen", default).into_iter().map(|(text, source)| (None, text, source)).collect();
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
    let replaced = matches!(texts.first(), Some((_, _, Source::Flag(_) | Source::Variable(_))));
    for (index, table) in tables.iter().enumerate().filter(|_| !replaced) {
        let mut section = reader.repetition("listener", index);
        let name = section.text_or_none("name", None, "a name", |text| !text.trim().is_empty());
        let (uri, place) = (section.text_or_none("uri", None, "a URI", |_| true), section.place("uri"));
        section.finish();
        match uri {
            Some(text) => texts.push((name, text, place)),
            None if place == Source::Default => {
                reader.error(table, "this listener has no uri", "add uri = \"tcp://127.0.0.1:61616\"");
            }
            None => {}
        }
    }
    texts.into_iter().filter_map(|(name, text, source)| listener(reader, name, text, source)).collect()
}

fn listener(reader: &mut Reader<'_>, name: Option<String>, text: String, source: Source) -> Option<Listener> {
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
    Some(Listener { name: name.unwrap_or_else(|| uri.endpoint.to_string()), text, uri, source })
}

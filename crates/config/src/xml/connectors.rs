//! What connectors come to: where the broker listens, and whom it links to.

use ferromq_uri::{Endpoint, Options, Protocol, Scheme, Uri};

use super::{
    report::Verdict,
    translate::{Scope, Translation},
};
use crate::{
    document::{Node, Value},
    source::Source,
};

impl Translation<'_> {
    /// An item of `transportConnectorURIs` or `networkConnectorURIs`.
    pub(super) fn uri_of_list(&mut self, listens: bool, uri: &str, source: &Source) {
        let mut inner = Scope::default();
        let (list, verdict) = if listens {
            ("listener", self.transport(uri, source, &mut inner))
        } else {
            let supported = Verdict::supported("`[[network_connector]]`");
            ("network_connector", self.network_uri(uri, source, &mut inner, supported))
        };
        self.report(source, uri.to_owned(), verdict);
        if !inner.dropped {
            self.out.root.push(list, Node { source: source.clone(), value: Value::Table(inner.table) });
        }
    }

    /// Where to listen: what is not spoken here does not hinder the rest, what is to be protected does.
    pub(super) fn transport(&mut self, text: &str, source: &Source, scope: &mut Scope) -> Verdict {
        // The port of the process itself is of no use here.
        let name = text.split_once(':').map_or(text, |(scheme, _)| scheme).to_ascii_lowercase();
        if matches!(name.as_str(), "vm" | "peer" | "udp" | "multicast" | "xmpp") {
            scope.dropped = true;
            let consequence =
                format!("nobody can connect to {name}: here; clients of other processes use tcp://");
            return Verdict::ignored(consequence);
        }
        let Some(scheme) = Scheme::from_name(&name) else {
            // The reader of listeners says what is wrong with it.
            self.set(".uri", text, source, scope);
            return Verdict::supported("`[[listener]]`");
        };
        if scheme.is_tls() {
            scope.dropped = true;
            return Verdict::rejected(
                "TLS is not built into this version, and without it the connector would be open",
                "end TLS in front of the broker, and listen on tcp://127.0.0.1 here",
            );
        }
        match scheme.protocol() {
            Some(Protocol::OpenWire) => {
                self.set(".uri", text, source, scope);
                let uri = Uri::parse(text).ok();
                match uri.as_ref().and_then(Uri::endpoint).filter(|endpoint| endpoint.port.is_none()) {
                    Some(endpoint) => Verdict::ignored(format!(
                        "{text} names no port, and ActiveMQ does not start with it; {} is listened on here",
                        endpoint.port_or_default()
                    )),
                    None => Verdict::supported("`[[listener]]`"),
                }
            }
            Some(Protocol::Auto) if !scheme.is_websocket() => {
                self.set(".uri", &without_auto(text), source, scope);
                Verdict::ignored("OpenWire is spoken there, and no other protocol")
            }
            _ => {
                scope.dropped = true;
                let consequence = format!("{name}: is not spoken by this version; its clients can't connect");
                Verdict::ignored(consequence)
            }
        }
    }

    pub(super) fn network_uri(
        &mut self,
        text: &str,
        source: &Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        self.set(".uri", text, source, scope);
        let Ok(uri) = Uri::parse(text) else { return supported };
        if uri.scheme.name() == "discovery" && !uri.components().is_empty() {
            let consequence =
                "ActiveMQ takes no discovery: in a network connector; what is inside of it counts here";
            return Verdict::ignored(consequence);
        }
        if let Some((peer, endpoint)) = uri.components().iter().find_map(portless) {
            return Verdict::ignored(format!(
                "{}://{endpoint} names no port, so that ActiveMQ never connects; {} is taken here",
                peer.scheme,
                endpoint.port_or_default()
            ));
        }
        let known = crate::sections::NETWORK_ATTRIBUTES;
        let lost: Vec<&str> = uri
            .options
            .iter()
            .map(|(name, _)| name)
            .filter(|name| known.iter().any(|(known, _)| known == name))
            .collect();
        match lost.as_slice() {
            [] => supported,
            names => Verdict::supported(format!(
                "`uri`; {} counts here, while ActiveMQ overlooks it in a uri",
                names.join(", ")
            )),
        }
    }
}

/// The first broker of those inside that has no port.
fn portless(uri: &Uri) -> Option<(&Uri, &Endpoint)> {
    let own = uri.endpoint().filter(|endpoint| endpoint.port.is_none());
    own.map(|endpoint| (uri, endpoint)).or_else(|| uri.components().iter().find_map(portless))
}

/// `auto+nio://host?auto.protocols=…` as a listener for OpenWire alone.
fn without_auto(text: &str) -> String {
    let Ok(uri) = Uri::parse(text) else { return text.to_owned() };
    let mut options = Options::default();
    for (name, value) in uri.options.iter().filter(|(name, _)| !name.starts_with("auto.")) {
        options.set(name, value);
    }
    let scheme = Scheme::from_name("tcp").unwrap_or(uri.scheme);
    Uri { scheme, options, ..uri }.to_string()
}

/// URIs divided by blanks, or by commas outside of parentheses.
pub(super) fn uris(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' | ' ' | '\n' | '\t' if depth <= 0 => {
                found.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(text.get(start..).unwrap_or_default());
    found.retain(|uri| !uri.trim().is_empty());
    found
}

//! [`ListenAddress`]: where to listen and how, as users of ActiveMQ write it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ferromq_gateway::SessionSettings;
use ferromq_uri::{Host, ListenerUri, Protocol, SocketOptions, WireFormatOptions};

/// `tcp://host:port`, with the options that a transport connector has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or address of this machine; `0.0.0.0` or `[::]` for all of them.
    pub host: String,
    /// 0 for any free port.
    pub port: u16,
    /// Connections at a time; those beyond it are closed at once.
    pub maximum_connections: usize,
    /// Connections that the system completes before they are accepted, if the address says so.
    pub backlog: Option<u32>,
    /// How long a peer may take to say who it is, if the address says so.
    pub handshake_timeout: Option<Duration>,
    /// What is set on each accepted socket.
    pub socket: SocketOptions,
    /// What the broker offers in its greeting; sessions mind it.
    pub wire_format: WireFormatOptions,
}

/// Why a text is no address to listen on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no address to listen on: {reason}; write it like tcp://127.0.0.1:61616")]
pub struct AddressError {
    text: String,
    reason: String,
}

impl ListenAddress {
    /// What a listener takes at a time if its address does not say.
    pub const MAXIMUM_CONNECTIONS: usize = 100_000;

    /// `tcp://127.0.0.1:port` without options.
    pub fn loopback(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            maximum_connections: Self::MAXIMUM_CONNECTIONS,
            backlog: None,
            handshake_timeout: None,
            socket: SocketOptions::default(),
            wire_format: WireFormatOptions::default(),
        }
    }

    /// The address of a URI that was read already. Its `ignored` options are for whoever read it to tell of.
    ///
    /// # Errors
    /// [`AddressError`] for what this version does not serve.
    pub fn from_uri(uri: &ListenerUri) -> Result<Self, AddressError> {
        let refused =
            |reason: String| AddressError { text: format!("{}://{}", uri.scheme, uri.endpoint), reason };
        if uri.scheme.protocol() != Some(Protocol::OpenWire) || uri.scheme.is_tls() {
            return Err(refused(format!("the scheme {:?} is not served", uri.scheme.to_string())));
        }
        let options = &uri.options;
        if options.need_client_auth == Some(true) || options.want_client_auth == Some(true) {
            return Err(refused("needClientAuth and wantClientAuth are for TLS".to_owned()));
        }
        if options.wire_format.size_prefix_disabled == Some(true) {
            return Err(refused("frames without their size (sizePrefixDisabled) are not served".to_owned()));
        }
        if options.wire_format.version.is_some_and(|version| !(1..=12).contains(&version)) {
            return Err(refused("wireFormat.version is from 1 to 12".to_owned()));
        }
        let most = options.maximum_connections.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok(Self {
            host: host(&uri.endpoint.host),
            maximum_connections: most.unwrap_or(Self::MAXIMUM_CONNECTIONS),
            backlog: options.backlog,
            handshake_timeout: options.handshake_timeout_ms.map(Duration::from_millis),
            socket: options.socket.clone(),
            wire_format: options.wire_format.clone(),
            ..Self::loopback(uri.endpoint.port_or_default())
        })
    }

    /// Puts what the address says into the settings of its sessions.
    pub fn offer(&self, session: &mut SessionSettings) {
        let (wire, socket) = (&self.wire_format, &self.socket);
        let set = |to: &mut bool, option: Option<bool>| *to = option.unwrap_or(*to);
        set(&mut session.cache, wire.cache_enabled);
        set(&mut session.tight_encoding, wire.tight_encoding_enabled);
        set(&mut session.tcp_no_delay, wire.tcp_no_delay_enabled);
        set(&mut session.stack_trace, wire.stack_trace_enabled);
        set(&mut session.max_frame_size_enabled, wire.max_frame_size_enabled);
        set(&mut session.keep_alive, socket.use_keep_alive);
        session.version = wire.version.unwrap_or(session.version);
        session.cache_size = wire.cache_size.map_or(session.cache_size, u32::from);
        session.max_frame_size = wire.max_frame_bytes.unwrap_or(session.max_frame_size);
        let wait = |to: &mut Duration, ms: Option<u64>| *to = ms.map_or(*to, Duration::from_millis);
        wait(&mut session.max_inactivity, wire.max_inactivity_ms);
        wait(&mut session.max_inactivity_initial_delay, wire.max_inactivity_initial_delay_ms);
        wait(&mut session.write_timeout, socket.so_write_timeout_ms);
        session.handshake_timeout = self.handshake_timeout.unwrap_or(session.handshake_timeout);
        if socket.use_inactivity_monitor == Some(false) {
            session.max_inactivity = Duration::ZERO;
        }
    }

    /// The address with another port and without options.
    pub(crate) fn url_with_port(&self, port: u16) -> String {
        if self.host.contains(':') {
            format!("tcp://[{}]:{port}", self.host)
        } else {
            format!("tcp://{}:{port}", self.host)
        }
    }
}

/// Without the brackets that an address of IPv6 has in a URI.
fn host(host: &Host) -> String {
    host.to_string().trim_start_matches('[').trim_end_matches(']').to_owned()
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url_with_port(self.port))
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let uri = ListenerUri::parse(text)
            .map_err(|error| AddressError { text: text.to_owned(), reason: error.to_string() })?;
        Self::from_uri(&uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_what_they_mean() {
        let table = [
            ("tcp://127.0.0.1:61616", "tcp://127.0.0.1:61616", 100_000, None),
            ("nio://localhost:0", "tcp://localhost:0", 100_000, None),
            ("tcp://[::1]:5000/", "tcp://[::1]:5000", 100_000, None),
            (
                "tcp://0.0.0.0:61616?maximumConnections=1000&wireFormat.maxFrameSize=104857600",
                "tcp://0.0.0.0:61616",
                1_000,
                Some(104_857_600),
            ),
        ];
        for (text, shown, maximum, frame) in table {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(
                (address.maximum_connections, address.wire_format.max_frame_bytes),
                (maximum, frame),
                "{text}"
            );
        }
    }

    #[test]
    fn options_are_kept_for_those_whom_they_concern() {
        let text = "tcp://h:1?backlog=7&connectionTimeout=900&transport.soWriteTimeout=5&transport.soLinger=0\
                    &transport.keepAlive=false&wireFormat.maxInactivityDuration=0&wireFormat.cacheEnabled=false";
        let address: ListenAddress = text.parse().unwrap();
        assert_eq!(address.backlog, Some(7));
        assert_eq!(address.handshake_timeout, Some(Duration::from_millis(900)));
        assert_eq!((address.socket.so_write_timeout_ms, address.socket.so_linger_s), (Some(5), Some(0)));
        assert_eq!(address.socket.keep_alive, Some(false));
        let mut session = SessionSettings::default();
        address.offer(&mut session);
        assert!(!session.cache && session.tight_encoding, "what is not said stays as it was");
        assert_eq!(session.write_timeout, Duration::from_millis(5));
        assert_eq!((session.max_inactivity, session.handshake_timeout.as_millis()), (Duration::ZERO, 900));
    }

    #[test]
    fn what_is_no_address_says_why() {
        let table = [
            ("61616", "no scheme"),
            ("http://localhost:80", "http"),
            ("ssl://localhost:80", "\"ssl\" is not served"),
            ("stomp://localhost:80", "\"stomp\" is not served"),
            ("tcp://:61616", "host"),
            ("tcp://localhost:99999", "99999"),
            ("tcp://localhost:1?maximumConnections=many", "expected a number"),
            ("tcp://localhost:1?maximumConections=10", "unknown option 'maximumConections'"),
            ("tcp://localhost:1?needClientAuth=true", "TLS"),
            ("tcp://localhost:1?wireFormat.sizePrefixDisabled=true", "sizePrefixDisabled"),
            ("tcp://localhost:1?wireFormat.version=13", "1 to 12"),
        ];
        for (text, reason) in table {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}

//! Listener and client URIs with typed options.
//!
//! `None` stands for an option that is not written; its default belongs to whoever uses it. Options of ActiveMQ that
//! have no meaning here (threads, Java buffers, tracing) are accepted and listed as ignored.

use crate::{
    endpoint::Endpoint,
    error::UriError,
    options::{OptionReader, Options},
    scheme::Scheme,
    uri::{Target, Uri},
};

const COUNT: &str = "a number, 0 or more";

/// Options of Java's threads and streams; they say nothing about the connection.
const JAVA_ONLY: &[&str] = &[
    "closeAsync",
    "daemon",
    "diffServ",
    "dynamicManagement",
    "ioBufferSize",
    "jmxPort",
    "logWriterName",
    "minmumWireFormatVersion",
    "name",
    "reuseAddress",
    "stackSize",
    "startLogging",
    "threadName",
    "trace",
    "trafficClass",
    "typeOfService",
    "useLocalHost",
    "useQueueForAccept",
    // There is one format; its options have a dot behind the name.
    "wireFormat",
    "wireFormat.includePlatformDetails",
    "wireFormat.platformDetails",
    "wireFormat.providerName",
    "wireFormat.providerVersion",
];

/// As older configurations have it; ActiveMQ overlooks it.
const MISSPELT: &[&str] = &["wireformat.maxFrameSize"];

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerUri {
    /// The scheme, which says protocol and TLS.
    pub scheme: Scheme,
    /// The address; port 0 lets the system choose.
    pub endpoint: Endpoint,
    /// The options.
    pub options: ListenerOptions,
}

/// Options of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerOptions {
    /// `maximumConnections`: connections beyond it are refused.
    pub maximum_connections: Option<u32>,
    /// `backlog`: connections that may wait to be accepted.
    pub backlog: Option<u32>,
    /// `connectionTimeout` or `transport.connectAttemptTimeout`: a peer that has not said who it is by then is dropped.
    pub handshake_timeout_ms: Option<u64>,
    /// `protocolDetectionTimeOut` of `auto` listeners.
    pub protocol_detection_timeout_ms: Option<u64>,
    /// What is set on each accepted socket; plain or under `transport.`.
    pub socket: SocketOptions,
    /// `wireFormat.*`.
    pub wire_format: WireFormatOptions,
    /// `needClientAuth`, plain or under `transport.`: TLS peers must show a certificate.
    pub need_client_auth: Option<bool>,
    /// `wantClientAuth`, plain or under `transport.`: TLS peers may show a certificate.
    pub want_client_auth: Option<bool>,
    /// What a `<transportConnector>` has beside its URI.
    pub connector: ConnectorOptions,
    /// Names of options that were accepted and have no effect.
    pub ignored: Vec<String>,
}

/// Attributes of ActiveMQ's `<transportConnector>`, which may stand among the options of its URI here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectorOptions {
    /// `discoveryUri`: by which agent others are told of the listener, such as `multicast://default`.
    pub discovery_uri: Option<Uri>,
    /// `updateClusterClients`: whether clients are told of linked brokers.
    pub update_cluster_clients: Option<bool>,
    /// `rebalanceClusterClients`: whether they are told to spread over them.
    pub rebalance_cluster_clients: Option<bool>,
    /// `updateClusterClientsOnRemove`: whether they are told as well when one goes.
    pub update_cluster_clients_on_remove: Option<bool>,
    /// `updateClusterFilter`: of which brokers, by regular expressions for their names.
    pub update_cluster_filter: Option<String>,
    /// `maximumProducersAllowedPerConnection`.
    pub maximum_producers_per_connection: Option<u32>,
    /// `maximumConsumersAllowedPerConnection`.
    pub maximum_consumers_per_connection: Option<u32>,
    /// `published`: the address that others are told instead of the one that is listened on; FerroMQ's own.
    pub published: Option<Uri>,
}

/// Where a client connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectUri {
    /// The scheme, which says protocol and TLS.
    pub scheme: Scheme,
    /// The address.
    pub endpoint: Endpoint,
    /// The options.
    pub options: ConnectOptions,
}

/// Options of a client's connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// `connectionTimeout`: how long to wait for the TCP connection.
    pub connection_timeout_ms: Option<u64>,
    /// What is set on the socket; plain, under `transport.` or under `socket.`.
    pub socket: SocketOptions,
    /// `wireFormat.*`.
    pub wire_format: WireFormatOptions,
    /// What counts for TLS alone.
    pub tls: TlsOptions,
    /// `jms.*` and `connection.*`, without the prefix: settings of the connection above the transport.
    pub connection: Options,
    /// Names of options that were accepted and have no effect.
    pub ignored: Vec<String>,
}

/// Whom a client trusts, and how it shows who it is. Java's clients are told by system properties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// `tls.trustStore`: a file in PEM with the authorities that may have signed the broker's certificate.
    pub trust_store: Option<String>,
    /// `tls.keyStore`: a file in PEM with the client's certificate and its key.
    pub key_store: Option<String>,
    /// `verifyHostName`, plain or under `socket.`: whether the certificate must be for this host.
    pub verify_host_name: Option<bool>,
}

/// Options of a TCP socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// `tcpNoDelay`.
    pub tcp_no_delay: Option<bool>,
    /// `keepAlive`: TCP keep-alive.
    pub keep_alive: Option<bool>,
    /// `soLinger` in seconds; -1 for off.
    pub so_linger_s: Option<i32>,
    /// `socketBufferSize`, of the kernel, each way.
    pub socket_buffer_bytes: Option<u64>,
    /// `soTimeout`: the longest wait for data, 0 for ever.
    pub so_timeout_ms: Option<u64>,
    /// `soWriteTimeout`: the longest wait for room to write, 0 for ever.
    pub so_write_timeout_ms: Option<u64>,
    /// `useInactivityMonitor`.
    pub use_inactivity_monitor: Option<bool>,
    /// `useKeepAlive`: whether to send OpenWire keep-alives.
    pub use_keep_alive: Option<bool>,
}

/// `wireFormat.*`: what a side offers in the OpenWire negotiation (OpenWire v12, WireFormatInfo).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireFormatOptions {
    /// `version`.
    pub version: Option<u8>,
    /// `cacheEnabled`.
    pub cache_enabled: Option<bool>,
    /// `cacheSize`.
    pub cache_size: Option<u16>,
    /// `tightEncodingEnabled`.
    pub tight_encoding_enabled: Option<bool>,
    /// `sizePrefixDisabled`.
    pub size_prefix_disabled: Option<bool>,
    /// `tcpNoDelayEnabled`.
    pub tcp_no_delay_enabled: Option<bool>,
    /// `stackTraceEnabled`.
    pub stack_trace_enabled: Option<bool>,
    /// `maxInactivityDuration`; 0 switches the monitor off.
    pub max_inactivity_ms: Option<u64>,
    /// `maxInactivityDurationInitalDelay`, in ActiveMQ's spelling or in the right one.
    pub max_inactivity_initial_delay_ms: Option<u64>,
    /// `maxFrameSize`.
    pub max_frame_bytes: Option<u64>,
    /// `maxFrameSizeEnabled`.
    pub max_frame_size_enabled: Option<bool>,
    /// `host`: the name under which the client knows the broker.
    pub host: Option<String>,
}

impl ListenerUri {
    /// Parses the URI of a listener.
    ///
    /// # Errors
    /// The first mistake; [`ListenerUri::from_uri`] tells all of those in the options.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        Self::from_uri(&Uri::parse(text)?).map_err(first)
    }

    /// Reads the options of a URI as those of a listener.
    ///
    /// # Errors
    /// Every mistake in the options, or the one that the URI is nothing to listen on.
    pub fn from_uri(uri: &Uri) -> Result<Self, Vec<UriError>> {
        let (scheme, endpoint) = listening(uri)?;
        let mut reader = uri.options.reader();
        let plain_timeout = reader.millis("connectionTimeout");
        let auth = |reader: &mut OptionReader<'_>, name: &str| {
            reader.bool(name).or(reader.bool(&format!("transport.{name}")))
        };
        let mut options = ListenerOptions {
            maximum_connections: reader.number("maximumConnections", COUNT),
            backlog: reader.number("backlog", COUNT),
            handshake_timeout_ms: reader.millis("transport.connectAttemptTimeout").or(plain_timeout),
            protocol_detection_timeout_ms: reader.millis("protocolDetectionTimeOut"),
            socket: SocketOptions::read(&mut reader, &["transport.", ""]),
            wire_format: WireFormatOptions::read(&mut reader),
            need_client_auth: auth(&mut reader, "needClientAuth"),
            want_client_auth: auth(&mut reader, "wantClientAuth"),
            connector: ConnectorOptions::read(&mut reader),
            ignored: [
                reader.ignored("", JAVA_ONLY),
                reader.ignored("", &["allowLinkStealing"]),
                reader.ignored("transport.", JAVA_ONLY),
                reader.ignored("", MISSPELT),
            ]
            .concat(),
        };
        // ActiveMQ's own reader goes on waiting after `soTimeout`; the others are a client's, or an `auto` listener's.
        let idle = [
            ("soTimeout", options.socket.so_timeout_ms.is_some()),
            ("wireFormat.host", options.wire_format.host.is_some()),
            ("protocolDetectionTimeOut", options.protocol_detection_timeout_ms.is_some()),
        ];
        options.ignored.extend(idle.into_iter().filter(|(_, given)| *given).map(|(name, _)| name.to_owned()));
        reader.finish()?;
        Ok(Self { scheme, endpoint, options })
    }
}

impl ConnectUri {
    /// Parses the URI of one broker, as a client writes it.
    ///
    /// # Errors
    /// The first mistake; [`ConnectUri::from_uri`] tells all of those in the options.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        Self::from_uri(&Uri::parse(text)?).map_err(first)
    }

    /// Reads the options of a URI as those of a client.
    ///
    /// # Errors
    /// Every mistake in the options, or the one that the URI is no single broker.
    pub fn from_uri(uri: &Uri) -> Result<Self, Vec<UriError>> {
        let (scheme, endpoint) = listening(uri)?;
        let mut reader = uri.options.reader();
        let options = ConnectOptions {
            connection_timeout_ms: reader.millis("connectionTimeout"),
            socket: SocketOptions::read(&mut reader, &["socket.", "transport.", ""]),
            wire_format: WireFormatOptions::read(&mut reader),
            tls: TlsOptions::read(&mut reader),
            connection: reader.connection(),
            ignored: reader.ignored("", JAVA_ONLY),
        };
        reader.finish()?;
        Ok(Self { scheme, endpoint, options })
    }
}

impl TlsOptions {
    fn read(reader: &mut OptionReader<'_>) -> Self {
        let plain = reader.bool("verifyHostName");
        Self {
            trust_store: reader.text("tls.trustStore").map(Into::into),
            key_store: reader.text("tls.keyStore").map(Into::into),
            verify_host_name: reader.bool("socket.verifyHostName").or(plain),
        }
    }
}

impl ConnectorOptions {
    fn read(reader: &mut OptionReader<'_>) -> Self {
        Self {
            discovery_uri: reader.number("discoveryUri", "a URI such as multicast://default"),
            update_cluster_clients: reader.bool("updateClusterClients"),
            rebalance_cluster_clients: reader.bool("rebalanceClusterClients"),
            update_cluster_clients_on_remove: reader.bool("updateClusterClientsOnRemove"),
            update_cluster_filter: reader.text("updateClusterFilter").map(Into::into),
            maximum_producers_per_connection: reader.number("maximumProducersAllowedPerConnection", COUNT),
            maximum_consumers_per_connection: reader.number("maximumConsumersAllowedPerConnection", COUNT),
            published: reader.number("published", "an address such as tcp://host:61616"),
        }
    }
}

impl SocketOptions {
    /// The first of the prefixes under which an option is written decides.
    fn read(reader: &mut OptionReader<'_>, prefixes: &[&str]) -> Self {
        let mut found = Self::default();
        for prefix in prefixes {
            let name = |name: &str| format!("{prefix}{name}");
            found = Self {
                tcp_no_delay: found.tcp_no_delay.or(reader.bool(&name("tcpNoDelay"))),
                keep_alive: found.keep_alive.or(reader.bool(&name("keepAlive"))),
                so_linger_s: found
                    .so_linger_s
                    .or(reader.number(&name("soLinger"), "a number of seconds, or -1")),
                socket_buffer_bytes: found.socket_buffer_bytes.or(reader.bytes(&name("socketBufferSize"))),
                so_timeout_ms: found.so_timeout_ms.or(reader.millis(&name("soTimeout"))),
                so_write_timeout_ms: found.so_write_timeout_ms.or(reader.millis(&name("soWriteTimeout"))),
                use_inactivity_monitor: found
                    .use_inactivity_monitor
                    .or(reader.bool(&name("useInactivityMonitor"))),
                use_keep_alive: found.use_keep_alive.or(reader.bool(&name("useKeepAlive"))),
            };
        }
        found
    }
}

impl WireFormatOptions {
    fn read(reader: &mut OptionReader<'_>) -> Self {
        let misspelt = reader.millis("wireFormat.maxInactivityDurationInitalDelay");
        Self {
            version: reader.number("wireFormat.version", "a version from 1 to 12"),
            cache_enabled: reader.bool("wireFormat.cacheEnabled"),
            cache_size: reader.number("wireFormat.cacheSize", "a number from 0 to 65535"),
            tight_encoding_enabled: reader.bool("wireFormat.tightEncodingEnabled"),
            size_prefix_disabled: reader.bool("wireFormat.sizePrefixDisabled"),
            tcp_no_delay_enabled: reader.bool("wireFormat.tcpNoDelayEnabled"),
            stack_trace_enabled: reader.bool("wireFormat.stackTraceEnabled"),
            // To ActiveMQ every number below 1 switches the monitor off.
            max_inactivity_ms: reader
                .number("wireFormat.maxInactivityDuration", "a number of milliseconds, or 0 for no monitor")
                .map(|ms: i64| u64::try_from(ms).unwrap_or(0)),
            max_inactivity_initial_delay_ms: reader
                .millis("wireFormat.maxInactivityDurationInitialDelay")
                .or(misspelt),
            max_frame_bytes: reader.bytes("wireFormat.maxFrameSize"),
            max_frame_size_enabled: reader.bool("wireFormat.maxFrameSizeEnabled"),
            host: reader.text("wireFormat.host").map(Into::into),
        }
    }
}

fn listening(uri: &Uri) -> Result<(Scheme, Endpoint), Vec<UriError>> {
    match (&uri.target, uri.scheme.protocol()) {
        (Target::Socket(endpoint), Some(_)) => Ok((uri.scheme, endpoint.clone())),
        _ => Err(vec![UriError::WrongScheme {
            column: 1,
            scheme: uri.scheme.to_string(),
            remedy: "write one address, such as tcp://host:61616",
        }]),
    }
}

/// There is always one: the lists come from failures.
fn first(errors: Vec<UriError>) -> UriError {
    errors.into_iter().next().unwrap_or(UriError::Empty { column: 1 })
}

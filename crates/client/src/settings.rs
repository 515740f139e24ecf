//! How to connect: the options of ActiveMQ's URIs, and what the application adds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ferromq_openwire::{Limits, WireFormatOptions, WireStr};
use ferromq_uri::{ConnectUri, Endpoint, Host, Options, Protocol, SocketOptions, Target, Uri};

use crate::error::{Error, Result};
use crate::failover::{Address, FailoverPolicy};

/// Larger frames are not taken, whatever is asked for.
const MOST_FRAME_BYTES: u64 = 1 << 30;

/// How many messages a broker may send ahead of their acknowledgement, by kind of consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefetchPolicy {
    /// Consumers of queues.
    pub queue: u32,
    /// Browsers.
    pub browser: u32,
    /// Consumers of topics without a subscription name.
    pub topic: u32,
    /// Durable subscriptions.
    pub durable: u32,
}

impl Default for PrefetchPolicy {
    /// The values of ActiveMQ's clients.
    fn default() -> Self {
        Self { queue: 1000, browser: 500, topic: 32_767, durable: 100 }
    }
}

/// What happens to a message that is rolled back again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedeliveryPolicy {
    /// After so many redeliveries the message goes to the dead letters; negative for never.
    pub maximum: i32,
    /// How long a consumer pauses before it sees a rolled back message again.
    pub delay: Duration,
}

impl Default for RedeliveryPolicy {
    fn default() -> Self {
        Self { maximum: 6, delay: Duration::from_secs(1) }
    }
}

/// Whom to trust behind `ssl://`, and how to show who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// Authorities that may have signed the broker's certificate, in PEM (`tls.trustStore`); without it those of the
    /// system.
    pub trust_store: Option<PathBuf>,
    /// Our own certificate and its key, in PEM (`tls.keyStore`).
    pub key_store: Option<PathBuf>,
    /// Whether the certificate must be for the host that was named (`socket.verifyHostName`).
    pub verify_host: bool,
}

impl Default for TlsSettings {
    /// As strict as can be.
    fn default() -> Self {
        Self { trust_store: None, key_store: None, verify_host: true }
    }
}

/// Everything a connection needs to know before it starts.
///
/// ```
/// use ferromq_client::ConnectOptions;
///
/// let options = ConnectOptions::parse("tcp://localhost:61616?jms.prefetchPolicy.all=10")?
///     .client_id("orders-1")
///     .login("app", "secret");
/// assert_eq!(options.prefetch.queue, 10);
/// # Ok::<(), ferromq_client::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// The broker as the application named it, without its options; stands in every error.
    pub uri: String,
    /// Where to connect.
    pub endpoint: Endpoint,
    /// Identity for durable subscriptions; a unique one is made up if there is none.
    pub client_id: Option<String>,
    /// The user, if the broker wants one.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// What is offered in the negotiation (`wireFormat.*`).
    pub wire_format: WireFormatOptions,
    /// Bounds of decoding.
    pub limits: Limits,
    /// Prefetch of consumers that don't set their own (`jms.prefetchPolicy.*`).
    pub prefetch: PrefetchPolicy,
    /// What is done with messages that are rolled back (`jms.redeliveryPolicy.*`).
    pub redelivery: RedeliveryPolicy,
    /// How long connecting may take, greeting and login included (`connectionTimeout`).
    pub connect_timeout: Duration,
    /// How long a send may wait for the broker (`jms.sendTimeout`); none for ever, as flow control may hold it.
    pub send_timeout: Option<Duration>,
    /// How long closing may take (`jms.closeTimeout`).
    pub close_timeout: Duration,
    /// Persistent messages outside of transactions are not waited for (`jms.useAsyncSend`).
    pub async_send: bool,
    /// Every message is waited for (`jms.alwaysSyncSend`).
    pub always_sync_send: bool,
    /// Bytes of one-way messages that a producer may have on their way; 0 for no limit (`jms.producerWindowSize`).
    pub producer_window: u32,
    /// Bodies are compressed (`jms.useCompression`).
    pub compress: bool,
    /// Requests that may wait for their answers at the same time; more wait in the application.
    pub max_in_flight: usize,
    /// Whether the socket sends small packets at once.
    pub tcp_no_delay: bool,
    /// What else is set on the socket (`keepAlive`, `soLinger`, `socketBufferSize`), and how long the broker may leave
    /// unread what is sent (`soWriteTimeout`).
    pub socket: SocketOptions,
    /// TLS, if the broker is named by `ssl://`.
    pub tls: Option<TlsSettings>,
    /// How long a commit waits, after another broker was found, for messages that were taken in it to come again
    /// (`jms.consumerFailoverRedeliveryWaitPeriod`).
    pub redelivery_wait: Duration,
    /// How to go on when a broker is lost; without it a lost connection is an error to everybody who uses it.
    pub failover: Option<FailoverPolicy>,
}

impl ConnectOptions {
    /// Reads the URI of a broker, or of several as `failover:(uri,uri,…)`, with its options.
    ///
    /// # Errors
    /// The first mistake in the URI, or a scheme that this client does not speak.
    pub fn parse(text: &str) -> Result<Self> {
        let uri = Uri::parse(text)?;
        match uri.target {
            Target::Group(_) => Self::of_many(&uri),
            _ if uri.scheme.name() == "multicast" => Self::of_many(&uri),
            _ => Self::of_one(&uri),
        }
    }

    /// `failover:(…)` and those that come to the same: the policy, and in place of an address the first broker's, or the
    /// group in which brokers are looked for.
    fn of_many(uri: &Uri) -> Result<Self> {
        let (policy, connection) = FailoverPolicy::read(uri)?;
        let names: Vec<&str> = policy.brokers.iter().map(|broker| &*broker.uri).collect();
        let mut options = match (policy.brokers.first(), &policy.discovery) {
            (Some(broker), _) => {
                let mut options =
                    Self::new(format!("failover:({})", names.join(",")), broker.endpoint.clone());
                options.connect_timeout = broker.connect_timeout;
                options
            }
            (None, Some(group)) => {
                let name = format!("discovery:(multicast://{}?group={})", group.address, group.group);
                let host = Host::Address((*group.address.ip()).into());
                Self::new(name, Endpoint { host, port: Some(group.address.port()) })
            }
            (None, None) => return Err(Error::Usage("a failover URI needs a broker")),
        };
        options.set_connection(&connection).map_err(first)?;
        options.failover = Some(policy);
        Ok(options)
    }

    /// One broker with its options.
    pub(crate) fn of_one(uri: &Uri) -> Result<Self> {
        let unsupported = |what| Err(Error::Unsupported { uri: uri.to_string(), what });
        let speaks = matches!(uri.scheme.protocol(), Some(Protocol::OpenWire | Protocol::Auto));
        if !speaks || uri.scheme.is_websocket() {
            return unsupported("only tcp://, nio://, ssl:// and auto:// are supported");
        }
        if uri.scheme.is_tls() && !cfg!(feature = "tls") {
            return unsupported("TLS needs the feature `tls` of ferromq-client");
        }
        let parsed = ConnectUri::from_uri(uri).map_err(first)?;
        let mut options = Self::new(format!("{}://{}", uri.scheme, parsed.endpoint), parsed.endpoint);
        let given = parsed.options;
        options.set_wire_format(&given.wire_format);
        if given.socket.use_inactivity_monitor == Some(false) {
            options.wire_format.max_inactivity_ms = 0;
        }
        options.tcp_no_delay = given.socket.tcp_no_delay.unwrap_or(true);
        options.socket = given.socket;
        if uri.scheme.is_tls() {
            options.tls = Some(TlsSettings {
                trust_store: given.tls.trust_store.map(PathBuf::from),
                key_store: given.tls.key_store.map(PathBuf::from),
                verify_host: given.tls.verify_host_name.unwrap_or(true),
            });
        } else if given.tls != Default::default() {
            return unsupported("tls.… and verifyHostName are for ssl://");
        }
        if let Some(ms) = given.connection_timeout_ms.filter(|ms| *ms > 0) {
            options.connect_timeout = Duration::from_millis(ms);
        }
        options.set_connection(&given.connection).map_err(first)?;
        Ok(options)
    }

    /// Defaults for an address.
    pub fn new(uri: impl Into<String>, endpoint: Endpoint) -> Self {
        let wire_format =
            WireFormatOptions { host: Some(WireStr::from(endpoint.host.to_string())), ..Default::default() };
        Self {
            uri: uri.into(),
            endpoint,
            client_id: None,
            user: None,
            password: None,
            wire_format,
            limits: Limits::default(),
            prefetch: PrefetchPolicy::default(),
            redelivery: RedeliveryPolicy::default(),
            connect_timeout: Duration::from_secs(30),
            send_timeout: None,
            close_timeout: Duration::from_secs(15),
            async_send: false,
            always_sync_send: false,
            producer_window: 0,
            compress: false,
            max_in_flight: 4096,
            tcp_no_delay: true,
            socket: SocketOptions::default(),
            tls: None,
            redelivery_wait: Duration::ZERO,
            failover: None,
        }
    }

    /// Where and how to connect, without what belongs to the connection above.
    pub fn address(&self) -> Address {
        Address {
            uri: Arc::from(self.uri.as_str()),
            endpoint: self.endpoint.clone(),
            wire_format: self.wire_format.clone(),
            limits: self.limits.clone(),
            connect_timeout: self.connect_timeout,
            tcp_no_delay: self.tcp_no_delay,
            socket: self.socket.clone(),
            tls: self.tls.clone(),
        }
    }

    /// Sets the client id, which durable subscriptions need.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Sets user and password.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self.password = Some(password.into());
        self
    }

    fn set_wire_format(&mut self, given: &ferromq_uri::WireFormatOptions) {
        let ours = &mut self.wire_format;
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        ours.version = given.version.map_or(ours.version, i32::from);
        ours.cache = given.cache_enabled.unwrap_or(ours.cache);
        ours.cache_size = given.cache_size.map_or(ours.cache_size, i32::from);
        ours.tight_encoding = given.tight_encoding_enabled.unwrap_or(ours.tight_encoding);
        ours.size_prefix_disabled = false;
        ours.tcp_no_delay = given.tcp_no_delay_enabled.unwrap_or(ours.tcp_no_delay);
        ours.stack_trace = given.stack_trace_enabled.unwrap_or(ours.stack_trace);
        ours.max_inactivity_ms = given.max_inactivity_ms.map_or(ours.max_inactivity_ms, signed);
        ours.max_inactivity_initial_delay_ms =
            given.max_inactivity_initial_delay_ms.map_or(ours.max_inactivity_initial_delay_ms, signed);
        ours.max_frame_size = given.max_frame_bytes.map_or(ours.max_frame_size, signed);
        ours.max_frame_size_enabled = given.max_frame_size_enabled.unwrap_or(ours.max_frame_size_enabled);
        self.limits.frame_bytes =
            given.max_frame_bytes.unwrap_or(self.limits.frame_bytes).min(MOST_FRAME_BYTES);
        if let Some(host) = &given.host {
            ours.host = Some(WireStr::from(host));
        }
    }

    /// `jms.*`. What has no meaning here is accepted, so that URIs of Java clients keep working.
    fn set_connection(&mut self, given: &Options) -> Result<(), Vec<ferromq_uri::UriError>> {
        const COUNT: &str = "a number, 0 or more";
        let mut reader = given.reader();
        let mut prefetch = PrefetchPolicy::default();
        if let Some(all) = reader.number("prefetchPolicy.all", COUNT) {
            prefetch = PrefetchPolicy { queue: all, browser: all, topic: all, durable: all };
        }
        let places = [
            ("prefetchPolicy.queuePrefetch", &mut prefetch.queue),
            ("prefetchPolicy.queueBrowserPrefetch", &mut prefetch.browser),
            ("prefetchPolicy.topicPrefetch", &mut prefetch.topic),
            ("prefetchPolicy.durableTopicPrefetch", &mut prefetch.durable),
        ];
        for (name, place) in places {
            *place = reader.number(name, COUNT).unwrap_or(*place);
        }
        self.prefetch = prefetch;
        let default = RedeliveryPolicy::default();
        self.redelivery = RedeliveryPolicy {
            maximum: reader
                .number("redeliveryPolicy.maximumRedeliveries", "a number, -1 for no limit")
                .unwrap_or(default.maximum),
            delay: reader
                .millis("redeliveryPolicy.initialRedeliveryDelay")
                .map_or(default.delay, Duration::from_millis),
        };
        self.user = reader.text("userName").map(Into::into);
        self.password = reader.text("password").map(Into::into);
        self.client_id = reader.text("clientID").map(Into::into);
        self.async_send = reader.bool("useAsyncSend").unwrap_or(false);
        self.always_sync_send = reader.bool("alwaysSyncSend").unwrap_or(false);
        self.compress = reader.bool("useCompression").unwrap_or(false);
        self.producer_window = reader.number("producerWindowSize", COUNT).unwrap_or(0);
        self.send_timeout = reader.millis("sendTimeout").filter(|ms| *ms > 0).map(Duration::from_millis);
        if let Some(ms) = reader.millis("closeTimeout") {
            self.close_timeout = Duration::from_millis(ms);
        }
        if let Some(ms) = reader.millis("consumerFailoverRedeliveryWaitPeriod") {
            self.redelivery_wait = Duration::from_millis(ms);
        }
        reader.ignored("", JAVA_ONLY);
        reader.under("blobTransferPolicy.");
        reader.under("redeliveryPolicy.");
        reader.under("prefetchPolicy.");
        reader.finish()
    }
}

/// Options of Java's client that say nothing about this one.
const JAVA_ONLY: &[&str] = &[
    "alwaysSessionAsync",
    "checkForDuplicates",
    "clientIDPrefix",
    "connectionIDPrefix",
    "consumerExpiryCheckEnabled",
    "copyMessageOnSend",
    "disableTimeStampsByDefault",
    "dispatchAsync",
    "exclusiveConsumer",
    "maxThreadPoolSize",
    "messagePrioritySupported",
    "nestedMapAndListEnabled",
    "nonBlockingRedelivery",
    "objectMessageSerializationDefered",
    "optimizeAcknowledge",
    "optimizeAcknowledgeTimeOut",
    "optimizedAckScheduledAckInterval",
    "optimizedMessageDispatch",
    "rmIdFromConnectionId",
    "sendAcksAsync",
    "statsEnabled",
    "transactedIndividualAck",
    "trustAllPackages",
    "useDedicatedTaskRunner",
    "useRetroactiveConsumer",
    "warnAboutUnstartedConnectionTimeout",
    "watchTopicAdvisories",
    "xaAckMode",
];

pub(crate) fn first(errors: Vec<ferromq_uri::UriError>) -> Error {
    match errors.into_iter().next() {
        Some(error) => Error::Uri(error),
        None => Error::Usage("the URI of the broker is wrong"),
    }
}

impl std::fmt::Debug for ConnectOptions {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("uri", &self.uri)
            .field("client_id", &self.client_id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_java_clients_are_understood() {
        let options = ConnectOptions::parse(
            "tcp://broker.example:61617?wireFormat.maxInactivityDuration=5000&wireFormat.tightEncodingEnabled=false\
             &jms.prefetchPolicy.all=7&jms.prefetchPolicy.topicPrefetch=9&jms.useAsyncSend=true\
             &jms.watchTopicAdvisories=false&connectionTimeout=1500&jms.redeliveryPolicy.maximumRedeliveries=2",
        )
        .unwrap();
        assert_eq!(options.uri, "tcp://broker.example:61617");
        assert_eq!(options.wire_format.max_inactivity_ms, 5000);
        assert!(!options.wire_format.tight_encoding);
        assert_eq!(options.prefetch, PrefetchPolicy { queue: 7, browser: 7, topic: 9, durable: 7 });
        assert!(options.async_send);
        assert_eq!(options.connect_timeout, Duration::from_millis(1500));
        assert_eq!(options.redelivery.maximum, 2);

        let frames = |uri: &str| ConnectOptions::parse(uri).unwrap().address().limits.frame_bytes;
        assert_eq!(frames("tcp://a:1"), 100 << 20);
        assert_eq!(frames("tcp://a:1?wireFormat.maxFrameSize=314572800"), 300 << 20);
        assert_eq!(frames("tcp://a:1?wireFormat.maxFrameSize=9223372036854775807"), 1 << 30);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for (uri, part) in [
            ("fanout:(static:(tcp://a:1,tcp://b:2))", "Fanout::connect"),
            ("failover:(tcp://a:1,stomp://b:2)", "only tcp://"),
            ("tcp://a:1?tls.trustStore=ca.pem", "for ssl://"),
            ("vm://localhost", "only tcp://"),
            ("zeroconf:_activemq", "only tcp://"),
            ("failover:(tcp://a:1?jms.useAsyncSend=true)", "behind the brackets"),
            ("failover:(tcp://a:1)?randomise=true", "randomize"),
            ("tcp://a:1?jms.useAsyncSendd=true", "useAsyncSend"),
            ("tcp://a:1?jms.producerWindowSize=many", "a number"),
        ] {
            let error = ConnectOptions::parse(uri).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn tls_is_asked_for_by_the_scheme_and_said_to_be_missing_if_it_is() {
        let parsed =
            ConnectOptions::parse("ssl://a:1?tls.trustStore=/etc/ca.pem&socket.verifyHostName=false");
        if !cfg!(feature = "tls") {
            assert!(parsed.unwrap_err().to_string().contains("the feature `tls`"));
            return;
        }
        let options = parsed.unwrap();
        let tls = options.tls.unwrap();
        assert_eq!(tls.trust_store, Some(PathBuf::from("/etc/ca.pem")));
        assert!(!tls.verify_host);
        assert_eq!(ConnectOptions::parse("nio+ssl://a:1").unwrap().tls, Some(TlsSettings::default()));
    }

    #[test]
    fn brokers_are_named_or_looked_for_in_each_way_that_activemq_has() {
        for (uri, name) in [
            ("static:(tcp://a:1,tcp://b:2)", "failover:(tcp://a:1,tcp://b:2)"),
            ("simple:(tcp://a:1)?maxReconnectDelay=5", "failover:(tcp://a:1)"),
            ("masterslave:(tcp://a:1,tcp://b:2)", "failover:(tcp://a:1,tcp://b:2)"),
            ("discovery:(static:(tcp://a:1,auto://b:2))?timeout=3", "failover:(tcp://a:1,auto://b:2)"),
            ("discovery:(multicast://default)", "discovery:(multicast://239.255.2.3:6155?group=default)"),
            (
                "multicast://default?group=prod&maxReconnectDelay=5",
                "discovery:(multicast://239.255.2.3:6155?group=prod)",
            ),
        ] {
            assert_eq!(ConnectOptions::parse(uri).unwrap().uri, name, "{uri}");
        }
        let policy = |uri: &str| ConnectOptions::parse(uri).unwrap().failover.unwrap();
        // The order of a master and its standbys counts.
        assert!(!policy("masterslave:(tcp://a:1,tcp://b:2)").randomize);
        assert!(policy("static:(tcp://a:1,tcp://b:2)").randomize);
        let found = policy("discovery:(multicast://default?discovered.connectionTimeout=7)?backup=true");
        assert_eq!((found.brokers.len(), found.backups), (0, 1));
        let address = found.address(&"tcp://x:1".parse().unwrap()).unwrap();
        assert_eq!(address.connect_timeout, Duration::from_millis(7));
    }

    #[test]
    fn a_password_is_never_shown() {
        let options = ConnectOptions::parse("tcp://a:1").unwrap().login("app", "hidden-word");
        assert!(!format!("{options:?}").contains("hidden-word"));
    }
}

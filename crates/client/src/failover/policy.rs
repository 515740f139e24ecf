//! What a `failover:` URI asks for, with the defaults of ActiveMQ's failover transport, but for one: waiting is bounded.

use std::sync::Arc;
use std::time::Duration;

use ferromq_openwire::{Limits, WireFormatOptions};
use ferromq_uri::{Endpoint, FailoverOptions, MAX_COMPONENTS, MulticastOptions, Options, SocketOptions, Uri};

use crate::error::{Error, Result};
use crate::settings::{ConnectOptions, TlsSettings};

/// One broker, and how to talk to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Address {
    /// Its URI without options; stands in errors and logs.
    pub uri: Arc<str>,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What is offered in the negotiation.
    pub wire_format: WireFormatOptions,
    /// Bounds of decoding.
    pub limits: Limits,
    /// How long connecting may take, greeting and login included.
    pub connect_timeout: Duration,
    /// Whether the socket sends small packets at once.
    pub tcp_no_delay: bool,
    /// What else is set on the socket.
    pub socket: SocketOptions,
    /// TLS, if it is wanted.
    pub tls: Option<TlsSettings>,
}

impl Address {
    /// Reads a URI; options under `nested.` win over its own.
    pub(super) fn read(uri: &Uri, nested: &Options) -> Result<Self> {
        let mut uri = uri.clone();
        for (name, value) in nested.iter() {
            uri.options.set(name, value);
        }
        if !uri.options.under("jms.").is_empty() || !uri.options.under("connection.").is_empty() {
            return Err(Error::Unsupported {
                uri: uri.to_string(),
                what: "options of the connection stand behind the brackets: failover:(tcp://a:61616)?jms.…",
            });
        }
        Ok(ConnectOptions::of_one(&uri)?.address())
    }

    /// Whether both name the same place.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.endpoint.host == other.endpoint.host
            && self.endpoint.port_or_default() == other.endpoint.port_or_default()
    }
}

/// How to find another broker when the connection is lost; see [`FailoverOptions`] for the names in a URI.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailoverPolicy {
    /// The brokers in the order in which they were written, each once; none if all are looked for.
    pub brokers: Vec<Address>,
    /// Where further brokers tell of themselves.
    pub discovery: Option<MulticastOptions>,
    /// The wait between the loss of a working connection and the first attempt.
    pub initial_delay: Duration,
    /// The wait after the first round that failed.
    pub delay: Duration,
    /// The longest wait between rounds.
    pub max_delay: Duration,
    /// Whether the wait grows; if not, it is always [`FailoverPolicy::initial_delay`].
    pub exponential: bool,
    /// The factor by which it grows.
    pub exponent: f64,
    /// Rounds over all brokers before it gives up: none for no limit, 0 for no reconnection after a loss.
    pub max_attempts: Option<u32>,
    /// The same before the first connection; [`FailoverPolicy::max_attempts`] if there is none.
    pub startup_max_attempts: Option<u32>,
    /// Each round takes the brokers in another order.
    pub randomize: bool,
    /// How long whoever sends may wait for a connection; none for ever.
    pub timeout: Option<Duration>,
    /// A warning for the first failed round and each so many; 0 for none.
    pub warn_after: u32,
    /// Spare connections that are kept, greeted but not logged in.
    pub backups: usize,
    /// Brokers to return to as soon as they are there again.
    pub priority: Vec<Address>,
    /// Bytes of unanswered messages that are kept to be sent again; 0 for none.
    pub track_bytes: usize,
    /// Producers that were closed in an open transaction are made again for it at another broker.
    pub track_closed_producers: bool,
    /// Brokers may name further brokers.
    pub update_uris: bool,
    /// A list of further URIs, read before each round: a file, or an `http:` URL.
    pub update_uris_url: Option<String>,
    /// Whether another list in that file moves a connection that is up.
    pub rebalance_update_uris: bool,
    /// Brokers may send us elsewhere.
    pub obey_reconnect: bool,
    /// Options for URIs that come from brokers and files.
    pub(super) nested: Options,
}

/// What a URI of several brokers comes to.
struct Plan {
    brokers: Vec<Uri>,
    discovery: Option<MulticastOptions>,
    /// Those of `failover:`.
    options: Options,
}

/// Options of the multicast agent; all others are those of `failover:`.
const AGENT: &[&str] = &[
    "group",
    "interface",
    "joinNetworkInterface",
    "keepAliveInterval",
    "loopBackMode",
    "networkInterface",
    "timeToLive",
];

impl Plan {
    fn of(uri: &Uri) -> Result<Self> {
        let named = |options| Self { brokers: uri.components().to_vec(), discovery: None, options };
        match (uri.scheme.name(), uri.components()) {
            ("failover" | "static" | "simple", _) => Ok(named(uri.options.clone())),
            // The first is the master as a rule.
            ("masterslave", _) => {
                let mut options = uri.options.clone();
                if options.value("randomize").is_none() {
                    options.set("randomize", "false");
                }
                Ok(named(options))
            }
            ("discovery", [agent]) => {
                // Options of the agent about reconnecting count where those of the client say nothing.
                let mut plan = Self::of(agent)?;
                for (name, value) in renamed(&uri.options).iter() {
                    plan.options.set(name, value);
                }
                Ok(plan)
            }
            ("multicast", _) => {
                let (mut agent, mut options) = (Options::default(), Options::default());
                for (name, value) in uri.options.iter() {
                    let to = if AGENT.contains(&name) { &mut agent } else { &mut options };
                    to.set(name, value);
                }
                let agent = Uri { options: agent, ..uri.clone() };
                let discovery = MulticastOptions::from_uri(&agent).map_err(crate::settings::first)?;
                Ok(Self { brokers: Vec::new(), discovery: Some(discovery), options: renamed(&options) })
            }
            ("fanout", _) => Err(Error::Unsupported {
                uri: uri.to_string(),
                what: "this is no connection to one broker; with the feature `net` there is Fanout::connect",
            }),
            _ => Err(Error::Unsupported {
                uri: uri.to_string(),
                what: "of the URIs of several brokers failover:, static:, simple:, masterslave:, discovery: and multicast: \
                       are supported",
            }),
        }
    }
}

/// `discovered.*` is to brokers that are found what `nested.*` is to those that are named.
fn renamed(options: &Options) -> Options {
    let mut all = Options::default();
    for (name, value) in options.iter() {
        match name.strip_prefix("discovered.") {
            Some(name) => all.set(&format!("nested.{name}"), value),
            None => all.set(name, value),
        }
    }
    all
}

/// The bound of waiting where none is written. ActiveMQ's clients wait for ever, and hang whole applications.
const TIMEOUT: Duration = Duration::from_secs(30);

impl FailoverPolicy {
    /// Reads a `failover:` URI, or another that comes to the same; the options of the connection come back beside it.
    pub(crate) fn read(uri: &Uri) -> Result<(Self, Options)> {
        let Plan { brokers: named, discovery, options } = Plan::of(uri)?;
        let given = FailoverOptions::from_options(&options).map_err(crate::settings::first)?;
        let mut brokers: Vec<Address> = Vec::new();
        for broker in &named {
            add(&mut brokers, Address::read(broker, &given.nested)?);
        }
        if brokers.is_empty() && discovery.is_none() {
            return Err(Error::Usage("a failover URI needs a broker"));
        }
        let mut priority = Vec::new();
        if given.priority_backup == Some(true) {
            for uri in &given.priority_uris {
                add(&mut priority, Address::read(uri, &given.nested)?);
            }
            if priority.is_empty() {
                priority.extend(brokers.first().cloned());
            }
        }
        let ms = |value: Option<u64>, default| Duration::from_millis(value.unwrap_or(default));
        let rounds = |value: Option<i64>| value.and_then(|n| u32::try_from(n).ok());
        let backups = match given.backup {
            Some(true) => given.backup_pool_size.unwrap_or(1) as usize,
            _ => 0,
        };
        let track = |bytes: Option<u64>| usize::try_from(bytes.unwrap_or(131_072)).unwrap_or(usize::MAX);
        let policy = Self {
            initial_delay: ms(given.initial_reconnect_delay_ms, 10),
            delay: ms(given.reconnect_delay_ms, 10),
            max_delay: ms(given.max_reconnect_delay_ms, 30_000),
            exponential: given.use_exponential_back_off.unwrap_or(true),
            exponent: given.reconnect_delay_exponent.unwrap_or(2.0),
            max_attempts: rounds(given.max_reconnect_attempts),
            startup_max_attempts: rounds(given.startup_max_reconnect_attempts),
            randomize: given.randomize.unwrap_or(true),
            timeout: match given.timeout_ms {
                None => Some(TIMEOUT),
                Some(ms) => u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis),
            },
            warn_after: given
                .warn_after_reconnect_attempts
                .map_or(10, |n| u32::try_from(n.clamp(0, i64::from(u32::MAX))).unwrap_or(0)),
            backups: if discovery.is_some() {
                backups.min(MAX_COMPONENTS)
            } else {
                backups.min(brokers.len())
            },
            brokers,
            discovery,
            priority,
            track_bytes: if given.track_messages == Some(true) { track(given.max_cache_bytes) } else { 0 },
            update_uris: given.update_uris_supported.unwrap_or(true),
            update_uris_url: given.update_uris_url,
            track_closed_producers: given.track_transaction_producers.unwrap_or(true),
            rebalance_update_uris: given.rebalance_update_uris.unwrap_or(true),
            obey_reconnect: given.reconnect_supported.unwrap_or(true),
            nested: given.nested,
        };
        Ok((policy, given.connection))
    }

    /// A broker that was found.
    pub(crate) fn address(&self, uri: &Uri) -> Result<Address> {
        Address::read(uri, &self.nested)
    }

    /// The brokers of a comma-separated list, without those that cannot be read.
    pub(super) fn list(&self, text: &str) -> Vec<Address> {
        let mut found = Vec::new();
        for part in
            text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()).take(MAX_COMPONENTS)
        {
            if let Ok(address) =
                Uri::parse(part).map_err(Error::from).and_then(|u| Address::read(&u, &self.nested))
            {
                add(&mut found, address);
            }
        }
        found
    }
}

/// Adds what is not there yet.
pub(super) fn add(list: &mut Vec<Address>, address: Address) {
    if !list.iter().any(|known| known.is(&address)) {
        list.push(address);
    }
}

//! The URI of a network connector: whom to link to, and how to try again.

use ferromq_uri::{
    ConnectUri, FailoverOptions, MulticastOptions, OptionReader, Options, Protocol, Target, Uri, UriError,
};

use super::{ATTRIBUTES, LISTS};
use crate::{reader::Reader, source::Source};

/// Whom a connector links to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NetworkPeers {
    /// `static:(a,b)`: a link to each. One of them may be a `failover:(…)`, the old form of a master and its standbys.
    Each(Vec<Uri>),
    /// `masterslave:(a,b)`: one link, to whoever of them is master; the first are tried first.
    OneOf(Vec<Uri>),
    /// Found at run time, such as by `multicast://default?group=prod`: a link to each that is there.
    Found(MulticastOptions),
}

/// Options of a connector's URI that are about finding brokers.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Discovery {
    /// When to try again.
    pub reconnect: Reconnect,
    /// `discovered.*` without the prefix: options that every URI that was found gets.
    pub discovered: Options,
}

/// When to try a peer again.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reconnect {
    /// `initialReconnectDelay`: the wait before the first further attempt (1000; 5000 for `multicast:`).
    pub initial_delay_ms: u64,
    /// `maxReconnectDelay` (30000).
    pub max_delay_ms: u64,
    /// `useExponentialBackOff`: whether waits grow (true; false for `multicast:`).
    pub exponential: bool,
    /// `backOffMultiplier`: by what (2).
    pub multiplier: f64,
    /// `maxReconnectAttempts`: `None` for no limit, which is 0 or -1 in a URI.
    pub max_attempts: Option<u32>,
    /// `minConnectTime`: a link that broke sooner counts as an attempt that failed (5000).
    pub min_connect_time_ms: u64,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            initial_delay_ms: 1_000,
            max_delay_ms: 30_000,
            exponential: true,
            multiplier: 2.0,
            max_attempts: None,
            min_connect_time_ms: 5_000,
        }
    }
}

impl Reconnect {
    fn read(reader: &mut OptionReader<'_>, default: Self) -> Self {
        // To ActiveMQ every number below 1 is no limit.
        let attempts = reader.number_that(
            "maxReconnectAttempts",
            "a number to 4294967295, 0 or -1 for no limit",
            |attempts: &i64| *attempts <= i64::from(u32::MAX),
        );
        let multiplier = reader.number_that("backOffMultiplier", "a factor from 1 to 100", |factor| {
            (1.0..=100.0).contains(factor)
        });
        Self {
            initial_delay_ms: reader.millis("initialReconnectDelay").unwrap_or(default.initial_delay_ms),
            max_delay_ms: reader.millis("maxReconnectDelay").unwrap_or(default.max_delay_ms),
            exponential: reader.bool("useExponentialBackOff").unwrap_or(default.exponential),
            multiplier: multiplier.unwrap_or(default.multiplier),
            max_attempts: attempts.and_then(|attempts| u32::try_from(attempts).ok()).filter(|most| *most > 0),
            min_connect_time_ms: reader.millis("minConnectTime").unwrap_or(default.min_connect_time_ms),
        }
    }
}

/// A mistake: the text, and what to write instead.
type Mistake = (String, String);

/// What a URI came to.
struct Found {
    peers: NetworkPeers,
    discovery: Discovery,
    /// What whoever wrote it should know.
    warnings: Vec<Mistake>,
}

pub(super) fn read(reader: &mut Reader<'_>, text: &str, place: &Source) -> Option<(NetworkPeers, Discovery)> {
    match parse(text) {
        Ok(Found { peers, discovery, warnings }) => {
            for (problem, remedy) in warnings {
                reader.warn(place, problem, remedy);
            }
            Some((peers, discovery))
        }
        Err(mistakes) => {
            for (problem, remedy) in mistakes {
                reader.error(place, problem, remedy);
            }
            None
        }
    }
}

fn parse(text: &str) -> Result<Found, Vec<Mistake>> {
    let uri = Uri::parse(text).map_err(|mistake| vec![plain(&mistake)])?;
    // `discovery:(multicast://default)` is the long form of what is inside.
    let uri = match (uri.scheme.name(), uri.components()) {
        ("discovery", [inner]) => inner.clone(),
        _ => uri,
    };
    let mut mistakes = Vec::new();
    let peers = match uri.scheme.name() {
        "static" | "simple" => NetworkPeers::Each(peers(&uri, true, &mut mistakes)),
        "masterslave" => {
            if uri.components().len() < 2 {
                let remedy = "write masterslave:(tcp://master:61616,tcp://standby:61616)";
                mistakes.push(("masterslave: needs two brokers or more".into(), remedy.into()));
            }
            NetworkPeers::OneOf(peers(&uri, false, &mut mistakes))
        }
        // Whom it finds is told by its options.
        "multicast" => NetworkPeers::Each(Vec::new()),
        scheme @ ("tcp" | "nio" | "ssl" | "nio+ssl" | "auto" | "auto+nio" | "auto+ssl" | "auto+nio+ssl") => {
            let problem = format!("a network connector does not take a plain {scheme}:// address");
            mistakes.push((problem, "write static:(…) around it".into()));
            return Err(mistakes);
        }
        "failover" => {
            let problem = "a network connector does not take failover: by itself".to_owned();
            mistakes.push((problem, "write masterslave:(…) for a master and its standbys".into()));
            return Err(mistakes);
        }
        scheme => {
            let problem = format!("{scheme}: does not find brokers in this version");
            mistakes.push((problem, "name them: static:(tcp://a:61616,tcp://b:61616)".into()));
            return Err(mistakes);
        }
    };
    let mut warnings = Vec::new();
    let (discovery, multicast) = match options(&uri, &mut warnings) {
        Ok(read) => read,
        Err(errors) => {
            mistakes.extend(errors.iter().map(plain));
            Default::default()
        }
    };
    mistakes.extend(discovered(&discovery.discovered));
    let reconnect = discovery.reconnect;
    if reconnect.max_delay_ms < reconnect.initial_delay_ms {
        let problem = format!(
            "maxReconnectDelay is {}, less than initialReconnectDelay, so that each wait is {} ms",
            reconnect.max_delay_ms, reconnect.initial_delay_ms
        );
        warnings.push((problem, "make it at least as long".into()));
    }
    let peers = multicast.map_or(peers, NetworkPeers::Found);
    if mistakes.is_empty() { Ok(Found { peers, discovery, warnings }) } else { Err(mistakes) }
}

/// What is wrong with the options that each broker gets.
fn discovered(options: &Options) -> Vec<Mistake> {
    let Ok(any) = Uri::parse("tcp://any") else { return Vec::new() };
    let given = Uri { options: options.clone(), ..any };
    match ConnectUri::from_uri(&given) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            errors.iter().map(|error| (format!("of discovered.*: {error}"), String::new())).collect()
        }
    }
}

fn plain(error: &UriError) -> Mistake {
    (error.to_string(), String::new())
}

/// The group in which a listener is told of: `discovery_uri`.
pub(crate) fn group(uri: &Uri) -> Result<MulticastOptions, Vec<UriError>> {
    let mut reader = uri.options.reader();
    let multicast = MulticastOptions::read(uri, &mut reader)?;
    // Those of a connector may stand there as well.
    Reconnect::read(&mut reader, Reconnect::default());
    reader.finish()?;
    Ok(multicast)
}

fn options(
    uri: &Uri,
    warnings: &mut Vec<Mistake>,
) -> Result<(Discovery, Option<MulticastOptions>), Vec<UriError>> {
    let mut reader = uri.options.reader();
    // Attributes of the connector became keys before; they are known names, should one be misspelt.
    for (name, _) in ATTRIBUTES.iter().chain(LISTS) {
        reader.text(name);
    }
    let multicast = uri.scheme.name() == "multicast";
    let default = if multicast {
        Reconnect { initial_delay_ms: 5_000, exponential: false, ..Reconnect::default() }
    } else {
        Reconnect::default()
    };
    let discovery = Discovery {
        reconnect: Reconnect::read(&mut reader, default),
        discovered: reader.under("discovered."),
    };
    // ActiveMQ reads past it as well.
    if !multicast && reader.bool("randomize") == Some(true) {
        let problem =
            "randomize=true has no effect: a link tries its brokers in the order in which they are written";
        warnings.push((
            problem.to_owned(),
            "remove it, and write the broker that is to be tried first in front".into(),
        ));
    }
    let found = if multicast { Some(MulticastOptions::read(uri, &mut reader)?) } else { None };
    reader.finish()?;
    Ok((discovery, found))
}

/// The brokers inside; `nested` allows a `failover:` among them.
fn peers(uri: &Uri, nested: bool, mistakes: &mut Vec<Mistake>) -> Vec<Uri> {
    for peer in uri.components() {
        match &peer.target {
            Target::Socket(_) => broker(peer, mistakes),
            Target::Group(inner) if nested && peer.scheme.name() == "failover" => {
                if let Err(errors) = FailoverOptions::from_uri(peer) {
                    mistakes.extend(errors.iter().map(plain));
                }
                inner.iter().for_each(|peer| broker(peer, mistakes));
            }
            _ => {
                let problem = format!("{peer} is no address of a broker");
                mistakes.push((problem, "write something like tcp://host:61616".into()));
            }
        }
    }
    uri.components().to_vec()
}

fn broker(uri: &Uri, mistakes: &mut Vec<Mistake>) {
    match ConnectUri::from_uri(uri) {
        Err(errors) => mistakes.extend(errors.iter().map(plain)),
        Ok(uri)
            if !matches!(uri.scheme.protocol(), Some(Protocol::OpenWire | Protocol::Auto))
                || uri.scheme.is_websocket() =>
        {
            let problem = format!("brokers are linked by OpenWire, not by {}", uri.scheme);
            mistakes.push((problem, "write tcp://host:61616".into()));
        }
        Ok(_) => {}
    }
}

//! The options of `failover:(…)`, as ActiveMQ's failover transport names them.

use crate::{
    error::UriError,
    options::{OptionReader, Options},
    scheme::Scheme,
    uri::Uri,
};

/// Options of a failover URI; `None` where one is not written.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct FailoverOptions {
    /// `initialReconnectDelay`: the wait after the loss of a working connection (10 in ActiveMQ).
    pub initial_reconnect_delay_ms: Option<u64>,
    /// `reconnectDelay`: the first wait between rounds (10).
    pub reconnect_delay_ms: Option<u64>,
    /// `maxReconnectDelay`: the longest wait between rounds (30000).
    pub max_reconnect_delay_ms: Option<u64>,
    /// `useExponentialBackOff` (true).
    pub use_exponential_back_off: Option<bool>,
    /// `reconnectDelayExponent`: the factor from wait to wait (2.0). The name of ActiveMQ 4 and of its documents,
    /// `backOffMultiplier`, is taken as well.
    pub reconnect_delay_exponent: Option<f64>,
    /// `maxReconnectAttempts`: rounds over all URIs; -1 for no limit, 0 for none after a loss (-1).
    pub max_reconnect_attempts: Option<i64>,
    /// `startupMaxReconnectAttempts`: the same before the first connection; -1 for as above (-1).
    pub startup_max_reconnect_attempts: Option<i64>,
    /// `randomize`: shuffle the URIs in each round (true).
    pub randomize: Option<bool>,
    /// `timeout`: how long a send waits for a connection; -1 for ever (-1).
    pub timeout_ms: Option<i64>,
    /// `warnAfterReconnectAttempts`: a warning each so many failed rounds; 0 or less for none (10).
    pub warn_after_reconnect_attempts: Option<i64>,
    /// `backup`: keep spare connections (false).
    pub backup: Option<bool>,
    /// `backupPoolSize` (1).
    pub backup_pool_size: Option<u32>,
    /// `priorityBackup`: return to the preferred URIs when they are back (false).
    pub priority_backup: Option<bool>,
    /// `priorityURIs`: the preferred ones (the first of the list).
    pub priority_uris: Vec<Uri>,
    /// `trackMessages`: send again what was not acknowledged when the connection was lost (false).
    pub track_messages: Option<bool>,
    /// `maxCacheSize`: bytes held for that (131072).
    pub max_cache_bytes: Option<u64>,
    /// `trackTransactionProducers` (true).
    pub track_transaction_producers: Option<bool>,
    /// `updateURIsSupported`: take lists of URIs from the broker (true).
    pub update_uris_supported: Option<bool>,
    /// `updateURIsURL`: a file with further URIs.
    pub update_uris_url: Option<String>,
    /// `rebalanceUpdateURIs` (true).
    pub rebalance_update_uris: Option<bool>,
    /// `reconnectSupported`: obey the broker's order to go elsewhere (true).
    pub reconnect_supported: Option<bool>,
    /// `nested.*`: options of each URI inside, without the prefix. They win over its own.
    pub nested: Options,
    /// Names of options that were accepted and have no effect.
    pub ignored: Vec<String>,
    /// `jms.*` and `connection.*`, without the prefix: settings of the connection above the transport.
    pub connection: Options,
}

impl FailoverOptions {
    /// Reads the options of a `failover:` URI.
    ///
    /// # Errors
    /// Every mistake in the options, or the one that the URI is no `failover:`.
    pub fn from_uri(uri: &Uri) -> Result<Self, Vec<UriError>> {
        if Some(uri.scheme) != Scheme::from_name("failover") {
            let (scheme, remedy) = (uri.scheme.to_string(), "write failover:(uri,uri,…)");
            return Err(vec![UriError::WrongScheme { column: 1, scheme, remedy }]);
        }
        Self::from_options(&uri.options)
    }

    /// Reads the options of a URI of another scheme that takes the same, such as `discovery:`.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn from_options(options: &Options) -> Result<Self, Vec<UriError>> {
        let mut reader = options.reader();
        let mut options = Self::read(&mut reader);
        let mut mistakes = Vec::new();
        for text in
            reader.text("priorityURIs").unwrap_or_default().split(',').filter(|text| !text.trim().is_empty())
        {
            match Uri::parse(text) {
                Ok(uri) => options.priority_uris.push(uri),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if let Err(others) = reader.finish() {
            mistakes.extend(others);
        }
        if mistakes.is_empty() { Ok(options) } else { Err(mistakes) }
    }

    fn read(reader: &mut OptionReader<'_>) -> Self {
        const ATTEMPTS: &str = "a number, or -1 for no limit";
        const FACTOR: &str = "a factor such as 2.0";
        let old_name = reader.number("backOffMultiplier", FACTOR);
        Self {
            initial_reconnect_delay_ms: reader.millis("initialReconnectDelay"),
            reconnect_delay_ms: reader.millis("reconnectDelay"),
            max_reconnect_delay_ms: reader.millis("maxReconnectDelay"),
            use_exponential_back_off: reader.bool("useExponentialBackOff"),
            reconnect_delay_exponent: reader.number("reconnectDelayExponent", FACTOR).or(old_name),
            max_reconnect_attempts: reader.number("maxReconnectAttempts", ATTEMPTS),
            startup_max_reconnect_attempts: reader.number("startupMaxReconnectAttempts", ATTEMPTS),
            randomize: reader.bool("randomize"),
            timeout_ms: reader.number("timeout", "a number of milliseconds, or -1 for ever"),
            warn_after_reconnect_attempts: reader
                .number("warnAfterReconnectAttempts", "a number, or 0 for never"),
            backup: reader.bool("backup"),
            backup_pool_size: reader.number("backupPoolSize", "a number, 0 or more"),
            priority_backup: reader.bool("priorityBackup"),
            priority_uris: Vec::new(),
            track_messages: reader.bool("trackMessages"),
            max_cache_bytes: reader.bytes("maxCacheSize"),
            track_transaction_producers: reader.bool("trackTransactionProducers"),
            update_uris_supported: reader.bool("updateURIsSupported"),
            update_uris_url: reader.text("updateURIsURL").map(Into::into),
            rebalance_update_uris: reader.bool("rebalanceUpdateURIs"),
            reconnect_supported: reader.bool("reconnectSupported"),
            nested: reader.under("nested."),
            ignored: reader.ignored("", &["useLocalHost"]),
            connection: reader.connection(),
        }
    }
}

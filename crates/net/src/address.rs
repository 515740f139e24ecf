//! [`ListenAddress`]: where to listen, as users of ActiveMQ write it.

use std::fmt;
use std::str::FromStr;

/// `tcp://host:port`, with the options that a transport connector has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or address of this machine; `0.0.0.0` or `[::]` for all of them.
    pub host: String,
    /// 0 for any free port.
    pub port: u16,
    /// Connections at a time; those beyond it are closed at once.
    pub maximum_connections: usize,
    /// The largest frame that a peer may send, if the address says so.
    pub max_frame_bytes: Option<u64>,
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
            max_frame_bytes: None,
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

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url_with_port(self.port))
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|reason| AddressError { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<ListenAddress, String> {
    let (scheme, rest) = text.split_once("://").ok_or("there is no scheme")?;
    if !matches!(scheme, "tcp" | "nio") {
        return Err(format!("the scheme {scheme:?} is not served"));
    }
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, port) =
        authority.trim_end_matches('/').rsplit_once(':').ok_or("there is no port (0 picks a free one)")?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err("there is no host (0.0.0.0 means all addresses)".to_owned());
    }
    let port = port.parse().map_err(|_| format!("{port:?} is no port between 0 and 65535"))?;
    let mut address = ListenAddress { host: host.to_owned(), ..ListenAddress::loopback(port) };
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = || value.parse::<u64>().map_err(|_| format!("{name} needs a number, not {value:?}"));
        match name {
            "maximumConnections" => {
                address.maximum_connections = usize::try_from(number()?).unwrap_or(usize::MAX);
            }
            "wireFormat.maxFrameSize" => address.max_frame_bytes = Some(number()?),
            // What ActiveMQ's users commonly write and what is settled by negotiation or always so here.
            "wireFormat.maxInactivityDuration"
            | "wireFormat.maxInactivityDurationInitalDelay"
            | "wireFormat.cacheEnabled"
            | "wireFormat.tightEncodingEnabled"
            | "wireFormat.stackTraceEnabled"
            | "transport.tcpNoDelay"
            | "wireFormat.tcpNoDelayEnabled"
            | "transport.daemon"
            | "transport.keepAlive"
            | "trace"
            | "transport.trace" => {}
            _ => return Err(format!("the option {name:?} is not known")),
        }
    }
    Ok(address)
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
            assert_eq!((address.maximum_connections, address.max_frame_bytes), (maximum, frame), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        let table = [
            ("61616", "no scheme"),
            ("http://localhost:80", "\"http\" is not served"),
            ("tcp://localhost", "no port"),
            ("tcp://:61616", "no host"),
            ("tcp://localhost:99999", "no port between"),
            ("tcp://localhost:1?maximumConnections=many", "needs a number"),
            ("tcp://localhost:1?maximumConections=10", "\"maximumConections\" is not known"),
        ];
        for (text, reason) in table {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}

//! Host and port.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A name or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// A name to be resolved, or a word such as `default` for multicast.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Where to listen or connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port, if one was written. 0 lets the system choose one for a listener.
    pub port: Option<u16>,
}

/// The port of OpenWire.
const OPENWIRE_PORT: u16 = 61616;

impl Host {
    /// Reads a name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) fn parse(text: &str) -> Option<Host> {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return inner.parse::<Ipv6Addr>().ok().map(|address| Host::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Host::Address(address.into()));
        }
        // What looks like an address but is none, such as 300.1.1.1, is a mistake rather than a name.
        let digits_only = text.chars().all(|c| c.is_ascii_digit() || c == '.');
        let name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        (!text.is_empty() && text.len() <= 253 && name && !digits_only).then(|| Host::Name(text.to_owned()))
    }

    /// Whether only this machine can reach it. A name is judged by `localhost` alone: what others resolve to may change.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
            Host::Address(address) => address.is_loopback(),
        }
    }
}

impl Endpoint {
    /// The port, or that of OpenWire.
    #[must_use]
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(OPENWIRE_PORT)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(address)) => address.fmt(f),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => self.host.fmt(f),
        }
    }
}

//! The options of `multicast://default?group=prod`, as ActiveMQ's multicast agent names them.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use crate::{
    endpoint::Host,
    error::UriError,
    options::OptionReader,
    uri::{Target, Uri},
};

/// Where brokers tell of themselves unless a URI says otherwise: `multicast://default`.
const DEFAULT_GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 2, 3), 6155);

/// Longer names would leave too little of a datagram.
const MAX_GROUP_BYTES: usize = 256;

/// How brokers find one another by multicast.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MulticastOptions {
    /// The group of the network, and the port: 239.255.2.3:6155 for the host `default`.
    pub address: SocketAddrV4,
    /// `group`: brokers of other groups are not heard (`default`).
    pub group: String,
    /// `timeToLive`: routers that a datagram may pass, and one more (1).
    pub time_to_live: u8,
    /// `loopBackMode`: whether brokers on this machine are *not* told, as the word means in Java (false).
    pub loop_back_disabled: bool,
    /// `keepAliveInterval`: how often a broker says that it lives; silent for ten times that, it counts as gone (500).
    pub keep_alive_interval_ms: u64,
    /// `interface`: the address of this machine by which datagrams leave.
    pub interface: Option<Ipv4Addr>,
    /// `networkInterface`: the same, by the interface's name.
    pub network_interface: Option<String>,
    /// `joinNetworkInterface`: the interface on which others are heard, by its name; the one above if there is none.
    pub join_network_interface: Option<String>,
}

impl Default for MulticastOptions {
    fn default() -> Self {
        Self {
            address: DEFAULT_GROUP,
            group: "default".to_owned(),
            time_to_live: 1,
            loop_back_disabled: false,
            keep_alive_interval_ms: 500,
            interface: None,
            network_interface: None,
            join_network_interface: None,
        }
    }
}

impl MulticastOptions {
    /// Reads a `multicast:` URI that has no further options.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn from_uri(uri: &Uri) -> Result<Self, Vec<UriError>> {
        let mut reader = uri.options.reader();
        let options = Self::read(uri, &mut reader)?;
        reader.finish()?;
        Ok(options)
    }

    /// Takes what belongs to the agent; other options, such as those about reconnecting, are left to the caller.
    ///
    /// # Errors
    /// The URI has another scheme, or its host is no group of IPv4. Mistakes in options stay with the reader.
    pub fn read(uri: &Uri, reader: &mut OptionReader<'_>) -> Result<Self, Vec<UriError>> {
        let Target::Socket(endpoint) = &uri.target else { return Err(vec![wrong(uri)]) };
        if uri.scheme.name() != "multicast" {
            return Err(vec![wrong(uri)]);
        }
        let port = endpoint.port.unwrap_or(DEFAULT_GROUP.port());
        let address = match &endpoint.host {
            Host::Name(name) if name.eq_ignore_ascii_case("default") => *DEFAULT_GROUP.ip(),
            Host::Address(IpAddr::V4(ip)) if ip.is_multicast() => *ip,
            _ => return Err(vec![wrong(uri)]),
        };
        let default = Self::default();
        let group = reader.text_that("group", "a name of at most 256 bytes", |text| {
            text.len() <= MAX_GROUP_BYTES && !text.contains(char::is_control)
        });
        Ok(Self {
            address: SocketAddrV4::new(address, port),
            group: group.unwrap_or(default.group),
            time_to_live: reader
                .number("timeToLive", "a number from 0 to 255")
                .unwrap_or(default.time_to_live),
            loop_back_disabled: reader.bool("loopBackMode").unwrap_or(default.loop_back_disabled),
            keep_alive_interval_ms: reader
                .millis("keepAliveInterval")
                .map_or(default.keep_alive_interval_ms, |ms| ms.clamp(10, 3_600_000)),
            interface: reader.number("interface", "an IPv4 address of this machine"),
            network_interface: reader.text("networkInterface").map(Into::into),
            join_network_interface: reader.text("joinNetworkInterface").map(Into::into),
        })
    }
}

fn wrong(uri: &Uri) -> UriError {
    UriError::WrongScheme {
        column: 1,
        scheme: uri.scheme.to_string(),
        remedy: "write multicast://default, or a group of IPv4 such as multicast://239.255.2.3:6155",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MulticastOptions, Vec<UriError>> {
        MulticastOptions::from_uri(&Uri::parse(text).unwrap())
    }

    #[test]
    fn what_is_not_written_is_as_in_activemq() {
        let options = read("multicast://default").unwrap();
        assert_eq!(options.address.to_string(), "239.255.2.3:6155");
        assert_eq!((options.group.as_str(), options.time_to_live), ("default", 1));
        assert_eq!((options.loop_back_disabled, options.keep_alive_interval_ms), (false, 500));
    }

    #[test]
    fn every_option_is_read() {
        let options = read(
            "multicast://239.1.2.3:7000?group=prod&timeToLive=4&loopBackMode=true&keepAliveInterval=200\
             &interface=127.0.0.1&networkInterface=lo&joinNetworkInterface=eth0",
        )
        .unwrap();
        assert_eq!(options.address.to_string(), "239.1.2.3:7000");
        assert_eq!((options.group.as_str(), options.time_to_live), ("prod", 4));
        assert_eq!((options.loop_back_disabled, options.keep_alive_interval_ms), (true, 200));
        assert_eq!(options.interface, Some(Ipv4Addr::LOCALHOST));
        assert_eq!(options.network_interface.as_deref(), Some("lo"));
        assert_eq!(options.join_network_interface.as_deref(), Some("eth0"));
    }

    #[test]
    fn what_is_no_group_is_refused() {
        for text in
            ["multicast://10.0.0.1", "multicast://[ff02::1]", "multicast://somewhere", "udp://239.1.2.3"]
        {
            assert!(read(text).is_err(), "{text}");
        }
        let mistakes = read("multicast://default?grup=x&interface=lo").unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    }
}

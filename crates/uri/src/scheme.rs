//! The schemes that ActiveMQ knows, and what follows each.

use std::fmt;

use crate::nearest::nearest;

/// A known scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scheme {
    index: usize,
}

/// What stands behind the colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shape {
    /// `//host:port`.
    Socket,
    /// `(uri,uri,…)`, or the URIs without parentheses.
    Group,
    /// `//name`.
    Name,
}

/// What is spoken over a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// OpenWire.
    OpenWire,
    /// Any of them, told apart by the first bytes.
    Auto,
    /// STOMP.
    Stomp,
    /// MQTT.
    Mqtt,
    /// AMQP 1.0.
    Amqp,
    /// XML over HTTP.
    Http,
}

/// Name, shape, and for listeners: protocol, whether over TLS, whether over WebSocket.
type Row = (&'static str, Shape, Option<(Protocol, bool, bool)>);

const SCHEMES: &[Row] = &[
    ("tcp", Shape::Socket, Some((Protocol::OpenWire, false, false))),
    ("nio", Shape::Socket, Some((Protocol::OpenWire, false, false))),
    ("ssl", Shape::Socket, Some((Protocol::OpenWire, true, false))),
    ("nio+ssl", Shape::Socket, Some((Protocol::OpenWire, true, false))),
    ("auto", Shape::Socket, Some((Protocol::Auto, false, false))),
    ("auto+nio", Shape::Socket, Some((Protocol::Auto, false, false))),
    ("auto+ssl", Shape::Socket, Some((Protocol::Auto, true, false))),
    ("auto+nio+ssl", Shape::Socket, Some((Protocol::Auto, true, false))),
    ("ws", Shape::Socket, Some((Protocol::Auto, false, true))),
    ("wss", Shape::Socket, Some((Protocol::Auto, true, true))),
    ("stomp", Shape::Socket, Some((Protocol::Stomp, false, false))),
    ("stomp+nio", Shape::Socket, Some((Protocol::Stomp, false, false))),
    ("stomp+ssl", Shape::Socket, Some((Protocol::Stomp, true, false))),
    ("stomp+nio+ssl", Shape::Socket, Some((Protocol::Stomp, true, false))),
    ("mqtt", Shape::Socket, Some((Protocol::Mqtt, false, false))),
    ("mqtt+nio", Shape::Socket, Some((Protocol::Mqtt, false, false))),
    ("mqtt+ssl", Shape::Socket, Some((Protocol::Mqtt, true, false))),
    ("mqtt+nio+ssl", Shape::Socket, Some((Protocol::Mqtt, true, false))),
    ("amqp", Shape::Socket, Some((Protocol::Amqp, false, false))),
    ("amqp+nio", Shape::Socket, Some((Protocol::Amqp, false, false))),
    ("amqp+ssl", Shape::Socket, Some((Protocol::Amqp, true, false))),
    ("amqp+nio+ssl", Shape::Socket, Some((Protocol::Amqp, true, false))),
    ("amqp+ws", Shape::Socket, Some((Protocol::Amqp, false, true))),
    ("amqp+wss", Shape::Socket, Some((Protocol::Amqp, true, true))),
    ("http", Shape::Socket, Some((Protocol::Http, false, false))),
    ("https", Shape::Socket, Some((Protocol::Http, true, false))),
    ("udp", Shape::Socket, None),
    ("multicast", Shape::Socket, None),
    ("zeroconf", Shape::Name, None),
    ("vm", Shape::Name, None),
    ("peer", Shape::Name, None),
    ("failover", Shape::Group, None),
    ("static", Shape::Group, None),
    ("simple", Shape::Group, None),
    ("masterslave", Shape::Group, None),
    ("discovery", Shape::Group, None),
    ("fanout", Shape::Group, None),
    ("broker", Shape::Group, None),
    ("network", Shape::Group, None),
];

impl Scheme {
    /// The scheme of that name; upper and lower case are the same (RFC 3986 §3.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Scheme> {
        SCHEMES.iter().position(|row| row.0.eq_ignore_ascii_case(name)).map(|index| Scheme { index })
    }

    /// The name in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What stands behind the colon.
    #[must_use]
    pub fn shape(self) -> Shape {
        self.row().1
    }

    /// What is spoken there, if one can listen on it.
    #[must_use]
    pub fn protocol(self) -> Option<Protocol> {
        self.row().2.map(|row| row.0)
    }

    /// Whether the socket is wrapped in TLS.
    #[must_use]
    pub fn is_tls(self) -> bool {
        self.row().2.is_some_and(|row| row.1)
    }

    /// Whether the protocol is carried in WebSocket frames.
    #[must_use]
    pub fn is_websocket(self) -> bool {
        self.row().2.is_some_and(|row| row.2)
    }

    pub(crate) fn suggestion(name: &str) -> Option<&'static str> {
        nearest(name, SCHEMES.iter().map(|row| row.0))
    }

    /// An index is made by `from_name` only; the first row stands for what cannot be.
    fn row(self) -> &'static Row {
        SCHEMES.get(self.index).unwrap_or(&SCHEMES[0])
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! Destinations on the wire: a kind and a physical name.

use std::fmt;

use crate::error::{Error, Result};
use crate::fields::{Nested, Sink, Source};
use crate::structures::Command;
use crate::text::WireStr;

/// The four kinds of destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DestinationKind {
    /// A queue, code 100.
    #[default]
    Queue,
    /// A topic, code 101.
    Topic,
    /// A temporary queue, code 102.
    TempQueue,
    /// A temporary topic, code 103.
    TempTopic,
}

impl DestinationKind {
    /// The type code.
    pub fn code(self) -> u8 {
        match self {
            DestinationKind::Queue => 100,
            DestinationKind::Topic => 101,
            DestinationKind::TempQueue => 102,
            DestinationKind::TempTopic => 103,
        }
    }

    /// The kind behind a type code.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            100 => DestinationKind::Queue,
            101 => DestinationKind::Topic,
            102 => DestinationKind::TempQueue,
            103 => DestinationKind::TempTopic,
            _ => return None,
        })
    }

    /// The protocol's name of the type.
    pub fn type_name(self) -> &'static str {
        match self {
            DestinationKind::Queue => "ActiveMQQueue",
            DestinationKind::Topic => "ActiveMQTopic",
            DestinationKind::TempQueue => "ActiveMQTempQueue",
            DestinationKind::TempTopic => "ActiveMQTempTopic",
        }
    }

    /// The prefix of a qualified name.
    pub fn prefix(self) -> &'static str {
        match self {
            DestinationKind::Queue => "queue://",
            DestinationKind::Topic => "topic://",
            DestinationKind::TempQueue => "temp-queue://",
            DestinationKind::TempTopic => "temp-topic://",
        }
    }
}

/// A destination; wildcards and lists of names are not taken apart here.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// Queue or topic, temporary or not.
    pub kind: DestinationKind,
    /// `physicalName`: string, trimmed and without options; must not be empty when it is sent.
    pub name: WireStr,
}

impl Destination {
    /// A destination of any kind.
    pub fn new(kind: DestinationKind, name: impl Into<WireStr>) -> Self {
        Self { kind, name: name.into().into_destination_name() }
    }

    /// A queue.
    pub fn queue(name: impl Into<WireStr>) -> Self {
        Self::new(DestinationKind::Queue, name)
    }

    /// A topic.
    pub fn topic(name: impl Into<WireStr>) -> Self {
        Self::new(DestinationKind::Topic, name)
    }

    /// Whether this is a queue, temporary or not.
    pub fn is_queue(&self) -> bool {
        matches!(self.kind, DestinationKind::Queue | DestinationKind::TempQueue)
    }

    /// Whether this lives only as long as the connection that made it.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, DestinationKind::TempQueue | DestinationKind::TempTopic)
    }
}

/// The qualified name, such as `queue://A.B`.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.name)
    }
}

impl Nested for Destination {
    fn code(&self) -> u8 {
        self.kind.code()
    }

    fn read_as<S: Source>(code: u8, source: &mut S) -> Result<Self> {
        let kind = DestinationKind::from_code(code)
            .ok_or(Error::UnexpectedType { code, expected: "a destination" })?;
        let name = source.string("physicalName")?.unwrap_or_default().into_destination_name();
        if name.is_empty() {
            return Err(Error::NoDestinationName);
        }
        Ok(Self { kind, name })
    }

    fn write_fields<S: Sink>(&self, sink: &mut S) -> Result<()> {
        if self.name.is_empty() {
            return Err(Error::UnnamedDestination);
        }
        // A reference count, so that the sink needs no second form of text.
        sink.string("physicalName", &Some(self.name.clone()))
    }
}

impl From<Destination> for Command {
    fn from(value: Destination) -> Self {
        Command::Destination(value)
    }
}

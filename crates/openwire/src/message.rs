//! Messages: one struct for all kinds, because everything but the body is the same.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::fields::{FieldGroup, Nested, Sink, Source};
use crate::structures::{Blob, Command, Message};

/// The kind of a message, told by its type code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Without a body, code 23.
    #[default]
    Plain,
    /// Raw bytes, code 24.
    Bytes,
    /// A primitive map, code 25.
    Map,
    /// A serialised Java object, code 26; opaque here.
    Object,
    /// Tagged values one after the other, code 27.
    Stream,
    /// Text, code 28.
    Text,
    /// A body kept elsewhere, code 29.
    Blob,
}

impl MessageKind {
    /// The type code.
    pub fn code(self) -> u8 {
        match self {
            MessageKind::Plain => 23,
            MessageKind::Bytes => 24,
            MessageKind::Map => 25,
            MessageKind::Object => 26,
            MessageKind::Stream => 27,
            MessageKind::Text => 28,
            MessageKind::Blob => 29,
        }
    }

    /// The kind behind a type code.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            23 => MessageKind::Plain,
            24 => MessageKind::Bytes,
            25 => MessageKind::Map,
            26 => MessageKind::Object,
            27 => MessageKind::Stream,
            28 => MessageKind::Text,
            29 => MessageKind::Blob,
            _ => return None,
        })
    }

    /// The protocol's name of the type.
    pub fn type_name(self) -> &'static str {
        match self {
            MessageKind::Plain => "ActiveMQMessage",
            MessageKind::Bytes => "ActiveMQBytesMessage",
            MessageKind::Map => "ActiveMQMapMessage",
            MessageKind::Object => "ActiveMQObjectMessage",
            MessageKind::Stream => "ActiveMQStreamMessage",
            MessageKind::Text => "ActiveMQTextMessage",
            MessageKind::Blob => "ActiveMQBlobMessage",
        }
    }
}

impl Message {
    /// An empty message of a kind.
    pub fn new(kind: MessageKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Bytes of body and properties.
    pub fn payload_len(&self) -> usize {
        let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        len(&self.content) + len(&self.marshalled_properties)
    }

    /// Copies body and properties into memory of their own, so that a small message does not keep a large read
    /// buffer alive.
    pub fn detach(&mut self) {
        let mut own = BytesMut::with_capacity(self.payload_len());
        for bytes in [&mut self.content, &mut self.marshalled_properties].into_iter().flatten() {
            own.extend_from_slice(bytes);
            *bytes = own.split().freeze();
        }
    }
}

impl Nested for Arc<Message> {
    fn code(&self) -> u8 {
        self.kind.code()
    }

    #[inline]
    fn read_as<S: Source>(code: u8, source: &mut S) -> Result<Self> {
        let kind =
            MessageKind::from_code(code).ok_or(Error::UnexpectedType { code, expected: "a message" })?;
        let mut message = Message::read(source)?;
        message.kind = kind;
        if kind == MessageKind::Blob {
            message.blob = Some(Arc::new(Blob::read(source)?));
        }
        Ok(Arc::new(message))
    }

    #[inline]
    fn write_fields<S: Sink>(&self, sink: &mut S) -> Result<()> {
        self.write(sink)?;
        match (self.kind, &self.blob) {
            (MessageKind::Blob, Some(blob)) => blob.write(sink),
            (MessageKind::Blob, None) => Blob::default().write(sink),
            _ => Ok(()),
        }
    }
}

impl Nested for Command {
    fn code(&self) -> u8 {
        Command::code(self)
    }

    fn read_as<S: Source>(code: u8, source: &mut S) -> Result<Self> {
        Command::read_code(code, source)
    }

    fn write_fields<S: Sink>(&self, sink: &mut S) -> Result<()> {
        self.write_all(sink)
    }

    fn null_element() -> Result<Self> {
        Ok(Command::Null)
    }
}

impl Nested for Arc<Command> {
    fn code(&self) -> u8 {
        Command::code(self)
    }

    fn read_as<S: Source>(code: u8, source: &mut S) -> Result<Self> {
        Command::read_code(code, source).map(Arc::new)
    }

    fn write_fields<S: Sink>(&self, sink: &mut S) -> Result<()> {
        self.write_all(sink)
    }
}

impl From<Message> for Command {
    fn from(value: Message) -> Self {
        Command::Message(Arc::new(value))
    }
}

impl From<Arc<Message>> for Command {
    fn from(value: Arc<Message>) -> Self {
        Command::Message(value)
    }
}

/// What a [`crate::MessageAck`] says (its field `ack_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
#[non_exhaustive]
pub enum AckType {
    /// Handed to the client, not consumed: widens the window.
    Delivered = 0,
    /// Redelivered too often: to the dead letters.
    Poison = 1,
    /// A range was consumed.
    Standard = 2,
    /// Redelivered once more; book-keeping only.
    Redelivered = 3,
    /// One message was consumed.
    Individual = 4,
    /// A durable subscription does not want it.
    Unmatched = 5,
    /// The client found it expired.
    Expired = 6,
}

impl AckType {
    /// The type behind the field, if it is known.
    pub fn from_wire(value: i8) -> Option<Self> {
        Some(match value {
            0 => Self::Delivered,
            1 => Self::Poison,
            2 => Self::Standard,
            3 => Self::Redelivered,
            4 => Self::Individual,
            5 => Self::Unmatched,
            6 => Self::Expired,
            _ => return None,
        })
    }
}

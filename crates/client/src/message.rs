//! Messages as an application sends and sees them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ferromq_model::WallTime;
use ferromq_openwire::{
    Body, Destination, Limits, Message, MessageId, MessageKind, PrimitiveMap, Value, WireStr,
};

use crate::error::{Error, Result};

/// A message to be sent. Persistent, of priority 4 and without expiry unless told otherwise (JMS 1.1 §3.4).
///
/// ```
/// use ferromq_client::Outgoing;
///
/// let order = Outgoing::text("two of everything").property("region", "eu").priority(7);
/// ```
#[derive(Clone, Debug)]
pub struct Outgoing {
    message: Message,
    body: Body,
    properties: PrimitiveMap,
    time_to_live: Option<Duration>,
}

impl Outgoing {
    /// A message with a body.
    pub fn new(body: Body) -> Self {
        let message = Message { persistent: true, priority: 4, ..Message::new(MessageKind::Plain) };
        Self { message, body, properties: PrimitiveMap::new(), time_to_live: None }
    }

    /// A text message.
    pub fn text(text: impl Into<WireStr>) -> Self {
        Self::new(Body::Text(text.into()))
    }

    /// A bytes message.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Body::Bytes(bytes.into()))
    }

    /// A map message.
    pub fn map(map: PrimitiveMap) -> Self {
        Self::new(Body::Map(map))
    }

    /// Whether the message survives a restart of the broker.
    #[must_use]
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.message.persistent = persistent;
        self
    }

    /// 0 to 9; more counts as 9.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.message.priority = i8::try_from(priority.min(9)).unwrap_or(4);
        self
    }

    /// The message expires so long after it was sent.
    #[must_use]
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }

    /// `JMSCorrelationID`.
    #[must_use]
    pub fn correlation_id(mut self, id: impl Into<WireStr>) -> Self {
        self.message.correlation_id = Some(id.into());
        self
    }

    /// `JMSReplyTo`.
    #[must_use]
    pub fn reply_to(mut self, destination: Destination) -> Self {
        self.message.reply_to = Some(destination);
        self
    }

    /// `JMSType`.
    #[must_use]
    pub fn jms_type(mut self, name: impl Into<WireStr>) -> Self {
        self.message.jms_type = Some(name.into());
        self
    }

    /// `JMSXGroupID`.
    #[must_use]
    pub fn group(mut self, id: impl Into<WireStr>) -> Self {
        self.message.group_id = Some(id.into());
        self
    }

    /// A property, which selectors see.
    #[must_use]
    pub fn property(mut self, name: impl Into<WireStr>, value: impl IntoValue) -> Self {
        self.properties.insert(name, value.into_value());
        self
    }

    /// The message as it travels, but for what [`crate::Core::send`] adds.
    ///
    /// # Errors
    /// Body or properties cannot be encoded.
    pub fn finish(self, destination: &Destination, compress: bool, wall: WallTime) -> Result<Message> {
        let Self { mut message, body, properties, time_to_live } = self;
        let refused = |source| Error::Encode { destination: destination.to_string(), source };
        message.set_body(&body, compress).map_err(refused)?;
        if !properties.is_empty() {
            message.set_properties(&properties).map_err(refused)?;
        }
        message.destination = Some(destination.clone());
        message.timestamp = wall.0;
        if let Some(time) = time_to_live {
            let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            message.expiration = wall.0.saturating_add(ms);
        }
        Ok(message)
    }
}

/// What a property can be made of.
pub trait IntoValue {
    /// The value on the wire.
    fn into_value(self) -> Value;
}

macro_rules! into_value {
    ($($from:ty => $to:ident),*) => {
        $( impl IntoValue for $from {
            fn into_value(self) -> Value {
                Value::$to(self.into())
            }
        } )*
    };
}

into_value!(bool => Bool, i8 => Byte, i16 => Short, i32 => Int, i64 => Long, f32 => Float, f64 => Double,
    &str => String, String => String, WireStr => String);

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}

/// A message that came, with the facts of this delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub(crate) message: Arc<Message>,
    pub(crate) redelivery_counter: i32,
    pub(crate) sequence: u64,
}

impl Delivery {
    /// Its number among those of the consumer, for [`crate::Core::acknowledge`].
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The message with all its fields.
    pub fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// The body, inflated if need be.
    ///
    /// # Errors
    /// The sender wrote a body that is none of its kind.
    pub fn body(&self) -> Result<Body> {
        self.message.body(&Limits::default()).map_err(|source| self.damaged(source))
    }

    /// The text of a text message.
    pub fn text(&self) -> Option<String> {
        match self.body() {
            Ok(Body::Text(text)) => Some(text.to_str().into_owned()),
            _ => None,
        }
    }

    /// The bytes of a bytes message, without copying them.
    pub fn bytes(&self) -> Option<Bytes> {
        match self.body() {
            Ok(Body::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// One property.
    ///
    /// # Errors
    /// The sender wrote properties that are no map.
    pub fn property(&self, name: &str) -> Result<Option<Value>> {
        Ok(self.properties()?.get(name).cloned())
    }

    /// All properties.
    ///
    /// # Errors
    /// The sender wrote properties that are no map.
    pub fn properties(&self) -> Result<PrimitiveMap> {
        self.message.decode_properties(&Limits::default()).map_err(|source| self.damaged(source))
    }

    /// Where it was sent to.
    pub fn destination(&self) -> Option<&Destination> {
        self.message.destination.as_ref()
    }

    /// Where an answer is wanted.
    pub fn reply_to(&self) -> Option<&Destination> {
        self.message.reply_to.as_ref()
    }

    /// `JMSCorrelationID`.
    pub fn correlation_id(&self) -> Option<Cow<'_, str>> {
        self.message.correlation_id.as_ref().map(WireStr::to_str)
    }

    /// `JMSMessageID`.
    pub fn message_id(&self) -> Option<&MessageId> {
        self.message.message_id.as_ref()
    }

    /// How often it was delivered before.
    pub fn redelivery_counter(&self) -> i32 {
        self.redelivery_counter
    }

    /// Whether it may have been delivered before (`JMSRedelivered`).
    pub fn is_redelivered(&self) -> bool {
        self.redelivery_counter > 0
    }

    fn damaged(&self, source: ferromq_openwire::Error) -> Error {
        let id = self.message_id().map_or_else(|| "without an id".to_owned(), ToString::to_string);
        Error::Protocol { uri: id.into(), reason: format!("a message cannot be read: {source}") }
    }
}

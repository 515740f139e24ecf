//! What a selector asks about: the values of one message, and where they come from.

/// A value of a header or property, in the Java type that the sender gave it.
///
/// The width matters: ActiveMQ promotes by type, not by value (JMS 1.1 §3.5.4, §3.8.1.2).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `boolean`
    Bool(bool),
    /// `byte`
    Byte(i8),
    /// `short`
    Short(i16),
    /// `int`
    Int(i32),
    /// `long`
    Long(i64),
    /// `float`
    Float(f32),
    /// `double`
    Double(f64),
    /// `String`
    String(&'a str),
    /// A value that is there but that no operator takes: a map, a list, bytes. Only `IS [NOT] NULL` sees it.
    Opaque,
}

/// One message, as a selector sees it.
///
/// `None` stands for a header or property that is absent, or present and null: SQL's NULL.
pub trait Facts {
    /// The value of a header that selectors know by a fixed name, in the type that [`Header`] states for it.
    fn header(&self, header: Header) -> Option<Value<'_>>;

    /// The value of an application property. `name` is never one of the names of [`Header`].
    fn property(&self, name: &str) -> Option<Value<'_>>;
}

impl<F: Facts + ?Sized> Facts for &F {
    fn header(&self, header: Header) -> Option<Value<'_>> {
        (**self).header(header)
    }

    fn property(&self, name: &str) -> Option<Value<'_>> {
        (**self).property(name)
    }
}

macro_rules! headers {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A header that ActiveMQ resolves by name before it looks at the properties.
        ///
        /// The name in a selector is case sensitive. Each variant states the type its [`Value`] must have.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Header {
            $($(#[$doc])* $variant,)*
        }

        impl Header {
            /// Every header, in the order of their declaration.
            pub const ALL: &[Header] = &[$(Header::$variant,)*];

            /// The name that stands in selectors.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Header::$variant => $name,)* }
            }

            /// The header of that exact name, if there is one.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Header> {
                match name { $($name => Some(Header::$variant),)* _ => None }
            }
        }
    };
}

headers! {
    /// String such as `queue://orders`; the original destination of a message that was moved or copied.
    Destination = "JMSDestination",
    /// String such as `temp-queue://ID:…`.
    ReplyTo = "JMSReplyTo",
    /// String.
    Type = "JMSType",
    /// String, `PERSISTENT` or `NON_PERSISTENT` (JMS 1.1 §3.8.1.3).
    DeliveryMode = "JMSDeliveryMode",
    /// Int, 0 to 9.
    Priority = "JMSPriority",
    /// String such as `ID:host-1234-1:1:1:1:1`.
    MessageId = "JMSMessageID",
    /// Long, milliseconds since 1970.
    Timestamp = "JMSTimestamp",
    /// String.
    CorrelationId = "JMSCorrelationID",
    /// Long, milliseconds since 1970, 0 for never.
    Expiration = "JMSExpiration",
    /// Bool.
    Redelivered = "JMSRedelivered",
    /// Int, 1 for the first delivery.
    DeliveryCount = "JMSXDeliveryCount",
    /// String.
    GroupId = "JMSXGroupID",
    /// Int; 0 if the sender set none.
    GroupSeq = "JMSXGroupSeq",
    /// String; the broker's stamp, or else the property of the same name.
    UserId = "JMSXUserID",
    /// String; the original transaction, or else the current one.
    ProducerTxId = "JMSXProducerTXID",
    /// Bool.
    GroupFirstForConsumer = "JMSXGroupFirstForConsumer",
    /// Long, milliseconds since 1970.
    BrokerInTime = "JMSActiveMQBrokerInTime",
    /// Long, milliseconds since 1970.
    BrokerOutTime = "JMSActiveMQBrokerOutTime",
    /// String such as `[ID:a, ID:b]`; the text `null` for a message that passed no other broker.
    BrokerPath = "JMSActiveMQBrokerPath",
}

#[cfg(test)]
mod tests {
    use super::Header;

    #[test]
    fn every_header_is_found_by_its_name_and_only_by_it() {
        for header in Header::ALL {
            assert_eq!(Header::from_name(header.name()), Some(*header));
            assert_eq!(Header::from_name(&header.name().to_lowercase()), None);
        }
    }
}

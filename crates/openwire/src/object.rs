//! Ids and destinations as one type: what a `RemoveInfo` names, and what the object cache holds.

use std::sync::Arc;

use crate::destination::Destination;
use crate::error::Result;
use crate::fields::{Cacheable, Nested, Sink, Source};
use crate::structures::{BrokerId, Command, ConnectionId, ConsumerId, ProducerId, SessionId};
use crate::text::WireStr;
use crate::transaction::TransactionId;

macro_rules! objects {
    ($($(#[$meta:meta])* $variant:ident($type:ty),)*) => {
        /// Anything that has an identity on a connection.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ObjectId {
            $( $(#[$meta])* $variant($type), )*
            /// A structure that no peer is known to put here; kept as it came.
            Other(Arc<Command>),
        }

        /// [`ObjectId`] by reference.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ObjectRef<'a> {
            $( $(#[$meta])* $variant(&'a $type), )*
            /// A structure that no peer is known to put here.
            Other(&'a Arc<Command>),
        }

        impl ObjectId {
            /// The same, by reference.
            #[inline]
            pub fn as_ref(&self) -> ObjectRef<'_> {
                match self {
                    $( ObjectId::$variant(value) => ObjectRef::$variant(value), )*
                    ObjectId::Other(value) => ObjectRef::Other(value),
                }
            }
        }

        impl ObjectRef<'_> {
            /// The same, owned; costs at most a reference count or two.
            pub fn to_object(&self) -> ObjectId {
                match self {
                    $( ObjectRef::$variant(value) => ObjectId::$variant((*value).clone()), )*
                    ObjectRef::Other(value) => ObjectId::Other(Arc::clone(value)),
                }
            }
        }

        impl Nested for ObjectId {
            fn code(&self) -> u8 {
                match self {
                    $( ObjectId::$variant(value) => value.code(), )*
                    ObjectId::Other(value) => value.code(),
                }
            }

            fn read_as<S: Source>(code: u8, source: &mut S) -> Result<Self> {
                Ok(match code {
                    120 => ObjectId::Connection(Nested::read_as(code, source)?),
                    121 => ObjectId::Session(Nested::read_as(code, source)?),
                    122 => ObjectId::Consumer(Nested::read_as(code, source)?),
                    123 => ObjectId::Producer(Nested::read_as(code, source)?),
                    124 => ObjectId::Broker(Nested::read_as(code, source)?),
                    100..=103 => ObjectId::Destination(Nested::read_as(code, source)?),
                    111 | 112 => ObjectId::Transaction(Nested::read_as(code, source)?),
                    _ => ObjectId::Other(Nested::read_as(code, source)?),
                })
            }

            fn write_fields<S: Sink>(&self, sink: &mut S) -> Result<()> {
                match self {
                    $( ObjectId::$variant(value) => value.write_fields(sink), )*
                    ObjectId::Other(value) => value.write_fields(sink),
                }
            }
        }

        $(
            impl Cacheable for $type {
                #[inline]
                fn object_ref(&self) -> ObjectRef<'_> {
                    ObjectRef::$variant(self)
                }

                #[inline]
                fn from_object(object: &ObjectId) -> Option<Self> {
                    match object {
                        ObjectId::$variant(value) => Some(value.clone()),
                        _ => None,
                    }
                }
            }

            impl From<$type> for ObjectId {
                fn from(value: $type) -> Self {
                    ObjectId::$variant(value)
                }
            }
        )*
    };
}

objects! {
    /// A connection.
    Connection(ConnectionId),
    /// A session.
    Session(SessionId),
    /// A consumer.
    Consumer(ConsumerId),
    /// A producer.
    Producer(ProducerId),
    /// A broker.
    Broker(BrokerId),
    /// A destination.
    Destination(Destination),
    /// A transaction.
    Transaction(TransactionId),
}

impl Cacheable for ObjectId {
    fn object_ref(&self) -> ObjectRef<'_> {
        self.as_ref()
    }

    fn from_object(object: &ObjectId) -> Option<Self> {
        Some(object.clone())
    }
}

impl ObjectId {
    /// Bytes of names behind this object, for the bound on a connection's cache.
    pub(crate) fn weight(&self) -> usize {
        let text = |s: &Option<WireStr>| s.as_ref().map_or(0, WireStr::wire_len);
        match self {
            ObjectId::Connection(id) => text(&id.value),
            ObjectId::Session(id) => text(&id.connection_id),
            ObjectId::Consumer(id) => text(&id.connection_id),
            ObjectId::Producer(id) => text(&id.connection_id),
            ObjectId::Broker(id) => text(&id.value),
            ObjectId::Destination(d) => d.name.wire_len(),
            ObjectId::Transaction(TransactionId::Local(id)) => {
                id.connection_id.as_ref().map_or(0, |c| text(&c.value))
            }
            ObjectId::Transaction(TransactionId::Xa(id)) => {
                let octets = |b: &Option<bytes::Bytes>| b.as_ref().map_or(0, bytes::Bytes::len);
                octets(&id.global_transaction_id) + octets(&id.branch_qualifier)
            }
            // What it holds is unknown, so it is charged the most that the cache accepts.
            ObjectId::Other(_) => 3 * 65_536,
        }
    }
}

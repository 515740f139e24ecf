//! The seam between structures and notations: a structure names its fields in wire order, a [`Sink`] writes them
//! and a [`Source`] reads them. Tight and loose encoding are two such notations; a dump or JSON can be others.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::object::{ObjectId, ObjectRef};
use crate::text::WireStr;
use crate::throwable::Throwable;

/// Reads the fields of a structure in wire order.
///
/// Names are the protocol's own, for notations that need them; binary notations ignore them.
pub trait Source: Sized {
    /// The OpenWire version whose fields are wanted.
    fn version(&self) -> u8;
    /// Reads a truth value.
    fn bool(&mut self, name: &'static str) -> Result<bool>;
    /// Reads 8 bits.
    fn byte(&mut self, name: &'static str) -> Result<i8>;
    /// Reads 32 bits.
    fn int(&mut self, name: &'static str) -> Result<i32>;
    /// Reads 64 bits.
    fn long(&mut self, name: &'static str) -> Result<i64>;
    /// Reads nullable text.
    fn string(&mut self, name: &'static str) -> Result<Option<WireStr>>;
    /// Reads nullable bytes that may share memory with the frame.
    fn bytes(&mut self, name: &'static str) -> Result<Option<Bytes>>;
    /// Reads nullable bytes that must not keep the frame alive.
    fn octets(&mut self, name: &'static str) -> Result<Option<Bytes>>;
    /// Reads the eight bytes that begin a greeting.
    fn magic(&mut self, name: &'static str) -> Result<[u8; 8]>;
    /// Reads a nullable exception.
    fn throwable(&mut self, name: &'static str) -> Result<Option<Arc<Throwable>>>;
    /// Reads a nullable structure.
    fn nested<T: Nested>(&mut self, name: &'static str) -> Result<Option<T>>;
    /// Reads a nullable structure that may stand in the object cache.
    fn cached<T: Cacheable>(&mut self, name: &'static str) -> Result<Option<T>>;
    /// Reads a nullable array of structures.
    fn array<T: Nested>(&mut self, name: &'static str) -> Result<Option<Arc<[T]>>>;
}

/// Writes the fields of a structure in wire order; the counterpart of [`Source`].
pub trait Sink: Sized {
    /// The OpenWire version whose fields are wanted.
    fn version(&self) -> u8;
    /// Writes a truth value.
    fn bool(&mut self, name: &'static str, value: &bool) -> Result<()>;
    /// Writes 8 bits.
    fn byte(&mut self, name: &'static str, value: &i8) -> Result<()>;
    /// Writes 32 bits.
    fn int(&mut self, name: &'static str, value: &i32) -> Result<()>;
    /// Writes 64 bits.
    fn long(&mut self, name: &'static str, value: &i64) -> Result<()>;
    /// Writes nullable text.
    fn string(&mut self, name: &'static str, value: &Option<WireStr>) -> Result<()>;
    /// Writes nullable bytes.
    fn bytes(&mut self, name: &'static str, value: &Option<Bytes>) -> Result<()>;
    /// Writes nullable bytes.
    fn octets(&mut self, name: &'static str, value: &Option<Bytes>) -> Result<()> {
        self.bytes(name, value)
    }
    /// Writes the eight bytes that begin a greeting.
    fn magic(&mut self, name: &'static str, value: &[u8; 8]) -> Result<()>;
    /// Writes a nullable exception.
    fn throwable(&mut self, name: &'static str, value: &Option<Arc<Throwable>>) -> Result<()>;
    /// Writes a nullable structure.
    fn nested<T: Nested>(&mut self, name: &'static str, value: &Option<T>) -> Result<()>;
    /// Writes a nullable structure that may stand in the object cache.
    fn cached<T: Cacheable>(&mut self, name: &'static str, value: &Option<T>) -> Result<()>;
    /// Writes a nullable array of structures.
    fn array<T: Nested>(&mut self, name: &'static str, value: &Option<Arc<[T]>>) -> Result<()>;
}

/// A list of fields in wire order.
pub trait FieldGroup: Sized {
    /// Name of the structure in the protocol.
    const NAME: &'static str;
    /// Reads the fields that the source's version has.
    fn read<S: Source>(source: &mut S) -> Result<Self>;
    /// Writes the fields that the sink's version has.
    fn write<S: Sink>(&self, sink: &mut S) -> Result<()>;
}

/// A structure, or a family of structures, that can stand inside another one.
pub trait Nested: Sized {
    /// The type code of this value; 0 stands for null.
    fn code(&self) -> u8;
    /// Reads the fields that follow a type code.
    fn read_as<S: Source>(code: u8, source: &mut S) -> Result<Self>;
    /// Writes the fields that follow the type code.
    fn write_fields<S: Sink>(&self, sink: &mut S) -> Result<()>;
    /// The value for a null element of an array; only arrays of anything have one.
    fn null_element() -> Result<Self> {
        Err(Error::NullElement("structures of one type"))
    }
}

/// A structure that peers keep in the object cache of a connection.
pub trait Cacheable: Nested + Clone {
    /// As a key of the sender's cache.
    fn object_ref(&self) -> ObjectRef<'_>;
    /// As a value of the cache.
    fn to_object(&self) -> ObjectId {
        self.object_ref().to_object()
    }
    /// Back from the cache, if it is of the wanted type.
    fn from_object(object: &ObjectId) -> Option<Self>;
}

//! Properties stay in the encoding in which they came; a [`PropertyCodec`] reads and amends them.

use std::fmt;

use bytes::Bytes;

use crate::{Encoding, Text};

/// One property value, of the types JMS 1.1 §3.5.4 allows.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value under a name that exists.
    Null,
    /// `boolean`.
    Bool(bool),
    /// `byte`.
    Byte(i8),
    /// `short`.
    Short(i16),
    /// `int`.
    Int(i32),
    /// `long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// `double`.
    Double(f64),
    /// `String`.
    String(Text),
    /// Anything else the encoding knows (a list, a map, bytes), which no selector can compare.
    Other,
}

/// Reads and writes the properties of one or more encodings, so that the engine knows none.
pub trait PropertyCodec: fmt::Debug + Send + Sync {
    /// The value of `name`, or `None` if there is no such property or `raw` can't be read.
    fn property(&self, encoding: Encoding, raw: &Bytes, name: &str) -> Option<Value>;

    /// `raw` with `entries` set, each replacing a property of the same name. What can't be read is dropped.
    fn with_properties(&self, encoding: Encoding, raw: Option<&Bytes>, entries: &[(&str, Value)]) -> Bytes;
}

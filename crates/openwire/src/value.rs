//! Primitive values: properties, map and stream bodies, options of a greeting. The same bytes in every version and
//! encoding.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::properties::{Reader, ValueRef};
use crate::text::WireStr;

/// From this many UTF-16 units on, Java writes a string with a long length.
const BIG_STRING: usize = 32_767 / 4;

/// One value with its type.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Tag 0.
    #[default]
    Null,
    /// Tag 1.
    Bool(bool),
    /// Tag 2.
    Byte(i8),
    /// Tag 3, one UTF-16 unit.
    Char(u16),
    /// Tag 4.
    Short(i16),
    /// Tag 5.
    Int(i32),
    /// Tag 6.
    Long(i64),
    /// Tag 7.
    Double(f64),
    /// Tag 8.
    Float(f32),
    /// Tag 9, or 13 if it is long.
    String(WireStr),
    /// Tag 10.
    Bytes(Bytes),
    /// Tag 11.
    Map(PrimitiveMap),
    /// Tag 12.
    List(Vec<Value>),
}

impl Value {
    /// Appends tag and value.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(self.tag());
        match self {
            Value::Null => {}
            Value::Bool(v) => out.push(u8::from(*v)),
            Value::Byte(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::Char(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::Short(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::Int(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::Long(v) => out.extend_from_slice(&v.to_be_bytes()),
            Value::Double(v) => out.extend_from_slice(&v.to_bits().to_be_bytes()),
            Value::Float(v) => out.extend_from_slice(&v.to_bits().to_be_bytes()),
            Value::String(v) if is_big(v) => {
                out.extend_from_slice(&length("a string", v.wire_len())?.to_be_bytes());
                out.extend_from_slice(v.as_wire());
            }
            Value::String(v) => push_short_string(out, v)?,
            Value::Bytes(v) => {
                out.extend_from_slice(&length("a byte array", v.len())?.to_be_bytes());
                out.extend_from_slice(v);
            }
            Value::Map(v) => v.encode_to(out)?,
            Value::List(v) => {
                out.extend_from_slice(&length("a list", v.len())?.to_be_bytes());
                v.iter().try_for_each(|value| value.encode(out))?;
            }
        }
        Ok(())
    }

    /// The tag that is written in front of the value.
    pub fn tag(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Byte(_) => 2,
            Value::Char(_) => 3,
            Value::Short(_) => 4,
            Value::Int(_) => 5,
            Value::Long(_) => 6,
            Value::Double(_) => 7,
            Value::Float(_) => 8,
            Value::String(v) if is_big(v) => 13,
            Value::String(_) => 9,
            Value::Bytes(_) => 10,
            Value::Map(_) => 11,
            Value::List(_) => 12,
        }
    }

    /// Decodes the values of a stream body, one after the other to the end.
    pub fn decode_stream(bytes: &[u8], limits: &Limits) -> Result<Vec<Value>> {
        let mut reader = Reader::new(bytes, limits);
        let mut values = Vec::new();
        let mut budget = limits.values;
        while !reader.is_empty() {
            if values.len() == limits.entries {
                return Err(Error::TooManyEntries(limits.entries));
            }
            values.push(Value::from_ref(reader.value()?, limits, &mut budget, 0)?);
        }
        Ok(values)
    }

    /// Owns a value; bytes are copied, because what is small must not keep a large body alive.
    fn from_ref(value: ValueRef<'_>, limits: &Limits, budget: &mut usize, depth: u32) -> Result<Self> {
        *budget = budget.checked_sub(1).ok_or(Error::TooManyEntries(limits.values))?;
        Ok(match value {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(v) => Value::Bool(v),
            ValueRef::Byte(v) => Value::Byte(v),
            ValueRef::Char(v) => Value::Char(v),
            ValueRef::Short(v) => Value::Short(v),
            ValueRef::Int(v) => Value::Int(v),
            ValueRef::Long(v) => Value::Long(v),
            ValueRef::Double(v) => Value::Double(v),
            ValueRef::Float(v) => Value::Float(v),
            ValueRef::String(v) => Value::String(v.to_wire_str()?),
            ValueRef::Bytes(v) => Value::Bytes(Bytes::copy_from_slice(v)),
            ValueRef::Map(v) => {
                Value::Map(PrimitiveMap::from_bytes(v, limits, budget, deeper(limits, depth)?)?)
            }
            ValueRef::List(v) => {
                let depth = deeper(limits, depth)?;
                let mut reader = Reader::new(v, limits);
                let count = reader.count()?.unwrap_or(0);
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(Value::from_ref(reader.value()?, limits, budget, depth)?);
                }
                Value::List(values)
            }
        })
    }
}

fn deeper(limits: &Limits, depth: u32) -> Result<u32> {
    if depth >= limits.nesting { Err(Error::TooDeep(limits.nesting)) } else { Ok(depth + 1) }
}

fn is_big(text: &WireStr) -> bool {
    // Fewer bytes than the bound cannot be more units.
    text.wire_len() >= BIG_STRING && text.utf16_len() >= BIG_STRING
}

fn length(what: &'static str, n: usize) -> Result<i32> {
    i32::try_from(n).map_err(|_| Error::TooLong { what, length: n })
}

fn push_short_string(out: &mut Vec<u8>, text: &WireStr) -> Result<()> {
    let length = u16::try_from(text.wire_len())
        .map_err(|_| Error::StringTooLong { length: text.wire_len(), limit: usize::from(u16::MAX) })?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_wire());
    Ok(())
}

/// Named values in the order in which they travel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrimitiveMap {
    entries: Vec<(WireStr, Value)>,
}

impl PrimitiveMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.iter().rev().find(|(k, _)| *k == *key).map(|(_, value)| value)
    }

    /// Sets a value; an old one is replaced in its place.
    pub fn insert(&mut self, key: impl Into<WireStr>, value: Value) {
        let key = key.into();
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Removes a value.
    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(k, _)| *k != *key);
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&WireStr, &Value)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// Appends an entry without looking for an older one under the same key.
    pub fn push(&mut self, key: WireStr, value: Value) {
        self.entries.push((key, value));
    }

    /// Decodes a whole map. A null map reads as an empty one.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self> {
        Self::from_bytes(bytes, limits, &mut { limits.values }, 0)
    }

    fn from_bytes(bytes: &[u8], limits: &Limits, budget: &mut usize, depth: u32) -> Result<Self> {
        let mut reader = Reader::new(bytes, limits);
        let count = reader.count()?.unwrap_or(0);
        let mut entries = Vec::new();
        for _ in 0..count {
            let (key, value) = reader.entry()?;
            let value = Value::from_ref(value, limits, budget, depth)?;
            entries.push((WireStr::from_wire_tolerant(key.as_wire())?, value));
        }
        Ok(Self { entries })
    }

    /// The map as bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(4 + self.entries.len() * 24);
        self.encode_to(&mut out)?;
        Ok(out)
    }

    fn encode_to(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&length("a map", self.entries.len())?.to_be_bytes());
        for (key, value) in &self.entries {
            push_short_string(out, key)?;
            value.encode(out)?;
        }
        Ok(())
    }
}

impl<K: Into<WireStr>> FromIterator<(K, Value)> for PrimitiveMap {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

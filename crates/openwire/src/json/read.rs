//! JSON to structures.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::{bad, from_hex};
use crate::error::Result;
use crate::fields::{Cacheable, Nested, Source};
use crate::structures::Command;
use crate::text::WireStr;
use crate::throwable::{StackFrame, Throwable};

/// Reads a structure: `type_name` says which, unless the object has a `$type`. A field that the version does not
/// have, or a name that no field has, is an error.
pub fn from_json(value: &Json, type_name: Option<&str>, version: u8) -> Result<Command> {
    let Some(object) = value.as_object() else {
        return if value.is_null() { Ok(Command::Null) } else { Err(bad(value.to_string())) };
    };
    let name = object.get("$type").and_then(Json::as_str).or(type_name).ok_or_else(|| bad("no $type"))?;
    let code = Command::code_of(name).ok_or_else(|| bad(name))?;
    read(object, version, |reader| Command::read_code(code, reader))
}

fn read<T>(
    object: &Map<String, Json>,
    version: u8,
    body: impl FnOnce(&mut Reader<'_>) -> Result<T>,
) -> Result<T> {
    let mut reader = Reader { version, object, seen: Vec::new() };
    let value = body(&mut reader)?;
    let unread = |key: &&String| !key.starts_with('$') && !reader.seen.contains(&key.as_str());
    match object.keys().find(unread) {
        Some(key) => Err(bad(format!("unknown field {key}"))),
        None => Ok(value),
    }
}

struct Reader<'a> {
    version: u8,
    object: &'a Map<String, Json>,
    seen: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn field(&mut self, name: &'static str) -> Option<&'a Json> {
        self.seen.push(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn child<T: Nested>(&self, value: &Json) -> Result<T> {
        let Some(object) = value.as_object() else { return T::null_element() };
        let name = object.get("$type").and_then(Json::as_str).ok_or_else(|| bad("no $type"))?;
        let code = Command::code_of(name).ok_or_else(|| bad(name))?;
        read(object, self.version, |reader| T::read_as(code, reader))
    }
}

fn text(value: &Json) -> Result<Option<WireStr>> {
    let utf16 = || {
        let bytes = from_hex(value.get("$utf16")?.as_str()?)?;
        let (pairs, _) = bytes.as_chunks::<2>();
        Some(WireStr::from_utf16(&pairs.iter().map(|&pair| u16::from_be_bytes(pair)).collect::<Vec<_>>()))
    };
    match value {
        Json::Null => Ok(None),
        Json::String(text) => Ok(Some(WireStr::from(text))),
        _ => utf16().map(Some).ok_or_else(|| bad(value.to_string())),
    }
}

fn octets(value: &Json) -> Result<Bytes> {
    value.as_str().and_then(from_hex).map(Bytes::from).ok_or_else(|| bad(value.to_string()))
}

fn exception(value: &Json) -> Result<Throwable> {
    let null = Json::Null;
    let part = |name: &str| text(value.get(name).unwrap_or(&null));
    let frames = value.get("stack").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let stack = frames.iter().map(|frame| match frame.as_array().map(Vec::as_slice) {
        Some([class, method, file, line]) => Ok(StackFrame {
            class: text(class)?,
            method: text(method)?,
            file: text(file)?,
            line: line.as_i64().and_then(|n| n.try_into().ok()).ok_or_else(|| bad(line.to_string()))?,
        }),
        _ => Err(bad(frame.to_string())),
    });
    Ok(Throwable {
        class: part("class")?,
        message: part("message")?,
        stack: stack.collect::<Result<_>>()?,
        cause: value.get("cause").map(|cause| exception(cause).map(Arc::new)).transpose()?,
    })
}

impl Source for Reader<'_> {
    fn version(&self) -> u8 {
        self.version
    }

    fn bool(&mut self, name: &'static str) -> Result<bool> {
        match self.field(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| bad(value.to_string())),
        }
    }

    fn byte(&mut self, name: &'static str) -> Result<i8> {
        let value = self.long(name)?;
        value.try_into().map_err(|_| bad(value.to_string()))
    }

    fn int(&mut self, name: &'static str) -> Result<i32> {
        let value = self.long(name)?;
        value.try_into().map_err(|_| bad(value.to_string()))
    }

    fn long(&mut self, name: &'static str) -> Result<i64> {
        match self.field(name) {
            None => Ok(0),
            Some(value) => value.as_i64().ok_or_else(|| bad(value.to_string())),
        }
    }

    fn string(&mut self, name: &'static str) -> Result<Option<WireStr>> {
        self.field(name).map_or(Ok(None), text)
    }

    fn bytes(&mut self, name: &'static str) -> Result<Option<Bytes>> {
        self.field(name).map(octets).transpose()
    }

    fn octets(&mut self, name: &'static str) -> Result<Option<Bytes>> {
        self.bytes(name)
    }

    fn magic(&mut self, name: &'static str) -> Result<[u8; 8]> {
        match self.bytes(name)? {
            None => Ok([0; 8]),
            Some(bytes) => bytes[..].try_into().map_err(|_| bad("magic of another length")),
        }
    }

    fn throwable(&mut self, name: &'static str) -> Result<Option<Arc<Throwable>>> {
        self.field(name).map(|value| exception(value).map(Arc::new)).transpose()
    }

    fn nested<T: Nested>(&mut self, name: &'static str) -> Result<Option<T>> {
        self.field(name).map(|value| self.child(value)).transpose()
    }

    fn cached<T: Cacheable>(&mut self, name: &'static str) -> Result<Option<T>> {
        self.nested(name)
    }

    fn array<T: Nested>(&mut self, name: &'static str) -> Result<Option<Arc<[T]>>> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let values = value.as_array().ok_or_else(|| bad(value.to_string()))?;
        values.iter().map(|value| self.child(value)).collect::<Result<_>>().map(Some)
    }
}

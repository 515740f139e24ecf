//! The JSON notation of recorded vectors and conversations, for tests and tools.
//!
//! A structure is an object with `$type` and its fields under the protocol's names; null, false and 0 are left out;
//! bytes are hex; text with an unpaired surrogate is `{"$utf16": hex}`. [`vectors`] checks recorded frames.

mod read;
pub mod vectors;
mod write;

use serde_json::{Value as Json, json};

pub use read::from_json;
pub use write::to_json;

use crate::error::Result;
use crate::limits::Limits;
use crate::structures::Message;
use crate::text::WireStr;
use crate::value::{PrimitiveMap, Value};
use crate::{Body, Error};

/// Bytes as hex.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Hex as bytes.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| (c as char).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|&[hi, lo]| Some((digit(hi)? << 4 | digit(lo)?) as u8)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Text, or its units if it is not Unicode.
pub fn text_to_json(text: &WireStr) -> Json {
    let units = text.to_utf16();
    match String::from_utf16(&units) {
        Ok(text) => Json::String(text),
        Err(_) => json!({ "$utf16": units.iter().map(|u| format!("{u:04x}")).collect::<String>() }),
    }
}

/// Properties or a map body: `[[key, tag, value], …]`.
pub fn map_to_json(map: &PrimitiveMap) -> Json {
    map.iter()
        .map(|(key, value)| {
            let (tag, value) = value_to_json(value);
            json!([text_to_json(key), tag, value])
        })
        .collect()
}

/// A stream body or a list: `[[tag, value], …]`.
pub fn list_to_json(values: &[Value]) -> Json {
    values
        .iter()
        .map(|value| {
            let (tag, value) = value_to_json(value);
            json!([tag, value])
        })
        .collect()
}

fn value_to_json(value: &Value) -> (&'static str, Json) {
    match value {
        Value::Null => ("null", Json::Null),
        Value::Bool(v) => ("bool", json!(v)),
        Value::Byte(v) => ("byte", json!(v)),
        Value::Char(v) => ("char", json!(v)),
        Value::Short(v) => ("short", json!(v)),
        Value::Int(v) => ("int", json!(v)),
        Value::Long(v) => ("long", json!(v)),
        Value::Double(v) => ("double-bits", json!(format!("{:016x}", v.to_bits()))),
        Value::Float(v) => ("float-bits", json!(format!("{:08x}", v.to_bits()))),
        Value::String(v) => (if value.tag() == 13 { "bigstring" } else { "string" }, text_to_json(v)),
        Value::Bytes(v) => ("bytes", json!(to_hex(v))),
        Value::Map(v) => ("map", map_to_json(v)),
        Value::List(v) => ("list", list_to_json(v)),
    }
}

/// The body of a message; null if it has none.
pub fn body_to_json(message: &Message, limits: &Limits) -> Result<Json> {
    Ok(match message.body(limits)? {
        Body::None | Body::Blob(_) => Json::Null,
        Body::Text(text) => text_to_json(&text),
        Body::Bytes(bytes) | Body::Object(bytes) => Json::String(to_hex(&bytes)),
        Body::Map(map) => map_to_json(&map),
        Body::Stream(values) => list_to_json(&values),
    })
}

fn bad(text: impl Into<String>) -> Error {
    Error::BadId { text: text.into(), expected: "this JSON notation" }
}

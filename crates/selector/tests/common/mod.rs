//! A message for tests, written as `name=type:value; …`.

use std::collections::BTreeMap;

use ferromq_selector::{Facts, Header, Value};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Owned {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    String(String),
    Opaque,
}

impl Owned {
    fn parse(text: &str) -> Self {
        let (kind, value) = text.split_once(':').expect("type:value");
        match kind {
            "bool" => Owned::Bool(value.parse().expect("bool")),
            "byte" => Owned::Byte(value.parse().expect("byte")),
            "short" => Owned::Short(value.parse().expect("short")),
            "int" => Owned::Int(value.parse().expect("int")),
            "long" => Owned::Long(value.parse().expect("long")),
            "float" => Owned::Float(value.parse().expect("float")),
            "double" => Owned::Double(value.parse().expect("double")),
            "str" => Owned::String(value.to_owned()),
            other => {
                assert_eq!(other, "opaque", "the types are those above");
                Owned::Opaque
            }
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Owned::Bool(value) => Value::Bool(*value),
            Owned::Byte(value) => Value::Byte(*value),
            Owned::Short(value) => Value::Short(*value),
            Owned::Int(value) => Value::Int(*value),
            Owned::Long(value) => Value::Long(*value),
            Owned::Float(value) => Value::Float(*value),
            Owned::Double(value) => Value::Double(*value),
            Owned::String(value) => Value::String(value),
            Owned::Opaque => Value::Opaque,
        }
    }
}

/// Properties, and headers under their names. What a broker sets on every message is there from the start.
#[derive(Debug, Clone)]
pub(crate) struct Message(pub(crate) BTreeMap<String, Owned>);

impl Message {
    pub(crate) fn parse(text: &str) -> Self {
        let mut facts = BTreeMap::new();
        for (name, value) in [
            ("JMSDestination", "str:queue://orders"),
            ("JMSMessageID", "str:ID:host-1-1:1:1:1:1"),
            ("JMSDeliveryMode", "str:NON_PERSISTENT"),
            ("JMSPriority", "int:0"),
            ("JMSTimestamp", "long:0"),
            ("JMSExpiration", "long:0"),
            ("JMSRedelivered", "bool:false"),
            ("JMSXDeliveryCount", "int:1"),
            ("JMSXGroupSeq", "int:0"),
            ("JMSXGroupFirstForConsumer", "bool:false"),
            ("JMSActiveMQBrokerInTime", "long:0"),
            ("JMSActiveMQBrokerOutTime", "long:0"),
            ("JMSActiveMQBrokerPath", "str:null"),
        ] {
            facts.insert(name.to_owned(), Owned::parse(value));
        }
        for fact in text.split(';').map(str::trim).filter(|fact| !fact.is_empty()) {
            let (name, value) = fact.split_once('=').expect("name=type:value");
            facts.insert(name.trim().to_owned(), Owned::parse(&unescape(value.trim())));
        }
        Self(facts)
    }
}

impl Facts for Message {
    fn header(&self, header: Header) -> Option<Value<'_>> {
        self.0.get(header.name()).map(Owned::value)
    }

    fn property(&self, name: &str) -> Option<Value<'_>> {
        assert_eq!(Header::from_name(name), None, "headers are asked for as headers");
        self.0.get(name).map(Owned::value)
    }
}

pub(crate) fn unescape(text: &str) -> String {
    let mut result = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => result.push('\n'),
                Some('r') => result.push('\r'),
                Some('t') => result.push('\t'),
                Some('p') => result.push('|'),
                Some('s') => result.push(' '),
                Some('c') => result.push(';'),
                other => result.extend(other),
            },
            (c, _) => result.push(c),
        }
    }
    result
}

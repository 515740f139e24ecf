//! Properties as a shell writes them: `NAME=VALUE` is a string, `NAME:TYPE=VALUE` is what selectors compare with numbers.

use std::str::FromStr;

use ferromq_client::Value;

/// A property of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Property {
    /// As selectors call it.
    pub(crate) name: String,
    /// With its type.
    pub(crate) value: Value,
}

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (left, value) = text.split_once('=').ok_or("write it as NAME=VALUE or NAME:TYPE=VALUE")?;
        // A name is a Java identifier (JMS 1.1 §3.8.1.1), so a colon can't be a part of it.
        let (name, kind) = left.split_once(':').unwrap_or((left, "string"));
        if name.is_empty() {
            return Err("the name is missing; write it as NAME=VALUE or NAME:TYPE=VALUE".to_owned());
        }
        let value = match kind {
            "string" => Value::String(value.into()),
            "boolean" | "bool" => Value::Bool(parsed(kind, value)?),
            "byte" => Value::Byte(parsed(kind, value)?),
            "short" => Value::Short(parsed(kind, value)?),
            "int" => Value::Int(parsed(kind, value)?),
            "long" => Value::Long(parsed(kind, value)?),
            "float" => Value::Float(parsed(kind, value)?),
            "double" => Value::Double(parsed(kind, value)?),
            _ => {
                let known = "string, boolean, byte, short, int, long, float and double";
                return Err(format!("there is no type {kind:?}; there are {known}"));
            }
        };
        Ok(Self { name: name.to_owned(), value })
    }
}

fn parsed<T: FromStr>(kind: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is no {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_as_people_write_them() {
        for (text, expected) in [
            ("region=eu", Ok(("region", Value::String("eu".into())))),
            ("note=a:b=c", Ok(("note", Value::String("a:b=c".into())))),
            ("size:int=-5", Ok(("size", Value::Int(-5)))),
            ("sum:long=9000000000", Ok(("sum", Value::Long(9_000_000_000)))),
            ("half:double=0.5", Ok(("half", Value::Double(0.5)))),
            ("paid:boolean=true", Ok(("paid", Value::Bool(true)))),
            ("size:int=five", Err("\"five\" is no int")),
            ("size:byte=300", Err("\"300\" is no byte")),
            ("size:number=5", Err("there is no type \"number\"")),
            ("=5", Err("the name is missing")),
            ("size", Err("write it as NAME=VALUE")),
        ] {
            match (text.parse::<Property>(), expected) {
                (Ok(found), Ok((name, value))) => {
                    assert_eq!(found, Property { name: name.to_owned(), value });
                }
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (found, expected) => panic!("{text}: {found:?} instead of {expected:?}"),
            }
        }
    }
}

//! Single values: how they are read from a file, or from the text of a variable or flag, and how they are printed.

use crate::document::Value;

/// A value that was found, before it has a type.
pub(crate) enum Raw<'a> {
    /// From a file, where it has a type already.
    Typed(&'a Value),
    /// From the environment or the command line, where all is text.
    Text(&'a str),
}

impl Raw<'_> {
    pub(crate) fn bool(&self) -> Option<bool> {
        match self {
            Raw::Typed(Value::Bool(value)) => Some(*value),
            Raw::Typed(_) => None,
            Raw::Text(text) => truth(text),
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Raw::Typed(Value::Int(value)) => Some(*value),
            Raw::Typed(_) => None,
            Raw::Text(text) => text.trim().replace('_', "").parse().ok(),
        }
    }

    pub(crate) fn float(&self) -> Option<f64> {
        match self {
            Raw::Typed(Value::Float(value)) => Some(*value),
            Raw::Typed(Value::Int(value)) => Some(*value as f64),
            Raw::Typed(_) => None,
            Raw::Text(text) => text.trim().parse().ok(),
        }
        .filter(|value| value.is_finite())
    }

    /// A number of bytes, or a text such as `64 MiB`, `64mb` or `1g`. As in ActiveMQ all units are powers of 1024.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Raw::Typed(Value::Int(value)) => u64::try_from(*value).ok(),
            Raw::Typed(Value::Text(text)) => bytes(text),
            Raw::Typed(_) => None,
            Raw::Text(text) => bytes(text),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Raw::Typed(Value::Text(text)) => Some(text),
            Raw::Typed(_) => None,
            Raw::Text(text) => Some(text),
        }
    }

    /// What was found, for the reader of an error.
    pub(crate) fn shown(&self) -> String {
        match self {
            Raw::Typed(Value::Bool(value)) => value.to_string(),
            Raw::Typed(Value::Int(value)) => value.to_string(),
            Raw::Typed(Value::Float(value)) => value.to_string(),
            Raw::Typed(Value::Text(text)) => format!("'{}'", shortened(text)),
            Raw::Typed(value) => value.type_name().to_owned(),
            Raw::Text(text) => format!("'{}'", shortened(text)),
        }
    }
}

/// Yes and no in all the words that Spring takes for them in ActiveMQ's files.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1_u64 << 40,
        _ => return None,
    };
    number.replace('_', "").parse::<u64>().ok()?.checked_mul(factor)
}

/// `60 %` or `60%`, from 1 to 100.
pub(crate) fn percent(text: &str) -> Option<u8> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    // A sign is no part of it.
    number.bytes().all(|c| c.is_ascii_digit()).then_some(())?;
    number.parse().ok().filter(|percent| (1..=100).contains(percent))
}

/// A text as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let mut result = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => result.push_str("\\\""),
            '\\' => result.push_str("\\\\"),
            '\n' => result.push_str("\\n"),
            '\t' => result.push_str("\\t"),
            '\r' => result.push_str("\\r"),
            c if c.is_control() => result.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => result.push(c),
        }
    }
    result.push('"');
    result
}

/// A URL without its passwords: `scheme://user:password@rest`, and `password=…` among its options.
pub(crate) fn masked(url: &str) -> String {
    const MASK: &str = "********";
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold any character, whether the server can be reached by such a URL or not.
    let (address, options) = match (address.rfind('@'), rest.rfind('@')) {
        (None, Some(_)) => (rest, ""),
        _ => (address, options),
    };
    let address = match address.rsplit_once('@') {
        Some((login, place)) => match login.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@{place}"),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    let option = |option: &str| match option.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}={MASK}"),
        _ => option.to_owned(),
    };
    let options: Vec<String> = options.split('&').filter(|text| !text.is_empty()).map(option).collect();
    let question = if options.is_empty() { "" } else { "?" };
    format!("{scheme}://{address}{question}{}", options.join("&"))
}

/// Enough of a text to recognise it.
pub(crate) fn shortened(text: &str) -> String {
    const CHARS: usize = 80;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, masked, percent};

    #[test]
    fn no_password_stays_in_a_url_whatever_it_is_made_of() {
        for (url, shown) in [
            ("postgres://h:5432/d?sslmode=require", "postgres://h:5432/d?sslmode=require"),
            ("postgres://me@h/d", "postgres://me@h/d"),
            ("postgres://me:s3cret@h/d?sslmode=require", "postgres://me:********@h/d?sslmode=require"),
            ("postgres://me:s3/cr#et@h/d", "postgres://me:********@h/d"),
            ("postgres://me:s3@c:ret@h/d", "postgres://me:********@h/d"),
            ("postgres://me:s3?cret@h/d", "postgres://me:********@h/d"),
            (
                "postgres://me@h/d?password=s3cret&sslmode=require",
                "postgres://me@h/d?password=********&sslmode=require",
            ),
            ("etcd://me:s3cret@a:1,b:2/shop", "etcd://me:********@a:1,b:2/shop"),
            ("sqlite:/var/lock.db", "sqlite:/var/lock.db"),
        ] {
            assert_eq!(masked(url), shown);
        }
    }

    #[test]
    fn percentages_are_whole_and_of_a_whole() {
        for (text, expected) in [
            ("1%", Some(1)),
            ("60 %", Some(60)),
            (" 100 % ", Some(100)),
            ("0 %", None),
            ("101 %", None),
            ("+5 %", None),
            ("5.5 %", None),
            ("%", None),
            ("60", None),
            ("300 %", None),
        ] {
            assert_eq!(percent(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("64mb", Some(64 << 20)),
            ("1g", Some(1 << 30)),
            ("2 TB", Some(2 << 40)),
            ("1_024 kb", Some(1 << 20)),
            ("", None),
            ("mb", None),
            ("1.5 GB", None),
            ("-1", None),
            ("64 miles", None),
            ("99999999999 TB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}

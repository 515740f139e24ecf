//! Selectors and messages in tables, with what the selector of ActiveMQ Classic 5.18 answers.
//!
//! A row reads `selector | properties | expected`; `properties` is a list of `name=type:value` divided by `;`, and
//! `expected` is one of `true`, `false`, `unknown`, `error` (at evaluation) and `invalid` (at parsing). In the first
//! two columns `\n`, `\r` and `\t` are blanks, `\p` is a bar, `\c` a semicolon and `\s` a space.

mod common;

use common::{Message, unescape};
use ferromq_selector::{Selector, Truth};

fn answer(selector: &str, message: &Message) -> &'static str {
    match Selector::parse(selector) {
        Err(_) => "invalid",
        Ok(selector) => match selector.evaluate(message) {
            Ok(Truth::True) => "true",
            Ok(Truth::False) => "false",
            Ok(Truth::Unknown) => "unknown",
            Err(_) => "error",
        },
    }
}

fn check(table: &str) {
    let mut rows = 0;
    let mut wrong = Vec::new();
    for (index, line) in table.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let columns = line.split('|').map(str::trim).collect::<Vec<_>>();
        assert_eq!(columns.len(), 3, "line {}: three columns, please", index + 1);
        let (selector, properties, expected) = (columns[0], columns[1], columns[2]);
        rows += 1;
        let selector = unescape(selector);
        let message = Message::parse(properties);
        let found = answer(&selector, &message);
        if found != expected {
            wrong.push(format!("line {}: {line}\n    found {found}", index + 1));
        }
        if let Ok(parsed) = Selector::parse(&selector) {
            let printed = parsed.to_string();
            if answer(&printed, &message) != found || Selector::parse(&printed).as_ref() != Ok(&parsed) {
                wrong.push(format!(
                    "line {}: {line}\n    prints as {printed}, which is another selector",
                    index + 1
                ));
            }
        }
    }
    assert!(rows > 0, "an empty table proves nothing");
    assert!(wrong.is_empty(), "{} of {rows} rows are wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn grammar() {
    check(include_str!("grammar.txt"));
}

#[test]
fn operators() {
    check(include_str!("operators.txt"));
}

#[test]
fn types() {
    check(include_str!("types.txt"));
}

#[test]
fn logic() {
    check(include_str!("logic.txt"));
}

#[test]
fn headers() {
    check(include_str!("headers.txt"));
}

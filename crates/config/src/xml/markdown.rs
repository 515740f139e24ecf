//! The table as Markdown, for `docs/COMPATIBILITY.md`.

use std::fmt::Write;

use super::{
    rules::{Directive, Rule},
    translate::rules,
};

/// Every element and attribute with what becomes of it, as the section of `docs/COMPATIBILITY.md`; a test compares them.
/// `shown_by` names the file that shows what becomes of an attribute of an element.
#[must_use]
pub fn compatibility_tables(shown_by: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut text = String::new();
    for section in &rules().sections {
        let names = section
            .names
            .iter()
            .map(|name| shown(section.names.as_slice(), name))
            .collect::<Vec<_>>()
            .join(", ");
        // Writing into a string does not fail.
        let _ = match section.directive {
            Directive::Plain if section.names == ["spring"] => {
                write!(
                    text,
                    "\nBeans of Spring, by their classes; others are ignored where nothing refers to them:\n"
                )
            }
            Directive::Plain => write!(text, "\n{names}:\n"),
            Directive::Into(list) => write!(text, "\n{names}, each a `[[{list}]]`:\n"),
            Directive::Set(key, value) => {
                write!(text, "\n{names}: supported, `{} = \"{value}\"`:\n", key.trim_start_matches('.'))
            }
            Directive::Ignore(consequence) => {
                write!(text, "\n{names}: ignored with a warning; {consequence}.\n")
            }
            Directive::Reject(reason, remedy) => {
                write!(text, "\n{names}: rejected; {reason}. Remedy: {remedy}.\n")
            }
        };
        if section.rows.is_empty()
            || matches!(section.directive, Directive::Ignore(_) | Directive::Reject(..))
        {
            continue;
        }
        text.push_str("\n| ActiveMQ | FerroMQ | test |\n|---|---|---|\n");
        for rows in section.rows.chunk_by(|(_, left), (_, right)| left == right) {
            let names: Vec<String> = rows.iter().map(|(name, _)| format!("`{name}`")).collect();
            let Some((_, rule)) = rows.first() else { continue };
            let test = rows
                .iter()
                .find_map(|(name, _)| section.names.iter().find_map(|owner| shown_by(owner, name)));
            let test = test.map_or_else(|| "no test yet".to_owned(), |file| format!("`{file}`"));
            let _ =
                writeln!(text, "| {} | {} | {test} |", names.join(", "), verdict(*rule).replace('|', "\\|"));
        }
    }
    text.trim_start().to_owned()
}

fn shown(names: &[&str], name: &str) -> String {
    if names == ["spring"] { String::new() } else { format!("`<{name}>`") }
}

fn verdict(rule: Rule) -> String {
    match rule {
        Rule::Key(key) => format!("supported: `{}`", key.trim_start_matches('.')),
        Rule::Handler(_, means) => format!("supported: {means}"),
        Rule::Always(means) => format!("supported: {means}"),
        Rule::Same(value, consequence) => {
            format!("`{value}` is so in any case; else ignored with a warning: {consequence}")
        }
        Rule::Ignore(consequence) => format!("ignored with a warning: {consequence}"),
        Rule::Must("", reason, remedy) => format!("rejected: {reason}. Remedy: {remedy}"),
        Rule::Must(value, reason, remedy) => {
            format!("`{value}` is so in any case; else rejected: {reason}. Remedy: {remedy}")
        }
        Rule::Holds(elements) => {
            let elements = elements.split_whitespace().filter(|element| *element != "bean");
            let elements: Vec<String> = elements.map(|element| format!("`<{element}>`")).collect();
            format!("see {}", elements.join(", "))
        }
    }
}

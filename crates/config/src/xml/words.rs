//! Keys and tables of TOML in what is said to somebody who wrote XML, as elements and attributes.

use std::{collections::BTreeMap, sync::OnceLock};

use super::{rules::Rule, translate::rules};
use crate::{diagnostic::Diagnostic, source::Source};

/// Whole remedies that are to be written otherwise.
const REMEDIES: [(&str, &str); 12] = [
    ("write listen = [\"tcp://127.0.0.1:61616\"]", "add <transportConnector uri=\"tcp://0.0.0.0:61616\"/>"),
    ("add uri = \"tcp://127.0.0.1:61616\"", "add uri=\"tcp://0.0.0.0:61616\""),
    ("add uri = \"static:(tcp://host:61616)\"", "add uri=\"static:(tcp://host:61616)\""),
    ("add destination = \"queue://orders.>\"", "add queue=\">\", topic=\">\", or a narrower name"),
    (
        "add destination = \"queue://orders\" and forward_to = [\"queue://a\", \"topic://b\"]",
        "write name=\"…\" and <forwardTo><queue physicalName=\"…\"/></forwardTo>",
    ),
    ("add password_hash, or password", "add password=\"…\""),
    ("add name = \"…\"", "add username=\"…\""),
    (
        "add a [[user]], listen on 127.0.0.1, or set auth.allow_anonymous_remote = true",
        "add <simpleAuthenticationPlugin> with users, or listen on 127.0.0.1",
    ),
    (
        "complete them, or remove [[user]] for a broker without logins",
        "complete them, or remove the plug-in for a broker without logins",
    ),
    (
        "set update_cluster_clients = true, or remove what is about spreading and filtering",
        "set updateClusterClients=\"true\", or remove what is about spreading and filtering",
    ),
    ("raise it, or lower max_frame_bytes", "raise it"),
    ("it belongs to sync = \"periodic\"", "it belongs to journalDiskSyncStrategy=\"periodic\""),
];

/// What an attribute says by its name.
const KINDS: &str = ", with queue:// or topic:// in front if it is for one of them";

/// Keys that are no single attribute.
const KEYS: [(&str, &str); 3] = [
    ("max_frame_bytes", "the largest message"),
    ("segment_bytes", "journalMaxFileLength"),
    ("store_bytes", "it"),
];

/// Attributes by the keys that they set, as far as these are no words of their own.
fn attributes() -> &'static BTreeMap<&'static str, &'static str> {
    static ATTRIBUTES: OnceLock<BTreeMap<&str, &str>> = OnceLock::new();
    ATTRIBUTES.get_or_init(|| {
        let mut found: BTreeMap<&str, &str> = KEYS.into_iter().collect();
        for (attribute, rule) in rules().sections.iter().flat_map(|section| &section.rows) {
            let words = match rule {
                Rule::Key(path) => path,
                Rule::Handler(words, _) => words,
                _ => continue,
            };
            for path in words.split(' ').filter(|word| word.contains('.')) {
                let key = path.rsplit('.').next().unwrap_or(path);
                if key.contains('_') {
                    found.entry(key).or_insert(attribute);
                }
            }
        }
        found
    })
}

/// A mistake or warning about a file of XML in the words of that file.
pub(crate) fn in_words_of_xml(diagnostic: &mut Diagnostic) {
    if !matches!(diagnostic.source, Source::File { .. } | Source::Default) {
        return;
    }
    let problem = &diagnostic.problem;
    let value = problem.strip_prefix('\'').and_then(|rest| rest.split_once("' is ")).map(|(_, rest)| rest);
    diagnostic.problem = match value.filter(|value| value.contains(", expected ")) {
        // What it is about is told beside it.
        Some(value) => format!("this is {}", value.replace(KINDS, "")),
        None => named(problem),
    };
    let remedy = REMEDIES.iter().find(|(of_toml, _)| *of_toml == diagnostic.remedy);
    diagnostic.remedy = remedy.map_or_else(|| named(&diagnostic.remedy), |(_, of_xml)| (*of_xml).to_owned());
}

/// A text with attributes instead of keys.
fn named(text: &str) -> String {
    let of_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    let mut result = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !of_key(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let key = word.rsplit('.').next().unwrap_or(word);
        result.push_str(attributes().get(key).copied().unwrap_or(word));
        let mut chars = behind.chars();
        result.extend(chars.next());
        rest = chars.as_str();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn keys_become_attributes_and_all_else_stays() {
        for (text, expected) in [
            ("", ""),
            ("there is a password, and no user_name", "there is a password, and no userName"),
            ("set queue_prefix or queue_suffix", "set queuePrefix or queueSuffix"),
            ("a_b-äö 'x_y' store.kind", "a_b-äö 'x_y' store.kind"),
        ] {
            assert_eq!(named(text), expected);
        }
    }
}

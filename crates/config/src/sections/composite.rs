//! `[[composite]]`: destinations that hand on what is sent to them; `[[virtual_topic]]`: topics that feed queues.

use crate::{reader::Reader, sections::policy::is_destination, source::Source};

/// A destination that hands on what clients send to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Composite {
    /// `destination`: `queue://` or `topic://` and a name, wildcards allowed; a queue without a prefix.
    pub destination: String,
    /// `forward_to`: where to, written likewise, without wildcards.
    pub forward_to: Vec<String>,
    /// `forward_only`: whether it keeps nothing itself.
    pub forward_only: bool,
}

/// Topics whose messages are also put into queues.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VirtualTopic {
    /// `topics`: which ones, a name with wildcards.
    pub topics: String,
    /// `prefix`: what stands before a topic's name in the name of such a queue, `*` for the group of consumers.
    pub prefix: String,
}

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<Composite> {
    let mut composites = Vec::new();
    for (index, table) in reader.repeated("composite").iter().enumerate() {
        let mut section = reader.repetition("composite", index);
        let destination = section.text_or_none(
            "destination",
            None,
            "a name with queue:// or topic:// in front",
            is_destination,
        );
        let mut forward_to = Vec::new();
        for (text, source) in section.texts("forward_to", &[]) {
            if is_destination(&text) && !text.contains(['*', '>']) {
                forward_to.push(text);
            } else {
                let problem = format!("'{text}' is no destination to forward to");
                section.reader.error(&source, problem, "write a name with queue:// or topic:// in front");
            }
        }
        let forward_only = section.bool("forward_only", true);
        let unnamed = section.place("destination") == Source::Default;
        let nowhere = section.place("forward_to") == Source::Default;
        section.finish();
        if unnamed || nowhere {
            reader.error(
                table,
                "this composite needs a destination and where to forward to",
                "add destination = \"queue://orders\" and forward_to = [\"queue://a\", \"topic://b\"]",
            );
        } else if let Some(destination) = destination {
            composites.push(Composite { destination, forward_to, forward_only });
        }
    }
    composites
}

pub(super) fn read_virtual(reader: &mut Reader<'_>, by_default: bool) -> Option<Vec<VirtualTopic>> {
    let tables = reader.repeated("virtual_topic");
    if let (false, Some(first)) = (by_default, tables.first()) {
        let problem = "broker.use_virtual_topics is false, and what stands here feeds queues all the same";
        reader.warn(first, problem, "remove one of them");
    }
    let mut rules = Vec::new();
    for index in 0..tables.len() {
        let mut section = reader.repetition("virtual_topic", index);
        let prefix = |text: &str| {
            text.ends_with('.') && is_destination(text.trim_end_matches('.')) && text.contains('*')
        };
        rules.push(VirtualTopic {
            topics: section.text("topics", "VirtualTopic.>", "a name with wildcards", is_destination),
            prefix: section.text(
                "prefix",
                "Consumer.*.",
                "the start of a name, with * for the group and a dot at its end",
                prefix,
            ),
        });
        section.finish();
    }
    (!tables.is_empty() || !by_default).then_some(rules)
}

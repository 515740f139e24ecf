//! `[broker]`: who this broker is; `[auth]`: whom it lets in without a login.

use crate::{
    reader::{Reader, Section},
    sections::policy::is_destination,
};

/// Who this broker is, and how it stops.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Broker {
    /// `name`: the name in advisories, error texts and networks.
    pub name: String,
    /// `node`: what this node is called among those that share its store; `None` for `name`.
    pub node: Option<String>,
    /// `compat`: whose defaults hold where releases of ActiveMQ differ.
    pub compat: Compat,
    /// `data_dir`: the folder of everything that outlives the process.
    pub data_dir: String,
    /// `takeover_after_ms`: how long a silent master keeps its role; all other times of a lease follow from it.
    pub takeover_after_ms: u64,
    /// `shutdown_drain_ms`: how long a stop waits for what is in flight.
    pub shutdown_drain_ms: u64,
    /// `advisories`: whether the broker tells about itself on `ActiveMQ.Advisory.` topics.
    pub advisories: bool,
    /// `populate_user_id`: whether messages carry JMSXUserID, the name of the user who sent them.
    pub populate_user_id: bool,
    /// `allow_link_stealing`: whether a new connection may take a client id from an old one.
    pub allow_link_stealing: bool,
    /// `gc_inactive_period_ms`: how often destinations are searched for inactive ones; 0 for never.
    pub gc_inactive_period_ms: u64,
    /// `mirror_queues_to`: what stands before a queue's name in the name of the topic that gets a copy of all that is
    /// sent to it; `None` for no copies.
    pub mirror_queues_to: Option<String>,
    /// `destinations`: queues and topics that are there from the beginning, written as those of `[[composite]]`.
    pub destinations: Vec<String>,
    /// `use_virtual_topics`: whether `VirtualTopic.>` feeds `Consumer.*.VirtualTopic.>` where no `[[virtual_topic]]` says
    /// what feeds what.
    pub use_virtual_topics: bool,
    /// `use_virtual_dest_subs`: whether consumers of what virtual topics and composite destinations feed are told of to
    /// other brokers as consumers of these.
    pub use_virtual_dest_subs: bool,
}

/// Whose defaults hold where releases of ActiveMQ differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compat {
    /// `5.17`: up to 5.17.
    V5_17,
    /// `6`: from 5.18, and 6.
    V6,
}

/// Whom the broker lets in without a login.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Auth {
    /// `allow_anonymous_remote`: whether a broker without users may listen beyond loopback.
    pub allow_anonymous_remote: bool,
    /// `allow_anonymous`: whether a broker with users lets clients in that give no name.
    pub allow_anonymous: bool,
    /// `anonymous_user`: what they are called then.
    pub anonymous_user: String,
    /// `anonymous_groups`: the groups that they are in.
    pub anonymous_groups: Vec<String>,
}

const MAX_NAME_CHARS: usize = 128;

impl Broker {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("broker");
        let name = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
            !text.is_empty() && text.len() <= MAX_NAME_CHARS && text.chars().all(fits)
        };
        let broker = Self {
            name: section.text("name", "localhost", "a name of letters, digits, '.', '_', '-' and ':'", name),
            node: section.text_or_none(
                "node",
                None,
                "a name of letters, digits, '.', '_', '-' and ':'",
                name,
            ),
            compat: section.choice("compat", Compat::V6, &[("5.17", Compat::V5_17), ("6", Compat::V6)]),
            data_dir: section.text("data_dir", "ferromq-data", "a folder", |text| !text.trim().is_empty()),
            takeover_after_ms: section.millis("takeover_after_ms", 2_000, 200..=600_000),
            shutdown_drain_ms: section.millis("shutdown_drain_ms", 10_000, 0..=3_600_000),
            advisories: section.bool("advisories", true),
            populate_user_id: section.bool("populate_user_id", false),
            allow_link_stealing: section.bool("allow_link_stealing", false),
            gc_inactive_period_ms: section.millis("gc_inactive_period_ms", 0, 0..=u64::MAX),
            mirror_queues_to: section.text_or_none("mirror_queues_to", None, "the start of a name", |text| {
                !text.trim().is_empty() && !text.contains(['*', '>', ',', '?', '/'])
            }),
            destinations: destinations(&mut section),
            use_virtual_topics: section.bool("use_virtual_topics", true),
            use_virtual_dest_subs: section.bool("use_virtual_dest_subs", false),
        };
        section.finish();
        broker
    }
}

fn destinations(section: &mut Section<'_, '_>) -> Vec<String> {
    let mut found = Vec::new();
    for (text, source) in section.texts("destinations", &[]) {
        if is_destination(&text) && !text.contains(['*', '>']) {
            found.push(text);
        } else {
            let remedy = "write a name without wildcards, with queue:// or topic:// in front";
            section.reader.error(&source, format!("'{text}' is no single queue or topic"), remedy);
        }
    }
    found
}

impl Auth {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section("auth");
        let auth = Self {
            allow_anonymous_remote: section.bool("allow_anonymous_remote", false),
            allow_anonymous: section.bool("allow_anonymous", false),
            anonymous_user: section
                .text("anonymous_user", "anonymous", "a name", |text| !text.is_empty() && text.len() <= 256),
            anonymous_groups: section
                .texts("anonymous_groups", &["anonymous"])
                .into_iter()
                .map(|(group, _)| group)
                .collect(),
        };
        section.finish();
        auth
    }
}

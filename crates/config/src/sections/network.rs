//! `[[network_connector]]` and `--network-connector`: the brokers that this one forwards messages to.
//!
//! A connector is written as a table, or as one URI with its attributes as options, in ActiveMQ's spelling:
//! `static:(tcp://b:61616)?duplex=true&networkTTL=2`. Both come to the same [`NetworkConnector`].

mod destination;
mod expand;
mod peers;

pub use destination::{NetworkDestination, NetworkDestinationKind};
pub(crate) use expand::expand;
pub(crate) use peers::group;
pub use peers::{Discovery, NetworkPeers, Reconnect};

use crate::{
    reader::{Reader, Section},
    sections::{Broker, Compat, Secret, limits::bounded},
    source::Source,
};

/// One network connector: where to, and what is forwarded how. Names and defaults are ActiveMQ's.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NetworkConnector {
    /// `name`: part of the bridges' client ids, `NC` if none is given (`NC-2` for a second such one); unique.
    pub name: String,
    /// `uri` as written.
    pub text: String,
    /// The brokers that `uri` names, or how to find them.
    pub peers: NetworkPeers,
    /// Options of `uri` about the search for brokers and the time between attempts.
    pub discovery: Discovery,
    /// `auto_start`: whether it starts with the broker (true).
    pub auto_start: bool,
    /// `duplex`: whether the peer sends back over the same connection (false).
    pub duplex: bool,
    /// `dynamic_only`: whether durable subscriptions of the network wait for their remote subscriber at start (false).
    pub dynamic_only: bool,
    /// `static_bridge`: whether only `statically_included` destinations flow and no advisory is asked for (false).
    pub static_bridge: bool,
    /// `consumer_ttl`, or else `network_ttl`: brokers that a subscription may pass; -1 for any number (1).
    pub consumer_ttl: i32,
    /// `message_ttl`, or else `network_ttl`: brokers that a message may pass; -1 for any number (1).
    pub message_ttl: i32,
    /// `conduit_subscriptions`: whether remote consumers of a destination count as one, without selectors (true).
    pub conduit_subscriptions: bool,
    /// `conduit_network_queue_subscriptions`: the same for consumers of queues that are bridges themselves (false).
    pub conduit_network_queue_subscriptions: bool,
    /// `decrease_network_consumer_priority`: whether local consumers are preferred (true; false for
    /// [`Compat::V5_17`]).
    pub decrease_network_consumer_priority: bool,
    /// `consumer_priority_base`: the priority that remote consumers then have (-5).
    pub consumer_priority_base: i8,
    /// `prefetch_size`: messages of one subscription that may be under way (1000).
    pub prefetch_size: u32,
    /// `advisory_prefetch_size`: the same for advisories; 0 for `prefetch_size` (0).
    pub advisory_prefetch_size: u32,
    /// `advisory_ack_percentage`: the part of that window after which advisories are acknowledged (75).
    pub advisory_ack_percentage: u8,
    /// `suppress_duplicate_queue_subscriptions`: one path to a remote consumer of a queue is enough (false).
    pub suppress_duplicate_queue_subscriptions: bool,
    /// `suppress_duplicate_topic_subscriptions`: the same for topics (true).
    pub suppress_duplicate_topic_subscriptions: bool,
    /// `bridge_temp_destinations`: whether replies find their way back (true).
    pub bridge_temp_destinations: bool,
    /// `always_sync_send`: whether non-persistent messages wait for an answer as well (true).
    pub always_sync_send: bool,
    /// `dispatch_async`: of the bridge's subscriptions (true).
    pub dispatch_async: bool,
    /// `use_compression`: whether bodies are compressed for the way (false).
    pub use_compression: bool,
    /// `sync_durable_subs`: whether durable subscriptions are compared when a link comes up (false).
    pub sync_durable_subs: bool,
    /// `use_virtual_dest_subs`: whether consumers of virtual destinations count (false).
    pub use_virtual_dest_subs: bool,
    /// `use_broker_name_as_id_sees` (ActiveMQ's spelling): whether ids of links show both names (true).
    pub use_broker_name_as_id_sees: bool,
    /// `advisory_for_failed_forward`: whether a refused message is told of (false).
    pub advisory_for_failed_forward: bool,
    /// `gc_destination_views`: whether counters of destinations without traffic are dropped (true).
    pub gc_destination_views: bool,
    /// `gc_sweep_time_ms`: after so long (60000).
    pub gc_sweep_time_ms: u64,
    /// `client_id_token`: what stands between the parts of client ids (`_`).
    pub client_id_token: String,
    /// `destination_filter`: overrides the advisory topics that are listened to.
    pub destination_filter: Option<String>,
    /// `user_name`: for the local side, and for the remote one unless it has its own.
    pub user_name: Option<String>,
    /// `password`, likewise.
    pub password: Option<Secret>,
    /// `remote_user_name`.
    pub remote_user_name: Option<String>,
    /// `remote_password`.
    pub remote_password: Option<Secret>,
    /// `excluded`: never forwarded.
    pub excluded: Vec<NetworkDestination>,
    /// `dynamically_included`: forwarded if somebody wants it; empty for everything.
    pub dynamically_included: Vec<NetworkDestination>,
    /// `statically_included`: always forwarded.
    pub statically_included: Vec<NetworkDestination>,
    /// `exactly_once`: whether links between brokers of this kind number their messages durably (true). Without it,
    /// and towards ActiveMQ, the peer's duplicate check is all there is.
    pub exactly_once: bool,
    /// `max_hops`: brokers that a message may pass whatever the TTL says, when it is moved to where a consumer is (16).
    pub max_hops: u32,
    /// Where it begins.
    pub source: Source,
}

/// `[policy.network_filter]`: when a message may travel back to a broker that it came from, and how many may leave;
/// ActiveMQ's `conditionalNetworkBridgeFilterFactory`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkFilter {
    /// `replay_when_no_consumers`: whether it may if nobody here consumes from its queue (false).
    pub replay_when_no_consumers: bool,
    /// `replay_delay_ms`: once it has been here so long (0).
    pub replay_delay_ms: u64,
    /// `rate_limit`: messages for each `rate_duration_ms`; 0 for no limit (0).
    pub rate_limit: u32,
    /// `rate_duration_ms` (1000).
    pub rate_duration_ms: u64,
    /// `selector_aware`: whether only consumers that want the message keep it here (false).
    pub selector_aware: bool,
}

/// Attributes in ActiveMQ's spelling and the keys that they set. Those of a URI and of a `<networkConnector>` are the
/// same; lists and the URI itself are read elsewhere.
pub(crate) const ATTRIBUTES: &[(&str, &str)] = &[
    ("name", "name"),
    ("autoStart", "auto_start"),
    ("duplex", "duplex"),
    ("dynamicOnly", "dynamic_only"),
    ("staticBridge", "static_bridge"),
    ("networkTTL", "network_ttl"),
    ("consumerTTL", "consumer_ttl"),
    ("messageTTL", "message_ttl"),
    ("conduitSubscriptions", "conduit_subscriptions"),
    ("conduitNetworkQueueSubscriptions", "conduit_network_queue_subscriptions"),
    ("decreaseNetworkConsumerPriority", "decrease_network_consumer_priority"),
    ("consumerPriorityBase", "consumer_priority_base"),
    ("prefetchSize", "prefetch_size"),
    ("advisoryPrefetchSize", "advisory_prefetch_size"),
    ("advisoryAckPercentage", "advisory_ack_percentage"),
    ("suppressDuplicateQueueSubscriptions", "suppress_duplicate_queue_subscriptions"),
    ("suppressDuplicateTopicSubscriptions", "suppress_duplicate_topic_subscriptions"),
    ("bridgeTempDestinations", "bridge_temp_destinations"),
    ("alwaysSyncSend", "always_sync_send"),
    ("dispatchAsync", "dispatch_async"),
    ("useCompression", "use_compression"),
    ("syncDurableSubs", "sync_durable_subs"),
    ("useVirtualDestSubs", "use_virtual_dest_subs"),
    ("useBrokerNameAsIdSees", "use_broker_name_as_id_sees"),
    ("advisoryForFailedForward", "advisory_for_failed_forward"),
    ("gcDestinationViews", "gc_destination_views"),
    ("gcSweepTime", "gc_sweep_time_ms"),
    ("clientIdToken", "client_id_token"),
    ("destinationFilter", "destination_filter"),
    ("userName", "user_name"),
    ("password", "password"),
    ("remoteUserName", "remote_user_name"),
    ("remotePassword", "remote_password"),
    ("exactlyOnce", "exactly_once"),
    ("maxHops", "max_hops"),
];

/// Lists of destinations, the same way; in a URI they are divided by commas.
pub(crate) const LISTS: &[(&str, &str)] = &[
    ("excludedDestinations", "excluded"),
    ("dynamicallyIncludedDestinations", "dynamically_included"),
    ("staticallyIncludedDestinations", "statically_included"),
];

/// Attributes of a connector that ask for what is so in any case, and why they have no effect.
pub(crate) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    ("checkDuplicateMessagesOnDuplex", "a repetition is found on every link in any case"),
    ("durableDestinations", "a broker tells its links of all durable subscriptions that it has"),
];

/// More than anybody has; each connector may find many brokers.
const MAX_CONNECTORS: usize = 256;

pub(super) fn read(reader: &mut Reader<'_>, broker: &Broker) -> Vec<NetworkConnector> {
    let mut connectors: Vec<NetworkConnector> = Vec::new();
    let tables = reader.repeated("network_connector");
    if let Some(table) = tables.get(MAX_CONNECTORS) {
        let problem = format!("there are more than {MAX_CONNECTORS} network connectors");
        reader.error(
            table,
            problem,
            "one connector can name many brokers: static:(tcp://a:61616,tcp://b:61616)",
        );
    }
    for (index, table) in tables.iter().enumerate().take(MAX_CONNECTORS) {
        let mut section = reader.repetition("network_connector", index);
        let connector = NetworkConnector::read(&mut section, table, broker, &connectors);
        let no_uri = section.place("uri") == Source::Default;
        section.finish();
        if no_uri {
            reader.error(
                table,
                "this network connector has no uri",
                "add uri = \"static:(tcp://host:61616)\"",
            );
        }
        let Some(connector) = connector else { continue };
        if connectors.iter().any(|other| other.name == connector.name) {
            let problem = format!("two network connectors are named '{}'", connector.name);
            reader.error(table, problem, "give each its own name; it tells their links apart");
            continue;
        }
        connectors.push(connector);
    }
    connectors
}

impl NetworkConnector {
    fn read(section: &mut Section<'_, '_>, table: &Source, broker: &Broker, before: &[Self]) -> Option<Self> {
        let name_fits =
            |text: &str| !text.trim().is_empty() && text.len() <= 128 && !text.contains(char::is_control);
        let name = section.text("name", &free_name(before), "a name of at most 128 characters", name_fits);
        let uri = section.text_or_none("uri", None, "a URI", |_| true);
        let (peers, discovery) = match &uri {
            Some(text) => {
                let place = section.place("uri");
                peers::read(section.reader, text, &place).unzip()
            }
            None => (None, None),
        };
        let ttl = section.number_or_none("network_ttl", None, -1..=i64::from(i32::MAX));
        let hops = |section: &mut Section<'_, '_>, key| {
            let value = section.number(key, ttl.unwrap_or(1), -1..=i64::from(i32::MAX));
            i32::try_from(value).unwrap_or(i32::MAX)
        };
        let any = |text: &str| !text.is_empty() && text.len() <= 1024;
        let connector = Self {
            name,
            text: uri.unwrap_or_default(),
            peers: peers.unwrap_or(NetworkPeers::Each(Vec::new())),
            discovery: discovery.unwrap_or_default(),
            auto_start: section.bool("auto_start", true),
            duplex: section.bool("duplex", false),
            dynamic_only: section.bool("dynamic_only", false),
            static_bridge: section.bool("static_bridge", false),
            consumer_ttl: hops(section, "consumer_ttl"),
            message_ttl: hops(section, "message_ttl"),
            conduit_subscriptions: section.bool("conduit_subscriptions", true),
            conduit_network_queue_subscriptions: section.bool("conduit_network_queue_subscriptions", false),
            decrease_network_consumer_priority: section
                .bool("decrease_network_consumer_priority", broker.compat != Compat::V5_17),
            consumer_priority_base: i8::try_from(section.number("consumer_priority_base", -5, -128..=127))
                .unwrap_or(-5),
            prefetch_size: bounded(section.number("prefetch_size", 1_000, 1..=1_000_000)),
            advisory_prefetch_size: bounded(section.number("advisory_prefetch_size", 0, 0..=1_000_000)),
            advisory_ack_percentage: u8::try_from(section.number("advisory_ack_percentage", 75, 1..=100))
                .unwrap_or(75),
            suppress_duplicate_queue_subscriptions: section
                .bool("suppress_duplicate_queue_subscriptions", false),
            suppress_duplicate_topic_subscriptions: section
                .bool("suppress_duplicate_topic_subscriptions", true),
            bridge_temp_destinations: section.bool("bridge_temp_destinations", true),
            always_sync_send: section.bool("always_sync_send", true),
            dispatch_async: section.bool("dispatch_async", true),
            use_compression: section.bool("use_compression", false),
            sync_durable_subs: section.bool("sync_durable_subs", false),
            use_virtual_dest_subs: section.bool("use_virtual_dest_subs", false),
            use_broker_name_as_id_sees: section.bool("use_broker_name_as_id_sees", true),
            advisory_for_failed_forward: section.bool("advisory_for_failed_forward", false),
            gc_destination_views: section.bool("gc_destination_views", true),
            gc_sweep_time_ms: section.millis("gc_sweep_time_ms", 60_000, 1..=u64::from(u32::MAX)),
            client_id_token: section.text(
                "client_id_token",
                "_",
                "a text of at most 16 characters",
                |text| !text.is_empty() && text.len() <= 16,
            ),
            destination_filter: section.text_or_none(
                "destination_filter",
                None,
                "names of advisory topics",
                any,
            ),
            user_name: section.text_or_none("user_name", None, "a name", any),
            password: section.secret("password").map(Secret::new),
            remote_user_name: section.text_or_none("remote_user_name", None, "a name", any),
            remote_password: section.secret("remote_password").map(Secret::new),
            excluded: destination::read(section, "excluded"),
            dynamically_included: destination::read(section, "dynamically_included"),
            statically_included: destination::read(section, "statically_included"),
            exactly_once: section.bool("exactly_once", true),
            max_hops: bounded(section.number("max_hops", 16, 1..=64)),
            source: table.clone(),
        };
        connector.sense(section);
        (!connector.text.is_empty()).then_some(connector)
    }

    /// What its values together must make sense of.
    fn sense(&self, section: &mut Section<'_, '_>) {
        if self.message_ttl == 0 || (self.consumer_ttl == 0 && !self.static_bridge) {
            let ttl = section.place("network_ttl");
            let own = if self.message_ttl == 0 { "message_ttl" } else { "consumer_ttl" };
            let place = if ttl == Source::Default { section.place(own) } else { ttl };
            let problem = "a TTL of 0 lets nothing pass, not even to the next broker";
            section.reader.warn(&place, problem, "write 1 for the next broker, or -1 for any number");
        }
        if self.static_bridge && self.statically_included.is_empty() {
            let place = section.place("static_bridge");
            let problem = "static_bridge forwards what is statically_included only, and nothing is";
            section.reader.warn(&place, problem, "name some, or remove static_bridge");
        }
        if self.sync_durable_subs && (self.dynamic_only || !self.conduit_subscriptions) {
            let place = section.place("sync_durable_subs");
            let problem =
                "sync_durable_subs has no effect with dynamic_only or without conduit_subscriptions";
            section.reader.warn(&place, problem, "remove one of them");
        }
        let (user, password) = (self.user_name.is_some(), self.password.is_some());
        if password && !user {
            let place = section.place("password");
            section.reader.error(&place, "there is a password, and no user_name", "add user_name");
        }
        if self.remote_password.is_some() && self.remote_user_name.is_none() {
            let place = section.place("remote_password");
            section.reader.error(&place, "there is a remote_password, and no remote_user_name", "add it");
        }
    }
}

/// `NC`, as in ActiveMQ, or the first of `NC-2`, `NC-3` that is free.
fn free_name(before: &[NetworkConnector]) -> String {
    let mut name = "NC".to_owned();
    let mut number = 2;
    while before.iter().any(|connector| connector.name == name) {
        name = format!("NC-{number}");
        number += 1;
    }
    name
}

impl NetworkFilter {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut section = section.inner("network_filter");
        let filter = Self {
            replay_when_no_consumers: section.bool("replay_when_no_consumers", false),
            replay_delay_ms: section.millis("replay_delay_ms", 0, 0..=86_400_000),
            rate_limit: bounded(section.number("rate_limit", 0, 0..=i64::from(i32::MAX))),
            rate_duration_ms: section.millis("rate_duration_ms", 1_000, 1..=86_400_000),
            selector_aware: section.bool("selector_aware", false),
        };
        section.finish();
        filter
    }
}

//! What each key of a configuration changes in [`Settings`], and that nothing else says the same by default.

use std::time::Duration;

use ferromq_client as wire;
use ferromq_config::{Input, load};
use ferromq_engine::{self as engine, Policy};
use ferromq_model::Destination;

use super::*;

fn settings(toml: &str) -> Settings {
    let loaded =
        load(&Input::default().file("table", toml)).unwrap_or_else(|wrong| panic!("{toml}: {wrong}"));
    Settings::from_config(&loaded.config).unwrap()
}

/// A key with a value, what it changes, and what that is then.
type Row = (&'static str, fn(&Settings) -> String, &'static str);

fn show(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

const KEYS: &[Row] = &[
    ("[broker]\nname = \"b1\"", |s| s.name.clone(), "b1"),
    ("[broker]\ndata_dir = \"elsewhere\"", |s| show(&s.data), "\"elsewhere\""),
    ("[broker]\nshutdown_drain_ms = 7", |s| show(s.drain), "7ms"),
    ("[broker]\nadvisories = false", |s| show(s.engine.advisories), "false"),
    ("[broker]\npopulate_user_id = true", |s| show(s.door.populate_user_id), "true"),
    ("[broker]\nallow_link_stealing = true", |s| show(s.engine.allow_link_stealing), "true"),
    ("[broker]\ngc_inactive_period_ms = 7", |s| show(s.engine.gc_period), "7ms"),
    ("[broker]\nmirror_queues_to = \"M.\"", |s| show(&s.engine.mirror_prefix), "Some(\"M.\")"),
    (
        "[broker]\ndestinations = [\"a\", \"topic://b\"]",
        |s| s.engine.destinations.iter().map(|destination| format!("{destination} ")).collect(),
        "queue://a topic://b ",
    ),
    ("[broker]\nuse_virtual_topics = false", |s| show(&s.engine.virtual_topics), "[]"),
    ("[broker]\nuse_virtual_dest_subs = true", |s| show(s.engine.tell_fed_consumers), "true"),
    (
        "[[network_connector]]\nuri = \"static:(tcp://b:1)\"\nmax_hops = 7",
        |s| show(s.engine.orphan_hops),
        "7",
    ),
    ("[auth]\nallow_anonymous_remote = true", |s| show(s.open_to_network), "true"),
    ("[store]\nkind = \"sqlite\"", |s| show(s.store), "Sqlite"),
    ("[store]\nkind = \"memory\"", |s| show(s.store), "Memory"),
    ("[store]\nsync = \"never\"", |s| show(s.journal.fsync), "Never"),
    ("[store]\nsync = \"periodic\"\nsync_interval_ms = 7", |s| show(s.journal.fsync), "Periodic(7ms)"),
    ("[store]\nsegment_bytes = 2_097_152", |s| show(s.journal.segment_bytes), "2097152"),
    ("[store]\nmax_bytes = \"1 GiB\"", |s| show(s.journal.max_bytes), "Some(1073741824)"),
    ("[store]\nreserve_bytes = 7", |s| show(s.journal.reserve_bytes), "7"),
    ("[store]\ncheckpoint_bytes = 2_097_152", |s| show(s.journal.checkpoint_bytes), "2097152"),
    ("[store]\nspool = false", |s| show(&s.spool), "Nowhere"),
    ("[store]\nspool_dir = \"/var/spool/f\"", |s| show(&s.spool), "In(\"/var/spool/f\")"),
    ("[limits]\nspool_above_bytes = 7", |s| show(s.spooling.memory_bytes), "7"),
    ("[limits]\nmemory_bytes = \"2 GiB\"", |s| show(s.engine.limits.memory_bytes), "2147483648"),
    ("[limits]\nstore_bytes = 2_097_152", |s| show(s.engine.limits.store_bytes), "2097152"),
    ("[limits]\nstore_bytes = \"60 %\"", |s| show(s.shares.store), "Some(60)"),
    ("[limits]\ntemp_bytes = \"40 %\"", |s| show(s.shares.temp), "Some(40)"),
    ("[limits]\ntemp_bytes = 2_097_152", |s| show(s.engine.limits.temp_bytes), "2097152"),
    ("[limits]\nbody_cache_bytes = 7", |s| show(s.engine.limits.body_cache_bytes), "7"),
    ("[limits]\ndestination_memory_bytes = 7", |s| show(default(s).memory_bytes), "7"),
    ("[limits]\nmax_connections = 7", |s| show(s.door.max_connections), "7"),
    ("[limits]\nmax_frame_bytes = 2048", |s| show(s.door.max_frame_bytes), "2048"),
    ("[limits]\nhandshake_timeout_ms = 700", |s| show(s.door.handshake_timeout), "700ms"),
    ("[limits]\ninactivity_timeout_ms = 7", |s| show(s.door.max_inactivity), "7ms"),
    ("[limits]\ninactivity_initial_delay_ms = 7", |s| show(s.door.max_inactivity_initial_delay), "7ms"),
    ("[limits]\nsend_fail_if_no_space = true", |s| show(s.engine.no_space), "Fail"),
    ("[limits]\nsend_fail_if_no_space_after_ms = 7", |s| show(s.engine.no_space), "FailAfter(7ms)"),
    ("[limits]\nblocked_producer_warning_ms = 7", |s| show(s.engine.blocked_producer_warning), "7ms"),
    ("[[virtual_topic]]\ntopics = \"e.>\"", |s| s.engine.virtual_topics[0].topics.clone(), "e.>"),
    ("[[virtual_topic]]\nprefix = \"s.*.\"", |s| s.engine.virtual_topics[0].prefix.clone(), "s.*."),
    (
        "[[composite]]\ndestination = \"topic://c\"\nforward_to = [\"a\", \"topic://b\"]",
        |s| {
            s.engine
                .composites
                .iter()
                .map(|c| format!("{} {:?} {}", c.from, c.to.len(), c.forward_only))
                .collect()
        },
        "topic://c 2 true",
    ),
    ("[[user]]\nname = \"ann\"\npassword = \"x\"", |s| show(s.door.users.is_some()), "true"),
];

/// The same for the keys of a policy for the queue `a`.
type PolicyRow = (&'static str, fn(&Policy) -> String, &'static str);

const POLICY_KEYS: &[PolicyRow] = &[
    ("memory_limit = 7", |p| show(p.memory_bytes), "7"),
    ("store_limit = 7", |p| show(p.store_bytes), "7"),
    ("store_high_water = 7", |p| show(p.store_high_water), "7"),
    ("temp_limit = 7", |p| show(p.temp_bytes), "7"),
    ("producer_flow_control = false", |p| show(p.producer_flow_control), "false"),
    ("send_fail_if_no_space = true", |p| show(p.no_space), "Some(Fail)"),
    ("send_fail_if_no_space_after_ms = 7", |p| show(p.no_space), "Some(FailAfter(7ms))"),
    ("prioritized_messages = true", |p| show(p.prioritized_messages), "true"),
    ("persist_redelivered = false", |p| show(p.persist_redelivered), "false"),
    ("all_consumers_exclusive = true", |p| show(p.all_consumers_exclusive), "true"),
    ("use_consumer_priority = false", |p| show(p.use_consumer_priority), "false"),
    ("message_groups = 7", |p| show(p.message_groups), "7"),
    ("time_before_dispatch_ms = 7", |p| show(p.time_before_dispatch), "7ms"),
    ("consumers_before_dispatch = 7", |p| show(p.consumers_before_dispatch), "7"),
    ("expire_messages_period_ms = 7", |p| show(p.expire_messages_period), "7ms"),
    ("gc_inactive = true\ninactive_timeout_ms = 7", |p| show(p.inactive_timeout), "Some(7ms)"),
    ("pending_message_limit = 7", |p| show(p.pending_limit), "Constant(7)"),
    ("pending_message_limit_per_prefetch = 0.5", |p| show(p.pending_limit), "PrefetchRate(0.5)"),
    ("advisories = [\"no_consumer\"]", |p| show(p.advisories.no_consumers), "true"),
    ("advisories = [\"slow_consumer\"]", |p| show(p.advisories.slow_consumers), "true"),
    ("advisories = [\"fast_producer\"]", |p| show(p.advisories.fast_producers), "true"),
    ("advisories = [\"full\"]", |p| show(p.advisories.full), "true"),
    ("advisories = [\"delivered\"]", |p| show(p.advisories.delivered), "true"),
    ("advisories = [\"consumed\"]", |p| show(p.advisories.consumed), "true"),
    ("advisories = [\"discarded\"]", |p| show(p.advisories.discarded), "true"),
    ("advisories = [\"include_body\"]", |p| show(p.advisories.include_body), "true"),
    ("dead_letter.strategy = \"discard\"", |p| show(&p.dead_letter.target), "Discard"),
    ("dead_letter.queue = \"D\"", |p| show(&p.dead_letter.target), "Shared(\"D\")"),
    (
        "dead_letter = { strategy = \"individual\", queue_prefix = \"qp\", topic_prefix = \"tp\", queue_suffix = \"qs\", \
         topic_suffix = \"ts\", use_queue_for_queues = false, use_queue_for_topics = false }",
        |p| show(&p.dead_letter.target),
        "Individual { queue_prefix: \"qp\", topic_prefix: \"tp\", queue_suffix: \"qs\", topic_suffix: \"ts\", \
         queue_for_queues: false, queue_for_topics: false }",
    ),
    ("dead_letter.process_expired = false", |p| show(p.dead_letter.process_expired), "false"),
    ("dead_letter.process_non_persistent = true", |p| show(p.dead_letter.process_non_persistent), "true"),
    ("dead_letter.expiration_ms = 7", |p| show(p.dead_letter.expiration_ms), "7"),
    ("prefetch.queue = 7", |p| show(p.prefetch.queue), "Some(7)"),
    ("prefetch.browser = 7", |p| show(p.prefetch.browser), "Some(7)"),
    ("prefetch.topic = 7", |p| show(p.prefetch.topic), "Some(7)"),
    ("prefetch.durable = 7", |p| show(p.prefetch.durable), "Some(7)"),
    ("recovery.keep = \"last_image\"", |p| show(p.recovery), "Count(1)"),
    ("recovery = { keep = \"fixed_count\", count = 7 }", |p| show(p.recovery), "Count(7)"),
    ("recovery = { keep = \"fixed_size\", bytes = 7 }", |p| show(p.recovery), "Bytes(7)"),
    ("recovery = { keep = \"timed\", time_ms = 7 }", |p| show(p.recovery), "Time(7ms)"),
    (
        "network_filter = { replay_when_no_consumers = true, replay_delay_ms = 7 }",
        |p| show(p.network.back_after),
        "7ms",
    ),
    ("network_filter.selector_aware = true", |p| show(p.network.selector_aware), "true"),
    (
        "network_filter = { rate_limit = 7, rate_duration_ms = 70 }",
        |p| show(p.network.rate),
        "Some((7, 70ms))",
    ),
    ("recovery.always_retroactive = true", |p| show(p.always_retroactive), "true"),
    (
        "slow_consumer = { strategy = \"abort_slow_ack\", max_slow_ms = 7, check_period_ms = 70, abort_connection = true, \
         ignore_network_consumers = false, ignore_idle_consumers = false }",
        |p| show(p.slow_consumers),
        "Some(AbortSlow { by_acknowledgement: true, most: 7ms, period: 70ms, abort_connection: true, \
         ignore_network: false, ignore_idle: false })",
    ),
];

/// An attribute of a connector, as it stands in its URI, and what it tells the bridge.
type ConnectorRow = (&'static str, fn(&ferromq_bridge::Settings) -> String, &'static str);

const CONNECTOR_ATTRIBUTES: &[ConnectorRow] = &[
    ("name=east", |b| b.name.clone(), "east"),
    ("duplex=true", |b| show(b.duplex), "true"),
    ("dynamicOnly=true", |b| show(b.dynamic_only), "true"),
    ("staticBridge=true&staticallyIncludedDestinations=queue://a", |b| show(b.static_bridge), "true"),
    ("networkTTL=7", |b| show((b.consumer_ttl, b.message_ttl)), "(7, 7)"),
    ("consumerTTL=7", |b| show((b.consumer_ttl, b.message_ttl)), "(7, 1)"),
    ("messageTTL=-1", |b| show((b.consumer_ttl, b.message_ttl)), "(1, -1)"),
    ("conduitSubscriptions=false", |b| show(b.conduit), "false"),
    ("conduitNetworkQueueSubscriptions=true", |b| show(b.conduit_network_queues), "true"),
    ("decreaseNetworkConsumerPriority=false", |b| show(b.decrease_priority), "false"),
    ("consumerPriorityBase=-7", |b| show(b.priority_base), "-7"),
    ("prefetchSize=7", |b| show(b.prefetch), "7"),
    ("advisoryPrefetchSize=7", |b| show(b.advisory_prefetch), "7"),
    ("advisoryAckPercentage=7", |b| show(b.advisory_ack_percentage), "7"),
    ("suppressDuplicateQueueSubscriptions=true", |b| show(b.suppress_queues), "true"),
    ("suppressDuplicateTopicSubscriptions=false", |b| show(b.suppress_topics), "false"),
    ("bridgeTempDestinations=false", |b| show(b.temp_destinations), "false"),
    ("alwaysSyncSend=false", |b| show(b.always_sync_send), "false"),
    ("dispatchAsync=false", |b| show(b.dispatch_async), "false"),
    ("useCompression=true", |b| show(b.compress), "true"),
    ("syncDurableSubs=true", |b| show(b.sync_durables), "true"),
    ("useVirtualDestSubs=true", |b| show(b.virtual_consumers), "true"),
    ("useBrokerNameAsIdSees=false", |b| show(b.names_in_ids), "false"),
    ("advisoryForFailedForward=true", |b| show(b.tell_failed), "true"),
    ("gcDestinationViews=false", |b| show(b.forget_counters_after), "None"),
    ("gcSweepTime=7", |b| show(b.forget_counters_after), "Some(7ms)"),
    ("clientIdToken=~", |b| b.client_id_token.clone(), "~"),
    ("destinationFilter=Queue.a", |b| show(&b.destination_filter), "Some(\"Queue.a\")"),
    ("userName=ann&password=x", |b| user(&b.remote_login), "ann"),
    ("remoteUserName=bob&remotePassword=x", |b| user(&b.remote_login), "bob"),
    ("excludedDestinations=queue://a", |b| show(b.permits(&wire::Destination::queue("a"))), "false"),
    (
        "dynamicallyIncludedDestinations=queue://b",
        |b| show(b.permits(&wire::Destination::queue("a"))),
        "false",
    ),
    (
        "dynamicallyIncludedDestinations=topic://a?forceDurable%3Dtrue",
        |b| show(b.forces_durable(&wire::Destination::topic("a"))),
        "true",
    ),
    ("staticallyIncludedDestinations=queue://a", |b| show(b.statically_included.len()), "1"),
];

fn user(login: &Option<ferromq_bridge::Login>) -> String {
    login.as_ref().map(|login| login.user.clone()).unwrap_or_default()
}

fn bridge(options: &str) -> Vec<crate::Connector> {
    let toml = format!("[[network_connector]]\nuri = \"static:(tcp://b:61616)?{options}\"");
    settings(&toml).network
}

#[test]
fn every_attribute_of_a_network_connector_reaches_its_links() {
    let plain = bridge("");
    for (option, of, expected) in CONNECTOR_ATTRIBUTES {
        let told = bridge(option);
        assert_eq!(of(&told.first().unwrap().settings), *expected, "{option}");
        assert_ne!(
            of(&plain.first().unwrap().settings),
            *expected,
            "{option} is the default, and shows nothing"
        );
    }
}

#[test]
fn a_blank_filter_for_brokers_is_none() {
    for (filter, filters) in [("", false), ("%20", false), ("east.*", true)] {
        let listen = format!("listen = [\"tcp://127.0.0.1:1?updateClusterFilter={filter}\"]");
        let settings = settings(&listen);
        assert_eq!(settings.clients.first().unwrap().filter.is_some(), filters, "{filter:?}");
    }
}

#[test]
fn a_connector_that_does_not_start_by_itself_makes_no_link() {
    assert!(bridge("autoStart=false").is_empty());
}

#[test]
fn releases_before_5_18_did_not_prefer_local_consumers() {
    for (compat, decreases) in [("5.17", false), ("6", true)] {
        let network = "[[network_connector]]\nuri = \"static:(tcp://b:61616)\"";
        let settings = settings(&format!("[broker]\ncompat = \"{compat}\"\n{network}"));
        assert_eq!(settings.network.first().unwrap().settings.decrease_priority, decreases, "{compat}");
    }
}

#[test]
fn the_limit_of_a_destinations_memory_counts_for_a_store_in_memory() {
    let stored = |store: &str, limits: &str| {
        let policy = format!("[[policy]]\ndestination = \"queue://a\"\n{limits}");
        let settings = settings(&format!("store.kind = \"{store}\"\n{policy}"));
        settings.engine.policies.of(&Destination::queue("a")).store_bytes
    };
    let (small, both) = ("memory_limit = \"4 KiB\"", "memory_limit = \"4 KiB\"\nstore_limit = \"1 KiB\"");
    assert_eq!((stored("memory", small), stored("memory", both), stored("memory", "")), (4096, 1024, 0));
    assert_eq!((stored("journal", small), stored("journal", both)), (0, 1024));
}

fn default(settings: &Settings) -> std::sync::Arc<Policy> {
    settings.engine.policies.of(&Destination::queue("any"))
}

#[test]
fn every_key_changes_what_it_says() {
    let plain = settings("");
    for (toml, of, expected) in KEYS {
        assert_eq!(of(&settings(toml)), *expected, "{toml}");
        assert_ne!(of(&plain), *expected, "{toml} is the default, and shows nothing");
    }
}

#[test]
fn every_key_of_a_policy_changes_what_it_says_where_it_holds() {
    for (key, of, expected) in POLICY_KEYS {
        let settings = settings(&format!("[[policy]]\ndestination = \"queue://a\"\n{key}"));
        let policy = |destination: Destination| of(&settings.engine.policies.of(&destination));
        assert_eq!(policy(Destination::queue("a")), *expected, "{key}");
        for other in [Destination::queue("b"), Destination::topic("a")] {
            assert_ne!(policy(other), *expected, "{key}");
        }
    }
}

#[test]
fn without_a_configuration_everything_is_as_the_parts_have_it() {
    let (configured, own) = (settings(""), Settings::default());
    assert_eq!(show(configured.engine.limits), show(own.engine.limits));
    assert_eq!(show(default(&configured)), show(engine::Policy::default()));
    assert_eq!(show(&configured.journal), show(&own.journal));
    assert_eq!(configured.drain, Duration::from_secs(10));
    assert_eq!(show(&configured.listen), show(&own.listen));
}

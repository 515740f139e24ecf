//! [`Settings`] from a configuration: what each key means to the parts of a broker.

use std::sync::Arc;
use std::time::Duration;

use ferromq_auth::{Authenticator, Secret, User};
use ferromq_config::{self as config, Config};
use ferromq_engine as engine;
use ferromq_env::{Entropy, SystemEntropy};
use ferromq_model::{Destination, DestinationKind};
use ferromq_net::{AddressError, ListenAddress};
use ferromq_store_journal::FsyncPolicy;

mod network;

use crate::{Database, Door, Guard, Settings, Shares, SpoolPlace, StartError, StoreChoice};

impl Settings {
    /// What a checked configuration asks for.
    ///
    /// # Errors
    /// An address or a user that only the parts themselves can judge.
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        let store = &config.store;
        Ok(Self {
            name: config.broker.name.clone(),
            node: config.broker.node.clone(),
            data: config.broker.data_dir.clone().into(),
            listen: listeners(config)?,
            store: match store.kind {
                config::StoreKind::Sqlite => StoreChoice::Sqlite,
                config::StoreKind::Postgres => StoreChoice::Postgres,
                config::StoreKind::Memory => StoreChoice::Memory,
                _ => StoreChoice::Journal,
            },
            store_id: store.id.clone(),
            database: store
                .url
                .as_ref()
                .map(|url| Database { url: url.expose().to_owned(), schema: store.schema.clone() }),
            guard: config.lock.uri.as_ref().map(|place| guard(place, &config.lock.schema)),
            journal: ferromq_store_journal::Options {
                fsync: match store.sync {
                    config::SyncPolicy::Periodic => FsyncPolicy::Periodic(millis(store.sync_interval_ms)),
                    config::SyncPolicy::Never => FsyncPolicy::Never,
                    _ => FsyncPolicy::Always,
                },
                segment_bytes: u32::try_from(store.segment_bytes).unwrap_or(u32::MAX),
                max_bytes: store.max_bytes,
                reserve_bytes: store.reserve_bytes,
                checkpoint_bytes: store.checkpoint_bytes,
                ..ferromq_store_journal::Options::default()
            },
            spool: match (store.spool, &store.spool_dir) {
                (false, _) => SpoolPlace::Nowhere,
                (true, Some(folder)) => SpoolPlace::In(folder.into()),
                (true, None) => SpoolPlace::BesideStore,
            },
            spooling: engine::SpoolSettings {
                memory_bytes: config.limits.spool_above_bytes,
                ..engine::SpoolSettings::default()
            },
            shares: Shares {
                store: percent(config.limits.store_bytes),
                temp: percent(config.limits.temp_bytes),
            },
            takeover_after: millis(config.broker.takeover_after_ms),
            drain: millis(config.broker.shutdown_drain_ms),
            open_to_network: config.auth.allow_anonymous_remote,
            door: Door {
                users: users(config)?,
                max_frame_bytes: config.limits.max_frame_bytes,
                max_connections: usize::try_from(config.limits.max_connections).unwrap_or(usize::MAX),
                handshake_timeout: millis(config.limits.handshake_timeout_ms),
                max_inactivity: millis(config.limits.inactivity_timeout_ms),
                max_inactivity_initial_delay: millis(config.limits.inactivity_initial_delay_ms),
                populate_user_id: config.broker.populate_user_id,
            },
            network: network::connectors(config)?,
            clients: network::clients(config)?,
            most: network::most(config),
            published: network::published(config),
            told: network::told(config),
            engine: engine_settings(config),
        })
    }
}

fn guard(place: &config::LockPlace, schema: &str) -> Guard {
    match place {
        config::LockPlace::Etcd { members, prefix } => {
            Guard::Etcd { members: members.expose().to_owned(), prefix: prefix.clone() }
        }
        config::LockPlace::Sqlite(path) => Guard::Sqlite(path.clone()),
        config::LockPlace::Postgres(url) => {
            Guard::Postgres(Database { url: url.expose().to_owned(), schema: schema.to_owned() })
        }
    }
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What holds unless the disk is measured.
const fn bytes(limit: config::DiskLimit, otherwise: u64) -> u64 {
    match limit {
        config::DiskLimit::Bytes(bytes) => bytes,
        _ => otherwise,
    }
}

const fn percent(limit: config::DiskLimit) -> Option<u8> {
    match limit {
        config::DiskLimit::Percent(percent) => Some(percent),
        _ => None,
    }
}

fn listeners(config: &Config) -> Result<Vec<ListenAddress>, AddressError> {
    config.listeners.iter().map(|listener| ListenAddress::from_uri(&listener.uri)).collect()
}

/// Nobody if the configuration names no users: a broker without logins.
fn users(config: &Config) -> Result<Option<Arc<Authenticator>>, StartError> {
    if config.users.is_empty() {
        return Ok(None);
    }
    let users = config.users.iter().map(|user| User {
        name: user.name.clone(),
        secret: match &user.secret {
            config::UserSecret::Password(password) => Secret::Password(password.expose().to_owned()),
            config::UserSecret::Hash(hash) => Secret::Hash(hash.expose().to_owned()),
            // What is no hash is refused by name.
            _ => Secret::Hash(String::new()),
        },
        groups: user.groups.clone(),
    });
    let mut key = [0; 32];
    for part in key.chunks_mut(8) {
        part.copy_from_slice(&SystemEntropy.next_u64().to_le_bytes());
    }
    let mut authenticator = Authenticator::new(users, key)?;
    if config.auth.allow_anonymous {
        let auth = &config.auth;
        authenticator =
            authenticator.with_anonymous(auth.anonymous_user.clone(), auth.anonymous_groups.clone());
    }
    Ok(Some(Arc::new(authenticator)))
}

fn engine_settings(config: &Config) -> engine::Settings {
    let limits = &config.limits;
    let mut policies = engine::Policies::new(engine::Policy {
        memory_bytes: limits.destination_memory_bytes,
        ..engine::Policy::default()
    });
    for configured in &config.policies {
        let mut policy = policy(configured, limits);
        if config.store.kind == config::StoreKind::Memory {
            policy.store_bytes = least(policy.store_bytes, configured.memory_limit_bytes.unwrap_or(0));
        }
        for topics in [false, true] {
            if if topics { configured.topics } else { configured.queues } {
                policies.add(topics, &configured.pattern, policy.clone());
            }
        }
    }
    engine::Settings {
        limits: engine::Limits {
            memory_bytes: limits.memory_bytes,
            store_bytes: bytes(limits.store_bytes, config::Limits::STORE_BYTES),
            temp_bytes: bytes(limits.temp_bytes, config::Limits::TEMP_BYTES),
            body_cache_bytes: limits.body_cache_bytes,
            ..engine::Limits::default()
        },
        policies,
        no_space: no_space(limits.no_space),
        blocked_producer_warning: millis(limits.blocked_producer_warning_ms),
        advisories: config.broker.advisories,
        allow_link_stealing: config.broker.allow_link_stealing,
        destinations: config.broker.destinations.iter().map(|text| destination(text)).collect(),
        virtual_topics: config.virtual_topics.as_ref().map_or_else(
            || engine::Settings::default().virtual_topics,
            |rules| rules.iter().map(virtual_topic).collect(),
        ),
        tell_fed_consumers: config.broker.use_virtual_dest_subs,
        composites: config.composites.iter().map(composite).collect(),
        mirror_prefix: config.broker.mirror_queues_to.clone(),
        gc_period: millis(config.broker.gc_inactive_period_ms),
        orphan_hops: network::most_hops(config).unwrap_or(engine::Settings::default().orphan_hops),
        ..engine::Settings::default()
    }
}

fn virtual_topic(rule: &config::VirtualTopic) -> engine::VirtualTopic {
    engine::VirtualTopic { topics: rule.topics.clone(), prefix: rule.prefix.clone() }
}

fn destination(text: &str) -> Destination {
    Destination::parse(text, DestinationKind::Queue)
}

fn composite(rule: &config::Composite) -> engine::Composite {
    engine::Composite {
        from: destination(&rule.destination),
        to: rule.forward_to.iter().map(|text| destination(text)).collect(),
        forward_only: rule.forward_only,
    }
}

const fn no_space(no_space: config::NoSpace) -> engine::NoSpace {
    match no_space {
        config::NoSpace::Fail => engine::NoSpace::Fail,
        config::NoSpace::FailAfter(ms) => engine::NoSpace::FailAfter(millis(ms)),
        _ => engine::NoSpace::Block,
    }
}

/// The lower of two limits; 0 is none. A store in memory is what the limit of a destination's memory is about as well.
const fn least(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, limit) | (limit, 0) => limit,
        _ if one < other => one,
        _ => other,
    }
}

fn policy(policy: &config::Policy, limits: &config::Limits) -> engine::Policy {
    let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    engine::Policy {
        memory_bytes: policy.memory_limit_bytes.unwrap_or(limits.destination_memory_bytes),
        store_bytes: policy.store_limit_bytes,
        store_high_water: u8::try_from(policy.store_high_water).unwrap_or(100),
        temp_bytes: policy.temp_limit_bytes,
        producer_flow_control: policy.producer_flow_control,
        no_space: policy.no_space.map(no_space),
        prioritized_messages: policy.prioritized_messages,
        all_consumers_exclusive: policy.all_consumers_exclusive,
        use_consumer_priority: policy.use_consumer_priority,
        message_groups: count(policy.message_groups),
        time_before_dispatch: millis(policy.time_before_dispatch_ms),
        consumers_before_dispatch: count(policy.consumers_before_dispatch),
        expire_messages_period: millis(policy.expire_messages_period_ms),
        dead_letter: dead_letter(&policy.dead_letter),
        pending_limit: match policy.pending_limit {
            config::PendingLimit::Constant(limit) => engine::PendingLimit::Constant(limit),
            config::PendingLimit::PerPrefetch(rate) => engine::PendingLimit::PrefetchRate(rate),
            _ => engine::PendingLimit::Unlimited,
        },
        prefetch: engine::PrefetchPolicy {
            queue: policy.prefetch.queue,
            browser: policy.prefetch.browser,
            topic: policy.prefetch.topic,
            durable: policy.prefetch.durable,
        },
        advisories: engine::PolicyAdvisories {
            no_consumers: policy.advisories.no_consumer,
            slow_consumers: policy.advisories.slow_consumer,
            fast_producers: policy.advisories.fast_producer,
            full: policy.advisories.full,
            delivered: policy.advisories.delivered,
            consumed: policy.advisories.consumed,
            discarded: policy.advisories.discarded,
            include_body: policy.advisories.include_body,
        },
        persist_redelivered: policy.persist_redelivered,
        recovery: match policy.recovery.keep {
            config::RecoveryKind::LastImage => engine::Recovery::Count(1),
            config::RecoveryKind::FixedCount => engine::Recovery::Count(count(policy.recovery.count)),
            config::RecoveryKind::FixedSize => engine::Recovery::Bytes(policy.recovery.bytes),
            config::RecoveryKind::Timed => engine::Recovery::Time(millis(policy.recovery.time_ms)),
            _ => engine::Recovery::Nothing,
        },
        always_retroactive: policy.recovery.always_retroactive,
        slow_consumers: abort_slow(&policy.slow_consumer),
        inactive_timeout: policy.gc_inactive.then_some(millis(policy.inactive_timeout_ms)),
        network: network::rule(&policy.network_filter),
        ..engine::Policy::default()
    }
}

fn abort_slow(slow: &config::SlowConsumer) -> Option<engine::AbortSlow> {
    let by_acknowledgement = match slow.strategy {
        config::SlowStrategy::Abort => false,
        config::SlowStrategy::AbortSlowAck => true,
        _ => return None,
    };
    Some(engine::AbortSlow {
        by_acknowledgement,
        most: millis(slow.max_slow_ms),
        period: millis(slow.check_period_ms),
        abort_connection: slow.abort_connection,
        ignore_network: slow.ignore_network_consumers,
        ignore_idle: slow.ignore_idle_consumers,
    })
}

fn dead_letter(dead_letter: &config::DeadLetter) -> engine::DeadLetterPolicy {
    engine::DeadLetterPolicy {
        target: match dead_letter.strategy {
            config::DeadLetterStrategy::Individual => engine::DeadLetterTarget::Individual {
                queue_prefix: dead_letter.queue_prefix.clone(),
                topic_prefix: dead_letter.topic_prefix.clone(),
                queue_suffix: dead_letter.queue_suffix.clone(),
                topic_suffix: dead_letter.topic_suffix.clone(),
                queue_for_queues: dead_letter.use_queue_for_queues,
                queue_for_topics: dead_letter.use_queue_for_topics,
            },
            config::DeadLetterStrategy::Discard => engine::DeadLetterTarget::Discard,
            _ => engine::DeadLetterTarget::Shared(dead_letter.queue.clone()),
        },
        process_expired: dead_letter.process_expired,
        process_non_persistent: dead_letter.process_non_persistent,
        expiration_ms: i64::try_from(dead_letter.expiration_ms).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests;

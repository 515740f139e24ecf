//! What several sections together must make sense of.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ferromq_uri::{Endpoint, Host};

use crate::{
    reader::Reader,
    sections::{Config, DiskLimit, LockPlace, StoreKind, SyncPolicy},
    source::Source,
};

/// What is said of a broker that everybody can reach.
pub(crate) const NO_USERS: &str = "and no users are configured";

/// What is said of a broker that nobody can reach.
pub(crate) const NO_LISTENER: &str = "there is nothing to listen on";

pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    login(config, reader);
    addresses(config, reader);
    store(config, reader);
    lock(config, reader);
    policies(config, reader);
    network(config, reader);
}

/// What has no effect, or none without something else.
fn network(config: &Config, reader: &mut Reader<'_>) {
    for listener in &config.listeners {
        let beside = listener.rebalance_cluster_clients
            || listener.update_cluster_clients_on_remove
            || listener.update_cluster_filter.is_some();
        if beside && !listener.update_cluster_clients {
            let problem = format!("listener '{}': its clients are told of no other brokers", listener.name);
            let remedy = "set update_cluster_clients = true, or remove what is about spreading and filtering";
            reader.warn(&listener.source, problem, remedy);
        }
    }
}

/// A file that asks for a login never starts an open broker, and an open one is not reachable from elsewhere by accident.
fn login(config: &Config, reader: &mut Reader<'_>) {
    if !config.users.is_empty() {
        return;
    }
    if let Some(source) = reader.place("user") {
        let remedy = "complete them, or remove [[user]] for a broker without logins";
        reader.error(&source, "users are configured, but none of them can log in", remedy);
        return;
    }
    if config.auth.allow_anonymous_remote {
        return;
    }
    for listener in &config.listeners {
        if !listener.uri.endpoint.host.is_loopback() {
            let problem = format!("{} is open to other machines, {NO_USERS}", listener.text);
            let remedy = "add a [[user]], listen on 127.0.0.1, or set auth.allow_anonymous_remote = true";
            reader.error(&listener.source, problem, remedy);
        }
    }
}

fn addresses(config: &Config, reader: &mut Reader<'_>) {
    if config.listeners.is_empty() && reader.diagnostics.is_empty() {
        let source = reader.source("listen");
        reader.error(&source, NO_LISTENER, "write listen = [\"tcp://127.0.0.1:61616\"]");
    }
    let everywhere: BTreeSet<u16> = config
        .listeners
        .iter()
        .map(|listener| &listener.uri.endpoint)
        .filter(|endpoint| endpoint.host == Host::Address(Ipv4Addr::UNSPECIFIED.into()))
        .map(Endpoint::port_or_default)
        .collect();
    let mut taken = BTreeMap::new();
    for listener in &config.listeners {
        let endpoint = &listener.uri.endpoint;
        // Port 0 is another one each time.
        if endpoint.port == Some(0) {
            continue;
        }
        let host = match &endpoint.host {
            Host::Name(name) => name.to_ascii_lowercase(),
            other => other.to_string(),
        };
        let port = endpoint.port_or_default();
        let one_of_many = match &endpoint.host {
            Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
            Host::Address(address) => address.is_ipv4() && !address.is_unspecified(),
            _ => false,
        };
        let twice = if taken.insert((host, port), ()).is_some() {
            format!("{endpoint} is listened on twice")
        } else if one_of_many && everywhere.contains(&port) {
            format!("{endpoint} is listened on twice, as 0.0.0.0:{port} is every address")
        } else {
            continue;
        };
        reader.error(&listener.source, twice, "give each listener its own port");
    }
}

fn store(config: &Config, reader: &mut Reader<'_>) {
    if config.store.id.is_some() && config.store.kind == StoreKind::Memory {
        let source = reader.source("store.id");
        reader.error(&source, "a store in memory has no id", "remove store.id");
    }
    let store = &config.store;
    let url = reader.source("store.url");
    match &store.url {
        Some(_) if store.kind != StoreKind::Postgres => {
            reader.error(&url, "store.url is for kind = \"postgres\"", "set the kind, or remove the url");
        }
        Some(text)
            if !["postgres://", "postgresql://"].iter().any(|start| text.expose().starts_with(start)) =>
        {
            reader.error(
                &url,
                "store.url does not begin with postgres://",
                "write postgres://user:password@host/database",
            );
        }
        None if store.kind == StoreKind::Postgres && reader.diagnostics.is_empty() => {
            let source = reader.source("store.kind");
            reader.error(
                &source,
                "there is no store.url",
                "write url = \"postgres://user:password@host/database\"",
            );
        }
        _ => {}
    }
    let interval = reader.source("store.sync_interval_ms");
    if interval != Source::Default && store.sync != SyncPolicy::Periodic {
        reader.warn(&interval, "sync_interval_ms has no effect", "it belongs to sync = \"periodic\"");
    }
    let least = store.reserve_bytes.saturating_add(store.segment_bytes.saturating_mul(2));
    if store.max_bytes.is_some_and(|max_bytes| max_bytes < least) {
        let problem = "max_bytes leaves no room for two segments and the reserve";
        reader.error(
            &reader.source("store.max_bytes"),
            problem,
            "raise it, or lower segment_bytes or reserve_bytes",
        );
    }
    if store.kind == StoreKind::Journal && store.segment_bytes < config.limits.max_frame_bytes / 8 {
        let source = reader.source("store.segment_bytes");
        let problem = "segment_bytes is below an eighth of limits.max_frame_bytes, so that large messages need a segment each";
        reader.warn(&source, problem, "raise it, or lower max_frame_bytes");
    }
    if let DiskLimit::Percent(_) = config.limits.store_bytes
        && matches!(store.kind, StoreKind::Postgres | StoreKind::Memory)
    {
        let problem =
            "store_bytes is a part of a disk, and this store has none that could be measured: 100 GiB holds";
        reader.warn(&reader.source("limits.store_bytes"), problem, "write a size");
    }
    if config.limits.max_frame_bytes > config.limits.memory_bytes {
        let source = reader.source("limits.max_frame_bytes");
        reader.error(&source, "max_frame_bytes is above memory_bytes", "one message must fit into memory");
    }
}

/// A lock beside the store decides between nodes, and a store in memory has one.
fn lock(config: &Config, reader: &mut Reader<'_>) {
    let schema = reader.source("lock.schema");
    if schema != Source::Default && !matches!(config.lock.uri, Some(LockPlace::Postgres(_))) {
        reader.warn(&schema, "lock.schema has no effect", "it belongs to uri = \"postgres://…\"");
    }
    if config.lock.uri.is_some() && config.store.kind == StoreKind::Memory {
        let problem = "a store in memory is this node's alone, and needs no lock";
        reader.error(&reader.source("lock.uri"), problem, "remove lock.uri, or choose another store.kind");
    }
}

fn policies(config: &Config, reader: &mut Reader<'_>) {
    let mut seen = BTreeMap::new();
    for policy in &config.policies {
        for topics in [false, true] {
            let holds = if topics { policy.topics } else { policy.queues };
            if holds && seen.insert((topics, policy.pattern.as_str()), ()).is_some() {
                let problem = format!("there are two policies for '{}'", policy.pattern);
                reader.error(&policy.source, problem, "make them one");
                break;
            }
        }
    }
}

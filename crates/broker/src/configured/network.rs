//! Network connectors of a configuration, as bridges understand them.

use std::time::Duration;

use ferromq_bridge::{Login, Retry, Rule, Settings};
use ferromq_client::ConnectOptions;
use ferromq_config::{
    Config, Listener, NetworkConnector, NetworkDestination, NetworkDestinationKind, NetworkFilter,
    NetworkPeers, Reconnect, Secret,
};
use ferromq_engine::NetworkRule;
use ferromq_uri::Uri;

use crate::bridges::Connector;
use crate::cluster::{ClientUpdates, NameFilter};
use crate::neighbours::{Search, Told};
use crate::{Most, StartError};

pub(super) fn connectors(config: &Config) -> Result<Vec<Connector>, StartError> {
    config.network_connectors.iter().filter(|connector| connector.auto_start).map(connector).collect()
}

/// What the clients of each listener are told.
pub(super) fn clients(config: &Config) -> Result<Vec<ClientUpdates>, StartError> {
    let updates = |listener: &Listener| {
        // One that is blank filters nothing, as in ActiveMQ.
        let filter = listener.update_cluster_filter.as_deref().filter(|text| !text.trim().is_empty());
        Ok(ClientUpdates {
            update: listener.update_cluster_clients,
            rebalance: listener.rebalance_cluster_clients,
            on_remove: listener.update_cluster_clients_on_remove,
            filter: filter.map(NameFilter::parse).transpose()?,
        })
    };
    config.listeners.iter().map(updates).collect()
}

/// What a connection of each listener may have.
pub(super) fn most(config: &Config) -> Vec<Most> {
    let count = |most: Option<u32>| most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
    let most = |listener: &Listener| Most {
        producers: count(listener.maximum_producers_per_connection),
        consumers: count(listener.maximum_consumers_per_connection),
    };
    config.listeners.iter().map(most).collect()
}

/// What others are told where it is not what is listened on.
pub(super) fn published(config: &Config) -> Vec<Option<String>> {
    config.listeners.iter().map(|listener| listener.published.as_ref().map(Uri::to_string)).collect()
}

/// The listeners of which others are told.
pub(super) fn told(config: &Config) -> Vec<Told> {
    let told = |(listener, given): (usize, &Listener)| {
        given.discovery_uri.clone().map(|multicast| Told { listener, multicast })
    };
    config.listeners.iter().enumerate().filter_map(told).collect()
}

fn connector(given: &NetworkConnector) -> Result<Connector, StartError> {
    let parse = |uri: &Uri| {
        let mut uri = uri.clone();
        for (name, value) in given.discovery.discovered.iter() {
            uri.options.set(name, value);
        }
        ConnectOptions::parse(&uri.to_string())
            .map_err(|error| StartError::Network { name: given.name.clone(), reason: error.to_string() })
    };
    let mut search = None;
    let links: Vec<Vec<ConnectOptions>> = match &given.peers {
        NetworkPeers::Each(peers) => peers
            .iter()
            .map(|peer| match peer.components() {
                [] => Ok(vec![parse(peer)?]),
                pair => pair.iter().map(&parse).collect(),
            })
            .collect::<Result<_, _>>()?,
        NetworkPeers::OneOf(peers) => vec![peers.iter().map(&parse).collect::<Result<_, _>>()?],
        NetworkPeers::Found(multicast) => {
            let discovered = given.discovery.discovered.clone();
            search = Some(Search { multicast: multicast.clone(), discovered });
            Vec::new()
        }
        _ => Vec::new(),
    };
    let mut settings = settings(given);
    settings.only_link = links.len() == 1 && search.is_none();
    Ok(Connector { settings, links, search, retry: retry(&given.discovery.reconnect) })
}

fn retry(given: &Reconnect) -> Retry {
    let mut retry = Retry::default();
    retry.initial = Duration::from_millis(given.initial_delay_ms);
    retry.most = Duration::from_millis(given.max_delay_ms.max(given.initial_delay_ms));
    retry.factor = if given.exponential { given.multiplier } else { 1.0 };
    retry.attempts = given.max_attempts;
    retry.least_life = Duration::from_millis(given.min_connect_time_ms);
    retry
}

fn settings(given: &NetworkConnector) -> Settings {
    let mut settings = Settings::default();
    settings.name.clone_from(&given.name);
    settings.duplex = given.duplex;
    settings.static_bridge = given.static_bridge;
    settings.consumer_ttl = given.consumer_ttl;
    settings.message_ttl = given.message_ttl;
    settings.conduit = given.conduit_subscriptions;
    settings.conduit_network_queues = given.conduit_network_queue_subscriptions;
    settings.decrease_priority = given.decrease_network_consumer_priority;
    settings.priority_base = given.consumer_priority_base;
    settings.prefetch = given.prefetch_size;
    settings.advisory_prefetch = given.advisory_prefetch_size;
    settings.advisory_ack_percentage = given.advisory_ack_percentage;
    settings.dynamic_only = given.dynamic_only;
    settings.suppress_queues = given.suppress_duplicate_queue_subscriptions;
    settings.suppress_topics = given.suppress_duplicate_topic_subscriptions;
    settings.sync_durables = given.sync_durable_subs;
    settings.virtual_consumers = given.use_virtual_dest_subs;
    settings.compress = given.use_compression;
    settings.tell_failed = given.advisory_for_failed_forward;
    settings.forget_counters_after =
        given.gc_destination_views.then(|| Duration::from_millis(given.gc_sweep_time_ms));
    settings.temp_destinations = given.bridge_temp_destinations;
    settings.always_sync_send = given.always_sync_send;
    settings.dispatch_async = given.dispatch_async;
    settings.client_id_token.clone_from(&given.client_id_token);
    settings.names_in_ids = given.use_broker_name_as_id_sees;
    settings.destination_filter.clone_from(&given.destination_filter);
    settings.local_login = login(given.user_name.as_ref(), given.password.as_ref());
    settings.remote_login = login(given.remote_user_name.as_ref(), given.remote_password.as_ref())
        .or_else(|| settings.local_login.clone());
    settings.exactly_once = given.exactly_once;
    settings.max_hops = given.max_hops;
    settings.excluded = rules(&given.excluded);
    settings.dynamically_included = rules(&given.dynamically_included);
    settings.statically_included = rules(&given.statically_included);
    settings
}

/// What may leave over bridges. Without `replay_when_no_consumers` a message that only bridges could take goes back at
/// once, within the connector's `max_hops`.
pub(super) fn rule(given: &NetworkFilter) -> NetworkRule {
    let back_after = if given.replay_when_no_consumers { given.replay_delay_ms } else { 0 };
    NetworkRule {
        back_after: Duration::from_millis(back_after),
        selector_aware: given.selector_aware,
        rate: (given.rate_limit > 0)
            .then(|| (given.rate_limit, Duration::from_millis(given.rate_duration_ms.max(1)))),
    }
}

/// Brokers that a message may pass in all, when it goes back to where a consumer is: what the most generous of the
/// connectors allows.
pub(super) fn most_hops(config: &Config) -> Option<u32> {
    config.network_connectors.iter().map(|connector| connector.max_hops).max()
}

fn login(user: Option<&String>, password: Option<&Secret>) -> Option<Login> {
    let password = password.map(|password| password.expose().to_owned()).unwrap_or_default();
    user.map(|user| Login { user: user.clone(), password })
}

fn rules(given: &[NetworkDestination]) -> Vec<Rule> {
    let rule = |given: &NetworkDestination| {
        let rule = match given.kind {
            NetworkDestinationKind::Topic => Rule::topic(&given.pattern),
            _ => Rule::queue(&given.pattern),
        };
        if given.force_durable { rule.durable() } else { rule }
    };
    given.iter().map(rule).collect()
}

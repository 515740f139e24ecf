//! [`Settings`]: what a network connector is told, with ActiveMQ's names and defaults.

use std::fmt;
use std::time::Duration;

use ferromq_model::DestinationPattern;
use ferromq_openwire::{Destination, DestinationKind};

/// The attributes of a network connector that a bridge acts upon.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// `name`: part of the client ids.
    pub name: String,
    /// `duplex`: the peer sends back over the same connection.
    pub duplex: bool,
    /// `dynamicOnly`: durable subscriptions that an earlier bridge has left wait for their remote subscriber.
    pub dynamic_only: bool,
    /// `staticBridge`: only what is statically included flows, and no advisory is asked for.
    pub static_bridge: bool,
    /// `consumerTTL`: brokers that a subscription may pass; −1 for any number.
    pub consumer_ttl: i32,
    /// `messageTTL`: brokers that a message may pass; −1 for any number.
    pub message_ttl: i32,
    /// `conduitSubscriptions`: remote consumers of a topic, or of a queue with the same selector, count as one.
    pub conduit: bool,
    /// `conduitNetworkQueueSubscriptions`: so do consumers of queues that are bridges themselves.
    pub conduit_network_queues: bool,
    /// `decreaseNetworkConsumerPriority`: local consumers are served first.
    pub decrease_priority: bool,
    /// `consumerPriorityBase`: the priority of consumers one broker away, if they are served after local ones.
    pub priority_base: i8,
    /// `prefetchSize`: messages of a subscription that may be under way.
    pub prefetch: u32,
    /// `advisoryPrefetchSize`: 0 for as many as `prefetch`.
    pub advisory_prefetch: u32,
    /// `advisoryAckPercentage`: the part of that after which advisories are acknowledged.
    pub advisory_ack_percentage: u8,
    /// `suppressDuplicateQueueSubscriptions`: of several ways to a remote consumer of a queue, one is used.
    pub suppress_queues: bool,
    /// `suppressDuplicateTopicSubscriptions`: the same for topics.
    pub suppress_topics: bool,
    /// `syncDurableSubs`: durable subscriptions are compared when the link comes up.
    pub sync_durables: bool,
    /// `useVirtualDestSubs`: consumers of what virtual destinations feed count as consumers of these.
    pub virtual_consumers: bool,
    /// `useCompression`: bodies travel compressed.
    pub compress: bool,
    /// `advisoryForFailedForward`: a refused message is told of at the local broker.
    pub tell_failed: bool,
    /// `gcSweepTime`, if `gcDestinationViews`: counters of destinations without traffic are dropped after so long.
    pub forget_counters_after: Option<Duration>,
    /// `bridgeTempDestinations`: replies find their way back.
    pub temp_destinations: bool,
    /// `alwaysSyncSend`: non-persistent messages wait for an answer as well.
    pub always_sync_send: bool,
    /// `dispatchAsync` of the subscriptions.
    pub dispatch_async: bool,
    /// `clientIdToken`: what stands between the parts of client ids.
    pub client_id_token: String,
    /// `useBrokerNamesAsIdSeed`: connection ids show the names of both brokers.
    pub names_in_ids: bool,
    /// `destinationFilter`: the advisory topics that are listened to.
    pub destination_filter: Option<String>,
    /// Who logs in at the local broker.
    pub local_login: Option<Login>,
    /// Who logs in at the remote broker.
    pub remote_login: Option<Login>,
    /// `excludedDestinations`: never forwarded.
    pub excluded: Vec<Rule>,
    /// `dynamicallyIncludedDestinations`: if there are any, only these are forwarded.
    pub dynamically_included: Vec<Rule>,
    /// `staticallyIncludedDestinations`: forwarded whether somebody wants them or not.
    pub statically_included: Vec<Rule>,
    /// `exactly_once`: between brokers that both keep streams of links, each message has a durable position in one.
    pub exactly_once: bool,
    /// `max_hops`: brokers that a message which only bridges could consume may have passed, whatever the TTL says, if it
    /// is to be moved to where a consumer is.
    pub max_hops: u32,
    /// The connector has no other link: durable subscriptions that it made under other names of the remote broker have
    /// nobody else who fetches what they keep.
    pub only_link: bool,
    /// Remote consumers whose demand is kept at one time; what is beyond is told and not forwarded to.
    pub most_consumers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "NC".to_owned(),
            duplex: false,
            dynamic_only: false,
            static_bridge: false,
            consumer_ttl: 1,
            message_ttl: 1,
            conduit: true,
            conduit_network_queues: false,
            decrease_priority: true,
            priority_base: -5,
            prefetch: 1_000,
            advisory_prefetch: 0,
            advisory_ack_percentage: 75,
            suppress_queues: false,
            suppress_topics: true,
            sync_durables: false,
            virtual_consumers: false,
            compress: false,
            tell_failed: false,
            forget_counters_after: Some(Duration::from_secs(60)),
            temp_destinations: true,
            always_sync_send: true,
            dispatch_async: true,
            client_id_token: "_".to_owned(),
            names_in_ids: true,
            destination_filter: None,
            local_login: None,
            remote_login: None,
            excluded: Vec::new(),
            dynamically_included: Vec::new(),
            statically_included: Vec::new(),
            exactly_once: true,
            max_hops: 16,
            only_link: true,
            most_consumers: 100_000,
        }
    }
}

impl Settings {
    /// Whether messages of a destination may be forwarded at all. Exclusion counts first (ActiveMQ: also for what is
    /// statically included); temporary destinations are never excluded.
    pub fn permits(&self, destination: &Destination) -> bool {
        if destination.is_temporary() {
            return self.temp_destinations;
        }
        let covered = |rules: &[Rule]| rules.iter().any(|rule| rule.covers(destination));
        if covered(&self.excluded) {
            return false;
        }
        self.dynamically_included.is_empty()
            || covered(&self.dynamically_included)
            || covered(&self.statically_included)
    }

    /// The rules that decide of a destination: none of the first, and of the others alone if there are any.
    pub(crate) fn scope(&self) -> (Vec<&Rule>, Vec<&Rule>) {
        let included = if self.dynamically_included.is_empty() {
            Vec::new()
        } else {
            self.dynamically_included.iter().chain(&self.statically_included).collect()
        };
        (self.excluded.iter().collect(), included)
    }

    /// Whether plain remote subscribers of a topic get a durable subscription here.
    pub fn forces_durable(&self, destination: &Destination) -> bool {
        self.dynamically_included.iter().any(|rule| rule.force_durable && rule.covers(destination))
    }

    /// Whether of several ways to a consumer of such a destination one is used.
    pub(crate) fn suppresses(&self, destination: &Destination) -> bool {
        if destination.is_queue() { self.suppress_queues } else { self.suppress_topics }
    }

    /// Whether durable subscriptions are compared: only those that stand for all subscribers of a topic can be.
    pub(crate) const fn syncs(&self) -> bool {
        self.sync_durables && self.conduit && !self.dynamic_only && !self.static_bridge
    }

    /// The advisory topics of the local broker to listen to, for the subscriptions of other bridges.
    pub(crate) fn local_advisory_topics(&self) -> Option<&'static str> {
        match (self.suppress_topics, self.suppress_queues) {
            _ if self.static_bridge => None,
            (true, true) => Some("ActiveMQ.Advisory.Consumer.>"),
            (true, false) => Some("ActiveMQ.Advisory.Consumer.Topic.>"),
            (false, true) => Some("ActiveMQ.Advisory.Consumer.Queue.>"),
            (false, false) => None,
        }
    }

    /// The advisory topics to listen to.
    pub(crate) fn advisory_topics(&self) -> String {
        let mut prefixes = vec![CONSUMERS];
        if self.virtual_consumers {
            prefixes.push(VIRTUAL_CONSUMERS);
        }
        let mut topics = match &self.destination_filter {
            Some(filter) if filter.starts_with(CONSUMERS) => filter.clone(),
            Some(filter) => format!("{CONSUMERS}{filter}"),
            // Who waits for a reply consumes from a name that nobody could write into a list.
            None if self.dynamically_included.is_empty() || self.temp_destinations => {
                let all: Vec<String> = prefixes.iter().map(|prefix| format!("{prefix}>")).collect();
                all.join(",")
            }
            None => {
                let names = self.dynamically_included.iter().flat_map(|rule| {
                    let kind = if rule.topic { "Topic" } else { "Queue" };
                    prefixes.iter().map(move |prefix| format!("{prefix}{kind}.{}", rule.name))
                });
                names.collect::<Vec<_>>().join(",")
            }
        };
        if self.temp_destinations {
            topics.push_str(",ActiveMQ.Advisory.TempQueue,ActiveMQ.Advisory.TempTopic");
        }
        topics
    }
}

/// Advisories of consumers begin so.
const CONSUMERS: &str = "ActiveMQ.Advisory.Consumer.";
/// Those of consumers of what a virtual destination feeds.
pub(crate) const VIRTUAL_CONSUMERS: &str = "ActiveMQ.Advisory.VirtualDestination.Consumer.";

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub user: String,
    /// The secret; not shown.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Destinations of a list, by kind and pattern.
#[derive(Clone, Debug)]
pub struct Rule {
    topic: bool,
    name: String,
    pattern: DestinationPattern,
    force_durable: bool,
    selector: Option<String>,
}

impl Rule {
    /// Queues of this name or pattern.
    pub fn queue(name: &str) -> Self {
        Self {
            topic: false,
            name: name.to_owned(),
            pattern: DestinationPattern::new(name),
            force_durable: false,
            selector: None,
        }
    }

    /// Topics of this name or pattern.
    pub fn topic(name: &str) -> Self {
        Self { topic: true, ..Self::queue(name) }
    }

    /// `forceDurable=true`: remote subscribers get a durable subscription here.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.force_durable = true;
        self
    }

    /// Of what is statically included, only messages that this selector matches are forwarded; others stay, in a queue.
    /// (ActiveMQ's connectors have no such filter.)
    #[must_use]
    pub fn select(mut self, selector: &str) -> Self {
        self.selector = Some(selector.to_owned());
        self
    }

    /// Its selector, if it has one.
    pub(crate) fn selector(&self) -> Option<&str> {
        self.selector.as_deref()
    }

    /// Whether it covers a destination; the kind must be the same.
    pub fn covers(&self, destination: &Destination) -> bool {
        self.topic == (destination.kind == DestinationKind::Topic)
            && matches!(destination.kind, DestinationKind::Topic | DestinationKind::Queue)
            && self.pattern.matches(&destination.name.to_str())
    }

    /// The destination (or pattern) as a consumer names it.
    pub(crate) fn destination(&self) -> Destination {
        if self.topic {
            Destination::topic(self.name.as_str())
        } else {
            Destination::queue(self.name.as_str())
        }
    }

    /// As it stands in lists: `queue://orders.>`.
    pub(crate) fn text(&self) -> String {
        let kind = if self.topic { "topic" } else { "queue" };
        let durable = if self.force_durable { "?forceDurable=true" } else { "" };
        format!("{kind}://{}{durable}", self.name)
    }

    pub(crate) fn parse(text: &str) -> Self {
        let (text, options) = text.trim().split_once('?').unwrap_or((text.trim(), ""));
        let rule = match text.strip_prefix("topic://") {
            Some(name) => Self::topic(name),
            None => Self::queue(text.strip_prefix("queue://").unwrap_or(text)),
        };
        if options.contains("forceDurable=true") { rule.durable() } else { rule }
    }
}

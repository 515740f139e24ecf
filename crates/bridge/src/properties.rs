//! The properties of a duplex connector as they travel in `BrokerInfo`: the text of a Java properties file.

use std::time::Duration;

use ferromq_openwire::WireStr;

use crate::core::stream::{KEEPS_STREAMS, TURNS_BACK};
use crate::{Login, Rule, Settings};

/// More than any list that a peer has reason to send.
const MOST_RULES: usize = 10_000;

/// The text that makes the peer build the same bridge the other way round.
/// `keeps_streams` and `turns_back` are said of the local broker.
pub(crate) fn write(settings: &Settings, keeps_streams: bool, turns_back: bool) -> String {
    let mut text = String::from("#\n");
    let mut put = |key: &str, value: String| {
        text.push_str(key);
        text.push('=');
        escape(&value, &mut text);
        text.push('\n');
    };
    put("name", settings.name.clone());
    put("duplex", settings.duplex.to_string());
    put("dynamicOnly", settings.dynamic_only.to_string());
    put("staticBridge", settings.static_bridge.to_string());
    put("suppressDuplicateQueueSubscriptions", settings.suppress_queues.to_string());
    put("suppressDuplicateTopicSubscriptions", settings.suppress_topics.to_string());
    put("syncDurableSubs", settings.sync_durables.to_string());
    put("useVirtualDestSubs", settings.virtual_consumers.to_string());
    put("useCompression", settings.compress.to_string());
    put("advisoryForFailedForward", settings.tell_failed.to_string());
    put("gcDestinationViews", settings.forget_counters_after.is_some().to_string());
    if let Some(after) = settings.forget_counters_after {
        put("gcSweepTime", after.as_millis().to_string());
    }
    put("consumerTTL", settings.consumer_ttl.to_string());
    put("messageTTL", settings.message_ttl.to_string());
    put("conduitSubscriptions", settings.conduit.to_string());
    put("conduitNetworkQueueSubscriptions", settings.conduit_network_queues.to_string());
    put("decreaseNetworkConsumerPriority", settings.decrease_priority.to_string());
    put("consumerPriorityBase", settings.priority_base.to_string());
    put("prefetchSize", settings.prefetch.to_string());
    put("advisoryPrefetchSize", settings.advisory_prefetch.to_string());
    put("advisoryAckPercentage", settings.advisory_ack_percentage.to_string());
    put("bridgeTempDestinations", settings.temp_destinations.to_string());
    put("alwaysSyncSend", settings.always_sync_send.to_string());
    put("dispatchAsync", settings.dispatch_async.to_string());
    put("clientIdToken", settings.client_id_token.clone());
    put("useBrokerNamesAsIdSeed", settings.names_in_ids.to_string());
    for (key, rules) in [
        ("excludedDestinations", &settings.excluded),
        ("dynamicallyIncludedDestinations", &settings.dynamically_included),
        ("staticallyIncludedDestinations", &settings.statically_included),
    ] {
        if !rules.is_empty() {
            // As Java prints a list.
            put(key, format!("[{}]", rules.iter().map(Rule::text).collect::<Vec<_>>().join(", ")));
        }
    }
    for (says, line) in [(keeps_streams, KEEPS_STREAMS), (turns_back, TURNS_BACK)] {
        if says && settings.exactly_once {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// What the local broker is told: to hand back what only bridges could take within so many hops, what a consumer of many
/// destinations does not cover, and to tell of its durable subscriptions, as a bridge asks for them at the other end.
pub(crate) fn for_local(settings: &Settings) -> String {
    let mut text = format!("maxHops={}\n", settings.max_hops);
    let (excluded, included) = settings.scope();
    for (key, rules) in [("excluded", excluded), ("included", included)] {
        for rule in rules {
            text.push_str(&format!("{key}={}\n", rule.destination()));
        }
    }
    if !settings.static_bridge {
        text.push_str("syncDurableSubs=true\ndynamicallyIncludedDestinations=[topic\\://>]\n");
    }
    text
}

/// Whether a peer's properties have this line.
pub(crate) fn has(text: Option<&WireStr>, wanted: &str) -> bool {
    text.is_some_and(|text| text.to_str().lines().any(|line| line.trim_end() == wanted))
}

/// What a peer asks the other half of its bridge to be; what is unknown or malformed keeps its default.
pub(crate) fn read(text: &str) -> Settings {
    // Connectors of several peers may have one name.
    let mut settings =
        Settings { duplex: true, only_link: false, local_login: None::<Login>, ..Settings::default() };
    for line in text.lines().filter(|line| !line.starts_with(['#', '!'])) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = unescaped(value);
        let truth = value == "true";
        let number = value.parse::<i32>().ok();
        let count = number.and_then(|number| u32::try_from(number).ok());
        match key.trim() {
            "name" => settings.name = value,
            "dynamicOnly" => settings.dynamic_only = truth,
            "staticBridge" => settings.static_bridge = truth,
            "suppressDuplicateQueueSubscriptions" => settings.suppress_queues = truth,
            "suppressDuplicateTopicSubscriptions" => settings.suppress_topics = truth,
            "syncDurableSubs" => settings.sync_durables = truth,
            "useVirtualDestSubs" => settings.virtual_consumers = truth,
            "useCompression" => settings.compress = truth,
            "advisoryForFailedForward" => settings.tell_failed = truth,
            "gcDestinationViews" if !truth => settings.forget_counters_after = None,
            "gcSweepTime" => {
                let after = value.parse().ok().filter(|ms| *ms > 0).map(Duration::from_millis);
                settings.forget_counters_after = settings.forget_counters_after.and(after);
            }
            "consumerTTL" => settings.consumer_ttl = number.unwrap_or(1),
            "messageTTL" => settings.message_ttl = number.unwrap_or(1),
            "conduitSubscriptions" => settings.conduit = truth,
            "conduitNetworkQueueSubscriptions" => settings.conduit_network_queues = truth,
            "decreaseNetworkConsumerPriority" => settings.decrease_priority = truth,
            "consumerPriorityBase" => settings.priority_base = value.parse().unwrap_or(-5),
            "prefetchSize" => settings.prefetch = count.filter(|count| *count > 0).unwrap_or(1_000),
            "advisoryPrefetchSize" => settings.advisory_prefetch = count.unwrap_or(0),
            "advisoryAckPercentage" => settings.advisory_ack_percentage = value.parse().unwrap_or(75),
            "bridgeTempDestinations" => settings.temp_destinations = truth,
            "alwaysSyncSend" => settings.always_sync_send = truth,
            "dispatchAsync" => settings.dispatch_async = truth,
            "clientIdToken" => settings.client_id_token = value,
            "useBrokerNamesAsIdSeed" => settings.names_in_ids = truth,
            "excludedDestinations" => settings.excluded = rules(&value),
            "dynamicallyIncludedDestinations" => settings.dynamically_included = rules(&value),
            "staticallyIncludedDestinations" => settings.statically_included = rules(&value),
            _ => {}
        }
    }
    settings
}

fn rules(text: &str) -> Vec<Rule> {
    // Java prints a list with brackets around it.
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    text.split(',').filter(|part| !part.trim().is_empty()).take(MOST_RULES).map(Rule::parse).collect()
}

/// As Java stores a value: it reads the bytes as Latin-1, so that everything beyond ASCII has to be a number.
fn escape(value: &str, out: &mut String) {
    for (at, c) in value.char_indices() {
        match c {
            ' ' if at == 0 => out.push_str("\\ "),
            ':' | '=' | '#' | '!' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
}

fn unescaped(text: &str) -> String {
    // What Java has as one number for each half of a character is put together at the end.
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.trim_end_matches('\r').chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let code: String = chars.by_ref().take(4).collect();
                    units.extend(u16::from_str_radix(&code, 16));
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferromq_openwire::Destination;

    #[test]
    fn the_other_half_reads_what_this_half_wrote() {
        let settings = Settings {
            name: "to: all = one".into(),
            message_ttl: 3,
            conduit: false,
            excluded: vec![Rule::queue("secret.>"), Rule::topic("news")],
            dynamic_only: true,
            suppress_queues: true,
            suppress_topics: false,
            sync_durables: true,
            virtual_consumers: true,
            compress: true,
            tell_failed: true,
            forget_counters_after: None,
            ..Settings::default()
        };
        let read = read(&write(&settings, true, true));
        let switches = |it: &Settings| {
            let flags = [it.dynamic_only, it.suppress_queues, it.suppress_topics, it.sync_durables];
            (flags, [it.virtual_consumers, it.compress, it.tell_failed], it.forget_counters_after)
        };
        assert_eq!(switches(&read), switches(&settings));
        assert_eq!((read.name.as_str(), read.message_ttl, read.conduit), ("to: all = one", 3, false));
        assert!(!read.permits(&Destination::queue("secret.a")) && !read.permits(&Destination::topic("news")));
        assert!(read.permits(&Destination::queue("news")));
    }

    #[test]
    fn names_in_any_script_are_written_and_read_as_java_does() {
        // Java 17: new Properties().store(…) of this name and this list.
        let stored =
            "name=\\ K\\u00F6ln\\t\\uD83D\\uDE00\nexcludedDestinations=[queue\\://gr\\u00F6\\u00DFe.>]\n";
        let settings = read(stored);
        assert_eq!(settings.name, " Köln\t😀");
        assert!(!settings.permits(&Destination::queue("größe.a")));
        let again = read(&write(&settings, false, false));
        assert!(again.name == settings.name && !again.permits(&Destination::queue("größe.a")));
        assert!(write(&settings, false, false).is_ascii());
    }

    #[test]
    fn nonsense_keeps_the_defaults() {
        let read = read("prefetchSize=-1\nmessageTTL=x\n=\n\\\nname");
        assert_eq!((read.prefetch, read.message_ttl, read.name.as_str()), (1_000, 1, "NC"));
    }
}

//! The attributes and properties that take more than a line of the table.

use super::{
    connectors::uris,
    property::{Given, Property, text_of},
    report::Verdict,
    translate::{Scope, Share, Translation, no_value},
    tree::Element,
};
use crate::{
    document::{Node, Value},
    source::Source,
    value,
};

/// More than anything that is counted or measured here.
const MOST: &str = "9223372036854775807";

const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;

impl<'a> Translation<'a> {
    /// By the words of the table; `None` if everything is told already.
    pub(super) fn handle(
        &mut self,
        words: &[&str],
        means: &str,
        property: &Property<'a>,
        scope: &mut Scope,
    ) -> Option<Verdict> {
        let supported = Verdict::supported(means);
        match (words, property.given) {
            (["destinations", key], Given::Element(list)) => {
                let found = self.destinations(list);
                if found.is_empty() && !list.children.is_empty() && *key == ".dynamically_included" {
                    return Some(Verdict::rejected(
                        "no queue and no topic is left in it, and without any everything would be forwarded",
                        "name queues and topics, or remove the connector",
                    ));
                }
                for (text, source) in found {
                    self.push(key, text, source, scope);
                }
                return Some(supported);
            }
            (["startup"], Given::Element(list)) => {
                for (text, source) in self.destinations(list) {
                    if text.contains(['*', '>']) {
                        let consequence = "a name with wildcards is no queue or topic of its own";
                        self.report(source, text, Verdict::ignored(consequence));
                    } else {
                        self.push("broker.destinations", text, source, scope);
                    }
                }
                return Some(supported);
            }
            (["forward_to"], Given::Element(list)) => {
                let found = self.destinations(list);
                // What stood there is refused already.
                scope.dropped |= found.is_empty() && !list.children.is_empty();
                for (text, source) in found {
                    self.push(".forward_to", text, source, scope);
                }
                return Some(supported);
            }
            (["dead_letter_queue"], Given::Element(holder)) => {
                let found = self.destinations(holder);
                let [(text, source)] = found.as_slice() else {
                    return Some(Verdict::rejected(
                        "a dead letter goes to one queue",
                        "write <queue physicalName=\"…\"/>",
                    ));
                };
                match text.strip_prefix("queue://") {
                    Some(name) => self.set(".dead_letter.queue", name, source, scope),
                    None => {
                        return Some(Verdict::rejected(
                            "a dead letter goes to a queue",
                            "write <queue physicalName=\"…\"/>",
                        ));
                    }
                }
                return Some(supported);
            }
            (["policy_of"], Given::Element(holder)) => {
                let found = self.destinations(holder);
                let texts = found.into_iter().map(|(text, _)| text).collect();
                return Some(self.policy(texts, property.source, scope, supported));
            }
            (["default_policy"], Given::Element(holder)) => {
                for entry in &holder.children {
                    if entry.name != "policyEntry" {
                        let verdict = Verdict::rejected("this is no policy", "write <policyEntry …/>");
                        self.report(&entry.source, format!("<{}>", entry.name), verdict);
                        continue;
                    }
                    let mut inner = Scope::default();
                    self.walk(entry, "policyEntry", &mut inner);
                    self.default_policy = Some((inner.table, &entry.source));
                }
                return Some(supported);
            }
            (["network_uris" | "listen"], Given::Element(list)) => {
                for item in items(list) {
                    self.uri_of_list(words.first() == Some(&"listen"), &item.text, &item.source);
                }
                return Some(supported);
            }
            (["data_source"], given) => return self.data_source(given, property.source, scope),
            (["lock_source"], _) => return self.lock_source(property, scope),
            _ => {}
        }
        match text_of(property.given) {
            Some(text) => Some(self.handle_text(words, text, property.source, scope, supported)),
            None => Some(no_value(property)),
        }
    }

    /// The same for a value.
    fn handle_text(
        &mut self,
        words: &[&str],
        text: &str,
        source: &'a Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        match words {
            ["if", wanted, key, then] => {
                return self.if_so(wanted, (key, then), text, source, scope, supported);
            }
            ["flag", key, flag] => return self.flag(key, flag, text, source, scope, supported),
            ["clamp", key, least, most] => {
                return self.clamp(key, text, [least, most], source, scope, supported);
            }
            ["no_postfix"] if text.is_empty() => return Verdict::supported("is empty in any case"),
            ["no_postfix"] => {
                return Verdict::rejected(
                    "names of queues end with the name of the topic, and those of mirrors with that of the queue",
                    "write a prefix, such as Consumer.*. or VirtualTopic.Mirror.",
                );
            }
            ["off", key, most] => return self.off(key, text, most, source, scope),
            ["never", key] => return self.never(key, text, source, scope),
            ["slow", least] => return self.slow(text, least, source, scope),
            ["usage", key] => return self.usage(key, text, source, scope),
            ["broker_name"] => self.set("broker.name", &broker_name(text), source, scope),
            ["data_directory"] => self.set("broker.data_dir", folder(text), source, scope),
            ["folder", key] => self.set(key, folder(text), source, scope),
            ["temporary"] => {
                scope.dropped = true;
                return Verdict::ignored(
                    "temporary destinations have the defaults, and no policy of their own",
                );
            }
            ["network_uris" | "listen"] => {
                for uri in uris(text) {
                    self.uri_of_list(words.first() == Some(&"listen"), uri, source);
                }
            }
            ["transport"] => return self.transport(text, source, scope),
            ["network_uri"] => return self.network_uri(text, source, scope, supported),
            ["policy", prefix] => {
                return self.policy(members(prefix, text), source, scope, supported);
            }
            ["policy_of"] => return Verdict::ignored("write `queue` or `topic`"),
            ["name", prefix] => self.set(".destination", &format!("{prefix}{text}"), source, scope),
            ["percent", key] => return self.percent(key, text, source, supported),
            ["total", key] => match value::bytes(text) {
                Some(total) => self.share(key, source).total = total,
                None => return Verdict::rejected("this should be a size", "write total=\"100 gb\""),
            },
            // 0 stands for "not set" to ActiveMQ, and -1 in a policy.
            ["positive", key] if text == "0" || (text == "-1" && key.starts_with('.')) => {
                return Verdict::supported(format!("{text} leaves `{}` unset", key.trim_start_matches('.')));
            }
            ["positive" | "fail", key] => {
                self.set(key, text, source, scope);
                return self.no_contradiction(key, source, scope, supported);
            }
            ["groups"] => return self.groups(text, source, scope, supported),
            ["keep_alive"] => return Self::keep_alive(text, supported),
            ["lock_interval"] => return self.lock_interval(text, source, scope, supported),
            ["lease_time"] => return self.lease_time(text, source, scope),
            ["lease_holder"] => return self.lease_holder(text, source, scope),
            ["segment"] => return self.segment(text, source, scope, supported),
            ["lower", key] => self.set(key, &text.to_ascii_lowercase(), source, scope),
            ["schema"] => {
                if let Some(name) = schema(text) {
                    self.set("store.schema", &name, source, scope);
                }
            }
            ["words", key] => {
                for word in text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()) {
                    self.push(key, word.to_owned(), source, scope);
                }
            }
            _ => return Verdict::rejected("this is not understood here", "write the elements inside of it"),
        }
        supported
    }

    /// What follows from one of two truths, and from the other nothing.
    fn if_so(
        &mut self,
        wanted: &str,
        (key, then): (&str, &str),
        text: &str,
        source: &'a Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        match value::truth(text) {
            Some(truth) if truth == (wanted == "true") => self.set(key, then, source, scope),
            Some(_) => {}
            None => return Verdict::rejected("this should be true or false", ""),
        }
        supported
    }

    /// A word of a list that stands for itself.
    fn flag(
        &mut self,
        key: &str,
        flag: &str,
        text: &str,
        source: &'a Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        match value::truth(text) {
            Some(true) => self.push(key, flag.to_owned(), source, scope),
            Some(false) => return Verdict::supported("is false unless asked for"),
            None => return Verdict::rejected("this should be true or false", ""),
        }
        supported
    }

    /// A limit as a part of something.
    fn percent(&mut self, key: &str, text: &str, source: &'a Source, supported: Verdict) -> Verdict {
        match text.trim().parse::<i64>() {
            // To ActiveMQ, too, what is not above 0 is not said.
            Ok(..=0) => return Verdict::supported("0 says nothing"),
            Ok(percent @ 1..=100) => self.share(key, source).percent = percent.unsigned_abs(),
            Ok(_) => {
                self.share(key, source).percent = 100;
                return Verdict::ignored("there is no more than 100 %, which counts");
            }
            Err(_) => {
                return Verdict::rejected("this should be a whole number", "write percentLimit=\"60\"");
            }
        }
        supported
    }

    /// How message groups are remembered: `cached`, `cached?cacheSize=64`, or in another way.
    fn groups(&mut self, text: &str, source: &'a Source, scope: &mut Scope, supported: Verdict) -> Verdict {
        let (kind, options) = text.split_once(['?', ':']).unwrap_or((text, ""));
        let size = options.strip_prefix("cacheSize=").unwrap_or(options);
        match (kind, size) {
            ("cached", "") => {}
            ("cached", size) => self.set(".message_groups", size, source, scope),
            _ => return Verdict::ignored("groups are remembered one by one, as many as `message_groups`"),
        }
        supported
    }

    /// What was said so far of a limit that is a part of something.
    fn share(&mut self, key: &str, source: &'a Source) -> &mut Share<'a> {
        self.shares.entry(key.to_owned()).or_insert(Share { percent: 0, total: 0, source })
    }

    /// Of two that contradict one another the one that counts in ActiveMQ stays: a refusal at once over a time to wait, and a
    /// time to wait over no refusal.
    fn no_contradiction(
        &mut self,
        key: &str,
        source: &Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        const TIME: &str = "send_fail_if_no_space_after_ms";
        let (table, path) = match key.strip_prefix('.') {
            Some(path) => (&mut scope.table, path),
            None => (&mut self.out.root, key),
        };
        let mut verdict = supported;
        table.at(path, source, |table, key| {
            let Some(time) = table.find(TIME).map(|node| node.value.text().unwrap_or_default()) else { return };
            let fails = table.find("send_fail_if_no_space").and_then(|node| node.value.text());
            match fails.and_then(|text| value::truth(&text)) {
                Some(true) => {
                    table.remove(TIME);
                    verdict = Verdict::ignored(if key == TIME {
                        "sendFailIfNoSpace=\"true\" refuses at once, as in ActiveMQ".to_owned()
                    } else {
                        format!("it refuses at once, as in ActiveMQ, and sendFailIfNoSpaceAfterTimeout=\"{time}\" has no effect")
                    });
                }
                Some(false) => table.remove("send_fail_if_no_space"),
                None => {}
            }
        });
        verdict
    }

    /// What a policy is for: a destination, or several, each of which gets one.
    fn policy(
        &mut self,
        mut destinations: Vec<String>,
        source: &'a Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        if scope.table.find("destination").is_some() {
            return Verdict::rejected("this entry has a destination already", "write an entry for each");
        }
        match destinations.pop() {
            Some(last) => self.set(".destination", &last, source, scope),
            // What stands there instead is told of.
            None => scope.dropped = true,
        }
        scope.further = destinations;
        supported
    }

    pub(super) fn set(&mut self, path: &str, text: &str, source: &Source, scope: &mut Scope) {
        self.put(path, Node { source: source.clone(), value: Value::Untyped(text.to_owned()) }, scope);
    }

    fn push(&mut self, path: &str, text: String, source: &Source, scope: &mut Scope) {
        let node = Node { source: source.clone(), value: Value::Text(text) };
        let (table, path) = match path.strip_prefix('.') {
            Some(path) => (&mut scope.table, path),
            None => (&mut self.out.root, path),
        };
        table.at(path, source, |table, key| table.push(key, node));
    }

    /// The `<queue>` and `<topic>` elements within.
    fn destinations(&mut self, list: &'a Element) -> Vec<(String, &'a Source)> {
        let mut found = Vec::new();
        for item in &list.children {
            if matches!(item.name.as_str(), "list" | "set") {
                found.extend(self.destinations(item));
                continue;
            }
            for attribute in &item.attributes {
                const KNOWN: [&str; 9] = [
                    "physicalName",
                    "name",
                    "id",
                    "queue",
                    "topic",
                    "selector",
                    "DLQ",
                    "properties",
                    "compositeDestinations",
                ];
                if !KNOWN.contains(&attribute.name.as_str()) {
                    let what = format!("attribute {} of <{}>", attribute.name, item.name);
                    self.unknown(&attribute.source, what, &attribute.name, "queue");
                }
            }
            let name = item.value("physicalName").or_else(|| item.value("name"));
            let of = |kind: &str, name: &str| members(&format!("{kind}://"), name);
            let within = |kind: &str| item.value(kind).map(|name| of(kind, name));
            let texts = match item.name.as_str() {
                "queue" | "topic" => name.map(|name| of(&item.name, name)),
                "filteredDestination" if item.value("selector").is_some() => {
                    let verdict = Verdict::rejected(
                        "filters of composite destinations are not built, and without it everything would be copied",
                        "let the consumers select, and write <queue> or <topic>",
                    );
                    self.report(&item.source, "<filteredDestination>".to_owned(), verdict);
                    continue;
                }
                "filteredDestination" => within("queue").or_else(|| within("topic")),
                "tempQueue" | "tempTopic" => {
                    let consequence = "temporary destinations follow the connection that made them";
                    self.report(&item.source, format!("<{}>", item.name), Verdict::ignored(consequence));
                    continue;
                }
                _ => None,
            };
            match texts {
                Some(texts) => found.extend(texts.into_iter().map(|text| (text, &item.source))),
                None => {
                    let remedy = "write <queue physicalName=\"…\"/> or <topic physicalName=\"…\"/>";
                    let verdict = Verdict::rejected("this is no destination", remedy);
                    self.report(&item.source, format!("<{}>", item.name), verdict);
                }
            }
        }
        found
    }

    /// A number or size beyond what is taken here is no reason not to start. What is no number is judged by the reader.
    fn clamp(
        &mut self,
        key: &str,
        text: &str,
        bounds: [&str; 2],
        source: &Source,
        scope: &mut Scope,
        supported: Verdict,
    ) -> Verdict {
        let [least, most] = bounds.map(|bound| bound.parse::<u64>().unwrap_or(0));
        match value::bytes(text) {
            Some(number) if !(least..=most).contains(&number) => {
                let nearest = number.clamp(least, most.max(least));
                self.set(key, &nearest.to_string(), source, scope);
                let range = match bounds {
                    [_, MOST] => format!("{least} or more"),
                    _ => format!("{least} to {most}"),
                };
                Verdict::ignored(format!("{range} is possible here, and {nearest} counts"))
            }
            _ => {
                self.set(key, text, source, scope);
                supported
            }
        }
    }

    /// A number that stands for what 0 does when it is below 0.
    fn off(&mut self, key: &str, text: &str, most: &str, source: &Source, scope: &mut Scope) -> Verdict {
        if text.trim().parse::<i64>().is_ok_and(|number| number < 0) {
            self.set(key, "0", source, scope);
            return Verdict::supported(format!("`{} = 0`, as in ActiveMQ", key.trim_start_matches('.')));
        }
        let supported = Verdict::supported(format!("`{}`", key.trim_start_matches('.')));
        self.clamp(key, text, ["0", most], source, scope, supported)
    }

    /// A time that is never over when it is not above 0.
    fn never(&mut self, key: &str, text: &str, source: &Source, scope: &mut Scope) -> Verdict {
        if text.trim().parse::<i64>().is_ok_and(|number| number <= 0) {
            self.set(key, MOST, source, scope);
            return Verdict::supported(
                "what is not above 0 is never over, as in ActiveMQ: nothing is removed",
            );
        }
        let supported = Verdict::supported(format!("`{}`", key.trim_start_matches('.')));
        self.clamp(key, text, ["1", MOST], source, scope, supported)
    }

    /// How long a consumer may be slow; below `least` nobody is judged by it.
    fn slow(&mut self, text: &str, least: &str, source: &Source, scope: &mut Scope) -> Verdict {
        const KEY: &str = ".slow_consumer.max_slow_ms";
        let least: i64 = least.parse().unwrap_or(0);
        if text.trim().parse::<i64>().is_ok_and(|number| number < least) {
            self.set(".slow_consumer.strategy", "none", source, scope);
            return Verdict::supported("no time is too long, as in ActiveMQ: no consumer is closed for it");
        }
        let supported = Verdict::supported(format!("`{}`", KEY.trim_start_matches('.')));
        self.clamp(KEY, text, ["1", "86400000"], source, scope, supported)
    }

    /// A limit of the whole broker: to ActiveMQ 0 is none.
    fn usage(&mut self, key: &str, text: &str, source: &Source, scope: &mut Scope) -> Verdict {
        match (value::bytes(text), key) {
            (Some(0), "limits.memory_bytes") => Verdict::ignored(
                "0 is no limit to ActiveMQ; here memory always has one, and `limits.memory_bytes` holds, 1 GiB unless \
                 you set it",
            ),
            (Some(0), _) => {
                self.set(key, MOST, source, scope);
                Verdict::supported("0 is no limit, as in ActiveMQ; what the disk takes is one")
            }
            _ => {
                let supported = Verdict::supported(format!("`{key}`"));
                self.clamp(key, text, ["1048576", MOST], source, scope, supported)
            }
        }
    }

    /// A size beyond what a segment may have is no reason not to start.
    fn segment(&mut self, text: &str, source: &Source, scope: &mut Scope, supported: Verdict) -> Verdict {
        match value::bytes(text) {
            Some(bytes) if !SEGMENT_BYTES.contains(&bytes) => {
                let bytes = bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
                self.set("store.segment_bytes", &bytes.to_string(), source, scope);
                let consequence = format!("segments have 1 MiB to 1 GiB; this broker's have {bytes} bytes");
                Verdict::ignored(consequence)
            }
            _ => {
                self.set("store.segment_bytes", text, source, scope);
                supported
            }
        }
    }
}

/// Spring takes a folder as a URL, too.
fn folder(text: &str) -> &str {
    let path = text.strip_prefix("file:").filter(|path| !path.is_empty());
    path.map_or(text, |path| path.strip_prefix("//").unwrap_or(path))
}

/// With what a name may not have replaced.
fn broker_name(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    text.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}

/// A schema of our own for what ActiveMQ kept in tables with this prefix.
fn schema(prefix: &str) -> Option<String> {
    let letters = prefix.trim_matches('_').chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|c| c.to_ascii_lowercase()).take(40).collect();
    (!name.is_empty()).then(|| format!("ferromq_{name}"))
}

/// The elements of a list, or of lists in it.
fn items(list: &Element) -> Vec<&Element> {
    let inner = |item: &'_ Element| matches!(item.name.as_str(), "list" | "set" | "array");
    list.children.iter().flat_map(|item| if inner(item) { items(item) } else { vec![item] }).collect()
}

/// Names divided by commas are several destinations to ActiveMQ, each of any kind.
fn members(prefix: &str, names: &str) -> Vec<String> {
    let kind = |name: &str| ["queue://", "topic://"].iter().any(|kind| name.starts_with(kind));
    let member = |name: &str| if kind(name) { name.to_owned() } else { format!("{prefix}{name}") };
    let mut found: Vec<String> =
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(member).collect();
    if found.is_empty() {
        // The reader says what is wrong with it.
        found.push(prefix.to_owned());
    }
    found
}

//! What a `<broker>` comes to beyond its single elements: defaults that are ActiveMQ's, and values that only make sense
//! together.

use std::path::Path;

use super::{
    property::{Given, Property, properties_of, text_of},
    report::Verdict,
    translate::{Scope, Translation},
    tree::Element,
};
use crate::{
    diagnostic::Severity,
    document::{Node, Table, Value},
    value,
};

/// To ActiveMQ all brokers that share a store may have one name. Here the nodes differ, by machine and port; the name
/// that clients and neighbours see stays.
pub(super) fn name_node(root: &mut Table, host: &str) {
    let table = |key: &str| match root.find(key).map(|node| &node.value) {
        Some(Value::Table(table)) => Some(table),
        _ => None,
    };
    let name = table("broker").and_then(|broker| broker.find("name"));
    let text = name.and_then(|name| name.value.text()).unwrap_or_else(|| "localhost".to_owned());
    let listeners = match root.find("listener").map(|node| &node.value) {
        Some(Value::List(listeners)) => listeners.as_slice(),
        _ => &[],
    };
    let port = listeners.iter().find_map(|listener| match &listener.value {
        Value::Table(table) => {
            ferromq_uri::Uri::parse(&table.find("uri")?.value.text()?).ok()?.endpoint()?.port
        }
        _ => None,
    });
    // A `leaseHolderId` names it.
    if table("broker").is_some_and(|broker| broker.find("node").is_some()) {
        return;
    }
    let Some(source) =
        name.map(|name| name.source.clone()).or_else(|| Some(root.find("auth")?.source.clone()))
    else {
        return;
    };
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let host: String = host.chars().filter(fits).take(48).collect();
    let short: String = text.chars().take(64).collect();
    let port = port.map(|port| format!("-{port}")).unwrap_or_default();
    let dash = if host.is_empty() { "" } else { "-" };
    let node = Node { source: source.clone(), value: Value::Untyped(format!("{short}{dash}{host}{port}")) };
    root.at("broker.node", &source, |table, key| table.put(key, node));
}

impl<'a> Translation<'a> {
    pub(super) fn broker(&mut self, broker: &'a Element) {
        let source = &broker.source;
        let mut scope = Scope::default();
        self.walk(broker, "broker", &mut scope);
        self.keep_nothing(broker, &mut scope);
        self.intercept(broker, &mut scope);
        self.add_default_policy();
        // ActiveMQ's, where they differ from ours.
        let text = |text: &str| Node { source: source.clone(), value: Value::Untyped(text.to_owned()) };
        self.set_shares(&mut scope);
        self.fit_frames(&mut scope);
        self.choose_folder(broker, &mut scope);
        if self.out.root.find("listener").is_none() && self.out.root.find("listen").is_none() {
            let none = Node { source: source.clone(), value: Value::List(Vec::new()) };
            self.put("listen", none, &mut scope);
        }
        // Without a plug-in that asks for logins ActiveMQ is open to everybody, and so is this broker.
        let asks = self.guard.is_some();
        let anonymous = self.find("auth.allow_anonymous").and_then(|node| node.value.text());
        let nobody = self.out.root.find("user").is_none()
            && anonymous.is_none_or(|text| value::truth(&text) != Some(true));
        let refused = self.out.diagnostics.iter().any(|problem| problem.severity == Severity::Error);
        if asks && nobody && !refused {
            let remedy =
                "add <users><authenticationUser username=\"…\" password=\"…\" groups=\"…\"/></users>";
            self.error(source, "the broker asks for logins, and nobody can log in", remedy);
        }
        let everybody = asks && !nobody && self.out.root.find("user").is_none();
        if everybody {
            self.put("auth.allow_anonymous_remote", text("true"), &mut scope);
        }
        if !asks {
            self.put("auth.allow_anonymous_remote", text("true"), &mut scope);
            let consequence = "no plug-in asks for a login, so that everybody who reaches the broker may use it, as in ActiveMQ";
            let verdict = Verdict::ignored(consequence);
            self.report(source, "<broker> without authentication".to_owned(), verdict);
        }
    }

    /// Where no store is named ActiveMQ makes one in a folder of the broker's own, so that brokers of other names beside it
    /// are no standbys.
    fn choose_folder(&mut self, broker: &'a Element, scope: &mut Scope) {
        let named = properties_of(broker).iter().any(|property| {
            matches!(property.name, "persistenceAdapter" | "persistenceFactory")
                && !matches!(property.given, Given::Element(holder) if holder.children.is_empty())
        });
        let text = |node: &Node| node.value.text().unwrap_or_default();
        let given = self.find("broker.data_dir").map(|node| (text(node), node.source.clone()));
        let (folder, source) = given.unwrap_or_else(|| ("activemq-data".to_owned(), broker.source.clone()));
        let name = self.find("broker.name").map_or_else(|| "localhost".to_owned(), text).replace(':', "_");
        let folder = if named || folder.trim().is_empty() {
            folder
        } else {
            Path::new(&folder).join(name).display().to_string()
        };
        self.set("broker.data_dir", &folder, &source, scope);
    }

    /// To ActiveMQ a broker that is not persistent keeps nothing, whatever store the file has besides.
    fn keep_nothing(&mut self, broker: &'a Element, scope: &mut Scope) {
        let properties = properties_of(broker);
        let said = |name: &str| properties.iter().find(|property| property.name == name);
        let asked = said("persistent").filter(|persistent| {
            text_of(persistent.given).is_some_and(|text| value::truth(text) == Some(false))
        });
        let (Some(asked), Some(store)) = (asked, said("persistenceAdapter").or(said("persistenceFactory")))
        else {
            return;
        };
        if matches!(store.given, Given::Element(holder) if holder.children.iter().all(|child| child.name == "memoryPersistenceAdapter"))
        {
            return;
        }
        self.set("store.kind", "memory", asked.source, scope);
        for key in ["store.url", "lock.uri"] {
            self.out.root.at(key, asked.source, |table, key| table.remove(key));
        }
        let consequence =
            "persistent=\"false\" counts, as in ActiveMQ: messages are gone when the broker ends";
        let verdict = Verdict::ignored(consequence);
        self.report(store.source, format!("broker {}", store.name), verdict);
    }

    /// To ActiveMQ interceptors that are given replace those that it makes by itself: virtual topics and mirrors of queues.
    fn intercept(&mut self, broker: &'a Element, scope: &mut Scope) {
        let properties = properties_of(broker);
        let said = |name: &str| properties.iter().find(|property| property.name == name);
        let Some(given) = said("destinationInterceptors") else { return };
        let feeds = self.out.root.find("virtual_topic").is_some();
        let asked = said("useVirtualTopics");
        let truth = asked.and_then(|asked| value::truth(text_of(asked.given)?));
        if let (Some(asked), Some(truth)) = (asked, truth.filter(|truth| *truth != feeds)) {
            let consequence = if truth {
                "<destinationInterceptors> counts instead, as in ActiveMQ, and has no <virtualTopic>"
            } else {
                "<destinationInterceptors> counts instead, as in ActiveMQ, and has a <virtualTopic>"
            };
            self.judge_anew(asked, Verdict::ignored(consequence));
            self.out.root.at("broker.use_virtual_topics", asked.source, |table, key| table.remove(key));
        }
        if !feeds {
            self.set("broker.use_virtual_topics", "false", given.source, scope);
            let means = "`broker.use_virtual_topics = false`: there is no <virtualTopic> in it, so that topics named \
                         VirtualTopic.> feed no queues, as in ActiveMQ";
            self.report(given.source, format!("broker {}", given.name), Verdict::supported(means));
        }
        let by = self.find("broker.mirror_queues_to").map(|node| node.source.clone());
        if let Some(asked) = said("useMirroredQueues").filter(|asked| by.as_ref() == Some(asked.source)) {
            let consequence =
                "<destinationInterceptors> counts instead, as in ActiveMQ, and has no <mirroredQueue>";
            self.judge_anew(asked, Verdict::ignored(consequence));
            self.out.root.at("broker.mirror_queues_to", asked.source, |table, key| table.remove(key));
        }
    }

    /// Another verdict on a property of the broker than the one that it got by itself.
    fn judge_anew(&mut self, property: &Property<'a>, verdict: Verdict) {
        let subject = format!("broker {}", property.name);
        self.out.report.entries.retain(|entry| entry.source != *property.source || entry.subject != subject);
        self.report(property.source, subject, verdict);
    }

    /// Parts of a disk, or of what the file says instead of it.
    fn set_shares(&mut self, scope: &mut Scope) {
        const LEAST: u64 = 1 << 20;
        for (key, share) in std::mem::take(&mut self.shares) {
            let text = match (share.percent, share.total) {
                (0, _) => continue,
                (percent, 0) => format!("{percent} %"),
                (percent, total) => {
                    let bytes = u128::from(total) * u128::from(percent) / 100;
                    u64::try_from(bytes).unwrap_or(u64::MAX).max(LEAST).to_string()
                }
            };
            self.set(&key, &text, share.source, scope);
        }
    }

    /// A memory limit below the largest frame is common in ActiveMQ's files, and no message beyond it could be taken.
    fn fit_frames(&mut self, scope: &mut Scope) {
        const FRAME_BYTES: u64 = 100 << 20;
        let Some(node) = self.find("limits.memory_bytes") else { return };
        let (source, text) = (node.source.clone(), node.value.text().unwrap_or_default());
        if let Some(bytes) = value::bytes(&text).filter(|bytes| (1 << 20..FRAME_BYTES).contains(bytes)) {
            let frame = Node { source: source.clone(), value: Value::Untyped(bytes.to_string()) };
            self.put("limits.max_frame_bytes", frame, scope);
            let consequence = "a single message larger than it is refused, where ActiveMQ would take it";
            self.report(&source, format!("limit of {text}"), Verdict::ignored(consequence));
        }
    }

    /// Where an entry covers all queues, or all topics, there is nothing left for the default.
    fn add_default_policy(&mut self) {
        let Some((mut table, source)) = self.default_policy.take() else { return };
        let destinations: Vec<String> = match self.out.root.find("policy").map(|node| &node.value) {
            Some(Value::List(policies)) => policies
                .iter()
                .filter_map(|policy| match &policy.value {
                    Value::Table(table) => table.find("destination")?.value.text(),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        let covers = |name: &str| destinations.iter().any(|destination| destination == name);
        let destination = match (covers("queue://>"), covers("topic://>")) {
            (true, true) => return,
            (true, false) => "topic://>",
            (false, true) => "queue://>",
            (false, false) => ">",
        };
        let node = Node { source: source.clone(), value: Value::Text(destination.to_owned()) };
        table.put("destination", node);
        self.out.root.push("policy", Node { source: source.clone(), value: Value::Table(table) });
    }
}

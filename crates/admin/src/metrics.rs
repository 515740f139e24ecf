//! The text of `/metrics`, in Prometheus' format.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::LinkView;
use crate::command::{DestinationCount, StreamCount};
use crate::meters::{Distribution, Meters};
use crate::view::{Role, RoleView};

/// Destinations beyond so many are left out, and counted in `ferromq_destinations_left_out`.
pub const MAX_DESTINATIONS: usize = 10_000;

/// All metrics of a node; `destinations` is `None` when the engine did not answer in time or there is none.
pub fn render(
    view: &RoleView,
    meters: &Meters,
    destinations: Option<&[DestinationCount]>,
    streams: Option<&[StreamCount]>,
) -> String {
    let mut page = Page { text: String::with_capacity(8 * 1024) };
    page.head("ferromq_info", "gauge", "Version and name of the node.");
    page.line("ferromq_info", &[("version", env!("CARGO_PKG_VERSION")), ("node", &view.node)], 1);
    page.head("ferromq_role", "gauge", "1 for the role that the node has.");
    for role in Role::ALL {
        page.line("ferromq_role", &[("role", role.name())], u8::from(role == view.role));
    }
    page.single("ferromq_epoch", "gauge", "The highest epoch that the node knows.", view.epoch.number);
    page.single(
        "ferromq_master_suspected",
        "gauge",
        "1 for a standby whose master looks dead.",
        u8::from(view.suspects),
    );
    if let Some(lag) = view.lag_bytes() {
        page.single("ferromq_lag_bytes", "gauge", "Bytes of the store not followed yet, at most.", lag);
    }
    if let Some(expected) = view.expected_takeover {
        let help = "How long a takeover would last from the last sign of life of a silent master.";
        page.single("ferromq_expected_takeover_seconds", "gauge", help, expected.as_secs_f64());
    }
    page.takeover(view);
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    page.single("ferromq_takeovers_total", "counter", "Takeovers of this process.", count(&meters.takeovers));
    page.single(
        "ferromq_step_downs_total",
        "counter",
        "Times the mastership was lost unasked.",
        count(&meters.step_downs),
    );
    if let Some(gauges) = meters.gauges() {
        let help = "Batches refused since a higher epoch existed.";
        page.single("ferromq_fence_failures_total", "counter", help, gauges.fence_failures());
        page.single("ferromq_connections", "gauge", "Connections of clients.", gauges.connections());
        page.histogram("ferromq_sync_seconds", "Syncs of the store.", &gauges.sync());
        let help = "Questions for a higher epoch, after the sync.";
        page.histogram("ferromq_fence_seconds", help, &gauges.fence());
        page.links(&gauges.links());
    }
    if let Some(destinations) = destinations {
        page.destinations(destinations);
    }
    if let Some(streams) = streams {
        page.streams(streams);
    }
    page.text
}

struct Page {
    text: String,
}

// Writing into a string does not fail.
impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if index == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    c => self.text.push(c),
                }
            }
            self.text.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn takeover(&mut self, view: &RoleView) {
        let Some(last) = view.last_takeover else { return };
        let name = "ferromq_last_takeover_seconds";
        self.head(name, "gauge", "Moments of the last takeover, from the first suspicion.");
        let moments: [(&str, Option<Duration>); 5] = [
            ("claimed", last.claimed),
            ("recovered", last.recovered),
            ("listening", last.listening),
            ("first_connection", last.first_connection),
            ("first_reply", last.first_reply),
        ];
        for (moment, at) in moments {
            if let Some(at) = at {
                self.line(name, &[("moment", moment)], at.as_secs_f64());
            }
        }
    }

    fn histogram(&mut self, name: &str, help: &str, distribution: &Distribution) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut all = 0;
        for (bound, count) in &distribution.buckets {
            all += count;
            self.line(&bucket, &[("le", &bound.as_secs_f64().to_string())], all);
        }
        self.line(&bucket, &[("le", "+Inf")], all);
        self.line(&format!("{name}_sum"), &[], distribution.sum.as_secs_f64());
        self.line(&format!("{name}_count"), &[], all);
    }

    fn links(&mut self, links: &[LinkView]) {
        let down = links.iter().filter(|link| !link.up).count();
        let help = "Links to other brokers that are wanted and not up.";
        self.single("ferromq_links_down", "gauge", help, down);
        type Part = fn(&LinkView) -> f64;
        // Counts are exact below 2^53.
        let parts: [(&str, &str, &str, Part); 10] = [
            ("ferromq_link_up", "gauge", "1 for a link over which messages flow.", |link| {
                f64::from(u8::from(link.up))
            }),
            ("ferromq_link_in_state_seconds", "gauge", "How long it has been up, or not.", |link| {
                link.in_state.as_secs_f64()
            }),
            ("ferromq_link_failures", "gauge", "Attempts that failed since it was up last.", |link| {
                f64::from(link.failures)
            }),
            ("ferromq_link_forwarded_total", "counter", "Messages that the other broker has.", |link| {
                link.forwarded as f64
            }),
            (
                "ferromq_link_refused_total",
                "counter",
                "Messages that it refused; dead letters here.",
                |link| link.refused as f64,
            ),
            ("ferromq_link_received_total", "counter", "Messages that came over a duplex link.", |link| {
                link.received as f64
            }),
            ("ferromq_link_in_flight", "gauge", "Messages that wait for an answer.", |link| {
                link.in_flight as f64
            }),
            ("ferromq_link_longest_wait_seconds", "gauge", "The longest of these waits.", |link| {
                link.longest_wait.as_secs_f64()
            }),
            ("ferromq_link_consumers", "gauge", "Consumers over there that are known.", |link| {
                link.consumers as f64
            }),
            ("ferromq_link_subscriptions", "gauge", "Subscriptions here that stand for them.", |link| {
                link.subscriptions as f64
            }),
        ];
        for (name, kind, help, part) in parts {
            self.head(name, kind, help);
            for link in links {
                let mirror = if link.mirror { "true" } else { "false" };
                let labels = [("connector", &*link.connector), ("remote", &*link.remote), ("mirror", mirror)];
                self.line(name, &labels, part(link));
            }
        }
    }

    fn streams(&mut self, streams: &[StreamCount]) {
        type Part = fn(&StreamCount) -> u64;
        let parts: [(&str, &str, Part); 3] = [
            ("ferromq_stream_under_way", "Messages that are not known to have arrived.", |stream| {
                stream.under_way
            }),
            (
                "ferromq_stream_held",
                "Of those, messages that nobody here gets until a link says what became of them.",
                StreamCount::held,
            ),
            (
                "ferromq_stream_without_room",
                "Destinations for which the other broker has no room.",
                |stream| stream.without_room.len() as u64,
            ),
        ];
        for (name, help, part) in parts {
            self.head(name, "gauge", help);
            for stream in streams {
                self.line(name, &[("stream", &stream.name)], part(stream));
            }
        }
    }

    fn destinations(&mut self, destinations: &[DestinationCount]) {
        let shown = destinations.get(..MAX_DESTINATIONS).unwrap_or(destinations);
        type Part = fn(&DestinationCount) -> u64;
        let parts: [(&str, &str, &str, Part); 5] = [
            ("ferromq_destination_messages", "gauge", "Messages held.", |count| count.held),
            ("ferromq_destination_in_flight", "gauge", "Messages with consumers.", |count| count.in_flight),
            ("ferromq_destination_enqueued_total", "counter", "Messages accepted.", |count| count.enqueued),
            ("ferromq_destination_acknowledged_total", "counter", "Messages consumed.", |count| {
                count.acknowledged
            }),
            ("ferromq_destination_consumers", "gauge", "Consumers.", |count| count.consumers),
        ];
        for (name, kind, help, part) in parts {
            self.head(name, kind, help);
            for count in shown {
                self.line(name, &[("destination", &count.name)], part(count));
            }
        }
        let left_out = destinations.len() - shown.len();
        let help = "Destinations without metrics, since there are too many.";
        self.single("ferromq_destinations_left_out", "gauge", help, left_out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::meters::Gauges;

    #[derive(Debug)]
    struct Still;

    impl Gauges for Still {
        fn connections(&self) -> u64 {
            2
        }

        fn sync(&self) -> Distribution {
            let buckets = vec![(Duration::from_millis(1), 3), (Duration::from_millis(2), 1)];
            Distribution { buckets, sum: Duration::from_micros(4_500) }
        }

        fn fence(&self) -> Distribution {
            Distribution::default()
        }

        fn fence_failures(&self) -> u64 {
            1
        }

        fn links(&self) -> Vec<LinkView> {
            let link = |connector: &str, up| LinkView {
                connector: connector.into(),
                remote: "tcp://b:61616".into(),
                up,
                forwarded: 12,
                longest_wait: Duration::from_millis(1_500),
                ..LinkView::default()
            };
            vec![link("east", true), link("west", false)]
        }
    }

    #[test]
    fn a_page_has_every_metric_once_and_escapes_names() {
        let mut view = RoleView::new("a\"b");
        view.role = Role::Active;
        view.epoch.number = 7;
        let meters = Meters::new(Arc::new(Still));
        let orders =
            DestinationCount { name: "queue://a\\b\n".into(), held: 3, ..DestinationCount::default() };
        let stream = |name: &str, linked| StreamCount {
            name: name.into(),
            linked,
            under_way: 5,
            without_room: vec!["queue://full".into()],
        };
        let streams = [stream("a>b/east", true), stream("a>c/west", false)];
        let page = render(&view, &meters, Some(&[orders]), Some(&streams));
        for line in [
            "ferromq_info{version=\"0.1.0\",node=\"a\\\"b\"} 1",
            "ferromq_role{role=\"active\"} 1",
            "ferromq_role{role=\"standby\"} 0",
            "ferromq_epoch 7",
            "ferromq_connections 2",
            "ferromq_fence_failures_total 1",
            "ferromq_links_down 1",
            "ferromq_link_up{connector=\"east\",remote=\"tcp://b:61616\",mirror=\"false\"} 1",
            "ferromq_link_up{connector=\"west\",remote=\"tcp://b:61616\",mirror=\"false\"} 0",
            "ferromq_link_forwarded_total{connector=\"east\",remote=\"tcp://b:61616\",mirror=\"false\"} 12",
            "ferromq_link_longest_wait_seconds{connector=\"east\",remote=\"tcp://b:61616\",mirror=\"false\"} 1.5",
            "ferromq_stream_under_way{stream=\"a>b/east\"} 5",
            "ferromq_stream_without_room{stream=\"a>b/east\"} 1",
            "ferromq_stream_held{stream=\"a>b/east\"} 0",
            "ferromq_stream_held{stream=\"a>c/west\"} 5",
            "ferromq_sync_seconds_bucket{le=\"0.001\"} 3",
            "ferromq_sync_seconds_bucket{le=\"0.002\"} 4",
            "ferromq_sync_seconds_bucket{le=\"+Inf\"} 4",
            "ferromq_sync_seconds_sum 0.0045",
            "ferromq_sync_seconds_count 4",
            "ferromq_fence_seconds_count 0",
            "ferromq_destination_messages{destination=\"queue://a\\\\b\\n\"} 3",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
        let mut heads: Vec<&str> = page.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = heads.len();
        heads.sort_unstable();
        heads.dedup();
        assert_eq!(heads.len(), all);
    }
}

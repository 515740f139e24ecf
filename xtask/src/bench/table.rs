//! The report: a table with ratios and a verdict for each target.

use std::fmt::Write as _;

use super::ceiling::Ceilings;
use super::load::Client;
use super::target::Flavour;
use super::{Measured, Report};

/// Broker CPU per message at most this part of ActiveMQ's.
const CPU_TARGET: f64 = 1.0 / 6.0;
/// Throughput at least so many times ActiveMQ's, or [`BOUND_SHARE`] of the row's bound if that is lower.
const RUST_TARGET: f64 = 4.0;
const JAVA_TARGET: f64 = 2.0;
const BOUND_SHARE: f64 = 0.8;
const RSS_TARGET: f64 = 1.0 / 15.0;
const START_TARGET: f64 = 1.0 / 20.0;

const LEGEND: &str = "
Rates are messages a second that consumers received (deliveries on topics). \"×\" is FerroMQ divided by ActiveMQ as it comes.
Bounds are of the same run: *disk* is messages per flush ÷ (`fdatasync` p50 + empty round trip), *client* is the same client
against a peer that answers everything and keeps nothing. Targets: throughput 4 × with the Rust client and 2 × with the Java
client, or 80 % of the lower bound; broker CPU per message 1/6; memory at rest 1/15; start 1/20.
CPU of the broker and of the client is in µs per message; ActiveMQ's figures stand in parentheses.

| row | client | FerroMQ /s | ActiveMQ /s | × | store first /s | × | bound /s | throughput | broker CPU | ratio | CPU target \
| client CPU | p50 ms | p99 ms | peak RSS MiB | lost/dup/err |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

pub fn render(report: &Report) -> String {
    let mut text = String::from(LEGEND);
    for ours in report.all.iter().filter(|m| m.flavour == Flavour::FerroMq) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{}", Line { ours, report }.text());
    }
    text.push_str(&extras(report));
    for failed in &report.failed {
        let (row, client, flavour) = (failed.row, failed.client.name(), failed.flavour.name());
        let _ = write!(text, "\nNo result: {row} with the {client} client on {flavour}: {}\n", failed.reason);
    }
    text
}

fn whole(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.0}"))
}

fn pair(ours: Option<f64>, theirs: Option<f64>, digits: usize) -> String {
    let text = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.digits$}"));
    format!("{} ({})", text(ours), text(theirs))
}

struct Line<'a> {
    ours: &'a Measured,
    report: &'a Report,
}

impl Line<'_> {
    fn other(&self, flavour: Flavour) -> Option<&Measured> {
        let same = |m: &&Measured| m.row.name == self.ours.row.name && m.client == self.ours.client;
        self.report.all.iter().filter(same).find(|m| m.flavour == flavour)
    }

    fn rate(&self, flavour: Flavour) -> Option<f64> {
        self.other(flavour).map(|m| m.outcome.per_second)
    }

    fn times(&self, flavour: Flavour) -> String {
        let ours = self.ours.outcome.per_second;
        self.rate(flavour).map_or("–".into(), |theirs| format!("{:.1}", ours / theirs))
    }

    /// The lower of disk and client, and which it is.
    fn bound(&self) -> Option<(f64, &'static str)> {
        let of_row = |(row, client, _): &&(&str, Client, Ceilings)| {
            *row == self.ours.row.name && *client == self.ours.client
        };
        let beside = self.report.beside.iter().find(of_row).map(|(.., ceilings)| ceilings);
        let disk = beside.and_then(|ceilings| ceilings.by_disk(self.ours.row)).map(|rate| (rate, "disk"));
        let client = self.rate(Flavour::Sink).map(|rate| (rate, "client"));
        match (disk, client) {
            (Some(disk), Some(client)) => Some(if disk.0 < client.0 { disk } else { client }),
            (one, other) => one.or(other),
        }
    }

    fn throughput(&self) -> String {
        let (Some(theirs), true) = (self.rate(Flavour::ActiveMq), self.ours.row.flood) else {
            return "–".into();
        };
        let factor = if self.ours.client == Client::Java { JAVA_TARGET } else { RUST_TARGET };
        verdict(self.ours.outcome.per_second, theirs * factor, self.bound())
    }

    fn text(&self) -> String {
        let o = &self.ours.outcome;
        let theirs = self.other(Flavour::ActiveMq).map(|m| &m.outcome);
        let cpu = theirs.map(|t| o.broker_cpu_us / t.broker_cpu_us);
        let verdict = cpu.map_or("–", |c| if c <= CPU_TARGET { "met" } else { "missed" });
        let bound = self.bound().map_or("–".into(), |(rate, by)| format!("{rate:.0} {by}"));
        let mib = |kib: u64| kib as f64 / 1024.0;
        let cells = [
            self.ours.row.name.to_owned(),
            self.ours.client.name().to_owned(),
            whole(Some(o.per_second)),
            whole(self.rate(Flavour::ActiveMq)),
            self.times(Flavour::ActiveMq),
            whole(self.rate(Flavour::ActiveMqStoreFirst)),
            self.times(Flavour::ActiveMqStoreFirst),
            bound,
            self.throughput(),
            pair(Some(o.broker_cpu_us), theirs.map(|t| t.broker_cpu_us), 1),
            cpu.map_or("–".into(), |c| format!("1/{:.1}", 1.0 / c)),
            verdict.to_owned(),
            pair(Some(o.client_cpu_us), theirs.map(|t| t.client_cpu_us), 1),
            pair(o.p50_ms, theirs.and_then(|t| t.p50_ms), 2),
            pair(o.p99_ms, theirs.and_then(|t| t.p99_ms), 2),
            pair(Some(mib(o.peak_rss_kib)), theirs.map(|t| mib(t.peak_rss_kib)), 0),
            format!("{}/{}/{}", o.lost, o.duplicated, o.errors),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

/// Whether a rate meets its target, or how much of its bound it reaches.
fn verdict(ours: f64, wanted: f64, bound: Option<(f64, &'static str)>) -> String {
    match bound {
        _ if ours >= wanted => "met".into(),
        // Noise of the machine: what was exceeded bounds nothing, and excuses nothing.
        Some((bound, by)) if ours > bound => format!("missed ({wanted:.0}; {by} bound exceeded, so unknown)"),
        Some((bound, by)) if ours >= bound * BOUND_SHARE => format!("bounded by {by}"),
        Some((bound, by)) if bound * BOUND_SHARE < wanted => {
            format!("missed ({:.0}, {by})", bound * BOUND_SHARE)
        }
        _ => format!("missed ({wanted:.0})"),
    }
}

/// Reads one number of a measurement.
type Figure = fn(&Measured) -> f64;

/// Start-up, memory at rest, backlog and idle connections.
fn extras(report: &Report) -> String {
    let mut text =
        String::from("\n| figure | FerroMQ | ActiveMQ | ratio | target |\n|---|---|---|---|---|\n");
    let mut add = |name: String, ours: Option<f64>, theirs: Option<f64>, target: Option<f64>| {
        let Some(ours) = ours else { return };
        let ratio = theirs.map(|theirs| ours / theirs);
        let verdict = match (ratio, target) {
            (Some(r), Some(t)) => format!("1/{:.0}: {}", 1.0 / t, if r <= t { "met" } else { "missed" }),
            _ => "–".to_owned(),
        };
        let (theirs, ratio) = (
            theirs.map_or("–".into(), |t| format!("{t:.1}")),
            ratio.map_or("–".into(), |r| {
                if r <= 1.0 { format!("1/{:.1}", 1.0 / r) } else { format!("{r:.1}") }
            }),
        );
        let _ = writeln!(text, "| {name} | {ours:.1} | {theirs} | {ratio} | {verdict} |");
    };
    let (us, them) = (Flavour::FerroMq, Flavour::ActiveMq);
    let median = |flavour, value: Figure| {
        let mut values: Vec<f64> = report.all.iter().filter(|m| m.flavour == flavour).map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let medians: [(&str, Figure, f64); 2] = [
        ("start to port open, empty store, ms (median)", |m| m.outcome.start_ms, START_TARGET),
        ("RSS at rest, MiB (median)", |m| m.outcome.rest_rss_kib as f64 / 1024.0, RSS_TARGET),
    ];
    for (name, figure, target) in medians {
        add(name.to_owned(), median(us, figure), median(them, figure), Some(target));
    }
    let singles: [(&str, &str, Figure, Option<f64>); 10] = [
        ("backlog", "fill, messages/s", |m| m.outcome.first_per_second.unwrap_or(0.0), None),
        (
            "backlog",
            "fill, broker CPU µs/msg",
            |m| m.outcome.first_broker_cpu_us.unwrap_or(0.0),
            Some(CPU_TARGET),
        ),
        ("backlog", "restart with it to port open, ms", |m| m.outcome.restart_ms, Some(START_TARGET)),
        ("backlog", "disk after the fill, MiB", |m| m.outcome.disk_bytes as f64 / 1048576.0, None),
        ("backlog", "peak RSS, MiB", |m| m.outcome.peak_rss_kib as f64 / 1024.0, None),
        ("spool", "fill, messages/s", |m| m.outcome.first_per_second.unwrap_or(0.0), None),
        (
            "spool",
            "fill, broker CPU µs/msg",
            |m| m.outcome.first_broker_cpu_us.unwrap_or(0.0),
            Some(CPU_TARGET),
        ),
        ("spool", "disk after the fill, MiB", |m| m.outcome.disk_bytes as f64 / 1048576.0, None),
        ("spool", "peak RSS, MiB", |m| m.outcome.peak_rss_kib as f64 / 1024.0, None),
        ("conns", "RSS while open, MiB", |m| m.outcome.loaded_rss_kib.unwrap_or(0) as f64 / 1024.0, None),
    ];
    for client in [Client::Java, Client::Rust] {
        for (row, name, figure, target) in singles {
            let value = |flavour| {
                let of = |m: &&Measured| m.row.name == row && m.flavour == flavour && m.client == client;
                report.all.iter().find(of).map(figure)
            };
            add(format!("{row}, {} client: {name}", client.name()), value(us), value(them), target);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_bound_excuses_only_who_comes_near_it() {
        assert_eq!(verdict(400.0, 400.0, Some((100.0, "disk"))), "met");
        assert_eq!(verdict(85.0, 400.0, Some((100.0, "disk"))), "bounded by disk");
        assert_eq!(verdict(70.0, 400.0, Some((100.0, "client"))), "missed (80, client)");
        assert_eq!(verdict(70.0, 75.0, Some((100.0, "client"))), "missed (75)");
        assert_eq!(
            verdict(300.0, 400.0, Some((100.0, "disk"))),
            "missed (400; disk bound exceeded, so unknown)"
        );
        assert_eq!(verdict(300.0, 400.0, None), "missed (400)");
    }
}

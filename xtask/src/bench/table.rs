//! The report: a table with ratios, and what misses its target.

use std::fmt::Write as _;

use super::Measured;
use super::ceiling::Ceilings;
use super::load::Client;
use super::target::Flavour;

/// Broker CPU per message at most this part of ActiveMQ's.
const CPU_TARGET: f64 = 1.0 / 6.0;
/// Throughput at least so many times ActiveMQ's, or [`BOUND_SHARE`] of the row's bound if that is lower.
const RUST_TARGET: f64 = 4.0;
const JAVA_TARGET: f64 = 2.0;
const BOUND_SHARE: f64 = 0.8;
const RSS_TARGET: f64 = 1.0 / 15.0;
const START_TARGET: f64 = 1.0 / 20.0;

pub fn render(all: &[Measured], ceilings: &Ceilings) -> String {
    let mut text = String::from(
        "\n| row | client | FerroMQ /s | ActiveMQ /s | × | ActiveMQ, store first /s | × | bound /s | target met \
         | p50 ms (ActiveMQ) | p99 ms (ActiveMQ) | broker µs/msg (ActiveMQ) | ratio | ≤ 1/6 | client µs/msg (ActiveMQ) \
         | peak RSS MiB (ActiveMQ) | lost/dup/err |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for ours in all.iter().filter(|m| m.flavour == Flavour::FerroMq) {
        // A rejected row must not break the table: writing to a String can't fail.
        let _ = writeln!(text, "{}", line(ours, all, ceilings));
    }
    text.push_str(&extras(all));
    text
}

fn line(ours: &Measured, all: &[Measured], ceilings: &Ceilings) -> String {
    let other = |flavour| {
        all.iter().find(|m| m.row.name == ours.row.name && m.client == ours.client && m.flavour == flavour)
    };
    let (plain, strict) = (other(Flavour::ActiveMq), other(Flavour::ActiveMqStoreFirst));
    let o = &ours.outcome;
    let rate = |m: Option<&Measured>| m.map_or("–".into(), |m| format!("{:.0}", m.outcome.per_second));
    let times = |m: Option<&Measured>| {
        m.map_or("–".into(), |m| format!("{:.1}", o.per_second / m.outcome.per_second))
    };
    let bound = ceilings.bound(ours.row, ours.client, o);
    let wanted = if ours.client == Client::Java { JAVA_TARGET } else { RUST_TARGET };
    let met = match plain {
        Some(theirs) if ours.row.flood => {
            let target =
                (theirs.outcome.per_second * wanted).min(bound.unwrap_or(f64::INFINITY) * BOUND_SHARE);
            if o.per_second >= target { "yes".to_owned() } else { format!("no ({target:.0})") }
        }
        _ => "–".to_owned(),
    };
    let pair = |ours: Option<f64>, theirs: Option<f64>| {
        format!(
            "{} ({})",
            ours.map_or("–".into(), |v| format!("{v:.2}")),
            theirs.map_or("–".into(), |v| format!("{v:.2}"))
        )
    };
    let theirs = plain.map(|m| &m.outcome);
    let cpu = theirs.map(|t| o.broker_cpu_us / t.broker_cpu_us);
    format!(
        "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {met} | {} | {} | {} | {} | {} | {} | {:.0} ({}) | {}/{}/{} |",
        ours.row.name,
        ours.client.name(),
        o.per_second,
        rate(plain),
        times(plain),
        rate(strict),
        times(strict),
        bound.map_or("–".into(), |b| format!("{b:.0}")),
        pair(o.p50_ms, theirs.and_then(|t| t.p50_ms)),
        pair(o.p99_ms, theirs.and_then(|t| t.p99_ms)),
        pair(Some(o.broker_cpu_us), theirs.map(|t| t.broker_cpu_us)),
        cpu.map_or("–".into(), |c| format!("1/{:.1}", 1.0 / c)),
        cpu.map_or("–", |c| if c <= CPU_TARGET { "yes" } else { "no" }),
        pair(Some(o.client_cpu_us), theirs.map(|t| t.client_cpu_us)),
        o.peak_rss_kib as f64 / 1024.0,
        theirs.map_or("–".into(), |t| format!("{:.0}", t.peak_rss_kib as f64 / 1024.0)),
        o.lost,
        o.duplicated,
        o.errors
    )
}

/// Reads one number of a measurement.
type Figure = fn(&Measured) -> f64;

/// Start-up, memory at rest, backlog and idle connections.
fn extras(all: &[Measured]) -> String {
    let median = |flavour, value: Figure| {
        let mut values: Vec<f64> = all.iter().filter(|m| m.flavour == flavour).map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let mut text =
        String::from("\n| figure | FerroMQ | ActiveMQ | ratio | target |\n|---|---|---|---|---|\n");
    let mut add = |name: &str, ours: Option<f64>, theirs: Option<f64>, target: Option<f64>| {
        let (Some(ours), theirs) = (ours, theirs) else { return };
        let ratio = theirs.map(|t| ours / t);
        let verdict = match (ratio, target) {
            (Some(r), Some(t)) => format!("1/{:.0}: {}", 1.0 / t, if r <= t { "yes" } else { "no" }),
            _ => "–".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {name} | {ours:.1} | {} | {} | {verdict} |",
            theirs.map_or("–".into(), |t| format!("{t:.1}")),
            ratio.map_or("–".into(), |r| format!("1/{:.1}", 1.0 / r))
        );
    };
    let (us, them) = (Flavour::FerroMq, Flavour::ActiveMq);
    let start: Figure = |m| m.outcome.start_ms;
    add(
        "start to port open, empty store, ms (median)",
        median(us, start),
        median(them, start),
        Some(START_TARGET),
    );
    let rest: Figure = |m| m.outcome.rest_rss_kib as f64 / 1024.0;
    add("RSS at rest, MiB (median)", median(us, rest), median(them, rest), Some(RSS_TARGET));
    for client in [Client::Java, Client::Rust] {
        let find = |row: &str, flavour| {
            all.iter().find(|m| m.row.name == row && m.flavour == flavour && m.client == client)
        };
        let value = |row, flavour, f: Figure| find(row, flavour).map(f);
        let figures: [(&str, &str, Figure, Option<f64>); 5] = [
            ("backlog", "fill, messages/s", |m| m.outcome.first_per_second.unwrap_or(0.0), None),
            (
                "backlog",
                "restart with the backlog to port open, ms",
                |m| m.outcome.restart_ms,
                Some(START_TARGET),
            ),
            ("backlog", "disk after the fill, MiB", |m| m.outcome.disk_bytes as f64 / 1048576.0, None),
            ("backlog", "peak RSS, MiB", |m| m.outcome.peak_rss_kib as f64 / 1024.0, None),
            (
                "conns",
                "RSS with the connections open, MiB",
                |m| m.outcome.loaded_rss_kib.unwrap_or(0) as f64 / 1024.0,
                None,
            ),
        ];
        for (row, name, f, target) in figures {
            add(
                &format!("{row}, {} client: {name}", client.name()),
                value(row, us, f),
                value(row, them, f),
                target,
            );
        }
    }
    text
}

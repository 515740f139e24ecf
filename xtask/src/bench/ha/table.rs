//! The page's tables: moments of takeovers, throughput of stores, the fence.

use std::fmt::Write as _;

use super::Report;
use super::rows::{Row, SERVING_TARGET};
use super::stores::{FENCE_TARGET, Throughput, WANTED};
use super::trial::{Moments, Takeovers};
use crate::bench::quantile;
use crate::cluster::StoreKind;

const TAKEOVERS: &str = "
## From kill -9 of the master to the first answered send

Milliseconds after the kill. Two stock Java clients send persistent messages of 1 KiB one after the other during all kills of a row:
one with `useExponentialBackOff=false&initialReconnectDelay=10`, for which the targets are, and one as it comes. FerroMQ runs with
`--takeover-after 500ms`. *Detected* is when the standby missed the master (only FerroMQ says so, and when it *claimed*); *serving* is when
it said that it was ready; *connected* and *answered* are the quick client's. Kills are spread over the interval at which a standby of
ActiveMQ looks for the lock. p99 of fewer than 100 kills is the longest. Lost and repeated are sums over both clients; unflagged are repetitions without
`JMSRedelivered`.

| row | store | kills | messages in it | detected p50 | claimed p50 | serving p50 / p99 | connected p50 | answered p50 / p99 | target | as it comes p50 / p99 \
| detection to serving p50 / p99 | ≤ 200 ms | answered / lost / repeated / unflagged / exceptions |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

const STORES: &str = "
## Throughput of the stores

Persistent messages of 1 KiB through FerroMQ alone, 16 producers and 16 consumers on one queue (`1q`) or on one each (`16q`). CPU in µs a
message. Commits are PostgreSQL's own count of transactions, of which each carries all that was under way; a commit is one sync of its log.

| store | workload | client | messages/s | broker CPU | database CPU | client CPU | commits/s | messages a commit | p50 ms | p99 ms | lost/dup/err |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

const FENCE: &str = "
## The fence

How long the question for a higher epoch takes after each sync (`ferromq_fence_seconds`), beside the sync itself (`ferromq_sync_seconds`), from
the broker's histograms over the runs above. A bucket is a factor of two wide; medians are interpolated in it. The target is for a folder on
a local disk; on PostgreSQL the question is the first statement of each transaction.

| store | workload | client | syncs | sync p50 µs | fence p50 µs | share | sync mean µs | fence mean µs | share | target |
|---|---|---|---|---|---|---|---|---|---|---|
";

// Writing into a string does not fail.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    if !report.takeovers.is_empty() {
        text.push_str(TAKEOVERS);
        for (row, takeovers) in &report.takeovers {
            let _ = writeln!(text, "{}", takeover_line(row, takeovers));
        }
    }
    if !report.throughput.is_empty() {
        text.push_str(STORES);
        for measured in &report.throughput {
            let _ = writeln!(text, "{}", store_line(measured));
        }
        text.push_str(&verdict_on_stores(&report.throughput));
        text.push_str(FENCE);
        for measured in &report.throughput {
            text.extend(fence_line(measured));
        }
    }
    for (row, takeovers) in &report.takeovers {
        if let Some(reason) = &takeovers.failed {
            let kills = takeovers.moments.len();
            let _ = write!(text, "\nRow {} ended after {kills} kills: {reason}\n", row.name);
        }
    }
    for (row, reason) in &report.failed {
        let _ = write!(text, "\nNo result: {row}: {reason}\n");
    }
    text.push('\n');
    text
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"))
}

fn met(holds: bool) -> &'static str {
    if holds { "met" } else { "missed" }
}

fn takeover_line(row: &Row, takeovers: &Takeovers) -> String {
    let of =
        |pick: fn(&Moments) -> Option<f64>, q: f64| quantile(takeovers.moments.iter().filter_map(pick), q);
    let both =
        |pick: fn(&Moments) -> Option<f64>| format!("{} / {}", shown(of(pick, 0.5)), shown(of(pick, 0.99)));
    let answered: fn(&Moments) -> Option<f64> = |moments| Some(moments.answered);
    let target = match (row.kind.targets(), of(answered, 0.5), of(answered, 0.99)) {
        (Some((median, tail)), Some(p50), Some(p99)) => {
            format!("{median:.0}: {}, {tail:.0}: {}", met(p50 <= median), met(p99 <= tail))
        }
        _ => "–".to_owned(),
    };
    let serving = match of(Moments::takeover, 0.99) {
        Some(longest) => met(longest <= SERVING_TARGET),
        None => "–",
    };
    let sums = &takeovers.sums;
    let cells = [
        row.name.to_owned(),
        row.about.to_owned(),
        takeovers.moments.len().to_string(),
        takeovers.backlog.to_string(),
        shown(of(|moments| moments.detected, 0.5)),
        shown(of(|moments| moments.claimed, 0.5)),
        both(|moments| Some(moments.serving)),
        shown(of(|moments| moments.connected, 0.5)),
        both(answered),
        target,
        both(|moments| moments.usual_answered),
        both(Moments::takeover),
        serving.to_owned(),
        format!(
            "{} / {} / {} / {} / {}",
            sums.answered, sums.lost, sums.repeated, sums.unflagged, takeovers.exceptions
        ),
    ];
    format!("| {} |", cells.join(" | "))
}

fn store_line(measured: &Throughput) -> String {
    let outcome = &measured.outcome;
    let one = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
    let commits = measured.database.map(|database| database.commits_per_second);
    let cells = [
        measured.store.name().to_owned(),
        measured.workload.to_owned(),
        measured.client.name().to_owned(),
        shown(Some(outcome.per_second)),
        one(Some(outcome.broker_cpu_us)),
        one(measured.database.map(|database| database.cpu_us / (outcome.per_second * database.seconds))),
        one(Some(outcome.client_cpu_us)),
        shown(commits),
        one(commits.filter(|commits| *commits > 0.0).map(|commits| outcome.per_second / commits)),
        outcome.p50_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}")),
        outcome.p99_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}")),
        format!("{}/{}/{}", outcome.lost, outcome.duplicated, outcome.errors),
    ];
    format!("| {} |", cells.join(" | "))
}

/// 10,000 a second on the database wherever the folder reaches them.
fn verdict_on_stores(all: &[Throughput]) -> String {
    use crate::cluster::StoreKind::{File, Postgres};
    let mut text = String::from("\n");
    for ours in all.iter().filter(|measured| measured.store == Postgres && measured.flood) {
        let same = |other: &&Throughput| {
            other.store == File && other.workload == ours.workload && other.client == ours.client
        };
        let Some(folder) = all.iter().find(same) else { continue };
        let verdict = match (folder.outcome.per_second >= WANTED, ours.outcome.per_second >= WANTED) {
            (_, true) => "met",
            (true, false) => "missed",
            (false, false) => "not asked, the folder does not reach it either",
        };
        let _ = writeln!(
            text,
            "* {WANTED:.0} a second on PostgreSQL, {} with the {} client: {verdict}.",
            ours.workload,
            ours.client.name()
        );
    }
    text
}

fn fence_line(measured: &Throughput) -> Option<String> {
    let (sync, fence) = (measured.sync.as_ref()?, measured.fence.as_ref()?);
    let (sync_p50, fence_p50) = (sync.median_us()?, fence.median_us()?);
    let share = fence_p50 / sync_p50;
    Some(format!(
        "| {} | {} | {} | {} | {sync_p50:.1} | {fence_p50:.2} | {:.1} % | {:.1} | {:.2} | {:.1} % | {} |\n",
        measured.store.name(),
        measured.workload,
        measured.client.name(),
        sync.count,
        share * 100.0,
        sync.mean_us()?,
        fence.mean_us()?,
        fence.mean_us()? / sync.mean_us()? * 100.0,
        match measured.store {
            StoreKind::File => format!("2 %: {}", met(share <= FENCE_TARGET)),
            StoreKind::Postgres => "–".to_owned(),
        }
    ))
}

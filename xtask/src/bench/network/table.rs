//! The page's table: a figure of both pairs, their ratio, the target.

use std::fmt::Write as _;

use super::{Bound, Figures, Outcome};
use crate::bench::quantile;
use crate::cluster::net::Kind;

/// Of ActiveMQ's rate with 16 producers.
const RATE_TARGET: f64 = 8.0;
/// Of the bound of two flushes one after the other, with one producer.
const BOUND_SHARE: f64 = 0.8;
/// What a link adds at most, in the median, in milliseconds; and of ActiveMQ's 99th percentile.
const ADDED_MS: f64 = 1.0;
const TAIL_SHARE: f64 = 0.25;
const RESTORED_MS: f64 = 1_000.0;
/// Of a core.
const DEMAND_SHARE: f64 = 0.1;

const LEGEND: &str = "
Two brokers on this machine, a one-way connector from a to b, fresh stores; persistent messages of 1 KiB, the stock Java client with producers
at a and consumers at b. *Added* is the latency over the link less that within one broker, at 200 messages a second each, the median of three rounds in which all pairs
take turns. As it comes ActiveMQ hands a message out before it is stored, and so over the link; FerroMQ never does, nor does the ActiveMQ of
the *store first* rows. *Restored* is
from the moment at which a relay lets connections through again to the first message that arrives; both connectors try again after 100 ms.
*Demand*: 500 consumers a second come to b and go at once, each on one of a hundred queues, which is 1,000 changes of demand a second.
The bound of two flushes is 1 ÷ 2 × (writing and syncing 4 KiB + a persistent message of the same client to a peer that only answers).

| figure | FerroMQ | ActiveMQ | ratio | target |
|---|---|---|---|---|
";

pub(super) const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => "FerroMQ",
        Kind::Theirs => "ActiveMQ",
    }
}

/// Two digits behind the point, and of what is small two that count.
fn significant(ratio: f64) -> String {
    let zeros = if ratio > 0.0 { -ratio.log10().floor() } else { 0.0 };
    let digits = if (1.0..=9.0).contains(&zeros) { zeros as usize + 1 } else { 2 };
    format!("{ratio:.digits$}")
}

/// Reads one number of a pair.
type Figure<'a> = &'a dyn Fn(&Figures) -> Option<f64>;

/// What is made of a quantile within one broker and the same over the link.
type Part = fn(Option<f64>, Option<f64>) -> Option<f64>;

/// The median over all rounds.
fn median(rounds: &[[Outcome; 2]], of: fn(&Outcome) -> Option<f64>, part: Part) -> Option<f64> {
    quantile(rounds.iter().filter_map(|[local, linked]| part(of(local), of(linked))), 0.5)
}

// Writing into a string does not fail.
pub(super) fn render(all: &[(Kind, Figures)], bound: Bound) -> String {
    let of = |kind| all.iter().find(|(other, _)| *other == kind).map(|(_, figures)| figures);
    let (us, them) = (of(Kind::Ours), of(Kind::Theirs));
    let mut text = String::from(LEGEND);
    let mut add =
        |figure: &str, digits: usize, read: Figure<'_>, target: &dyn Fn(f64, Option<f64>) -> String| {
            let (ours, theirs) = (us.and_then(read), them.and_then(read));
            let Some(value) = ours else { return };
            let shown = |value: Option<f64>| {
                value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
            };
            let ratio = theirs.filter(|theirs| *theirs > 0.0);
            let ratio = ratio.map_or_else(|| "–".to_owned(), |theirs| significant(value / theirs));
            let _ = writeln!(
                text,
                "| {figure} | {} | {} | {ratio} | {} |",
                shown(ours),
                shown(theirs),
                target(value, theirs)
            );
        };
    let none = |_: f64, _: Option<f64>| "–".to_owned();
    let flushes = bound.per_second();
    for name in ["forwarded-16", "forwarded-1"] {
        let row = |figures: &Figures| figures.forwarded.iter().position(|(other, ..)| *other == name);
        let outcome = |figures: &Figures| {
            figures.forwarded.get(row(figures)?).map(|(_, outcome, cpu)| {
                (outcome.per_second, *cpu, outcome.lost + outcome.duplicated, outcome.p50_ms, outcome.p99_ms)
            })
        };
        let target = |ours: f64, theirs: Option<f64>| {
            if name == "forwarded-16" {
                theirs.map_or_else(
                    || "–".to_owned(),
                    |theirs| format!("{RATE_TARGET:.0} ×: {}", met(ours >= theirs * RATE_TARGET)),
                )
            } else {
                let wanted = flushes * BOUND_SHARE;
                format!("{wanted:.0} (80 % of two flushes): {}", met(ours >= wanted))
            }
        };
        add(&format!("{name}: messages/s"), 0, &|figures| outcome(figures).map(|row| row.0), &target);
        add(
            &format!("{name}: CPU of a, µs/msg"),
            1,
            &|figures| outcome(figures).map(|row| row.1.here_us),
            &none,
        );
        add(
            &format!("{name}: CPU of b, µs/msg"),
            1,
            &|figures| outcome(figures).map(|row| row.1.there_us),
            &none,
        );
        add(&format!("{name}: latency p50, ms"), 2, &|figures| outcome(figures).and_then(|row| row.3), &none);
        add(&format!("{name}: latency p99, ms"), 2, &|figures| outcome(figures).and_then(|row| row.4), &none);
        add(
            &format!("{name}: lost and duplicated"),
            0,
            &|figures| outcome(figures).map(|row| row.2 as f64),
            &none,
        );
    }
    let quarter = |ours: f64, theirs: Option<f64>| {
        theirs.map_or_else(|| "–".to_owned(), |theirs| format!("1/4: {}", met(ours <= theirs * TAIL_SHARE)))
    };
    let within = |outcome: Option<f64>, _: Option<f64>| outcome;
    let over = |_: Option<f64>, outcome: Option<f64>| outcome;
    let added = |local: Option<f64>, linked: Option<f64>| Some(linked? - local?);
    let p50 = |outcome: &Outcome| outcome.p50_ms;
    let p99 = |outcome: &Outcome| outcome.p99_ms;
    let comes = |figures: &Figures, of: fn(&Outcome) -> Option<f64>, what: Part| {
        median(&figures.latency.as_it_comes, of, what)
    };
    add("latency within one broker p50, ms", 2, &|figures| comes(figures, p50, within), &none);
    add("latency over the link p50, ms", 2, &|figures| comes(figures, p50, over), &none);
    add("added by the link p50, ms", 2, &|figures| comes(figures, p50, added), &|ours, _| {
        format!("{ADDED_MS:.0} ms: {}", met(ours <= ADDED_MS))
    });
    add("latency within one broker p99, ms", 2, &|figures| comes(figures, p99, within), &none);
    add("latency over the link p99, ms", 2, &|figures| comes(figures, p99, over), &none);
    add("added by the link p99, ms", 2, &|figures| comes(figures, p99, added), &quarter);
    // FerroMQ always stores first.
    let first = |figures: &Figures, of: fn(&Outcome) -> Option<f64>, what: Part| {
        median(&figures.latency.store_first, of, what).or_else(|| comes(figures, of, what))
    };
    add("store first: over the link p99, ms", 2, &|figures| first(figures, p99, over), &none);
    add("store first: added by the link p50, ms", 2, &|figures| first(figures, p50, added), &none);
    add("store first: added by the link p99, ms", 2, &|figures| first(figures, p99, added), &quarter);
    let restored = |figures: &Figures, q: f64| quantile(figures.restored_ms.iter().copied(), q);
    add("restored p50, ms", 0, &|figures| restored(figures, 0.5), &none);
    add("restored, longest, ms", 0, &|figures| restored(figures, 1.0), &|ours, _| {
        format!("1 s: {}", met(ours <= RESTORED_MS))
    });
    add("demand: changes/s", 0, &|figures| figures.demand.map(|demand| demand.changes_per_second), &none);
    add(
        "demand: CPU of the neighbour, % of a core",
        1,
        &|figures| figures.demand.map(|demand| demand.neighbour * 100.0),
        &|ours, _| format!("10 %: {}", met(ours <= DEMAND_SHARE * 100.0)),
    );
    add(
        "demand: CPU of the broker with the consumers, % of a core",
        1,
        &|figures| figures.demand.map(|demand| demand.own * 100.0),
        &none,
    );
    for (kind, figures) in all {
        for (row, reason) in &figures.failed {
            let _ = write!(text, "\nNo result: {row} with {}: {reason}\n", name(*kind));
        }
    }
    text.push('\n');
    text
}

fn met(holds: bool) -> &'static str {
    if holds { "met" } else { "missed" }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn a_small_ratio_is_not_nothing() {
        for (ratio, shown) in [
            (12.917, "12.92"),
            (0.5, "0.50"),
            (0.24, "0.24"),
            (0.0477, "0.048"),
            (0.001504, "0.0015"),
            (0.0, "0.00"),
        ] {
            assert_eq!(significant(ratio), shown);
        }
    }
}

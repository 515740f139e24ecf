//! The page's table: a figure of both pairs, their ratio, the target.

use std::fmt::Write as _;

use super::{Bound, Figures, Forwarded, Outcome};
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
at a and consumers at b. *Added* is the latency over the link less that within one broker under the same load: in the rows *forwarded*, producers that
send as fast as they are answered (16 of them leave the processors no room); in the rows *200/s*, a fixed rate, the median of five rounds in which all pairs
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

/// What is wanted of a figure, beside ActiveMQ's, and whether it holds.
type Target<'a> = &'a dyn Fn(f64, Option<f64>) -> String;

/// What is made of a quantile within one broker and the same over the link.
type Part = fn(Option<f64>, Option<f64>) -> Option<f64>;

/// The rows so far.
struct Table<'a> {
    us: Option<&'a Figures>,
    them: Option<&'a Figures>,
    text: String,
}

impl Table<'_> {
    fn plain(&mut self, figure: &str, digits: usize, read: Figure<'_>) {
        self.wanted(figure, digits, read, &|_, _| "–".to_owned());
    }

    // Writing into a string does not fail.
    fn wanted(&mut self, figure: &str, digits: usize, read: Figure<'_>, target: Target<'_>) {
        let (ours, theirs) = (self.us.and_then(read), self.them.and_then(read));
        let Some(value) = ours else { return };
        let shown =
            |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"));
        let ratio = theirs.filter(|theirs| *theirs > 0.0);
        let ratio = ratio.map_or_else(|| "–".to_owned(), |theirs| significant(value / theirs));
        let _ = writeln!(
            self.text,
            "| {figure} | {} | {} | {ratio} | {} |",
            shown(ours),
            shown(theirs),
            target(value, theirs)
        );
    }

    /// Both quantiles of a load: within one broker, over the link, and what that adds.
    fn latency(&mut self, load: &str, read: impl Fn(&Figures, Quantile, Part) -> Option<f64>) {
        for (quantile, shown) in [(P50, "p50"), (P99, "p99")] {
            let row = |part: &str| format!("{load}: latency {part} {shown}, ms");
            self.plain(&row("within one broker"), 2, &|figures| read(figures, quantile, within));
            self.plain(&row("over the link"), 2, &|figures| read(figures, quantile, over));
            let target: Target<'_> = if shown == "p50" { &at_most_added } else { &at_most_a_quarter };
            self.wanted(
                &format!("{load}: added by the link {shown}, ms"),
                2,
                &|figures| read(figures, quantile, added),
                target,
            );
        }
    }
}

type Quantile = fn(&Outcome) -> Option<f64>;

const P50: Quantile = |outcome| outcome.p50_ms;
const P99: Quantile = |outcome| outcome.p99_ms;

const fn within(local: Option<f64>, _: Option<f64>) -> Option<f64> {
    local
}

const fn over(_: Option<f64>, linked: Option<f64>) -> Option<f64> {
    linked
}

fn added(local: Option<f64>, linked: Option<f64>) -> Option<f64> {
    Some(linked? - local?)
}

fn at_most_added(ours: f64, _: Option<f64>) -> String {
    format!("{ADDED_MS:.0} ms: {}", met(ours <= ADDED_MS))
}

fn at_most_a_quarter(ours: f64, theirs: Option<f64>) -> String {
    theirs.map_or_else(|| "–".to_owned(), |theirs| format!("1/4: {}", met(ours <= theirs * TAIL_SHARE)))
}

/// The median over all rounds.
fn median(rounds: &[[Outcome; 2]], of: Quantile, part: Part) -> Option<f64> {
    quantile(rounds.iter().filter_map(|[local, linked]| part(of(local), of(linked))), 0.5)
}

pub(super) fn render(all: &[(Kind, Figures)], bound: Bound) -> String {
    let of = |kind| all.iter().find(|(other, _)| *other == kind).map(|(_, figures)| figures);
    let mut table = Table { us: of(Kind::Ours), them: of(Kind::Theirs), text: String::from(LEGEND) };
    forwarded(&mut table, bound);
    table.latency("200/s", |figures, of, part| median(&figures.latency.as_it_comes, of, part));
    // FerroMQ always stores first.
    table.latency("200/s, store first", |figures, of, part| {
        median(&figures.latency.store_first, of, part)
            .or_else(|| median(&figures.latency.as_it_comes, of, part))
    });
    let restored = |figures: &Figures, q: f64| quantile(figures.restored_ms.iter().copied(), q);
    table.plain("restored p50, ms", 0, &|figures| restored(figures, 0.5));
    table.wanted("restored, longest, ms", 0, &|figures| restored(figures, 1.0), &|ours, _| {
        format!("1 s: {}", met(ours <= RESTORED_MS))
    });
    table.plain("demand: changes/s", 0, &|figures| figures.demand.map(|demand| demand.changes_per_second));
    table.wanted(
        "demand: CPU of the neighbour, % of a core",
        1,
        &|figures| figures.demand.map(|demand| demand.neighbour * 100.0),
        &|ours, _| format!("10 %: {}", met(ours <= DEMAND_SHARE * 100.0)),
    );
    table.plain("demand: CPU of the broker with the consumers, % of a core", 1, &|figures| {
        figures.demand.map(|demand| demand.own * 100.0)
    });
    let mut text = table.text;
    for (kind, figures) in all {
        for (row, reason) in &figures.failed {
            let _ = write!(text, "\nNo result: {row} with {}: {reason}\n", name(*kind));
        }
    }
    text.push('\n');
    text
}

/// The rows of producers that send as fast as they are answered.
fn forwarded(table: &mut Table<'_>, bound: Bound) {
    for row in ["forwarded-16", "forwarded-1"] {
        let of = |figures: &Figures, read: fn(&Forwarded) -> f64| {
            figures.forwarded.iter().find(|forwarded| forwarded.row == row).map(read)
        };
        let wanted = bound.per_second() * BOUND_SHARE;
        let target: Target<'_> = if row == "forwarded-16" {
            &|ours, theirs| {
                theirs.map_or_else(
                    || "–".to_owned(),
                    |theirs| format!("{RATE_TARGET:.0} ×: {}", met(ours >= theirs * RATE_TARGET)),
                )
            }
        } else {
            &|ours, _| format!("{wanted:.0} (80 % of two flushes): {}", met(ours >= wanted))
        };
        let rate = |figures: &Figures| of(figures, |forwarded| forwarded.linked.per_second);
        table.wanted(&format!("{row}: messages/s"), 0, &rate, target);
        table.plain(&format!("{row}: CPU of a, µs/msg"), 1, &|figures| of(figures, |f| f.cpu.here_us));
        table.plain(&format!("{row}: CPU of b, µs/msg"), 1, &|figures| of(figures, |f| f.cpu.there_us));
        table.latency(row, |figures, quantile, part| {
            let forwarded = figures.forwarded.iter().find(|forwarded| forwarded.row == row)?;
            part(quantile(&forwarded.local), quantile(&forwarded.linked))
        });
        table.plain(&format!("{row}: lost and duplicated"), 0, &|figures| {
            of(figures, |f| (f.linked.lost + f.linked.duplicated) as f64)
        });
    }
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

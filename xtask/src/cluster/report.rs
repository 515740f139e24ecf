//! The report of a scenario: a table, and a timeline of throughput, roles and faults as a picture.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::load::Tick;
use super::node::{Micros, Node, Role};
use super::stage::Stage;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 20.0;
/// Of a text of 12, on average, and rather more than less.
const GLYPH: f64 = 6.4;
const LINE: f64 = 15.0;
const CAPTION_ROWS: usize = 4;
const CHART: f64 = 180.0;
const ROW: f64 = 26.0;

/// Prints what was measured.
pub(crate) fn table(stage: &Stage) {
    if stage.outages.is_empty() {
        return;
    }
    println!("\n{:<58} {:>12} {:>14} {:>12}", "fault", "serving", "first answer", "pause");
    for (what, gap, since) in &stage.outages {
        let served = stage
            .cluster
            .nodes
            .iter()
            .flat_map(super::node::Node::changes)
            .filter(|change| change.role == Role::Active && change.at > *since && change.at <= gap.first)
            .map(|change| change.at)
            .min();
        let millis =
            |until: Micros, from: Micros| format!("{:.0} ms", (until.saturating_sub(from)) as f64 / 1e3);
        println!(
            "{what:<58} {:>12} {:>14} {:>12}",
            served.map_or_else(|| "-".to_owned(), |at| millis(at, *since)),
            millis(gap.first, *since),
            millis(gap.first, gap.last)
        );
    }
}

/// What a timeline shows.
pub(crate) struct Timeline<'a> {
    pub(crate) title: &'a str,
    /// What happens, in a sentence.
    pub(crate) about: &'a str,
    pub(crate) ticks: &'a [Tick],
    pub(crate) nodes: Vec<&'a Node>,
    /// What was done, and when.
    pub(crate) marks: &'a [(Micros, String)],
    /// What clients noticed.
    pub(crate) events: &'a [(Micros, String)],
}

/// Writes the timeline; where it is.
pub(crate) fn timeline(shown: &Timeline<'_>, folder: &Path, name: &str) -> Result<PathBuf> {
    let Timeline { title, about, ticks, nodes, marks, events } = shown;
    let begin = ticks.first().map_or(0, |tick| tick.at);
    let end = ticks.last().map_or(1, |tick| tick.at).max(begin + 1);
    let x = |at: Micros| {
        let share = (at.clamp(begin, end) - begin) as f64 / (end - begin) as f64;
        LEFT + share * (RIGHT - LEFT)
    };
    let rates = rates(ticks);
    let top = rates.iter().map(|(_, answered, came)| answered.max(*came)).fold(1.0, f64::max);
    let about = wrapped(about, ((RIGHT - LEFT) / GLYPH) as usize);
    let chart = 66.0 + LINE * about.len() as f64;
    let y = |rate: f64| chart + CHART - rate / top * CHART;
    let first_row = chart + CHART + 24.0;
    let bottom = first_row + ROW * nodes.len() as f64;
    let (captions, rows) = captions(marks, x);
    let height = bottom + LINE * rows as f64 + 36.0;

    let mut svg = String::new();
    write!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{}</text>
"##,
        escaped(title)
    )?;
    for (number, line) in about.iter().enumerate() {
        let y = 46.0 + LINE * number as f64;
        writeln!(svg, r#"<text x="{LEFT}" y="{y}">{}</text>"#, escaped(line))?;
    }
    writeln!(
        svg,
        r##"<text x="{LEFT}" y="{}" fill="#555">messages a second: <tspan fill="#1f6fb2">answered sends</tspan>, <tspan fill="#d9822b">first deliveries</tspan></text>"##,
        chart - 14.0
    )?;
    for share in [0.0, 0.5, 1.0] {
        let line = y(top * share);
        writeln!(
            svg,
            r##"<line x1="{LEFT}" x2="{}" y1="{line:.1}" y2="{line:.1}" stroke="#ddd"/><text x="{}" y="{:.1}" text-anchor="end" fill="#555">{:.0}</text>"##,
            RIGHT,
            LEFT - 6.0,
            line + 4.0,
            top * share
        )?;
    }
    for (color, pick) in [("#d9822b", 1), ("#1f6fb2", 0)] {
        let points: Vec<String> = rates
            .iter()
            .map(|(at, answered, came)| {
                format!("{:.1},{:.1}", x(*at), y(if pick == 0 { *answered } else { *came }))
            })
            .collect();
        writeln!(
            svg,
            r#"<polyline fill="none" stroke="{color}" stroke-width="1.2" points="{}"/>"#,
            points.join(" ")
        )?;
    }
    for (index, node) in nodes.iter().enumerate() {
        let top = first_row + ROW * index as f64;
        writeln!(
            svg,
            r#"<text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 8.0,
            top + 14.0,
            escaped(&node.name)
        )?;
        let changes = node.changes();
        for (position, change) in changes.iter().enumerate() {
            let until = changes.get(position + 1).map_or(end, |next| next.at);
            let (from, to) = (x(change.at), x(until));
            let color = match change.role {
                Role::Active => "#2e8540",
                Role::Standby => "#9bc9a5",
                Role::Starting => "#f2c94c",
                Role::Down => "#e0e0e0",
            };
            if to > from {
                writeln!(
                    svg,
                    r#"<rect x="{from:.1}" y="{top:.1}" width="{:.1}" height="18" fill="{color}"><title>{}</title></rect>"#,
                    to - from,
                    escaped(if change.line.is_empty() { change.role.name() } else { &change.line })
                )?;
            }
        }
    }
    for (at, what) in marks.iter().chain(events.iter()) {
        let line = x(*at);
        let fault = !what.starts_with("exception") && !what.starts_with("in doubt");
        let color = if fault { "#b3261e" } else { "#7b3fa0" };
        writeln!(
            svg,
            r#"<line x1="{line:.1}" x2="{line:.1}" y1="{:.1}" y2="{bottom:.1}" stroke="{color}" stroke-dasharray="3 3"><title>{}</title></line>"#,
            chart - 4.0,
            escaped(what)
        )?;
    }
    for caption in &captions {
        let anchor = if caption.leftwards { r#" text-anchor="end""# } else { "" };
        writeln!(
            svg,
            r##"<text x="{:.1}" y="{:.1}"{anchor} fill="#b3261e" font-size="11">{}</text>"##,
            caption.x,
            bottom + 14.0 + LINE * caption.row as f64,
            escaped(caption.text)
        )?;
    }
    let seconds = (end - begin) as f64 / 1e6;
    writeln!(
        svg,
        r##"<text x="{LEFT}" y="{:.1}" fill="#555">{seconds:.1} s; green: active, light: standby, yellow: starting or taking over, grey: down</text></svg>"##,
        height - 8.0
    )?;
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{name}.svg"));
    fs::write(&path, svg)?;
    Ok(path)
}

/// Messages a second around each tick, over four ticks so that the line can be read.
fn rates(ticks: &[Tick]) -> Vec<(Micros, f64, f64)> {
    ticks
        .windows(5)
        .filter_map(|window| {
            let (first, last) = (window.first()?, window.last()?);
            let seconds = last.at.saturating_sub(first.at).max(1) as f64 / 1e6;
            let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
            Some((last.at, rate(first.answered, last.answered), rate(first.came, last.came)))
        })
        .collect()
}

/// A text below the line of what was done.
struct Caption<'a> {
    x: f64,
    row: usize,
    /// It ends at its line, since it would run over the edge if it began there.
    leftwards: bool,
    text: &'a str,
}

/// As many captions as fit in a few rows, and how many rows that takes; what fits in none is told by its line's title.
fn captions<'a>(marks: &'a [(Micros, String)], x: impl Fn(Micros) -> f64) -> (Vec<Caption<'a>>, usize) {
    let mut taken: [Vec<(f64, f64)>; CAPTION_ROWS] = Default::default();
    let mut captions = Vec::new();
    for (at, text) in marks {
        let line = x(*at);
        let wide = text.chars().count() as f64 * GLYPH;
        let leftwards = line + wide > RIGHT + 14.0;
        let (from, to) =
            if leftwards { (line - 2.0 - wide, line - 2.0) } else { (line + 2.0, line + 2.0 + wide) };
        let free =
            |row: &Vec<(f64, f64)>| row.iter().all(|(begin, end)| to + 6.0 < *begin || end + 6.0 < from);
        if from > 0.0
            && let Some(row) = taken.iter().position(free)
        {
            if let Some(row) = taken.get_mut(row) {
                row.push((from, to));
            }
            captions.push(Caption { x: if leftwards { to } else { from }, row, leftwards, text });
        }
    }
    let rows = taken.iter().filter(|row| !row.is_empty()).count();
    (captions, rows)
}

/// Lines of so many characters at most, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_stay_within_the_picture_and_apart() {
        let marks: Vec<_> = [(10, "kill -9 a"), (20, "start a"), (990, "a long word at the edge")]
            .map(|(at, text)| (at, text.to_owned()))
            .to_vec();
        let (captions, rows) = captions(&marks, |at| at as f64);
        let found: Vec<_> = captions.iter().map(|caption| (caption.row, caption.leftwards)).collect();
        assert_eq!((found.as_slice(), rows), ([(0, false), (1, false), (0, true)].as_slice(), 2));
    }

    #[test]
    fn a_long_sentence_is_broken_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("indivisible", 3), ["indivisible"]);
    }

    #[test]
    fn rates_are_those_of_the_last_ticks() {
        let ticks: Vec<Tick> =
            (0..6).map(|n| Tick { at: n * 50_000, answered: n * 10, came: n * 5 }).collect();
        let rates = rates(&ticks);
        assert_eq!(rates.len(), 2);
        assert!(
            rates
                .iter()
                .all(|(_, answered, came)| (answered - 200.0).abs() < 1e-6 && (came - 100.0).abs() < 1e-6)
        );
    }
}

//! What the documents say exists: linked files, Java checks and Rust tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cluster::is_scenario;
use crate::workspace::root;

/// Where the Java checks are.
const CHECKS: &str = "tests/interop/java/client/interop";

/// The document whose tables end with the tests that show a row.
const COMPATIBILITY: &str = "docs/COMPATIBILITY.md";

/// What stands in that column where nothing shows it.
const NO_TEST: &str = "no test yet";

/// The same where there is nothing to show.
const NOTHING: &str = "–";

/// Checks the links of README and `docs`, and the tests that they name.
pub(super) fn check(problems: &mut Vec<String>) -> anyhow::Result<()> {
    let suite = Suite::read(&root().join(CHECKS))?;
    for file in documents()? {
        let path = root().join(&file);
        let text = fs::read_to_string(&path).with_context(|| file.display().to_string())?;
        let folder = path.parent().unwrap_or(&path);
        for (number, line) in prose(&text) {
            let place = format!("{}:{number}", file.display());
            for target in links(line) {
                if !folder.join(target).exists() {
                    problems.push(format!("{place}: the link {target} leads nowhere"));
                }
            }
            for test in spans(line).filter(|span| span.contains(".rs::")) {
                problems.extend(rust_test(test).err().map(|why| format!("{place}: {why}")));
            }
            if file == Path::new(COMPATIBILITY) {
                problems.extend(evidence(line, &suite).into_iter().map(|why| format!("{place}: {why}")));
            }
        }
    }
    Ok(())
}

fn documents() -> anyhow::Result<Vec<PathBuf>> {
    let mut files = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(root().join("docs")).context("docs")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path.strip_prefix(root())?.to_path_buf());
        }
    }
    files.sort();
    Ok(files)
}

/// The numbered lines outside of fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// Targets of links to files, without anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split_once(')')?.0;
        let file = target.split('#').next().unwrap_or_default();
        (!file.is_empty() && !target.contains("://")).then_some(file)
    })
}

/// What stands between backticks.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// What is wrong with the last cell of a table's row.
fn evidence(line: &str, suite: &Suite) -> Vec<String> {
    let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
    let Some(cell) = cells.last().filter(|_| line.starts_with('|') && cells.len() > 1) else {
        return Vec::new();
    };
    let heading = cell.starts_with("---") || *cell == "test";
    if heading {
        return Vec::new();
    }
    let unbuilt = cells.iter().any(|cell| cell.starts_with("not yet"));
    if *cell == NOTHING && unbuilt {
        return Vec::new();
    }
    let mut named = spans(cell).peekable();
    if named.peek().is_none() && !cell.contains(NO_TEST) {
        return vec![format!("a row without a test; name one, or write \"{NO_TEST}\"")];
    }
    named.filter_map(|name| known(name, suite).err()).collect()
}

fn known(name: &str, suite: &Suite) -> Result<(), String> {
    if name.contains(".rs::") {
        return rust_test(name);
    }
    if name.contains('/') {
        return if root().join(name).exists() { Ok(()) } else { Err(format!("there is no file {name}")) };
    }
    if suite.has(name) || is_scenario(name) {
        Ok(())
    } else {
        Err(format!("no Java check and no scenario of clusters is named {name}"))
    }
}

/// `path/file.rs::function`.
fn rust_test(name: &str) -> Result<(), String> {
    let Some((file, function)) = name.split_once("::") else { return Ok(()) };
    let text = fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))?;
    let found = text.contains(&format!("fn {function}("));
    if found { Ok(()) } else { Err(format!("{file} has no test {function}")) }
}

/// The names of the Java checks, area by area; a name that is put together is kept as its fixed parts.
struct Suite {
    areas: BTreeMap<String, Vec<Vec<String>>>,
}

impl Suite {
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let read =
            |file: &Path| fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
        let index = read(&folder.join("Suite.java"))?;
        let mut areas = BTreeMap::new();
        for part in index.split("suite.area(\"").skip(1) {
            let (area, rest) = part.split_once('"').context("an area's name")?;
            let class = rest.split(';').nth(1).and_then(|call| call.split('.').next()).context("a class")?;
            let checks = read(&folder.join(format!("{}.java", class.trim())))?;
            areas.insert(area.to_owned(), names(&checks));
        }
        anyhow::ensure!(!areas.is_empty(), "{}: no areas", folder.display());
        Ok(Self { areas })
    }

    fn has(&self, id: &str) -> bool {
        let Some((area, name)) = id.split_once('.') else { return false };
        self.areas.get(area).is_some_and(|checks| checks.iter().any(|parts| fits(name, parts)))
    }
}

/// The names in calls such as `s.check("…", t -> …` and `s.since(600, "a " + kind + " b", t -> …`.
fn names(java: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for call in ["s.check(", "s.slow(", "s.better(", "s.since("] {
        for rest in java.split(call).skip(1) {
            let Some(quote) = rest.find('"') else { continue };
            let mut parts = Vec::new();
            let mut fixed = true;
            for (index, piece) in rest[quote..].split('"').enumerate().skip(1) {
                if index % 2 == 1 {
                    parts.push(piece.to_owned());
                } else if !piece.trim_start().starts_with('+') {
                    break;
                } else {
                    // What follows the last `+` may be a variable that ends the name.
                    fixed = piece.trim_end().ends_with('+') && !piece.contains(", ");
                    if !fixed {
                        break;
                    }
                }
            }
            if !fixed {
                parts.push(String::new());
            }
            found.push(parts);
        }
    }
    found
}

/// Whether `name` begins with the first part, ends with the last, and has the others between in order.
fn fits(name: &str, parts: &[String]) -> bool {
    let [first, rest @ ..] = parts else { return false };
    let Some(mut left) = name.strip_prefix(first.as_str()) else { return false };
    let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
    for part in middle {
        let Some(at) = left.find(part.as_str()) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_and_others_left_alone() {
        let line = "see [a](x/y.md#z), [b](https://example.org), [c](#here) and [d](../w.rs)";
        assert_eq!(links(line).collect::<Vec<_>>(), ["x/y.md", "../w.rs"]);
    }

    #[test]
    fn fenced_blocks_are_no_prose() {
        let numbers: Vec<usize> = prose("a\n```\nb\n```\nc").map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 5]);
    }

    #[test]
    fn names_of_checks_may_be_put_together() {
        let java = r#"s.check("one", t -> { x("no"); });
            s.since(600, "a " + kind + " goes", t -> {});
            s.slow("many", 30, t -> {});
            s.check("bytes of " + size, t -> {});"#;
        let found = names(java);
        let has = |name: &str| found.iter().any(|parts| fits(name, parts));
        assert!(has("one") && has("a queue goes") && has("many") && has("bytes of 10"));
        assert!(!has("no") && !has("one more") && !has("a queue stays") && !has("man"));
    }

    #[test]
    fn a_row_names_its_test_or_says_that_there_is_none() {
        let suite = Suite { areas: BTreeMap::from([("queue".to_owned(), vec![vec!["order".to_owned()]])]) };
        let wrong = |line: &str| evidence(line, &suite).len();
        assert_eq!(wrong("| a | b | `queue.order` |"), 0);
        assert_eq!(wrong("| a | b | no test yet |"), 0);
        assert_eq!(wrong("| a | `net-oneway`, `kill` |"), 0);
        assert_eq!(wrong("| a | `net-nowhere` |"), 1);
        assert_eq!(wrong("| a | not yet; an error | – |"), 0);
        assert_eq!(wrong("| a | supported | – |"), 1);
        assert_eq!(wrong("| a | b | `queue.order`, `queue.disorder` |"), 1);
        assert_eq!(wrong("| a | b | |"), 1);
        assert_eq!(wrong("| a | b | `tests/nowhere.txt` |"), 1);
        assert_eq!(wrong("|---|---|---|"), 0);
        assert_eq!(wrong("no table"), 0);
    }
}

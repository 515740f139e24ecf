//! `cargo xtask tidy`: the rules of the house that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::workspace::{cargo, output, root};

mod docs;

/// Files above this many lines are told about, above the second refused.
const SOFT_LINES: usize = 500;
const HARD_LINES: usize = 900;

/// A file whose head has this word is made by a program and may be of any size.
const GENERATED: &str = "@generated";

/// Everything a crate of the workspace may depend on, and whether it is sans-IO (`true`: no tokio below it).
/// A crate that is not named here has no room in the house.
const ROOMS: &[(&str, bool, &[&str])] = &[
    ("model", true, &[]),
    ("env", true, &["model"]),
    ("uri", true, &[]),
    ("openwire", true, &[]),
    ("selector", true, &[]),
    ("journal", true, &["model", "env"]),
    ("store", true, &["model", "env"]),
    ("lock", true, &["model", "env"]),
    ("store-journal", true, &["store", "journal", "lock", "model", "env"]),
    ("store-sqlite", true, &["store", "model", "env"]),
    ("postgres", false, &[]),
    ("store-postgres", false, &["store", "model", "postgres"]),
    ("lock-postgres", false, &["lock", "model", "env", "postgres"]),
    ("lock-sqlite", true, &["lock", "model", "env"]),
    ("lock-etcd", false, &["lock", "model", "env"]),
    ("engine", true, &["model", "store", "selector"]),
    ("auth", true, &["model"]),
    ("gateway", true, &["model", "engine", "auth", "openwire"]),
    ("discovery", true, &["uri", "model"]),
    ("client", true, &["openwire", "uri", "model", "env", "discovery"]),
    ("net", false, &["gateway", "engine", "model", "env", "uri"]),
    ("bridge", true, &["client", "model", "openwire"]),
    ("config", true, &["model", "uri"]),
    ("proto", false, &["model"]),
    ("admin", false, &["model", "proto"]),
    (
        "broker",
        false,
        &[
            "lock",
            // A broker may have any of the locks beside its store.
            "lock-etcd",
            "lock-postgres",
            "lock-sqlite",
            "model",
            "env",
            "uri",
            "openwire",
            "selector",
            "journal",
            "store",
            "store-journal",
            "store-postgres",
            "store-sqlite",
            "engine",
            "auth",
            "gateway",
            "net",
            "config",
            "admin",
            "bridge",
            "client",
            "discovery",
        ],
    ),
    (
        "ferromq",
        false,
        &[
            "lock",
            "lock-postgres",
            "model",
            "env",
            "uri",
            "openwire",
            "selector",
            "journal",
            "store",
            "store-journal",
            "store-postgres",
            "store-sqlite",
            "engine",
            "auth",
            "gateway",
            "net",
            "config",
            "broker",
            "client",
            "proto",
            "admin",
        ],
    ),
    (
        "sim",
        true,
        &[
            "model",
            "env",
            "openwire",
            "selector",
            "journal",
            "lock",
            "store",
            "store-journal",
            "engine",
            "auth",
            "bridge",
            "gateway",
            "client",
        ],
    ),
    ("testkit", false, &["client", "config", "model"]),
];

/// Only tests may lean on these.
const NEVER_NORMAL: &[&str] = &["sim", "testkit"];

pub fn run() -> anyhow::Result<()> {
    println!("\n$ cargo xtask tidy");
    let mut problems = Vec::new();
    let crates = check_edges(&mut problems)?;
    check_sans_io(&crates, &mut problems)?;
    for file in sources()? {
        check_file(&file, &mut problems)?;
    }
    docs::check(&mut problems)?;
    for problem in &problems {
        println!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy: {} problems", problems.len());
    }
    println!("tidy: {} crates in order", crates.len());
    Ok(())
}

/// Checks who depends on whom; returns the directories of the crates that exist.
fn check_edges(problems: &mut Vec<String>) -> anyhow::Result<BTreeSet<String>> {
    let text = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&text)?;
    let rooms: BTreeMap<_, _> = ROOMS.iter().map(|(name, _, allowed)| (*name, *allowed)).collect();
    let mut found = BTreeSet::new();
    for package in metadata["packages"].as_array().context("packages")? {
        let name = package["name"].as_str().context("name")?;
        let Some(room) = room_of(name) else { continue };
        found.insert(room.to_owned());
        let Some(allowed) = rooms.get(room) else {
            problems.push(format!(
                "crates/{room}: not a room of the house; add it to ROOMS with what it may use"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().context("dependencies")? {
            let normal = dependency["kind"].is_null();
            let Some(target) = dependency["name"].as_str().and_then(room_of) else { continue };
            if normal && NEVER_NORMAL.contains(&target) && !NEVER_NORMAL.contains(&room) {
                problems.push(format!("crates/{room}: {target} is for tests only"));
            } else if normal && !allowed.contains(&target) {
                problems.push(format!("crates/{room}: may not depend on {target}"));
            }
        }
    }
    Ok(found)
}

fn room_of(package: &str) -> Option<&str> {
    package.strip_prefix("ferromq-").or_else(|| (package == "ferromq").then_some(package))
}

/// No sans-IO crate pulls tokio, with the features that it has by default.
fn check_sans_io(crates: &BTreeSet<String>, problems: &mut Vec<String>) -> anyhow::Result<()> {
    for (room, sans_io, _) in ROOMS {
        if !sans_io || !crates.contains(*room) {
            continue;
        }
        let package = format!("ferromq-{room}");
        let tree =
            output(cargo().args(["tree", "--package", &package, "--edges", "normal", "--prefix", "none"]))?;
        if tree.lines().any(|line| line.starts_with("tokio v")) {
            problems.push(format!("crates/{room}: sans-IO, yet it pulls tokio"));
        }
    }
    Ok(())
}

/// Every Rust file of the crates, of this tool and of the tests.
fn sources() -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("crates"), root().join("xtask"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn check_file(path: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    let shown = path.strip_prefix(root()).unwrap_or(path).display();
    if text.lines().take(5).any(|line| line.contains(GENERATED)) {
        return Ok(());
    }
    if !text.starts_with("//!") {
        problems.push(format!("{shown}: begins without a `//!` head that says what it is"));
    }
    match text.lines().count() {
        lines if lines > HARD_LINES => problems.push(format!("{shown}: {lines} lines, at most {HARD_LINES}")),
        lines if lines > SOFT_LINES => println!("note: {shown} has {lines} lines, more than {SOFT_LINES}"),
        _ => {}
    }
    Ok(())
}

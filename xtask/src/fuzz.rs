//! `cargo xtask fuzz`: every fuzz target for a bounded time, from seeds made of the project's own test data.
//!
//! The targets are the files of `fuzz/targets`; inputs that once found a bug stand in `fuzz/regressions/TARGET` and
//! are tried first. What a run finds interesting is kept in `fuzz/corpus`, what makes a target fail in
//! `fuzz/artifacts`; neither is under version control.
//!
//! There is no address sanitizer: the workspace forbids unsafe code, in which alone it finds something.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use ferromq_openwire::json::from_hex;
use serde_json::Value as Json;

use crate::workspace::{cargo, root};

const CARGO_FUZZ_VERSION: &str = "0.13.2";

#[derive(clap::Args, Debug)]
pub struct Args {
    /// How long each target runs
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Only this target
    #[arg(long)]
    target: Option<String>,
    /// The seed of the first run's dice, to repeat it; each target prints its own
    #[arg(long)]
    seed: Option<u32>,
}

/// The seeds of a target: names and bytes.
type Seeds = BTreeMap<String, Vec<u8>>;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let targets: Vec<String> = targets()?
        .into_iter()
        .filter(|target| args.target.as_ref().is_none_or(|wanted| wanted == target))
        .collect();
    if targets.is_empty() {
        let all = self::targets()?;
        let wanted = args.target.as_deref().unwrap_or_default();
        let near = ferromq_uri::nearest(wanted, all.iter().map(String::as_str));
        let hint = near.map(|near| format!(", but {near:?}")).unwrap_or_default();
        bail!("there is no target {wanted:?}{hint}; there are {all:?}");
    }
    if let Err(reason) = tools() {
        for target in &targets {
            println!("skip fuzz-{target}: {reason:#}");
        }
        println!("0 passed, 0 failed, {} skipped", targets.len());
        return Ok(());
    }
    let mut build = nightly();
    build.args(["fuzz", "build", "--release", "--sanitizer", "none"]);
    crate::workspace::run(build.args(args.target.as_ref())).context("the targets do not build")?;
    let failed = fuzz_all(&targets, args);
    println!("{} passed, {failed} failed", targets.len() - failed);
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

/// As many targets at a time as there are processors; returns how many failed.
fn fuzz_all(targets: &[String], args: &Args) -> usize {
    let waiting = Mutex::new(targets.iter());
    let failed = AtomicUsize::new(0);
    let next = || waiting.lock().ok().and_then(|mut targets| targets.next());
    let work = || {
        while let Some(target) = next() {
            match fuzz(target, args) {
                Ok(line) => println!("ok   fuzz-{target}: {line}"),
                Err(error) => {
                    println!("FAIL fuzz-{target}: {error:#}");
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    failed.into_inner()
}

fn targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/targets")).context("fuzz/targets")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Cargo of the nightly toolchain: the sanitizer and the coverage that steers the fuzzer are not stable.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).current_dir(root());
    // What the toolchain that runs this program has set would win over the one that is asked for here.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO_MANIFEST_DIR"] {
        command.env_remove(name);
    }
    command
}

fn tools() -> anyhow::Result<()> {
    let works = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !works(nightly().arg("--version")) {
        bail!("no nightly toolchain; run `rustup toolchain install nightly --profile minimal`");
    }
    if works(nightly().args(["fuzz", "--version"])) {
        return Ok(());
    }
    println!("installing cargo-fuzz {CARGO_FUZZ_VERSION}");
    let install =
        ["install", "cargo-fuzz", "--version", CARGO_FUZZ_VERSION, "--locked", "--quiet", "--debug"];
    if !works(cargo().args(install)) {
        bail!("no cargo-fuzz, and `cargo {}` failed", install.join(" "));
    }
    Ok(())
}

/// Runs one target; the line says what was done.
fn fuzz(target: &str, args: &Args) -> anyhow::Result<String> {
    let seeds = seeds(target)?;
    let folder = root().join("target/fuzz-seeds").join(target);
    fs::create_dir_all(&folder)?;
    for (name, bytes) in &seeds {
        fs::write(folder.join(name), bytes)?;
    }
    let corpus = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut command = nightly();
    command.args(["fuzz", "run", "--release", "--sanitizer", "none", target]).arg(&corpus).arg(&folder);
    let regressions = root().join("fuzz/regressions").join(target);
    if regressions.is_dir() {
        command.arg(&regressions);
    }
    command.arg("--").args([
        format!("-max_total_time={}", args.seconds),
        "-max_len=65536".to_owned(),
        "-timeout=10".to_owned(),
        "-rss_limit_mb=1024".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    if let Some(seed) = args.seed {
        command.arg(format!("-seed={seed}"));
    }
    let out = command.output().context("cargo fuzz")?;
    let text = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n  ");
        bail!("{}; the input is under fuzz/artifacts/{target}\n  {tail}", out.status);
    }
    let value = |name: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(name)).map_or("?", str::trim).to_owned()
    };
    Ok(format!(
        "{} runs, dice {}, from {} seeds, {} kept in the corpus",
        value("stat::number_of_executed_units:"),
        value("INFO: Seed:"),
        seeds.len(),
        fs::read_dir(&corpus)?.count(),
    ))
}

fn seeds(target: &str) -> anyhow::Result<Seeds> {
    let root = root();
    match target {
        "config" => files(&root.join("crates/config/tests"), "toml"),
        "discovery" => Ok(announcements()),
        "journal" => Ok(edits()),
        "openwire" => vectors(&root.join("tests/data/openwire/vectors")),
        "session" => conversations(&root.join("tests/data/openwire/captures")),
        "selector" => tables(&root.join("crates/selector/tests")),
        "xml" => files(&root.join("crates/config/tests/xml"), "xml"),
        "uri" => tables(&root.join("crates/uri/tests")),
        _ => Ok(Seeds::new()),
    }
}

/// Datagrams of brokers that come and go, and a list of brokers as it stands in a file.
fn announcements() -> Seeds {
    let said =
        "default.ActiveMQ-4.alive.%localhost%tcp://a:61616\ndefault.ActiveMQ-4.dead.%localhost%tcp://a:61616";
    let listed = "tcp://a:61616,tcp://b:61616?wireFormat.version=10\nnio://[::1]:7";
    Seeds::from([("said".to_owned(), said.into()), ("listed".to_owned(), listed.into())])
}

/// Recorded frames: a few of each type, version and encoding, the cached ones as whole sequences.
fn vectors(folder: &Path) -> anyhow::Result<Seeds> {
    let mut seeds = Seeds::new();
    for line in lines(folder, "jsonl")? {
        let case: Json = serde_json::from_str(&line)?;
        let version = case["version"].as_u64().unwrap_or(12).clamp(1, 12) as u8;
        let encoding = u8::from(case["tight"] == true) | u8::from(case["cache"] == true) << 1;
        let mut bytes = vec![version - 1, encoding];
        let one = [case.clone()];
        for frame in case["sequence"].as_array().map_or(&one[..], |all| &all[..]) {
            bytes.extend(bytes_of(frame)?);
        }
        if bytes.len() < 16_384 {
            let name = format!("{}-{}-v{version}-{encoding}", text(&case["type"]), text(&case["case"]));
            seeds.insert(name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"), bytes);
        }
    }
    Ok(seeds)
}

/// What clients said in recorded conversations, each connection from its greeting on.
fn conversations(folder: &Path) -> anyhow::Result<Seeds> {
    let mut seeds = Seeds::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for line in fs::read_to_string(&path)?.lines() {
            let piece: Json = serde_json::from_str(line)?;
            if piece["dir"] == "c>s" && piece["hex"].is_string() {
                let seed: &mut Vec<u8> = seeds.entry(format!("{name}-{}", piece["conn"])).or_default();
                seed.extend(bytes_of(&piece)?);
            }
        }
    }
    // The fuzzer changes short inputs better; the beginning is where a stranger is least known.
    seeds.values_mut().for_each(|seed| seed.truncate(32_768));
    Ok(seeds)
}

/// Whole files of a folder and those below it.
fn files(folder: &Path, extension: &str) -> anyhow::Result<Seeds> {
    let mut seeds = Seeds::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            seeds.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            seeds.insert(
                path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                fs::read(&path)?,
            );
        }
    }
    Ok(seeds)
}

/// For the journal: no edit, and one edit of each kind at places that matter.
fn edits() -> Seeds {
    let mut seeds = Seeds::from([("none".to_owned(), Vec::new())]);
    for segment in 0..8u8 {
        for offset in [0u16, 8, 16, 40, 64, 72, 80, 96, 1000, 2047] {
            for count in [1u8, 8, 64, 128] {
                let [low, high] = offset.to_le_bytes();
                let mut edit = vec![segment, low, high, count];
                edit.extend(vec![0xa5; usize::from(count & 63)]);
                seeds.insert(format!("edit-{segment}-{offset}-{count}"), edit);
            }
        }
    }
    seeds
}

/// The first column of the test tables.
fn tables(folder: &Path) -> anyhow::Result<Seeds> {
    let rows = lines(folder, "txt")?;
    let cells = rows.iter().filter(|row| !row.starts_with('#')).filter_map(|row| row.split(" | ").next());
    Ok(cells.enumerate().map(|(n, cell)| (format!("row-{n}"), cell.trim().as_bytes().to_vec())).collect())
}

fn lines(folder: &Path, extension: &str) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            lines.extend(fs::read_to_string(&path)?.lines().map(str::to_owned));
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    Ok(lines)
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or("x")
}

fn bytes_of(line: &Json) -> anyhow::Result<Vec<u8>> {
    line["hex"].as_str().and_then(from_hex).context("a line without hex")
}

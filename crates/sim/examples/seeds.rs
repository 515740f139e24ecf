//! Runs many seeds, tells of each that fails, and ends with `N passed, M failed`.
//!
//! `cargo run --release -p ferromq-sim --example seeds -- --from 0 --seeds 10000`; several nodes with `--nodes`, on a storage
//! behind old caches with `--stale`, or `--stale-names` too, on a database with `--database`, with `--mishaps power`,
//! `switchovers`, `late-answers`, `standstills`, `calendars` or `forgetfulness`.

use std::process::ExitCode;
use std::time::Duration;

use ferromq_sim::nodes::{self, Conditions, Mishaps};
use ferromq_sim::run;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str, otherwise: u64| {
        words
            .iter()
            .position(|word| word == name)
            .and_then(|at| words.get(at + 1)?.parse().ok())
            .unwrap_or(otherwise)
    };
    let (from, seeds) = (number("--from", 0), number("--seeds", 1_000));
    if words.iter().any(|word| word == "--nodes") {
        let is_asked = |name: &str| words.iter().any(|word| word == name);
        let stale_names = is_asked("--stale-names");
        let stale = (stale_names || is_asked("--stale")).then_some(Duration::from_secs(3));
        let mishaps = match words.iter().position(|word| word == "--mishaps").and_then(|at| words.get(at + 1))
        {
            Some(word) if word == "power" => Mishaps::PowerLoss,
            Some(word) if word == "switchovers" => Mishaps::Switchovers,
            Some(word) if word == "late-answers" => Mishaps::LateAnswers,
            Some(word) if word == "standstills" => Mishaps::Standstills,
            Some(word) if word == "calendars" => Mishaps::Calendars,
            Some(word) if word == "forgetfulness" => Mishaps::Forgetfulness,
            _ => Mishaps::Ordinary,
        };
        let database = is_asked("--database");
        let conditions = Conditions { bug: None, stale, stale_names, database, mishaps };
        return several(from, seeds, number("--pauses", 0), conditions);
    }
    println!("seeds {from} to {}", from.saturating_add(seeds).saturating_sub(1));
    let (mut failed, mut sent, mut delivered, mut crashes) = (0_u64, 0, 0, 0);
    for seed in from..from.saturating_add(seeds) {
        let report = run(seed, None);
        sent += report.sent;
        delivered += report.delivered;
        crashes += report.crashes;
        if let Some(first) = report.violations.first() {
            failed += 1;
            println!("seed {seed}: {first} ({} in all)", report.violations.len());
        }
    }
    println!("{sent} messages sent, {delivered} deliveries, {crashes} crashes");
    println!("{} passed, {failed} failed", seeds - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Several nodes on one folder, until so many seeds were run and masters were paused so often.
fn several(from: u64, seeds: u64, pauses: u64, conditions: Conditions) -> ExitCode {
    println!("several nodes, {conditions:?}, seeds from {from}");
    let (mut failed, mut run, mut paused, mut in_store, mut kills, mut reigns) = (0_u64, 0_u64, 0, 0, 0, 0);
    let mut gap = Duration::ZERO;
    while run < seeds || paused < pauses {
        let seed = from.saturating_add(run);
        run += 1;
        let report = nodes::run(seed, conditions);
        paused += report.pauses;
        in_store += report.pauses_in_store;
        kills += report.kills;
        reigns += report.reigns;
        gap = gap.max(report.longest_gap);
        if seeds == 1 {
            report.violations.iter().for_each(|violation| println!("{violation}"));
        }
        if let Some(first) = report.violations.first() {
            failed += 1;
            println!("seed {seed}: {first} ({} in all)", report.violations.len());
        }
    }
    println!(
        "{run} seeds, {paused} pauses of a master ({in_store} at an operation of its store), {kills} kills, {reigns} \
         reigns, longest without a master {gap:?}"
    );
    println!("{} passed, {failed} failed", run - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

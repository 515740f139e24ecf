//! Runs many seeds, tells of each that fails, and ends with `N passed, M failed`.
//!
//! `cargo run --release -p ferromq-sim --example seeds -- --from 0 --seeds 10000`

use std::process::ExitCode;

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

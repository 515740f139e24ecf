//! `cargo xtask client`: the Rust client's own tests against running brokers, which this verb starts: the live suite,
//! the death of a broker under `failover:`, with kill -9 and the count of what was lost, and the ways between several.
//!
//! Ends with `N passed, M failed, K skipped`. What cannot run on this machine is counted as skipped.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::interop::Against;
use crate::peers::{Broker, FerroBroker, FerroOptions, Java, RealBroker, RealOptions};
use crate::suite::Tally;
use crate::workspace::cargo;

/// Options of `cargo xtask client`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The broker to start.
    #[arg(long, value_enum, default_value = "ferromq")]
    against: Against,
}

/// Runs the suite.
///
/// # Errors
/// When any test failed, or a broker could not be started.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut total = Tally::default();
    if options.against != Against::Activemq {
        let recipe = FerroBroker::command(&FerroOptions::default(), "{data}", "{port}")?;
        let broker = FerroBroker::start(&FerroOptions::default())?;
        total.add(run_against("FerroMQ", &broker, &recipe)?);
    }
    if options.against != Against::Ferromq {
        match Java::find() {
            Ok(java) => {
                let real = RealOptions::default();
                let recipe = RealBroker::command(&java, &real, "{data}", "{port}")?;
                total.add(run_against("ActiveMQ", &RealBroker::start(&java, &real)?, &recipe)?);
            }
            Err(missing) => {
                println!("skip client: {missing:#}");
                total.skipped.push("client".to_owned());
            }
        }
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped.len());
    if total.failed > 0 {
        bail!("{} tests of the client failed", total.failed);
    }
    Ok(())
}

/// The live suite against a broker that runs, and takeovers of brokers that the tests start by the recipe.
fn run_against(name: &str, broker: &Broker, recipe: &Command) -> Result<Tally> {
    let words: Vec<_> = std::iter::once(recipe.get_program())
        .chain(recipe.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut tally = Tally::default();
    for suite in ["live", "failover", "several"] {
        println!("== {suite} against {name}");
        let output = cargo()
            // Of the whole workspace, with whose features everything is built already.
            .args(["test", "--workspace", "--test", suite])
            .args(["--", "--show-output"])
            .env("FERROMQ_TEST_URL", broker.url())
            .env("FERROMQ_TEST_BROKER", words.join("\n"))
            .output()
            .context("can't start cargo")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let told = |line: &&str| {
            ["test ", "sent ", "thread ", "called "].iter().any(|begin| line.starts_with(begin))
        };
        said.lines().filter(told).for_each(|line| println!("{line}"));
        let Some((passed, failed)) = said.lines().find_map(parse_result) else {
            bail!("{suite} against {name} did not run: {}", String::from_utf8_lossy(&output.stderr));
        };
        tally.passed += passed;
        tally.failed += failed;
    }
    Ok(tally)
}

/// Reads `test result: ok. 5 passed; 0 failed; …`.
fn parse_result(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let mut next = |word| counts.next()?.strip_suffix(word)?.trim().parse().ok();
    Some((next("passed")?, next("failed")?))
}

#[cfg(test)]
mod tests {
    use super::parse_result;

    #[test]
    fn counts_are_read_from_the_last_line_of_a_test_program() {
        assert_eq!(parse_result("test result: ok. 5 passed; 0 failed; 0 ignored; finished"), Some((5, 0)));
        assert_eq!(parse_result("test result: FAILED. 3 passed; 2 failed; 0 ignored"), Some((3, 2)));
        assert_eq!(parse_result("test a_test ... ok"), None);
    }
}

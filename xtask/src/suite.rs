//! Running the project's own suites (verbs of this tool) and adding up what they say.
//!
//! A suite is a verb that prints a line `skip NAME: REASON` for whatever it could not run and ends with a line
//! `N passed, M failed` or `N passed, M failed, K skipped`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

use crate::workspace::root;

/// What a suite, or all of them, came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// Names and reasons of what was not run.
    pub skipped: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }
}

/// Runs the verb `args` of this program and reads its tally from its output, which is shown as it comes.
pub fn run(args: &[&str]) -> anyhow::Result<Tally> {
    println!("\n$ cargo xtask {}", args.join(" "));
    let began = Instant::now();
    let program = std::env::current_exe().context("this program's own path")?;
    let mut child = Command::new(program)
        .args(args)
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't start the suite {args:?}"))?;
    let mut tally = Tally::default();
    let mut closing = None;
    for line in BufReader::new(child.stdout.take().context("the suite's output")?).lines() {
        let line = line?;
        println!("{line}");
        if let Some(skip) = line.strip_prefix("skip ") {
            tally.skipped.push(skip.to_owned());
        }
        closing = parse_closing(&line).or(closing);
    }
    let status = child.wait()?;
    println!("  ({:.1} s)", began.elapsed().as_secs_f64());
    let Some((passed, failed)) = closing else {
        bail!("suite {args:?} ended ({status}) without a line `N passed, M failed`");
    };
    (tally.passed, tally.failed) = (passed, failed);
    if !status.success() && failed == 0 {
        bail!("suite {args:?} failed as a whole: {status}");
    }
    Ok(tally)
}

fn parse_closing(line: &str) -> Option<(u64, u64)> {
    let (passed, rest) = line.trim().split_once(" passed, ")?;
    let failed = rest.split_once(" failed")?.0;
    Some((passed.parse().ok()?, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse_closing;

    #[test]
    fn only_a_closing_line_counts() {
        assert_eq!(parse_closing("12 passed, 3 failed"), Some((12, 3)));
        assert_eq!(parse_closing("12 passed, 0 failed, 4 skipped"), Some((12, 0)));
        assert_eq!(parse_closing("test result: ok. 3 passed; 0 failed"), None);
        assert_eq!(parse_closing("x passed, 0 failed"), None);
    }
}

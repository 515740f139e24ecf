//! `cargo xtask ci`: every gate in turn; what a gate needs is installed first.

use std::process::Command;
use std::time::Instant;

use crate::workspace::{cargo, run as run_command};
use crate::{suite, test, tidy};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// Leave out what needs a registry: licences and advisories
    #[arg(long)]
    offline: bool,
}

const DENY_VERSION: &str = "0.20.2";

/// Fuzz targets each run this long.
const FUZZ_SECONDS: &str = "20";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let began = Instant::now();
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    run_command(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    tidy::run()?;
    run_command(
        cargo().args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    if !args.offline {
        deny()?;
    }
    let no_skips = std::env::var_os("CI").is_some();
    test::run(&test::Args { full: false, no_skips })?;
    let fuzz = suite::run(&["fuzz", "--seconds", FUZZ_SECONDS])?;
    test::judge(&fuzz, no_skips)?;
    println!("\nEvery gate passed, after {:.0} minutes", began.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

/// Licences, sources and duplicate versions. Advisories need a database from a host that builds may not reach, so
/// they are a step of a release (`cargo deny check advisories`).
fn deny() -> anyhow::Result<()> {
    let installed =
        Command::new("cargo-deny").arg("--version").output().is_ok_and(|out| out.status.success());
    if !installed {
        let install = ["install", "cargo-deny", "--version", DENY_VERSION, "--locked", "--quiet"];
        // Its work takes a second, and half the time of a build is optimisation.
        run_command(cargo().args(install).arg("--debug").env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
    }
    run_command(cargo().args(["deny", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}

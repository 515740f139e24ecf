//! `cargo xtask sim`: many seeds through the simulator, in release.

use crate::workspace::{cargo, run as run_command};

#[derive(clap::Args, Debug)]
pub struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them; a seed that failed is run alone by `--from SEED --seeds 1`
    #[arg(long, default_value_t = 0)]
    from: u64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (from, seeds) = (args.from.to_string(), args.seeds.to_string());
    run_command(
        cargo()
            .args(["run", "--quiet", "--release", "--package", "ferromq-sim", "--example", "seeds", "--"])
            .args(["--from", &from, "--seeds", &seeds]),
    )
}

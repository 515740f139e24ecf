//! `cargo xtask sim`: many seeds through the simulator, in release.

use std::process::Command;

use crate::workspace::{cargo, root, run as run_command, target};

/// What is built together, so that the simulator and the broker share all that both need.
pub const PACKAGES: [&str; 8] =
    ["--package", "ferromq", "--package", "ferromq-sim", "--bin", "ferromq", "--example", "seeds"];

#[derive(clap::Args, Debug)]
pub struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This one alone, again
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Two and three nodes on one shared folder instead of one broker
    #[arg(long)]
    nodes: bool,
    /// With `--nodes`: goes on until a master was paused so often
    #[arg(long, default_value_t = 0)]
    pauses: u64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let (from, seeds) = match args.seed {
        Some(seed) => (seed, 1),
        None => (args.from, args.seeds),
    };
    run_command(cargo().args(["build", "--quiet", "--release"]).args(PACKAGES))?;
    let mut command = Command::new(target().join("release/examples/seeds"));
    command.current_dir(root()).args(["--from", &from.to_string(), "--seeds", &seeds.to_string()]);
    if args.nodes {
        command.args(["--nodes", "--pauses", &args.pauses.to_string()]);
    }
    run_command(&mut command)
}

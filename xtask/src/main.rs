//! The project's own tool: every verb is a file of this crate, `cargo xtask --help` lists them.

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and measure FerroMQ")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.verb {}
}

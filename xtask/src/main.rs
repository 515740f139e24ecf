//! The project's own tool: every verb is a file of this crate, `cargo xtask --help` lists them.

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod client;
mod cluster;
mod fuzz;
mod interop;
mod kills;
mod network;
mod pair;
mod peers;
mod sim;
mod spool;
mod spread;
mod suite;
mod test;
mod tidy;
mod vectors;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and measure FerroMQ", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Every gate that a change must pass: format, clippy, tidy, docs, licences and advisories, tests, fuzzing
    Ci(ci::Args),
    /// All tests; sets up what they need (a JDK, Maven artefacts)
    Test(test::Args),
    /// FerroMQ beside the real ActiveMQ in one run: throughput, latency, CPU per message, memory, start; as ratios
    Bench(bench::Args),
    /// The peer that does nothing, beside which `bench` finds the bound of a client
    #[command(hide = true)]
    BenchSink,
    /// The released Java clients against FerroMQ and against the real ActiveMQ
    Interop(interop::Options),
    /// The Rust client's own tests against running brokers, killed brokers included
    Client(client::Options),
    /// Every fuzz target for a bounded time
    Fuzz(fuzz::Args),
    /// The real engine, sessions and journal in virtual time, with crashes and cuts; a seed decides everything
    Sim(sim::Args),
    /// Kill -9 of the broker under the load of a released Java client, again and again
    Kills(kills::Options),
    /// A master, its standbys and a load as real processes: see what a kill, a pause or a cut does
    Cluster(cluster::Options),
    /// Holds the relays and the database of a cluster that stays up
    #[command(hide = true)]
    ClusterKeeper(cluster::keeper::Args),
    /// What the compiler can't check: allowed edges between crates, no async in sans-IO crates, file sizes, heads
    Tidy,
    /// Checks recorded OpenWire frames: a *.jsonl file, or a folder of them
    Vectors {
        /// File or folder
        path: std::path::PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Ci(args) => ci::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::BenchSink => bench::sink::run(),
        Verb::Interop(options) => interop::run(&options),
        Verb::Client(options) => client::run(&options),
        Verb::Fuzz(args) => fuzz::run(&args),
        Verb::Sim(args) => sim::run(&args),
        Verb::Kills(options) => kills::run(&options),
        Verb::Cluster(options) => cluster::run(&options),
        Verb::ClusterKeeper(args) => cluster::keeper::run(&args),
        Verb::Tidy => tidy::run(),
        Verb::Vectors { path } => vectors::run(&path),
    }
}

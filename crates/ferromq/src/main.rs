//! The program: one verb of the command line per file, each a few screens.
//!
//! Not in here: anything that a library user could want; the verbs put `ferromq-broker` and `ferromq-client` to
//! work. Results go to standard output, logs and hints to standard error, and the exit code says whose fault it
//! was (`sysexits.h`, see [`exit::Exit`]).

use clap::{Parser, Subcommand};

mod bench;
mod check;
mod config;
mod counted;
mod demo;
mod descriptors;
mod door;
mod exit;
mod force_claim;
mod layers;
mod link;
mod listing;
mod local_socket;
mod logs;
mod operator;
mod progress;
mod property;
mod receive;
mod run;
mod send;
mod status;
mod store;
mod streams;
mod subscriptions;
mod switchover;
mod way;
mod whereabouts;

/// A message broker that ActiveMQ clients can use unchanged.
#[derive(Debug, Parser)]
#[command(name = "ferromq", version, about, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: run::Args,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start the broker (what happens without a verb, too).
    Run(run::Args),
    /// See a takeover happen: two brokers on this machine, one of them killed.
    Demo(demo::Args),
    /// Measure a broker with one workload
    Bench(bench::Args),
    /// Check a configuration, and show what it comes to.
    Check(check::Args),
    /// Translate configurations.
    #[command(subcommand)]
    Config(config::Verb),
    /// Send messages.
    Send(send::Args),
    /// Take messages.
    Receive(receive::Args),
    /// Look at the messages of a queue without taking them.
    Browse(receive::BrowseArgs),
    /// Say who is master, and how a takeover would go.
    Status(status::Args),
    /// List the streams to and from other brokers, and forget those of brokers that are gone.
    Streams(streams::Args),
    /// List the durable subscriptions, and end those that nobody uses any longer.
    Subscriptions(subscriptions::Args),
    /// Hand the mastership over to a standby, in order.
    Switchover(switchover::Args),
    /// Make a standby the master although another's claim looks held.
    ForceClaim(force_claim::Args),
    /// The second process of a check
    #[command(hide = true)]
    Contest(check::contest::Args),
    /// Look into a journal without touching it.
    #[command(subcommand)]
    Store(store::Verb),
}

const EXAMPLES: &str = "\
Examples:
  ferromq demo                                two brokers, one is killed, nothing is lost
  ferromq                                     broker on tcp://127.0.0.1:61616, messages in ./ferromq-data
  ferromq run --listen tcp://0.0.0.0:61616 --data /var/lib/ferromq
  ferromq run --config /etc/ferromq.toml --log-format json
  ferromq check /etc/ferromq.toml             mistakes, or every value and where it comes from
  ferromq run --config conf/activemq.xml      with what ActiveMQ was configured with; see `ferromq check` first
  ferromq check a.toml --peers b.toml         will these two work as master and standby?
  ferromq status                              who is master?
  ferromq send queue://orders 'first order'
  ferromq browse queue://orders
  ferromq receive queue://orders --count 1

Exit codes: 0 fine, 64 wrong usage or configuration, 69 not reachable or port in use, 70 bug,
73 folder can't be made or used, 74 reading or writing failed, 77 command not taken from here, 3 nobody asked is active,
1 a demo that lost a message, 130 interrupted.";

fn main() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::from_usage(&error),
    };
    let outcome = match cli.verb.unwrap_or(Verb::Run(cli.run)) {
        Verb::Run(args) => run::run(args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Bench(args) => bench::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Config(verb) => config::run(verb),
        Verb::Send(args) => send::run(args),
        Verb::Receive(args) => receive::run(args),
        Verb::Browse(args) => receive::browse(args),
        Verb::Status(args) => status::run(args),
        Verb::Streams(args) => streams::run(args),
        Verb::Subscriptions(args) => subscriptions::run(args),
        Verb::Switchover(args) => switchover::run(args),
        Verb::ForceClaim(args) => force_claim::run(args),
        Verb::Contest(args) => check::contest::second(&args),
        Verb::Store(verb) => store::run(verb),
    };
    exit::report(outcome)
}

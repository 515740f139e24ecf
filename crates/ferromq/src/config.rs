//! `ferromq config`: configurations from one language to the other.

use std::path::PathBuf;

use ferromq_config::load;

use crate::exit::{Exit, Failure, Outcome, print, warn};
use crate::layers;

/// What to do with a configuration.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Write an activemq.xml as TOML that comes to the same configuration, on standard output.
    Convert(ConvertArgs),
}

/// What to convert.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ferromq config convert conf/activemq.xml > ferromq.toml
  ferromq config convert conf/activemq.xml -D activemq.data=/var/lib/ferromq

What is ignored is told on standard error; see `ferromq check` for all of it. Passwords stand in what is written.")]
pub(crate) struct ConvertArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A property for its placeholders; may be repeated
    #[arg(short = 'D', value_name = "NAME=VALUE")]
    property: Vec<String>,
}

pub(crate) fn run(verb: Verb) -> Outcome {
    let Verb::Convert(args) = verb;
    // Variables of this process are no part of the file, but for its placeholders.
    let input = layers::Args::of_file_with(Some(args.file), args.property).input(true)?.without_overrides();
    let loaded = load(&input).map_err(|mistakes| {
        Failure::new(Exit::Usage, format!("the configuration has mistakes\n{mistakes}"))
    })?;
    for warning in loaded.warnings.iter() {
        warn(warning);
    }
    print(&loaded.to_toml())
}

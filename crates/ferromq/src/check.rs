//! `ferromq check`: is a configuration right, and what does it come to?

use std::path::PathBuf;

use ferromq_config::load;

use crate::exit::{Exit, Failure, Outcome};
use crate::layers;

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ferromq check /etc/ferromq.toml             mistakes as file:line:column with a remedy, exit code 64;
                                              or every value with the place that it comes from
  FERROMQ_STORE_SYNC=never ferromq check      variables count as they do for `ferromq run`")]
pub(crate) struct Args {
    /// The configuration file; without one, defaults and environment are shown
    #[arg(value_name = "FILE", env = "FERROMQ_CONFIG")]
    file: Option<PathBuf>,
}

/// Prints the effective configuration with the source of each value, or all mistakes.
pub(crate) fn run(args: Args) -> Outcome {
    let input = layers::Args::of_file(args.file).input(true)?;
    let loaded = load(&input).map_err(|mistakes| {
        Failure::new(Exit::Usage, format!("the configuration has mistakes\n{mistakes}"))
    })?;
    for warning in loaded.warnings.iter() {
        eprintln!("{warning}");
    }
    print!("{}", loaded.effective());
    Ok(())
}

//! `ferromq force-claim`: makes a standby the master although the claim of another looks held.

use std::io::{BufRead, IsTerminal, Write};

use ferromq_proto::admin::ForceClaimRequest;

use crate::exit::{Exit, Failure, Outcome};
use crate::operator::{self, Credential, Target};

/// Who is to claim.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For a claim that is stuck: a lock that its dead owner still seems to hold, a lease that nobody can release. It is safe
in any case, since the store refuses whatever the old master writes from then on; but a master that lives loses its
clients. It says first what it will do.")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    credential: Credential,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

/// Tells what would happen, asks, and does it.
pub(crate) fn run(args: Args) -> Outcome {
    operator::runtime()?.block_on(async {
        let address = args.target.address()?;
        let mut admin = operator::connect(&address).await?;
        let refused = |status| operator::refused(&address, &status);
        let ask = args.credential.command(ForceClaimRequest { token: String::new() })?;
        let told = admin.force_claim(ask).await.map_err(refused)?.into_inner();
        println!("what will be done:");
        for (number, step) in told.steps.iter().enumerate() {
            println!("  {}. {step}", number + 1);
        }
        if !args.yes {
            confirm()?;
        }
        let command = args.credential.command(ForceClaimRequest { token: told.token })?;
        let done = admin.force_claim(command).await.map_err(refused)?.into_inner();
        println!("epoch {} is won", done.epoch);
        Ok(())
    })
}

/// Only a typed yes counts.
fn confirm() -> Outcome {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(Failure::new(Exit::Usage, "nothing was done; add --yes to do it"));
    }
    print!("type yes to do it: ");
    let mut answer = String::new();
    let read = std::io::stdout().flush().and_then(|()| input.lock().read_line(&mut answer));
    read.map_err(|error| Failure::new(Exit::Io, error))?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::new(Exit::Usage, "nothing was done")) }
}

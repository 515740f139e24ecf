//! `ferromq switchover`: hands the mastership over in order.

use ferromq_proto::admin::SwitchoverRequest;

use crate::exit::Outcome;
use crate::operator::{self, Credential, Target};

/// Who is to hand over.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The active node takes no new work, ends what is in flight, syncs, lets go of its lease, and is a standby from then on;
another standby takes over. Clients with a failover: URI see no error, except for a commit that is not answered within
the time for draining.")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    credential: Credential,
    /// The longest that connections may drain, in milliseconds [default: what the node is configured for]
    #[arg(long, value_name = "MS", default_value_t = 0, hide_default_value = true)]
    drain: u64,
}

/// Asks for it and waits until the lease is released.
pub(crate) fn run(args: Args) -> Outcome {
    operator::runtime()?.block_on(async {
        let address = args.target.active().await?;
        let mut admin = operator::connect(&address).await?;
        let command = args.credential.command(SwitchoverRequest { drain_ms: args.drain })?;
        let done = admin.switchover(command).await;
        let done = done.map_err(|status| operator::refused(&address, &status))?.into_inner();
        println!("epoch {} was given up in {} ms; a standby takes over", done.epoch, done.took_ms);
        Ok(())
    })
}

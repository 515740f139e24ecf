//! `ferromq streams`: what the links of a broker keep of each other, and how that is forgotten.

use std::time::Duration;

use ferromq_proto::admin::{ForgetStreamRequest, ListStreamsRequest, StreamEntry};
use serde_json::{Value, json};

use crate::counted::counted;
use crate::exit::Outcome;
use crate::listing::Listing;
use crate::operator::{self, Credential, Target};

/// Whom to ask, and how to tell.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  ferromq streams                                      every stream to and from other brokers
  ferromq streams tcp://127.0.0.1:61616 --json         one object a line, for scripts
  ferromq streams forget 'ID:a-1>ID:b-2/nc'            give back what is held for a broker that is gone for good

A stream outlives links and masters: it remembers what may be at the other end, and what has come from there. A store
has room for 1,024 of each direction."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    target: Target,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Forget the stream of a broker, or of a connector, that is gone for good
    Forget(ForgetArgs),
}

/// What is to be forgotten.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Messages that were held for it are given back to their queues, flagged as redelivered: some of them may have arrived over
there. It is refused while the link is up. If the other broker comes back after all, what it remembers does not fit: its link
stays down, and says so, until it forgets the stream as well, or the connector has another name. A stream from another broker
is what a repetition by it is known by: forget it only if that broker is gone, or has forgotten its end.")]
struct ForgetArgs {
    /// The stream, as `ferromq streams` tells it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    credential: Credential,
}

const LISTING: Listing<StreamEntry> = Listing { line, object, none: "no stream to or from another broker" };

/// Asks and tells, or orders.
pub(crate) fn run(args: Args) -> Outcome {
    operator::runtime()?.block_on(async {
        match args.verb {
            None => list(&args.target, args.json).await,
            Some(Verb::Forget(args)) => forget(args).await,
        }
    })
}

async fn list(target: &Target, json: bool) -> Outcome {
    let address = target.active().await?;
    let mut admin = operator::connect(&address).await?;
    let streams = admin.list_streams(operator::question(ListStreamsRequest {})).await;
    let streams = streams.map_err(|status| operator::refused(&address, &status))?.into_inner().streams;
    LISTING.print(&streams, json, None)
}

async fn forget(args: ForgetArgs) -> Outcome {
    let address = args.target.active().await?;
    let mut admin = operator::connect(&address).await?;
    let command = args.credential.command(ForgetStreamRequest { name: args.name.clone() })?;
    let done = admin.forget_stream(command).await;
    let freed = done.map_err(|status| operator::refused(&address, &status))?.into_inner().freed;
    println!(
        "stream {} is forgotten; {} that were held are delivered here again",
        args.name,
        counted(freed, "message")
    );
    Ok(())
}

/// The broker at the other end, by the id of its store.
fn peer(stream: &StreamEntry) -> &str {
    let ends = stream.name.split_once('/').map_or(stream.name.as_str(), |(ends, _)| ends);
    let (sender, receiver) = ends.split_once('>').unwrap_or((ends, ends));
    if stream.incoming { sender } else { receiver }
}

const fn direction(stream: &StreamEntry) -> &'static str {
    if stream.incoming { "from" } else { "to" }
}

/// For scripts; names are kept.
fn object(stream: &StreamEntry) -> Value {
    json!({
        "name": stream.name,
        "direction": direction(stream),
        "peer": peer(stream),
        "linked": stream.linked,
        "positions": stream.positions,
        "heard_ms": stream.heard_ms,
    })
}

fn line(stream: &StreamEntry) -> String {
    let StreamEntry { name, incoming, linked, positions, heard_ms } = stream;
    let what = match (incoming, linked) {
        (true, _) => format!("{} remembered", counted(*positions, "position")),
        (false, true) => format!("{} under way", counted(*positions, "message")),
        (false, false) => format!("{} held", counted(*positions, "message")),
    };
    let heard = match (linked, heard_ms) {
        (true, _) => "linked".to_owned(),
        (false, Some(ms)) => format!("not linked for {:?}", Duration::from_secs(ms / 1_000)),
        (false, None) => "not linked since this node became the master".to_owned(),
    };
    format!("{name}\n  {} {}, {what}, {heard}", direction(stream), peer(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_told_with_its_peer_and_what_it_keeps() {
        let name = "ID:a-1>ID:b-2/nc".to_owned();
        let to = StreamEntry { name, incoming: false, linked: false, positions: 3, heard_ms: None };
        assert_eq!(
            line(&to),
            "ID:a-1>ID:b-2/nc\n  to ID:b-2, 3 messages held, not linked since this node became the master"
        );
        let from = StreamEntry { incoming: true, heard_ms: Some(61_000), ..to.clone() };
        assert_eq!(
            line(&from),
            "ID:a-1>ID:b-2/nc\n  from ID:a-1, 3 positions remembered, not linked for 61s"
        );
        let linked = StreamEntry { linked: true, positions: 1, heard_ms: Some(0), ..to };
        assert!(line(&linked).ends_with("to ID:b-2, 1 message under way, linked"), "{}", line(&linked));
        assert_eq!((&object(&from)["peer"], &object(&from)["direction"]), (&json!("ID:a-1"), &json!("from")));
    }
}

//! `ferromq receive` and `ferromq browse`: bodies to standard output, one a line.

use std::io::Write;
use std::time::Duration;

use ferromq_client::{AckMode, ConsumerSpec, Delivery, Destination};

use crate::counted::counted;
use crate::exit::{Exit, Failure, Outcome};
use crate::link::{self, converse, failed, io_failed};
use crate::progress;

/// What to take, and when to stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ferromq receive queue://orders --count 1
  ferromq receive queue://orders --timeout 5 --selector \"region = 'eu'\"
  ferromq receive topic://ticks                      until Ctrl-C
  ferromq receive queue://images --count 1 > picture.png

Each text ends with a line; bytes, such as those of `send --file`, are written as they are.
A message is acknowledged after it was written. With --count, fewer messages within --timeout are exit code 69.")]
pub(crate) struct Args {
    #[command(flatten)]
    link: link::Args,
    /// queue://NAME or topic://NAME
    #[arg(value_parser = link::destination)]
    destination: Destination,
    /// End after so many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End when nothing has come for so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Take only what this selector likes
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
}

/// What to look at.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ferromq browse queue://orders                      all that waits, oldest first, and leaves it there
  ferromq browse queue://orders --selector \"region = 'eu'\"")]
pub(crate) struct BrowseArgs {
    #[command(flatten)]
    link: link::Args,
    /// queue://NAME
    #[arg(value_parser = link::destination)]
    destination: Destination,
    /// Show only what this selector likes
    #[arg(long, value_name = "SELECTOR")]
    selector: Option<String>,
}

/// Takes messages until the count, the timeout or Ctrl-C.
pub(crate) fn run(args: Args) -> Outcome {
    converse(async {
        let connection = args.link.connect().await?;
        let mut spec = ConsumerSpec::new(args.destination.clone());
        if let Some(most) = args.count {
            // No more than wanted, so that others get the rest at once.
            spec = spec.prefetch(u32::try_from(most.clamp(1, 1_000)).unwrap_or(1));
        }
        if let Some(selector) = &args.selector {
            spec = spec.selector(selector.as_str());
        }
        let mut consumer = connection.consumer(spec, AckMode::Individual).await.map_err(failed)?;
        let mut taken = 0;
        let bar = progress::bar_beside_output(args.count);
        while args.count.is_none_or(|count| taken < count) {
            let delivery = match args.timeout {
                Some(seconds) => consumer.recv_timeout(Duration::from_secs(seconds)).await,
                None => consumer.recv().await,
            };
            let Some(delivery) = delivery.map_err(failed)? else { break };
            // A file that was sent is the file again.
            let is_file = delivery.text().is_none() && delivery.bytes().is_some();
            show(&delivery, if is_file { "" } else { "\n" })?;
            consumer.ack(&delivery).await.map_err(failed)?;
            taken += 1;
            bar.inc(1);
        }
        bar.finish_and_clear();
        connection.close().await.map_err(failed)?;
        match args.count {
            Some(count) if taken < count => {
                let all = counted(count, "message");
                let text = format!("{taken} of {all} came from {} in time", args.destination);
                Err(Failure::new(Exit::Unavailable, text))
            }
            _ => Ok(()),
        }
    })
}

/// Shows what waits in a queue.
pub(crate) fn browse(args: BrowseArgs) -> Outcome {
    if !args.destination.is_queue() {
        let text = "a topic keeps nothing to look at; use `ferromq receive` for a topic";
        return Err(Failure::new(Exit::Usage, text));
    }
    converse(async {
        let connection = args.link.connect().await?;
        let queue = args.destination.clone();
        let mut browser = connection.browse(queue, args.selector.as_deref()).await.map_err(failed)?;
        while let Some(delivery) = browser.recv().await.map_err(failed)? {
            show(&delivery, "\n")?;
        }
        connection.close().await.map_err(failed)
    })
}

/// A text as it is, bytes as they are, anything else as far as it can be told; then `end`.
fn show(delivery: &Delivery, end: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    let written = match (delivery.text(), delivery.bytes()) {
        (Some(text), _) => out.write_all(text.as_bytes()),
        (None, Some(bytes)) => out.write_all(&bytes),
        (None, None) => match delivery.body() {
            Ok(body) => write!(out, "{body:?}"),
            Err(error) => write!(out, "[{error}]"),
        },
    };
    written
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush())
        .map_err(io_failed("standard output"))
}

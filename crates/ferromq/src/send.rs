//! `ferromq send`: texts, a file or lines to a destination.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;

use ferromq_client::{Destination, Outgoing, Producer};
use indicatif::ProgressBar;

use crate::exit::{Failure, Outcome};
use crate::link::{self, converse, failed, io_failed};
use crate::progress;
use crate::property::Property;

/// What to send, and where.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ferromq send queue://orders 'first order'
  ferromq send queue://orders --property region=eu --property size:int=5 --priority 7 'urgent'
  ferromq send topic://ticks --count 1000 --rate 50 --non-persistent tick
  seq 1000 | ferromq send queue://numbers            one message a line
  ferromq send queue://images --file picture.png     one message of bytes")]
pub(crate) struct Args {
    #[command(flatten)]
    link: link::Args,
    /// queue://NAME or topic://NAME
    #[arg(value_parser = link::destination)]
    destination: Destination,
    /// The text; without it (and without --file) each line of standard input is a message
    text: Option<String>,
    /// Send the bytes of a file as one message
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A property that selectors see; may be repeated. TYPE is string (if none is given), boolean, byte, short, int,
    /// long, float or double
    #[arg(long, value_name = "NAME[:TYPE]=VALUE")]
    property: Vec<Property>,
    /// How often to send it; standard input is sent once
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: u64,
    /// Messages a second at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Let the broker forget the messages when it ends
    #[arg(long)]
    non_persistent: bool,
    /// 0 to 9, higher is delivered first if the queue is configured so
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: u8,
    /// Milliseconds after which a message is of no use
    #[arg(long, value_name = "MS")]
    ttl: Option<u64>,
}

/// Sends; when it returns, the broker has every message (and a persistent one is safe).
pub(crate) fn run(args: Args) -> Outcome {
    converse(async {
        let connection = args.link.connect().await?;
        let producer = connection.producer(args.destination.clone()).await.map_err(failed)?;
        let known = (args.file.is_some() || args.text.is_some()).then_some(args.count);
        let mut stream = Stream::new(producer, args.rate, progress::bar(known));
        let outcome = args.feed(&mut stream).await;
        let sent = stream.finish(outcome).await?;
        connection.close().await.map_err(failed)?;
        eprintln!("sent {sent} to {}", args.destination);
        Ok(())
    })
}

impl Args {
    async fn feed(&self, stream: &mut Stream) -> Outcome {
        match (&self.file, &self.text) {
            (Some(file), _) => {
                let bytes = std::fs::read(file).map_err(io_failed(&file.display().to_string()))?;
                for _ in 0..self.count {
                    stream.send(self.dressed(Outgoing::bytes(bytes.clone()))).await?;
                }
            }
            (None, Some(text)) => {
                for _ in 0..self.count {
                    stream.send(self.dressed(Outgoing::text(text.as_str()))).await?;
                }
            }
            (None, None) => {
                for line in std::io::stdin().lock().lines() {
                    let line = line.map_err(io_failed("standard input"))?;
                    stream.send(self.dressed(Outgoing::text(line))).await?;
                }
            }
        }
        while !stream.under_way.is_empty() {
            stream.oldest().await?;
        }
        Ok(())
    }

    fn dressed(&self, message: Outgoing) -> Outgoing {
        let mut message = message.persistent(!self.non_persistent).priority(self.priority);
        if let Some(ms) = self.ttl {
            message = message.time_to_live(Duration::from_millis(ms));
        }
        for Property { name, value } in &self.property {
            message = message.property(name.as_str(), value.clone());
        }
        message
    }
}

/// Messages whose answers may be on their way.
const UNDER_WAY: usize = 256;

/// Sends at a rate, with several answers under way.
struct Stream {
    producer: Producer,
    pace: Option<tokio::time::Interval>,
    under_way: VecDeque<ferromq_client::Receipt>,
    sent: u64,
    bar: ProgressBar,
}

/// How long answers may still come after something went wrong.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

impl Stream {
    fn new(producer: Producer, rate: Option<u32>, bar: ProgressBar) -> Self {
        let pace = rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
        Self { producer, pace, under_way: VecDeque::new(), sent: 0, bar }
    }

    async fn send(&mut self, message: Outgoing) -> Outcome {
        if let Some(pace) = &mut self.pace {
            pace.tick().await;
        }
        if self.under_way.len() >= UNDER_WAY {
            self.oldest().await?;
        }
        self.under_way.push_back(self.producer.enqueue(message).await.map_err(failed)?);
        Ok(())
    }

    async fn oldest(&mut self) -> Outcome {
        if let Some(receipt) = self.under_way.pop_front() {
            receipt.await.map_err(failed)?;
            self.sent += 1;
            self.bar.inc(1);
        }
        Ok(())
    }

    /// How many the broker has; a failure says so too, since what was accepted stays where it is.
    async fn finish(mut self, outcome: Outcome) -> Result<u64, Failure> {
        self.bar.finish_and_clear();
        let Err(failure) = outcome else { return Ok(self.sent) };
        let deadline = tokio::time::Instant::now() + LAST_ANSWERS;
        for receipt in std::mem::take(&mut self.under_way) {
            if let Ok(Ok(_)) = tokio::time::timeout_at(deadline, receipt).await {
                self.sent += 1;
            }
        }
        let accepted = match self.sent {
            0 => "no message was accepted".to_owned(),
            1 => "1 message was accepted before".to_owned(),
            sent => format!("{sent} messages were accepted before"),
        };
        Err(Failure { text: format!("{}; {accepted}", failure.text), ..failure })
    }
}

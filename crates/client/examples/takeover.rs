//! Sends and receives through `failover:` until Ctrl-C, and counts what was lost or came twice. Kill brokers meanwhile.
//!
//! `cargo run -p ferromq-client --features net --example takeover -- 'failover:(tcp://localhost:61616,tcp://localhost:61617)'`

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ferromq_client::{AckMode, Connection, ConsumerSpec, Destination, Outgoing};

#[tokio::main]
async fn main() -> ferromq_client::Result<()> {
    let default = "failover:(tcp://localhost:61616,tcp://localhost:61617)?randomize=false";
    let uri = std::env::args().nth(1).unwrap_or_else(|| default.to_owned());
    let connection = Connection::connect(&uri).await?;
    let queue = Destination::queue("example.takeover");
    let producer = connection.producer(queue.clone()).await?;
    let mut consumer = connection.consumer(ConsumerSpec::new(queue), AckMode::Auto).await?;
    println!("connected; every second a line, Ctrl-C ends it");

    let (mut sent, mut twice, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    let mut received = BTreeSet::new();
    let mut line = tokio::time::interval(Duration::from_secs(1));
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            _ = &mut stop => break,
            _ = line.tick() => {
                println!("sent {sent}, received {}, twice {twice}, slowest send {slowest:?}", received.len());
                slowest = Duration::ZERO;
            }
            done = async {
                let began = Instant::now();
                // A send that waits for another broker just takes longer.
                producer.send(Outgoing::text(sent.to_string())).await.map(|()| began.elapsed())
            } => {
                slowest = slowest.max(done?);
                sent += 1;
                while let Some(delivery) = consumer.try_recv()? {
                    twice += u64::from(!received.insert(delivery.text()));
                }
            }
        }
    }
    while let Some(delivery) = consumer.recv_timeout(Duration::from_secs(1)).await? {
        twice += u64::from(!received.insert(delivery.text()));
    }
    let got = u64::try_from(received.len()).unwrap_or(u64::MAX);
    println!("sent {sent}, received {got}, lost {}, twice {twice}", sent.saturating_sub(got));
    connection.close().await
}

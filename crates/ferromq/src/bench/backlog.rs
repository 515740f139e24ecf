//! A backlog: filled in large transactions, then drained by one consumer.

use std::time::Duration;

use ferromq_client::{AckMode, ConsumerSpec, Destination, Outgoing, Result};

use super::Bench;
use super::answer::Answer;

/// Messages of each transaction.
const BATCH: u64 = 1000;

/// The longest time without a message before the backlog counts as lost.
const PATIENCE: Duration = Duration::from_secs(300);

fn queue() -> Destination {
    Destination::queue("BENCH.BACKLOG")
}

pub(super) async fn fill(bench: &Bench, persistent: bool) -> Result<Answer> {
    let messages = bench.args.messages;
    let session = bench.connect(None).await?.transacted().await?;
    let producer = session.producer(queue()).await?;
    let body = vec![0; 1024];
    let window = bench.begin();
    for number in 1..=messages {
        producer.send(Outgoing::bytes(body.clone()).persistent(persistent)).await?;
        if number % BATCH == 0 || number == messages {
            session.commit().await?;
        }
    }
    let window = bench.end(window);
    bench.close_all().await;
    Ok(Answer::new(messages, &window).count("errors", bench.errors().len() as u64))
}

pub(super) async fn drain(bench: &Bench) -> Result<Answer> {
    let messages = bench.args.messages;
    let connection = bench.connect(None).await?;
    let window = bench.begin();
    let mut consumer = connection.consumer(ConsumerSpec::new(queue()), AckMode::Auto).await?;
    let (mut received, mut first_ms) = (0, 0.0);
    let draining = async {
        while received < messages {
            if consumer.recv().await?.is_none() {
                break;
            }
            if received == 0 {
                first_ms = window.began.elapsed().as_secs_f64() * 1e3;
            }
            received += 1;
        }
        Ok::<(), ferromq_client::Error>(())
    };
    let in_time = tokio::time::timeout(PATIENCE, draining).await;
    let window = bench.end(window);
    if let Ok(outcome) = in_time {
        outcome?;
    }
    bench.close_all().await;
    let lost = messages - received;
    Ok(Answer::new(received, &window)
        .ms("first_ms", first_ms)
        .count("lost", lost)
        .count("errors", u64::from(lost > 0)))
}

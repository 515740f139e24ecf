//! Producers send as fast as they may, consumers receive: throughput and latency from end to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ferromq_client::{
    AckMode, Connection, Consumer, ConsumerSpec, Destination, Outgoing, Producer, Result, Session,
};
use tokio::task::JoinHandle;

use super::Bench;
use super::answer::Answer;
use super::recorder::Recorder;
use super::shape::Shape;

/// How long what was sent may take to arrive after the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Counters of all tasks.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
    measured: AtomicU64,
}

pub(super) async fn run(bench: &Arc<Bench>, shape: Shape) -> Result<Answer> {
    let counts = Arc::new(Counts::default());
    let mut consumers = Vec::new();
    for index in 0..shape.consumers {
        let (session, consumer) = open_consumer(bench, &shape, index).await?;
        consumers.push(tokio::spawn(consume(
            Arc::clone(bench),
            shape,
            session,
            consumer,
            Arc::clone(&counts),
        )));
    }
    let mut producers = Vec::new();
    for index in 0..shape.producers {
        let connection = bench.connect(None).await?;
        let session = session(&connection, &shape).await?;
        let producer = session.producer(destination(bench, &shape, index)).await?;
        producers.push(tokio::spawn(produce(
            Arc::clone(bench),
            shape,
            session,
            producer,
            Arc::clone(&counts),
        )));
    }
    let window = bench.measure().await;
    let sends = recorders(producers, Duration::from_secs(30)).await;
    let wanted = counts.sent.load(Ordering::Relaxed) * shape.copies();
    let patience = Instant::now() + PATIENCE;
    while counts.received.load(Ordering::Relaxed) < wanted && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.close_all().await;
    let latencies = Recorder::join(recorders(consumers, Duration::from_secs(5)).await);
    let sends = Recorder::join(sends);
    let received = counts.received.load(Ordering::Relaxed);
    Ok(Answer::new(counts.measured.load(Ordering::Relaxed), &window)
        .ms("p50_ms", latencies.quantile_ms(0.5))
        .ms("p99_ms", latencies.quantile_ms(0.99))
        .ms("send_p50_ms", sends.quantile_ms(0.5))
        .ms("send_p99_ms", sends.quantile_ms(0.99))
        .count("lost", wanted.saturating_sub(received))
        .count("duplicated", received.saturating_sub(wanted))
        .count("errors", bench.errors().len() as u64))
}

fn destination(bench: &Bench, shape: &Shape, index: usize) -> Destination {
    let name = format!("BENCH.{}.{}", bench.run, index % shape.destinations);
    if shape.topic { Destination::topic(name) } else { Destination::queue(name) }
}

async fn session(connection: &Connection, shape: &Shape) -> Result<Session> {
    connection.session(if shape.batch > 0 { AckMode::Transacted } else { AckMode::Auto }).await
}

async fn open_consumer(bench: &Bench, shape: &Shape, index: usize) -> Result<(Session, Consumer)> {
    let client_id = shape.durable.then(|| format!("bench-{}-{index}", bench.run));
    let connection = bench.connect(client_id).await?;
    let session = session(&connection, shape).await?;
    let mut spec = ConsumerSpec::new(destination(bench, shape, index));
    if shape.durable {
        spec = spec.subscription(format!("d{index}"));
    } else if shape.selectors {
        spec = spec.selector(format!("bucket = {index}"));
    }
    let consumer = session.consumer(spec).await?;
    Ok((session, consumer))
}

async fn consume(
    bench: Arc<Bench>,
    shape: Shape,
    session: Session,
    mut consumer: Consumer,
    counts: Arc<Counts>,
) -> Recorder {
    let mut latencies = Recorder::default();
    let mut uncommitted = 0;
    loop {
        let delivery = match consumer.recv().await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => return latencies,
            // The end of the run closes the connection below.
            Err(_) if bench.is_stopping() => return latencies,
            Err(error) => {
                bench.failed("consumer", error);
                return latencies;
            }
        };
        counts.received.fetch_add(1, Ordering::Relaxed);
        if bench.is_measuring() {
            counts.measured.fetch_add(1, Ordering::Relaxed);
            let sent = delivery.bytes().and_then(|body| body.first_chunk::<8>().copied());
            if let Some(sent) = sent.map(u64::from_be_bytes) {
                latencies.add(bench.nanos().saturating_sub(sent));
            }
        }
        uncommitted += 1;
        if shape.batch > 0 && uncommitted % shape.batch == 0 {
            let committed = session.commit().await;
            if let (Err(error), false) = (committed, bench.is_stopping()) {
                bench.failed("consumer", error);
            }
        }
    }
}

async fn produce(
    bench: Arc<Bench>,
    shape: Shape,
    session: Session,
    producer: Producer,
    counts: Arc<Counts>,
) -> Recorder {
    let mut latencies = Recorder::default();
    let mut body = vec![b'x'; shape.body_bytes];
    let mut due = tokio::time::Instant::now();
    let mut number = 0;
    while !bench.is_stopping() || (shape.batch > 0 && number % shape.batch != 0) {
        if let Some(gap) = 1_000_000_000_u64.checked_div(shape.rate) {
            due += Duration::from_nanos(gap);
            tokio::time::sleep_until(due).await;
        }
        let mut before = bench.nanos();
        if let Some(stamp) = body.first_chunk_mut::<8>() {
            *stamp = before.to_be_bytes();
        }
        let mut message = Outgoing::bytes(body.clone()).persistent(shape.persistent);
        if shape.selectors {
            message = message.property("bucket", (number % 10) as i32);
        }
        let mut outcome = producer.send(message).await;
        number += 1;
        let complete = shape.batch == 0 || number % shape.batch == 0;
        if shape.batch > 0 && complete && outcome.is_ok() {
            before = bench.nanos();
            outcome = session.commit().await;
        }
        if let Err(error) = outcome {
            bench.failed("producer", error);
            return latencies;
        }
        if complete {
            counts.sent.fetch_add(shape.batch.max(1), Ordering::Relaxed);
            if bench.is_measuring() {
                latencies.add(bench.nanos().saturating_sub(before));
            }
        }
    }
    latencies
}

/// What the tasks recorded; one that does not end is left behind.
async fn recorders(tasks: Vec<JoinHandle<Recorder>>, patience: Duration) -> Vec<Recorder> {
    let deadline = tokio::time::Instant::now() + patience;
    let mut all = Vec::new();
    for task in tasks {
        if let Ok(Ok(recorder)) = tokio::time::timeout_at(deadline, task).await {
            all.push(recorder);
        }
    }
    all
}

//! Requests and replies through temporary queues: one after the other for each client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ferromq_client::{AckMode, Connection, Consumer, ConsumerSpec, Destination, Outgoing, Requester, Result};

use super::Bench;
use super::answer::Answer;
use super::recorder::Recorder;

/// The longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(bench: &Arc<Bench>, clients: usize) -> Result<Answer> {
    let queue = Destination::queue(format!("BENCH.{}.requests", bench.run));
    let serving = bench.connect(None).await?;
    let requests = serving.consumer(ConsumerSpec::new(queue.clone()), AckMode::Auto).await?;
    tokio::spawn(serve(Arc::clone(bench), serving, requests));
    let done = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let requester = bench.connect(None).await?.requester(queue.clone()).await?;
        tasks.push(tokio::spawn(ask(Arc::clone(bench), requester, Arc::clone(&done))));
    }
    let window = bench.measure().await;
    let mut recorders = Vec::new();
    for task in tasks {
        if let Ok(Ok(recorder)) = tokio::time::timeout(PATIENCE + Duration::from_secs(5), task).await {
            recorders.push(recorder);
        }
    }
    bench.close_all().await;
    let latencies = Recorder::join(recorders);
    Ok(Answer::new(done.load(Ordering::Relaxed), &window)
        .ms("p50_ms", latencies.quantile_ms(0.5))
        .ms("p99_ms", latencies.quantile_ms(0.99))
        .count("errors", bench.errors().len() as u64))
}

async fn serve(bench: Arc<Bench>, connection: Connection, mut requests: Consumer) {
    let replies = match connection.anonymous_producer().await {
        Ok(replies) => replies,
        Err(error) => return bench.failed("server", error),
    };
    while let Ok(Some(request)) = requests.recv().await {
        let mut reply = Outgoing::bytes(Vec::new()).persistent(false);
        if let Some(id) = request.message().correlation_id.clone() {
            reply = reply.correlation_id(id);
        }
        let Some(reply_to) = request.reply_to() else { continue };
        let sent = replies.send_to(reply_to, reply).await;
        if let (Err(error), false) = (sent, bench.is_stopping()) {
            bench.failed("server", error);
        }
    }
}

async fn ask(bench: Arc<Bench>, mut requester: Requester, done: Arc<AtomicU64>) -> Recorder {
    let mut latencies = Recorder::default();
    let body = vec![0; 1024];
    while !bench.is_stopping() {
        let before = bench.nanos();
        let request = Outgoing::bytes(body.clone()).persistent(false);
        if let Err(error) = requester.request(request, PATIENCE).await {
            bench.failed("client", error);
            return latencies;
        }
        if bench.is_measuring() {
            latencies.add(bench.nanos().saturating_sub(before));
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    latencies
}

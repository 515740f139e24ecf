//! Connections that do nothing: what they cost the broker.

use ferromq_client::Result;
use tokio::io::AsyncReadExt;

use super::Bench;
use super::answer::Answer;

pub(super) async fn run(bench: &Bench) -> Result<Answer> {
    let wanted = bench.args.connections;
    let window = bench.begin();
    for _ in 0..wanted {
        bench.connect(None).await?;
    }
    let window = bench.end(window);
    // A driver reads the broker's counters now, and says when it is done; so does the end of the input.
    let _ = tokio::io::stdin().read(&mut [0]).await;
    bench.close_all().await;
    Ok(Answer::new(wanted, &window).count("errors", bench.errors().len() as u64))
}

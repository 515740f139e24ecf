//! [`turn_away`]: the whole life of a connection that is not served.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ferromq_gateway::{SessionSettings, Turnaway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::Seat;

/// How long a peer may take to say who it is.
const HEARING: Duration = Duration::from_secs(1);
/// What it may write meanwhile: a greeting and an introduction.
const HEARING_BYTES: usize = 256 * 1024;
/// A client that has just lost its broker is turned away after this time, so that those who try all brokers in a circle
/// do not do it without a pause.
const BREATH: Duration = Duration::from_millis(40);

/// Greets a peer, hears who it is and closes; `reason` is for a client that has no other broker to go to. The seat
/// is free again when the connection has ended.
pub async fn turn_away(settings: Arc<SessionSettings>, reason: Arc<str>, stream: TcpStream, seat: Seat) {
    // Whoever does not listen to a refusal is refused all the same.
    let _ = timeout(HEARING, hear(&settings, &reason, stream)).await;
    drop(seat);
}

async fn hear(settings: &SessionSettings, reason: &str, mut stream: TcpStream) -> io::Result<()> {
    let mut turnaway = Turnaway::new(settings, reason);
    let mut heard = 0;
    stream.write_all(&turnaway.transmit()).await?;
    while !turnaway.is_over() && heard <= HEARING_BYTES {
        match stream.read_buf(turnaway.read_buffer()).await? {
            0 => return Ok(()),
            bytes => heard += bytes,
        }
        turnaway.take();
    }
    if turnaway.is_reconnecting() {
        sleep(BREATH).await;
    }
    stream.write_all(&turnaway.transmit()).await?;
    stream.shutdown().await
}

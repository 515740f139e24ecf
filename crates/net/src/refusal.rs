//! [`turn_away`]: the whole life of a connection that is not served.

use tokio::net::TcpStream;

use crate::Seat;

/// Refuses a connection that was accepted already: to its peer it is as if nobody listened.
///
/// Nothing is said, not even a greeting. A client behind `failover:` that was greeted believes that it is connected
/// again, and begins transactions into the void: their commits are in doubt for it when the connection ends, and its
/// application gets an exception. A connection that is reset before a greeting is one more URI that failed.
pub fn turn_away(stream: TcpStream, seat: Seat) {
    // Where that can't be had the peer sees an end instead of a reset, and tries the next URI as well.
    let _ = stream.set_zero_linger();
    drop((stream, seat));
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::Census;

    #[tokio::test]
    async fn a_peer_is_reset_before_it_heard_a_word() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let census = Arc::new(Census::default());
        turn_away(stream, census.seat(1).unwrap());
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(census.present(), 0);
    }
}
